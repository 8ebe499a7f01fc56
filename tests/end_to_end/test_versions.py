"""What a newer cosim wrote is refused with the version to use; what another one wrote is not taken for this one's."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import cosim
from cosim.build import resume
from cosim.errors import RunError, ScenarioError
from cosim.trace.manifest import SCHEMA_VERSION


@pytest.fixture
def finished(tmp_path):
    (tmp_path / "s.yaml").write_text("{rounds: 2, devices: {count: 2}, learning: {kind: none}}")
    return cosim.run(cosim.Scenario.load(tmp_path / "s.yaml"), out=tmp_path / "run").directory


def test_a_newer_scenario(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("seed: 1\nschema_version: 2\nnovelty: {kind: of_the_future}\n")
    with pytest.raises(
        ScenarioError, match=r"^\S+s\.yaml:2:17: schema_version = 2: must be 1: is newer than what this cosim reads; [^\n]*$"
    ):
        cosim.Scenario.load(path)
    path.write_text("schema_version: 0")
    with pytest.raises(ScenarioError, match="schema_version = 0: must be 1: no cosim wrote that"):
        cosim.Scenario.load(path)
    path.write_text("schema_version: 1\nseed: 3")
    assert cosim.Scenario.load(path).seed == 3


def test_a_scenario_says_its_version(finished):
    assert (finished / "scenario.yaml").read_text().startswith("schema_version: 1\n")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (SCHEMA_VERSION + 1, r"has schema version \d; this cosim \(.*\) reads up to \d: read it with cosim 99\.1, or a newer one"),
        (0, "damaged"),
    ],
)
def test_tables_of_another_version(finished, version, message):
    path = finished / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": version, "cosim_version": "99.1"}))
    with pytest.raises(RunError, match=message):
        cosim.Run.open(finished)
    with pytest.raises(RunError, match=message):
        resume(finished, rounds=3)


@pytest.mark.parametrize("version", ["2", "0", "", "new"])
def test_a_checkpoint_of_another_version(finished, version):
    path = finished / "checkpoint" / "state.safetensors"
    with safe_open(path, framework="numpy") as file:
        about, arrays = file.metadata(), {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
    save_file(arrays, path, metadata={**about, "version": version})
    with pytest.raises(RunError, match=rf'has checkpoint version "{version}": this cosim reads up to 1; go on with the version'):
        resume(finished, rounds=3)


def test_a_run_of_another_cosim_that_does_not_fit(finished):
    """A scenario gets new fields with new versions, so its digest differs: the message names the version that goes on with it."""
    path = finished / "manifest.json"
    path.write_text(path.read_text().replace(f'"cosim_version": "{cosim.__version__}"', '"cosim_version": "0.0.1"'))
    scenario = finished / "scenario.yaml"
    scenario.write_text(scenario.read_text().replace("width_m: 1000.0", "width_m: 999.0"))
    with pytest.raises(RunError, match=r"belongs to another scenario .*; cosim 0\.0\.1 wrote it, and this is .*: use that version"):
        resume(finished, rounds=3)
