"""Amdahl's arithmetic of an epoch: what faster products with the adjacency can do for the whole (MaxK-GNN, section 5.3)."""

from __future__ import annotations


def limit(share: float) -> float:
    """`1 / (1 - p)`: the epoch's speedup were the products free; infinite for p = 1.

    Args:
        share: p, the products' share of the baseline's epoch, 0 to 1.
    """
    _check(share)
    return float("inf") if share == 1 else 1 / (1 - share)


def share_of(limit: float) -> float:
    """p of a published limit: `1 - 1 / limit`."""
    if not limit >= 1:
        raise ValueError(f"a limit is at least 1, got {limit}")
    return 1 - 1 / limit


def composed(share: float, forward: float, backward: float) -> float:
    """`1 / ((1 - p) + (p / 2) / s_f + (p / 2) / s_b)`: forward and backward products take half of the share each.

    Selection, packing and everything new that the method needs count as free here: the measured speedup stays below.

    Args:
        share: p.
        forward, backward: speedups of the products, s_f and s_b.
    """
    _check(share)
    if not (forward > 0 and backward > 0):
        raise ValueError(f"speedups are positive, got {forward} and {backward}")
    return 1 / ((1 - share) + share / 2 / forward + share / 2 / backward)


def _check(share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"a share is in 0..1, got {share}")
