"""The weights that graph convolutions put on an adjacency: mean, symmetric, and self loops.

Row i of an adjacency holds the sources j of the edges j -> i. Nothing here knows of features or layers.
"""

from __future__ import annotations

import torch

from effml.kernels.csr import Csr


def mean_normalised(adj: Csr) -> Csr:
    """Weights `1 / d_i` on the edges into i (GraphSAGE's mean); a node without neighbours gets a zero row."""
    degrees = adj.degrees
    return adj.with_values(torch.repeat_interleave(1.0 / degrees.clamp(min=1).float(), degrees))


def symmetric_normalised(adj: Csr) -> Csr:
    """Weights `1 / sqrt(d_i d_j)`, d_i the edges into i and d_j those out of j (GCN; eq. 9 of Kipf and Welling, 2017)."""
    sources = adj.indices.long()
    outgoing = torch.bincount(sources, minlength=adj.columns)
    products = torch.repeat_interleave(adj.degrees, adj.degrees).double() * outgoing[sources]
    return adj.with_values(products.rsqrt().float())


def with_self_loops(adj: Csr) -> Csr:
    """The pattern with exactly one edge from each node to itself; those that are there already are not doubled."""
    rows = torch.repeat_interleave(torch.arange(adj.rows, device=adj.device), adj.degrees)
    nodes = torch.arange(adj.rows, device=adj.device)
    edges = torch.stack([torch.cat([adj.indices.long(), nodes]), torch.cat([rows, nodes])])
    return Csr.from_edge_index(edges, adj.rows)
