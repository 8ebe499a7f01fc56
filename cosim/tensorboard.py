"""A run for TensorBoard, written by its own writer (extra ``tensorboard``), after the run or while it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cosim.errors import CosimError, RunError
from cosim.trace.run import Run
from cosim.trace.schema import TABLES, Column

if TYPE_CHECKING:
    import pandas as pd

POLL_S: Final = 2.0
_NOT_LOGGED: Final = ("round", "t_start_s", "t_end_s")


def write_tensorboard(run: Run, out: Path | None = None, *, follow: bool = False) -> Path:
    """Write every number of ``rounds`` as a scalar into event files of a folder (default: ``DIR/tensorboard``); returns the folder.

    Steps are rounds; an event's time is the simulated time, so that TensorBoard's horizontal axis RELATIVE shows it, in hours.
    ``follow``: go on, round by round, until the run ends. The simulation knows nothing of it. Raises CosimError when TensorBoard
    is not installed, RunError when the folder holds events already, or cannot be written.
    """
    if find_spec("tensorboard") is None:
        raise CosimError("--format tensorboard needs the package tensorboard: pip install 'cosim[tensorboard]'")
    from tensorboard.summary import Writer

    folder = run.directory / "tensorboard" if out is None else out
    if folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty; TensorBoard would show what is there twice")
    try:
        writer = Writer(str(folder))
        for rounds in _batches(run, follow=follow):
            _log(writer, rounds)
            writer.flush()
        writer.close()
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def _batches(run: Run, *, follow: bool) -> Iterator[pd.DataFrame]:
    """Rounds as they come; a status is read before the tables, so that the last rounds are not missed."""
    known = 0
    while True:
        now = Run.open(run.directory)
        goes_on = follow and now.manifest.get("status") == "running"
        yield now.rounds.iloc[known:]
        known = len(now.rounds)
        if not goes_on:
            return
        time.sleep(POLL_S)


def _log(writer: Any, rounds: pd.DataFrame) -> None:
    columns = [column for column in TABLES["rounds"].columns if column.name not in _NOT_LOGGED and column.name in rounds]
    numeric = [column for column in columns if column.dtype in ("float64", "int64")]
    for row in rounds.to_dict("records"):  # the writer takes one number at a time
        for column in numeric:
            if np.isfinite(row[column.name]):
                writer.add_scalar(
                    f"rounds/{column.name}", row[column.name], row["round"], wall_time=row["t_end_s"], description=_description(column)
                )


def _description(column: Column) -> str:
    return f"{column.meaning} [{column.unit}]" if column.unit else column.meaning
