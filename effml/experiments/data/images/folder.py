"""Folders of images: the user's own, `imagenet` and `celeba`.

Small sets are read into memory; large ones are decoded when indexed. The checksum is over the names and sizes of all
files, since reading a million images first would take longer than many a run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.images.decoding import SUFFIXES, FilePixels
from effml.experiments.data.images.images import Images, Split, held_out
from effml.experiments.data.places import require

IN_MEMORY = 2_000_000_000  # bytes
PARTITION = "list_eval_partition.txt"
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def own(files: Files, size: int = 32, test_share: float = 0.2, seed: int = 0) -> Content:
    """The user's folder: `train/CLASS/...` with `test/` or `val/`, or `CLASS/...`, or images alone.

    Args:
        size: side to which the central square of each image is resized.
        test_share, seed: of each class, drawn for testing where the folder has no test images of its own.
    """
    root = files.own
    _check(root, size, test_share)
    tests = next((root / name for name in ("test", "val", "valid") if (root / name).is_dir()), None)
    if (root / "train").is_dir() and tests:
        classes = _classes(root / "train")
        require(_classes(tests) == classes, root, f"train/ and {tests.name}/ do not hold the same classes")
        train, test = _listed(root / "train", classes), _listed(tests, classes)
        told = "own split"
    else:
        folder = root / "train" if (root / "train").is_dir() else root
        classes = _classes(folder)
        every = _listed(folder, classes)
        train, test = _divided(every, held_out(every.labels, test_share, seed))
        told = f"{test_share:.0%} of each class for testing, seed {seed}"
    require(bool(train.paths and test.paths), root, f"{len(train.paths)} training and {len(test.paths)} test images")
    held, other = _split(train, size), _split(test, size)
    mean, std = held.moments() if isinstance(held.pixels, torch.Tensor) else (IMAGENET_MEAN, IMAGENET_STD)
    note = f"{root.name}; {len(held):,} train, {len(other):,} test at {size} x {size}; {told}"
    return Content(Images(root.name, held, other, classes or ["image"], mean, std), _checksum(root, train, test), note)


def imagenet(files: Files, size: int = 224) -> Content:
    """ILSVRC 2012 as folders `train/WNID/*.JPEG` and `val/WNID/*.JPEG`. Args: `size` of the central square."""
    root = files.own
    _check(root, size)
    for part in ("train", "val"):
        require((root / part).is_dir(), root, f"it has no folder {part}/ with one folder a class")
    classes = _classes(root / "train")
    require(_classes(root / "val") == classes, root, "train/ and val/ do not hold the same classes")
    train, test = _listed(root / "train", classes), _listed(root / "val", classes)
    splits = [Split(FilePixels(listed.paths, size), listed.labels) for listed in (train, test)]
    note = "" if len(classes) == 1000 else f"{len(classes)} of 1,000 classes"
    told = f"{len(splits[0]):,} train, {len(splits[1]):,} test at {size} x {size}" + (f"; {note}" if note else "")
    images = Images("imagenet", splits[0], splits[1], classes, IMAGENET_MEAN, IMAGENET_STD, note)
    return Content(images, _checksum(root, train, test), told)


def celeba(files: Files, size: int = 64, crop: int = 140, test_share: float = 0.1, seed: int = 0) -> Content:
    """CelebA's aligned faces: a folder of images, central `crop` pixels resized to `size`, as U-ViT prepares them.

    The published partition is used where `list_eval_partition.txt` lies in the folder or beside it; else a seeded share.
    """
    root = files.own
    _check(root, size, test_share)
    every = _listed(root, [])
    beside = next((place for place in (root, root.parent) if (place / PARTITION).is_file()), None)
    if beside:
        part = dict(line.split() for line in (beside / PARTITION).read_text().splitlines() if len(line.split()) == 2)
        missing = [path.name for path in every.paths if path.name not in part]
        require(not missing, beside / PARTITION, f"{len(missing):,} images are not in it")
        absent = len(part) - len(every.paths)
        require(absent == 0, root, f"{absent:,} images of {PARTITION} are missing")
        tests = torch.tensor([part[path.name] == "2" for path in every.paths])
        told = "published partition"
    else:
        tests = held_out(every.labels, test_share, seed)
        told = f"{test_share:.0%} for testing, seed {seed}"
    train, test = _divided(every, tests)
    splits = [Split(FilePixels(listed.paths, size, crop), listed.labels) for listed in (train, test)]
    note = f"{len(splits[0]):,} train, {len(splits[1]):,} test; centre {crop} to {size} x {size}; {told}"
    images = Images("celeba", splits[0], splits[1], ["face"], [0.5] * 3, [0.5] * 3)
    return Content(images, _checksum(root, every), note)


@dataclass(frozen=True)
class _Listed:
    """Image files and the class of each."""

    paths: list[Path]
    labels: torch.Tensor


def _check(root: Path, size: int, test_share: float = 0.2) -> None:
    require(root.is_dir(), root, "expected a folder of images")
    if not 1 <= size <= 4096:
        raise UserError(f"size={size} is out of range; expected 1 to 4096")
    if not 0 < test_share < 1:
        raise UserError(f"test_share={test_share} is out of range; expected between 0 and 1")


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _classes(folder: Path) -> list[str]:
    """Names of the class folders, sorted; [] where images lie in the folder itself."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _listed(folder: Path, classes: list[str]) -> _Listed:
    """The images in the folders of the classes; without classes, in the folder itself."""
    paths: list[Path] = []
    labels: list[int] = []
    for number, place in enumerate([folder / name for name in classes] or [folder]):
        found = _images(place)
        require(bool(found), place, "it holds no images")
        paths += found
        labels += [number] * len(found)
    return _Listed(paths, torch.tensor(labels))


def _divided(every: _Listed, test: torch.Tensor) -> tuple[_Listed, _Listed]:
    """Training and test images, the latter where `test` [N] is true."""
    parts = []
    for mask in (~test, test):
        places = mask.nonzero().squeeze(1).tolist()
        parts.append(_Listed([every.paths[place] for place in places], every.labels[mask]))
    return parts[0], parts[1]


def _split(listed: _Listed, size: int) -> Split:
    pixels = FilePixels(listed.paths, size)
    return Split(pixels[:] if pixels.nbytes <= IN_MEMORY else pixels, listed.labels)


def _checksum(root: Path, *parts: _Listed) -> str:
    paths = [path for part in parts for path in part.paths]
    lines = sorted(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
