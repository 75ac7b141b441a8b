"""The random numbers that the golden files and the C++ tests share (twin: src/base/random.h).

Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A number
depends on (seed, name, index) only, so no golden file has to hold an input or a weight.
"""

import numpy as np

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def stream_id(name):
    """FNV-1a, 64 bits, of the UTF-8 text `name`."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def philox4x32(counter, key):
    """Ten rounds. `counter`: four uint64 arrays or scalars below 2^32; `key`: two ints below 2^32."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0), p1 & _MASK
        c2, c3 = (p0 >> _HALF) ^ c3 ^ np.uint64(k1), p0 & _MASK
        k0 = (k0 + 0x9E3779B9) % 2**32
        k1 = (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def words(seed, name, count):
    """The first `count` 32-bit words of the stream, as uint32."""
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    stream = stream_id(name)
    low, high = (np.full_like(blocks, half) for half in (stream % 2**32, stream >> 32))
    lanes = philox4x32((blocks & _MASK, blocks >> _HALF, low, high), (seed % 2**32, seed >> 32))
    return np.stack(lanes, axis=1).astype(np.uint32).reshape(-1)[:count]


def uniform(seed, name, count):
    """float64 in [0, 1), on a grid of 2^-24."""
    return (words(seed, name, count) >> np.uint32(8)) * 2.0**-24


def fill(seed, name, shape, center, scale):
    """A float32 tensor in [center - scale, center + scale), row-major: float64 maths, rounded once."""
    numbers = center + scale * (2 * uniform(seed, name, int(np.prod(shape))) - 1)
    return numbers.astype(np.float32).reshape(shape)


def check():
    """The three known answers of the authors' library, and two of FNV-1a."""
    known = [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([2**32 - 1] * 4, [2**32 - 1] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]
    for counter, key, answer in known:
        result = philox4x32([np.array([c], np.uint64) for c in counter], key)
        assert " ".join(f"{int(word[0]):08x}" for word in result) == answer, (counter, key)
    assert stream_id("") == 0xCBF29CE484222325 and stream_id("a") == 0xAF63DC4C8601EC8C
