# noqa: INP001 - a script, not a package
"""What the sections of docs/beyond.md share: the seeds that a study is compared over, intervals, and how its figures look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from paper_page import number, table
from paper_runs import finished, spans

import cosim
from cosim import statistics


def whole(study: cosim.Study, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of a study's table that are of seeds that all variants have."""
    return frame[frame["seed"].isin(finished(study))]


def seeded(study: cosim.Study, rows: Sequence[Sequence[str]]) -> str:
    """A table, and above it the seeds that it rests on."""
    return f"Seeds {spans(finished(study))}.\n\n{table(rows)}"


def cell(values: ArrayLike) -> str:
    """Mean and 95 % interval over seeds."""
    return number(statistics.student_t(values))


def per_cent(value: float) -> str:
    """A share as ``12 %``, with a decimal below ten."""
    return f"{100 * value:.{0 if abs(value) >= 0.1 else 1}f} %"


def panels(count: int, **size: Any) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side."""
    made = Figure(layout="constrained", figsize=size.get("figsize", (4.2 * count + 0.8, 3.2)))
    found = list(np.atleast_1d(made.subplots(1, count)))
    for ax in found:
        ax.grid(alpha=0.25, linewidth=0.5)
    return made, found


def with_bars(ax: Axes, x: Sequence[float], samples: Sequence[ArrayLike], **looks: Any) -> None:
    """Means over seeds with their 95 % intervals, one for each x."""
    intervals = [statistics.student_t(sample) for sample in samples]
    half = np.nan_to_num([interval.half_width for interval in intervals])
    ax.errorbar(x, [interval.estimate for interval in intervals], yerr=half, **{"marker": ".", "capsize": 2, **looks})
