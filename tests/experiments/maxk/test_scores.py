"""Scores against scikit-learn's definitions worked by hand."""

import pytest
import torch

from effml.experiments.maxk.scores import loss, score


def test_accuracy_counts_right_answers():
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert score(logits, torch.tensor([1, 0, 0]), "accuracy") == pytest.approx(2 / 3)


def test_micro_f1_pools_all_labels():
    logits = torch.tensor([[1.0, -1.0], [2.0, 3.0]])  # predicted 1 0, 1 1
    truth = torch.tensor([[1.0, 1.0], [0.0, 1.0]])  # two right positives, one false, one missed
    assert score(logits, truth, "micro_f1") == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_roc_auc_is_the_mean_over_labels_that_have_both():
    logits = torch.tensor([[0.1, 0.5, 9.0], [0.9, 0.4, 9.0], [0.5, 0.9, 9.0]])
    truth = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    assert score(logits, truth, "roc_auc") == pytest.approx((1.0 + 0.5) / 2)
    with pytest.raises(ValueError, match="positive"):
        score(logits[:, 2:], truth[:, 2:], "roc_auc")


def test_unknown_score_is_refused():
    with pytest.raises(ValueError, match="f2"):
        score(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), "f2")


def test_loss_follows_the_labels():
    logits = torch.tensor([[0.0, 0.0]])
    assert float(loss(logits, torch.tensor([1]))) == pytest.approx(0.6931, abs=1e-4)
    assert float(loss(logits, torch.tensor([[1.0, 0.0]]))) == pytest.approx(0.6931, abs=1e-4)
