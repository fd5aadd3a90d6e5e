"""What an experiment may do with its run."""

import numpy as np
import pytest
import torch

from effml.errors import MissingRequirement
from effml.experiments.core.run import Run
from effml.experiments.core.seeding import derive
from tests.fixtures.added.experiments.toy.config import EXPERIMENT as TOY


@pytest.fixture
def run(tmp_path):
    made = Run(TOY, tmp_path, seed=3)
    yield made
    made.close()


def test_streams_depend_on_seed_and_purpose_alone(run, tmp_path):
    first = torch.rand(4, generator=run.generator("init"))
    run.generator("other")
    assert torch.equal(first, torch.rand(4, generator=run.generator("init")))
    assert not torch.equal(first, torch.rand(4, generator=run.generator("shuffle")))
    assert not np.array_equal(run.numpy("a").random(3), run.numpy("b").random(3))
    assert len({derive(seed, name) for seed in range(50) for name in ("a", "b")}) == 100


def test_undeclared_names_and_evidence_are_refused(run):
    run.record("quality", {"k": 1}, "accuracy", 0.5)
    for table, metric in [("qualty", "accuracy"), ("quality", "acc")]:
        with pytest.raises(ValueError, match="declares no"):
            run.record(table, {}, metric, 1.0)
    with pytest.raises(ValueError, match="evidence"):
        run.record("quality", {}, "accuracy", 1.0, evidence="guessed")


def test_numbers_that_are_not_finite_are_told_in_a_note(run):
    run.record("quality", {"k": 1}, "accuracy", float("inf"))
    assert run.measurements[-1]["value"] is None and "inf" in run.measurements[-1]["note"]


def test_generated_data_marks_every_measurement(run):
    run.data.append({"name": "twin", "origin": "generated", "sha256": "0"})
    run.record("quality", {"k": 1}, "accuracy", 0.5)
    assert run.measurements[-1]["evidence"] == "synthetic-data"


def test_a_stage_is_built_once_and_a_damaged_checkpoint_is_named(run):
    built = []
    for _ in range(2):
        value = run.stage("teacher", lambda: built.append(1) or {"w": torch.ones(2), "acc": 0.5})
    assert len(built) == 1 and torch.equal(value["w"], torch.ones(2))
    next((run.folder / "stages").iterdir()).write_bytes(b"half")
    with pytest.raises(MissingRequirement, match="damaged"):
        run.stage("teacher", dict)


def test_an_interrupted_build_goes_on_from_what_it_kept_and_its_result_takes_the_place_of_that(run):
    def count(progress, keep, until):
        begin = progress["done"] if progress else 0
        for done in range(begin + 1, until + 1):
            keep({"done": done})
            if done == 3:
                raise KeyboardInterrupt
        return {"counted": until, "from": begin}

    with pytest.raises(KeyboardInterrupt):
        run.resumable("count", lambda progress, keep: count(progress, keep, 5))
    for _ in range(2):
        assert run.resumable("count", lambda progress, keep: count(progress, keep, 5)) == {"counted": 5, "from": 3}
    assert len(list((run.folder / "stages").iterdir())) == 1
