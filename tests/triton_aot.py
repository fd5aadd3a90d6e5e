"""Triton kernels without a GPU: compiled ahead of time for a real target, and interpreted in a process of their own.

Knows no kernel. Works with Triton 3.6 and 3.9.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAPABILITIES = (80, 90)
_CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class CompiledInfo:
    """What the compiler made of one kernel for one target."""

    ptx: str
    ttgir: str
    registers: int  # per thread
    spill_store_bytes: int  # per thread
    spill_load_bytes: int
    shared_bytes: int  # per block
    n_warps: int

    @property
    def n_spills(self) -> int:
        """Bytes spilled to local memory, stores and loads together; 0 is what a good kernel shows."""
        return self.spill_store_bytes + self.spill_load_bytes


def compile_for(
    fn: Any,
    signature: Mapping[str, str],
    constexprs: Mapping[str, Any] | None = None,
    capability: int = 90,
    num_warps: int = 4,
    num_stages: int = 3,
    divisible_by_16: tuple[str, ...] | None = None,
    fp_fusion: bool = True,
) -> CompiledInfo:
    """Compile a `@triton.jit` function for `sm_<capability>` and read off registers, spills and shared memory.

    Args:
        fn: the decorated function, from a process in which TRITON_INTERPRET is not set.
        signature: type of each run-time argument by name: `"*fp32"`, `"*bf16"`, `"i32"`, `"i64"` ...
        constexprs: value of each `tl.constexpr` argument. A run-time argument named in neither is an error.
        capability: 80, 90 ...
        divisible_by_16: arguments that a launch would specialise as divisible by 16 (aligned pointers, round strides);
            default every pointer, as torch's allocations are aligned.
        fp_fusion: whether products and sums may be fused, as the kernel's launch says.

    Raises:
        ValueError: an argument of `fn` has neither a type nor a value.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constexprs = dict(constexprs or {})
    missing = [name for name in fn.arg_names if name not in signature and name not in constexprs]
    if missing:
        raise ValueError(f"{fn.__name__}: no type in signature and no value in constexprs for {', '.join(missing)}")
    types = {name: "constexpr" if name in constexprs else signature[name] for name in fn.arg_names}
    if divisible_by_16 is None:
        divisible_by_16 = tuple(name for name, kind in types.items() if kind.startswith("*"))
    attributes = {(fn.arg_names.index(name),): [["tt.divisibility", 16]] for name in divisible_by_16}
    source = ASTSource(fn, types, constexprs, attributes)
    # Named because Triton 3.10 turns the default round: what is checked here is what a launch with fusion compiles.
    options = {"num_warps": num_warps, "num_stages": num_stages, "enable_fp_fusion": fp_fusion}
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    ptx = kernel.asm["ptx"]
    usage = _assemble(ptx, capability)
    shared = kernel.metadata.shared
    return CompiledInfo(ptx=ptx, ttgir=kernel.asm["ttgir"], shared_bytes=shared, n_warps=num_warps, **usage)


def _assemble(ptx: str, capability: int) -> dict[str, int]:
    from triton.backends.nvidia.compiler import get_ptxas

    target = re.search(r"\.target\s+(sm_\w+)", ptx)
    assert target, "PTX names no target"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        command = [get_ptxas(capability).path, "-v", f"--gpu-name={target[1]}", str(path), "-o", f"{path}.cubin"]
        log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    registers = re.search(r"Used (\d+) registers", log)
    assert spills and registers, f"ptxas reported no usage:\n{log}"
    return {
        "registers": int(registers[1]),
        "spill_store_bytes": int(spills[1]),
        "spill_load_bytes": int(spills[2]),
    }


def interpreted_tests(path: str | Path) -> list[str]:
    """Names of the test functions in `path`, read without importing it: what to parametrize `check_interpreted` over.

    `path` is a file of ordinary pytest tests named `interpreted_*.py`, which pytest does not collect by itself. It runs
    once, in one process with TRITON_INTERPRET=1 (Triton decides at decoration time, so this process cannot host both).
    """
    tree = ast.parse(Path(path).read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert names, f"{path} holds no test functions"
    return names


def check_interpreted(path: str | Path, name: str) -> None:
    """Fail unless every case of test `name` in `path` passed interpreted; the first call runs the whole file."""
    outcomes, log = _run_interpreted(Path(path).resolve())
    cases = {case: outcome for case, outcome in outcomes.items() if case.split("[")[0] == name}
    assert cases, f"{name} did not run in the interpreter:\n{log}"
    failed = {case: outcome for case, outcome in cases.items() if outcome}
    assert not failed, "\n\n".join(f"{case}: {outcome}" for case, outcome in failed.items())


@functools.cache
def _run_interpreted(path: Path) -> tuple[dict[str, str], str]:
    """Map each case to '' where it passed, else to what went wrong; and the process's output."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", str(path), f"--junitxml={report}", "-p", "no:cacheprovider"]
        command += ["-o", "python_files=interpreted_*.py", "-c", str(_CHECKOUT / "pyproject.toml")]
        command += ["--rootdir", str(_CHECKOUT)]
        environment = os.environ | {"TRITON_INTERPRET": "1"}
        run = subprocess.run(command, cwd=_CHECKOUT, env=environment, capture_output=True, text=True)
        log = run.stdout + run.stderr
        if not report.exists():
            return {}, log
        cases = ET.parse(report).getroot().iter("testcase")
        return {str(case.get("name")): _complaint(case) for case in cases}, log


def _complaint(case: ET.Element) -> str:
    for child in case:
        if child.tag in ("failure", "error", "skipped"):
            return f"{child.tag}\n{child.get('message') or ''}\n{child.text or ''}"
    return ""
