"""`video-folder`: the user's own videos, in the layouts in which the video sets of the literature come.

A clip is a film or an animation, or a folder that holds nothing but its frames as pictures. Its caption is, in this
order, what `captions.jsonl` at the top says of it (`{"clip": "a/b.avi", "caption": "..."}` a line) or the name of the
folder it lies in ("CricketShot" and "cricket_shot" both read "cricket shot"). Folders named train, test, val and the like
decide the split; where there are none, a tenth is held out, by the hash of the clip's path.

    UCF-101   UCF-101/CricketShot/v_CricketShot_g04_c01.avi
    Kinetics  train/playing cricket/abc_000001_000011.mp4        val/...
    BAIR      train/traj_0_to_255/17/0.png, 1.png ...            test/...
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import torch

from effml.errors import MissingRequirement, UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import reading
from effml.experiments.data.video.animation import ANIMATIONS, FILMS, PICTURES, read
from effml.experiments.data.video.clips import Clips

TRAIN = {"train", "training"}
HELD_OUT = {"test", "val", "validation", "validate", "valid", "eval"}


def load(
    files: Files,
    size: int = 64,
    frames: int = 16,
    stride: int = 1,
    windows: int = 1,
    grey: bool = False,
    clips: int = 0,
) -> Content:
    """Args: side `size` in pixels; `frames` a clip, every `stride`-th; at most `windows` clips of one video; `grey`;
    at most `clips` videos (0: all), evenly spread."""
    root = files.path
    if root is None or not root.is_dir():
        raise MissingRequirement(f"{root} is not a folder; video-folder takes the folder that your videos lie in")
    if min(size, frames, stride, windows) < 1 or clips < 0:
        raise UserError(
            f"data set video-folder: size={size}, frames={frames}, stride={stride}, windows={windows} must be positive"
        )
    found = sorted(_clips(root))
    if not found:
        raise MissingRequirement(
            f"{root} holds no videos: looked for {', '.join(FILMS + ANIMATIONS)} and folders of pictures"
        )
    if clips and len(found) > clips:
        found = [found[i * len(found) // clips] for i in range(clips)]
    told = _told(root)
    tensors, captions, train, short = [], [], [], 0
    for path in found:
        video = read(path, size, grey, frames * stride * windows)
        pieces = video[: len(video) // (frames * stride) * frames * stride].unflatten(0, (-1, frames, stride))[:, :, 0]
        short += not len(pieces)
        name = path.relative_to(root).as_posix()
        tensors.append(pieces)
        captions += [told.get(name, _caption(path.relative_to(root)))] * len(pieces)
        train += [_trains(path.relative_to(root))] * len(pieces)
    if not captions:
        raise MissingRequirement(
            f"no video in {root} has {frames * stride} frames; ask for fewer frames or a smaller stride"
        )
    if all(train) and len(train) > 1:
        train[::10] = [False] * len(train[::10])
    made = Clips(root.name, torch.cat(tensors), captions, torch.tensor(train))
    note = f"{len(captions)} clips of {len(found)} videos, {frames} frames of {size} x {size}"
    return Content(made, made.sha256(), note + (f"; {short} videos were too short" if short else ""))


def _clips(folder: Path) -> list[Path]:
    """Films, animations and folders of pictures below `folder`."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    files = [entry for entry in entries if entry.is_file()]
    if files and len(files) == len(entries) and all(file.suffix.lower() in PICTURES for file in files):
        return [folder]
    found = [file for file in files if file.suffix.lower() in FILMS + ANIMATIONS]
    for entry in entries:
        if entry.is_dir():
            found += _clips(entry)
    return found


def _told(root: Path) -> dict[str, str]:
    path = root / "captions.jsonl"
    if not path.exists():
        return {}
    with reading(path, 'lines of {"clip": ..., "caption": ...}'):
        lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        return {str(line["clip"]): str(line["caption"]).lower() for line in lines}


def _caption(clip: Path) -> str:
    folders = [part for part in clip.parts[:-1] if part.lower() not in TRAIN | HELD_OUT]
    if not folders or folders[-1].startswith("traj_"):
        return ""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-]+", " ", folders[-1])
    return " ".join(words.lower().split())


def _trains(clip: Path) -> bool:
    for part in clip.parts[:-1]:
        if part.lower() in TRAIN | HELD_OUT:
            return part.lower() in TRAIN
    return hashlib.sha256(clip.as_posix().encode()).digest()[0] >= 26  # about a tenth
