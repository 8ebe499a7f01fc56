"""What the network simulation costs: wall seconds per simulated second, beside a bare numpy loop of the same radio work.

    python benchmarks/bench_engine.py [--devices 50] [--rounds 20] [--repeats 5]

Both run in turns in one process. The bare loop does, slot after slot in chunks, what cannot be avoided: the Jakes
sum of every device in every slot, the rate, and the drained bits; no events, no mobility, no tables.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import cosim

SCENARIO = Path(__file__).parent.parent / "scenarios" / "urban_50dev.yaml"


def simulate(devices: int, rounds: int) -> tuple[float, float]:
    """Wall and simulated seconds of a network-only run."""
    overrides = {"learning.kind": "none", "devices.count": devices, "rounds": rounds, "trace.radio_interval_s": None, "trace.events": False}
    scenario = cosim.Scenario.load(SCENARIO, overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        run = cosim.run(scenario, out=Path(folder) / "run")
        return time.perf_counter() - begin, float(run.rounds.t_end_s.iloc[-1])


def bare_loop(devices: int, simulated_s: float, sinusoids: int = 32, slot_s: float = 0.01, chunk: int = 100) -> float:
    """Wall seconds of the radio work alone."""
    rng = np.random.default_rng(0)
    doppler = rng.uniform(-100, 100, (devices, sinusoids))
    phase = rng.random((2, devices, sinusoids))
    backlog = np.full(devices, 1e15)
    begin = time.perf_counter()
    for first in range(0, int(simulated_s / slot_s), chunk):
        times = (first + np.arange(chunk))[:, None, None] * slot_s
        power = np.zeros((chunk, devices))
        for part in phase:
            turns = times * doppler + part
            wave = np.cos((turns - np.floor(turns)).astype(np.float32) * np.float32(2 * np.pi))
            power += wave.sum(axis=-1, dtype=np.float32) ** 2 / sinusoids
        backlog -= (2e5 * np.log2(1 + power * 30) * slot_s).sum(axis=0)
    return time.perf_counter() - begin


def main() -> None:
    """Print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    simulate(options.devices, 1)  # imports
    ours, bare = [], []
    for _ in range(options.repeats):
        wall, simulated_s = simulate(options.devices, options.rounds)
        ours.append(wall / simulated_s)
        bare.append(bare_loop(options.devices, simulated_s) / simulated_s)
    print(f"{options.devices} devices, {simulated_s:.1f} simulated s per run, medians of {options.repeats}")
    print(f"cosim      {statistics.median(ours):.4f} wall s per simulated s")
    print(f"bare numpy {statistics.median(bare):.4f} wall s per simulated s")
    print(f"ratio      {statistics.median(o / b for o, b in zip(ours, bare, strict=True)):.2f}")


if __name__ == "__main__":
    main()
