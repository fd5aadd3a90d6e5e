"""Where things are: the configuration folders, the user's added experiments, the results root. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

import effml.experiments
from effml.errors import UserError

PACKAGE = Path(effml.__file__).parent


def conf_roots() -> list[Path]:
    """Folders with YAML, the user's ($EFFML_PATH) first, the product's own last."""
    own = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
    added = [root / "conf" for root in added_roots() if (root / "conf").is_dir()]
    return [*added, own]


def added_roots() -> list[Path]:
    """Folders of the user's own experiments: `$EFFML_PATH`, a path list; each holds `experiments/` and `conf/`."""
    roots = []
    for item in os.environ.get("EFFML_PATH", "").split(os.pathsep):
        if item:
            root = Path(item).expanduser().absolute()
            if not root.is_dir():
                raise UserError(f"EFFML_PATH names '{item}', which is not a folder")
            roots.append(root)
    return roots


def experiment_roots() -> list[Path]:
    """Folders that hold experiment packages; added ones become importable as `effml.experiments.NAME`."""
    roots = [Path(path) for path in effml.experiments.__path__]
    for root in added_roots():
        folder = root / "experiments"
        if folder.is_dir() and folder not in roots:
            effml.experiments.__path__.append(str(folder))
            roots.append(folder)
    return roots


def results_root(given: str | None = None) -> Path:
    """`--results`, else `$EFFML_RESULTS`, else `results/` of the checkout one stands in, else `./results`."""
    if given:
        return Path(given).expanduser()
    if os.environ.get("EFFML_RESULTS"):
        return Path(os.environ["EFFML_RESULTS"]).expanduser()
    here = Path.cwd()
    for folder in [here, *here.parents]:
        if (folder / "effml" / "experiments").is_dir() and (folder / "pyproject.toml").is_file():
            return folder / "results"
    return here / "results"
