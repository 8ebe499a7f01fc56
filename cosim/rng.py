"""Named random streams: a draw depends on its name, never on who drew before.

``Streams(seed).generator("fading", 3)`` is the same sequence in every run with that seed, on every
machine, whatever else was drawn. A stream's 128-bit Philox key is the BLAKE2b digest of (seed, role,
key...), so streams are independent for all practical purposes and there is no counter arithmetic to
get wrong. Bit generator: Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

Role = Literal[
    "placement",
    "mobility",
    "shadowing",
    "los",
    "environment",
    "indoor",
    "fading",
    "data",
    "compute",
    "harq",
    "availability",
    "csi",
    "selection",
    "allocator",
    "pruner",
    "codec",
    "train",
    "init",
    "eval",
    "bootstrap",
    "battery",
    "outage",
]
ROLES = frozenset(get_args(Role))


@dataclass(frozen=True, slots=True)
class _Key(ISeedSequence):
    """A Philox key as the seed that it is: ``Philox(key=...)`` first asks the operating system for entropy, at three times the cost."""

    key: int

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint64) -> NDArray[np.unsignedinteger]:
        """The key in 64-bit words, the lowest first."""
        return np.array([self.key >> 64 * word & 2**64 - 1 for word in range(n_words)], dtype)


@dataclass(frozen=True)
class Streams:
    """All random streams of one simulation. ``seed``: integer >= 0."""

    seed: int

    def generator(self, role: Role, *key: int) -> np.random.Generator:
        """The stream of ``role`` for a key such as (device,) or (device, round), from its beginning."""
        seed = _Key(self._digest(role, key))
        return np.random.Generator(np.random.Philox(seed))  # type: ignore[arg-type]  # its stubs know one kind of seed

    def integer(self, role: Role, *key: int) -> int:
        """A 63-bit integer that names the same stream, for libraries that want a seed of their own."""
        return self._digest(role, key) & (2**63 - 1)

    def uniform(self, role: Role, count: int, *key: int) -> NDArray[np.float64]:
        """``count`` uniforms in [0, 1); the k-th does not depend on ``count``, so it can belong to device k."""
        return self.generator(role, *key).random(count)

    def _digest(self, role: str, key: tuple[int, ...]) -> int:
        if role not in ROLES:
            raise ValueError(f"no random stream is named {role!r}; streams: {sorted(ROLES)}")
        name = ":".join([str(int(self.seed)), role, *(str(int(part)) for part in key)])
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
