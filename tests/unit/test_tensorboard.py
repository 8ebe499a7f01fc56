"""TensorBoard's events, read back by its own reader."""

from importlib.util import find_spec

import numpy as np
import pytest

import cosim
from cosim import tensorboard
from cosim.errors import CosimError, RunError
from cosim.trace.manifest import write_manifest
from cosim.trace.run import Run

SCENARIO = {"seed": 2, "rounds": 4, "devices": {"count": 3}, "learning": {"kind": "none"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return cosim.run(cosim.Scenario.model_validate(SCENARIO), out=tmp_path_factory.mktemp("board") / "run")


def scalars(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.wall_time, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)], events.Tags()[
        "tensors"
    ]


def test_without_the_package_it_is_asked_for_by_name(run, monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    with pytest.raises(CosimError, match=r"pip install 'cosim\[tensorboard\]'"):
        tensorboard.write_tensorboard(run)


needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="extra tensorboard is not installed")


@needs_tensorboard
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_events_are_the_table(run, tmp_path):
    folder = tensorboard.write_tensorboard(run, tmp_path / "events")
    found, tags = scalars(folder, "rounds/latency_s")
    rounds = run.rounds
    assert [step for step, _, _ in found] == rounds["round"].tolist()
    np.testing.assert_allclose([time_s for _, time_s, _ in found], rounds["t_end_s"])
    np.testing.assert_allclose([value for _, _, value in found], rounds["latency_s"], rtol=1e-6)
    assert "rounds/devices_arrived" in tags
    assert "rounds/accuracy_mean" not in tags  # nothing was learned
    with pytest.raises(RunError, match="is not empty"):
        tensorboard.write_tensorboard(run, tmp_path / "events")


@needs_tensorboard
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_run_that_goes_on_is_followed(run, tmp_path, monkeypatch):
    """The run 'goes on' at the first look, with two of its rounds, and is finished at the second."""
    short = cosim.run(cosim.Scenario.model_validate({**SCENARIO, "rounds": 2}), out=tmp_path / "run")
    write_manifest(short.directory, status="running", seed=2, scenario_digest="", wall_times_s={})
    looks = []

    def wait(seconds):
        looks.append(seconds)
        monkeypatch.setattr(tensorboard.Run, "open", lambda _: run)

    monkeypatch.setattr(tensorboard.time, "sleep", wait)
    folder = tensorboard.write_tensorboard(Run.open(short.directory), tmp_path / "events", follow=True)
    assert len(looks) == 1
    assert [step for step, _, _ in scalars(folder, "rounds/latency_s")[0]] == [0, 1, 2, 3]
