"""AutoReP, read top to bottom: data, the all-ReLU network, curves of accuracy against budget by method, what private
inference of the reduced networks costs, ablations, and the speed of the activation itself.
"""

from __future__ import annotations

from effml.experiments.autorep.ablation import measure_ablation
from effml.experiments.autorep.accuracy import record_curve
from effml.experiments.autorep.activation import measure_activation
from effml.experiments.autorep.config import Config
from effml.experiments.autorep.curves import train_curves
from effml.experiments.autorep.data import prepare
from effml.experiments.autorep.inference import available, engine_of, measure_inference
from effml.experiments.autorep.networks import Method, check_budgets, train_teacher
from effml.experiments.autorep.order import record_order
from effml.experiments.core.run import Run


def run(config: Config, run: Run) -> None:
    suites = ("train", "cost", "ablation", "kernel") if config.suite == "all" else (config.suite,)
    if config.suite == "cost":
        engine_of(config)  # says at once what is missing
    if "kernel" in suites:
        measure_activation(config, run)
    if "order" in suites:
        record_order(config, run)
    if not {"train", "cost", "ablation"} & set(suites):
        return

    data = prepare(config, run)
    run.log(
        f"{data.name}: {len(data.batches.images):,} training, {len(data.held_out[0]):,} held-out, {len(data.test[0]):,} test "
        f"images; {config.train.steps} steps a point, {config.train.selecting:.0%} of them to learn gates where a method does"
    )
    wanted = [Method.of(text, config.cost.protocol) for text in config.train.methods if "train" in suites]
    measured = [Method.of(text, config.cost.protocol) for text in config.cost.methods if "cost" in suites]
    check_budgets(config, data, [*wanted, *measured])  # before anything is trained
    teacher = train_teacher(config, run, data)
    points = []
    for curve in train_curves(config, run, data, teacher, [*wanted, *measured]):
        points += curve.points
        if "train" in suites:
            record_curve(config, run, data, teacher, curve)

    if "cost" in suites:
        missing = available(config)
        if missing is None:
            replacements = {method.replacement for method in measured}
            strategies = {method.strategy for method in measured} | {"mask"}
            chosen = [p for p in points if p.method.strategy in strategies and p.method.replacement in replacements]
            measure_inference(config, run, data, teacher, chosen)
        else:
            run.log(f"private inference left out: {missing}")

    if "ablation" in suites:
        measure_ablation(config, run, data, teacher)
