"""The studies and the script behind docs/known_results.md, with two seeds and few rounds."""

import importlib.util
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

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


def synthetic(accuracies, work):
    """A study as the script sees it: the accuracy of each variant in the last round, one value for each of five seeds."""
    keys = [(variant, seed) for variant in accuracies for seed in range(5)]
    variant = pd.Categorical([name for name, _ in keys], categories=list(accuracies))
    names = pd.DataFrame({"variant": variant, "seed": [seed for _, seed in keys]})
    rest = [
        "latency_s",
        "planned_latency_s",
        "objective",
        "prune_ratio_mean",
        "devices_arrived",
        "devices_pruned",
        "devices_selected",
        "coverage_min",
        "uncovered_fraction",
        "kept_flops",
        "uplink_bits",
        "energy_j",
    ]
    values = [accuracies[name][seed] for name, seed in keys]
    rounds = names.assign(**dict.fromkeys(rest, 1.0), accuracy_mean=values, accuracy_p10=values, global_accuracy=values)
    devices = names.assign(prune_ratio=0.5, kept_flops=[work.get(name, 1e6) for name, _ in keys], payload_bits=8.0)
    return types.SimpleNamespace(
        directory="runs/synthetic",
        variants=tuple(accuracies),
        seeds=range(5),
        runs=names.assign(finished=True),
        rounds=rounds,
        devices=devices,
    )


def told(values, sign=""):
    """Mean and half width in per cent, by scipy's Student t."""
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values)
    return f"{100 * values.mean():{sign}.1f} +- {100 * half:.1f}"


def test_the_page_says_what_the_numbers_say(script, tmp_path):
    """FedPer gains ten points in every seed under skew, ditto loses ten; noise of a point has no sign; work is a share."""
    base, noise = np.array([0.50, 0.52, 0.54, 0.49, 0.51]), np.array([0.01, -0.011, 0.009, -0.01, 0.002])
    methods = {f"{method},{partition}": base + noise for method in script.METHODS for partition in script.PARTITIONS}
    for partition in script.PARTITIONS:
        methods[f"fedavg,{partition}"] = base
    methods["fedper,classes_per_device"] = base + 0.1 + 0.2 * noise
    methods["ditto,classes_per_device"] = base - 0.1 + 0.2 * noise
    masks = dict.fromkeys((*script.CURVE, *(f"{rule}-{kind}" for rule in script.RULES for kind in ("0.8", "work"))), base)
    masks["layer-0.95"] = base - 0.2
    script.write(synthetic(methods, {}), synthetic(masks, {"global-0.8": 4.3e5}), tmp_path)
    page = (tmp_path / "known_results.md").read_text(encoding="utf-8")
    skewed, alike = page.split("**2 of 10 classes each**")[1], page.split("**all alike (IID)**")[1]
    for place, name, method, word in (
        (skewed, "FedPer", "fedper,classes_per_device", "higher"),
        (skewed, "Ditto", "ditto,classes_per_device", "lower"),
        (alike, "FedPer", "fedper,iid", "not told apart"),
    ):
        cells = (told(methods[method]), told(methods[method] - base, "+"), word)
        assert f"| {name} | {' | '.join(cells)} |" in place
    assert (
        "- 2 of 10 classes each: compared with FedAvg, FedPer is higher; Ditto is lower; FedRep, local training are not told apart." in page
    )
    assert "| magnitude, global | 0.50 | 0.43 | 1.00 |" in page
    assert "5 of 5 seeds" in page
    assert max(len(line) for line in page.splitlines() if "|" not in line and "In the order" not in line) <= 140
    assert (tmp_path / "img/known_results.png").stat().st_size > 10_000


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

    methods, masks = (
        study.rounds.groupby(["variant", "seed"], observed=True, as_index=False)
        .last()
        .pivot_table("accuracy_mean", "variant", "seed", observed=True)
        for study in studies
    )
    for personalized in ("fedper", "fedrep", "ditto"):
        assert (methods.loc[f"{personalized},classes_per_device"] > methods.loc["fedavg,classes_per_device"] + 0.05).all()
        assert (methods.loc[f"{personalized},iid"] < methods.loc["fedavg,iid"] + 0.02).all()
    assert (masks.loc["layer-0.95"] < masks.loc["unpruned"]).all()
    work = script.costs_of(studies[1])["kept_flops"]
    equal = work[[f"{rule}-work" for rule in script.RULES]]
    assert equal.between(0.35, 0.41).all()
    assert work["layer-0.8"] == pytest.approx(0.2, abs=0.01)
    assert (work[["global-0.8", "taylor-0.8"]] > 0.4).all()
