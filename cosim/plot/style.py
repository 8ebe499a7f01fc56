"""How figures look: a column of a two-column paper, colours that colour-blind readers can tell apart, units on the axes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito, "Color universal design" (2008).
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#202124")
DASHES: Final = ("-", "--", "-.", ":")
PHASES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "t_download_s": ("download", "#56B4E9"),
        "t_wait_s": ("wait", "#9AA0A6"),
        "t_compute_s": ("compute", "#009E73"),
        "t_upload_s": ("upload", "#0072B2"),
    }
)
"""What a device does in a round, in this order: column, name, colour."""
UNITS: Final[Mapping[str, str]] = MappingProxyType({"s": "s", "hz": "Hz", "j": "J", "bits": "bit", "db": "dB", "m": "m", "bps": "bit/s"})
_PAPER: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "font.size": 8,
        "axes.labelsize": 8,
        "legend.fontsize": 7,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.2,
        "figure.dpi": 150,
        "savefig.bbox": "tight",
    }
)


def axes(ax: Axes | None, *, x: str, y: str, height_in: float = 2.3) -> Axes:
    """The given axes, or those of a new figure 3.5 in wide, with labels."""
    if ax is None:
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        paper: Any = dict(_PAPER)
        with mpl.rc_context(paper):
            ax = plt.subplots(figsize=(3.5, height_in), layout="constrained")[1]
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax


def line(index: int) -> dict[str, Any]:
    """Colour and dash of the index-th line: told apart without colour too."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}


def cdf(ax: Axes, values: ArrayLike, label: str, **style: Any) -> None:
    """Empirical distribution function of the finite values; nothing where there is none."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if known.size:
        ax.ecdf(known, label=label, **style)


def legend(ax: Axes, **place: Any) -> None:
    """A legend where there is something to tell apart."""
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(frameon=False, fontsize=7, **place)


def labelled(column: str) -> str:
    """``latency [s]`` of ``latency_s``: the unit stands in a column's name."""
    name, _, suffix = column.rpartition("_")
    return f"{name.replace('_', ' ')} [{UNITS[suffix]}]" if suffix in UNITS else column.replace("_", " ")
