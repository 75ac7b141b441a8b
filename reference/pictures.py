"""Pictures of every kind that is read, and what Pillow makes of them.

Writes tests/golden/pictures.bin (the files, one after the other) and pictures.json (each one's name, length, size
and the SHA-256 of its RGB bytes). Needs Pillow 12 and NumPy from PyPI, Debian's libjpeg-turbo-progs, and for
the photographs scikit-image from PyPI.
"""

import hashlib
import io
import itertools
import pathlib
import random
import struct
import subprocess
import tempfile
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

import golden

warnings.simplefilter("ignore")
assert int(PIL.__version__.split(".")[0]) < 13

DRAW = random.Random(19)
PICTURES = {}


def add(name, content):
    assert name not in PICTURES, name
    PICTURES[name] = content if isinstance(content, bytes) else bytes(content)


def samples(height, width, channels, seed=0):
    """Smooth colours with an edge and some noise: what a codec's every part sees, in few bytes."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    noise = np.random.default_rng([seed, height, width, channels]).integers(-9, 10, (height, width, channels))
    waves = [110 + 90 * np.sin(x / (5 + 3 * c) + seed + c) + 55 * np.cos(y / (4 + 2 * c) - seed) for c in range(channels)]
    out = np.stack(waves, 2) + noise
    out[height // 3:height // 2, width // 4:width // 2] = 255 - out[height // 3:height // 2, width // 4:width // 2]
    return np.clip(out, 0, 255).astype(np.uint8)


def picture(mode, height, width, seed=0):
    channels = len(Image.new(mode, (1, 1)).getbands())
    array = samples(height, width, channels, seed)
    return Image.frombytes(mode, (width, height), array.tobytes())


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


SIZES = [(1, 1), (1, 17), (16, 1), (7, 9), (8, 8), (15, 33), (17, 16), (31, 20), (40, 25)]


# ---- EXIF and XMP

def exif_of(orientation, order="<", kind=3, entries=(), offset=8, count=1, magic=42):
    value = struct.pack(order + {3: "HH", 4: "I", 8: "hH", 9: "i", 1: "BBH", 6: "bBH"}[kind],
                        *{3: (orientation, 0), 4: (orientation,), 8: (orientation, 0), 9: (orientation,),
                          1: (orientation, 0, 0), 6: (orientation, 0, 0)}[kind])
    table = [(0x010F, 2, 4, b"abc\0"), (0x0112, kind, count, value), *entries]
    return ((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", magic, offset) + b"\0" * (offset - 8) +
            struct.pack(order + "H", len(table)) +
            b"".join(struct.pack(order + "HHI", tag, form, n) + data for tag, form, n, data in table) + b"\0\0\0\0")


def xmp_of(orientation, element=False):
    inside = f"><tiff:Orientation>{orientation}</tiff:Orientation></x>" if element else f' tiff:Orientation="{orientation}"/>'
    return ("<x" + inside).encode()


# ---- JPEG

def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg, *segments):
    """Behind its first two bytes."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def cjpeg(image, *arguments):
    return subprocess.run(["cjpeg", *arguments], input=saved(image, "PPM"), stdout=subprocess.PIPE, check=True).stdout


def jpegtran(content, *arguments):
    return subprocess.run(["jpegtran", *arguments], input=content, stdout=subprocess.PIPE, check=True).stdout


def without_segment(jpeg, marker):
    at = 2
    while jpeg[at + 1] != marker:
        at += 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]:]


def jpegs():
    for size in SIZES:
        for sampling in ("1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4"):
            add(f"jpeg/{sampling}/{size[0]}x{size[1]}", cjpeg(picture("RGB", *size, 1), "-quality", "80", "-sample", sampling))
        add(f"jpeg/gray/{size[0]}x{size[1]}", saved(picture("L", *size, 2), "JPEG", quality=85))
        add(f"jpeg/progressive/{size[0]}x{size[1]}", saved(picture("RGB", *size, 3), "JPEG", progressive=True))
        add(f"jpeg/progressive-gray/{size[0]}x{size[1]}", saved(picture("L", *size, 3), "JPEG", progressive=True))
        cmyk = saved(picture("CMYK", *size, 4), "JPEG", quality=80)
        add(f"jpeg/cmyk/{size[0]}x{size[1]}", cmyk)
        at = cmyk.index(b"Adobe") + 11
        add(f"jpeg/ycck/{size[0]}x{size[1]}", cmyk[:at] + b"\2" + cmyk[at + 1:])
    image = picture("RGB", 37, 45, 5)
    for quality in (1, 10, 30, 50, 75, 90, 95, 100):
        add(f"jpeg/quality-{quality}", saved(image, "JPEG", quality=quality))
        add(f"jpeg/quality-{quality}-progressive", saved(image, "JPEG", quality=quality, progressive=True, subsampling=0))
    for rows in (1, 2, 3):
        add(f"jpeg/restart-{rows}", cjpeg(image, "-restart", str(rows)))
        add(f"jpeg/restart-{rows}-blocks", cjpeg(image, "-restart", f"{rows}B"))
        add(f"jpeg/restart-{rows}-progressive", cjpeg(image, "-progressive", "-restart", str(rows)))
    for name, arguments in {"optimized": ["-optimize"], "arithmetic": ["-arithmetic"], "rgb": ["-rgb"],
                            "arithmetic-progressive": ["-arithmetic", "-progressive"], "smooth": ["-smooth", "50"],
                            "rgb-progressive": ["-rgb", "-progressive"], "gray": ["-grayscale"],
                            "low-tables": ["-quality", "3", "-baseline"], "extended": ["-quality", "3"]}.items():
        add(f"jpeg/cjpeg-{name}", cjpeg(image, *arguments))
    cmyk = saved(picture("CMYK", 21, 30, 6), "JPEG")
    add("jpeg/cmyk-without-adobe", without_segment(cmyk, 0xEE))
    add("jpeg/cmyk-progressive", saved(picture("CMYK", 21, 30, 6), "JPEG", progressive=True))
    add("jpeg/cmyk-4x2x0", saved(picture("CMYK", 21, 30, 6), "JPEG", subsampling=2))
    add("jpeg/rgb-by-adobe", saved(image, "JPEG", keep_rgb=True))
    add("jpeg/without-jfif", without_segment(saved(image, "JPEG"), 0xE0))
    separate = b"0;\n1;\n2;\n"
    odd = b"0,1,2: 0-0, 0, 1;\n0: 1-63, 0, 2;\n2: 1-63, 0, 1;\n1: 1-63, 0, 1;\n0: 1-63, 2, 1;\n0,1,2: 0-0, 1, 0;\n" \
          b"2: 1-63, 1, 0;\n1: 1-63, 1, 0;\n0: 1-63, 1, 0;\n"
    for name, scans, more in (("separate-scans", separate, []), ("many-scans", odd, ["-progressive"])):
        with tempfile.NamedTemporaryFile() as file:
            file.write(scans)
            file.flush()
            add(f"jpeg/{name}", cjpeg(image, "-scans", file.name, *more))
    plain = saved(image, "JPEG")
    add("jpeg/icc", with_segments(plain, segment(0xE2, b"ICC_PROFILE\0\1\1" + b"x" * 500)))
    add("jpeg/comment", with_segments(plain, segment(0xFE, b"hello")))
    add("jpeg/fill-bytes", plain[:2] + b"\xFF\xFF\xFF" + plain[2:])
    add("jpeg/garbage-behind", plain + b"garbage")
    add("jpeg/garbage-before-the-end", plain[:-2] + b"\0\0\0" + plain[-2:])
    small = {o: saved(picture("RGB", 9, 14, o), "JPEG") for o in range(10)}
    for o, jpeg in small.items():
        add(f"jpeg/orientation-{o}", with_segments(jpeg, segment(0xE1, b"Exif\0\0" + exif_of(o))))
        add(f"jpeg/orientation-{o}-big-endian", with_segments(jpeg, segment(0xE1, b"Exif\0\0" + exif_of(o, ">"))))
        add(f"jpeg/orientation-{o}-xmp",
            with_segments(jpeg, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_of(o, o % 2 == 0))))
    for kind in (1, 4, 6, 8, 9):
        add(f"jpeg/orientation-type-{kind}", with_segments(small[6], segment(0xE1, b"Exif\0\0" + exif_of(6, kind=kind))))
    exifs = {"twice": exif_of(3, entries=[(0x0112, 3, 1, b"\6\0\0\0")]), "count-2": exif_of(6, count=2), "count-3": exif_of(8, count=3),
             "count-0": exif_of(6, count=0), "empty": b"",
             "cut-off": exif_of(6)[:30], "cut-off-in-it": exif_of(6)[:-10], "offset-outside": exif_of(6)[:4] + b"\xFF\xFF\0\0",
             "in-a-circle": exif_of(6)[:-4] + b"\x08\0\0\0", "later": exif_of(5, offset=50),
             "odd-magic": exif_of(6, magic=42 << 8), "many": exif_of(8)[:8] + b"\xFF\xFF" + exif_of(8)[10:]}
    for name, exif in exifs.items():
        add(f"jpeg/exif-{name}", with_segments(small[2], segment(0xE1, b"Exif\0\0" + exif)))
    both = exif_of(7, entries=[(0x010E, 2, 70000, struct.pack("<I", 60))])
    add("jpeg/exif-two-segments", with_segments(small[2], segment(0xE1, b"Exif\0\0" + both[:25]), segment(0xE1, b"Exif\0\0" + both[25:])))
    add("jpeg/exif-before-xmp", with_segments(small[2], segment(0xE1, b"Exif\0\0" + exif_of(6)),
                                              segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_of(3))))
    add("jpeg/exif-without-and-xmp", with_segments(small[2], segment(0xE1, b"Exif\0\0" + exif_of(6, kind=1)),
                                                   segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_of(8))))


# ---- PNG

def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(height, width, depth, color, stored, before=b"", after=b"", interlaced=0, pieces=1, level=9):
    packed = zlib.compress(stored, level)
    cut = [len(packed) * i // pieces for i in range(pieces + 1)]
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)) +
            before + b"".join(chunk(b"IDAT", packed[a:b]) for a, b in zip(cut, cut[1:])) + after + chunk(b"IEND", b""))


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def packed_rows(pixels, depth, filters):
    """pixels [h][w][c] of samples -> PNG's bytes, each row behind its filter (0, or the others in turn)."""
    height, width, channels = pixels.shape
    if depth == 16:
        rows = pixels.astype(">u2").tobytes()
    elif depth == 8:
        rows = pixels.astype(np.uint8).tobytes()
    else:
        bits = (pixels[..., None] >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1), axis=1).tobytes()
    stride, bpp = len(rows) // max(height, 1), max(1, channels * depth // 8)
    out, above = bytearray(), bytes(stride)
    for y in range(height):
        row = rows[y * stride:(y + 1) * stride]
        kind = y % 5 if filters else 0
        out.append(kind)
        for i, value in enumerate(row):
            a = row[i - bpp] if i >= bpp else 0
            b, c = above[i], above[i - bpp] if i >= bpp else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
        above = row
    return bytes(out)


def png_data(height, width, depth, color, interlaced, filters=True, most=None):
    pixels = samples(height, width, CHANNELS[color], depth + color).astype(np.int64)
    pixels = pixels * 257 if depth == 16 else pixels >> (8 - depth)
    if depth == 16:
        pixels[: height // 2] //= 200  # where Pillow does not cut
    if most is not None:
        pixels = pixels % most
    if not interlaced:
        return packed_rows(pixels, depth, filters)
    parts = [pixels[y::dy, x::dx] for y, x, dy, dx in PASSES]
    return b"".join(packed_rows(part, depth, filters) for part in parts if part.size)


def palette(count):
    return chunk(b"PLTE", bytes(DRAW.randrange(256) for _ in range(3 * count)))


def pngs():
    kinds = [(d, c) for c, ds in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items() for d in ds]
    for (depth, color), interlaced in itertools.product(kinds, (0, 1)):
        for height, width in [(1, 1), (5, 3), (8, 9), (23, 14)]:
            most = 1 << depth if color == 3 else None
            add(f"png/color-{color}-depth-{depth}{'-interlaced' * interlaced}/{height}x{width}",
                png(height, width, depth, color, png_data(height, width, depth, color, interlaced, most=most),
                    before=palette(1 << depth) if color == 3 else b"", interlaced=interlaced))
    for depth in (1, 2, 4, 8):
        count = 1 << depth
        data = png_data(11, 13, depth, 3, 0)
        add(f"png/palette-{depth}-tRNS", png(11, 13, depth, 3, data, palette(count) + chunk(b"tRNS", bytes(range(0, 250, 17))[:count])))
        add(f"png/palette-{depth}-short", png(11, 13, depth, 3, data, palette(max(1, count // 2))))
        add(f"png/gray-{depth}-tRNS", png(11, 13, depth, 0, png_data(11, 13, depth, 0, 0), chunk(b"tRNS", b"\0\1")))
    add("png/gray-16-tRNS", png(11, 13, 16, 0, png_data(11, 13, 16, 0, 0), chunk(b"tRNS", b"\0\1")))
    add("png/rgb-tRNS", png(11, 13, 8, 2, png_data(11, 13, 8, 2, 0), chunk(b"tRNS", b"\0\1\0\2\0\3")))
    rgb = png_data(9, 14, 8, 2, 0)
    add("png/pieces", png(9, 14, 8, 2, rgb, pieces=40))
    add("png/stored", png(9, 14, 8, 2, rgb, level=0))
    add("png/palette-for-rgb", png(9, 14, 8, 2, rgb, palette(7)))
    extras = {"gamma": chunk(b"gAMA", struct.pack(">I", 45455)), "srgb": chunk(b"sRGB", b"\0"), "background": chunk(b"bKGD", b"\0" * 6),
              "icc": chunk(b"iCCP", b"x\0\0" + zlib.compress(b"y" * 300)), "physical": chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0)),
              "text": chunk(b"tEXt", b"a\0b"), "unknown": chunk(b"prIv", b"123"), "time": chunk(b"tIME", b"\x07\xE9\1\1\1\1\1"),
              "chromaticities": chunk(b"cHRM", struct.pack(">8I", *range(1, 9))), "bits": chunk(b"sBIT", b"\5\6\5")}
    for name, extra in extras.items():
        add(f"png/{name}", png(9, 14, 8, 2, rgb, extra))
    for o in range(1, 9):
        add(f"png/orientation-{o}", png(9, 14, 8, 2, rgb, chunk(b"eXIf", exif_of(o, "<>"[o % 2]))))
        old = b"\nexif\n    " + str(len(exif_of(o)) + 6).encode() + b"\n" + (b"Exif\0\0" + exif_of(o)).hex().encode() + b"\n"
        old = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(old)) if o % 2 else chunk(b"tEXt", b"Raw profile type exif\0" + old)
        add(f"png/orientation-{o}-as-text", png(9, 14, 8, 2, rgb, old))
        xmp = b"XML:com.adobe.xmp\0" + (b"\1\0\0\0" + zlib.compress(xmp_of(o)) if o % 2 else b"\0\0\0\0" + xmp_of(o))
        add(f"png/orientation-{o}-xmp", png(9, 14, 8, 2, rgb, after=chunk(b"iTXt", xmp)))
    add("png/orientation-behind", png(9, 14, 8, 2, rgb, after=chunk(b"eXIf", exif_of(6))))
    add("png/garbage-behind", png(9, 14, 8, 2, rgb) + b"garbage")
    frames = [picture("RGB", 9, 14, s) for s in (1, 2, 3)]
    add("png/animated", saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100))
    add("png/animated-default-image", saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = picture("RGBA", 19, 26, 8)
        image = Image.fromarray(samples(19, 26, 1)[..., 0].astype(np.uint16) * 3) if mode == "I;16" else image.convert(mode)
        add(f"png/saved-{mode}", saved(image, "PNG", optimize=mode != "I;16"))


# ---- WebP

def webps():
    for size in SIZES:
        add(f"webp/lossy/{size[0]}x{size[1]}", saved(picture("RGB", *size, 1), "WEBP", quality=70))
        add(f"webp/lossless/{size[0]}x{size[1]}", saved(picture("RGB", *size, 2), "WEBP", lossless=True))
        add(f"webp/lossy-alpha/{size[0]}x{size[1]}", saved(picture("RGBA", *size, 3), "WEBP", quality=60))
        add(f"webp/lossless-alpha/{size[0]}x{size[1]}", saved(picture("RGBA", *size, 4), "WEBP", lossless=True, exact=True))
    for quality, method in ((0, 0), (20, 2), (50, 4), (80, 6), (100, 6)):
        add(f"webp/quality-{quality}", saved(picture("RGB", 37, 45, 5), "WEBP", quality=quality, method=method))
    add("webp/few-colours", saved(picture("RGB", 37, 45, 5).quantize(6).convert("RGB"), "WEBP", lossless=True))
    for o in range(1, 9):
        add(f"webp/orientation-{o}", saved(picture("RGB", 9, 14, o), "WEBP", exif=b"Exif\0\0" + exif_of(o)))
        add(f"webp/orientation-{o}-bare", saved(picture("RGBA", 9, 14, o), "WEBP", exif=exif_of(o, ">")))
        add(f"webp/orientation-{o}-xmp", saved(picture("RGB", 9, 14, o), "WEBP", lossless=True, xmp=xmp_of(o)))
    frames = [picture("RGBA", 19, 26, s) for s in (1, 2, 3)]
    for name, options in {"lossy": {}, "lossless": {"lossless": True}, "background": {"background": (9, 8, 7, 255)}}.items():
        add(f"webp/animated-{name}", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], **options))
    still = saved(picture("RGBA", 10, 12, 7), "WEBP", lossless=True)
    vp8l = still[still.index(b"VP8L"):]
    frame = struct.pack("<IIII", 0, 0, 0, 0)[:6] + struct.pack("<I", 11)[:3] + struct.pack("<I", 9)[:3] + struct.pack("<I", 100)[:3] + b"\0"
    frame = struct.pack("<I", 3)[:3] + struct.pack("<I", 2)[:3] + frame[6:]  # at (6, 4)
    riff = b"VP8X" + struct.pack("<I", 10) + b"\x12\0\0\0" + struct.pack("<I", 29)[:3] + struct.pack("<I", 19)[:3]
    riff += b"ANIM" + struct.pack("<I", 6) + b"\x10\x20\x30\xFF\0\0"
    riff += b"ANMF" + struct.pack("<I", len(frame) + len(vp8l)) + frame + vp8l
    add("webp/frame-inside", b"RIFF" + struct.pack("<I", len(riff) + 4) + b"WEBP" + riff)


# ---- BMP

def bmp(height, width, bits, rows, colors=b"", header=40, compression=0, masks=(), offset=True, count=0, top_down=False):
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, len(rows), 2835, 2835,
                           count, 0)
        if masks and header > 40:
            info += b"".join(struct.pack("<I", m) for m in masks)
        info += bytes(header - len(info))
    behind = b"".join(struct.pack("<I", m) for m in masks[:3]) if header == 40 else b""
    start = 14 + len(info) + len(behind) + len(colors)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start if offset else 0) + info + behind + colors + rows


def bmp_rows(height, width, bits, seed=0):
    stride = (width * bits + 31) // 32 * 4
    return np.random.default_rng([seed, height, width, bits]).integers(0, 256, height * stride, dtype=np.uint8).tobytes()


def bmps():
    for bits, (height, width) in itertools.product((1, 4, 8, 16, 24, 32), [(1, 1), (5, 3), (9, 17)]):
        count = 1 << bits if bits <= 8 else 0
        colors = bytes(DRAW.randrange(256) for _ in range(4 * count))
        three = b"".join(colors[4 * i:4 * i + 3] for i in range(count))
        for header in (40, 108, 124, 64, 52, 56):
            add(f"bmp/{bits}-header-{header}/{height}x{width}", bmp(height, width, bits, bmp_rows(height, width, bits), colors, header))
        add(f"bmp/{bits}-top-down/{height}x{width}", bmp(height, width, bits, bmp_rows(height, width, bits), colors, top_down=True))
        add(f"bmp/{bits}-os2/{height}x{width}", bmp(height, width, bits, bmp_rows(height, width, bits), three, 12))
        add(f"bmp/{bits}-no-offset/{height}x{width}", bmp(height, width, bits, bmp_rows(height, width, bits), colors, offset=False))
    rows = bmp_rows(9, 17, 8)
    gray = b"".join(bytes([i, i, i, 0]) for i in range(256))
    add("bmp/gray-ramp", bmp(9, 17, 8, rows, gray))
    add("bmp/gray-ramp-short", bmp(9, 17, 8, rows, gray[:40], count=10))
    add("bmp/few-colours", bmp(9, 17, 8, rows, gray[200:240], count=10))
    add("bmp/black-and-white", bmp(9, 17, 1, bmp_rows(9, 17, 1), b"\0\0\0\0\xFF\xFF\xFF\0", count=2))
    masks = {32: [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0),
                  (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
                  (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0)],
             24: [(0xFF0000, 0xFF00, 0xFF, 0)], 16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0)]}
    for bits, several in masks.items():
        for i, mask in enumerate(several):
            for header in (40, 56, 124):
                if header != 40 or mask[3] == 0:
                    add(f"bmp/{bits}-masks-{i}-header-{header}",
                        bmp(7, 6, bits, bmp_rows(7, 6, bits), header=header, compression=3, masks=mask))
    def table(count):
        return bytes(DRAW.randrange(256) for _ in range(4 * count))
    rle8 = b"\4\7\0\3\1\2\3\0\2\xFF\0\0" b"\7\1\2\2\0\0" b"\0\5\1\2\3\4\5\0\0\4\6\7\x08\x09" + b"\0\1"
    add("bmp/rle8", bmp(3, 9, 8, rle8, table(256), compression=1))
    add("bmp/rle8-move", bmp(4, 6, 8, b"\3\1\0\2\1\1\2\2\0\0" b"\6\5\0\0\6\7\0\1", table(256), compression=1))
    add("bmp/rle8-long-run", bmp(2, 5, 8, b"\xFF\3\0\0\x0A\4\0\0\0\1", table(256), compression=1))
    add("bmp/rle8-short-line", bmp(2, 5, 8, b"\3\3\0\0\5\4\0\0\0\1", table(256), compression=1))
    add("bmp/rle4", bmp(3, 7, 4, b"\5\x12\2\x34\0\0" b"\0\4\x12\x34\3\x56\0\0" b"\7\x89\0\0\0\1", table(16), compression=2))
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        add(f"bmp/saved-{mode}", saved(picture("RGBA", 13, 10, 3).convert(mode), "BMP"))


# ---- PPM, PGM, PBM

def ppms():
    for height, width in [(1, 1), (3, 7), (6, 16)]:
        size = b"%d %d\n" % (width, height)
        bits = samples(height, width, 1, 3)[..., 0] >> 7
        add(f"ppm/P4/{height}x{width}", b"P4\n" + size + np.packbits(bits, axis=1).tobytes())
        add(f"ppm/P1/{height}x{width}", b"P1\n" + size + b"\n".join(b"".join(b"%d" % b for b in row) for row in bits))
        add(f"ppm/P1-spaces/{height}x{width}", b"P1\n# comment\n" + size + b" ".join(b"%d" % b for b in bits.ravel()))
        for maxval in (1, 7, 100, 254, 255, 256, 1000, 4095, 65534, 65535):
            for plain, raw, channels in ((b"P2", b"P5", 1), (b"P3", b"P6", 3)):
                values = samples(height, width, channels, maxval % 100).astype(int).ravel() * (maxval + 1) // 256
                if maxval > 255:
                    values[::2] = values[::2] % 300
                kind = raw.decode()
                add(f"ppm/{kind}-{maxval}/{height}x{width}",
                    raw + b"\n" + size + b"%d\n" % maxval + values.astype(">u2" if maxval > 255 else np.uint8).tobytes())
                if (height, width) == (3, 7):
                    add(f"ppm/{plain.decode()}-{maxval}", plain + b" " + size + b"%d # white\n" % maxval + b" ".join(b"%d" % v for v in values))
    add("ppm/beyond-white", b"P5 2 2 100\n" + bytes([0, 100, 101, 255]))
    add("ppm/beyond-white-16", b"P6 1 1 1000\n" + struct.pack(">3H", 0, 1000, 1001))
    add("ppm/comments", b"P3 #a\n2#b\n 1 # c\r255\n1 2 3#d\n 4 5#e\n 6")
    add("ppm/more-than-needed", b"P5 2 1 255\nabcdef")
    for space in b"\t\r\v\f":
        add(f"ppm/space-{space}", b"P5%c2%c1%c255%cab" % (space, space, space, space))


def photographs():
    from skimage import data
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        image = Image.fromarray(getattr(data, name)())
        image.thumbnail((180, 180))
        add(f"photograph/{name}.jpg", saved(image, "JPEG", quality=80))
        add(f"photograph/{name}-progressive.jpg", saved(image, "JPEG", quality=60, progressive=True))
        add(f"photograph/{name}.webp", saved(image, "WEBP", quality=60))
        image.thumbnail((80, 80))
        add(f"photograph/{name}.png", saved(image.quantize(64), "PNG", optimize=True))


def main():
    for make in (jpegs, pngs, webps, bmps, ppms, photographs):
        make()
    folder = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"
    cases, content = [], b""
    for name, file in PICTURES.items():
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
        cases.append({"name": name, "bytes": len(file), "height": image.height, "width": image.width,
                      "sha256": hashlib.sha256(image.tobytes()).hexdigest()})
        content += file
    (folder / "pictures.bin").write_bytes(content)
    golden.write(folder / "pictures.json", {"case": "pictures", "pillow": PIL.__version__, "cases": cases})
    print(f"{len(cases)} pictures, {len(content)} bytes")


if __name__ == "__main__":
    main()
