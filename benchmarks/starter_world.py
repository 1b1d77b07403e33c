"""The starter world: how fast people are drawn, and whether the pictures are reproducible.

They are drawn with one process for each CPU core, as by `visage data render`, then drawn again in
another order by other processes and compared by their hashes.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cv2

from ..world import portrait

SIZE = 128
PORTRAITS = 1000
QUICK_PORTRAITS = 100


def run(quick: bool) -> dict[str, float]:
    """Portraits per second with all cores, CPU seconds of each, and the number that differ."""
    count = QUICK_PORTRAITS if quick else PORTRAITS
    workers = os.cpu_count() or 1
    started = time.perf_counter()
    first, seconds = _hashes(range(count), workers)
    elapsed = time.perf_counter() - started
    again, _ = _hashes(range(count - 1, -1, -1), workers)
    return {
        "portraits": count,
        "processes": workers,
        "portraits_per_second": count / elapsed,
        "cpu_ms_per_portrait": 1000 * seconds / count,
        "portraits_that_differ": sum(first[index] != again[index] for index in first),
    }


def _hashes(indices: Sequence[int], workers: int) -> tuple[dict[int, str], float]:
    """The hash of each portrait, and the processor time for all of them in seconds."""
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool:
        drawn = list(pool.map(_hash, indices, chunksize=8))
    return {index: found for index, found, _ in drawn}, sum(seconds for *_, seconds in drawn)


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _hash(index: int) -> tuple[int, str, float]:
    started = time.process_time()
    drawn = portrait(index, SIZE)
    seconds = time.process_time() - started
    content = hashlib.sha256()
    for part in (drawn.image, drawn.labels, drawn.landmarks):
        content.update(part.tobytes())
    content.update("\n".join(drawn.captions).encode())
    return index, content.hexdigest(), seconds
