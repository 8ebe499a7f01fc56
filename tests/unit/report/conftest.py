"""Run directories made up with the real writer: plausible numbers, no simulator."""

import numpy as np
import pytest

from cosim.trace.manifest import fingerprint, scenario_digest, write_manifest
from cosim.trace.run import Run
from cosim.trace.writer import TraceWriter

SCENARIO = """seed: 7
rounds: {rounds}
area: {{width_m: 1000.0, height_m: 1000.0}}
sites:
- {{x_m: 500.0, y_m: 500.0, height_m: 25.0}}
devices: {{count: {devices}}}
allocator: {{kind: kkt}}
learning: {{kind: federated}}
# {comment}
"""


def write_run(directory, *, devices=50, rounds=20, learning=True, late=True, arrive=True, comment="made up"):
    """One run: motion on circles, weak devices pruned more, stragglers late after 1.25 times the threshold."""
    rng = np.random.default_rng(7)
    trace, start_s = TraceWriter(directory), 0.0
    angle, radius, speed = rng.uniform(0, 2 * np.pi, devices), rng.uniform(40, 480, devices), rng.uniform(1, 15, devices)
    for index in range(rounds):
        frame = _world(index, start_s, angle, radius, speed)
        end_s = _fates(frame, rng, start_s, late=late, arrive=arrive)
        _learning(frame, rng, index, learning=learning)
        trace.append("devices", frame)
        trace.append("rounds", _round(frame, index, start_s, end_s, learning=learning))
        start_s = end_s
    trace.close()
    text = SCENARIO.format(rounds=rounds, devices=devices, comment=comment)
    (directory / "scenario.yaml").write_text(text)
    write_manifest(
        directory,
        status="finished",
        seed=7,
        scenario_digest=scenario_digest(text),
        wall_times_s={"total": 61.5, "training": 40.0},
        fingerprint=fingerprint(directory),
    )
    return Run.open(directory)


def _world(index, time_s, angle, radius, speed):
    turned = angle + speed * time_s / radius
    distance = radius
    loss = 28 + 22 * np.log10(np.hypot(distance, 23.5)) + 20 * np.log10(3.5)
    shadow = 5 * np.sin(5 * turned + np.arange(len(angle)))
    return {
        "round": np.full(len(angle), index),
        "device": np.arange(len(angle)),
        "x_m": 500 + radius * np.cos(turned),
        "y_m": 500 + radius * np.sin(turned),
        "speed_m_s": speed,
        "distance_m": distance,
        "los": np.cos(3 * turned) > 0,
        "pathloss_db": loss,
        "shadowing_db": shadow,
        "gain_planned_db": 8 - loss - shadow,
    }


def _fates(frame, rng, start_s, *, late, arrive):
    """Fill in plan, times and statuses; the end of the round."""
    n, threshold = len(frame["device"]), 1.2
    weak = np.clip((-90 - frame["gain_planned_db"]) / 30 + 0.5, 0, 0.9)
    factor = 0.7 + rng.exponential(0.3, n)
    selected = (rng.random(n) > 0.1) if late else np.ones(n, bool)
    kept = np.where(selected, 1 - weak, np.nan)
    times = {
        "t_download_s": rng.uniform(0.02, 0.2, n),
        "t_compute_s": 0.45 * factor * kept,
        "t_wait_s": rng.uniform(0, 0.02, n),
        "t_upload_s": (threshold - 0.15 - 0.45 * kept) * rng.uniform(0.8, 1.1, n),
    }
    times = {name: np.where(selected, values, np.nan) for name, values in times.items()}
    total = sum(times.values())
    deadline = 1.15 * threshold if late else np.inf
    in_time = selected & (total <= deadline) & arrive
    status = np.where(in_time, "arrived", np.where(selected, "late", np.where(rng.random(n) < 0.5, "offline", "infeasible")))
    end = deadline if np.isfinite(deadline) else np.nanmax(np.append(total, threshold))
    times["t_upload_s"] = np.where(in_time, times["t_upload_s"], np.nan)
    bandwidth = np.where(selected, 1 + weak, 0)
    frame |= times | {
        "selected": selected,
        "status": status,
        "prune_ratio": 1 - kept,
        "bandwidth_hz": np.where(selected, 10e6 * bandwidth / max(bandwidth.sum(), 1), np.nan),
        "payload_bits": 4e6 * kept,
        "t_total_s": np.where(in_time, total, np.nan),
        "t_planned_s": np.where(selected, threshold * rng.uniform(0.97, 1, n), np.nan),
        "fixed_time_s": np.where(selected, 0.1, np.nan),
        "prunable_time_s": np.where(selected, 0.45, np.nan),
        "fixed_bits": np.where(selected, 1e4, np.nan),
        "prunable_bits": np.where(selected, 4e6, np.nan),
        "straggler_factor": np.where(selected, factor, np.nan),
        "kept_flops": 1e9 * kept,
        "energy_compute_j": 2 * kept,
        "energy_transmit_j": 0.4 * kept,
    }
    return start_s + end


def _learning(frame, rng, index, *, learning):
    n = len(frame["device"])
    skill = 0.95 - 0.6 * np.exp(-index / 6) + rng.normal(0, 0.04, n)
    frame["accuracy_full"] = np.clip(skill, 0, 1) if learning else np.full(n, np.nan)
    frame["accuracy"] = frame["accuracy_full"] - 0.05 * np.nan_to_num(frame["prune_ratio"])
    frame["train_loss"] = np.where(frame["status"] == "arrived", 2.3 * np.exp(-index / 8), np.nan) if learning else np.full(n, np.nan)


def _round(frame, index, start_s, end_s, *, learning):
    arrived = frame["status"] == "arrived"
    selected = int(frame["selected"].sum())
    row = {
        "round": index,
        "t_start_s": start_s,
        "t_end_s": end_s,
        "latency_s": end_s - start_s,
        "planned_latency_s": np.nanmax(np.append(frame["t_planned_s"], 0.0)),
        "latency_threshold_s": 1.2,
        "devices_selected": selected,
        "devices_arrived": int(arrived.sum()),
        "devices_dropped": selected - int(arrived.sum()),
        "prune_ratio_mean": np.mean(frame["prune_ratio"][frame["selected"]]) if selected else np.nan,
        "bandwidth_used_hz": np.nansum(frame["bandwidth_hz"]),
        "objective": 0.4,
        "feasible": bool(frame["selected"].all()),
        "pruning_cost": "",
        "uplink_bits": np.nansum(frame["payload_bits"][arrived]),
        "energy_j": np.nansum(frame["energy_compute_j"]) + np.nansum(frame["energy_transmit_j"]),
    }
    if learning:
        row |= {"accuracy_mean": frame["accuracy"].mean(), "accuracy_p10": np.quantile(frame["accuracy"], 0.1)}
        row |= {"global_accuracy": 0.8 - 0.6 * np.exp(-index / 6), "train_loss": 2.3 * np.exp(-index / 8)}
    return row


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A run that tests only read."""
    return write_run(tmp_path_factory.mktemp("small"), devices=12, rounds=6)


@pytest.fixture
def made_up_run(tmp_path):
    """Function that makes a run, see ``write_run``."""

    def make(**options):
        directory = tmp_path / "run"
        directory.mkdir()
        return write_run(directory, **options)

    return make
