"""What cannot fit is refused by name before it is begun."""

import pytest
import torch

from effml.errors import UserError
from effml.experiments.core import memory

CPU = torch.device("cpu")


def test_memory_is_refused_before_it_is_taken():
    with pytest.raises(UserError, match=r"a cache needs about 1e\+09 GB and .* GB are free; use less"):
        memory.require(1e18, CPU, "a cache", "use less")
    memory.require(1.0, CPU, "a byte", "nothing")
