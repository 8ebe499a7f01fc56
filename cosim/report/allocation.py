"""Figures of who got what, and who took part: pruning ratio, bandwidth and status, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go

from cosim.report.style import SCALE, STATUS_COLOURS, Panel, colour_bar, figure, log_numbers, log_shades, numbers, round_axis, some_rounds
from cosim.trace.run import Run
from cosim.trace.schema import STATUSES

if TYPE_CHECKING:
    import pandas as pd

HOVER: Final = "device %{y}, round %{x}: "


def panels(run: Run) -> list[Panel]:
    """Pruning ratio and bandwidth: against the channel, and round by round."""
    made = (ratio_against_gain(run), ratio_map(run), bandwidth_map(run))
    return [panel for panel in made if panel is not None]


def ratio_against_gain(run: Run) -> Panel | None:
    """Pruning ratio against the gain that the planner believed, coloured by bandwidth."""
    known = run.devices[run.devices["selected"] & run.devices["prune_ratio"].notna() & run.devices["gain_planned_db"].notna()]
    if known.empty:
        return None
    shown = known[known["round"].isin(some_rounds(known["round"], 10 * known["device"].nunique()))]
    bandwidth_mhz = shown["bandwidth_hz"] / 1e6
    shades = {"color": log_numbers(bandwidth_mhz), "colorscale": SCALE, **log_shades(bandwidth_mhz, "MHz")}
    hover = zip(shown["round"].tolist(), shown["device"].tolist(), numbers(bandwidth_mhz, 3), strict=True)
    dots = go.Scatter(
        x=numbers(shown["gain_planned_db"], 4),
        y=numbers(shown["prune_ratio"], 3),
        mode="markers",
        marker={"size": 7, "opacity": 0.8, **shades},
        customdata=[list(point) for point in hover],
        hovertemplate="device %{customdata[1]}, round %{customdata[0]}: %{x} dB, pruned %{y}, %{customdata[2]} MHz<extra></extra>",
    )
    caption = (
        "Each dot is a device in a round: how well the planner thought it is heard, how much of its model was pruned, and, as colour, the "
        "bandwidth it was given. Devices at one gain differ in computing speed and in who else shared the band in that round."
    )
    return Panel("Pruning and the channel", caption, figure([dots], x="planned gain [dB]", y="pruning ratio", height=560))


def ratio_map(run: Run) -> Panel | None:
    """Pruning ratio of each device in each round."""
    caption = "Each row is a device, each column a round. Bright: much of the model was pruned. White: the device began no work then."
    table = _table(run.devices, run.devices["prune_ratio"].where(run.devices["selected"]))
    look = {"colorbar": colour_bar("pruning<br>ratio"), "hovertemplate": HOVER + "pruning ratio %{z}<extra></extra>"}
    return _heat_map(table, [numbers(row, 3) for row in table.to_numpy()], look, title="Pruning ratio", caption=caption)


def bandwidth_map(run: Run) -> Panel | None:
    """Bandwidth of each device in each round."""
    caption = "The same for the uplink bandwidth, on a logarithmic scale. Bright: a large share of the band. White: the device had none."
    table = _table(run.devices, run.devices["bandwidth_hz"].where(run.devices["selected"]) / 1e6)
    shades = log_shades(table, "MHz")
    look = {"zmin": shades["cmin"], "zmax": shades["cmax"], "colorbar": shades["colorbar"]}
    look |= {"customdata": [numbers(row, 3) for row in table.to_numpy()], "hovertemplate": HOVER + "%{customdata} MHz<extra></extra>"}
    return _heat_map(table, [log_numbers(row) for row in table.to_numpy()], look, title="Bandwidth", caption=caption)


def _heat_map(table: pd.DataFrame, z: list[list[float | None]], look: dict[str, Any], *, title: str, caption: str) -> Panel | None:
    if table.isna().all(axis=None):
        return None
    rounds = table.columns.tolist()
    cells = go.Heatmap(x=rounds, y=table.index.tolist(), z=z, colorscale=SCALE, hoverongaps=False, **look)
    return Panel(title, caption, figure([cells], x="round", y="device", height=460, xaxis=round_axis(rounds)))


def _table(devices: pd.DataFrame, values: pd.Series[float]) -> pd.DataFrame:
    """Devices x rounds, at most as many rounds as a figure should hold."""
    rounds = some_rounds(devices["round"], devices["device"].nunique())
    shown = devices.assign(shown=values)[devices["round"].isin(rounds)]
    return shown.pivot_table(index="device", columns="round", values="shown", aggfunc="first", dropna=False)


def status_panels(run: Run) -> list[Panel]:
    """What became of every device: counts per round, and device by device."""
    if run.devices.empty:
        return []
    return [status_counts(run), status_map(run)]


def status_counts(run: Run) -> Panel:
    """Devices per status and round."""
    counts = run.devices.pivot_table(index="round", columns="status", values="device", aggfunc="count", fill_value=0)
    bars = [
        go.Bar(x=counts.index.tolist(), y=counts[status].tolist(), name=status, marker={"color": colour}, hovertemplate="round %{x}: %{y}")
        for status, colour in STATUS_COLOURS.items()
        if status in counts
    ]
    words = "; ".join(f"{status}: {meaning}" for status, meaning in STATUSES.items() if status in counts)
    caption = f"How many devices took part in each round, and what became of the others ({words})."
    return Panel(
        "Devices per round",
        caption,
        figure(bars, x="round", y="devices", barmode="stack", bargap=0.15, height=460, xaxis=round_axis(counts.index)),
    )


def status_map(run: Run) -> Panel:
    """Status of each device in each round."""
    present = [status for status in STATUS_COLOURS if (run.devices["status"] == status).any()]
    code = {status: place for place, status in enumerate(present)}
    table = _table(run.devices, run.devices["status"].map(code))
    codes = table.to_numpy()
    edges = np.linspace(0, 1, len(present) + 1)
    scale = [[float(edge), STATUS_COLOURS[status]] for i, status in enumerate(present) for edge in edges[i : i + 2]]
    cells = go.Heatmap(
        x=table.columns.tolist(),
        y=table.index.tolist(),
        z=[numbers(row) for row in codes],
        zmin=-0.5,
        zmax=len(present) - 0.5,
        colorscale=scale,
        colorbar={**colour_bar(""), "tickvals": list(range(len(present))), "ticktext": present},
        customdata=[[present[int(value)] if np.isfinite(value) else "" for value in row] for row in codes],
        hovertemplate="device %{y}, round %{x}: %{customdata}<extra></extra>",
        xgap=1,
        ygap=1,
    )
    caption = (
        "The same device by device, in the round with which its work began. In the rounds after that, while it was still at it, it was "
        "skipped."
        if run.asynchronous
        else "The same device by device. A row in another colour than that of arrived is a device that is often missing, a column a round "
        "that went badly."
    )
    return Panel("Device by device", caption, figure([cells], x="round", y="device", height=460, xaxis=round_axis(cells.x)))
