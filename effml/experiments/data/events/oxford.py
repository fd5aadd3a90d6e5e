"""`oxford-spikes`: 200 spike trains of 2,000 steps in, 256 out that draw a picture. One sample: a task of fitting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.events.spikes import Spikes

COMMIT = "d825ac506eb9bb91ea2b945116fb45a40e775451"
ORIGINAL = f"https://raw.githubusercontent.com/lava-nc/lava-dl/{COMMIT}/tutorials/lava/lib/dl/netx/oxford/gts"
FILE = "oxford_spikes/oxford.npz"


def load(files: Files) -> Content:
    """Inputs `[1, 2000, 200]`, targets `[1, 2000, 256]`; the one sample is trained on, nothing is held out."""
    with np.load(files[FILE], allow_pickle=False) as archive:
        inputs, targets = (torch.from_numpy(archive[name]).t()[None].contiguous() for name in ("input", "target"))
    value = Spikes("oxford-spikes", inputs, None, targets, torch.tensor([True]), torch.tensor([False]), [])
    return Content(value, note="one sample of 2,000 steps")


def prepare(folder: Path) -> None:
    """Download the two arrays and pack them."""
    from effml.experiments.data import download

    arrays = {}
    for name, part in (("input", "in"), ("target", "out")):
        path = folder / f"{part}.npy"
        download.save(f"{ORIGINAL}/{part}.npy", path)
        arrays[name] = np.load(path, allow_pickle=False).astype(np.uint8)
        path.unlink()
    (folder / FILE).parent.mkdir(parents=True)
    np.savez_compressed(folder / FILE, **arrays)
