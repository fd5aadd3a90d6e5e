"""One operator at one shape and dtype: its inputs, its providers, its float64 oracle, its closed-form cost.

Knows nothing of timing or devices beyond where tensors are made. Inputs are random normal: zeros draw less power and
run faster on some devices, which would flatter them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from effml.experiments.accelerators import formulas as f

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp64": torch.float64,
}
EPS = {"fp32": 2**-23, "tf32": 2**-10, "fp16": 2**-10, "bf16": 2**-7, "fp64": 2**-52}


@dataclass(frozen=True)
class Case:
    """One point of the benchmark.

    Attributes:
        op: the operator's name.
        labels: what tells this point apart in its table (shape, ratio, density ...).
        dtype: a key of `DTYPES`.
        flops, nbytes: closed forms of `formulas`.
        build: (device, generator) -> inputs.
        providers: name -> function of the inputs; the first is the one that others are measured against.
        oracle: the inputs in float64 on the CPU -> the right result; None where the providers must agree with the first.
        tolerance: largest scaled error of a right result.
    """

    op: str
    labels: dict[str, Any]
    dtype: str
    flops: int
    nbytes: int
    build: Callable[[torch.device, torch.Generator], tuple[Any, ...]]
    providers: dict[str, Callable[..., Tensor]]
    oracle: Callable[..., Tensor] | None
    tolerance: float
    table: str = ""
    cold: bool = field(default=True)

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.nbytes


def normal(shape: tuple[int, ...], dtype: str, device: torch.device, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, drawn on the CPU so that every device gets the same."""
    return torch.randn(shape, generator=generator).to(DTYPES[dtype]).to(device)


def drawn(
    count: int, shape: tuple[int, ...], dtype: str
) -> Callable[[torch.device, torch.Generator], tuple[Tensor, ...]]:
    """A case's `build` for `count` operands of one shape."""
    return lambda device, generator: tuple(normal(shape, dtype, device, generator) for _ in range(count))


def size_of(dtype: str) -> int:
    return DTYPES[dtype].itemsize


def gemm(m: int, n: int, k: int, dtype: str, labels: dict[str, Any], table: str, parts: int = 1) -> Case:
    """[m, k] @ [k, n]; with `parts` above 1 also as a batch of so many blocks of rows.

    oneDNN keeps a product of middling size in bfloat16 on one thread; as a batch it uses them all.
    """
    providers: dict[str, Callable[..., Tensor]] = {"torch": torch.matmul}
    if parts > 1 and m % parts == 0:
        providers["torch by rows"] = lambda a, b: torch.bmm(a.view(parts, m // parts, k), b.expand(parts, k, n)).view(
            m, n
        )
    return Case(
        "gemm", labels, dtype, f.gemm_flops(m, n, k), f.gemm_bytes(m, n, k, size_of(dtype)),
        lambda device, g: (normal((m, k), dtype, device, g), normal((k, n), dtype, device, g)),
        providers, torch.matmul, f.tolerance(EPS[dtype], k), table,
    )  # fmt: skip


def square_gemms(sizes: list[int], dtypes: list[str], parts: int = 1) -> Iterator[Case]:
    for n in sizes:
        for dtype in dtypes:
            yield gemm(n, n, n, dtype, {"n": n, "dtype": dtype}, "gemm", parts)


def skewed_gemms(n: int, ratios: list[int], dtypes: list[str]) -> Iterator[Case]:
    for ratio in ratios:
        m, _, k = f.skewed(n, ratio)
        for dtype in dtypes:
            yield gemm(m, n, k, dtype, {"log2_ratio": ratio, "shape": f"{m}x{n}x{k}", "dtype": dtype}, "skew")


def batched_gemms(batch: int, sizes: list[int], dtypes: list[str]) -> Iterator[Case]:
    for n in sizes:
        for dtype in dtypes:
            shape = (batch, n, n)
            yield Case(
                "bmm", {"shape": f"{batch}x{n}x{n}x{n}", "dtype": dtype}, dtype,
                f.gemm_flops(n, n, n, batch), f.gemm_bytes(n, n, n, size_of(dtype), batch),
                drawn(2, shape, dtype),
                {"torch": torch.bmm}, torch.bmm, f.tolerance(EPS[dtype], n), "batched",
            )  # fmt: skip


@dataclass(frozen=True)
class Conv:
    """A convolution layer: batch, channels, height, width, filters, kernel, stride, groups (padding keeps the size)."""

    batch: int
    c: int
    h: int
    w: int
    k: int
    kernel: int
    stride: int = 1
    groups: int = 1

    @property
    def name(self) -> str:
        depth = (
            " depthwise" if self.groups == self.c and self.groups > 1 else f" g{self.groups}" if self.groups > 1 else ""
        )
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.batch}x{self.c}x{self.h}x{self.w} {self.k}@{self.kernel}x{self.kernel}{stride}{depth}"


# Layer shapes of ResNet-50's stages, and MobileNet's depthwise layers.
CONVS = (
    Conv(1, 64, 56, 56, 64, 1), Conv(1, 64, 56, 56, 64, 3), Conv(1, 128, 28, 28, 128, 3), Conv(1, 256, 14, 14, 256, 3),
    Conv(1, 512, 7, 7, 512, 3), Conv(1, 256, 56, 56, 512, 1, stride=2), Conv(1, 128, 56, 56, 128, 3, groups=128),
    Conv(1, 512, 14, 14, 512, 3, groups=512),
)  # fmt: skip


def convolutions(batch: int, dtypes: list[str], layers: tuple[Conv, ...] = CONVS) -> Iterator[Case]:
    for base in layers:
        layer = Conv(batch, base.c, base.h, base.w, base.k, base.kernel, base.stride, base.groups)
        for dtype in dtypes:
            yield _convolution(layer, dtype)


def _convolution(layer: Conv, dtype: str) -> Case:
    padding = layer.kernel // 2
    p, q = (f.conv_out(size, layer.kernel, layer.stride, padding) for size in (layer.h, layer.w))

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(x, weight, stride=layer.stride, padding=padding, groups=layer.groups)

    def build(device: torch.device, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = normal((layer.batch, layer.c, layer.h, layer.w), dtype, device, g)
        weight = normal((layer.k, layer.c // layer.groups, layer.kernel, layer.kernel), dtype, device, g)
        last = torch.channels_last
        return x, weight, x.contiguous(memory_format=last), weight.contiguous(memory_format=last)

    inner = layer.c // layer.groups * layer.kernel**2
    return Case(
        "conv2d", {"layer": layer.name, "dtype": dtype}, dtype,
        f.conv_flops(layer.batch, layer.c, layer.k, p, q, layer.kernel, layer.kernel, layer.groups),
        f.conv_bytes(
            layer.batch, layer.c, layer.h, layer.w, layer.k, p, q, layer.kernel, layer.kernel, size_of(dtype), layer.groups
        ),
        build,
        {"torch": lambda x, w, xl, wl: convolve(x, w), "torch channels-last": lambda x, w, xl, wl: convolve(xl, wl)},
        lambda x, w, xl, wl: convolve(x, w), f.tolerance(EPS[dtype], inner), "conv",
    )  # fmt: skip


def streams(sizes: list[int], dtypes: list[str]) -> Iterator[Case]:
    """Element-wise operators into a result that exists: no allocation and no first touch is timed."""
    operators: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "copy": lambda a, b, out: out.copy_(a),
        "triad": lambda a, b, out: torch.add(a, b, alpha=3.0, out=out),
        "square": lambda a, b, out: torch.mul(a, a, out=out),
        "relu": lambda a, b, out: torch.clamp_min(a, 0.0, out=out),
        "sigmoid": lambda a, b, out: torch.sigmoid(a, out=out),
    }
    for elements in sizes:
        for dtype in dtypes:
            for op, call in operators.items():
                yield Case(
                    op, {"op": op, "elements": elements, "dtype": dtype}, dtype, f.stream_flops(op, elements),
                    f.stream_bytes(op, elements, size_of(dtype)),
                    drawn(3, (elements,), dtype),
                    {"torch": call}, call, 8 * EPS[dtype], "stream",
                )  # fmt: skip


def attentions(batch: int, heads: int, head_dim: int, lengths: list[int], dtypes: list[str]) -> Iterator[Case]:
    """Causal self-attention, fused against the same spelled out."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    def spelled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return fused(q, k, v)

    for length in lengths:
        for dtype in dtypes:
            shape = (batch, heads, length, head_dim)
            yield Case(
                "attention", {"shape": f"{batch}x{heads}x{length}x{head_dim}", "dtype": dtype}, dtype,
                f.attention_flops(*shape, causal=True), f.attention_bytes(*shape, size_of(dtype)),
                drawn(3, shape, dtype),
                {"torch math": spelled, "torch sdpa": fused}, fused, f.tolerance(EPS[dtype], length), "attention",
            )  # fmt: skip
