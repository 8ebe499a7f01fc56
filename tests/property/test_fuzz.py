"""Whatever is in the files and on the command line: an exit code, a message, and nothing left behind.

Every input goes through the real command line, in this process. A run may end well or be refused (codes 0, 2, 3, 4), but never by an
error that nobody foresaw ("--debug shows where"), within seconds, with little memory.
"""

import os
import resource
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import cosim
from cosim.cli import app
from cosim.study import execute

EXAMPLES = 20
MANY = int(os.environ.get("COSIM_FUZZ", "1500"))
"""Of each of the seven sorts of input: a few hundred with the short tests, more than 10,000 with the long ones."""
LONGEST_S = 5.0
MOST_BYTES = 2**30

SCENARIO = """seed: 1
rounds: 2
area: {width_m: 300, height_m: 200}
devices: {count: 3}
mobility: {kind: random_waypoint, speed_max_m_s: 3.0}
uplink: {kind: allocated, bandwidth_hz: 5e6}
round:
  policy: {kind: deadline, after: {relative_to_plan: 1.5}}
  latency_threshold: {relative_to_unpruned: 0.5}
learning: {kind: none}
"""
STUDY = (
    "{scenario: good.yaml, seeds: [1, 2], overrides: {rounds: 2}, grid: {allocator.kind: [kkt, equal_bandwidth], devices.count: [2, 3]}}\n"
)
TRACE = "device,t_s,x_m,y_m\n0,0,10,10\n0,5,20,20\n1,0,30,30\n1,5,40,30\n2,0,50,50\n2,5,60,60\n"
TABLE = "a,b,label\n" + "".join(f"{i % 7},{i % 5 / 4},{'yes' if i % 3 else 'no'}\n" for i in range(60))
TOKENS = [
    "", "-1", "0", "1e9", "1e999", "-1e-300", "1e-300", "9" * 30, ".nan", ".inf", "null", "true", "~", "''", "{", "}", "[", "]", ": ", ",", "- ", "\n", "\n  ",
    "&a ", "*a", "!!python/object/apply:os.system [ls]", "!!binary ", "? ", "| ", "../../..", "/etc/passwd", "/dev/zero", "a/../b", "\x00", "é", "\ud7ff",
    "kind", "kkt", "count", "seeds", "grid", "rounds", "nobody:Nothing", "os:getcwd", "1_0", "0x1f", "2026-01-01", "%YAML 1.1\n---\n", "#", "NaN", "inf", '"',
]  # fmt: skip
edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 12),
        st.sampled_from(TOKENS).map(str.encode)
        | st.binary(max_size=4)
        | st.text(max_size=4).map(lambda text: text.encode(errors="replace")),
    ),
    min_size=1,
    max_size=4,
)


def edited(content, changes):
    """The content with some of its bytes replaced, each change at a share of its length."""
    for place, length, new in changes:
        at = int(place * len(content))
        content = content[:at] + new + content[at + length :]
    return content


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what commands need; each input may use the folder ``work`` in it."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "good.yaml").write_text(SCENARIO)
    made = cosim.Scenario.load(folder / "good.yaml", {"trace.events": True})
    cosim.run(made, out=folder / "run")
    np.savez(folder / "set.npz", **{name: np.zeros(shape, np.uint8) for name, shape in {"x_train": (20, 4, 4), "y_train": 20, "x_test": (8, 4, 4), "y_test": 8}.items()})  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Nothing is simulated by a study, and no second process started."""
    monkeypatch.setattr(execute, "_outcomes", lambda *_: (outcome for outcome in ()))
    warnings.simplefilter("ignore")


def listing(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


def told(place, *arguments, leaves=()):
    """Run a command in ``place/work`` and look at how it ends; ``leaves``: what may be there afterwards."""
    before, begin = listing(place), time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place / "work")
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    took_s = time.monotonic() - begin
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 2, 3, 4), result.stderr
    assert "--debug shows where" not in result.stderr
    assert "Traceback" not in result.output
    assert (result.exit_code == 0) or len(result.stderr.strip()) > 10
    assert len(result.stderr) < 20_000
    assert took_s < LONGEST_S, f"{took_s:.1f} s"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST_BYTES + BASE
    if result.exit_code == 2:
        assert listing(place) == before, "bad input leaves nothing behind"
    new = {path for path in listing(place) - before if not any(path.is_relative_to(Path("work", leaf)) for leaf in leaves)}
    assert not new, new
    for leaf in leaves:
        shutil.rmtree(place / "work" / leaf, ignore_errors=True)
    return result


BASE = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def workplace(place, **files):
    """A fresh folder ``work`` with these files."""
    work = place / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name, content in files.items():
        (work / name.replace("_", ".")).write_bytes(content)
    return work


def a_scenario(place, changes, verb):
    workplace(place, s_yaml=edited(SCENARIO.encode(), changes))
    if verb == "check":
        told(place, "check", "s.yaml")
    else:
        told(place, "run", "s.yaml", "--quiet", "--out", "out", "--rounds", "1", "--set", "devices.count=2", leaves=["out"])


def an_override(place, text):
    workplace(place, s_yaml=SCENARIO.encode())
    told(place, "run", "s.yaml", "--quiet", "--out", "out", "--set", text, "--set", "rounds=1", "--set", "devices.count=2", leaves=["out"])


def a_trace(place, changes):
    scenario = SCENARIO.replace("{kind: random_waypoint, speed_max_m_s: 3.0}", "{kind: recorded, file: t.csv}")
    workplace(place, s_yaml=scenario.encode(), t_csv=edited(TRACE.encode(), changes))
    told(place, "check", "s.yaml")


def a_study(place, changes):
    workplace(place, good_yaml=SCENARIO.encode(), s_yaml=edited(STUDY.encode(), changes))
    told(place, "study", "s.yaml", "--quiet", "--out", "out", leaves=["out"])


def a_data_set(place, changes, kind):
    files = {"npz": (place / "set.npz").read_bytes(), "table": TABLE.encode()}
    text = {"npz": "{kind: npz, file: d.npz}", "table": "{kind: table, file: d.csv, label: label}"}[kind]
    scenario = SCENARIO.replace("learning: {kind: none}", f"learning: {{kind: federated, model: {{kind: mlp}}, dataset: {text}}}")
    workplace(place, s_yaml=scenario.encode(), **{f"d_{'npz' if kind == 'npz' else 'csv'}": edited(files[kind], changes)})
    told(place, "data", "s.yaml")


FILES = [
    "manifest.json",
    "scenario.yaml",
    "rounds.parquet/part-00000.parquet",
    "devices.parquet/part-00000.parquet",
    "events.parquet/part-00000.parquet",
]
VERBS = {
    "check": ["check", "--run", "run"],
    "resume": ["resume", "run", "--quiet"],
    "extend": ["resume", "run", "--rounds", "3", "--quiet"],
    "csv": ["export", "run", "--format", "csv", "--out", "csv"],
    "perfetto": ["export", "run", "--format", "perfetto", "--out", "t.json"],
    "compare": ["compare", "run"],
}


def a_run(place, changes, file, verb):
    work = workplace(place)
    shutil.copytree(place / "run", work / "run")
    path = work / "run" / file
    path.write_bytes(edited(path.read_bytes(), changes))
    told(place, *VERBS[verb], leaves=["run", "csv", "t.json"])


def a_checkpoint(place, changes):
    a_run(place, changes, "checkpoint/state.safetensors", "extend")


SORTS = {
    "scenario": (a_scenario, {"changes": edits, "verb": st.sampled_from(["check", "run"])}),
    "override": (
        an_override,
        {"text": edits.map(lambda changes: edited(b"devices.count=3", changes).decode(errors="replace"))
         | st.tuples(st.sampled_from(["devices.count", "uplink.bandwidth_hz", "round.latency_threshold", "devices.transmit_power_dbm", "area.width_m"]), st.sampled_from(TOKENS)).map("=".join)},
    ),
    "trace": (a_trace, {"changes": edits}),
    "study": (a_study, {"changes": edits}),
    "data": (a_data_set, {"changes": edits, "kind": st.sampled_from(["npz", "table"])}),
    "run": (a_run, {"changes": edits, "file": st.sampled_from(FILES), "verb": st.sampled_from(sorted(VERBS))}),
    "checkpoint": (a_checkpoint, {"changes": edits}),
}  # fmt: skip


def fuzz(place, sort, examples):
    function, arguments = SORTS[sort]
    if sort == "data":
        pytest.importorskip("torch")

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(**arguments)
    def one(**drawn):
        function(place, **drawn)

    one()


@pytest.mark.parametrize("sort", SORTS)
def test_a_few_hundred_inputs(place, sort):
    fuzz(place, sort, EXAMPLES)


@pytest.mark.full
@pytest.mark.parametrize("sort", SORTS)
def test_ten_thousand_inputs(place, sort):
    fuzz(place, sort, MANY)
