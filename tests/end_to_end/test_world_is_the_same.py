"""Common random numbers: what nobody caused is the same for every allocator, and for every number of devices."""

import numpy as np
import pytest

import cosim
from cosim.build import build
from cosim.units import to_db

SCENARIO = "scenarios/urban_50dev.yaml"
WORLD_COLUMNS = ["x_m", "y_m", "speed_m_s", "distance_m", "los", "pathloss_db", "shadowing_db", "gain_planned_db"]


def scenario(**overrides):
    base = {"learning.kind": "none", "rounds": 3, "devices.count": 12, "trace.radio_interval_s": None}
    return cosim.Scenario.load(SCENARIO, overrides={**base, **{name.replace("__", "."): value for name, value in overrides.items()}})


def test_round_0_is_the_same_world_under_another_allocator(tmp_path):
    first = cosim.run(scenario(), out=tmp_path / "kkt").devices.query("round == 0")
    second = cosim.run(scenario(allocator__kind="personalization_only"), out=tmp_path / "po").devices.query("round == 0")
    for column in [*WORLD_COLUMNS, "straggler_factor"]:
        assert np.array_equal(first[column], second[column]), column
    assert not np.array_equal(first.bandwidth_hz, second.bandwidth_hz)


def test_sampled_at_the_same_times_the_channel_is_the_same():
    times = np.linspace(0.0, 37.3, 101)
    ids = np.arange(12)
    one, other = (build(scenario(allocator__kind=kind)).world for kind in ("kkt", "equal_bandwidth"))
    other.gain(times[::-1][:7] + 50.0, ids[::2])  # what was asked before must not matter
    assert np.array_equal(one.gain(times, ids), other.gain(times, ids))
    assert np.array_equal(one.motion(times, ids).x_m, other.motion(times, ids).x_m)


def test_a_device_more_changes_nobody_elses_world():
    times, ids = np.linspace(0.0, 60.0, 61), np.arange(11)
    one, other = build(scenario()).world, build(scenario(devices__count=11)).world
    assert np.array_equal(one.gain(times, ids), other.gain(times, ids))
    assert np.array_equal(one.frequency_hz(ids), other.frequency_hz(ids))
    for index in range(3):
        begin_s, nominal_s = np.full(len(ids), 3.0 * index), np.full(len(ids), 0.5)
        assert np.array_equal(one.straggler_factor(index, ids, begin_s, nominal_s), other.straggler_factor(index, ids, begin_s, nominal_s))


def test_another_seed_is_another_world(tmp_path):
    first = cosim.run(scenario(), out=tmp_path / "a").devices
    second = cosim.run(scenario(seed=2), out=tmp_path / "b").devices
    assert not np.isclose(first.x_m, second.x_m).any()


@pytest.mark.parametrize("column", WORLD_COLUMNS)
def test_recorded_world_columns_are_those_of_the_round_start(tmp_path_factory, column):
    folder = tmp_path_factory.getbasetemp() / "world_columns"
    parts = build(scenario())
    run = cosim.Run.open(folder) if folder.exists() else cosim.run(scenario(), out=folder)
    last = run.rounds.iloc[-1]
    rows = run.devices[run.devices["round"] == last["round"]]
    large = parts.world.large_scale(np.array([last.t_start_s]), parts.device_ids)
    mean_gain_db = to_db(parts.world.mean_gain(np.array([last.t_start_s]), parts.device_ids))
    expected = mean_gain_db if column == "gain_planned_db" else getattr(large, column)
    assert rows[column].to_numpy().astype(float) == pytest.approx(expected[0].astype(float), abs=1e-9)
