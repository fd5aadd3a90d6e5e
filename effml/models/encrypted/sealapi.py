"""CKKS by Microsoft SEAL through `tenseal.sealapi`: a wheel, no build. The only back end here that can conjugate.

What one has to know: keys for positive steps alone are taken for Galois elements (so a negative one goes along); scales
may be set; files are the only way in and out; no call releases the interpreter's lock.
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
SCALE_DRIFT = 1e-6  # relative difference between a file's scale and its label that still is rounding


def load() -> Any:
    """The library. Raises MissingRequirement where it is not installed."""
    try:
        import tenseal.sealapi as library
    except ImportError as error:
        raise MissingRequirement("back end sealapi needs tenseal: pip install tenseal") from error
    return library


class SealApi(CkksBackend):
    """Make one with `client` (draws keys) or `server` (reads the public ones)."""

    name = "sealapi"
    secret: Any = None

    def __init__(self, parameters: Parameters, steps: Iterable[int]) -> None:
        """Raises UserError when SEAL refuses the parameters."""
        seal = self.seal = load()
        if parameters.ring > LARGEST and not parameters.insecure:
            raise UserError(f"SEAL checks no ring above {LARGEST}; N = {parameters.ring} can be planned, not run")
        made = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
        made.set_poly_modulus_degree(parameters.ring)
        try:
            made.set_coeff_modulus(seal.CoeffModulus.Create(parameters.ring, list(parameters.bits)))
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"SEAL has no primes of {parameters.bits} bits for ring {parameters.ring}: {error}"
            ) from None
        level = seal.SEC_LEVEL_TYPE.NONE if parameters.insecure else seal.SEC_LEVEL_TYPE.TC128
        self.context = seal.SEALContext(made, True, level)
        if not self.context.parameters_set():
            raise UserError(f"SEAL refuses the parameters: {self.context.parameters_error_message()}")
        self.ids: dict[int, list[int]] = {}
        data = self.context.first_context_data()
        primes = [float(modulus.value()) for modulus in data.parms().coeff_modulus()]
        while data is not None:
            self.ids[data.chain_index()] = data.parms_id()
            data = data.next_context_data()
        super().__init__(parameters, primes, steps)
        self.encoder, self.evaluator = seal.CKKSEncoder(self.context), seal.Evaluator(self.context)
        self.relin, self.galois = seal.RelinKeys(), seal.GaloisKeys()
        self.public = seal.PublicKey()
        self.encryptor: Any = None
        self.decryptor: Any = None

    @classmethod
    def client(cls, parameters: Parameters, steps: Iterable[int], conjugate: bool = True) -> SealApi:
        """Draw all keys: rotations by exactly `steps`, and conjugation if wanted."""
        steps = set(steps)
        made = cls(parameters, steps)
        seal = made.seal
        maker = seal.KeyGenerator(made.context)
        made.secret = maker.secret_key()
        maker.create_public_key(made.public)
        maker.create_relin_keys(made.relin)
        # Elements instead of steps: 3^step mod 2N, and 2N - 1 for conjugation. SEAL takes a list without a negative number
        # for elements.
        twice = 2 * parameters.ring
        elements = [pow(3, step % parameters.slots, twice) for step in sorted(steps)]
        maker.create_galois_keys([*elements, twice - 1] if conjugate else elements, made.galois)
        made.encryptor = seal.Encryptor(made.context, made.public)
        made.decryptor = seal.Decryptor(made.context, made.secret)
        return made

    @classmethod
    def server(cls, parameters: Parameters, steps: Iterable[int], folder: Path) -> SealApi:
        """Read public, relinearisation and rotation keys.

        Raises:
            MissingRequirement: a key file is absent, damaged, or of other parameters.
        """
        made = cls(parameters, steps)
        for kind, target in (("public", made.public), ("relin", made.relin), ("galois", made.galois)):
            made._read(target, folder / FILES[kind], f"{kind} key")
        made.encryptor = made.seal.Encryptor(made.context, made.public)
        return made

    def save_keys(self, folder: Path) -> None:
        for kind, key in (("public", self.public), ("relin", self.relin), ("galois", self.galois)):
            key.save(str(folder / FILES[kind]))

    def _read(self, target: Any, path: Path, what: str) -> None:
        if not path.is_file():
            raise MissingRequirement(f"{path.name} is missing: no {what} was sent")
        try:
            target.load(self.context, str(path))
        except (RuntimeError, ValueError) as error:
            raise MissingRequirement(
                f"{path.name} is no {what} for ring {self.parameters.ring} and {self.parameters.total_bits} bits ({error})"
            ) from None

    # -- operations -----------------------------------------------------------------------------------------------

    def _encode(self, values: Vector, level: int, scale: float) -> Any:
        slots = values.slots()
        plain = self.seal.Plaintext()
        self.encoder.encode(slots.tolist(), self.ids[level], scale, plain)
        return plain

    def _constant(self, value: complex, level: int, scale: float) -> Any:
        plain = self.seal.Plaintext()
        number = value if isinstance(value, complex) and value.imag else float(np.real(value))
        self.encoder.encode(number, self.ids[level], scale, plain)
        return plain

    def _rotate(self, x: Any, step: int) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.rotate_vector(x, step, self.galois, out)
        return out

    def _conjugate(self, x: Any) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.complex_conjugate(x, self.galois, out)
        return out

    def _mul_plain(self, x: Any, p: Any) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.multiply_plain(x, p, out)
        return out

    def _mul(self, x: Any, y: Any) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.multiply(x, y, out)
        return out

    def _relinearise(self, x: Any) -> Any:
        self.evaluator.relinearize_inplace(x, self.relin)
        return x

    def _rescale(self, x: Any, scale: float) -> Any:
        self.evaluator.rescale_to_next_inplace(x)
        x.scale = scale
        return x

    def _drop(self, x: Any, now: int, level: int) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.mod_switch_to(x, self.ids[level], out)
        return out

    def _relabel(self, x: Any, scale: float) -> Any:
        x.scale = scale
        return x

    def _add(self, x: Any, y: Any) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.add(x, y, out)
        return out

    def _subtract(self, x: Any, y: Any) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.sub(x, y, out)
        return out

    def _add_into(self, total: Any, x: Any) -> Any:
        self.evaluator.add_inplace(total, x)
        return total

    def _add_plain(self, x: Any, p: Any) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.add_plain(x, p, out)
        return out

    def _negate(self, x: Any) -> Any:
        out = self.seal.Ciphertext()
        self.evaluator.negate(x, out)
        return out

    def _encrypt(self, values: ndarray) -> Any:
        plain, out = self.seal.Plaintext(), self.seal.Ciphertext()
        self.encoder.encode(values.tolist(), self.parameters.scale, plain)
        self.encryptor.encrypt(plain, out)
        return out

    def _decrypt(self, x: Any) -> ndarray:
        if self.decryptor is None:
            raise MissingRequirement("this process holds no secret key, so that it cannot decrypt")
        plain = self.seal.Plaintext()
        self.decryptor.decrypt(x, plain)
        return np.array(self.encoder.decode_complex(plain))

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, x: Cipher, path: Path) -> None:
        x.data.save(str(path))

    def load(self, path: Path, level: int, scale: float) -> Cipher:
        data = self.seal.Ciphertext()
        self._read(data, path, "ciphertext")
        if data.parms_id() != self.ids.get(level) or abs(data.scale / scale - 1) > SCALE_DRIFT:
            raise MissingRequirement(f"{path.name} is a ciphertext of another level or scale than it is labelled with")
        return Cipher(data, level, scale)
