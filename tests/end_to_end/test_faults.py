"""What happens to machines and plugins: one message, the right exit code, and a run directory that can be read and gone on with."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cosim
from cosim.build import resume
from cosim.cli import app
from cosim.errors import SimulationError
from cosim.trace import writer
from cosim.watchdog import Watchdog

PLUGINS = Path(__file__).parent
TINY = "{rounds: 4, devices: {count: 3}, learning: {kind: none}}"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(PLUGINS), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cosim_command(*arguments, **options):
    command = [sys.executable, "-m", "cosim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=120, **options)


def cosim_here(*arguments):
    """The command in this process, which is quicker."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def plugins(folder, monkeypatch):
    monkeypatch.syspath_prepend(PLUGINS)
    yield
    sys.modules.pop("faulty_plugins", None)


def failed(done, code, *words):
    """One message with these words, and no traceback."""
    assert done.returncode == code, done.stderr
    complaints = [line for line in done.stderr.splitlines() if line.startswith("cosim: error: ")]
    assert len(complaints) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in complaints[0]


def check_readable(directory, rounds, status="failed"):
    run = cosim.Run.open(directory)
    assert run.manifest["status"] == status
    assert len(run.rounds) >= rounds
    run.verify(cosim.Scenario.load(Path(directory) / "scenario.yaml").audit())
    assert not list(Path(directory).rglob(".*.tmp"))
    return run


# --- disks ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(place, *options):
    """A file system of its own at ``place``; where this process may not mount one, the test is skipped."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount")
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


LONG = ("--set", "trace.radio_interval_s=0.002", "--rounds", "12")


def test_a_full_disk_and_room_again(folder):
    """A small disk fills up; with more room, the run goes on to what it would have been."""
    disk = folder / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=200k", "none"):
        done = cosim_here("run", "tiny.yaml", "--out", disk / "run", "--quiet", *LONG)
        failed(done, 3, "cannot write", "No space left on device", "make room, then cosim resume")
        assert cosim.Run.open(disk / "run").manifest["status"] in ("running", "failed")  # there may be no room for the news
        assert len(cosim.Run.open(disk / "run").rounds) >= 0
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        again = cosim_here("resume", disk / "run", "--quiet")
        assert again.returncode == 0, again.stderr
        whole = cosim_here("run", "tiny.yaml", "--out", "whole", "--quiet", *LONG)
        assert whole.returncode == 0, whole.stderr
        assert cosim.Run.open(disk / "run").manifest["fingerprint"] == cosim.Run.open("whole").manifest["fingerprint"]


def test_a_quota(folder):
    """No file may grow beyond a limit, as on a full disk; needs no mount."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))

    done = cosim_command("run", "tiny.yaml", "--out", "run", "--quiet", *LONG, preexec_fn=limit)
    failed(done, 3, "cannot write run/radio.parquet/part-00000.parquet", "make room, then cosim resume")
    check_readable("run", 0)
    again = cosim_here("resume", "run", "--quiet")
    assert again.returncode == 0, again.stderr
    check_readable("run", 12, "finished")


def test_a_folder_that_cannot_be_written(folder):
    (folder / "closed").mkdir()
    with mounted(folder / "closed", "-t", "tmpfs", "-o", "ro", "none"):
        for verb, file in (("run", "tiny.yaml"), ("study", "study.yaml")):
            (folder / "study.yaml").write_text("{scenario: tiny.yaml, seeds: [1], grid: {allocator.kind: [kkt]}}")
            failed(cosim_here(verb, file, "--out", "closed/run", "--quiet"), 2, "closed/run", "Read-only file system")


def test_a_folder_that_becomes_read_only(folder):
    disk = folder / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "none"):
        cosim.run(cosim.Scenario.load("tiny.yaml"), out=disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        failed(cosim_here("resume", disk / "run", "--rounds", "6", "--quiet"), 4, "cannot write", "Read-only file system")
        failed(cosim_here("report", disk / "run"), 4, "Read-only file system")
        check_readable(disk / "run", 4, "finished")


def test_a_file_in_place_of_a_folder(folder):
    (folder / "taken").touch()
    failed(cosim_here("run", "tiny.yaml", "--out", "taken/run"), 2, "taken/run", "Not a directory")
    failed(cosim_here("run", "tiny.yaml", "--out", "taken"), 2, "taken")


@pytest.mark.parametrize("what", [".", "rounds.parquet", "checkpoint"])
def test_a_folder_deleted_during_the_run(folder, monkeypatch, what):
    """A whole run directory that was deleted is told, and not made again; a part of it that is missing is written again or told."""
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)

    def delete(done, *_):
        if done == 2:
            shutil.rmtree(folder / "run" / what)

    with contextlib.suppress(cosim.errors.CosimError):
        cosim.run(cosim.Scenario.load("tiny.yaml"), out=folder / "run", progress=delete)
        assert what != "."
    if what == ".":
        assert not (folder / "run").exists()
    elif what == "checkpoint":
        check_readable("run", 4, "finished")


def test_what_a_deleted_folder_is_told_like(folder, monkeypatch):
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)
    with pytest.raises(cosim.errors.RunError, match="is gone; it was taken away while it was in use"):
        cosim.run(
            cosim.Scenario.load("tiny.yaml"), out=folder / "run", progress=lambda *_: shutil.rmtree(folder / "run", ignore_errors=True)
        )


# --- plugins -------------------------------------------------------------------------------------------

PLUGIN_FAULTS = {
    "raise": (["allocator.kind=faulty_plugins:Faulty"], "the simulation failed in round 1, which began at", "KeyError: 'a mistake in a plugin'"),
    "nan": (["allocator.kind=faulty_plugins:Faulty", "allocator.how=nan"], "round 1, allocator Faulty: device 0: prune_ratio is below 0 (nan against 0"),
    "shape": (["allocator.kind=faulty_plugins:Faulty", "allocator.how=shape"], "bandwidth_hz has shape (2,), must be (3,)"),
    "none": (["allocator.kind=faulty_plugins:Faulty", "allocator.how=none"], "round 1", "'NoneType' object has no attribute"),
    "exit": (["allocator.kind=faulty_plugins:Faulty", "allocator.how=exit"], "round 1", "SystemExit: 7"),
    "sleep": (["allocator.kind=faulty_plugins:Faulty", "allocator.how=sleep"], "round 1 has not ended after 1 s of wall time, in faulty_plugins:_sleep, line "),
    "deaf": (["allocator.kind=faulty_plugins:Faulty", "allocator.how=deaf"], "round 1 has not ended after 1 s of wall time, in faulty_plugins:_deaf"),
    "no gain": (["round.csi.kind=faulty_plugins:Blind"], "round 1, round.csi Blind: gain of device 1 is nan; must be finite and >= 0"),
    "no mask": (["round.selection.kind=faulty_plugins:Numbers"], "round 1, round.selection Numbers: the answer has shape (3,) and type int64; must be a mask (3,) of type bool"),
    "no factor": (["compute.kind=faulty_plugins:Slow"], "round 1, compute Slow: straggler factor of device 2 is nan; must be finite and >= 0"),
    "no end": (["round.policy.kind=faulty_plugins:Waits"], "round 1, round.policy Waits: waits at ", "though nobody is outstanding; must aggregate, or give a wake_at_s"),
    "no moment": (["round.policy.kind=faulty_plugins:Waits", "round.policy.how=nan"], "round 1, round.policy Waits: wake_at_s is nan s at ", "must be later"),
    "the past": (["round.policy.kind=faulty_plugins:Waits", "round.policy.how='0'"], "round 1, round.policy Waits: wake_at_s is 0.0 s at ", "must be later"),
    "no merge": (["round.policy.kind=faulty_plugins:Waits", "round.policy.how=merge"], "round 1, round.policy Waits: merge has shape (3,) and type float64; must be a mask"),
    "no speed": (["mobility.kind=faulty_plugins:Lost"], "device 0: speed_m_s = nan must be known"),
}  # fmt: skip


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("fault", PLUGIN_FAULTS)
def test_a_plugin_that_goes_wrong(fault, folder):
    settings, *words = PLUGIN_FAULTS[fault]
    limit = ["--round-limit", "1"] if fault in ("sleep", "deaf") else []
    done = cosim_here("run", "tiny.yaml", "--out", "run", *limit, *(word for setting in settings for word in ("--set", setting)))
    failed(done, 3, *words)
    check_readable("run", 1)


def test_a_plugin_that_needs_too_much_memory(folder, monkeypatch):
    monkeypatch.syspath_prepend(PLUGINS)
    settings = ("--set", "allocator.kind=faulty_plugins:Faulty", "--set", "allocator.how=memory")
    failed(cosim_command("run", "tiny.yaml", "--out", "run", *settings), 3, "round 1", "Unable to allocate 2.00 GiB", "need less memory")
    check_readable("run", 1)


@pytest.mark.usefixtures("plugins")
def test_a_plugin_that_goes_wrong_before_the_first_round(folder):
    done = cosim_here("run", "tiny.yaml", "--out", "run", "--set", "mobility.kind=faulty_plugins:Lost", "--set", "mobility.how=shape")
    failed(done, 3)
    assert not (folder / "run").exists() or check_readable("run", 0)


LEARNING = "{rounds: 2, devices: {count: 2}, learning: {kind: federated, dataset: {kind: digits}, model: {kind: mlp}}}"


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ([], 3, "round 0, learning.aggregator Average: 1 of the new model's"),
        (["learning.aggregator.how=weights"], 2, "learning.aggregator Average: weight of device 0 is nan; must be finite and >= 0"),
    ],
)
def test_an_aggregator_that_goes_wrong(folder, settings, code, words):
    (folder / "learns.yaml").write_text(LEARNING)
    chosen = ["learning.aggregator.kind=faulty_plugins:Average", *settings]
    done = cosim_here("run", "learns.yaml", "--out", "run", *(word for setting in chosen for word in ("--set", setting)))
    failed(done, code, words)


@pytest.mark.full
def test_a_trainer_that_never_ends(folder, monkeypatch):
    """It hangs on a thread of its own, which must not keep the process alive."""
    (folder / "hangs.yaml").write_text(LEARNING)
    monkeypatch.syspath_prepend(PLUGINS)
    done = cosim_command("run", "hangs.yaml", "--out", "run", "--round-limit", "20", "--set", "learning.trainer.kind=faulty_plugins:Sleepy")
    failed(done, 3, "round 0 has not ended after 20 s of wall time, in cosim.learn.")
    check_readable("run", 0)


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "soon"])
def test_a_limit_that_is_none(folder, limit):
    done = cosim_here("run", "tiny.yaml", "--round-limit", limit)
    assert done.returncode == 2
    assert not (folder / "runs").exists()


def test_the_limit_is_for_each_round_and_then_gone():
    import signal

    before = signal.getsignal(signal.SIGALRM)
    dog = Watchdog(0.2)
    with dog.watching(lambda: "a round"):
        for _ in range(4):
            signal.sigtimedwait([], 0.1)
            dog.restart()
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with (
        pytest.raises(SimulationError, match=r"a round has not ended after 0\.2 s of wall time, in .*test_faults"),
        dog.watching(lambda: "a round"),
    ):
        signal.sigtimedwait([], 10)
    with Watchdog(float("inf")).watching(lambda: "a round"):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


# --- studies -------------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize(
    ("how", "word"), [("memory", "Unable to allocate"), ("sleep", "has not ended after 2 s of wall time"), ("die", "the worker died")]
)
def test_a_fault_in_a_worker_of_a_study(folder, how, word):
    """It ends its run alone; what is finished stays, and the next call does the rest."""
    text = "{{scenario: tiny.yaml, seeds: [1, 2], variants: {{good: {{}}, bad: {{allocator: {{kind: 'faulty_plugins:Faulty', how: {how}}}}}}}}}"
    (folder / "study.yaml").write_text(text.format(how=how))
    done = cosim_command("study", "study.yaml", "--out", "out", "--workers", "1", "--round-limit", "2")
    failed(done, 3, "runs failed; the same command tries them again")
    assert f"bad seed 1: {'the simulation failed in' if how == 'memory' else ''}" in done.stderr
    assert word in done.stderr
    for manifest in (folder / "out").glob("variant=good/seed=*/manifest.json"):
        check_readable(manifest.parent, 4, "finished")
    assert not list((folder / "out").glob("variant=bad/seed=*"))
    again = cosim_command("study", "study.yaml", "--out", "out", "--workers", "1", "--round-limit", "2")
    assert again.returncode == 3
    if how != "die":
        assert len(list((folder / "out").glob("variant=good/seed=*"))) == 2


@pytest.mark.full
@pytest.mark.skipif(find_spec("ray") is None, reason="extra ray is not installed")
def test_a_ray_worker_that_dies(folder):
    (folder / "study.yaml").write_text(
        "{scenario: tiny.yaml, seeds: [1], variants: {good: {}, bad: {allocator: {kind: 'faulty_plugins:Faulty', how: die}}}}"
    )
    done = cosim_command("study", "study.yaml", "--out", "out", "--workers", "1", "--backend", "ray")
    failed(done, 3, "1 run failed; the same command tries it again")
    assert "bad seed 1: the worker died: " in done.stderr
    check_readable(folder / "out/variant=good/seed=1", 4, "finished")


def test_resuming_what_failed(folder, monkeypatch):
    """A plugin was mended: the run goes on where it was."""
    monkeypatch.syspath_prepend(PLUGINS)
    failed(cosim_here("run", "tiny.yaml", "--out", "run", "--set", "allocator.kind=faulty_plugins:Faulty"), 3, "a mistake in a plugin")
    failed(cosim_here("resume", "run", "--quiet"), 3, "a mistake in a plugin")
    monkeypatch.setattr("faulty_plugins.Faulty._raise", lambda _, answer: answer)
    done = cosim_here("resume", "run", "--quiet")
    assert done.returncode == 0, done.stderr
    whole = cosim.run(cosim.Scenario.load("tiny.yaml"), out="whole")
    assert check_readable("run", 4, "finished").rounds.equals(whole.rounds)
    assert resume("run").manifest["status"] == "finished"
    sys.modules.pop("faulty_plugins")
