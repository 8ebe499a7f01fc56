"""Fairness over rounds: how often each device took part, and which rounds could not serve everyone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from cosim.report import insight
from cosim.report.style import BLACK, BLUE, PALE, SKY, Panel, figure, numbers
from cosim.report.summary import percent_text, quantity_text
from cosim.trace.run import Run

if TYPE_CHECKING:
    import pandas as pd


def jain_index(values: ArrayLike) -> float:
    """Fairness of shares x_k >= 0: (sum x)^2 / (n sum x^2), from 1/n (one has all) to 1 (all alike); NaN where all are 0.

    Source: Jain, Chiu and Hawe, DEC Research Report TR-301, 1984.
    """
    x = np.asarray(values, np.float64)
    squares = x.size * float(x @ x)
    return float(x.sum()) ** 2 / squares if squares > 0 else float("nan")


def panels(run: Run) -> list[Panel]:
    """Share of the rounds in which each device arrived, was selected in vain, or could not be served; most often present first."""
    table = run.participation
    if table.empty:
        return []
    table = table.sort_values(["arrived", "selected", "infeasible"], ascending=False, kind="stable")
    vain = table["selected"] - table["arrived"]
    parts = {
        "arrived": (table["arrived"], BLUE),
        "selected, did not arrive": (vain, SKY),
        "could not be served": (table["infeasible"], BLACK),
        "still at work, not asked or offline" if run.asynchronous else "not asked or offline": (
            table["rounds"] - table["selected"] - table["infeasible"],
            PALE,
        ),
    }
    names = [f"device {device}" for device in table.index]
    bars = [
        go.Bar(
            y=numbers(count / table["rounds"], 4),
            name=name,
            marker={"color": colour},
            customdata=[[device, int(times)] for device, times in zip(names, count, strict=True)],
            hovertemplate="%{customdata[0]}: %{customdata[1]} rounds, %{y:.1%}<extra>" + name + "</extra>",
        )
        for name, (count, colour) in parts.items()
        if count.any()
    ]
    caption = (
        "Each bar is a device, and its colours the share of all rounds that ended so for it; those that arrived most often stand left. "
        "Equal bars are a fair run. Hover for the device."
    )
    gap = 0.0 if len(table) > 60 else 0.15
    axis = {"range": [0, 1], "tickformat": ".0%"}
    made = figure(bars, x="devices, by how often they arrived", y="share of rounds", height=460, barmode="stack", bargap=gap)
    made.update_yaxes(axis).update_xaxes({"showticklabels": False, "ticks": ""})
    return [Panel("How often each device took part", caption, made)]


def sentences(run: Run) -> str:
    """How fair the run was, and which rounds could not serve everyone and why; HTML."""
    return "".join(f"<p>{escape(text)}</p>" for text in (_fairness(run), _infeasible(run), _idle(run)) if text)


def _idle(run: Run) -> str:
    idle = insight.idle_rounds(run)
    if not idle:
        return ""
    return f"In {len(idle)} of {len(run.rounds)} rounds nobody was selected, and the round passed idle ({_some(idle)})."


def _fairness(run: Run) -> str:
    table = run.participation
    if not table["selected"].any():
        return "No device took part."
    updates, share, jain = table["arrived"], table["arrived_share"], jain_index(table["arrived"])
    never = int((updates == 0).sum())
    mean, least, most = (percent_text(float(value)) for value in (share.mean(), share.min(), share.max()))
    parts = [
        f"A device arrived with {updates.mean():.1f} updates on average, from {updates.min()} to {updates.max()}."
        if run.asynchronous
        else f"A device arrived in {mean} of the rounds on average, from {least} to {most}."
    ]
    if np.isfinite(jain):
        parts.append(f"Jain's fairness index of their arrivals is {jain:.3f} (1: all equally often; 1/{len(table)}: one device alone).")
    parts.append(f"{never} of {len(table)} devices never arrived." if never else "Every device arrived at least once.")
    return " ".join(parts)


def _infeasible(run: Run) -> str:
    rounds = run.rounds
    failed = rounds[~rounds["feasible"]]
    if failed.empty:
        served = "In every round the plan served all devices that it was made for within the latency threshold."
        return served if run.devices["selected"].any() else ""
    refused = run.devices[run.devices["status"] == "infeasible"].groupby("round").size().reindex(failed["round"], fill_value=0)
    which = _some([int(index) for index in failed["round"]])
    parts = [f"{len(failed)} of {len(rounds)} rounds could not serve every device within the latency threshold ({which})."]
    if refused.sum():
        others = "" if set(failed["round"]) & set(insight.idle_rounds(run)) else ", and went on with the others"
        parts.append(f"They left out {refused.mean():.1f} devices on average, at most {int(refused.max())}{others}.")
    else:
        parts.append("Nobody was left out: the allocator planned for longer than the threshold.")
    return " ".join([*parts, *_least_threshold(failed)])


def _least_threshold(failed: pd.DataFrame) -> list[str]:
    """What threshold would have done, in rounds that were not feasible."""
    needed, given = failed["least_threshold_s"], failed["latency_threshold_s"]
    short = needed > given
    parts = []
    if short.any():
        least, most = (quantity_text(float(value), "s") for value in (needed[short].min(), needed[short].max()))
        factor = float((needed / given)[short].median())
        parts.append(
            f"The least threshold at which all within reach could have been served, each pruned to the limit, was {least} to {most}: "
            f"{factor:.2f} times the one that was set (median)."
        )
    if (~short).any():
        parts.append(
            f"In {int((~short).sum())} of them the threshold alone would have allowed it: it was the allocator's rule, a device out of "
            "reach, or an energy budget that left devices out."
        )
    return parts


def _some(rounds: list[int]) -> str:
    shown = ("round " if len(rounds) == 1 else "rounds ") + ", ".join(str(index) for index in rounds[:8])
    return shown if len(rounds) <= 8 else f"{shown}, ..."
