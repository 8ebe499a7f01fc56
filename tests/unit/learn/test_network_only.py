import numpy as np

from cosim.learn.federated import Federated
from cosim.learn.network_only import NetworkOnly
from cosim.rng import Streams


def test_what_is_planned_is_what_happens():
    learner = NetworkOnly().start(4, Streams(0), workers=1)
    plan, ids, ratio = learner.workload(), np.array([1, 3]), np.array([0.0, 0.6])
    given = learner.assign(0, ids, ratio)
    np.testing.assert_array_equal(given.prune_ratio, ratio)
    np.testing.assert_allclose(given.payload_bits, 128 + 32 * (312 + (1 - ratio) * 77_128))
    np.testing.assert_allclose(given.flops, plan.fixed_flops[ids] + (1 - ratio) * plan.prunable_flops[ids])
    assert plan.weight.sum() == 1


def test_nothing_is_learnt():
    learner = NetworkOnly().start(4, Streams(0), workers=1)
    learner.assign(0, np.arange(4), np.zeros(4))
    learner.start(0, 2)
    learner.finish(2)
    learner.start(0, 1)
    learner.cancel(1)
    update, evaluation = learner.aggregate(0, np.array([2])), learner.evaluate(0)
    assert np.isnan([*update.train_loss, update.coverage_min, update.uncovered_fraction]).all()
    assert len(update.rejected) == 0
    assert np.isnan([*evaluation.accuracy, *evaluation.accuracy_full, evaluation.global_accuracy]).all()
    learner.restore(learner.state())


def test_defaults_are_those_of_the_default_model():
    parts, alone = Federated().parts(), NetworkOnly()
    assert alone.prunable_parameters == parts.prunable
    assert alone.unprunable_parameters == parts.unprunable
    np.testing.assert_allclose(alone.global_flops, 32 * (5 + 3 * 10) * parts.shared_flops.sum(), rtol=1e-2)
    np.testing.assert_allclose(alone.personal_flops, 32 * (3 * 5 + 2 * 10) * parts.personal_flops, rtol=1e-2)
