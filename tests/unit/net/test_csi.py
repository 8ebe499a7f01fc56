import numpy as np

from cosim.net.csi import Ergodic, Snapshot
from cosim.net.fading import Jakes, NoFading
from cosim.rate import Shannon
from cosim.rng import Streams


class Gains:
    """Mean gain 2 t + device, instantaneous gain ten times that."""

    def mean_gain(self, times_s, device_ids):
        return 2.0 * times_s[:, None] + device_ids

    def gain(self, times_s, device_ids):
        return 10.0 * self.mean_gain(times_s, device_ids)


def test_ergodic_sees_the_mean_and_snapshot_the_instant():
    ids = np.array([4, 1])
    assert Ergodic().observe(Gains(), 3.0, ids, Streams(1)).tolist() == [10.0, 7.0]
    assert Snapshot().observe(Gains(), 3.0, ids, Streams(1)).tolist() == [100.0, 70.0]


def test_each_plans_with_the_rate_that_fits_what_it_sees():
    rate = Shannon()
    assert Snapshot().planning_rate(rate, Jakes()) is rate
    assert Ergodic().planning_rate(rate, NoFading()) is rate
    averaged, expected = Ergodic().planning_rate(rate, Jakes()), Jakes().ergodic(rate)
    assert averaged.value(1e6, 3e6) == expected.value(1e6, 3e6) < rate.value(1e6, 3e6)
