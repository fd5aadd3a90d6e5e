"""Events and spikes: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet, Pinned

HERE = "effml.experiments.data.events"


def camera(name: str, folder: str, title: str, size: int, licence: str, source: str) -> DataSet:
    """A recording of an event camera, brought and read by tonic."""
    return DataSet(
        name=name,
        kind="events",
        origin="download",
        title=title,
        licence=licence,
        source=source,
        loader=f"{HERE}.cameras:load",
        size=size,
        marker=f"tonic/{folder}",
        fetch=f"{HERE}.cameras:fetch",
        needs=("tonic",),
        get="point EFFML_DATA at a folder that holds tonic/ as the package tonic lays it out",
    )


DATASETS = [
    DataSet(
        name="oxford-spikes",
        kind="events",
        origin="download",
        title="200 spike trains in, 256 out, 2,000 steps, one sample",
        licence="BSD-3-Clause",
        source="lava-nc/lava-dl at d825ac5",
        loader=f"{HERE}.oxford:load",
        size=9_903,
        files=(
            Pinned(
                "oxford_spikes/oxford.npz",
                "72116e1fe9805c7ed746ff2f1ed158add99ba380a1d392584bed31c0872df6b2",
                912_256,
                form="npz",
            ),
        ),
        prepare=f"{HERE}.oxford:prepare",
    ),
    camera(
        "nmnist",
        "NMNIST",
        "70,000 digits seen by an event camera, 34 x 34",
        1_200_000_000,
        "CC BY 4.0",
        "Orchard et al., 2015",
    ),
    camera(
        "dvs-gesture",
        "DVSGesture",
        "1,341 hand gestures, 128 x 128, 11 classes",
        3_200_000_000,
        "CC BY 4.0",
        "Amir et al., 2017",
    ),
    camera(
        "cifar10-dvs",
        "CIFAR10DVS",
        "10,000 pictures of CIFAR-10 moved before an event camera",
        8_000_000_000,
        "CC BY 4.0",
        "Li et al., 2017",
    ),
    DataSet(
        name="spike-file",
        kind="events",
        origin="file",
        title="your own spike trains: one .npz",
        licence="yours",
        source="you",
        loader=f"{HERE}.own:load",
        own=True,
    ),
]
