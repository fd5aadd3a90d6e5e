"""Operator shapes: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet

DATASETS = [
    DataSet(
        name="deepbench",
        kind="shapes",
        origin="bundled",
        title="shapes of DeepBench: 248 GEMMs, 217 convolutions, 32 sparse GEMMs, 125 recurrent layers",
        licence="Apache-2.0",
        source="baidu-research/DeepBench at da81ba7",
        loader="effml.experiments.data.shapes.deepbench:load",
    ),
]
