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

EQUAL = "equal_bandwidth"
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


def schemes(study: cosim.Study) -> list[str]:
    """The allocators in the study's order."""
    return list(dict.fromkeys(overrides[SCHEME] for overrides in study.plan["variants"].values()))


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
        for scheme in schemes(study):
            own, base_s = found.loc[heard, scheme], found.loc[(heard, BASELINE), "latency_s"]
            columns = (own["planned_latency_s"], own["latency_s"], own["over"], own["latency_s"] / base_s)
            rows.append((word, scheme, *map(cell, columns), *(cell(own[name]) for name in ("prune_ratio_mean", "served", "late"))))
    first = measured(study).query("round == 0 and heard and scheme == @PROPOSED").groupby("seed")["over"].mean()
    after = found.loc[(True, PROPOSED), "over"]
    saved = {heard: found.loc[(heard, PROPOSED), "latency_s"] / found.loc[(heard, BASELINE), "latency_s"] for heard in WORDS}
    less = {heard: found.loc[(heard, EQUAL), "prune_ratio_mean"] - found.loc[(heard, PROPOSED), "prune_ratio_mean"] for heard in WORDS}
    note = f"""\
`{PROPOSED}` takes {cell(saved[False])} of the latency of personalization alone without interference and {cell(saved[True])} with it, and
prunes {cell(less[False])} and {cell(less[True])} of the shared model less than `{EQUAL}`, on average and seed by seed.
Under `{PROPOSED}` with interference the first round, whose plan expects none, takes {cell(first)} of what was planned, the later ones
{cell(after)}."""
    return f"{seeded(study, [head, *rows])}\n\n{note}"


def figure(study: cosim.Study) -> Figure:
    """Realised over planned latency round by round, mean with interval, and the median latencies themselves."""
    made, (left, right) = panels(2)
    axes(left, x="round", y="realised over planned latency")
    axes(right, x="round", y="realised latency, median of seeds [s]")
    for index, scheme in enumerate(schemes(study)):
        for heard, word in WORDS.items():
            rows = measured(study).query("heard == @heard and scheme == @scheme")
            looks = {"label": f"{scheme}, {word}", "color": COLOURS[index], "linestyle": "-" if heard else ":"}
            by_round = rows.groupby("round")
            numbers = [1.0 + number for number in by_round.groups]
            with_bars(left, numbers, [values for _, values in by_round["over"]], **looks)
            right.plot(numbers, by_round["latency_s"].median(), marker=".", **looks)
    right.set_ylim(0, None)
    made.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=7, title="scheme, interference")
    return made
