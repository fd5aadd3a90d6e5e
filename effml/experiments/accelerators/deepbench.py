"""DeepBench's lists of shapes as cases: GEMM, convolution, sparse GEMM and recurrent layers.

The lists are long and reach from milliseconds to minutes on a CPU, so a config takes some of each, spread evenly over
the work; what is left out is said. Devices stand in the labels, because published figures of other devices stand beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from effml.experiments.accelerators import formulas as f
from effml.experiments.accelerators.cases import DTYPES, EPS, Case, normal, size_of
from effml.experiments.accelerators.sparse import stretched_csr
from effml.experiments.data.shapes.deepbench import Shape
from effml.kernels import spmm

GATES = {"vanilla": 1, "gru": 3, "lstm": 4}


def listed(
    shapes: list[Shape], operator: str, dtypes: list[str], device: str, count: int, most: float,
    always: tuple[str, ...] = (), say: Callable[[str], None] = lambda text: None,
) -> Iterator[Case]:  # fmt: skip
    """Cases of one list.

    Args:
        operator: "gemm", "conv", "sparse_gemm" or "rnn"; the last two in fp32 alone.
        count: shapes taken, spread evenly over those within reach by work; 0 for all.
        most: operations above which a shape is out of reach.
        always: names of shapes taken in any case, for their published figures.
        say: told what was left out.
    """
    make = {"gemm": _gemm, "conv": _convolution, "sparse_gemm": _sparse, "rnn": _recurrent}[operator]
    # Training and inference lists share shapes; each is measured once.
    found: dict[str, tuple[Shape, int]] = {}
    for shape in shapes:
        case = make(shape, dtypes[0], device)
        found[case.labels["shape"]] = shape, case.flops
    within = sorted((name for name, (_, flops) in found.items() if flops <= most), key=lambda name: found[name][1])
    names = spread(within, count)
    names += [name for name in always if name in found and name not in names]
    if len(names) < len(found):
        say(
            f"deepbench {operator}: {len(names)} of {len(found)} shapes; {len(found) - len(within)} are above "
            f"{most:.3g} operations (deepbench.operations, deepbench.shapes)"
        )
    for name in names:
        for dtype in dtypes if operator in ("gemm", "conv") else dtypes[:1]:
            yield make(found[name][0], dtype, device)


def spread(items: list[Any], count: int) -> list[Any]:
    """`count` of the items, first and last among them, evenly apart; all of them when count is 0 or too large."""
    if count <= 0 or count >= len(items):
        return list(items)
    if count == 1:
        return [items[-1]]
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _fields(shape: Shape, *names: str) -> tuple[Any, ...]:
    return tuple(shape.values[name] for name in names)


def _labels(shape: str, dtype: str, device: str) -> dict[str, Any]:
    return {"shape": shape, "dtype": dtype, "device": device}


def _gemm(shape: Shape, dtype: str, device: str) -> Case:
    """m x n x k; A or B stored transposed where the list says so."""
    m, n, k, a_t, b_t = _fields(shape, "m", "n", "k", "a_t", "b_t")
    stored = " ".join(word for word, flag in (("At", a_t), ("Bt", b_t)) if flag)

    def build(where: torch.device, g: torch.Generator) -> tuple[Tensor, Tensor]:
        a = normal((k, m), dtype, where, g).t() if a_t else normal((m, k), dtype, where, g)
        b = normal((n, k), dtype, where, g).t() if b_t else normal((k, n), dtype, where, g)
        return a, b

    return Case(
        "gemm", _labels(f"{m}x{n}x{k} {stored}".rstrip(), dtype, device), dtype, f.gemm_flops(m, n, k),
        f.gemm_bytes(m, n, k, size_of(dtype)), build, {"torch": torch.matmul}, torch.matmul, f.tolerance(EPS[dtype], k),
        "deepbench",
    )  # fmt: skip


def _convolution(shape: Shape, dtype: str, device: str) -> Case:
    """n images of c x h x w, k filters of r x s (rows by columns)."""
    w, h, c, n, k, s, r = _fields(shape, "w", "h", "c", "n", "k", "s", "r")
    stride, padding = _fields(shape, "stride_h", "stride_w"), _fields(shape, "pad_h", "pad_w")
    p, q = f.conv_out(h, r, stride[0], padding[0]), f.conv_out(w, s, stride[1], padding[1])

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)

    name = f"{n}x{c}x{h}x{w} {k}@{r}x{s} stride {stride[0]}x{stride[1]} pad {padding[0]}x{padding[1]}"
    return Case(
        "conv2d", _labels(name, dtype, device), dtype, f.conv_flops(n, c, k, p, q, r, s),
        f.conv_bytes(n, c, h, w, k, p, q, r, s, size_of(dtype)),
        lambda where, g: (normal((n, c, h, w), dtype, where, g), normal((k, c, r, s), dtype, where, g)),
        {"torch": convolve}, convolve, f.tolerance(EPS[dtype], c * r * s), "deepbench_conv",
    )  # fmt: skip


def _sparse(shape: Shape, dtype: str, device: str) -> Case:
    """A sparse [m, k] times a dense [k, n]."""
    m, n, k, sparsity = _fields(shape, "m", "n", "k", "sparsity")
    per_row = max(1, round((1 - sparsity) * k))

    def build(where: torch.device, g: torch.Generator) -> tuple[Any, ...]:
        adj = stretched_csr(m, k, per_row, dtype, g).to(where)
        return adj, adj.to_torch(DTYPES[dtype]), normal((k, n), dtype, where, g)

    return Case(
        "spmm", _labels(f"{m}x{n}x{k} {sparsity:g} zero", dtype, device), dtype, f.spmm_flops(m * per_row, n),
        f.spmm_bytes(m, k, m * per_row, n, size_of(dtype)), build,
        {
            "torch csr": lambda adj, library, x: library @ x,
            "effml": lambda adj, library, x: spmm(adj, x),
        },
        lambda adj, library, x: library @ x, f.tolerance(EPS[dtype], per_row), "deepbench_sparse",
    )  # fmt: skip


def _recurrent(shape: Shape, dtype: str, device: str) -> Case:
    """One layer whose input is as wide as its state, over all steps."""
    hidden, batch, steps, cell = _fields(shape, "hidden", "batch", "steps", "cell")
    kind: Any = {"vanilla": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]

    def build(where: torch.device, g: torch.Generator) -> tuple[nn.Module, Tensor]:
        layer = kind(hidden, hidden)
        with torch.no_grad():
            for weight in layer.parameters():
                weight.copy_(torch.randn(weight.shape, generator=g) * hidden**-0.5)
        return layer.to(where).eval(), normal((steps, batch, hidden), dtype, where, g)

    @torch.no_grad()
    def run(layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x)[0]

    gates = GATES[cell]
    weights = gates * 2 * hidden * hidden
    return Case(
        "recurrent", _labels(f"{cell} {hidden}, batch {batch}, {steps} steps", dtype, device), dtype,
        f.gemm_flops(batch * steps, gates * hidden, 2 * hidden), size_of(dtype) * (weights + 2 * steps * batch * hidden),
        build, {"torch": run}, run, f.tolerance(EPS[dtype], 2 * hidden * steps), "deepbench_rnn",
    )  # fmt: skip
