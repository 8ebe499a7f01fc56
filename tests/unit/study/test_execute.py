"""Studies: what is simulated, kept, redone and refused. Processes are real, scenarios tiny."""

import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

import cosim
from cosim.errors import CosimError, CosimWarning, RunError
from cosim.study import execute, layout
from cosim.study import plan as plans
from cosim.trace import writer

TWO_BY_TWO = "{scenario: tiny.yaml, seeds: [1, 2], grid: {allocator.kind: [kkt, equal_bandwidth]}}"


@pytest.fixture
def here(monkeypatch):
    """Runs in this process, one after the other: for tests of what is run, not of how."""

    def locally(tasks, _workers):
        for task in tasks:
            yield execute.simulate(task)

    monkeypatch.setattr(execute, "_locally", locally)


def tables(directory):
    """Bytes of all table files by path below the directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("part-*.parquet"))}


def fingerprints(study):
    return {(row.variant, row.seed): study.run(row.variant, row.seed).manifest["fingerprint"] for row in study.runs.itertuples()}


def test_tables_do_not_depend_on_the_number_of_workers(write, tmp_path):
    plan = plans.load(write(TWO_BY_TWO))
    ended = []
    one, failed = execute.run_study(plan, tmp_path / "one", workers=1, progress=lambda *step: ended.append(step))
    two, _ = execute.run_study(plan, tmp_path / "two", workers=2)
    assert not failed
    assert [(done, runs) for done, runs, _ in ended] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
    assert len(tables(tmp_path / "one")) == 8
    assert one.rounds.equals(two.rounds)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [".lock", "study.yaml", "variant=equal_bandwidth", "variant=kkt"]


def test_a_run_of_a_study_is_the_run_of_its_scenario(here, write, tmp_path):
    study, _ = execute.run_study(plans.load(write(TWO_BY_TWO)), tmp_path / "out")
    alone = cosim.run(cosim.Scenario.load(tmp_path / "tiny.yaml", {"seed": 2, "allocator.kind": "equal_bandwidth"}))
    assert study.run("equal_bandwidth", 2).manifest["fingerprint"] == alone.manifest["fingerprint"]
    shutil.rmtree(alone.directory)


def test_variants_of_a_seed_see_the_same_world(here, write, tmp_path):
    study, _ = execute.run_study(plans.load(write(TWO_BY_TWO)), tmp_path / "out")
    world = ["x_m", "y_m", "pathloss_db", "shadowing_db", "straggler_factor"]
    first = study.devices[study.devices["round"] == 0].set_index(["variant", "seed", "device"])[world]
    assert first.loc["kkt"].equals(first.loc["equal_bandwidth"])
    assert not np.allclose(first.loc[("kkt", 1), "x_m"], first.loc[("kkt", 2), "x_m"])


def test_a_second_call_keeps_what_is_finished_and_adds_what_is_new(here, write, tmp_path):
    execute.run_study(plans.load(write(TWO_BY_TWO)), tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("part-*.parquet")}
    larger = "{scenario: tiny.yaml, seeds: [1, 2, 3], grid: {allocator.kind: [kkt, equal_bandwidth, personalization_only]}}"
    ended = []
    study, _ = execute.run_study(plans.load(write(larger)), tmp_path / "out", progress=lambda *step: ended.append(step))
    assert len(ended) == 5
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert study.runs["finished"].all()
    assert (study.variants, study.seeds) == (("kkt", "equal_bandwidth", "personalization_only"), (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{scenario: tiny.yaml, seeds: [1], grid: {allocator.kind: [kkt, equal_bandwidth]}}", "seed 2"),
        ("{scenario: tiny.yaml, seeds: [1, 2], grid: {allocator.kind: [kkt]}}", "equal_bandwidth"),
        (
            "{scenario: tiny.yaml, seeds: [1, 2], overrides: {rounds: 3}, grid: {allocator.kind: [kkt, equal_bandwidth]}}",
            "the base scenario",
        ),
    ],
)
def test_another_study_is_refused(here, write, tmp_path, text, what):
    execute.run_study(plans.load(write(TWO_BY_TWO)), tmp_path / "out")
    with pytest.raises(CosimError, match=f"holds another study: {what} differs from this one's"):
        execute.run_study(plans.load(write(text)), tmp_path / "out")


def test_a_directory_with_other_things_is_refused(write, tmp_path):
    plan = plans.load(write(TWO_BY_TWO))
    with pytest.raises(CosimError, match="is not empty and holds no study"):
        execute.run_study(plan, tmp_path.parent)
    with pytest.raises(CosimError, match="is a file"):
        execute.run_study(plan, tmp_path / "tiny.yaml")
    with layout.claimed(tmp_path / "busy"), pytest.raises(CosimError, match="another cosim study is at work there"):
        execute.run_study(plan, tmp_path / "busy")


def test_a_failed_run_is_told_and_tried_again(here, write, tmp_path, monkeypatch):
    plan = plans.load(write(TWO_BY_TWO))
    real = execute.run

    def broken(scenario, out, **options):
        if scenario.seed == 2 and scenario.resolved()["allocator"]["kind"] == "kkt":
            raise ZeroDivisionError("by design")
        return real(scenario, out, **options)

    monkeypatch.setattr(execute, "run", broken)
    study, failed = execute.run_study(plan, tmp_path / "out")
    assert [(ended.variant, ended.seed, ended.error) for ended in failed] == [("kkt", 2, "ZeroDivisionError: by design")]
    assert study.runs["finished"].tolist() == [True, False, True, True]
    assert set(zip(study.rounds["variant"], study.rounds["seed"], strict=True)) == {
        ("kkt", 1),
        ("equal_bandwidth", 1),
        ("equal_bandwidth", 2),
    }
    assert [path.name[:18] for path in (tmp_path / "out/unfinished").iterdir()] == ["variant=kkt-seed=2"]
    monkeypatch.setattr(execute, "run", real)
    study, failed = execute.run_study(plan, tmp_path / "out")
    assert not failed
    assert study.runs["finished"].all()
    assert not (tmp_path / "out/unfinished").exists()


def test_an_orphan_of_an_earlier_call_stops_and_leaves_nothing(write, tmp_path, monkeypatch):
    plan, out = plans.load(write(TWO_BY_TWO)), tmp_path / "out"
    out.mkdir()
    task = execute.Task(str(out), "kkt", 1, plan.scenario("kkt", 1).resolved(), 100.0)
    real = execute.run

    def swept_meanwhile(scenario, out, *, workers, progress, round_limit_s):
        def step(*state):
            layout.sweep(tmp_path / "out")
            progress(*state)

        return real(scenario, out, workers=workers, progress=step, round_limit_s=round_limit_s)

    monkeypatch.setattr(execute, "run", swept_meanwhile)
    assert "another call has taken the study over" in execute.simulate(task).error
    assert not layout.run_directory(out, "kkt", 1).exists()


def test_warnings_of_runs_are_passed_on_once_a_run(here, write, tmp_path, monkeypatch):
    import warnings

    real = execute.run

    def warns(scenario, **options):
        for _ in range(2):
            warnings.warn(f"careful with seed {scenario.seed}", CosimWarning, stacklevel=1)
        return real(scenario, **options)

    monkeypatch.setattr(execute, "run", warns)
    with pytest.warns(CosimWarning, match="careful with seed") as caught:
        execute.run_study(plans.load(write("{scenario: tiny.yaml, seeds: [1, 2]}")), tmp_path / "out")
    assert [str(warning.message) for warning in caught] == ["careful with seed 1", "careful with seed 2"]


def test_runs_of_another_version_are_told(here, write, tmp_path, monkeypatch):
    plan = plans.load(write("{scenario: tiny.yaml, seeds: [1]}"))
    execute.run_study(plan, tmp_path / "out")
    monkeypatch.setattr(cosim, "__version__", "99")
    with pytest.warns(CosimWarning, match=r"holds runs of cosim 0\..*; this is 99"):
        execute.run_study(plan, tmp_path / "out")


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_study_goes_on(here, write, tmp_path, kill):
    """Killed as soon as the first run is finished, others being under way; the second call gives what an undisturbed one gives."""
    path = write("{scenario: tiny.yaml, seeds: [1, 2, 3], overrides: {rounds: 8}, grid: {allocator.kind: [kkt, equal_bandwidth]}}")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cosim", "study", str(path), "--out", str(out), "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("variant=*/seed=*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(kill)
    assert process.wait() == (-signal.SIGKILL if kill == signal.SIGKILL else 143)
    process.stderr.close()
    done = {place: place.stat().st_ino for place in out.glob("variant=*/seed=*")}
    assert len(done) < 6
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {place: place.stat().st_ino for place in done} == done
    plan = plans.load(path)
    assert cosim.Study.open(out).runs["finished"].all()
    for variant in plan.variants:
        for seed in plan.seeds:
            cosim.Study.open(out).run(variant, seed).verify(plan.scenario(variant, seed).audit())
    undisturbed, _ = execute.run_study(plan, tmp_path / "undisturbed")
    assert fingerprints(cosim.Study.open(out)) == fingerprints(undisturbed)


def test_a_run_that_was_cut_short_goes_on(here, write, tmp_path, monkeypatch):
    """Killed after six of eight rounds: the second call simulates the other two, and the files are those of an undisturbed study."""
    path = write("{scenario: tiny.yaml, seeds: [1], overrides: {rounds: 8}}")
    undisturbed, _ = execute.run_study(plans.load(path), tmp_path / "undisturbed")
    real = execute.run

    def killed(scenario, out, *, workers, progress, round_limit_s):
        def step(done, *state):
            if done == 6:
                raise KeyboardInterrupt

        return real(scenario, out, workers=workers, progress=step, round_limit_s=round_limit_s)

    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)  # a checkpoint after every round
    monkeypatch.setattr(execute, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        execute.run_study(plans.load(path), tmp_path / "out")
    rounds = []

    def gone_on(draft, *, workers, progress, round_limit_s):
        return real_resume(draft, workers=workers, progress=lambda done, *state: rounds.append(done) or progress(done, *state))

    real_resume = execute.resume
    monkeypatch.setattr(execute, "run", None)
    monkeypatch.setattr(execute, "resume", gone_on)
    study, failed = execute.run_study(plans.load(path), tmp_path / "out")
    assert not failed
    assert rounds in ([7, 8], [6, 7, 8])
    assert tables(tmp_path / "out") == tables(tmp_path / "undisturbed")
    assert fingerprints(study) == fingerprints(undisturbed)
    assert sorted(place.name for place in (tmp_path / "out").iterdir()) == [".lock", "study.yaml", "variant=base"]


def test_a_draft_that_is_damaged_is_begun_anew(here, write, tmp_path, monkeypatch):
    plan = plans.load(write("{scenario: tiny.yaml, seeds: [1]}"))
    real = execute.run

    def killed(scenario, out, **options):
        real(scenario, out=out, **options)
        (out / "manifest.json").write_text((out / "manifest.json").read_text().replace("finished", "running"))
        (out / "scenario.yaml").write_text("rounds: -1")
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        execute.run_study(plan, tmp_path / "out")
    monkeypatch.setattr(execute, "run", real)
    study, failed = execute.run_study(plan, tmp_path / "out")
    assert not failed
    study.run("base", 1).verify(plan.scenario("base", 1).audit())


def test_ray_is_asked_for_by_name(write, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "find_spec", lambda _: None)
    with pytest.raises(CosimError, match=r"backend ray needs the package ray: pip install 'cosim\[ray\]'"):
        execute.run_study(plans.load(write(TWO_BY_TWO)), tmp_path / "out", backend="ray")
    assert not (tmp_path / "out").exists()


@pytest.mark.full
@pytest.mark.skipif(find_spec("ray") is None, reason="extra ray is not installed")
@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_same_tables(write, tmp_path):
    """On a real local cluster of two nodes."""
    from ray.cluster_utils import Cluster

    plan = plans.load(write(TWO_BY_TWO))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        import ray

        ray.init(address=cluster.address)
        assert len(ray.nodes()) == 2
        _, failed = execute.run_study(plan, tmp_path / "ray", backend="ray")
        ray.shutdown()
    finally:
        cluster.shutdown()
    assert not failed
    execute.run_study(plan, tmp_path / "local", workers=2)
    assert tables(tmp_path / "ray") == tables(tmp_path / "local")


def test_frames_and_data_set(here, write, tmp_path):
    study, _ = execute.run_study(plans.load(write(TWO_BY_TWO)), tmp_path / "out")
    assert study.rounds.columns[:3].tolist() == ["variant", "seed", "round"]
    assert (len(study.rounds), len(study.devices), len(study.radio), len(study.events)) == (8, 24, 0, 0)
    assert study.rounds["variant"].cat.categories.tolist() == ["kkt", "equal_bandwidth"]
    one = study.run("equal_bandwidth", 2).rounds
    chosen = study.rounds[(study.rounds["variant"] == "equal_bandwidth") & (study.rounds["seed"] == 2)]
    pd.testing.assert_frame_equal(chosen.drop(columns=["variant", "seed"]).reset_index(drop=True), one)
    from pyarrow import dataset as ds

    table = study.dataset("devices").to_table(columns=["seed", "device"], filter=ds.field("seed") == 1)
    assert (table.num_rows, set(table["seed"].to_pylist())) == (12, {1})
    assert repr(study) == f"Study('{tmp_path / 'out'}', 2 variants x 2 seeds, 4 runs finished)"
    assert study.dataset("rounds").schema.field("latency_s").metadata[b"unit"] == b"s"


def test_what_is_no_study_is_said_to_be_none(tmp_path):
    with pytest.raises(RunError, match=r"is not a study's directory: it has no study\.yaml"):
        cosim.Study.open(tmp_path)
    (tmp_path / "study.yaml").write_text("seeds: [1]")
    with pytest.raises(RunError, match="is damaged: it lacks"):
        cosim.Study.open(tmp_path)
    (tmp_path / "study.yaml").write_text("seeds: [1")
    with pytest.raises(RunError, match="is damaged"):
        cosim.Study.open(tmp_path)
