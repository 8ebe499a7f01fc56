import numpy as np
import pytest

from cosim.errors import ScenarioError
from cosim.learn.partition import IID, ClassesPerDevice, Dirichlet, Sizes
from cosim.learn.roles import ImageData
from cosim.rng import Streams

KINDS = [
    IID(samples_per_device=30, test_samples_per_device=7),
    ClassesPerDevice(classes=2, samples_per_device=30, test_samples_per_device=8),
    ClassesPerDevice(classes=3, samples_per_device=31, test_samples_per_device=8),
]
SKEWED = [
    IID(samples_per_device=30, test_samples_per_device=7, sizes=Sizes(spread=1.0)),
    ClassesPerDevice(samples_per_device=30, test_samples_per_device=8, sizes=Sizes(spread=0.7, distribution="power_law", minimum=3)),
    Dirichlet(alpha=0.3, samples_per_device=30, test_samples_per_device=7),
    Dirichlet(alpha=10.0, samples_per_device=30, test_samples_per_device=7, sizes=Sizes(spread=0.5)),
]


def data(train=1000, test=200, classes=10):
    def images(count):
        return np.zeros((count, 1, 1, 1), np.float32)

    return ImageData(images(train), np.arange(train) % classes, images(test), np.arange(test) % classes)


@pytest.mark.parametrize("partition", [*KINDS, *SKEWED], ids=repr)
def test_shares_do_not_depend_on_later_devices(partition):
    few, many = partition.deal(data(), 7, Streams(1)), partition.deal(data(), 23, Streams(1))
    for one, other in ((few.train, many.train), (few.test, many.test)):
        for k in range(7):
            np.testing.assert_array_equal(one[k], other[k])


@pytest.mark.parametrize("partition", KINDS)
def test_shares_are_disjoint_until_the_images_are_used_up(partition):
    shares = partition.deal(data(), 30, Streams(1))
    everything = np.concatenate(shares.train)
    assert len(everything) == 30 * partition.samples_per_device
    # 30 devices are three or nine whole decks: every class is used alike, and nearly all of it
    assert len(np.unique(everything)) == len(everything)


def test_fifty_devices_with_two_classes_use_every_image_exactly_once():
    shares = ClassesPerDevice(samples_per_device=20, test_samples_per_device=4).deal(data(), 50, Streams(2))
    np.testing.assert_array_equal(np.sort(np.concatenate(shares.train)), np.arange(1000))
    np.testing.assert_array_equal(np.sort(np.concatenate(shares.test)), np.arange(200))


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 10])
def test_devices_have_so_many_classes_and_are_tested_on_the_same(classes):
    everything = data()
    shares = ClassesPerDevice(classes=classes, samples_per_device=21, test_samples_per_device=21).deal(everything, 40, Streams(5))
    for train, test in zip(shares.train, shares.test, strict=True):
        had, counts = np.unique(everything.train_labels[train], return_counts=True)
        assert len(had) == classes
        assert counts.max() - counts.min() <= 1
        np.testing.assert_array_equal(had, np.unique(everything.test_labels[test]))


def test_a_class_that_is_used_up_starts_over():
    everything = data(train=100)  # ten images of each class, five devices per deck
    shares = ClassesPerDevice(samples_per_device=20).deal(everything, 10, Streams(0))
    used, counts = np.unique(np.concatenate(shares.train), return_counts=True)
    np.testing.assert_array_equal(used, np.arange(100))
    np.testing.assert_array_equal(counts, 2)


def test_seeds_move_the_shares():
    partition = ClassesPerDevice()
    one, other = partition.deal(data(), 3, Streams(1)), partition.deal(data(), 3, Streams(2))
    assert any(not np.array_equal(a, b) for a, b in zip(one.train, other.train, strict=True))


def test_iid_shares_have_all_classes():
    everything = data(train=10_000)
    share = IID(samples_per_device=2000).deal(everything, 1, Streams(0)).train[0]
    counts = np.bincount(everything.train_labels[share])
    # hypergeometric: standard deviation sqrt(2000 * 0.1 * 0.9 * 0.8) = 12; five of them
    assert np.abs(counts - 200).max() < 60


def test_impossible_partitions_are_refused():
    with pytest.raises(ValueError, match="the data have 10 classes"):
        ClassesPerDevice(classes=11).check(10)
    with pytest.raises(ValueError, match="more than the images of a device"):
        ClassesPerDevice(classes=3, test_samples_per_device=2).check(10)
    with pytest.raises(ScenarioError, match="no image of a class"):
        ClassesPerDevice(classes=10).deal(data(test=5), 1, Streams(0))


# --- quantity skew ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("distribution", "spread"), [("log_normal", 0.8), ("power_law", 0.5), ("log_normal", 2.0)])
def test_sizes_have_the_median_and_the_spread_asked_for(distribution, spread):
    sizes = Sizes(spread=spread, distribution=distribution, minimum=1).draw(1000, 10**9, 4000, Streams(0))
    logs = np.log(sizes / 1000)
    # median of 4,000: standard error 1.25 spread / sqrt(4000) = 0.02 spread (normal), 0.016 spread (exponential); five of them.
    assert np.median(logs) == pytest.approx(0, abs=0.1 * spread)
    # standard deviation: standard error spread sqrt((kurtosis - 1) / 16000), kurtosis 3 and 9: at most 0.023 spread; five of them
    assert logs.std() == pytest.approx(spread, rel=0.12)


def test_sizes_keep_to_their_limits_and_equal_ones_are_equal():
    wide = Sizes(spread=5.0, minimum=20).draw(200, 10_000, 500, Streams(1))
    assert wide.min() == 20
    assert wide.max() == 10_000
    np.testing.assert_array_equal(Sizes().draw(5, 10_000, 3, Streams(1)), 5)
    np.testing.assert_array_equal(Sizes(spread=0.5).draw(200, 9999, 3, Streams(1)), Sizes(spread=0.5).draw(200, 9999, 40, Streams(1))[:3])


@pytest.mark.parametrize("kind", [IID, ClassesPerDevice, Dirichlet])
def test_every_kind_can_have_skewed_sizes(kind):
    sizes = Sizes(spread=0.6, minimum=5)
    shares = kind(samples_per_device=40, test_samples_per_device=20, sizes=sizes).deal(data(), 12, Streams(4))
    expected = sizes.draw(40, 1000, 12, Streams(4))
    assert [len(share) for share in shares.train] == expected.tolist()
    assert len(set(expected.tolist())) > 6
    assert {len(share) for share in shares.test} == {20}


# --- Dirichlet ----------------------------------------------------------------------------------------


def proportions(alpha, *, devices=300, labels=None, **fields):
    everything = data(train=20_000, test=5000) if labels is None else labels
    shares = Dirichlet(alpha=alpha, samples_per_device=500, **fields).deal(everything, devices, Streams(8))
    return np.array([np.bincount(everything.train_labels[share], minlength=10) / len(share) for share in shares.train])


@pytest.mark.parametrize("alpha", [0.1, 1.0, 20.0])
def test_dirichlet_proportions_have_the_theoretical_spread(alpha):
    """Var(count / n) = f (1 - f) (1 + 10 alpha / n) / (10 alpha + 1), Dirichlet-multinomial with C = 10 equal classes, n = 500.

    Relative standard error of a variance over 3,000 correlated values: at most sqrt(kurtosis / 300) < 0.2; twice that.
    """
    found = proportions(alpha).var(axis=0).mean()
    assert found == pytest.approx(0.09 * (1 + 10 * alpha / 500) / (10 * alpha + 1), rel=0.4)


def test_dirichlet_limits_are_one_class_and_iid():
    assert (proportions(1e-4, devices=50).max(axis=1) == 1).all()
    # binomial: standard deviation sqrt(0.09 / 500) = 0.0134 of each of 500 proportions; six of them
    assert np.abs(proportions(1e6, devices=50) - 0.1).max() < 0.081


def test_dirichlet_follows_the_classes_frequencies_and_lets_absent_ones_be():
    labels = np.repeat(np.arange(4), [9000, 0, 900, 100])
    uneven = ImageData(np.zeros((10_000, 1, 1, 1), np.float32), labels, np.zeros((10_000, 1, 1, 1), np.float32), labels)
    mean = proportions(5.0, labels=uneven)[:, :4].mean(axis=0)
    # standard deviation of a proportion below sqrt(0.09 / 21 + 0.09 / 500) = 0.067, of 300 devices' mean 0.004; five of them
    np.testing.assert_allclose(mean, [0.9, 0, 0.09, 0.01], atol=0.02)
    assert mean[1] == 0


def test_dirichlet_tests_with_the_same_skew():
    everything = data(train=20_000, test=5000)
    shares = Dirichlet(alpha=0.2, samples_per_device=400, test_samples_per_device=100).deal(everything, 40, Streams(2))
    for train, test in zip(shares.train, shares.test, strict=True):
        trained = np.bincount(everything.train_labels[train], minlength=10)
        tested = np.bincount(everything.test_labels[test], minlength=10)
        assert np.abs(tested - trained / 4).max() < 1  # largest remainders
        assert (tested[trained == 0] == 0).all()


def test_dirichlet_shares_are_disjoint_while_images_last():
    shares = Dirichlet(alpha=1e5, samples_per_device=50, test_samples_per_device=4).deal(data(train=2000), 20, Streams(2))
    everything = np.concatenate(shares.train)  # about 100 of 200 images of each class
    assert len(np.unique(everything)) == len(everything) == 1000


def test_the_smallest_device_must_hold_all_its_classes():
    with pytest.raises(ValueError, match="smallest device"):
        ClassesPerDevice(classes=5, sizes=Sizes(spread=1.0, minimum=4)).check(10)
