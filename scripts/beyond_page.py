# noqa: INP001 - a script, not a package
"""The page docs/beyond.md from the studies of scenarios/studies: what becomes of the claim where its assumptions do not hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from paper_page import BASELINE, PROPOSED, filled, number, table

import cosim
from cosim import statistics
from cosim.plot.style import axes, legend, line
from cosim.study.metrics import metrics

DELAY = "compute.mean"
LINKS = ("ideal-flat", "blocks-flat", "ideal-selective", "blocks-selective")


def write(studies: Mapping[str, cosim.Study], folder: Path) -> None:
    """Write ``beyond.md`` and its figure under ``img/paper`` into a folder."""
    images = folder / "img/paper"
    images.mkdir(parents=True, exist_ok=True)
    figure(studies["stragglers"]).savefig(images / "stragglers.png", dpi=110)
    values = {"stragglers": stragglers(studies["stragglers"]), "selective": selective(studies["frequency_selective"])}
    (folder / "beyond.md").write_text(filled("beyond.md.in", values), encoding="utf-8")


def shares(study: cosim.Study, metric: str) -> pd.DataFrame:
    """A metric of the proposed scheme over that of the baseline, a row for each seed and a column for each mean delay."""
    frame, lines = metrics(study.rounds)[metric], study.swept(DELAY)
    return pd.DataFrame(
        {
            delay: frame.xs(name, level="variant") / frame.xs(lines[BASELINE][delay], level="variant")
            for delay, name in lines[PROPOSED].items()
        }
    )


def stragglers(study: cosim.Study) -> str:
    """Latencies and their ratio at each mean delay."""
    frame, lines = metrics(study.rounds), study.swept(DELAY)
    planned, realised = shares(study, "planned_latency_s"), shares(study, "latency_s")
    rows = [("mean delay", "latency of kkt [s]", "of personalization only [s]", "planned ratio", "realised ratio")]
    for delay in planned:
        names = [lines[scheme][delay] for scheme in (PROPOSED, BASELINE)]
        latencies = [number(statistics.student_t(frame["latency_s"].xs(name, level="variant"))) for name in names]
        rows.append((f"{delay:g}", *latencies, *(number(statistics.student_t(ratio[delay])) for ratio in (planned, realised))))
    return table(rows)


def figure(study: cosim.Study) -> Figure:
    """Planned and realised ratio against the mean delay."""
    made = Figure(figsize=(5.0, 3.2), layout="constrained")
    ax = axes(made.subplots(), x="mean delay of computing, in units of its nominal time", y="latency of kkt over personalization only")
    for index, (metric, label) in enumerate({"planned_latency_s": "planned", "latency_s": "realised"}.items()):
        found = shares(study, metric)
        intervals = [statistics.student_t(found[delay]) for delay in found]
        half = np.nan_to_num([interval.half_width for interval in intervals])
        ax.errorbar(
            list(found), [interval.estimate for interval in intervals], yerr=half, label=label, marker=".", capsize=2, **line(index)
        )
    ax.grid(alpha=0.25, linewidth=0.5)
    legend(ax)
    return made


def selective(study: cosim.Study) -> str:
    """Planned and realised latency on each kind of link, and what the joint allocation saves."""
    frame = metrics(study.rounds)
    rows = [("link", "planned, kkt [s]", "realised, kkt [s]", "realised over planned", "realised over personalization only")]
    for link in LINKS:
        own, other = (frame.xs(f"{link},{scheme}", level="variant") for scheme in (PROPOSED, BASELINE))
        columns = (
            own["planned_latency_s"],
            own["latency_s"],
            own["latency_s"] / own["planned_latency_s"],
            own["latency_s"] / other["latency_s"],
        )
        rows.append((link, *(number(statistics.student_t(column)) for column in columns)))
    return table(rows)
