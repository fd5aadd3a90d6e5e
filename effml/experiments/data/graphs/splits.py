"""Seeded splits of nodes into train, validation and test, for graphs that come without one."""

from __future__ import annotations

import torch
from torch import Tensor


def random_split(
    labelled: Tensor, shares: tuple[float, float] = (0.5, 0.25), seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Masks `[N]` over the labelled nodes; what `shares` (train, validation) leave is test.

    Args:
        labelled: `[N]` bool, the nodes that may be in a split.
        shares: of the labelled nodes; sizes are rounded down.
        seed: the draw depends on it and on the number of labelled nodes alone.
    """
    nodes = labelled.nonzero().squeeze(1)
    order = nodes[torch.randperm(len(nodes), generator=torch.Generator().manual_seed(seed))]
    first = int(shares[0] * len(nodes))
    second = first + int(shares[1] * len(nodes))
    masks = []
    for part in (order[:first], order[first:second], order[second:]):
        mask = torch.zeros_like(labelled)
        mask[part] = True
        masks.append(mask)
    return masks[0], masks[1], masks[2]
