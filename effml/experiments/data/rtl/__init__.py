"""Register-transfer designs: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet

HERE = "effml.experiments.data.rtl"
RTLLM = "https://github.com/hkust-zhiyao/RTLLM/archive/41b26896e33b536940116a975626455eed3de65e.tar.gz"
VERILOG_EVAL = "https://github.com/NVlabs/verilog-eval/archive/c498220d0a52248f8e3fdffe279075215bde2da6.tar.gz"


def recorded(name: str, model: str) -> DataSet:
    """What a model answered to the 29 designs of RTLLM 1."""
    return DataSet(
        name=name,
        kind="rtl",
        origin="download",
        title=f"{model}'s recorded answers to 29 designs of RTLLM, five trials each",
        licence="MIT",
        source="hkust-zhiyao/RTLLM at 41b2689",
        loader=f"{HERE}.benchmarks:answers",
        size=200_000,
        manifest=f"rtl/{name}.sums",
        archive=RTLLM,
    )


DATASETS = [
    DataSet(
        name="small-designs",
        kind="rtl",
        origin="bundled",
        title="fifteen small designs of our own with specification, testbench, reference, and rewrites of some",
        licence="Apache-2.0",
        source="effml",
        loader=f"{HERE}.benchmarks:small",
    ),
    DataSet(
        name="rtllm",
        kind="rtl",
        origin="download",
        title="RTLLM 2.0: 50 designs with description, testbench and verified Verilog",
        licence="MIT",
        source="hkust-zhiyao/RTLLM at 41b2689",
        loader=f"{HERE}.benchmarks:rtllm",
        size=236254,
        manifest="rtl/rtllm.sums",
        archive=RTLLM,
    ),
    recorded("rtllm-gpt35", "GPT-3.5"),
    recorded("rtllm-gpt4", "GPT-4"),
    DataSet(
        name="verilog-eval",
        kind="rtl",
        origin="download",
        title="VerilogEval 2: 156 problems from specification to Verilog, with reference and testbench",
        licence="MIT",
        source="NVlabs/verilog-eval at c498220",
        loader=f"{HERE}.benchmarks:verilog_eval",
        size=729545,
        manifest="rtl/verilog-eval.sums",
        archive=VERILOG_EVAL,
    ),
    DataSet(
        name="rtl-folder",
        kind="rtl",
        origin="file",
        title="your own designs: folders with specification, testbench and reference",
        licence="yours",
        source="you",
        loader=f"{HERE}.benchmarks:own",
        own=True,
    ),
]
