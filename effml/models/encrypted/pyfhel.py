"""CKKS by Microsoft SEAL through Pyfhel. Cannot conjugate, so that every node has ciphertexts of its own.

What one has to know: invalid parameters come back as a string, not as an error; there is no encoding at a level, a
plaintext is encoded at the top and switched down; operators `+` and `*` would round scales silently, methods do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from effml.errors import MissingRequirement, UserError
from effml.models.encrypted.backend import Cipher, CkksBackend, Vector
from effml.models.encrypted.parameters import LARGEST, Parameters

FILES = {"public": "public.key", "relin": "relinearisation.key", "galois": "rotation.key"}
HEADER_BYTES = 1024  # what SEAL writes around a ciphertext's residues
RECIPE = (
    "back end pyfhel needs Pyfhel: pip install Pyfhel==3.5.0, which builds SEAL; without access to GitHub, set "
    "CMAKE_TOOLCHAIN_FILE to the absolute path of a file that sets SEAL_USE_MSGSL, SEAL_USE_ZLIB and SEAL_USE_ZSTD to OFF "
    'with `set(NAME OFF CACHE BOOL "" FORCE)` (make test does). Or take backend sealapi'
)


def load() -> Any:
    """The library. Raises MissingRequirement where it is not installed."""
    try:
        import Pyfhel as library
    except ImportError as error:
        raise MissingRequirement(RECIPE) from error
    return library


class PyfhelBackend(CkksBackend):
    """Make one with `client` (draws keys) or `server` (reads the public ones)."""

    name = "pyfhel"
    conjugates = False
    encodes_at_level = False

    def __init__(self, parameters: Parameters, steps: Iterable[int]) -> None:
        """Raises UserError when SEAL refuses the parameters."""
        if parameters.ring > LARGEST and not parameters.insecure:
            raise UserError(f"SEAL checks no ring above {LARGEST}; N = {parameters.ring} can be planned, not run")
        self.library = load()
        self.he = self.library.Pyfhel()
        status = self.he.contextGen(
            scheme="CKKS",
            n=parameters.ring,
            scale=parameters.scale,
            qi_sizes=list(parameters.bits),
            sec=0 if parameters.insecure else 128,
        )
        if status != "success: valid":
            raise UserError(f"SEAL refuses the parameters: {status}")
        super().__init__(parameters, [float(prime) for prime in self.he.qi[:-1]], steps)

    @classmethod
    def client(cls, parameters: Parameters, steps: Iterable[int], conjugate: bool = False) -> PyfhelBackend:
        """Draw all keys: rotations by exactly `steps`."""
        if conjugate:
            raise UserError("Pyfhel cannot conjugate; take a packing without pairs, or backend sealapi")
        steps = set(steps)
        made = cls(parameters, steps)
        made.he.keyGen()
        made.he.relinKeyGen()
        made.he.rotateKeyGen(
            sorted(step if step <= parameters.slots // 2 else step - parameters.slots for step in steps)
        )
        return made

    @classmethod
    def server(cls, parameters: Parameters, steps: Iterable[int], folder: Path) -> PyfhelBackend:
        """Read public, relinearisation and rotation keys.

        Raises:
            MissingRequirement: a key file is absent, damaged, or of other parameters.
        """
        made = cls(parameters, steps)
        readers = {
            "public": made.he.from_bytes_public_key,
            "relin": made.he.from_bytes_relin_key,
            "galois": made.he.from_bytes_rotate_key,
        }
        for kind, read in readers.items():
            path = folder / FILES[kind]
            if not path.is_file():
                raise MissingRequirement(f"{path.name} is missing: no {kind} key was sent")
            try:
                read(path.read_bytes())
            except (RuntimeError, ValueError) as error:
                raise MissingRequirement(
                    f"{path.name} is no {kind} key for ring {parameters.ring} and {parameters.total_bits} bits ({error})"
                ) from None
        return made

    def save_keys(self, folder: Path) -> None:
        (folder / FILES["public"]).write_bytes(self.he.to_bytes_public_key("none"))
        (folder / FILES["relin"]).write_bytes(self.he.to_bytes_relin_key("none"))
        (folder / FILES["galois"]).write_bytes(self.he.to_bytes_rotate_key("none"))

    # -- operations -----------------------------------------------------------------------------------------------

    def _encode(self, values: Vector, level: int, scale: float) -> Any:
        return self._switched(values.slots(), level, scale)

    def _constant(self, value: complex, level: int, scale: float) -> Any:
        return self._switched(np.full(self.parameters.slots, value), level, scale)

    def _switched(self, slots: ndarray, level: int, scale: float) -> Any:
        if np.iscomplexobj(slots):
            plain = self.he.encodeComplex(np.ascontiguousarray(slots, dtype=np.complex128), scale=scale)
        else:
            plain = self.he.encodeFrac(np.ascontiguousarray(slots, dtype=np.float64), scale=scale)
        for _ in range(self.parameters.levels - level):
            self.he.mod_switch_to_next(plain)
        return plain

    def _rotate(self, x: Any, step: int) -> Any:
        return self.he.rotate(x, step, True)

    def _conjugate(self, x: Any) -> Any:
        raise UserError("Pyfhel cannot conjugate; take a packing without pairs, or backend sealapi")

    def _mul_plain(self, x: Any, p: Any) -> Any:
        return self.he.multiply_plain(x, p, True)

    def _mul(self, x: Any, y: Any) -> Any:
        return self.he.multiply(x, y, True)

    def _relinearise(self, x: Any) -> Any:
        self.he.relinearize(x)
        return x

    def _rescale(self, x: Any, scale: float) -> Any:
        self.he.rescale_to_next(x)
        x.set_scale(scale)
        return x

    def _drop(self, x: Any, now: int, level: int) -> Any:
        out = x.copy()
        for _ in range(now - level):
            self.he.mod_switch_to_next(out)
        return out

    def _relabel(self, x: Any, scale: float) -> Any:
        x.set_scale(scale)
        return x

    def _add(self, x: Any, y: Any) -> Any:
        return self.he.add(x, y, True)

    def _subtract(self, x: Any, y: Any) -> Any:
        return self.he.sub(x, y, True)

    def _add_into(self, total: Any, x: Any) -> Any:
        return self.he.add(total, x)

    def _add_plain(self, x: Any, p: Any) -> Any:
        return self.he.add_plain(x, p, True)

    def _negate(self, x: Any) -> Any:
        return self.he.negate(x, True)

    def _encrypt(self, values: ndarray) -> Any:
        return self.he.encryptPtxt(self._switched(values, self.parameters.levels, self.parameters.scale))

    def _decrypt(self, x: Any) -> ndarray:
        if self.he.is_secret_key_empty():
            raise MissingRequirement("this process holds no secret key, so that it cannot decrypt")
        return np.asarray(self.he.decryptComplex(x))

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, x: Cipher, path: Path) -> None:
        path.write_bytes(x.data.to_bytes("none"))

    def load(self, path: Path, level: int, scale: float) -> Cipher:
        held = path.read_bytes()
        # Bytes carry no level that Pyfhel reads back; their number gives it.
        if abs(len(held) - self.parameters.ciphertext_bytes(level)) > HEADER_BYTES:
            raise MissingRequirement(f"{path.name} is a ciphertext of another level or ring than it is labelled with")
        try:
            data = self.library.PyCtxt(pyfhel=self.he, scheme="ckks", bytestring=held)
        except (RuntimeError, ValueError) as error:
            raise MissingRequirement(
                f"{path.name} is no ciphertext for ring {self.parameters.ring} and {self.parameters.total_bits} bits "
                f"({error})"
            ) from None
        if abs(data.scale / scale - 1) > 1e-6:
            raise MissingRequirement(f"{path.name} is a ciphertext of another scale than it is labelled with")
        data.mod_level = self.parameters.levels - level
        return Cipher(data, level, scale)
