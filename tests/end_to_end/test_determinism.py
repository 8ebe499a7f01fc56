"""Nothing but the scenario decides what is in the tables: not threads, processes, places, languages, time zones or hash seeds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cosim
from cosim.study import plan as plans
from cosim.study.execute import run_study

GOLDEN = Path(__file__).parents[1] / "golden"
ELSEWHERE = {"PYTHONHASHSEED": "77", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONUTF8": "0"}
"""A Turkish i is not an I, and it is tomorrow already."""


@pytest.fixture(scope="module", params=["blocks", "learning"])
def reference(request, tmp_path_factory):
    scenario = GOLDEN / f"{request.param}.yaml"
    run = cosim.run(cosim.Scenario.load(scenario), out=tmp_path_factory.mktemp("reference") / "run", workers=1)
    return scenario, run.manifest["fingerprint"]


def elsewhere(scenario, folder, *options, **variables):
    """The fingerprint of a run of the command line, in another process with other variables."""
    environment = {**os.environ, "PYTHONPATH": str(Path(cosim.__file__).parents[1]), **variables}
    command = [sys.executable, "-m", "cosim", "run", str(scenario), "--out", "run", "--quiet", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return cosim.Run.open(folder / "run").manifest["fingerprint"]


def test_again_with_more_threads(reference, tmp_path):
    scenario, expected = reference
    assert cosim.run(cosim.Scenario.load(scenario), out=tmp_path / "run", workers=4).manifest["fingerprint"] == expected


def test_everything_else_at_once(reference, tmp_path):
    scenario, expected = reference
    assert elsewhere(scenario, tmp_path, "--workers", "4", **ELSEWHERE) == expected


@pytest.mark.full
@pytest.mark.parametrize("name", ELSEWHERE)
def test_everything_else_one_by_one(reference, name, tmp_path):
    scenario, expected = reference
    assert elsewhere(scenario, tmp_path, **{name: ELSEWHERE[name]}) == expected


@pytest.mark.full
@pytest.mark.parametrize("workers", [1, 2])
def test_as_a_part_of_a_study(reference, workers, tmp_path):
    scenario, expected = reference
    seed = cosim.Scenario.load(scenario).seed
    path = tmp_path / "study.yaml"
    path.write_text(f"{{scenario: {scenario}, seeds: [{seed}, 99], grid: {{allocator.kind: [kkt, equal_bandwidth]}}}}")
    study, failed = run_study(plans.load(path), tmp_path / "out", workers=workers)
    assert not failed
    assert study.run("kkt", seed).manifest["fingerprint"] == expected
