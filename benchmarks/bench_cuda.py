"""Local training on a GPU: next to a plain PyTorch loop on the same GPU, and next to the processor: python benchmarks/bench_cuda.py.

Times: the learner's work of a round of FedAvg (masks, tickets, training of all devices together, uploads encoded and decoded, aggregation),
and the loop of ``bench_training`` with model and data on the GPU. They take turns; the least times are compared.
Values: the same round on GPU, on the processor, and device after device in float64 on the processor; and with personal layers and pruning
on the first two. Where two sums are equal but for rounding, the largest of a pooling window or the sign before a ReLU is another, and
the gradient takes another way: so two correct rounds in float32 differ by more than rounding, as each differs from float64.
It fails where GPU and processor differ by more than 1e-4 in any parameter. Without a GPU it says so and ends.
"""

import argparse
import sys

import numpy as np
import torch
from bench_training import CASES, Case, our_round, plain_round, timed
from torch.nn.functional import cross_entropy

from cosim.catalog import make
from cosim.learn.federated import Federated
from cosim.learn.layers import views
from cosim.learn.partition import IID
from cosim.learn.pruner import Random
from cosim.learn.split import Split
from cosim.learn.trainer import SGD, minibatches
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


def setup(case: Case, steps: int, device: str) -> Federated:
    """FedAvg of a case's model."""
    trainer = SGD(batch_size=case.batch, personal_steps=0, global_steps=steps, device=device)
    return Federated(model=case.model, split=Split(personal_layers=0), trainer=trainer, partition=IID(samples_per_device=200))


def compare(case: Case, devices: int, steps: int, rounds: int, workers: int) -> None:
    """Print the least times, their ratio, and what memory of the GPU a round takes."""
    federated = setup(case, steps, "cuda")
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


def in_float64(case: Case, steps: int, devices: int, seed: int) -> np.ndarray:
    """The model after the same round, device after device."""
    federated = setup(case, steps, "cpu")
    layers, network = federated.parts().shared, federated.parts().network
    data = federated.dataset.load()
    start = torch.from_numpy(federated.start(devices, Streams(seed), workers=1).state()["shared"]).double()
    mean = torch.zeros_like(start)
    for k, share in enumerate(federated.partition.deal(data, devices, Streams(seed)).train):
        model = start
        for rows in minibatches(len(share), case.batch, steps, Streams(seed).generator("train", k, 0)):
            model = model.detach().requires_grad_()
            images, labels = torch.from_numpy(data.train_images[share[rows]]).double(), torch.from_numpy(data.train_labels[share[rows]])
            (slope,) = torch.autograd.grad(cross_entropy(network.forward(views(model, layers), images), labels), model)
            model = model - federated.trainer.learning_rate * slope
        mean += model.detach() / devices
    return mean.numpy()


def distances(case: Case, steps: int, devices: int, workers: int, seed: int) -> float:
    """Print how far GPU, processor and float64 are from one another after a round; the largest difference of the first two."""
    found = {"float64": in_float64(case, steps, devices, seed)}
    for device, name in (("cpu", "processor"), ("cuda", "GPU")):
        learner = setup(case, steps, device).start(devices, Streams(seed), workers=workers)
        our_round(learner, 0, devices)
        found[name] = learner.state()["shared"]
    largest = {}
    for one, other in (("GPU", "processor"), ("GPU", "float64"), ("processor", "float64")):
        apart = np.abs(found[one] - found[other])
        largest[one, other] = float(apart.max())
        print(f"  {one} and {other}: {apart.max():.1e} at most, {np.sqrt(np.mean(apart**2)):.1e} root mean square", flush=True)
    return largest["GPU", "processor"]


def difference(name: str, devices: int, workers: int) -> float:
    """The largest difference of a parameter after one round with personal layers and pruning; printed, with that of a loss."""
    states, losses = [], []
    for device in ("cpu", "cuda"):
        federated = Federated(model=MODELS[name], trainer=SGD(device=device), pruner=Random(), partition=IID(samples_per_device=200))
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
    print(f"{name}: GPU and processor differ by at most {largest:.1e} in a parameter, {loss:.1e} in a loss", flush=True)
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
    found = []
    for steps in (1, chosen.steps):
        for seed in range(3):
            print(f"{CASES[0].name}, {chosen.devices} devices, steps: {steps}, seed {seed}")
            found.append(distances(CASES[0], steps, chosen.devices, chosen.workers, seed))
    found += [difference(name, chosen.devices, chosen.workers) for name in MODELS]
    for case in CASES:
        compare(case, chosen.devices, chosen.steps, chosen.rounds, chosen.workers)
    return 0 if max(found) <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
