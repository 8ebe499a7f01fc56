# noqa: INP001 - a script, not a package
"""Seven cells that hear each other, or do not: from scenarios/studies/city_interference.yaml."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
from beyond_runs import cell, panels, seeded, whole, with_bars
from matplotlib.figure import Figure
from paper_runs import BASELINE, PROPOSED

import cosim
from cosim.plot.style import COLOURS, axes

HEARD, SCHEME = "cells.interference", "allocator.kind"
GRACE = 1.1
"""Who takes so much longer than planned for the round is counted as late."""
WORDS = {False: "without", True: "with"}


@lru_cache
def measured(study: cosim.Study) -> pd.DataFrame:
    """A row for each round of each run: whether cells hear each other, scheme, seed, round and what was planned and realised."""
    keys = ["variant", "seed", "round"]
    rounds, devices = whole(study, study.rounds), whole(study, study.devices)
    planned_s = devices[keys].merge(rounds[[*keys, "planned_latency_s"]], on=keys, how="left")["planned_latency_s"].to_numpy()
    late = (devices["t_total_s"] > GRACE * planned_s).where(devices["selected"]).astype(float)
    each = devices[keys].assign(late=late, served=devices["selected"]).groupby(keys, observed=True).mean()
    found = rounds.join(each, on=keys).assign(over=rounds["latency_s"] / rounds["planned_latency_s"])
    settings = {name: (overrides[HEARD], overrides[SCHEME]) for name, overrides in study.plan["variants"].items()}
    heard, scheme = zip(*(settings[name] for name in found["variant"].astype(str)), strict=True)
    return found.assign(heard=heard, scheme=scheme)


def medians(study: cosim.Study) -> pd.DataFrame:
    """Medians over the rounds after the first by whether cells hear each other, scheme and seed; means of shares."""
    groups = measured(study).query("round > 0").groupby(["heard", "scheme", "seed"])
    times = groups[["planned_latency_s", "latency_s", "over"]].median()
    return times.join(groups[["prune_ratio_mean", "served", "late"]].mean())


def latencies(study: cosim.Study) -> str:
    """Planned and realised latency with and without interference."""
    found = medians(study)
    head = (
        "interference",
        "scheme",
        "planned [s]",
        "realised [s]",
        "realised over planned",
        "realised over personalization only",
        "mean pruning ratio",
        "devices served",
        "of them late",
    )
    rows = []
    for heard, word in WORDS.items():
        for scheme in found.index.unique("scheme"):
            own, base_s = found.loc[heard, scheme], found.loc[(heard, BASELINE), "latency_s"]
            columns = (own["planned_latency_s"], own["latency_s"], own["over"], own["latency_s"] / base_s)
            rows.append((word, scheme, *map(cell, columns), *(cell(own[name]) for name in ("prune_ratio_mean", "served", "late"))))
    first = measured(study).query("round == 0 and heard and scheme == @PROPOSED").groupby("seed")["over"].mean()
    after = found.loc[(True, PROPOSED), "over"]
    note = f"""\
Under `{PROPOSED}` with interference the first round, whose plan expects none, takes {cell(first)} of what was planned, the later ones
{cell(after)}."""
    return f"{seeded(study, [head, *rows])}\n\n{note}"


def figure(study: cosim.Study) -> Figure:
    """Realised over planned latency round by round, and the latencies themselves."""
    made, (left, right) = panels(2)
    axes(left, x="round", y="realised over planned latency")
    axes(right, x="round", y="realised latency [s]")
    for index, scheme in enumerate(medians(study).index.unique("scheme")):
        for heard, word in WORDS.items():
            rows = measured(study).query("heard == @heard and scheme == @scheme")
            looks = {"label": f"{scheme}, {word}", "color": COLOURS[index], "linestyle": "-" if heard else ":"}
            for ax, column in ((left, "over"), (right, "latency_s")):
                by_round = rows.groupby("round")[column]
                with_bars(ax, [1.0 + number for number in by_round.groups], [values for _, values in by_round], **looks)
    right.set_yscale("log")
    made.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=7, title="scheme, interference")
    return made
