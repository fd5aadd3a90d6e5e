"""Skeletons: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet, Pinned

HERE = "effml.experiments.data.skeletons"

DATASETS = [
    DataSet(
        name="articulated",
        kind="skeletons",
        origin="generated",
        title="generated actions of a jointed body: any number of classes, subjects, repeats",
        licence="none",
        source="a kinematic tree with swinging joints",
        loader=f"{HERE}.articulated:load",
    ),
    DataSet(
        name="msraction3d",
        kind="skeletons",
        origin="download",
        title="20 actions by 10 subjects, 566 sequences of 20 joints",
        licence="research use",
        source="ahmedhamdy2121/CV_Action_Recognition_2015 at 7eb289d",
        loader=f"{HERE}.msraction3d:load",
        size=5_306_122,
        files=(
            Pinned(
                "msraction3d/skeletons.npz",
                "2fd4e386f4ef8299d2747fe5968dcb1916e3bdd195c4b620c74af915931c6235",
                7_542_836,
                form="npz",
            ),
        ),
        prepare=f"{HERE}.msraction3d:prepare",
    ),
    DataSet(
        name="ntu60",
        kind="skeletons",
        origin="file",
        title="NTU RGB+D 60: 56,880 sequences of 25 joints, 60 actions, 40 subjects, as .skeleton files",
        licence="academic use, by request",
        source="rose1.ntu.edu.sg/dataset/actionRecognition",
        loader=f"{HERE}.ntu:load",
        size=5_800_000_000,
        get="ask its makers for the 3D skeletons and name the folder with dataset.path=...",
    ),
    DataSet(
        name="skeleton-file",
        kind="skeletons",
        origin="file",
        title="your own skeletons: one .npz",
        licence="yours",
        source="you",
        loader=f"{HERE}.own:load",
        own=True,
    ),
]
