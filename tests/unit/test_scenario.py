"""Scenarios: defaults, errors with their places, overrides, and the resolved document."""

import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cosim
from cosim.catalog import KINDS
from cosim.errors import ScenarioError
from cosim.net.geometry import Area, Devices
from cosim.net.pathloss import UrbanMicro
from cosim.scenario import RelativeThreshold, Scenario, parse_override

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))


@pytest.fixture
def load(tmp_path):
    def load(text, overrides=None):
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return Scenario.load(path, overrides)

    return load


@pytest.fixture
def complaint(load, tmp_path):
    def complaint(text, overrides=None):
        with pytest.raises(ScenarioError) as caught:
            load(text, overrides)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return complaint


def test_one_line_is_a_scenario(load):
    assert load("seed: 3") == Scenario(seed=3)


def test_the_sections_are_those_of_the_contract():
    assert list(Scenario.model_fields) == [
        "seed",
        "rounds",
        "stop",
        "area",
        "sites",
        "devices",
        "compute",
        "availability",
        "mobility",
        "channel",
        "uplink",
        "downlink",
        "network",
        "cells",
        "allocator",
        "learning",
        "round",
        "trace",
    ]
    assert list(Scenario().round.model_dump()) == ["policy", "latency_threshold", "prune_max", "energy", "csi", "selection"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_are_good_and_survive_a_round_trip(path, tmp_path):
    scenario = Scenario.load(path)
    scenario.dump(tmp_path / "resolved.yaml")
    assert Scenario.load(tmp_path / "resolved.yaml") == scenario


@pytest.fixture
def my_models(monkeypatch):
    """The name of a module with a factory of torch modules."""
    import torch

    module = types.ModuleType("my_models")
    nn = torch.nn
    module.make = lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 8), nn.ReLU(), nn.Linear(8, classes))
    module.client = lambda context: None
    monkeypatch.setitem(sys.modules, "my_models", module)
    return "my_models"


@pytest.fixture
def data(tmp_path):
    """A path without ending: ``.npz`` and ``.csv`` hold samples of three classes."""
    images, labels = np.zeros((9, 28, 28), np.float32), np.arange(9) % 3
    np.savez(tmp_path / "data.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    (tmp_path / "data.csv").write_text("a,b,class\n" + "".join(f"{k},{-k},{k % 3}\n" for k in range(30)))
    return tmp_path / "data"


@pytest.mark.parametrize(("role", "kind"), [(role, kind) for role, found in KINDS.items() for kind in found])
def test_every_kind_survives_a_round_trip(role, kind, load, tmp_path, my_models, data):
    if (role, kind) == ("trainer", "flower"):
        pytest.importorskip("flwr")
    places = {
        "pathloss": "channel.", "shadowing": "channel.", "fading": "channel.", "rate": "uplink.", "policy": "round.", "csi": "round.",
        "selection": "round.", "dataset": "learning.", "partition": "learning.", "model": "learning.", "trainer": "learning.",
        "pruner": "learning.", "codec": "learning.", "aggregator": "learning.", "server_optimizer": "learning.",
    }  # fmt: skip
    required = {
        ("selection", "random"): {"round.selection.count": 3},
        ("selection", "best_channel"): {"round.selection.count": 3},
        ("model", "torch_module"): {"learning.model.factory": f"{my_models}:make"},
        ("trainer", "flower"): {"learning.trainer.client": f"{my_models}:client"},
        ("rate", "nr_mcs"): {"uplink.kind": "proportional_fair"},
        ("mobility", "recorded"): {"mobility.file": str(Path("scenarios/traces/streets_12dev.csv").absolute())},
        ("dataset", "digits"): {"learning.model.kind": "mlp"},
        ("dataset", "npz"): {"learning.dataset.file": f"{data}.npz"},
        ("dataset", "table"): {"learning.dataset.file": f"{data}.csv", "learning.dataset.label": "class", "learning.model.kind": "mlp"},
    }.get((role, kind), {})
    scenario = load("seed: 1", {f"{places.get(role, '')}{role}.kind": kind, **required})
    scenario.dump(tmp_path / "resolved.yaml")
    again = Scenario.load(tmp_path / "resolved.yaml")
    assert again == scenario
    assert again.resolved() == scenario.resolved()
    assert f"kind: {kind}" in (tmp_path / "resolved.yaml").read_text()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width_m=st.floats(min_value=0, max_value=1e6, exclude_min=True), seed=st.integers(0, 2**63 - 1))
def test_numbers_survive_a_round_trip_bit_for_bit(width_m, seed, tmp_path):
    try:
        scenario = Scenario(seed=seed, area=Area(width_m=width_m))
    except ValueError:
        return  # out of the area's range
    scenario.dump(tmp_path / "resolved.yaml")
    assert Scenario.load(tmp_path / "resolved.yaml") == scenario


def test_a_threshold_is_seconds_or_relative(load):
    assert load("round: {latency_threshold: 3}").round.latency_threshold == 3.0
    assert load("round: {latency_threshold: {relative_to_unpruned: 0.4}}").round.latency_threshold == RelativeThreshold(
        relative_to_unpruned=0.4
    )


def test_python_makes_scenarios_too():
    scenario = Scenario(seed=1, devices=Devices(count=3))
    assert scenario.resolved()["devices"]["count"] == 3
    assert cosim.Scenario is Scenario


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nrouns: 3", r"^s.yaml:2:1: rouns = 3: unknown key; allowed: seed, .*; did you mean 'rounds'\?"),
        ("seed: -1", r"s.yaml:1:7: seed = -1: must be >= 0 and < 9223372036854775808 \(seed of all random streams\)"),
        ("seed: 1.0", r"seed = 1.0: must be a whole number, >= 0 and"),
        ("seed:", r"s.yaml:1:1: seed = null: must be a whole number"),
        ("seed: 1" + "0" * 40, r"must be >= 0 and <"),
        ("area: {width_m: -5}", r"s.yaml:1:17: area.width_m = -5: must be > 0.* m \(extent in x\)"),
        ("area: {height_m: 2e6}", r"s.yaml:1:18: area.height_m = 2000000.0: must be > 0 and <= 1e\+06 m \(extent in y\)"),
        ("area: {width_m: wide}", r'area.width_m = "wide": must be a number, > 0.* m \(extent in x\)'),
        ("area: {width_m: .nan}", r"area.width_m = NaN: must be a finite number"),
        ("area: {width_m: 1e400}", r"area.width_m = Infinity: must be a finite number"),
        ("area: {width_m: true}", r"area.width_m = true: must be a number"),
        ("area: [1, 2]", r"s.yaml:1:7: area = \[1, 2\]: must be a map \(key: value\)"),
        (
            "area: {witdh_m: 5}",
            r"s.yaml:1:8: area.witdh_m = 5: unknown key; allowed: width_m, height_m, wrap_around; did you mean 'width_m'\?",
        ),
        ("channel: {pathloss: {kind: umma}}", r"s.yaml:1:28: channel.pathloss.kind = \"umma\": unknown pathloss kind.*did you mean 'uma'"),
        ("channel: {pathloss: {carrier_hz: 3e9}}", r"s.yaml:1:21: channel.pathloss.kind: is missing; allowed: .*uma"),
        ("channel: {pathloss: {kind: uma, carier_hz: 3e9}}", r"1:33: channel.pathloss.carier_hz.*kind; did you mean 'carrier_hz'"),
        ("channel: {pathloss: uma}", r"channel.pathloss = \"uma\": must be a map such as \{kind: uma\}"),
        ("sites: []", r"sites = \[\]: must be a list of at least one site"),
        ("sites: [{}, {}]", r"uplink.kind: several sites need an uplink that hands out blocks: allocated, work_conserving"),
        ("sites: [{x_m: left}]", r"s.yaml:1:15: sites.0.x_m = \"left\": must be a number"),
        ("sites: {x_m: 1}", r"sites: must be a list"),
        ("round: {latency_threshold: 0}", r"s.yaml:1:28: round.latency_threshold = 0: must be > 0 "),
        ("round: {latency_threshold: soon}", r"must be a number or must be a map.*seconds, or \{relative_to_unpruned: share\}"),
        (
            "round: {latency_threshold: {relative_to_unpruned: 0}}",
            r"^s.yaml:1:51: round.latency_threshold.relative_to_unpruned = 0: must be",
        ),
        ("round: {latency_threshold: {relativ: 1}}", r"relative_to_unpruned: is required"),
        ("round: {policy: {kind: deadline, after: {relative_to_plan: 0}}}", r"^s.yaml:1:60: round.policy.after.relative_to_plan = 0"),
        ("round: {prune_max: 1}", r"round.prune_max = 1: must be >= 0 and < 1 \(largest pruning ratio"),
        ("trace: {events: 1}", r"trace.events = 1: must be true or false"),
        ("learning: {kind: federated, pruner: {kind: magnitude, scope: layers}}", r"scope = \"layers\": must be .*did you mean 'layer'"),
    ],
)
def test_what_a_file_gets_wrong(text, message, complaint):
    found = complaint(text)
    assert re.search(message, found), found


def test_several_mistakes_are_a_line_each(complaint):
    lines = complaint("seed: -1\nrounds: 0\narea: 1\nsites: 2\ndevices: 3\ntrace: 4\nfoo: 5").splitlines()
    assert [line.split(":")[1] for line in lines[:5]] == ["1", "2", "3", "4", "5"]
    assert lines[5:] == ["... and 2 more"]


def test_overrides(load):
    scenario = load(
        "seed: 1\ndevices: {count: 7}", {"seed": 2, "sites.0.x_m": 10, "channel.pathloss.carrier_hz": 2e9, "round.prune_max": 0.5}
    )
    assert (scenario.seed, scenario.devices.count, scenario.sites[0].x_m) == (2, 7, 10.0)
    assert (scenario.channel.pathloss.carrier_hz, scenario.round.prune_max) == (2e9, 0.5)


def test_another_kind_starts_from_its_own_defaults(load):
    text = "channel: {pathloss: {kind: uma, carrier_hz: 2e9}}"
    assert load(text, {"channel.pathloss.kind": "umi"}).channel.pathloss == UrbanMicro()
    assert load(text, {"channel.pathloss.kind": "cosim.net.pathloss:UrbanMicro"}).channel.pathloss == UrbanMicro()


def test_the_same_kind_changes_nothing(load):
    text = "channel: {pathloss: {kind: uma, carrier_hz: 2e9}}"
    for same in ("uma", "cosim.net.pathloss:UrbanMacro"):
        assert load(text, {"channel.pathloss.kind": same}).channel.pathloss.carrier_hz == 2e9


def test_kinds_are_overridden_first_from_the_outside_in(load):
    overrides = {"learning.model.hidden": [7], "learning.model.kind": "mlp", "learning.kind": "federated"}
    scenario = load("learning: {kind: none}", overrides)
    assert scenario.resolved()["learning"]["model"]["hidden"] == [7]


def test_a_whole_section_or_node_can_be_set(load):
    assert load("area: {width_m: 5}", {"area": {"height_m": 6}}).area == Area(height_m=6)
    assert load("seed: 1", {"channel.pathloss": UrbanMicro(carrier_hz=2e9)}).channel.pathloss == UrbanMicro(carrier_hz=2e9)


def test_overrides_stay_as_they_were(load):
    given = {"area": {"width_m": 5.0}, "area.height_m": 6.0}
    assert load("seed: 1", given).area == Area(width_m=5.0, height_m=6.0)
    assert given == {"area": {"width_m": 5.0}, "area.height_m": 6.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"seed": -1}, "s.yaml: override: seed = -1: must be >= 0"),
        ({"sede": 1}, "override: sede = 1: unknown key; allowed: seed,"),
        ({"devices.cuont": 1}, "did you mean 'count'?"),
        ({"chanel.pathloss.kind": "uma"}, 'the scenario has no "chanel"; allowed: seed,'),
        ({"chanel.pathloss.kind": "uma"}, "did you mean 'channel'?"),
        ({"seed.x": 1}, "override: seed.x = 1: seed is 1, not a map"),
        ({"sites.1.x_m": 1}, "sites is a list of 1"),
        ({"sites.first": 1}, "sites is a list of 1"),
        ({"a..b": 1}, "is not a dotted path"),
        ({"": 1}, "is not a dotted path"),
        ({"allocator": "kkt"}, 'override: allocator = "kkt": must be a map such as {kind: kkt}'),
        ({"channel.pathloss.kind": "umii"}, 'override: channel.pathloss.kind = "umii": unknown pathloss kind'),
        ({"channel": {"pathloss": {"kind": "uma", "carrier_hz": 0}}}, 'after override channel={"pathloss"'),
        ({"round.latency_threshold.relative_to_unpruned": -1}, "override: round.latency_threshold.relative_to_unpruned = -1: must be"),
    ],
)  # fmt: skip
def test_what_an_override_gets_wrong(overrides, message, complaint):
    found = complaint("seed: 1", overrides)
    assert message in found
    assert "\n" not in found


def test_the_file_must_be_good_by_itself(complaint):
    assert complaint("seed: -1", {"seed": 1}).startswith("s.yaml:1:7: seed = -1")


def test_override_texts_are_yaml():
    assert parse_override("uplink.bandwidth_hz=5e6") == ("uplink.bandwidth_hz", 5e6)
    assert parse_override("a=[1, x]") == ("a", [1, "x"])
    assert parse_override("a=b=c") == ("a", "b=c")
    assert parse_override("a=") == ("a", None)


@pytest.mark.parametrize("text", ["a", "=1", " =1", "a=[1", "a=&x 1"])
def test_override_texts_that_are_none(text):
    with pytest.raises(ScenarioError, match="--set"):
        parse_override(text)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    source = (
        "from typing import final\nfrom cosim.component import Component, ScenarioPath, quantity\n\n"
        '@final\nclass Recorded(Component):\n    """Motion from a file."""\n\n    file: ScenarioPath = quantity(..., "", "file")\n'
    )
    (tmp_path / "recorded_motion.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    return "recorded_motion:Recorded"


def test_paths_are_relative_to_the_file_and_absolute_once_resolved(load, plugin, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "walk.csv").touch()
    scenario = load(f"mobility: {{kind: '{plugin}', file: walk.csv}}")
    assert scenario.resolved()["mobility"] == {"kind": plugin, "file": str(tmp_path / "walk.csv")}
    (tmp_path / "deeper").mkdir()
    scenario.dump(tmp_path / "deeper" / "resolved.yaml")
    assert Scenario.load(tmp_path / "deeper" / "resolved.yaml") == scenario


def test_a_missing_file_is_an_error_of_the_scenario(complaint, plugin):
    assert 'mobility.file = "walk.csv": no such file or folder: ' in complaint(f"mobility: {{kind: '{plugin}', file: walk.csv}}")
    assert "mobility.file: is required (file)" in complaint("seed: 1", {"mobility.kind": plugin})


def test_the_folder_of_a_scenario_is_not_searched_for_code(complaint, tmp_path):
    (tmp_path / "beside_the_scenario.py").write_text("raise AssertionError('must not run')")
    assert "put its folder on PYTHONPATH" in complaint("mobility: {kind: 'beside_the_scenario:X'}")


def test_the_schema_is_json_and_every_reference_in_it_leads_somewhere():
    schema = Scenario.model_json_schema()
    for reference in set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema))):
        assert reference in schema["$defs"]
    assert schema["additionalProperties"] is False


def test_numbers_of_numpy_are_numbers(load):
    assert load("{}", {"seed": np.int64(3), "uplink.bandwidth_hz": np.float32(2e6)}).seed == 3


def test_an_override_has_a_path(complaint):
    assert "override: 1 is not a dotted path" in complaint("{}", {1: 2})


def test_the_schema_wants_a_site():
    assert Scenario.model_json_schema()["properties"]["sites"]["minItems"] == 1
