"""What was made of an array, remembered as long as the array lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, final

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@final
class Remembered(Generic[T]):
    """A function of an array that nobody writes to, and of what else is hashable: each value is made once and forgotten with its array.

    Arrays are told apart by identity. Threads that ask at once may both make it.
    """

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._made: dict[tuple[Hashable, ...], T] = {}

    def __len__(self) -> int:
        return len(self._made)

    def __call__(self, array: NDArray[np.generic], *more: Hashable) -> T:
        """``make(array, *more)``."""
        key = (id(array), *more)
        if key not in self._made:
            self._made[key] = self._make(array, *more)
            weakref.finalize(array, self._made.pop, key, None)
        return self._made[key]
