"""`resnet import` and `export` against PyTorch: random weights of torchvision's and timm's networks, saved as .pth and safetensors in f32, f16
and bf16. The imported tensors, and those that are exported in the file's type, must be those of the file bit for bit, and load
strictly; the logits of our program must be PyTorch's within a tolerance.

Usage: python3 reference/import_parity.py --program build/release/resnet [MODEL...]

The tolerance: 8 times the largest deviation of float32 logits from float64 ones, over runs of PyTorch whose pixels are moved by a unit in
the last place, and with the error of Winograd's kernels (networks.disturb), as of the golden files. Our logits come by way of probabilities:
`predict --json --top CLASSES` prints float32 ones, so differences of their logarithms are compared, with what rounding
them to float32 adds.
Needs PyTorch, torchvision, timm, safetensors, NumPy and Pillow from PyPI.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from family import make
from networks import disturb

MODELS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "resnext50_32x4d", "resnet50d", "seresnet50"]
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
SIDE, CLASSES, RUNS = 64, 10, 3


def fill(net, seed):
    """Weights that keep the scale from layer to layer, and running statistics that are not those of initialisation."""
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(seed + 1000)
        elif name.endswith("running_var"):
            tensor.uniform_(0.8, 1.2, generator=draw)
        elif name.endswith("running_mean") or (name.endswith("bias") and tensor.dim() == 1):
            tensor.uniform_(-0.1, 0.1, generator=draw)
        elif tensor.dim() == 1:
            tensor.uniform_(0.4, 0.6, generator=draw)
        else:
            torch.nn.init.normal_(tensor, std=(1 / (tensor.numel() // tensor.shape[0])) ** 0.5, generator=draw)


def logits(net, images, dtype, noisy=0):
    net = make(net, CLASSES).to(dtype).eval() if isinstance(net, str) else net
    if noisy:
        disturb(net, noisy)
    with torch.no_grad():
        return net(torch.from_numpy(images).to(dtype)).numpy().astype(np.float64)


def log_probabilities(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def expected(model, state, images):
    """The float64 answer, and how far float32 may be from it."""
    def net(dtype):
        made = make(model, CLASSES)
        made.load_state_dict(state)
        return made.to(dtype).eval()
    exact = log_probabilities(logits(net(torch.float64), images, torch.float64))
    rng, deviation = np.random.default_rng(0), 0.0
    for run in range(RUNS):
        moved = (images + rng.integers(-1, 2, images.shape) * np.spacing(images)).astype(np.float32)
        for noisy in (0, run + 1):
            deviation = max(deviation, np.abs(log_probabilities(logits(net(torch.float32), moved, torch.float32, noisy)) - exact).max())
    return exact, 8 * deviation + 2 ** -23


def answer(program, model_file, pictures):
    result = subprocess.run([program, "predict", model_file, *pictures, "--top", str(CLASSES), "--json"], capture_output=True, text=True,
                            check=True)
    rows = [{entry["label"]: entry["probability"] for entry in picture["top"]} for picture in json.loads(result.stdout)]
    return np.log(np.array([[row[str(k)] for k in range(CLASSES)] for row in rows]))


def check(program, model, folder):
    net = make(model, CLASSES)
    fill(net, 7)
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    pictures = []
    for i, picture in enumerate(pixels):
        pictures.append(folder / f"{i}.png")
        Image.fromarray(picture).save(pictures[-1])
    images = np.ascontiguousarray((pixels.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2))
    for name, dtype in TYPES.items():
        stored = {key: value.to(dtype) if value.is_floating_point() else value for key, value in net.state_dict().items()}
        wide = {key: value.float() if value.is_floating_point() else value for key, value in stored.items()}
        exact, tolerance = expected(model, wide, images)
        torch.save({"epoch": 1, "state_dict": {"module." + key: value for key, value in stored.items()}}, folder / "weights.pth")
        save_file(stored, folder / "weights.safetensors")
        for source in ("weights.pth", "weights.safetensors"):
            said = json.loads(subprocess.run([program, "import", folder / source, "--resize", f"{SIDE}", "--crop", f"{SIDE}", "--normalize", "none",
                                              "--json", "--out", folder / "model.safetensors"], capture_output=True, text=True, check=True).stdout)
            assert (said["model"], said["options"], said["classes"]) == (model, "", CLASSES), said
            imported = load_file(folder / "model.safetensors")
            assert list(imported) and imported.keys() == wide.keys(), model
            for key, value in wide.items():
                assert imported[key].dtype == value.dtype and torch.equal(imported[key], value), (model, source, key)
            make(model, CLASSES).load_state_dict(imported, strict=True)
            subprocess.run([program, "export", folder / "model.safetensors", "--safetensors", folder / "exported.safetensors", "--dtype", name],
                           capture_output=True, check=True)
            exported = load_file(folder / "exported.safetensors")
            make(model, CLASSES).load_state_dict(exported, strict=True)
            for key, value in stored.items():
                assert exported[key].dtype == value.dtype and torch.equal(exported[key], value), (model, source, key)
            difference = np.abs(answer(program, folder / "model.safetensors", pictures) - exact).max()
            print(f"{model:16} {name:4} {source:20} bits equal, logits (spread {np.ptp(exact):.1f}) differ by {difference:.2e}, tolerance {tolerance:.2e}", flush=True)
            assert difference <= tolerance, (model, source, name, difference, tolerance)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("models", nargs="*", default=MODELS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            check(options.program.resolve(), model, pathlib.Path(folder))


if __name__ == "__main__":
    main()
