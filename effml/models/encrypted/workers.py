"""A block's output pairs computed by forked processes, which share keys and inputs with their parent unseen.

SEAL's Python bindings hold the interpreter's lock, so threads gain nothing. A fork is safe only where no other thread runs:
the process that forks is the server's own, which imports neither torch nor numba. Results come back as files.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from effml.models.encrypted.backend import CkksBackend
from effml.models.encrypted.convolve import NodeCiphers
from effml.models.encrypted.evaluate import evaluate_block, evaluate_head
from effml.models.encrypted.ledger import Ledger
from effml.models.encrypted.program import Program, Stage

MEMORY = Path("/dev/shm")


class WorkerFailed(RuntimeError):
    """A worker ended without a result; the message says how."""


@dataclass
class Report:
    """What an evaluation took.

    Attributes:
        seconds: wall time.
        cpu_seconds: of all processes.
        layer_seconds: wall time by block, then the head.
        peak_bytes: resident memory of the parent and what its workers had of their own, at the worst moment seen.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    layer_seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    workers: int = 1
    ledger: Ledger = field(default_factory=Ledger)


def shares(stage: Stage, workers: int) -> list[list[int]]:
    """Output pairs by worker: neighbours together, so that few rotated inputs are made twice; about equal work."""
    cost = [(stage.temporal_level(pair) + 2) ** 2 + (stage.level + 2) ** 2 / 2 for pair in stage.targets]
    total, done = sum(cost), 0.0
    held: list[list[int]] = [[] for _ in range(workers)]
    for target, weight in enumerate(cost):
        held[min(workers - 1, int((done + weight / 2) * workers / total))].append(target)
        done += weight
    return [share for share in held if share]


def evaluate_parallel(
    program: Program, backend: CkksBackend, inputs: list[NodeCiphers], workers: int = 1
) -> tuple[NodeCiphers, Report]:
    """The whole network, every block by `workers` processes.

    Raises:
        WorkerFailed: a worker died, or this process has threads and so cannot fork.
    """
    report = Report(workers=workers)
    backend.ledger = report.ledger
    begin, cpu = time.perf_counter(), _cpu()
    for stage in program.stages:
        start = time.perf_counter()
        groups = shares(stage, workers)
        if len(groups) == 1:
            outputs = evaluate_block(program, stage, backend, inputs)
        else:
            outputs = _forked(program, stage, backend, inputs, groups, report)
        inputs = [outputs[target] for target in range(len(stage.targets))]
        report.peak_bytes = max(report.peak_bytes, resident())
        report.layer_seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    logits = evaluate_head(program, backend, inputs)
    report.layer_seconds.append(time.perf_counter() - start)
    report.seconds, report.cpu_seconds = time.perf_counter() - begin, _cpu() - cpu
    return logits, report


def _forked(
    program: Program,
    stage: Stage,
    backend: CkksBackend,
    inputs: list[NodeCiphers],
    groups: list[list[int]],
    report: Report,
) -> dict[int, NodeCiphers]:
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and len(list(tasks.iterdir())) > 1:
        raise WorkerFailed("this process runs threads and cannot fork safely; serve in a process of its own")
    before = resident()
    handed = len(stage.targets) * program.layout.groups(stage.out) * program.parameters.ciphertext_bytes(stage.level)
    with tempfile.TemporaryDirectory(prefix="effml-he-", dir=fast_folder(handed)) as name:
        folder = Path(name)
        children = {}
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            for number, share in enumerate(groups):
                child = os.fork()
                if child == 0:
                    _work(program, stage, backend, inputs, share, folder / f"{number}.json")
                children[child] = number
            waiting = set(children)
            while waiting:
                child, status = os.wait()
                if child not in waiting:
                    continue
                waiting.discard(child)
                if status != 0:
                    told = folder / f"{children[child]}.error"
                    how = told.read_text() if told.is_file() else f"ended with status {status}"
                    raise WorkerFailed(f"a worker of the server failed: {how.strip()}")
                del children[child]
        finally:
            for child in children:
                _end(child)
        outputs: dict[int, NodeCiphers] = {}
        own = 0
        for number in range(len(groups)):
            told = json.loads((folder / f"{number}.json").read_text())
            own += told["own_bytes"]
            report.ledger.merge(Ledger(tuple(row) for row in told["ledger"]))
            for target, held in told["outputs"]:
                outputs[target] = [backend.load(folder / name, level, scale) for name, level, scale in held]
        report.peak_bytes = max(report.peak_bytes, before + own)
    return outputs


def _work(
    program: Program, stage: Stage, backend: CkksBackend, inputs: list[NodeCiphers], share: list[int], told: Path
) -> None:
    """What a worker does, to its end; never returns."""
    code = 1
    try:
        _die_with_parent()
        backend.ledger = Ledger()
        shared = resident()
        outputs = []
        for target, groups in evaluate_block(program, stage, backend, inputs, share).items():
            held = []
            for group, x in enumerate(groups):
                name = f"{target}-{group}.ct"
                backend.save(x, told.parent / name)
                held.append((name, x.level, x.scale))
            outputs.append((target, held))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        found = {"outputs": outputs, "ledger": backend.ledger.rows(), "own_bytes": max(0, peak - shared)}
        told.write_text(json.dumps(found))
        code = 0
    except BaseException:
        told.with_suffix(".error").write_text(traceback.format_exc(limit=-3))
    finally:
        os._exit(code)


def fast_folder(needed: int) -> Path | None:
    """A folder in memory with room for so many bytes twice over, else None: the usual place for temporary files."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 * needed:
        return MEMORY
    return None


def _die_with_parent() -> None:
    """On Linux, a worker is killed when the server is."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def resident() -> int:
    """Bytes of this process in memory now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cpu() -> float:
    """Process time of this process and its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
