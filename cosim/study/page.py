"""Several runs as one self-contained HTML page: variants side by side, seeds as bands and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from cosim.errors import RunError, counted
from cosim.plot.study import band, intervals
from cosim.report import insight
from cosim.report.latency import PHASES, ecdf
from cosim.report.page import document, figures, save, section, write_report
from cosim.report.style import BLACK, LINES, Panel, figure, numbers
from cosim.report.summary import percent_text, quantity_text, seconds_text, table
from cosim.study import tables
from cosim.study.compare import Comparison, Member, compare, leaves_of, members, rounds_of, study_of
from cosim.study.layout import STUDY_NAME
from cosim.study.results import Study
from cosim.trace.run import Run

if TYPE_CHECKING:
    import pandas as pd


def write_page(directories: Sequence[Path], out: Path | str | None = None) -> Path:
    """The page about one run, or about several or a study; see ``write_report`` and ``write_comparison``."""
    if len(directories) == 1 and study_of(directories) is None:
        return write_report(Run.open(directories[0]), out)
    return write_comparison(directories, out)


def write_comparison(directories: Sequence[Path], out: Path | str | None = None) -> Path:
    """Write the page about a study, or about run directories, and return where it is.

    Default: ``report.html`` in the study's directory, or in the current one. Raises RunError when a run is not finished, cannot be
    read, or the page cannot be written; CosimError when the directories cannot be compared.
    """
    chosen, study = members(directories), study_of(directories)
    path = (study.directory if study else Path()) / "report.html" if out is None else Path(out)
    return save(page(chosen, study), path)


def page(chosen: Sequence[Member], study: Study | None = None) -> str:
    """The whole page as text; ``study``: whose finished runs they are. Raises RunError where a run holds no round."""
    title = study.directory.resolve().name if study else counted(len(chosen), "run")
    rounds = rounds_of(chosen, study.variants if study else ())
    if rounds.empty:
        raise RunError(f"{title}: no finished round, so there is nothing to report")
    made = compare(rounds, sequential=study.until if study else None)
    devices = _devices(chosen)
    body = [
        _header(chosen, title, rounds),
        "<main>",
        section("In a few words", _answers(made)),
        section("Metrics", _metrics(made)),
        figures("What was learned", [*_accuracy(rounds)], 0),
        figures("How long rounds took", [*_latency(rounds)], 10),
        figures("Where the time went", [*_time(devices)], 20),
        section("All runs", _runs(chosen)),
        section("What sets the variants apart", _differences(chosen)),
        section("How to get these runs again", _reproduction(chosen, study)),
        "</main>",
    ]
    return document(title, "\n".join(body))


def _devices(chosen: Sequence[Member]) -> pd.DataFrame:
    import pandas as pd

    kept = ["latency_s", "done_s", "waiting_s", *(column for column in PHASES if column != "t_idle_s")]
    frames = [
        insight.device_rounds(one.run).assign(t_upload_s=lambda rows: rows["upload_s"])[kept].assign(variant=one.variant) for one in chosen
    ]
    return pd.concat(frames, ignore_index=True)


def _header(chosen: Sequence[Member], title: str, rounds: pd.DataFrame) -> str:
    variants = {one.variant for one in chosen}
    facts = {"runs": len(chosen), "variants": len(variants), "seeds": len({one.seed for one in chosen}), "rounds": len(rounds)}
    items = "".join(f"<li>{escape(key)} <b>{value}</b></li>" for key, value in facts.items())
    return f'<header><h1>{escape(title)}</h1><ul class="facts">{items}</ul></header>'


def _answers(made: Comparison) -> str:
    """Which differences from the baseline are significant, or the same for every seed, in words."""
    base, *others = made.variants
    if not others:
        return ""
    lines = []
    for name in others:
        found = [_difference(metric, row[name], row[base].interval.estimate) for metric, row in made.cells.items()]
        told = [text for text in found if text]
        lines.append((f"{name} against {base}", "; ".join(told) + "." if told else "no significant difference in any metric."))
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in lines)}</dl>"


def _difference(metric: str, cell: Any, base: float) -> str:
    gap = cell.difference
    always = gap is not None and gap.half_width == 0 and gap.estimate != 0
    if gap is None or not (always or cell.p_adjusted < 0.05):
        return ""
    size = f"{100 * abs(gap.estimate / base):.3g} %" if base else f"{abs(gap.estimate):.3g}"
    return f"{metric} {size} {'higher' if gap.estimate > 0 else 'lower'}{' for every seed alike' if always else ''}"


def _metrics(made: Comparison) -> str:
    header, rows = tables.lines(made, "±")
    notes = "".join(f"<p>{escape(note)}</p>" for note in made.notes)
    return f'<div class="whole">{table(header, rows)}</div>{notes}'


def _look(index: int) -> dict[str, Any]:
    colour, dash = LINES[index % len(LINES)]
    return {"color": colour, "dash": dash}


def _groups(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), rows) for name, rows in frame.groupby("variant", observed=True, sort=False)]


def _accuracy(rounds: pd.DataFrame) -> list[Panel]:
    known = rounds[rounds["accuracy_mean"].notna()]
    if known.empty:
        return []
    traces = [trace for index, (name, rows) in enumerate(_groups(known)) for trace in _band(rows, name, index)]
    caption = (
        "Mean accuracy of the devices against simulated time: lines are means over seeds, bands their 95 % Student-t intervals, while all "
        "runs of a variant go on."
    )
    return [Panel("Accuracy", caption, figure(traces, x="simulated time [s]", y="accuracy", height=440, yaxis_range=[0, 1.02]))]


def _band(rows: pd.DataFrame, name: str, index: int) -> list[go.Scatter]:
    time_s, mean, low, high = (numbers(values, 4) for values in band(rows))
    line = go.Scatter(x=time_s, y=mean, name=name, mode="lines", line=_look(index), legendgroup=name, hovertemplate="%{x} s: %{y:.3f}")
    if None in low:  # one seed has no interval
        return [line]
    edge = {"x": [*time_s, *time_s[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "fillcolor": _look(index)["color"], "opacity": 0.2}
    return [go.Scatter(**edge, mode="none", legendgroup=name, showlegend=False, hoverinfo="skip"), line]


def _latency(rounds: pd.DataFrame) -> list[Panel]:
    groups = _groups(rounds)
    curves = [ecdf(rows["latency_s"], name, _look(index)["color"], _look(index)["dash"]) for index, (name, rows) in enumerate(groups)]
    known = [curve for curve in curves if curve is not None]
    spread = (
        "The share of rounds, all seeds together, that were over within a given time. The further left a curve lies, the faster the rounds."
    )
    return [
        Panel("Distribution over rounds", spread, figure(known, x="latency of a round [s]", y="share of rounds", height=440)),
        _plan_error(rounds),
    ]


def _plan_error(rounds: pd.DataFrame) -> Panel:
    """Planned and realised mean latency with intervals over seeds."""
    kinds = {"planned_latency_s": ("planned", "circle-open"), "latency_s": ("realised", "circle")}
    traces = []
    for column, (label, symbol) in kinds.items():
        found = intervals(rounds, column)
        traces.append(
            go.Scatter(
                x=list(found),
                y=numbers([interval.estimate for interval in found.values()]),
                error_y={"type": "data", "array": numbers([interval.half_width for interval in found.values()]), "thickness": 1.5},
                name=label,
                mode="markers",
                marker={"symbol": symbol, "size": 10, "color": BLACK if symbol == "circle" else LINES[1][0], "line": {"width": 2}},
                hovertemplate="%{y:.4g} s",
            )
        )
    caption = "Mean latency of a round, planned and realised, with 95 % intervals over seeds. The gap is what the plan did not foresee."
    order = rounds["variant"].cat.categories.tolist()
    made = figure(traces, x="variant", y="latency [s]", height=440, yaxis_rangemode="tozero", xaxis_categoryarray=order)
    return Panel("Planned and realised", caption, made)


def _time(devices: pd.DataFrame) -> list[Panel]:
    if devices.empty:
        return []
    idle = (devices["latency_s"] - devices["done_s"]).clip(lower=0)
    mean = devices.assign(t_idle_s=idle).groupby("variant", observed=True, sort=False)[list(PHASES)].mean()
    bars = [
        go.Bar(x=mean.index.tolist(), y=numbers(mean[name], 4), name=label, marker={"color": colour}, hovertemplate="%{y:.3g} s")
        for name, (label, colour) in PHASES.items()
        if mean[name].max() > 0
    ]
    caption = "What the average device did in a round. Idle: it was done, and the round was not."
    shares = {name: insight.waiting_share(rows) for name, rows in _groups(devices)}
    waits = ", ".join(f"{name} {percent_text(share)}" for name, share in shares.items())
    made = figure(bars, x="variant", y="mean time of a device [s]", barmode="stack", bargap=0.4, height=440)
    return [Panel("A device's round", f"{caption} Waiting was of the devices' time: {waits}.", made)]


def _runs(chosen: Sequence[Member]) -> str:
    rows = []
    for one in chosen:
        rounds = one.run.rounds
        accuracy = rounds["accuracy_mean"].dropna()
        rows.append(
            (
                one.variant,
                str(one.seed),
                str(len(rounds)),
                seconds_text(float(rounds["t_end_s"].max())),
                quantity_text(float(rounds["latency_s"].mean()), "s"),
                percent_text(float(accuracy.iloc[-1]) if len(accuracy) else float("nan")),
                str(one.run.directory),
            )
        )
    return table(("variant", "seed", "rounds", "simulated", "mean round", "accuracy", "directory"), rows)


def _differences(chosen: Sequence[Member]) -> str:
    """Paths of the scenario whose values differ between variants."""
    scenarios = {one.variant: leaves_of({**one.run.scenario, "seed": None}) for one in chosen}
    paths = list(dict.fromkeys(path for leaves in scenarios.values() for path in leaves))
    differing = [path for path in paths if len({str(leaves.get(path)) for leaves in scenarios.values()}) > 1]
    if not differing:
        return "<p>Nothing but the seeds.</p>"
    rows = [(path, *(_shown(leaves, path) for leaves in scenarios.values())) for path in differing]
    return table(("field", *scenarios), rows)


def _shown(leaves: Mapping[str, Any], path: str) -> str:
    return str(leaves[path]) if path in leaves else "–"


def _reproduction(chosen: Sequence[Member], study: Study | None) -> str:
    first = chosen[0].run
    how = (
        f"<p>The study's own file needs no other one:</p><pre>cosim study {escape(STUDY_NAME)} --out again</pre>"
        if study
        else "<p>Each run directory holds its resolved scenario:</p><pre>cosim run DIR/scenario.yaml --out again</pre>"
    )
    text = (study.directory / STUDY_NAME).read_text(encoding="utf-8") if study else first.scenario_text
    name = STUDY_NAME if study else f"scenario of {first.directory.name}"
    version = escape(str(first.manifest.get("cosim_version")))
    return (
        f"{how}<p>Simulated by cosim {version}.</p><details><summary>{escape(name)}, resolved</summary><pre>{escape(text)}</pre></details>"
    )
