"""Bandwidths with which all devices finish their round at one moment, by Newton's method for all of them and the moment at once."""

from __future__ import annotations

import math

import numpy as np

from cosim.interfaces import FloatArray
from cosim.rate import Rate, tangent

_STEPS = 40
_DEEP = 300.0
"""Shares are followed down to e^-300 of the band."""


def finish_together(
    rate: Rate, snr_hz: FloatArray, own_time_s: FloatArray, bits: FloatArray, limits: tuple[float, float, float]
) -> tuple[float, FloatArray] | None:
    """Moment tau [s] and bandwidths [Hz] (n,) with t_own + bits / R(B) = tau for all, sum B = band; None if it does not settle.

    ``bits`` > 0, SNR > 0. ``limits``: a time before tau, one not before it [s], and the band [Hz]. Around its present value each
    device's R is taken as a power law in B, so that log B is a straight line in log (tau - t_own); the moment at which these
    bandwidths sum to the band is found without asking for rates. Steps shrink quadratically. The answer holds to 1e-12.
    """
    tau_s, band_hz = limits[1], limits[2]
    log_b, moved = np.full(bits.shape, math.log(band_hz / bits.size)), 1.0
    for _ in range(_STEPS):
        share = np.exp(log_b)
        value, slope = tangent(rate, share, snr_hz)
        stretch = value / np.maximum(share * slope, 1e-6 * value)
        at_one_s = log_b - stretch * np.log(value / bits)
        tau_s, trial = _moment(at_one_s, stretch, own_time_s, (limits[0], tau_s, band_hz, max(1e-5 * moved * moved, 1e-15)))
        moved = min(1.0, float(np.maximum.reduce(np.abs(trial - log_b))))
        log_b = trial
        if moved <= 1e-7:
            share = np.exp(log_b)
            late = own_time_s + bits / rate.value(share, snr_hz)
            if np.abs(late - tau_s).max() <= 1e-12 * tau_s and abs(share.sum() / band_hz - 1.0) <= 1e-12:
                return tau_s, share
    return None


def _moment(
    at_one_s: FloatArray, stretch: FloatArray, own_time_s: FloatArray, target: tuple[float, float, float, float]
) -> tuple[float, FloatArray]:
    """Tau at which bandwidths e^(at_one_s - stretch log(tau - t_own)), each at most the band, sum to the band, and their logs.

    ``target``: a time before tau, a guess [s], the band [Hz], and the relative error of the sum that will do. Newton's method for
    log sum over the logarithm of what is left of tau when the last device begins to send: straight where that one decides. Laws that
    sum to less than the band even there are met at the first moment after ``early``.
    """
    early, tau_s, band_hz, tolerance = target
    latest = float(np.maximum.reduce(own_time_s))
    early, late, most = max(early, latest), math.inf, math.log(band_hz)
    for _ in range(100):
        left_s = tau_s - own_time_s
        trial = np.minimum(np.maximum(at_one_s - stretch * np.log(left_s), most - _DEEP), most)
        share = np.exp(trial)
        total = float(np.add.reduce(share))
        excess = math.log(total / band_hz)
        if abs(excess) <= tolerance:
            break
        early, late = (tau_s, late) if excess > 0 else (early, tau_s)
        rest_s = tau_s - latest
        step = excess * total / (rest_s * float(np.add.reduce(stretch / left_s * share)))
        ahead = max(latest + rest_s * math.exp(min(max(step, -5.0), 5.0)), math.nextafter(early, math.inf))
        if not ahead < late:
            ahead = 0.5 * (early + late) if late < math.inf else 2.0 * tau_s - early
            if not early < ahead < late:
                break
        if abs(ahead - tau_s) <= 2e-16 * tau_s:
            break
        tau_s = ahead
    return tau_s, trial
