"""From a round's record to the rows of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cosim.alloc.energy import planned_energy_j
from cosim.alloc.problem import least_feasible_threshold
from cosim.net.energy import compute_energy_j, transmit_energy_j
from cosim.net.transfer import Medium
from cosim.units import dbm_to_w, to_db

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cosim.interfaces import Allocation, AllocationProblem, Evaluation, FloatArray, IntArray, Update
    from cosim.simulation.parts import Parts
    from cosim.simulation.records import Round

Columns = dict[str, Any]


def device_rows(parts: Parts, record: Round, update: Update, evaluation: Evaluation) -> Columns:
    """One row per device, chosen or not."""
    n, ids = parts.devices.count, record.device_ids
    large = parts.world.large_scale(np.array([record.start_s]), parts.device_ids)
    selected = np.zeros(n, np.bool_)
    selected[ids] = True

    def spread(values: FloatArray, where: IntArray = ids) -> FloatArray:
        out = np.full(n, np.nan)
        out[where] = values
        return out

    plan, problem = record.plan, record.plan.problem
    chosen = plan.allocation.selected
    return {
        "round": np.full(n, record.index),
        "device": parts.device_ids,
        "selected": selected,
        "status": _statuses(parts, record, update),
        "x_m": large.x_m[0],
        "y_m": large.y_m[0],
        "speed_m_s": large.speed_m_s[0],
        "distance_m": large.distance_m[0],
        "los": large.los[0],
        "pathloss_db": large.pathloss_db[0],
        "shadowing_db": large.shadowing_db[0],
        "gain_planned_db": to_db(plan.gain),
        "prune_ratio": spread(record.submodels.prune_ratio),
        "bandwidth_hz": spread(plan.allocation.bandwidth_hz[chosen]),
        "payload_bits": spread(record.submodels.payload_bits),
        "t_planned_s": spread(plan.allocation.latency_s[chosen]),
        "weight": spread(problem.weight, problem.device_ids),
        "snr_planned_hz": spread(problem.snr_hz, problem.device_ids),
        "fixed_time_s": spread(problem.fixed_time_s, problem.device_ids),
        "prunable_time_s": spread(problem.prunable_time_s, problem.device_ids),
        "fixed_bits": spread(problem.fixed_bits, problem.device_ids),
        "prunable_bits": spread(problem.prunable_bits, problem.device_ids),
        **{name: spread(values) for name, values in _settings(parts, record).items()},
        **_energy_plan(record, spread),
        "straggler_factor": spread(record.straggler_factor),
        "kept_flops": spread(record.submodels.flops),
        **{name: spread(values) for name, values in _times(record).items()},
        **{name: spread(values) for name, values in _energies(parts, record).items()},
        **{name: spread(values) for name, values in _uploads(parts, record).items()},
        "train_loss": update.train_loss,
        "accuracy": evaluation.accuracy,
        "accuracy_full": evaluation.accuracy_full,
    }


def _settings(parts: Parts, record: Round) -> dict[str, FloatArray]:
    """Transmit power [W] and clock [Hz] with which the selected devices (m,) took part."""
    power_w = float(dbm_to_w(parts.devices.transmit_power_dbm))
    clock_hz = parts.world.frequency_hz(record.device_ids)
    return {"transmit_power_w": power_w * record.plan.power_share, "frequency_hz": clock_hz * record.plan.clock_share}


def _energy_plan(record: Round, spread: Callable[..., FloatArray]) -> dict[str, FloatArray]:
    """Planned energy of the selected devices, and the computing time that it starts from; nothing without a budget."""
    problem, answer = record.plan.problem, record.plan.allocation
    if problem.energy is None:
        return {}
    share = np.where(answer.selected, answer.bandwidth_hz, np.nan)
    spent_j = planned_energy_j(problem, answer.prune_ratio, share, power_w=answer.transmit_power_w, frequency_hz=answer.frequency_hz)
    return {
        "energy_planned_j": spread(spent_j[answer.selected]),
        "fixed_compute_s": spread(problem.energy.fixed_compute_s, problem.device_ids),
    }


def _statuses(parts: Parts, record: Round, update: Update) -> NDArray[np.str_]:
    status = np.full(parts.devices.count, "skipped", dtype="<U10")
    status[record.plan.problem.device_ids] = "infeasible"
    status[~record.plan.online] = "offline"
    status[record.device_ids] = np.where(record.arrived, "arrived", np.where(record.gone, "dropped", "late"))
    status[update.rejected] = "rejected"
    return status


def _times(record: Round) -> dict[str, FloatArray]:
    """Parts of a device's latency [s]; a part that did not end before the device stopped is NaN."""

    def part(begin_s: FloatArray, end_s: FloatArray) -> FloatArray:
        return np.where(end_s <= record.stop_s, end_s - begin_s, np.nan)

    parts = {
        "t_download_s": part(np.full_like(record.stop_s, record.start_s), record.download_end_s),
        "t_compute_s": part(record.compute_start_s, record.compute_end_s),
        "t_wait_s": part(record.download_end_s, record.compute_start_s),
        "t_upload_s": np.where(record.arrived, record.arrival_s - record.upload_start_s, np.nan),
    }
    return {**parts, "t_total_s": sum(parts.values(), np.zeros_like(record.stop_s))}


def _energies(parts: Parts, record: Round) -> dict[str, FloatArray]:
    """Work that was begun is charged up to the moment a device left; a late device finishes its own."""
    begun = np.isfinite(record.compute_start_s)
    stop_s = np.where(record.gone, record.stop_s, np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        progress = np.where(begun & (record.compute_s > 0), (stop_s - record.compute_start_s) / record.compute_s, 1.0 * begun)
    compute_j = compute_energy_j(
        record.submodels.flops,
        _settings(parts, record)["frequency_hz"],
        flops_per_cycle=parts.compute.flops_per_cycle,
        capacitance=parts.compute.capacitance,
    )
    power_w = _settings(parts, record)["transmit_power_w"]
    transmit_j = transmit_energy_j(record.airtime_s, power_w=power_w, efficiency=parts.devices.amplifier_efficiency)
    return {"energy_compute_j": compute_j * np.clip(progress, 0.0, 1.0), "energy_transmit_j": transmit_j}


def round_row(record: Round, update: Update, evaluation: Evaluation, devices: Columns) -> Columns:
    """The row of a round."""
    plan, arrived = record.plan, devices["status"] == "arrived"
    selected = len(record.device_ids)
    accuracy = evaluation.accuracy[np.isfinite(evaluation.accuracy)]
    row = {
        "round": record.index,
        "t_start_s": record.start_s,
        "t_end_s": record.end_s,
        "latency_s": record.end_s - record.start_s,
        "planned_latency_s": plan.latency_s,
        "latency_threshold_s": plan.problem.latency_threshold_s,
        "devices_selected": selected,
        "devices_arrived": int(arrived.sum()),
        "devices_dropped": selected - int(arrived.sum()),
        "prune_ratio_mean": _mean(record.submodels.prune_ratio),
        "bandwidth_used_hz": float(plan.allocation.bandwidth_hz.sum()),
        "objective": plan.allocation.objective,
        "objective_pruning_cost": _pruning_cost(plan.problem, plan.allocation),
        "pruning_cost": "" if plan.problem.pruning_cost is None else " ".join(map(repr, plan.problem.pruning_cost.cost.tolist())),
        "multiplier": plan.allocation.multiplier,
        "feasible": plan.allocation.feasible,
        "least_threshold_s": np.nan if plan.allocation.feasible else least_feasible_threshold(plan.problem),
        "uplink_bits": float(record.sent_bits.sum()),
        "energy_j": float(np.nansum(devices["energy_compute_j"]) + np.nansum(devices["energy_transmit_j"])),
        "train_loss": _mean(update.train_loss[np.isfinite(update.train_loss)]),
        "accuracy_mean": _mean(accuracy),
        "accuracy_p10": float(np.quantile(accuracy, 0.1)) if accuracy.size else np.nan,
        "global_accuracy": evaluation.global_accuracy,
        "pruning_error": record.submodels.pruning_error,
        "pruning_bound": record.submodels.pruning_bound,
        "coverage_min": update.coverage_min,
        "uncovered_fraction": update.uncovered_fraction,
    }
    return {name: [value] for name, value in row.items()}


def _pruning_cost(problem: AllocationProblem, allocation: Allocation) -> float:
    """Sum of w phi(rho), NaN where no phi is known."""
    cost = problem.pruning_cost
    return np.nan if cost is None else float(problem.weight @ cost.value(allocation.prune_ratio))


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
    gain = parts.world.gain(times, parts.device_ids)
    bandwidth, rate = _on_air(parts, record, times)
    shape = gain.shape
    columns = {
        "round": np.full(shape, record.index),
        "t_s": np.broadcast_to(times[:, None], shape),
        "device": np.broadcast_to(parts.device_ids, shape),
        "x_m": motion.x_m,
        "y_m": motion.y_m,
        "speed_m_s": motion.speed_m_s,
        "gain_db": to_db(gain),
        "snr_db": to_db(parts.uplink_snr_per_gain_hz * gain / parts.uplink.bandwidth_hz),
        "blocks": bandwidth / parts.uplink.block_hz,
        "rate_bps": rate,
    }
    return {name: np.ravel(values) for name, values in columns.items()}


def _on_air(parts: Parts, record: Round, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bandwidth and rate (T, devices) at which each device sends at these times."""
    out = np.zeros((2, len(times), parts.devices.count))
    if not len(record.device_ids):
        return out[0], out[1]
    begin_s = record.upload_start_s + parts.uplink.grant_delay_s
    sending = (begin_s <= times[:, None]) & (times[:, None] < _upload_end_s(parts, record))
    if parts.uplink.coupled:
        held_rate = _in_windows(record, times)
    else:
        medium = Medium(parts.uplink, parts.world, parts.world.subbands, law=parts.power_law)
        slots = np.floor(times / parts.uplink.slot_s + 1e-9).astype(np.int64)
        rate, _, held = medium.slopes(record.uploads, slots, np.arange(len(record.device_ids)))
        held_rate = np.stack([held.T, rate.T])
    out[:, :, record.device_ids] = np.where(sending, held_rate, 0.0)
    return out[0], out[1]


def _in_windows(record: Round, times: FloatArray) -> FloatArray:
    """Bandwidth and rate (2, T, m) from the windows of the round."""
    out = np.zeros((2, len(times), len(record.device_ids)))
    for window in record.windows:
        inside = np.flatnonzero((times >= window.edges_s[0]) & (times < window.end_s))
        slot = np.searchsorted(window.edges_s, times[inside], side="right") - 1
        rows = np.flatnonzero(window.place >= 0)
        for part, values in enumerate((window.held_hz, window.rate_bps)):
            out[part, inside[:, None], rows] = values[window.place[rows]][:, slot].T
    return out


def _upload_end_s(parts: Parts, record: Round) -> FloatArray:
    """When uploads (m,) ended, or were cut off."""
    return np.where(record.arrived, record.arrival_s - parts.backhaul_delay_s, np.minimum(record.stop_s, record.end_s))


def _uploads(parts: Parts, record: Round) -> dict[str, FloatArray]:
    """What the uplink made of the plan."""
    duration_s = _upload_end_s(parts, record) - record.upload_start_s
    mean = np.divide(record.uploads.held_hz_s, duration_s, out=np.full_like(duration_s, np.nan), where=duration_s > 0)
    return {"bandwidth_mean_hz": mean, "retransmitted_bits": record.uploads.again_bits}


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else np.nan
