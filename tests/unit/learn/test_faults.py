"""What goes wrong in training, and devices that lack data."""

from typing import ClassVar, final

import numpy as np
import pytest

from cosim.component import Component
from cosim.errors import ScenarioError, SimulationError
from cosim.learn.models import MLP
from cosim.learn.roles import Shares
from cosim.learn.split import Split
from cosim.learn.trainer import SGD


@final
class Uneven(Component):
    """Devices 0 and 1 have data, device 2 has training data only, device 3 test data only; the last class is nobody's."""

    train: tuple[int, ...] = (20, 30, 10, 0)
    test: ClassVar[tuple[int, ...]] = (10, 12, 0, 5)

    def check(self, classes):
        pass

    def deal(self, data, devices, streams):
        def cut(labels, counts):
            return tuple(np.array_split(np.flatnonzero(labels < 3), np.cumsum(counts)))[: len(counts)]

        return Shares(cut(data.train_labels, self.train), cut(data.test_labels, self.test))


def uneven(play, **fields):
    return play.learner(devices=4, partition=Uneven(), **fields)


@pytest.mark.parametrize("personal_layers", [0, 1, "copy"])
def test_a_device_without_data_takes_part_and_counts_for_nothing(play, personal_layers):
    settings = {"split": Split(personal_layers=personal_layers), "trainer": SGD(batch_size=8)}
    learner, without = uneven(play, **settings), uneven(play, **settings)
    before = learner.state()["personal"][3]
    submodels, update, evaluation = play.round(learner, 0, 0.2)
    play.round(without, 0, 0.2, ids=[0, 1, 2])
    plan = learner.workload()
    np.testing.assert_allclose(plan.weight, [1 / 3, 1 / 2, 1 / 6, 0])
    assert submodels.flops[3] == 0
    assert submodels.payload_bits[3] == submodels.payload_bits[0]
    np.testing.assert_array_equal(np.isnan(update.train_loss), [False, False, False, True])
    assert len(update.rejected) == 0
    np.testing.assert_array_equal(learner.state()["shared"], without.state()["shared"])
    np.testing.assert_array_equal(learner.state()["personal"][3], before)
    np.testing.assert_array_equal(np.isnan(evaluation.accuracy), [False, False, True, False])
    assert np.isfinite(evaluation.global_accuracy)


def test_a_class_that_a_device_never_sees_is_learnt_from_the_others(play):
    learner = play.learner(personal_layers=0, trainer=SGD(learning_rate=0.2, batch_size=8, global_steps=5))
    for index in range(15):
        evaluation = play.round(learner, index)[2]
    labels = learner._data.train_labels
    assert all(len(np.unique(labels[share])) == 2 for share in learner._shares.train)
    assert evaluation.global_accuracy > 0.9


def test_nobody_with_data_is_an_error(play):
    with pytest.raises(ScenarioError, match="no device has any training samples"):
        play.learner(devices=4, partition=Uneven(train=(0, 0, 0, 0)))


def test_divergence_stops_the_run_where_the_scenario_says_so(play):
    learner = play.learner(on_divergence="stop", trainer=SGD(learning_rate=1e38))
    with pytest.raises(SimulationError, match=r"round 0: the updates of devices \[1, 2\] are not finite.*smaller learning rate"):
        play.round(learner, 0, arrived=[1, 2])


def test_divergence_of_a_device_that_does_not_arrive_stops_nothing(play):
    learner = play.learner(on_divergence="stop", trainer=SGD(learning_rate=1e38))
    assert not np.isfinite(play.round(learner, 0, arrived=[])[1].train_loss).all()


@pytest.mark.parametrize("every", [2, 5])
def test_the_last_round_is_always_evaluated(play, every):
    learner = play.learner(evaluate_every=every, model=MLP(hidden=()), personal_layers=0)
    play.round(learner, 0)
    assert np.isnan(learner.evaluate(0).global_accuracy)
    assert np.isfinite(learner.evaluate(0, final=True).global_accuracy)
