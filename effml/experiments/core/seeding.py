"""One seed per run, one stream per purpose, so that adding a random draw in one place moves no other."""

from __future__ import annotations

import hashlib
import os
import random
import sys

import numpy as np


def derive(seed: int, purpose: str) -> int:
    """A 63-bit seed for `purpose`, independent of every other purpose's."""
    words = np.frombuffer(hashlib.sha256(purpose.encode()).digest()[:16], dtype=np.uint32)
    state = np.random.SeedSequence([seed, *words.tolist()]).generate_state(2, dtype=np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def seed_everything(seed: int) -> None:
    """Seed python and numpy, and torch if it has been imported."""
    random.seed(derive(seed, "python"))
    np.random.seed(derive(seed, "numpy") % 2**32)
    if "torch" in sys.modules:
        seed_torch(seed)


def seed_torch(seed: int) -> None:
    """Seed torch and ask it for deterministic algorithms (it warns where there is none)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.manual_seed(derive(seed, "torch"))
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling every fresh tensor would be charged to whatever is timed; tests poison memory themselves.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
