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
    "device %{customdata[0]}: %{customdata[1]}<br>served by site %{customdata[6]}<br>pruning ratio %{customdata[2]}"
    "<br>bandwidth %{customdata[3]} MHz"
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
    moments = {index: _moment(run, known[known["round"] == index]) for index in rounds}
    made = _map(run, known, moments[rounds[-1]])
    frames: list[dict[str, Any]] = []
    if len(rounds) > 1:
        made.update_layout(sliders=[slider(rounds, rounds[-1])])
        frames = [{"name": str(index), "data": data, "traces": list(range(len(data)))} for index, data in moments.items()]
    how = "; move the slider to go through the rounds" if frames else ""
    some = "" if len(rounds) == known["round"].nunique() else f" {len(rounds)} evenly spaced rounds are shown."
    caption = (
        f"Where the devices were when a round started{how}. The brighter a device, the more of its model was pruned; crosses were "
        f"selected but did not arrive, rings began no work then. Point at a device for its numbers.{_cells_in_words(run)}{some}"
    )
    return [Panel("Map of the devices", caption, made, frames)]


def _cells_in_words(run: Run) -> str:
    if len(_places(run)) < 2:
        return ""
    wraps = " The plane wraps: who has no line is served by an image of its site, across the edge." if _wraps(run) else ""
    return f" Lines lead to the sites that serve them.{wraps}"


def _map(run: Run, known: pd.DataFrame, last: list[dict[str, Any]]) -> go.Figure:
    width_m, height_m = _extent(run, known)
    looks = (
        {"name": "arrived", "marker": {"size": 11, **SHADES, "line": {"width": 1, "color": BLACK}}},
        {"name": "did not arrive", "marker": {"size": 11, **SHADES, "symbol": "x", "line": {"width": 1, "color": RED}}},
        {"name": "did not take part", "marker": {"size": 9, "symbol": "circle-open"}},
    )
    dots = [
        go.Scatter(mode="markers", hovertemplate=HOVER, showlegend=True, **look).update(data, overwrite=False)
        for look, data in zip(looks, last, strict=False)
    ]
    dots += [go.Scatter(mode="lines", name="served by", line={"color": GREY, "width": 0.7}, hoverinfo="skip", **data) for data in last[3:]]
    border = {"type": "rect", "x0": 0, "y0": 0, "x1": width_m, "y1": height_m, "line": {"color": "#bdc1c6", "width": 1}, "layer": "below"}
    shades = {**SHADES, "color": [0], "showscale": True, "colorbar": colour_bar("pruning<br>ratio")}
    bar = go.Scatter(x=[None], y=[None], mode="markers", marker=shades, showlegend=False)  # there whatever became of the devices
    shapes = [] if _wraps(run) else [border]
    made = figure([*dots, _sites(run), bar], x="x [m]", y="y [m]", height=560, shapes=shapes)
    ranges = [[-0.03 * width_m, 1.03 * width_m], [-0.03 * height_m, 1.03 * height_m]]
    if _wraps(run):  # devices are where they were folded to, around the sites
        ranges = [[float(known[name].min()) - 20.0, float(known[name].max()) + 20.0] for name in ("x_m", "y_m")]
    made.update_xaxes(range=ranges[0], constrain="domain", showgrid=False)
    made.update_yaxes(range=ranges[1], scaleanchor="x", constrain="domain", showgrid=False)
    return made


def _wraps(run: Run) -> bool:
    return bool((run.scenario.get("area") or {}).get("wrap_around"))


def _extent(run: Run, known: pd.DataFrame) -> tuple[float, float]:
    area = run.scenario.get("area") or {}
    return float(area.get("width_m", known["x_m"].max())), float(area.get("height_m", known["y_m"].max()))


def _moment(run: Run, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What changes from round to round: devices of three kinds, arrived, selected without success, not selected; lines to their sites."""
    arrived, selected = rows["status"] == "arrived", rows["selected"]
    dots = [_dots(rows[arrived]), _dots(rows[selected & ~arrived]), _dots(rows[~selected], colour=GREY)]
    return [*dots, _lines(run, rows)] if len(_places(run)) > 1 and "site" in rows else dots


def _lines(run: Run, rows: pd.DataFrame) -> dict[str, Any]:
    """From each device to the site that serves it; none where that is an image of the site, beyond the edge of a plane that wraps."""
    site_m, device_m = _places(run)[rows["site"].to_numpy()], rows[["x_m", "y_m"]].to_numpy()
    here = np.abs(np.hypot(*(device_m - site_m).T) - rows["distance_m"].to_numpy()) < 1.0
    ends = np.stack([device_m[here], site_m[here], np.full((int(here.sum()), 2), np.nan)], axis=1).reshape(-1, 2)
    return {"x": numbers(ends[:, 0], 5), "y": numbers(ends[:, 1], 5)}


def _places(run: Run) -> np.ndarray:
    """Where the sites are (sites, 2)."""
    return np.array([(site.get("x_m", np.nan), site.get("y_m", np.nan)) for site in run.scenario.get("sites") or []]).reshape(-1, 2)


def _dots(rows: pd.DataFrame, colour: str | None = None) -> dict[str, Any]:
    ratio = numbers(rows["prune_ratio"], 3)
    hover = zip(
        rows["device"].tolist(),
        rows["status"].tolist(),
        ratio,
        numbers(rows["bandwidth_hz"] / 1e6, 3),
        numbers(rows["gain_planned_db"], 4),
        numbers(rows["speed_m_s"], 3),
        (rows["site"] if "site" in rows else np.zeros(len(rows), np.int64)).tolist(),
        strict=True,
    )
    return {
        "x": numbers(rows["x_m"], 4),
        "y": numbers(rows["y_m"], 4),
        "marker": {"color": ratio if colour is None else colour},
        "customdata": [["–" if value is None else value for value in point] for point in hover],
    }


def _sites(run: Run) -> go.Scatter:
    places = _places(run)
    return go.Scatter(
        x=numbers(places[:, 0]),
        y=numbers(places[:, 1]),
        mode="markers",
        name="site",
        marker={"symbol": "triangle-up", "size": 16, "color": BLACK},
        customdata=list(range(len(places))),
        hovertemplate="site %{customdata} at (%{x}, %{y}) m<extra></extra>",
    )
