"""Where the wall time of a whole scenario goes, phase by phase.

python benchmarks/bench_scenario.py [SCENARIO]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENARIO = Path(__file__).parent.parent / "scenarios" / "urban_50dev.yaml"


def main() -> None:
    """Run the command as a user would and print the manifest's phases."""
    scenario = sys.argv[1] if len(sys.argv) > 1 else str(SCENARIO)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cosim", "run", scenario, "--out", str(out), "--quiet"], check=True)
        process_s = time.perf_counter() - begin
        import cosim

        walls = cosim.Run.open(out).manifest["wall_times_s"]
        simulated_s = float(cosim.Run.open(out).rounds.t_end_s.iloc[-1])
    learning_s = walls["training"] + walls["evaluation"]
    print(f"whole process        {process_s:8.2f} s  ({simulated_s:.1f} simulated s)")
    for phase, wall_s in walls.items():
        print(f"{phase:20s} {wall_s:8.2f} s")
    print(f"simulation but for training and evaluation {walls['total'] - walls['build'] - learning_s:8.2f} s")


if __name__ == "__main__":
    main()
