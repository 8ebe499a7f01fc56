"""Running a study: what is missing of variants x seeds, on the processes of this machine or on a Ray cluster."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from cosim.build import resume, run
from cosim.errors import CosimError, CosimWarning, RunError, ScenarioError
from cosim.scenario import Scenario
from cosim.statistics import replications_wanted, student_t
from cosim.study import layout
from cosim.study.metrics import metrics
from cosim.study.plan import Added, Plan, Until
from cosim.study.results import Study
from cosim.trace.manifest import read_manifest
from cosim.trace.run import SCENARIO_NAME
from cosim.watchdog import LIMIT_S

Backend: TypeAlias = Literal["local", "ray"]
BACKENDS: Final = ("local", "ray")
_ONE_THREAD: Final = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB")}
_IDLE_S: Final = 30.0
"""After so long without work a process ends: those whose study was killed, too."""


@dataclass(frozen=True)
class Task:
    """One run of a study: its place in the study's directory, and its resolved scenario.

    ``round_limit_s``: longest wall time of a round. ``begun``: where it was begun by an earlier call that was cut short.
    """

    directory: str
    variant: str
    seed: int
    scenario: dict[str, Any]
    round_limit_s: float
    begun: str | None = None


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
    plan: Plan,
    out: str | Path,
    *,
    workers: int | None = None,
    backend: Backend = "local",
    progress: Progress | None = None,
    round_limit_s: float = LIMIT_S,
) -> tuple[Study, list[Outcome]]:
    """Simulate what is missing of a study in ``out``; returns the study and the runs that failed.

    ``workers``: processes, with one training thread each; default: the processors this process may use (``ray``: those of
    the cluster). Results do not depend on it, nor on ``backend``. ``round_limit_s``: as for ``cosim.run``. Finished runs stay.
    Raises CosimError when ``out`` cannot be used, holds another study, or ray is not installed.
    """
    directory = Path(out).absolute()
    if backend == "ray" and find_spec("ray") is None:
        raise CosimError("backend ray needs the package ray: pip install 'cosim[ray]'")
    plan = plan.joined(_check_usable(directory, plan))
    with layout.claimed(directory):
        drafts = layout.sweep(directory)
        _warn_of_other_versions(directory, plan)
        ended = _Ended(progress)
        while True:
            layout.write_plan(directory, plan.resolved())
            tasks = _missing(directory, plan, drafts, round_limit_s)
            layout.clear(directory)
            with contextlib.closing(_outcomes(tasks, workers, backend)) as outcomes:
                ended.watch(outcomes, len(tasks))
            wanted = len(plan.seeds) if ended.failed or plan.until is None else _seeds_wanted(Study.open(directory), plan.until)
            if wanted <= len(plan.seeds):
                break
            plan, drafts = plan.with_seeds(wanted), []
        with contextlib.suppress(OSError):  # failed runs stay there to be looked at
            (directory / layout.UNFINISHED).rmdir()
    return Study.open(directory), ended.failed


class _Ended:
    """Runs that ended in this call, however many batches of them there are."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._done, self.failed = progress, 0, list[Outcome]()

    def watch(self, outcomes: Iterable[Outcome], runs: int) -> None:
        """Pass the outcomes of a batch on as they come."""
        total = self._done + runs
        for outcome in outcomes:
            self._done += 1
            self.failed += [outcome] if outcome.error is not None else []
            for text in outcome.warnings:
                warnings.warn(text, CosimWarning, stacklevel=3)
            if self._progress is not None:
                self._progress(self._done, total, outcome)


def _seeds_wanted(study: Study, until: Until) -> int:
    """How many seeds the study should have by its rule; warns where the rule stops before it is precise. Raises CosimError."""
    values = metrics(study.rounds)[until.metric]
    if values.isna().any():
        raise CosimError(f"until: {until.metric} is not known for every run, so its precision is not either; choose another metric")
    intervals = [student_t(values.xs(variant, level="variant")) for variant in study.variants]
    try:
        wanted = replications_wanted(intervals, until.precision, until.most_seeds)
    except ValueError:
        raise CosimError(f"until: {until.metric} is 0 on average in a variant, so it has no relative precision") from None
    worst = max(interval.half_width / abs(interval.estimate) for interval in intervals)
    if wanted == len(study.seeds) and worst > until.precision:
        text = f"the interval of {until.metric} is within {100 * worst:.3g} % of its mean after {wanted} seeds, the most that are allowed"
        warnings.warn(text, CosimWarning, stacklevel=3)
    return wanted


def _check_usable(directory: Path, plan: Plan) -> Added | None:
    """What a rule had added to this study before. Raises CosimError unless ``directory`` is absent or empty, or holds (a part of) it."""
    if not directory.is_dir():
        if directory.exists():
            raise CosimError(f"--out {directory}: is a file")
        return None
    if not (directory / layout.STUDY_NAME).exists():
        if any(path.name != ".lock" for path in directory.iterdir()):
            raise CosimError(f"--out {directory}: is not empty and holds no study; results need an absent or empty directory")
        return None
    before, now = layout.read_plan(directory), plan.resolved()
    changed = [name for name, overrides in before["variants"].items() if now["variants"].get(name) != overrides]
    added = Added(tuple(before["seeds"]), Until.model_validate(before["until"])) if before.get("until") else None
    changed += [f"seed {seed}" for seed in before["seeds"] if seed not in plan.seeds and added is None]
    changed += ["the base scenario"] if before["scenario"] != now["scenario"] else []
    if changed:
        what = f"{', '.join(changed[:5])} {'differs' if len(changed) == 1 else 'differ'}"
        raise CosimError(
            f"--out {directory}: holds another study: {what} from this one's; variants and seeds may be added, nothing else changed"
        )
    return added


def _missing(directory: Path, plan: Plan, drafts: Sequence[Path], round_limit_s: float) -> list[Task]:
    """Seed by seed, so that a study cut short compares all variants."""
    return [
        Task(
            str(directory),
            variant,
            seed,
            plan.scenario(variant, seed).resolved(),
            round_limit_s,
            layout.adopted(drafts, directory, variant, seed),
        )
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
        yield from _locally(tasks, workers)


def _locally(tasks: Sequence[Task], workers: int | None) -> Generator[Outcome, None, None]:
    """Processes of their own for one worker too: all runs then compute under the same conditions."""
    from concurrent.futures import as_completed

    from joblib import cpu_count
    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(max_workers=min(workers or cpu_count(), len(tasks)), timeout=_IDLE_S, env=_ONE_THREAD)
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
    draft = _gone_on_with(task) or _begun(task)
    _watched(draft)()
    place = layout.run_directory(directory, task.variant, task.seed)
    place.parent.mkdir(exist_ok=True)
    if layout.is_finished(place):  # by an orphan of an earlier call: the same tables
        shutil.rmtree(draft)
        return
    draft.replace(place)


def _gone_on_with(task: Task) -> Path | None:
    """The finished draft of a run that an earlier call began; None where there is none to go on with, or it is damaged."""
    if task.begun is None:
        return None
    draft = Path(task.begun)
    try:
        if Scenario.load(draft / SCENARIO_NAME).resolved() != task.scenario:
            return None
        resume(draft, workers=1, progress=_watched(draft), round_limit_s=task.round_limit_s)
    except (RunError, ScenarioError):
        shutil.rmtree(draft, ignore_errors=True)
        return None
    return draft


def _begun(task: Task) -> Path:
    """The finished draft of a run begun now."""
    directory = Path(task.directory)
    draft = layout.new_draft(directory, task.variant, task.seed)
    scenario = Scenario.checked(task.scenario, directory, lambda place, _: f"variant {task.variant}: {'.'.join(map(str, place))}")
    run(scenario, out=draft, workers=1, progress=_watched(draft), round_limit_s=task.round_limit_s)
    return draft


def _watched(draft: Path) -> Callable[..., None]:
    """To be called after each round: raises RunError when the draft was taken away."""

    def watch(*_: object) -> None:
        if not (draft / SCENARIO_NAME).exists():
            raise RunError(f"{draft} is gone: another call has taken the study over")

    return watch
