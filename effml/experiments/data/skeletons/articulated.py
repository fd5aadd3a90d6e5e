"""`articulated`: generated actions of a jointed body. Marked synthetic wherever it is used.

A class is a set of joints that swing, each about its own axes with its own strength, speed and phase. Classes come in
groups of five that swing the same joints with the same strength at different speeds and phases, so that poses alone do not
tell them apart. Subjects differ
in the lengths of their bones, in tempo and in posture; every sequence begins at its own moment of the swing and adds its
own deviations and sensor noise.
Odd subjects train, even ones test.
"""

from __future__ import annotations

import torch
from torch import Tensor

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.skeletons.layouts import LAYOUTS, Layout
from effml.experiments.data.skeletons.skeletons import Skeletons

GROUP, MOVING = 5, 6


def load(
    files: Files,
    classes: int = 10,
    subjects: int = 10,
    repeats: int = 4,
    frames: int = 64,
    layout: str = "msr20",
    noise: float = 0.02,
    seed: int = 0,
) -> Content:
    """`classes * subjects * repeats` sequences.

    Args:
        frames: T of every sequence.
        layout: "msr20" (20 joints) or "ntu25" (25 joints).
        noise: standard deviation of the sensor, metres.
    """
    if layout not in LAYOUTS:
        raise UserError(f"data set articulated: layout={layout} is unknown; expected {' or '.join(LAYOUTS)}")
    for name, given, low in (
        ("classes", classes, 2),
        ("subjects", subjects, 2),
        ("repeats", repeats, 1),
        ("frames", frames, 2),
    ):
        if given < low:
            raise UserError(f"data set articulated: {name}={given} is out of range; expected at least {low}")
    generator = torch.Generator().manual_seed(seed)
    body = LAYOUTS[layout]
    of_class = torch.arange(classes).repeat_interleave(subjects * repeats)
    of_subject = torch.arange(subjects).repeat_interleave(repeats).repeat(classes)
    angles = _angles(body, classes, of_class, of_subject, subjects, frames, generator)
    stretch = 1 + 0.08 * torch.randn(subjects, body.joints, 1, generator=generator)
    place = pose(body, angles, stretch[of_subject])
    place += 0.05 * torch.randn(len(of_class), 1, 1, 3, generator=generator) + torch.tensor([0.0, 0.0, 2.5])
    place += noise * torch.randn(place.shape, generator=generator)
    train = of_subject % 2 == 0  # subject 1 is number 0
    value = Skeletons(
        "articulated",
        place.flatten(0, 1)[:, None],
        torch.arange(len(of_class) + 1) * frames,
        of_class,
        of_subject + 1,
        train,
        ~train,
        [f"swing {number}" for number in range(classes)],
        body.bones,
        body.centre,
        note="generated",
    )
    told = f"{classes} classes, {subjects} subjects, {repeats} repeats, {frames} frames, {layout}, seed {seed}"
    return Content(value, value.sha256(), told)


def _angles(
    body: Layout,
    classes: int,
    of_class: Tensor,
    of_subject: Tensor,
    subjects: int,
    frames: int,
    generator: torch.Generator,
) -> Tensor:
    """`[N, T, V, 2]` radians: rotation of each joint about x and z."""
    group = torch.arange(classes) // GROUP
    groups = int(group[-1]) + 1

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    moves = torch.zeros(groups, body.joints, 1)
    for number in range(groups):
        moves[number, torch.randperm(body.joints, generator=generator)[:MOVING]] = 1
    strength = (moves * (0.1 + 0.15 * uniform(groups, body.joints, 2)))[group]
    speed = 1 + 1.5 * uniform(classes, body.joints, 2)
    phase = 2 * torch.pi * uniform(classes, body.joints, 2)
    tempo = 1 + 0.1 * normal(subjects, 1, 1, 1)
    posture = 0.15 * normal(subjects, 1, body.joints, 2)
    begin = 2 * torch.pi * uniform(len(of_class), 1, 1, 1)
    force = 1 + 0.25 * normal(len(of_class), 1, body.joints, 2)
    time = torch.linspace(0, 2 * torch.pi, frames)[None, :, None, None]
    swing = torch.sin(time * speed[of_class][:, None] * tempo[of_subject] + phase[of_class][:, None] + begin)
    return posture[of_subject] + force * strength[of_class][:, None] * swing


def pose(body: Layout, angles: Tensor, stretch: Tensor) -> Tensor:
    """`[N, T, V, 3]`: where the joints are when each has turned by its angles, everything beyond a joint with it.

    Args:
        angles: `[N, T, V, 2]` radians about x, then z.
        stretch: `[N, V, 1]` factor on the length of the bone that ends in each joint.
    """
    rest = torch.tensor(body.rest)
    turn = rotation(angles)
    placed: dict[int, Tensor] = {body.centre: rest[body.centre].expand(*angles.shape[:2], 3)}
    frame = {body.centre: turn[:, :, body.centre]}
    for joint, parent in body.outward():
        bone = (rest[joint] - rest[parent]) * stretch[:, None, joint]
        placed[joint] = placed[parent] + (frame[parent] @ bone[..., None]).squeeze(-1)
        frame[joint] = frame[parent] @ turn[:, :, joint]
    return torch.stack([placed[joint] for joint in range(body.joints)], 2)


def rotation(angles: Tensor) -> Tensor:
    """`[..., 3, 3]` rotation matrices about x by `angles[..., 0]`, then about z by `angles[..., 1]`."""
    (cx, cz), (sx, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    zero = torch.zeros_like(cx)
    rows = (cz, -sz * cx, sz * sx, sz, cz * cx, -cz * sx, zero, sx, cx)
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
