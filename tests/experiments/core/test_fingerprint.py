"""The code fingerprint sees what an experiment imports and nothing else."""

import shutil

import pytest

from effml.experiments.core import fingerprint as module
from effml.experiments.core import registry
from effml.experiments.core.fingerprint import fingerprint, reachable


@pytest.fixture
def copied(effml, tmp_path, monkeypatch):
    """The toy experiment in a folder of its own, to be edited."""
    from tests.conftest import ADDED

    shutil.copytree(ADDED, tmp_path / "added")
    folder = tmp_path / "added" / "experiments"
    (folder / "toy").rename(folder / "copy")
    import effml.experiments

    monkeypatch.setattr(effml.experiments, "__path__", [*effml.experiments.__path__, str(folder)])
    return folder / "copy" / "run.py"


def stamp(name: str) -> str:
    module._imports.cache_clear()
    module._normalised.cache_clear()
    return fingerprint(name)


def test_meaning_changes_it_and_comments_do_not(copied):
    before = stamp("copy")
    source = copied.read_text()
    copied.write_text("# a comment\n" + source.replace("import time\n", "import time  # why\n"))
    assert stamp("copy") == before
    copied.write_text(source.replace("1 - 1 /", "2 - 1 /"))
    assert stamp("copy") != before


def test_it_reaches_imports_inside_functions_and_leaves_the_command_line_out(copied):
    copied.write_text("def run(config, run):\n    from effml.kernels import spmm\n    from effml.cli import main\n")
    module._imports.cache_clear()
    found = reachable(("effml.experiments.copy.run",))
    assert "effml.kernels.spmm" in found and "effml.kernels.csr" in found
    assert not [name for name in found if name.startswith("effml.cli")]
    assert "effml.kernels.gated" not in found  # another operator's change must not touch this one's results


def test_every_experiment_reaches_its_own_run():
    for name in registry.names():
        assert f"effml.experiments.{name}.run" in reachable((f"effml.experiments.{name}.run",))
