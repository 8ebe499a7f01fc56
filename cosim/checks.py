"""What the author of a plugin runs on an own class: does it keep what the protocol promises?

from cosim.checks import check_allocator
check_allocator(MyAllocator())
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Final

import numpy as np

from cosim.alloc.problem import check_allocation, least_feasible_threshold, subset, unpruned_latency
from cosim.errors import AllocationError
from cosim.interfaces import Allocation, AllocationProblem, Allocator, EnergyLimit, PruningCost
from cosim.rate import Blocks, ErgodicRayleigh, Rate, Shannon, TruncatedShannon
from cosim.rng import Streams

_RATES: Final[tuple[Rate, ...]] = (Shannon(), ErgodicRayleigh(), TruncatedShannon(), Blocks(Shannon(), 180e3))


def check_allocator(allocator: Allocator) -> None:
    """Run an allocator on ``trial_problems()``; raise AllocationError with the problem's name and what broke, or return.

    Each answer must be an Allocation that passes ``cosim.alloc.problem.check_allocation`` (shares within the band, honest
    latencies and objective, nobody late where ``feasible`` is claimed) and hold arrays of its own. Allocators are pure: the
    problem must be as before, and the same problem with the same random stream must give the same bits. Whether the answer
    is a good one is not looked at.
    """
    if not isinstance(allocator, Allocator):
        raise AllocationError(f"{type(allocator).__name__} has no method allocate(problem, rng)")
    for name, problem in trial_problems().items():
        try:
            _check_one(allocator, problem)
        except AllocationError as error:
            raise AllocationError(f"{type(allocator).__name__}, {name}: {error}") from error
        except Exception as error:
            raise AllocationError(f"{type(allocator).__name__}, {name}: allocate raised {type(error).__name__}: {error}") from error


def _check_one(allocator: Allocator, problem: AllocationProblem) -> None:
    before = copy.deepcopy(problem)
    answer = allocator.allocate(problem, _generator())
    if not isinstance(answer, Allocation):
        raise AllocationError(f"allocate returned {type(answer).__name__}, must return cosim.interfaces.Allocation")
    if changed := _differences(before, problem):
        raise AllocationError(f"allocate changed {', '.join(changed)} of the problem: it must leave its input alone")
    check_allocation(problem, answer)
    _check_flags(answer)
    if shared := [
        name for name in _arrays(answer) if any(np.shares_memory(getattr(answer, name), given) for given in _arrays(problem).values())
    ]:
        raise AllocationError(f"{', '.join(shared)} of the answer is an array of the problem: return a copy")
    first = copy.deepcopy(answer)
    if unstable := _differences(first, allocator.allocate(problem, _generator())):
        raise AllocationError(
            f"the same problem and random stream gave another {', '.join(unstable)}: draw from rng alone, and keep no state"
        )
    if _differences(first, answer):
        raise AllocationError("a second call changed the arrays of the first answer: return new ones")


def _check_flags(answer: Allocation) -> None:
    if answer.selected.dtype != np.bool_:
        raise AllocationError(f"selected has dtype {answer.selected.dtype}, must be bool")
    if not isinstance(answer.feasible, bool):
        raise AllocationError(f"feasible is a {type(answer.feasible).__name__}, must be bool")


def _generator() -> np.random.Generator:
    return Streams(0).generator("allocator", 0)


def _arrays(record: AllocationProblem | Allocation) -> dict[str, np.ndarray]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _differences(one: AllocationProblem | Allocation, other: AllocationProblem | Allocation) -> list[str]:
    """Names of the fields whose values differ; NaN equals NaN."""
    found = []
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        numeric = isinstance(a, np.ndarray | float)
        if not (np.array_equal(a, b, equal_nan=True) if numeric else a == b):
            found.append(field.name)
    return found


def trial_problems() -> Mapping[str, AllocationProblem]:
    """Problems by name: every size, kind of rate and edge that a run may pose. The same at every call."""
    rng = np.random.default_rng(20240917)
    many = _random_problem(rng, 40)
    few = _random_problem(rng, 6)
    zeros, place = np.zeros(6), np.arange(6)
    return {
        "no device": subset(few, np.zeros(6, np.bool_)),
        "one device": _random_problem(rng, 1),
        **{f"40 devices, {type(rate).__name__}": _within_reach(replace(many, rate=rate), 0.4) for rate in _RATES},
        "identical devices": _within_reach(_alike(few), 0.4),
        "no pruning needed": _within_reach(few, 2.0),
        "a threshold that not all can meet": replace(many, latency_threshold_s=0.7 * least_feasible_threshold(many)),
        "a threshold of 0 s that nobody can meet": replace(few, latency_threshold_s=0.0),
        "devices that no bandwidth reaches": replace(few, snr_hz=np.where(place < 2, 0.0, few.snr_hz)),
        "devices that take forever": replace(few, fixed_time_s=np.where(place == 5, np.inf, few.fixed_time_s)),
        "nobody can be reached": replace(few, snr_hz=zeros),
        "some weights 0": replace(few, weight=np.where(place % 2 == 0, 0.0, few.weight)),
        "all weights 0": replace(few, weight=zeros),
        "gains over 12 orders of magnitude": _within_reach(replace(few, snr_hz=np.logspace(2, 14, 6)), 0.4),
        "nothing to compute": _within_reach(replace(few, prunable_time_s=zeros), 0.4),
        "nothing to send": replace(few, fixed_bits=zeros, prunable_bits=zeros),
        "no pruning allowed": replace(few, prune_max=zeros),
        "full pruning allowed": _within_reach(replace(few, prune_max=np.ones(6), fixed_bits=zeros), 0.4),
        "an energy budget": replace(few, energy=_energy(few, 0.3)),
        "an energy budget that nobody can keep": replace(few, energy=_energy(few, 1e-9)),
        "a pruning cost": replace(few, pruning_cost=PruningCost(np.linspace(0.0, 1.0, 9), np.linspace(0.0, 1.0, 9) ** 3)),
    }  # fmt: skip


def _random_problem(rng: np.random.Generator, devices: int) -> AllocationProblem:
    """Devices with different links, sizes and ids; the threshold lies between the least feasible one and that without pruning."""
    bits = 10 ** rng.uniform(5.5, 6.5, devices)
    problem = AllocationProblem(
        round=0,
        device_ids=rng.permutation(10 * devices)[:devices],
        weight=rng.uniform(0.2, 2.0, devices) / devices,
        fixed_time_s=rng.uniform(0.0, 0.5, devices),
        prunable_time_s=rng.uniform(0.01, 0.5, devices),
        fixed_bits=bits * rng.uniform(0.0, 0.3, devices),
        prunable_bits=bits,
        snr_hz=10 ** rng.uniform(7.0, 10.0, devices),
        prune_max=rng.uniform(0.5, 0.95, devices),
        bandwidth_hz=1e6 * devices,
        latency_threshold_s=1.0,
    )
    return _within_reach(problem, 0.4)


def _energy(problem: AllocationProblem, budget_j: float) -> EnergyLimit:
    """Phones of 0.2 W transmit power and 0.5 W at full clock, a quarter of whose fixed time is computing."""
    same = np.ones_like(problem.weight)
    return EnergyLimit(
        budget_j=budget_j * same,
        fixed_compute_s=0.25 * problem.fixed_time_s,
        compute_power_w=0.5 * same,
        frequency_hz=1e9 * same,
        frequency_min_hz=1e8 * same,
        power_w=0.2 * same,
        power_min_w=1e-7 * same,
        efficiency=0.35,
    )


def _alike(problem: AllocationProblem) -> AllocationProblem:
    """As many devices, all of them like the first; the ids stay."""
    ids, first = problem.device_ids, np.zeros(problem.device_ids.size, np.int64)
    per_device = {name: value[first] for name, value in _arrays(problem).items()}
    return AllocationProblem(**{**{field.name: getattr(problem, field.name) for field in fields(problem)}, **per_device, "device_ids": ids})


def _within_reach(problem: AllocationProblem, looseness: float) -> AllocationProblem:
    """With the threshold this part of the way from the least feasible one (0) to where nobody need prune (1)."""
    least, most = least_feasible_threshold(problem), unpruned_latency(problem)
    return replace(problem, latency_threshold_s=least + looseness * (most - least))
