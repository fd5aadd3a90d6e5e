"""The Triton programs of chunkwise retention; gpu.py launches them.

Tokens are packed: `q [tokens, H, K]` and so on, sequence n being a run of rows. Fixed-length batches know their runs by
arithmetic (`length`), packed ones by tables (`cu_seqlens`, `cu_chunks`, `chunk_sequence`). Two walkers carry the state
along a sequence and leave the state (or its gradient) at each chunk's border in memory; three kernels then work on all
chunks at once. No atomics: every output is written by one program, in one order, so results are bitwise repeatable.

Letters: C rows of a chunk, BK and BV tile widths, `log2_gamma [H]` float32. Exponents are masked before exp2: a strong
decay would overflow above the diagonal and inf * 0 is NaN. An accumulator is never transposed: M^T is computed afresh as
V dO^T, because Triton 3.4 to 3.7.0 miscompiles `dot(trans(accumulator), x)` on sm_90.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _sequence(n, cu_seqlens, cu_chunks, length, tokens, C: tl.constexpr, PACKED: tl.constexpr):
    """First token (int64), number of tokens and first chunk of sequence n; bounds are clamped to the buffer."""
    if PACKED:
        begin = tl.minimum(tl.maximum(tl.load(cu_seqlens + n), 0), tokens).to(tl.int64)
        end = tl.minimum(tl.maximum(tl.load(cu_seqlens + n + 1), begin), tokens).to(tl.int64)
        size = (end - begin).to(tl.int32)
        first = tl.load(cu_chunks + n).to(tl.int64)
    else:
        begin = n.to(tl.int64) * length
        size = length
        first = n.to(tl.int64) * tl.cdiv(length, C)
    return begin, size, first


@triton.jit
def _chunk(c, cu_seqlens, cu_chunks, chunk_sequence, length, tokens, C: tl.constexpr, PACKED: tl.constexpr):
    """First token (int64) and number of rows of chunk c; the spare chunks of the packed form have none."""
    n = tl.load(chunk_sequence + c) if PACKED else c // tl.cdiv(length, C)
    begin, size, first = _sequence(n, cu_seqlens, cu_chunks, length, tokens, C, PACKED)
    row = (c - first).to(tl.int32) * C
    return begin + row, tl.maximum(tl.minimum(size - row, C), 0)


@triton.jit
def _unit(lg, HALF: tl.constexpr):
    """What a state is multiplied by before it is rounded to 16 bits.

    A state grows to 1 / (1 - gamma) times its inputs, up to 4096 in the paper's schedule, which float16 cannot hold;
    times (1 - gamma) it stays in the range of its inputs.
    """
    return tl.maximum(1.0 - tl.exp2(lg), 0.000244140625) if HALF else 1.0


@triton.jit(do_not_specialize=["length", "tokens"])
def forward_states(
    k, v, initial, states, final, log2_gamma, cu_seqlens, cu_chunks, length, tokens,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    PACKED: tl.constexpr, INITIAL: tl.constexpr, FINAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`states[chunk, H, K, V]` at the entry of each chunk, and the final state. One program per (sequence, head, tile)."""
    pid = tl.program_id(0)
    v_tiles: tl.constexpr = (V + BV - 1) // BV
    k_tiles: tl.constexpr = (K + BK - 1) // BK
    nh = pid // (v_tiles * k_tiles)
    n, h = nh // H, nh % H
    ck = (pid // v_tiles) % k_tiles * BK + tl.arange(0, BK)
    cv = pid % v_tiles * BV + tl.arange(0, BV)
    rows = tl.arange(0, C)
    begin, size, first = _sequence(n, cu_seqlens, cu_chunks, length, tokens, C, PACKED)
    lg = tl.load(log2_gamma + h)
    inside = (ck < K)[:, None] & (cv < V)[None, :]
    tile = ck[:, None] * V + cv[None, :]
    own = nh.to(tl.int64) * (K * V)
    state = tl.zeros([BK, BV], tl.float32)
    if INITIAL:
        state += tl.load(initial + own + tile, mask=inside, other=0.0)
    k_tile = k + (begin * H + h) * K + ck[:, None] + rows[None, :] * (H * K)
    v_tile = v + (begin * H + h) * V + cv[None, :] + rows[:, None] * (H * V)
    out = states + (first * H + h) * (K * V) + tile
    for row in range(0, size, C):
        here = tl.minimum(size - row, C)
        tl.store(out, state, mask=inside)
        kt = tl.load(k_tile, mask=(ck < K)[:, None] & (rows < here)[None, :], other=0.0)
        vc = tl.load(v_tile, mask=(rows < here)[:, None] & (cv < V)[None, :], other=0.0)
        zeta = tl.exp2(tl.maximum(here - 1 - rows, 0).to(tl.float32) * lg)
        weighted = (vc.to(tl.float32) * zeta[:, None]).to(k.dtype.element_ty)
        state = state * tl.exp2(here.to(tl.float32) * lg) + tl.dot(kt, weighted, input_precision=PRECISION)
        k_tile += C * H * K
        v_tile += C * H * V
        out += H * K * V
    if FINAL:
        tl.store(final + own + tile, state, mask=inside)


@triton.jit(do_not_specialize=["length", "tokens", "chunks"])
def forward_output(
    q, k, v, states, o, log2_gamma, scale, cu_seqlens, cu_chunks, chunk_sequence, length, tokens, chunks,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    PACKED: tl.constexpr, HALF: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`o = scale [(Q K^T . D) V + xi Q S]`. One program per (chunk, head, tile of V)."""
    pid = tl.program_id(0)
    v_tiles: tl.constexpr = (V + BV - 1) // BV
    cv = pid % v_tiles * BV + tl.arange(0, BV)
    h = pid // v_tiles % H
    c = pid // (v_tiles * H)
    begin, here = _chunk(c, cu_seqlens, cu_chunks, chunk_sequence, length, tokens, C, PACKED)
    if here == 0:
        return
    rows = tl.arange(0, C)
    live = rows < here
    lg = tl.load(log2_gamma + h)
    unit = _unit(lg, HALF)
    q_head = q + (begin * H + h) * K
    k_head = k + (begin * H + h) * K
    state = states + (c.to(tl.int64) * H + h) * (K * V)
    scores = tl.zeros([C, C], tl.float32)
    acc = tl.zeros([C, BV], tl.float32)
    for start in range(0, K, BK):
        ck = start + tl.arange(0, BK)
        qc = tl.load(q_head + rows[:, None] * (H * K) + ck[None, :], mask=live[:, None] & (ck < K)[None, :], other=0.0)
        kt = tl.load(k_head + rows[None, :] * (H * K) + ck[:, None], mask=live[None, :] & (ck < K)[:, None], other=0.0)
        s = tl.load(state + ck[:, None] * V + cv[None, :], mask=(ck < K)[:, None] & (cv < V)[None, :], other=0.0)
        scores += tl.dot(qc, kt, input_precision=PRECISION)
        acc += tl.dot(qc, (s * unit).to(qc.dtype), input_precision=PRECISION)
    xi = tl.exp2((rows + 1).to(tl.float32) * lg)
    acc *= (xi * scale / unit)[:, None]
    distance = rows[:, None] - rows[None, :]
    decay = tl.exp2(tl.maximum(distance, 0).to(tl.float32) * lg)
    scores = tl.where(distance >= 0, scores * decay * scale, 0.0)
    place = rows[:, None] * (H * V) + cv[None, :]
    bound = live[:, None] & (cv < V)[None, :]
    vc = tl.load(v + (begin * H + h) * V + place, mask=bound, other=0.0)
    acc += tl.dot(scores.to(vc.dtype), vc, input_precision=PRECISION)
    tl.store(o + (begin * H + h) * V + place, acc.to(o.dtype.element_ty), mask=bound)


@triton.jit(do_not_specialize=["length", "tokens"])
def backward_states(
    q, grad_o, grad_final, grad_states, grad_initial, log2_gamma, scale, cu_seqlens, cu_chunks, length, tokens,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    PACKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`grad_states[chunk, H, K, V]`: the gradient of the state leaving each chunk, walked from the last to the first."""
    pid = tl.program_id(0)
    v_tiles: tl.constexpr = (V + BV - 1) // BV
    k_tiles: tl.constexpr = (K + BK - 1) // BK
    nh = pid // (v_tiles * k_tiles)
    n, h = nh // H, nh % H
    ck = (pid // v_tiles) % k_tiles * BK + tl.arange(0, BK)
    cv = pid % v_tiles * BV + tl.arange(0, BV)
    rows = tl.arange(0, C)
    begin, size, first = _sequence(n, cu_seqlens, cu_chunks, length, tokens, C, PACKED)
    lg = tl.load(log2_gamma + h)
    xi = tl.exp2((rows + 1).to(tl.float32) * lg) * scale
    inside = (ck < K)[:, None] & (cv < V)[None, :]
    tile = ck[:, None] * V + cv[None, :]
    own = nh.to(tl.int64) * (K * V)
    grad = tl.load(grad_final + own + tile, mask=inside, other=0.0)
    last = tl.cdiv(size, C) - 1
    begin += last.to(tl.int64) * C
    q_tile = q + (begin * H + h) * K + ck[:, None] + rows[None, :] * (H * K)
    g_tile = grad_o + (begin * H + h) * V + cv[None, :] + rows[:, None] * (H * V)
    out = grad_states + ((first + last) * H + h) * (K * V) + tile
    for step in range(0, last + 1):
        here = tl.minimum(size - (last - step) * C, C)
        tl.store(out, grad, mask=inside)
        qt = tl.load(q_tile, mask=(ck < K)[:, None] & (rows < here)[None, :], other=0.0)
        g = tl.load(g_tile, mask=(rows < here)[:, None] & (cv < V)[None, :], other=0.0)
        weighted = (g.to(tl.float32) * xi[:, None]).to(q.dtype.element_ty)
        grad = grad * tl.exp2(here.to(tl.float32) * lg) + tl.dot(qt, weighted, input_precision=PRECISION)
        q_tile -= C * H * K
        g_tile -= C * H * V
        out -= H * K * V
    tl.store(grad_initial + own + tile, grad, mask=inside)


@triton.jit(do_not_specialize=["length", "tokens", "chunks"])
def backward_qk(
    q, k, v, grad_o, states, grad_states, dq, dk, log2_gamma, scale,
    cu_seqlens, cu_chunks, chunk_sequence, length, tokens, chunks,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    PACKED: tl.constexpr, HALF: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`dq = s [M K + xi dO S^T]`, `dk = s M^T Q + zeta V dS^T`. One program per (chunk, head, tile of K)."""
    pid = tl.program_id(0)
    k_tiles: tl.constexpr = (K + BK - 1) // BK
    ck = pid % k_tiles * BK + tl.arange(0, BK)
    h = pid // k_tiles % H
    c = pid // (k_tiles * H)
    begin, here = _chunk(c, cu_seqlens, cu_chunks, chunk_sequence, length, tokens, C, PACKED)
    if here == 0:
        return
    rows = tl.arange(0, C)
    live = rows < here
    lg = tl.load(log2_gamma + h)
    unit = _unit(lg, HALF)
    head = (c.to(tl.int64) * H + h) * (K * V)
    v_head = v + (begin * H + h) * V
    g_head = grad_o + (begin * H + h) * V
    m = tl.zeros([C, C], tl.float32)
    mt = tl.zeros([C, C], tl.float32)
    acc_q = tl.zeros([C, BK], tl.float32)
    acc_k = tl.zeros([C, BK], tl.float32)
    for start in range(0, V, BV):
        cv = start + tl.arange(0, BV)
        across = rows[:, None] * (H * V) + cv[None, :]
        bound = live[:, None] & (cv < V)[None, :]
        vc = tl.load(v_head + across, mask=bound, other=0.0)
        g = tl.load(g_head + across, mask=bound, other=0.0)
        m += tl.dot(g, tl.trans(vc), input_precision=PRECISION)
        mt += tl.dot(vc, tl.trans(g), input_precision=PRECISION)
        turned = ck[None, :] * V + cv[:, None]
        inside = (ck < K)[None, :] & (cv < V)[:, None]
        st = tl.load(states + head + turned, mask=inside, other=0.0)
        acc_q += tl.dot(g, (st * unit).to(g.dtype), input_precision=PRECISION)
        gt = tl.load(grad_states + head + turned, mask=inside, other=0.0)
        acc_k += tl.dot(vc, (gt * unit).to(vc.dtype), input_precision=PRECISION)
    xi = tl.exp2((rows + 1).to(tl.float32) * lg)
    zeta = tl.exp2(tl.maximum(here - 1 - rows, 0).to(tl.float32) * lg)
    acc_q *= (xi * scale / unit)[:, None]
    acc_k *= (zeta / unit)[:, None]
    distance = rows[:, None] - rows[None, :]
    decay = tl.exp2(tl.abs(distance).to(tl.float32) * lg) * scale
    m = tl.where(distance >= 0, m * decay, 0.0)
    mt = tl.where(distance <= 0, mt * decay, 0.0)
    place = (begin * H + h) * K + rows[:, None] * (H * K) + ck[None, :]
    bound = live[:, None] & (ck < K)[None, :]
    kc = tl.load(k + place, mask=bound, other=0.0)
    acc_q += tl.dot(m.to(kc.dtype), kc, input_precision=PRECISION)
    tl.store(dq + place, acc_q.to(dq.dtype.element_ty), mask=bound)
    qc = tl.load(q + place, mask=bound, other=0.0)
    acc_k += tl.dot(mt.to(qc.dtype), qc, input_precision=PRECISION)
    tl.store(dk + place, acc_k.to(dk.dtype.element_ty), mask=bound)


@triton.jit(do_not_specialize=["length", "tokens", "chunks"])
def backward_v(
    q, k, grad_o, grad_states, dv, log2_gamma, scale,
    cu_seqlens, cu_chunks, chunk_sequence, length, tokens, chunks,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
    PACKED: tl.constexpr, HALF: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`dv = s P^T dO + zeta K dS`, `P^T = (K Q^T) . D^T`. One program per (chunk, head, tile of V)."""
    pid = tl.program_id(0)
    v_tiles: tl.constexpr = (V + BV - 1) // BV
    cv = pid % v_tiles * BV + tl.arange(0, BV)
    h = pid // v_tiles % H
    c = pid // (v_tiles * H)
    begin, here = _chunk(c, cu_seqlens, cu_chunks, chunk_sequence, length, tokens, C, PACKED)
    if here == 0:
        return
    rows = tl.arange(0, C)
    live = rows < here
    lg = tl.load(log2_gamma + h)
    unit = _unit(lg, HALF)
    head = (begin * H + h) * K
    grad = grad_states + (c.to(tl.int64) * H + h) * (K * V)
    pt = tl.zeros([C, C], tl.float32)
    acc = tl.zeros([C, BV], tl.float32)
    for start in range(0, K, BK):
        ck = start + tl.arange(0, BK)
        kc = tl.load(
            k + head + rows[:, None] * (H * K) + ck[None, :], mask=live[:, None] & (ck < K)[None, :], other=0.0
        )
        qt = tl.load(
            q + head + rows[None, :] * (H * K) + ck[:, None], mask=live[None, :] & (ck < K)[:, None], other=0.0
        )
        ds = tl.load(grad + ck[:, None] * V + cv[None, :], mask=(ck < K)[:, None] & (cv < V)[None, :], other=0.0)
        pt += tl.dot(kc, qt, input_precision=PRECISION)
        acc += tl.dot(kc, (ds * unit).to(kc.dtype), input_precision=PRECISION)
    zeta = tl.exp2(tl.maximum(here - 1 - rows, 0).to(tl.float32) * lg)
    acc *= (zeta / unit)[:, None]
    distance = rows[:, None] - rows[None, :]
    decay = tl.exp2(tl.abs(distance).to(tl.float32) * lg) * scale
    pt = tl.where(distance <= 0, pt * decay, 0.0)
    place = (begin * H + h) * V + rows[:, None] * (H * V) + cv[None, :]
    bound = live[:, None] & (cv < V)[None, :]
    g = tl.load(grad_o + place, mask=bound, other=0.0)
    acc += tl.dot(pt.to(g.dtype), g, input_precision=PRECISION)
    tl.store(dv + place, acc.to(dv.dtype.element_ty), mask=bound)


@triton.jit
def step(
    q, k, v, state, o, log_gamma, scale,
    H: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """One token of every sequence: `S <- gamma S + k^T v` in place, `o = scale q S`. One program per (sequence, head, tile
    of V); BK covers all of K."""
    pid = tl.program_id(0)
    v_tiles: tl.constexpr = (V + BV - 1) // BV
    cv = pid % v_tiles * BV + tl.arange(0, BV)
    bh = (pid // v_tiles).to(tl.int64)
    ck = tl.arange(0, BK)
    gamma = tl.exp2(tl.load(log_gamma + bh % H) * 1.4426950408889634)
    tile = state + bh * (K * V) + ck[:, None] * V + cv[None, :]
    inside = (ck < K)[:, None] & (cv < V)[None, :]
    kc = tl.load(k + bh * K + ck, mask=ck < K, other=0.0).to(tl.float32)
    qc = tl.load(q + bh * K + ck, mask=ck < K, other=0.0).to(tl.float32)
    vc = tl.load(v + bh * V + cv, mask=cv < V, other=0.0).to(tl.float32)
    s = tl.load(tile, mask=inside, other=0.0) * gamma + kc[:, None] * vc[None, :]
    tl.store(tile, s, mask=inside)
    tl.store(o + bh * V + cv, (tl.sum(qc[:, None] * s, 0) * scale).to(o.dtype.element_ty), mask=cv < V)
