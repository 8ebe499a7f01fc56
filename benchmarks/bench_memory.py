"""What a round of training takes for more and more devices: python benchmarks/bench_memory.py [--devices 50 200 1000].

Each size is a process of its own: build the learner, then rounds of masks, tickets, training, aggregation and evaluation, every
device with a mask of its own at rho = 0.5. Told are the process's peak memory, what PyTorch, data and model took of it before the first
round, and wall and processor time per device of the round that took least.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from cosim.catalog import make
from cosim.learn.federated import Federated
from cosim.learn.partition import IID
from cosim.learn.pruner import Random
from cosim.rng import Streams

MODELS = {
    "cnn": make("model", "cnn", filters=(16, 32), hidden=128),
    "mlp": make("model", "mlp", hidden=(200,)),
}


def peak_mb() -> float:
    """Largest resident memory of this process so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def played(model: str, devices: int, rounds: int, workers: int) -> dict[str, float]:
    """Rounds in this process."""
    torch.set_num_threads(1)
    federated = Federated(model=MODELS[model], pruner=Random(), partition=IID(samples_per_device=200))
    learner = federated.start(devices, Streams(0), workers=workers)
    before, ids, wall, busy = peak_mb(), np.arange(devices), [], []
    for index in range(rounds):
        begin, cpu = time.perf_counter(), time.process_time()
        learner.assign(index, ids, np.full(devices, 0.5))
        for k in ids.tolist():
            learner.start(index, k)
            learner.finish(k)
        learner.aggregate(index, ids)
        learner.evaluate(index)
        wall.append(time.perf_counter() - begin)
        busy.append(time.process_time() - cpu)
    return {"before": before, "peak": peak_mb(), "wall": 1e3 * min(wall) / devices, "busy": 1e3 * min(busy) / devices}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, nargs="+", default=[50, 200, 1000])
    options.add_argument("--model", choices=MODELS, default="cnn")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--here", action="store_true", help="in this process, as JSON: what the others are started with")
    chosen = options.parse_args()
    if chosen.here:
        print(json.dumps(played(chosen.model, chosen.devices[0], chosen.rounds, chosen.workers)))
        return
    print("| devices | peak memory, MB | before the first round, MB | wall ms per device and round | processor ms |")
    print("| --- | --- | --- | --- | --- |")
    for devices in chosen.devices:
        sizes = ["--devices", str(devices), "--model", chosen.model, "--rounds", str(chosen.rounds), "--workers", str(chosen.workers)]
        found = json.loads(subprocess.run([sys.executable, __file__, "--here", *sizes], check=True, capture_output=True, text=True).stdout)
        print(f"| {devices} | {found['peak']:.0f} | {found['before']:.0f} | {found['wall']:.1f} | {found['busy']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
