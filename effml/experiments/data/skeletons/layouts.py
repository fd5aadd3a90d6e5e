"""The skeletons that sensors report: which joints there are, how bones join them, where a person stands at rest.

Joints count from 0. `centre` is the joint to which distances are measured in graph partitions; `bones` are (joint, its
neighbour nearer to the centre), so that they form a tree rooted there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """V joints, V - 1 bones; `rest` is a standing person, metres, y up, relative to the hips."""

    name: str
    joints: int
    centre: int
    bones: tuple[tuple[int, int], ...]
    rest: tuple[tuple[float, float, float], ...]

    def outward(self) -> list[tuple[int, int]]:
        """(joint, parent) from the centre outwards, so that a parent comes before its children."""
        parents = dict(self.bones)
        ordered, placed = [], {self.centre}
        while len(placed) < self.joints:
            for joint, parent in parents.items():
                if parent in placed and joint not in placed:
                    ordered.append((joint, parent))
                    placed.add(joint)
        return ordered


# Kinect v1 as recorded in MSRAction3D, the hips (joint 7 there) in the middle.
MSR20 = Layout(
    name="msr20",
    joints=20,
    centre=6,
    bones=(
        (3, 6), (2, 3), (19, 2), (0, 2), (1, 2), (7, 0), (8, 1), (9, 7), (10, 8), (11, 9), (12, 10),
        (4, 6), (5, 6), (13, 4), (14, 5), (15, 13), (16, 14), (17, 15), (18, 16),
    ),
    rest=(
        (-0.19, 0.35, 0.0), (0.19, 0.35, 0.0), (0.0, 0.41, 0.0), (0.0, 0.21, 0.0), (-0.17, 0.0, 0.0),
        (0.17, 0.0, 0.0), (0.0, 0.0, 0.0), (-0.23, 0.08, 0.0), (0.23, 0.08, 0.0), (-0.24, -0.2, 0.0),
        (0.24, -0.2, 0.0), (-0.24, -0.27, 0.0), (0.24, -0.27, 0.0), (-0.1, -0.53, 0.0), (0.1, -0.53, 0.0),
        (-0.1, -0.93, 0.0), (0.1, -0.93, 0.0), (-0.1, -0.97, 0.12), (0.1, -0.97, 0.12), (0.0, 0.63, 0.0),
    ),
)  # fmt: skip

# Kinect v2 as recorded in NTU RGB+D; the centre is the upper spine (joint 21 there).
NTU25 = Layout(
    name="ntu25",
    joints=25,
    centre=20,
    bones=(
        (0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10),
        (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (21, 22), (22, 7),
        (23, 24), (24, 11),
    ),
    rest=(
        (0.0, 0.0, 0.0), (0.0, 0.27, 0.0), (0.0, 0.57, 0.0), (0.0, 0.7, 0.0), (-0.17, 0.45, 0.0),
        (-0.22, 0.18, 0.0), (-0.24, -0.05, 0.0), (-0.24, -0.12, 0.0), (0.17, 0.45, 0.0), (0.22, 0.18, 0.0),
        (0.24, -0.05, 0.0), (0.24, -0.12, 0.0), (-0.08, -0.02, 0.0), (-0.1, -0.42, 0.0), (-0.1, -0.82, 0.0),
        (-0.1, -0.86, 0.12), (0.08, -0.02, 0.0), (0.1, -0.42, 0.0), (0.1, -0.82, 0.0), (0.1, -0.86, 0.12),
        (0.0, 0.5, 0.0), (-0.24, -0.2, 0.0), (-0.2, -0.14, 0.03), (0.24, -0.2, 0.0), (0.2, -0.14, 0.03),
    ),
)  # fmt: skip

LAYOUTS = {layout.name: layout for layout in (MSR20, NTU25)}
