"""The plan of a round: what the server knows at its beginning, the problem it makes of it, and the allocation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from cosim.alloc.problem import check_allocation, subset, unpruned_latency
from cosim.interfaces import Allocation, AllocationProblem, EnergyLimit
from cosim.rate import Shannon

if TYPE_CHECKING:
    from cosim.interfaces import BoolArray, FloatArray, IntArray
    from cosim.simulation.parts import Parts, Threshold
    from cosim.simulation.records import Works

_LEAST_SHARE: Final = 1e-9
"""Of the band: less than that is a rounding error, and nobody's."""
NOBODY: Final = Allocation(
    selected=np.zeros(0, np.bool_),
    prune_ratio=np.zeros(0),
    bandwidth_hz=np.zeros(0),
    latency_s=np.zeros(0),
    objective=0.0,
    multiplier=np.nan,
    feasible=True,
)
"""The answer to a problem without devices."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A round as planned.

    ``online``, ``gain`` (devices,): of all devices; ``problem``, ``allocation``: of the devices that are online and
    that the selection rule took. ``held_hz``: bandwidth that belongs to devices still at work of earlier rounds.
    ``posed``: there was anything to decide: devices that are free, and bandwidth.
    """

    online: BoolArray
    gain: FloatArray
    problem: AllocationProblem
    allocation: Allocation
    held_hz: float = 0.0
    posed: bool = True

    @property
    def latency_threshold_s(self) -> float:
        """The threshold that the plan had to meet, NaN where there was none to pose."""
        return self.problem.latency_threshold_s if self.posed else np.nan

    @property
    def power_share(self) -> FloatArray:
        """Transmit power of the selected devices (m,), as a share of the largest."""
        energy, chosen = self.problem.energy, self.allocation.selected
        if energy is None or self.allocation.transmit_power_w is None:
            return np.ones(int(chosen.sum()))
        return self.allocation.transmit_power_w[chosen] / energy.power_w[chosen]

    @property
    def clock_share(self) -> FloatArray:
        """Clock frequency of the selected devices (m,), as a share of the largest."""
        energy, chosen = self.problem.energy, self.allocation.selected
        if energy is None or self.allocation.frequency_hz is None:
            return np.ones(int(chosen.sum()))
        return self.allocation.frequency_hz[chosen] / energy.frequency_hz[chosen]

    @property
    def selected_ids(self) -> IntArray:
        """The devices that take part."""
        return self.problem.device_ids[self.allocation.selected]

    @property
    def latency_s(self) -> float:
        """Planned latency of the round: that of its slowest device, NaN if nobody takes part."""
        return float(np.max(self.allocation.latency_s[self.allocation.selected], initial=-np.inf)) if len(self.selected_ids) else np.nan


def plan_round(parts: Parts, round_index: int, now_s: float, online: BoolArray, others: Works) -> Plan:
    """Observe the channel, pose problem (P) for the devices that are there and free, and solve it.

    ``online`` (devices,): who is there. ``others``: works that go on from earlier rounds; their devices are busy, and their bandwidth is
    theirs until their updates are merged or lost. A threshold relative to the unpruned latency is that of the devices in question:
    of all who could take part while the selection rule looks at it, then of those it took.

    Raises AllocationError if the allocator's answer violates a constraint.
    """
    gain = parts.csi.observe(parts.world, now_s, parts.device_ids, parts.streams)
    free = online.copy()
    free[others.device_ids] = False
    held_hz = float(others.bandwidth_hz.sum())
    bandwidth_hz = parts.uplink.usable_bandwidth_hz - held_hz
    problem = _problem(parts, round_index, np.flatnonzero(free), gain)
    if not free.any() or bandwidth_hz <= _LEAST_SHARE * parts.uplink.usable_bandwidth_hz:
        return Plan(online, gain, subset(problem, np.zeros(len(problem.device_ids), np.bool_)), NOBODY, held_hz, posed=False)
    problem = replace(problem, bandwidth_hz=bandwidth_hz)
    problem = replace(problem, latency_threshold_s=_threshold_s(parts.threshold, problem))
    chosen = parts.selection.select(problem, parts.streams.generator("selection", round_index))
    if not chosen.all():
        problem = subset(problem, chosen)
        problem = replace(problem, latency_threshold_s=_threshold_s(parts.threshold, problem))
    allocation = parts.allocator.allocate(problem, parts.streams.generator("allocator", round_index))
    check_allocation(problem, allocation)
    return Plan(online, gain, problem, allocation, held_hz)


def _problem(parts: Parts, round_index: int, ids: IntArray, gain: FloatArray) -> AllocationProblem:
    """Problem (P) of all these devices, its threshold still open (1 s)."""
    work = parts.learner.workload()
    rate = parts.csi.planning_rate(parts.uplink.link_rate, parts.fading)
    if parts.power_law is not None:
        rate = parts.power_law.planning_rate(rate)
    speed = parts.flops_per_s(parts.world.frequency_hz(ids)) / parts.compute.mean_factor
    fixed_compute_s = work.fixed_flops[ids] / speed
    downlink = parts.csi.planning_rate(Shannon(), parts.fading)
    download_s = parts.downlink.planned_s(downlink, parts.downlink_snr_per_gain_hz * gain[ids], work.download_bits[ids])
    return AllocationProblem(
        round=round_index,
        device_ids=ids,
        weight=work.weight[ids],
        fixed_time_s=download_s + 2 * parts.backhaul_delay_s + fixed_compute_s + parts.uplink.grant_delay_s,
        prunable_time_s=work.prunable_flops[ids] / speed,
        fixed_bits=work.fixed_bits[ids],
        prunable_bits=work.prunable_bits[ids],
        snr_hz=parts.uplink_snr_per_gain_hz * gain[ids],
        prune_max=np.full(len(ids), parts.prune_max),
        bandwidth_hz=parts.uplink.usable_bandwidth_hz,
        latency_threshold_s=1.0,
        rate=parts.uplink.planning_rate(rate),
        energy=_energy(parts, ids, fixed_compute_s),
        pruning_cost=parts.learner.pruning_cost(),
    )


def _energy(parts: Parts, ids: IntArray, fixed_compute_s: FloatArray) -> EnergyLimit | None:
    if parts.energy.budget_j is None:
        return None
    return parts.energy.limit(
        fixed_compute_s,
        parts.world.frequency_hz(ids),
        power_w=parts.transmit_power_w,
        efficiency=parts.devices.amplifier_efficiency,
        capacitance=parts.compute.capacitance / parts.compute.mean_factor,
        uplink_share=parts.uplink.uplink_share,
    )


def _threshold_s(threshold: Threshold, problem: AllocationProblem) -> float:
    if threshold.relative_to_unpruned is None:
        assert threshold.seconds is not None
        return threshold.seconds
    return threshold.relative_to_unpruned * unpruned_latency(problem)
