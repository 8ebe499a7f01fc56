"""Who was pruned, and why: whether the radio or computing was what a device lacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go

from cosim.report import insight
from cosim.report.style import SCALE, Panel, colour_bar, figure, log_axis, numbers, some_rounds
from cosim.report.summary import MOST_DEVICES, UNKNOWN, percent_text, quantity_text, ratio_text, table

if TYPE_CHECKING:
    import pandas as pd

    from cosim.trace.run import Run

HEAD: Final = (
    "device",
    "pruned in",
    "pruning ratio",
    "radio-bound",
    "compute-bound",
    "computing, unpruned",
    "upload, unpruned",
    "planned gain",
)


def panels(run: Run) -> list[Panel]:
    """The allocator's view of the pruned devices; nothing where nothing was pruned or no plan was recorded."""
    known = insight.pruned(insight.device_rounds(run))
    computing = known[known["prunable_time_s"] > 0]  # a logarithmic axis has no place for the others
    return [] if computing.empty else [_why(computing)]


def _why(known: pd.DataFrame) -> Panel:
    shown = known[known["round"].isin(some_rounds(known["round"], 12 * known["device"].nunique()))]
    ends = [float(shown["prunable_time_s"].min()), float(shown["prunable_time_s"].max())]
    line = go.Scatter(
        x=ends,
        y=ends,
        mode="lines",
        name="equally long",
        line={"color": "#5f6368", "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    looks = {insight.RADIO: ("radio-bound", "circle"), insight.COMPUTING: ("compute-bound", "diamond")}
    dots = [
        _dots(shown[shown["bound"] == bound], name, symbol, bar=place == 0)
        for place, (bound, (name, symbol)) in enumerate(looks.items())
        if (shown["bound"] == bound).any()
    ]
    caption = (
        "Each mark is a device in a round in which something was pruned: how long it would have computed without pruning, and how long it "
        "would have sent in the share of the band that it was given. Above the line (circles) it lacked radio, below (diamonds) computing "
        "speed. Bright: much was pruned."
    )
    made = figure([*dots, line], x="computing, unpruned [s]", y="upload, unpruned [s]", height=560)
    made.update_xaxes(log_axis(shown["prunable_time_s"])).update_yaxes(log_axis(shown["full_upload_s"]))
    return Panel("Why devices were pruned", caption, made)


def _dots(rows: pd.DataFrame, name: str, symbol: str, *, bar: bool) -> go.Scatter:
    shades = {"color": numbers(rows["prune_ratio"], 3), "cmin": 0, "cmax": 1, "colorscale": SCALE, "showscale": bar}
    hover = zip(rows["device"].tolist(), rows["round"].tolist(), numbers(rows["prune_ratio"], 3), strict=True)
    return go.Scatter(
        x=numbers(rows["prunable_time_s"], 3),
        y=numbers(rows["full_upload_s"], 3),
        mode="markers",
        name=name,
        marker={"size": 7, "opacity": 0.8, "symbol": symbol, "colorbar": colour_bar("pruning<br>ratio"), **shades},
        customdata=[list(point) for point in hover],
        hovertemplate=f"device %{{customdata[0]}}, round %{{customdata[1]}}: {name}, pruned %{{customdata[2]}}<extra></extra>",
    )


def pruned_table(run: Run) -> str:
    """The devices that were pruned most, and what they lacked; HTML, empty where nothing was pruned."""
    rows = insight.device_rounds(run)
    known = insight.pruned(rows)
    if known.empty:
        return ""
    ratio = known.groupby("device")["prune_ratio"].sum() / rows.groupby("device").size()
    worst = ratio.dropna().sort_values(ascending=False, kind="stable").head(MOST_DEVICES)
    lines = [
        _line(device, float(mean), known[known["device"] == device], int((rows["device"] == device).sum()))
        for device, mean in worst.items()
    ]
    return f"<p>The devices that were pruned most, on average over their rounds (at most {MOST_DEVICES}):</p>{table(HEAD, lines)}"


def _line(device: object, mean: float, rows: pd.DataFrame, rounds: int) -> list[str]:
    radio = float((rows["bound"] == insight.RADIO).mean())
    gain = f"{rows['gain_planned_db'].median():.0f} dB" if rows["gain_planned_db"].notna().any() else UNKNOWN
    times = [quantity_text(float(rows[column].median()), "s") for column in ("prunable_time_s", "full_upload_s")]
    return [str(device), f"{len(rows)} of {rounds} rounds", ratio_text(mean), percent_text(radio), percent_text(1 - radio), *times, gain]
