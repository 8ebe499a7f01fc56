import numpy as np
import pytest
import torch

from cosim.errors import RunError, SimulationError
from cosim.learn.federated import Federated
from cosim.learn.layers import views
from cosim.learn.learner import FederatedLearner
from cosim.learn.models import CNN, MLP
from cosim.learn.partition import IID
from cosim.learn.pruner import Magnitude, Random, Taylor
from cosim.learn.roles import LocalTask
from cosim.learn.trainer import SGD
from cosim.rng import Streams

PRUNERS = [
    *(Magnitude(), Magnitude(side="device", scope="global"), Random()),
    *(Taylor(side="device"), Taylor(side="server", scope="global")),
]
EVERYONE = np.arange(5)


def train_now(learner, index, device, gradient=False):
    """A device's local work, done at once: what the tickets' lazy way must give."""
    state = learner.state()
    parts, data, fields = learner._parts, learner._data, learner._parameters
    task = LocalTask(
        parts=parts,
        images=data.train_images,
        labels=data.train_labels,
        samples=learner._shares.train[device],
        shared=state["shared"],
        mask=learner._masks[device].mask(),
        personal=state["personal"][device],
        dense_gradient=gradient,
    )
    return fields.trainer.train([task], [Streams(3).generator("train", device, index)])[0]


# --- federated learning as it should be ---------------------------------------------------------------


def test_fedavg_with_one_full_batch_step_is_gradient_descent_on_the_union(play):
    rate = 0.3
    learner = play.learner(
        personal_layers=0, partition=IID(samples_per_device=40), trainer=SGD(learning_rate=rate, batch_size=1000, global_steps=1)
    )
    parts, data = learner._parts, learner._data
    union = np.concatenate(learner._shares.train)
    assert len(np.unique(union)) == len(union)
    central = torch.from_numpy(learner.state()["shared"].astype(np.float64))
    for index in range(4):
        play.round(learner, index)
        central = central.detach().requires_grad_()
        first, second, bias_first, bias_second = views(central, parts.shared)
        x = torch.from_numpy(data.train_images[union].astype(np.float64)).flatten(1)
        logits = torch.relu(x @ first.T + bias_first) @ second.T + bias_second
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.train_labels[union])).backward()
        central = central.detach() - rate * central.grad
        np.testing.assert_allclose(learner.state()["shared"], central.numpy(), atol=1e-6)


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_ratio_zero_is_no_pruning(play, pruner):
    one, other = play.learner(pruner=pruner), play.learner(pruner=Magnitude())
    for index in range(3):
        submodels, update, evaluation = play.round(one, index)
        play.round(other, index)
        assert (submodels.prune_ratio == 0).all()
        assert submodels.pruning_error == submodels.pruning_bound == 0
        assert update.coverage_min == 5
        assert update.uncovered_fraction == 0
        np.testing.assert_array_equal(evaluation.accuracy, evaluation.accuracy_full)
    for part in ("shared", "personal"):  # device-side Taylor wants the gradient itself: its steps are rounded in another order
        np.testing.assert_allclose(one.state()[part], other.state()[part], rtol=1e-5, atol=1e-6)


def test_accuracy_rises(play):
    learner = play.learner()
    before = play.round(learner, 0, 0.5)[2]
    for index in range(1, 12):
        after = play.round(learner, index, 0.5)[2]
    assert after.accuracy.mean() > max(0.9, before.accuracy.mean())
    assert after.accuracy_full.mean() > 0.9


@pytest.mark.full
def test_fashion_mnist_is_learnt_by_many_devices(play):
    """Two classes for each device, half of the weights pruned: 90 % after 15 rounds is well below what is usual (94 %)."""
    learner = Federated(trainer=SGD()).start(50, Streams(1), workers=2)
    ids = np.arange(50)
    for index in range(15):
        evaluation = play.round(learner, index, 0.5, ids=ids)[2]
    assert evaluation.accuracy.mean() > 0.90


# --- masks, payloads, work ----------------------------------------------------------------------------


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_submodels_are_what_they_say(play, pruner):
    learner = play.learner(pruner=pruner)
    play.round(learner, 0, 0.4)
    ratio = np.array([0.0, 0.2, 0.5, 0.77, 1.0])
    given = learner.assign(1, EVERYONE, ratio)
    prunable, plan = learner.workload().prunable_parameters, learner.workload()
    shared, upload = learner.state()["shared"], learner._upload
    for k in EVERYONE:
        result, mask = train_now(learner, 1, k), learner._masks[k].mask()
        assert given.prune_ratio[k] == pytest.approx(1 - mask.mean(), abs=1e-12)
        data = upload.encode(result.shared, mask, Streams(0).generator("codec"))
        assert given.payload_bits[k] == 8 * len(data)
        sent, _ = upload.decode(data, mask)
        np.testing.assert_array_equal(sent, result.shared)
        assert (result.shared[:prunable][~mask] == 0).all()
    assert (given.prune_ratio <= ratio).all()
    assert (given.payload_bits <= plan.fixed_bits + (1 - ratio) * plan.prunable_bits).all()
    assert (given.flops <= (plan.fixed_flops + (1 - ratio) * plan.prunable_flops) * (1 + 1e-12)).all()
    lost = [np.sum(np.square(shared[:prunable][~learner._masks[k].mask()], dtype=float)) for k in EVERYONE]
    assert given.pruning_error == pytest.approx(plan.weight @ lost)
    assert given.pruning_bound == pytest.approx(np.sum(np.square(shared[:prunable], dtype=float)) * (plan.weight @ ratio))
    if isinstance(pruner, Magnitude):
        assert given.pruning_error <= given.pruning_bound


def test_equal_magnitude_masks_leave_what_they_prune_untrained(play):
    learner = play.learner()
    before = learner.state()["shared"]
    _, update, _ = play.round(learner, 0, 0.5)
    mask = learner._masks[0].mask()
    after = learner.state()["shared"]
    assert update.coverage_min == 0
    assert update.uncovered_fraction == (~mask).mean()
    prunable = len(mask)
    np.testing.assert_array_equal(after[:prunable][~mask], before[:prunable][~mask])
    assert (after[:prunable][mask] != before[:prunable][mask]).mean() > 0.9


def test_random_masks_differ_between_devices_and_rounds(play):
    learner = play.learner(pruner=Random())
    masks = []
    for index in range(2):
        learner.assign(index, EVERYONE, np.full(5, 0.5))
        masks += [learner._masks[k].mask() for k in EVERYONE]
    assert len({mask.tobytes() for mask in masks}) == 10


def test_a_device_decides_by_its_own_gradient(play):
    learner = play.learner(pruner=Taylor(side="device"))
    play.round(learner, 0, 0.5)
    gradient = learner.state()["gradient"]
    assert gradient.shape == (5, learner.workload().prunable_parameters)
    assert np.isfinite(gradient).all()
    learner.assign(1, EVERYONE, np.full(5, 0.5))
    assert len({learner._masks[k].mask().tobytes() for k in EVERYONE}) == 5


def test_the_server_decides_by_the_change_of_what_somebody_kept(play):
    learner = play.learner(pruner=Taylor(side="server"))
    before = learner.state()["shared"]
    play.round(learner, 0, 0.5)
    gradient, mask = learner.state()["gradient"], learner._masks[0].mask()
    change = (before - learner.state()["shared"])[: len(mask)]
    np.testing.assert_array_equal(gradient[mask], change[mask])
    assert np.isnan(gradient[~mask]).all()


# --- lazy tickets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_lazy_training_gives_what_training_at_once_gives(play, pruner):
    learner = play.learner(pruner=pruner)
    play.round(learner, 0, 0.3)
    learner.assign(1, EVERYONE, np.full(5, 0.3))
    at_once = [train_now(learner, 1, k, gradient=pruner.side == "device" and pruner.gradient_memory is not None) for k in EVERYONE]
    for k in EVERYONE[::-1]:
        learner.start(1, k)
    for k in EVERYONE:
        learner.finish(k)
    update = learner.aggregate(1, EVERYONE)
    np.testing.assert_array_equal(learner.state()["personal"], [result.personal for result in at_once])
    np.testing.assert_array_equal(update.train_loss, [result.train_loss for result in at_once])


def test_lazy_convolutions_give_the_same_bits(play):
    learner = Federated(model=CNN(filters=(2, 3), hidden=6), trainer=SGD(personal_steps=2, global_steps=2)).start(3, Streams(3), workers=2)
    learner.assign(0, np.arange(3), np.full(3, 0.5))
    at_once = [train_now(learner, 0, k) for k in range(3)]
    for k in (2, 0, 1):
        learner.start(0, k)
        learner.finish(k)
    update = learner.aggregate(0, np.arange(3))
    np.testing.assert_array_equal(learner.state()["personal"], [result.personal for result in at_once])
    np.testing.assert_array_equal(update.train_loss, [result.train_loss for result in at_once])


def test_the_number_of_threads_changes_no_bit(play):
    model, trainer = MLP(hidden=(12,)), SGD(batch_size=8)
    one, four = (play.learner(workers=workers, pruner=Random(), model=model, trainer=trainer) for workers in (1, 4))
    for index in range(3):
        first, second = play.round(one, index, 0.4), play.round(four, index, 0.4)
        for a, b in zip(first[1:], second[1:], strict=True):
            for name in a.__slots__:
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    play.same(one, four)


def test_convolutions_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    states = []
    for threads, workers in ((1, 1), (2, 3)):
        torch.set_num_threads(threads)
        learner = Federated(model=CNN(), trainer=SGD(personal_steps=1, global_steps=1)).start(3, Streams(0), workers=workers)
        learner.assign(0, np.arange(3), np.full(3, 0.5))
        for k in range(3):
            learner.start(0, k)
            learner.finish(k)
        learner.aggregate(0, np.arange(3))
        states.append((learner.state()["shared"], learner.evaluate(0)))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    np.testing.assert_array_equal(states[0][0], states[1][0])
    np.testing.assert_array_equal(states[0][1].accuracy, states[1][1].accuracy)
    assert states[0][1].global_accuracy == states[1][1].global_accuracy


def test_a_ticket_trains_the_model_of_its_own_time(play):
    """Device 0 starts in round 0 and finishes after the aggregation: its personal part goes on from the old u."""
    learner = play.learner(pruner=Random())
    learner.assign(0, EVERYONE, np.full(5, 0.3))
    expected = train_now(learner, 0, 0)
    for k in EVERYONE:
        learner.start(0, k)
    for k in EVERYONE[1:]:
        learner.finish(k)
    update = learner.aggregate(0, EVERYONE[1:])
    assert np.isnan(update.train_loss[0])
    initial = learner.state()["personal"][0]
    assert (initial != expected.personal).any()
    learner.assign(1, EVERYONE[1:], np.full(4, 0.3))
    learner.finish(0)
    update = learner.aggregate(1, np.empty(0, np.int64))
    np.testing.assert_array_equal(learner.state()["personal"][0], expected.personal)
    assert update.train_loss[0] == expected.train_loss


def test_two_tickets_of_a_device_run_in_order_and_the_last_one_arrives(play):
    learner, twin = play.learner(), play.learner()
    learner.assign(0, EVERYONE, np.full(5, 0.5))
    for k in EVERYONE:
        learner.start(0, k)
    learner.finish(1)
    learner.aggregate(0, np.array([1]))
    learner.assign(1, EVERYONE, np.zeros(5))
    learner.finish(0)
    learner.start(1, 0)
    learner.finish(0)
    learner.aggregate(1, np.array([0]))

    # the twin sees the late ticket's result before the second one starts
    twin.assign(0, EVERYONE, np.full(5, 0.5))
    for k in EVERYONE:
        twin.start(0, k)
    twin.finish(1)
    twin.aggregate(0, np.array([1]))
    twin.finish(0)
    between = twin.state()["shared"]
    twin.aggregate(1, np.empty(0, np.int64))
    np.testing.assert_array_equal(twin.state()["shared"], between)
    twin.assign(1, EVERYONE, np.zeros(5))
    twin.start(1, 0)
    twin.finish(0)
    twin.aggregate(1, np.array([0]))
    play.same(learner, twin)


def test_late_updates_are_discarded_but_personal_parts_go_on(play):
    learner, on_time = play.learner(), play.learner()
    _, update, _ = play.round(learner, 0, 0.2, arrived=[0, 1])
    play.round(on_time, 0, 0.2)
    assert update.coverage_min <= 2
    np.testing.assert_array_equal(learner.state()["personal"], on_time.state()["personal"])
    assert (learner.state()["shared"] != on_time.state()["shared"]).any()


def test_late_work_that_nobody_needs_is_skipped(play, monkeypatch):
    trained = []
    train = SGD.train
    monkeypatch.setattr(SGD, "train", lambda self, tasks, rngs: trained.extend(tasks) or train(self, tasks, rngs))
    learner = play.learner(personal_layers=0)
    _, update, _ = play.round(learner, 0, arrived=[2, 4])
    assert len(trained) == 2
    np.testing.assert_array_equal(np.isnan(update.train_loss), [True, True, False, True, False])


def test_cancelled_work_never_happened(play):
    learner, twin = play.learner(), play.learner()
    learner.assign(0, EVERYONE, np.zeros(5))
    for k in EVERYONE:
        learner.start(0, k)
    learner.cancel(3)
    others = np.array([0, 1, 2, 4])
    for k in others:
        learner.finish(k)
    learner.aggregate(0, others)
    play.round(twin, 0, ids=others)
    np.testing.assert_array_equal(learner.state()["shared"], twin.state()["shared"])
    np.testing.assert_array_equal(learner.state()["personal"], twin.state()["personal"])


def test_an_empty_round(play):
    learner = play.learner()
    before = learner.state()["shared"]
    submodels, update, evaluation = play.round(learner, 0, ids=[])
    assert len(submodels.flops) == len(update.rejected) == 0
    assert (update.coverage_min, update.uncovered_fraction) == (0, 1)
    np.testing.assert_array_equal(learner.state()["shared"], before)
    assert np.isfinite(evaluation.accuracy).all()


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        (lambda one: one.start(0, 0), "without a sub-model"),
        (lambda one: one.finish(0), "no unfinished work"),
        (lambda one: one.cancel(0), "no unfinished work"),
        (lambda one: one.aggregate(0, np.array([2])), r"devices \[2\] arrived without finished work"),
        (lambda one: one.assign(0, EVERYONE, np.full(5, 1.1)), r"must lie in \[0, 1\]"),
        (lambda one: one.assign(0, EVERYONE, np.full(5, np.nan)), r"must lie in \[0, 1\]"),
        (lambda one: (one.assign(0, EVERYONE, np.zeros(5)), one.start(0, 1), one.start(0, 1)), "before its work of round 0"),
    ],
)
def test_calls_out_of_order_are_errors(play, calls, message):
    with pytest.raises(SimulationError, match=message):
        calls(play.learner())


# --- what leaves a device, divergence, evaluation -----------------------------------------------------


def test_personal_parts_never_leave(play, monkeypatch):
    """Whatever personal parts and own data do, the server sees vectors of shared parameters only."""
    seen = []
    updates = FederatedLearner._updates

    def spy(self, *args):
        for update in updates(self, *args):
            seen.append(update)
            yield update

    monkeypatch.setattr(FederatedLearner, "_updates", spy)
    learner = play.learner()
    play.round(learner, 0, 0.5)
    parts = learner._parts
    assert len(seen) == 5
    for update in seen:
        assert len(update.shared) == parts.prunable + parts.unprunable
        assert not np.isin(learner.state()["personal"][:, :-4], update.shared).any()
    assert len(np.unique(learner.state()["personal"], axis=0)) == 5


def test_a_diverged_device_is_rejected_and_the_run_goes_on(play, monkeypatch):
    train = SGD.train

    def diverge(self, tasks, rngs):
        results = train(self, tasks, rngs)
        wild = train(SGD(learning_rate=1e38, batch_size=8), tasks, rngs)
        return [other if task.samples[0] == bad else one for task, one, other in zip(tasks, results, wild, strict=True)]

    learner, twin = play.learner(), play.learner()
    bad = learner._shares.train[2][0]
    monkeypatch.setattr(SGD, "train", diverge)
    before = learner.state()["personal"][2]
    _, update, evaluation = play.round(learner, 0, 0.3)
    monkeypatch.undo()
    np.testing.assert_array_equal(update.rejected, [2])
    np.testing.assert_array_equal(learner.state()["personal"][2], before)
    assert update.coverage_min <= 4
    play.round(twin, 0, 0.3, arrived=[0, 1, 3, 4])
    np.testing.assert_array_equal(learner.state()["shared"], twin.state()["shared"])
    assert np.isfinite(evaluation.accuracy).all()
    assert len(play.round(learner, 1, 0.3)[1].rejected) == 0


def test_everyone_diverges(play):
    learner = play.learner(trainer=SGD(learning_rate=1e38))
    before = learner.state()
    _, update, evaluation = play.round(learner, 0)
    np.testing.assert_array_equal(update.rejected, EVERYONE)
    assert update.uncovered_fraction == 1
    np.testing.assert_array_equal(learner.state()["shared"], before["shared"])
    np.testing.assert_array_equal(learner.state()["personal"], before["personal"])
    assert np.isfinite(evaluation.global_accuracy)


def test_accuracies_are_those_of_the_models_named(play):
    learner = play.learner(pruner=Random())
    play.round(learner, 0, 0.5)
    _, _, evaluation = play.round(learner, 1, 0.9, ids=[0, 1, 2])
    state, parts, data = learner.state(), learner._parts, learner._data

    def right(shared, personal, rows):
        first, bias_first = views(shared.astype(float), parts.shared)
        second, bias_second = views(personal.astype(float), parts.personal)
        x = data.test_images[rows].reshape(len(rows), -1)
        logits = np.maximum(x @ first.T + bias_first, 0) @ second.T + bias_second
        return np.mean(logits.argmax(axis=1) == data.test_labels[rows])

    for k in EVERYONE:
        pruned = state["shared"].copy()
        if k < 3:
            pruned[: parts.prunable] *= learner._masks[k].mask()
        rows = learner._shares.test[k]
        assert evaluation.accuracy_full[k] == right(state["shared"], state["personal"][k], rows)
        assert evaluation.accuracy[k] == right(pruned, state["personal"][k], rows)
    assert (evaluation.accuracy[3:] == evaluation.accuracy_full[3:]).all()
    everything = np.arange(len(data.test_labels))
    assert evaluation.global_accuracy == right(state["shared"], state["personal"].mean(axis=0), everything)


def test_without_a_personal_part_all_devices_have_the_global_model(play):
    learner = play.learner(personal_layers=0, partition=IID(samples_per_device=40, test_samples_per_device=24))
    _, _, evaluation = play.round(learner, 0)
    assert evaluation.accuracy_full.mean() == pytest.approx(evaluation.global_accuracy)  # 5 x 24 test images: all of them once


def test_evaluation_can_be_rarer(play):
    learner = play.learner(evaluate_every=3)
    done = [np.isfinite(play.round(learner, index)[2].global_accuracy) for index in range(6)]
    assert done == [False, False, True, False, False, True]


def test_evaluation_changes_nothing(play):
    learner, twin = play.learner(), play.learner()
    first = play.round(learner, 0, 0.5)[2]
    again = learner.evaluate(0)
    np.testing.assert_array_equal(first.accuracy, again.accuracy)
    play.round(twin, 0, 0.5)
    play.same(learner, twin)


# --- checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pruner", PRUNERS, ids=repr)
def test_a_restored_learner_goes_on_bit_for_bit(play, pruner):
    through, resumed = play.learner(pruner=pruner), play.learner(pruner=pruner)
    stopped = play.learner(pruner=pruner)
    for index in range(2):
        play.round(through, index, 0.4)
        play.round(stopped, index, 0.4)
    resumed.restore({name: array.copy() for name, array in stopped.state().items()})
    play.same(resumed, stopped)
    np.testing.assert_array_equal(resumed.evaluate(1).accuracy, stopped.evaluate(1).accuracy)
    first, second = play.round(through, 2, 0.4), play.round(resumed, 2, 0.4)
    np.testing.assert_array_equal(first[1].train_loss, second[1].train_loss)
    np.testing.assert_array_equal(first[2].accuracy, second[2].accuracy)
    play.same(through, resumed)


def test_tickets_survive_a_checkpoint(play):
    """Finished and unfinished ones, of two rounds and so of two models."""
    learners = [play.learner(pruner=Random()) for _ in range(2)]
    for learner in learners:
        learner.assign(0, EVERYONE, np.full(5, 0.5))
        for k in EVERYONE:
            learner.start(0, k)
        for k in (0, 1):
            learner.finish(k)
        learner.aggregate(0, np.array([0, 1]))
        learner.assign(1, EVERYONE, np.full(5, 0.2))
        learner.finish(2)
        for k in (0, 2):
            learner.start(1, k)
        learner.finish(0)
    resumed = play.learner(pruner=Random())
    state = learners[0].state()
    assert sorted(zip(state["ticket_devices"], state["ticket_rounds"], strict=True)) == [(0, 1), (2, 0), (2, 1), (3, 0), (4, 0)]
    assert len(state["models"]) == 2
    resumed.restore(state)
    for learner in (learners[1], resumed):
        learner.cancel(4)
        for k in (2, 3):
            learner.finish(k)
        learner.start(1, 4)
        learner.aggregate(1, np.array([0, 2]))
    play.same(learners[1], resumed)


def test_a_state_is_a_copy(play):
    learner = play.learner()
    state = learner.state()
    before = {name: array.copy() for name, array in state.items()}
    play.round(learner, 0, 0.5)
    for name, array in state.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_foreign_checkpoint_is_refused(play):
    learner = play.learner()
    with pytest.raises(RunError, match="'shared' is missing"):
        learner.restore({})
    with pytest.raises(RunError, match=r"'personal' has shape \(4, 52\), must have \(5, 52\)"):
        learner.restore(play.learner(devices=4).state())
    with pytest.raises(RunError, match="another scenario"):
        learner.restore(play.learner(model=MLP(hidden=(13,))).state())


def test_a_device_still_at_work_is_evaluated_with_the_mask_it_works_with(play):
    learner = play.learner(pruner=Magnitude())
    learner.assign(0, EVERYONE, np.full(5, 0.5))
    learner.start(0, 2)
    learner.aggregate(0, np.empty(0, np.int64))
    now = learner.evaluate(0)
    learner.assign(1, np.empty(0, np.int64), np.empty(0))
    learner.aggregate(1, np.empty(0, np.int64))
    later = learner.evaluate(1)
    assert later.accuracy[2] == now.accuracy[2] != later.accuracy_full[2]
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(later.accuracy[others], later.accuracy_full[others])
