"""A limit to the wall time of what should end by itself: a plugin may hang, and a study should not hang with it.

The limit never changes a result: what ends in time is as without it.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn, final

from cosim.errors import SimulationError

LIMIT_S: Final = 6 * 3600.0
"""Longest wall time of a round, unless told otherwise."""
THREADS: Final = "cosim-training"
"""First part of the names of threads that may hang in somebody else's code."""
_LONGEST_S: Final = 1e8
_AGAIN_S: Final = 1.0


@final
class Watchdog:
    """Barks when a round lasts for more than ``limit_s`` [s, > 0] of wall time; inf: never.

    By a signal (SIGALRM), so it ends what sleeps, waits or computes in Python; a call into a C library ends first. It barks again
    every second, in case somebody catches the error. Only the main thread of a process can be watched: elsewhere nothing happens.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        """Raises ValueError for a limit that is none."""
        if not limit_s > 0:
            raise ValueError(f"round_limit_s = {limit_s!r}: must be above 0; inf: no limit")
        self._limit_s = limit_s if math.isinf(limit_s) else min(limit_s, _LONGEST_S)
        self._watching = False

    def restart(self) -> None:
        """Something has ended: the time begins anew."""
        if self._watching:
            signal.setitimer(signal.ITIMER_REAL, self._limit_s, _AGAIN_S)

    @contextmanager
    def watching(self, what: Callable[[], str]) -> Iterator[None]:
        """Raises SimulationError inside the block when its time is over; ``what`` says of what."""
        if threading.current_thread() is not threading.main_thread() or not math.isfinite(self._limit_s):
            yield
            return

        def bark(_number: int, frame: FrameType | None) -> NoReturn:
            late = f"{what()} has not ended after {self._limit_s:g} s of wall time{_place(frame)}"
            raise SimulationError(f"{late}; if that is no mistake, allow more (--round-limit)")

        handler, before = signal.signal(signal.SIGALRM, bark), signal.setitimer(signal.ITIMER_REAL, self._limit_s, _AGAIN_S)
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            signal.setitimer(signal.ITIMER_REAL, *before)
            signal.signal(signal.SIGALRM, handler)


def _place(frame: FrameType | None) -> str:
    """Where the program was: the innermost function that is not the standard library's."""
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in sys.stdlib_module_names:
        frame = frame.f_back
    return "" if frame is None else f", in {frame.f_globals.get('__name__')}:{frame.f_code.co_name}, line {frame.f_lineno}"


def end_process(code: int) -> None:
    """End the process at once if one of the threads hangs, which Python would wait for."""
    if any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
