"""Verdicts: figures come from committed rows, and no row means no verdict."""

import json
from pathlib import Path

import pytest
import yaml

from effml.errors import UserError
from effml.experiments.core import registry, store, verdicts
from effml.experiments.core.places import conf_roots

ENTRY = {
    "system": "toy", "claim": "k does not matter", "source": "ours", "measured": "score {a}, twice {a}", "verdict": "partly",
    "cells": {"a": {"table": "quality", "labels": {}, "metric": ""}}, "command": "effml run toy",
}  # fmt: skip


@pytest.fixture
def written(tmp_path, monkeypatch, effml):
    """A function that writes one entry to a conf folder beside the toy experiment's."""
    row = effml.row("toy")
    cell = next(m for m in row["measurements"] if m["table"] == "quality" and m["value"] is not None)

    def write(**change):
        entry = {
            **ENTRY,
            "cells": {"a": {"table": "quality", "labels": cell["labels"], "metric": cell["metric"]}},
            **change,
        }
        (tmp_path / "conf").mkdir(exist_ok=True)
        (tmp_path / "conf" / "verdicts.yaml").write_text(yaml.safe_dump([entry]))
        monkeypatch.setattr(verdicts, "conf_roots", lambda: [tmp_path / "conf"])
        return verdicts.verdicts(tmp_path / "results")[0]

    monkeypatch.setattr(store, "committed_rows", lambda root, name: [row] if name == "toy" else [])
    return write, cell, row


def test_figures_come_from_rows(written):
    write, cell, _ = written
    found = write()
    number = verdicts.cell_text(verdicts._cell("toy", {**ENTRY["cells"]["a"], **cell}, Path("unused")))
    assert found.verdict == "partly" and found.measured == f"score {number}, twice {number}"


def test_no_row_no_verdict(written):
    write, cell, _ = written
    gone = write(cells={"a": {"table": "quality", "labels": {**cell["labels"], "other": 1}, "metric": cell["metric"]}})
    assert gone.verdict == verdicts.OPEN and gone.measured == verdicts.UNMEASURED


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"verdict": "excellent"}, "has verdict 'excellent'"),
        ({"measured": "score {b}"}, "has no cell b"),
        ({"command": None, "cells": {}}, "has no cell a"),
    ],
)
def test_mistakes_are_named(written, change, told):
    with pytest.raises(UserError, match=told):
        written[0](**change)


def test_every_system_is_known_and_every_cell_is_declared():
    """The product's own file: systems exist, and so do the tables and metrics that its cells name."""
    for root in conf_roots():
        path = root / "verdicts.yaml"
        for entry in yaml.safe_load(path.read_text()) if path.is_file() else []:
            for place in entry["cells"].values():
                experiment = registry.get(place.get("experiment", entry["system"]))
                shown = any(table.holds(place["table"], place["metric"]) for table in experiment.tables)
                assert shown, json.dumps(place)
