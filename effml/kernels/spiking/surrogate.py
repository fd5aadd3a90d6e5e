"""Surrogate derivatives of the spike `H(M - threshold)`, which has none of its own.

The kernels know four of them by number; any other callable in snntorch's form (`spike = f(M - threshold)`) is
differentiated by autograd and runs in torch alone.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CODES = {"atan": 0, "fast_sigmoid": 1, "sigmoid": 2, "triangle": 3}
DEFAULT_SLOPE = {"atan": 2.0, "fast_sigmoid": 25.0, "sigmoid": 25.0, "triangle": 1.0}
_FIRST_CALLABLE = 16
_callables: list[Callable[[Tensor], Tensor]] = []


@dataclass(frozen=True)
class Surrogate:
    """`derivative(x)` with `x = M - threshold` stands in for the derivative of the spike.

    | name | derivative | slope as in |
    |---|---|---|
    | atan | s/2 / (1 + (pi/2 s x)^2) | snntorch `atan(alpha)`, spikingjelly `ATan` |
    | fast_sigmoid | 1 / (1 + s abs(x))^2 | snntorch `fast_sigmoid(slope)` |
    | sigmoid | s e^(-s x) / (1 + e^(-s x))^2 | snntorch `sigmoid(slope)` |
    | triangle | s max(0, 1 - s abs(x)) | Esser et al. 2016; snntorch's `triangular` is another function |
    """

    code: int
    slope: float

    @property
    def in_kernels(self) -> bool:
        """Whether the compiled kernels can evaluate it."""
        return self.code < _FIRST_CALLABLE

    def derivative(self, x: Tensor) -> Tensor:
        """Elementwise, in the dtype of `x`."""
        s = self.slope
        if self.code == CODES["atan"]:
            scaled = x * (math.pi / 2 * s)
            return (s / 2) / (scaled * scaled + 1)
        if self.code == CODES["fast_sigmoid"]:
            grown = x.abs() * s + 1
            return 1 / (grown * grown)
        if self.code == CODES["sigmoid"]:
            falling = torch.exp(x.abs() * -s)
            return falling * s / ((falling + 1) * (falling + 1))
        if self.code == CODES["triangle"]:
            return (1 - x.abs() * s).clamp_min(0) * s
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            return torch.autograd.grad(_callables[self.code - _FIRST_CALLABLE](leaf).sum(), leaf)[0]


def surrogate_of(spike_grad: str | Surrogate | Callable[[Tensor], Tensor] | None) -> Surrogate:
    """From a name (its default slope), a `Surrogate`, or one of `snntorch.surrogate`'s functions; None is atan(2).

    Raises:
        ValueError: a name that is none of the four.
    """
    if spike_grad is None:
        spike_grad = "atan"
    if isinstance(spike_grad, Surrogate):
        return spike_grad
    if isinstance(spike_grad, str):
        if spike_grad not in CODES:
            raise ValueError(f"surrogate '{spike_grad}' is none of {', '.join(CODES)}; a callable may be passed, too")
        return Surrogate(CODES[spike_grad], DEFAULT_SLOPE[spike_grad])
    return _from_snntorch(spike_grad) or _register(spike_grad)


def _from_snntorch(spike_grad: Callable[[Tensor], Tensor]) -> Surrogate | None:
    """snntorch's factories return closures named after the factory, with the slope in the closure."""
    if getattr(spike_grad, "__module__", None) != "snntorch.surrogate":
        return None
    name = getattr(spike_grad, "__qualname__", "").split(".")[0]
    if name not in ("atan", "fast_sigmoid", "sigmoid"):
        return None
    slopes = inspect.getclosurevars(spike_grad).nonlocals
    slope = slopes.get("alpha", slopes.get("slope"))
    return None if slope is None else Surrogate(CODES[name], float(slope))


def _register(spike_grad: Callable[[Tensor], Tensor]) -> Surrogate:
    if spike_grad not in _callables:
        _callables.append(spike_grad)
    return Surrogate(_FIRST_CALLABLE + _callables.index(spike_grad), 0.0)
