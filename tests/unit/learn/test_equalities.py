"""Equalities that hold for every shipped model, against loops in plain torch that know neither masks nor tickets nor threads."""

import sys
import types

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from cosim.learn.layers import tensor_names, views
from cosim.learn.models import CNN, CNN1D, MLP, ResNet, TorchModule
from cosim.learn.partition import IID, Sizes
from cosim.learn.pruner import Magnitude, Random, Taylor
from cosim.learn.pruner_order import Ordered, Rolling
from cosim.learn.trainer import SGD, Epochs, minibatches
from cosim.rng import Streams

RATE = 0.1
MODELS = {
    "mlp": MLP(hidden=(12,)),
    "cnn": CNN(filters=(4, 6), kernel=1, hidden=8),
    "resnet8": ResNet(depth=8, width=4, groups=2),
    "resnet20": ResNet(depth=20, width=4, groups=2),
    "cnn1d": CNN1D(filters=(4, 6), kernel=3, pool=1),
    "torch_module": TorchModule(factory="their_model:make"),
}
UNEQUAL = IID(samples_per_device=24, sizes=Sizes(spread=0.6))
UNPRUNED = [Magnitude(), Magnitude(scope="global", side="device"), Random(), Taylor(), Taylor(side="server")]
NARROW = [Magnitude(granularity="structured", multiple=1), Ordered(multiple=1), Rolling(multiple=1), Taylor(granularity="structured")]


def make(input_shape, classes):
    from torch import nn

    return nn.Sequential(nn.Conv2d(input_shape[0], 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes))


@pytest.fixture(autouse=True)
def their_model(monkeypatch):
    module = types.ModuleType("their_model")
    module.make = make
    monkeypatch.setitem(sys.modules, "their_model", module)


def tensors_of(parts, shared):
    return [torch.from_numpy(view.astype(np.float64)) for view in views(shared, parts.shared)]


def vector(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).numpy()


def steps(learner, tensors, batches):
    """Plain gradient steps in float64 on mini-batches of positions in the training data."""
    data = learner._data
    for rows in batches:
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        logits = learner._parts.network.forward(tensors, torch.from_numpy(data.train_images[rows].astype(np.float64)))
        cross_entropy(logits, torch.from_numpy(data.train_labels[rows])).backward()
        tensors = [tensor.detach() - RATE * tensor.grad for tensor in tensors]
    return tensors


@pytest.mark.parametrize("name", MODELS)
def test_fedavg_with_one_full_batch_step_is_gradient_descent_on_the_union(play, name):
    """Also where devices have unequal numbers of samples."""
    trainer = SGD(learning_rate=RATE, batch_size=1000, global_steps=1)
    learner = play.learner(personal_layers=0, partition=UNEQUAL, model=MODELS[name], trainer=trainer)
    union = np.concatenate(learner._shares.train)
    assert len({len(share) for share in learner._shares.train}) > 2
    assert len(np.unique(union)) == len(union)
    central = tensors_of(learner._parts, learner.state()["shared"])
    for index in range(3):
        play.round(learner, index)
        central = steps(learner, central, [union])
        np.testing.assert_allclose(learner.state()["shared"], vector(central), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "pruner"), [*(("cnn", pruner) for pruner in (*UNPRUNED, *NARROW)), ("mlp", NARROW[0]), ("resnet8", NARROW[0])], ids=repr
)
def test_ratio_zero_is_a_federated_average_without_any_pruner(play, name, pruner):
    trainer = SGD(learning_rate=RATE, batch_size=8, global_steps=Epochs(epochs=1))
    learner = play.learner(personal_layers=0, partition=UNEQUAL, model=MODELS[name], trainer=trainer, pruner=pruner)
    expected = learner.state()["shared"].astype(np.float64)
    samples = np.array([len(share) for share in learner._shares.train])
    for index in range(2):
        submodels, _, _ = play.round(learner, index)
        assert (submodels.prune_ratio == 0).all()
        assert submodels.pruning_error == 0
        trained = []
        for device, share in enumerate(learner._shares.train):
            batches = minibatches(len(share), 8, -(-len(share) // 8), Streams(3).generator("train", device, index))
            trained.append(vector(steps(learner, tensors_of(learner._parts, expected), share[batches])))
        expected = samples @ np.array(trained) / samples.sum()
    np.testing.assert_allclose(learner.state()["shared"], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "pruner"),
    [*((name, NARROW[0]) for name in ("mlp", "cnn", "cnn1d", "resnet8")), ("torch_module", Taylor(side="server")), ("resnet8", Random())],
    ids=repr,
)
def test_any_number_of_threads_and_any_laziness_give_the_same_bits(play, name, pruner):
    """Late devices' tickets of two rounds, trained together at last on three threads, against each of them at once on one."""
    trainer = SGD(learning_rate=RATE, batch_size=8, personal_steps=2, global_steps=2)
    eager, lazy = (play.learner(model=MODELS[name], trainer=trainer, pruner=pruner, workers=workers) for workers in (1, 3))
    for learner in (eager, lazy):
        for index in range(2):
            learner.assign(index, np.arange(5), np.full(5, 0.4))
            for device in (3, 4, 0, 1, 2):
                learner.start(index, device)
                learner.finish(device)
                if learner is eager and device >= 3:
                    learner.aggregate(index, np.empty(0, np.int64))
    for learner in (eager, lazy):
        learner.aggregate(1, np.arange(3))
    play.same(eager, lazy)
    np.testing.assert_array_equal(eager.evaluate(1).accuracy, lazy.evaluate(1).accuracy)


def test_names_of_tensors_are_unique_and_in_order(play):
    for model in MODELS.values():
        layers = play.learner(model=model)._parts.network.layers
        names = tensor_names(layers)
        assert len(set(names)) == len(names)
        assert sorted(names) == sorted(tensor for layer in layers for tensor in layer.tensors)
