# noqa: INP001 - a script, not a package
"""The page docs/beyond.md from the studies of scenarios/studies: what becomes of the claim where its assumptions do not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from paper_page import filled, number, table
from paper_runs import BASELINE, LATER, PROPOSED, finished, spans

import cosim
from cosim import statistics
from cosim.alloc.kkt import KKT
from cosim.plot.style import axes, legend, line
from cosim.rate import Shannon
from cosim.replay import recorded_problem
from cosim.study.metrics import metrics

DELAY = "compute.mean"
LINKS = ("ideal-flat", "blocks-flat", "ideal-selective", "blocks-selective")


def write(studies: Mapping[str, cosim.Study], folder: Path) -> None:
    """Write ``beyond.md`` and its figure under ``img/paper`` into a folder."""
    images = folder / "img/paper"
    images.mkdir(parents=True, exist_ok=True)
    slow, links = (study if study and finished(study) else None for study in map(studies.get, ("stragglers", "frequency_selective")))
    if slow is not None:
        figure(slow).savefig(images / "stragglers.png", dpi=110)
    values = {
        "stragglers": LATER if slow is None else stragglers(slow),
        "selective": LATER if links is None else selective(links),
        "hindsight": LATER if links is None else hindsight(links),
    }
    (folder / "beyond.md").write_text(filled("beyond.md.in", values), encoding="utf-8")


def whole(study: cosim.Study) -> pd.DataFrame:
    """Rounds of the seeds that all variants have."""
    return study.rounds[study.rounds["seed"].isin(finished(study))]


def seeded(study: cosim.Study, rows: list[tuple[str, ...]]) -> str:
    """A table, and above it the seeds that it rests on."""
    return f"Seeds {spans(finished(study))}.\n\n{table(rows)}"


def shares(study: cosim.Study, metric: str) -> pd.DataFrame:
    """A metric of the proposed scheme over that of the baseline, a row for each seed and a column for each mean delay."""
    frame, lines = metrics(whole(study))[metric], study.swept(DELAY)
    return pd.DataFrame(
        {
            delay: frame.xs(name, level="variant") / frame.xs(lines[BASELINE][delay], level="variant")
            for delay, name in lines[PROPOSED].items()
        }
    )


def stragglers(study: cosim.Study) -> str:
    """Latencies and their ratio at each mean delay."""
    frame, lines = metrics(whole(study)), study.swept(DELAY)
    planned, realised = shares(study, "planned_latency_s"), shares(study, "latency_s")
    rows = [("mean delay", "latency of kkt [s]", "of personalization only [s]", "planned ratio", "realised ratio")]
    for delay in planned:
        names = [lines[scheme][delay] for scheme in (PROPOSED, BASELINE)]
        latencies = [number(statistics.student_t(frame["latency_s"].xs(name, level="variant"))) for name in names]
        rows.append((f"{delay:g}", *latencies, *(number(statistics.student_t(ratio[delay])) for ratio in (planned, realised))))
    return seeded(study, rows)


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
    frame = metrics(whole(study))
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
    return seeded(study, rows)


def hindsight(study: cosim.Study) -> str:
    """The plan's objective and how late it was, and the optimum for the channel as the uploads found it."""
    rows = [("link", "objective, planned", "realised over threshold", "objective in hindsight", "planned less hindsight")]
    for link in ("ideal-flat", "ideal-selective"):
        found = np.array([_looked_back(study.run(f"{link},{PROPOSED}", seed)) for seed in finished(study)])
        plan, late, best = found.T
        rows.append((link, *(number(statistics.student_t(column)) for column in (plan, late, best, plan - best))))
    return seeded(study, rows)


def _looked_back(run: cosim.Run) -> tuple[float, float, float]:
    """Means over rounds: the plan's objective, latency over threshold, and the optimum with each device's mean rate known.

    The mean rate that a device had with its share gives the SNR of a constant channel with that rate: r = B log2(1 + s/B).
    """
    best = []
    for index in run.rounds["round"]:
        problem = recorded_problem(run, index)
        rows = run.devices[run.devices["round"] == index].set_index("device").loc[problem.device_ids]
        share, rate = rows["bandwidth_hz"].to_numpy(), (rows["payload_bits"] / rows["t_upload_s"]).to_numpy()
        seen = replace(problem, snr_hz=share * np.expm1(rate / share * np.log(2.0)), rate=Shannon())
        best.append(KKT().allocate(seen, np.random.default_rng(0)).objective)
    late = run.rounds["latency_s"] / run.rounds["latency_threshold_s"]
    return float(run.rounds["objective"].mean()), float(late.mean()), float(np.mean(best))
