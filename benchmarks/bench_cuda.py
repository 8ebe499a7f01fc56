"""Local training on a GPU: next to a plain PyTorch loop on the same GPU, and next to the processor: python benchmarks/bench_cuda.py.

Times: the learner's work of a round of FedAvg (masks, tickets, training of all devices together, uploads encoded and decoded, aggregation),
and the loop of ``bench_training`` with model and data on the GPU. They take turns; the least times are compared.
Values: the same round, with personal layers and pruning, on GPU and processor; the largest difference of any parameter.
Without a GPU it says so and ends.
"""

import argparse
import sys

import numpy as np
import torch
from bench_training import CASES, Case, our_round, plain_round, timed

from cosim.catalog import make
from cosim.learn.federated import Federated
from cosim.learn.partition import IID
from cosim.learn.pruner import Random
from cosim.learn.split import Split
from cosim.learn.trainer import SGD
from cosim.rng import Streams

MODELS = {
    "cnn": make("model", "cnn", filters=(16, 32), hidden=128),
    "mlp": make("model", "mlp", hidden=(200,)),
    "resnet": make("model", "resnet"),
}


def synchronised(work) -> float:
    """Seconds until the GPU is done."""

    def both() -> None:
        work()
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    return timed(both)


def compare(case: Case, devices: int, steps: int, rounds: int, workers: int) -> None:
    """Print the least times, their ratio, and what memory of the GPU a round takes."""
    trainer = SGD(batch_size=case.batch, personal_steps=0, global_steps=steps, device="cuda")
    federated = Federated(model=case.model, split=Split(personal_layers=0), trainer=trainer, partition=IID(samples_per_device=200))
    data = federated.dataset.load()
    images, labels = torch.from_numpy(data.train_images).cuda(), torch.from_numpy(data.train_labels).cuda()
    shares = [torch.from_numpy(share).cuda() for share in federated.partition.deal(data, devices, Streams(0)).train]
    start = case.module().cuda().state_dict()
    learner = federated.start(devices, Streams(0), workers=workers)
    ours, plain = [], []
    for index in range(rounds + 1):
        ours.append(synchronised(lambda index=index: our_round(learner, index, devices)))
        plain.append(synchronised(lambda: plain_round(case, start, steps, images, labels, shares)))
    best, loop = min(ours[1:]), min(plain[1:])  # the first ones load kernels
    peak = torch.cuda.max_memory_allocated() / 2**20
    print(f"{case.name:15s}{devices:4d} devices: ours {best:.4f} s, plain {loop:.4f} s: {loop / best:.1f} times as fast; {peak:.0f} MiB")


def difference(name: str, devices: int, workers: int) -> float:
    """The largest difference of a parameter after one round; printed."""
    states, losses = [], []
    for device in ("cpu", "cuda"):
        trainer = SGD(device=device)
        federated = Federated(model=MODELS[name], trainer=trainer, pruner=Random(), partition=IID(samples_per_device=200))
        learner = federated.start(devices, Streams(1), workers=workers)
        ids = np.arange(devices)
        learner.assign(0, ids, np.linspace(0.0, 0.8, devices))
        for k in ids.tolist():
            learner.start(0, k)
            learner.finish(k)
        losses.append(learner.aggregate(0, ids).train_loss)
        states.append(learner.state())
    largest = max(float(np.abs(states[0][part] - states[1][part]).max()) for part in ("shared", "personal"))
    loss = float(np.abs(losses[0] - losses[1]).max())
    print(f"{name}: GPU and processor differ by at most {largest:.1e} in a parameter, {loss:.1e} in a loss")
    return largest


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, default=50)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    if not torch.cuda.is_available():
        print(f"No CUDA device here (PyTorch {torch.__version__}): nothing to measure.")
        return 0
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    worst = max(difference(name, chosen.devices, chosen.workers) for name in MODELS)
    for case in CASES:
        compare(case, chosen.devices, chosen.steps, chosen.rounds, chosen.workers)
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
