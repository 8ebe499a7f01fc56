"""Training threads: each does one job at a time with single-threaded tensor operations, so their number changes no bit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

import torch

from cosim.watchdog import THREADS

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def training_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``workers`` threads in which torch works on one core each; the caller's own settings are as before afterwards."""
    before = torch.get_num_threads()
    try:
        with _PRECISION, ThreadPoolExecutor(workers, THREADS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


class _FullPrecision:
    """While anybody is inside, products and convolutions use all bits of float32; a caller may have allowed TF32 or bfloat16.

    These settings are the process's, and so is the count of those inside: simulations may run in several threads.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, ("highest", True)

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
                torch.set_float32_matmul_precision("highest")
                torch.backends.cudnn.allow_tf32 = False
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_float32_matmul_precision(self._before[0])
                torch.backends.cudnn.allow_tf32 = self._before[1]


_PRECISION: Final = _FullPrecision()


def in_order(pool: Executor, work: Callable[[A], B], jobs: Iterable[A], *, ahead: int) -> Iterator[B]:
    """Results of the jobs in their order; at most ``ahead`` jobs are under way or wait to be taken, so memory is bounded."""
    waiting: deque[Future[B]] = deque()
    for job in jobs:
        waiting.append(pool.submit(work, job))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
