"""What a terminal shows: one message for an error and its exit code, progress, tables."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, TextIO, TypeAlias

import typer

from cosim.errors import AllocationError, CosimError, CosimWarning, RunError, SimulationError, counted

if TYPE_CHECKING:
    from cosim.study.execute import Outcome
    from cosim.study.execute import Progress as StudyProgress
    from cosim.trace.run import Run

BAD_INPUT, FAILED, BAD_RUN = 2, 3, 4
SECONDS_BETWEEN_LINES: Final = 2.0
Progress: TypeAlias = Callable[[int, int, float, float], None]
"""Called after a round with: rounds done, rounds, simulated time [s], wall time [s]."""


@contextlib.contextmanager
def reporting(*, quiet: bool = False, debug: bool = False) -> Iterator[None]:
    """Turns what goes wrong inside into one message on stderr and an exit code, and warnings into lines.

    Codes: 2 bad scenario or usage, 3 the simulation failed, 4 bad run directory, 130 and 143 interrupted.
    """
    with _signals() as caught, warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
            warnings.simplefilter("ignore" if quiet else "always", CosimWarning)
        warnings.showwarning = _show_warning
        try:
            yield
        except (typer.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            number = caught[-1] if caught else signal.SIGINT
            _leave(f"interrupted by {signal.Signals(number).name}; what was recorded is readable", 128 + number, debug=debug)
        except CosimError as error:
            _leave(str(error), _code(error), debug=debug)
        except Exception as error:  # noqa: BLE001 - a mistake in cosim or in a plugin: one line too
            _leave(f"{type(error).__name__}: {error} (--debug shows where)", FAILED, debug=debug)


def _code(error: CosimError) -> int:
    if isinstance(error, SimulationError | AllocationError):
        return FAILED
    return BAD_RUN if isinstance(error, RunError) else BAD_INPUT


def _leave(message: str, code: int, *, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    say(f"cosim: error: {message}")
    raise typer.Exit(code)


def _show_warning(  # noqa: PLR0917 - the standard library calls it so
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    del filename, lineno, file, line  # a warning of cosim says what it is about
    say(f"cosim: warning: {message}" if issubclass(category, CosimWarning) else f"cosim: {category.__name__}: {message}")


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGTERM stops the work like SIGINT does, as a KeyboardInterrupt; which of them came is noted in the list."""
    caught: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        caught.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield caught
        return
    watched = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(message: str) -> None:
    """A line for the person at the terminal: to stderr."""
    typer.echo(message, err=True)


@contextlib.contextmanager
def progress(rounds: int, *, quiet: bool) -> Iterator[Progress | None]:
    """A bar with simulated and wall time on a terminal, plain lines elsewhere, nothing (None) if quiet."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(rounds) as show:
            yield show
    else:
        yield _lines()


@contextlib.contextmanager
def _bar(rounds: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("round"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[simulated]}  wall"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("rounds", total=rounds, simulated="")
        yield lambda done, _rounds, now_s, _wall_s: bar.update(task, completed=done, simulated=f"simulated {now_s:.1f} s")


def _lines() -> Progress:
    """A line for the first round, the last, and whenever the last line is some seconds old."""
    shown_s = -SECONDS_BETWEEN_LINES

    def show(done: int, rounds: int, now_s: float, wall_s: float) -> None:
        nonlocal shown_s
        if done == rounds or wall_s - shown_s >= SECONDS_BETWEEN_LINES:
            shown_s = wall_s
            say(f"round {done}/{rounds}  simulated {now_s:.1f} s  wall {wall_s:.1f} s")

    return show


@contextlib.contextmanager
def study_progress(*, quiet: bool) -> Iterator[StudyProgress | None]:
    """A bar over runs on a terminal, a line for each run elsewhere, nothing (None) if quiet. Failures get a line anyway."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("run"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[last]}"), TimeElapsedColumn())
        with Bar(*columns, TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("runs", total=None, last="")
            yield lambda done, runs, ended: bar.update(task, completed=done, total=runs, last=f"{ended.variant} seed {ended.seed}")
    else:
        yield lambda done, runs, ended: say(
            f"run {done}/{runs}  {ended.variant} seed {ended.seed}  {'failed' if ended.error else 'finished'}  wall {ended.wall_s:.1f} s"
        )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows of text to stdout: a table on a terminal, aligned plain text elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*header, show_header=any(header))
        for row in rows:
            drawn.add_row(*(Text(cell) for cell in row))
        Console().print(drawn)
        return
    lines = [header, *rows] if any(header) else rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def failures(failed: Sequence[Outcome]) -> str:
    """Which runs of a study failed, and why, the first five of them."""
    lines = [f"{ended.variant} seed {ended.seed}: {ended.error}" for ended in failed[:5]]
    more = [f"... and {len(failed) - 5} more"] if len(failed) > 5 else []
    again = "it" if len(failed) == 1 else "them"
    return "\n".join([f"{counted(len(failed), 'run')} failed; the same command tries {again} again", *lines, *more])


def summary(run: Run) -> list[tuple[str, str]]:
    """The run in a few numbers: rows of name and value."""
    rounds = run.rounds
    status = run.devices["status"].value_counts()
    accuracy = rounds["accuracy_mean"].dropna()
    planned = "" if run.asynchronous else f" (planned {rounds['planned_latency_s'].mean():.3g} s)"
    rows = {
        "rounds": f"{len(rounds)}",
        "simulated time": f"{rounds['t_end_s'].max():.1f} s",
        "mean round latency": f"{rounds['latency_s'].mean():.3g} s{planned}",
        "device rounds": ", ".join(f"{count} {name}" for name, count in status.items()),
        "mean pruning ratio": f"{rounds['prune_ratio_mean'].mean():.3f}",
        "accuracy": f"{accuracy.iloc[0]:.3f} -> {accuracy.iloc[-1]:.3f}" if len(accuracy) else "none: no learning",
        "uplink": f"{rounds['uplink_bits'].sum() / 1e9:.3g} Gbit",
        "energy of devices": f"{rounds['energy_j'].sum():.3g} J",
    }
    return list(rows.items())
