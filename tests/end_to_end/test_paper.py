"""The write-up of the paper's claim: its studies, and the command that writes docs/paper.md."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cosim.alloc.closed_forms import planned_latency_s
from cosim.build import run
from cosim.study.plan import load

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

paper_page, paper_runs, beyond_links, beyond_page, make_paper = (
    importlib.import_module(name) for name in ("paper_page", "paper_runs", "beyond_links", "beyond_page", "make_paper")
)
STUDIES = (*make_paper.PAPER, "better_pilot")


@pytest.fixture(scope="module")
def plans():
    return {name: load(ROOT / f"scenarios/paper/{name}.yaml") for name in STUDIES}


def test_the_page_knows_the_variants_of_the_study(plans):
    known = {f"{name}{ending}" for ending in paper_runs.SETTINGS.values() for name in {*paper_runs.SCHEMES, *paper_runs.FRONTIER.values()}}
    variants = plans["headline"].variants | plans["frontier"].variants
    assert known == set(variants)
    assert plans["headline"].seeds == plans["frontier"].seeds == tuple(range(1, 11))
    for threshold, name in paper_runs.FRONTIER.items():
        scenario = variants[name + paper_runs.SETTINGS["slow fading"]]
        assert threshold == 1.0 or scenario.round.latency_threshold.relative_to_unpruned == threshold


def test_mask_and_training_were_chosen_on_other_seeds(plans):
    for pilot in ("pilot", "pilot_training"):
        assert not set(plans[pilot].seeds) & set(plans["headline"].seeds)
    assert not set(plans["better_pilot"].seeds) & set(plans["better"].seeds)
    assert plans["better"].base.stop.accuracy == paper_runs.BETTER_TARGET


def test_schemes_differ_from_the_proposed_one_in_what_their_names_say(plans):
    """All variants of a setting share world, data, model, trainer and threshold, but for this."""
    own = {name: overrides for name, overrides in plans["headline"].overrides.items() if name.endswith(paper_runs.SETTINGS["fast fading"])}
    paths = {path for overrides in own.values() for path in overrides}
    assert paths == {
        "allocator.kind",
        "allocator.prune_ratio",
        "learning.codec.kind",
        "learning.split.personal_layers",
        "round.csi.kind",
        "channel.fading.block_s",
    }


@pytest.mark.parametrize(
    ("estimate", "low", "high", "word"),
    [
        (0.1, 0.05, 0.2, "**yes**"),
        (0.1, -0.1, 0.3, "**yes**, but the interval reaches across"),
        (-0.1, -0.3, 0.1, "**no**, but the interval reaches across"),
        (-0.1, -0.2, -0.05, "**no**"),
        (0.1, float("nan"), float("nan"), "**yes**, but a single seed has no interval"),
    ],
)
def test_verdicts(estimate, low, high, word):
    assert paper_page.verdict(estimate, low, high) == word


def made_up(lost):
    """Three seeds of 20 rounds: whoever prunes takes 1 s a round, others 2 s, and ``lost`` of its accuracy; the others reach 0.9."""
    names = [*paper_runs.SCHEMES, *(name for name in paper_runs.FRONTIER.values() if name not in paper_runs.SCHEMES)]
    index = pd.MultiIndex.from_product([names, [1, 2, 3], range(20)], names=["variant", "seed", "round"])
    rounds = index.to_frame(index=False)
    pruned = ~rounds["variant"].isin(["personalization_only", "fedavg", "quantised"])
    step_s = np.where(pruned, 1.0, 2.0)
    accuracy = 0.9 - lost * pruned + 0.001 * rounds["seed"] - 0.2 * (rounds["variant"] == "fedavg") - 0.5 * 0.8 ** rounds["round"]
    columns = dict.fromkeys(["objective", "prune_ratio_mean", "coverage_min", "uncovered_fraction", "accuracy_p10", "global_accuracy"], 0.5)
    counts = dict.fromkeys(["devices_arrived", "devices_pruned", "devices_selected", "uplink_bits", "kept_flops", "energy_j"], 4)
    rounds = rounds.assign(latency_s=step_s, planned_latency_s=step_s, t_end_s=step_s * (rounds["round"] + 1), accuracy_mean=accuracy)
    rounds = rounds.assign(**columns, **counts, variant=pd.Categorical(rounds["variant"], categories=names))
    return paper_runs.Setting(rounds, rounds[["variant", "seed"]].assign(selected=True))


def test_claims_and_frontier_say_what_the_runs_say():
    kept, broken = made_up(0.002), made_up(0.02)
    rows = dict(
        zip(("claim", "", "planned", "realised", "rounds", "time"), paper_page.claims({"a": kept, "b": broken}).splitlines(), strict=False)
    )
    assert rows["planned"].count("0.5: **yes**") == 2
    assert "| -0.2 ± 0: **yes** | -2 ± 0: **no** |" in rows["rounds"]
    gain = 100 * (0.5 * (0.8**9 - 0.8**19) - 0.002)  # 20 rounds of one against 10 of the other
    assert kept.gain("kkt", "time_s").interval.estimate == pytest.approx(gain / 100)
    assert paper_page.least(kept).count("**0.2**") == 2
    assert paper_page.least(broken).count("1 (no pruning)") == 2
    assert kept.target == 0.87  # 0.98 of 0.902 - 0.5 * 0.8**19
    assert paper_page.reached(kept, "fedavg") == "not reached (0 of 3)"


def test_every_study_beyond_the_paper_has_its_texts_and_its_figure():
    assert set(make_paper.BEYOND) == set(beyond_page.TEXTS) == set(beyond_page.FIGURES)


def test_hindsight_knows_the_uploads_that_were(tmp_path):
    """Every device takes as long in it as it really took; so the plan's own answer is one that it allows, and the optimum is no worse."""
    scenario = load(ROOT / "scenarios/studies/frequency_selective.yaml").scenario("ideal-selective,kkt", 1)
    made = run(scenario.model_copy(update={"rounds": 2}), tmp_path / "run")
    for index in (0, 1):
        known = beyond_links.realised_problem(made, index)
        devices, (latency_s, planned) = made.devices.query("round == @index"), made.rounds.loc[index, ["latency_s", "objective"]]
        found_s = planned_latency_s(known, devices["prune_ratio"].to_numpy(), devices["bandwidth_hz"].to_numpy())
        assert found_s == pytest.approx(devices["t_total_s"].to_numpy(), rel=1e-9)
        assert beyond_links.optimum(known, latency_s) < planned
        shortest_s = beyond_links.shortest_s(known, planned, latency_s)
        assert beyond_links.optimum(known, shortest_s) == pytest.approx(planned, abs=1e-4)
        assert shortest_s < latency_s


@pytest.mark.full
def test_the_quick_variant_writes_the_page_and_twice_the_same(tmp_path):
    command = [sys.executable, ROOT / "scripts/make_paper.py", "--quick", "--runs", tmp_path / "runs", "--out", tmp_path]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "min to go" in first.stdout
    pages = {name: (tmp_path / name).read_text() for name in ("paper.md", "beyond.md")}
    for page in pages.values():
        assert "{{" not in page
        assert "nan" not in page
        assert paper_runs.LATER not in page
        pictures = re.findall(r"\]\((.*?\.png)\)", page)
        assert len(pictures) == 5
        assert all((tmp_path / name).stat().st_size > 10_000 for name in pictures)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, ""), "finished runs are kept"
    assert {name: (tmp_path / name).read_text() for name in pages} == pages
