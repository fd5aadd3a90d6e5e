"""Private inference under CrypTen in two real processes: right answers, the protocol's costs, no hanging."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from effml.errors import MissingRequirement, UserError
from effml.models.gated import FixedGate
from effml.models.private.crypten_engine import CrypTenEngine
from effml.models.private.engine import Task
from effml.models.private.environment import python_of
from effml.models.private.export import export
from effml.models.private.launch import PartyFailed
from effml.models.private.plain import infer
from effml.models.resnet import WideResNet
from tests.models.private.test_program import trained_looking

SHARES = (1.0, 0.5, 0.1, 0.02)


@pytest.fixture(scope="module")
def crypten():
    try:
        python_of("crypten")
    except MissingRequirement as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def inferred(crypten):
    """One network under four masks and, under one of them, computed densely: five tasks in one pair of processes."""
    torch.manual_seed(0)
    network = trained_looking(WideResNet(10, 10, 1, 1))
    images = torch.randn(20, 1, 8, 8)
    tasks = []
    for share in SHARES:
        network.set_gates(lambda _, site, share=share: FixedGate(torch.rand(site.site) < share))
        tasks.append(Task(export(network), images, [(0, 1), (0, 20)]))
    tasks.append(Task(tasks[2].program, images, [(0, 1)], dense=True))
    return tasks, CrypTenEngine(timeout=120).infer(tasks)


@pytest.mark.tools
def test_answers_are_those_of_the_plain_network(inferred):
    tasks, transcripts = inferred
    for task, transcript in zip(tasks[:4], transcripts[:4], strict=True):
        plain = infer(task.program, task.images)
        assert (transcript.logits[1:] - plain).abs().max() < 0.01
        assert torch.equal(transcript.logits[1:].argmax(1), plain.argmax(1))


@pytest.mark.tools
def test_bytes_are_linear_in_kept_sites_and_as_the_protocol_has_them(inferred):
    tasks, transcripts = inferred
    kept = np.array([task.program.relus for task in tasks[:4]])
    sent = np.array([transcript.by_kind(0)["activation"].bytes for transcript in transcripts[:4]])
    expected = [464 * task.program.relus + 16 * task.program.squares for task in tasks[:4]]
    assert sent.tolist() == expected
    assert np.corrcoef(kept, sent)[0, 1] ** 2 > 0.999


@pytest.mark.tools
def test_rounds_are_those_of_the_layers(inferred):
    tasks, transcripts = inferred
    for task, transcript in zip(tasks, transcripts, strict=True):
        squares = sum(operation.squares > 0 for operation in task.program.operations)
        rounds = transcript.by_kind(0)["activation"].rounds
        assert rounds == (9 * 6 + 6 if task.dense else 9 * task.program.relu_layers + squares)


@pytest.mark.tools
def test_dense_masking_costs_more_than_relu_everywhere(inferred):
    _, transcripts = inferred
    everywhere, gathered, dense = (transcripts[index].by_kind(0)["activation"].bytes for index in (0, 2, 4))
    assert dense > everywhere > 5 * gathered


@pytest.mark.tools
def test_batch_costs_scale_but_for_the_weights(inferred):
    _, transcripts = inferred
    one, twenty = (transcripts[0].by_kind(run) for run in (0, 1))
    assert twenty["activation"].bytes == 20 * one["activation"].bytes
    assert twenty["activation"].rounds == one["activation"].rounds
    assert one["conv"].bytes < twenty["conv"].bytes < 20 * one["conv"].bytes, "weights are opened once a batch"


@pytest.mark.tools
def test_wire_carries_what_the_protocol_says(inferred):
    _, transcripts = inferred
    counted, sent = transcripts[0].wire_bytes[1], transcripts[0].total(1).bytes
    assert counted is None or counted > sent, "framing comes on top"


@pytest.mark.tools
def test_a_dead_partner_is_an_error_at_once(crypten):
    network = trained_looking(WideResNet(10, 10, 1, 1))
    killed_at = []

    def kill_client(pids):
        threading.Timer(0.5, lambda: (killed_at.append(time.monotonic()), os.kill(pids[1], signal.SIGKILL))).start()

    with pytest.raises(PartyFailed, match="the client was killed by SIGKILL"):
        CrypTenEngine(timeout=120, started=kill_client).infer(
            [Task(export(network), torch.randn(1, 1, 8, 8), [(0, 1)] * 500)]
        )
    assert time.monotonic() - killed_at[0] < 10


@pytest.mark.tools
def test_a_busy_port_is_an_error_before_anything_starts(crypten):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"cost\.port"):
            CrypTenEngine(port=taken.getsockname()[1]).infer([])


def test_missing_environment_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setenv("EFFML_ENVIRONMENTS", str(tmp_path))
    with pytest.raises(MissingRequirement, match="make crypten"):
        CrypTenEngine().infer([])
