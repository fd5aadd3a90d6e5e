"""DeeDiff as an experiment: train with exits, look at what the uncertainty knows, then let every policy and rival sample.

All policies share one checkpoint, one set of noises, one solver; times are interleaved round by round, and the full
model without uncertainty heads is what every speedup is measured against.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from effml.experiments.core.measure import interleave, scaled_error
from effml.experiments.core.run import Run
from effml.experiments.deediff import pictures
from effml.experiments.deediff import train as training
from effml.experiments.deediff.config import Config
from effml.experiments.deediff.quality import Judge, Pixels, accuracy, psnr, train_classifier
from effml.models.exits import policies as rules
from effml.models.exits.forward import Policy
from effml.models.exits.sampling import (
    EarlyExit,
    FirstBlockCache,
    Full,
    IntervalCache,
    Network,
    Trajectory,
    WithOracle,
    calibrate,
    sample,
)
from effml.models.uvit import UViT
from effml.models.uvit.convert import load_public
from effml.models.uvit.cost import cost, until, whole

SMALL_IMAGE = 8  # up to this edge the pixels themselves are the features
TIMES = (10, 50, 100, 200, 400, 600, 800, 990)


def run(config: Config, run: Run) -> None:
    if config.suite == "kernel":
        _kernel(run)
        return
    data = run.load(config.dataset)
    device = run.device
    task = training.Task(
        (data.train.unit() * 2 - 1).to(device), data.train.labels.to(device), len(data.classes), config.model.condition
    )
    judge, floor = _judge(run, task, (data.test.unit() * 2 - 1).to(device), data.test.labels.to(device))
    net = _network(run, config, task, "main")
    labels = {"dataset": config.dataset.name, "model": _name(config), "condition": config.model.condition}
    loss = training.simple_loss(net, task, run.generator("loss"))
    run.record("training", labels, "loss", loss)
    bounds = training.gaussian_bound(task.images, list(range(0, 1000, 25)))
    run.record("training", labels, "gaussian_bound", statistics.fmean(bounds))
    run.record("training", labels, "parameters", _backbone(net))
    run.record("training", labels, "floor", floor)
    full = _sample(run, config, task, Full(net))
    quality = judge(full.images)
    run.record("training", labels, "fd", quality.fd)
    run.log(f"final-layer loss {loss:.4f}, distance of the full model {quality.fd:.2f} (real against real {floor:.2f})")
    pictures.grid(run.artifact("full.png"), full.images)

    if config.suite in ("calibration", "all"):
        _calibration(run, config, net, task)
    if config.suite in ("pareto", "all"):
        _pareto(run, config, net, task, judge, full)
    if config.suite in ("ablation", "all"):
        _ablation(run, config, task, judge)


# -- networks -----------------------------------------------------------------------------------------------------------


def _network(run: Run, config: Config, task: training.Task, name: str, **change: Any) -> UViT:
    """A trained network, from the run's own stage, or from a public checkpoint."""
    layerwise = change.pop("layerwise", True)
    torch.manual_seed(run.seed)
    net = training.network(task, config.model, **change)
    if config.checkpoint:
        missing = load_public(net, Path(config.checkpoint).expanduser())
        run.log(f"checkpoint lacks {len(missing)} tensors (uncertainty heads); they are trained here")
    generator = run.generator(f"train {name}")

    def build() -> dict[str, Tensor]:
        told = lambda **values: run.step(network=name, **values)  # noqa: E731
        progress = lambda steps: run.progress(steps, f"training {name}", config.train.steps)  # noqa: E731
        return training.train(net, task, config.train, generator, progress, told, layerwise=layerwise)

    state = run.stage(f"network-{name}", build)
    net.load_state_dict(state)
    return net.to(task.images.device).eval()


def _backbone(net: UViT) -> int:
    return sum(p.numel() for name, p in net.named_parameters() if not name.startswith("uncertainty_heads"))


def _name(config: Config) -> str:
    model = config.model
    return f"p{model.patch} d{model.width} n{model.depth + 1}"


def _judge(run: Run, task: training.Task, test: Tensor, test_labels: Tensor) -> tuple[Judge, float]:
    """Quality in pixels for tiny images, in features of a classifier otherwise; and the floor: real against real."""
    extractor: Any = Pixels()
    if task.images.shape[-1] > SMALL_IMAGE:
        extractor = train_classifier(task.images, task.labels, task.classes, 400, run.generator("classifier"))
        run.log(
            f"features: classifier trained here, accuracy {accuracy(extractor, test, test_labels):.3f} on held-out images"
        )
    order = torch.randperm(len(task.images), generator=run.generator("floor"))
    half = len(order) // 2
    floor = Judge(extractor, task.images[order[:half]])(task.images[order[half:]]).fd
    return Judge(extractor, task.images), floor


# -- sampling -----------------------------------------------------------------------------------------------------------


def _start(run: Run, config: Config, task: training.Task) -> tuple[Tensor, Tensor]:
    """The noise and labels that every policy begins from."""
    generator = run.generator("noise")
    noise = torch.randn((config.sample.images, *task.images.shape[1:]), generator=generator).to(task.images.device)
    labels = torch.arange(config.sample.images) % task.classes
    return noise, labels.to(task.images.device)


def _sample(run: Run, config: Config, task: training.Task, network: Network, steps: int | None = None) -> Trajectory:
    noise, labels = _start(run, config, task)
    guidance = config.sample.guidance
    null = task.given(labels, null=True) if guidance else None
    return sample(
        network, noise, config.sample.solver, steps or config.sample.steps, condition=task.given(labels), null=null,
        guidance=guidance, seed=run.seed,
    )  # fmt: skip


@dataclass
class Contender:
    """One policy or rival at one setting."""

    policy: str
    setting: str
    network: Network
    steps: int


def _contenders(run: Run, config: Config, net: UViT, task: training.Task) -> list[Contender]:
    """Every policy and rival; those with hooks come last, because hooks slow every call while they are on."""
    p, steps = config.policy, config.sample.steps

    def exits(policy: Policy) -> EarlyExit:
        return EarlyExit(net, policy)

    def uem(threshold: float) -> Policy:
        rule = rules.Uem(threshold, patience=p.patience)
        return rules.Joint(rule) if config.sample.cfg_exit == "joint" and config.sample.guidance else rule

    found = [Contender("full", "-", Full(net), steps)]
    found += [Contender("uem", f"{t:g}", exits(uem(t)), steps) for t in p.thresholds]
    for t in p.thresholds:
        table = calibrate(_sample(run, config, task, exits(uem(t))))
        found.append(Contender("calibrated", f"{t:g}", exits(rules.Calibrated(table)), steps))
    found += [Contender("fixed layer", str(i), exits(rules.FixedLayer(i)), steps) for i in p.layers]
    last = config.model.depth
    for low in sorted({0, last // 4, last // 2, (3 * last) // 4}):
        bins = [round(last - (last - low) * b / 4) for b in range(5)]
        found.append(Contender("time schedule", f"to {low}", exits(rules.TimeSchedule(bins)), steps))
    found += [Contender("pabee", f"{t:g}", exits(rules.Pabee(t)), steps) for t in p.tolerances]
    found += [Contender("calm", f"{c:g}", exits(rules.Calm(c)), steps) for c in p.cosines]
    probes = training.fit_probes(net, task, min(200, config.train.steps), run.generator("probes"))
    found += [Contender("berxit", f"{t:g}", exits(rules.Berxit(probes, t)), steps) for t in p.thresholds]
    found += [Contender("random", f"{q:g}", exits(rules.Random(q, run.seed)), steps) for q in p.probabilities]
    found += [Contender("oracle", f"{t:g}", WithOracle(net, rules.Oracle(t)), steps) for t in p.thresholds]
    found += [Contender("fewer steps", str(s), Full(net), s) for s in p.fewer_steps]
    found += [Contender("interval cache", str(n), IntervalCache(net, n), steps) for n in p.intervals]
    return found


def _pareto(run: Run, config: Config, net: UViT, task: training.Task, judge: Judge, full: Trajectory) -> None:
    """Quality once per contender, then times interleaved; last the first-block cache, whose hooks must come off again."""
    contenders = _contenders(run, config, net, task)
    done: list[tuple[Contender, Trajectory]] = []
    for contender in run.progress(contenders, "quality"):
        done.append((contender, _sample(run, config, task, contender.network, contender.steps)))
    calls = {
        f"{c.policy} {c.setting}": (lambda c=c: _sample(run, config, task, c.network, c.steps)) for c in contenders
    }
    timings = interleave(calls, rounds=config.sample.rounds, warmup=0, device=run.device, min_seconds=0.0)
    baseline = timings["full -"]
    seconds = {}
    for contender, trajectory in done:
        timing = timings[f"{contender.policy} {contender.setting}"]
        ratio = timing.speedup_over(baseline)
        charged = contender.policy != "oracle"
        seconds[contender.policy, contender.setting] = timing.median / config.sample.images
        _record_point(run, config, net, contender, trajectory, judge, full)
        labels = {"dataset": config.dataset.name, "policy": contender.policy, "setting": contender.setting}
        if charged:
            run.record(
                "pareto", labels, "seconds_per_image", timing.median / config.sample.images, samples=timing.samples
            )
            run.record("pareto", labels, "speedup", ratio.median, samples=ratio.samples)
    for threshold in config.policy.caches:
        cache = FirstBlockCache(net, threshold)
        try:
            contender = Contender("first-block cache", f"{threshold:g}", cache, config.sample.steps)
            trajectory = _sample(run, config, task, cache)
            pair = interleave(
                {"cache": lambda cache=cache: _sample(run, config, task, cache)},
                rounds=config.sample.rounds,
                warmup=0,
                min_seconds=0.0,
            )["cache"]
        finally:
            cache.close()
        alone = interleave({"full": calls["full -"]}, rounds=config.sample.rounds, warmup=0, min_seconds=0.0)["full"]
        labels = {"dataset": config.dataset.name, "policy": contender.policy, "setting": contender.setting}
        _record_point(run, config, net, contender, trajectory, judge, full)
        run.record("pareto", labels, "seconds_per_image", pair.median / config.sample.images, samples=pair.samples)
        run.record(
            "pareto", labels, "speedup", pair.speedup_over(alone).median, note="not interleaved: its hooks slow others"
        )
        done.append((contender, trajectory))
        seconds[contender.policy, contender.setting] = pair.median / config.sample.images
    _equal_time(run, config, done, seconds, judge)
    exited = [(c, t) for c, t in done if c.policy == "uem"]
    for contender, trajectory in exited:
        pictures.grid(run.artifact(f"uem-{contender.setting}.png"), trajectory.images)
        for t, layers in zip(trajectory.timesteps, trajectory.layers.float(), strict=True):
            labels = {"dataset": config.dataset.name, "setting": contender.setting, "timestep": t}
            run.record("depth", labels, "exit_layer", float(layers.mean()))
            run.record("depth", labels, "exit_spread", float(layers.std()))
    pictures.depths(run.artifact("exit-depth.png"), [(c.setting, t) for c, t in exited], net.num_exits)


def _record_point(
    run: Run, config: Config, net: UViT, contender: Contender, trajectory: Trajectory, judge: Judge, full: Trajectory
) -> None:
    labels = {"dataset": config.dataset.name, "policy": contender.policy, "setting": contender.setting}
    executed = trajectory.layers.float() + 1
    mean = float(executed.mean())
    run.record("pareto", labels, "layers", mean)
    run.record("pareto", labels, "layer_ratio", mean / net.num_exits)
    run.record("pareto", labels, "gmac", gmac(net, trajectory, config.sample.images))
    quality = judge(trajectory.images)
    run.record("pareto", labels, "fd", quality.fd)
    run.record("pareto", labels, "kid", quality.kid)
    run.record("pareto", labels, "psnr", psnr(trajectory.images, full.images) if contender.policy != "full" else None)
    run.record("pareto", labels, "syncs", trajectory.syncs)


def gmac(net: UViT, trajectory: Trajectory, images: int) -> float:
    """10^9 multiply-accumulates per image: executed blocks and skips, heads and uncertainty maps, all rows and steps."""
    counts = torch.bincount(trajectory.layers.flatten(), minlength=net.num_exits).tolist()
    parts = cost(net)
    total = sum(n * until(net, layer, checks=0) for layer, n in enumerate(counts))
    rows = trajectory.layers.numel()
    total += (trajectory.heads - rows) * parts.head + trajectory.checks * parts.uem
    return total / images / 1e9


def _equal_time(
    run: Run,
    config: Config,
    done: list[tuple[Contender, Trajectory]],
    seconds: dict[tuple[str, str], float],
    judge: Judge,
) -> None:
    """For each exit policy, the best that fewer full steps reach in the same time or less."""
    rivals = [(seconds[c.policy, c.setting], judge(t.images).fd) for c, t in done if c.policy == "fewer steps"]
    wins = losses = 0
    for contender, trajectory in done:
        if contender.policy in ("full", "fewer steps", "oracle"):
            continue
        labels = {"dataset": config.dataset.name, "policy": contender.policy, "setting": contender.setting}
        mine, took = judge(trajectory.images).fd, seconds[contender.policy, contender.setting]
        within = [fd for rival_seconds, fd in rivals if rival_seconds <= took]
        run.record("equal_time", labels, "seconds_per_image", took)
        run.record("equal_time", labels, "fd", mine)
        if not within:
            run.record("equal_time", labels, "rival_fd", None, note="no rival is as fast")
            continue
        run.record("equal_time", labels, "rival_fd", min(within))
        run.record("equal_time", labels, "advantage", min(within) - mine)
        wins, losses = wins + (min(within) > mine), losses + (min(within) <= mine)
    run.log(
        f"at equal time, fewer full steps beat {losses} of {wins + losses} settings of the exit policies and caches"
    )


# -- what the uncertainty knows -------------------------------------------------------------------------------------------


def _calibration(run: Run, config: Config, net: UViT, task: training.Task) -> None:
    found = training.layer_errors(net, task, list(TIMES), 256, run.generator("calibration"))
    bounds = training.gaussian_bound(task.images, list(TIMES))
    for i, t in enumerate(TIMES):
        for layer in range(net.num_exits):
            labels = {"dataset": config.dataset.name, "timestep": t, "layer": layer}
            run.record("layers", labels, "error", float(found["error"][i, layer].mean()))
            run.record("layers", labels, "uncertainty", float(found["predicted"][i, layer].mean()))
            run.record("layers", labels, "pseudo_uncertainty", float(found["pseudo"][i, layer].mean()))
        labels = {"dataset": config.dataset.name, "timestep": t, "layer": net.num_exits - 1}
        run.record("layers", labels, "gaussian_bound", bounds[i])
    predicted, pseudo = found["predicted"], found["pseudo"]
    within = [r_squared(predicted[i, j], pseudo[i, j]) for i in range(len(TIMES)) for j in range(net.num_exits)]
    labels = {"dataset": config.dataset.name, "part": "all times and layers"}
    run.record("calibration", labels, "slope", slope(predicted.flatten(), pseudo.flatten()))
    run.record("calibration", labels, "r2_pooled", r_squared(predicted.flatten(), pseudo.flatten()))
    run.record("calibration", labels, "r2_within", statistics.median(within))
    pictures.maps(run.artifact("uncertainty-maps.png"), net, task, run.generator("maps"))


def slope(x: Tensor, y: Tensor) -> float:
    """Least-squares slope of y on x."""
    centred = x - x.mean()
    return float((centred * (y - y.mean())).sum() / centred.square().sum().clamp_min(1e-12))


def r_squared(x: Tensor, y: Tensor) -> float:
    """Squared correlation."""
    if x.std() < 1e-9 or y.std() < 1e-9:
        return 0.0
    return float(torch.corrcoef(torch.stack([x, y]))[0, 1] ** 2)


# -- ablation -------------------------------------------------------------------------------------------------------------


def _ablation(run: Run, config: Config, task: training.Task, judge: Judge) -> None:
    """Full models at equal steps: with and without the layer-wise loss, other uncertainty inputs, and a smaller net."""
    other = "tokens" if config.model.uem == "concat" else "concat"
    variants: dict[str, dict[str, Any]] = {
        "all losses": {},
        "no layer-wise loss": {"layerwise": False},
        f"uncertainty from {other}": {"uem": other},
        "head per layer": {"head": "per_layer"},
        "smaller net, 3 blocks": {"depth": 2, "layerwise": False},
    }
    for variant, change in variants.items():
        name = "main" if not change else variant.replace(",", "").replace(" ", "-")
        net = _network(run, config, task, name, **change)
        labels = {"dataset": config.dataset.name, "variant": variant}
        quality = judge(_sample(run, config, task, Full(net)).images)
        run.record("ablation", labels, "loss", training.simple_loss(net, task, run.generator("loss")))
        run.record("ablation", labels, "fd", quality.fd)
        run.record("ablation", labels, "kid", quality.kid)
        run.record("ablation", labels, "parameters", _backbone(net))


# -- kernel ---------------------------------------------------------------------------------------------------------------


def _kernel(run: Run) -> None:
    """The fused uncertainty against its parts, at the CIFAR-10 model's size."""
    from effml.kernels import mean_uncertainty

    rows = (1, 64) if run.preset == "smoke" else (1, 64, 256)
    for batch in rows:
        generator = run.generator(f"kernel {batch}")
        tokens = torch.randn(batch, 257, 512, generator=generator).to(run.device)[:, 1:]
        weight = (torch.randn(12, 512, generator=generator) / 20).to(run.device)
        bias = torch.randn(12, generator=generator).to(run.device)
        exact = mean_uncertainty(tokens.double(), weight.double(), bias.double(), backend="reference")
        providers = {
            "torch": lambda t=tokens, w=weight, b=bias: torch.sigmoid(t @ w.T + b).mean(dim=(1, 2)),
            "effml": lambda t=tokens, w=weight, b=bias: mean_uncertainty(t, w, b),
        }
        errors = {name: scaled_error(call(), exact) for name, call in providers.items()}
        timings = interleave(providers, rounds=7, device=run.device)
        for name, timing in timings.items():
            labels = {"shape": f"{batch}x256x512", "provider": name}
            run.record("kernel", labels, "scaled_error", errors[name])
            if errors[name] < 1e-4:
                run.record("kernel", labels, "seconds", timing.median, samples=timing.samples)
                run.record("kernel", labels, "speedup", timing.speedup_over(timings["torch"]).median)
    run.note(f"whole CIFAR-10 model: {whole(UViT()) / 1e9:.2f} GMAC a call")
