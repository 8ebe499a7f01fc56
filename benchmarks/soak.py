"""Endurance: many network-only rounds of a few devices. Memory, files and speed must not change as the rounds go by.

    python benchmarks/soak.py                     100,000 rounds of 5 devices
    python benchmarks/soak.py --rounds 20000

Prints a line for each tenth of the run, and what the issue of memory and speed is judged by: growth of the resident set between the
10 % mark and the end, number of files, and processor time of a round in the second half against that in the first.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import cosim

PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


def resident_mib():
    """Memory that this process holds now, not at its peak [MiB]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MIB


def soak(rounds, devices, directory):
    """Rows (rounds done, resident MiB, files, CPU ms per round since the row before), one for each tenth of the run."""
    rows, last = [], [0, time.process_time()]

    def look(done, *_):
        if done % (rounds // 10) == 0:
            now = time.process_time()
            files = sum(len(names) for _, _, names in os.walk(directory))
            rows.append((done, resident_mib(), files, 1e3 * (now - last[1]) / (done - last[0])))
            last[:] = done, now
            print("{:>8} {:>10.1f} {:>6} {:>10.3f}".format(*rows[-1]), flush=True)

    document = {"rounds": rounds, "devices": {"count": devices}, "learning": {"kind": "none"}}
    scenario = cosim.Scenario.checked(document, directory, lambda place, _: ".".join(map(str, place)))
    cosim.run(scenario, out=directory, progress=look)
    return np.array(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--devices", type=int, default=5)
    options = parser.parse_args()
    print(f"{'rounds':>8} {'MiB':>10} {'files':>6} {'CPU ms':>10}")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cosim-soak-") as folder:
        rows = soak(options.rounds, options.devices, Path(folder, "run"))
    half = len(rows) // 2
    change = rows[half:, 3].mean() / rows[:half, 3].mean() - 1
    print(f"wall time {time.monotonic() - begin:.0f} s")
    print(f"memory grows by {rows[-1, 1] - rows[0, 1]:.1f} MiB from round {rows[0, 0]:.0f} to {rows[-1, 0]:.0f}")
    print(f"processor time of a round: {100 * change:+.1f} % in the second half, against the first")


if __name__ == "__main__":
    main()
