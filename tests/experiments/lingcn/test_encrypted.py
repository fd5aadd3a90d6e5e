"""The suites on ciphertexts end to end, on a ring on which nothing is secret, and what they refuse."""

import numpy as np
import pytest

from effml.experiments.data.skeletons.layouts import NTU25
from effml.experiments.lingcn.config import EXPERIMENT, Config, Encrypt, Model
from effml.experiments.lingcn.encrypt import paper_backbone, wider
from effml.experiments.lingcn.session import Case
from effml.models.stgcn import plain_file
from effml.models.stgcn.graph import spatial_adjacency

WORDS = ("lingcn", "--dataset", "articulated", "--preset", "smoke")


@pytest.fixture
def network(tmp_path):
    """One block for the generated skeletons, which have 20 joints, with one nonlinearity a joint."""
    from effml.experiments.data.skeletons.articulated import load as generate

    skeletons = generate(None).value
    adjacency = spatial_adjacency(skeletons.bones, skeletons.centre, skeletons.num_joints)
    plain = plain_file.random(adjacency, (4,), (1,), (1,), classes=skeletons.num_classes, frames=8, taps=3)
    plain_file.save(plain, tmp_path / "network.npz")
    return tmp_path / "network.npz"


def cells(row, table):
    found = {}
    for m in row["measurements"]:
        if m["table"] == table:
            found[m["labels"].get("backend"), m["labels"].get("method"), m["metric"]] = m["value"]
    return found


def test_encrypt_measures_both_libraries_and_the_unfused_way(effml, network):
    row = effml.row(*WORDS, "suite=encrypt", f"encrypt.model={network}", "encrypt.across=true")
    found = cells(row, "encrypted")
    ways = [("sealapi", "file"), ("pyfhel", "file"), ("sealapi", "cryptogcn")]
    for way in ways:
        assert found[(*way, "error_max")] < 1e-3
        assert found[(*way, "clear")] + found[(*way, "unclear")] == 6
        assert found[(*way, "agreement")] in (1, None)
        assert found[(*way, "seconds")] > 0 and found[(*way, "peak_bytes")] > 1e7
    assert [found[(*way, "levels")] for way in ways] == [4, 4, 6]
    planned = cells(row, "parameters")
    assert [planned[(*way, "levels")] for way in ways] == [4, 4, 6]
    assert all(planned[(*way, "secure")] == 0 and planned[(*way, "limit_bits")] == 54 for way in ways)
    assert 0 < found["pyfhel", "file", "difference_max"] < 1e-3
    assert found["sealapi", "file", "rotations"] < found["pyfhel", "file", "rotations"]
    speedups = [m for m in row["measurements"] if m["table"] == "speedup"]
    assert {m["labels"]["slower"] for m in speedups} == {"cryptogcn n=1", "cryptogcn n=1, twice the channels"}
    assert all(m["value"] > 0 for m in speedups)
    estimated = cells(row, "estimate")
    assert estimated[None, "file", "predicted_cpu"] > 0 and 0 < estimated[None, "file", "key_switching"] < 1


def test_networks_of_an_earlier_run_are_taken_by_their_names(effml, network):
    network.rename(network.with_name("node-n1.npz"))
    words = (*WORDS, "suite=serve", "encrypt.targets=[1]", f"encrypt.model={network.parent}", "encrypt.baseline=false")
    row = effml.row(*words)
    assert cells(row, "serve")["sealapi", "node", "error_max"] < 1e-3
    ended = effml("run", *words, "encrypt.targets=[2]")
    assert ended.code == 4 and "node-n2.npz does not exist" in ended.err


def test_serve_tells_every_step_of_both_sides(effml, network):
    row = effml.row(
        *WORDS, "suite=serve", f"encrypt.model={network}", "encrypt.compare=[sealapi]", "encrypt.baseline=false"
    )
    steps = {
        (m["labels"]["side"], m["labels"]["step"]): m["value"]
        for m in row["measurements"]
        if m["table"] == "serve" and m["metric"] == "seconds"
    }
    assert {side for side, _ in steps} == {"client", "server"} and len(steps) == 7
    assert cells(row, "serve")["sealapi", "file", "error_max"] < 1e-3
    (log,) = effml.results.rglob("log.txt")
    assert "server, asked to decrypt: this process holds no secret key" in log.read_text()


def test_micro_checks_and_times_both_libraries(effml):
    row = effml.row(*WORDS, "suite=micro")
    told = {
        (m["labels"]["backend"], m["labels"]["operation"], m["metric"]): m["value"]
        for m in row["measurements"]
        if m["table"] == "micro"
    }
    for backend in ("sealapi", "pyfhel"):
        assert told[backend, "rotation", "over_plain_product"] > 2
    key, formula = (told["pyfhel", "one rotation key", metric] for metric in ("bytes", "formula_bytes"))
    assert formula == (2 + 1) * (2 + 2) * 16 * 8192 + 8 * 8192 and key == pytest.approx(formula, rel=0.01)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("encrypt.insecure=true", "encrypt.ring=null"), "needs encrypt.ring"),
        (("encrypt.insecure=false",), "the limit for it is 54 bits"),
        (("encrypt.backend=openfhe",), "openfhe"),
    ],
)
def test_what_is_not_secure_or_not_there_is_refused(effml, network, words, said):
    ended = effml("run", *WORDS, "suite=encrypt", f"encrypt.model={network}", *words)
    assert ended.code == 2 and said in ended.err


def test_an_absent_network_is_named(effml, tmp_path):
    ended = effml("run", *WORDS, "suite=encrypt", f"encrypt.model={tmp_path}/none.npz")
    assert ended.code == 4 and "none.npz does not exist" in ended.err


@pytest.mark.parametrize("layers", range(1, 7))
def test_projected_backbone_is_the_papers_with_as_many_layers(layers):
    plain = paper_backbone("3-128", layers)
    assert plain.effective_layers() == layers and plain.synchronised()
    assert [len(block.temporal) for block in plain.blocks] == [64, 128, 128]
    assert (plain.nodes, plain.frames, np.count_nonzero(plain.blocks[0].adjacency)) == (NTU25.joints, 256, 73)


def test_case_takes_what_the_plan_takes():
    config = Config(model=Model(), encrypt=Encrypt(workers=3))
    plain = paper_backbone("3-128", 2)
    case = Case("node", 2, plain, "sealapi")
    assert case.parameters(config).ring == 16384 and case.options(config) == ["--backend", "sealapi", "--workers", "3"]
    assert [len(block.temporal) for block in wider(case).plain.blocks] == [128, 256, 256]
    assert Case("cryptogcn", 6, paper_backbone("3-128", 6), "sealapi").parameters(config).levels == 22
    assert {"encrypted", "parameters", "estimate", "speedup", "micro", "serve"} <= {t.id for t in EXPERIMENT.tables}
