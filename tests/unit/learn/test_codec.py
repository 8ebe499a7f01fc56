import numpy as np
import pytest

from cosim.learn.codec import HEADER, decode, encode, encoded_bits

SHARED = np.arange(1, 13, dtype=np.float32)
MASK = np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 0], bool)


def test_format():
    """A golden file: the format is a promise to other programs."""
    data = encode(SHARED, MASK, mask_known=False)
    assert data[:16] == b"CSIM\x01\x01\x00\x00\x0a\x00\x00\x00\x05\x00\x00\x00"
    assert data[16:18] == bytes([0b10110010, 0b10000000])
    np.testing.assert_array_equal(np.frombuffer(data, "<f4", offset=18), [11, 12, 1, 3, 4, 7, 9])


def test_lengths_are_vectorised():
    kept = np.array([0, 5, 10])
    np.testing.assert_array_equal(encoded_bits(10, 2, kept, mask_known=True), 128 + 32 * (2 + kept))
    assert encoded_bits(100_000, 0, 50_000, mask_known=False) == 128 + 32 * 50_000 + 100_000
    assert encoded_bits(100_000, 0, 100, mask_known=False) == 128 + 32 * 100 + 100 * 17 + 4  # 1704 bits in whole bytes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"CSIM", "shorter than its header"),
        (b"XXXX" + encode(SHARED, MASK, mask_known=False)[4:], "not an upload of version 1"),
        (encode(SHARED, MASK, mask_known=True), "its mask is missing"),
        (encode(SHARED, MASK, mask_known=False)[:-1], "cut short"),
        (encode(SHARED, MASK, mask_known=False)[:30], "cut short"),
        (HEADER.pack(b"CSIM", 1, 3, 0, 1000, 998) + b"\0", "cut short"),
        (HEADER.pack(b"CSIM", 1, 2, 0, 10, 1) + b"\xff" + bytes(4), "names position 15 of 10"),
    ],
)
def test_what_is_no_upload_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        decode(data)
