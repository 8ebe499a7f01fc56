# noqa: INP001 - a script, not a package
"""Whole blocks, fading that differs over the band, and the optimum in hindsight: from scenarios/studies/frequency_selective.yaml."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
from beyond_runs import cell, panels, per_cent, seeded, whole
from matplotlib.figure import Figure
from paper_runs import BASELINE, PROPOSED, finished

import cosim
from cosim.alloc.kkt import KKT
from cosim.interfaces import AllocationProblem
from cosim.plot.style import axes, cdf, legend, line
from cosim.rate import Shannon
from cosim.replay import recorded_problem
from cosim.study.metrics import metrics

LINKS = ("ideal-flat", "blocks-flat", "ideal-selective", "blocks-selective")
KNOWN = ("ideal-flat", "ideal-selective")
"""Links on which a device has the share that it was allocated, all of the time."""
HALVINGS, ROUNDING = 20, 1e-6


def latencies(study: cosim.Study) -> str:
    """Planned and realised latency on each kind of link, and what the joint allocation saves."""
    frame, devices = metrics(whole(study, study.rounds)), whole(study, study.devices)
    stray = (devices["t_upload_s"] / (devices["t_planned_s"] - (devices["t_total_s"] - devices["t_upload_s"]))).rename("stray")
    spread = stray.groupby([devices["variant"], devices["seed"]], observed=True).std()
    rows = [
        (
            "link",
            "planned, kkt [s]",
            "realised, kkt [s]",
            "realised over planned",
            "realised over personalization only",
            "deviation of an upload from its plan",
        )
    ]
    for link in LINKS:
        own, other = (frame.xs(f"{link},{scheme}", level="variant") for scheme in (PROPOSED, BASELINE))
        columns = (
            own["planned_latency_s"],
            own["latency_s"],
            own["latency_s"] / own["planned_latency_s"],
            own["latency_s"] / other["latency_s"],
            spread.xs(f"{link},{PROPOSED}", level="variant"),
        )
        rows.append((link, *map(cell, columns)))
    took = {link: frame["latency_s"].xs(f"{link},{PROPOSED}", level="variant") for link in LINKS}
    blocks, differs, both = (cell(took[link] / took["ideal-flat"]) for link in ("blocks-flat", "ideal-selective", "blocks-selective"))
    note = f"""\
Against the ideal uplink on a flat channel, seed by seed, a round of `{PROPOSED}` takes {blocks} as long on whole blocks, {differs} where
the channel differs over the band, and {both} with both."""
    return f"{seeded(study, rows)}\n\n{note}"


def hindsight(study: cosim.Study) -> str:
    """The plan beside the optimum for the channel as the uploads found it, with the same time or for the same objective."""
    rows = [
        (
            "link",
            "objective of the plan",
            "in hindsight, same threshold",
            "in hindsight, as long as it really took",
            "latency realised [s]",
            "in hindsight, same objective [s]",
            "realised over hindsight",
        )
    ]
    dear = {}
    for link in KNOWN:
        found = looked_back(study, link).groupby("seed").mean()
        dear[link] = found["latency_s"] / found["best_s"]
        columns = (found["planned"], found["at_threshold"], found["at_latency"], found["latency_s"], found["best_s"], dear[link])
        rows.append((link, *map(cell, columns)))
    flat = dear[KNOWN[0]].mean() - 1.0
    return (
        f"{seeded(study, rows)}\n\nOn the flat channel a round takes {per_cent(flat)} longer than the optimum in hindsight needs "
        "for the same objective."
    )


@lru_cache
def looked_back(study: cosim.Study, link: str) -> pd.DataFrame:
    """A row for each round: seed, the plan's objective and realised latency, and optima in hindsight.

    ``at_threshold``, ``at_latency``: the objective with the round's threshold, or its realised latency, as threshold; ``best_s``: the
    shortest threshold at which the objective is no more than the plan's.
    """
    rows = []
    for seed in finished(study):
        run = study.run(f"{link},{PROPOSED}", seed)
        for index, latency_s, planned in run.rounds[["round", "latency_s", "objective"]].itertuples(index=False):
            known = realised_problem(run, index)
            found = (planned, optimum(known, known.latency_threshold_s), optimum(known, latency_s), latency_s)
            rows.append((seed, *found, shortest_s(known, planned, latency_s)))
    return pd.DataFrame(rows, columns=["seed", "planned", "at_threshold", "at_latency", "latency_s", "best_s"])


def realised_problem(run: cosim.Run, index: int) -> AllocationProblem:
    """Problem (P) of a round with the downloads that were, and constant channels on which each device's share has its realised mean rate.

    r = B log2(1 + s / B) gives s = B (2^(r / B) - 1). Local work is as planned: nothing straggles.
    """
    problem = recorded_problem(run, index)
    rows = run.devices[run.devices["round"] == index].set_index("device").loc[problem.device_ids]
    share, rate = rows["bandwidth_hz"].to_numpy(), (rows["payload_bits"] / rows["t_upload_s"]).to_numpy()
    before_s = (rows["t_total_s"] - rows["t_upload_s"] - (1.0 - rows["prune_ratio"]) * rows["prunable_time_s"]).to_numpy()
    return replace(problem, fixed_time_s=before_s, snr_hz=share * np.expm1(rate / share * np.log(2.0)), rate=Shannon())


def optimum(problem: AllocationProblem, threshold_s: float) -> float:
    """The least objective at a threshold."""
    return KKT().allocate(replace(problem, latency_threshold_s=threshold_s), np.random.default_rng(0)).objective


def shortest_s(problem: AllocationProblem, objective: float, enough_s: float) -> float:
    """The shortest threshold at which the optimum is no more than an objective, which it is at ``enough_s``; by halving."""
    low_s, high_s = 0.0, enough_s
    for _ in range(HALVINGS):
        middle_s = 0.5 * (low_s + high_s)
        if optimum(problem, middle_s) <= objective + ROUNDING:
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s


def figure(study: cosim.Study) -> Figure:
    """How far uploads stray from the plan on each link; the rounds' latencies beside those of the optimum in hindsight."""
    made, (left, right) = panels(2)
    axes(left, x="a device's realised over its planned time", y="share of devices and rounds")
    devices = whole(study, study.devices)
    for place, link in enumerate(LINKS):
        rows = devices[devices["variant"] == f"{link},{PROPOSED}"]
        cdf(left, rows["t_total_s"] / rows["t_planned_s"], link, **line(place))
    legend(left)
    axes(right, x="latency of the optimum in hindsight [s]", y="realised latency [s]")
    for place, link in enumerate(KNOWN):
        found = looked_back(study, link)
        right.plot(found["best_s"], found["latency_s"], "ox"[place], markersize=3, color=line(place)["color"], label=link)
    shown = pd.concat([looked_back(study, link)[["best_s", "latency_s"]] for link in KNOWN])
    limits = (0.95 * shown.min().min(), 1.05 * shown.max().max())
    right.plot(limits, limits, color="0.6", linewidth=0.8)
    right.set(xlim=limits, ylim=limits)
    legend(right)
    return made
