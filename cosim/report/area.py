"""The map: site, area, and where the devices were at the start of each round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go

from cosim.report.style import BLACK, GREY, RED, SCALE, Panel, colour_bar, figure, numbers, slider, some_rounds
from cosim.trace.run import Run

if TYPE_CHECKING:
    import pandas as pd

HOVER = (
    "device %{customdata[0]}: %{customdata[1]}<br>pruning ratio %{customdata[2]}<br>bandwidth %{customdata[3]} MHz"
    "<br>planned gain %{customdata[4]} dB<br>speed %{customdata[5]} m/s<extra></extra>"
)
MOST_FRAMES: Final = 120
SHADES: Final = {"cmin": 0, "cmax": 1, "colorscale": SCALE}


def panels(run: Run) -> list[Panel]:
    """The map, if there are positions."""
    known = run.devices[run.devices["x_m"].notna()]
    if known.empty:
        return []
    rounds = some_rounds(known["round"], 4 * known["device"].nunique(), most=MOST_FRAMES)
    moments = {index: _moment(known[known["round"] == index]) for index in rounds}
    made = _map(run, known, moments[rounds[-1]])
    frames: list[dict[str, Any]] = []
    if len(rounds) > 1:
        made.update_layout(sliders=[slider(rounds, rounds[-1])])
        frames = [{"name": str(index), "data": data, "traces": [0, 1, 2]} for index, data in moments.items()]
    how = "; move the slider to go through the rounds" if frames else ""
    some = "" if len(rounds) == known["round"].nunique() else f" {len(rounds)} evenly spaced rounds are shown."
    caption = (
        f"Where the devices were when a round started{how}. The brighter a device, the more of its model was pruned; crosses were "
        f"selected but did not arrive, rings did not take part. Point at a device for its numbers.{some}"
    )
    return [Panel("Map of the devices", caption, made, frames)]


def _map(run: Run, known: pd.DataFrame, last: list[dict[str, Any]]) -> go.Figure:
    width_m, height_m = _extent(run, known)
    looks = (
        {"name": "arrived", "marker": {"size": 11, **SHADES, "line": {"width": 1, "color": BLACK}}},
        {"name": "did not arrive", "marker": {"size": 11, **SHADES, "symbol": "x", "line": {"width": 1, "color": RED}}},
        {"name": "did not take part", "marker": {"size": 9, "symbol": "circle-open"}},
    )
    dots = [
        go.Scatter(mode="markers", hovertemplate=HOVER, showlegend=True, **look).update(data, overwrite=False)
        for look, data in zip(looks, last, strict=True)
    ]
    border = {"type": "rect", "x0": 0, "y0": 0, "x1": width_m, "y1": height_m, "line": {"color": "#bdc1c6", "width": 1}, "layer": "below"}
    shades = {**SHADES, "color": [0], "showscale": True, "colorbar": colour_bar("pruning<br>ratio")}
    bar = go.Scatter(x=[None], y=[None], mode="markers", marker=shades, showlegend=False)  # there whatever became of the devices
    made = figure([*dots, _sites(run), bar], x="x [m]", y="y [m]", height=560, shapes=[border])
    made.update_xaxes(range=[-0.03 * width_m, 1.03 * width_m], constrain="domain", showgrid=False)
    made.update_yaxes(range=[-0.03 * height_m, 1.03 * height_m], scaleanchor="x", constrain="domain", showgrid=False)
    return made


def _extent(run: Run, known: pd.DataFrame) -> tuple[float, float]:
    area = run.scenario.get("area") or {}
    return float(area.get("width_m", known["x_m"].max())), float(area.get("height_m", known["y_m"].max()))


def _moment(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What changes from round to round, of the three kinds of devices: arrived, selected without success, not selected."""
    arrived, selected = rows["status"] == "arrived", rows["selected"]
    return [_dots(rows[arrived]), _dots(rows[selected & ~arrived]), _dots(rows[~selected], colour=GREY)]


def _dots(rows: pd.DataFrame, colour: str | None = None) -> dict[str, Any]:
    ratio = numbers(rows["prune_ratio"], 3)
    hover = zip(
        rows["device"].tolist(),
        rows["status"].tolist(),
        ratio,
        numbers(rows["bandwidth_hz"] / 1e6, 3),
        numbers(rows["gain_planned_db"], 4),
        numbers(rows["speed_m_s"], 3),
        strict=True,
    )
    return {
        "x": numbers(rows["x_m"], 4),
        "y": numbers(rows["y_m"], 4),
        "marker": {"color": ratio if colour is None else colour},
        "customdata": [["–" if value is None else value for value in point] for point in hover],
    }


def _sites(run: Run) -> go.Scatter:
    sites = run.scenario.get("sites") or []
    return go.Scatter(
        x=numbers([site.get("x_m", np.nan) for site in sites]),
        y=numbers([site.get("y_m", np.nan) for site in sites]),
        mode="markers",
        name="site",
        marker={"symbol": "triangle-up", "size": 16, "color": BLACK},
        hovertemplate="site at (%{x}, %{y}) m<extra></extra>",
    )
