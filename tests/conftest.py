"""What every test shares: drawn seeds that are printed, poisoned fresh memory, and skips for what the machine lacks.

Knows nothing of any one system. torch is touched only where a test has already imported it, so that tests of the
command line stay light.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

ROW_SCHEMA = Path(__file__).parent / "contract" / "row.schema.json"
ADDED = Path(__file__).parent / "fixtures" / "added"
SEED_VARIABLE = "EFFML_TEST_SEED"

# Examples that compile a kernel take seconds the first time, so no single example has a deadline.
# The usual run repeats its draws, so that a failure is the change's; EFFML_TEST_SEED=fresh (make check-all) draws anew.
fresh = os.environ.get(SEED_VARIABLE, "0") != "0"
hypothesis.settings.register_profile(
    "effml", deadline=None, max_examples=25, print_blob=True, derandomize=not fresh, database=None
)
hypothesis.settings.load_profile("effml")

_outcomes: Counter[str] = Counter()


def pytest_configure(config: pytest.Config) -> None:
    # Set before any worker process starts, so that all of them draw from the same seed.
    if os.environ.setdefault(SEED_VARIABLE, "0") == "fresh":
        os.environ[SEED_VARIABLE] = str(1 + secrets.randbelow(2**31))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            _skip(items, "gpu", "no CUDA device here")
    if not os.environ.get("EFFML_DATA"):
        _skip(items, "realdata", "EFFML_DATA is not set")


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "realdata" not in report.keywords:
        return
    if report.skipped:
        _outcomes["skipped"] += 1
    elif report.when == "call":
        _outcomes["ran"] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    seed = os.environ[SEED_VARIABLE]
    terminalreporter.write_line(f"seed {seed} (repeat these draws with {SEED_VARIABLE}={seed})")
    if _outcomes:
        terminalreporter.write_line(f"tests on real data: {_outcomes['ran']} ran, {_outcomes['skipped']} skipped")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """This test's own seed: from EFFML_TEST_SEED (fresh: drawn anew each session), independent of the order of tests."""
    return zlib.crc32(f"{os.environ[SEED_VARIABLE]} {request.node.nodeid}".encode())


@pytest.fixture(autouse=True)
def _seeded(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


@pytest.fixture(autouse=True)
def _poisoned_memory() -> Iterator[None]:
    """`torch.empty` returns NaN (or the largest integer), so that an output left unwritten shows."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    # The fill happens only in deterministic mode; warn_only, for operations without a deterministic form stay allowed.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code and what it printed."""

    code: int
    out: str
    err: str


class CommandLine:
    """`effml` as a user types it, in this process: `effml("run", "toy", "model.k=3")`. `results` is its results root."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
        self._capsys, self._monkeypatch, self.results = capsys, monkeypatch, results

    def __call__(self, *words: str) -> Ended:
        from effml.cli.main import command

        self._capsys.readouterr()
        code = command(list(words))
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    def row(self, *words: str) -> dict[str, Any]:
        """The row of `effml run WORDS --json`, checked against the contract; fails unless the run ended well."""
        import jsonschema  # here, so that the gpu tests run on a machine without it

        ended = self("run", *words, "--json")
        assert ended.code == 0, ended.err
        row = json.loads(ended.out)
        jsonschema.validate(row, json.loads(ROW_SCHEMA.read_text()))
        return row


@pytest.fixture
def effml(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """The command line with an empty results folder; the toy experiment is on `$EFFML_PATH`."""
    results = tmp_path / "results"
    monkeypatch.setenv("EFFML_RESULTS", str(results))
    monkeypatch.setenv("EFFML_PATH", str(ADDED))
    monkeypatch.delenv("EFFML_TRACEBACK", raising=False)
    return CommandLine(capsys, monkeypatch, results)
