"""Graph networks of MaxK-GNN (ASPLOS 2024): GraphSAGE, GCN and GIN with ReLU or MaxK between the layers."""

from effml.models.gnn.activation import MaxK, Rectify, densify
from effml.models.gnn.adjacency import mean_normalised, symmetric_normalised, with_self_loops
from effml.models.gnn.features import InputLinear, sparse_features
from effml.models.gnn.layers import GcnBlock, GinBlock, SageBlock
from effml.models.gnn.network import KINDS, GraphNet, prepare_adjacency

__all__ = [
    "KINDS",
    "GcnBlock",
    "GinBlock",
    "GraphNet",
    "InputLinear",
    "MaxK",
    "Rectify",
    "SageBlock",
    "densify",
    "mean_normalised",
    "prepare_adjacency",
    "sparse_features",
    "symmetric_normalised",
    "with_self_loops",
]
