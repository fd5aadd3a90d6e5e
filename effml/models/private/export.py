"""From a gated network to a party program: traced, batch norms folded, affine sites folded into what comes before them.

A channel without ReLU and without square is an affine map, and costs nothing once it is part of the convolution that
feeds it (exactly: forward folding would be wrong at the padding). Where the pre-activation is a sum, it is folded into
both terms; where a term is used elsewhere too (an identity shortcut), the channel stays an affine site.
"""

from __future__ import annotations

import operator
from collections import Counter

import torch
from torch import Tensor, fx, nn

from effml.models.gated import GatedActivation
from effml.models.private.program import Operation, Program
from effml.models.reduction.network import GatedNetwork


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, GatedActivation) or super().is_leaf_module(m, module_qualified_name)


@torch.no_grad()
def export(network: GatedNetwork, fold: bool = True) -> Program:
    """The network in evaluation mode as a program, in float64.

    Args:
        fold: fold affine-only channels; False keeps every replaced site as it is, for comparison.

    Raises:
        ValueError: an operation that the program has no form for (a sigmoid, say).
    """
    training = network.training
    network.eval()
    graph = _Tracer().trace(network.model)
    operations = [_convert(node, network.model) for node in graph.nodes if node.op not in ("output", "get_attr")]
    network.train(training)
    operations = _without_identities(operations)
    _fold_batch_norms(operations)
    if fold:
        _fold_affine_sites(operations)
    for operation in operations:
        if operation.kind == "activation":
            _index_sites(operation)
    program = Program(operations, network.image)
    _note_shapes(program)
    return program


def _convert(node: fx.Node, model: nn.Module) -> Operation:
    inputs = [argument.name for argument in node.args if isinstance(argument, fx.Node)]
    if node.op == "placeholder":
        return Operation("input", node.name, [])
    if node.op == "call_function" and node.target in (operator.add, torch.add):
        return Operation("add", node.name, inputs)
    if node.op == "call_module":
        made = _convert_module(node.name, inputs, model.get_submodule(str(node.target)))
        if made is not None:
            return made
    what = type(model.get_submodule(str(node.target))).__name__ if node.op == "call_module" else str(node.target)
    raise ValueError(
        f"a party program has no form for {what} ({node.name}); it knows convolutions, batch norm, sums, gated "
        "activations, average pooling and linear layers"
    )


def _convert_module(name: str, inputs: list[str], module: nn.Module) -> Operation | None:
    if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and module.dilation == (1, 1):
        settings = {"stride": list(module.stride), "padding": list(module.padding), "groups": module.groups}
        return Operation("conv", name, inputs, _weights(module), settings)
    if isinstance(module, nn.BatchNorm2d) and module.running_var is not None and module.running_mean is not None:
        scale = module.weight.double() / (module.running_var.double() + module.eps).sqrt()
        shift = module.bias.double() - module.running_mean.double() * scale
        return Operation("scale", name, inputs, {"weight": scale, "bias": shift})
    if isinstance(module, GatedActivation):
        return Operation("activation", name, inputs, _sites(module))
    if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
        return Operation("mean", name, inputs)
    if isinstance(module, nn.AvgPool2d):
        size = module.kernel_size if isinstance(module.kernel_size, int) else module.kernel_size[0]
        stride = module.stride if isinstance(module.stride, int) else module.stride[0]
        return Operation("average", name, inputs, settings={"size": size, "stride": stride})
    if isinstance(module, nn.Flatten):
        return Operation("flatten", name, inputs)
    if isinstance(module, nn.Linear):
        return Operation("linear", name, inputs, _weights(module))
    if isinstance(module, nn.Identity | nn.Dropout):
        return Operation("identity", name, inputs)
    return None


def _weights(module: nn.Conv2d | nn.Linear) -> dict[str, Tensor]:
    weight = module.weight.double().clone()
    bias = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
    return {"weight": weight, "bias": bias if module.bias is None else module.bias.double().clone()}


def _sites(activation: GatedActivation) -> dict[str, Tensor]:
    """Gate and effective coefficients of every site, `[C, H, W]` each; turned into index lists at the end."""
    coefficients = activation.polynomial().double()
    spread = [row.expand(activation.site).clone() for row in coefficients]
    if len(spread) == 2:
        spread.append(torch.zeros_like(spread[0]))
    return {"keep": activation.gate.decide().expand(activation.site).clone(), "c": torch.stack(spread)}


def _without_identities(operations: list[Operation]) -> list[Operation]:
    source: dict[str, str] = {}
    kept = []
    for operation in operations:
        operation.inputs = [source.get(name, name) for name in operation.inputs]
        if operation.kind == "identity":
            source[operation.name] = operation.inputs[0]
        else:
            kept.append(operation)
    return kept


def _users(operations: list[Operation]) -> Counter[str]:
    return Counter(name for operation in operations for name in operation.inputs)


def _fold_batch_norms(operations: list[Operation]) -> None:
    """Merge each `scale` into the convolution before it, where nothing else uses that."""
    users, by_name = _users(operations), {operation.name: operation for operation in operations}
    merged: dict[str, str] = {}
    for operation in list(operations):
        operation.inputs = [merged.get(name, name) for name in operation.inputs]
        if operation.kind != "scale":
            continue
        before = by_name[operation.inputs[0]]
        if before.kind == "conv" and users[before.name] == 1:
            _scale_rows(before, operation.tensors["weight"], operation.tensors["bias"])
            merged[operation.name] = before.name
            operations.remove(operation)


def _scale_rows(operation: Operation, scale: Tensor, shift: Tensor) -> None:
    """Make a convolution's or scale's output channel `o` become `scale[o] * output + shift[o]`."""
    weight, bias = operation.tensors["weight"], operation.tensors["bias"]
    operation.tensors["weight"] = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    operation.tensors["bias"] = bias * scale + shift


def _fold_affine_sites(operations: list[Operation]) -> None:
    users, by_name = _users(operations), {operation.name: operation for operation in operations}

    def foldable(name: str) -> bool:
        operation = by_name[name]
        if users[name] != 1:
            return False
        if operation.kind == "add":
            return all(foldable(term) for term in operation.inputs)
        return operation.kind in ("conv", "scale")

    def push(name: str, scale: Tensor, shift: Tensor) -> None:
        operation = by_name[name]
        if operation.kind == "add":
            first, *others = operation.inputs
            push(first, scale, shift)
            for term in others:
                push(term, scale, torch.zeros_like(shift))
        else:
            _scale_rows(operation, scale, shift)

    for operation in operations:
        if operation.kind != "activation" or not foldable(operation.inputs[0]):
            continue
        keep, (c0, c1, c2) = operation.tensors["keep"].flatten(1), operation.tensors["c"].flatten(2)
        same = (c0 == c0[:, :1]).all(1) & (c1 == c1[:, :1]).all(1)  # a polynomial per pixel cannot be folded
        affine = ~keep.any(1) & (c2 == 0).all(1) & same
        scale = torch.where(affine, c1[:, 0], 1.0)
        shift = torch.where(affine, c0[:, 0], 0.0)
        push(operation.inputs[0], scale, shift)
        operation.tensors["c"][0, affine] = 0
        operation.tensors["c"][1, affine] = 1


def _index_sites(operation: Operation) -> None:
    """From gate and coefficients of every site to the lists that the parties work by. Identity sites are in no list."""
    keep, coefficients = operation.tensors["keep"].flatten(), operation.tensors["c"].flatten(1)
    c0, c1, c2 = coefficients
    square = ~keep & (c2 != 0)
    affine = ~keep & (c2 == 0) & ((c1 != 1) | (c0 != 0))
    tensors = {"relu": keep.nonzero().flatten(), "square": square.nonzero().flatten()}
    tensors["affine"] = affine.nonzero().flatten()
    for power, row in enumerate((c0, c1, c2)):
        tensors[f"square_c{power}"] = row[square]
        if power < 2:
            tensors[f"affine_c{power}"] = row[affine]
    operation.tensors = {key: value.cpu() for key, value in tensors.items()}


def _note_shapes(program: Program) -> None:
    from effml.models.private.plain import results

    for operation in program.operations:
        operation.tensors = {key: value.cpu() for key, value in operation.tensors.items()}
    values = results(program, torch.zeros(1, *program.image, dtype=torch.float64))
    for operation in program.operations:
        operation.shape = tuple(values[operation.name].shape[1:])
