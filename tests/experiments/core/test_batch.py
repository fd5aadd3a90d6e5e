"""A batch on a lent machine: within its budget, one bad step costs one step, rows come back as one archive."""

import json
import tarfile
import time

import pytest

from effml.errors import UserError
from effml.experiments.core import batch


@pytest.fixture
def listed(effml, tmp_path, monkeypatch):
    """A batch of toy steps in a folder of the user's own."""
    import os

    folder = tmp_path / "mine" / "conf" / "batch"
    folder.mkdir(parents=True)
    monkeypatch.setenv("EFFML_PATH", f"{os.environ['EFFML_PATH']}:{tmp_path / 'mine'}")

    def write(*steps):
        (folder / "tries.yaml").write_text(json.dumps([{"name": n, "words": w, "minutes": m} for n, w, m in steps]))

    return write


def test_rows_come_back_and_a_failing_or_slow_step_costs_itself(listed, tmp_path):
    listed(
        ("good", ["toy", "preset=gpu", "model.k=3"], 1),
        ("bad", ["toy", "end=raise"], 1),
        ("slow", ["toy", "seconds=60"], 0.1),
        ("not here", ["nosuch"], 1),
        ("last", ["toy", "model.k=4"], 1),
    )
    failed = batch.run("tries", 5, tmp_path / "out" / "rows.tar.gz", dry=True, tests=False)
    assert failed == 2
    with tarfile.open(tmp_path / "out" / "rows.tar.gz") as archive:
        archive.extractall(tmp_path / "back", filter="data")
    rows = [json.loads(path.read_text()) for path in (tmp_path / "back").glob("runs/toy/*/row.json")]
    assert sorted(row["config"]["model"]["k"] for row in rows if row["status"] == "ok") == [3, 4]
    told = (tmp_path / "back" / "batch.txt").read_text()
    assert "cut off" in told and "exit 1" in told and "not here" not in told


def test_no_step_begins_without_time(listed, tmp_path):
    listed(("good", ["toy"], 1))
    began = time.monotonic()
    assert batch.run("tries", 0.1, tmp_path / "rows.tar.gz", dry=True, tests=False) == 0
    assert time.monotonic() - began < 3
    with tarfile.open(tmp_path / "rows.tar.gz") as archive:
        assert b"no time" in archive.extractfile("batch.txt").read()


def test_carried_wheels_are_unpacked_not_installed(tmp_path, monkeypatch):
    import zipfile

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gpu" / "wheels").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / ".gpu" / "wheels" / "thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing.py", "x = 1\n")
    assert batch.carried_packages(tmp_path / "packages") == [str(tmp_path / "packages")]
    assert (tmp_path / "packages" / "thing.py").is_file()


def test_every_listed_step_composes(effml):
    from effml.experiments.core import registry
    from effml.experiments.core.config import compose

    with pytest.raises(UserError, match=r"conf/batch/nosuch\.yaml"):
        batch.steps("nosuch")
    found = batch.steps("gpu")
    assert found
    for step in found:
        compose(registry.get(step.words[0]), step.words[1:])
