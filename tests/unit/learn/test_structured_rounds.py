"""Rounds of the learner with pruners that remove whole units, rotate, or go by position."""

import numpy as np
import pytest

from cosim.learn.federated import Federated
from cosim.learn.models import MLP, ResNet, TorchModule
from cosim.learn.partition import IID
from cosim.learn.pruner import Magnitude, Random, Taylor
from cosim.learn.pruner_order import Ordered, Rolling
from cosim.learn.trainer import SGD
from cosim.rng import Streams

EVERYONE = np.arange(5)
MODEL = MLP(hidden=(12, 10))
PRUNERS = [
    *(Magnitude(granularity="structured"), Magnitude(granularity="structured", scope="global", side="device", rotation=0.5)),
    *(Taylor(granularity="structured"), Taylor(granularity="structured", side="server"), Random(granularity="structured")),
    *(Ordered(), Rolling(devices="apart"), Magnitude(rotation=0.5), Rolling(granularity="unstructured")),
]


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_ratio_zero_is_no_pruning(play, pruner):
    one, other = play.learner(pruner=pruner, model=MODEL), play.learner(model=MODEL)
    for index in range(2):
        submodels, update, _ = play.round(one, index)
        plain, _, _ = play.round(other, index)
        assert (submodels.prune_ratio == 0).all()
        np.testing.assert_allclose(submodels.flops, plain.flops, rtol=1e-12)
        assert (update.coverage_min, update.uncovered_fraction) == (5, 0)
    for name in ("shared", "personal"):
        rounding = 1e-6 if isinstance(pruner, Taylor) and pruner.side == "device" else 0.0  # it needs the gradient, which takes other sums
        np.testing.assert_allclose(one.state()[name], other.state()[name], rtol=0, atol=rounding)


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_submodels_are_what_they_say(play, pruner):
    learner = play.learner(pruner=pruner, model=MODEL)
    play.round(learner, 0, 0.4)
    ratio, plan, shared = np.array([0.0, 0.2, 0.5, 0.77, 1.0]), learner.workload(), learner.state()["shared"]
    given = learner.assign(1, EVERYONE, ratio)
    for k in EVERYONE:
        mask = learner._masks[k].mask()
        gone = int((~mask).sum())
        assert given.prune_ratio[k] == pytest.approx(gone / plan.prunable_parameters, abs=1e-12)
        assert gone >= np.floor(ratio[k] * plan.prunable_parameters) - 3  # single weights: rounded down in each layer
        data = learner._upload.encode(shared, mask, Streams(0).generator("codec"))
        assert given.payload_bits[k] == 8 * len(data)
    assert (given.payload_bits <= plan.fixed_bits + (1 - ratio) * plan.prunable_bits).all()
    assert (given.flops <= (plan.fixed_flops + (1 - ratio) * plan.prunable_flops) * (1 + 1e-12)).all()
    lost = [np.sum(np.square(shared[: len(learner._masks[k].mask())][~learner._masks[k].mask()], dtype=float)) for k in EVERYONE]
    assert given.pruning_error == pytest.approx(plan.weight @ lost)
    cost = learner.pruning_cost()
    assert 0 < cost.value(0.5) < cost.value(1.0) <= 1


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_a_restored_learner_goes_on_bit_for_bit_with_any_number_of_threads(play, pruner):
    through, stopped, resumed = (play.learner(pruner=pruner, model=MODEL, workers=workers) for workers in (1, 1, 3))
    for learner in (through, stopped):
        play.round(learner, 0, 0.4)
    resumed.restore({name: array.copy() for name, array in stopped.state().items()})
    first, second = play.round(through, 1, 0.6), play.round(resumed, 1, 0.6)
    np.testing.assert_array_equal(first[1].train_loss, second[1].train_loss)
    np.testing.assert_array_equal(first[2].accuracy, second[2].accuracy)
    play.same(through, resumed)


def test_tickets_of_units_survive_a_checkpoint(play):
    one, other = (play.learner(pruner=Rolling(), model=MODEL) for _ in range(2))
    one.assign(0, EVERYONE, np.full(5, 0.5))
    for k in EVERYONE:
        one.start(0, k)
    one.finish(2)
    other.restore(one.state())
    for learner in (one, other):
        learner.finish(4)
        learner.aggregate(0, np.array([2, 4]))
    play.same(one, other)


@pytest.mark.parametrize("pruner", [Magnitude(granularity="structured"), Rolling()], ids=repr)
def test_pruned_networks_learn(play, pruner):
    learner = play.learner(pruner=pruner, model=MLP(hidden=(32,)))
    for index in range(15):
        _, _, evaluation = play.round(learner, index, 0.5)
    assert evaluation.accuracy.mean() > 0.9  # a quarter would be chance


def test_a_residual_network_learns_with_units_removed(play):
    model = ResNet(depth=8, width=4, groups=2)
    trainer = SGD(learning_rate=0.2, batch_size=20, personal_steps=3, global_steps=4)
    learner = play.learner(devices=3, pruner=Magnitude(granularity="structured"), model=model, trainer=trainer)
    losses = [play.round(learner, index, 0.4)[1].train_loss.mean() for index in range(5)]
    assert losses[-1] < losses[0]


# --- coverage and re-growth -----------------------------------------------------------------------------


def uncovered(play, pruner, devices=6):
    learner = play.learner(devices=devices, pruner=pruner, model=MODEL)
    _, update, _ = play.round(learner, 1, 0.5)
    return update.uncovered_fraction, update.coverage_min


@pytest.mark.parametrize("granularity", ["unstructured", "structured"])
def test_coverage_columns_tell_equal_masks_from_rotating_ones(play, granularity):
    share, least = uncovered(play, Magnitude(granularity=granularity))
    assert share > 0.3
    assert least == 0
    for pruner in (Magnitude(granularity=granularity, rotation=1.0), Rolling(granularity=granularity, devices="apart")):
        share, least = uncovered(play, pruner)
        assert share == 0
        assert least >= 1
    assert uncovered(play, Ordered(granularity=granularity))[1] == 0


@pytest.mark.parametrize("granularity", ["unstructured", "structured"])
def test_what_is_pruned_can_come_back(play, granularity):
    """Strong weight decay shrinks what is kept; what was pruned stays as it was, is then the larger, and comes back."""
    trainer = SGD(learning_rate=0.1, batch_size=8, personal_steps=1, global_steps=3, weight_decay=4.0)
    learner = play.learner(pruner=Magnitude(granularity=granularity), model=MLP(hidden=(30,)), trainer=trainer)
    before = learner.state()["shared"]
    play.round(learner, 0, 0.4)
    pruned, after = ~learner._masks[0].mask(), learner.state()["shared"]
    np.testing.assert_array_equal(after[: len(pruned)][pruned], before[: len(pruned)][pruned])
    learner.assign(1, EVERYONE, np.full(5, 0.4))
    assert (learner._masks[0].mask() & pruned).sum() > 0.3 * pruned.sum()


def test_taylor_keeps_the_gradient_of_what_is_not_there_and_is_charged_nothing(play):
    structured, plain = (play.learner(pruner=Taylor(granularity=kind), model=MODEL) for kind in ("structured", "unstructured"))
    play.round(structured, 0, 0.0)
    first = structured.state()["gradient"]
    given, _, _ = play.round(structured, 1, 0.5)
    mask, second = structured._masks[0].mask()[: first.shape[1]], structured.state()["gradient"]
    np.testing.assert_array_equal(first[0][~mask], second[0][~mask])
    assert (first[0][mask] != second[0][mask]).mean() > 0.9
    assert (given.flops < plain.assign(0, EVERYONE, np.full(5, 0.5)).flops).all()


# --- what cannot be -------------------------------------------------------------------------------------


def make(input_shape, classes):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(input_shape)), 8), nn.ReLU(), nn.Linear(8, classes))


def test_models_of_others_cannot_lose_units(play, monkeypatch):
    import sys
    import types

    module = types.ModuleType("their_model")
    module.make = make
    monkeypatch.setitem(sys.modules, "their_model", module)
    model = TorchModule(factory="their_model:make")
    play.federated(model=model)
    for pruner in (Magnitude(granularity="structured"), Ordered()):
        with pytest.raises(ValueError, match="only models made of cosim's own layers can lose units; allowed: unstructured"):
            play.federated(model=model, pruner=pruner)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"pruner": {"kind": "ordered"}, "model": {"kind": "mlp", "hidden": []}, "split": {"personal_layers": 0}},
            "no units that could go",
        ),
        ({"pruner": {"kind": "random", "granularity": "structured", "scope": "global"}}, "allowed for structured: layer"),
        ({"pruner": {"kind": "magnitude", "rotation": 1.5}}, "less than or equal to 1"),
        ({"pruner": {"kind": "rolling", "scope": "global"}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be(document, message):
    with pytest.raises(ValueError, match=message):
        Federated.model_validate(document)


def test_a_document_makes_them():
    for kind in ("ordered", "rolling"):
        made = Federated.model_validate({"pruner": {"kind": kind}, "partition": {"kind": "iid"}})
        assert made.partition == IID()
        assert Federated.model_validate(made.model_dump(mode="json")) == made
