"""`ntu60`: NTU RGB+D 60, from the sensor's .skeleton text files, which its makers hand out on request.

Both published splits: across subjects, and across views (cameras 2 and 3 train, 1 tests). Of each sequence the two people
that move most are kept. Recordings without any person (the published list of missing samples) are left out and counted.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import torch

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import reading, require
from effml.experiments.data.skeletons.layouts import NTU25
from effml.experiments.data.skeletons.skeletons import Skeletons

NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
TRAIN_SUBJECTS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
TRAIN_VIEWS = (2, 3)
PEOPLE, JOINTS = 2, 25


def load(files: Files, split: str = "view", classes: int = 60) -> Content:
    """The folder of .skeleton files at `files.own`.

    Args:
        split: "view" or "subject".
        classes: keep the first so many actions.
    """
    root = files.own
    if split not in ("view", "subject"):
        raise UserError(f"data set ntu60: split={split} is unknown; expected view or subject")
    require(root.is_dir(), root, "expected a folder of .skeleton files")
    matched = ((path, NAME.fullmatch(path.stem)) for path in sorted(root.rglob("*.skeleton")))
    paths = [(path, [int(number) for number in found.groups()]) for path, found in matched if found]
    paths = [(path, numbers) for path, numbers in paths if numbers[4] <= classes]
    require(bool(paths), root, "it holds no files SsssCcccPpppRrrrAaaa.skeleton")
    sequences, kept, digest = [], [], hashlib.sha256()
    for path, named_so in paths:
        content = path.read_bytes()
        digest.update(path.name.encode() + content)
        sequence = parse(content.decode("ascii", "replace"), path)
        if sequence is not None:
            sequences.append(sequence)
            kept.append(named_so)
    require(bool(sequences), root, "none of its recordings shows a person")
    numbers = torch.tensor(kept)
    of, members = (numbers[:, 1], TRAIN_VIEWS) if split == "view" else (numbers[:, 2], TRAIN_SUBJECTS)
    train = torch.isin(of, torch.tensor(members))
    lengths = np.array([len(sequence) for sequence in sequences])
    value = Skeletons(
        "ntu60",
        torch.from_numpy(np.concatenate(sequences)),
        torch.from_numpy(np.concatenate(([0], lengths.cumsum()))),
        numbers[:, 4] - 1,
        numbers[:, 2],
        train,
        ~train,
        [f"A{number:03d}" for number in range(1, int(numbers[:, 4].max()) + 1)],
        NTU25.bones,
        NTU25.centre,
    )
    told = f"cross-{split}, {len(kept):,} sequences, {len(paths) - len(kept):,} without a person left out"
    return Content(value, digest.hexdigest(), told)


def parse(text: str, path: Path) -> np.ndarray | None:
    """`[T, 2, 25, 3]` float32 of one recording; None when no frame shows a person.

    The format: number of frames; for each frame the number of people; for each person a line that begins with its id, the
    number of joints, and a line of twelve numbers a joint, x y z first.
    """
    lines = iter(text.splitlines())
    with reading(path, "an NTU .skeleton file", StopIteration):
        frames = int(next(lines))
        people: dict[str, np.ndarray] = {}
        for frame in range(frames):
            for _ in range(int(next(lines))):
                who = next(lines).split()[0]
                if int(next(lines)) != JOINTS:
                    raise ValueError(f"frame {frame} does not have {JOINTS} joints")
                joints = [[float(word) for word in next(lines).split()[:3]] for _ in range(JOINTS)]
                people.setdefault(who, np.zeros((frames, JOINTS, 3), dtype=np.float32))[frame] = joints
        if any(not np.isfinite(track).all() for track in people.values()):
            raise ValueError("a coordinate is not finite")
    if not people:
        return None
    # The sensor also reports furniture: what moves most is the person.
    motion = {who: track[track.any((1, 2))].std(0).sum() for who, track in people.items()}
    chosen = sorted(motion, key=lambda who: -motion[who])[:PEOPLE]
    found = np.zeros((frames, PEOPLE, JOINTS, 3), dtype=np.float32)
    for place, who in enumerate(chosen):
        found[:, place] = people[who]
    seen = found.any((1, 2, 3))
    return found[seen] if seen.any() else None
