import numpy as np
import pytest
from pydantic import ValidationError

from cosim.net.compute import Constant, ShiftedExponential
from cosim.rng import Streams


def test_clocks_lie_in_the_range_and_belong_to_the_device():
    model = Constant(frequency_low_hz=1e9, frequency_high_hz=3e9)
    many = model.frequency_hz(2000, Streams(1))
    assert ((many >= 1e9) & (many < 3e9)).all()
    # mean of 2000 uniforms: standard error 2e9/sqrt(12*2000) = 1.3e7; four of them
    assert abs(many.mean() - 2e9) < 5.2e7
    np.testing.assert_array_equal(model.frequency_hz(5, Streams(1)), many[:5])
    assert (Constant(frequency_low_hz=2e9, frequency_high_hz=2e9).frequency_hz(5, Streams(1)) == 2e9).all()


def test_constant_never_straggles():
    assert Constant().factor(3, 4, Streams(1)).tolist() == [1.0] * 4
    assert Constant().mean_factor == 1.0


def test_factors_belong_to_device_and_round_and_differ_from_the_clocks():
    model = ShiftedExponential(mean=0.5)
    factor = model.factor(0, 50, Streams(1))
    np.testing.assert_array_equal(model.factor(0, 10, Streams(1)), factor[:10])
    assert (model.factor(1, 50, Streams(1)) != factor).all()
    clock = (model.frequency_hz(50, Streams(1)) - 1e9) / 1e9
    assert not np.isclose(1 - np.exp(-(factor - 1) / 0.5), clock).any()


def test_shifted_exponential_has_its_mean_and_variance():
    # 200 rounds x 100 devices: the mean's standard error is 0.5/sqrt(20000) = 0.0035, the variance's 0.25*sqrt(8/20000) = 0.005
    model = ShiftedExponential(mean=0.5)
    factor = np.array([model.factor(s, 100, Streams(1)) for s in range(200)])
    assert factor.min() >= 1.0
    assert abs(factor.mean() - model.mean_factor) < 0.014
    assert abs(factor.var() - 0.25) < 0.02
    assert (ShiftedExponential(mean=0.0).factor(0, 9, Streams(1)) == 1.0).all()


@pytest.mark.parametrize("fields", [{"frequency_low_hz": 3e9}, {"flops_per_cycle": 0.0}, {"capacitance": -1.0}])
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        Constant(**fields)
