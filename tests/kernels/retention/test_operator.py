"""Retention as a torch operator: schema, tracing, gradients, compilation, and what it says about wrong arguments."""

import pytest
import torch

from effml.kernels import retention, retention_step
from effml.kernels.retention import choose_backend
from tests.kernels.retention.cases import decays, problem


@pytest.mark.parametrize("packed", [False, True])
def test_gradcheck(packed):
    bounds = [0, 4, 4, 11] if packed else None
    (q, k, v, state), _ = problem(1, 11, 2, 3, 2, bounds=bounds)
    leaves = [x.requires_grad_() for x in (q, k, v, state, decays(2))]

    def run(q, k, v, state, log_gamma):
        cu_seqlens = torch.tensor(bounds) if packed else None
        return retention(q, k, v, log_gamma, initial_state=state, return_state=True, chunk=4, cu_seqlens=cu_seqlens)

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("packed", [False, True])
def test_opcheck(packed):
    bounds = [0, 4, 11] if packed else None
    (q, k, v, state), _ = problem(1, 11, 2, 3, 2, torch.float32, bounds=bounds)
    cu_seqlens = torch.tensor(bounds) if packed else None
    for leaf in (q, k, v, state):
        leaf.requires_grad_()
    torch.library.opcheck(torch.ops.effml.retention.default, (q, k, v, decays(2), 0.5, state, cu_seqlens, 4, "chunk"))


def test_opcheck_step():
    (q, k, v, state), _ = problem(2, 1, 2, 3, 4, torch.float32)
    args = (state, q[:, 0].contiguous(), k[:, 0].contiguous(), v[:, 0].contiguous(), decays(2), 0.5)
    torch.library.opcheck(torch.ops.effml.retention_step.default, args)


@pytest.mark.slow
def test_compiles_into_one_graph():
    (q, k, v, state), _ = problem(1, 21, 2, 4, 6, torch.float32)

    def run(q, k, v, state):
        o, state = retention(q, k, v, decays(2), initial_state=state, return_state=True, chunk=8)
        more = retention_step(state, q[:, 0], k[:, 0], v[:, 0], decays(2))
        return o, more, state

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for a, b in zip(compiled(q, k, v, state), run(q, k, v, state), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shape", [(1, 1, 2, 3, 4), (3, 29, 2, 8, 5), (64, 2, 8, 32, 64)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_steps_equal_the_whole_sequence(shape, dtype):
    (q, k, v, state), _ = problem(*shape, dtype)
    log_gamma = decays(shape[2])
    expected, final = retention(q, k, v, log_gamma, initial_state=state, return_state=True, backend="recurrent")
    place = state.data_ptr()
    steps = [retention_step(state, q[:, n], k[:, n], v[:, n], log_gamma) for n in range(shape[1])]
    assert state.data_ptr() == place and steps[0].dtype == dtype
    bound = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(torch.stack(steps, 1), expected, rtol=bound, atol=bound)
    torch.testing.assert_close(state, final, rtol=1e-5, atol=1e-5)


def test_step_memory_does_not_depend_on_the_position():
    (q, k, v, state), _ = problem(2, 1, 2, 8, 16, torch.float32)
    size, place = state.untyped_storage().nbytes(), state.data_ptr()
    for _ in range(2000):
        retention_step(state, q[:, 0], k[:, 0], v[:, 0], decays(2))
    assert (state.untyped_storage().nbytes(), state.data_ptr()) == (size, place) and size == 2 * 2 * 8 * 16 * 4


def test_auto_takes_chunks_on_the_cpu():
    (q, _, v, _), _ = problem(1, 4, 1, 2, 2)
    assert choose_backend(q, v) == "chunk"


def wrong(**changes):
    (q, k, v, _), _ = problem(1, 6, 2, 4, 5, torch.float32)
    return retention(**{"q": q, "k": k, "v": v, "log_gamma": decays(2)} | changes)


@pytest.mark.parametrize(
    "changes,error,words",
    [
        ({"k": torch.zeros(1, 6, 2, 3)}, ValueError, r"q and k must both be .*\(1, 6, 2, 3\)"),
        ({"v": torch.zeros(1, 5, 2, 5)}, ValueError, r"v must be .*\(1, 5, 2, 5\)"),
        ({"v": torch.zeros(1, 6, 2, 5).double()}, TypeError, "share one floating dtype"),
        ({"log_gamma": torch.zeros(3)}, ValueError, r"log_gamma must be \[H\] = \[2\]"),
        ({"log_gamma": [-0.1, -0.2]}, TypeError, "must be tensors"),
        ({"log_gamma": torch.zeros(2).bfloat16()}, TypeError, "log_gamma must be float32 or float64"),
        ({"initial_state": torch.zeros(1, 2, 4, 4)}, ValueError, r"initial_state must be .*\[1, 2, 4, 5\]"),
        ({"initial_state": torch.zeros(1, 2, 4, 5).half()}, TypeError, "initial_state must be torch.float32"),
        ({"cu_seqlens": torch.tensor([0, 4, 7])}, ValueError, "ascend from 0 to T = 6"),
        ({"cu_seqlens": torch.tensor([0.0, 6.0])}, ValueError, "int32 or int64"),
        ({"backend": "cuda"}, ValueError, "none of auto, triton"),
        ({"backend": "triton"}, ValueError, "needs tensors on a GPU"),
        ({"chunk": 0}, ValueError, "chunk must be positive"),
    ],
)
def test_wrong_arguments_are_named(changes, error, words):
    with pytest.raises(error, match=words):
        wrong(**changes)


def test_step_refuses_a_state_it_cannot_update_in_place():
    (q, k, v, state), _ = problem(1, 1, 2, 4, 4, torch.float32)
    with pytest.raises(ValueError, match="contiguous"):
        retention_step(state.transpose(2, 3), q[:, 0], k[:, 0], v[:, 0], decays(2))
    with pytest.raises(ValueError, match=r"k has shape \(1, 1, 2, 4\)"):
        retention_step(state, q[:, 0], k, v[:, 0], decays(2))


def test_the_references_are_exact_whatever_the_dtype_of_the_decays():
    q, k, v = torch.randn(3, 1, 200, 2, 8, dtype=torch.float64)
    found = [retention(q, k, v, decays(2).float(), backend=name) for name in ("recurrent", "parallel", "chunk")]
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=1e-12, atol=1e-12)


def test_step_loses_no_gradient_silently():
    (q, k, v, state), _ = problem(1, 1, 2, 4, 4, torch.float32)
    q.requires_grad_()
    with pytest.raises(RuntimeError, match="train with retention"):
        retention_step(state, q[:, 0], k[:, 0], v[:, 0], decays(2))
    with torch.no_grad():
        retention_step(state, q[:, 0], k[:, 0], v[:, 0], decays(2))


def test_a_growing_memory_is_refused():
    q = torch.zeros(1, 3, 2, 4)
    for bad in (0.03, float("nan")):
        with pytest.raises(ValueError, match="at most 0"):
            retention(q, q, q, torch.tensor([-0.1, bad]))
