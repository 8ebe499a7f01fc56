import numpy as np
import pytest
from pydantic import ValidationError

from cosim.learn.layers import parameter_count, views
from cosim.learn.models import CNN, MLP, ResNet
from cosim.learn.split import Parts, Split
from cosim.rng import Streams

NETWORK = CNN().network((1, 28, 28), 10)


def names(**fields):
    parts = Parts.of(NETWORK, Split(**fields))
    return [layer.name for layer in parts.shared], [layer.name for layer in parts.personal]


@pytest.mark.parametrize(
    ("fields", "personal"),
    [
        ({}, ["fc2"]),
        ({"personal_layers": 0}, []),
        ({"personal_layers": 3}, ["conv2", "fc1", "fc2"]),
        ({"personal_layers": 0, "personal_first_layers": 2}, ["conv1", "conv2"]),
        ({"personal_layers": 1, "personal_first_layers": 1}, ["conv1", "fc2"]),
        ({"personal_layers": ["conv*"]}, ["conv1", "conv2"]),
        ({"personal_layers": ["fc1"]}, ["fc1"]),
        ({"personal_layers": "fc*"}, ["fc1", "fc2"]),
        ({"personal_layers": ["*", "!conv1"]}, ["conv2", "fc1", "fc2"]),
        ({"personal_layers": ["*", "!conv*", "conv2"]}, ["conv2", "fc1", "fc2"]),
    ],
)
def test_personal_layers_are_chosen_by_number_or_name(fields, personal):
    shared, own = names(**fields)
    assert own == personal
    assert sorted(shared + own) == ["conv1", "conv2", "fc1", "fc2"]


def test_a_copy_shares_all_and_owns_all():
    shared, own = names(personal_layers="copy")
    assert shared == own == ["conv1", "conv2", "fc1", "fc2"]
    parts = Parts.of(NETWORK, Split(personal_layers="copy"))
    u, v = parts.initial(Streams(0))
    np.testing.assert_array_equal(u, v)
    assert parts.prefix == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"personal_layers": 4}, "at least one must stay shared; allowed: 0 to 3"),
        ({"personal_layers": 3, "personal_first_layers": 1}, "at least one must stay shared"),
        ({"personal_layers": ["*"]}, "at least one must stay shared; layers: conv1, conv2, fc1, fc2"),
        ({"personal_layers": ["fc3"]}, "no layer is named 'fc3'; layers: conv1, conv2, fc1, fc2"),
        ({"personal_layers": "all"}, "no layer is named 'all'"),
        ({"personal_layers": ["*", "!fc3"]}, "no layer is named 'fc3'"),
        ({"personal_layers": "copy", "adapters": 2}, "nothing else can be personal"),
    ],
)
def test_a_split_must_fit_the_model(fields, message):
    with pytest.raises(ValueError, match=message):
        Parts.of(NETWORK, Split(**fields))


@pytest.mark.parametrize("value", [-1, "", [], [3], [""], 1.5, True])
def test_other_values_are_refused(value):
    with pytest.raises(ValidationError):
        Split(personal_layers=value)


def test_adapters_are_personal_and_the_rest_is_split_as_before():
    parts = Parts.of(NETWORK, Split(personal_layers=1, adapters=4))
    assert [layer.name for layer in parts.shared] == ["conv1", "conv2", "fc1"]
    assert [layer.name for layer in parts.personal][0::2] == ["conv1.adapter.down", "conv2.adapter.down", "fc1.adapter.down", "fc2"]
    plain = Parts.of(NETWORK, Split(personal_layers=1))
    np.testing.assert_array_equal(parts.initial(Streams(1))[0], plain.initial(Streams(1))[0])
    assert parts.prefix == 1


@pytest.mark.parametrize("model", [CNN(kernel=3), MLP(hidden=(9, 8)), ResNet(width=4, groups=2)], ids=repr)
@pytest.mark.parametrize(
    "split", [Split(), Split(personal_layers=["*1"]), Split(personal_layers=0, personal_first_layers=2, adapters=3)], ids=repr
)
def test_parts_join_to_the_whole(model, split):
    """Whatever the split, the vectors u and v hold the network's tensors, each once."""
    parts = Parts.of(model.network((1, 12, 12), 3), split)
    u, v = parts.initial(Streams(2))
    assert len(u) == parts.prunable + parts.unprunable
    assert len(v) == parts.personal_parameters
    assert len(u) + len(v) == parameter_count(parts.network.layers)
    joined, whole = parts.joined(views(u, parts.shared), views(v, parts.personal)), parts.network.initial(Streams(2))
    for one, other in zip(joined, whole, strict=True):
        np.testing.assert_array_equal(one, other)
