"""The command line: verbs, exit codes, and what goes to stdout and to stderr. The simulation is a stand-in."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cosim
from cosim import build
from cosim.cli import app
from cosim.errors import AllocationError, RunError, ScenarioError, SimulationError
from cosim.scenario import Scenario

SMALL = Path(__file__).parents[2] / "scenarios" / "small_5dev.yaml"


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text("{seed: 4, rounds: 2, devices: {count: 3}, learning: {kind: none}}")
    return path


@pytest.fixture
def fails(monkeypatch):
    """Makes the simulation end in a given way."""

    def fails(error, *, after_writing=False):
        def run(scenario, out, **_):
            if after_writing:
                (out / "manifest.json").touch()
            raise error

        monkeypatch.setattr(build, "run", run)

    return fails


def test_a_run_says_where_its_results_are(call, small, tmp_path):
    result = call("run", small, "--out", "a")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("run directory: a\n")
    assert re.search(r"^rounds +2$", result.stdout, re.MULTILINE)
    assert "none: no learning" in result.stdout
    assert "round 2/2" in result.stderr
    assert "cosim report a" in result.stderr
    assert cosim.Run.open(tmp_path / "a").manifest["status"] == "finished"


def test_quiet_leaves_stderr_empty(call, small):
    result = call("run", small, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("run directory: runs/small-4\n")


def test_options_override_the_scenario(call, small):
    result = call("run", small, "--seed", 9, "--rounds", 1, "--set", "devices.count=2", "--quiet")
    assert result.exit_code == 0
    run = cosim.Run.open("runs/small-9")
    assert (run.manifest["seed"], len(run.rounds), run.devices["device"].nunique()) == (9, 1, 2)


def test_a_taken_default_directory_gets_a_number(call, small):
    Path("runs/small-4").mkdir(parents=True)
    Path("runs/small-4-2").touch()
    assert call("run", small, "--quiet").stdout.startswith("run directory: runs/small-4-3\n")


def test_an_empty_directory_is_welcome(call, small):
    Path("a").mkdir()
    assert call("run", small, "--out", "a", "--quiet").exit_code == 0


def test_a_run_can_be_repeated_from_its_directory(call, small):
    call("run", small, "--out", "a", "--quiet")
    assert call("run", "a/scenario.yaml", "--out", "b", "--quiet").exit_code == 0
    assert cosim.Run.open("a").manifest["fingerprint"] == cosim.Run.open("b").manifest["fingerprint"]


def test_a_report(call, small):
    call("run", small, "--out", "a", "--quiet")
    result = call("report", "a")
    assert (result.exit_code, result.stdout) == (0, "page: a/report.html\n")
    assert call("report", "a", "--out", "b.html").stdout == "page: b.html\n"
    assert Path("b.html").read_text().startswith("<!doctype html>")


def test_checks(call, small):
    assert call("check", small).stdout == f"{small}: good\n"
    call("run", small, "--out", "a", "--quiet")
    assert call("check", "--run", "a").stdout == "a: good\n"


def test_a_check_downloads_nothing(call, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("cosim.learn.data.SYSTEM_FOLDER", tmp_path)
    Path("full.yaml").write_text("learning: {kind: federated, dataset: {kind: fashion_mnist, url: 'http://127.0.0.1:9/'}}")
    assert call("check", "full.yaml").stdout == "full.yaml: good\n"
    assert not (tmp_path / "cache").exists()


def test_a_damaged_run_directory_is_4(call, small):
    call("run", small, "--out", "a", "--quiet")
    Path("a/scenario.yaml").write_text("seed: -1")
    result = call("check", "--run", "a")
    assert result.exit_code == 4
    assert "a/scenario.yaml:1:7: seed = -1" in result.stderr


@pytest.mark.parametrize("arguments", [("check", "--run", "none"), ("report", "none"), ("report", "."), ("check", "--run", ".")])
def test_no_run_directory_is_4(call, arguments):
    result = call(*arguments)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "is not a run directory" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check",), "name either a scenario or --run DIR"),
        (("check", "a", "--run", "b"), "name either a scenario or --run DIR"),
        (("run",), "Missing argument"),
        (("run", "a", "--seed", "x"), "Invalid value for '--seed'"),
        (("run", "a", "--workers", "0"), "--workers"),
        (("run", "a", "--nonsense"), "No such option"),
        (("simulate", "a"), "No such command"),
        (("list", "pathlos"), "no role or section is called 'pathlos'"),
        (("list", "pathlos"), "did you mean 'pathloss'?"),
    ],
)
def test_bad_usage_is_2(call, arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ScenarioError("no data"), 2),
        (SimulationError("it broke"), 3),
        (AllocationError("negative bandwidth"), 3),
        (RunError("disk full"), 3),
        (ZeroDivisionError("a bug"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_failed_simulation_tells_one_line(call, small, fails, error, code):
    fails(error)
    result = call("run", small, "--quiet")
    assert result.exit_code == code
    assert len(result.stderr.splitlines()) == 1
    assert str(error) in result.stderr
    assert not Path("runs").exists(), "nothing was recorded, so nothing is left"


def test_what_was_recorded_before_a_failure_stays(call, small, fails):
    fails(SimulationError("it broke"), after_writing=True)
    assert call("run", small, "--out", "a/b").exit_code == 3
    assert Path("a/b/manifest.json").exists()


def test_debug_shows_where(call, small, fails):
    fails(ZeroDivisionError("a bug"))
    result = call("run", small, "--debug")
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: a bug" in result.stderr


def test_warnings_are_lines_and_quiet_hides_them(call, small, monkeypatch):
    import warnings

    from cosim.errors import CosimWarning

    def run(scenario, out, **_):
        warnings.warn("distances are clamped", CosimWarning, stacklevel=1)
        warnings.warn("a library talks", UserWarning, stacklevel=1)
        raise SimulationError("enough")

    monkeypatch.setattr(build, "run", run)
    assert "cosim: warning: distances are clamped\n" in call("run", small).stderr
    assert "a library talks" not in call("run", small).stderr
    assert call("run", small, "--quiet").stderr == "cosim: error: enough\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(call, small, monkeypatch, number, code):
    def run(scenario, out, **_):
        (out / "manifest.json").touch()
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    monkeypatch.setattr(build, "run", run)
    result = call("run", small, "--out", "a")
    assert result.exit_code == code
    assert f"interrupted by {signal.Signals(number).name}" in result.stderr
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("out", ["/proc/cosim-test", "/dev/null/x", "small.yaml", "small.yaml/x", "."])
def test_a_directory_that_cannot_be_used_is_2(call, small, out):
    result = call("run", small, "--out", out)
    assert result.exit_code == 2
    assert f"--out {out}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_directory_without_permission_is_2(call, small, monkeypatch):
    Path("a").mkdir()
    monkeypatch.setattr("cosim.cli.os.access", lambda path, mode: False)  # a superuser may write everywhere
    result = call("run", small, "--out", "a")
    assert (result.exit_code, result.stderr) == (2, "cosim: error: --out a: cannot be written: no permission\n")


def test_the_list_names_every_section_and_kind(call):
    text = call("list").stdout
    for name in [*Scenario.model_fields, "kind: umi", "kind: kkt", "carrier_hz", "Hz", "carrier frequency", "role fading"]:
        assert name in text


def test_the_list_of_one_role(call):
    text = call("list", "fading").stdout
    assert text.startswith("fading  kind: none: ")
    assert re.search(r"^sinusoids +16 +>= 8 and <= 1024 +sinusoids per link", text, re.MULTILINE)
    assert "pathloss" not in text


def test_a_plugin_that_cannot_be_imported_does_not_hide_the_others(call, monkeypatch):
    from importlib.metadata import EntryPoint

    from cosim import catalog

    points = [EntryPoint("broken", "no_such_module:X", "cosim.fading")]
    monkeypatch.setattr(catalog, "entry_points", lambda group: points if group == "cosim.fading" else [])
    catalog._plugins.cache_clear()
    try:
        text = call("list", "fading").stdout
    finally:
        catalog._plugins.cache_clear()
    assert "kind: broken: not usable: fading kind 'no_such_module:X' cannot be imported" in text
    assert "kind: jakes" in text


def test_the_schema_is_json(call):
    schema = json.loads(call("schema").stdout)
    assert set(schema["properties"]) == {"schema_version", *Scenario.model_fields}
    assert schema["properties"]["seed"]["minimum"] == 0


def test_version(call):
    assert call("--version").stdout == f"cosim {cosim.__version__}\n"


@pytest.mark.parametrize("arguments", [["check", str(SMALL)], ["list"], ["schema"], ["--help"]])
def test_light_verbs_load_nothing_heavy(arguments):
    program = (
        "import sys; from typer.testing import CliRunner; from cosim.cli import app; "
        f"code = CliRunner().invoke(app, {arguments!r}).exit_code; "
        "print(code, [name for name in ('torch', 'pandas', 'pyarrow', 'matplotlib', 'plotly', 'simpy', 'sklearn') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0 []"


def test_a_run_without_learning_loads_no_torch(small, tmp_path):
    program = (
        "import sys; from typer.testing import CliRunner; from cosim.cli import app; "
        f"code = CliRunner().invoke(app, ['run', {str(small)!r}, '--out', {str(tmp_path / 'a')!r}]).exit_code; "
        "print(code, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0 False"


def test_a_reader_that_leaves_early_is_no_error():
    pipe = f"{sys.executable} -m cosim list | head -n 1"
    found = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("scenario: ")
    assert found.stderr == ""


STUDY = "{scenario: small.yaml, seeds: [1, 2], grid: {allocator.kind: [kkt, equal_bandwidth]}}"


def test_a_study(call, small, tmp_path):
    (tmp_path / "two.yaml").write_text(STUDY)
    result = call("study", "two.yaml", "--workers", 1)
    assert result.exit_code == 0, result.stderr
    assert (
        result.stdout
        == "study directory: runs/two\nvariant          finished  of\nkkt              2         2\nequal_bandwidth  2         2\n"
    )
    assert "2 variants x 2 seeds into runs/two" in result.stderr
    assert re.search(r"^run 4/4  equal_bandwidth seed 2  finished  wall ", result.stderr, re.MULTILINE)
    assert cosim.Study.open("runs/two").runs["finished"].all()
    again = call("study", "two.yaml", "--quiet")
    assert (again.exit_code, again.stdout, again.stderr) == (0, result.stdout, "")
    call("study", "two.yaml", "--quiet", "--set", "rounds=1", "--set", "devices.count=2", "--out", "runs/short")
    assert (len(cosim.Study.open("runs/short").rounds), len(cosim.Study.open("runs/short").devices)) == (4, 8)


def test_a_study_with_failed_runs_is_3(call, small, tmp_path, monkeypatch):
    from cosim.study import execute

    outcomes = [execute.Outcome("kkt", seed, 0.1, "too little band") for seed in range(7)]
    monkeypatch.setattr(execute, "_outcomes", lambda *_: (outcome for outcome in outcomes))
    (tmp_path / "two.yaml").write_text(STUDY)
    result = call("study", "two.yaml")
    assert result.exit_code == 3
    assert "7 runs failed; the same command tries them again\nkkt seed 0: too little band\n" in result.stderr
    assert "... and 2 more" in result.stderr


def test_bad_studies_are_2_and_leave_nothing(call, small, tmp_path):
    (tmp_path / "two.yaml").write_text(STUDY.replace("kkt", "kktt"))
    result = call("study", "two.yaml")
    assert result.exit_code == 2
    assert "two.yaml:1:63: override: allocator.kind" in result.stderr
    assert "did you mean 'kkt'?" in result.stderr
    (tmp_path / "two.yaml").write_text(STUDY)
    assert "rouns" in call("study", "two.yaml", "--set", "rouns=1").stderr
    assert "--backend cloud: must be local or ray" in call("study", "two.yaml", "--backend", "cloud").stderr
    assert not Path("runs").exists()


def test_compare(call, small, tmp_path):
    (tmp_path / "two.yaml").write_text(STUDY)
    call("study", "two.yaml", "--quiet")
    result = call("compare", "runs/two")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.match(r"metric +kkt +equal_bandwidth\n", result.stdout)
    assert "Student-t intervals; 2 runs each" in result.stdout
    assert re.match(r"metric +equal_bandwidth +kkt\n", call("compare", "runs/two", "--baseline", "equal_bandwidth").stdout)
    assert call("compare", "runs/two", "--format", "csv").stdout.startswith("metric,unit,variant,runs,mean,low,high,pairs,")
    assert call("compare", "runs/two", "--format", "latex").stdout.startswith("\\begin{tabular}")
    apart = call("compare", *sorted(tmp_path.glob("runs/two/variant=*/seed=*")), "--baseline", "kkt", "--format", "csv")
    assert apart.stdout == call("compare", "runs/two", "--format", "csv").stdout


def test_what_cannot_be_compared(call, small, tmp_path):
    (tmp_path / "two.yaml").write_text(STUDY)
    call("study", "two.yaml", "--quiet")
    wrong = call("compare", "runs/two", "--format", "pdf")
    assert (wrong.exit_code, "--format pdf: must be text, markdown, latex, csv" in wrong.stderr) == (2, True)
    assert call("compare", "runs/two", "runs/two/variant=kkt/seed=1").exit_code == 2
    assert call("compare", ".").exit_code == 4


def test_export(call, small):
    call("run", small, "--out", "a", "--quiet")
    assert call("export", "a", "--format", "perfetto").stdout == "timeline: a/timeline.json\n"
    assert json.loads(Path("a/timeline.json").read_text())["traceEvents"]
    assert call("export", "a", "--format", "csv", "--out", "tables").stdout == "table: tables/rounds.csv\ntable: tables/devices.csv\n"
    wrong = call("export", "a", "--format", "vcd")
    assert (wrong.exit_code, "--format vcd: must be perfetto, csv or tensorboard" in wrong.stderr) == (2, True)
    assert call("export", "none", "--format", "csv").exit_code == 4
    assert call("export", "a", "--format", "perfetto", "--out", "new/t.json").exit_code == 0
    assert call("export", "a", "--format", "perfetto", "--out", "new").exit_code == 4
    assert call("check", "--run", "a").exit_code == 0


def test_a_page_about_a_study_and_about_its_runs(call, small, tmp_path):
    (tmp_path / "two.yaml").write_text(
        "{scenario: small.yaml, seeds: [1], overrides: {rounds: 1}, grid: {allocator.kind: [kkt, equal_bandwidth]}}"
    )
    wrong = call("study", "two.yaml", "--until-precision", 2)
    assert (wrong.exit_code, "--until-precision: precision = 2.0: must be > 0 and < 1" in wrong.stderr) == (2, True)
    call("study", "two.yaml", "--quiet")
    assert call("report", "runs/two").stdout == "page: runs/two/report.html\n"
    assert call("report", *sorted(tmp_path.glob("runs/two/variant=*/seed=*"))).stdout == "page: report.html\n"
    assert "What sets the variants apart" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert call("report", "runs/two", "runs/two/variant=kkt/seed=1").exit_code == 2
