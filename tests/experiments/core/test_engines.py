"""Every engine gives the same rows for the same sweep, failures included."""

import json
from collections import Counter

import pytest

from effml.errors import MissingRequirement, UserError
from effml.experiments.core import engines

WORDS = ["sweep", "toy", "end=well,raise,kill", "model.k=1,2", "--jobs", "2"]


def statuses(results):
    rows = [json.loads(path.read_text()) for path in results.glob("runs/toy/*/row.json")]
    return Counter((row["status"], (row["error"] or {}).get("class")) for row in rows)


EXPECTED = {("ok", None): 2, ("failed", "ValueError"): 2, ("failed", "Killed"): 2}


@pytest.mark.slow
def test_submitit_runs_what_local_runs(effml):
    pytest.importorskip("submitit")
    ended = effml(*WORDS, "--engine", "slurm", "--engine-option", "cluster=local", "--engine-option", "minutes=5")
    assert ended.code == 3 and statuses(effml.results) == EXPECTED
    retried = effml(*WORDS, "--retry-failed")
    assert retried.code == 3 and "4 to do" in retried.err


@pytest.mark.slow
def test_ray_runs_what_local_runs_on_two_worker_processes(effml):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        assert effml(*WORDS, "--engine", "ray").code == 3
        assert statuses(effml.results) == EXPECTED
        retried = effml(*WORDS, "--engine", "ray", "--retry-failed")
        assert retried.code == 3 and "4 to do" in retried.err
    finally:
        ray.shutdown()


def test_engine_options_are_checked(effml):
    assert engines.options(["slurm_partition=gpu", "minutes=5"]) == {"slurm_partition": "gpu", "minutes": 5}
    with pytest.raises(UserError, match="key=value"):
        engines.options(["minutes"])
    with pytest.raises(UserError, match="unknown engine"):
        engines.create("pbs")


@pytest.mark.parametrize(("name", "extra"), [("slurm", "submitit"), ("ray", "ray")])
def test_missing_engine_names_its_extra(name, extra, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(MissingRequirement, match=rf"effml\[{name}\]"):
        engines.create(name)
