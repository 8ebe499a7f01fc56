"""From a scenario to a run: join the components, make the run directory, simulate."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cosim.errors import CosimError, RunError, SimulationError
from cosim.net.subbands import band_of
from cosim.net.world import World
from cosim.rng import Streams
from cosim.simulation import Parts, Simulation, Threshold
from cosim.trace.manifest import fingerprint, scenario_digest, write_manifest
from cosim.trace.run import Run
from cosim.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from cosim.scenario import Scenario
    from cosim.trace.manifest import RunStatus
    from cosim.trace.schema import TableName


def build(scenario: Scenario, *, workers: int | None = None) -> Parts:
    """Everything that a simulation of this scenario asks while it runs.

    ``workers``: training threads; default: the processors this process may use. Any number gives the same bits.
    """
    streams = Streams(scenario.seed)
    threshold = scenario.round.latency_threshold
    site = scenario.sites[0]
    return Parts(
        rounds=scenario.rounds,
        streams=streams,
        devices=scenario.devices,
        site=site,
        world=build_world(scenario),
        fading=scenario.channel.fading,
        compute=scenario.compute,
        uplink=scenario.uplink,
        downlink=scenario.downlink,
        backhaul_delay_s=scenario.network.backhaul_delay_s,
        policy=scenario.round.policy,
        csi=scenario.round.csi,
        selection=scenario.round.selection,
        allocator=scenario.allocator,
        threshold=Threshold(seconds=threshold) if isinstance(threshold, int | float) else Threshold(**threshold.model_dump()),
        prune_max=scenario.round.prune_max,
        learner=scenario.learning.start(scenario.devices.count, streams, workers=workers or len(os.sched_getaffinity(0))),
        record_events=scenario.trace.events,
        radio_interval_s=scenario.trace.radio_interval_s,
    )


def build_world(scenario: Scenario) -> World:
    """The world of this scenario alone: no learner, no allocator. Raises ScenarioError where its parts do not fit."""
    return World(
        streams=Streams(scenario.seed),
        area=scenario.area,
        site=scenario.sites[0],
        devices=scenario.devices,
        mobility=scenario.mobility,
        channel=scenario.channel,
        compute=scenario.compute,
        availability=scenario.availability,
        band=band_of(scenario.uplink),
    )


def run(
    scenario: Scenario,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int, float, float], None] | None = None,
) -> Run:
    """Simulate a scenario and return its run.

    ``out``: directory for the results, absent or empty; default: a new directory for temporary files.
    ``progress(rounds done, rounds, simulated s, wall s)`` is called after each round. Raises RunError if ``out``
    cannot be used, other CosimErrors when the simulation fails; what was recorded by then stays readable.
    """
    begin = time.perf_counter()
    directory = Path(tempfile.mkdtemp(prefix="cosim-")) if out is None else Path(out)
    check_free(directory)
    parts = build(scenario, workers=workers)
    directory.mkdir(parents=True, exist_ok=True)
    scenario.dump(directory / "scenario.yaml")
    book = _Book(directory, scenario.seed, build_s=time.perf_counter() - begin)
    book.write("running")
    trace = TraceWriter(directory, _tables(scenario))
    simulation = Simulation(parts, trace, _reporter(progress, scenario.rounds, begin))
    status: RunStatus = "failed"
    try:
        simulation.run()
        status = "finished"
    except CosimError:
        raise
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Exception as error:
        where = f"round {simulation.state.round}, which began at {simulation.state.clock_s:.6g} s"
        raise SimulationError(f"the simulation failed in {where}: {type(error).__name__}: {error}") from error
    finally:
        try:
            trace.close()
        except RunError:
            status = "failed"  # a full disk: what is written stays
            raise
        finally:
            book.write(status, simulation.wall_s)
    return Run.open(directory)


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
    """Keeps the manifest of one run."""

    def __init__(self, directory: Path, seed: int, *, build_s: float) -> None:
        self._directory, self._seed, self._build_s = directory, seed, build_s
        self._digest = scenario_digest((directory / "scenario.yaml").read_text(encoding="utf-8"))

    def write(self, status: RunStatus, wall_s: dict[str, float] | None = None) -> None:
        walls = {"build": self._build_s, **(wall_s or {})}
        walls["total"] = self._build_s + walls.get("total", 0.0)
        print_of = fingerprint(self._directory) if status == "finished" else None
        write_manifest(
            self._directory, status=status, seed=self._seed, scenario_digest=self._digest, wall_times_s=walls, fingerprint=print_of
        )


def _reporter(progress: Callable[[int, int, float, float], None] | None, rounds: int, begin: float) -> Callable[[int, float], None] | None:
    if progress is None:
        return None
    return lambda done, now_s: progress(done, rounds, now_s, time.perf_counter() - begin)
