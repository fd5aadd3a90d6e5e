"""numba's threads beside torch's: how many a kernel may use, and starting them without changing torch's number.

Where both use the same OpenMP library, starting numba's pool sets the number of threads for torch as well, so that
`torch.set_num_threads(1)` would be undone by the first parallel kernel.
"""

from __future__ import annotations

import functools

import torch


def worker_threads() -> int:
    """Threads for a numba kernel: what torch was told to use, as far as numba has them.

    With one thread numba's pool is not started, so that a process that keeps to one may fork.
    """
    wanted = torch.get_num_threads()
    return wanted if wanted == 1 else min(wanted, _pool_size())


@functools.cache
def _pool_size() -> int:
    import numba

    before = torch.get_num_threads()
    size = numba.get_num_threads()
    torch.set_num_threads(before)
    return size
