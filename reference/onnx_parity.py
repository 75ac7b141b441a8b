"""Gives the program's ONNX files to onnx.checker and ONNX Runtime, beside PyTorch and the program itself.

For torchvision's, timm's and the chapter's networks, with random weights and running statistics: the checker with full
shape inference; logits at batch 1 and 7, norms folded and not, opset 17 and 18, against PyTorch in float64; and, with the
preprocessing inside, the answers for pictures of many sizes against `resnet predict`, from the same decoded bytes.

Usage: onnx_parity.py --program build/release/resnet [--pictures 1000] [--network NAME]... [--work FOLDER]
Needs torch, torchvision, timm, onnx, onnxruntime, safetensors, scikit-image and Pillow 12 from PyPI, and for the
chapter's networks Fashion-MNIST. Prints a line for each network; exit code 1 if anything is beyond its bound.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import PIL
import timm
import torch
import torchvision
from PIL import Image

assert int(PIL.__version__.split(".")[0]) < 13, "the bytes are those of Pillow up to 12 (docs/decisions/0012-pillow.md)"

TORCHVISION = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "resnext50_32x4d"]
TIMM = ["resnet50d", "seresnet50"]
CHAPTER = ["d2l_resnet18", "d2l_resnet34", "d2l_resnet50", "d2l_resnet101", "d2l_resnet152"]
WITH_PICTURES = {"resnet18", "resnet50d", "d2l_resnet18"}  # all pictures; the others 32


def run(program, *arguments):
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{arguments}: {result.stderr}")
    return result.stdout


def network(name):
    torch.manual_seed(len(name))
    model = torchvision.models.get_model(name) if name in TORCHVISION else timm.create_model(name)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def make_model(program, name, work):
    """A model file of the program, and the network in PyTorch or None."""
    path = work / f"{name}.safetensors"
    if name in CHAPTER:
        run(program, "train", "--data", "fashion-mnist", "--model", name, "--limit-train", 512, "--limit-test", 16, "--epochs", 1,
            "--batch-size", 32, "--resize", 96, "--quiet", "--out", work / name)
        return work / name, None
    model = network(name)
    torch.save(model.state_dict(), work / f"{name}.pth")
    run(program, "import", work / f"{name}.pth", "--out", path)
    (work / f"{name}.pth").unlink()
    return path, model


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def tolerance(path):
    """That of resnet compare: rounding of f32 sums, of the outputs' size."""
    terms = 0
    for tensor in onnx.load(path).graph.initializer:
        terms += math.prod(tensor.dims[1:]) if len(tensor.dims) > 1 else 1
    return 16 * 2.0**-24 * math.sqrt(terms)


def check_network(program, model_path, model, work):
    """Worst difference of logits, in units of the tolerance."""
    worst = 0.0
    for opset in (17, 18):
        for fold in (True, False):
            path = work / "net.onnx"
            run(program, "export", model_path, "--onnx", path, "--opset", opset, *([] if fold else ["--no-fold"]))
            onnx.checker.check_model(str(path), full_check=True)
            proto = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
            shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
            ort = session(path)
            for batch in (1, 7):
                x = torch.rand(batch, *shape[1:], generator=torch.Generator().manual_seed(batch)) * 2 - 1
                got = ort.run(None, {"images": x.numpy()})[0]
                if model is None:
                    continue
                with torch.no_grad():
                    expected = model.double()(x.double()).numpy()
                worst = max(worst, np.abs(got - expected).max() / np.sqrt((expected**2).mean()) / tolerance(path))
    return worst


def make_pictures(folder, count):
    """PNG files cut out of photographs, of all shapes, some of them gray."""
    import skimage.data
    photographs = [Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
                   for name in ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "page", "text", "moon", "colorwheel")]
    random = np.random.default_rng(1)
    folder.mkdir()
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        width, height = (int(random.integers(24, side + 1)) for side in photograph.size)
        left, top = int(random.integers(0, photograph.width - width + 1)), int(random.integers(0, photograph.height - height + 1))
        picture = photograph.crop((left, top, left + width, top + height))
        if random.random() < 0.3:
            scale = random.uniform(0.3, 2.5)
            picture = picture.resize((max(1, int(width * scale)), max(1, int(height * scale))), Image.Resampling.BICUBIC)
        if random.random() < 0.5:
            picture = picture.rotate(random.uniform(-180, 180))
        picture.save(folder / f"{i:05}.png", compress_level=1)
    return sorted(folder.iterdir())


def half_to_even(size, wanted):
    return -((wanted - size) // 2) if size < wanted else round((size - wanted) / 2)


def preprocessed(pixels, p):
    """What the program's network sees, by Pillow and NumPy."""
    picture = Image.fromarray(pixels)
    picture = picture.convert("L" if p["channels"] == 1 else "RGB")
    height, width = p["resize"]
    if height and not width:
        w, h = picture.size
        height, width = (height, w * height // h) if h <= w else (h * height // w, height)
    if height:
        picture = picture.resize((width, height), {"pil_bilinear": Image.Resampling.BILINEAR, "pil_bicubic": Image.Resampling.BICUBIC}[p["interpolation"]])
    if "crop" in p:
        h, w = p["crop"]
        left, top = half_to_even(picture.width, w), half_to_even(picture.height, h)
        picture = picture.crop((left, top, left + w, top + h))
    x = np.asarray(picture, np.float32).reshape(picture.height, picture.width, -1).transpose(2, 0, 1) / np.float32(255)
    if "mean" in p:
        x = (x - np.float32(p["mean"]).reshape(-1, 1, 1)) / np.float32(p["std"]).reshape(-1, 1, 1)
    return x[None]


def log_softmax(x):
    x = x.astype(np.float64) - x.max()
    return x - np.log(np.exp(x).sum())


def check_pictures(program, model_path, files, work):
    """Of `files`: shares of equal answers with the preprocessing inside and outside, and the largest difference."""
    inside, outside = work / "inside.onnx", work / "outside.onnx"
    run(program, "export", model_path, "--onnx", inside, "--with-preprocessing")
    run(program, "export", model_path, "--onnx", outside)
    onnx.checker.check_model(str(inside), full_check=True)
    metadata = {entry.key: entry.value for entry in onnx.load(inside).metadata_props}
    p = json.loads(metadata["resnet.preprocessing"])
    with_it, without = session(inside), session(outside)
    same_in = same_out = total = 0
    worst = 0.0
    bits = True
    for first in range(0, len(files), 100):
        part = files[first:first + 100]
        answers = json.loads(run(program, "predict", model_path, *part, "--json", "--top", 65536))
        for file, answer in zip(part, answers):
            picture = Image.open(file)
            pixels = np.asarray(picture.convert("RGB"))
            if p["resize"][0] and not p["resize"][1] and "crop" not in p and pixels.shape[0] != pixels.shape[1]:
                side = min(pixels.shape[:2])
                pixels = np.ascontiguousarray(pixels[:side, :side])  # the network outside is of one size
                Image.fromarray(pixels).save(work / "square.png")
                answer = json.loads(run(program, "predict", model_path, work / "square.png", "--json", "--top", 65536))[0]
            a = with_it.run(None, {"images": pixels[None]})[0][0]
            b = without.run(None, {"images": preprocessed(pixels, p)})[0][0]
            bits = bits and np.array_equal(a, b)
            names = json.loads(metadata["names"]) or {str(k): str(k) for k in range(len(a))}
            same_in += names[str(a.argmax())] == answer["label"]
            same_out += names[str(b.argmax())] == answer["label"]
            ours = {entry["label"]: entry["probability"] for entry in answer["top"]}
            for k, value in enumerate(log_softmax(a)):
                if ours[names[str(k)]] > 1e-30:
                    worst = max(worst, abs(value - math.log(ours[names[str(k)]])))
            total += 1
    return same_in / total, same_out / total, worst, bits


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--network", action="append")
    parser.add_argument("--work", type=pathlib.Path)
    arguments = parser.parse_args()
    work = arguments.work or pathlib.Path(tempfile.mkdtemp())
    files = make_pictures(work / "pictures", arguments.pictures)
    sizes = [Image.open(file).size for file in files]
    print(f"{len(files)} pictures of {len(set(sizes))} sizes, sides {min(map(min, sizes))} to {max(map(max, sizes))}")
    bad = 0
    for name in arguments.network or TORCHVISION + TIMM + CHAPTER:
        model_path, model = make_model(arguments.program, name, work)
        worst = check_network(arguments.program, model_path, model, work)
        some = files if name in WITH_PICTURES else files[:32]
        inside, outside, difference, bits = check_pictures(arguments.program, model_path, some, work)
        good = worst <= 1 and inside >= 0.999 and outside == 1
        bad += not good
        print(f"{name:18} logits {worst:.3f} of the tolerance{'' if model else ' (no PyTorch)'}; {len(some)} pictures: same answer inside {100 * inside:.2f} %, "
              f"outside {100 * outside:.2f} %, log p differs by {difference:.2g}, inside and outside "
              f"{'the same bits' if bits else 'other bits'}{'' if good else '  BAD'}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
