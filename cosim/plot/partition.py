"""Figure of a partition: which device has how many images of which class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosim.plot.style import axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def partition(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Training images of each device, stacked by class; the figure for ``cosim.probe.partition_table``. Draws into ``ax`` where given."""
    from matplotlib import colormaps

    classes = [name for name in table.columns if name.startswith("class_")]
    ax = axes(ax, x="device", y="training images")
    edges, below = np.arange(len(table) + 1) - 0.5, np.zeros(len(table))
    palette = colormaps["turbo"](np.linspace(0.04, 0.96, len(classes)))
    gap = 0.2 if len(table) <= 60 else 0.0
    for colour, name in zip(palette, classes, strict=True):
        above = below + table[name].to_numpy(np.float64)
        if gap:
            ax.bar(table["device"], above - below, bottom=below, width=1 - gap, color=colour, label=name.removeprefix("class_"))
        else:
            ax.stairs(above, edges, baseline=below, fill=True, color=colour, label=name.removeprefix("class_"))
        below = above
    ax.set_xlim(edges[0], edges[-1])
    ax.grid(visible=False, axis="x")
    if len(classes) <= 20:
        ax.legend(frameon=False, fontsize=6, title="class", title_fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=0.8)
    return ax
