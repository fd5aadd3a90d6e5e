"""What client and server send each other, as folders of files with a manifest, checked before it is used.

A manifest names its kind, library, parameters and key set, and the SHA-256 of every file. Residues of a ciphertext are
uniform numbers: a flipped bit would decrypt to noise and no library would notice, nor that keys belong to another client.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effml.errors import MissingRequirement, UserError
from effml.models.encrypted.backend import Cipher, CkksBackend
from effml.models.encrypted.convolve import NodeCiphers
from effml.models.encrypted.layout import Layout, Pair
from effml.models.encrypted.parameters import Parameters
from effml.models.encrypted.program import Program

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Offer:
    """What a server tells its clients: how to encrypt, and which keys it needs. Nothing of the weights.

    Args:
        steps: rotations that keys are wanted for.
        pairs: nodes of each ciphertext, in the order in which they are sent.
        width: coordinates of a joint.
    """

    backend: str
    parameters: Parameters
    layout: Layout
    steps: tuple[int, ...]
    conjugate: bool
    pairs: tuple[Pair, ...]
    width: int
    classes: int

    @staticmethod
    def of(program: Program, backend: str, steps: set[int]) -> Offer:
        return Offer(
            backend,
            program.parameters,
            program.layout,
            tuple(sorted(steps)),
            program.paired,
            tuple(program.inputs),
            program.network.width,
            len(program.network.head),
        )

    def write(self, path: Path) -> None:
        held = {
            "format": FORMAT,
            "backend": self.backend,
            "parameters": self.parameters.as_dict(),
            "layout": self.layout.as_dict(),
            "steps": self.steps,
            "conjugate": self.conjugate,
            "pairs": self.pairs,
            "width": self.width,
            "classes": self.classes,
        }
        path.write_text(json.dumps(held, indent=1))

    @staticmethod
    def read(path: Path) -> Offer:
        """Raises MissingRequirement: no such file, or no offer."""
        held = _json(path, "offer")
        try:
            return Offer(
                held["backend"],
                Parameters.from_dict(held["parameters"]),
                Layout(**held["layout"]),
                tuple(held["steps"]),
                held["conjugate"],
                tuple((one, other) for one, other in held["pairs"]),
                held["width"],
                held["classes"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MissingRequirement(f"{path.name} is no offer of an encrypted network ({error})") from None


@dataclass(frozen=True)
class Seal:
    """Whose files these are: library, parameters, and the key set."""

    backend: str
    parameters: str
    keys: str


def key_name(folder: Path, public: str) -> str:
    """The name of a key set: a digest of its public key."""
    return digest(folder / public)[:16]


def write_manifest(folder: Path, kind: str, seal: Seal, files: dict[str, dict[str, Any]]) -> int:
    """Seal a folder's files; returns their bytes."""
    held = {name: {**more, "sha256": digest(folder / name)} for name, more in files.items()}
    manifest = {
        "format": FORMAT,
        "kind": kind,
        "backend": seal.backend,
        "parameters": seal.parameters,
        "keys": seal.keys,
        "files": held,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return sum((folder / name).stat().st_size for name in files)


def read_manifest(folder: Path, kind: str, expected: Seal | None = None) -> tuple[Seal, dict[str, dict[str, Any]]]:
    """The files of a folder, each as it was sealed.

    Args:
        expected: whose they have to be.

    Raises:
        MissingRequirement: something is missing, damaged or of another kind.
        UserError: other library, parameters or keys than expected.
    """
    held = _json(folder / MANIFEST, "manifest")
    try:
        if held["format"] != FORMAT or held["kind"] != kind:
            raise MissingRequirement(f"{folder.name} holds {held['kind']} in format {held['format']}, expected {kind}")
        seal, files = Seal(held["backend"], held["parameters"], held["keys"]), held["files"]
    except (KeyError, TypeError) as error:
        raise MissingRequirement(f"{folder.name}/{MANIFEST} is no manifest ({error})") from None
    if expected is not None:
        if (seal.backend, seal.parameters) != (expected.backend, expected.parameters):
            raise UserError(
                f"{kind} were made with {seal.backend} and parameters {seal.parameters}; this side has {expected.backend} and "
                f"{expected.parameters}"
            )
        if seal.keys != expected.keys:
            raise UserError(
                f"{kind} were made with key set {seal.keys}; this side has {expected.keys}, which would give noise"
            )
    for name, told in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise MissingRequirement(f"{name} is missing from {kind}")
        if digest(path) != told["sha256"]:
            raise MissingRequirement(f"{name} is damaged: its SHA-256 is not the one it was sent with")
    return seal, files


def write_ciphers(folder: Path, kind: str, seal: Seal, backend: CkksBackend, ciphers: list[NodeCiphers]) -> int:
    """Write ciphertexts by pair and group; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    for number, groups in enumerate(ciphers):
        for group, x in enumerate(groups):
            name = f"{number}-{group}.ct"
            backend.save(x, folder / name)
            files[name] = {"level": x.level, "scale": x.scale}
    return write_manifest(folder, kind, seal, files)


def read_ciphers(
    folder: Path, kind: str, seal: Seal, backend: CkksBackend, shape: tuple[int, int]
) -> list[NodeCiphers]:
    """Read (pairs, groups) of ciphertexts.

    Raises:
        MissingRequirement, UserError: as `read_manifest`; also other numbers of ciphertexts, or a damaged one.
    """
    _, files = read_manifest(folder, kind, seal)
    wanted = {f"{number}-{group}.ct" for number in range(shape[0]) for group in range(shape[1])}
    if set(files) != wanted:
        raise UserError(f"{kind} hold {len(files)} ciphertexts; expected {shape[0]} times {shape[1]}")

    def one(name: str) -> Cipher:
        return backend.load(folder / name, int(files[name]["level"]), float(files[name]["scale"]))

    return [[one(f"{number}-{group}.ct") for group in range(shape[1])] for number in range(shape[0])]


def digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text())
    except FileNotFoundError:
        raise MissingRequirement(f"{path.parent.name}/{path.name} is missing: no {what} was sent") from None
    except (OSError, ValueError) as error:
        raise MissingRequirement(f"{path.parent.name}/{path.name} is damaged ({error})") from None
    if not isinstance(held, dict):
        raise MissingRequirement(f"{path.parent.name}/{path.name} is no {what}")
    return held
