"""`msraction3d`: 20 actions by 10 subjects, 566 sequences of 20 joints.

Split across subjects, fixed: 1, 3, 5, 7 and 9 train. One recording (a13_s09_e02) is all zeros and is left out, as are the
frames in which the sensor lost the person, 1,075 in nineteen other recordings.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import numpy as np
import torch

from effml.errors import MissingRequirement
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.skeletons.layouts import MSR20
from effml.experiments.data.skeletons.skeletons import Skeletons

COMMIT = "7eb289d2b1a52a2d196880e676759300a2b685df"
ARCHIVE = f"https://github.com/ahmedhamdy2121/CV_Action_Recognition_2015/archive/{COMMIT}.tar.gz"
FILE = "msraction3d/skeletons.npz"
EMPTY = "a13_s09_e02"
TRAIN_SUBJECTS = (1, 3, 5, 7, 9)
ACTIONS = [
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw X",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick",
    "jogging", "tennis swing", "tennis serve", "golf swing", "pickup and throw",
]  # fmt: skip


def load(files: Files) -> Content:
    """Confidences of joints are dropped; sequences keep their own lengths."""
    with np.load(files[FILE], allow_pickle=False) as archive:
        frames, offsets, names = archive["frames"], archive["offsets"], archive["names"]
    sequences, kept = [], []
    lost = 0
    for number, name in enumerate(names.tolist()):
        sequence = frames[offsets[number] : offsets[number + 1], :, :3]
        seen = sequence.any((1, 2))
        if name == EMPTY:
            continue
        lost += int((~seen).sum())
        sequences.append(sequence[seen])
        kept.append(name)
    lengths = np.array([len(sequence) for sequence in sequences])
    subjects = torch.tensor([int(name[5:7]) for name in kept])
    train = torch.isin(subjects, torch.tensor(TRAIN_SUBJECTS))
    value = Skeletons(
        "msraction3d",
        torch.from_numpy(np.concatenate(sequences))[:, None],
        torch.from_numpy(np.concatenate(([0], lengths.cumsum()))),
        torch.tensor([int(name[1:3]) - 1 for name in kept]),
        subjects,
        train,
        ~train,
        ACTIONS,
        MSR20.bones,
        MSR20.centre,
    )
    told = f"{len(kept)} sequences, without {EMPTY} (all zeros) and {lost:,} frames without a person; "
    return Content(value, note=told + "subjects 1, 3, 5, 7, 9 train")


def prepare(folder: Path) -> None:
    """Download the recordings as text and pack them."""
    from effml.experiments.data import download

    archive = folder / "recordings.tar.gz"
    download.save(ARCHIVE, archive)
    texts = {}
    try:
        with tarfile.open(archive) as members:
            for member in members:
                found = re.search(r"real_world_coordinates/(a\d\d_s\d\d_e\d\d)_skeleton3D\.txt$", member.name)
                content = members.extractfile(member) if found else None
                if found and content:
                    texts[found.group(1)] = content.read().decode()
    except (tarfile.TarError, EOFError) as error:
        raise MissingRequirement(f"{ARCHIVE} is not a readable archive ({error}); try again") from error
    archive.unlink()
    (folder / FILE).parent.mkdir(parents=True)
    pack(texts, folder / FILE)


def pack(texts: dict[str, str], target: Path) -> None:
    """Text recordings (20 lines of x y z confidence a frame) as one .npz of frames, offsets and names."""
    names = sorted(texts)
    recordings = [np.array(texts[name].split(), dtype=np.float32).reshape(-1, 20, 4) for name in names]
    offsets = np.concatenate(([0], np.cumsum([len(recording) for recording in recordings])))
    np.savez_compressed(
        target, frames=np.concatenate(recordings), offsets=offsets.astype(np.int64), names=np.array(names, dtype="<U11")
    )
