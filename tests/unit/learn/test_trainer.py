import numpy as np
import pytest
import torch

from cosim.learn.layers import views
from cosim.learn.models import MLP
from cosim.learn.roles import LocalTask
from cosim.learn.split import Parts, Split
from cosim.learn.trainer import SGD, Epochs, minibatches


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
    split = len(parts.shared)
    pruned = local.shared.copy()
    pruned[: parts.prunable] *= local.mask
    for vector, chain, owners in ((pruned, parts.shared, linears[:split]), (local.personal, parts.personal, linears[split:])):
        tensors = [torch.from_numpy(view.copy()) for view in views(vector, chain)]
        for owner, weight, bias in zip(owners, tensors[: len(chain)], tensors[len(chain) :], strict=True):
            owner.weight.data, owner.bias.data = weight, bias
    for owner, mask in zip(
        linears, views(np.concatenate([local.mask, np.zeros(parts.unprunable, bool)]), parts.shared)[:split], strict=False
    ):
        owner.weight.register_hook(torch.from_numpy(mask.copy()).mul)

    count = settings.steps(np.array([len(local.samples)]), personal=bool(parts.personal))
    both, own, rest = int(count.joint[0]), int(count.personal[0]), int(count.shared[0])
    batches = minibatches(len(local.samples), settings.batch_size, both + own + rest, rng)
    plan = [(True, True)] * both + [(False, True)] * own + [(True, False)] * rest
    owned = [[p for owner in owners for p in owner.parameters()] for owners in (linears[:split], linears[split:])]
    started = [[p.detach().clone() for p in parameters] for parameters in owned]
    optimisers = [
        torch.optim.SGD(parameters or [torch.zeros(1)], settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay)
        for parameters in owned
    ]
    losses = []
    for row, trained in zip(batches, plan, strict=True):
        chosen = local.samples[row]
        module.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(local.images[chosen])), torch.from_numpy(local.labels[chosen]))
        loss.backward()
        losses.append(loss.item())
        for i, pull in enumerate((settings.proximal, settings.personal_proximal)):
            for p, anchor in zip(owned[i], started[i], strict=True):
                p.grad += pull * (p.detach() - anchor)
            if trained[i]:
                optimisers[i].step()

    def flat(owners):
        tensors = [owner.weight.detach().reshape(-1) for owner in owners] + [owner.bias.detach() for owner in owners]
        return torch.cat(tensors).numpy() if tensors else np.empty(0, np.float32)

    return flat(linears[:split]), flat(linears[split:]), np.mean(losses)


@pytest.mark.parametrize("personal_layers", [0, 1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        SGD(learning_rate=0.2, batch_size=7),
        SGD(batch_size=16, momentum=0.8, weight_decay=0.02),
        SGD(schedule="simultaneous", batch_size=8, personal_steps=3, global_steps=7, momentum=0.5),
        SGD(schedule="simultaneous", learning_rate=0.2, batch_size=8, personal_steps=6, global_steps=4),
        SGD(batch_size=8, proximal=0.7, personal_proximal=0.3, personal_steps=Epochs(epochs=1), global_steps=Epochs(epochs=2)),
    ],
)
@pytest.mark.parametrize("kept", [None, 0.4])
def test_local_work_equals_a_plain_torch_loop(personal_layers, settings, kept):
    local = task(personal_layers, mask=kept)
    result = settings.train([local], [np.random.default_rng(4)])[0]
    shared, personal, loss = reference(settings, local, np.random.default_rng(4))
    np.testing.assert_allclose(result.shared, shared, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(result.personal, personal, rtol=2e-5, atol=2e-6)
    assert result.train_loss == pytest.approx(loss, rel=1e-5)
    assert result.finite


def test_no_pull_is_no_pull_and_a_strong_one_holds_the_model():
    local = task()
    plain = SGD().train([local], [np.random.default_rng(1)])[0]
    none = SGD(proximal=0.0, personal_proximal=0.0).train([local], [np.random.default_rng(1)])[0]
    np.testing.assert_array_equal(plain.shared, none.shared)
    held = SGD(learning_rate=0.02, proximal=40.0).train([local], [np.random.default_rng(1)])[0]
    assert np.linalg.norm(held.shared - local.shared) < 0.2 * np.linalg.norm(plain.shared - local.shared)


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_a_whole_personal_model_is_drawn_to_the_global_one_as_in_ditto(schedule):
    """u: SGD as if nothing else were there. v: SGD on F(v) + mu/2 |v - u|^2, u as it was received."""
    parts = Parts.of(MLP(hidden=(9, 6)).network((1, 4, 4), 3), Split(personal_layers="copy"))
    rng = np.random.default_rng(0)
    personal = rng.normal(scale=0.3, size=parts.personal_parameters).astype(np.float32)
    local = task(0, personal=personal, parts=parts)
    settings = SGD(schedule=schedule, batch_size=50, personal_steps=3, global_steps=4, personal_proximal=0.5)
    result = settings.train([local], [np.random.default_rng(2)])[0]
    alone = SGD(batch_size=50, global_steps=4).train([task(0)], [np.random.default_rng(2)])[0]
    np.testing.assert_allclose(
        result.shared, alone.shared, rtol=1e-5, atol=1e-6
    )  # the whole of the data in each step: order does not matter
    v = personal.copy()
    for _ in range(3):
        step = SGD(batch_size=50, global_steps=1).train([task(0, shared=v)], [np.random.default_rng(2)])[0].shared
        v = step - settings.learning_rate * 0.5 * (v - local.shared)
    np.testing.assert_allclose(result.personal, v, rtol=1e-5, atol=1e-6)


def test_epochs_are_counted_in_whole_mini_batches():
    settings = SGD(batch_size=32, personal_steps=Epochs(epochs=1), global_steps=Epochs(epochs=3))
    steps = settings.steps(np.array([0, 1, 32, 33, 200]), personal=True)
    np.testing.assert_array_equal(steps.personal, [0, 1, 1, 2, 7])
    np.testing.assert_array_equal(steps.shared, [0, 3, 3, 6, 21])
    steps = settings.model_copy(update={"schedule": "simultaneous"}).steps(np.array([33]), personal=True)
    assert (steps.personal[0], steps.shared[0], steps.joint[0]) == (0, 4, 2)
    assert SGD.model_validate({"global_steps": {"epochs": 2}}).global_steps == Epochs(epochs=2)


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        (SGD(), [0.05, 0.05, 0.05, 0.05]),
        (SGD(decay="step", decay_rounds=10, decay_factor=0.5), [0.05, 0.05, 0.025, 0.05 / 2**10]),
        (SGD(decay="cosine", decay_rounds=20, decay_factor=0.2), [0.05, 0.01 + 0.02 * (1 + np.cos(np.pi * 9 / 20)), 0.03, 0.01]),
    ],
)
def test_learning_rates_fall_with_the_round(settings, rates):
    assert [settings.rate(s) for s in (0, 9, 10, 100)] == pytest.approx(rates)
    moved = [
        np.linalg.norm(
            SGD(**{**settings.model_dump(), "personal_steps": 0, "global_steps": 1}).train([local], [np.random.default_rng(0)])[0].shared
            - local.shared
        )
        for local in (task(round=0), task(round=10))
    ]
    assert moved[1] / moved[0] == pytest.approx(rates[2] / rates[0], rel=1e-3)


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="both 0"):
        SGD(personal_steps=0, global_steps=Epochs(epochs=0))


def test_a_device_without_samples_trains_nothing():
    local = task(mask=0.5, samples=np.empty(0, np.int64), dense_gradient=True)
    result = SGD(personal_steps=Epochs(epochs=1)).train([local], [np.random.default_rng(0)])[0]
    np.testing.assert_array_equal(result.personal, local.personal)
    np.testing.assert_array_equal(result.shared[: len(local.mask)], local.shared[: len(local.mask)] * local.mask)
    assert np.isnan(result.train_loss)
    assert result.finite
    assert (result.gradient == 0).all()


def test_masked_weights_stay_exactly_zero_and_the_task_is_left_alone():
    local = task(mask=0.3)
    before = local.shared.copy(), local.personal.copy()
    result = SGD(momentum=0.9, weight_decay=0.1).train([local], [np.random.default_rng(0)])[0]
    prunable = local.parts.prunable
    assert (result.shared[:prunable][~local.mask] == 0).all()
    assert (result.shared[:prunable][local.mask] != local.shared[:prunable][local.mask]).any()
    np.testing.assert_array_equal(local.shared, before[0])
    np.testing.assert_array_equal(local.personal, before[1])


def test_without_personal_steps_the_personal_part_stays():
    local = task()
    result = SGD(personal_steps=0).train([local], [np.random.default_rng(0)])[0]
    np.testing.assert_array_equal(result.personal, local.personal)


def test_the_dense_gradient_is_that_of_pruned_weights_too():
    local = task(personal_layers=0, mask=0.5, dense_gradient=True)
    result = SGD(global_steps=1, batch_size=1000).train([local], [np.random.default_rng(0)])[0]
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
    result = SGD(learning_rate=1e38).train([task()], [np.random.default_rng(0)])[0]
    assert not result.finite


def test_minibatches_are_slices_of_permutations():
    rng = np.random.default_rng(0)
    rows = minibatches(10, 4, 5, rng)
    assert rows.shape == (5, 4)
    np.testing.assert_array_equal(np.sort(rows.ravel()[:10]), np.arange(10))
    np.testing.assert_array_equal(np.sort(rows.ravel()[10:]), np.arange(10))
    np.testing.assert_array_equal(np.sort(minibatches(5, 32, 3, rng), axis=1), np.tile(np.arange(5), (3, 1)))
    assert minibatches(5, 2, 0, rng).shape == (0, 2)
