"""Tutorial: add an allocator, and show that it is better.

    python examples/better_allocator.py --out runs/better

``equal_bandwidth`` gives every device the same share of the band, those too who could send their whole model with less.
Our allocator, below, takes back what they do not need and gives it to the others. Is that better, by how much, and how much
is left to gain?
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import final

import numpy as np

from cosim.alloc.closed_forms import planned_latency_s, prune_ratio
from cosim.alloc.problem import make_allocation
from cosim.component import Component, quantity
from cosim.interfaces import Allocation, AllocationProblem
from cosim.study.compare import compare
from cosim.study.execute import run_study
from cosim.study.plan import load
from cosim.study.tables import markdown, text

HERE = Path(__file__).resolve().parent


# Step 1. The allocator: frozen parameters and a pure function of the problem. What follows from bandwidths is there already:
# the least pruning that meets the threshold (closed form 1), and the record of the answer.
@final
class WithoutWaste(Component):
    """Equal shares, but for nobody more than it takes to send the whole model in time; the rest is shared again."""

    passes: int = quantity(10, "", "how often the rest is shared", ge=1)

    def allocate(self, problem: AllocationProblem, rng: np.random.Generator) -> Allocation:
        """Draws no random numbers."""
        enough_hz = self._enough_hz(problem)
        share_hz = np.zeros_like(enough_hz)
        for _ in range(self.passes):
            open_to_more = share_hz < enough_hz
            rest_hz = problem.bandwidth_hz - share_hz.sum()
            share_hz = np.minimum(share_hz + open_to_more * rest_hz / max(open_to_more.sum(), 1), enough_hz)
        ratio = prune_ratio(problem, share_hz)
        in_time = planned_latency_s(problem, ratio, share_hz) <= problem.latency_threshold_s * (1 + 1e-9)
        return make_allocation(problem, in_time, ratio, share_hz)

    def _enough_hz(self, problem: AllocationProblem) -> np.ndarray:
        """Bandwidth at which nothing is pruned; infinite where no bandwidth is enough."""
        left_s = problem.latency_threshold_s - problem.fixed_time_s - problem.prunable_time_s
        rate_bps = np.divide(problem.fixed_bits + problem.prunable_bits, left_s, out=np.full_like(left_s, np.inf), where=left_s > 0)
        return np.asarray(problem.rate.inverse(rate_bps, problem.snr_hz))


# Step 2. A study: a variant for each allocator. The threshold belongs to the round, not to an allocator, so all of them
# face the same problem; and all of them see the same world, seed by seed.
STUDY = f"""
scenario: {HERE.parent / "scenarios" / "small_5dev.yaml"}
seeds: {{first: 1, count: 10}}
overrides: {{learning.kind: none, rounds: 10, devices.count: 10, round.latency_threshold: {{relative_to_unpruned: 0.8}}}}
variants:
  equal_bandwidth: {{allocator.kind: equal_bandwidth}}
  without_waste: {{allocator.kind: "better_allocator:WithoutWaste"}}
  kkt: {{allocator.kind: kkt}}
"""


def main() -> None:
    """Simulate, compare, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/better"))
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "better.yaml").write_text(STUDY, encoding="utf-8")

    # Step 3. The worker processes must be able to import this file, as for any plugin.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    study, failed = run_study(load(options.out / "better.yaml"), options.out / "study", workers=options.workers)
    assert not failed, failed

    # Step 4. The table: means with 95 % intervals, and below each the difference from equal_bandwidth, paired by seed, with
    # stars where it is significant after Holm's correction. ``kkt`` is the optimum: what is left to gain.
    made = compare(study.rounds, baseline="equal_bandwidth")
    print(text(made))
    (options.out / "table.md").write_text(markdown(made), encoding="utf-8")

    # Step 5. The claim, as a test would state it.
    cell = made.cells["objective"]["without_waste"]
    assert cell.difference is not None
    verdict = "less" if cell.p_adjusted < 0.05 and cell.difference.estimate < 0 else "not significantly less"
    change = f"{cell.difference.estimate:+.4f} in the mean objective, p = {cell.p_adjusted:.2g}"
    print(f"without_waste prunes {verdict} than equal_bandwidth: {change}")
    study.plot.metric("objective").figure.savefig(options.out / "objective.png")


if __name__ == "__main__":
    main()
