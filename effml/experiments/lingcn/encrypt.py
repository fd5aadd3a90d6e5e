"""Encrypted inference: each network planned, then run between two processes, checked against its plain logits.

CryptoGCN's way beside it: all polynomials kept, nothing folded, one node a ciphertext. Every inference is predicted from
counts and five seconds of timing before it is measured; so are sizes that are too large to run here.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from effml.experiments.core.run import Run
from effml.experiments.lingcn.config import SIZES, Config
from effml.experiments.lingcn.data import Actions
from effml.experiments.lingcn.session import UNFUSED, Answers, Case, answer
from effml.experiments.lingcn.train import model_name, points, wanted
from effml.models.encrypted.estimate import Costs, estimate
from effml.models.encrypted.fold import fold
from effml.models.encrypted.parameters import LIMITS
from effml.models.encrypted.program import lay_out
from effml.models.stgcn import plain_file

CLEAR = 2e-2  # a margin between the two highest plain logits that noise of 1e-2 cannot turn round
COUNTS = {
    "rotations": ("rotate", "conjugate"),
    "plain_products": ("mul_plain",),
    "cipher_products": ("mul",),
    "additions": ("add", "add_plain"),
    "encodes": ("encode", "encode_constant"),
}


def measure_encrypted(config: Config, run: Run, data: Actions) -> None:
    """Tables parameters, encrypted, estimate and speedup."""
    where = {"dataset": data.name, "model": model_name(config)}
    cases = choose_cases(config, run, data)
    for case in cases:  # every parameter set is refused or accepted before the first key
        record_plan(config, run, where, case)
    x, _ = sequences(config, data)
    found: list[tuple[Case, Answers]] = []
    least = smallest(config, cases)
    for case in run.progress(cases, "encrypted networks"):
        first = case.backend == config.encrypt.backend
        answers = answer(config, case, x, sets=None if case is least else 1, calibrate=first, say=run.log)
        record_answers(run, where, case, answers, x)
        if answers.costs is not None:
            record_estimate(config, run, where, case, answers, answers.costs)
        found.append((case, answers))
    record_differences(run, where, least, found)
    record_speedups(config, run, found)
    record_projection(config, run, found)


def choose_cases(config: Config, run: Run, data: Actions) -> list[Case]:
    """The networks asked for, the smallest of them by the other libraries too, and the baseline."""
    asked = config.encrypt
    everything = 2 * len(config.shape()[0])
    path = None if asked.model is None else Path(asked.model)
    if path is not None and not path.is_dir():
        full = plain_file.load(path)
        cases = [Case("file", full.effective_layers(), full, asked.backend)]
    else:
        targets = [*asked.targets, everything] if asked.baseline else asked.targets
        if path is not None:
            jobs = wanted(config, targets, ["node"])
            nets = [(method, n, plain_file.load(path / f"{method}-n{n}.npz")) for method, n in jobs]
        else:
            nets = [(point.method, point.layers, point.plain) for point in points(config, run, data, targets)]
        cases = [Case(method, n, plain, asked.backend) for method, n, plain in nets if n in asked.targets]
        full = max(nets, key=lambda net: net[1])[2]
    least = smallest(config, cases)
    cases += [Case(least.method, least.layers, least.plain, name) for name in asked.compare if name != asked.backend]
    if asked.baseline:
        cases.append(Case(UNFUSED, full.effective_layers(), full, asked.backend))
    return cases


def smallest(config: Config, cases: list[Case]) -> Case:
    """The network with fewest nonlinear layers, on the library asked for: the one that answers all sequences."""
    return min(
        (case for case in cases if case.backend == config.encrypt.backend and not case.unfused),
        key=lambda case: case.layers,
    )


def sequences(config: Config, data: Actions) -> tuple[ndarray, ndarray]:
    """Test sequences and labels, as many as are asked for."""
    x, labels = data.test
    count = min(config.encrypt.sequences, len(labels))
    return x[:count].double().cpu().numpy(), labels[:count].cpu().numpy()


def labels_of(where: dict[str, Any], case: Case) -> dict[str, Any]:
    return {**where, "method": case.method, "n": case.layers, "backend": case.backend}


def record_plan(config: Config, run: Run, where: dict[str, Any], case: Case) -> None:
    """Levels, bits, ring and verdict, before a key is made."""
    program = case.program(config)
    parameters = program.parameters
    run.log(f"{case.name}: {parameters.verdict()}")
    for layer, before, after in program.schedule():
        run.note(f"  {layer}: level {before} to {after}")
    figures = {
        "levels": parameters.levels,
        "modulus_bits": parameters.total_bits,
        "limit_bits": LIMITS.get(parameters.ring, 0),
        "ring": parameters.ring,
        "scale_bits": parameters.scale_bits,
        "batch": program.layout.batch,
        "secure": int(parameters.secure),
    }
    for metric, value in figures.items():
        run.record("parameters", labels_of(where, case), metric, value)


def record_answers(run: Run, where: dict[str, Any], case: Case, found: Answers, x: ndarray) -> None:
    """Operations, time, memory, bytes, and how far the logits are from the plain ones."""
    mine = labels_of(where, case)
    plain = case.plain.forward(x[: len(found.logits)])
    ranked = np.sort(plain, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > CLEAR
    same = plain.argmax(1) == found.logits.argmax(1)
    used = {level for name, level, _ in found.ledger.rows() if name == "rescale"}
    figures: dict[str, float | None] = {
        **{metric: sum(found.ledger.total(name) for name in names) for metric, names in COUNTS.items()},
        "levels": len(used),
        "sequence_seconds": statistics.median(found.seconds) / found.batch,
        "cpu_seconds": statistics.median(found.cpu_seconds),
        "peak_bytes": found.peak_bytes,
        "sent_bytes": found.sent_bytes,
        "received_bytes": found.received_bytes,
        "key_bytes": found.key_bytes,
        "error_max": float(np.abs(plain - found.logits).max()),
        "agreement": float(same[clear].mean()) if clear.any() else None,
        "clear": int(clear.sum()),
        "unclear": int((~clear).sum()),
    }
    run.record("encrypted", mine, "seconds", statistics.median(found.seconds), samples=found.seconds)
    for metric, value in figures.items():
        run.record("encrypted", mine, metric, value)
    run.log(
        f"{case.name}: {statistics.median(found.seconds):.1f} s for {found.batch} sequences, off by "
        f"{figures['error_max']:.1e}, {int(same.sum())} of {len(same)} answers the plain ones, "
        f"{found.peak_bytes / 1e9:.1f} GB at most; asked to decrypt, the server says: {found.refusal}"
    )


def record_differences(run: Run, where: dict[str, Any], least: Case, found: list[tuple[Case, Answers]]) -> None:
    """How far apart the libraries' logits of one network are."""
    reference = next(answers.logits for case, answers in found if case is least)
    for case, answers in found:
        if case.plain is least.plain and case.backend != least.backend:
            apart = float(np.abs(answers.logits - reference[: len(answers.logits)]).max())
            run.record("encrypted", labels_of(where, case), "difference_max", apart)
            run.log(f"{case.name}: logits at most {apart:.1e} from those of {least.backend}")


def record_estimate(config: Config, run: Run, where: dict[str, Any], case: Case, found: Answers, costs: Costs) -> None:
    """Predicted beside measured, by wall and by processor time."""
    predicted = estimate(case.program(config), costs, config.encrypt.workers)
    mine = {"model": where["model"], "method": case.method, "n": case.layers, "workers": config.encrypt.workers}
    wall, cpu = statistics.median(found.seconds), statistics.median(found.cpu_seconds)
    figures = {
        "predicted_seconds": predicted.wall,
        "seconds": wall,
        "predicted_cpu": predicted.cpu,
        "cpu_seconds": cpu,
        "predicted_over_measured": predicted.cpu / cpu,
        "key_switching": sum(predicted.shares.get(name, 0.0) for name in ("rotate", "conjugate", "relinearise")),
    }
    for metric, value in figures.items():
        run.record("estimate", mine, metric, value)


def record_projection(config: Config, run: Run, found: list[tuple[Case, Answers]]) -> None:
    """The paper's smaller backbone, one process, from the costs of the parameter sets that were measured."""
    if not config.encrypt.projection:
        return
    for case, answers in found:
        if answers.costs is None or case.unfused or len(case.plain.blocks) != 3:
            continue
        parameters = case.parameters(config)
        plain = paper_backbone("3-128", case.layers)
        program = lay_out(fold(plain), parameters, paired=case.program(config).paired)
        predicted = estimate(program, answers.costs, 1)
        method = "all-polynomial" if case.layers == 2 * len(plain.blocks) else "node"
        mine = {"model": "3-128 T256", "method": method, "n": case.layers, "workers": 1}
        note = f"{program.layout.batch} sequences at once, N = {parameters.ring}, from counts and measured operations"
        run.record("estimate", mine, "predicted_seconds", predicted.wall, evidence="simulated", note=note)
        run.record("estimate", mine, "predicted_cpu", predicted.cpu, evidence="simulated", note=note)


def paper_backbone(size: str, layers: int) -> Any:
    """A backbone of the paper with random weights: what it costs does not depend on them."""
    from effml.experiments.data.skeletons.layouts import NTU25
    from effml.models.stgcn.graph import spatial_adjacency

    channels, strides = SIZES[size]
    keeps = tuple(min(2, max(0, layers - 2 * block)) for block in range(len(channels)))
    adjacency = spatial_adjacency(NTU25.bones, NTU25.centre, NTU25.joints)
    return plain_file.random(adjacency, channels, strides, keeps, classes=60, frames=256)


def record_speedups(config: Config, run: Run, found: list[tuple[Case, Answers]]) -> None:
    """Baseline over each fused network: for one set of ciphertexts, and for one sequence."""
    slow = next(((case, answers) for case, answers in found if case.unfused), None)
    if slow is None:
        return
    for case, answers in found:
        if case.unfused or case.backend != config.encrypt.backend:
            continue
        mine = {"faster": f"{case.method} n={case.layers}", "slower": f"{UNFUSED} n={slow[0].layers}"}
        _speedup(run, mine, slow[1], answers)
    if not config.encrypt.across:
        return
    wide = wider(slow[0])
    answers = answer(config, wide, np.zeros((1, *_shape(wide))), sets=1, say=run.log)
    for case, fast in found:
        if not case.unfused and case.backend == config.encrypt.backend:
            mine = {
                "faster": f"{case.method} n={case.layers}",
                "slower": f"{UNFUSED} n={wide.layers}, twice the channels",
            }
            _speedup(run, mine, answers, fast)


def _speedup(run: Run, mine: dict[str, Any], slow: Answers, fast: Answers) -> None:
    ratio = statistics.median(slow.seconds) / statistics.median(fast.seconds)
    cpu = statistics.median(slow.cpu_seconds) / statistics.median(fast.cpu_seconds)
    run.record("speedup", mine, "speedup", ratio)
    run.record("speedup", mine, "sequence_speedup", ratio * fast.batch / slow.batch)
    run.record("speedup", mine, "cpu_speedup", cpu)


def wider(case: Case) -> Case:
    """The same backbone with twice the channels and random weights."""
    blocks = case.plain.blocks
    plain = plain_file.random(
        blocks[0].adjacency,
        tuple(2 * len(block.temporal) for block in blocks),
        tuple(block.stride for block in blocks),
        tuple(block.nonlinear for block in blocks),
        len(case.plain.head),
        case.plain.frames,
        case.plain.input_scale.shape[0],
        blocks[0].temporal.shape[2],
    )
    return Case(case.method, plain.effective_layers(), plain, case.backend)


def _shape(case: Case) -> tuple[int, int, int]:
    return case.plain.input_scale.shape[0], case.plain.frames, case.plain.nodes
