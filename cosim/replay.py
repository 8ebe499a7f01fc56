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
from cosim.interfaces import AllocationProblem
from cosim.scenario import Scenario

if TYPE_CHECKING:
    from cosim.trace.run import Run


def recorded_problem(run: Run, round_index: int) -> AllocationProblem:
    """Problem (P) as it was posed in a round of a run, bit for bit. Raises RunError if the run has no such round."""
    scenario = Scenario.load(Path(run.directory) / "scenario.yaml")
    rounds = run.rounds[run.rounds["round"] == round_index]
    if rounds.empty:
        raise RunError(f"{run.directory} has no round {round_index}; it has {len(run.rounds)} rounds, from 0")
    rows = run.devices[run.devices["round"] == round_index]
    rows = rows[rows["weight"].notna()]
    planned = scenario.round.csi.planning_rate(scenario.uplink.rate, scenario.channel.fading)
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
        bandwidth_hz=scenario.uplink.usable_bandwidth_hz,
        latency_threshold_s=float(rounds["latency_threshold_s"].iloc[0]),
        rate=scenario.uplink.planning_rate(planned),
    )
