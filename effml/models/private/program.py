"""A gated network as a straight-line program for two parties: convolutions, sums, and activations with public masks.

What is public: the architecture, the masks (as index lists) and the polynomials' coefficients. What is the server's secret:
weights and biases. What is the client's: the image, and the answer. Knows no protocol and no engine.

An activation GATHERS the sites that keep ReLU, works on those alone, and scatters the results back. Computing
`m relu(x) + (1 - m) polynomial(x)` over all sites costs more than ReLU everywhere, whatever the mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SECRET = ("weight", "bias")
"""Names of an operation's tensors that only the server holds; all others are public."""


@dataclass
class Operation:
    """One step.

    Args:
        kind: `input`, `conv`, `scale` (per-channel affine with secret coefficients), `add`, `activation`, `average` (pool),
            `mean` (over height and width), `flatten`, `linear`.
        name: of its result; inputs: names of the results that it takes.
        tensors: `weight`, `bias` (secret); for an activation `relu`, `square`, `affine`: int64 indices of sites into the
            flattened `[C, H, W]`, and the public coefficients `square_c0/c1/c2` and `affine_c0/c1` of those sites.
        settings: strides, padding and such; plain values.
        shape: of the result for one example.
    """

    kind: str
    name: str
    inputs: list[str]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()

    @property
    def relus(self) -> int:
        return self.tensors["relu"].numel() if self.kind == "activation" else 0

    @property
    def squares(self) -> int:
        return self.tensors["square"].numel() if self.kind == "activation" else 0


@dataclass
class Program:
    """Operations in order; the last one's result is the logits. `image` is the shape of one example."""

    operations: list[Operation]
    image: tuple[int, ...]

    @property
    def relus(self) -> int:
        """Scalar ReLUs of one inference."""
        return sum(operation.relus for operation in self.operations)

    @property
    def squares(self) -> int:
        """Scalar secret squares of one inference."""
        return sum(operation.squares for operation in self.operations)

    @property
    def relu_layers(self) -> int:
        """Layers in which at least one ReLU is kept: each costs the rounds of a comparison."""
        return sum(operation.relus > 0 for operation in self.operations)

    def public(self) -> dict[str, Any]:
        """What both parties know, as plain containers: everything but the secret tensors, of which shapes remain."""
        steps = []
        for operation in self.operations:
            tensors = {key: value for key, value in operation.tensors.items() if key not in SECRET}
            shapes = {key: list(value.shape) for key, value in operation.tensors.items() if key in SECRET}
            steps.append({**_head(operation), "tensors": tensors, "secret_shapes": shapes})
        return {"operations": steps, "image": list(self.image)}

    def secret(self) -> dict[str, Tensor]:
        """What only the server knows: weights and biases as `name/weight`, `name/bias`."""
        return {
            f"{operation.name}/{key}": operation.tensors[key]
            for operation in self.operations
            for key in SECRET
            if key in operation.tensors
        }

    def save(self, public: Path, secret: Path) -> None:
        """Write the two files that the parties are given."""
        torch.save(self.public(), public)
        torch.save(self.secret(), secret)

    @staticmethod
    def load(public: Path, secret: Path | None) -> Program:
        """Read a program; without the secret file, operations lack their weights, as for the client."""
        known = torch.load(public, weights_only=True)
        weights = {} if secret is None else torch.load(secret, weights_only=True)
        operations = []
        for step in known["operations"]:
            own = {key: weights[f"{step['name']}/{key}"] for key in step["secret_shapes"] if weights}
            settings = {**step["settings"], "secret_shapes": step["secret_shapes"]}
            tensors = {**step["tensors"], **own}
            operations.append(
                Operation(step["kind"], step["name"], step["inputs"], tensors, settings, tuple(step["shape"]))
            )
        return Program(operations, tuple(known["image"]))


def _head(operation: Operation) -> dict[str, Any]:
    return {
        "kind": operation.kind,
        "name": operation.name,
        "inputs": operation.inputs,
        "settings": operation.settings,
        "shape": list(operation.shape),
    }
