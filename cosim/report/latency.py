"""Figures of time: how long rounds and devices took, against the plan, and where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from cosim.report import insight
from cosim.report.learning import TIME_TITLE
from cosim.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    SCALE,
    SKY,
    Panel,
    figure,
    log_numbers,
    log_shades,
    numbers,
    round_axis,
    some_rounds,
)
from cosim.trace.run import Run

if TYPE_CHECKING:
    import pandas as pd

PHASES = {
    "t_download_s": ("download", SKY),
    "t_compute_s": ("compute", GREEN),
    "t_wait_s": ("waiting for own work", GREY),
    "t_upload_s": ("upload", BLUE),
    "t_idle_s": ("waiting for others", PALE),
}
MOST_STEPS = 500


def panels(run: Run) -> list[Panel]:
    """Latency over time and its distributions."""
    made = (latency_over_time(run), latency_of_rounds(run), latency_of_devices(run), planned_against_realised(run))
    return [panel for panel in made if panel is not None]


def latency_over_time(run: Run) -> Panel | None:
    """Latency of each round: realised, planned, and the threshold that the allocation had to meet; asynchronous ones have no plan."""
    rounds, alone = run.rounds, run.asynchronous
    if rounds["latency_s"].isna().all():
        return None
    kinds = {
        "latency_s": ("realised", BLUE, "solid", "lines+markers"),
        "planned_latency_s": ("planned", ORANGE, "dash", "lines+markers"),
        "latency_threshold_s": ("threshold", BLACK, "dot", "lines"),
    }
    lines = [
        go.Scatter(
            x=numbers(rounds["t_end_s"]),
            y=numbers(rounds[name]),
            name=label,
            mode=mode if len(rounds) > 1 else "markers",
            line={"color": colour, "dash": dash},
            marker={"size": 5},
            customdata=rounds["round"].tolist(),
            hovertemplate="round %{customdata}, %{x} s: %{y:.4g} s",
        )
        for name, (label, colour, dash, mode) in kinds.items()
        if rounds[name].notna().any() and not (alone and label != "realised")
    ]
    caption = (
        "How long it took from one aggregation to the next. No round had a plan of its own: plans are the devices', below."
        if alone
        else "How long each round took. The threshold is what the allocator's plan had to keep (round.latency_threshold of the scenario); "
        "a plan that uses it in full lies on it. Realised above planned: fading, stragglers or whole resource blocks made it longer than "
        "the plan, which knows only averages, foresaw."
    )
    return Panel("Latency of the rounds", caption, figure(lines, x=TIME_TITLE, y="latency [s]", yaxis_rangemode="tozero"))


def latency_of_rounds(run: Run) -> Panel | None:
    """Distribution of the rounds' latency, planned and realised."""
    planned = None if run.asynchronous else ecdf(run.rounds["planned_latency_s"], "planned", ORANGE, "dash")
    curves = [planned, ecdf(run.rounds["latency_s"], "realised", BLUE, "solid")]
    caption = "The share of rounds that were over within a given time. The further left a curve lies, the faster the rounds."
    return _distribution("Distribution over rounds", caption, curves, "latency of a round [s]", "share of rounds")


def latency_of_devices(run: Run) -> Panel | None:
    """Distribution of the time that devices needed, planned and realised, over those that arrived."""
    arrived = run.devices[run.devices["status"] == "arrived"]
    curves = [ecdf(arrived["t_planned_s"], "planned", ORANGE, "dash"), ecdf(arrived["t_total_s"], "realised", BLUE, "solid")]
    caption = (
        "The share of devices that were done within a given time, over all rounds in which their update arrived. A plan that uses the "
        "threshold in full is a step; the slope of the realised curve is what fading and stragglers made of it."
    )
    return _distribution("Distribution over devices", caption, curves, "time of a device [s]", "share of devices")


def _distribution(title: str, caption: str, curves: list[go.Scatter | None], x: str, y: str) -> Panel | None:
    known = [curve for curve in curves if curve is not None]
    if not known:
        return None
    longest = max(max(curve.x) for curve in known)
    return Panel(title, caption, figure(known, x=x, y=y, xaxis_range=[0, 1.06 * longest], yaxis_range=[0, 1.02]))


def ecdf(values: ArrayLike, name: str, colour: str, dash: str) -> go.Scatter | None:
    """Empirical distribution function: a step of 1/n at each value; beyond ``MOST_STEPS`` values their quantiles."""
    known = np.sort(np.asarray(values, np.float64))
    known = known[np.isfinite(known)]
    if not known.size:
        return None
    share = np.arange(1, known.size + 1) / known.size
    if known.size > MOST_STEPS:
        share = np.linspace(1 / MOST_STEPS, 1, MOST_STEPS)
        known = np.quantile(known, share, method="inverted_cdf")
    return go.Scatter(
        x=numbers(np.concatenate([known[:1], known])),
        y=numbers(np.concatenate([[0.0], share])),
        name=name,
        mode="lines",
        line={"color": colour, "dash": dash, "shape": "hv"},
        hovertemplate="%{y:.0%} within %{x} s",
    )


def planned_against_realised(run: Run) -> Panel | None:
    """Each device in each round: planned against realised time, coloured by its straggler factor."""
    arrived = run.devices[(run.devices["status"] == "arrived") & run.devices["t_total_s"].notna() & run.devices["t_planned_s"].notna()]
    if arrived.empty:
        return None
    shown = arrived[arrived["round"].isin(some_rounds(arrived["round"], 14 * arrived["device"].nunique()))]
    most = float(max(shown["t_planned_s"].max(), shown["t_total_s"].max()))
    least = float(min(shown["t_planned_s"].min(), shown["t_total_s"].min()))
    line = go.Scatter(x=[least, most], y=[least, most], mode="lines", name="as planned", line={"color": BLACK, "dash": "dot", "width": 1})
    factor = shown["straggler_factor"]
    shades = {"color": log_numbers(factor), "colorscale": SCALE, **log_shades(factor, "compute<br>factor")}
    hover = zip(shown["round"].tolist(), shown["device"].tolist(), numbers(factor, 3), strict=True)
    dots = go.Scatter(
        x=numbers(shown["t_planned_s"], 4),
        y=numbers(shown["t_total_s"], 4),
        mode="markers",
        name="a device in a round",
        marker={"size": 6, "opacity": 0.75, **shades},
        customdata=[list(point) for point in hover],
        hovertemplate="device %{customdata[1]}, round %{customdata[0]}: plan %{x} s, took %{y} s, factor %{customdata[2]}<extra></extra>",
    )
    caption = (
        "Each dot is a device whose update arrived. Above the dotted line it took longer than planned. The colour is its compute time "
        "over the nominal one: bright dots high up computed slowly, dark dots high up had a slow radio."
    )
    return Panel("Planned against realised", caption, figure([dots, line], x="planned [s]", y="realised [s]"))


def time_panels(run: Run) -> list[Panel]:
    """Where the rounds' time went: over rounds, and per device."""
    arrived = _phases(run)
    if arrived.empty:
        return []
    return [time_per_round(arrived, alone=run.asynchronous), time_per_device(arrived)]


def _phases(run: Run) -> pd.DataFrame:
    """Rows of devices that arrived, with the time from their own end to that of the round that took the update."""
    rows = insight.device_rounds(run)
    arrived = rows[rows["status"] == "arrived"]
    return arrived.assign(t_idle_s=(arrived["latency_s"] - arrived["t_total_s"]).clip(lower=0))


def time_per_round(arrived: pd.DataFrame, *, alone: bool) -> Panel:
    """Mean over the devices that arrived, stacked to the round's latency; ``alone``: to the aggregation that took the update."""
    mean = arrived.groupby("round")[list(PHASES)].mean()
    bars = _stack(mean.index.tolist(), mean, "round %{x}: %{y:.3g} s")
    caption = (
        "What the average device did of those that began with each round; the height is the time until an aggregation took its update. "
        "Waiting for others: the update was there, and the aggregation had not come."
        if alone
        else "What the average device did in each round; the height is the round's latency. Waiting for others: it had finished and the "
        "round had not; the smaller that part, the better the allocation evens the devices out."
    )
    return Panel(
        "Per round",
        caption,
        figure(bars, x="round", y="mean time of a device [s]", barmode="stack", bargap=0.15, xaxis=round_axis(mean.index)),
    )


def time_per_device(arrived: pd.DataFrame) -> Panel:
    """Mean over rounds, devices sorted by their own time."""
    mean = arrived.groupby("device")[list(PHASES)].mean()
    order = mean.drop(columns="t_idle_s").sum(axis=1).sort_values(ascending=False).index
    mean = mean.loc[order]
    bars = _stack([str(device) for device in mean.index], mean, "device %{x}: %{y:.3g} s")
    caption = "The same per device, averaged over the rounds in which its update arrived; the devices that need most time come first."
    made = figure(bars, x="device", y="mean time in a round [s]", barmode="stack", bargap=0.15, xaxis_type="category")
    return Panel("Per device", caption, made)


def _stack(x: list[int] | list[str], mean: pd.DataFrame, hover: str) -> list[go.Bar]:
    return [
        go.Bar(x=x, y=numbers(mean[name], 4), name=label, marker={"color": colour}, hovertemplate=f"{label}, {hover}<extra></extra>")
        for name, (label, colour) in PHASES.items()
        if mean[name].max() > 0
    ]
