"""Intervals and tests against SciPy, textbook examples, and their coverage by simulation on fixed streams."""

import numpy as np
import pytest
from scipy import stats

from cosim import statistics
from cosim.rng import Streams

SAMPLES = [np.random.default_rng(key).normal(3, 2, size) for key, size in enumerate((2, 3, 10, 57))]


@pytest.mark.parametrize("x", SAMPLES, ids=len)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_student_t_is_scipys(x, level):
    interval = statistics.student_t(x, level)
    expected = stats.t.interval(level, x.size - 1, x.mean(), stats.sem(x))
    np.testing.assert_allclose((interval.low, interval.high), expected, rtol=1e-12)
    assert (interval.estimate, interval.count) == (pytest.approx(x.mean()), x.size)
    assert interval.half_width == pytest.approx((expected[1] - expected[0]) / 2)


@pytest.mark.parametrize("x", SAMPLES, ids=len)
def test_paired_is_scipys(x):
    y = x + np.random.default_rng(9).normal(0.3, 0.5, x.size)
    found, expected = statistics.paired(y, x), stats.ttest_rel(y, x)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    low, high = expected.confidence_interval(0.95)
    np.testing.assert_allclose((found.interval.low, found.interval.high), (low, high), rtol=1e-9)


@pytest.mark.parametrize("rng", [None, Streams(0).generator("bootstrap")], ids=["t", "bootstrap"])
def test_differences_that_are_equal_but_for_rounding_have_no_test(rng):
    world = np.array([0.1, 1.7, 23.9, 1e4 / 3])
    moved, same = (statistics.paired(world + 0.3 + shift, world + shift, rng=rng) for shift in (0.1, -0.3))
    for found in (moved, same):
        assert found.interval.low == found.interval.high == pytest.approx(0.3, abs=1e-9)
        assert np.isnan(found.p_value)
    nothing = statistics.paired(world * 3 / 7, world / 7 * 3, rng=rng)
    assert nothing.interval == statistics.Interval(0.0, 0.0, 0.0, 4)
    assert np.isnan(statistics.paired([2], [1], rng=rng).p_value)


def test_small_differences_beyond_rounding_are_tested():
    world = np.array([0.1, 1.7, 23.9, 3333.3])
    y = world + np.array([1e-4, 1.1e-4, 0.9e-4, 1e-4])
    assert statistics.paired(y, world).p_value == pytest.approx(stats.ttest_rel(y, world).pvalue, rel=1e-6)
    assert statistics.paired(y, world).p_value < 0.001


def test_pairs_need_equal_shapes():
    with pytest.raises(ValueError, match=r"equal shapes, got \(2,\) and \(3,\)"):
        statistics.paired([1, 2], [1, 2, 3])


def test_bootstrap_is_near_the_textbook():
    """Many values: the BCa interval of a mean is that of the normal approximation; 10,000 resamples leave about 1 % of its width."""
    x = np.random.default_rng(1).exponential(2, 400)
    found = statistics.bootstrap(x, Streams(0).generator("bootstrap"))
    half = 1.96 * stats.sem(x)
    np.testing.assert_allclose((found.low, found.high), (x.mean() - half, x.mean() + half), atol=0.25 * half)
    assert found.high - x.mean() > x.mean() - found.low  # skewed to the right, as the values are
    again = statistics.bootstrap(x, Streams(0).generator("bootstrap"))
    assert found == again


def test_intervals_of_next_to_nothing():
    rng = Streams(0).generator("bootstrap")
    equal = [0.1 + 0.2, 0.3, 0.3]
    for found in (statistics.student_t(equal), statistics.bootstrap(equal, rng)):
        assert found.low == found.high == pytest.approx(0.3)
    assert statistics.bootstrap([2.0, 2.0, 2.0], rng) == statistics.Interval(2.0, 2.0, 2.0, 3)
    assert np.isnan(statistics.bootstrap([2.0], rng).low)
    assert np.isnan(statistics.student_t([2.0]).high)


@pytest.mark.parametrize(("values", "level"), [([], 0.95), ([1, np.nan], 0.95), ([[1, 2]], 0.95), ([1, 2], 1.0)])
def test_what_has_no_interval_is_refused(values, level):
    with pytest.raises(ValueError, match=r"an interval needs|a confidence level"):
        statistics.student_t(values, level)


def test_student_t_covers_what_it_says():
    """20,000 samples of 10 Gaussians: the share of intervals that hold the mean is 95 +- 0.6 % (4 standard errors)."""
    samples = Streams(1).generator("bootstrap", 1).normal(5, 3, (20_000, 10))
    intervals = [statistics.student_t(sample) for sample in samples]
    assert np.mean([interval.low <= 5 <= interval.high for interval in intervals]) == pytest.approx(0.95, abs=0.006)


def test_paired_intervals_cover_what_they_say():
    """4,000 studies of 10 seeds whose world outweighs what is a variant's own: 95 +- 1.4 % (4 standard errors)."""
    rng = Streams(1).generator("bootstrap", 4)
    world, own = rng.normal(0, 3, (4000, 10)), rng.normal(0, 1, (2, 4000, 10))
    intervals = [statistics.paired(a, b).interval for a, b in zip(world + own[0] + 0.3, world + own[1], strict=True)]
    assert np.mean([interval.low <= 0.3 <= interval.high for interval in intervals]) == pytest.approx(0.95, abs=0.014)


def mean_up_to(horizon, median, spread):
    """E min(T, horizon) of a log-normal T."""
    u = np.log(horizon / median) / spread
    return median * np.exp(spread**2 / 2) * stats.norm.cdf(u - spread) + horizon * stats.norm.sf(u)


def cut_times(rng, median, world):
    """Times to an accuracy, cut where the run ends, and whether it was reached; shape (10,) for each study."""
    time = median * np.exp(world + rng.normal(0, 0.15, world.shape))
    end = rng.normal(100, 3, world.shape)
    return np.minimum(time, end), time <= end


@pytest.mark.full
@pytest.mark.parametrize(("median", "reached", "covered"), [(60, 0.96, 0.974), (90, 0.64, 0.923), (110, 0.37, 0.858)])
def test_times_to_accuracy_cover_what_the_documents_say(median, reached, covered):
    """5,000 studies of 10 seeds: within 2 % (over 3 standard errors) of the numbers in docs/studies.md."""
    rng = Streams(1).generator("bootstrap", 5, median)
    times, hits = cut_times(rng, median, rng.normal(0, 0.25, (5000, 10)))
    assert np.mean(hits) == pytest.approx(reached, abs=0.01)
    covering = []
    for time, hit in zip(times, hits, strict=True):
        until = statistics.horizon(time, hit)
        interval = statistics.student_t(np.minimum(time, until))
        covering.append(interval.low <= mean_up_to(until, median, np.hypot(0.25, 0.15)) <= interval.high)
    assert np.mean(covering) == pytest.approx(covered, abs=0.02)


@pytest.mark.full
@pytest.mark.parametrize("median", [75, 90])
def test_differences_of_times_to_accuracy_cover_what_they_say(median):
    """5,000 studies of 10 seeds, against a variant with median 60 s in the same worlds: 95 +- 1.3 % (4 standard errors)."""
    rng = Streams(1).generator("bootstrap", 6, median)
    world = rng.normal(0, 0.25, (5000, 10))
    (slow, slow_hit), (quick, quick_hit) = cut_times(rng, median, world), cut_times(rng, 60, world)
    covering = []
    for k in range(len(world)):
        until = statistics.horizon(np.append(slow[k], quick[k]), np.append(slow_hit[k], quick_hit[k]))
        interval = statistics.paired(np.minimum(slow[k], until), np.minimum(quick[k], until)).interval
        truth = mean_up_to(until, median, np.hypot(0.25, 0.15)) - mean_up_to(until, 60, np.hypot(0.25, 0.15))
        covering.append(interval.low <= truth <= interval.high)
    assert np.mean(covering) == pytest.approx(0.95, abs=0.013)


@pytest.mark.full
@pytest.mark.parametrize(("draw", "mean", "covered"), [("normal", 0.0, 0.885), ("exponential", 1.0, 0.88)])
def test_bootstrap_covers_what_the_documents_say(draw, mean, covered):
    """2,000 samples of 10: within 2.5 % (over 3 standard errors) of the numbers in docs/studies.md."""
    rng = Streams(1).generator("bootstrap", 2)
    intervals = [statistics.bootstrap(getattr(rng, draw)(size=10), rng) for _ in range(2000)]
    assert np.mean([interval.low <= mean <= interval.high for interval in intervals]) == pytest.approx(covered, abs=0.025)


def test_common_random_numbers_narrow_the_interval():
    """With correlation r between the pairs the variance of a difference shrinks by 1 - r: the width by sqrt(1 - r)."""
    world, own = np.random.default_rng(4).normal(0, 1, 2000), np.random.default_rng(5).normal(0, 0.5, (2, 2000))
    first, second = world + own[0], world + own[1]
    paired = statistics.paired(first, second).interval.half_width
    independent = statistics.paired(first, np.roll(second, 1)).interval.half_width
    assert paired / independent == pytest.approx(np.sqrt(0.25 / 1.25), rel=0.06)


def test_holm():
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(statistics.holm([0.9, 0.8]), [1.0, 1.0])


def test_kaplan_meier_is_scipys():
    time = np.array([1.0, 2, 2, 3, 4, 4, 5, 7])
    reached = np.array([True, True, False, True, False, True, True, False])
    moments, surviving = statistics.kaplan_meier(time, reached)
    expected = stats.ecdf(stats.CensoredData.right_censored(time, ~reached)).sf
    np.testing.assert_allclose(surviving, expected.evaluate(moments), rtol=1e-12)
    assert statistics.median_time(time, reached) == 4.0
    assert statistics.median_time([1, 2, 3], [True, False, False]) == np.inf


def test_up_to_the_horizon_every_run_is_known():
    assert statistics.horizon([3, 5, 9], [True, False, False]) == 5
    assert statistics.horizon([3, 5, 9], [True, True, True]) == 9


def test_batch_means_cover_an_autocorrelated_series():
    """400 AR(1) series, coefficient 0.8, 4,000 values: batches of 200 are 20 memories long. 95 +- 4.4 % (4 standard errors)."""
    from scipy.signal import lfilter

    noise = Streams(1).generator("bootstrap", 3).normal(0, 1, (400, 4200))
    series = lfilter([1], [1, -0.8], noise, axis=1)[:, 200:]
    covered = [interval.low <= 0 <= interval.high for interval in map(statistics.batch_means, series)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.044)
    naive = [interval.low <= 0 <= interval.high for interval in map(statistics.student_t, series)]
    assert np.mean(naive) < 0.6
    with pytest.raises(ValueError, match="at least 10 batches of 2 values"):
        statistics.batch_means(np.zeros(30))
