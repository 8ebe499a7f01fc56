"""Models of the user's own: torch modules."""

import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from cosim.errors import SimulationError
from cosim.learn.models import MLP, TorchModule
from cosim.learn.split import Parts, Split
from cosim.rng import Streams


def perceptron(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 12), nn.ReLU(), nn.Linear(12, classes))


def small_cnn(shape, classes):
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


class Attention(nn.Module):
    """A module whose weights do not all belong to layers with one weight each."""

    def __init__(self, shape, classes):
        super().__init__()
        self.attention = nn.MultiheadAttention(shape[-1], 2, batch_first=True)
        self.norm = nn.LayerNorm(shape[-1])
        self.head = nn.Linear(shape[-1], classes)

    def forward(self, x):
        x = x.flatten(1, 2)
        return self.head(self.norm(x + self.attention(x, x, x, need_weights=False)[0]).mean(dim=1))


def batch_norm(shape, classes):
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def dropout(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(int(np.prod(shape)), classes))


def too_few_outputs(shape, _classes):
    return perceptron(shape, 2)


def raises(_shape, _classes):
    raise RuntimeError("no luck")


class Moody(nn.Module):
    """Works with the two samples of the measurement, but not with more."""

    def __init__(self, shape, classes):
        super().__init__()
        self.body = perceptron(shape, classes)

    def forward(self, x):
        if len(x) > 2:
            raise RuntimeError("too many samples")
        return self.body(x)


@pytest.fixture
def factory(monkeypatch):
    """Names the factories above as a scenario would."""
    module = types.ModuleType("my_models")
    for made in (perceptron, small_cnn, Attention, batch_norm, dropout, too_few_outputs, raises, Moody):
        setattr(module, made.__name__, made)
    module.no_module = lambda *_: "a text"
    monkeypatch.setitem(sys.modules, "my_models", module)
    return lambda name: TorchModule(factory=f"my_models:{name}")


def test_a_module_is_the_same_network_as_cosims_own(factory, play):
    """Same layout, work, sub-models and, from the same parameters, the same training."""
    own, mine = MLP(hidden=(12,)).network((1, 6, 6), 4), factory("perceptron").network((1, 6, 6), 4)
    assert [(layer.name, layer.weight_shape, layer.forward_flops) for layer in mine.layers] == [("1", (12, 36), 864), ("3", (4, 12), 96)]
    learners = [play.learner(model=model, workers=3) for model in (MLP(hidden=(12,)), factory("perceptron"))]
    assert Parts.of(own, Split()).initial(Streams(0))[0].shape == Parts.of(mine, Split()).initial(Streams(0))[0].shape
    learners[1].restore(learners[0].state())
    for index in range(2):
        one, other = (play.round(learner, index, 0.3) for learner in learners)
        np.testing.assert_array_equal(one[0].flops, other[0].flops)
        np.testing.assert_array_equal(one[0].payload_bits, other[0].payload_bits)
        np.testing.assert_allclose(one[1].train_loss, other[1].train_loss, rtol=1e-5)
        np.testing.assert_allclose(one[2].accuracy, other[2].accuracy)
    np.testing.assert_allclose(learners[0].state()["shared"], learners[1].state()["shared"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["perceptron", "small_cnn", "Attention"])
def test_work_is_counted_and_parameters_are_all_there(factory, name):
    network = factory(name).network((1, 6, 8), 4)
    module = network._make()
    assert sum(layer.weights + layer.values for layer in network.layers) == sum(p.numel() for p in module.parameters())
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 1, 6, 8))
    assert sum(layer.forward_flops for layer in network.layers) == pytest.approx(counter.get_total_flops())
    with torch.no_grad():
        x = torch.randn(3, 1, 6, 8, generator=torch.Generator().manual_seed(0))
        tensors = [torch.from_numpy(tensor) for tensor in network.initial(Streams(1))]
        again = [torch.from_numpy(tensor) for tensor in network.initial(Streams(1))]
        np.testing.assert_array_equal(network.forward(tensors, x), network.forward(again, x))
        for full, tensor in zip(network._names, tensors, strict=True):
            module.get_parameter(full).data = tensor
        np.testing.assert_allclose(network.forward(tensors, x), module(x), rtol=1e-5, atol=1e-6)


def test_normalisations_are_layers_without_weights(factory):
    network = factory("small_cnn").network((1, 6, 8), 4)
    assert [(layer.name, layer.weights, layer.values) for layer in network.layers] == [("0", 36, 4), ("1", 0, 8), ("5", 16, 4)]
    parts = Parts.of(network, Split())
    assert parts.prunable_sizes == (36,)
    assert parts.unprunable == 12
    u, v = parts.initial(Streams(0))
    assert (u[-8:-4] == 1).all()
    assert len(v) == 20


@pytest.mark.parametrize(
    "split", [Split(personal_layers=0), Split(personal_layers=["attention*"]), Split(personal_layers="copy")], ids=repr
)
def test_a_module_learns_whatever_its_split(factory, play, split):
    learner = play.federated(model=factory("Attention"), split=split).start(5, Streams(3), workers=2)
    for index in range(8):
        evaluation = play.round(learner, index, 0.2)[2]
    assert evaluation.accuracy.mean() > 0.6
    state = torch.random.get_rng_state()
    play.round(learner, 8)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batch_norm", r"buffer 1.running_mean changes in training.*use torch.nn.GroupNorm"),
        ("dropout", "draws random numbers"),
        ("too_few_outputs", r"is \(2, 2\), must be \(2, 4\)"),
        ("raises", "factory raised RuntimeError: no luck"),
        ("no_module", "gave a str; it must give a torch.nn.Module"),
        ("nothing", "AttributeError"),
    ],
)
def test_modules_that_cannot_be_used_are_refused(factory, name, message):
    with pytest.raises(ValueError, match=message):
        factory(name).network((1, 6, 6), 4)


def test_a_missing_package_is_named():
    with pytest.raises(ValueError, match=r"model\.factory = no_such_package.x:make: ModuleNotFoundError"):
        TorchModule(factory="no_such_package.x:make").network((1, 6, 6), 4)


def test_a_module_that_raises_in_training_is_one_message(factory, play):
    learner = play.learner(model=factory("Moody"))
    with pytest.raises(SimulationError, match="model raised RuntimeError: too many samples"):
        play.round(learner, 0)


def test_adapters_need_layers_of_cosims_own(factory):
    with pytest.raises(ValueError, match=r"split\.adapters = 2: only models made of cosim's own layers"):
        Parts.of(factory("perceptron").network((1, 6, 6), 4), Split(adapters=2))


def test_other_defaults_of_torch_change_nothing_for_modules():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            network = TorchModule(factory=f"{__name__}:perceptron").network((1, 4, 4), 3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert network.layers[-1].weight_shape == (3, 12)
