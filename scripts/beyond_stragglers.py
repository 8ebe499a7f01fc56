# noqa: INP001 - a script, not a package
"""Where joint allocation stops helping as devices straggle: from scenarios/studies/stragglers.yaml."""

from __future__ import annotations

import pandas as pd
from beyond_runs import cell, panels, seeded, whole, with_bars
from matplotlib.figure import Figure
from paper_runs import BASELINE, PROPOSED

import cosim
from cosim import statistics
from cosim.plot.style import axes, legend, line
from cosim.study.metrics import metrics

DELAY = "compute.mean"


def shares(study: cosim.Study, metric: str) -> pd.DataFrame:
    """A metric of the proposed scheme over that of the baseline, a row for each seed and a column for each mean delay."""
    frame, lines = metrics(whole(study, study.rounds))[metric], study.swept(DELAY)
    return pd.DataFrame(
        {
            delay: frame.xs(name, level="variant") / frame.xs(lines[BASELINE][delay], level="variant")
            for delay, name in lines[PROPOSED].items()
        }
    )


def latencies(study: cosim.Study) -> str:
    """Latencies and their ratio at each mean delay, and what the last of them says."""
    frame, lines = metrics(whole(study, study.rounds)), study.swept(DELAY)
    planned, realised = shares(study, "planned_latency_s"), shares(study, "latency_s")
    rows = [("mean delay", "latency of kkt [s]", "of personalization only [s]", "planned ratio", "realised ratio")]
    for delay in planned:
        found = [cell(frame["latency_s"].xs(lines[scheme][delay], level="variant")) for scheme in (PROPOSED, BASELINE)]
        rows.append((f"{delay:g}", *found, *(cell(ratio[delay]) for ratio in (planned, realised))))
    most = max(realised)
    last = statistics.student_t(realised[most])
    word = "still helps" if last.high < 1 else "makes things worse" if last.low > 1 else "cannot be told from no help"
    return f"{seeded(study, rows)}\n\nAt a mean delay of {most:g} nominal times joint allocation {word}: {cell(realised[most])}."


def figure(study: cosim.Study) -> Figure:
    """Planned and realised ratio against the mean delay."""
    made, (ax,) = panels(1)
    axes(ax, x="mean delay of computing, in units of its nominal time", y="latency of kkt over personalization only")
    for index, (metric, label) in enumerate({"planned_latency_s": "planned", "latency_s": "realised"}.items()):
        found = shares(study, metric)
        with_bars(ax, list(found), [found[delay] for delay in found], label=label, **line(index))
    legend(ax)
    return made
