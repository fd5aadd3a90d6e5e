"""Rows are whole or absent, whatever the disk does."""

import json
import os
import subprocess
import threading

import pytest

from effml.errors import MissingRequirement, UserError
from effml.experiments.core import store
from effml.experiments.core.garbage import collect


def test_a_reader_never_sees_a_torn_file(tmp_path):
    path = tmp_path / "row.json"
    texts = [json.dumps({"fill": letter * 200_000}) for letter in "ab"]
    store.write_atomically(path, texts[0])
    stop, seen = threading.Event(), set()

    def read():
        while not stop.is_set():
            seen.add(json.loads(path.read_text())["fill"][0])

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        store.write_atomically(path, texts[turn % 2])
    stop.set()
    reader.join()
    assert seen <= {"a", "b"} and not list(tmp_path.glob(".*.tmp"))


def test_numbers_that_are_not_finite_become_null():
    assert json.loads(store.encode({"a": float("nan"), "b": [float("inf"), 1.5]})) == {"a": None, "b": [None, 1.5]}


def test_folders_are_made_exclusively(tmp_path):
    names = {store.create_folder(tmp_path, "toy", "0123456789", 3).name for _ in range(5)}
    assert len(names) == 5 and all("-01234567-s3" in name for name in names)


def test_damaged_row_is_named(tmp_path):
    folder = store.create_folder(tmp_path, "toy", "0123456789", 0)
    (folder / "row.json").write_text('{"half')
    with pytest.raises(MissingRequirement, match="damaged"):
        store.read_row(folder)


def test_names_of_runs(tmp_path):
    first = store.create_folder(tmp_path, "toy", "aaaaaaaaaa", 0)
    second = store.create_folder(tmp_path, "toy", "bbbbbbbbbb", 0)
    assert store.find(tmp_path, first.name) == first and store.find(tmp_path, "last") == second
    with pytest.raises(UserError, match="means 2 runs"):
        store.find(tmp_path, first.name[:8])


def test_full_disk_keeps_no_torn_row_and_is_named(effml, tmp_path, monkeypatch):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is refused here")
    try:
        monkeypatch.setenv("EFFML_RESULTS", str(small))
        ended = [effml("run", "toy", f"model.k={k}") for k in range(1, 12)]
        assert ended[0].code == 0 and ended[-1].code == 4
        assert "full" in ended[-1].err and "Traceback" not in ended[-1].err
        for path in small.glob("runs/toy/*/row.json"):
            json.loads(path.read_text())
        assert not list(small.glob("runs/toy/*/.*.tmp"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_read_only_results_are_named(effml, tmp_path, monkeypatch):
    shut = tmp_path / "shut"
    shut.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(shut)], capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is refused here")
    try:
        monkeypatch.setenv("EFFML_RESULTS", str(shut))
        ended = effml("run", "toy")
        assert ended.code == 4 and "cannot be written" in ended.err
    finally:
        subprocess.run(["umount", str(shut)], check=True)


def test_gc_removes_what_the_dead_left_and_no_row(effml):
    effml("run", "toy")
    kept = next((effml.results / "runs" / "toy").iterdir())
    dead = store.create_folder(effml.results, "toy", "dddddddddd", 0)
    (dead / "log.txt").write_text("")
    (dead / store.LOCK).write_text("")
    staged = store.create_folder(effml.results, "toy", "eeeeeeeeee", 0)
    (staged / "stages").mkdir()
    (staged / "stages" / "a.pt").write_text("x")
    (staged / "half.tmp").write_text("x")
    alive = store.create_folder(effml.results, "toy", "ffffffffff", 0)
    lock = store.hold(alive)
    before = (kept / "row.json").read_bytes()
    found = collect(effml.results)
    lock.release()
    assert dead / store.LOCK in found and (dead / "log.txt").exists()
    assert (alive / store.LOCK).exists() and (staged / "stages" / "a.pt").exists()
    assert not (staged / "half.tmp").exists() and (kept / "row.json").read_bytes() == before
    assert os.listdir(kept)
