"""The side that computes: a process of its own that holds a network and a client's public, relinearisation and rotation keys.

    python -m effml.models.encrypted.server MODEL.npz OFFER.json [--backend B] [--workers N] [--unfused] ...

It writes its offer, then answers JSON lines on standard input with JSON lines on standard output: {"keys": FOLDER},
{"infer": FOLDER, "out": FOLDER}, {"calibrate": SECONDS}, {"decrypt": FOLDER}, the last of which it cannot do. It ends when
its input does. It imports neither torch nor numba, so that it may fork.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effml.errors import MissingRequirement, Outcome, UserError
from effml.models.encrypted.backend import CkksBackend
from effml.models.encrypted.count import count
from effml.models.encrypted.estimate import calibrate
from effml.models.encrypted.exchange import Offer, Seal, read_ciphers, read_manifest, write_ciphers
from effml.models.encrypted.fold import fold
from effml.models.encrypted.libraries import BACKENDS, library
from effml.models.encrypted.parameters import choose
from effml.models.encrypted.program import Program, lay_out
from effml.models.encrypted.unfused import leave
from effml.models.encrypted.workers import WorkerFailed, evaluate_parallel, resident
from effml.models.stgcn import plain_file


class Server:
    """A network, and one client's keys once they have come."""

    def __init__(self, program: Program, backend: str, workers: int) -> None:
        self.program, self.workers = program, workers
        self.offer = Offer.of(program, backend, count(program).wanted)
        self.backend: CkksBackend | None = None
        self.seal: Seal | None = None

    def take_keys(self, folder: Path) -> dict[str, Any]:
        """Read a client's keys.

        Raises:
            MissingRequirement, UserError: keys that are missing, damaged, or of other parameters.
        """
        start = time.perf_counter()
        seal, _ = read_manifest(folder, "keys")
        mine = (self.offer.backend, self.offer.parameters.digest)
        if (seal.backend, seal.parameters) != mine:
            raise UserError(
                f"keys were made with {seal.backend} and parameters {seal.parameters}; this server has {mine[0]} and {mine[1]}"
            )
        self.backend = library(self.offer.backend).server(self.offer.parameters, self.offer.steps, folder)
        self.seal = seal
        return {"seconds": time.perf_counter() - start, "resident_bytes": resident()}

    def infer(self, folder: Path, out: Path) -> dict[str, Any]:
        """Evaluate the network on the sequences in a folder; logits go to another.

        Raises:
            MissingRequirement, UserError: no keys yet, or sequences that are damaged, of other parameters or other keys.
        """
        if self.backend is None or self.seal is None:
            raise UserError("the server has no keys yet; send them first")
        start = time.perf_counter()
        shape = (len(self.offer.pairs), self.offer.layout.groups(self.offer.width))
        inputs = read_ciphers(folder, "sequences", self.seal, self.backend, shape)
        reading = time.perf_counter() - start
        logits, report = evaluate_parallel(self.program, self.backend, inputs, self.workers)
        start = time.perf_counter()
        sent = write_ciphers(out, "logits", self.seal, self.backend, [logits])
        return {
            "read_seconds": reading,
            "seconds": report.seconds,
            "cpu_seconds": report.cpu_seconds,
            "layer_seconds": report.layer_seconds,
            "write_seconds": time.perf_counter() - start,
            "peak_bytes": report.peak_bytes,
            "sent_bytes": sent,
            "ledger": report.ledger.rows(),
        }

    def calibrate(self, seconds: float) -> dict[str, Any]:
        """Time each operation with the client's keys, in as many processes as will compute."""
        if self.backend is None:
            raise UserError("the server has no keys yet; send them first")
        return {"costs": calibrate(self.backend, self.offer.layout, seconds, self.workers).seconds}

    def decrypt(self, folder: Path) -> dict[str, Any]:
        """What a curious server would try.

        Raises:
            MissingRequirement: always, for want of the secret key.
        """
        if self.backend is None or self.seal is None:
            raise UserError("the server has no keys yet; send them first")
        shape = (len(self.offer.pairs), self.offer.layout.groups(self.offer.width))
        inputs = read_ciphers(folder, "sequences", self.seal, self.backend, shape)
        return {"slots": [float(value) for value in self.backend.decrypt(inputs[0][0]).real]}

    def answer(self, line: str) -> dict[str, Any]:
        """The reply to one request: its result, or {"error": ..., "code": ...}."""
        try:
            request = json.loads(line)
            if "keys" in request:
                return self.take_keys(Path(request["keys"]))
            if "infer" in request:
                return self.infer(Path(request["infer"]), Path(request["out"]))
            if "calibrate" in request:
                return self.calibrate(float(request["calibrate"]))
            if "decrypt" in request:
                return self.decrypt(Path(request["decrypt"]))
            raise UserError(f"a server knows keys, infer, calibrate and decrypt, not {', '.join(request)}")
        except Outcome as outcome:
            return {"error": str(outcome), "code": outcome.code}
        except WorkerFailed as failure:
            return {"error": str(failure), "code": 1}
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"not a request: {error}", "code": UserError.code}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="effml.models.encrypted.server", description="serve an encrypted ST-GCN")
    parser.add_argument("model", type=Path, help="a network written by suite=train (.npz)")
    parser.add_argument("offer", type=Path, help="where to write what clients need to know")
    parser.add_argument("--backend", choices=BACKENDS, default="sealapi")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help="one node a ciphertext")
    parser.add_argument("--unfused", action="store_true", help="every factor multiplied by itself, as in CryptoGCN")
    parser.add_argument("--scale-bits", type=int)
    parser.add_argument("--end-bits", type=int)
    parser.add_argument("--ring", type=int)
    parser.add_argument("--insecure", action="store_true", help="allow less than 128-bit security")
    asked = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that workers are ended on the way out
    try:
        model = plain_file.load(asked.model)
        network = leave(model) if asked.unfused else fold(model)
        parameters = choose(network.levels, asked.scale_bits, asked.end_bits, asked.ring, asked.insecure)
        paired = not (asked.alone or asked.unfused) and library(asked.backend).conjugates
        program = lay_out(network, parameters, paired)
        server = Server(program, asked.backend, asked.workers)
        server.offer.write(asked.offer)
    except (UserError, MissingRequirement) as error:
        print(json.dumps({"error": str(error), "code": error.code}), flush=True)
        return error.code
    print(json.dumps({"ready": parameters.verdict()}), flush=True)
    for line in sys.stdin:
        print(json.dumps(server.answer(line)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
