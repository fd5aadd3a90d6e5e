"""Running a module a second time in the backward exactly as it ran in the forward: same random draws, same autocast, and
running statistics that are not updated again. Knows no layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Replay:
    """The surroundings of a forward, to be entered again: `replay = Replay(x)` then, `with replay.again(module):` later."""

    def __init__(self, x: Tensor) -> None:
        self.device = x.device
        self.host_random = torch.get_rng_state()
        self.device_random = torch.cuda.get_rng_state(x.device) if x.device.type == "cuda" else None
        self.autocast = torch.is_autocast_enabled(x.device.type)
        self.autocast_dtype = torch.get_autocast_dtype(x.device.type)

    @contextlib.contextmanager
    def again(self, *modules: nn.Module) -> Iterator[None]:
        """Inside, draws repeat those after construction, and the modules' batch norms update no running statistics."""
        devices = [] if self.device_random is None else [self.device]
        with torch.random.fork_rng(devices=devices), _frozen_statistics(modules), torch.enable_grad():
            torch.set_rng_state(self.host_random)
            if self.device_random is not None:
                torch.cuda.set_rng_state(self.device_random, self.device)
            with torch.autocast(self.device.type, dtype=self.autocast_dtype, enabled=self.autocast):
                yield


@contextlib.contextmanager
def _frozen_statistics(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """A norm in training without `track_running_stats` normalises by the batch, as it did, and records nothing."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    norms = [norm for norm in norms if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def parameters_of(*modules: nn.Module) -> list[nn.Parameter]:
    """The parameters that want a gradient, each once."""
    found = {id(p): p for module in modules for p in module.parameters() if p.requires_grad}
    return list(found.values())


def refuse_hidden_state(module: nn.Module, where: str) -> None:
    """A neuron that carries its state on itself would start from another one when run again.

    Raises:
        ValueError: such a neuron is inside.
    """
    for name, inner in module.named_modules():
        if getattr(inner, "init_hidden", False):
            raise ValueError(f"{name or type(inner).__name__} has init_hidden=True: inside {where} it would run twice")
