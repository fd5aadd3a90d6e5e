"""Small graphs that break kernels: hubs, isolated nodes, rows at the edge of an edge group."""

import torch

from effml.kernels.csr import Csr


def random_graph(nodes: int = 60, edges: int = 400, dtype: torch.dtype = torch.float32) -> Csr:
    return Csr.from_edge_index(torch.randint(0, nodes, (2, edges)), nodes, torch.rand(edges, dtype=dtype))


def heavy_tailed(nodes: int = 200, others: int = 800) -> Csr:
    """Node 0 has every node as neighbour and is every node's neighbour; the last ten are otherwise isolated."""
    everyone = torch.arange(nodes)
    hub = torch.stack(
        [torch.cat([everyone, torch.zeros_like(everyone)]), torch.cat([torch.zeros_like(everyone), everyone])]
    )
    rest = torch.randint(1, nodes - 10, (2, others))
    return Csr.from_edge_index(torch.cat([hub, rest], 1), nodes)


def of_degrees(degrees: list[int], nodes: int) -> Csr:
    """Row i has degrees[i] distinct random neighbours, in ascending order; weights are random."""
    indptr = torch.zeros(len(degrees) + 1, dtype=torch.int64)
    torch.cumsum(torch.tensor(degrees, dtype=torch.int64), 0, out=indptr[1:])
    rows = [torch.randperm(nodes)[:degree].sort().values for degree in degrees]
    indices = torch.cat(rows).to(torch.int32) if rows else torch.zeros(0, dtype=torch.int32)
    return Csr(indptr, indices, torch.rand(indices.numel()), nodes)


def mean_normalised(adj: Csr) -> Csr:
    """Weights 1 / degree of the row: GraphSAGE's mean."""
    return adj.with_values(torch.repeat_interleave(1.0 / adj.degrees.clamp(min=1), adj.degrees))


def symmetric(adj: Csr) -> Csr:
    """Weights 1 / sqrt(d_i d_j): GCN's."""
    out, incoming = adj.degrees.clamp(min=1), torch.bincount(adj.indices.long(), minlength=adj.columns).clamp(min=1)
    rows = torch.repeat_interleave(torch.arange(adj.rows), adj.degrees)
    return adj.with_values((out[rows] * incoming[adj.indices.long()]).double().rsqrt().float())


WEIGHTINGS = {"mean": mean_normalised, "symmetric": symmetric, "sum": lambda adj: adj.with_values(None)}
