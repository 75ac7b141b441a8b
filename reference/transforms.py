"""Transforms as Pillow and torchvision do them.

As a program, under Pillow 12 and torchvision: writes tests/golden/transforms.json.
"""

import functools
import hashlib
import json
import pathlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional as F
from torchvision.transforms import v2
from torchvision import transforms as T
from torchvision.transforms import autoaugment

from golden import SEED
from philox import words

_SIZES = [(1, 1), (2, 3), (17, 31), (32, 32), (28, 28), (40, 23)]
_SAMPLES = 20000


def _picture(size, channels, kind):
    """Noise, or (`flat`) few values of a narrow range, so that histograms have gaps."""
    h, w = size
    draws = words(SEED, f"transforms/{kind}/{h}x{w}x{channels}", h * w * channels)
    values = (draws & 255) if kind == "noise" else 60 + (draws & 7) * 9
    return Image.frombytes({1: "L", 3: "RGB"}[channels], (w, h), values.astype("uint8").tobytes())


def _affine(img, matrix, resample=Image.Resampling.NEAREST):
    return img.transform(img.size, Image.Transform.AFFINE, matrix, resample)


def _operations():
    """{name, parameters, function}: equal parameters for both sides."""
    for factor in (0.0, 0.1, 0.35, 0.999, 1.0, 1.3, 1.9):
        yield "brightness", [factor], functools.partial(F.adjust_brightness, brightness_factor=factor)
        yield "contrast", [factor], functools.partial(F.adjust_contrast, contrast_factor=factor)
        yield "saturation", [factor], functools.partial(F.adjust_saturation, saturation_factor=factor)
        yield "sharpness", [factor], functools.partial(F.adjust_sharpness, sharpness_factor=factor)
    for turn in (-0.5, -0.13, 0.0, 0.004, 0.27, 0.5):
        yield "hue", [turn], functools.partial(F.adjust_hue, hue_factor=turn)
    for bits in (1, 2, 4, 7, 8):
        yield "posterize", [bits], functools.partial(F.posterize, bits=bits)
    for threshold in (0.0, 8.5, 127.5, 255.0):
        yield "solarize", [threshold], functools.partial(F.solarize, threshold=threshold)
    yield "autocontrast", [], F.autocontrast
    yield "equalize", [], F.equalize
    yield "flip", [], F.hflip
    for angle in (-135.0, -90.0, -31.4, -1.0, 0.0, 0.3, 29.7, 45.0, 90.0, 180.0, 270.0, 359.5):
        yield "rotate", [angle], functools.partial(F.rotate, angle=angle)
        yield "rotate_bilinear", [angle], functools.partial(F.rotate, angle=angle, interpolation=F.InterpolationMode.BILINEAR)
    for h, w in ((1, 1), (5, 4), (16, 16), (28, 29), (33, 64)):
        yield "center_crop", [h, w], functools.partial(F.center_crop, output_size=[h, w])
    for matrix in ([1, 0.3, 0, 0, 1, 0], [1, 0, 0, -0.7, 1, 0], [1, 0, 3, 0, 1, -2], [1.1, 0.2, -1.5, -0.1, 0.8, 2.25]):
        yield "affine", matrix, functools.partial(_affine, matrix=matrix)
        yield "affine_bilinear", matrix, functools.partial(_affine, matrix=matrix, resample=Image.Resampling.BILINEAR)


def _sha256(img):
    return hashlib.sha256(img.tobytes()).hexdigest()


def _parameters():
    """{operation: all of its parameters}."""
    result = {}
    for name, parameters, _ in _operations():
        result.setdefault(name, []).append(parameters)
    return result


def _joint(images):
    """One hash for several pictures."""
    return hashlib.sha256("".join(map(_sha256, images)).encode()).hexdigest()


def _cases():
    """For each picture and operation one hash over all parameters."""
    for size in _SIZES:
        for channels in (1, 3):
            for kind in ("noise", "flat"):
                img = _picture(size, channels, kind)
                for name in _parameters():
                    outs = [function(img) for other, _, function in _operations() if other == name]
                    yield {"in": [*size, channels], "kind": kind, "name": name, "sha256": _joint(outs)}


def _policies():
    """Of each operation of a policy its magnitudes, and one hash over them."""
    size = (32, 28)
    spaces = {"rand": autoaugment.RandAugment()._augmentation_space(31, size),
              "trivial": autoaugment.TrivialAugmentWide()._augmentation_space(31)}
    for policy, space in spaces.items():
        for name, (magnitudes, signed) in space.items():
            values = [float(m) for m in magnitudes] if magnitudes.ndim > 0 else [0.0]
            nearest, bilinear = ([autoaugment._apply_op(_picture(size, channels, "noise"), name, sign * value, mode, None)
                                  for value in values for sign in ((1, -1) if signed else (1,)) for channels in (1, 3)]
                                 for mode in (F.InterpolationMode.NEAREST, F.InterpolationMode.BILINEAR))
            yield {"policy": policy, "name": name, "signed": signed, "magnitudes": values, "sha256": _joint(nearest),
                   "bilinear_sha256": _joint(bilinear)}


def _distribution(values):
    """At most 100 {value, share of samples that are not above it}, for Kolmogorov and Smirnov's test."""
    values = np.sort(np.asarray(values, dtype=np.float64))
    points = np.unique(values[np.linspace(0, len(values) - 1, 100).astype(int)])
    shares = np.searchsorted(values, points, side="right") / len(values)
    return [[float(f"{p:.9g}"), float(f"{s:.6g}")] for p, s in zip(points, shares)]


def _columns(names, rows):
    return {n: _distribution(column) for n, column in zip(names, zip(*rows))}


def _drawn():
    """Parameters as torchvision draws them, for one size of picture each."""
    torch.manual_seed(SEED)
    many = range(_SAMPLES)
    box = ("top", "left", "height", "width")
    square, wide = torch.zeros(3, 48, 64), torch.zeros(3, 20, 100)
    rrc = functools.partial(T.RandomResizedCrop.get_params, scale=[0.08, 1.0], ratio=[3 / 4, 4 / 3])
    result = {"resized_crop 48x64": _columns(box, [rrc(square) for _ in many]),
              "resized_crop 20x100": _columns(box, [rrc(wide) for _ in many])}
    padded = torch.zeros(3, 48 + 8, 64 + 8)
    rows = [T.RandomCrop.get_params(padded, (48, 64)) for _ in many]
    result["padding_crop 48x64"] = _columns(("top", "left"), [(i - 4, j - 4) for i, j, _, _ in rows])
    erasing = [T.RandomErasing.get_params(square, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=[0.0]) for _ in many]
    result["erasing 48x64"] = _columns(box, [row[:4] for row in erasing])
    result["rotation 15"] = _columns(("angle",), [(T.RandomRotation.get_params([-15, 15]),) for _ in many])
    jitter = T.ColorJitter(0.4, 0.3, 1.5, 0.1)
    rows = [T.ColorJitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue) for _ in many]
    rows = [(*map(float, row[1:]), int(row[0][0])) for row in rows]
    result["jitter"] = _columns(("brightness", "contrast", "saturation", "hue", "first"), rows)
    for alpha in (0.2, 1.0, 3.0):
        mixup = v2.MixUp(alpha=alpha, num_classes=2)
        result[f"mixup {alpha:g}"] = _columns(("weight",), [(mixup.make_params([])["lam"],) for _ in many])
    cutmix = v2.CutMix(alpha=1.0, num_classes=2)
    rows = [cutmix.make_params([square[None]]) for _ in many]
    result["cutmix 48x64"] = _columns(("left", "top", "weight"),
                                      [(r["box"][0], r["box"][1], r["lam_adjusted"]) for r in rows])
    return result


def _mixed():
    """torchvision's MixUp and CutMix of a batch of 5x3x6x7 and given parameters."""
    batch = torch.tensor(words(SEED, "transforms/batch", 5 * 3 * 6 * 7).astype(np.int64) & 255, dtype=torch.float32)
    batch = (batch / 255).reshape(5, 3, 6, 7)
    for lam in (0.25, 0.7):
        out = batch.roll(1, 0).mul_(1.0 - lam).add_(batch.mul(lam))
        yield {"weight": lam, "box": [0, 0, 0, 0], "sha256": hashlib.sha256(out.numpy().tobytes()).hexdigest()}
    out = batch.clone()
    out[..., 1:5, 2:6] = batch.roll(1, 0)[..., 1:5, 2:6]
    yield {"weight": 1 - 16 / 42, "box": [1, 2, 4, 4], "sha256": hashlib.sha256(out.numpy().tobytes()).hexdigest()}


def _placed():
    """Random crops at every place that they can have, as [top, left]; one hash for each."""
    img = _picture((17, 31), 3, "noise")
    for mode in ("constant", "reflect"):
        padded = F.pad(img, 2, padding_mode=mode)
        places = [[i - 2, j - 2] for i in range(5) for j in range(5)]
        yield {"what": mode, "places": places, "sha256": [_sha256(F.crop(padded, i + 2, j + 2, 17, 31)) for i, j in places]}
    area, ratio, size = 0.6, 1.25, (12, 20)  # a share, width / height
    width, height = round((17 * 31 * area * ratio) ** 0.5), round((17 * 31 * area / ratio) ** 0.5)
    places = [[i, j] for i in range(17 - height + 1) for j in range(31 - width + 1)]
    for mode in ("bilinear", "bicubic"):
        crops = [F.resized_crop(img, i, j, height, width, size, F.InterpolationMode(mode)) for i, j in places]
        yield {"what": mode, "area": area, "ratio": ratio, "size": size, "places": places, "sha256": list(map(_sha256, crops))}


def _normalized():
    img = _picture((17, 31), 3, "noise")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for height, width, mode in ((24, 0, "bicubic"), (20, 26, "bilinear")):
        size = height if width == 0 else [height, width]
        chain = T.Compose([T.Resize(size, interpolation=F.InterpolationMode(mode)), T.CenterCrop((16, 27)),
                           T.ToTensor(), T.Normalize(mean, std)])
        yield {"resize": [height, width], "filter": mode, "crop": [16, 27], "mean": mean, "std": std,
               "sha256": hashlib.sha256(chain(img).numpy().tobytes()).hexdigest()}


def _lines(cases):
    """A list with a line for each case."""
    return "[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]"


def main():
    assert PIL.__version__.startswith("12."), "the bytes are those of Pillow up to 12"
    fields = {"versions": json.dumps({"pillow": PIL.__version__, "torchvision": torchvision.__version__}),
              "seed": str(SEED), "samples": str(_SAMPLES),
              "parameters": json.dumps(_parameters()), "cases": _lines(_cases()), "policies": _lines(_policies()),
              "mixed": _lines(_mixed()), "placed": _lines(_placed()), "preprocessed": _lines(_normalized()),
              "drawn": json.dumps(_drawn(), separators=(",", ":"))}
    text = "{\n" + ",\n".join(f'"{k}": {v}' for k, v in fields.items()) + "\n}\n"
    path = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/transforms.json"
    path.write_text(text)


if __name__ == "__main__":
    main()
