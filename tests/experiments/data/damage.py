"""Files damaged as disks and networks damage them, for the tests of every loader."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from effml.errors import MissingRequirement
from effml.experiments.data import places, registry


def damaged(content: bytes, seed: int, times: int) -> Iterator[tuple[str, bytes]]:
    """`times` truncations and as many single flipped bits, at places drawn with the seed; and an empty file."""
    rng = np.random.default_rng(seed)
    yield "empty", b""
    for place in rng.integers(len(content), size=times).tolist():
        yield f"cut at {place}", content[:place]
    for place in rng.integers(len(content), size=times).tolist():
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        yield f"flipped at {place}", bytes(flipped)


def copy_of(name: str, folder: Path) -> list[Path]:
    """The pinned files of a data set, copied below `folder`."""
    data = registry.get(name)
    found = next(found for files in data.alternatives if (found := places.find(files)))
    for path, source in found.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / path)
    return [folder / path for path in found]


def survives(name: str, path: Path, seed: int, times: int = 20, **options: object) -> int:
    """Load a damaged `path` again and again: each time it is refused by name, or read without error.

    Returns how often it was refused. Any other exception is raised.
    """
    content = path.read_bytes()
    refused = 0
    for told, changed in damaged(content, seed, times):
        path.write_bytes(changed)
        try:
            registry.load(name, path=options.get("folder", path), **{k: v for k, v in options.items() if k != "folder"})
        except MissingRequirement as error:
            refused += 1
            assert path.name in str(error) or path.parent.name in str(error), f"{told}: {error}"
        except Exception as error:
            raise AssertionError(f"{path.name} {told}: {type(error).__name__}: {error}") from error
    path.write_bytes(content)
    return refused
