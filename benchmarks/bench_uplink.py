"""What a dynamic uplink costs: wall and processor seconds per simulated second, one cell with 50 devices.

    python benchmarks/bench_uplink.py [--repeats 3]

`scenarios/nr_mcs.yaml` (proportional fair, transport blocks, HARQ, a slot each millisecond) is to stay below 1.0; reserved shares and
proportional fair with Shannon's rate at 10 ms slots below 0.02. The cheapest of the repeats counts, since other work on the machine only
adds to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cosim

SCENARIOS = Path(__file__).parent.parent / "scenarios"
NOTHING_ELSE = {"learning.kind": "none", "trace.radio_interval_s": None, "trace.events": False}
CASES = {
    "NR blocks, HARQ, PF, 1 ms": (1.0, "nr_mcs.yaml", {}),
    **{
        f"Shannon, {kind}, 10 ms": (
            0.02 if kind in {"ideal", "allocated", "proportional_fair"} else float("nan"),
            "urban_50dev.yaml",
            {**NOTHING_ELSE, "uplink.kind": kind},
        )
        for kind in ("ideal", "allocated", "work_conserving", "round_robin", "proportional_fair", "max_ci")
    },
}


def cost(scenario: str, overrides: dict[str, object]) -> tuple[float, float]:
    """Wall and processor seconds per simulated second."""
    loaded = cosim.Scenario.load(SCENARIOS / scenario, overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        wall, processor = time.perf_counter(), time.process_time()
        run = cosim.run(loaded, out=Path(folder) / "run", workers=1)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        simulated_s = float(run.rounds.t_end_s.iloc[-1])
    return wall / simulated_s, processor / simulated_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cost("urban_50dev.yaml", {**NOTHING_ELSE, "rounds": 1})  # imports
    print(f"{'':38}{'wall':>9}{'CPU':>9}{'bound':>9}   s per simulated s")
    for name, (bound, scenario, overrides) in CASES.items():
        rounds = {} if scenario == "nr_mcs.yaml" else {"rounds": 10}
        found = [cost(scenario, {**overrides, **rounds}) for _ in range(options.repeats)]
        print(f"{name:38}{min(w for w, _ in found):9.4f}{min(c for _, c in found):9.4f}{bound:9.2f}")


if __name__ == "__main__":
    main()
