"""SUMO in the loop: repeatable, side by side, on the network's streets; and what is told where SUMO is not installed."""

import gzip
import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.errors import ScenarioError, SimulationError
from cosim.net import sumo
from cosim.net.sumo import MANHATTAN, Sumo
from cosim.rng import Streams
from cosim.study import plan
from cosim.study.execute import run_study

AREA = (1000.0, 1000.0)
needs_sumo = [pytest.mark.sumo, pytest.mark.skipif(importlib.util.find_spec("libsumo") is None, reason="needs libsumo")]
SCENARIO = "scenarios/manhattan_sumo.yaml"
SHORT = {"rounds": 2, "learning.kind": "none", "mobility.warmup_s": 20.0, "devices.count": 12}


def with_marks(function):
    for mark in needs_sumo:
        function = mark(function)
    return function


def started(devices=10, seed=1, **fields):
    return Sumo(warmup_s=20.0, **fields).start(AREA, devices, Streams(seed))


def same(a, b):
    for name in ("x_m", "y_m", "speed_m_s", "travelled_m"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_without_sumo_the_extra_is_named_and_a_run_leaves_no_directory(tmp_path):
    # as if it were not installed: None in sys.modules stops any import of that name
    program = "import sys; sys.modules['libsumo'] = None; from cosim.cli import main; main()"
    arguments = ["run", SCENARIO, "--set", "learning.kind=none", "--out", str(tmp_path / "run")]
    found = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    problem = "mobility kind 'sumo' needs the package libsumo, which is not installed: pip install 'cosim[sumo]'"
    assert problem in " ".join(found.stderr.split())
    assert not (tmp_path / "run").exists()


def test_the_shipped_network_is_ours_and_fits_the_showcase():
    text = gzip.decompress(MANHATTAN.read_bytes()).decode()
    assert 'convBoundary="20.00,20.00,980.00,980.00"' in text
    assert "<!--" not in text  # neither a date nor a path


@with_marks
def test_vehicles_keep_to_the_streets_and_never_vanish():
    times = np.arange(0.0, 600.0, 0.5)
    motion = started(20).at(times, np.arange(20))
    x, y = (np.abs((values - 20.0 + 120.0) % 240.0 - 120.0) for values in (motion.x_m, motion.y_m))
    assert np.minimum(x, y).max() < 12.0  # a lane's width beside a street's axis, or inside a crossing
    assert motion.speed_m_s.max() < 1.5 * 13.89  # the limit, and drivers who take it lightly
    assert motion.speed_m_s[-600:].max(axis=0).min() > 5.0  # everyone drove in the last five minutes
    chord = np.hypot(np.diff(motion.x_m, axis=0), np.diff(motion.y_m, axis=0))
    np.testing.assert_allclose(np.diff(motion.travelled_m, axis=0), chord, atol=1e-9)
    assert not motion.travelled_m[0].any()
    np.testing.assert_allclose(motion.speed_m_s[:-1] * 0.5, chord, atol=1e-9)


@with_marks
def test_neither_order_nor_chunks_move_a_bit_and_seeds_do(monkeypatch):
    times = np.array([0.0, 0.25, 3.0, 100.0, 17.5, 99.9])
    whole = started().at(times, np.arange(10))
    monkeypatch.setattr(sumo, "_STEPS", 7)
    small = started()
    for row in (1, 4, 3, 0):
        part = small.at(times[row : row + 1], np.array([3, 9, 3]))
        np.testing.assert_array_equal(part.x_m[0], whole.x_m[row, [3, 9, 3]])
        np.testing.assert_array_equal(part.travelled_m[0], whole.travelled_m[row, [3, 9, 3]])
    same(small.at(times, np.arange(10)), whole)
    assert (started(seed=2).at(times, np.arange(10)).x_m != whole.x_m).all()


@with_marks
def test_simulations_side_by_side_do_not_touch_each_other():
    times = np.arange(0.0, 100.0)
    first, second = started(seed=1), started(seed=2)
    second.at(times[:50], np.arange(10))
    first.at(times, np.arange(10))  # in between
    same(second.at(times, np.arange(10)), started(seed=2).at(times, np.arange(10)))


@with_marks
def test_equal_seeds_give_equal_tables_in_turn_and_at_once_and_with_two_workers(tmp_path):
    def tables(workers):
        run = cosim.run(cosim.Scenario.load(SCENARIO, overrides=SHORT), workers=workers)
        return run.manifest["fingerprint"], run.devices

    first, devices = tables(1)
    assert devices.speed_m_s.max() > 5.0  # they drive
    with ThreadPoolExecutor(2) as pool:
        for fingerprint, again in pool.map(tables, [1, 2]):
            assert fingerprint == first
            pd.testing.assert_frame_equal(again, devices, check_exact=True)


@with_marks
def test_a_study_with_two_processes_gives_the_tables_of_a_run(tmp_path):
    # the same file's worth of overrides as a study's and as a run's
    study = f"scenario: {Path(SCENARIO).resolve()}\nseeds: [1, 2]\noverrides: {json.dumps(SHORT)}\nvariants: {{only: {{}}}}\n"
    (tmp_path / "study.yaml").write_text(study)
    result, failed = run_study(plan.load(tmp_path / "study.yaml"), tmp_path / "study", workers=2)
    assert not failed
    alone = cosim.run(cosim.Scenario.load(SCENARIO, overrides=SHORT))
    assert result.run("only", 1).manifest["fingerprint"] == alone.manifest["fingerprint"]
    assert (result.run("only", 2).devices.x_m != alone.devices.x_m).any()


@with_marks
@pytest.mark.parametrize(
    ("extent", "devices", "message"),
    [((1000.0, 900.0), 3, r"the network reaches from \[20, 20\] to \[980, 980\] m, outside the area of 1000 m x 900 m")],
)
def test_an_area_too_small_is_told(extent, devices, message):
    with pytest.raises(ScenarioError, match=message):
        Sumo().start(extent, devices, Streams(1))


@with_marks
def test_a_network_that_is_none_is_told(tmp_path):
    (tmp_path / "bad.net.xml").write_text("<net")
    with pytest.raises(ScenarioError, match=r"mobility: SUMO cannot load .*bad\.net\.xml"):
        Sumo(network=tmp_path / "bad.net.xml").start(AREA, 1, Streams(1))


@with_marks
def test_a_process_that_dies_is_told():
    paths = started()
    paths._worker._process.kill()
    with pytest.raises(SimulationError, match=r"the SUMO process ended with exit status -9"):
        paths.at(np.array([1e4]), np.arange(10))
