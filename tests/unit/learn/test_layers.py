import numpy as np
import pytest
import torch

from cosim.learn.layers import dense, parameter_count, views
from cosim.learn.models import CNN, MLP
from cosim.learn.network import outputs
from cosim.learn.split import Parts, Split
from cosim.rng import Streams


def test_default_cnn_has_the_documented_size_and_work():
    layers = CNN().network((1, 28, 28), 10).layers
    assert [layer.weights for layer in layers] == [200, 3200, 73_728, 2880]
    assert parameter_count(layers) == 80_330
    assert sum(layer.forward_flops for layer in layers) == 2 * (200 * 576 + 3200 * 64 + 73_728 + 2880)


def test_mlp_without_hidden_layers_is_logistic_regression():
    (layer,) = MLP(hidden=()).network((1, 28, 28), 10).layers
    assert layer == dense("fc1", (1, 28, 28), 10, relu=False)
    assert layer.weight_shape == (10, 784)


def test_forward_equals_a_torch_module():
    network = CNN(filters=(3, 5), kernel=3, hidden=7).network((2, 12, 12), 4)
    layers = network.layers
    vector = np.random.default_rng(0).normal(scale=0.3, size=parameter_count(layers)).astype(np.float32)
    nn = torch.nn
    module = nn.Sequential(
        *(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4)),
    )
    tensors = [torch.from_numpy(view) for view in views(vector, layers)]
    trainable = [part for part in module if hasattr(part, "weight")]
    for part, weight, bias in zip(trainable, tensors[:4], tensors[4:], strict=True):
        part.weight.data, part.bias.data = weight, bias
    x = np.random.default_rng(1).normal(size=(6, 2, 12, 12)).astype(np.float32)
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(outputs(network, views(vector, layers), x), expected, rtol=1e-5, atol=1e-6)


def test_views_share_memory_and_weights_come_first():
    layers = MLP(hidden=(3,)).network((1, 2, 2), 2).layers
    vector = np.arange(parameter_count(layers), dtype=np.float32)
    first, second, bias_first, bias_second = views(vector, layers)
    assert first[0, 0] == 0
    assert second[0, 0] == 12
    np.testing.assert_array_equal(bias_first, [18, 19, 20])
    np.testing.assert_array_equal(bias_second, [21, 22])
    first[...] = -1
    assert (vector[:12] == -1).all()


def test_initial_weights_have_the_variance_of_he_and_do_not_depend_on_the_split():
    network = MLP(hidden=(400, 300)).network((1, 20, 20), 10)
    layers, whole = network.layers, network.initial(Streams(0))
    for layer, weights in zip(layers, whole[:3], strict=True):
        fan_in = layer.weights / layer.values
        # variance of the sample variance of n uniforms: 4/5 sigma^4 / n; five standard deviations
        assert weights.var() == pytest.approx(2 / fan_in, rel=5 * np.sqrt(0.8 / layer.weights))
    shared, personal = Parts.of(network, Split(personal_layers=1)).initial(Streams(0))
    np.testing.assert_array_equal(shared[: layers[0].weights], whole[0].ravel())
    np.testing.assert_array_equal(views(personal, layers[2:])[0], whole[2])


def test_images_too_small_for_the_kernel_are_refused():
    with pytest.raises(ValueError, match="layer conv1 gets 5 x 5 values: its kernel of 5 leaves 1 x 1, too few to pool by 2"):
        CNN().network((1, 5, 5), 10)
    with pytest.raises(ValueError, match="layer conv2 gets 3 x 3 values: its kernel of 3 leaves 1 x 1, too few to pool by 2"):
        CNN(kernel=3).network((1, 8, 8), 10)
    with pytest.raises(ValueError, match="layer conv2 gets 4 x 4 values: its kernel of 5 is larger"):
        CNN().network((1, 12, 12), 10)
