"""How much training time structured pruning saves: python benchmarks/bench_pruning.py.

Rounds of the learner (masks, tickets, training, aggregation) at the given ratio, structured and unstructured, next to unpruned ones. They
take turns, since other programs on the machine slow all; the medians of the ratios are what counts. On a busy
machine processor time is the fairer one.
"""

import argparse
import statistics
import time

import numpy as np

from cosim.catalog import make
from cosim.learn.federated import Federated
from cosim.learn.pruner import Magnitude
from cosim.rng import Streams

MODELS = {
    "cnn": make("model", "cnn", filters=(16, 32), hidden=128),
    "mlp": make("model", "mlp", hidden=(200,)),
    "resnet": make("model", "resnet"),
}


def timed_round(learner, index: int, devices: int, ratio: float) -> tuple[float, float, float]:
    """Wall time [s], processor time of all threads [s], counted work [FLOP] of one round without the network."""
    ids = np.arange(devices)
    begin, busy = time.perf_counter(), time.process_time()
    given = learner.assign(index, ids, np.full(devices, ratio))
    for k in ids.tolist():
        learner.start(index, k)
        learner.finish(k)
    learner.aggregate(index, ids)
    return time.perf_counter() - begin, time.process_time() - busy, float(given.flops.sum())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", choices=MODELS, default="cnn")
    options.add_argument("--devices", type=int, default=50)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--ratio", type=float, default=0.5)
    chosen = options.parse_args()

    def learner(granularity: str):
        federated = Federated(model=MODELS[chosen.model], pruner=Magnitude(granularity=granularity))
        return federated.start(chosen.devices, Streams(0), workers=chosen.workers)

    cases = {
        "unpruned": (learner("unstructured"), 0.0),
        "unstructured": (learner("unstructured"), chosen.ratio),
        "structured": (learner("structured"), chosen.ratio),
    }
    for one, ratio in cases.values():
        timed_round(one, 0, min(4, chosen.devices), ratio)
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cases}
    for index in range(1, chosen.rounds + 1):
        for name, (one, ratio) in cases.items():
            seen[name].append(timed_round(one, index, chosen.devices, ratio))
    for name, rows in seen.items():
        pairs = zip(rows, seen["unpruned"], strict=True)
        wall, busy, work = (
            statistics.median(share) for share in zip(*([a / b for a, b in zip(*pair, strict=True)] for pair in pairs), strict=True)
        )
        least = min(row[0] for row in rows)
        print(
            f"{name}: least {least:.2f} s; {wall:.2f} of the unpruned wall time, {busy:.2f} of the processor time, {work:.2f} of the work"
        )


if __name__ == "__main__":
    main()
