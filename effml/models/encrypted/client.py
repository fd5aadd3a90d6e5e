"""The side that holds the secret key: makes keys as a server's offer wants them, encrypts sequences, decrypts logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from effml.models.encrypted.exchange import (
    Offer,
    Seal,
    key_name,
    read_ciphers,
    write_ciphers,
    write_manifest,
)
from effml.models.encrypted.libraries import PUBLIC_KEY, library


class Client:
    """One key set for one offer."""

    def __init__(self, offer: Offer) -> None:
        """Draws all keys."""
        self.offer = offer
        self.backend = library(offer.backend).client(offer.parameters, offer.steps, offer.conjugate)
        self.seal: Seal | None = None

    def write_keys(self, folder: Path) -> int:
        """Write what a server gets: public, relinearisation and rotation keys; returns their bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save_keys(folder)
        files: dict[str, dict[str, object]] = {path.name: {} for path in sorted(folder.glob("*.key"))}
        self.seal = Seal(self.offer.backend, self.offer.parameters.digest, key_name(folder, PUBLIC_KEY))
        return write_manifest(folder, "keys", self.seal, files)

    def encrypt(self, x: ndarray, folder: Path) -> int:
        """Encrypt sequences `[n, C, T, V]` or `[n, C, T, V, M]`, every person a sequence; returns bytes.

        Raises:
            UserError: more sequences than one set of ciphertexts carries, or other frames than the network's.
        """
        packed = self.offer.layout.pack(_by_person(x), list(self.offer.pairs))
        ciphers = [[self.backend.encrypt(slots) for slots in groups] for groups in packed]
        return write_ciphers(folder, "sequences", self._sealed(), self.backend, ciphers)

    def decrypt(self, folder: Path, count: int, persons: int = 1) -> ndarray:
        """Logits `[count, classes]`, the mean over persons (the head is affine, so that it may follow the head).

        Raises:
            MissingRequirement, UserError: the answer is damaged, or for another key set.
        """
        layout, classes = self.offer.layout, self.offer.classes
        groups = read_ciphers(folder, "logits", self._sealed(), self.backend, (1, layout.groups(classes)))[0]
        logits = layout.read_logits([self.backend.decrypt(x) for x in groups], classes, count * persons)
        return logits.reshape(count, persons, classes).mean(1)

    def _sealed(self) -> Seal:
        if self.seal is None:
            raise ValueError("write_keys has to come first: it names the key set")
        return self.seal


def _by_person(x: ndarray) -> ndarray:
    """`[n M, C, T, V]`, persons of a sequence side by side."""
    if x.ndim == 4:
        return np.asarray(x, dtype=float)
    return np.moveaxis(x, 4, 1).reshape(-1, *x.shape[1:4]).astype(float)
