"""Training threads: each does one job at a time with single-threaded tensor operations, so their number changes no bit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from cosim.watchdog import THREADS

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def training_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``workers`` threads in which torch works on one core each; the caller's own settings are as before afterwards."""
    before, short = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # on a GPU convolutions of users' modules would have 10 bits for each number
    try:
        with ThreadPoolExecutor(workers, THREADS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.allow_tf32 = short


def in_order(pool: Executor, work: Callable[[A], B], jobs: Iterable[A], *, ahead: int) -> Iterator[B]:
    """Results of the jobs in their order; at most ``ahead`` jobs are under way or wait to be taken, so memory is bounded."""
    waiting: deque[Future[B]] = deque()
    for job in jobs:
        waiting.append(pool.submit(work, job))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
