"""The margin of the outage-aware plan: between 0 and 1, in order, and gone where everything is averaged."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cosim.net.averaging import clarke_average_variance, outage_margin

OUTAGE = st.floats(1e-6, 0.499)
VARIANCE = st.floats(0.0, 1.0)
DRIFT_DB = st.floats(0.0, 30.0)


@given(OUTAGE, VARIANCE, DRIFT_DB)
def test_a_margin_is_a_share(outage, variance, drift_db):
    assert 0.0 < outage_margin(outage, [variance], [drift_db])[0] <= 1.0


@given(st.floats(1e-6, 0.36), VARIANCE, DRIFT_DB, st.floats(1.0, 4.0))
def test_a_greater_spread_or_a_rarer_outage_never_takes_less_off(outage, variance, drift_db, factor):
    margin = outage_margin(outage, [variance], [drift_db])[0] * (1.0 + 1e-9)
    assert outage_margin(outage, [min(variance * factor, 1.0)], [drift_db])[0] <= margin
    assert outage_margin(outage, [variance], [drift_db * factor])[0] <= margin
    assert outage_margin(outage / factor, [variance], [drift_db])[0] <= margin


@given(OUTAGE, st.floats(0.0, 500.0), st.floats(0.1, 10.0))
def test_with_averaging_time_the_margin_goes_to_one(outage, doppler_hz, residual_hz):
    variance = np.concatenate([clarke_average_variance(window_s, [doppler_hz], residual_hz) for window_s in (1.0, 1e2, 1e4, 1e6, 1e8)])
    margin = outage_margin(outage, variance, 0.0)
    assert np.all(np.diff(margin) >= 0)
    assert margin[-1] > 0.99
