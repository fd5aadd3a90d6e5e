"""What a machine has and lacks for the experiments: one finding each, with the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from effml.errors import Outcome
from effml.experiments.core import places, provenance

# package, import name, what needs it, how to get it
PACKAGES = (
    ("torch", "torch", "everything", "pip install torch"),
    ("triton", "triton", "GPU kernels and their tests", "pip install triton (Linux only)"),
    ("numba", "numba", "CPU kernels", "pip install numba"),
    ("torch-geometric", "torch_geometric", "graph data sets, model oracles", "pip install torch-geometric"),
    ("snntorch", "snntorch", "revsnn", "pip install 'effml[systems]'"),
    ("spikingjelly", "spikingjelly", "revsnn (a rival measured beside)", "pip install --no-deps spikingjelly loguru"),
    ("tonic", "tonic", "revsnn (event cameras)", "pip install tonic"),
    ("diffusers", "diffusers", "deediff, flashvideo", "pip install 'effml[systems]'"),
    ("transformers", "transformers", "autorep (EfficientNet)", "pip install 'effml[systems]'"),
    ("torchmetrics", "torchmetrics", "deediff (KID, PSNR)", "pip install 'effml[systems]'"),
    ("litellm", "litellm", "got and verilog with live models", "pip install 'effml[systems]'"),
    ("Pyfhel", "Pyfhel", "lingcn (encrypted inference)", "make pyfhel"),
    ("tenseal", "tenseal", "lingcn (second back end)", "pip install tenseal"),
    ("submitit", "submitit", "sweep --engine slurm", "pip install 'effml[slurm]'"),
    ("ray", "ray", "sweep --engine ray", "pip install 'effml[ray]'"),
)
TOOLS = (
    ("iverilog", "verilog (simulation)", "apt-get install iverilog"),
    ("vvp", "verilog (simulation)", "apt-get install iverilog"),
    ("yosys", "verilog (synthesis, equivalence)", "apt-get install yosys"),
    ("sta", "verilog (timing, power)", "apt-get install opensta"),
    ("git", "provenance", "apt-get install git"),
    ("cc", "Pyfhel's build", "apt-get install build-essential"),
)
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY")


@dataclass(frozen=True)
class Finding:
    """One thing looked for; `state` is ok, missing or optional."""

    what: str
    state: str
    found: str
    needed_for: str = ""
    remedy: str = ""


def everything() -> list[Finding]:
    """All findings, devices first."""
    return [*devices(), *packages(), *tools(), *keys(), *folders()]


def devices() -> list[Finding]:
    cpu = provenance.cpu()
    flags = (
        ", ".join(flag for flag in cpu["flags"] if "512" in flag or "amx" in flag or flag in ("avx2", "sve2"))
        or "baseline"
    )
    found = [Finding("cpu", "ok", f"{cpu['model']}, {len(os.sched_getaffinity(0))} cores, {flags}", "everything")]
    if importlib.util.find_spec("torch") is None:
        return found
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            p = torch.cuda.get_device_properties(index)
            found.append(
                Finding(
                    f"cuda:{index}",
                    "ok",
                    f"{p.name}, {p.total_memory / 2**30:.0f} GiB, sm_{p.major}{p.minor}",
                    "GPU columns",
                )
            )
    else:
        built = torch.version.cuda
        remedy = "an NVIDIA driver" if built else "a CUDA build of torch (pytorch.org) and an NVIDIA GPU"
        found.append(Finding("cuda", "optional", "none", "GPU columns of every table", remedy))
    return found


def packages() -> list[Finding]:
    found = []
    for name, module, use, remedy in PACKAGES:
        try:
            present = importlib.util.find_spec(module) is not None
            version = metadata.version(name) if present else ""
        except metadata.PackageNotFoundError:
            version = "present"
        state = "ok" if present else "missing"
        found.append(Finding(name, state, version or "none", use, "" if present else remedy))
    return found


def tools() -> list[Finding]:
    found = []
    for name, use, remedy in TOOLS:
        present = shutil.which(name)
        found.append(
            Finding(
                name,
                "ok" if present else "missing",
                _version(name) if present else "none",
                use,
                "" if present else remedy,
            )
        )
    return found


def _version(tool: str) -> str:
    flag = {"iverilog": "-V", "vvp": "-V", "yosys": "-V", "sta": "-version"}.get(tool, "--version")
    try:
        output = subprocess.run([tool, flag], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
        return (output.stdout or output.stderr).strip().splitlines()[0][:60]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "present"


def keys() -> list[Finding]:
    """Whether a key is set, never its value."""
    set_keys = [name for name in KEYS if os.environ.get(name)]
    if set_keys:
        return [Finding("model keys", "ok", ", ".join(set_keys) + " set", "got and verilog with live models")]
    remedy = f"export {KEYS[0]}=..., or a local server: model=ollama/NAME; model=tiny and model=replay need none"
    return [Finding("model keys", "optional", "none", "got and verilog with live models", remedy)]


def folders() -> list[Finding]:
    root = places.results_root()
    from effml.experiments.core.store import shown

    found = [
        Finding(
            "results",
            "ok" if root.is_dir() else "optional",
            shown(root),
            "rows and tables",
            "" if root.is_dir() else "made by the first run",
        )
    ]
    try:
        from effml.experiments.data.registry import names, state

        here = [name for name in names() if str(state(name)).startswith(("present", "bundled", "generated"))]
        found.append(Finding("data sets", "ok", f"{len(here)} of {len(names())} at hand", "runs", "effml data list"))
    except (ImportError, Outcome) as error:
        found.append(Finding("data sets", "missing", str(error), "runs", "effml data list"))
    found.append(Finding("python", "ok", sys.version.split()[0], "everything"))
    return found
