"""Single operations on ciphertexts: both libraries with the same parameters, in turns, each checked before it is timed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from effml.experiments.core.measure import interleave
from effml.experiments.core.run import Run
from effml.experiments.lingcn.config import Config
from effml.models.encrypted.backend import Cipher, CkksBackend
from effml.models.encrypted.layout import Layout
from effml.models.encrypted.libraries import library
from effml.models.encrypted.parameters import LIMITS, Parameters

ENDS, SCALE = 60, 40  # bits; with them rings 2^13, 2^14, 2^15 have 2, 7, 19 levels
TOLERANCE = 1e-3

Operation = tuple[Callable[[], Any], "ndarray | None"]


def measure_micro(config: Config, run: Run) -> None:
    """Table micro."""
    for power in run.progress(config.micro.log_rings, "rings"):
        ring = 2**power
        levels = (LIMITS[ring] - 2 * ENDS) // SCALE
        parameters = Parameters(ring, (ENDS, *[SCALE] * levels, ENDS))
        run.log(parameters.verdict())
        backends = {name: library(name).client(parameters, {1}, False) for name in config.micro.backends}
        made = {name: _operations(backend, run.numpy("slots")) for name, backend in backends.items()}
        for name, backend in backends.items():
            where = {"ring": ring, "levels": levels, "backend": name}
            _check(backend, made[name])
            held = _key_bytes(backend)
            run.record("micro", {**where, "operation": "one rotation key"}, "bytes", held)
            run.record(
                "micro", {**where, "operation": "one rotation key"}, "formula_bytes", parameters.key_bytes + 8 * ring
            )
        products: dict[str, float] = {}
        for operation in made[config.micro.backends[0]]:
            calls = {name: made[name][operation][0] for name in made}
            timings = interleave(calls, rounds=config.micro.rounds, warmup=1)
            for name, timing in timings.items():
                mine = {"ring": ring, "levels": levels, "backend": name, "operation": operation}
                run.record("micro", mine, "seconds", timing.median, samples=timing.samples)
                if operation == "plain product":
                    products[name] = timing.median
                if operation == "rotation":
                    run.record("micro", mine, "over_plain_product", timing.median / products[name])


def _operations(backend: CkksBackend, draw: np.random.Generator) -> dict[str, Operation]:
    """Each operation with the slots that it has to give, None where it gives no ciphertext."""
    slots = backend.parameters.slots
    layout = Layout(slots, 1, slots, slots)
    a, b = draw.normal(size=(2, slots))
    pattern = layout.pattern(np.ones(1), b)
    x, y = backend.encrypt(a), backend.encrypt(b)
    low = backend.drop(x, 1)
    level = x.level
    plain = backend.encode(pattern, level, x.scale)
    return {
        "encode": (lambda: backend.encode(pattern, level, x.scale), None),
        "encrypt": (lambda: backend.encrypt(a), a),
        "decrypt": (lambda: backend.decrypt(x), None),
        "addition": (lambda: backend.add(x, y), a + b),
        "plain product": (lambda: backend.mul_plain(x, plain), a * b),
        "plain product, rescaled": (lambda: backend.rescale(backend.mul_plain(x, plain)), a * b),
        "product, relinearised": (lambda: backend.relinearise(backend.mul(x, y)), a * b),
        "rotation": (lambda: backend.rotate(x, 1), np.roll(a, -1)),
        "rotation at level 1": (lambda: backend.rotate(low, 1), np.roll(a, -1)),
    }


def _check(backend: CkksBackend, operations: dict[str, Operation]) -> None:
    for name, (call, expected) in operations.items():
        if expected is None:
            continue
        result: Cipher = call()
        error = float(np.abs(backend.decrypt(result).real - expected).max())
        if error > TOLERANCE:
            raise ArithmeticError(f"{backend.name}: {name} is off by {error:.1e}")


def _key_bytes(backend: CkksBackend) -> int:
    """Bytes of the file with one rotation key, as the library writes it."""
    with tempfile.TemporaryDirectory() as folder:
        backend.save_keys(Path(folder))
        return (Path(folder) / "rotation.key").stat().st_size
