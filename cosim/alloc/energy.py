"""What transmit power and clock do to problem (P): the planned time and the planned energy of a round, device by device."""

from __future__ import annotations

import dataclasses

import numpy as np

from cosim.alloc.closed_forms import upload_time_s
from cosim.errors import AllocationError
from cosim.interfaces import AllocationProblem, EnergyLimit, FloatArray


def energy_limit(problem: AllocationProblem) -> EnergyLimit:
    """The problem's ``energy``. Raises AllocationError where it carries none."""
    if problem.energy is None:
        raise AllocationError("the problem has no energy record, and so no transmit power or clock to choose: see round.energy")
    return problem.energy


def at_settings(problem: AllocationProblem, power_w: FloatArray, frequency_hz: FloatArray) -> AllocationProblem:
    """The problem as it looks to devices with these transmit powers [W] and clocks [Hz], (n,): other SNR, other computing times.

    NaN (a device that is not selected) stands for the largest power and clock.
    """
    limit = energy_limit(problem)
    power = np.where(np.isnan(power_w), 1.0, power_w / limit.power_w)
    slower = np.where(np.isnan(frequency_hz), 1.0, limit.frequency_hz / frequency_hz)
    return dataclasses.replace(
        problem,
        snr_hz=problem.snr_hz * power,
        prunable_time_s=problem.prunable_time_s * slower,
        fixed_time_s=problem.fixed_time_s + limit.fixed_compute_s * (slower - 1.0),
    )


def planned_energy_j(
    problem: AllocationProblem,
    prune_ratio: FloatArray,
    bandwidth_hz: FloatArray,
    *,
    power_w: FloatArray | None = None,
    frequency_hz: FloatArray | None = None,
) -> FloatArray:
    """Planned energy [J] of each device's round, (n,); inf where there are bits to send and no rate.

    compute_power (f / f_0)^2 (fixed_compute + y prunable_time) + uplink_share p / efficiency D / R(B; s p / p_0), D = Q0 + y Q.
    Power and clock: by default the largest. The power is drawn for all of the upload that is uplink; what an uplink of whole blocks
    saves in slots without a block is left out, so that the plan is an upper bound there.
    """
    limit = energy_limit(problem)
    power = limit.power_w if power_w is None else power_w
    clock = np.ones_like(limit.power_w) if frequency_hz is None else frequency_hz / limit.frequency_hz
    kept = 1.0 - prune_ratio
    rate = problem.rate.value(bandwidth_hz, problem.snr_hz * (power / limit.power_w))
    upload_s = upload_time_s(problem.fixed_bits + kept * problem.prunable_bits, rate)
    compute_j = limit.compute_power_w * clock**2 * (limit.fixed_compute_s + kept * problem.prunable_time_s)
    return np.asarray(compute_j + limit.uplink_share * power / limit.efficiency * upload_s)
