"""The device of a run: `auto`, `cpu`, an accelerator of torch's, or the name of a plug-in (entry point `effml.devices`)."""

from __future__ import annotations

import re
from typing import Any

from effml.errors import MissingRequirement, UserError

BUILT_IN = ("auto", "cpu", "cuda", "xpu", "mps")
PLUGIN_GROUP = "effml.devices"
OWN_PLUGINS = {name: f"effml.experiments.accelerators.backends:{name}" for name in ("ipu", "rdu", "replay", "fake")}


def check_name(name: str, *, takes_plugins: bool = True) -> None:
    """Refuse a device that nothing provides, or that the experiment cannot drive, before torch is imported."""
    if re.fullmatch(r"(auto|cpu|mps|(cuda|xpu)(:\d+)?)", name):
        return
    known = plugins()
    if name not in known:
        raise UserError(f"unknown device '{name}'; there is {', '.join([*BUILT_IN, *known])}")
    if not takes_plugins:
        raise UserError(f"'{name}' is a device plug-in, which this experiment cannot drive; use {', '.join(BUILT_IN)}")


def plugins() -> list[str]:
    """Names of device plug-ins: the product's own, and those that installed packages offer."""
    from importlib.metadata import entry_points

    return sorted({*OWN_PLUGINS, *(point.name for point in entry_points(group=PLUGIN_GROUP))})


def _plugin(name: str) -> Any:
    """What a plug-in's function returns; an installed one replaces the product's own of that name."""
    import importlib
    from importlib.metadata import entry_points

    for point in entry_points(group=PLUGIN_GROUP):
        if point.name == name:
            return point.load()()
    module, function = OWN_PLUGINS[name].split(":")
    return getattr(importlib.import_module(module), function)()


def resolve(name: str) -> Any:
    """torch.device for a name; MissingRequirement when this machine lacks it."""
    import torch

    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return torch.device(found.type) if found is not None else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name in plugins():
        return _plugin(name)
    device = torch.device(name)
    module = getattr(torch, device.type)
    available = torch.backends.mps.is_available() if device.type == "mps" else module.is_available()
    if not available:
        raise MissingRequirement(
            f"no {device.type} device is usable here; use --device cpu, or install a torch build and driver for "
            f"{device.type} (`effml doctor` shows what is found)"
        )
    if device.index is not None and device.index >= module.device_count():
        raise MissingRequirement(
            f"{name} does not exist; this machine has {module.device_count()} {device.type} device(s)"
        )
    return device


def needs_look(name: str) -> bool:
    """Whether a device of this name can be absent, so that it is resolved before a run begins."""
    return name not in ("auto", "cpu")


def describe(device: Any) -> dict[str, Any]:
    """Kind, name and capability of a device, for a row."""
    if type(device).__module__.split(".")[0] != "torch" and not isinstance(device, str):
        return {"kind": "plugin", "name": getattr(device, "name", type(device).__name__), "capability": None}
    kind = getattr(device, "type", str(device))
    if kind == "cuda":
        import torch

        properties = torch.cuda.get_device_properties(device)
        return {
            "kind": "cuda",
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
        }
    if kind == "cpu":  # also the plain word, of a run that never imported torch
        from effml.experiments.core.provenance import cpu

        return {"kind": "cpu", "name": cpu()["model"], "capability": None}
    if kind == "xpu":
        import torch

        return {"kind": "xpu", "name": torch.xpu.get_device_name(device), "capability": None}
    return {"kind": kind, "name": getattr(device, "name", kind), "capability": None}
