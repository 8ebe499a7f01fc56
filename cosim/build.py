"""From a scenario to a run: join the components, make the run directory, simulate."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cosim.errors import CosimError, RunError, SimulationError
from cosim.rng import Streams
from cosim.scenario import Scenario
from cosim.simulation import Parts, Simulation, Threshold
from cosim.start import start_world
from cosim.trace.checkpoint import load_checkpoint, save_checkpoint
from cosim.trace.files import make_directory, replace_atomically
from cosim.trace.manifest import fingerprint, scenario_digest, write_manifest
from cosim.trace.parts import table_directory
from cosim.trace.run import SCENARIO_NAME, Run
from cosim.trace.writer import TraceWriter
from cosim.watchdog import LIMIT_S, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.trace.checkpoint import Arrays
    from cosim.trace.manifest import RunStatus
    from cosim.trace.schema import TableName

_MOST_THREADS: Final = 8
"""Training threads unless more are asked for: beyond, they wait for one another in Python longer than they work side by side."""


def build(scenario: Scenario, *, workers: int | None = None) -> Parts:
    """Everything that a simulation of this scenario asks while it runs.

    ``workers``: training threads, > 0; default: the processors this process may use, at most 8. Any number gives the same bits. Raises
    ValueError for other numbers, ScenarioError where parts do not fit.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers = {workers}: must be at least 1")
    streams = Streams(scenario.seed)
    threshold = scenario.round.latency_threshold
    return Parts(
        rounds=scenario.rounds,
        streams=streams,
        devices=scenario.devices,
        sites=scenario.sites,
        cells=scenario.cells,
        world=start_world(scenario),
        fading=scenario.channel.fading,
        compute=scenario.compute,
        uplink=scenario.uplink,
        downlink=scenario.downlink,
        backhaul=(backhaul := scenario.network.start(len(scenario.sites))),
        edge_rounds=scenario.network.edge_rounds,
        policy=scenario.round.policy,
        stop=scenario.stop,
        csi=scenario.round.csi,
        selection=scenario.round.selection,
        allocator=scenario.allocator,
        threshold=Threshold(seconds=threshold) if isinstance(threshold, int | float) else Threshold(**threshold.model_dump()),
        prune_max=scenario.round.prune_max,
        energy=scenario.round.energy,
        learner=scenario.learning.start(scenario.devices.count, streams, workers=workers or _threads(), servers=backhaul.servers),
        record_events=scenario.trace.events,
        radio_interval_s=scenario.trace.radio_interval_s,
    )


def _threads() -> int:
    """Training threads where nobody says how many: the processors this process may use, a container's share of time respected."""
    from joblib import cpu_count

    return min(int(cpu_count()), _MOST_THREADS)


def run(
    scenario: Scenario,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int, float, float], None] | None = None,
    round_limit_s: float = LIMIT_S,
) -> Run:
    """Simulate a scenario and return its run.

    ``out``: directory for the results, absent or empty; default: a new directory for temporary files.
    ``progress(rounds done, rounds, simulated s, wall s)`` is called after each round. ``round_limit_s``: a round that lasts for more
    wall time is an error, in case a plugin hangs (> 0; inf: never). Raises ValueError for numbers out of range, RunError if ``out``
    cannot be used, other CosimErrors when the simulation fails; what was recorded by then stays readable.
    """
    begin = time.perf_counter()
    if out is not None:
        check_free(Path(out))
    dog = Watchdog(round_limit_s)
    with dog.watching(lambda: "making the simulation"):
        parts = build(scenario, workers=workers)
    directory = Path(tempfile.mkdtemp(prefix="cosim-")) if out is None else Path(out)
    make_directory(directory, parents=True)
    book = _Book(directory, scenario, {"build": time.perf_counter() - begin})
    book.begin()
    trace = TraceWriter(directory, _tables(scenario), audit=scenario.audit())
    reporter = _reporter(progress, scenario.rounds, begin, dog)
    return _simulate(Simulation(parts, trace, progress=reporter, checkpoint=book.checkpoint), book, dog)


def resume(
    directory: str | Path,
    *,
    rounds: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int, float, float], None] | None = None,
    round_limit_s: float = LIMIT_S,
) -> Run:
    """Go on with a run that was killed, interrupted or failed; the result is the same, bit for bit, as without that.

    ``rounds``: a new, larger number of rounds, which extends a finished run too; its old last round stays evaluated. A finished run
    that is not extended, or that its ``stop`` ended, is returned unchanged. ``workers``, ``round_limit_s``: as for ``run``. Raises
    RunError if the directory is no run or is damaged, or has more rounds already.
    """
    begin = time.perf_counter()
    directory = Path(directory)
    found = Run.open(directory)
    scenario = Scenario.load(directory / SCENARIO_NAME)
    try:
        arrays = load_checkpoint(directory, _identity(scenario))
    except RunError as error:
        raise RunError(f"{error}{found.written_by()}") from error
    done = 0 if arrays is None else int(arrays["round"][0])
    target = scenario.rounds if rounds is None else rounds
    if target < done:
        raise RunError(f"{directory} has {done} rounds already; --rounds {target} would take some away")
    stopped = arrays is not None and bool(arrays["stopped"][0])
    if found.manifest["status"] == "finished" and (stopped or target == scenario.rounds):
        return found
    scenario = scenario.model_copy(update={"rounds": target})
    dog = Watchdog(round_limit_s)
    with dog.watching(lambda: "making the simulation"):
        parts = build(scenario, workers=workers)
    before = dict(found.manifest["wall_times_s"])
    book = _Book(directory, scenario, {**before, "build": before.get("build", 0.0) + time.perf_counter() - begin})
    book.begin()
    if arrays is None:  # killed before the first checkpoint, perhaps while the tables were made: begin anew
        for name in found.tables:
            shutil.rmtree(table_directory(directory, name))
        trace = TraceWriter(directory, _tables(scenario), audit=scenario.audit())
    else:
        written = int(arrays["rounds_written"][0])
        trace = TraceWriter.open_existing(directory, audit=scenario.audit(), keep_rounds=done, keep_device_rounds=written)
    reporter = _reporter(progress, target, begin, dog)
    return _simulate(Simulation(parts, trace, progress=reporter, checkpoint=book.checkpoint, start=arrays), book, dog)


def _simulate(simulation: Simulation, book: _Book, dog: Watchdog) -> Run:
    """Run to the end; however it ends, the tables and the manifest say so."""
    status: RunStatus = "failed"
    try:
        with dog.watching(lambda: f"round {simulation.state.round}"):
            simulation.run()
        status = "finished"
    except CosimError:
        raise
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except (Exception, SystemExit) as error:  # a plugin may do anything
        where = f"round {simulation.state.round}, which began at {simulation.state.clock_s:.6g} s"
        hint = "; fewer devices, a smaller model or fewer workers need less memory" if isinstance(error, MemoryError) else ""
        raise SimulationError(f"the simulation failed in {where}: {type(error).__name__}: {error}{hint}") from error
    finally:
        try:
            simulation.close()
        except RunError:  # a full disk: what is written stays; what had gone wrong before is the news
            first, status = status, "failed"
            if first == "finished":
                raise
        finally:
            with contextlib.suppress(*(() if status == "finished" else (RunError,))):
                book.write(status, simulation.wall_s)
    return Run.open(book.directory)


def check_free(directory: Path) -> None:
    """Raises RunError unless results can go there: absent or empty, in a folder that can be written."""
    if directory.exists() and not directory.is_dir():
        raise RunError(f"{directory} is a file; results need a directory that is absent or empty")
    if directory.is_dir() and any(directory.iterdir()):
        raise RunError(f"{directory} is not empty; results need a directory that is absent or empty")
    parent = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"{directory} cannot be made: no permission to write in {parent}")


def _tables(scenario: Scenario) -> tuple[TableName, ...]:
    radio: tuple[TableName, ...] = ("radio",) if scenario.trace.radio_interval_s is not None else ()
    events: tuple[TableName, ...] = ("events",) if scenario.trace.events else ()
    return ("rounds", "devices", *radio, *events)


class _Book:
    """Keeps the manifest and the checkpoint of one run; ``wall_s``: wall times spent before the simulation goes on."""

    def __init__(self, directory: Path, scenario: Scenario, wall_s: dict[str, float]) -> None:
        self.directory, self._seed, self._wall_s = directory, scenario.seed, wall_s
        self._text, self._identity = scenario.text(), _identity(scenario)

    def begin(self) -> None:
        """A run that goes on: first the manifest says so, for a finished run that has more rounds in its scenario is not finished."""
        self.write("running")
        replace_atomically(self.directory / SCENARIO_NAME, lambda draft: draft.write_text(self._text, encoding="utf-8"))

    def checkpoint(self, arrays: Arrays) -> None:
        save_checkpoint(self.directory, arrays, self._identity)

    def write(self, status: RunStatus, wall_s: dict[str, float] | None = None) -> None:
        walls = {phase: self._wall_s.get(phase, 0.0) + spent for phase, spent in {"build": 0.0, **(wall_s or {})}.items()}
        print_of = fingerprint(self.directory) if status == "finished" else None
        write_manifest(
            self.directory,
            status=status,
            seed=self._seed,
            scenario_digest=scenario_digest(self._text),
            wall_times_s=walls,
            fingerprint=print_of,
        )


def _identity(scenario: Scenario) -> str:
    """Digest of all that a checkpoint depends on: the scenario but for its number of rounds."""
    return scenario_digest(json.dumps({**scenario.resolved(), "rounds": None}, sort_keys=True))


def _reporter(
    progress: Callable[[int, int, float, float], None] | None, rounds: int, begin: float, dog: Watchdog
) -> Callable[[int, float], None]:
    def report(done: int, now_s: float) -> None:
        dog.restart()
        if progress is not None:
            progress(done, rounds, now_s, time.perf_counter() - begin)

    return report
