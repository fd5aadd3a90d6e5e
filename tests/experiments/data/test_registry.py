"""The registry: looking up, finding below the roots, verifying, fetching, a user's own sets. No network, no torch."""

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile

import pytest

from effml.errors import MissingRequirement, UserError
from effml.experiments.data import places, registry

ADDED = '''
"""A user's data sets."""
from pathlib import Path

from effml.experiments.data.entry import Content, DataSet, Pinned

ORIGINALS = Path("{originals}")

def words(files, upper: bool = False):
    text = files["words/a.txt"].read_text() + files["words/b.txt"].read_text()
    return Content(text.upper() if upper else text, note="two files")

def zipped(files):
    import gzip
    return Content(gzip.open(files["packed/c.txt.gz"]).read())

def own(files):
    return Content(files.path.read_text(), sha256="0" * 64)

def pins(folder):
    return tuple(Pinned(f"{{folder}}/{{name}}", *{pins}[name], url=(ORIGINALS / name).as_uri()) for name in ("a.txt", "b.txt"))

DATASETS = [
    DataSet("words", "words", "download", "two short texts", "none", "a test", words, size=10, files=pins("words")),
    DataSet("packed", "words", "download", "a packed text", "none", "a test", zipped, size=5,
            files=(Pinned("packed/c.txt.gz", *{pins}["a.txt"], url=(ORIGINALS / "a.txt").as_uri(), form="gz"),)),
    DataSet("in-archive", "words", "download", "from an archive", "none", "a test", words, size=10,
            files=pins("words"), archive=(ORIGINALS / "all.tar.gz").as_uri()),
    DataSet("word-file", "words", "file", "your own text", "yours", "you", own, own=True),
]
'''


@pytest.fixture
def originals(tmp_path, monkeypatch):
    """Two texts that `words` is made of; the user's data.py in EFFML_PATH, empty data roots."""
    folder = tmp_path / "originals"
    folder.mkdir()
    pins = {}
    for name, text in (("a.txt", "alpha"), ("b.txt", "beta!")):
        (folder / name).write_text(text)
        pins[name] = (hashlib.sha256(text.encode()).hexdigest(), len(text))
    with tarfile.open(folder / "all.tar.gz", "w:gz") as archive:
        for name in pins:
            archive.add(folder / name, f"repository-0123/{name}")
        archive.add(folder / "a.txt", "repository-0123/unwanted.txt")
    (tmp_path / "added").mkdir()
    (tmp_path / "added" / "data.py").write_text(ADDED.format(originals=folder, pins=pins))
    (tmp_path / "root").mkdir()
    monkeypatch.setenv("EFFML_PATH", str(tmp_path / "added"))
    monkeypatch.setenv("EFFML_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"unknown data set 'digit'.*digits"):
        registry.get("digit")
    with pytest.raises(UserError, match=r"unknown kind of data 'graph'.*graphs"):
        registry.names("graph")


def test_listing_and_states_import_nothing_heavy():
    code = "import sys; from effml.experiments.data import registry as r; "
    code += "[r.state(name) for name in r.names()]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "effml.experiments.data.graphs" in loaded
    assert not {"torch", "numpy", "scipy", "sklearn", "PIL"} & set(loaded)


@pytest.mark.parametrize("name", registry.names())
def test_every_loader_exists_and_every_entry_is_complete(name):
    data = registry.get(name)
    assert callable(registry._resolve(data.loader))
    for function in (data.prepare, data.fetch):
        assert not function or callable(registry._resolve(function))
    assert data.title and data.licence and data.source
    assert data.kind in registry.KINDS
    if data.origin == "download":
        assert data.size and (places.obtainable(data) or data.get)
    for file in (file for alternative in data.alternatives for file in alternative):
        assert len(bytes.fromhex(file.sha256)) == 32 and file.size > 0


def test_absent_set_says_its_size_and_how_to_get_it(originals):
    assert registry.state("words") == "absent"
    with pytest.raises(
        MissingRequirement, match=r"words \(10 bytes\) is not here: run `effml data get words`.*EFFML_DATA"
    ):
        registry.load("words")


def test_fetch_brings_verified_files_that_load(originals, tmp_path):
    assert str(tmp_path / "cache") in registry.fetch("words")
    loaded = registry.load("words")
    assert loaded.value == "alphabeta!"
    assert loaded.record == {
        "name": "words",
        "origin": "download",
        "sha256": loaded.record["sha256"],
        "note": "two files",
    }
    assert registry.state("words") == "present"
    assert "all as expected" in registry.verify("words")
    assert "already" in registry.fetch("words")
    assert sorted(path.name for path in (tmp_path / "cache" / "effml").rglob("*")) == ["a.txt", "b.txt", "words"]


def test_first_root_that_holds_the_set_is_taken(originals, tmp_path):
    registry.fetch("words")
    (tmp_path / "root" / "words").mkdir()
    (tmp_path / "root" / "words" / "a.txt").write_text("alpha")
    with pytest.raises(MissingRequirement, match=r"b.txt is missing"):
        registry.load("words")
    (tmp_path / "root" / "words" / "b.txt").write_text("beta!")
    assert registry.load("words").value == "alphabeta!"


def test_folder_named_by_the_user_may_hold_the_files_directly(originals):
    assert registry.load("words", path=originals).value == "alphabeta!"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_text("bet"), "3 bytes instead of 5"),
        (lambda path: path.write_text("bete!"), "other content"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_text(""), "0 bytes instead of 5"),
    ],
)
def test_damaged_file_is_named(originals, tmp_path, damage, told):
    registry.fetch("words")
    damage(tmp_path / "cache" / "effml" / "words" / "b.txt")
    assert registry.state("words") == "corrupt"
    for act in (registry.load, registry.verify):
        with pytest.raises(MissingRequirement, match=f"b.txt.*{told}"):
            act("words")


def test_fetch_repairs_a_damaged_set(originals, tmp_path):
    registry.fetch("words")
    (tmp_path / "cache" / "effml" / "words" / "a.txt").write_text("alpho")
    registry.fetch("words")
    assert registry.state("words") == "present"


def test_packed_file_is_pinned_by_what_is_inside(originals, tmp_path):
    registry.fetch("packed")
    path = tmp_path / "cache" / "effml" / "packed" / "c.txt.gz"
    assert registry.load("packed").value == b"alpha"
    path.write_bytes(gzip.compress(b"alpha", 1, mtime=7))
    assert registry.load("packed").value == b"alpha"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(MissingRequirement, match=r"c.txt.gz cannot be read"):
        registry.load("packed")


def test_archive_gives_the_pinned_files_and_no_others(originals, tmp_path):
    registry.fetch("in-archive")
    assert sorted(path.name for path in (tmp_path / "cache" / "effml" / "words").iterdir()) == ["a.txt", "b.txt"]


def test_download_of_other_content_leaves_nothing(originals, tmp_path):
    (originals / "b.txt").write_text("other")
    with pytest.raises(MissingRequirement, match="not the expected content"):
        registry.fetch("words")
    assert not list((tmp_path / "cache" / "effml").rglob("*"))
    with pytest.raises(MissingRequirement, match="EFFML_DATA"):
        (originals / "b.txt").unlink()
        registry.fetch("words")


def test_cache_that_cannot_be_made_is_explained(originals, tmp_path):
    (tmp_path / "cache").write_text("a file in the folder's place")
    with pytest.raises(MissingRequirement, match="cannot be written"):
        registry.fetch("words")


def test_own_file_is_found_by_the_kind_of_its_neighbours(originals, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    loaded = registry.load("file", path=tmp_path / "mine.txt", among=("words", "packed"))
    assert loaded.value == "mine" and loaded.record["name"] == "file"
    with pytest.raises(UserError, match=r"dataset.path"):
        registry.load("word-file")
    with pytest.raises(MissingRequirement, match=r"no file or folder .*gone.txt"):
        registry.load("word-file", path=tmp_path / "gone.txt")


def test_option_that_the_loader_does_not_take_is_refused(originals):
    registry.fetch("words")
    assert registry.load("words", upper=True).value == "ALPHABETA!"
    assert registry.load("words", upper=None, scale=None).value == "alphabeta!"
    with pytest.raises(UserError, match=r"no option 'scale'; it takes upper"):
        registry.load("words", scale=2)


def test_data_root_that_does_not_exist_is_said(originals, monkeypatch, tmp_path):
    monkeypatch.setenv("EFFML_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"EFFML_DATA names .*nowhere"):
        registry.load("words")


@pytest.mark.parametrize("text", ["DATASETS = [1]", "import no_such_module", "DATASETS = ("])
def test_broken_data_module_is_named(tmp_path, monkeypatch, text):
    (tmp_path / "data.py").write_text(text)
    monkeypatch.setenv("EFFML_PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"data\.py"):
        registry.names()


def test_added_set_cannot_take_a_name(tmp_path, monkeypatch):
    text = "from effml.experiments.data.entry import DataSet\n"
    text += 'DATASETS = [DataSet("digits", "x", "file", "t", "l", "s", print)]'
    (tmp_path / "data.py").write_text(text)
    monkeypatch.setenv("EFFML_PATH", str(tmp_path))
    with pytest.raises(UserError, match="'digits', a name that is taken"):
        registry.names()


@pytest.mark.parametrize("name", registry.names("images")[:1] + registry.names("graphs")[:1])
def test_record_fits_the_row_contract(name):
    record = registry.load(name).record
    assert record["origin"] in ("bundled", "generated", "download", "file")
    assert len(bytes.fromhex(record["sha256"])) == 32
    assert json.loads(json.dumps(record)) == record
