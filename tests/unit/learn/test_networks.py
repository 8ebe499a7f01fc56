"""Networks other than plain chains, against torch modules."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cosim.learn.chain import Chain, with_adapters
from cosim.learn.layers import convolution, dense, parameter_count, tensor_shapes
from cosim.learn.models import CNN, CNN1D, MLP, ResNet
from cosim.learn.network import outputs
from cosim.rng import Streams

RNG = np.random.default_rng(0)
MODELS = [MLP(hidden=(5, 4)), CNN(filters=(3, 4), kernel=3, hidden=6), ResNet(width=4, groups=2), CNN1D(filters=(3, 4), kernel=3)]


def random_tensors(network):
    return [RNG.normal(scale=0.3, size=shape).astype(np.float32) for shape in tensor_shapes(network.layers)]


class Block(nn.Module):
    """A basic block with shortcut A, written as in the paper."""

    def __init__(self, before, filters, stride, groups):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(before, filters, 3, stride, 1, bias=False), nn.GroupNorm(groups, filters)
        self.conv2, self.norm2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False), nn.GroupNorm(groups, filters)
        self.stride, self.more = stride, filters - before

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more)))


def reference_resnet(channels, width, groups, blocks, classes):
    parts, before = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.GroupNorm(groups, width), nn.ReLU()], width
    for stage in range(3):
        for block in range(blocks):
            filters = width * 2**stage
            parts.append(Block(before, filters, 2 if stage and not block else 1, groups))
            before = filters
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


@pytest.mark.parametrize(("depth", "size"), [(8, 8), (14, 11)])
def test_a_resnet_is_that_of_the_paper_with_group_normalisation(depth, size):
    network = ResNet(depth=depth, width=8, groups=4).network((3, size, size), 5)
    module = reference_resnet(3, 8, 4, depth // 6, 5)
    assert len([p for p in module.parameters() if p.ndim > 1]) == depth
    tensors = random_tensors(network)
    weights, values = iter(tensors[: len(network.layers)]), iter(tensors[len(network.layers) :])
    for p in module.parameters():
        p.data = torch.from_numpy(next(weights if p.ndim > 1 else values))
    x = RNG.normal(size=(3, 3, size, size)).astype(np.float32)
    np.testing.assert_allclose(outputs(network, tensors, x), module(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_resnet20_has_the_size_and_work_of_the_paper():
    """0.27 million parameters (Table 6 of He et al.) and about 41 million multiply-adds for 32 x 32 colour images."""
    layers = ResNet(depth=20).network((3, 32, 32), 10).layers
    assert len(layers) == 20
    assert parameter_count(layers) == pytest.approx(0.27e6, rel=0.02)
    assert sum(layer.forward_flops for layer in layers) / 2 == pytest.approx(40.6e6, rel=0.01)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ResNet(depth=10), "6 n \\+ 2 layers"),
        (ResNet(width=12), "must divide model.width = 12"),
        (CNN(kernel=3), "takes images"),
        (CNN1D(kernel=30), "gets 20 values: its kernel of 30 is larger"),
    ],
)
def test_what_a_model_cannot_be_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        model.network((2, 20), 3)


def test_cnn1d_equals_a_torch_module():
    network = CNN1D(filters=(3, 4), kernel=4, pool=3).network((2, 50), 5)
    tensors = random_tensors(network)
    module = nn.Sequential(
        *(nn.Conv1d(2, 3, 4), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(3, 4, 4), nn.ReLU(), nn.MaxPool1d(3)),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 5)),
    )
    weights, values = iter(tensors[:3]), iter(tensors[3:])
    for p in module.parameters():
        p.data = torch.from_numpy(next(weights if p.ndim > 1 else values))
    x = RNG.normal(size=(6, 2, 50)).astype(np.float32)
    np.testing.assert_allclose(outputs(network, tensors, x), module(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 6, 8), (48,), (3, 16)])
def test_cnn1d_and_mlp_take_samples_of_any_shape(shape):
    for model in (CNN1D(kernel=3), MLP()):
        network = model.network(shape, 4)
        assert outputs(network, network.initial(Streams(0)), np.zeros((2, *shape), np.float32)).shape == (2, 4)


def test_average_pooling_comes_after_the_relu():
    network = Chain((convolution("conv", (2, 7, 9), 3, 2, stride=2, padding=1, average=2), dense("fc", (3, 2, 2), 2, relu=False)))
    assert network.layers[0].output_shape == (3, 2, 2)
    tensors = random_tensors(network)
    x = RNG.normal(size=(4, 2, 7, 9)).astype(np.float32)
    conv, fc, bias, last = (torch.from_numpy(tensor) for tensor in tensors)
    expected = F.linear(F.avg_pool2d(F.relu(F.conv2d(torch.from_numpy(x), conv, bias, 2, 1)), 2).flatten(1), fc, last)
    np.testing.assert_allclose(outputs(network, tensors, x), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_a_network_can_be_cut_where_it_says(model):
    network = model.network((1, 10, 10), 3)
    tensors, x = random_tensors(network), RNG.normal(size=(2, 1, 10, 10)).astype(np.float32)
    whole, layers = outputs(network, tensors, x), len(network.layers)
    cuts = {network.prefix(i) for i in range(layers + 1)}
    assert {0, 1, layers - 1, layers} <= cuts
    for cut in cuts:
        again = outputs(network, tensors, outputs(network, tensors, x, stop=cut), start=cut)
        np.testing.assert_allclose(again, whole, rtol=1e-5, atol=1e-6)  # a convolution sums by the order of its input in memory


def test_a_cut_does_not_go_through_a_block():
    network = ResNet().network((1, 8, 8), 3)
    assert [network.prefix(i) for i in range(9)] == [0, 1, 1, 3, 3, 5, 5, 7, 8]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_adapters_change_nothing_at_first_and_add_a_residual(model):
    plain = model.network((1, 10, 10), 3)
    adapted = with_adapters(plain, 2)
    before, after = plain.initial(Streams(5)), adapted.initial(Streams(5))
    x = RNG.normal(size=(2, 1, 10, 10)).astype(np.float32)
    np.testing.assert_allclose(outputs(adapted, after, x), outputs(plain, before, x), rtol=1e-5, atol=1e-6)
    names = [layer.name for layer in adapted.layers]
    assert len(names) == 3 * len(plain.layers) - 2
    for name, weight in zip((layer.name for layer in plain.layers), before, strict=False):
        np.testing.assert_array_equal(after[names.index(name)], weight)
    after[2] = after[2] + 1
    assert not np.allclose(outputs(adapted, after, x), outputs(plain, before, x))


def test_an_adapter_is_x_plus_up_relu_down_x():
    network = with_adapters(MLP(hidden=(5,)).network((1, 2, 2), 3), 2)
    first, down, up, last, *biases = tensors = random_tensors(network)
    x = RNG.normal(size=(4, 4)).astype(np.float32)
    h = np.maximum(x @ first.T + biases[0], 0)
    h = h + np.maximum(h @ down.T + biases[1], 0) @ up.T + biases[2]
    np.testing.assert_allclose(outputs(network, tensors, x), h @ last.T + biases[3], rtol=1e-5, atol=1e-6)


def test_group_normalisation_begins_as_the_identity():
    network = ResNet(width=4, groups=2).network((1, 8, 8), 3)
    tensors = network.initial(Streams(0))
    scales, shifts = tensors[8:-1:2], tensors[9:-1:2]
    assert all((scale == 1).all() for scale in scales)
    assert all((shift == 0).all() for shift in shifts)
    assert (tensors[-1] == 0).all()
