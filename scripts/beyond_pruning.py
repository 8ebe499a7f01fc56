# noqa: INP001 - a script, not a package
"""Whole units against single weights: from scenarios/studies/structured.yaml."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
from beyond_runs import cell, panels, seeded, whole, with_bars
from matplotlib.figure import Figure
from paper_page import points
from paper_runs import Setting

import cosim
from cosim.plot.style import axes, legend, line

UNPRUNED, DENSE = "unpruned", "weights, dense kernels"
KINDS = {"weights": "single weights", "units-of-8": "units, filters by 8", "units": "units, any number"}


@lru_cache
def measured(study: cosim.Study) -> Setting:
    """The runs of the seeds that all variants have."""
    return Setting(whole(study, study.rounds), whole(study, study.devices))


@lru_cache
def dense_latency_s(study: cosim.Study) -> pd.Series:
    """Mean latency [s] by variant and seed if kernels were dense: every device computes as long as the same device unpruned."""
    devices = measured(study).devices
    whole_s = devices[devices["variant"] == UNPRUNED].groupby(["seed", "device"])["t_compute_s"].mean().rename("unpruned_s")
    longer = devices.join(whole_s, on=["seed", "device"])
    total = (longer["t_total_s"] - longer["t_compute_s"] + longer["unpruned_s"]).rename("dense_s")
    rounds = total.groupby([longer[key] for key in ("variant", "seed", "round")], observed=True).max()
    return rounds.groupby(["variant", "seed"], observed=True).mean()


def costs(study: cosim.Study) -> str:
    """What each kind of mask takes and costs at each threshold, in true bits and work."""
    setting, dense = measured(study), dense_latency_s(study)
    head = (
        "threshold [s]",
        "masks of",
        "planned [s]",
        "realised [s]",
        "with dense kernels [s]",
        "mean pruning ratio",
        "uplink over unpruned",
        "work over unpruned",
        "parameters nobody kept",
        "accuracy",
        "less unpruned [points]",
    )
    rows = []
    for name in study.variants:
        kind, _, threshold = name.partition(",")
        sums = [setting.values(metric, name) / setting.values(metric, UNPRUNED) for metric in ("uplink_bits", "kept_flops")]
        rows.append(
            (
                threshold or "none",
                KINDS.get(kind, kind),
                cell(setting.values("planned_latency_s", name)),
                cell(setting.values("latency_s", name)),
                cell(dense.xs(name, level="variant")) if kind == "weights" else "",
                cell(setting.values("prune_ratio", name)),
                *map(cell, sums),
                cell(setting.values("uncovered_fraction", name)),
                cell(setting.values("accuracy_mean", name)),
                "" if name == UNPRUNED else points(setting.gain(name, baseline=UNPRUNED)),
            )
        )
    return seeded(study, [head, *rows])


def findings(study: cosim.Study) -> str:
    """What the table says at each threshold, with its numbers."""
    setting, dense = measured(study), dense_latency_s(study)
    lines = []
    for name in study.variants:
        kind, _, threshold = name.partition(",")
        if kind != "weights":
            continue
        own = cell(setting.values("latency_s", name)), cell(dense.xs(name, level="variant"))
        gaps = [f"{KINDS[units]} {points(setting.gain(f'{units},{threshold}', baseline=name))}" for units in KINDS if units != kind]
        lines.append(
            f"- Threshold {threshold} s: masks of single weights take {own[0]} s with kernels that are sparse at full efficiency and "
            f"{own[1]} s with dense ones. Accuracy less theirs, in points: {'; '.join(gaps)}."
        )
    return "\n".join(lines)


def figure(study: cosim.Study) -> Figure:
    """Accuracy less unpruned against the realised latency's share; work against what was sent."""
    setting, dense = measured(study), dense_latency_s(study)
    made, (left, right) = panels(2)
    axes(left, x="realised latency over unpruned", y="accuracy less unpruned [points]")
    axes(right, x="uplink over unpruned", y="work over unpruned")
    names = {kind: [name for name in study.variants if name.partition(",")[0] == kind] for kind in KINDS}
    base = {metric: setting.values(metric, UNPRUNED) for metric in ("latency_s", "accuracy_mean", "uplink_bits", "kept_flops")}

    def over(metric: str, variants: list[str]) -> list[pd.Series]:
        return [setting.values(metric, name) / base[metric] for name in variants]

    for index, (label, variants) in enumerate({**{label: names[kind] for kind, label in KINDS.items()}, DENSE: names["weights"]}.items()):
        dense_share = [dense.xs(name, level="variant") / base["latency_s"] for name in variants]
        share = dense_share if label == DENSE else over("latency_s", variants)
        lost = [100 * (setting.values("accuracy_mean", name) - base["accuracy_mean"]) for name in variants]
        with_bars(left, [one.mean() for one in share], lost, label=label, **line(index))
        if label != DENSE:
            sent = [one.mean() for one in over("uplink_bits", variants)]
            with_bars(right, sent, over("kept_flops", variants), label=label, **line(index))
    right.axline((0.5, 0.5), slope=1.0, color="0.6", linewidth=0.8)
    legend(left)
    return made
