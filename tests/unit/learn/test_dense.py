"""Several devices' dense networks at once: the gradients of torch, and each device's own result."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from cosim.learn.dense import add_gradients, is_dense
from cosim.learn.layers import tensor_shapes, views
from cosim.learn.models import CNN, MLP
from cosim.learn.placement import Placement
from cosim.learn.roles import LocalTask
from cosim.learn.split import Parts, Split
from cosim.learn.trainer import SGD
from cosim.rng import Streams


def network(hidden=(7, 5)):
    return MLP(hidden=hidden).network((1, 3, 3), 4)


@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
@pytest.mark.parametrize("wanted", ["all", "last", "biases of the first"])
def test_gradients_are_those_of_torch(hidden, wanted):
    chain, devices = network(hidden), 3
    count = len(chain.layers)
    random = torch.Generator().manual_seed(1)
    tensors = [torch.randn(devices, *shape, generator=random) for shape in tensor_shapes(chain.layers)]
    chosen = {"all": range(2 * count), "last": [count - 1, 2 * count - 1], "biases of the first": [count]}[wanted]
    x, labels = torch.randn(devices, 6, 1, 3, 3, generator=random), torch.randint(4, (devices, 6), generator=random)
    slopes = [torch.full_like(tensor, torch.nan) if i in chosen else None for i, tensor in enumerate(tensors)]
    losses = add_gradients(chain.layers, tensors, x, labels, slopes)
    for k in range(devices):
        own = [tensor[k].clone().requires_grad_() for tensor in tensors]
        loss = cross_entropy(chain.forward(own, x[k]), labels[k])
        assert losses[k].mean().item() == pytest.approx(loss.item(), rel=1e-5)
        for i, gradient in enumerate(torch.autograd.grad(loss, own)):
            if i in chosen:
                torch.testing.assert_close(slopes[i][k], gradient, rtol=1e-4, atol=1e-6)


def test_a_step_can_be_folded_into_the_products():
    chain, devices = network(), 2
    random = torch.Generator().manual_seed(2)
    tensors = [torch.randn(devices, *shape, generator=random) for shape in tensor_shapes(chain.layers)]
    x, labels = torch.randn(devices, 6, 9, generator=random), torch.randint(4, (devices, 6), generator=random)
    slopes = [torch.empty_like(tensor) for tensor in tensors]
    losses = add_gradients(chain.layers, tensors, x, labels, list(slopes))
    expected = [tensor - 0.1 * slope for tensor, slope in zip(tensors, slopes, strict=True)]
    again = add_gradients(chain.layers, tensors, x, labels, list(tensors), step=0.1)
    torch.testing.assert_close(again, losses)
    torch.testing.assert_close(tensors, expected, rtol=1e-5, atol=1e-6)


def test_only_plain_dense_chains_count():
    assert is_dense(network())
    assert not is_dense(CNN().network((1, 28, 28), 10))
    assert not is_dense(Split(adapters=2).network(network()))


SETTINGS = [
    SGD(batch_size=4),
    SGD(batch_size=4, schedule="simultaneous", momentum=0.9, weight_decay=0.01),
    SGD(batch_size=4, proximal=0.1, personal_proximal=0.2),
]


@pytest.mark.parametrize("personal", [0, 1, "copy"])
@pytest.mark.parametrize("settings", SETTINGS, ids=("plain", "momentum", "proximal"))
def test_a_device_gets_what_it_would_alone(settings, personal):
    """Devices with different data, masks and numbers of samples: some have fewer than a mini-batch, one has a round of its own."""
    parts = Parts.of(network(), Split(personal_layers=personal))
    rng = np.random.default_rng(3)
    images = rng.normal(size=(60, 1, 3, 3)).astype(np.float32)
    labels = rng.integers(4, size=60)
    shared, own = parts.initial(Streams(1))
    tasks = [
        LocalTask(
            parts=parts,
            images=images,
            labels=labels,
            samples=rng.permutation(60)[: (10, 10, 3, 10, 17)[k]],
            shared=shared,
            mask=rng.random(parts.prunable) < 0.7,
            personal=own + np.float32(0.01 * k),
            round=int(k == 3),
            dense_gradient=True,
        )
        for k in range(5)
    ]
    together = settings.train(tasks, [np.random.default_rng(k) for k in range(5)])
    for k, task in enumerate(tasks):
        alone = settings.train([task], [np.random.default_rng(k)])[0]
        for name in ("shared", "personal", "gradient"):
            np.testing.assert_allclose(getattr(together[k], name), getattr(alone, name), rtol=1e-4, atol=1e-6)
        assert together[k].train_loss == pytest.approx(alone.train_loss, rel=1e-5)
        assert not together[k].shared[: parts.prunable][~task.mask].any()


def test_one_device_that_diverges_leaves_the_others_alone():
    parts = Parts.of(network(), Split(personal_layers=0))
    images = np.random.default_rng(0).normal(size=(20, 1, 3, 3)).astype(np.float32)
    images[:10] = np.nan
    shared, own = parts.initial(Streams(1))
    everything = np.ones(parts.prunable, bool)
    tasks = [LocalTask(parts, images, np.zeros(20, np.int64), np.arange(10) + first, shared, everything, own) for first in (0, 10)]
    bad, good = SGD(batch_size=5).train(tasks, [np.random.default_rng(0), np.random.default_rng(1)])
    assert not bad.finite
    assert good.finite
    assert np.isfinite(views(good.shared, parts.shared)[0]).all()


@pytest.mark.parametrize(("hidden", "shape"), [((100,), (1, 28, 28)), ((13, 9), (1, 1, 33)), ((), (1, 1, 60))], ids=repr)
@pytest.mark.parametrize("batch", [1, 7, 32])
def test_who_else_is_there_changes_no_bit(monkeypatch, hidden, shape, batch):
    """Thirteen devices alone, in twos, in fives, all at once."""
    parts = Parts.of(MLP(hidden=hidden).network(shape, 4), Split(personal_layers=0))
    rng = np.random.default_rng(3)
    images, labels = rng.normal(size=(60, *shape)).astype(np.float32), rng.integers(4, size=60)
    shared, own = parts.initial(Streams(1))
    masks = [rng.random(parts.prunable) < 0.7 for _ in range(13)]
    tasks = [LocalTask(parts, images, labels, rng.permutation(60)[:40], shared, mask, own) for mask in masks]
    found = []
    for together in (1, 2, 5, 8, 13):
        monkeypatch.setattr(Placement, "together", lambda *_, together=together: together)
        results = SGD(batch_size=batch, global_steps=9).train(tasks, [np.random.default_rng(k) for k in range(13)])
        found.append(([result.shared for result in results], [result.train_loss for result in results]))
    for shared_parts, losses in found[1:]:
        np.testing.assert_array_equal(shared_parts, found[0][0])
        np.testing.assert_array_equal(losses, found[0][1])
