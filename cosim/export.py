"""A run for other programs: a timeline for ui.perfetto.dev (Chrome trace format), and CSV tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosim.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

    from cosim.trace.run import Run

PHASES: Final = {"download": "t_download_s", "wait": "t_wait_s", "compute": "t_compute_s", "upload": "t_upload_s"}
"""What a device does in a round, in this order, and the column with its duration."""
_SERVER, _DEVICES, _RADIO = 1, 2, 3


def write_csv(run: Run, out: Path | None = None) -> list[Path]:
    """Write each table as ``<table>.csv`` into a folder (default: ``DIR/csv``); returns the files. Raises RunError.

    Numbers keep full precision; what did not happen is an empty field.
    """
    folder = run.directory / "csv" if out is None else out
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in run.tables:
            written.append(folder / f"{name}.csv")
            getattr(run, name).to_csv(written[-1], index=False)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    return written


def write_perfetto(run: Run, out: Path | None = None) -> Path:
    """Write the timeline in Chrome's trace event format (default: ``DIR/timeline.json``). Raises RunError.

    One track per device with a slice for each phase, one for the server's rounds, and counters of the SNR where it was
    recorded. Times are simulated microseconds, exact to the nanosecond.
    """
    path = run.directory / "timeline.json" if out is None else out
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
            for index, event in enumerate(trace_events(run)):
                file.write((",\n" if index else "") + json.dumps(event, separators=(",", ":"), allow_nan=False))
            file.write("\n]}\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def trace_events(run: Run) -> Iterator[dict[str, Any]]:
    """The timeline's events, one after the other: JSON has no arrays of columns, so here rows are looped over."""
    yield from _names(run)
    yield from _rounds(run.rounds)
    yield from _slices(run)
    yield from _counters(run.radio)


def _names(run: Run) -> Iterator[dict[str, Any]]:
    for process, name in ((_SERVER, "server"), (_DEVICES, "devices"), (_RADIO, "radio")):
        yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}}
        yield {"ph": "M", "pid": process, "name": "process_sort_index", "args": {"sort_index": process}}
    for device in np.unique(run.devices["device"]).tolist():
        yield {"ph": "M", "pid": _DEVICES, "tid": device + 1, "name": "thread_name", "args": {"name": f"device {device}"}}
        yield {"ph": "M", "pid": _DEVICES, "tid": device + 1, "name": "thread_sort_index", "args": {"sort_index": device}}


def _rounds(rounds: pd.DataFrame) -> Iterator[dict[str, Any]]:
    begin, end = _nanoseconds(rounds["t_start_s"]), _nanoseconds(rounds["t_end_s"])
    columns = ["round", "devices_selected", "devices_arrived", "planned_latency_s", "latency_threshold_s"]
    for row, start, stop in zip(rounds[columns].to_dict("records"), begin.tolist(), end.tolist(), strict=True):
        yield _slice(_SERVER, 1, f"round {row['round']}", (start, stop), _known(row))


def _slices(run: Run) -> Iterator[dict[str, Any]]:
    """Phases that ended; the one in which a late device was when its round closed, or an asynchronous run, reaches to that moment."""
    rows = run.devices[run.devices["selected"]].merge(run.rounds[["round", "t_start_s", "t_end_s"]], on="round")
    lengths = rows[list(PHASES.values())].to_numpy(np.float64)
    ended = np.isfinite(lengths)
    first_missing = np.cumsum(~ended, axis=1) == 1
    cut_off = first_missing & ~ended & (rows["status"] == "late").to_numpy()[:, None]
    ends_s = rows["t_start_s"].to_numpy()[:, None] + np.cumsum(np.where(ended, lengths, 0.0), axis=1)
    closed_s = np.full(len(rows), run.rounds["t_end_s"].max()) if run.asynchronous else rows["t_end_s"]
    end = np.where(cut_off, _nanoseconds(closed_s)[:, None], _nanoseconds(ends_s))
    begin = np.concatenate([_nanoseconds(rows["t_start_s"])[:, None], end[:, :-1]], axis=1)
    shown = (end > begin) & (cut_off | (ended & (np.cumsum(~ended, axis=1) == 0)))
    notes = rows[["round", "status", "prune_ratio", "bandwidth_hz", "payload_bits", "t_planned_s", "straggler_factor"]].to_dict("records")
    threads, phases = (rows["device"] + 1).tolist(), list(PHASES)
    for row, column in np.argwhere(shown).tolist():
        name = phases[column] + (" (cut off)" if cut_off[row, column] else "")
        yield _slice(_DEVICES, threads[row], name, (int(begin[row, column]), int(end[row, column])), _known(notes[row]))


def _counters(radio: pd.DataFrame) -> Iterator[dict[str, Any]]:
    known = radio[np.isfinite(radio["snr_db"])]
    moments = _nanoseconds(known["t_s"]).tolist()
    for at, device, snr_db in zip(moments, known["device"].tolist(), known["snr_db"].tolist(), strict=True):
        yield {"ph": "C", "pid": _RADIO, "name": f"SNR of device {device}", "ts": at / 1000, "args": {"dB": round(snr_db, 3)}}


def _slice(process: int, thread: int, name: str, span: tuple[int, int], notes: dict[str, Any]) -> dict[str, Any]:
    begin, end = span
    return {"ph": "X", "pid": process, "tid": thread, "name": name, "ts": begin / 1000, "dur": (end - begin) / 1000, "args": notes}


def _known(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not isinstance(value, float) or np.isfinite(value)}


def _nanoseconds(seconds: ArrayLike) -> NDArray[np.int64]:
    """Whole nanoseconds: slices that touch then do so exactly, which a viewer needs to stack them right."""
    return np.rint(np.asarray(seconds, np.float64) * 1e9).astype(np.int64)
