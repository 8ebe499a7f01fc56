"""Numbers and tables of the page: headline cards, who failed to arrive and why, all rounds."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cosim.report import insight
from cosim.trace.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

UNKNOWN: Final = "–"
MOST_ROWS: Final = 500
MOST_DEVICES: Final = 15
_PREFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


def quantity_text(value: float, unit: str) -> str:
    """Value with three significant digits and an SI prefix (2.13e7, "bit" -> "21.3 Mbit"); a dash where not finite."""
    if not np.isfinite(value):
        return UNKNOWN
    if value == 0:
        return f"0 {unit}"
    factor, prefix = next((entry for entry in _PREFIXES if abs(value) >= 0.9995 * entry[0]), _PREFIXES[-1])
    scaled = value / factor
    digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
    return f"{scaled:.{digits}f} {prefix}{unit}"


def seconds_text(value: float) -> str:
    """Seconds; minutes and hours where they say more."""
    if not np.isfinite(value) or value < 120:
        return quantity_text(value, "s")
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def percent_text(value: float) -> str:
    """Share in percent with one decimal."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else UNKNOWN


def ratio_text(value: float) -> str:
    """Ratio with three decimals."""
    return f"{value:.3f}" if np.isfinite(value) else UNKNOWN


def cards(run: Run) -> list[tuple[str, str, str]]:
    """Headline numbers: (label, value, note)."""
    rounds = run.rounds
    wall_s = run.manifest.get("wall_times_s", {}).get("total", np.nan)
    end_s = float(rounds["t_end_s"].max())
    selected, arrived = int(run.devices["selected"].sum()), int((run.devices["status"] == "arrived").sum())
    planned = f"planned {quantity_text(_mean(rounds['planned_latency_s']), 's')}"
    made = [
        ("rounds", str(len(rounds)), f"{seconds_text(end_s)} simulated, {seconds_text(wall_s)} of wall time"),
        (
            "mean round",
            quantity_text(_mean(rounds["latency_s"]), "s"),
            "from one aggregation to the next" if run.asynchronous else planned,
        ),
        ("updates arrived", percent_text(arrived / selected) if selected else UNKNOWN, f"{arrived} of {selected} selected"),
        ("pruning ratio", ratio_text(_mean(rounds["prune_ratio_mean"])), "mean over rounds and selected devices, the unpruned too"),
        ("uplink", quantity_text(float(rounds["uplink_bits"].sum()), "bit"), "sent by all devices, retransmissions too"),
        ("energy", quantity_text(float(rounds["energy_j"].sum()), "J"), "computing and transmitting, all devices"),
    ]
    return [*_accuracy_cards(rounds), *made]


def _accuracy_cards(rounds: pd.DataFrame) -> list[tuple[str, str, str]]:
    kinds = {
        "accuracy_mean": ("accuracy, mean", "of the devices' own models"),
        "accuracy_p10": ("accuracy, p10", "a tenth of the devices do worse"),
        "global_accuracy": ("accuracy, global", "one model, all test data"),
    }
    known = {name: rounds.loc[rounds[name].notna(), ["round", name]] for name in kinds}
    return [
        (kinds[name][0], percent_text(float(rows[name].iloc[-1])), f"{kinds[name][1]}, after round {int(rows['round'].iloc[-1])}")
        for name, rows in known.items()
        if not rows.empty
    ]


def _mean(values: pd.Series[float]) -> float:
    return float(values.mean()) if values.notna().any() else np.nan


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table, everything escaped; columns whose first cell is a word are set flush left."""
    lines = list(rows)
    words = {place for place, cell in enumerate(lines[0]) if cell[:1].isalpha()} if lines else set()

    def line(cells: Sequence[str], tag: str) -> str:
        made = (f"<{tag}{' class=word' if place in words else ''}>{escape(cell)}</{tag}>" for place, cell in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line(cells, "td") for cells in lines)
    return f'<div class="scroll" tabindex="0"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def rounds_table(run: Run) -> str:
    """All rounds, evenly thinned beyond ``MOST_ROWS``; asynchronous ones have no plan of their own to be held against."""
    last = insight.stragglers(insight.device_rounds(run))
    names = {index: f"{device} ({bound})" for index, device, bound in zip(last.index, last["device"], last["bound"], strict=True)}
    rounds = run.rounds.assign(last=[names.get(index, UNKNOWN) for index in run.rounds["round"]])
    if len(rounds) > MOST_ROWS:
        rounds = rounds.iloc[np.unique(np.linspace(0, len(rounds) - 1, MOST_ROWS).astype(int))]
    slowest = "slowest" if run.asynchronous else "last"
    plan = {"planned": "planned_latency_s", "threshold": "latency_threshold_s"}
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        "round": ("round", lambda value: str(int(value))),
        "end": ("t_end_s", lambda value: quantity_text(value, "s")),
        "latency": ("latency_s", lambda value: quantity_text(value, "s")),
        **({} if run.asynchronous else {title: (name, lambda value: quantity_text(value, "s")) for title, name in plan.items()}),
        "selected": ("devices_selected", lambda value: str(int(value))),
        "arrived": ("devices_arrived", lambda value: str(int(value))),
        f"{slowest}, because of": ("last", str),
        "pruning ratio": ("prune_ratio_mean", ratio_text),
        "uplink": ("uplink_bits", lambda value: quantity_text(value, "bit")),
        "energy": ("energy_j", lambda value: quantity_text(value, "J")),
        "loss": ("train_loss", ratio_text),
        "accuracy": ("accuracy_mean", percent_text),
        "accuracy p10": ("accuracy_p10", percent_text),
        "global": ("global_accuracy", percent_text),
    }
    shown = {title: entry for title, entry in columns.items() if rounds[entry[0]].notna().any()}
    cells = [[write(value) for value in rounds[name]] for name, write in shown.values()]
    return table(list(shown), zip(*cells, strict=True))


def misses(run: Run) -> str:
    """Selected devices that did not arrive: what they were doing when it ended, and which devices they were; HTML."""
    selected = run.devices[run.devices["selected"]]
    missed = selected[selected["status"] != "arrived"]
    if selected.empty:
        return "<p>No device was selected, in any round.</p>"
    if missed.empty:
        return "<p>Every device that was selected arrived, in every round.</p>"
    end = "the run ended" if run.asynchronous else "the round closed"
    arrived = run.devices[run.devices["status"] == "arrived"]
    groups = missed.assign(doing=_unfinished(missed)).groupby(["status", "doing"])
    rows = [[*map(str, names), *_traits(rows)] for names, rows in sorted(groups, key=lambda group: -len(group[1]))]
    causes = table(("what happened", "while", *_TRAITS), [*rows, ["arrived", "", *_traits(arrived)]])
    counts = missed.groupby("device").size().sort_values(ascending=False, kind="stable").head(MOST_DEVICES)
    often = table(("device", *_TRAITS), [[str(device), *_traits(missed[missed["device"] == device])] for device in counts.index])
    return (
        f"<p>{len(missed)} of {len(missed) + len(arrived)} updates that were asked for did not arrive. What the devices were doing when "
        f"{end} or they left, against those that arrived: a large compute factor speaks of stragglers, a low gain of the "
        f"radio.</p>{causes}<p>The devices that failed most often (at most {MOST_DEVICES}):</p>{often}"
    )


_TRAITS: Final = ("times", "compute factor", "planned time", "planned gain", "bandwidth", "pruning ratio")


def _traits(rows: pd.DataFrame) -> list[str]:
    return [
        str(len(rows)),
        ratio_text(_mean(rows["straggler_factor"])),
        quantity_text(_mean(rows["t_planned_s"]), "s"),
        f"{_mean(rows['gain_planned_db']):.1f} dB" if rows["gain_planned_db"].notna().any() else UNKNOWN,
        quantity_text(_mean(rows["bandwidth_hz"]), "Hz"),
        ratio_text(_mean(rows["prune_ratio"])),
    ]


def _unfinished(rows: pd.DataFrame) -> list[str]:
    """The first part of a device's round that did not come to its end: its time is NaN."""
    words = np.full(len(rows), "all was done", dtype=object)
    for column, word in (("t_upload_s", "uploading"), ("t_compute_s", "computing"), ("t_download_s", "downloading")):
        words[rows[column].isna().to_numpy()] = word
    return [str(word) for word in words]
