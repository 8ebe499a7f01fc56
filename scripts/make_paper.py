# noqa: INP001 - a script, not a package
"""Run the studies of scenarios/paper and some of scenarios/studies; write docs/paper.md and docs/beyond.md with their figures: make paper.

    python scripts/make_paper.py [--seeds N] [--workers N] [--quick] [--write-only]

Finished runs in runs/paper are kept, so the same command goes on after a kill. The page says which seeds of
which variant it rests on. ``--quick``: a few rounds, two seeds and the images that come with cosim, into runs/paper-quick.
``--write-only``: the page from what is finished, without simulating.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import beyond_page
import paper_page
from joblib import cpu_count

import cosim
from cosim.errors import CosimError
from cosim.study.execute import Outcome, run_study
from cosim.study.plan import Plan, load

ROOT = Path(__file__).resolve().parent.parent
PAPER = ("objective_bandwidth", "objective_devices", "objective_threshold", "pilot", "pilot_training", "headline", "frontier", "better")
BEYOND = ("csi_speed", "frequency_selective", "stragglers", "structured", "city_interference")
FILES = {**{name: f"scenarios/paper/{name}.yaml" for name in PAPER}, **{name: f"scenarios/studies/{name}.yaml" for name in BEYOND}}
PILOTS = ("pilot", "pilot_training")
LEARNING = (*PILOTS, "headline", "frontier", "better", "structured")
QUICK_SEEDS = 2
QUICK: Mapping[str, Any] = {  # the images that come with cosim, fewer of them, and less of everything that takes time
    "rounds": 4,
    "learning.evaluate_every": 1,
    "learning.dataset.kind": "fashion_mnist_small",
    "learning.partition.samples_per_device": 200,
    "learning.partition.test_samples_per_device": 50,
    "learning.trainer.personal_steps": 2,
    "learning.trainer.global_steps": 4,
}
QUICK_NETWORK: Mapping[str, Any] = {"rounds": 3}


def main() -> None:
    """Simulate what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small version into runs/paper-quick")
    parser.add_argument("--seeds", type=int, help="only the first so many seeds of each study")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="processes")
    parser.add_argument("--write-only", action="store_true", help="write the page from what is finished")
    parser.add_argument("--runs", type=Path, help="where the runs are  [default: runs/paper, runs/paper-quick]")
    parser.add_argument("--out", type=Path, help="where the page goes  [default: docs, runs/paper-quick]")
    options = parser.parse_args()
    runs = options.runs or ROOT / ("runs/paper-quick" if options.quick else "runs/paper")
    try:
        if not options.write_only:
            simulate({name: plan(name, options) for name in FILES}, runs, options.workers)
        begun = {name: cosim.Study.open(runs / name) for name in FILES if (runs / name / "study.yaml").is_file()}
        studies = {name: study for name, study in begun.items() if study.runs["finished"].any()}
        planned = QUICK_SEEDS if options.quick else len(load(ROOT / "scenarios/paper/headline.yaml").seeds)
        folder = options.out or (runs if options.quick else ROOT / "docs")
        paper_page.write(studies, folder, planned)
        beyond_page.write(studies, folder)
    except CosimError as error:
        sys.exit(f"make_paper: {error}")


def plan(name: str, options: argparse.Namespace) -> Plan:
    """The plan of a study, cut to what was asked for."""
    less = QUICK if name in LEARNING else QUICK_NETWORK if name in BEYOND else {}
    found = load(ROOT / FILES[name], less if options.quick else None)
    quick = 1 if name in PILOTS else QUICK_SEEDS
    return replace(found, seeds=found.seeds[: quick if options.quick else options.seeds])


def simulate(plans: Mapping[str, Plan], runs: Path, workers: int) -> None:
    """Simulate what is missing of all studies. Raises CosimError where runs failed."""
    for name, study in plans.items():
        _, failed = run_study(study, runs / name, workers=workers, progress=told(name, workers))
        if failed:
            first = failed[0]
            raise CosimError(f"{len(failed)} runs of {name} failed; {first.variant}, seed {first.seed}: {first.error}")


def told(name: str, workers: int) -> Callable[[int, int, Outcome], None]:
    """Says after each run how far a study is, and how long the rest will take at the mean pace of the runs so far."""
    begin = time.monotonic()

    def tell(done: int, total: int, outcome: Outcome) -> None:
        pace_s = (time.monotonic() - begin) / done
        rest_min = pace_s * (total - done) / 60
        sys.stdout.write(
            f"{name}: {done} of {total} runs, {outcome.wall_s:.0f} s for {outcome.variant} seed {outcome.seed}; "
            f"about {rest_min:.0f} min to go on {workers} processes\n"
        )
        sys.stdout.flush()

    return tell


if __name__ == "__main__":
    main()
