"""Pictures like photographs, from a seed: what a decoder's time depends on is how much detail there is."""
import io

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375  # ImageNet's usual size


def octaves(draw, height, width, finest, falloff):
    """Noise of halving wavelengths: large shapes are strong, details weaker by `falloff`."""
    out = np.zeros((height, width))
    cells, strength = 3, 1.0
    while width / cells > finest:
        grid = draw.normal(0, 1, (cells * height // width + 2, cells + 1)).astype(np.float32)
        layer = Image.fromarray(grid).resize((width, height), Image.BILINEAR)
        out += strength * np.asarray(layer)
        cells, strength = cells * 2, strength * falloff
    return out


def photograph(seed):
    """Light that changes slowly, some objects with edges and a texture of their own, and a camera's noise."""
    draw = np.random.default_rng([19, seed])
    light = octaves(draw, HEIGHT, WIDTH, 2, 0.55)
    colour = np.stack([0.8 * light + 0.6 * octaves(draw, HEIGHT, WIDTH, 24, 0.5) for _ in range(3)], 2)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    for _ in range(draw.integers(3, 9)):
        cy, cx, ry, rx = draw.integers(0, HEIGHT), draw.integers(0, WIDTH), draw.integers(20, 150), draw.integers(20, 150)
        turn = draw.uniform(0, np.pi)
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        inside = (u / rx) ** 2 + (v / ry) ** 2 < 1
        texture = octaves(draw, HEIGHT, WIDTH, 2, draw.uniform(0.6, 0.95))
        colour[inside] = draw.normal(0, 1.2, 3) + 0.5 * texture[inside, None]
    pixels = 118 + 46 * colour + draw.normal(0, 6, colour.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def write(folder, count):
    """`count` JPEG files of quality 85 to 90 in two classes below `folder`; those that are there are kept."""
    for i in range(count):
        path = folder / "ab"[i % 2] / f"{i:04}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        photograph(i).save(out, "JPEG", quality=85 + i % 6)
        path.write_bytes(out.getvalue())
