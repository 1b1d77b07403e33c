"""Drawing on several processes."""

import math

import pytest
import torch
from visage.world.parallel import draw_in_parallel


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_drawings_keep_the_order_of_the_jobs_after_torch_has_started_its_threads(workers):
    torch.randn(512, 512) @ torch.randn(512, 512)
    assert list(draw_in_parallel(math.factorial, [3, 1, 4], workers)) == [6, 1, 24]


@pytest.mark.slow
def test_an_error_in_a_worker_reaches_the_caller():
    with pytest.raises(ValueError, match="negative"):
        list(draw_in_parallel(math.factorial, [3, -1], workers=2))
