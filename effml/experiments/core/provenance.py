"""What made a result: code, versions, machine. Never a path, user or host name."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import effml
from effml.experiments.core.fingerprint import fingerprint
from effml.experiments.core.places import PACKAGE

PACKAGES = (
    "torch", "triton", "numpy", "scipy", "numba", "torch-geometric", "snntorch", "diffusers", "transformers", "litellm",
    "pyfhel", "tenseal", "hydra-core",
)  # fmt: skip
FLAGS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512vbmi2", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "neon", "asimd", "sve", "sve2", "bf16",
)  # fmt: skip


def code(experiment: str) -> dict[str, Any]:
    """Commit, whether the tree differs from it, and the fingerprint of the experiment's source."""
    commit, dirty = _git()
    return {"commit": commit, "dirty": dirty, "fingerprint": fingerprint(experiment)}


@cache
def _git() -> tuple[str | None, bool | None]:
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None, None
    try:
        run = {"cwd": root, "capture_output": True, "text": True, "timeout": 20, "check": True}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **run).stdout.strip()  # type: ignore[call-overload]
        status = ["git", "status", "--porcelain", "--untracked-files=no", "--", "effml", "conf"]
        dirty = bool(subprocess.run(status, **run).stdout.strip())  # type: ignore[call-overload]
        return commit, dirty
    except (OSError, subprocess.SubprocessError):
        return None, None


def versions() -> dict[str, str | None]:
    """Versions of python, effml and the packages whose behaviour shows in results; CUDA and driver where present."""
    found: dict[str, str | None] = {"python": platform.python_version(), "effml": effml.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = torch.__version__
        found["cuda"] = torch.version.cuda
        found["driver"] = _driver() if torch.cuda.is_available() else None
    return found


def _driver() -> str | None:
    path = Path("/sys/module/nvidia/version")
    return path.read_text().strip() if path.is_file() else None


@cache
def cpu() -> dict[str, Any]:
    """CPU model, threads given to torch's environment, and the instruction sets that kernels care about."""
    model, flags = platform.processor() or platform.machine(), set()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
                break
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return {"model": model or "unknown", "threads": threads, "flags": [flag for flag in FLAGS if flag in flags]}
