"""The studies and the script behind docs/known_results.md, with two seeds and few rounds."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

import cosim.study.plan
from cosim.study.execute import run_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_known_results", ROOT / "scripts/make_known_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quick(name, rounds):
    """The plan with two of its seeds, and so many rounds."""
    plan = cosim.study.plan.load(ROOT / f"scenarios/studies/{name}.yaml")
    variants = {variant: scenario.model_copy(update={"rounds": rounds}) for variant, scenario in plan.variants.items()}
    return replace(plan, seeds=plan.seeds[:2], variants=variants)


def test_the_page_asks_for_variants_that_the_studies_have(script):
    methods, masks = (cosim.study.plan.load(ROOT / f"scenarios/studies/known_{name}.yaml") for name in ("personalization", "pruning"))
    assert set(methods.variants) == {f"{method},{partition}" for method in script.METHODS for partition in script.PARTITIONS}
    assert set(masks.variants) == {*script.CURVE, *(f"{rule}-{kind}" for rule in script.RULES for kind in ("0.8", "work"))}
    assert len(methods.seeds) == len(masks.seeds) == 5


@pytest.mark.full
def test_a_quick_variant_end_to_end(script, tmp_path):
    studies = []
    for name, rounds in (("known_personalization", 8), ("known_pruning", 3)):
        study, failed = run_study(quick(name, rounds), tmp_path / name, workers=2)
        assert not failed
        studies.append(study)
    script.write(*studies, tmp_path / "docs")
    page = (tmp_path / "docs/known_results.md").read_text(encoding="utf-8")
    assert (tmp_path / "docs/img/known_results.png").stat().st_size > 10_000
    assert "nan" not in page
    for label in (*script.METHODS.values(), *script.RULES.values()):
        assert page.count(f"| {label} |") == (3 if label in script.METHODS.values() else 2)

    methods, masks = (study.rounds.groupby(["variant", "seed"], observed=True)["accuracy_mean"].last().unstack("seed") for study in studies)
    for personalized in ("fedper", "fedrep", "ditto"):
        assert (methods.loc[f"{personalized},classes_per_device"] > methods.loc["fedavg,classes_per_device"] + 0.05).all()
        assert (methods.loc[f"{personalized},iid"] < methods.loc["fedavg,iid"] + 0.02).all()
    assert (masks.loc["layer-0.95"] < masks.loc["unpruned"]).all()
    work = script.costs_of(studies[1])["kept_flops"]
    equal = work[[f"{rule}-work" for rule in script.RULES]]
    assert equal.between(0.35, 0.41).all()
    assert work["layer-0.8"] == pytest.approx(0.2, abs=0.01)
    assert (work[["global-0.8", "taylor-0.8"]] > 0.4).all()
