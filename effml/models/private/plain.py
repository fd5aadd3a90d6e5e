"""A party program computed in the open, in float64: the oracle of every engine."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from effml.models.private.program import Operation, Program


def results(program: Program, images: Float[Tensor, "batch channels h w"]) -> dict[str, Tensor]:
    """Every operation's result by name."""
    values: dict[str, Tensor] = {}
    for operation in program.operations:
        values[operation.name] = _apply(operation, [values[name] for name in operation.inputs], images)
    return values


def infer(program: Program, images: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch classes"]:
    """The logits."""
    return results(program, images.double())[program.operations[-1].name]


def _apply(operation: Operation, inputs: list[Tensor], images: Tensor) -> Tensor:
    tensors, settings = operation.tensors, operation.settings
    if operation.kind == "input":
        return images
    if operation.kind == "conv":
        geometry = {key: settings[key] for key in ("stride", "padding", "groups")}
        return F.conv2d(inputs[0], tensors["weight"], tensors["bias"], **geometry)
    if operation.kind == "scale":
        return inputs[0] * tensors["weight"].reshape(-1, 1, 1) + tensors["bias"].reshape(-1, 1, 1)
    if operation.kind == "add":
        return inputs[0] + inputs[1]
    if operation.kind == "activation":
        return _activate(inputs[0], tensors)
    if operation.kind == "average":
        return F.avg_pool2d(inputs[0], settings["size"], settings["stride"])
    if operation.kind == "mean":
        return inputs[0].mean((2, 3), keepdim=True)
    if operation.kind == "flatten":
        return inputs[0].flatten(1)
    if operation.kind == "linear":
        return F.linear(inputs[0], tensors["weight"], tensors["bias"])
    raise ValueError(f"unknown operation {operation.kind}")


def _activate(z: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    flat = z.flatten(1).clone()
    relu, square, affine = (flat[:, tensors[key]] for key in ("relu", "square", "affine"))
    flat[:, tensors["relu"]] = relu.clamp_min(0)
    polynomial = tensors["square_c2"] * square**2 + tensors["square_c1"] * square + tensors["square_c0"]
    flat[:, tensors["square"]] = polynomial
    flat[:, tensors["affine"]] = tensors["affine_c1"] * affine + tensors["affine_c0"]
    return flat.reshape(z.shape)


def largest_magnitudes(program: Program, images: Float[Tensor, "batch channels h w"]) -> dict[str, float]:
    """Largest |value| of each operation's result on these images: what a fixed-point number must hold."""
    return {name: value.abs().max().item() for name, value in results(program, images.double()).items()}
