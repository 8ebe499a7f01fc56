import numpy as np
import pytest
from scipy.stats import kstest

from cosim.net.buildings import Buildings
from cosim.rng import Streams


def test_walls_worked_out_by_hand():
    # 3.5 GHz: glass 2.7 dB, coated 24.05 dB, concrete 19 dB. low: 5 - 10 lg(0.3 * 0.5370318 + 0.7 * 0.0125893) = 5 - 10 lg 0.1699220
    # = 12.69750; high: 5 - 10 lg(0.7 * 0.0039355 + 0.3 * 0.0125893) = 5 - 10 lg 0.0065316 = 26.84978
    assert Buildings().wall_loss_db(3.5e9) == pytest.approx(12.6975, abs=1e-4)
    assert Buildings(loss="high").wall_loss_db(3.5e9) == pytest.approx(26.8498, abs=1e-3)


def test_nobody_is_indoors_unless_asked():
    indoors = Buildings().start(3.5e9, 100, Streams(1))
    assert not indoors.inside.any()
    assert not indoors.loss_db.any()
    assert not indoors.depth_m.any()


@pytest.mark.parametrize(("loss", "deviation"), [("low", 4.4), ("high", 6.5)])
def test_who_is_inside_how_deep_and_at_what_loss(loss, deviation):
    model = Buildings(indoor_probability=0.3, loss=loss)
    indoors = model.start(3.5e9, 20_000, Streams(1))
    inside = indoors.inside
    assert inside.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 20_000))
    assert not indoors.loss_db[~inside].any()
    # the lesser of two uniforms has distribution function 1 - (1 - x)^2; 1 % level of 6000 samples: 0.021
    assert kstest(1 - (1 - indoors.depth_m[inside] / 25.0) ** 2, "uniform").statistic < 0.021
    rest = indoors.loss_db[inside] - model.wall_loss_db(3.5e9) - 0.5 * indoors.depth_m[inside]
    assert kstest(rest / deviation, "norm").statistic < 0.021


def test_a_device_more_changes_nobody_else():
    few, many = (Buildings(indoor_probability=0.5).start(3.5e9, count, Streams(3)) for count in (10, 11))
    np.testing.assert_array_equal(few.loss_db, many.loss_db[:10])
    np.testing.assert_array_equal(few.depth_m, many.depth_m[:10])
