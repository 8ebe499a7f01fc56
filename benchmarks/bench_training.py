"""How fast local training is, next to a plain PyTorch loop doing the same work: python benchmarks/bench_training.py.

Ours: the learner's round (masks, tickets, aggregation) on ``workers`` threads. Plain: for each device in turn a module,
``torch.optim.SGD`` and ``backward``, on threads of torch's own. The two take turns, since other programs on the
machine slow both; the median of each and of their ratio are what counts.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch import nn

from cosim.learn.federated import Federated
from cosim.rng import Streams


def lenet() -> nn.Sequential:
    """The default CNN as a module."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 16, 5), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(256, 288), nn.ReLU(), nn.Linear(288, 10)),
    )


def plain_round(settings, images, labels, shares) -> None:
    """Alternating SGD for each device: the personal layer, then the shared ones."""
    for share in shares:
        model = lenet()
        last = list(model[-1].parameters())
        rest = [p for p in model.parameters() if all(p is not q for q in last)]
        for parameters, frozen, steps in ((last, rest, settings.personal_steps), (rest, last, settings.global_steps)):
            for p in frozen:
                p.requires_grad_(requires_grad=False)
            for p in parameters:
                p.requires_grad_(requires_grad=True)
            optimiser = torch.optim.SGD(parameters, settings.learning_rate)
            for _ in range(steps):
                rows = share[torch.randint(len(share), (settings.batch_size,))]
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
                optimiser.step()


def our_round(learner, index: int, devices: int, ratio: float) -> None:
    """One round without the network."""
    ids = np.arange(devices)
    learner.assign(index, ids, np.full(devices, ratio))
    for k in ids.tolist():
        learner.start(index, k)
        learner.finish(k)
    learner.aggregate(index, ids)


def timed(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, default=50)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--plain-threads", type=int, default=2, help="torch's own threads for the plain loop")
    options.add_argument("--ratio", type=float, default=0.5, help="pruning ratio of our rounds; masks cost time, they save none")
    chosen = options.parse_args()
    federated = Federated()
    data = federated.dataset.load()
    shares = [torch.from_numpy(share) for share in federated.partition.deal(data, chosen.devices, Streams(0)).train]
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    learner = federated.start(chosen.devices, Streams(0), workers=chosen.workers)
    torch.set_num_threads(chosen.plain_threads)
    our_round(learner, 0, min(4, chosen.devices), 0.0)
    ours, plain, evaluation = [], [], []
    for index in range(1, chosen.rounds + 1):
        ours.append(timed(lambda index=index: our_round(learner, index, chosen.devices, chosen.ratio)))
        plain.append(timed(lambda: plain_round(federated.trainer, images, labels, shares)))
        evaluation.append(timed(lambda index=index: learner.evaluate(index)))
        print(f"round {index}: ours {ours[-1]:.2f} s, plain {plain[-1]:.2f} s, our evaluation {evaluation[-1]:.2f} s", flush=True)
    ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
    print(f"median: ours {statistics.median(ours):.2f} s, plain {statistics.median(plain):.2f} s, plain / ours {ratio:.2f}")


if __name__ == "__main__":
    main()
