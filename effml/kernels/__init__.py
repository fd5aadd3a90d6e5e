"""Operators, free of models: one package per operator, each with reference, CPU and GPU back ends."""

from effml.kernels.csr import Csr
from effml.kernels.gated import gated_polynomial
from effml.kernels.lif import lif
from effml.kernels.maxk import Cbsr, maxk, spgemm, sspmm
from effml.kernels.retention import retention, retention_step
from effml.kernels.spiking import revlif
from effml.kernels.spmm import spmm
from effml.kernels.uem import mean_uncertainty

__all__ = [
    "Cbsr",
    "Csr",
    "gated_polynomial",
    "lif",
    "maxk",
    "mean_uncertainty",
    "retention",
    "retention_step",
    "revlif",
    "spgemm",
    "spmm",
    "sspmm",
]
