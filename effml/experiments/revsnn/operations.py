"""Pointwise operations that the backward of one step carries out on a group of neurons: by closed form, and counted.

Arithmetic, comparison and selection count, one for a pass over the values of a group (half of the neurons) in one step;
copies and casts do not. The closed form follows the equations of `effml.kernels.spiking.reference` with the arctangent
surrogate, both groups of a step together:

| part | of each group | of the step |
|---|---|---|
| inverse | M 3, S 1, (1-S) M 1, X 2, V 2 | 18 |
| adjoint in the same sweep | slope 6, into S 2, dM 3 | e 2, f 2, dX 4, dV 4 |
| second forward | M 3, S 2, Y 2, 1-S 1, (1-S) M 1, alpha V 1, sum 1 | 22 |
| autograd behind it | surrogate 6, through (1-S) M 3, constants 4, sums 2 | sums 4 |
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from effml.experiments.core.run import Run
from effml.experiments.revsnn.config import Config
from effml.kernels.spiking import Rule, reference
from effml.models.spiking.baselines import DoubleRevLIF

INVERSE = 2 * (3 + 1 + 1 + 2 + 2)
ADJOINT = 2 * (6 + 2 + 3) + 2 + 2 + 4 + 4
SECOND_FORWARD = 2 * (3 + 2 + 2 + 1 + 1 + 1 + 1)
AUTOGRAD = 2 * (6 + 3 + 4 + 2) + 4
CLOSED = {"one sweep": INVERSE + ADJOINT, "inverse and second forward": INVERSE + SECOND_FORWARD + AUTOGRAD}


class PointwiseCounter(TorchDispatchMode):
    """Counts pointwise operations whose result has `size` elements, as torch carries them out."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if torch.Tag.pointwise in function.tags and result.numel() == self.size:
            self.count += 1
        return result


def counted(steps: int = 3) -> dict[str, float]:
    """Operations of a step's backward, both ways, averaged over a few steps.

    The size of a group occurs nowhere else, so that what is counted is on groups.
    """
    rows, half = 3, 7
    rule, alpha, beta = Rule(mode="paper"), torch.tensor(0.5), torch.tensor(1.0)
    x = torch.randn(steps, rows, 2, half)
    y, u, bits, anchors, _ = reference.forward(x, None, alpha, beta, rule)
    with PointwiseCounter(rows * half) as sweep:
        reference.backward(y, u, None, bits, anchors, torch.ones_like(y), None, alpha, beta, rule, coupling=False)
    output = DoubleRevLIF()(x.flatten(2).requires_grad_())
    seed = torch.ones_like(output)
    with PointwiseCounter(rows * half) as double:
        output.backward(seed)
    return {"one sweep": sweep.count / steps, "inverse and second forward": double.count / steps}


def record(config: Config, run: Run) -> None:
    """Both counts of both ways, and what the sweep leaves out."""
    for way, count in counted().items():
        run.record("operations", {"backward": way}, "operations", CLOSED[way])
        run.record("operations", {"backward": way}, "operations_counted", count)
        left_out = 1 - CLOSED[way] / CLOSED["inverse and second forward"]
        run.record("operations", {"backward": way}, "operations_saved", left_out)
