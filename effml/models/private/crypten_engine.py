"""CrypTen between two processes: the engine of the paper. 64-bit ring, Beaver triples, online phase.

Knows CrypTen only by the script that its parties run in an environment of their own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from effml.models.private import crypten_party
from effml.models.private.engine import Cost, Task, Transcript
from effml.models.private.environment import CRYPTEN, module_path, python_of
from effml.models.private.launch import Command, free_port, run_parties

CAVEAT = (
    "online phase only: CrypTen's first party makes the multiplication triples, so there is no offline cost, and no "
    "security against that party"
)


class CrypTenEngine:
    """See `PartyEngine`.

    Args:
        weights: `secret` (shared by the server) or `public` (known to both, so that linear layers cost nothing).
        port: 0 for any that is free.
        timeout: seconds for one call of `infer`.
        threads: of each party.
        started: called with the two process ids.
    """

    name = "crypten"
    version = CRYPTEN.replace("==", " ")

    def __init__(
        self,
        weights: str = "secret",
        port: int = 0,
        timeout: float = 600.0,
        threads: int = 1,
        started: Callable[[list[int]], None] = lambda pids: None,
    ) -> None:
        if weights not in ("secret", "public"):
            raise ValueError(f"weights are secret or public, not {weights!r}")
        self.weights, self.port, self.timeout, self.threads, self.started = weights, port, timeout, threads, started

    def infer(self, tasks: Sequence[Task]) -> list[Transcript]:
        python = python_of(self.name)
        port = free_port(self.port)
        with tempfile.TemporaryDirectory(prefix="effml-parties-") as name:
            folder = Path(name)
            self._write(folder, tasks, port)
            environment = {"PYTHONPATH": module_path(), "PYTHONWARNINGS": "ignore"}
            commands = [
                Command(who, [str(python), crypten_party.__file__, str(folder), str(rank)], environment)
                for rank, who in ((crypten_party.SERVER, "server"), (crypten_party.CLIENT, "client"))
            ]
            run_parties(commands, self.timeout, started=self.started)
            told = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
            answers = [torch.load(folder / "client" / f"logits{i}.pt", weights_only=True) for i in range(len(tasks))]
        return [
            Transcript(logits, _costs(server["runs"], client["runs"]), told[0]["engine"], CAVEAT, server["wire"])
            for logits, server, client in zip(answers, told[0]["tasks"], told[1]["tasks"], strict=True)
        ]

    def _write(self, folder: Path, tasks: Sequence[Task], port: int) -> None:
        """Three folders: what both parties may read, and what only the server or only the client may."""
        for part in ("public", "server", "client"):
            (folder / part).mkdir()
        for index, task in enumerate(tasks):
            task.program.save(folder / "public" / f"program{index}.pt", folder / "server" / f"weights{index}.pt")
            torch.save(task.images.detach().float().cpu().contiguous(), folder / "client" / f"images{index}.pt")
        job = {
            "port": port,
            "weights": self.weights,
            "threads": self.threads,
            "tasks": [
                {"batches": task.batches, "dense": task.dense, "fraction_bits": task.fraction_bits} for task in tasks
            ],
        }
        (folder / "public" / "job.json").write_text(json.dumps(job))


def _costs(server: list[Any], client: list[Any]) -> list[list[Cost]]:
    """Costs per batch and operation. Each party counts what it sends and what it receives, so that the mean of the two is
    what crossed the wire; rounds are the same for both, and the slower one's time counts."""
    runs = []
    for ours, theirs in zip(server, client, strict=True):
        pairs = zip(ours, theirs, strict=True)
        runs.append(
            [
                Cost(
                    one["kind"],
                    one["name"],
                    (one["bytes"] + two["bytes"]) / 2,
                    max(one["rounds"], two["rounds"]),
                    max(one["seconds"], two["seconds"]),
                )
                for one, two in pairs
            ]
        )
    return runs
