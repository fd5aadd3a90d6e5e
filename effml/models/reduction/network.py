"""A network whose activations became gated sites: found by running it once, counted, hashed. Knows no strategy.

Each activation is a module of its own and runs once per forward pass. (The published program walks one shared module with
a call counter, which any extra or partial forward pass puts out of step.)
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from effml.models.gated import FixedGate, Gate, GatedActivation

REPLACED = (nn.ReLU, nn.SiLU)


def find_sites(
    model: nn.Module, image: tuple[int, ...], kinds: tuple[type[nn.Module], ...] = REPLACED
) -> dict[str, tuple[int, ...]]:
    """Name and shape (of one example) of every activation of these kinds, in the order in which they run.

    Raises:
        ValueError: an activation that runs more than once in a forward pass.
    """
    names = {module: name for name, module in model.named_modules(remove_duplicate=False) if isinstance(module, kinds)}
    sites: dict[str, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = names[module]
        if name in sites:
            raise ValueError(f"activation {name} runs twice in one forward pass; give every site a module of its own")
        sites[name] = tuple(output.shape[1:])

    handles = [module.register_forward_hook(note) for module in names]
    training = model.training
    parameter = next(model.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *image, device=parameter.device, dtype=parameter.dtype))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return sites


def count_sites(model: nn.Module, image: tuple[int, ...], kinds: tuple[type[nn.Module], ...] = REPLACED) -> int:
    """Scalar activations of these kinds that one example passes: the paper's "ReLU count"."""
    return sum(math.prod(shape) for shape in find_sites(model, image, kinds).values())


class GatedNetwork(nn.Module):
    """Takes over `model` and puts a `GatedActivation` in place of every activation; computes ReLU everywhere at first.

    Args:
        model: the network, changed in place; SiLU activations become ReLU.
        image: shape of one example, `(channels, height, width)`.
        kinds: the activations to replace.
        options: granularities, degree, square_scale, limit: see `GatedActivation`.
    """

    def __init__(
        self,
        model: nn.Module,
        image: tuple[int, ...],
        kinds: tuple[type[nn.Module], ...] = REPLACED,
        **options: Any,
    ) -> None:
        super().__init__()
        self.image = tuple(image)
        shapes = find_sites(model, image, kinds)
        for name, shape in shapes.items():
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, GatedActivation(shape, **options))
        self.names = tuple(shapes)
        self.model = model

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch classes"]:
        return self.model(x)

    def without_gates(self) -> nn.Module:
        """A copy of the model with plain ReLU at every site: what the network computes while all gates are open, faster."""
        model = copy.deepcopy(self.model)
        for name in self.names:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, nn.ReLU())
        return model

    @property
    def sites(self) -> dict[str, GatedActivation]:
        """The gated activations by name, in the order in which they run."""
        return {name: cast(GatedActivation, self.model.get_submodule(name)) for name in self.names}

    @property
    def total(self) -> int:
        """Scalar sites of one example."""
        return sum(site.size for site in self.sites.values())

    @property
    def kept(self) -> int:
        """Scalar ReLUs of one example under the gates as they stand; an exact integer."""
        return sum(site.kept for site in self.sites.values())

    def architecture(self) -> str:
        """16 hex digits that name the network's shape: its sites with gate shapes, its weights with theirs.

        Polynomials do not count: one mask serves every replacement.
        """
        sites = [[name, list(site.site), list(site.gate.decide().shape)] for name, site in self.sites.items()]
        inside = tuple(f"{name}." for name in self.names)
        own = [[name, list(p.shape)] for name, p in self.model.named_parameters() if not name.startswith(inside)]
        text = json.dumps([self.image, sites, own], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def set_gates(self, make: Callable[[str, GatedActivation], Gate]) -> None:
        """Give every site the gate that `make(name, site)` returns."""
        for name, site in self.sites.items():
            site.gate = make(name, site).to(site.polynomial.c1.device)

    def freeze(self) -> None:
        """Fix every gate at its present decision."""
        self.set_gates(lambda _, site: FixedGate(site.gate.decide(), site.gate.score()))

    def gate_parameters(self) -> list[nn.Parameter]:
        return [parameter for site in self.sites.values() for parameter in site.gate.parameters()]

    def polynomial_parameters(self) -> list[nn.Parameter]:
        sites = self.sites.values()
        return [p for site in sites for p in site.polynomial.parameters() if p.requires_grad]

    def weight_parameters(self) -> list[nn.Parameter]:
        """Every trained parameter of the network that is neither a gate's nor a polynomial's."""
        others = {id(p) for site in self.sites.values() for p in site.parameters()}
        return [p for p in self.model.parameters() if id(p) not in others and p.requires_grad]

    def train_polynomials(self, trained: bool) -> None:
        """Whether polynomials learn; a linear (identity) replacement keeps them fixed."""
        for site in self.sites.values():
            site.polynomial.requires_grad_(trained)

    @torch.no_grad()
    def meter(self, batches: Iterable[Tensor]) -> None:
        """Measure mean, deviation and largest magnitude of every pre-activation over these batches, in evaluation mode."""
        training = self.training
        self.eval()
        for site in self.sites.values():
            site.meter.reset()
            site.metering = True
        try:
            for images in batches:
                self(images)
        finally:
            for site in self.sites.values():
                site.metering = False
            self.train(training)

    @torch.no_grad()
    def calibrate(self, variant: str, only_open: bool = False) -> None:
        """Set the polynomials from the meters; with `only_open`, of those groups alone whose gates are all still open.

        A group whose gates are open has had no gradient, so its polynomial is still that of the network as it was.
        """
        for site in self.sites.values():
            if only_open:
                set_where(site, variant, _per_group(site, ~site.gate.decide()) == 0)
            else:
                site.calibrate(variant)

    @torch.no_grad()
    def settle_norms(self, images: Float[Tensor, "batch channels h w"]) -> None:
        """Set every batch norm's statistics to those of one pass of these images, each behind norms already set.

        Running statistics trail the weights and, worse, closings of many gates, by tens of steps. ReLU passes such an error
        on in proportion; a chain of squares raises it to the second power at every site, and a network whose training loss is
        small answers with 1e17. Where many gates have moved, norms are settled before anything is evaluated.
        """
        norms = self._norms()
        momenta, training = [norm.momentum for norm in norms], self.training
        self.eval()
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        try:
            self(images)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            self.train(training)

    @torch.no_grad()
    def calibrate_in_order(
        self, variant: str, batches: Sequence[Float[Tensor, "batch channels h w"]], before: dict[str, Tensor]
    ) -> None:
        """Set anew the polynomials of groups that were mostly closed just now, layer by layer as they run; settle norms.

        One pass does it: a site's polynomials are set by what reaches it, before it lets anything through. So each layer is
        measured behind layers already replaced and set, because closing many gates at once shifts everything behind them,
        batch norms too; quadratic polynomials set for the old network would run away. Norms go by each batch on its own, as
        in training: over all of them together, a few outliers would make everything else small.

        Args:
            before: the gates' states before, by name.
        """
        images, sizes = torch.cat(list(batches)), [len(batch) for batch in batches]
        handles = [norm.register_forward_hook(partial(_normalise_apart, sizes=sizes)) for norm in self._norms()]
        for name, site in self.sites.items():
            closed = ~site.gate.decide()
            fresh = _per_group(site, closed & before[name].to(closed.device))
            chosen = fresh * 2 > _per_group(site, closed)
            if chosen.any():
                handles.append(site.register_forward_pre_hook(partial(_calibrate_on, variant=variant, chosen=chosen)))
        training = self.training
        try:
            self.eval()(images)
        finally:
            self.train(training)
            for handle in handles:
                handle.remove()
        self.settle_norms(images)

    def _norms(self) -> list[_BatchNorm]:
        return [module for module in self.modules() if isinstance(module, _BatchNorm)]


def _normalise_apart(norm: _BatchNorm, inputs: tuple[Tensor, ...], output: Tensor, sizes: list[int]) -> Tensor:
    weights = norm.weight, norm.bias
    parts = [F.batch_norm(part, None, None, *weights, training=True, eps=norm.eps) for part in inputs[0].split(sizes)]
    return torch.cat(parts)


def _calibrate_on(site: GatedActivation, inputs: tuple[Tensor, ...], variant: str, chosen: Tensor) -> None:
    site.meter.reset()
    site.meter.observe(inputs[0])
    set_where(site, variant, chosen)


def _per_group(site: GatedActivation, gates: Tensor) -> Tensor:
    """How many of a site's scalars stand behind these gates, by group of the polynomial."""
    return gates.float().expand(site.site).sum_to_size(site.meter.shape)


def set_where(site: GatedActivation, variant: str, chosen: Tensor) -> None:
    """Calibrate the polynomials of the chosen groups of a site."""
    before = [parameter.clone() for parameter in site.polynomial.parameters()]
    site.calibrate(variant)
    for parameter, old in zip(site.polynomial.parameters(), before, strict=True):
        parameter.copy_(torch.where(chosen, parameter, old))
