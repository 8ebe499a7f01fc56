"""Study files: what variants they make, and how mistakes are told."""

import itertools
from pathlib import Path

import pytest

from cosim.errors import ScenarioError
from cosim.scenario import Scenario
from cosim.study import plan as plans

ROOT = Path(__file__).parents[3]


def test_no_variants_is_one_variant(write):
    plan = plans.load(write("{scenario: tiny.yaml, seeds: [5, 2]}"))
    assert (list(plan.variants), plan.seeds) == (["base"], (5, 2))
    assert plan.scenario("base", 5) == Scenario.load(write("").parent / "tiny.yaml", {"seed": 5})


def test_a_grid_is_every_combination(write):
    plan = plans.load(
        write("""
scenario: tiny.yaml
seeds: {first: 3, count: 2}
grid:
  allocator.kind: [kkt, equal_bandwidth]
  uplink.bandwidth_hz: [5e6, 1.5e6]
""")
    )
    assert plan.seeds == (3, 4)
    assert list(plan.variants) == [
        f"{kind},bandwidth_hz-{band}" for kind, band in itertools.product(("kkt", "equal_bandwidth"), ("5e6", "1.5e6"))
    ]
    scenario = plan.scenario("equal_bandwidth,bandwidth_hz-1.5e6", 4)
    assert (scenario.seed, scenario.resolved()["allocator"]["kind"], scenario.uplink.bandwidth_hz) == (4, "equal_bandwidth", 1.5e6)


def test_a_zip_goes_through_its_lists_together(write):
    plan = plans.load(write("{scenario: tiny.yaml, seeds: [1], zip: {devices.count: [2, 4], rounds: [8, 6]}}"))
    assert {name: (s.devices.count, s.rounds) for name, s in plan.variants.items()} == {
        "count-2,rounds-8": (2, 8),
        "count-4,rounds-6": (4, 6),
    }


def test_named_variants_and_a_grid_are_combined_after_common_overrides(write):
    plan = plans.load(
        write("""
scenario: {rounds: 9, learning: {kind: none}}
seeds: [1]
overrides: {devices.count: 7, rounds: 4}
variants:
  plain: {}
  many: {devices.count: 11}
grid: {round.prune_max: [0.5]}
""")
    )
    found = {name: (s.devices.count, s.rounds, s.round.prune_max) for name, s in plan.variants.items()}
    assert found == {"plain,prune_max-0.5": (7, 4, 0.5), "many,prune_max-0.5": (11, 4, 0.5)}


def test_the_kind_comes_before_its_fields_and_starts_from_its_defaults(write):
    plan = plans.load(
        write("{scenario: tiny.yaml, seeds: [1], variants: {a: {mobility.speed_max_m_s: 3.0, mobility.kind: random_waypoint}}}")
    )
    assert plan.variants["a"].mobility.speed_max_m_s == 3.0


def test_a_resolved_plan_is_a_study_of_its_own(write, tmp_path):
    from cosim.study.layout import read_plan, write_plan

    plan = plans.load(write("{scenario: tiny.yaml, seeds: [1, 2], grid: {allocator.kind: [kkt, equal_bandwidth], rounds: [1, 3]}}"))
    (tmp_path / "elsewhere").mkdir()
    write_plan(tmp_path / "elsewhere", plan.resolved())
    again = plans.load(tmp_path / "elsewhere/study.yaml")
    assert again == plan
    assert read_plan(tmp_path / "elsewhere") == plan.resolved()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "study.yaml: is empty; the least study is 'scenario: FILE' and 'seeds: [1]'"),
        ("scenario: tiny.yaml", "study.yaml:1:1: seeds: is required (seeds: a list, or {first, count})"),
        ("scenario: tiny.yaml\nseeds: [1]\ngird: {a: [1]}", "study.yaml:3:1: gird: unknown key; allowed:"),
        ("scenario: tiny.yaml\nseeds: [1]\ngird: {a: [1]}", "did you mean 'grid'?"),
        ("scenario: none.yaml\nseeds: [1]", "study.yaml:1:11: scenario: no such file: "),
        ("scenario: {rounds: 0}\nseeds: [1]", "study.yaml:1:20: rounds = 0: must be >= 1"),
        ("scenario: tiny.yaml\nseeds: [1, 2, 1]", "study.yaml:2:15: seeds.2: seed 1 stands there twice"),
        ("scenario: tiny.yaml\nseeds: [-1]", "study.yaml:2:9: seeds.0 = -1: must be >= 0"),
        ("scenario: tiny.yaml\nseeds: {first: 1, count: 0}", "study.yaml:2:26: seeds.count = 0: must be >= 1"),
        ("scenario: tiny.yaml\nseeds: []", "study.yaml:2:8: seeds = []: "),
        ("scenario: tiny.yaml\nseeds: [1]\noverrides: {seed: 3}", "study.yaml:3:19: overrides.seed: the seed is no override"),
        (
            "scenario: tiny.yaml\nseeds: [1]\ngrid:\n  allocator.kind: [kkt, kktt]",
            'study.yaml:4:25: override: allocator.kind = "kktt": unknown allocator kind',
        ),
        (
            "scenario: tiny.yaml\nseeds: [1]\ngrid:\n  allocater.kind: [kkt]",
            'study.yaml:4:20: override: allocater.kind = "kkt": the scenario has no "allocater"',
        ),
        ("scenario: tiny.yaml\nseeds: [1]\ngrid:\n  allocater.kind: [kkt]", "did you mean 'allocator'?"),
        (
            "scenario: tiny.yaml\nseeds: [1]\nvariants:\n  a:\n    rounds: 2.5",
            "study.yaml:5:13: override: rounds = 2.5: must be a whole number",
        ),
        ("scenario: tiny.yaml\nseeds: [1]\nvariants:\n  a/b: {}", 'study.yaml:4:8: variants."a/b": a name becomes a folder'),
        (
            "scenario: tiny.yaml\nseeds: [1]\nzip: {rounds: [1, 2], devices.count: [3]}",
            'study.yaml:3:38: zip."devices.count": has 1 values, "rounds" has 2',
        ),
        (
            "scenario: tiny.yaml\nseeds: [1]\ngrid: {rounds: [1, 1]}",
            'study.yaml:3:20: grid.rounds.1: two variants are both named "rounds-1"',
        ),
        (
            "scenario: tiny.yaml\nseeds: [1]\ngrid: {rounds: [1]}\nzip: {rounds: [2]}",
            "study.yaml:4:16: zip.rounds.0: rounds is set in grid too",
        ),
        ("scenario: tiny.yaml\nseeds: [1]\ngrid: {rounds: 1}", "study.yaml:3:16: grid.rounds = 1: must be a list"),
        ("scenario: tiny.yaml\nseeds: [1]\noverrides: {a..b: 1}", 'study.yaml:3:19: override: "a..b" is not a dotted path'),
        (
            "scenario: tiny.yaml\nseeds: [1]\ngrid: {rounds: [" + "1," * 200 + "], devices.count: [" + "1," * 200 + "]}",
            "40000 variants, which is more than 10000",
        ),
    ],
)
def test_mistakes_are_told_with_their_place(write, text, message):
    with pytest.raises(ScenarioError) as caught:
        plans.load(write(text))
    assert message in str(caught.value)


def test_shipped_studies_are_good():
    shipped = sorted((ROOT / "scenarios/studies").glob("*.yaml"))
    assert shipped
    for path in shipped:
        assert len(plans.load(path).variants) > 1


def test_names_are_folders_that_every_reader_understands():
    assert plans.name_of({"allocator.kind": "my.module:Mine", "sites.0.x_m": -5.0, "a.flag": True}) == "my.module-Mine,x_m--5,flag-true"
    assert plans.name_of({}) == "base"


def test_overrides_from_outside_replace_those_of_the_file_and_leave_variants_alone(write):
    text = "{scenario: tiny.yaml, seeds: [1], overrides: {rounds: 4}, variants: {a: {}, b: {rounds: 5}}}"
    plan = plans.load(write(text), {"rounds": 9, "devices.count": 6})
    assert {name: (s.rounds, s.devices.count) for name, s in plan.variants.items()} == {"a": (9, 6), "b": (5, 6)}
    with pytest.raises(ScenarioError, match="rouns"):
        plans.load(write(text), {"rouns": 9})


def test_swept_variants_are_lines_of_numbers(write, tmp_path):
    from cosim.study.results import Study

    plan = plans.load(
        write("{scenario: tiny.yaml, seeds: [1], grid: {allocator.kind: [kkt, equal_bandwidth], uplink.bandwidth_hz: [5e6, 2e6]}}")
    )
    study = Study(tmp_path, plan.resolved())
    assert study.swept("uplink.bandwidth_hz") == {
        kind: {2e6: f"{kind},bandwidth_hz-2e6", 5e6: f"{kind},bandwidth_hz-5e6"} for kind in ("kkt", "equal_bandwidth")
    }
    with pytest.raises(ValueError, match=r"no variant sets devices\.count"):
        study.swept("devices.count")
