"""Gated activations: a gate keeps ReLU or lets a polynomial stand in (AutoReP; LinGCN shares gate and kernel)."""

from effml.models.gated.activation import GatedActivation
from effml.models.gated.dapa import dapa, dapa_as_published, residual
from effml.models.gated.gate import FixedGate, Gate, HysteresisGate, SoftGate, hysteresis, straight_through
from effml.models.gated.meter import Meter
from effml.models.gated.polynomial import Polynomial

__all__ = [
    "FixedGate",
    "Gate",
    "GatedActivation",
    "HysteresisGate",
    "Meter",
    "Polynomial",
    "SoftGate",
    "dapa",
    "dapa_as_published",
    "hysteresis",
    "residual",
    "straight_through",
]
