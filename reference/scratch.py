#!/usr/bin/python3
"""Twenty steps of the recipe `scratch` by PyTorch, on the batches that our loader makes.

    python3 reference/scratch.py --program build/release/resnet      writes tests/golden/scratch.json

The pictures are noise that follows from the seed; `resnet data --save-batches` crops, flips and erases them.
"""

import argparse
import gzip
import hashlib
import json
import pathlib
import struct
import subprocess
import tempfile

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import golden
import networks
import training
from philox import words

IMAGES, SIDE, CLASSES, BATCH, STEPS = 40, 16, 10, 8, 20
CHANNELS = (8, 16)
SAMPLES = 4  # of each tensor
LR, EMA, EVERY = 0.15, 0.999, 8  # the recipe, AverageOptions


def _small():
    return networks.SmallResNet(CHANNELS[0], CHANNELS, (1, 1), (1, 2), CLASSES)


def _recipes():
    """Those of networks.py, with the zeros of --zero-gamma."""
    recipes = networks.recipes(_small())
    for name in recipes:
        if name.endswith("bn2.weight"):
            recipes[name].update(center=0, scale=0)
    return recipes


def _network(dtype, run, noisy):
    net = networks.load(_small(), dtype)
    for name, parameter in net.named_parameters():
        if name.endswith("bn2.weight"):
            nn.init.zeros_(parameter)
    return networks.disturb(net, run) if noisy else net


def _pictures():
    pixels = [words(golden.SEED, f"picture/{i}", SIDE * SIDE) & 255 for i in range(IMAGES)]
    return np.array(pixels, np.uint8), (words(golden.SEED, "labels", IMAGES) % CLASSES).astype(np.uint8)


def _batches(program):
    """[(images, labels)] and a hash of all their bytes."""
    pixels, labels = _pictures()
    with tempfile.TemporaryDirectory() as folder:
        for part in ("train", "t10k"):
            for kind, header, data in (("images-idx3", (2051, IMAGES, SIDE, SIDE), pixels), ("labels-idx1", (2049, IMAGES), labels)):
                path = pathlib.Path(folder, f"{part}-{kind}-ubyte.gz")
                path.write_bytes(gzip.compress(struct.pack(f">{len(header)}I", *header) + data.tobytes()))
        file = pathlib.Path(folder, "batches.safetensors")
        subprocess.run([program, "data", f"idx:{folder}", "--resize", str(SIDE), "--recipe", "scratch", "--batch-size", str(BATCH),
                        "--steps", str(STEPS), "--save-batches", file, "--json"], check=True, stdout=subprocess.DEVNULL)
        data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    digest, result = hashlib.sha256(), []
    for i in range(STEPS):
        arrays = []
        for key, dtype in (("images", "<f4"), ("labels", "<i4")):
            begin, end = header[f"{i}.{key}"]["data_offsets"]
            part = data[8 + length + begin:8 + length + end]
            digest.update(part)
            arrays.append(np.frombuffer(part, dtype).reshape(header[f"{i}.{key}"]["shape"]))
        result.append(tuple(arrays))
    return result, digest.hexdigest()


def _moved(images, step, run):
    """Float32 run `run` sees every pixel moved by -1, 0 or +1 unit in the last place."""
    if run is None:
        return images
    moves = words(golden.SEED, f"ulp/{run}/{step}", images.size).reshape(images.shape) % 3
    return np.nextafter(images, images + moves.astype(np.float32) - 1)


def _arrays(tensors):
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors if not name.endswith("num_batches_tracked")}


def _steps(batches, dtype, run=None, noisy=False):
    net = _network(dtype, run, noisy).train()
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": 5e-4}, {"params": others}], lr=LR, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=STEPS, pct_start=0.3, div_factor=25,
                                                   final_div_factor=1e30, cycle_momentum=False)
    average = torch.optim.swa_utils.AveragedModel(
        net, avg_fn=lambda old, new, n: old + (1 - min(EMA**EVERY, (n + 1) / (n + 10))) * (new - old), use_buffers=True)
    losses = []
    for i, (images, labels) in enumerate(batches):
        optimizer.zero_grad()
        x = torch.from_numpy(_moved(images, i, run)).to(dtype)
        loss = F.cross_entropy(net(x), torch.from_numpy(labels).long(), label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        if i + 1 < STEPS:
            schedule.step()
        if (i + 1) % EVERY == 0:
            average.update_parameters(net)
        losses.append(loss.item())
    return {"losses": losses, "state": _arrays(net.state_dict().items()), "average": _arrays(average.module.state_dict().items())}


def scratch(program):
    torch.set_num_threads(1)
    batches, digest = _batches(program)
    pins = training.pinned(lambda *arguments: _steps(batches, *arguments), limit=SAMPLES)
    return {"torch": torch.__version__, "torchvision": torchvision.__version__, "images": IMAGES, "side": SIDE, "classes": CLASSES,
            "batch_size": BATCH, "steps": STEPS, "channels": list(CHANNELS), "batches_sha256": digest, "runs": training.RUNS,
            "tensors": _recipes(), **pins}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="resnet")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden")
    arguments = parser.parse_args()
    golden.write(arguments.out / "scratch.json",
                 {"case": "scratch", "generator": "reference/scratch.py", "seed": golden.SEED, **scratch(arguments.program)})


if __name__ == "__main__":
    main()
