r"""How much of its model a device can keep under a latency threshold and an energy budget: y(B), and why it is concave.

One device, bandwidth B. Choose q = p / p_0 and phi = f / f_0 in [q_min, 1] and [phi_min, 1] to maximise y subject to

    time    tau(y) / phi + D(y) / R <= A             tau = c + y t_u, D = Q0 + y Q, R = R(B, q s), A = T - (t_fix - c)
    energy  W phi^2 tau(y) + P q D(y) / R <= E       W: compute power, P: drawn transmit power, both at phi = q = 1

**For fixed B this is convex.** In terms of the airtime x and the radiated energy e = q x (per p_0), x R(B, s e / x) is the perspective of a
rate concave in power, hence concave in (x, e); and W tau^3 / t^2, the energy of computing tau within t, is convex in (tau, t). So its KKT
conditions decide. With mu = (multiplier of time) / (multiplier of energy), the worth of a second in joule, they read

    2 W phi^3 = mu,    P q eta(q) = mu,    eta = 1 / epsilon - 1,    epsilon = q s R_s / R

each cut to its range. eta rises in q for the rates here, so q and phi rise together with mu: along this path the y that time allows
rises and the y that energy allows falls, and y(B) is where they meet: one root per device (``EnergyCurves.at``).

**y(B) is concave** for rates that are homogeneous, R(cB, cs) = c R(B, s), and whose elasticity epsilon falls with the SNR: Shannon, its
truncated form, and their means over Rayleigh fading (x -> R(1, x) is log-log concave, and so is its mean over a gain whose logarithm
has a log-concave density, by Prekopa's theorem). *Proof.* Then the least radiated energy Psi(z, D), z = x B, of D bits is z psi(D / z) with
psi convex, so the set of (x, z, y) that meet all constraints is convex, and B = z / x. Let B_1 < B_2 with optima (x_i, z_i, y_i), x_i the
least airtime. A mixture with weights a_i is feasible at B' = sum a_i x_i B_i / sum a_i x_i. If x_1 >= x_2, then B' <= sum a_i B_i, and
since y rises in B, y(sum a_i B_i) >= sum a_i y_i. It remains that x_1 >= x_2. Suppose x_1 < x_2, while y_1 <= y_2. The second device
computes more in less time: phi_1 < phi_2 <= 1, so device 1's energy was tight (else it would have run at full clock), and e_2 <= e_1,
q_2 < q_1 <= 1. At 2 a shorter airtime does not pay, at 1 a longer one does not: P q_2 eta_2 >= 2 W phi_2^3 > 2 W phi_1^3 >= P q_1 eta_1.
Hence eta_2 > eta_1; as eta rises with v = D / z and so does Psi / D = psi(v) / v, D_2 / D_1 <= e_2 / e_1 <= 1, so y_2 <= y_1: both are
equal and so, y being monotone, is everything between. QED

For ``Blocks`` (linear interpolation over whole blocks, one power for all slots) this fails: y(B) may bend upwards within a block. It
lies below the y(B) of the rate that is interpolated, which is concave and gives a valid upper bound of the objective.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cosim.alloc.closed_forms import bandwidth_range_hz
from cosim.alloc.curves import FLOOR, bracketed_root
from cosim.alloc.energy import energy_limit
from cosim.errors import AllocationError
from cosim.interfaces import AllocationProblem, FloatArray
from cosim.rate import Blocks, Rate, Side, tangent

_REACHED = 1e-14
"""A kept fraction this close to the one to be reached has reached it."""
_HAIR = 1e-10
"""A clock this close to an end of its range is at the end."""


class Optimum(NamedTuple):
    """A device's best choice at a bandwidth; arrays of one shape (..., n).

    ``kept``: y, not cut to [1 - rho_max, 1], below 0 where nothing can be done; ``clock``: phi; ``power``: q; ``slope_per_hz``: dy/dB.
    """

    kept: FloatArray
    clock: FloatArray
    power: FloatArray
    left_per_hz: FloatArray
    right_per_hz: FloatArray


class EnergyCurves:
    """The curves y(B) of all devices of a problem with an energy record."""

    def __init__(self, problem: AllocationProblem) -> None:
        """Raises AllocationError for a rate that is not homogeneous, as under partial power control."""
        limit = energy_limit(problem)
        _refuse_inhomogeneous(problem.rate)
        self._rate, self._snr, self._weight = problem.rate, problem.snr_hz, problem.weight
        self._bits0, self._bits, self._own, self._work = (
            problem.fixed_bits,
            problem.prunable_bits,
            limit.fixed_compute_s,
            problem.prunable_time_s,
        )
        self._time = problem.latency_threshold_s - (problem.fixed_time_s - limit.fixed_compute_s)
        self._budget, self._compute = limit.budget_j, limit.compute_power_w
        self._draw = limit.uplink_share * limit.power_w / limit.efficiency
        self._clock_min, self._power_min = limit.frequency_min_hz / limit.frequency_hz, limit.power_min_w / limit.power_w
        self._computes = (self._compute > 0) & (self._own + self._work > 0)

    def at(self, bandwidth_hz: FloatArray) -> Optimum:
        """The best choices at bandwidths (..., n) > 0 [Hz].

        The path of rising mu goes from least power and clock along 2 W phi^3 = P q eta(q) to full power and clock; before and after that
        curve the clock alone rises.
        """
        share = np.asarray(bandwidth_hz, np.float64)
        least_power, least_clock, full = (np.broadcast_to(end, share.shape) for end in (self._power_min, self._clock_min, 1.0))

        def on_curve(leg: FloatArray) -> FloatArray:
            return self._surplus(*self._tuned(share, self._power_min ** (1.0 - leg)))

        start, end = self._surplus(*self._tuned(share, least_power, least_clock)), self._surplus(*self._tuned(share, full, full))
        first, last = on_curve(np.zeros(share.shape)), on_curve(np.ones(share.shape))
        leg = bracketed_root(on_curve, (last <= 0).astype(np.float64), np.ones(share.shape), (first < 0) & (last > 0))
        per_bit, power, clock = self._tuned(share, self._power_min ** (1.0 - leg))
        clock = np.where(start >= 0, least_clock, np.where(end <= 0, 1.0, clock))

        def surplus_of_clock(trial: FloatArray) -> FloatArray:
            return self._surplus(per_bit, power, trial)

        tunable = (start < 0) & (end > 0) & (surplus_of_clock(least_clock) < 0) & (surplus_of_clock(full) > 0)
        clock = np.where(tunable, bracketed_root(surplus_of_clock, least_clock, full, tunable), clock)
        kept = np.minimum(*self._kept(per_bit, power, clock))
        outside = np.where(start >= 0, -1, np.where(end <= 0, 1, 0))
        slopes = (self._slope(share, Optimum(kept, clock, power, per_bit, per_bit), outside, side) for side in ("left", "right"))
        return Optimum(kept, clock, power, *slopes)

    def heights(self, bandwidth_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Left and right heights ln w y'(B), as ``cosim.alloc.curves`` wants them."""
        best = self.at(bandwidth_hz)
        with np.errstate(divide="ignore"):
            left, right = (np.maximum(np.log(self._weight * slope), FLOOR) for slope in (best.left_per_hz, best.right_per_hz))
        return left, right

    def reach_hz(self, kept: FloatArray, free_hz: FloatArray, most_hz: float) -> FloatArray:
        """The least bandwidth (..., n) with y(B) >= ``kept``, inf where ``most_hz`` is not enough.

        ``free_hz``: the same without the energy budget, a lower bound. y is nearly a straight line in 1/B: Newton's method in that, in a
        bracket; where a step leaves it or is not half as long as the last one, the middle is tried.
        """
        low, high = np.clip(free_hz, 1e-12 * most_hz, most_hz), np.full(free_hz.shape, most_hz)
        best = self.at(low)
        enough, never = best.kept >= kept - _REACHED, self.at(high).kept < kept - _REACHED
        share, last, found = low, high - low, enough | never
        for _ in range(100):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                trial = 1.0 / (1.0 / share + (best.kept - kept) / (best.right_per_hz * share**2))
            good = (trial > low) & (trial < high) & (np.abs(trial - share) <= 0.5 * last)
            trial = np.where(found, share, np.where(good, trial, np.sqrt(low * high)))
            last, share = np.abs(trial - share), trial
            best = self.at(share)
            short = best.kept < kept
            low, high = np.where(short, share, low), np.where(short, high, share)
            found = found | (np.abs(best.kept - kept) <= _REACHED) | (high <= low * (1.0 + 4e-16))
            if found.all():
                break
        never = (never & ~enough) | np.isinf(free_hz) | (free_hz > most_hz)
        return np.where(never, np.inf, np.where(enough, free_hz, share * (1.0 + 4e-15)))

    def _tuned(self, share: FloatArray, power: FloatArray, clock: FloatArray | None = None) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(1 / R, q, phi) at a power; ``clock`` None: 2 W phi^3 = P q eta(q), cut to the range, and 1 where computing costs nothing."""
        value, worth = self._rate_and_worth(share, power)
        with np.errstate(divide="ignore", over="ignore"):
            cube = worth / (2.0 * np.where(self._computes, self._compute, 1.0))
            per_bit = np.asarray(1.0 / value)
        if clock is None:
            clock = _cut(np.cbrt(np.where(self._computes, cube, np.inf)), self._clock_min, 1.0)
        return per_bit, power, clock

    def _surplus(self, per_bit: FloatArray, power: FloatArray, clock: FloatArray) -> FloatArray:
        """By how much more time allows to keep than energy does; rises along the path."""
        by_time, by_energy = self._kept(per_bit, power, clock)
        return _cut(by_time, -1e3, 1e3) - _cut(by_energy, -1e3, 1e3)

    def _rate_and_worth(self, share: FloatArray, power: FloatArray) -> tuple[FloatArray, FloatArray]:
        """R [bit/s], and P q eta(q) [W]: the energy that a second more of airtime saves."""
        value, elasticity = _elastic(self._rate, share, self._snr * power)
        with np.errstate(divide="ignore"):
            return value, np.asarray(self._draw * power * np.maximum(1.0 / elasticity - 1.0, 0.0))

    def _kept(self, per_bit: FloatArray, power: FloatArray, clock: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The largest y that time allows, and that energy allows; -inf where not even y = 0."""
        with np.errstate(invalid="ignore"):
            fixed_s, prunable_s = (np.where(bits > 0, bits * per_bit, 0.0) for bits in (self._bits0, self._bits))
        drawn = self._draw * power
        cost = self._compute * clock**2
        by_time = _ratio(self._time - self._own / clock - fixed_s, self._work / clock + prunable_s)
        by_energy = _ratio(self._budget - cost * self._own - drawn * fixed_s, cost * self._work + drawn * prunable_s)
        return by_time, by_energy

    def _slope(self, share: FloatArray, best: Optimum, end: FloatArray, side: Side) -> FloatArray:
        """dy/dB by the envelope theorem: (alpha + beta P q) D R_B / R^2, alpha and beta being the multipliers of time and energy.

        Where q is free and the rate homogeneous this is alpha D / (R B), on kinks of the rate too. ``best.left_per_hz`` holds 1 / R here.
        """
        per_bit, power, clock = best.left_per_hz, best.power, best.clock
        drawn, cost = self._draw * power, self._compute * clock**2
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            time_s = self._work / clock + np.where(self._bits > 0, self._bits * per_bit, 0.0)
            energy_j = cost * self._work + drawn * np.where(self._bits > 0, self._bits * per_bit, 0.0)
            free_clock = (clock > self._clock_min * (1.0 + _HAIR)) & (clock < 1.0 - _HAIR) & self._computes
            worth = np.where(free_clock, 2.0 * cost * clock, self._rate_and_worth(share, power)[1])
            worth = np.where(end < 0, 0.0, np.where(end > 0, np.inf, worth))
            time = np.where(np.isinf(worth), 1.0 / time_s, worth / (worth * time_s + energy_j))
            energy = np.where(np.isinf(worth), 0.0, 1.0 / (worth * time_s + energy_j))
            bits = self._bits0 + np.clip(best.kept, 0.0, None) * self._bits
            fixed_power = (time + energy * drawn) * self._rate.derivative(share, self._snr * power, side=side) * per_bit
            free_power = time / share
            free = (power > self._power_min) & (power < 1.0) & (end == 0) & (not isinstance(self._rate, Blocks))
            slope = np.where(free, free_power, fixed_power) * bits * per_bit
        return np.where((bits > 0) & np.isfinite(slope), slope, 0.0)


def curve_range_hz(problem: AllocationProblem, curves: EnergyCurves) -> tuple[FloatArray, FloatArray]:
    """B_min and B_max [Hz] (n,) under the energy budget: y(B_min) = 1 - rho_max, and y(B_max) = 1 or twice the band, if that is less.

    B_min is inf where all of the band is not enough.
    """
    free_least, free_most = bandwidth_range_hz(problem)
    band = problem.bandwidth_hz
    kept, free = np.stack([1.0 - problem.prune_max, np.ones_like(free_least)]), np.stack([free_least, np.minimum(free_most, 2.0 * band)])
    least, most = curves.reach_hz(kept, free, 2.0 * band)
    least = np.where(least > band, np.inf, least)
    return least, np.maximum(np.where(np.isfinite(most), most, 2.0 * band), np.where(np.isfinite(least), least, 0.0))


def least_range_hz(problem: AllocationProblem, curves: EnergyCurves) -> FloatArray:
    """B_min [Hz] (n,) under the energy budget alone."""
    return curves.reach_hz(1.0 - problem.prune_max, bandwidth_range_hz(problem)[0], problem.bandwidth_hz)


def relaxed(problem: AllocationProblem) -> AllocationProblem:
    """The problem with the rate that whole blocks interpolate: nobody keeps less, and the curves are concave."""
    return dataclasses.replace(problem, rate=problem.rate.rate) if isinstance(problem.rate, Blocks) else problem


def _elastic(rate: Rate, share: FloatArray, snr: FloatArray) -> tuple[FloatArray, FloatArray]:
    """R [bit/s] and its elasticity epsilon = s R_s / R in [0, 1], which is 1 - B R_B / R for a homogeneous rate.

    For whole blocks it is the mean over both numbers of blocks between which the device alternates, weighted by their bits.
    """
    if isinstance(rate, Blocks):
        low, high = rate.piece(share, snr)
        part = (share - low) / (high - low)
        (below, below_elastic), (above, above_elastic) = (_elastic(rate.rate, end, snr) for end in (low, high))
        below, above = (1.0 - part) * below, part * above
        value = below + above
        mixed = below * below_elastic + above * above_elastic
        return value, np.divide(mixed, value, out=np.ones_like(value), where=value > 0)
    value, slope = tangent(rate, share, snr)
    with np.errstate(invalid="ignore", divide="ignore"):
        return value, np.where(value > 0, _cut(1.0 - share * slope / value, 0.0, 1.0), 1.0)


def _refuse_inhomogeneous(rate: Rate) -> None:
    """R(cB, cs) = c R(B, s), tried at a few points; of whole blocks, the rate that they interpolate."""
    inner = rate.rate if isinstance(rate, Blocks) else rate
    share, snr = np.meshgrid([1e3, 1e5, 1e7], [1e4, 1e7, 1e10])
    if not np.allclose(inner.value(8.0 * share, 8.0 * snr), 8.0 * inner.value(share, snr), rtol=1e-9, atol=0.0):
        raise AllocationError(
            f"an energy budget with a choice of powers needs a rate with R(cB, cs) = c R(B, s), which {inner!r} is not: "
            "open-loop power control with alpha below 1 (devices.power_control) does not go with kkt_energy"
        )


def _cut(value: FloatArray, least: ArrayLike, most: ArrayLike) -> FloatArray:
    """``np.clip``, which takes several times as long."""
    return np.asarray(np.minimum(np.maximum(value, least), most))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.divide(above, below, out=np.where(above >= 0, np.inf, -np.inf), where=(below > 0) & np.isfinite(below))
