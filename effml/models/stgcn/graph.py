"""A skeleton as ST-GCN's partitioned adjacency. Numpy alone; knows no data set.

Yan, Xiong and Lin, AAAI 2018, arXiv 1801.07455: spatial partition and A D^-1. Orientation: `out[w] = sum_v A[k, v, w] in[v]`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PARTITIONS = 3


def distances(bones: Iterable[tuple[int, int]], centre: int, joints: int) -> NDArray[np.int64]:
    """`[V]` bones between each joint and the centre.

    Raises:
        ValueError: a bone names no joint, or a joint is not connected to the centre.
    """
    neighbours: dict[int, set[int]] = {joint: set() for joint in range(joints)}
    for one, other in bones:
        if not (0 <= one < joints and 0 <= other < joints):
            raise ValueError(f"bone ({one}, {other}) names no joint; there are {joints}, counted from 0")
        neighbours[one].add(other)
        neighbours[other].add(one)
    found = {centre: 0}
    ring = [centre]
    while ring:
        ring = sorted({far for near in ring for far in neighbours[near]} - found.keys())
        step = max(found.values()) + 1
        found.update(dict.fromkeys(ring, step))
    if len(found) < joints:
        lost = sorted(set(range(joints)) - found.keys())
        raise ValueError(f"joint {lost[0]} is not connected to the centre, joint {centre}")
    return np.array([found[joint] for joint in range(joints)])


def spatial_adjacency(
    bones: Iterable[tuple[int, int]], centre: int, joints: int, reach: int | None = 1
) -> NDArray[np.float64]:
    """`[3, V, V]`: what a joint takes from itself; from neighbours as far from the centre or farther; from nearer ones.

    Columns of the sum over partitions add up to 1 (A D^-1, D the in-degrees with self loops).

    Args:
        bones: pairs of joined joints, in either order, V - 1 of them in a tree; any connected graph will do.
        centre: the joint from which distances are counted.
        reach: distances beyond it count as equal. 1 is what the published ST-GCN program does in effect (its distances are
            infinite beyond the neighbourhood), and gives 25, 40 and 8 edges for NTU's body; None counts all, 25, 24 and 24.
    """
    bones = list(bones)
    far = distances(bones, centre, joints)
    if reach is not None:
        far = np.minimum(far, reach + 1)
    linked = np.eye(joints)
    for one, other in bones:
        linked[one, other] = linked[other, one] = 1
    normal = linked / linked.sum(0)
    source, target = far[:, None], far[None, :]
    itself = np.eye(joints, dtype=bool)
    parts = (itself, (source >= target) & ~itself, source < target)
    return np.stack([normal * part for part in parts])
