"""The command line: verbs and their options. What they do lives elsewhere, and is imported when it is needed."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosim import __version__, console
from cosim.errors import CosimError, RunError, ScenarioError, SimulationError, counted
from cosim.watchdog import LIMIT_S, end_process

if TYPE_CHECKING:
    from cosim.scenario import Scenario

app = typer.Typer(
    name="cosim",
    help="Federated learning over wireless networks, co-simulated under one clock.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _positive(seconds: float) -> float:
    if not seconds > 0:
        raise typer.BadParameter("must be > 0")
    return seconds


Threads = Annotated[
    int | None, typer.Option(min=1, help="Training threads; any number gives the same result.  [default: processors, at most 8]")
]
RoundLimit = Annotated[
    float,
    typer.Option(
        "--round-limit", metavar="SECONDS", callback=_positive, help="Longest wall time of a round, in case a plugin hangs; inf: none."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")]


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for plugins in all installed packages takes a tenth of a check
    try:
        app(prog_name="cosim")
    except SystemExit as end:
        end_process(end.code if isinstance(end.code, int) else 1)
        raise
    except KeyboardInterrupt:  # before or after a command
        raise SystemExit(130) from None


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"cosim {__version__}")
        raise typer.Exit


@app.callback()
def _cosim(
    *, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False
) -> None:
    """Federated learning over wireless networks, co-simulated under one clock."""


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="Scenario file (YAML).")],
    *,
    out: Annotated[Path | None, typer.Option(readable=False, help="Run directory: absent or empty.  [default: runs/NAME-SEED]")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Number of rounds, instead of the scenario's.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a field; may be repeated.")] = None,
    workers: Threads = None,
    round_limit_s: RoundLimit = LIMIT_S,
    quiet: Annotated[bool, typer.Option("--quiet", help="On stderr, errors only.")] = False,
    debug: Debug = False,
) -> None:
    """Simulate a scenario; print where the results are, and a summary."""
    with console.reporting(quiet=quiet, debug=debug):
        wanted = _loaded(scenario, settings or [], seed=seed, rounds=rounds)
        with wanted as chosen, _claimed(out or _free_directory(scenario, chosen.seed)) as directory:
            from cosim.build import run as simulate

            if not quiet:
                console.say(f"simulating {counted(chosen.rounds, 'round')} with {counted(chosen.devices.count, 'device')} into {directory}")
            try:
                with console.progress(chosen.rounds, quiet=quiet) as progress:
                    result = simulate(chosen, out=directory, workers=workers, progress=progress, round_limit_s=round_limit_s)
            except RunError as error:  # a full disk and its like
                raise SimulationError(str(error)) from error
        typer.echo(f"run directory: {directory}")
        console.table(("", ""), console.summary(result))
        if not quiet:
            console.say(f"for a page with all results: cosim report {directory}")


@app.command()
def resume(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")],
    *,
    rounds: Annotated[int | None, typer.Option(min=1, help="Number of rounds, more than the run had: extends it.")] = None,
    workers: Threads = None,
    round_limit_s: RoundLimit = LIMIT_S,
    quiet: Annotated[bool, typer.Option("--quiet", help="On stderr, errors only.")] = False,
    debug: Debug = False,
) -> None:
    """Go on with a run that was killed or interrupted; the result is the same, bit for bit, as without that."""
    with console.reporting(quiet=quiet, debug=debug):
        from cosim.build import resume as go_on
        from cosim.trace.run import Run

        target = rounds or int(Run.open(directory).scenario["rounds"])
        with console.progress(target, quiet=quiet) as progress:
            result = go_on(directory, rounds=rounds, workers=workers, progress=progress, round_limit_s=round_limit_s)
        typer.echo(f"run directory: {directory}")
        console.table(("", ""), console.summary(result))


@app.command()
def check(
    scenario: Annotated[str | None, typer.Argument(help="Scenario file (YAML).")] = None,
    *,
    run_directory: Annotated[Path | None, typer.Option("--run", metavar="DIR", help="A run directory instead.")] = None,
    debug: Debug = False,
) -> None:
    """Tell whether a scenario can start, or a run directory is whole; nothing is simulated."""
    if (scenario is None) == (run_directory is None):
        raise typer.BadParameter("name either a scenario or --run DIR")
    with console.reporting(debug=debug):
        if run_directory is not None:
            _check_run(run_directory)
        else:
            from cosim import start

            with _loaded(str(scenario), []) as chosen:
                start.check(chosen)
        typer.echo(f"{run_directory or scenario}: good")


@app.command()
def study(
    file: Annotated[str, typer.Argument(metavar="STUDY", help="Study file (YAML).")],
    *,
    out: Annotated[
        Path | None, typer.Option(readable=False, help="Study directory; one begun before goes on.  [default: runs/NAME]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; any number gives the same result.  [default: all]")] = None,
    round_limit_s: RoundLimit = LIMIT_S,
    backend: Annotated[str, typer.Option(metavar="local|ray", help="This machine, or a Ray cluster.")] = "local",
    precision: Annotated[
        float | None,
        typer.Option("--until-precision", metavar="SHARE", help="Add seeds until the interval is within this share of the mean."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Of which metric, with --until-precision.  [default: latency_s]")] = None,
    most_seeds: Annotated[int | None, typer.Option(help="Where to stop in any case, with --until-precision.  [default: 200]")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a field in all variants.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="On stderr, errors only.")] = False,
    debug: Debug = False,
) -> None:
    """Simulate variants of a scenario with several seeds; what is finished already is kept."""
    with console.reporting(quiet=quiet, debug=debug):
        from cosim.scenario import parse_override
        from cosim.study import plan as plans
        from cosim.study.execute import BACKENDS, run_study

        chosen = next((name for name in BACKENDS if name == backend), None)
        if chosen is None:
            raise CosimError(f"--backend {backend}: must be {' or '.join(BACKENDS)}")
        loaded = plans.load(file, dict(parse_override(text) for text in settings or []))
        plan = plans.with_until(loaded, precision=precision, metric=metric, most_seeds=most_seeds)
        directory = out or Path("runs", Path(file).stem)
        if not quiet:
            console.say(f"{counted(len(plan.variants), 'variant')} x {counted(len(plan.seeds), 'seed')} into {directory}")
        with console.study_progress(quiet=quiet) as progress:
            result, failed = run_study(plan, directory, workers=workers, backend=chosen, progress=progress, round_limit_s=round_limit_s)
        typer.echo(f"study directory: {directory}")
        finished = result.runs.groupby("variant", observed=False)["finished"].sum()
        console.table(("variant", "finished", "of"), [(str(name), str(count), str(len(result.seeds))) for name, count in finished.items()])
        if failed:
            raise SimulationError(console.failures(failed))
        if not quiet:
            console.say(f"for a table of results: cosim compare {directory}")


@app.command()
def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="A study directory, or run directories.")],
    *,
    baseline: Annotated[str | None, typer.Option(metavar="VARIANT", help="What to compare with.  [default: the first]")] = None,
    target: Annotated[float | None, typer.Option(min=0, max=1, help="Accuracy: adds the simulated time until it is reached.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="text|markdown|latex|csv", help="How the table is written.")] = "text",
    bootstrap: Annotated[bool, typer.Option("--bootstrap", help="BCa bootstrap instead of Student-t intervals.")] = False,
    debug: Debug = False,
) -> None:
    """Compare variants: metrics with 95 % intervals, and differences paired by seed."""
    with console.reporting(debug=debug):
        from cosim.study import compare as comparing
        from cosim.study import tables

        if form not in tables.FORMATS:
            raise CosimError(f"--format {form}: must be {', '.join(tables.FORMATS)}")
        made = comparing.compare_directories(directories, baseline=baseline, target=target, resample=bootstrap)
        typer.echo(tables.FORMATS[form](made), nl=False)


@app.command()
def report(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="A run directory; or several, or a study's.")],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The page.  [default: DIR/report.html; several: report.html]")] = None,
    debug: Debug = False,
) -> None:
    """Write one self-contained HTML page about a run, or about several side by side."""
    with console.reporting(debug=debug):
        from cosim.study import page

        typer.echo(f"page: {page.write_page(directories, out)}")


@app.command()
def channel(
    scenario: Annotated[str, typer.Argument(help="Scenario file (YAML).")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A table (.csv, .parquet) or a figure (.png, .pdf, .svg).")],
    device: Annotated[int, typer.Option(min=0, help="Which device.")] = 0,
    duration_s: Annotated[float, typer.Option("--duration", metavar="SECONDS", help="How long.")] = 60.0,
    step_s: Annotated[float, typer.Option("--step", metavar="SECONDS", help="Time between samples.")] = 0.01,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a field; may be repeated.")] = None,
    debug: Debug = False,
) -> None:
    """Sample one device's channel over time: place, speed, gain, SNR, line of sight; nothing is trained or sent."""
    if not (0 < step_s < float("inf") and 0 < duration_s < float("inf")):
        raise typer.BadParameter("--duration and --step must be positive")
    with console.reporting(debug=debug):
        from cosim import probe

        with _loaded(scenario, settings or [], seed=seed) as chosen:
            probe.check_target(out)
            samples = probe.sample(chosen, device, duration_s=duration_s, step_s=step_s)
        try:
            probe.write(samples, out, f"{Path(scenario).stem}, seed {chosen.seed}, device {device}")
        except OSError as error:
            raise CosimError(f"--out {out}: cannot be written: {error.strerror}") from error
        typer.echo(f"{counted(len(samples), 'sample')}: {out}")


@app.command()
def data(
    scenario: Annotated[str, typer.Argument(help="Scenario file (YAML).")],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also a table (.csv, .parquet) or a figure (.png, .pdf, .svg).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a field; may be repeated.")] = None,
    debug: Debug = False,
) -> None:
    """Show who has how many images of which class; nothing is simulated or trained."""
    with console.reporting(debug=debug):
        from cosim import probe

        with _loaded(scenario, settings or [], seed=seed) as chosen:
            if out is not None:
                probe.check_target(out)
            table = probe.partition_table(chosen)
        names = [str(name) for name in table.columns]
        shown = names if len(names) <= 23 else names[:3]
        console.table(tuple(shown), [tuple(map(str, row)) for row in table[shown].to_numpy().tolist()])
        if out is not None:
            try:
                probe.write_partition(table, out)
            except OSError as error:
                raise CosimError(f"--out {out}: cannot be written: {error.strerror}") from error
            typer.echo(f"{counted(len(table), 'device')}: {out}")


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")],
    *,
    form: Annotated[
        str,
        typer.Option("--format", metavar="perfetto|csv|tensorboard", help="A timeline for ui.perfetto.dev, CSV tables, or TensorBoard."),
    ],
    out: Annotated[Path | None, typer.Option(help="Where to.  [default: DIR/timeline.json, DIR/csv or DIR/tensorboard]")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="With tensorboard: go on until the run ends.")] = False,
    debug: Debug = False,
) -> None:
    """Write a run for other programs."""
    with console.reporting(debug=debug):
        from cosim import export as exports
        from cosim.trace.run import Run

        if form not in {"perfetto", "csv", "tensorboard"}:
            raise CosimError(f"--format {form}: must be perfetto, csv or tensorboard")
        if form == "tensorboard":
            from cosim.tensorboard import write_tensorboard

            typer.echo(f"events: {write_tensorboard(Run.open(directory), out, follow=follow)}")
            return
        if form == "perfetto":
            typer.echo(f"timeline: {exports.write_perfetto(Run.open(directory), out)}")
            return
        for path in exports.write_csv(Run.open(directory), out):
            typer.echo(f"table: {path}")


@app.command(name="list")
def list_(
    role: Annotated[str | None, typer.Argument(help="One role or section.  [default: all]")] = None,
    *,
    debug: Debug = False,
) -> None:
    """Show sections and kinds, plugins included, with their fields, units and defaults."""
    with console.reporting(debug=debug):
        from cosim import listing

        for topic in [role] if role else listing.topics():
            for entry in listing.entries(topic):
                typer.echo(f"{topic}  {entry.name}: {entry.meaning}" if entry.name != topic else f"{topic}: {entry.meaning}")
                if entry.rows:
                    console.table(listing.HEADER, entry.rows)
                typer.echo()


@app.command()
def schema(*, debug: Debug = False) -> None:
    """Print the JSON Schema of scenarios, for editors."""
    with console.reporting(debug=debug):
        import json

        from cosim import listing

        typer.echo(json.dumps(listing.schema(), indent=2))


@contextlib.contextmanager
def _loaded(path: str, settings: list[str], **options: int | None) -> Iterator[Scenario]:
    """The scenario; what its parts refuse when they start is told with its place in the file, or its overrides."""
    from cosim.scenario import Scenario, located, parse_override

    overrides: dict[str, Any] = dict(parse_override(text) for text in settings)
    overrides |= {name: value for name, value in options.items() if value is not None}
    chosen = Scenario.load(path, overrides)
    try:
        yield chosen
    except ScenarioError as error:
        raise ScenarioError(located(str(error), path, overrides)) from error


def _check_run(directory: Path) -> None:
    from cosim.scenario import Scenario
    from cosim.trace.run import SCENARIO_NAME, Run

    run = Run.open(directory)
    try:
        scenario = Scenario.load(directory / SCENARIO_NAME)
    except ScenarioError as error:
        raise RunError(str(error)) from error
    run.verify(scenario.audit())


def _free_directory(scenario: str, seed: int) -> Path:
    """``runs/NAME-SEED``, with a number behind it if that one is taken."""
    base = Path("runs", f"{Path(scenario).stem}-{seed}")
    numbered = (base.with_name(f"{base.name}-{count}") for count in itertools.count(2))
    return next(path for path in itertools.chain([base], numbered) if not path.exists())


@contextlib.contextmanager
def _claimed(directory: Path) -> Iterator[Path]:
    """The directory, made; taken away again if nothing was written into it. Raises CosimError if it cannot be used."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        empty = not any(directory.iterdir())
        writable = os.access(directory, os.W_OK | os.X_OK)
    except OSError as error:
        raise CosimError(f"--out {directory}: cannot be made: {error.strerror}") from error
    if not empty:
        raise CosimError(f"--out {directory}: is not empty; results need a directory that is absent or empty")
    if not writable:
        raise CosimError(f"--out {directory}: cannot be written: no permission")
    try:
        yield directory
    finally:
        with contextlib.suppress(OSError):  # rmdir refuses as soon as something is inside
            for path in made:
                path.rmdir()
