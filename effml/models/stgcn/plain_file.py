"""`PlainSTGCN` as one .npz, and drawn at random for tests and timing. Numpy alone."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from effml.errors import MissingRequirement
from effml.models.stgcn.plain import Activation, Block, PlainSTGCN, Residual

VERSION = 1
_ARRAYS = ("spatial", "adjacency", "bias", "temporal", "temporal_bias")
_PARTS = ("square", "slope", "offset")


def arrays(model: PlainSTGCN) -> dict[str, ndarray]:
    """The model as named arrays, its version among them."""
    held: dict[str, ndarray] = {"version": np.array(VERSION), "frames": np.array(model.frames)}
    held |= {name: getattr(model, name) for name in ("input_scale", "input_shift", "head", "head_bias")}
    held["strides"] = np.array([block.stride for block in model.blocks])
    for number, block in enumerate(model.blocks):
        held |= {f"{number}.{name}": getattr(block, name) for name in _ARRAYS}
        for act in ("act1", "act2"):
            held |= {f"{number}.{act}.{part}": getattr(getattr(block, act), part) for part in _PARTS}
        if isinstance(block.residual, Residual):
            held |= {f"{number}.residual.weight": block.residual.weight, f"{number}.residual.bias": block.residual.bias}
        else:
            held[f"{number}.identity"] = np.array(block.residual == "identity")
    return held


def assemble(held: Mapping[str, ndarray]) -> PlainSTGCN:
    """The model of which `arrays` made these; KeyError or ValueError where one is missing or does not fit."""
    blocks = [_block(held, number, int(stride)) for number, stride in enumerate(held["strides"])]
    scale, shift, head, bias = (held[name] for name in ("input_scale", "input_shift", "head", "head_bias"))
    return PlainSTGCN(scale, shift, blocks, head, bias, int(held["frames"]))


def save(model: PlainSTGCN, path: Path) -> None:
    """Write the model to `path` (.npz), exactly."""
    with open(path, "wb") as stream:
        np.savez(stream, **arrays(model))  # type: ignore[arg-type]


def load(path: Path) -> PlainSTGCN:
    """Read what `save` wrote.

    Raises:
        MissingRequirement: no such file, a damaged one, another version, or arrays that do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
        if int(held["version"]) != VERSION:
            raise MissingRequirement(
                f"{path} is version {held['version']} of a plain ST-GCN; this program reads {VERSION}"
            )
        return assemble(held)
    except FileNotFoundError as error:
        raise MissingRequirement(
            f"{path} does not exist; a run of `effml run lingcn suite=train` writes one"
        ) from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise MissingRequirement(f"{path} is not a usable plain ST-GCN ({type(error).__name__}: {error})") from error


def _block(held: Mapping[str, ndarray], number: int, stride: int) -> Block:
    act1, act2 = (Activation(*(held[f"{number}.{act}.{part}"] for part in _PARTS)) for act in ("act1", "act2"))
    spatial, adjacency, bias, temporal, temporal_bias = (held[f"{number}.{name}"] for name in _ARRAYS)
    residual: Residual | Literal["identity"] | None
    if f"{number}.residual.weight" in held:
        residual = Residual(held[f"{number}.residual.weight"], held[f"{number}.residual.bias"])
    else:
        residual = "identity" if held[f"{number}.identity"] else None
    return Block(spatial, adjacency, bias, act1, temporal, stride, temporal_bias, residual, act2)


def random(
    adjacency: NDArray[np.float64],
    channels: tuple[int, ...] = (16, 16, 16),
    strides: tuple[int, ...] = (1, 1, 1),
    keeps: tuple[int, ...] = (1, 0, 1),
    classes: int = 10,
    frames: int = 64,
    coordinates: int = 3,
    taps: int = 9,
    seed: int = 0,
) -> PlainSTGCN:
    """A network of random weights scaled so that features stay near 1.

    Args:
        adjacency: `[K, V, V]`, as from `graph.spatial_adjacency`.
        keeps: nonlinearities that each node of a block passes: 0, 1 (each node at a drawn position) or 2; n is their sum.
    """
    draw = np.random.default_rng(seed)
    parts, nodes, _ = adjacency.shape
    blocks: list[Block] = []
    width = coordinates
    for out, stride, keep in zip(channels, strides, keeps, strict=True):
        first = draw.random(nodes) < np.array({0: 0.0, 1: 0.5, 2: 1.0}[keep])
        second = ~first if keep == 1 else first
        residual: Residual | Literal["identity"] | None = None
        if blocks and out == width and stride == 1:
            residual = "identity"
        elif blocks:
            residual = Residual(draw.normal(0, width**-0.5, (out, width)), draw.normal(0, 0.1, out))
        blocks.append(
            Block(
                spatial=draw.normal(0, (parts * width) ** -0.5, (parts, out, width)),
                adjacency=adjacency * draw.uniform(0.8, 1.2, adjacency.shape),
                bias=draw.normal(0, 0.1, (out, nodes)),
                act1=_activation(draw, first),
                temporal=draw.normal(0, 0.7 * (taps * out) ** -0.5, (out, out, taps)),
                stride=stride,
                temporal_bias=draw.normal(0, 0.1, out),
                residual=residual,
                act2=_activation(draw, second),
            )
        )
        width = out
    ends = (draw.normal(0, width**-0.5, (classes, width)), draw.normal(0, 0.1, classes))
    scale, shift = draw.uniform(0.8, 1.2, (coordinates, nodes)), draw.normal(0, 0.1, (coordinates, nodes))
    return PlainSTGCN(scale, shift, blocks, ends[0], ends[1], frames)


def _activation(draw: np.random.Generator, nonlinear: ndarray) -> Activation:
    square = np.where(nonlinear, draw.uniform(0.01, 0.1, len(nonlinear)) * draw.choice([-1, 1], len(nonlinear)), 0.0)
    slope = np.where(nonlinear, draw.uniform(0.5, 1.0, len(nonlinear)), 1.0)
    offset = np.where(nonlinear, draw.normal(0, 0.1, len(nonlinear)), 0.0)
    return Activation(square, slope, offset)
