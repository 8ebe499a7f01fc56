"""How a study scales: wall time on 2 workers over that on 1, one training thread per run in both arms.

    python benchmarks/bench_study.py [--study scenarios/studies/urban_allocators.yaml] [--parts 5] [--seeds 10]

The study's seeds are cut into parts, and both arms simulate each part in turn, so that a machine that becomes slower or faster
meanwhile does so for both. Processes are started afresh for every part in both arms; a part is long beside that, and a
study as a whole starts them once: the true ratio is a little smaller. The tables of both arms must be equal byte by byte.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from cosim.study.execute import run_study
from cosim.study.plan import Plan, load

STUDY = Path(__file__).parent.parent / "scenarios" / "studies" / "urban_allocators.yaml"


def simulate(plan: Plan, workers: int, out: Path) -> float:
    """Wall seconds of a study."""
    begin = time.perf_counter()
    _, failed = run_study(plan, out, workers=workers)
    assert not failed, failed
    return time.perf_counter() - begin


def tables(directory: Path) -> dict[str, bytes]:
    """Bytes of all tables by their place."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("part-*.parquet"))}


def main() -> None:
    """Print both times, their ratio, and whether the tables are equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--parts", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    plan = load(options.study)
    seeds, parts = plan.seeds[: options.seeds], min(options.parts, options.seeds)
    spent = {1: 0.0, 2: 0.0}
    with tempfile.TemporaryDirectory() as folder:
        for part in range(parts):
            chosen = replace(plan, seeds=seeds[part::parts])
            order = (1, 2) if part % 2 == 0 else (2, 1)
            for workers in order:
                spent[workers] += simulate(chosen, workers, Path(folder, f"{part}-{workers}"))
            assert tables(Path(folder, f"{part}-1")) == tables(Path(folder, f"{part}-2")), "the tables differ"
    runs = len(plan.variants) * len(seeds)
    print(f"{len(plan.variants)} variants x {len(seeds)} seeds = {runs} runs, in {parts} parts; tables are equal byte by byte")
    print(f"1 worker   {spent[1]:.1f} s")
    print(f"2 workers  {spent[2]:.1f} s")
    print(f"ratio      {spent[2] / spent[1]:.3f}   (goal: at most 0.62)")


if __name__ == "__main__":
    main()
