"""`cifar10` and `cifar100`: 60,000 images of 32 x 32, from the authors' archives.

`cifar10` also comes as mosaics of 10,000 tiles, whose training images are JPEG of quality 90; they are taken where the
archive is not at hand, and then every table says so: "cifar10 (train q90)".
"""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.images.decoding import tiles
from effml.experiments.data.images.images import Split, in_memory

MOSAIC = "cifar10/test.webp"


def cifar10(files: Files) -> Content:
    """50,000 training and 10,000 test images of 10 classes."""
    if MOSAIC in files:
        return _mosaics(files)
    batches = dict(_batches(files["cifar10/cifar-10-python.tar.gz"]))
    classes = [name.decode() for name in batches["batches.meta"][b"label_names"]]
    train = [batches[f"data_batch_{number}"] for number in range(1, 6)]
    images = in_memory("cifar10", _split(train, b"labels"), _split([batches["test_batch"]], b"labels"), classes)
    return Content(images)


def cifar100(files: Files) -> Content:
    """50,000 training and 10,000 test images of 100 classes (the fine labels)."""
    batches = dict(_batches(files["cifar100/cifar-100-python.tar.gz"]))
    classes = [name.decode() for name in batches["meta"][b"fine_label_names"]]
    train, test = (_split([batches[name]], b"fine_labels") for name in ("train", "test"))
    return Content(in_memory("cifar100", train, test, classes))


def _batches(path: Path) -> Iterator[tuple[str, dict]]:
    """The pickled dictionaries of an archive whose checksum has been verified."""
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            content = None if name.endswith((".html", ".txt~")) else archive.extractfile(member)
            if content:
                yield name, pickle.load(content, encoding="bytes")


def _split(batches: list[dict], labels: bytes) -> Split:
    pixels = np.concatenate([batch[b"data"].reshape(-1, 3, 32, 32) for batch in batches])
    return Split(torch.from_numpy(pixels), torch.tensor([label for batch in batches for label in batch[labels]]))


def _mosaics(files: Files) -> Content:
    train = torch.cat([tiles(files[f"cifar10/train_{number}.jpg"], 32, 10_000) for number in range(5)])
    test = tiles(files[MOSAIC], 32, 10_000)
    paths = (files[f"cifar10/{part}_labels.txt"] for part in ("train", "test"))
    train_labels, test_labels = (torch.from_numpy(np.loadtxt(path, dtype=np.int64)) for path in paths)
    classes = files["cifar10/classes.txt"].read_text().split()
    note = "training images JPEG quality 90, test images lossless"
    splits = Split(train, train_labels), Split(test, test_labels)
    return Content(in_memory("cifar10 (train q90)", splits[0], splits[1], classes, note), note=note)
