"""`tiny-imagenet`: 200 classes of 64 x 64, 500 training images each; the 10,000 validation images serve as test set."""

from __future__ import annotations

import io
import zipfile

import torch

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.images.decoding import square
from effml.experiments.data.images.images import Split, in_memory
from effml.experiments.data.places import require

ARCHIVE = "tiny-imagenet/tiny-imagenet-200.zip"
TOP = "tiny-imagenet-200"
CLASSES, TESTS = 200, 10_000


def load(files: Files, per_class: int = 500) -> Content:
    """Args: `per_class`: how many training images of each class, the first ones of the archive."""
    path = files[ARCHIVE]
    if not 1 <= per_class <= 500:
        raise UserError(f"data set tiny-imagenet: per_class={per_class} is out of range; expected 1 to 500")
    with zipfile.ZipFile(path) as archive:
        ids = archive.read(f"{TOP}/wnids.txt").decode().split()
        words = dict(line.split("\t", 1) for line in archive.read(f"{TOP}/words.txt").decode().splitlines())
        code = {name: number for number, name in enumerate(ids)}
        train = [
            (f"{TOP}/train/{name}/images/{name}_{number}.JPEG", code[name])
            for name in ids
            for number in range(per_class)
        ]
        rows = (line.split("\t") for line in archive.read(f"{TOP}/val/val_annotations.txt").decode().splitlines())
        test = [(f"{TOP}/val/images/{row[0]}", code[row[1]]) for row in rows]
        require(len(ids) == CLASSES, path, f"it holds {len(ids)} classes instead of {CLASSES}")
        require(len(test) == TESTS, path, f"it holds {len(test):,} test images instead of {TESTS:,}")
        splits = []
        for part in (train, test):
            pixels = torch.empty((len(part), 3, 64, 64), dtype=torch.uint8)
            for place, (name, _) in enumerate(part):
                pixels[place] = square(io.BytesIO(archive.read(name)), path, 64)
            splits.append(Split(pixels, torch.tensor([label for _, label in part])))
    note = "" if per_class == 500 else f"{per_class} of 500 training images a class"
    return Content(in_memory("tiny-imagenet", splits[0], splits[1], [words[name] for name in ids], note), note=note)
