"""What can go wrong, in one hierarchy.

Every error takes one finished message and nothing else: SimPy rebuilds an exception that crosses a
process from its ``args``, so a constructor with more parameters would break there. A message says
what is wrong, where, and what would be right, with numbers and units.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CosimError(Exception):
    """Base of all errors that cosim raises on purpose."""


class ScenarioError(CosimError):
    """The scenario (file, override or plugin it names) is not valid."""


class UnknownKindError(ScenarioError):
    """A node names a kind that no role knows."""


class AllocationError(CosimError):
    """An allocation problem or an allocator's answer is not valid."""


class SimulationError(CosimError):
    """The simulation cannot go on."""


class RunError(CosimError):
    """A run directory cannot be read or written."""


class CosimWarning(UserWarning):
    """Something the user should know, though the run goes on."""


def counted(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of the known words, or nothing where none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
