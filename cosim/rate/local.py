"""What a rate looks like around a bandwidth, at the price of one evaluation where it knows how."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np

from cosim.rate.base import LEAST_BEND, FloatArray, Rate, Triple
from cosim.rate.blocks import Blocks
from cosim.rate.ergodic import ErgodicRayleigh, ErgodicTruncated
from cosim.rate.shannon import Shannon
from cosim.rate.truncated import Scaled, TruncatedShannon

_WITH_EXPANSION: TypeAlias = Shannon | ErgodicRayleigh | ErgodicTruncated
_WITH_TANGENT: TypeAlias = _WITH_EXPANSION | Scaled | Blocks
_PROBE: Final = 1e-6
_HAIR: Final = 1e-12
_LEAST: Final = 1e-200


def expansion(rate: Rate, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Triple:
    """R [bit/s], R' [bit/s/Hz] and the bend -B R''/R' of a smooth rate, at the price of one of them where it has a closed form.

    float64 arrays, B of the full shape, 0 < B < inf, s > 0, s / B < inf. Otherwise the bend is a difference quotient, good to about
    1e-6 and at least that.
    """
    if isinstance(rate, _WITH_EXPANSION):
        return rate.expansion(bandwidth_hz, snr_hz)
    if isinstance(rate, Scaled):
        value, slope, bend = expansion(rate.rate, bandwidth_hz, snr_hz)
        return rate.factor * value, rate.factor * slope, bend
    slope = rate.derivative(bandwidth_hz, snr_hz)
    beyond = rate.derivative(bandwidth_hz * (1.0 + _PROBE), snr_hz)
    bend = (slope - beyond) / (_PROBE * np.maximum(slope, 1e-300))
    return rate.value(bandwidth_hz, snr_hz), slope, np.maximum(bend, LEAST_BEND)


def sides(rate: Rate, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> Triple:
    """R [bit/s], left and right derivative [bit/s/Hz] for float64 arrays of one shape, 0 <= B < inf.

    A bandwidth within rounding (1e-12 of it) of a kink is at the kink.
    """
    inside = bool(bandwidth_hz.size and np.minimum.reduce(bandwidth_hz, axis=None) > _LEAST)
    if inside and isinstance(rate, _WITH_EXPANSION):
        with np.errstate(invalid="ignore"):  # the bend of no rate at all
            value, slope, _ = rate.expansion(bandwidth_hz, snr_hz)
        return value, slope, slope
    if inside and isinstance(rate, TruncatedShannon):
        return rate.sides(bandwidth_hz, snr_hz, _HAIR)
    if isinstance(rate, Blocks):
        return rate.sides(bandwidth_hz, snr_hz)
    if isinstance(rate, Scaled):
        value, before, beyond = sides(rate.rate, bandwidth_hz, snr_hz)
        return rate.factor * value, rate.factor * before, rate.factor * beyond
    before = rate.derivative(bandwidth_hz * (1.0 - _HAIR), snr_hz, side="left")
    return rate.value(bandwidth_hz, snr_hz), before, rate.derivative(bandwidth_hz * (1.0 + _HAIR), snr_hz, side="right")


def reached_bps(rate: Rate, snr_hz: FloatArray) -> FloatArray | None:
    """The supremum [bit/s] of a rate that reaches it, at some bandwidth beyond which it grows no more; None for one that always grows."""
    while isinstance(rate, Blocks):
        rate = rate.rate
    return None if isinstance(rate, _WITH_EXPANSION) else rate.supremum(snr_hz)


def tangent(rate: Rate, bandwidth_hz: FloatArray, snr_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """R [bit/s] and its right derivative [bit/s/Hz], for float64 arrays of one shape, 0 < B < inf, s >= 0."""
    if isinstance(rate, _WITH_TANGENT):
        value, _, slope = sides(rate, bandwidth_hz, snr_hz)
        return value, slope
    return rate.value(bandwidth_hz, snr_hz), rate.derivative(bandwidth_hz, snr_hz)
