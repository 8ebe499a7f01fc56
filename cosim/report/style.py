"""How figures look: colours that colour-blind readers can tell apart, and one layout for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from cosim.trace.schema import Status

# Okabe and Ito, "Color universal design" (2008): distinct in all common forms of colour blindness.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, BLACK = "#56B4E9", "#CC79A7", "#9AA0A6", "#202124"
PALE: Final = "#E3E6EA"
SCALE: Final = "Cividis"
LINES: Final = (
    (BLUE, "solid"),
    (ORANGE, "dash"),
    (GREEN, "dashdot"),
    (RED, "dot"),
    (SKY, "longdash"),
    (PURPLE, "longdashdot"),
    (BLACK, "solid"),
)
"""Colour and dash of one line after the other: told apart without colour too."""

STATUS_COLOURS: Final[Mapping[Status, str]] = MappingProxyType(
    {
        "arrived": BLUE,
        "late": ORANGE,
        "dropped": RED,
        "rejected": PURPLE,
        "offline": GREY,
        "infeasible": BLACK,
        "skipped": PALE,
    }
)
MOST_POINTS: Final = 25_000
"""More points than this per figure would make the page heavy; figures then show evenly spaced rounds."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of the page: ``caption`` is a plain sentence that says how to read it.

    ``frames``: what a slider of the figure switches between, as plotly.js takes it. ``notes``: a sentence for each frame's
    name, shown beside it; ``first``: the frame that is shown before the slider is moved.
    """

    title: str
    caption: str
    figure: go.Figure
    frames: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    first: str = ""


def numbers(values: ArrayLike, digits: int = 5) -> list[float | None]:
    """Values for a figure: rounded to significant digits, None where not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in np.asarray(values, np.float64).ravel().tolist()]


def figure(traces: list[Any], *, x: str, y: str, height: int = 380, **layout: Any) -> go.Figure:
    """A figure in the style of the page, axes titled ``x`` and ``y``."""
    base: dict[str, Any] = {
        "template": "none",
        "height": height,
        "autosize": True,
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#3c4043"},
        "margin": {"l": 56, "r": 16, "t": 32, "b": 48},
        "xaxis": _axis(x),
        "yaxis": _axis(y),
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#bdc1c6", "activecolor": BLACK},
        "hoverlabel": {"bgcolor": "white", "font": {"color": BLACK}},
        "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    made = go.Figure(traces, base)
    made.update_layout(layout)
    return made


def colour_bar(title: str) -> dict[str, Any]:
    """A slim colour bar under ``title``."""
    return {"title": {"text": title, "font": {"size": 12}}, "thickness": 12, "outlinewidth": 0}


def log_shades(values: ArrayLike, title: str) -> dict[str, Any]:
    """Colour range on a logarithmic scale for values > 0, for data log10(values): a few large ones leave the others distinct.

    Keys cmin, cmax and colorbar, whose ticks are labelled with the values themselves.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known) & (known > 0)]
    least, most = (float(known.min()), float(known.max())) if known.size else (1.0, 1.0)
    ticks = _log_ticks(least, most)
    bar = {**colour_bar(title), "tickvals": numbers(np.log10(ticks)), "ticktext": [f"{tick:.3g}" for tick in ticks]}
    return {"cmin": float(np.log10(least)), "cmax": float(np.log10(most)) + 1e-9, "colorbar": bar}


def log_axis(values: ArrayLike) -> dict[str, Any]:
    """A logarithmic axis for values > 0 whose ticks are labelled with the values themselves."""
    known = np.asarray(values, np.float64)
    ticks = _log_ticks(float(known.min()), float(known.max()))
    return {"type": "log", "tickvals": numbers(ticks), "ticktext": [f"{tick:.3g}" for tick in ticks]}


def _log_ticks(least: float, most: float) -> list[float]:
    ticks = _ticks(least, most, (1, 2, 5))
    return ticks if len(ticks) >= 3 else _ticks(least, most, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)) or [least]


def _ticks(least: float, most: float, steps: tuple[float, ...]) -> list[float]:
    powers = range(int(np.floor(np.log10(least))), int(np.ceil(np.log10(most))) + 1)
    return [step * 10.0**power for power in powers for step in steps if least <= step * 10.0**power <= most]


def log_numbers(values: ArrayLike) -> list[float | None]:
    """log10 of values as ``numbers``; None where not > 0."""
    known = np.asarray(values, np.float64)
    return numbers(np.log10(np.where(known > 0, known, np.nan)), 4)


def round_axis(rounds: ArrayLike) -> dict[str, Any]:
    """Ticks at whole rounds where automatic ones might fall between them."""
    return {"dtick": 1} if len(np.unique(np.asarray(rounds, np.int64))) <= 10 else {}


def slider(rounds: list[int], shown: int, *, redraw: bool = False) -> dict[str, Any]:
    """A slider through frames named after their rounds; ``redraw``: for traces other than points and lines."""
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": redraw}, "transition": {"duration": 0}}
    steps = [{"label": str(index), "method": "animate", "args": [[str(index)], at_once]} for index in rounds]
    return {"steps": steps, "active": rounds.index(shown), "currentvalue": {"prefix": "round ", "xanchor": "left"}, "pad": {"t": 40}}


def _axis(title: str) -> dict[str, Any]:
    line = {"showline": True, "linecolor": "#bdc1c6", "ticks": "outside", "tickcolor": "#bdc1c6", "zeroline": False}
    return {"title": {"text": title, "standoff": 8, "font": {"size": 13}}, "automargin": True, "gridcolor": "#eceff1", **line}


def some_rounds(rounds: ArrayLike, points_per_round: int, *, most: int = MOST_POINTS) -> list[int]:
    """Evenly spaced rounds, first and last among them: at most ``most``, and within ``MOST_POINTS`` of the figure."""
    every = np.unique(np.asarray(rounds, np.int64))
    most = max(2, min(most, MOST_POINTS // max(points_per_round, 1)))
    if len(every) <= most:
        return [int(index) for index in every]
    return [int(index) for index in every[np.linspace(0, len(every) - 1, most).round().astype(int)]]
