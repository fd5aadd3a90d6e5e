"""Video: what there is. Light; loaders are named, not imported."""

from effml.experiments.data.entry import DataSet, Pinned

HERE = "effml.experiments.data.video"

DATASETS = [
    DataSet(
        name="moving-digits",
        kind="video",
        origin="generated",
        title="a handwritten digit moving across a small canvas, captioned: 'a seven moving down left'",
        licence="CC BY 4.0 (the digits)",
        source="generated from scikit-learn's digits",
        loader=f"{HERE}.moving_digits:load",
    ),
    DataSet(
        name="cricket-shot",
        kind="video",
        origin="download",
        title="one real clip of UCF-101 (v_CricketShot_g04_c01), 79 frames, 224 x 224, colour",
        licence="UCF-101 terms (research)",
        source="google-deepmind/kinetics-i3d, 0667e88",
        loader=f"{HERE}.animation:load_clip",
        size=2_450_717,
        files=(
            Pinned(
                "video/v_CricketShot_g04_c01_rgb.gif",
                "26502e0daa557579befad05035d4f37c8ee59a7f963e9e06be32477303a23f89",
                2_450_717,
                "https://raw.githubusercontent.com/google-deepmind/kinetics-i3d/"
                "0667e889a5904b4dc122e0ded4c332f49f8df42c/data/v_CricketShot_g04_c01_rgb.gif",
            ),
        ),
    ),
    DataSet(
        name="video-folder",
        kind="video",
        origin="file",
        title="your own folder of videos: UCF-101, BAIR or Kinetics layout, or any classes in folders",
        licence="yours",
        source="you",
        loader=f"{HERE}.folder:load",
        own=True,
    ),
]
