"""An environment of its own for a two-party engine, because those pin or litter what the main one needs.

`python -m effml.models.private.environment crypten` makes CrypTen's: a virtual environment beside the main one, in which
CrypTen alone is installed (its declared dependencies would replace torch, and one of them does not install at all) and
which sees the main environment's packages behind its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from effml.errors import MissingRequirement

CRYPTEN = "crypten==0.4.1"
_PACKAGE = Path(__file__).resolve().parents[2]


def place(engine: str) -> Path:
    """Where an engine's environment lies: `$EFFML_ENVIRONMENTS`, else the checkout, else the user's cache."""
    if root := os.environ.get("EFFML_ENVIRONMENTS"):
        return Path(root) / f".venv-{engine}"
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / f".venv-{engine}"
    from platformdirs import user_cache_path

    return user_cache_path("effml") / f"venv-{engine}"


def python_of(engine: str) -> Path:
    """The interpreter of an engine's environment.

    Raises:
        MissingRequirement: it has not been made.
    """
    python = place(engine) / "bin" / "python"
    if not python.is_file():
        raise MissingRequirement(
            f"private inference with {engine} needs an environment of its own; make it with `make {engine}`, or "
            f"`python -m effml.models.private.environment {engine}`"
        )
    return python


def make(engine: str) -> Path:
    """Make an engine's environment and return its folder; what is there already is brought up to date."""
    if engine != "crypten":
        raise ValueError(f"the engine is crypten, not {engine!r}")
    folder = place(engine)
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _see_main_packages(folder)
    subprocess.run([*pip, "--no-deps", CRYPTEN], check=True)
    return folder


def _see_main_packages(folder: Path) -> None:
    """A path file makes the main environment's packages visible, after the engine's own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = folder / "lib" / version / "site-packages"
    main = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "main-environment.pth").write_text("\n".join(sorted(main)) + "\n")


def module_path() -> str:
    """What a party's PYTHONPATH needs to import this package."""
    return str(_PACKAGE.parent)


if __name__ == "__main__":
    print(make(sys.argv[1]))
