"""Drawing many pictures of the rendered world on several processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import cv2

Job = TypeVar("Job")
Drawn = TypeVar("Drawn")


def draw_in_parallel(
    draw: Callable[[Job], Drawn], jobs: list[Job], workers: int, chunksize: int = 1
) -> Iterator[Drawn]:
    """Yield `draw(job)` of every job, in order; a single worker draws in this process.

    The processes are spawned, because one that is forked after torch started threads can hang.
    """
    if workers <= 1 or len(jobs) < 2:
        yield from map(draw, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(draw, jobs, chunksize=chunksize)


def _one_thread() -> None:
    cv2.setNumThreads(1)
