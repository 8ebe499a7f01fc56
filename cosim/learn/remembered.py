"""What was made of an object, remembered as long as the object lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, final

T = TypeVar("T")


@final
class Remembered(Generic[T]):
    """A function of an object that nobody changes, and of what else is hashable: each value is made once and forgotten with its object.

    Objects are told apart by identity. Threads that ask at once may both make it.
    """

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._made: dict[tuple[Hashable, ...], T] = {}

    def __len__(self) -> int:
        return len(self._made)

    def __call__(self, thing: object, *more: Hashable) -> T:
        """``make(thing, *more)``."""
        key = (id(thing), *more)
        if key not in self._made:
            self._made[key] = self._make(thing, *more)
            weakref.finalize(thing, self._made.pop, key, None)
        return self._made[key]
