"""Running a study: what is missing of variants x seeds, on the processes of this machine or on a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from cosim.build import run
from cosim.errors import CosimError, CosimWarning, RunError
from cosim.scenario import Scenario
from cosim.study import layout
from cosim.study.plan import Plan
from cosim.study.results import Study
from cosim.trace.manifest import read_manifest

Backend: TypeAlias = Literal["local", "ray"]
BACKENDS: Final = ("local", "ray")
_ONE_THREAD: Final = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB")}
_IDLE_S: Final = 30.0
"""After so long without work a process ends: those whose study was killed, too."""


@dataclass(frozen=True)
class Task:
    """One run of a study: its place in the study's directory, and its resolved scenario."""

    directory: str
    variant: str
    seed: int
    scenario: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``error`` is None when it is finished; ``warnings`` are those of cosim."""

    variant: str
    seed: int
    wall_s: float
    error: str | None = None
    warnings: tuple[str, ...] = ()


Progress: TypeAlias = Callable[[int, int, Outcome], None]
"""Called after a run with: runs ended in this call, runs of this call, how the last one ended."""


def run_study(
    plan: Plan, out: str | Path, *, workers: int | None = None, backend: Backend = "local", progress: Progress | None = None
) -> tuple[Study, list[Outcome]]:
    """Simulate what is missing of a study in ``out``; returns the study and the runs that failed.

    ``workers``: processes, with one training thread each; default: the processors this process may use (``ray``: those of
    the cluster). Results do not depend on it, nor on ``backend``. Finished runs stay. Raises CosimError when ``out`` cannot
    be used, holds another study, or ray is not installed.
    """
    directory = Path(out).absolute()
    if backend == "ray" and find_spec("ray") is None:
        raise CosimError("backend ray needs the package ray: pip install 'cosim[ray]'")
    _check_usable(directory, plan)
    with layout.claimed(directory):
        layout.write_plan(directory, plan.resolved())
        layout.sweep(directory)
        tasks = _missing(directory, plan)
        _warn_of_other_versions(directory, plan)
        failed: list[Outcome] = []
        with contextlib.closing(_outcomes(tasks, workers, backend)) as outcomes:
            for done, outcome in enumerate(outcomes, 1):
                failed += [outcome] if outcome.error is not None else []
                for text in outcome.warnings:
                    warnings.warn(text, CosimWarning, stacklevel=2)
                if progress is not None:
                    progress(done, len(tasks), outcome)
        with contextlib.suppress(OSError):  # failed runs stay there to be looked at
            (directory / layout.UNFINISHED).rmdir()
    return Study.open(directory), failed


def _check_usable(directory: Path, plan: Plan) -> None:
    """Raises CosimError unless ``directory`` is absent, empty, or holds this study or a part of it."""
    if not directory.is_dir():
        if directory.exists():
            raise CosimError(f"--out {directory}: is a file")
        return
    if not (directory / layout.STUDY_NAME).exists():
        if any(path.name != ".lock" for path in directory.iterdir()):
            raise CosimError(f"--out {directory}: is not empty and holds no study; results need an absent or empty directory")
        return
    before, now = layout.read_plan(directory), plan.resolved()
    changed = [name for name, overrides in before["variants"].items() if now["variants"].get(name) != overrides]
    changed += [f"seed {seed}" for seed in before["seeds"] if seed not in plan.seeds]
    changed += ["the base scenario"] if before["scenario"] != now["scenario"] else []
    if changed:
        what = ", ".join(changed[:5])
        raise CosimError(
            f"--out {directory}: holds another study: {what} differ from this one's; variants and seeds may be added, nothing else changed"
        )


def _missing(directory: Path, plan: Plan) -> list[Task]:
    """Seed by seed, so that a study cut short compares all variants."""
    return [
        Task(str(directory), variant, seed, plan.scenario(variant, seed).resolved())
        for seed in plan.seeds
        for variant in plan.variants
        if not layout.is_finished(layout.run_directory(directory, variant, seed))
    ]


def _warn_of_other_versions(directory: Path, plan: Plan) -> None:
    import cosim

    places = [layout.run_directory(directory, variant, seed) for variant in plan.variants for seed in plan.seeds]
    versions = {read_manifest(place).get("cosim_version") for place in places if layout.is_finished(place)} - {cosim.__version__}
    if versions:
        found = ", ".join(sorted(map(str, versions)))
        warnings.warn(
            f"{directory} holds runs of cosim {found}; this is {cosim.__version__}, so they may differ", CosimWarning, stacklevel=3
        )


def _outcomes(tasks: Sequence[Task], workers: int | None, backend: Backend) -> Generator[Outcome, None, None]:
    """How the runs end, in whatever order they do."""
    if not tasks:
        return
    if backend == "ray":
        yield from _on_ray(tasks, workers)
    else:
        yield from _locally(tasks, workers or len(os.sched_getaffinity(0)))


def _locally(tasks: Sequence[Task], workers: int) -> Generator[Outcome, None, None]:
    """Processes of their own for one worker too: all runs then compute under the same conditions."""
    from concurrent.futures import as_completed

    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(max_workers=min(workers, len(tasks)), timeout=_IDLE_S, env=_ONE_THREAD)
    try:
        futures = {executor.submit(simulate, task, alone=True): task for task in tasks}
        for future in as_completed(futures):
            try:
                yield future.result()
            except Exception as error:  # noqa: BLE001 - a worker that was killed takes its pool along; a second call goes on
                task = futures[future]
                yield Outcome(task.variant, task.seed, 0.0, f"the worker died: {type(error).__name__}")
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _on_ray(tasks: Sequence[Task], workers: int | None) -> Generator[Outcome, None, None]:
    """On the cluster that RAY_ADDRESS names, else on one started on this machine; ``out`` must be shared by its nodes."""
    import ray

    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": _ONE_THREAD})
    try:
        at_once = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        remote = ray.remote(num_cpus=1, max_retries=0)(simulate)
        waiting, running = list(reversed(tasks)), dict[Any, Task]()
        while waiting or running:
            while waiting and len(running) < at_once:
                task = waiting.pop()
                running[remote.remote(task)] = task
            (ended, *_), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(ended)
            try:
                yield ray.get(ended)
            except ray.exceptions.RayError as error:
                yield Outcome(task.variant, task.seed, 0.0, f"the worker died: {type(error).__name__}")
    finally:
        if started:
            ray.shutdown()


def simulate(task: Task, *, alone: bool = False) -> Outcome:
    """Simulate one run beside its place and move it there when it is finished.

    ``alone``: this process does nothing else, so an interrupt from the keyboard is left to the process that watches over it.
    """
    if alone:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    begin = time.perf_counter()
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CosimWarning)
        try:
            _simulate(task)
        except CosimError as problem:
            error = str(problem)
        except Exception as problem:  # noqa: BLE001 - a mistake in a plugin ends its run, not the study
            error = f"{type(problem).__name__}: {problem}"
    notes = tuple(dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, CosimWarning)))
    return Outcome(task.variant, task.seed, time.perf_counter() - begin, error, notes)


def _simulate(task: Task) -> None:
    directory = Path(task.directory)
    (directory / layout.UNFINISHED).mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"variant={task.variant}-seed={task.seed}-", dir=directory / layout.UNFINISHED))
    draft.chmod(0o755)  # a temporary directory is its owner's alone, results are not

    def swept(*_: object) -> None:
        if not (draft / "scenario.yaml").exists():
            raise RunError(f"{draft} is gone: another call has taken the study over")

    scenario = Scenario.checked(task.scenario, directory, lambda place, _: f"variant {task.variant}: {'.'.join(map(str, place))}")
    run(scenario, out=draft, workers=1, progress=swept)
    swept()
    place = layout.run_directory(directory, task.variant, task.seed)
    place.parent.mkdir(exist_ok=True)
    if layout.is_finished(place):  # by an orphan of an earlier call: the same tables
        shutil.rmtree(draft)
        return
    draft.replace(place)
