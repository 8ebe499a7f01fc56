import numpy as np
import pytest
import torch

from cosim.learn.layers import views
from cosim.learn.models import MLP
from cosim.learn.roles import LocalTask
from cosim.learn.split import Parts, Split
from cosim.learn.trainer import SGD, minibatches


def task(personal_layers=1, mask=None, **fields):
    rng = np.random.default_rng(0)
    parts = Parts.of(MLP(hidden=(9, 6)).network((1, 4, 4), 3), Split(personal_layers=personal_layers))
    shared = rng.normal(scale=0.3, size=parts.prunable + parts.unprunable).astype(np.float32)
    personal = rng.normal(scale=0.3, size=parts.personal_parameters).astype(np.float32)
    values = {
        "parts": parts,
        "images": rng.normal(size=(60, 1, 4, 4)).astype(np.float32),
        "labels": rng.integers(0, 3, 60),
        "samples": np.arange(10, 50),
        "shared": shared,
        "mask": np.ones(parts.prunable, bool) if mask is None else rng.random(parts.prunable) < mask,
        "personal": personal,
    }
    return LocalTask(**{**values, **fields})


def reference(settings, local, rng):
    """The same schedule with a torch module, torch.optim.SGD and masks as hooks: an independent oracle."""
    parts = local.parts
    linears = [torch.nn.Linear(16, 9), torch.nn.Linear(9, 6), torch.nn.Linear(6, 3)]
    module = torch.nn.Sequential(torch.nn.Flatten(), linears[0], torch.nn.ReLU(), linears[1], torch.nn.ReLU(), linears[2])
    count = len(parts.shared)
    pruned = local.shared.copy()
    pruned[: parts.prunable] *= local.mask
    for vector, chain, owners in ((pruned, parts.shared, linears[:count]), (local.personal, parts.personal, linears[count:])):
        tensors = [torch.from_numpy(view.copy()) for view in views(vector, chain)]
        for owner, weight, bias in zip(owners, tensors[: len(chain)], tensors[len(chain) :], strict=True):
            owner.weight.data, owner.bias.data = weight, bias
    for owner, mask in zip(
        linears, views(np.concatenate([local.mask, np.zeros(parts.unprunable, bool)]), parts.shared)[:count], strict=False
    ):
        owner.weight.register_hook(torch.from_numpy(mask.copy()).mul)

    steps = settings.personal_steps if parts.personal else 0
    batches = minibatches(len(local.samples), settings.batch_size, steps + settings.global_steps, rng)
    losses = []
    for owners, rows in ((linears[count:], batches[:steps]), (linears[:count], batches[steps:])):
        if len(rows) == 0:
            continue
        optimiser = torch.optim.SGD(
            [p for owner in owners for p in owner.parameters()],
            settings.learning_rate,
            settings.momentum,
            weight_decay=settings.weight_decay,
        )
        for row in rows:
            chosen = local.samples[row]
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(local.images[chosen])), torch.from_numpy(local.labels[chosen]))
            loss.backward()
            optimiser.step()
            losses.append(loss.item())

    def flat(owners):
        tensors = [owner.weight.detach().reshape(-1) for owner in owners] + [owner.bias.detach() for owner in owners]
        return torch.cat(tensors).numpy() if tensors else np.empty(0, np.float32)

    return flat(linears[:count]), flat(linears[count:]), np.mean(losses)


@pytest.mark.parametrize("personal_layers", [0, 1, 2])
@pytest.mark.parametrize("settings", [SGD(learning_rate=0.2, batch_size=7), SGD(batch_size=16, momentum=0.8, weight_decay=0.02)])
@pytest.mark.parametrize("kept", [None, 0.4])
def test_local_work_equals_a_plain_torch_loop(personal_layers, settings, kept):
    local = task(personal_layers, mask=kept)
    result = settings.train(local, np.random.default_rng(4))
    shared, personal, loss = reference(settings, local, np.random.default_rng(4))
    np.testing.assert_allclose(result.shared, shared, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(result.personal, personal, rtol=2e-5, atol=2e-6)
    assert result.train_loss == pytest.approx(loss, rel=1e-5)
    assert result.finite


def test_masked_weights_stay_exactly_zero_and_the_task_is_left_alone():
    local = task(mask=0.3)
    before = local.shared.copy(), local.personal.copy()
    result = SGD(momentum=0.9, weight_decay=0.1).train(local, np.random.default_rng(0))
    prunable = local.parts.prunable
    assert (result.shared[:prunable][~local.mask] == 0).all()
    assert (result.shared[:prunable][local.mask] != local.shared[:prunable][local.mask]).any()
    np.testing.assert_array_equal(local.shared, before[0])
    np.testing.assert_array_equal(local.personal, before[1])


def test_without_personal_steps_the_personal_part_stays():
    local = task()
    result = SGD(personal_steps=0).train(local, np.random.default_rng(0))
    np.testing.assert_array_equal(result.personal, local.personal)


def test_the_dense_gradient_is_that_of_pruned_weights_too():
    local = task(personal_layers=0, mask=0.5, dense_gradient=True)
    result = SGD(global_steps=1, batch_size=1000).train(local, np.random.default_rng(0))
    parts = local.parts
    weights = local.shared.copy()
    weights[: parts.prunable] *= local.mask
    index = int(np.flatnonzero(~local.mask)[-3])
    step = 1e-2
    losses = [_loss(parts, weights, index, delta, local) for delta in (step, -step)]
    assert result.gradient[index] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=5e-3, abs=1e-5)


def _loss(parts, weights, index, delta, local):
    moved = weights.astype(np.float64)
    moved[index] += delta
    x = local.images[local.samples].reshape(len(local.samples), -1).astype(np.float64)
    chain = [np.asarray(view) for view in views(moved, parts.shared)]
    for number in range(3):
        x = x @ chain[number].T + chain[3 + number]
        x = np.maximum(x, 0) if number < 2 else x
    return float((np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(x)), local.labels[local.samples]]).mean())


def test_divergence_is_told_and_raises_nothing():
    result = SGD(learning_rate=1e38).train(task(), np.random.default_rng(0))
    assert not result.finite


def test_minibatches_are_slices_of_permutations():
    rng = np.random.default_rng(0)
    rows = minibatches(10, 4, 5, rng)
    assert rows.shape == (5, 4)
    np.testing.assert_array_equal(np.sort(rows.ravel()[:10]), np.arange(10))
    np.testing.assert_array_equal(np.sort(rows.ravel()[10:]), np.arange(10))
    np.testing.assert_array_equal(np.sort(minibatches(5, 32, 3, rng), axis=1), np.tile(np.arange(5), (3, 1)))
    assert minibatches(5, 2, 0, rng).shape == (0, 2)
