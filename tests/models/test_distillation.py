"""Distillation losses against their definitions."""

import pytest
import torch
from scipy.special import rel_entr, softmax

from effml.models.distillation import attention_map, attention_transfer, softened_divergence


def test_divergence_equals_its_definition():
    student, teacher = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    p, q = softmax(teacher.numpy() / 4, axis=1), softmax(student.numpy() / 4, axis=1)
    assert softened_divergence(student, teacher).item() == pytest.approx(16 * rel_entr(p, q).sum(1).mean())


def test_student_equal_to_teacher_costs_nothing():
    logits, features = torch.randn(5, 7), [torch.randn(2, 3, 4, 5)]
    assert softened_divergence(logits, logits).abs() < 1e-5
    assert attention_transfer(features, features) == 0


def test_teacher_gets_no_gradient():
    student, teacher = torch.randn(5, 7, requires_grad=True), torch.randn(5, 7, requires_grad=True)
    softened_divergence(student, teacher).backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


def test_gradient_hardly_depends_on_temperature_when_high():
    student, teacher = (
        torch.randn(4, 6, dtype=torch.float64, requires_grad=True),
        torch.randn(4, 6, dtype=torch.float64),
    )
    grads = [torch.autograd.grad(softened_divergence(student, teacher, t), student)[0] for t in (100.0, 200.0)]
    torch.testing.assert_close(grads[0], grads[1], rtol=0.1, atol=1e-3)


def test_attention_ignores_scale_and_channel_count():
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert attention_transfer([features], [7 * features.repeat(1, 2, 1, 1)]) < 1e-24
    torch.testing.assert_close(attention_map(features).norm(dim=1), torch.ones(2, dtype=torch.float64))


def test_attention_transfer_is_a_sum_over_blocks():
    one, two = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 5)
    other = [torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 5)]
    parts = attention_transfer([one], other[:1]) + attention_transfer([two], other[1:])
    torch.testing.assert_close(attention_transfer([one, two], other), parts)
    with pytest.raises(ValueError):
        attention_transfer([one], other)
