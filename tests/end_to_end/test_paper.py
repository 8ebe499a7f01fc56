"""The write-up of the paper's claim: its studies, and the command that writes docs/paper.md."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cosim.study.plan import load

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

paper_page = importlib.import_module("paper_page")
STUDIES = ("headline", "frontier", "pilot", "better", "better_pilot", "objective_bandwidth", "objective_devices", "objective_threshold")


@pytest.fixture(scope="module")
def plans():
    return {name: load(ROOT / f"scenarios/paper/{name}.yaml") for name in STUDIES}


def test_the_page_knows_the_variants_of_the_study(plans):
    known = {f"{name}{ending}" for ending in paper_page.SETTINGS.values() for name in {*paper_page.SCHEMES, *paper_page.FRONTIER.values()}}
    variants = plans["headline"].variants | plans["frontier"].variants
    assert known == set(variants)
    assert plans["headline"].seeds == plans["frontier"].seeds == tuple(range(1, 11))
    for threshold, name in paper_page.FRONTIER.items():
        scenario = variants[name + paper_page.SETTINGS["slow fading"]]
        assert threshold == 1.0 or scenario.round.latency_threshold.relative_to_unpruned == threshold


def test_mask_and_steps_were_chosen_on_other_seeds(plans):
    assert not set(plans["pilot"].seeds) & set(plans["headline"].seeds)
    assert not set(plans["better_pilot"].seeds) & set(plans["better"].seeds)
    assert plans["better"].base.stop.accuracy == paper_page.BETTER_TARGET


def test_schemes_differ_from_the_proposed_one_in_what_their_names_say(plans):
    """All variants of a setting share world, data, model, trainer and threshold, but for this."""
    own = {name: overrides for name, overrides in plans["headline"].overrides.items() if name.endswith(paper_page.SETTINGS["fast fading"])}
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
    ],
)
def test_verdicts(estimate, low, high, word):
    assert paper_page.verdict(estimate, low, high) == word


@pytest.mark.full
def test_the_quick_variant_writes_the_page_and_twice_the_same(tmp_path):
    command = [sys.executable, ROOT / "scripts/make_paper.py", "--quick", "--runs", tmp_path / "runs", "--out", tmp_path]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "min to go" in first.stdout
    page = (tmp_path / "paper.md").read_text()
    assert "{{" not in page
    assert "nan" not in page
    pictures = re.findall(r"\]\((.*?\.png)\)", page)
    assert len(pictures) == 5
    assert all((tmp_path / name).stat().st_size > 10_000 for name in pictures)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, ""), "finished runs are kept"
    assert (tmp_path / "paper.md").read_text() == page
