"""Every data set of pinned files: the checksums of the row, and that a damaged file never loads."""

import numpy as np
import pytest

from effml.errors import MissingRequirement
from effml.experiments.data import places, registry
from tests.experiments.data.damage import copy_of

PINNED = [name for name in registry.names() if registry.get(name).alternatives]


def here(name: str) -> None:
    if registry.state(name) == "absent":
        pytest.skip(f"{name} is not below EFFML_DATA")


@pytest.mark.realdata
@pytest.mark.parametrize("name", PINNED)
def test_state_and_verification(name):
    here(name)
    assert registry.state(name) == "present"
    assert "all as expected" in registry.verify(name)


@pytest.mark.realdata
@pytest.mark.parametrize("name", PINNED)
@pytest.mark.parametrize("kind", ["cut", "flipped", "missing"])
def test_damaged_file_is_refused_by_name(name, kind, tmp_path, monkeypatch, seed):
    here(name)
    paths = copy_of(name, tmp_path)
    rng = np.random.default_rng(seed)
    victim = paths[rng.integers(len(paths))]
    content = bytearray(victim.read_bytes())
    place = int(rng.integers(len(content)))
    if kind == "missing":
        victim.unlink()
        if len(paths) == 1:
            pytest.skip("one file: without it the set is absent")
    elif kind == "cut":
        victim.write_bytes(content[:place])
    else:
        content[place] ^= 1 << int(rng.integers(8))
        victim.write_bytes(content)
    monkeypatch.setenv("EFFML_DATA", str(tmp_path))
    try:
        registry.load(name)
    except MissingRequirement as error:
        assert victim.name in str(error) and "corrupt" in str(error)
    else:
        # A flipped bit in the header of a compressed file (its date, say) changes no content.
        pinned = {tmp_path / file.path: file for files in registry.get(name).alternatives for file in files}[victim]
        assert kind == "flipped" and pinned.form != "plain" and not places.fault_of(pinned, victim)
