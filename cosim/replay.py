"""Recorded decisions, taken again: the allocation problems of a run, for comparing allocators offline.

    problem = recorded_problem(cosim.Run.open("runs/a"), 3)
    EqualBandwidth().allocate(problem, np.random.default_rng(0)).objective

Every allocator then answers the very same question.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosim.errors import RunError
from cosim.interfaces import AllocationProblem, EnergyLimit, PruningCost
from cosim.rng import Streams
from cosim.scenario import Scenario
from cosim.simulation.parts import uplink_snr_per_gain_hz
from cosim.units import dbm_to_w

if TYPE_CHECKING:
    import pandas as pd

    from cosim.interfaces import FloatArray
    from cosim.rate import Rate
    from cosim.trace.run import Run


def recorded_problem(run: Run, round_index: int, site: int = 0) -> AllocationProblem:
    """Problem (P) of a site's cell as it was posed in a round of a run, bit for bit. Raises RunError where there is none."""
    scenario = Scenario.load(Path(run.directory) / "scenario.yaml")
    rounds = run.rounds[run.rounds["round"] == round_index]
    if rounds.empty:
        raise RunError(f"{run.directory} has no round {round_index}; it has {len(run.rounds)} rounds, from 0")
    if not 0 <= site < len(scenario.sites):
        raise RunError(f"{run.directory} has no site {site}; it has {len(scenario.sites)} sites, from 0")
    rows = run.devices[run.devices["round"] == round_index]
    rows = rows[rows["weight"].notna()]
    rows = rows[rows["site"] == site] if len(scenario.sites) > 1 else rows
    if rows.empty:
        raise RunError(
            f"{run.directory}: round {round_index} has no problem at site {site}: no device was there, free and selected, or no band"
        )
    over_noise, free_hz = _by_site(rounds, "over_noise_by_site"), _by_site(rounds, "bandwidth_free_by_site")
    server = int(scenario.network.start(len(scenario.sites)).server_of[site])
    return AllocationProblem(
        round=round_index,
        device_ids=rows["device"].to_numpy(),
        weight=rows["weight"].to_numpy(),
        fixed_time_s=rows["fixed_time_s"].to_numpy(),
        prunable_time_s=rows["prunable_time_s"].to_numpy(),
        fixed_bits=rows["fixed_bits"].to_numpy(),
        prunable_bits=rows["prunable_bits"].to_numpy(),
        snr_hz=rows["snr_planned_hz"].to_numpy(),
        prune_max=np.full(len(rows), scenario.round.prune_max),
        bandwidth_hz=float(free_hz[site]),
        latency_threshold_s=float(rounds["latency_threshold_s"].iloc[0]),
        rate=_planning_rate(scenario, site, float(over_noise[site]) if over_noise.size else 0.0),
        energy=_energy(scenario, rows),
        pruning_cost=_pruning_cost(rounds["pruning_cost"].iloc[0], server),
    )


def _by_site(rounds: pd.DataFrame, name: str) -> FloatArray:
    """A column with a number for each site, of one round (sites,)."""
    return np.array(rounds[name].iloc[0].split(), np.float64)


def _planning_rate(scenario: Scenario, site: int, over_noise: float) -> Rate:
    rate = scenario.round.csi.planning_rate(scenario.uplink.link_rate, scenario.channel.fading)
    devices = scenario.devices
    if devices.power_control is not None:
        snr_per_gain_hz = uplink_snr_per_gain_hz(devices, scenario.sites[site], scenario.uplink) / (1.0 + over_noise)
        rate = devices.power_control.start(devices.transmit_power_dbm, snr_per_gain_hz).planning_rate(rate)
    return scenario.uplink.planning_rate(rate)


def _energy(scenario: Scenario, rows: pd.DataFrame) -> EnergyLimit | None:
    if scenario.round.energy.budget_j is None:
        return None
    devices, compute = scenario.devices, scenario.compute
    clock_hz = compute.frequency_hz(devices.count, Streams(scenario.seed))[rows["device"].to_numpy()]
    return scenario.round.energy.limit(
        rows["fixed_compute_s"].to_numpy(),
        clock_hz,
        power_w=float(dbm_to_w(devices.transmit_power_dbm)),
        efficiency=devices.amplifier_efficiency,
        capacitance=compute.capacitance / compute.mean_factor,
        uplink_share=scenario.uplink.uplink_share,
    )


def _pruning_cost(curves: str, server: int) -> PruningCost | None:
    cost = np.array(curves.split(";")[server].split() if curves else [], np.float64)
    return PruningCost(np.linspace(0.0, 1.0, cost.size), cost) if cost.size else None
