import numpy as np
import pytest
import torch

from cosim.learn.roles import Merged
from cosim.learn.server_optimizer import FedAdam, FedAvg, FedAvgM

RNG = np.random.default_rng(0)
OLD = RNG.normal(size=50).astype(np.float32)
ALL = np.ones(50, np.int64)
KINDS = [FedAvg(), FedAvgM(), FedAdam()]


def averages(count):
    return [RNG.normal(size=50).astype(np.float32) for _ in range(count)]


def play(optimizer, sequence, keepers=ALL):
    shared, memory = OLD, optimizer.start(50)
    for average in sequence:
        shared, memory = optimizer.step(shared, Merged(average, keepers), memory)
        assert shared.dtype == np.float32
    return shared, memory


def test_without_momentum_fedavgm_is_fedavg():
    sequence = averages(5)
    np.testing.assert_allclose(play(FedAvgM(momentum=0.0), sequence)[0], play(FedAvg(), sequence)[0], rtol=1e-6)


def test_fedavgm_is_torchs_sgd_with_momentum_on_the_pseudo_gradient():
    sequence = averages(6)
    u = torch.nn.Parameter(torch.from_numpy(OLD.astype(np.float64)))
    optimiser = torch.optim.SGD([u], 0.3, 0.8)
    for average in sequence:
        u.grad = u.detach() - torch.from_numpy(average.astype(np.float64))
        optimiser.step()
    np.testing.assert_allclose(play(FedAvgM(learning_rate=0.3, momentum=0.8), sequence)[0], u.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_fedadam_written_out():
    sequence, x, m, v = averages(4), OLD.astype(float), np.zeros(50), np.full(50, 0.01**2)
    for average in sequence:
        delta = average - x
        m, v = 0.9 * m + 0.1 * delta, 0.99 * v + 0.01 * delta**2
        x = x + 0.05 * m / (np.sqrt(v) + 0.01)
    np.testing.assert_allclose(play(FedAdam(learning_rate=0.05, tau=0.01), sequence)[0], x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", KINDS, ids=repr)
def test_what_nobody_kept_stays_though_it_was_moving(optimizer):
    moving, memory = play(optimizer, averages(2))
    nobody = Merged(np.where(np.arange(50) < 20, moving, averages(1)[0]).astype(np.float32), np.arange(50) // 20)
    after, remembered = optimizer.step(moving, nobody, memory)
    np.testing.assert_array_equal(after[:20], moving[:20])
    np.testing.assert_array_equal(remembered[:, :20], memory[:, :20])
    assert (after[20:] != moving[20:]).all()
