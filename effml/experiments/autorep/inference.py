"""What private inference costs: networks at their budgets as party programs, run between two processes, bytes counted.

One pair of processes serves all networks, so that single-image inferences are interleaved round by round. The answers of
a hundred images are compared with the plain ones; time over real links is modelled from what was measured. The fixed-point
format of each network is chosen by training images beforehand; one that no format holds is named in its row and not run.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from effml.errors import MissingRequirement
from effml.experiments.autorep.config import Config
from effml.experiments.autorep.curves import Reached
from effml.experiments.autorep.data import Data
from effml.experiments.autorep.networks import build, model_name
from effml.experiments.core.run import Run
from effml.models.private import ring
from effml.models.private.costs import LINKS, PROTOCOLS, Activations, predict_bytes
from effml.models.private.crypten_engine import CrypTenEngine
from effml.models.private.engine import LINEAR, PartyEngine, Task, Transcript
from effml.models.private.environment import python_of
from effml.models.private.export import export
from effml.models.private.launch import free_port
from effml.models.private.plain import infer
from effml.models.private.program import Program
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.point import degree_of


@dataclass(frozen=True)
class Case:
    """One row of the inference table: a network's program, computed in one way."""

    method: str
    replacement: str
    budget: str
    program: Program
    dense: bool = False
    bits: int = 0

    @property
    def masking(self) -> str:
        return "dense" if self.dense else "gathered"


def engine_of(config: Config) -> PartyEngine:
    """The engine that measures.

    Raises:
        MissingRequirement: its environment has not been made.
        UserError: the port is taken.
    """
    cost = config.cost
    python_of(CrypTenEngine.name)
    free_port(cost.port)
    return CrypTenEngine(cost.weights, cost.port, cost.timeout)


def measure_inference(config: Config, run: Run, data: Data, teacher: GatedNetwork, points: list[Reached]) -> None:
    """Run every case between two processes and record costs, answers, the line through the bytes, and the model's view."""
    engine = engine_of(config)
    count = min(config.cost.images, len(data.test[0]))
    images = data.test[0][slice(0, count)].cpu()
    cases = _that_fit(config, run, data, _cases(config, data, teacher, points), images)
    if not cases:
        return
    alone = [(0, 1)] * (1 + config.cost.rounds)
    chunks = [(start, min(start + config.cost.chunk, count)) for start in range(0, count, config.cost.chunk)]
    tasks = [
        Task(case.program, images, alone if case.dense else alone + chunks, case.dense, case.bits) for case in cases
    ]
    run.log(
        f"private inference: {len(tasks)} networks, {len(alone)} single images and {count} in chunks, two processes"
    )
    transcripts = engine.infer(tasks)
    run.log(f"{transcripts[0].engine}: {transcripts[0].caveat}")
    for case, transcript in zip(cases, transcripts, strict=True):
        _record_case(config, run, data, case, transcript, len(alone), images)
    _record_lines(config, run, data, cases, transcripts)
    _record_protocols(run, engine.name, cases, transcripts)
    _record_predictions(config, run, data, cases)


def _cases(config: Config, data: Data, teacher: GatedNetwork, points: list[Reached]) -> list[Case]:
    cases = [Case("relu", "relu", "100%", export(teacher))]
    for point in points:
        network = build(config, data, degree_of(point.method.replacement))
        network.load_state_dict({key: value.cpu() for key, value in point.state.items()})
        cases.append(Case(str(point.method), point.method.replacement, point.budget, export(network)))
    quadratic = [case for case in cases if case.program.squares]
    if config.cost.dense and quadratic:
        fewest = min(quadratic, key=lambda case: case.program.relus)
        cases.append(Case(fewest.method, fewest.replacement, fewest.budget, fewest.program, dense=True))
    return cases


def _that_fit(config: Config, run: Run, data: Data, cases: list[Case], images: torch.Tensor) -> list[Case]:
    """The cases whose values stay within the ring, with their fractional bits; a row names each of the others and why."""
    known = data.batches.probe(config.train.probe_batches).cpu()
    fitting = []
    for case in cases:
        try:
            bits = ring.fraction_bits(ring.load(case.program, known, case.dense))
            ring.check(ring.load(case.program, images, case.dense), bits)
        except ring.OutOfRange as error:
            where = _place(config, data, case, CrypTenEngine.version)
            run.record("inference", where, "error_max", None, note=f"out of range: {error}")
            run.log(f"{case.method} at {case.budget} ({case.masking}) is not run between two parties: {error}")
        else:
            fitting.append(replace(case, bits=bits))
    return fitting


def _place(config: Config, data: Data, case: Case, engine: str) -> dict[str, Any]:
    """Where a case stands in the table."""
    return {
        "dataset": data.name,
        "model": model_name(config),
        "method": case.method,
        "budget": case.budget,
        "masking": case.masking,
        "engine": engine,
    }


def _record_case(
    config: Config, run: Run, data: Data, case: Case, transcript: Transcript, alone: int, images: torch.Tensor
) -> None:
    where = _place(config, data, case, transcript.engine)
    costs = transcript.by_kind(1)
    total = transcript.total(1)
    seconds = [transcript.total(turn).seconds for turn in range(1, alone)]  # the first one warms up
    wire = [count for count in transcript.wire_bytes[1:alone] if count is not None]
    layers = [operation for operation in case.program.operations if operation.kind == "activation"]
    figures: dict[str, float | None] = {
        "relus": case.program.relus,
        "squares": case.program.squares,
        "linear_layers": sum(not operation.relus for operation in layers),
        "bytes": total.bytes,
        "activation_bytes": costs["activation"].bytes,
        "linear_bytes": sum(costs[kind].bytes for kind in LINEAR if kind in costs),
        "wire_bytes": statistics.median(wire) if wire else None,
        "rounds": total.rounds,
        "fraction_bits": case.bits,
    }
    for metric, value in figures.items():
        run.record("inference", where, metric, value)
    run.record("inference", where, "seconds", statistics.median(seconds), samples=seconds)
    for link in LINKS:
        modelled = link.seconds(statistics.median(seconds), total.bytes, total.rounds)
        run.record("inference", where, f"{link.name}_seconds", modelled, evidence="simulated")
    plain = infer(case.program, images)
    expected = plain[:1].repeat(alone, 1) if case.dense else torch.cat([plain[:1].repeat(alone, 1), plain])
    error = (transcript.logits - expected).abs().max().item()
    run.record("inference", where, "error_max", error)
    if not case.dense:
        same = (transcript.logits[alone:].argmax(1) == plain.argmax(1)).double().mean().item()
        run.record("inference", where, "agreement", same)
    run.log(
        f"{case.method} at {case.budget}{' (dense)' if case.dense else ''}: {case.program.relus:,} ReLUs, "
        f"{total.bytes / 1e6:.2f} MB ({costs['activation'].bytes / 1e6:.2f} for activations), {total.rounds} rounds, "
        f"{statistics.median(seconds):.2f} s; off by {error:.1e} at most"
    )


def _gathered(cases: list[Case], transcripts: list[Transcript]) -> list[tuple[Case, float]]:
    """Cases that gather, with the bytes of their activations."""
    pairs = zip(cases, transcripts, strict=True)
    return [(case, told.by_kind(1)["activation"].bytes) for case, told in pairs if not case.dense]


def _record_lines(config: Config, run: Run, data: Data, cases: list[Case], transcripts: list[Transcript]) -> None:
    """A line through bytes against kept ReLUs, for each replacement with the all-ReLU network as its far end."""
    gathered = _gathered(cases, transcripts)
    for replacement in dict.fromkeys(case.replacement for case, _ in gathered if case.replacement != "relu"):
        chosen = [(case.program.relus, sent) for case, sent in gathered if case.replacement in (replacement, "relu")]
        if len(chosen) < 3:
            continue
        kept, sent = np.array(chosen).T
        slope = np.polyfit(kept, sent, 1)[0]
        where: dict[str, Any] = {
            "dataset": data.name,
            "model": model_name(config),
            "replacement": replacement,
            "engine": transcripts[0].engine,
        }
        run.record("linearity", where, "bytes_per_relu", slope)
        run.record("linearity", where, "r_squared", np.corrcoef(kept, sent)[0, 1] ** 2)


def _record_protocols(run: Run, engine: str, cases: list[Case], transcripts: list[Transcript]) -> None:
    """Bytes of one site: solved from the measured cases for the engine's protocol, the model's for the others."""
    gathered = _gathered(cases, transcripts)
    counts = np.array([[case.program.relus, case.program.squares] for case, _ in gathered], dtype=float)
    sent = np.array([sent for _, sent in gathered])
    if engine == "crypten" and counts[:, 1].any():
        relu, square = np.linalg.lstsq(counts, sent, rcond=None)[0]
        solved = {"relu_bytes": relu, "square_bytes": square, "square_over_relu": square / relu}
        for metric, value in solved.items():
            run.record("protocols", {"protocol": "crypten"}, metric, value)
    for protocol in PROTOCOLS.values():
        if not protocol.measured or (protocol.name == "crypten" and engine == "crypten"):
            continue
        known = {
            "relu_bytes": protocol.relu,
            "square_bytes": protocol.polynomial,
            "affine_bytes": protocol.affine,
            "square_over_relu": protocol.square_over_relu,
        }
        for metric, number in known.items():
            run.record(
                "protocols", {"protocol": protocol.name}, metric, number, evidence="recorded", note=protocol.source
            )
        if (protocol.square_over_relu or 0) > 1:
            run.log(
                f"under {protocol.name} a quadratic site costs {protocol.polynomial:g} bytes and a ReLU {protocol.relu:g}: "
                "squares make inference dearer, only affine replacement saves (replacement auto with "
                f"cost.protocol={protocol.name} takes it)"
            )


def _record_predictions(config: Config, run: Run, data: Data, cases: list[Case]) -> None:
    """The cost model's bytes for each network under each protocol."""
    for case in cases:
        if case.dense:
            continue
        layers = [operation for operation in case.program.operations if operation.kind == "activation"]
        sites = Activations(
            case.program.relus,
            case.program.squares,
            sum(operation.tensors["affine"].numel() for operation in layers),
        )
        for protocol in PROTOCOLS.values():
            where: dict[str, Any] = {
                "dataset": data.name,
                "model": model_name(config),
                "budget": case.budget,
                "replacement": case.replacement,
                "protocol": protocol.name,
            }
            expected = predict_bytes(protocol, sites)
            run.record("predicted", where, "bytes", expected, evidence="simulated", note=protocol.source)


def available(config: Config) -> str | None:
    """None where the engine can run, else what it lacks."""
    try:
        python_of(CrypTenEngine.name)
    except MissingRequirement as missing:
        return str(missing)
    return None
