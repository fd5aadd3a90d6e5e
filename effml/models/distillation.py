"""Distillation losses: a student learns from a teacher's logits (Hinton et al., 2015) and from where its features look
(attention transfer, Zagoruyko and Komodakis, 2017). Knows neither model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def softened_divergence(
    student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], temperature: float = 4.0
) -> Float[Tensor, ""]:
    """`T^2 KL(softmax(teacher / T) || softmax(student / T))`, mean over the batch; no gradient reaches the teacher.

    The factor T^2 keeps gradients of the size they have at T = 1. AutoReP and LinGCN take T = 4.
    """
    log_student = F.log_softmax(student / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher.detach() / temperature, dim=-1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


def attention_map(features: Float[Tensor, "batch channels *place"]) -> Float[Tensor, "batch places"]:
    """Mean square over channels at each place, flattened and scaled to unit length in each example."""
    return F.normalize(features.square().mean(1).flatten(1), dim=1)


def attention_transfer(
    student: Sequence[Float[Tensor, "batch _ *place"]], teacher: Sequence[Float[Tensor, "batch _ *place"]]
) -> Float[Tensor, ""]:
    """Sum over pairs of blocks of the mean squared difference of their attention maps; channels may differ in number.

    Raises:
        ValueError: not as many blocks of the one as of the other.
    """
    pairs = zip(student, teacher, strict=True)
    return torch.stack(
        [F.mse_loss(attention_map(ours), attention_map(theirs.detach())) for ours, theirs in pairs]
    ).sum()
