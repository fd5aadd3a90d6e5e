"""One network's answers to encrypted sequences: a server started for it, a client's keys, sequences up, logits down.

The client is this process, the server another; keys and ciphertexts go through a folder that is removed afterwards.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from effml.experiments.lingcn.config import Config
from effml.models.encrypted.client import Client
from effml.models.encrypted.estimate import Costs
from effml.models.encrypted.exchange import Offer
from effml.models.encrypted.fold import FoldedNetwork, fold
from effml.models.encrypted.ledger import Ledger
from effml.models.encrypted.libraries import library
from effml.models.encrypted.parameters import Parameters, choose
from effml.models.encrypted.program import Program, lay_out
from effml.models.encrypted.remote import RemoteServer
from effml.models.encrypted.unfused import leave
from effml.models.stgcn.plain import PlainSTGCN
from effml.models.stgcn.plain_file import save

UNFUSED = "cryptogcn"


@dataclass(frozen=True)
class Case:
    """A network and the way in which it is computed.

    Attributes:
        method: what a table calls it; `cryptogcn` is computed unfused.
        layers: n.
    """

    method: str
    layers: int
    plain: PlainSTGCN
    backend: str

    @property
    def unfused(self) -> bool:
        return self.method == UNFUSED

    @property
    def name(self) -> str:
        return f"{self.method} n={self.layers} ({self.backend})"

    def folded(self) -> FoldedNetwork:
        return leave(self.plain) if self.unfused else fold(self.plain)

    def parameters(self, config: Config) -> Parameters:
        """Raises UserError: no ring, or not the one asked for, is secure with as many levels."""
        asked = config.encrypt
        return choose(self.folded().levels, asked.scale_bits, asked.end_bits, asked.ring, asked.insecure)

    def program(self, config: Config) -> Program:
        paired = not self.unfused and library(self.backend).conjugates
        return lay_out(self.folded(), self.parameters(config), paired)

    def options(self, config: Config) -> list[str]:
        """Words for the server's command line."""
        asked = config.encrypt
        words = ["--backend", self.backend, "--workers", str(asked.workers)]
        words += ["--unfused"] if self.unfused else []
        for name, value in (("scale-bits", asked.scale_bits), ("end-bits", asked.end_bits), ("ring", asked.ring)):
            words += [f"--{name}", str(value)] if value is not None else []
        return words + (["--insecure"] if asked.insecure else [])


@dataclass
class Answers:
    """What came back, and what it took.

    Attributes:
        logits: `[n, classes]`.
        batch: sequences that one set of ciphertexts carries.
        seconds, cpu_seconds, peak_bytes: of each evaluation.
        steps: (side, step, seconds, bytes) of the whole exchange, for the first set of ciphertexts.
        costs: the estimator's timing on this machine, None where it was not asked for.
        refusal: what the server said when it was asked to decrypt.
    """

    logits: ndarray
    batch: int
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    key_bytes: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    steps: list[tuple[str, str, float, int | None]] = field(default_factory=list)
    costs: Costs | None = None
    refusal: str = ""


def answer(
    config: Config,
    case: Case,
    x: ndarray,
    *,
    sets: int | None = None,
    calibrate: bool = False,
    say: Callable[[str], Any] = lambda text: None,
) -> Answers:
    """Encrypt, evaluate and decrypt sequences `[n, C, T, V]` or `[n, C, T, V, M]`.

    Args:
        sets: stop after so many sets of ciphertexts.
        calibrate: let the server time its operations first.
        say: told what happens.

    Raises:
        UserError, MissingRequirement: parameters that are not secure, a library that is absent, too many persons.
        ServerFailed: the server died.
    """
    persons = x.shape[4] if x.ndim == 5 else 1
    with tempfile.TemporaryDirectory(prefix="effml-lingcn-") as name:
        folder = Path(name)
        save(case.plain, folder / "model.npz")
        with RemoteServer(folder / "model.npz", folder, case.options(config), config.encrypt.timeout) as server:
            say(f"{case.name}: {server.verdict}")
            offer = Offer.read(server.offer)
            start = time.perf_counter()
            client = Client(offer)
            made = time.perf_counter() - start
            keys = client.write_keys(folder / "keys")
            taken = server.ask({"keys": str(folder / "keys")})
            count = max(1, offer.layout.batch // persons)
            found = Answers(np.zeros((0, offer.classes)), count, key_bytes=keys)
            found.steps = [("client", "make keys", made, keys), ("server", "read keys", taken["seconds"], None)]
            if calibrate:
                told = server.ask({"calibrate": config.encrypt.calibration})["costs"]
                found.costs = Costs({k: {int(level): s for level, s in v.items()} for k, v in told.items()})
            for number, first in enumerate(range(0, len(x), count)):
                if sets is not None and number >= sets:
                    break
                _one_set(found, client, server, x[first : first + count], folder / str(number), persons)
                say(f"{case.name}: sequences {first} to {first + count - 1} in {found.seconds[-1]:.1f} s")
            try:
                server.ask({"decrypt": str(folder / "0" / "up")})
            except Exception as error:
                found.refusal = str(error)
    return found


def _one_set(found: Answers, client: Client, server: RemoteServer, x: ndarray, folder: Path, persons: int) -> None:
    start = time.perf_counter()
    sent = client.encrypt(x, folder / "up")
    encrypting = time.perf_counter() - start
    told = server.ask({"infer": str(folder / "up"), "out": str(folder / "down")})
    start = time.perf_counter()
    logits = client.decrypt(folder / "down", len(x), persons)
    decrypting = time.perf_counter() - start
    found.logits = np.concatenate([found.logits, logits])
    found.seconds.append(told["seconds"])
    found.cpu_seconds.append(told["cpu_seconds"])
    found.peak_bytes = max(found.peak_bytes, told["peak_bytes"])
    if not found.sent_bytes:
        found.sent_bytes, found.received_bytes = sent, told["sent_bytes"]
        found.ledger = Ledger(tuple(row) for row in told["ledger"])
        found.steps += [
            ("client", "encrypt sequences", encrypting, sent),
            ("server", "read sequences", told["read_seconds"], None),
            ("server", "evaluate", told["seconds"], told["peak_bytes"]),
            ("server", "write logits", told["write_seconds"], told["sent_bytes"]),
            ("client", "decrypt logits", decrypting, None),
        ]
