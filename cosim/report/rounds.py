"""Figures of what every device did and when: one round at a time, and the whole run as one timeline."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go

from cosim.report import insight, words
from cosim.report.latency import PHASES
from cosim.report.learning import TIME_TITLE
from cosim.report.style import BLACK, ORANGE, Panel, figure, numbers, slider, some_rounds

if TYPE_CHECKING:
    import pandas as pd

    from cosim.trace.run import Run

MOST_BARS: Final = 50
MOST_FRAMES: Final = 120
MOST_CELLS: Final = 40_000
PARTS: Final = {
    "t_download_s": PHASES["t_download_s"],
    "t_wait_s": PHASES["t_wait_s"],
    "t_compute_s": PHASES["t_compute_s"],
    "t_upload_s": PHASES["t_upload_s"],
    "t_rest_s": PHASES["t_idle_s"],
}
"""What a device does in a round, in this order: column, name, colour."""


def panels(run: Run) -> list[Panel]:
    """One round as bars, with its story; the timeline of all devices."""
    rows = insight.device_rounds(run)
    if rows.empty:
        return []
    return [one_round(run, _timed(rows)), timeline(run, _timed(rows))]


def _timed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the time of each part that ended or was cut off by the round's end, and the rest of the round."""
    compute = rows["t_compute_s"].fillna((rows["latency_s"] - rows[["t_download_s", "t_wait_s"]].sum(axis=1)).clip(lower=0))
    rest = (rows["latency_s"] - rows["t_total_s"]).clip(lower=0).fillna(0)
    return rows.assign(t_compute_s=compute, t_upload_s=rows["upload_s"], t_rest_s=rest).fillna({"t_download_s": 0.0, "t_wait_s": 0.0})


def one_round(run: Run, rows: pd.DataFrame) -> Panel:
    """What every device did in one round, the last to finish on top; a slider goes through the rounds."""
    shown = some_rounds(rows["round"], 6 * min(MOST_BARS, rows["device"].nunique()), most=MOST_FRAMES)
    totals = {row["round"]: row for row in run.rounds.to_dict("records")}
    by_round = {index: _slowest(group) for index, group in rows[rows["round"].isin(shown)].groupby("round")}
    height = max(len(group) for group in by_round.values())
    columns = [column for column in PARTS if rows[column].max() > 0]
    moments = {index: _bars(by_round[index], totals[index], columns, height) for index in shown}
    first = max(shown, key=lambda index: _overrun(totals[index]))
    made = figure(moments[first], x="time since the round began [s]", y="device", height=_height(height), barmode="stack", bargap=0.2)
    made.update_yaxes(**_names(by_round[first]), range=[height - 0.5, -0.5], showgrid=False)
    made.update_xaxes(range=_span(by_round[first], totals[first]))
    frames: list[dict[str, Any]] = []
    if len(shown) > 1:
        made.update_layout(sliders=[slider(shown, first, redraw=True)])
        frames = [_frame(index, data, by_round[index], totals[index]) for index, data in moments.items()]
    notes = {str(index): text for index, text in words.round_notes(run).items() if index in moments}
    some = f" The {MOST_BARS} devices that took longest are shown." if rows["device"].nunique() > MOST_BARS else ""
    what = (
        "What every device did that began with a round, until an aggregation took its update; the one that took longest is on top. The "
        "dashed line is the end that was planned for the last of them"
        if run.asynchronous
        else "What every device did in one round; the device that was last is on top. The dashed line is the end that was planned for the "
        "round"
    )
    caption = f"{what}: bars beyond it took longer. Pale: the device was done, and waited for the others.{some}"
    return Panel("Round by round", caption, made, frames, notes, str(first))


def _overrun(total: dict[Any, Any]) -> float:
    return float(np.nan_to_num(total["latency_s"] - total["planned_latency_s"]))


def _height(devices: int) -> int:
    return 230 + 13 * min(devices, MOST_BARS)


def _slowest(group: pd.DataFrame) -> pd.DataFrame:
    """As the stragglers are ranked: those that were late first, then by the time they were done."""
    late = group.assign(late=group["t_total_s"].isna())
    return late.sort_values(["late", "done_s", "before_s"], ascending=False, kind="stable").head(MOST_BARS)


def _bars(group: pd.DataFrame, total: dict[Any, Any], columns: list[str], height: int) -> list[Any]:
    """Bars of the devices from the top, and the planned end; all rounds have ``height`` places, so that a frame need not say them."""
    rest = [None] * (height - len(group))
    bars = [
        go.Bar(
            x=[*numbers(group[column], 3), *rest],
            y=list(range(height)),
            orientation="h",
            name=PARTS[column][0],
            marker={"color": PARTS[column][1]},
            hovertemplate=f"{PARTS[column][0]} %{{x}} s<extra></extra>",
        )
        for column in columns
    ]
    planned = numbers([total["planned_latency_s"]] * 2)
    line = {"color": BLACK, "dash": "dash", "width": 1.5}
    return [*bars, go.Scatter(x=planned, y=[-0.5, height - 0.5], mode="lines", name="planned end", line=line, hoverinfo="skip")]


def _names(group: pd.DataFrame) -> dict[str, Any]:
    marks = ["" if status == "arrived" else f" {status}" for status in group["status"]]
    return {
        "tickvals": list(range(len(group))),
        "ticktext": [f"{device}{mark}" for device, mark in zip(group["device"], marks, strict=True)],
        "tickfont": {"size": 10},
    }


def _span(group: pd.DataFrame, total: dict[Any, Any]) -> list[float | None]:
    """The stretch of time that a round needs on its axis: until an aggregation has taken the last update."""
    ends = [group["latency_s"].max(), total["planned_latency_s"], group["done_s"].max()]
    return [0.0, *numbers([1.04 * float(np.nanmax(ends))], 4)]


def _frame(index: int, bars: list[Any], group: pd.DataFrame, total: dict[Any, Any]) -> dict[str, Any]:
    names = _names(group)
    layout = {
        "xaxis": {"range": _span(group, total)},
        "yaxis": {"tickvals": names["tickvals"], "ticktext": names["ticktext"]},
    }
    return {"name": str(index), "data": [{"x": bar.x} for bar in bars], "traces": list(range(len(bars))), "layout": layout}


def timeline(run: Run, rows: pd.DataFrame) -> Panel:
    """What every device was doing at every time, as a picture of devices x simulated time."""
    devices = np.unique(rows["device"].to_numpy())
    begin, end = float(run.rounds["t_start_s"].min()), float(run.rounds["t_end_s"].max())
    count = max(2, min(800, MOST_CELLS // len(devices)))
    edges = np.linspace(begin, end, count + 1)
    doing = _doing(run, rows, devices, (edges[1:] + edges[:-1]) / 2)
    names, colours = zip(*PARTS.values(), strict=True)
    steps = np.linspace(0, 1, len(names) + 1)
    scale = [[float(edge), colour] for place, colour in enumerate(colours) for edge in steps[place : place + 2]]
    cells = go.Heatmap(
        x0=numbers([(edges[0] + edges[1]) / 2])[0],
        dx=float(edges[1] - edges[0]),
        y=devices.tolist(),
        z=[[None if code < 0 else code for code in row] for row in doing.tolist()],
        zmin=-0.5,
        zmax=len(names) - 0.5,
        colorscale=scale,
        showscale=False,
        hovertemplate="device %{y} at %{x:.4g} s<extra></extra>",
    )
    keys = [
        go.Scatter(x=[None], y=[None], mode="markers", name=name, marker={"symbol": "square", "size": 11, "color": colour})
        for name, colour in zip(names, colours, strict=True)
    ]
    marks = go.Scatter(
        x=[value for moment in numbers(run.rounds["t_end_s"], 6) for value in (moment, moment, None)],
        y=[devices[0] - 0.5, devices[-1] + 0.5, None] * len(run.rounds),
        mode="lines",
        name="end of a round",
        line={"color": ORANGE, "width": 1},
        hoverinfo="skip",
    )
    caption = (
        "The whole run: each row is a device, from left to right simulated time. Lines are the ends of rounds. Pale before a line: "
        "devices that were done and waited for others. White: the device did not take part. Drag to enlarge a part."
    )
    made = figure([cells, *keys, marks], x=TIME_TITLE, y="device", height=_height(len(devices)))
    made.update_xaxes(range=[begin, end]).update_yaxes(range=[float(devices[0]) - 0.5, float(devices[-1]) + 0.5])
    return Panel("Timeline", caption, made)


def _doing(run: Run, rows: pd.DataFrame, devices: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Place in ``PARTS`` of what each device does at each moment, -1 for nothing; (devices, moments)."""
    starts = rows["round"].map(run.rounds.set_index("round")["t_start_s"]).to_numpy(np.float64)
    ends = starts[:, None] + np.cumsum(rows[list(PARTS)].to_numpy(np.float64), axis=1)
    place = np.searchsorted(devices, rows["device"].to_numpy())
    found = np.full((len(devices), len(moments)), -1, np.int8)
    borders = np.concatenate([starts[:, None], ends], axis=1)
    cells = np.searchsorted(moments, borders)
    for row, line in zip(place.tolist(), cells.tolist(), strict=True):  # stretches have different lengths: one slice each
        for code, (first, last) in enumerate(itertools.pairwise(line)):
            found[row, first:last] = code
    return found
