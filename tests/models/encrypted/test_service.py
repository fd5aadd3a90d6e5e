"""Client and server as two processes: what the server is given, what it refuses, and that it cannot decrypt."""

import json
import shutil

import numpy as np
import pytest

from effml.errors import MissingRequirement, UserError
from effml.models.encrypted import workers
from effml.models.encrypted.client import Client
from effml.models.encrypted.exchange import MANIFEST, Offer, digest
from effml.models.encrypted.remote import RemoteServer, ServerFailed
from effml.models.encrypted.sealapi import FILES
from effml.models.stgcn import plain_file
from tests.models.encrypted.networks import small_network

TOY = ["--ring", "2048", "--scale-bits", "40", "--end-bits", "60", "--insecure"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A running server with two forked workers, its client, four sequences, and the folders between them."""
    folder = tmp_path_factory.mktemp("served")
    model = small_network(channels=(4, 4), strides=(1, 2), keeps=(1, 2), frames=8)
    plain_file.save(model, folder / "model.npz")
    with RemoteServer(folder / "model.npz", folder, [*TOY, "--workers", "2"], timeout=60) as server:
        client = Client(Offer.read(server.offer))
        client.write_keys(folder / "keys")
        x = np.random.default_rng(0).normal(size=(2, 3, 8, 5, 2))
        client.encrypt(x, folder / "sequences")
        yield server, client, model, x, folder


@pytest.fixture
def keyed(served):
    served[0].ask({"keys": str(served[4] / "keys")})
    return served


def test_logits_come_back_right_from_a_server_without_the_secret_key(keyed):
    server, client, model, x, folder = keyed
    told = server.ask({"infer": str(folder / "sequences"), "out": str(folder / "logits")})
    logits = client.decrypt(folder / "logits", count=2, persons=2)
    np.testing.assert_allclose(logits, model.forward(x), rtol=0, atol=1e-3)
    assert {level for name, level, _ in told["ledger"] if name == "rescale"} == set(range(1, 9))
    assert told["peak_bytes"] > 1e6 and told["cpu_seconds"] > 0


def test_the_server_cannot_decrypt(keyed):
    server, client, _, _, folder = keyed
    with pytest.raises(MissingRequirement, match="holds no secret key"):
        server.ask({"decrypt": str(folder / "sequences")})
    assert {path.name for path in (folder / "keys").iterdir()} == {*FILES.values(), MANIFEST}
    for name in FILES.values():
        with pytest.raises((RuntimeError, ValueError)):
            client.backend.seal.SecretKey().load(client.backend.context, str(folder / "keys" / name))


def test_a_damaged_ciphertext_is_refused(keyed, tmp_path):
    server, _, _, _, folder = keyed
    shutil.copytree(folder / "sequences", tmp_path / "sequences")
    victim = tmp_path / "sequences" / "1-0.ct"
    held = bytearray(victim.read_bytes())
    held[len(held) // 2] ^= 1
    victim.write_bytes(held)
    with pytest.raises(MissingRequirement, match=r"1-0.ct is damaged"):
        server.ask({"infer": str(tmp_path / "sequences"), "out": str(tmp_path / "logits")})
    victim.unlink()
    with pytest.raises(MissingRequirement, match=r"1-0.ct is missing"):
        server.ask({"infer": str(tmp_path / "sequences"), "out": str(tmp_path / "logits")})
    (tmp_path / "sequences" / MANIFEST).write_text("{")
    with pytest.raises(MissingRequirement, match="damaged"):
        server.ask({"infer": str(tmp_path / "sequences"), "out": str(tmp_path / "logits")})


def test_garbage_with_a_right_checksum_is_refused_by_the_library(keyed, tmp_path):
    server, _, _, _, folder = keyed
    shutil.copytree(folder / "sequences", tmp_path / "sequences")
    (tmp_path / "sequences" / "0-0.ct").write_bytes(b"garbage" * 100)
    manifest = json.loads((tmp_path / "sequences" / MANIFEST).read_text())
    manifest["files"]["0-0.ct"]["sha256"] = digest(tmp_path / "sequences" / "0-0.ct")
    (tmp_path / "sequences" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(MissingRequirement, match=r"0-0.ct is no ciphertext for ring 2048"):
        server.ask({"infer": str(tmp_path / "sequences"), "out": str(tmp_path / "logits")})


def test_sequences_of_another_key_set_are_refused(keyed, tmp_path):
    server, client, _, x, _ = keyed
    other = Client(client.offer)
    other.write_keys(tmp_path / "keys")
    other.encrypt(x, tmp_path / "sequences")
    with pytest.raises(UserError, match=r"key set .* which would give noise"):
        server.ask({"infer": str(tmp_path / "sequences"), "out": str(tmp_path / "logits")})
    server.ask({"keys": str(tmp_path / "keys")})
    server.ask({"infer": str(tmp_path / "sequences"), "out": str(tmp_path / "logits")})
    with pytest.raises(UserError, match="logits were made with key set"):
        client.decrypt(tmp_path / "logits", 2, 2)


def test_keys_of_other_parameters_or_with_one_missing_are_refused(served, tmp_path):
    server, _, _, _, folder = served
    held = json.loads((folder / "offer.json").read_text())
    held["parameters"]["bits"][1] = 39
    (tmp_path / "offer.json").write_text(json.dumps(held))
    other = Client(Offer.read(tmp_path / "offer.json"))
    other.write_keys(tmp_path / "other")
    with pytest.raises(UserError, match="keys were made with sealapi and parameters"):
        server.ask({"keys": str(tmp_path / "other")})
    shutil.copytree(folder / "keys", tmp_path / "keys")
    (tmp_path / "keys" / "rotation.key").unlink()
    with pytest.raises(MissingRequirement, match=r"rotation.key is missing"):
        server.ask({"keys": str(tmp_path / "keys")})


def test_an_insecure_server_does_not_start(served, tmp_path):
    with pytest.raises(UserError, match="below 128-bit security; the limit for it is 54 bits"):
        RemoteServer(served[4] / "model.npz", tmp_path, TOY[:-1])
    with pytest.raises(MissingRequirement, match="does not exist"):
        RemoteServer(tmp_path / "none.npz", tmp_path, TOY)


def test_a_server_that_dies_is_named(served, tmp_path):
    with RemoteServer(served[4] / "model.npz", tmp_path, TOY) as server:
        server.process.kill()
        with pytest.raises(ServerFailed, match="the server has ended"):
            server.ask({"keys": "x"})


def test_requests_out_of_order_or_unknown_are_refused(served, tmp_path):
    with RemoteServer(served[4] / "model.npz", tmp_path, TOY) as server:
        with pytest.raises(UserError, match="no keys yet"):
            server.ask({"infer": "x", "out": "y"})
        with pytest.raises(UserError, match="not hello"):
            server.ask({"hello": 1})


def test_workers_hand_over_through_memory_only_where_it_has_room(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "MEMORY", tmp_path)
    assert workers.fast_folder(1) == tmp_path
    assert workers.fast_folder(shutil.disk_usage(tmp_path).free) is None
    monkeypatch.setattr(workers, "MEMORY", tmp_path / "absent")
    assert workers.fast_folder(1) is None
