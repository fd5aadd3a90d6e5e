"""One party of a private inference under CrypTen: `python crypten_party.py JOB_FOLDER RANK`. Run by the engine, not by hand.

Rank 0 is the server (weights), rank 1 the client (images, logits). Each reads what it may know and nothing else. Runs in
CrypTen's own environment and imports torch, CrypTen and the program's form alone.

CrypTen 0.4.1 imports an ONNX converter that torch has since outgrown, and that nothing here needs: `repaired_crypten` puts
an empty module in its place. All repairs to CrypTen are in that function.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from effml.models.private.program import Operation, Program

SERVER, CLIENT = 0, 1


def repaired_crypten() -> Any:
    """CrypTen, imported without its ONNX converter."""
    converter = types.ModuleType("crypten.nn.onnx_converter")
    converter.from_onnx = converter.from_pytorch = converter.from_tensorflow = None  # type: ignore[attr-defined]
    converter.TF_AND_TF2ONNX = False  # type: ignore[attr-defined]
    sys.modules["crypten.nn.onnx_converter"] = converter
    import crypten

    return crypten


def rounded(value: Tensor, bits: int) -> Tensor:
    """The nearest multiples of 2^-bits, float32. CrypTen cuts off what its fractional bits do not hold, which shrinks every
    weight a little, in every layer the same way, and makes the logits twenty times less exact than rounding does."""
    return ((value.double() * 2**bits).round() / 2**bits).float()


class Party:
    """One party's side of one task."""

    def __init__(self, crypten: Any, job: dict[str, Any], index: int, folder: Path, rank: int) -> None:
        self.crypten, self.rank = crypten, rank
        self.public_weights, self.dense = job["weights"] == "public", job["tasks"][index]["dense"]
        self.bits = job["tasks"][index]["fraction_bits"]
        secret = folder / "server" / f"weights{index}.pt" if rank == SERVER else None
        images = folder / "client" / f"images{index}.pt"
        self.program = Program.load(folder / "public" / f"program{index}.pt", secret)
        self.images = torch.load(images, weights_only=True) if rank == CLIENT else None
        self.comm = crypten.communicator.get()
        with self._fixed_point():
            self.weights = {operation.name: self._weights(operation) for operation in self.program.operations}

    def _fixed_point(self) -> Any:
        """Within it, everything is encoded with this task's fractional bits."""
        from crypten.config import cfg

        return cfg.temp_override({"encoder.precision_bits": self.bits})

    def _rounded(self, value: Tensor) -> Tensor:
        return rounded(value, self.bits)

    def infer(self, start: int, stop: int) -> tuple[Tensor | None, list[dict[str, Any]]]:
        """Logits (the client's alone) of images start..stop, and what each operation cost."""
        with self._fixed_point():
            return self._infer(start, stop)

    def _infer(self, start: int, stop: int) -> tuple[Tensor | None, list[dict[str, Any]]]:
        values: dict[str, Any] = {}
        costs = []
        for operation in self.program.operations:
            before, began = self._traffic(), time.perf_counter()
            if operation.kind == "input":
                shape = (stop - start, *self.program.image)
                own = self._rounded(self.images[start:stop]) if self.images is not None else torch.empty(shape)
                values[operation.name] = self.crypten.cryptensor(own, src=CLIENT)
            else:
                inputs = [values[name] for name in operation.inputs]
                values[operation.name] = self._apply(operation, inputs)
            costs.append(self._cost(operation.kind, operation.name, before, began))
        before, began = self._traffic(), time.perf_counter()
        logits = values[self.program.operations[-1].name].get_plain_text(dst=CLIENT)
        costs.append(self._cost("output", "output", before, began))
        return (logits if self.rank == CLIENT else None), costs

    def _traffic(self) -> tuple[int, float]:
        return self.comm.comm_rounds, self.comm.comm_bytes

    def _cost(self, kind: str, name: str, before: tuple[int, float], began: float) -> dict[str, Any]:
        seconds = time.perf_counter() - began
        rounds, sent = self._traffic()
        return {
            "kind": kind,
            "name": name,
            "rounds": rounds - before[0],
            "bytes": sent - before[1],
            "seconds": seconds,
        }

    def _weights(self, operation: Operation) -> dict[str, Any]:
        """Weights as the protocol has them: shares of the server's, or plain for both where the job says so."""
        held = {}
        for key, shape in operation.settings.get("secret_shapes", {}).items():
            own = self._rounded(operation.tensors[key]) if self.rank == SERVER else torch.empty(shape)
            shared = self.crypten.cryptensor(own, src=SERVER)
            held[key] = shared.get_plain_text() if self.public_weights else shared
        return held

    def _apply(self, operation: Operation, inputs: list[Any]) -> Any:
        x, held, settings = inputs[0], self.weights[operation.name], operation.settings
        if operation.kind == "conv":
            y = x.conv2d(
                held["weight"],
                stride=tuple(settings["stride"]),
                padding=tuple(settings["padding"]),
                groups=settings["groups"],
            )
            return y + held["bias"].reshape(1, -1, 1, 1)
        if operation.kind == "scale":
            return x * held["weight"].reshape(1, -1, 1, 1) + held["bias"].reshape(1, -1, 1, 1)
        if operation.kind == "add":
            return x + inputs[1]
        if operation.kind == "activation":
            return self._dense(x, operation) if self.dense else self._gathered(x, operation)
        if operation.kind == "average":
            return x.avg_pool2d(settings["size"], stride=settings["stride"])
        if operation.kind == "mean":
            return x.mean((2, 3)).reshape(x.shape[0], x.shape[1], 1, 1)
        if operation.kind == "flatten":
            return x.reshape(x.shape[0], -1)
        if operation.kind == "linear":
            return x.matmul(held["weight"].t()) + held["bias"]
        raise ValueError(f"unknown operation {operation.kind}")

    def _gathered(self, x: Any, operation: Operation) -> Any:
        """Each kind of site gathered by its public index, computed, and put back in place."""
        tensors = operation.tensors
        flat = x.reshape(x.shape[0], -1)
        sites = flat.shape[1]
        listed = torch.cat([tensors[key] for key in ("relu", "square", "affine")])
        if not len(listed):
            return x
        untouched = torch.ones(sites, dtype=torch.bool)
        untouched[listed] = False
        parts, places = [], []
        if len(tensors["relu"]):
            parts.append(flat[:, tensors["relu"]].relu())
            places.append(tensors["relu"])
        if len(tensors["square"]):
            z = flat[:, tensors["square"]]
            c0, c1, c2 = (self._rounded(tensors[f"square_c{power}"]) for power in range(3))
            parts.append(z.square() * c2 + z * c1 + c0)
            places.append(tensors["square"])
        if len(tensors["affine"]):
            z = flat[:, tensors["affine"]]
            parts.append(z * self._rounded(tensors["affine_c1"]) + self._rounded(tensors["affine_c0"]))
            places.append(tensors["affine"])
        if bool(untouched.any()):
            places.append(untouched.nonzero().flatten())
            parts.append(flat[:, places[-1]])
        order = torch.argsort(torch.cat(places))
        whole = self.crypten.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return whole[:, order].reshape(x.shape)

    def _dense(self, x: Any, operation: Operation) -> Any:
        """`m relu(x) + (1 - m) polynomial(x)` over every site: what must not be done, kept to be measured against."""
        tensors = operation.tensors
        flat = x.reshape(x.shape[0], -1)
        mask, c0, c1, c2 = torch.zeros(4, flat.shape[1])
        mask[tensors["relu"]] = 1
        c1[:] = 1 - mask
        for key in ("square", "affine"):
            c0[tensors[key]] = self._rounded(tensors[f"{key}_c0"])
            c1[tensors[key]] = self._rounded(tensors[f"{key}_c1"])
        c2[tensors["square"]] = self._rounded(tensors["square_c2"])
        return (flat.relu() * mask + flat.square() * c2 + flat * c1 + c0).reshape(x.shape)


def main(folder: Path, rank: int) -> None:
    """Take part in the job of `folder`; leave `RANK.json` (costs) and, as the client, `client/logits*.pt`."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    job = json.loads((folder / "public" / "job.json").read_text())
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE="2",
        RENDEZVOUS=f"tcp://127.0.0.1:{job['port']}",
        DISTRIBUTED_BACKEND="gloo",
    )
    torch.set_num_threads(job["threads"])
    crypten = repaired_crypten()
    crypten.init()
    from crypten.config import cfg

    cfg.communicator.verbose = True
    tasks = job["tasks"]
    parties = [Party(crypten, job, index, folder, rank) for index in range(len(tasks))]
    told: list[dict[str, list[Any]]] = [{"runs": [], "wire": []} for _ in tasks]
    answers: list[list[Tensor]] = [[] for _ in tasks]
    for turn in range(max(len(task["batches"]) for task in tasks)):
        for index, (task, party) in enumerate(zip(tasks, parties, strict=True)):
            if turn >= len(task["batches"]):
                continue
            before = _loopback_bytes()
            logits, costs = party.infer(*task["batches"][turn])
            after = _loopback_bytes()
            told[index]["runs"].append(costs)
            told[index]["wire"].append(None if before is None or after is None else after - before)
            if logits is not None:
                answers[index].append(logits)
    for index, parts in enumerate(answers):
        if rank == CLIENT:
            torch.save(torch.cat(parts), folder / "client" / f"logits{index}.pt")
    (folder / f"{rank}.json").write_text(json.dumps({"tasks": told, "engine": f"crypten {crypten.__version__}"}))
    crypten.uninit()


def _loopback_bytes() -> float | None:
    """Bytes that the loopback interface has sent since the machine started; None where that cannot be read."""
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()
    except OSError:
        return None
    counts = [line.partition(":")[2].split() for line in lines if line.strip().startswith("lo:")]
    return float(counts[0][8]) if counts else None


def _leave_with_parent() -> None:
    """End when the parent does: it holds the other end of standard input."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
