"""Every exit policy and every rival, each at several settings, over one trained network."""

from __future__ import annotations

from dataclasses import dataclass

from effml.experiments.core.run import Run
from effml.experiments.deediff import train as training
from effml.experiments.deediff.config import Config
from effml.experiments.deediff.networks import probes, sampled
from effml.models.exits import policies as rules
from effml.models.exits.forward import Policy
from effml.models.exits.sampling import EarlyExit, Full, IntervalCache, Network, WithOracle, calibrate
from effml.models.uvit import UViT


@dataclass
class Contender:
    """One policy or rival at one setting."""

    policy: str
    setting: str
    network: Network
    steps: int


def contenders_of(run: Run, config: Config, net: UViT, task: training.Task) -> list[Contender]:
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
        table = calibrate(sampled(run, config, task, exits(uem(t))))
        found.append(Contender("calibrated", f"{t:g}", exits(rules.Calibrated(table)), steps))
    found += [Contender("fixed layer", str(i), exits(rules.FixedLayer(i)), steps) for i in p.layers]
    last = config.model.depth
    for low in sorted({0, last // 4, last // 2, (3 * last) // 4}):
        bins = [round(last - (last - low) * b / 4) for b in range(5)]
        found.append(Contender("time schedule", f"to {low}", exits(rules.TimeSchedule(bins)), steps))
    found += [Contender("pabee", f"{t:g}", exits(rules.Pabee(t)), steps) for t in p.tolerances]
    found += [Contender("calm", f"{c:g}", exits(rules.Calm(c)), steps) for c in p.cosines]
    blind = probes(run, config, net, task)
    found += [Contender("berxit", f"{t:g}", exits(rules.Berxit(blind, t)), steps) for t in p.thresholds]
    found += [Contender("random", f"{q:g}", exits(rules.Random(q, run.seed)), steps) for q in p.probabilities]
    found += [Contender("oracle", f"{t:g}", WithOracle(net, rules.Oracle(t)), steps) for t in p.thresholds]
    found += [Contender("fewer steps", str(s), Full(net), s) for s in p.fewer_steps]
    found += [Contender("interval cache", str(n), IntervalCache(net, n), steps) for n in p.intervals]
    return found
