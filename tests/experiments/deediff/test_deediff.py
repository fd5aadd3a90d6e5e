"""The experiment end to end, and the oracles of its parts."""

import copy

import pytest
import torch

from effml.experiments.deediff import quality
from effml.experiments.deediff import train as training
from effml.experiments.deediff.calibration import r_squared, slope
from effml.experiments.deediff.contenders import Contender
from effml.experiments.deediff.pareto import equal_time, gmac
from effml.experiments.deediff.train import Task, captions, gaussian_bound, network
from effml.models.exits.policies import Uem
from effml.models.exits.sampling import EarlyExit, FirstBlockCache, Full, IntervalCache, calibrate, sample
from effml.models.uvit import UViT
from effml.models.uvit.cost import whole

SMALL = {"sample_size": 8, "patch_size": 2, "in_channels": 1, "width": 32, "depth": 4, "heads": 2, "uem": "tokens"}


def test_smoke_runs_every_policy_and_rival(effml):
    row = effml.row("deediff", "--preset", "smoke", "suite=all")
    policies = {m["labels"]["policy"] for m in row["measurements"] if m["table"] == "pareto"}
    assert policies == {
        "full", "uem", "calibrated", "fixed layer", "time schedule", "pabee", "calm", "berxit", "random", "oracle", "fewer steps",
        "interval cache", "first-block cache",
    }  # fmt: skip
    ratios = [m["value"] for m in row["measurements"] if m["metric"] == "layer_ratio"]
    assert all(0 < ratio <= 1 for ratio in ratios)
    assert not any("FID" in m["metric"] for m in row["measurements"])
    ablation = {m["labels"]["variant"] for m in row["measurements"] if m["table"] == "ablation"}
    assert {"all losses", "no layer-wise loss", "smaller net, 3 blocks"} <= ablation


@pytest.mark.parametrize("condition", ["class", "text"])
def test_guided_sampling_with_joint_and_independent_exits(effml, condition):
    words = ["deediff", "--preset", "smoke", "suite=train", f"model.condition={condition}", "sample.guidance=1.0"]
    row = effml.row(*words, "sample.cfg_exit=joint")
    assert row["config"]["model"]["condition"] == condition
    assert effml("run", "deediff", "--preset", "smoke", "sample.guidance=1.0").code == 2


def test_kernel_suite(effml):
    row = effml.row("deediff", "--preset", "smoke", "suite=kernel")
    assert {m["labels"]["provider"] for m in row["measurements"]} == {"torch", "effml"}


def test_gaussian_bound_of_the_digits():
    """Values of the closed form for the digits' covariance, and a hand-made case."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images).float()[:1500, None] / 8 - 1
    found = gaussian_bound(images, [10, 50, 100, 200, 400, 600, 800])
    for value, expected in zip(found, [0.786, 0.579, 0.403, 0.211, 0.054, 0.0074, 0.0004], strict=True):
        assert value == pytest.approx(expected, rel=0.03, abs=1e-4)
    still = torch.zeros(10, 1, 2, 2)
    assert gaussian_bound(still, [500]) == [0.0]


def test_frechet_distance_of_gaussians_in_closed_form():
    torch.manual_seed(0)
    x = torch.randn(4000, 3, dtype=torch.float64)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    scales = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    shift = torch.tensor([1.0, 0.0, -2.0], dtype=torch.float64)
    assert quality.frechet(x, x * scales + shift) == pytest.approx(
        float(shift.square().sum() + (scales - 1).square().sum()), rel=1e-6
    )
    assert quality.frechet(x, x) == pytest.approx(0.0, abs=1e-6)
    assert abs(quality.kernel_distance(x[:2000], x[2000:])) < 0.05 < quality.kernel_distance(x, x + 1)


def test_psnr_is_decibels_of_the_range():
    x = torch.zeros(2, 1, 4, 4)
    assert quality.psnr(x + 0.2, x) == pytest.approx(20.0, abs=1e-4)


def test_regression_figures():
    x = torch.linspace(0, 1, 50)
    assert slope(x, 3 * x + 1) == pytest.approx(3.0, rel=1e-4) and r_squared(x, -2 * x) == pytest.approx(1.0, rel=1e-5)
    assert r_squared(x, torch.ones(50)) == 0.0


def test_full_model_costs_steps_times_the_closed_form():
    net = UViT(**SMALL).eval()
    noise = torch.randn(3, 1, 8, 8)
    trajectory = sample(Full(net), noise, "ddim", 5)
    assert gmac(net, trajectory, 3) == pytest.approx(5 * whole(net) / 1e9)


def test_threshold_zero_samples_the_plain_models_images_to_the_bit():
    net, noise = UViT(**SMALL).eval(), torch.randn(3, 1, 8, 8)
    for solver in ("ddim", "dpm++", "ddpm"):
        plain = sample(Full(net), noise, solver, 4).images
        assert torch.equal(sample(EarlyExit(net, Uem(0.0)), noise, solver, 4).images, plain)


def test_every_solver_clips_the_image_that_it_predicts():
    """Near t = T a wrong noise is divided by a tiny signal; an untrained network is as wrong as can be."""
    torch.manual_seed(0)
    net, noise = UViT(**SMALL).eval(), torch.randn(6, 1, 8, 8)
    for solver in ("ddim", "dpm++", "ddpm"):
        assert float(sample(Full(net), noise, solver, 5).images.abs().max()) <= 1 + 1e-5
    assert float(sample(Full(net), noise, "dpm++", 5, pixels=False).images.abs().max()) > 2


class Steps:
    """The options of a short training."""

    steps, batch, lr, ema, lam, beta, form, detach_weights, drop = 8, 4, 1e-3, 0.9, 1.0, 1.0, "repository", False, 0.5


def test_training_that_goes_on_ends_where_an_uninterrupted_one_does(monkeypatch):
    monkeypatch.setattr(training, "KEEP_SECONDS", 0.0)
    task = Task(torch.rand(12, 1, 8, 8) * 2 - 1, torch.arange(12) % 10, 10, "class")

    def fit(kept=None, keep=None):
        torch.manual_seed(3)
        net = UViT(**SMALL, num_classes=11)
        generator = torch.Generator().manual_seed(4 if kept is None else 99)
        return training.train(net, task, Steps, generator, list, lambda **_: None, kept=kept, keep=keep)

    states = []
    whole = fit(keep=lambda state: states.append(copy.deepcopy(state)))
    assert [state["step"] for state in states] == list(range(1, 9))
    for state in (states[2], states[-1]):
        again = fit(kept=state)
        assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)


def test_interrupted_training_and_other_policies_use_the_stages_again(effml, monkeypatch):
    words = ("deediff", "--preset", "smoke", "dataset=digits")
    first = effml.row(*words, "suite=train")
    other = effml("run", *words, "suite=pareto", "policy.thresholds=[0.5]", "--resume", first["run_id"])
    assert other.code == 0 and "network-main: taken from the resumed run" in other.err
    refused = effml("run", *words, "train.steps=5", "--resume", first["run_id"])
    assert refused.code == 2 and "only suite, sample, policy may differ" in refused.err


class Notes:
    """A run that only keeps what is recorded."""

    def __init__(self):
        self.found = {}

    def record(self, table, labels, metric, value, **_):
        self.found[table, *labels.values(), metric] = value

    def log(self, text):
        self.last = text


def test_equal_time_compares_with_the_best_rival_that_is_no_slower():
    task, run = Task(torch.zeros(1, 1, 8, 8), torch.zeros(1), 10, "none", "digits"), Notes()
    points = [
        ("full", "-", 9.0, 4.0),
        ("fewer steps", "8", 3.0, 4.5),
        ("fewer steps", "4", 1.5, 6.0),
        ("uem", "0.1", 3.0, 4.4),
    ]
    points += [("calm", "0.8", 9.5, 4.2)]
    points += [("uem", "0.2", 2.9, 5.0), ("uem", "0.4", 1.0, 4.0), ("calm", "0.9", 4.0, 4.6)]
    equal_time(run, task, [(Contender(policy, setting, None, 1), t, fd) for policy, setting, t, fd in points])
    found = run.found
    assert found["equal_time", "digits", "uem", "0.1", "rival_fd"] == 4.5
    assert found["equal_time", "digits", "uem", "0.1", "advantage"] == pytest.approx(0.1)
    assert found["equal_time", "digits", "uem", "0.2", "advantage"] == pytest.approx(1.0)
    assert found["equal_time", "digits", "uem", "0.4", "rival_fd"] is None
    assert found["equal_time", "digits", "calm", "0.9", "advantage"] == pytest.approx(-0.1)
    assert [found["winners", "digits", "uem", name] for name in ("compared", "won")] == [2, 2]
    assert found["equal_time", "digits", "calm", "0.8", "rival_fd"] == 4.0  # slower than the full model, and worse
    assert found["winners", "digits", "calm", "won"] == 0
    assert (
        ("equal_time", "digits", "full", "-", "fd") not in found
        and "beat or equal 2 of 4" in run.last
        and "1 more" in run.last
    )


def test_calibrated_table_holds_the_median_exit():
    net, noise = UViT(**SMALL).eval(), torch.randn(5, 1, 8, 8)
    trajectory = sample(EarlyExit(net, Uem(2.0)), noise, "ddim", 4)
    assert calibrate(trajectory) == dict.fromkeys(trajectory.timesteps, 0)


def test_interval_cache_of_one_is_the_full_model_and_of_two_skips_half():
    net, noise = UViT(**SMALL).eval(), torch.randn(3, 1, 8, 8)
    plain = sample(Full(net), noise, "ddim", 6).images
    torch.testing.assert_close(sample(IntervalCache(net, 1), noise, "ddim", 6).images, plain)
    layers = sample(IntervalCache(net, 2), noise, "ddim", 6).layers[:, 0].tolist()
    assert layers == [4, 1, 4, 1, 4, 1]


def test_first_block_cache_reuses_and_comes_off_again():
    net, noise = UViT(**SMALL).eval(), torch.randn(3, 1, 8, 8)
    plain = sample(Full(net), noise, "ddim", 6).images
    for threshold, expected in [(0.0, {4}), (1e9, {0, 4})]:
        cache = FirstBlockCache(net, threshold)
        trajectory = sample(cache, noise, "ddim", 6)
        cache.close()
        assert set(trajectory.layers[:, 0].tolist()) == expected
    assert torch.equal(sample(Full(net), noise, "ddim", 6).images, plain)


def test_captions_tell_digits_apart():
    words = captions(torch.tensor([3, 7]))
    assert torch.equal(words[0, :2], words[1, :2]) and not torch.equal(words[0, 2], words[1, 2])
    null = captions(torch.tensor([3, 7]), null=True)
    assert torch.equal(null[0], null[1])
    task = Task(torch.zeros(4, 1, 8, 8), torch.arange(4), 10, "text")

    class Options:
        patch, width, depth, heads, uem, head = 2, 32, 4, 2, "tokens", "shared"

    net = network(task, Options)
    assert net(torch.zeros(2, 1, 8, 8), 5, **task.given(torch.tensor([1, 2]))).shape == (2, 1, 8, 8)


@pytest.mark.slow
def test_half_the_layers_is_at_least_1_6_times_as_fast():
    """On CPU: the exits are real when the clock says so. Against a full model without uncertainty heads."""
    from effml.experiments.core.measure import interleave
    from effml.models.exits.policies import Calibrated

    net = UViT(sample_size=8, patch_size=2, in_channels=1, width=64, depth=6, heads=4, uem="concat").eval()
    noise = torch.randn(256, 1, 8, 8)
    half = Calibrated({t: (6 if t < 420 else 0) for t in range(0, 1000, 10)})
    exits, full = EarlyExit(net, half), Full(net)
    ratio = float((sample(exits, noise, "ddim", 25).layers + 1).float().mean()) / 7
    assert ratio <= 0.52
    calls = {"full": lambda: sample(full, noise, "ddim", 25), "exit": lambda: sample(exits, noise, "ddim", 25)}
    timings = interleave(calls, rounds=5, warmup=1)
    assert timings["exit"].speedup_over(timings["full"]).median >= 1.6
