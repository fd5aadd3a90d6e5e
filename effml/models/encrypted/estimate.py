"""What an inference will take, from counts of operations and a few seconds of timing on the machine at hand.

Operations are timed at three levels, in as many processes at once as will work later (they share memory bandwidth and
caches) and by processor time, which other programs disturb least. A parabola in the number of primes goes through each: key
switching grows with its square, all else about linearly. Nothing of a network's own time is used.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from effml.models.encrypted.backend import Cipher, CkksBackend, Plain
from effml.models.encrypted.evaluate import evaluate_block, evaluate_head
from effml.models.encrypted.layout import Layout
from effml.models.encrypted.ledger import Ledger
from effml.models.encrypted.program import Program
from effml.models.encrypted.simulator import Counter
from effml.models.encrypted.workers import WorkerFailed, fast_folder, shares

OPERANDS = 8  # ciphertexts that are worked on in turn, more than a cache holds
TRANSFER = "transfer"  # a ciphertext from a worker to its parent: written, then read


@dataclass(frozen=True)
class Costs:
    """Seconds of each operation at a few levels: `{operation: {level: seconds}}`."""

    seconds: dict[str, dict[int, float]]

    def at(self, operation: str, level: int) -> float:
        """Seconds of one operation, by a parabola through the levels that were timed."""
        if operation == "conjugate":
            operation = "rotate"
        known = sorted(self.seconds[operation].items())
        levels, times = np.array([item[0] for item in known]), np.array([item[1] for item in known])
        if level <= levels[0]:
            return float(times[0])
        fitted = np.polyval(np.polyfit(levels, times, min(2, len(levels) - 1)), level)
        return float(np.clip(fitted, times.min(), times.max()))

    def total(self, ledger: Ledger) -> float:
        """Seconds of all operations in a ledger, one after the other."""
        return sum(times * self.at(name, level) for name, level, times in ledger.rows())


@dataclass(frozen=True)
class Estimate:
    """Seconds of one inference: `wall` with the workers, `cpu` of all processes, `shares` of the wall time by operation."""

    wall: float
    cpu: float
    shares: dict[str, float]


def estimate(program: Program, costs: Costs, workers: int) -> Estimate:
    """Predict an inference from counts: in every block the slowest worker counts, then what it hands over."""
    start = time.process_time()
    wall = cpu = 0.0
    spent: dict[str, float] = {}
    counter = Counter(program.parameters, program.paired)
    inputs = [[counter.fresh() for _ in range(program.layout.groups(program.network.width))] for _ in program.inputs]
    for stage in program.stages:
        groups = shares(stage, workers)
        ledgers = []
        outputs: dict[int, list[Cipher]] = {}
        for share in groups:
            counter.ledger = Ledger()
            outputs.update(evaluate_block(program, stage, counter, inputs, share))
            ledgers.append(counter.ledger)
        inputs = [outputs[target] for target in range(len(stage.targets))]
        slowest = max(ledgers, key=costs.total)
        handed = 0.0
        if len(groups) > 1:
            handed = len(inputs) * len(inputs[0]) * costs.at(TRANSFER, stage.level_after)
        wall += costs.total(slowest) + handed
        cpu += sum(costs.total(ledger) for ledger in ledgers) + handed
        for name, level, times in slowest.rows():
            spent[name] = spent.get(name, 0.0) + times * costs.at(name, level)
    counter.ledger = Ledger()
    evaluate_head(program, counter, inputs)
    head = costs.total(counter.ledger)
    for name, level, times in counter.ledger.rows():
        spent[name] = spent.get(name, 0.0) + times * costs.at(name, level)
    overhead = time.process_time() - start  # what Python itself takes between operations: the same loops
    wall, cpu = wall + head + overhead / workers, cpu + head + overhead
    return Estimate(wall, cpu, {name: seconds / wall for name, seconds in spent.items()})


def calibrate(backend: CkksBackend, layout: Layout, seconds: float = 5.0, processes: int = 1) -> Costs:
    """Time every operation of a back end that holds keys, in so many processes at once.

    Args:
        seconds: about how long it takes.

    Raises:
        WorkerFailed: a timing process died.
    """
    if processes == 1:
        return Costs(_time_all(backend, layout, seconds))
    found = []
    with tempfile.TemporaryDirectory(prefix="effml-he-") as name:
        children = {}
        for number in range(processes):
            path = Path(name) / f"{number}.json"
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    path.write_text(json.dumps(_time_all(backend, layout, seconds)))
                    code = 0
                finally:
                    os._exit(code)
            children[child] = path
        for child, path in children.items():
            _, status = os.waitpid(child, 0)
            if status != 0:
                raise WorkerFailed(f"a timing process ended with status {status}")
            found.append(json.loads(path.read_text()))
    merged = {
        operation: {
            int(level): statistics.fmean(one[operation][level] for one in found) for level in found[0][operation]
        }
        for operation in found[0]
    }
    return Costs(merged)


def _time_all(backend: CkksBackend, layout: Layout, seconds: float) -> dict[str, dict[int, float]]:
    top = backend.parameters.levels
    levels = sorted({1, max(1, top // 2), top})
    fresh = backend.encrypt(np.random.default_rng(0).normal(size=backend.parameters.slots))
    found: dict[str, dict[int, float]] = {}
    ledger, backend.ledger = backend.ledger, Ledger()
    one = backend.parameters.ciphertext_bytes(top)
    with tempfile.TemporaryDirectory(prefix="effml-he-", dir=fast_folder(one)) as folder:
        for level in levels:
            several = [backend.add(x, x) for x in [backend.drop(fresh, level)] * OPERANDS]
            calls = _calls(backend, layout, several, Path(folder) / "one.ct")
            for name, (make, act) in calls.items():
                found.setdefault(name, {})[level] = _median_of(make, act, seconds / (len(levels) * len(calls)))
    backend.ledger = ledger
    return found


def _calls(
    backend: CkksBackend, layout: Layout, several: list[Cipher], path: Path
) -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """For each operation: what gives its operand, in turns or anew where it works in place, and the operation."""
    x = several[0]
    level = x.level
    step = min(backend.steps, key=abs)
    values = np.random.default_rng(1).normal(size=layout.channels) + (1j if backend.conjugates else 0)
    pattern = layout.pattern(values, layout.reachable(1), layout.channel_step)
    plains = [backend.encode(pattern, level, x.scale) for _ in several]
    product, square = backend.mul_plain(x, plains[0]), backend.mul(x, x)
    turn, pairs = cycle(several), cycle(list(zip(several, plains, strict=True)))

    def handed(x: Cipher) -> None:
        backend.save(x, path)
        backend.load(path, x.level, x.scale)

    def one() -> Cipher:
        return next(turn)

    def both() -> tuple[Cipher, Plain]:
        return next(pairs)

    return {
        "rotate": (one, lambda x: backend.rotate(x, step)),
        "mul_plain": (both, lambda pair: backend.mul_plain(*pair)),
        "mul": (one, lambda x: backend.mul(x, x)),
        "add": (one, lambda x: backend.accumulate(x, several[0])),
        "add_plain": (both, lambda pair: backend.add_plain(*pair)),
        "encode": (one, lambda x: backend.encode(pattern, level, x.scale)),
        "encode_constant": (one, lambda x: backend.constant(0.5, level, x.scale)),
        "drop": (one, lambda x: backend.drop(x, level - 1)),
        TRANSFER: (one, handed),
        "relinearise": (lambda: backend.add(square, square), backend.relinearise),
        "rescale": (lambda: backend.add(product, product), backend.rescale),
    }


def _median_of(make: Callable[[], Any], act: Callable[[Any], object], allowed: float) -> float:
    """Median seconds of `act` on what `make` gives, after one call to warm up; at least three samples.

    Results are kept for a while: memory just freed would be faster to write than an inference finds it.
    """
    kept = deque([act(make())], maxlen=4 * OPERANDS)
    samples: list[float] = []
    end = time.perf_counter() + allowed
    while len(samples) < 3 or (time.perf_counter() < end and len(samples) < 200):
        given = make()
        start = time.process_time()
        made = act(given)
        samples.append(time.process_time() - start)
        kept.append(made)
    return statistics.median(samples)
