"""How fast local training is, next to a well-written PyTorch loop on one thread: python benchmarks/bench_training.py.

Ours: the learner's work of a round (tickets, training, aggregation) on ``workers`` threads. Plain: for each device in turn a module,
``torch.optim.SGD`` and ``backward`` on one thread; the same data, steps and mini-batches of the same size, which each draws for itself.
The two take turns in one process, since other programs on the machine slow both; the least time of each is compared.

Both start from the same model. After the same rounds their accuracies on the test images may differ by what other mini-batches do to
them; by more than ``NOISE``, and the benchmark fails.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cosim.learn.federated import Federated
from cosim.learn.layers import tensor_names, views
from cosim.learn.models import CNN, MLP
from cosim.learn.partition import IID
from cosim.learn.split import Split
from cosim.learn.trainer import SGD
from cosim.rng import Streams

NOISE = 0.02
"""Differences of accuracy that mini-batches make after some rounds."""


@dataclass(frozen=True)
class Case:
    """One comparison; ``goal``: ours / plain on two threads."""

    name: str
    model: CNN | MLP
    batch: int
    devices: int
    goal: float

    def module(self) -> nn.Sequential:
        """The model as most people write it."""
        if isinstance(self.model, CNN):
            one, two = self.model.filters
            return nn.Sequential(
                *(nn.Conv2d(1, one, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(one, two, 5), nn.ReLU(), nn.MaxPool2d(2)),
                *(nn.Flatten(), nn.Linear(16 * two, self.model.hidden), nn.ReLU(), nn.Linear(self.model.hidden, 10)),
            )
        (hidden,) = self.model.hidden
        return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


CASES = (
    Case("CNN 16-32-128", CNN(filters=(16, 32), hidden=128), 32, 50, 0.45),
    Case("MLP 784-200-10", MLP(hidden=(200,)), 32, 200, 0.38),
    Case("MLP 784-32-10", MLP(hidden=(32,)), 8, 50, 0.15),
)


def plain_round(case: Case, start: dict, steps: int, images, labels, shares) -> dict:
    """The next model of FedAvg, device after device, where the images are."""
    mean = {name: torch.zeros_like(value) for name, value in start.items()}
    for share in shares:
        model = case.module().to(images.device)
        model.load_state_dict(start)
        optimiser = torch.optim.SGD(model.parameters(), 0.05)
        turns = range(-(-steps * case.batch // len(share)))
        order = torch.cat([share[torch.randperm(len(share), device=share.device)] for _ in turns])
        for rows in order[: steps * case.batch].split(case.batch):
            optimiser.zero_grad()
            cross_entropy(model(images[rows]), labels[rows]).backward()
            optimiser.step()
        for name, value in model.state_dict().items():
            mean[name].add_(value, alpha=1 / len(shares))
    return mean


def our_round(learner, index: int, devices: int) -> None:
    """One round without the network."""
    ids = np.arange(devices)
    learner.assign(index, ids, np.zeros(devices))
    for k in ids.tolist():
        learner.start(index, k)
        learner.finish(k)
    learner.aggregate(index, ids)


def shared_model(case: Case, learner, federated: Federated) -> dict:
    """The learner's model of this moment as the state of ``Case.module``."""
    layers = federated.parts().shared
    tensors = dict(zip(tensor_names(layers), views(learner.state()["shared"], layers), strict=True))
    names = [f"{layer.name}.{kind}" for layer in layers for kind in ("weight", "bias")]
    return {own: torch.from_numpy(tensors[name]) for own, name in zip(case.module().state_dict(), names, strict=True)}


def accuracy(case: Case, state: dict, images, labels) -> float:
    """Share of the test images that a model knows."""
    model = case.module()
    model.load_state_dict(state)
    with torch.no_grad():
        return float((model(images).argmax(dim=1) == labels).float().mean())


def timed(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(case: Case, steps: int, rounds: int, workers: int) -> bool:
    """Print the least times, their ratio, and both accuracies; whether these are equal within the noise."""
    trainer = SGD(batch_size=case.batch, personal_steps=0, global_steps=steps)
    federated = Federated(model=case.model, split=Split(personal_layers=0), trainer=trainer, partition=IID(samples_per_device=200))
    data = federated.dataset.load()
    shares = [torch.from_numpy(share) for share in federated.partition.deal(data, case.devices, Streams(0)).train]
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    learner = federated.start(case.devices, Streams(0), workers=workers)
    states = [shared_model(case, learner, federated)]
    ours, plain = [], []
    torch.manual_seed(0)
    for index in range(rounds):
        ours.append(timed(lambda index=index: our_round(learner, index, case.devices)))
        plain.append(timed(lambda: states.append(plain_round(case, states.pop(), steps, images, labels, shares))))
    tests = torch.from_numpy(data.test_images), torch.from_numpy(data.test_labels)
    found, expected = accuracy(case, shared_model(case, learner, federated), *tests), accuracy(case, states[0], *tests)
    times = f"ours {min(ours):.3f} s, plain {min(plain):.3f} s, ratio {min(ours) / min(plain):.2f} (goal {case.goal})"
    print(f"{case.name:15s}{case.devices:4d} devices: {times}; accuracy {found:.3f} and {expected:.3f}", flush=True)
    return abs(found - expected) <= NOISE


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    equal = [compare(case, chosen.steps, chosen.rounds, chosen.workers) for case in CASES]
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
