"""Operations and least bytes of each operator, as closed forms (FLOP = one addition or multiplication).

Bytes are the least that must move: every operand read once, the result written once. Real traffic is higher where an
operand does not fit a cache. `e` is the element size in bytes. Standard counts; the paper prints none.
"""

from __future__ import annotations

import math


def gemm_flops(m: int, n: int, k: int, batch: int = 1) -> int:
    """[m, k] @ [k, n], `batch` times: one multiplication and one addition per product."""
    return 2 * batch * m * n * k


def gemm_bytes(m: int, n: int, k: int, e: int, batch: int = 1) -> int:
    return e * batch * (m * k + k * n + m * n)


def skewed(n: int, log_ratio: int) -> tuple[int, int, int]:
    """(m, n, k) of a GEMM with the work of n^3: m = n*r and k = n/r with r = 2^log_ratio."""
    ratio = 2 ** abs(log_ratio)
    if n % ratio:
        raise ValueError(f"n = {n} is not divisible by 2^{abs(log_ratio)}")
    return (n * ratio, n, n // ratio) if log_ratio >= 0 else (n // ratio, n, n * ratio)


def conv_out(size: int, kernel: int, stride: int, padding: int) -> int:
    """Output height or width of a convolution."""
    return (size + 2 * padding - kernel) // stride + 1


def conv_flops(batch: int, c: int, k: int, p: int, q: int, r: int, s: int, groups: int = 1) -> int:
    """Direct count of a convolution with output [batch, k, p, q], whatever algorithm runs (Winograd and FFT do fewer)."""
    return 2 * batch * k * p * q * (c // groups) * r * s


def conv_bytes(
    batch: int, c: int, h: int, w: int, k: int, p: int, q: int, r: int, s: int, e: int, groups: int = 1
) -> int:
    return e * (batch * c * h * w + k * (c // groups) * r * s + batch * k * p * q)


def spmm_flops(nnz: int, n: int) -> int:
    """CSR [m, k] with nnz nonzeros times dense [k, n]."""
    return 2 * nnz * n


def spmm_bytes(m: int, k: int, nnz: int, n: int, e: int, index: int = 4) -> int:
    """A lower bound: each needed row of the dense operand read once; without reuse it is read e*nnz*n bytes."""
    return nnz * (e + index) + (m + 1) * index + e * min(k, nnz) * n + e * m * n


STREAMS = {  # operations, reads and writes per element
    "copy": (0, 1, 1),
    "triad": (2, 2, 1),
    "square": (1, 1, 1),
    "relu": (1, 1, 1),
    "sigmoid": (4, 1, 1),
}


def stream_flops(op: str, elements: int) -> int:
    return STREAMS[op][0] * elements


def stream_bytes(op: str, elements: int, e: int) -> int:
    _, reads, writes = STREAMS[op]
    return (reads + writes) * elements * e


def attention_flops(batch: int, heads: int, length: int, head_dim: int, causal: bool = False) -> int:
    """Forward: scores and their product with the values; a causal mask needs half."""
    return 4 * batch * heads * length * length * head_dim // (2 if causal else 1)


def attention_bytes(batch: int, heads: int, length: int, head_dim: int, e: int) -> int:
    """Queries, keys, values and output once, as a fused kernel moves them."""
    return e * 4 * batch * heads * length * head_dim


def encoder_parameters(layers: int, width: int, inner: int) -> int:
    """Matrix parameters of a transformer encoder (projections and feed-forward), without embeddings, biases and norms."""
    return layers * (4 * width * width + 2 * width * inner)


def encoder_flops(layers: int, width: int, inner: int, batch: int, length: int, train: bool = False) -> int:
    """Matrix work of an encoder's forward; a training step does three times as much."""
    forward = (
        2 * encoder_parameters(layers, width, inner) * batch * length + 4 * layers * width * length * length * batch
    )
    return 3 * forward if train else forward


def attainable(intensity: float, peak: float, bandwidth: float) -> float:
    """The roofline: operations per second at `intensity` operations per byte."""
    return min(peak, intensity * bandwidth)


def tolerance(dtype_eps: float, inner: int) -> float:
    """Scaled error that a right result of an inner sum of this length may have: rounding grows with its square root."""
    return 8 * dtype_eps * math.sqrt(max(inner, 1))
