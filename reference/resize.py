"""Bilinear and bicubic resizing as Pillow does it, pinned byte by byte.

As a program: writes tests/golden/resize_pillow13.json under Pillow 13, resize_bicubic.json before.
"""

import hashlib
import pathlib

import PIL
from PIL import Image

import golden
from golden import SEED
from philox import words

# {in height, in width, out height, out width}: the chapter's own, then the corners of the algorithm.
_CHOSEN = [
    (28, 28, 96, 96), (28, 28, 224, 224), (28, 28, 64, 64), (28, 28, 32, 32), (28, 28, 28, 28),
    (28, 28, 14, 14), (28, 28, 7, 7), (28, 28, 27, 29), (28, 28, 96, 28), (28, 28, 28, 96),
    (28, 28, 1, 1), (32, 32, 96, 96), (32, 32, 224, 224), (32, 32, 16, 16), (1, 1, 1, 1),
    (1, 1, 96, 96), (1, 28, 96, 96), (28, 1, 96, 96), (1, 28, 1, 96), (28, 1, 96, 1),
    (96, 96, 28, 28), (96, 96, 1, 96), (96, 96, 96, 1), (2, 2, 1, 1), (2, 2, 3, 3), (3, 3, 2, 2),
    (1, 300, 1, 7), (300, 1, 7, 1), (300, 200, 1, 1), (300, 200, 299, 201), (500, 375, 256, 341),
    (375, 500, 256, 341), (480, 640, 224, 224), (17, 31, 31, 17), (5, 7, 500, 300), (255, 256, 256, 255),
]


def _pairs(name, count):
    """`count` sizes: the chosen ones first, then drawn ones, small and large, each met once."""
    pairs = list(dict.fromkeys(_CHOSEN))[:count]
    draws = words(SEED, name, 64 * count).astype(int).tolist()
    spans = (4, 16, 48, 160)
    for i in range(0, len(draws), 8):
        pair = tuple(1 + draws[i + j] % spans[draws[i + 4 + j] % 4] for j in range(4))
        if len(pairs) < count and pair not in pairs:
            pairs.append(pair)
    return pairs


def _picture(size, channels):
    h_in, w_in = size[:2]
    pixels = words(SEED, f"resize/{h_in}x{w_in}", h_in * w_in * channels).astype("uint8")  # & 255
    return Image.frombytes({1: "L", 3: "RGB"}[channels], (w_in, h_in), pixels.tobytes())


def _case(size, channels, how=Image.BILINEAR):
    h_in, w_in, h_out, w_out = size
    out = _picture(size, channels).resize((w_out, h_out), how).tobytes()
    assert len(out) == h_out * w_out * channels
    return {"channels": channels, "in": [h_in, w_in], "out": [h_out, w_out],
            "sha256": hashlib.sha256(out).hexdigest()}


def _sizes():
    return ([(size, 1) for size in _pairs("resize/gray", 260)] + [(size, 3) for size in _pairs("resize/rgb", 60)])


def resize_bilinear():
    return {"pillow": PIL.__version__, "cases": [_case(*size) for size in _sizes()]}


def resize_pillow13():
    """Those of the same cases that Pillow 13 resizes vertically first, and that come out otherwise by it."""
    cases = []
    for size, channels in _sizes():
        h_in, _, h_out, w_out = size
        widened = _picture(size, channels).resize((w_out, h_in), Image.BILINEAR)
        horizontal_first = widened.resize((w_out, h_out), Image.BILINEAR).tobytes()
        case = _case(size, channels)
        if case["sha256"] != hashlib.sha256(horizontal_first).hexdigest():
            cases.append(case)
    assert cases, "this Pillow is older than 13"
    return {"case": "resize_pillow13", "generator": "philox4x32-10", "seed": SEED, "pillow": PIL.__version__,
            "cases": cases}


def resize_bicubic():
    sizes = [(size, 1) for size in _pairs("resize/gray", 120)] + [(size, 3) for size in _pairs("resize/rgb", 60)]
    return {"case": "resize_bicubic", "generator": "philox4x32-10", "seed": SEED, "pillow": PIL.__version__,
            "cases": [_case(*size, Image.BICUBIC) for size in sizes]}


if __name__ == "__main__":
    make = resize_pillow13 if int(PIL.__version__.split(".")[0]) >= 13 else resize_bicubic
    golden.write(pathlib.Path(__file__).resolve().parent.parent / f"tests/golden/{make.__name__}.json", make())
