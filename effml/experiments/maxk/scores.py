"""What a node classifier is judged by: accuracy, micro-F1 or ROC-AUC, and the loss that goes with each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy for classes `[n]`; binary cross-entropy, mean over labels, for labels `[n, C]`."""
    if y.dim() == 1:
        return functional.cross_entropy(logits, y)
    return functional.binary_cross_entropy_with_logits(logits, y)


def score(logits: Tensor, y: Tensor, metric: str) -> float:
    """The score of logits `[n, C]` by `metric`: "accuracy", "micro_f1" or "roc_auc" (labels `[n, C]` for the last two).

    ROC-AUC is the mean over the labels that have both a positive and a negative node, as OGB computes it.

    Raises:
        ValueError: an unknown metric, or ROC-AUC where no label has both.
    """
    if metric == "accuracy":
        return float((logits.argmax(1) == y).double().mean())
    truth, predicted = y.cpu().numpy(), logits.float().cpu().numpy()
    if metric == "micro_f1":
        from sklearn.metrics import f1_score

        return float(f1_score(truth > 0.5, predicted > 0, average="micro", zero_division=0.0))
    if metric == "roc_auc":
        from sklearn.metrics import roc_auc_score

        both = (truth.min(0) == 0) & (truth.max(0) == 1)
        if not both.any():
            raise ValueError("ROC-AUC needs a label with positive and negative nodes")
        return float(np.mean([roc_auc_score(truth[:, task], predicted[:, task]) for task in np.flatnonzero(both)]))
    raise ValueError(f"no score is called {metric!r}")


@torch.no_grad()
def scores(logits: Tensor, y: Tensor, masks: dict[str, Tensor], metric: str) -> dict[str, float]:
    """The score of each split."""
    return {name: score(logits[mask], y[mask], metric) for name, mask in masks.items()}
