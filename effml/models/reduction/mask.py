"""The common output of every selection strategy: which sites keep their ReLU, as bits with the network's hash.

A file is an .npz of packed bits per site and one JSON header, small enough to send (15 kB for ResNet-18 on 32 x 32), and
holds no pickled object.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from effml.errors import UserError
from effml.models.gated import FixedGate
from effml.models.reduction.network import GatedNetwork


@dataclass(frozen=True)
class ReluMask:
    """Decisions by site name, True where ReLU is kept.

    Args:
        keep: bool tensors of the gates' shapes.
        sites_per_gate: scalar sites behind each gate, by name.
        architecture: hash of the network that it belongs to.
        made_by: strategy, budget and whatever else is worth keeping; plain JSON values.
    """

    keep: dict[str, Bool[Tensor, ...]]
    sites_per_gate: dict[str, int]
    architecture: str
    made_by: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Scalar ReLUs of one example."""
        return sum(int(bits.sum()) * self.sites_per_gate[name] for name, bits in self.keep.items())

    @property
    def total(self) -> int:
        return sum(bits.numel() * self.sites_per_gate[name] for name, bits in self.keep.items())

    @staticmethod
    def of(network: GatedNetwork, **made_by: Any) -> ReluMask:
        """The decisions of a network's gates as they stand."""
        keep = {name: site.gate.decide().detach().cpu().clone() for name, site in network.sites.items()}
        sites_per_gate = {name: site.sites_per_gate for name, site in network.sites.items()}
        return ReluMask(keep, sites_per_gate, network.architecture(), made_by)

    def apply(self, network: GatedNetwork) -> None:
        """Fix the network's gates at this mask.

        Raises:
            UserError: the mask was made for another architecture.
        """
        if network.architecture() != self.architecture:
            raise UserError(
                f"this mask was made for architecture {self.architecture} with {self.total:,} sites, but the network is "
                f"{network.architecture()} with {network.total:,}; use the same model, width, image size and granularity"
            )
        network.set_gates(lambda name, _: FixedGate(self.keep[name]))

    def save(self, path: Path) -> None:
        """Write the mask to an .npz file."""
        header = {
            "format": 1,
            "architecture": self.architecture,
            "kept": self.kept,
            "total": self.total,
            "sites": {
                name: {"shape": list(bits.shape), "sites_per_gate": self.sites_per_gate[name]}
                for name, bits in self.keep.items()
            },
            "made_by": self.made_by,
        }
        arrays: dict[str, Any] = {f"bits/{name}": np.packbits(bits.numpy().ravel()) for name, bits in self.keep.items()}
        np.savez_compressed(path, header=np.array(json.dumps(header)), **arrays)

    @staticmethod
    def load(path: Path) -> ReluMask:
        """Read a mask file.

        Raises:
            UserError: not a mask file, or one whose bits do not add up to the count in its header.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                header = json.loads(str(archive["header"]))
                keep = {}
                for name, site in header["sites"].items():
                    bits = np.unpackbits(archive[f"bits/{name}"], count=math.prod(site["shape"]))
                    keep[name] = torch.from_numpy(bits.astype(bool)).reshape(site["shape"])
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"{Path(path).name} is not a mask file ({error}); masks are written by autorep runs"
            ) from error
        sites_per_gate = {name: site["sites_per_gate"] for name, site in header["sites"].items()}
        mask = ReluMask(keep, sites_per_gate, header["architecture"], header["made_by"])
        if (mask.kept, mask.total) != (header["kept"], header["total"]):
            raise UserError(
                f"{Path(path).name} is damaged: its bits keep {mask.kept:,} of {mask.total:,} sites, its header says "
                f"{header['kept']:,} of {header['total']:,}; make the mask again"
            )
        return mask
