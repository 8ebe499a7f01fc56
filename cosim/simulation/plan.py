"""The plan of a round: what the server knows at its beginning, the problem it makes of it, and the allocation."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cosim.alloc.problem import check_allocation, least_feasible_threshold, subset, unpruned_latency
from cosim.errors import AllocationError
from cosim.interfaces import Allocation, AllocationProblem, EnergyLimit
from cosim.rate import Shannon
from cosim.simulation.answers import mask, numbers, who

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    ``online``, ``gain``, ``site`` (devices,): of all devices; ``problem``, ``allocation``: of the devices that are online and
    that the selection rule took, of all cells. ``held_hz``: bandwidth that belongs to devices still at work of earlier rounds.
    ``posed``: there was anything to decide: devices that are free, and bandwidth. ``cells``: by site, the problem that was posed there
    and its answer. ``over_noise`` (sites,): interference over noise that the plan expected.
    """

    online: BoolArray
    gain: FloatArray
    site: IntArray
    problem: AllocationProblem
    allocation: Allocation
    held_hz: float = 0.0
    posed: bool = True
    cells: Mapping[int, tuple[AllocationProblem, Allocation]] = field(default_factory=dict)
    over_noise: FloatArray = field(default_factory=lambda: np.zeros(1))

    @property
    def latency_threshold_s(self) -> float:
        """The threshold that the plan had to meet, NaN where there was none to pose."""
        return self.problem.latency_threshold_s if self.posed else np.nan

    @property
    def least_threshold_s(self) -> float:
        """Least threshold at which everybody could be served, NaN where everybody is."""
        return max((_least_threshold_s(problem, answer) for problem, answer in self.cells.values() if not answer.feasible), default=np.nan)

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


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when a round is planned, beside the world.

    ``online`` (devices,): who is there; ``others``: works that go on from earlier rounds; ``model_s`` (sites,): after which time
    each site has the model that is handed out; ``over_noise`` (sites,): interference over noise that each expects.
    """

    online: BoolArray
    others: Works
    model_s: FloatArray
    over_noise: FloatArray


def plan_round(parts: Parts, round_index: int, now_s: float, known: Known) -> Plan:
    """Observe the channel, pose problem (P) of each cell for the devices that are there and free, and solve them.

    Devices at work of earlier rounds are busy, and their bandwidth is theirs until their updates are merged or lost. A threshold relative
    to the unpruned latency is that of the devices in question: of all who could take part while the selection rule looks at
    it, then of those it took, if it took any; of several cells, that of the slowest, since the round waits for all.

    Raises AllocationError if the allocator's answer violates a constraint, SimulationError for other answers that cannot be used.
    """
    seen = parts.csi.observe(parts.world, now_s, parts.device_ids, parts.streams)
    gain = numbers(who(round_index, "round.csi", parts.csi), "gain", seen, parts.device_ids)
    site = parts.world.serving(np.array([now_s]), parts.device_ids)[0]
    free = known.online.copy()
    free[known.others.device_ids] = False
    held_hz = np.bincount(site[known.others.device_ids], known.others.bandwidth_hz, len(parts.sites))
    held_hz = np.minimum(held_hz, parts.uplink.usable_bandwidth_hz)  # where handovers bring more shares together, all of them shrink
    problems = {}
    for cell, held in enumerate(held_hz.tolist()):
        ids = np.flatnonzero(free & (site == cell))
        bandwidth_hz = parts.uplink.usable_bandwidth_hz - held
        if ids.size and bandwidth_hz > _LEAST_SHARE * parts.uplink.usable_bandwidth_hz:
            problems[cell] = _problem(parts, round_index, ids, gain, known=known, cell=cell, bandwidth_hz=bandwidth_hz)
    if not problems:
        band_hz = parts.uplink.usable_bandwidth_hz
        everybody = _problem(parts, round_index, parts.device_ids, gain, known=known, cell=0, bandwidth_hz=band_hz)
        nobody = subset(everybody, np.zeros(len(gain), np.bool_))
        return Plan(known.online, gain, site, nobody, NOBODY, float(held_hz.sum()), posed=False)
    problems = _with_threshold(parts.threshold, problems)
    chosen = {cell: _chosen(parts, problem, *_key(round_index, cell)) for cell, problem in problems.items()}
    problems = {cell: subset(problem, chosen[cell]) for cell, problem in problems.items()}
    some = np.concatenate(list(chosen.values()))
    if some.any() and not some.all():
        problems = _with_threshold(parts.threshold, problems)
    answers = {cell: _solved(parts, problem, *_key(round_index, cell)) for cell, problem in problems.items()}
    problem, answer = _joined(list(problems.values()), list(answers.values()))
    cells = {cell: (problems[cell], answer) for cell, answer in answers.items()}
    return Plan(known.online, gain, site, problem, answer, float(held_hz.sum()), cells=cells, over_noise=known.over_noise.copy())


def _least_threshold_s(problem: AllocationProblem, answer: Allocation) -> float:
    """The least threshold with which everyone could have been served, within energy budgets where the allocator keeps to them."""
    if answer.transmit_power_w is None:
        return least_feasible_threshold(problem)
    from cosim.alloc.kkt_energy import least_threshold_within_budget  # only for who needs it

    return least_threshold_within_budget(problem)


def _key(round_index: int, cell: int) -> tuple[int, ...]:
    """Names the stream of a round's decision in a cell; of the first cell, as of a single one."""
    return (round_index, cell) if cell else (round_index,)


def _chosen(parts: Parts, problem: AllocationProblem, *key: int) -> BoolArray:
    found = parts.selection.select(problem, parts.streams.generator("selection", *key))
    return mask(who(problem.round, "round.selection", parts.selection), "the answer", found, problem.device_ids)


def _solved(parts: Parts, problem: AllocationProblem, *key: int) -> Allocation:
    allocation = parts.allocator.allocate(problem, parts.streams.generator("allocator", *key))
    try:
        check_allocation(problem, allocation)
    except AllocationError as error:
        raise AllocationError(f"{who(problem.round, 'allocator', parts.allocator)}: {error}") from error
    return allocation


def _joined(problems: list[AllocationProblem], answers: list[Allocation]) -> tuple[AllocationProblem, Allocation]:
    """The problems of all cells as one, in the order of the devices, and its answer: what a round is recorded by.

    Bandwidth and objective are sums, and there is no multiplier, certificate or rate of them all.
    """
    if len(problems) == 1:
        return problems[0], answers[0]
    order = np.argsort(np.concatenate([problem.device_ids for problem in problems]))

    def together(records: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
        columns = {name: [getattr(record, name) for record in records] for name in names}
        return {name: None if values[0] is None else np.concatenate(values)[order] for name, values in columns.items()}

    energy = problems[0].energy
    if energy is not None:
        limits = [problem.energy for problem in problems]
        arrays = tuple(each.name for each in fields(energy) if isinstance(getattr(energy, each.name), np.ndarray))
        energy = replace(energy, **together(limits, arrays))
    per_device = ("device_ids", "weight", "fixed_time_s", "prunable_time_s", "fixed_bits", "prunable_bits", "snr_hz", "prune_max")
    problem = replace(
        problems[0], **together(problems, per_device), bandwidth_hz=sum(problem.bandwidth_hz for problem in problems), energy=energy
    )
    decisions = ("selected", "prune_ratio", "bandwidth_hz", "latency_s", "transmit_power_w", "frequency_hz")
    return problem, Allocation(
        **together(answers, decisions),
        objective=sum(answer.objective for answer in answers),
        multiplier=np.nan,
        feasible=all(answer.feasible for answer in answers),
    )


def _problem(
    parts: Parts, round_index: int, ids: IntArray, gain: FloatArray, *, known: Known, cell: int, bandwidth_hz: float
) -> AllocationProblem:
    """Problem (P) of all these devices of a cell, its threshold still open (1 s)."""
    work = parts.learner.workload()
    rate = parts.csi.planning_rate(parts.uplink.link_rate, parts.fading)
    law = parts.power_law(cell, float(known.over_noise[cell]))
    if law is not None:
        rate = law.planning_rate(rate)
    speed = parts.flops_per_s(parts.world.frequency_hz(ids)) / parts.compute.mean_factor
    fixed_compute_s = work.fixed_flops[ids] / speed
    downlink = parts.csi.planning_rate(Shannon(), parts.fading)
    download_s = parts.downlink.planned_s(downlink, parts.downlink_snr_per_gain_hz(cell) * gain[ids], work.download_bits[ids])
    server = int(parts.backhaul.server_of[cell])
    update_s = parts.backhaul.takes_s(parts.backhaul.up[cell][server], work.fixed_bits[ids] + work.prunable_bits[ids])
    return AllocationProblem(
        round=round_index,
        device_ids=ids,
        weight=work.weight[ids],
        fixed_time_s=download_s + (known.model_s[cell] + update_s) + fixed_compute_s + parts.uplink.grant_delay_s,
        prunable_time_s=work.prunable_flops[ids] / speed,
        fixed_bits=work.fixed_bits[ids],
        prunable_bits=work.prunable_bits[ids],
        snr_hz=parts.uplink_snr_per_gain_hz * gain[ids] * (parts.noise_scale[cell] / (1.0 + known.over_noise[cell])),
        prune_max=np.full(len(ids), parts.prune_max),
        bandwidth_hz=bandwidth_hz,
        latency_threshold_s=1.0,
        rate=parts.uplink.planning_rate(rate),
        energy=_energy(parts, ids, fixed_compute_s),
        pruning_cost=parts.learner.pruning_cost(server),
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


def _with_threshold(threshold: Threshold, problems: dict[int, AllocationProblem]) -> dict[int, AllocationProblem]:
    """The problems of all cells with the threshold of the round."""
    if threshold.relative_to_unpruned is None:
        assert threshold.seconds is not None
        latency_s = threshold.seconds
    else:
        latency_s = threshold.relative_to_unpruned * max(unpruned_latency(problem) for problem in problems.values())
    return {cell: replace(problem, latency_threshold_s=latency_s) for cell, problem in problems.items()}
