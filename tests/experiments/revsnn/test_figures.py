"""How the figures of revsnn are made: bytes, operations, drift and coding against closed forms and identities."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from effml.errors import UserError
from effml.experiments.core.run import Silent
from effml.experiments.data.events.spikes import Spikes
from effml.experiments.revsnn import config as settings
from effml.experiments.revsnn import contenders, drift, memory, operations, peak, regression, sequences, timing
from effml.experiments.revsnn.coding import coded, shown
from effml.experiments.revsnn.config import Config
from effml.kernels.spiking import Rule
from effml.models.spiking.kept import KEPT


class Recorder(Silent):
    """Stands in for a run: keeps what is recorded and said."""

    device = torch.device("cpu")
    seed = 3

    def __init__(self):
        self.cells, self.told = {}, []

    def record(self, table, labels, metric, value, **more):
        self.cells[(table, *labels.values(), metric)] = value

    def log(self, text):
        self.told.append(text)

    note = log

    def step(self, **metrics):
        return

    def progress(self, items, label, total=None):
        return items

    def generator(self, purpose):
        return torch.Generator().manual_seed(5)

    def stage(self, name, build):
        return build()


def test_the_choices_are_the_ways_there_are():
    assert set(settings.KEPT) == {*KEPT, *contenders.PEERS}


def test_a_layer_keeps_what_the_paper_counts():
    """One state in mode paper, a bit in mode bits, (3 T - 2) values with Leaky: 58.0 at T = 20, 88 to 96 at any T."""
    options, run = Config(), Recorder()
    options.memory.nodes = ["leaky", "lif", "rev-paper", "rev-bits"]
    options.memory.steps = [8, 20, 128]
    memory._nodes(options, run)
    unit = 32 * 512 * 4
    for steps in (8, 20, 128):
        assert run.cells["node_memory", steps, "rev-paper", "own_bytes"] == unit
        assert run.cells["node_memory", steps, "rev-bits", "own_bytes"] == steps * unit / 32
        assert run.cells["node_memory", steps, "leaky", "units"] == pytest.approx(3 * steps - 2, rel=1e-3)
        assert 88 <= run.cells["node_memory", steps, "rev-bits", "ratio"] <= 96
        assert run.cells["node_memory", steps, "rev-paper", "all_bytes"] == (steps + 1) * unit, (
            "the output, and a state"
        )
        assert run.cells["node_memory", steps, "lif", "ratio"] is None, "its input is its neighbour's to keep"
        assert 1.9 * unit * steps < run.cells["node_memory", steps, "lif", "all_bytes"] < 2.1 * unit * steps
    assert run.cells["node_memory", 20, "rev-paper", "ratio"] == pytest.approx(58.0, abs=0.05)
    assert run.cells["node_memory", 20, "rev-paper", "all_ratio"] < 4, "with the output that the next layer keeps"


def test_a_network_saves_less_than_its_neuron_and_rivals_more():
    options, run = Config(), Recorder()
    options.memory = replace(
        options.memory, net_steps=[32], net_batch=2, net_width=8, side=8, nets=["rev-bits", "bit-checkpoint", "depth"]
    )
    found = memory._networks(options, run)
    assert 2.1 < found["rev-bits", 32] < 2.6
    assert found["bit-checkpoint", 32] >= 9 and found["depth", 32] >= 9


def test_both_backwards_compute_what_the_closed_form_says():
    assert operations.counted() == operations.CLOSED
    assert operations.CLOSED["one sweep"] < operations.CLOSED["inverse and second forward"]


def test_drift_shows_wrong_spikes_in_mode_paper_alone():
    x = torch.randn(32, 8, 256) * 1.5 + 0.3
    wrong = {}
    for mode in ("paper", "bits", "anchor", "exact"):
        wrong[mode] = drift.recovered(x, 0.5, 1.0, Rule(mode=mode))
    assert wrong["paper"].wrong > 0 and 4 < wrong["paper"].first <= 32 and wrong["paper"].error_v > 1
    assert wrong["bits"].wrong == 0 and wrong["bits"].first is None and wrong["bits"].error_v < 1e-5
    assert (wrong["exact"].wrong, wrong["exact"].error_v, wrong["exact"].error_x) == (0, 0.0, 0.0)
    error, told = drift.gradient_error(x, torch.randn_like(x), 0.5, 1.0, Rule(mode="paper"))
    assert error > 1e-2 and any("about 10 come back right" in text for text in told)
    error, told = drift.gradient_error(x, torch.randn_like(x), 0.5, 1.0, Rule(mode="bits"))
    assert error < 1e-6 and not told


def test_drift_says_the_rule_for_an_unstable_coupling():
    run, options = Recorder(), Config()
    options.drift = replace(
        options.drift, steps=[4], modes=["bits"], alphas=[1.0], dtypes=["float32"], batch=1, width=8
    )
    drift.measure(options, run)
    assert any("alpha 1 is above 1/tau = 0.5" in text for text in run.told)


def test_long_sequences_keep_bits_and_reversible_ones_their_outputs():
    options, found = Config(), {}
    for steps in (100, 400):
        for kept in ("bit-checkpoint", "rev-bits"):
            chain = sequences.Chain(kept, sequences.WIDTHS, options)
            x = (torch.rand(steps, sequences.BATCH, 256) < 0.2).float()
            found[kept, steps] = sequences.kept_of(chain, x, lambda: chain(x, lambda now, begin: now.sum()))  # noqa: B023
    bits = {steps: sequences.bit_bytes(steps, sequences.BATCH, sequences.WIDTHS) for steps in (100, 400)}
    assert found["bit-checkpoint", 100] == bits[100] and found["bit-checkpoint", 400] == bits[400]
    for steps in (100, 400):
        linear = sequences.linear_bytes("rev-bits", steps, sequences.BATCH, (256, 256))
        assert found["rev-bits", steps] >= linear == 4 * steps * sequences.BATCH * 512
    assert sequences.linear_bytes("lif", 100, 4, (256,)) == 0


def test_a_fresh_process_measures_the_peak():
    if not peak.CLEAR.exists():
        pytest.skip("the peak is measured on Linux")
    options, run = Config(), Recorder()
    options.memory = replace(options.memory, net_width=8, side=16, layers=2, peak_batch=8)
    peaks = peak.peak_bytes({"what": "network", "kept": "leaky", "steps": 32}, options, run)
    kept = 32 * 8 * 8 * 16 * 16 * 4 * 2 * 3  # membranes, spikes and resets of two layers, at least
    assert peaks is not None and kept * 0.7 < peaks < 6 * kept, run.told


def test_a_case_that_fails_is_said_and_left_blank():
    run = Recorder()
    assert peak.peak_bytes({"what": "network", "kept": "nothing", "steps": 2}, Config(), run) is None
    assert any("nothing" in text for text in run.told)


def test_a_wrong_gradient_is_not_timed(monkeypatch):
    class Wrong(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    real = timing.node
    monkeypatch.setattr(
        timing,
        "node",
        lambda kept, config, backend=None: Wrong() if kept == "rev-bits" else real(kept, config, backend),
    )
    options, run = Config(), Recorder()
    options.time = replace(options.time, batch=2, width=8, rounds=3)
    timing._layer(4, options, run, "numba")
    assert any("rev-bits" in text and "not timed" in text for text in run.told)
    timed = {(key[4], key[5]) for key in run.cells if key[0] == "time"}
    assert not any(kept == "rev-bits" for kept, _ in timed) and ("rev-paper", "torch") in timed


def test_rates_become_spikes_and_pixels_come_in_order():
    generator = torch.Generator().manual_seed(1)
    images = torch.tensor([0.0, 0.25, 1.0, 0.5]).view(1, 1, 2, 2).expand(50, 1, 2, 2)
    spikes = coded(images, "rate", 200, True, generator)
    assert spikes.shape == (200, 50, 4) and set(spikes.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(spikes.mean((0, 1)), torch.tensor([0.0, 0.25, 1.0, 0.5]), atol=0.02)
    assert coded(images, "direct", 200, False, generator).shape == (50, 1, 2, 2)
    pixels = coded(images, "pixels", 12, True, generator)
    assert pixels.shape == (12, 50, 4) and shown(12, 4).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert float(pixels[:3].sum()) == 0
    assert pixels[6:9].unique(dim=0).squeeze(0).unique(dim=0).tolist() == [[0, 1, 1, 0]], "second row, first column"
    assert shown(2000, 64).bincount().tolist() == pytest.approx([2000 / 64] * 64, abs=1)


@pytest.mark.parametrize("steps", [1, 9, 10, 11, 2000])
def test_segments_are_whole_bins(steps):
    segment = regression.segment_of(steps)
    assert segment % regression.BIN == 0 and segment >= math.isqrt(max(steps - 1, 0))
    spikes = (torch.rand(steps, 2, 3) < 0.5).float()
    whole = regression.counts(spikes)
    parts = torch.cat([regression.counts(part) for part in spikes.split(segment)])
    assert torch.equal(whole, parts) and float(whole.sum()) == float(spikes.sum())


def test_spikes_matched_is_f1():
    ours, target = torch.tensor([2.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 1.0])
    assert regression.matched(ours, target) == pytest.approx(2 * 2 / 6)
    assert regression.matched(target, target) == 1 and regression.matched(0 * target, 0 * target) == 0


def test_spike_trains_are_fitted():
    """The fit of a few spike trains gets better, and keeps what its kind keeps."""
    x = (torch.rand(1, 60, 12) < 0.3).to(torch.uint8)
    data = Spikes("mine", x, None, x.clone(), torch.tensor([True]), torch.tensor([False]), [])
    options, run = Config(), Recorder()
    options.train = replace(options.train, kept=["bit-checkpoint", "rev-bits"], hidden=24, epochs=40, rate=5e-3)
    regression.measure(data, options, run)
    for kept in ("bit-checkpoint", "rev-bits"):
        assert (
            run.cells["regression", "mine", 60, kept, "loss_last"]
            < run.cells["regression", "mine", 60, kept, "loss_first"]
        )
    packed = run.cells["regression", "mine", 60, "bit-checkpoint", "saved_bytes"]
    assert packed == run.cells["regression", "mine", 60, "bit-checkpoint", "bit_bytes"] == 60 * (2 + 3 + 2)
    assert run.cells["regression", "mine", 60, "rev-bits", "linear_bytes"] == 60 * 24 * 4
    options.train.kept = ["depth"]
    with pytest.raises(UserError, match="depth cannot be fitted to spike trains"):
        regression.measure(data, options, run)


def test_a_missing_peer_is_named(monkeypatch):
    monkeypatch.setattr(
        contenders.peers, "missing", lambda: "no module spikingjelly; pip install --no-deps spikingjelly"
    )
    run = Recorder()
    assert contenders.wanted(["leaky", "spikingjelly", "memopt"], run) == ["leaky"]
    assert "pip install --no-deps spikingjelly" in run.told[0]
    assert contenders.wanted(["leaky"], SimpleNamespace()) == ["leaky"]
