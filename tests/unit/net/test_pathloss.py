"""Path loss and LOS probability against values worked out by hand from the tables of 3GPP TR 38.901 V17."""

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.net.distance_laws import FreeSpace, LogDistance
from cosim.net.pathloss import RuralMacro, UrbanMacro, UrbanMicro

# UMa, h_site 25 m, h_device 1.5 m: d_BP = 4 * 24 * 0.5 * f / 299792458; (h_site - h_device)^2 = 552.25
#   100 m: d3D = sqrt(1e4 + 552.25) = 102.724145, lg = 2.0116725
#  1000 m: d3D = 1000.276087, lg = 3.0001199        5000 m: d3D = 5000.055225, lg = 3.6989748
UMA = [
    # 0.9 GHz: lg f = -0.0457575, d_BP = 144.0997 m, lg(d_BP^2 + 552.25) = 4.3287255
    (0.9e9, 100.0, True, 71.34165),  # 28 + 22*2.0116725 - 0.91515
    (0.9e9, 1000.0, True, 108.13112),  # 28 + 40*3.0001199 - 0.91515 - 9*4.3287255
    (0.9e9, 100.0, False, 91.24101),  # 13.54 + 39.08*2.0116725 - 0.91515
    (0.9e9, 5000.0, False, 157.18079),  # 13.54 + 39.08*3.6989748 - 0.91515
    # 3.5 GHz: lg f = 0.5440680, d_BP = 560.3877 m, lg(...) = 5.4977402
    (3.5e9, 100.0, True, 83.13816),  # 28 + 22*2.0116725 + 10.88136
    (3.5e9, 1000.0, True, 109.40649),  # 28 + 40*3.0001199 + 10.88136 - 9*5.4977402
    (3.5e9, 5000.0, True, 137.36069),  # 28 + 40*3.6989748 + 10.88136 - 9*5.4977402
    (3.5e9, 1000.0, False, 141.66605),  # 13.54 + 39.08*3.0001199 + 10.88136
    # 28 GHz: lg f = 1.4471580, d_BP = 4483.1014 m, lg(...) = 7.3031691
    (28e9, 1000.0, True, 122.94580),  # 28 + 22*3.0001199 + 28.94316
    (28e9, 5000.0, True, 139.17363),  # 28 + 40*3.6989748 + 28.94316 - 9*7.3031691
    (28e9, 1000.0, False, 159.72785),  # 13.54 + 39.08*3.0001199 + 28.94316
]

# UMi, h_site 10 m, h_device 1.5 m: d_BP = 4 * 9 * 0.5 * f / 299792458; (h_site - h_device)^2 = 72.25
#    50 m: d3D = 50.717354, lg = 1.7051566; 500 m: 500.072245, lg = 2.6990328; 2000 m: 2000.018062, lg = 3.3010339
UMI = [
    # 0.9 GHz: d_BP = 54.0374 m, lg(d_BP^2 + 72.25) = 3.4760035
    (0.9e9, 50.0, True, 67.29314),  # 32.4 + 21*1.7051566 - 0.91515
    (0.9e9, 500.0, True, 106.42413),  # 32.4 + 40*2.6990328 - 0.91515 - 9.5*3.4760035
    (0.9e9, 500.0, False, 116.70122),  # 22.4 + 35.3*2.6990328 + 21.3*(-0.0457575)
    # 3.5 GHz: d_BP = 210.1454 m, lg(...) = 4.6457496
    (3.5e9, 50.0, True, 79.08965),  # 32.4 + 21*1.7051566 + 10.88136
    (3.5e9, 500.0, True, 107.10805),  # 32.4 + 40*2.6990328 + 10.88136 - 9.5*4.6457496
    (3.5e9, 2000.0, False, 150.51515),  # 22.4 + 35.3*3.3010339 + 21.3*0.5440680
    # 28 GHz: d_BP = 1681.1630 m, lg(...) = 6.4512308
    (28e9, 500.0, True, 118.02285),  # 32.4 + 21*2.6990328 + 28.94316
    (28e9, 2000.0, True, 132.09783),  # 32.4 + 40*3.3010339 + 28.94316 - 9.5*6.4512308
    (28e9, 50.0, False, 113.41649),  # 22.4 + 35.3*1.7051566 + 21.3*1.4471580
]

# RMa, h_site 35 m, h_device 1.5 m, h 5 m, W 20 m: 5^1.72 = 15.930463, slope 0.4779139, offset 0.7009404, lg 5 = 0.6989700
#   1000 m: d3D = 1000.560968, lg = 3.0002436; 4000 m: 4000.140279, lg = 3.6020752; 9000 m: 9000.062347, lg = 3.9542455
#   NLOS: 161.04 - 9.2373130 + 5.2422750 - 37.5123453 + 0.0009190 + 38.6333891 (lg d - 3) + 20 lg f
RMA = [
    # 0.9 GHz: d_BP = 2 pi 35 * 1.5 * f/c = 990.2868 m, PL1(d_BP) = 93.55698
    (0.9e9, 1000.0, True, 93.73628),  # 93.55698 + 40 lg(1000.560968/990.2868)
    (0.9e9, 4000.0, False, 141.87859),  # 119.5335355 + 38.6333891*0.6020752 - 0.91515
    # 3.5 GHz: d_BP = 3851.1152 m, PL1(d_BP) = 121.43115
    (3.5e9, 1000.0, True, 105.45965),  # 103.32800 + 0.4779139*3.0002436 - 0.7009404 + 0.00139794*1000.560968
    (3.5e9, 9000.0, True, 136.17751),  # 121.43115 + 40 lg(9000.062347/3851.1152)
    (3.5e9, 1000.0, False, 130.42431),  # 119.5335355 + 38.6333891*0.0002436 + 10.88136
    # 28 GHz: d_BP = 30808.9218 m
    (28e9, 4000.0, True, 140.03893),  # 133.42644 + 0.4779139*3.6020752 - 0.7009404 + 0.00139794*4000.140279
    (28e9, 4000.0, False, 171.73690),  # 119.5335355 + 38.6333891*0.6020752 + 28.94316
]


@pytest.mark.parametrize(("carrier_hz", "distance_m", "los", "expected_db"), UMA)
def test_urban_macro_loss(carrier_hz, distance_m, los, expected_db):
    assert UrbanMacro(carrier_hz=carrier_hz).loss_db(distance_m, los) == pytest.approx(expected_db, abs=1e-4)


@pytest.mark.parametrize(("carrier_hz", "distance_m", "los", "expected_db"), UMI)
def test_urban_micro_loss(carrier_hz, distance_m, los, expected_db):
    assert UrbanMicro(carrier_hz=carrier_hz).loss_db(distance_m, los) == pytest.approx(expected_db, abs=1e-4)


@pytest.mark.parametrize(("carrier_hz", "distance_m", "los", "expected_db"), RMA)
def test_rural_macro_loss(carrier_hz, distance_m, los, expected_db):
    assert RuralMacro(carrier_hz=carrier_hz).loss_db(distance_m, los) == pytest.approx(expected_db, abs=1e-4)


def test_loss_broadcasts_distance_against_los():
    loss_db = UrbanMacro().loss_db(np.array([[100.0], [1000.0]]), np.array([True, False]))
    np.testing.assert_allclose(loss_db, [[83.13816, 103.03752], [109.40649, 141.66605]], atol=1e-4)


def test_nlos_is_never_less_than_los():
    # UMi at 10 m, both antennas at 22.5 m, 0.9 GHz: d3D = 10; LOS 32.4 + 21 - 0.91515 = 52.48485;
    # NLOS' 22.4 + 35.3 - 21.3*0.0457575 - 0.3*21 = 50.42537, which is less
    assert UrbanMicro(carrier_hz=0.9e9).loss_db(10.0, los=False, height_site_m=22.5, height_device_m=22.5) == pytest.approx(
        52.48485, abs=1e-4
    )


@pytest.mark.parametrize(("model", "height_m"), [(UrbanMacro(), 25.0), (UrbanMicro(), 10.0), (RuralMacro(), 35.0)])
def test_los_loss_is_continuous_at_the_breakpoint(model, height_m):
    factor = 2 * np.pi * height_m * 1.5 if isinstance(model, RuralMacro) else 4 * (height_m - 1) * 0.5
    breakpoint_m = factor * 3.5e9 / 299792458.0
    before, after = model.loss_db([breakpoint_m - 1e-6, breakpoint_m + 1e-6], los=True)
    # UMa and UMi meet exactly; RMa takes PL1 at a 3D distance equal to d_BP, which is a 2D distance: 40 lg(d3D/d_BP) < 2e-3 dB
    assert after - before == pytest.approx(0.0, abs=2e-3 if isinstance(model, RuralMacro) else 1e-6)


def test_speed_of_light_moves_the_breakpoint():
    # with c = 3e8, 9 lg of d_BP^2 + ... changes by 18 lg(299792458/3e8) * d_BP^2/(d_BP^2 + 552.25) = -5.4e-3 dB
    rounded = UrbanMacro(speed_of_light_m_s=3e8).loss_db(1000.0, los=True)
    assert rounded - UrbanMacro().loss_db(1000.0, los=True) == pytest.approx(18 * np.log10(3e8 / 299792458) * 0.99825, abs=1e-5)


@pytest.mark.parametrize(
    ("model", "distance_m", "los"),
    [
        (UrbanMacro(), 9.99, True),
        (UrbanMacro(), 5000.1, False),
        (UrbanMicro(), 5.0, False),
        (UrbanMicro(), 6000.0, True),
        (RuralMacro(), 9.0, True),
        (RuralMacro(), 10_001.0, True),
        (RuralMacro(), 5_001.0, False),
        (FreeSpace(), 0.5, True),
        (LogDistance(reference_distance_m=2.0), 1.5, True),
        (UrbanMacro(), np.nan, True),
    ],
)
def test_distances_outside_the_range_are_refused(model, distance_m, los):
    with pytest.raises(ValueError, match=r"distance.*: .* m is outside .* m to .* m"):
        model.loss_db([100.0, distance_m], los)


@pytest.mark.parametrize(
    ("model", "site_m", "device_m"),
    [
        (UrbanMacro(), 25.0, 1.4),
        (UrbanMacro(), 25.0, 22.6),
        (UrbanMacro(), 15.0, 16.0),
        (UrbanMacro(), 1.0, 1.5),
        (UrbanMicro(), 10.0, 23.0),
        (RuralMacro(), 9.0, 1.5),
        (RuralMacro(), 35.0, 10.5),
    ],
)
def test_heights_outside_the_range_are_refused(model, site_m, device_m):
    with pytest.raises(ValueError, match="height"):
        model.loss_db(100.0, los=True, height_site_m=site_m, height_device_m=device_m)


def test_los_probability_urban_macro():
    # 100 m: 0.18 + e^(-100/63) * 0.82 = 0.18 + 0.2044766 * 0.82 = 0.3476708
    # 100 m, device at 23 m: C' = 1; times 1 + 1.25 * 1 * e^(-100/150) = 1 + 1.25 * 0.5134171 = 1.6417714
    model = UrbanMacro()
    np.testing.assert_allclose(model.los_probability([1.0, 18.0, 100.0]), [1.0, 1.0, 0.3476708], atol=1e-7)
    assert model.los_probability(100.0, height_device_m=13.0) == model.los_probability(100.0)
    assert model.los_probability(100.0, height_device_m=23.0) == pytest.approx(0.3476708 * 1.6417714, abs=1e-6)
    with pytest.raises(ValueError, match="23 m"):
        model.los_probability(100.0, height_device_m=24.0)


def test_los_probability_urban_micro_and_rural():
    # UMi 100 m: 0.18 + e^(-100/36) * 0.82 = 0.18 + 0.0621765 * 0.82 = 0.2309847; RMa 1010 m: e^-1
    np.testing.assert_allclose(UrbanMicro().los_probability([10.0, 18.0, 100.0]), [1.0, 1.0, 0.2309847], atol=1e-7)
    np.testing.assert_allclose(RuralMacro().los_probability([5.0, 10.0, 1010.0]), [1.0, 1.0, np.exp(-1.0)])


def test_shadowing_statistics_of_the_tables():
    np.testing.assert_array_equal(UrbanMacro().shadowing_sigma_db(100.0, [True, False]), [4.0, 6.0])
    np.testing.assert_array_equal(UrbanMicro().shadowing_sigma_db(100.0, [True, False]), [4.0, 7.82])
    # RMa at 3.5 GHz: the breakpoint is at 3851 m
    np.testing.assert_array_equal(RuralMacro().shadowing_sigma_db([3000.0, 4000.0, 100.0], [True, True, False]), [4.0, 6.0, 8.0])
    distances = [
        (m.shadowing_correlation_m(los=True), m.shadowing_correlation_m(los=False)) for m in (UrbanMacro(), UrbanMicro(), RuralMacro())
    ]
    assert distances == [(37.0, 50.0), (10.0, 13.0), (37.0, 120.0)]
    assert [m.los_correlation_m for m in (UrbanMacro(), UrbanMicro(), RuralMacro())] == [50.0, 50.0, 60.0]


def test_free_space_follows_friis():
    # 3.5 GHz, heights equal, 100 m: 20 lg(4 pi 100 * 3.5e9 / 299792458) = 20 lg(14670.915) = 83.32914
    assert FreeSpace().loss_db(100.0, los=True, height_site_m=5.0, height_device_m=5.0) == pytest.approx(83.32914, abs=1e-4)
    assert FreeSpace().los_probability([1.0, 1e4]).tolist() == [1.0, 1.0]
    assert FreeSpace().shadowing_sigma_db(1.0, los=True) == 0.0


def test_log_distance_slope_and_reference():
    model = LogDistance(exponent=3.7, reference_loss_db=40.0, sigma_db=7.0, correlation_m=20.0)
    loss_db = model.loss_db([10.0, 100.0], los=True, height_site_m=2.0, height_device_m=2.0)
    np.testing.assert_allclose(loss_db, [40.0 + 37.0, 40.0 + 74.0])
    assert model.shadowing_sigma_db(10.0, los=False) == 7.0
    assert model.shadowing_correlation_m(los=True) == 20.0
    free = LogDistance(exponent=2.0).loss_db(250.0, los=True)
    assert free == pytest.approx(FreeSpace().loss_db(250.0, los=True), abs=1e-9)
    with pytest.raises(ValidationError, match="wavelength"):
        LogDistance(reference_distance_m=0.01)


def test_environment_height_is_one_metre_up_to_thirteen():
    chance = np.linspace(0.0, 0.999, 50)
    for height_m in (1.5, 13.0):
        assert (UrbanMacro().environment_height_m(400.0, height_m, chance) == 1.0).all()
    assert (UrbanMacro().environment_height_m(18.0, 22.5, chance) == 1.0).all()  # g is 0 up to 18 m


def test_environment_height_of_tall_devices_has_the_standards_distribution():
    # 22.5 m at 300 m: C = 0.95^1.5 * 1.25 * 27 * e^-2 = 4.22937; P(1 m) = 1/5.22937 = 0.191228, else 12, 15, 18, 21 alike
    chance = (np.arange(100_000) + 0.5) / 100_000
    heights, counts = np.unique(UrbanMacro().environment_height_m(300.0, 22.5, chance), return_counts=True)
    assert heights.tolist() == [1.0, 12.0, 15.0, 18.0, 21.0]
    np.testing.assert_allclose(counts / 100_000, [0.191228, *[0.808772 / 4] * 4], atol=2e-5)
    assert np.unique(UrbanMacro().environment_height_m(300.0, 13.4, chance)).tolist() == [1.0, 12.0]


def test_environment_height_moves_the_breakpoint():
    # h_E 21 m: d_BP = 4 (25 - 21)(22.5 - 21) 3.5e9/c = 280.19 m; at 300 m beyond it: 28 + 40 lg 300.0104 + 10.88136 - 9 lg(280.19^2 + 6.25)
    model = UrbanMacro()
    far = model.loss_db(300.0, los=True, height_site_m=25.0, height_device_m=22.5, chance=0.9999)
    assert far == pytest.approx(28 + 40 * np.log10(np.hypot(300, 2.5)) + 20 * np.log10(3.5) - 9 * np.log10(280.1938**2 + 6.25), abs=1e-4)
    near = model.loss_db(300.0, los=True, height_site_m=25.0, height_device_m=22.5, chance=0.0)
    assert near == pytest.approx(28 + 22 * np.log10(np.hypot(300, 2.5)) + 20 * np.log10(3.5), abs=1e-9)


def test_probabilities_stay_probabilities():
    distances = np.linspace(0.0, 5000.0, 20_001)
    for height_m in (1.5, 13.0, 15.0, 18.0, 20.0, 22.5, 23.0):
        probability = UrbanMacro().los_probability(distances, height_m)
        assert (probability >= 0.0).all()
        assert (probability <= 1.0).all()
