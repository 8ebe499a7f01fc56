# noqa: INP001 - a script, not a package
"""The figures of docs/paper.md, two settings side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from paper_runs import BASELINE, DRAWN, EQUAL, FRONTIER, MARGIN, PROPOSED, Setting

import cosim
from cosim.plot.study import StudyPlots
from cosim.plot.style import axes, legend, line


def figures(settings: Mapping[str, Setting], studies: Mapping[str, cosim.Study]) -> dict[str, Figure]:
    """All figures by name; two settings side by side."""
    made = {name: Figure(figsize=(9.5, 3.6), layout="constrained") for name in ("accuracy_time", "accuracy_rounds", "pruning", "frontier")}
    for name, figure in made.items():
        for ax, (title, setting) in zip(figure.subplots(1, 2), settings.items(), strict=True):
            if setting.known([BASELINE]):
                draw(name, setting, ax)
            ax.set_title(title, fontsize=9)
            ax.grid(alpha=0.25, linewidth=0.5)
    made["objective"] = Figure(figsize=(11.0, 3.4), layout="constrained")
    paths = {"bandwidth": "uplink.bandwidth_hz", "devices": "devices.count", "threshold": "round.latency_threshold"}
    for ax, (name, path) in zip(made["objective"].subplots(1, 3), paths.items(), strict=True):
        if f"objective_{name}" in studies:
            studies[f"objective_{name}"].plot.sweep("objective", path, ax)
        ax.grid(alpha=0.25, linewidth=0.5)
    return made


def draw(name: str, setting: Setting, ax: Any) -> None:
    """One panel of a figure."""
    plots = StudyPlots(setting)
    if name == "pruning":
        plots.pruning_by_gain(ax, variants=setting.known([PROPOSED, "equal_bandwidth"]))
    elif name == "frontier":
        draw_frontier(setting, ax)
    else:
        plots.accuracy(ax, by="time_s" if name == "accuracy_time" else "round", variants=setting.known(DRAWN))


def draw_frontier(setting: Setting, ax: Any) -> None:
    """Accuracy less that of personalization only against the latency's share, at equal effort of three kinds."""
    axes(ax, x="latency over that of personalization only", y="accuracy less personalization only [points]")
    for index, (by, word) in enumerate(EQUAL.items()):
        names = setting.known(name for name in FRONTIER.values() if name != BASELINE)
        share = [setting.ratio("latency_s", name).estimate for name in names]
        gains = [setting.gain(name, by).interval for name in names]
        centre, half = [100 * gain.estimate for gain in gains], [100 * gain.half_width for gain in gains]
        ax.errorbar(share, centre, yerr=np.nan_to_num(half), label=f"equal {word}", marker="o", markersize=3, capsize=2, **line(index))
    ax.axhline(-100 * MARGIN, color="0.6", linewidth=0.8, linestyle=":")
    legend(ax)
