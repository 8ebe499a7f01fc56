"""The map: site, area, and where the devices were at the start of each round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from cosim.report.style import BLACK, GREY, RED, SCALE, Panel, colour_bar, figure, numbers, some_rounds
from cosim.trace.run import Run

if TYPE_CHECKING:
    import pandas as pd

HOVER = (
    "device %{customdata[0]}: %{customdata[1]}<br>pruning ratio %{customdata[2]}<br>bandwidth %{customdata[3]} MHz"
    "<br>planned gain %{customdata[4]} dB<br>speed %{customdata[5]} m/s<extra></extra>"
)
POINT_COST = 4  # numbers per point, in units of what other figures need


def panels(run: Run) -> list[Panel]:
    """The map, if there are positions."""
    known = run.devices[run.devices["x_m"].notna()]
    if known.empty:
        return []
    width_m, height_m = _extent(run, known)
    rounds = some_rounds(known["round"], known["device"].nunique() * POINT_COST)
    frames = [go.Frame(name=str(index), data=_devices(known[known["round"] == index]), traces=[0, 1, 2]) for index in rounds]
    border = go.layout.Shape(type="rect", x0=0, y0=0, x1=width_m, y1=height_m, line={"color": "#bdc1c6", "width": 1}, layer="below")
    made = figure([*frames[-1].data, _sites(run)], x="x [m]", y="y [m]", height=560, shapes=[border], **_controls(rounds))
    made.update_xaxes(range=[-0.03 * width_m, 1.03 * width_m], constrain="domain", showgrid=False)
    made.update_yaxes(range=[-0.03 * height_m, 1.03 * height_m], scaleanchor="x", constrain="domain", showgrid=False)
    made.frames = frames if len(rounds) > 1 else []
    some = "" if len(rounds) == known["round"].nunique() else f" {len(rounds)} evenly spaced rounds are shown."
    caption = (
        "Where the devices were when a round started; move the slider to go through the rounds. The brighter a device, the more of its "
        f"model was pruned; crosses were selected but did not arrive, rings did not take part. Point at a device for its numbers.{some}"
    )
    return [Panel("Map of the devices", caption, made)]


def _extent(run: Run, known: pd.DataFrame) -> tuple[float, float]:
    area = run.scenario.get("area") or {}
    return float(area.get("width_m", known["x_m"].max())), float(area.get("height_m", known["y_m"].max()))


def _devices(rows: pd.DataFrame) -> list[go.Scatter]:
    """Three traces: arrived, selected without success, not selected."""
    arrived, selected = rows["status"] == "arrived", rows["selected"]
    scale = {"cmin": 0, "cmax": 1, "colorscale": SCALE}
    return [
        _dots(
            rows[arrived],
            "arrived",
            {**scale, "size": 11, "colorbar": colour_bar("pruning<br>ratio"), "line": {"width": 1, "color": BLACK}},
            coloured=True,
        ),
        _dots(
            rows[selected & ~arrived],
            "did not arrive",
            {**scale, "size": 11, "symbol": "x", "line": {"width": 1, "color": RED}},
            coloured=True,
        ),
        _dots(rows[~selected], "did not take part", {"size": 9, "symbol": "circle-open", "color": GREY}, coloured=False),
    ]


def _dots(rows: pd.DataFrame, name: str, marker: dict[str, Any], *, coloured: bool) -> go.Scatter:
    ratio = numbers(rows["prune_ratio"], 3)
    data = zip(
        rows["device"].tolist(),
        rows["status"].tolist(),
        ratio,
        numbers(rows["bandwidth_hz"] / 1e6, 3),
        numbers(rows["gain_planned_db"], 4),
        numbers(rows["speed_m_s"], 3),
        strict=True,
    )
    return go.Scatter(
        x=numbers(rows["x_m"], 4),
        y=numbers(rows["y_m"], 4),
        mode="markers",
        name=name,
        marker={**marker, "color": ratio} if coloured else marker,
        customdata=[["–" if value is None else value for value in point] for point in data],
        hovertemplate=HOVER,
        showlegend=True,
    )


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


def _controls(rounds: list[int]) -> dict[str, Any]:
    """The slider; none where there is but one round."""
    if len(rounds) < 2:
        return {}
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    steps = [{"label": str(index), "method": "animate", "args": [[str(index)], at_once]} for index in rounds]
    current = {"prefix": "round ", "xanchor": "left"}
    return {"sliders": [{"steps": steps, "active": len(steps) - 1, "currentvalue": current, "pad": {"t": 40}}]}
