"""Codecs: how the values of an upload are written. The format around them is in ``codec``.

A codec works on float32 values in consecutive *groups*: what is never pruned, then what is kept of each shared layer. The length of
what it writes depends on how many values and groups there are, never on the values: it is known before training. What cannot be
written without changing its meaning (NaN, infinities, what is out of range) is refused.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from cosim.component import Component, quantity
from cosim.learn.layers import Vector
from cosim.learn.roles import Bytes

_LARGEST: Final = 127
"""Of the whole numbers of ``int8``; -128 is not used, so that the range is symmetric."""
_RANGE: Final = 1e38
"""Largest magnitude that ``int8`` writes: 127 scales must stay within float32."""


@final
class Float32(Component):
    """Values as they are: IEEE 754 binary32, 32 bits each, bit for bit."""

    code: ClassVar[int] = 0
    value_bits: ClassVar[int] = 32
    group_bits: ClassVar[int] = 0

    def write(self, values: Vector, counts: tuple[int, ...], rng: np.random.Generator) -> Bytes:  # noqa: ARG002 - role
        """The values, little-endian. Raises ValueError if one is not finite."""
        _check_finite(values)
        return values.astype("<f4", copy=False).view(np.uint8).data

    def read(self, data: Bytes, counts: tuple[int, ...]) -> Vector:  # noqa: ARG002 - role
        """The values. Raises ValueError if one is not finite."""
        values = np.frombuffer(data, "<f4")
        _check_finite(values)
        return values.astype(np.float32, copy=False)


@final
class Float16(Component):
    """Values rounded to the nearest IEEE 754 binary16 number, 16 bits each; ties go to the even one.

    |error| <= max(2^-11 |x|, 2^-25), for |x| < 65520. Beyond that an update is refused, not cut off: it has diverged.
    """

    code: ClassVar[int] = 1
    value_bits: ClassVar[int] = 16
    group_bits: ClassVar[int] = 0

    def write(self, values: Vector, counts: tuple[int, ...], rng: np.random.Generator) -> Bytes:  # noqa: ARG002 - role
        """The values, little-endian. Raises ValueError if one is not finite or rounds to infinity."""
        _check_finite(values)
        with np.errstate(over="ignore", under="ignore"):
            half = values.astype("<f2")
        if not np.isfinite(half).all():
            raise ValueError(f"a value of {np.abs(values).max():.6g} is beyond float16, whose largest number is 65504")
        return half.tobytes()

    def read(self, data: Bytes, counts: tuple[int, ...]) -> Vector:  # noqa: ARG002 - role
        """The values as float32. Raises ValueError if one is not finite."""
        values = np.frombuffer(data, "<f2")
        _check_finite(values)
        return values.astype(np.float32)


@final
class Int8(Component):
    """Values as multiples q s of one scale per layer, q a whole number from -127 to 127: 8 bits each and 32 bits per layer.

        s = max |x| / 127,    q = round(x / s)                nearest:    |error| <= s/2
                              q = floor(x / s + U)            stochastic: |error| <  s, and q s is x on average; U uniform in [0, 1)

    up to the rounding of float32; |x| <= 1e38. What is never pruned (biases) has a scale of its own. Symmetric uniform
    quantisation as in Jacob et al., CVPR 2018, sec. 2.1 with zero point 0; stochastic rounding as in QSGD (Alistarh et al.,
    NeurIPS 2017, sec. 3.1). Nearest rounding is the more exact for one update, but the same on every device that has the
    same value, so averaging does not remove it.
    """

    code: ClassVar[int] = 2
    value_bits: ClassVar[int] = 8
    group_bits: ClassVar[int] = 32

    rounding: Literal["nearest", "stochastic"] = quantity("nearest", "", "to the nearest multiple, or up or down so that the mean is right")

    def write(self, values: Vector, counts: tuple[int, ...], rng: np.random.Generator) -> Bytes:
        """Scales (float32, little-endian), then whole numbers. Raises ValueError if a value is not finite or beyond 1e38."""
        _check_finite(values)
        if np.abs(values).max(initial=0) > _RANGE:
            raise ValueError(f"a value of {np.abs(values).max():.6g} is beyond int8's range of {_RANGE:g}")
        groups = np.split(values, np.cumsum(counts)[:-1])
        scales = np.array([np.abs(group).max(initial=0) / _LARGEST for group in groups], "<f4")
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.nan_to_num(values / np.repeat(scales.astype(np.float64), counts), posinf=0.0, neginf=0.0)
        rounded = np.rint(steps) if self.rounding == "nearest" else np.floor(steps + rng.random(len(steps)))
        return scales.tobytes() + np.clip(rounded, -_LARGEST, _LARGEST).astype(np.int8).tobytes()

    def read(self, data: Bytes, counts: tuple[int, ...]) -> Vector:
        """The values as float32. Raises ValueError for scales and numbers that cannot have been written."""
        scales, steps = np.frombuffer(data, "<f4", len(counts)), np.frombuffer(data, np.int8, offset=4 * len(counts))
        if not ((scales >= 0) & (scales <= np.float32(_RANGE / _LARGEST))).all() or (steps < -_LARGEST).any():
            raise ValueError(f"damaged int8 values: scales must be from 0 to 1e38/127, whole numbers from -{_LARGEST} to {_LARGEST}")
        return (steps * np.repeat(scales.astype(np.float64), counts)).astype(np.float32)


def _check_finite(values: NDArray[np.floating]) -> None:
    if not (np.isfinite(values.max(initial=0)) and np.isfinite(values.min(initial=0))):  # NaN is the largest and the smallest
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of {len(values)} values are not finite numbers")
