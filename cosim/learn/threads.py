"""Training threads: each does one device at a time with single-threaded tensor operations, so their number changes no bit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def training_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``workers`` threads in which torch works on one core each; the caller's own setting is as before afterwards."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
