"""Broken input through the real command line: exit code 2, one clear message, no traceback, nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosim.cli import app

DEEP = "a:\n" + "- " * 3000
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
BROKEN = {
    "empty": ("", ["is empty"]),
    "only comments": ("# nothing\n", ["is empty"]),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0", ["not a text file in UTF-8"]),
    "utf-16": ("seed: 1".encode("utf-16"), ["not a text file in UTF-8"]),
    "control character": (b"seed: \x07", ["not YAML", "unacceptable character"]),
    "huge file": (b"#" * (2**17 + 1), ["larger than 131072 bytes"]),
    "list": ("- seed: 1", [":1:1: must be a map of sections"]),
    "single word": ("hello", [":1:1: must be a map of sections"]),
    "unclosed bracket": ("area: {width_m: 3", [":1:", "not YAML", "expected ',' or '}'"]),
    "tabs": ("area:\n\twidth_m: 3", [":2:1: not YAML"]),
    "wrong indentation": ("area:\n  width_m: 3\n height_m: 4", [":3:", "not YAML"]),
    "two documents": ("seed: 1\n---\nseed: 2", [":2:1: not YAML", "single document"]),
    "nested deeply": (DEEP, ["nested too deeply"]),
    "bomb": (BOMB, [":1:4: a: anchors and aliases", "write the value out"]),
    "recursion": ("area: &a {width_m: *a}", ["anchors and aliases"]),
    "code in a tag": ("seed: !!python/object/apply:os.system [ls]", [":1:7: seed: tag", "is not supported"]),
    "key that is a number": ("1: 2", [":1:1: 1: a key must be plain text"]),
    "duplicate key": ("seed: 1\nrounds: 2\nseed: 3", [":3:1: seed: duplicate key, first set in line 1"]),
    "duplicate key inside": ("area: {width_m: 1, width_m: 1}", ["area.width_m: duplicate key"]),
    "unknown section": ("chanel: {}", [":1:1: chanel", "unknown key; allowed: seed, ", "did you mean 'channel'?"]),
    "unknown key": ("seed: 1\ndevices:\n  cuont: 3", [":3:3: devices.cuont = 3: unknown key", "did you mean 'count'?"]),
    "unknown key in a node": ("allocator: {kind: kkt, tolerence: 1}", [":1:24: allocator.tolerence = 1: unknown key"]),
    "threshold in the allocator": ("allocator: {kind: kkt, latency_threshold: 1}", ["allocator.latency_threshold = 1: unknown key"]),
    "unknown kind": ("allocator: {kind: ktk}", [":1:19: allocator.kind", "unknown allocator kind 'ktk'; allowed: ", "did you mean 'kkt'?"]),
    "kind of another role": ("mobility: {kind: uma}", ["unknown mobility kind 'uma'; allowed: "]),
    "no kind": ("channel: {pathloss: {carrier_hz: 1e9}}", ["channel.pathloss.kind: is missing; allowed: free_space"]),
    "kind instead of a map": ("allocator: kkt", ['allocator = "kkt": must be a map such as {kind: kkt}']),
    "missing plugin": ("allocator: {kind: 'nobody_has_this:X'}", ["No module named 'nobody_has_this'", "PYTHONPATH"]),
    "plugin that is no component": ("allocator: {kind: 'os:getcwd'}", ["is not a class derived from cosim.component.Component"]),
    "text for a number": ("uplink: {kind: ideal, bandwidth_hz: 10 MHz}", [':1:37: uplink.bandwidth_hz = "10 MHz": must be a number', "Hz"]),
    "number for text": ("learning: {kind: federated, pruner: {kind: magnitude, scope: 1}}", ["learning.pruner.scope = 1: must be 'layer' or"]),
    "boolean for a number": ("rounds: true", ["rounds = true: must be a whole number"]),
    "fraction for a count": ("devices: {count: 2.5}", ["devices.count = 2.5: must be a whole number, >= 1"]),
    "nothing for a number": ("rounds:\nseed: 1", [":1:1: rounds = null: must be a whole number"]),
    "section that is a list": ("devices: [3]", ["devices = [3]: must be a map"]),
    "zero rounds": ("rounds: 0", [":1:9: rounds = 0: must be >= 1"]),
    "negative seed": ("seed: -3", ["seed = -3: must be >= 0"]),
    "huge seed": ("seed: 1" + "0" * 30, ["must be >= 0 and < 9223372036854775808"]),
    "number of 5000 digits": ("seed: " + "1" * 5000, ["seed: a number of more than 100 characters"]),
    "negative bandwidth": ("uplink: {kind: ideal, bandwidth_hz: -1e6}", ["uplink.bandwidth_hz = -1000000.0: must be > 0", "Hz (band of the uplink)"]),
    "not a number": ("area: {width_m: .nan}", ["area.width_m = NaN: must be a finite number"]),
    "infinite": ("round: {latency_threshold: .inf}", ["round.latency_threshold = Infinity: must be a finite number"]),
    "pruning ratio of one": ("round: {prune_max: 1.0}", ["round.prune_max = 1.0: must be >= 0 and < 1"]),
    "threshold of zero": ("round: {latency_threshold: 0}", ["round.latency_threshold = 0: must be > 0"]),
    "no site": ("sites: []", ["must be a list of at least one site"]),
    "two sites": ("uplink: {kind: ideal}\nsites: [{x_m: 1}, {x_m: 2}]", [':1:16: uplink.kind = "ideal": several sites need an uplink that hands out blocks: allocated']),
    "power control beside an energy budget": (
        "round: {energy: {budget_j: 1}}\nallocator: {kind: kkt_energy}\ndevices: {power_control: {alpha: 0.8}}",
        [":3:34: devices.power_control.alpha = 0.8: must be 1 where allocator kkt_energy chooses powers"],
    ),
    "carrier outside the model": ("channel: {pathloss: {kind: uma, carrier_hz: 3.5}}", ["channel.pathloss.carrier_hz = 3.5: must be >= ", "Hz"]),
    "missing data": (
        "learning: {kind: federated, dataset: {kind: fashion_mnist, folder: not/there}}",
        ['learning.dataset.folder = "not/there": no such file or folder: '],
    ),
}  # fmt: skip

SERIES = """learning:
  kind: federated
  model: {kind: mlp}
  dataset: {kind: table, file: series.csv, label: class, group: place}
"""
UNFIT = {
    "positions of other devices": (
        "devices: {count: 3}\nmobility: {kind: static, positions_m: [[1, 2]]}",
        "unfit.yaml:2:39: mobility.positions_m: 1 position for 3 devices",
    ),
    "a position outside the area": (
        "devices: {count: 1}\nmobility: {kind: static, positions_m: [[1, 2000]]}",
        "unfit.yaml:2:39: mobility.positions_m: [1, 2000] m is outside the area of 1000 m x 1000 m",
    ),
    "blocks larger than the area": ("mobility: {kind: manhattan, block_m: 5000}", "unfit.yaml:1:38: mobility.block_m: 5000 m does not fit"),
    "groups larger than the area": ("mobility: {kind: group, radius_m: 500}", "unfit.yaml:1:35: mobility.radius_m: a group of radius 500 m"),
    "a trace outside the area": (
        "devices: {count: 1}\nmobility: {kind: recorded, file: far.csv}",
        "far.csv:2: column x_m: 9000 m is outside the area of 1000 m x 1000 m",
    ),
    "a network larger than the area": (
        "area: {width_m: 100, height_m: 100}\nmobility: {kind: sumo}",
        "unfit.yaml:2:11: mobility: the network",
    ),
    "no K factor": (
        "channel: {fading: {kind: rician}, pathloss: {kind: free_space}}",
        "unfit.yaml:1:19: channel.fading.k_db: give a value in dB; FreeSpace has no K factor of its own",
    ),
    "heights outside the model": ("devices: {height_m: 100}", "unfit.yaml:1:1: channel.pathloss: does not fit the antenna heights"),
    "no groups": ("learning: {kind: federated, partition: {kind: groups}}", "unfit.yaml:1:47: learning.partition.kind: the data have no groups"),
    "more devices than groups": (
        SERIES + "  partition: {kind: groups}\ndevices: {count: 3}",
        "unfit.yaml:5:14: learning.partition.groups_per_device = 1: 3 devices need 3 groups, the data have 2",
    ),
    "series that should turn": (
        SERIES + "  partition: {kind: feature_shift}",
        "unfit.yaml:5:14: learning.partition.rotation_deg = 270: samples without height cannot be turned; set it to 0",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(*arguments, expected_lines=1):
    """What the command says on stderr, after the checks that hold for every mistake."""
    before = set(Path().rglob("*"))
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == expected_lines, result.stderr
    assert set(Path().rglob("*")) == before, "bad input leaves nothing behind"
    return result.stderr


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file(name, verb, folder):
    content, words = BROKEN[name]
    Path("broken.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = complaint(verb, "broken.yaml")
    assert found.startswith("cosim: error: broken.yaml:")
    for word in words:
        assert word in found


@pytest.mark.parametrize("command", [["check"], ["run", "--quiet"]], ids=["check", "run"])
@pytest.mark.parametrize("name", UNFIT)
def test_parts_that_do_not_fit(name, command, folder):
    """Known only when they start, from the area, the devices, a trace or the data."""
    if name == "a network larger than the area":
        pytest.importorskip("libsumo")
    Path("far.csv").write_text("t_s,device,x_m,y_m\n0,0,9000,1\n")
    Path("series.csv").write_text("x,y,class,place\n" + "".join(f"{i},{i},{i % 2},{'ab'[i // 10]}\n" for i in range(20)))
    content, words = UNFIT[name]
    Path("unfit.yaml").write_text(content)
    assert words in complaint(*command, "unfit.yaml")


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize(
    ("path", "words"), [("none.yaml", "none.yaml: no such file"), (".", ".: is a directory"), ("n" * 300, "cannot be read")]
)
def test_no_file(path, words, verb, folder):
    assert words in complaint(verb, path)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("seed", '--set "seed": must be written path=value'),
        ("=1", "must be written path=value"),
        ("seed=", "override: seed = null: must be a whole number"),
        ("seed=[1", "--set seed:1:3: not YAML"),
        ("seed=abc", 'good.yaml: override: seed = "abc": must be a whole number'),
        ("seed=-1", "override: seed = -1: must be >= 0"),
        ("sead=1", "override: sead = 1: unknown key; allowed: seed, "),
        ("sead.x=1", 'the scenario has no "sead"; allowed: seed, '),
        ("seed.x=1", "seed is 1, not a map"),
        (".seed=1", "is not a dotted path"),
        ("sites.1.x_m=3", "sites is a list of 1"),
        ("allocator.kind=ktk", "unknown allocator kind 'ktk'"),
        ("allocator=kkt", "must be a map such as {kind: kkt}"),
        ("uplink.bandwidth_hz=0", "override: uplink.bandwidth_hz = 0: must be > 0"),
    ],
)  # fmt: skip
def test_a_broken_override(setting, words, folder):
    Path("good.yaml").write_text("seed: 1")
    assert words in complaint("run", "good.yaml", "--set", setting)


@pytest.mark.parametrize(
    ("settings", "blamed"),
    [
        (["area.wrap_around=true", "channel.pathloss.carrier_hz=3e9"], "override: area.wrap_around = true: needs 7 sites"),
        (["mobility={kind: random_waypoint, speed_min_m_s: 5}", "mobility.speed_max_m_s=1", "seed=4"],
         'after override mobility={"kind": "random_waypoint", "speed_min_m_s": 5}, mobility.speed_max_m_s=1: mobility: '),
        (["mobility.kind=random_waypoint", "mobility.speed_min_m_s=50", "rounds=3"],
         'after override mobility.kind="random_waypoint", mobility.speed_min_m_s=50: mobility: '),
        (["learning.kind=federated", "learning.partition.kind=classes_per_device", "learning.partition.classes=11"],
         "override: learning.partition.classes = 11: the data have 10 classes"),
    ],
)  # fmt: skip
def test_the_overrides_that_are_to_blame(settings, blamed, folder):
    Path("good.yaml").write_text("learning: {kind: none}")
    found = complaint("run", "good.yaml", *(f"--set={setting}" for setting in settings))
    assert found.startswith(f"cosim: error: good.yaml: {blamed}")


@pytest.mark.parametrize(("option", "words"), [("--seed=-1", "override: seed = -1"), ("--rounds=0", "override: rounds = 0: must be >= 1")])
def test_a_broken_option(option, words, folder):
    Path("good.yaml").write_text("seed: 1")
    assert words in complaint("run", "good.yaml", option)


def test_several_mistakes_are_told_together(folder):
    Path("broken.yaml").write_text("seed: -1\nrounds: 0\ndevices: {cuont: 1}")
    found = complaint("run", "broken.yaml", expected_lines=3)
    assert [line for line in ("seed = -1", "rounds = 0", "devices.cuont") if line not in found] == []


def test_a_directory_that_is_in_use(folder):
    Path("good.yaml").write_text("seed: 1")
    Path("taken").mkdir()
    Path("taken/thesis.tex").touch()
    assert "--out taken: is not empty" in complaint("run", "good.yaml", "--out", "taken")


@pytest.mark.parametrize("arguments", [["check", "broken.yaml"], ["run", "broken.yaml", "--out", "a/b"], ["run", "none.yaml"]])
def test_as_its_own_process(arguments, folder):
    Path("broken.yaml").write_text("rouns: 3")
    found = subprocess.run(
        [sys.executable, "-m", "cosim", *arguments], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONSAFEPATH": "1"}
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1
    assert "did you mean 'rounds'?" in found.stderr or "no such file" in found.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["broken.yaml"]
