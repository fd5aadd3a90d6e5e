"""`digits`: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, 17 levels of grey."""

from __future__ import annotations

import torch

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.images.images import in_memory, seeded_split


def load(files: Files, test_share: float = 0.2, seed: int = 0) -> Content:
    """Args: `test_share` of each class held out; `seed` of the split."""
    from sklearn.datasets import load_digits

    if not 0 < test_share < 1:
        raise UserError(f"data set digits: test_share={test_share} is out of range; expected between 0 and 1")
    data = load_digits()
    pixels = torch.from_numpy(data.images).to(torch.uint8)[:, None]
    train, test = seeded_split(pixels, torch.from_numpy(data.target).long(), test_share, seed, peak=16)
    images = in_memory("digits", train, test, [str(digit) for digit in range(10)])
    return Content(images, images.sha256(), f"{len(train)} train, {len(test)} test, seed {seed}")
