import numpy as np
import pytest

from cosim.learn.codec import HEADER, UploadFormat
from cosim.learn.values import Float16, Float32, Int8

SHARED = np.arange(1, 13, dtype=np.float32)
MASK = np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 0], bool)
RNG = np.random.default_rng(0)
CODECS = [Float32(), Float16(), Int8(), Int8(rounding="stochastic")]


def upload_format(codec=None, *, mask_known=False, sizes=(4, 6), unprunable=2):
    return UploadFormat(sizes, unprunable, codec or Float32(), mask_known)


def encoded(codec=None, *, mask_known=False):
    return upload_format(codec, mask_known=mask_known).encode(SHARED, MASK, RNG)


def test_format():
    """A golden file: the format is a promise to other programs."""
    data = encoded()
    assert data[:16] == b"CSIM\x01\x01\x00\x00\x0a\x00\x00\x00\x05\x00\x00\x00"
    assert data[16:18] == bytes([0b10110010, 0b10000000])
    np.testing.assert_array_equal(np.frombuffer(data, "<f4", offset=18), [11, 12, 1, 3, 4, 7, 9])


def test_format_of_short_values():
    half = encoded(Float16(), mask_known=True)
    assert half[:16] == b"CSIM\x01\x00\x01\x00\x0a\x00\x00\x00\x05\x00\x00\x00"
    np.testing.assert_array_equal(np.frombuffer(half, "<f2", offset=16), [11, 12, 1, 3, 4, 7, 9])
    whole = encoded(Int8(), mask_known=True)
    assert whole[6] == 2
    np.testing.assert_array_equal(np.frombuffer(whole, "<f4", 3, offset=16), np.float32([12 / 127, 4 / 127, 9 / 127]))
    np.testing.assert_array_equal(np.frombuffer(whole, np.int8, offset=28), [116, 127, 32, 95, 127, 99, 127])


def test_lengths_are_vectorised():
    kept = np.array([0, 5, 10])
    np.testing.assert_array_equal(upload_format(mask_known=True).bits(kept), 128 + 32 * (2 + kept))
    large = upload_format(sizes=(100_000,), unprunable=0)
    assert large.bits(50_000) == 128 + 32 * 50_000 + 100_000
    assert large.bits(100) == 128 + 32 * 100 + 100 * 17 + 4  # 1704 bits in whole bytes
    np.testing.assert_array_equal(upload_format(Float16(), mask_known=True).bits(kept), 128 + 16 * (2 + kept))
    np.testing.assert_array_equal(upload_format(Int8(), mask_known=True).bits(kept), 128 + 3 * 32 + 8 * (2 + kept))


def test_stochastic_rounding_is_right_on_average_and_nearest_is_not():
    """Of 4,000 roundings of x = 0.3 s: standard deviation of the mean s sqrt(0.21 / 4000) = 0.0073 s; five of them."""
    values = np.full(4001, 0.3, np.float32)
    values[0] = 127.0  # s = 1
    counts = (len(values),)
    for rounding, mean, tolerance in (("nearest", 0.0, 0.0), ("stochastic", 0.3, 0.037)):
        codec = Int8(rounding=rounding)
        got = codec.read(codec.write(values, counts, np.random.default_rng(5)), counts)[1:]
        assert set(np.unique(got)) <= {0.0, 1.0}
        assert got.mean() == pytest.approx(mean, abs=tolerance)


def test_a_layer_without_values_or_with_zeros_only_is_no_trouble():
    for codec in CODECS:
        upload = upload_format(codec, mask_known=True)
        mask = np.array([0] * 4 + [1] * 6, bool)
        np.testing.assert_array_equal(upload.deliver(np.zeros(12, np.float32), mask, RNG), 0)
        kept = upload.deliver(SHARED, mask, np.random.default_rng(0))
        assert (kept[:4] == 0).all()
        np.testing.assert_allclose(kept[4:], SHARED[4:], atol=12 / 127)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 11])
def test_what_is_not_finite_is_never_written(codec, bad, place):
    values = SHARED.copy()
    values[place] = bad
    with pytest.raises(ValueError, match="1 of 7 values are not finite"):
        upload_format(codec).encode(values, MASK, RNG)
    values[place], values[1] = 1.0, bad  # pruned: not sent at all
    assert np.isfinite(upload_format(codec).deliver(values, MASK, RNG)).all()


@pytest.mark.parametrize(("codec", "beyond", "just"), [(Float16(), 65520.0, 65519.0), (Int8(), 1.1e38, 1e38)])
def test_what_is_out_of_range_is_refused(codec, beyond, just):
    values = SHARED.copy()
    values[0] = -beyond
    with pytest.raises(ValueError, match="beyond"):
        upload_format(codec).encode(values, MASK, RNG)
    values[0] = -just
    assert upload_format(codec).deliver(values, MASK, RNG)[0] == pytest.approx(-just, rel=1e-3)


def damaged(codec, place, byte):
    data = bytearray(encoded(codec, mask_known=True))
    data[place] = byte
    return bytes(data)


@pytest.mark.parametrize(
    ("upload", "data", "message"),
    [
        (upload_format(), b"CSIM", "shorter than its header"),
        (upload_format(), b"XXXX" + encoded()[4:], "not an upload of version 1"),
        (
            upload_format(),
            encoded(mask_known=True),
            "another format: codec 0, 10 prunable values, no mask; must be codec 0, 10 values, a mask",
        ),
        (upload_format(), encoded(Float16()), "another format: codec 1"),
        (upload_format(sizes=(9,)), encoded(), "must be codec 0, 9 values"),
        (upload_format(mask_known=True), encoded(mask_known=True), "its mask is missing"),
        (upload_format(), encoded()[:-1], "cut short: must be 46 bytes"),
        (upload_format(), encoded()[:-4], "cut short: must be 46 bytes"),
        (upload_format(), encoded() + b"0", "too long: must be 46 bytes"),
        (upload_format(), encoded()[:30], "cut short"),
        (upload_format(), encoded()[:16] + b"\xff" + encoded()[17:], "its mask is missing or another one"),
        (upload_format(), HEADER.pack(b"CSIM", 1, 2, 0, 0, 10, 1) + b"\xff" + bytes(12), "names position 15 of 10"),
        (upload_format(), HEADER.pack(b"CSIM", 1, 2, 0, 0, 10, 2) + b"\x88" + bytes(16), "its mask is missing or another one"),
        (upload_format(), encoded()[:18] + b"\0\0\x80\x7f" + encoded()[22:], "1 of 7 values are not finite"),
        (upload_format(Float16(), mask_known=True), damaged(Float16(), 17, 0x7E), "1 of 7 values are not finite"),
        (upload_format(Int8(), mask_known=True), damaged(Int8(), 19, 0xBD), "damaged int8 values"),
        (upload_format(Int8(), mask_known=True), damaged(Int8(), 30, 0x80), "damaged int8 values"),
    ],
)
def test_what_is_no_upload_is_refused(upload, data, message):
    with pytest.raises(ValueError, match=message):
        upload.decode(data, MASK if upload.mask_known and "mask" not in message else None)
