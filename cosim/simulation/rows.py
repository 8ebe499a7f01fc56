"""From a round's record to the rows of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cosim.alloc.energy import planned_energy_j
from cosim.net.energy import compute_energy_j, transmit_energy_j
from cosim.net.transfer import Medium
from cosim.units import to_db

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cosim.interfaces import BoolArray, Evaluation, FloatArray, IntArray, Update
    from cosim.simulation.parts import Parts
    from cosim.simulation.plan import Plan
    from cosim.simulation.records import Columns, Round, Works

_OUTCOMES: Final = (
    "t_download_s",
    "t_compute_s",
    "t_wait_s",
    "t_upload_s",
    "t_total_s",
    "energy_compute_j",
    "energy_transmit_j",
    "bandwidth_mean_hz",
    "retransmitted_bits",
    "merged_round",
    "staleness",
    "train_loss",
)
"""Columns of the devices table that are known when a work has ended."""


def device_rows(parts: Parts, record: Round, evaluation: Evaluation, battery_j: FloatArray) -> Columns:
    """One row per device, chosen or not; what becomes of works is entered as they end, until then they are late."""
    n, works = parts.devices.count, record.works.take(record.begun)
    ids = works.device_ids
    large = parts.world.large_scale(np.array([record.start_s]), parts.device_ids)
    selected = np.zeros(n, np.bool_)
    selected[ids] = True

    def spread(values: FloatArray, where: IntArray = ids) -> FloatArray:
        out = np.full(n, np.nan)
        out[where] = values
        return out

    plan, problem = record.plan, record.plan.problem
    return {
        "round": np.full(n, record.index),
        "device": parts.device_ids,
        "selected": selected,
        "status": _statuses(plan, selected),
        "x_m": large.x_m[0],
        "y_m": large.y_m[0],
        "speed_m_s": large.speed_m_s[0],
        "site": plan.site,
        "distance_m": large.distance_m[0],
        "los": large.los[0],
        "pathloss_db": large.pathloss_db[0],
        "shadowing_db": large.shadowing_db[0],
        "gain_planned_db": to_db(plan.gain),
        "prune_ratio": spread(works.prune_ratio),
        "bandwidth_hz": spread(works.bandwidth_hz),
        "payload_bits": spread(works.payload_bits),
        "t_planned_s": spread(plan.allocation.latency_s[plan.allocation.selected]),
        "weight": spread(problem.weight, problem.device_ids),
        "snr_planned_hz": spread(problem.snr_hz, problem.device_ids),
        "fixed_time_s": spread(problem.fixed_time_s, problem.device_ids),
        "prunable_time_s": spread(problem.prunable_time_s, problem.device_ids),
        "fixed_bits": spread(problem.fixed_bits, problem.device_ids),
        "prunable_bits": spread(problem.prunable_bits, problem.device_ids),
        "transmit_power_w": spread(works.transmit_power_w),
        "frequency_hz": spread(works.frequency_hz),
        **_energy_plan(record, spread),
        "straggler_factor": spread(record.straggler_factor),
        "kept_flops": spread(works.flops),
        **{name: np.full(n, np.nan) for name in _OUTCOMES},
        "battery_j": np.where(np.isfinite(battery_j), battery_j, np.nan),
        "accuracy": evaluation.accuracy,
        "accuracy_full": evaluation.accuracy_full,
    }


def outcomes(parts: Parts, works: Works, merged: BoolArray, update: Update | None, round_index: int, *, until_s: float = np.inf) -> Columns:
    """What became of works (m,) that ended in this round, ``merged`` (m,) those whose updates were aggregated.

    ``until_s``: when the run is over; what would come later is spent by nobody.
    """
    status = np.where(merged, "arrived", np.where(works.gone, "dropped", "late")).astype("<U10")
    if update is not None:
        status[np.isin(works.device_ids, update.rejected)] = "rejected"
    return {
        "status": status,
        **_times(works, merged),
        **energies(parts, works, until_s),
        **_uploads(works),
        "merged_round": np.where(merged, round_index, np.nan),
        "staleness": np.where(merged, round_index - works.round, np.nan),
        "train_loss": np.full(len(merged), np.nan) if update is None else np.where(merged, update.train_loss[works.device_ids], np.nan),
    }


def _energy_plan(record: Round, spread: Callable[..., FloatArray]) -> dict[str, FloatArray]:
    """Planned energy of the selected devices, and the computing time that it starts from; nothing without a budget."""
    if record.plan.problem.energy is None:
        return {}
    planned, fixed_s = spread(np.zeros(0), np.zeros(0, np.int64)), spread(np.zeros(0), np.zeros(0, np.int64))
    for problem, answer in record.plan.cells.values():
        assert problem.energy is not None
        share = np.where(answer.selected, answer.bandwidth_hz, np.nan)
        spent_j = planned_energy_j(problem, answer.prune_ratio, share, power_w=answer.transmit_power_w, frequency_hz=answer.frequency_hz)
        planned[problem.device_ids[answer.selected]] = spent_j[answer.selected]
        fixed_s[problem.device_ids] = problem.energy.fixed_compute_s
    return {"energy_planned_j": planned, "fixed_compute_s": fixed_s}


def _statuses(plan: Plan, selected: BoolArray) -> NDArray[np.str_]:
    status = np.full(len(selected), "skipped", dtype="<U10")
    status[plan.problem.device_ids] = "infeasible"
    status[~plan.online] = "offline"
    status[selected] = "late"
    return status


def _times(works: Works, merged: BoolArray) -> dict[str, FloatArray]:
    """Parts of a device's latency [s]; a part that did not end before the device stopped is NaN."""

    def part(begin_s: FloatArray, end_s: FloatArray) -> FloatArray:
        return np.where(end_s <= works.stop_s, end_s - begin_s, np.nan)

    parts = {
        "t_download_s": part(works.start_s, works.download_end_s),
        "t_compute_s": part(works.compute_start_s, works.compute_end_s),
        "t_wait_s": part(works.download_end_s, works.compute_start_s),
        "t_upload_s": np.where(merged, works.arrival_s - works.compute_end_s, np.nan),
    }
    return {**parts, "t_total_s": sum(parts.values(), np.zeros(len(merged)))}


def energies(parts: Parts, works: Works, until_s: float | FloatArray = np.inf) -> dict[str, FloatArray]:
    """Work that was begun is charged up to the moment a device left, or ``until_s``; a late device finishes its own."""
    begun = works.compute_start_s <= np.minimum(works.stop_s, until_s)
    stop_s = np.where(works.gone, works.stop_s, until_s)
    with np.errstate(invalid="ignore", divide="ignore"):
        progress = np.where(begun & (works.compute_s > 0), (stop_s - works.compute_start_s) / works.compute_s, 1.0 * begun)
    compute_j = compute_energy_j(
        works.flops, works.frequency_hz, flops_per_cycle=parts.compute.flops_per_cycle, capacitance=parts.compute.capacitance
    )
    efficiency = parts.devices.amplifier_efficiency
    transmit_j = transmit_energy_j(works.airtime_s, power_w=works.transmit_power_w, efficiency=efficiency)
    return {"energy_compute_j": compute_j * np.clip(progress, 0.0, 1.0), "energy_transmit_j": transmit_j}


def round_row(parts: Parts, record: Round, over: BoolArray, update: Update, evaluation: Evaluation) -> Columns:
    """The row of a round: what was planned at its beginning, what was spent in it, and what became of the works that are ``over`` (m,)."""
    plan, ended = record.plan, record.works.take(over)
    aggregated = np.setdiff1d(record.works.device_ids[record.merged], update.rejected)
    selected, arrived, loss = len(ended.device_ids), len(aggregated), update.train_loss[aggregated]
    accuracy = evaluation.accuracy[np.isfinite(evaluation.accuracy)]
    row = {
        "round": record.index,
        "t_start_s": record.start_s,
        "t_end_s": record.end_s,
        "latency_s": record.end_s - record.start_s,
        "planned_latency_s": plan.latency_s,
        "latency_threshold_s": plan.latency_threshold_s,
        "devices_selected": selected,
        "devices_arrived": arrived,
        "devices_dropped": selected - arrived,
        "prune_ratio_mean": _mean(record.submodels.prune_ratio),
        "devices_pruned": float((ended.prune_ratio > 0).sum()),
        "bandwidth_used_hz": float(plan.allocation.bandwidth_hz.sum()) + plan.held_hz,
        "objective": plan.allocation.objective,
        "objective_pruning_cost": _pruning_cost(plan),
        "pruning_cost": _cost_words(parts, plan),
        "multiplier": plan.allocation.multiplier,
        "feasible": plan.allocation.feasible,
        "least_threshold_s": plan.least_threshold_s,
        **_by_site(parts, plan),
        "uplink_bits": max(_sent_bits(record.works) - _sent_bits(record.others), 0.0),  # rounding may leave less than nothing
        "kept_flops": float(record.works.flops[record.begun].sum()),
        "energy_j": _spent_j(parts, record, over),
        "train_loss": _mean(loss[np.isfinite(loss)]),
        "accuracy_mean": _mean(accuracy),
        "accuracy_p10": float(np.quantile(accuracy, 0.1)) if accuracy.size else np.nan,
        "global_accuracy": evaluation.global_accuracy,
        "pruning_error": record.submodels.pruning_error,
        "pruning_bound": record.submodels.pruning_bound,
        "coverage_min": update.coverage_min,
        "uncovered_fraction": update.uncovered_fraction,
    }
    return {name: [value] for name, value in row.items()}


def _sent_bits(works: Works) -> float:
    """Bits that these works have sent by now, retransmissions included."""
    return float((works.payload_bits - works.backlog_bits + works.again_bits).sum())


def _spent_j(parts: Parts, record: Round, over: BoolArray) -> float:
    """Energy of all works in the round [J]; of those that go on, until its end."""
    spent_j, others = np.zeros((2, parts.devices.count)), record.others
    spent_j[:, record.works.device_ids] = list(energies(parts, record.works, np.where(over, np.inf, record.end_s)).values())
    spent_j[:, others.device_ids] -= list(energies(parts, others, record.start_s).values())
    return float(spent_j[0].sum() + spent_j[1].sum())


def _by_site(parts: Parts, plan: Plan) -> dict[str, str]:
    """Numbers of each cell, as lists; only the free band where there is only one cell."""
    posed = [plan.cells.get(cell) for cell in range(len(parts.sites))]
    lists = {
        "bandwidth_free_by_site": [np.nan if cell is None else float(cell[0].bandwidth_hz) for cell in posed],
        "objective_by_site": [np.nan if cell is None else float(cell[1].objective) for cell in posed],
        "over_noise_by_site": plan.over_noise.tolist(),
    }
    several = {name: values for name, values in lists.items() if len(posed) > 1 or name == "bandwidth_free_by_site"}
    return {name: " ".join(map(repr, several.get(name, []))) for name in lists}


def _pruning_cost(plan: Plan) -> float:
    """Sum of w phi(rho), NaN where no phi is known."""
    both = plan.cells.values() or [(plan.problem, plan.allocation)]
    costs = [posed.weight @ posed.pruning_cost.value(answer.prune_ratio) for posed, answer in both if posed.pruning_cost is not None]
    return float(sum(costs)) if costs else np.nan


def _cost_words(parts: Parts, plan: Plan) -> str:
    """The curve phi of each server as a list of numbers, nothing for a server in whose cells nothing was to be decided."""
    costs = {int(parts.backhaul.server_of[cell]): problem.pruning_cost for cell, (problem, _) in plan.cells.items()}
    known = {server: " ".join(map(repr, cost.cost.tolist())) for server, cost in costs.items() if cost is not None}
    return ";".join(known.get(server, "") for server in range(parts.backhaul.servers)) if known else ""


def radio_rows(parts: Parts, record: Round) -> Columns:
    """Samples of the true channel during the round, at multiples of the sampling interval.

    ``snr_db``: over the whole uplink band, at full power; ``blocks``: resource blocks held, NaN where the uplink has none;
    ``rate_bps``: what is being sent.
    """
    interval_s = parts.radio_interval_s
    assert interval_s is not None
    first, last = int(np.ceil(record.start_s / interval_s)), int(np.ceil(record.end_s / interval_s))
    times = np.arange(first, last, dtype=np.float64) * interval_s
    motion = parts.world.motion(times, parts.device_ids)
    gain, site = parts.world.gain(times, parts.device_ids), parts.world.serving(times, parts.device_ids)
    bandwidth, rate = _on_air(parts, record, times)
    shape = gain.shape
    columns = {
        "round": np.full(shape, record.index),
        "t_s": np.broadcast_to(times[:, None], shape),
        "device": np.broadcast_to(parts.device_ids, shape),
        "x_m": motion.x_m,
        "y_m": motion.y_m,
        "speed_m_s": motion.speed_m_s,
        "site": site,
        "gain_db": to_db(gain),
        "snr_db": to_db(parts.uplink_snr_per_gain_hz * parts.noise_scale[site] * gain / parts.uplink.bandwidth_hz),
        "blocks": bandwidth / parts.uplink.block_hz,
        "rate_bps": rate,
    }
    return {name: np.ravel(values) for name, values in columns.items()}


def _on_air(parts: Parts, record: Round, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bandwidth and rate (T, devices) at which each device sends at these times."""
    out = np.zeros((2, len(times), parts.devices.count))
    works = record.works
    if not len(works.device_ids):
        return out[0], out[1]
    begin_s = works.compute_end_s + parts.uplink.grant_delay_s
    sending = (begin_s <= times[:, None]) & (times[:, None] < np.minimum(_upload_end_s(works), record.end_s))
    if parts.uplink.coupled or len(parts.sites) > 1:
        held_rate = _in_windows(record, times)
    else:
        medium = Medium(parts.uplink, parts.world, parts.world.subbands, law=parts.power_law())
        slots = np.floor(times / parts.uplink.slot_s + 1e-9).astype(np.int64)
        rate, _, held = medium.slopes(record.uploads, slots, np.arange(len(works.device_ids)))
        held_rate = np.stack([held.T, rate.T])
    out[:, :, works.device_ids] = np.where(sending, held_rate, 0.0)
    return out[0], out[1]


def _in_windows(record: Round, times: FloatArray) -> FloatArray:
    """Bandwidth and rate (2, T, m) from the windows of the round."""
    out = np.zeros((2, len(times), len(record.works.device_ids)))
    for window in record.windows:
        inside = np.flatnonzero((times >= window.edges_s[0]) & (times < window.end_s))
        slot = np.searchsorted(window.edges_s, times[inside], side="right") - 1
        rows = np.flatnonzero(window.place >= 0)
        for part, values in enumerate((window.held_hz, window.rate_bps)):
            out[part, inside[:, None], rows] = values[window.place[rows]][:, slot].T
    return out


def _upload_end_s(works: Works) -> FloatArray:
    """When uploads (m,) ended, or were cut off; inf where they go on."""
    return np.where(np.isfinite(works.upload_end_s), works.upload_end_s, works.stop_s)


def _uploads(works: Works) -> dict[str, FloatArray]:
    """What the uplink made of the plan."""
    duration_s = _upload_end_s(works) - works.compute_end_s
    mean = np.divide(works.held_hz_s, duration_s, out=np.full_like(duration_s, np.nan), where=duration_s > 0)
    return {"bandwidth_mean_hz": mean, "retransmitted_bits": works.again_bits}


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else np.nan
