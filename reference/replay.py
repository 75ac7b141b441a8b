#!/usr/bin/env python3
"""Trains in PyTorch what a run of `resnet train` trained: its network, first weights, batches and recipe, as many steps.

    python3 reference/replay.py RUN --program build/release/resnet [--precision f32] [--steps 20] [--keep FILE]

The program makes the first weights (one step at rate 0) and the batches (`resnet data --save-batches`), so that what is left to
differ is the training itself. RUN has a network of basic blocks with a small stem, SGD, a schedule of one cycle or a triangle,
and Fashion-MNIST without normalisation. Where --time changed the number of steps on the way, PyTorch has the last one from its first step.
Prints a line an epoch and at the end what `resnet train` prints; with --keep it can be interrupted. PyTorch 2.15, torchvision and
safetensors from PyPI.
"""

import argparse
import contextlib
import gzip
import json
import pathlib
import subprocess
import tempfile
import time
import tomllib

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional as F

from networks import SmallResNet

SETS = pathlib.Path("/usr/share/datasets/fashion-mnist")
EVERY = 8  # AverageOptions


def _numbers(text):
    return [int(part) for part in text.split(",")]


def _network(config):
    channels = _numbers(config.get("channels", "64,128,256,512"))
    strides = _numbers(config.get("strides", "1" + ",2" * (len(channels) - 1)))
    blocks = _numbers(config.get("blocks", "2,2,2,2"))
    return SmallResNet(config.get("stem-channels", channels[0]), channels, blocks, strides, classes=10)


def _first_weights(program, run, folder):
    """The state before the first step; running statistics as PyTorch makes them."""
    made, file = folder / "first", folder / "first.safetensors"
    subprocess.run([program, "train", "--config", run / "config.toml", "--steps", "1", "--lr", "0", "--ema", "0", "--tta", "none",
                    "--limit-test", "1", "--precision", "f32", "--out", made], check=True, capture_output=True)
    subprocess.run([program, "export", made, "--safetensors", file], check=True, capture_output=True)
    return {name: value for name, value in load_file(file).items() if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))}


def _batches(program, run, config, first, steps, folder):
    """(images, labels) of the training's steps from `first` on, which begins an epoch."""
    file = folder / "batches.safetensors"
    an_epoch = _steps_of_an_epoch(config)
    for begin in range(first, steps, an_epoch):
        count = min(an_epoch, steps - begin)
        subprocess.run([program, "data", "--config", run / "config.toml", "--epoch", str(begin // an_epoch + 1), "--steps", str(count),
                        "--save-batches", file], check=True, stdout=subprocess.DEVNULL)
        with safe_open(file, "pt") as made:
            for i in range(count):
                yield made.get_tensor(f"{i}.images"), made.get_tensor(f"{i}.labels").long()


def _steps_of_an_epoch(config):
    return -(-60000 // config["batch-size"])


def _test_set():
    images = gzip.decompress((SETS / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((SETS / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = np.frombuffer(images, np.uint8).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    return torch.from_numpy(pixels), torch.from_numpy(np.frombuffer(labels, np.uint8).astype(np.int64))


def _views(x, kind):
    """[(weight, images)], as `--tta` has them."""
    if kind == "none":
        return [(1, x)]
    shown = [(0.5, x), (0.5, x.flip(-1))]
    if kind == "flip":
        return shown
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for moved in (wide[..., :-2, :-2], wide[..., 2:, 2:]):
        shown += [(0.5, moved), (0.5, moved.flip(-1))]
    return [(weight * share, images) for (weight, images), share in zip(shown, (0.5, 0.5, 0.25, 0.25, 0.25, 0.25))]


def _schedule(optimizer, config, steps):
    rate, start, final, peak = (config[name] for name in ("lr", "lr-start", "lr-final", "lr-peak"))
    if config["schedule"] == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps, pct_start=peak, div_factor=1 / start,
                                                   final_div_factor=start / max(final, 1e-30), cycle_momentum=False)
    assert config["schedule"] == "triangular"

    def factor(t):
        top = peak * steps
        return start + (1 - start) * t / top if t < top else 1 + (final - 1) * (t - top) / (steps - top)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _optimizer(net, config):
    assert config["optimizer"] == "sgd" and config["decay-all"] == "no" and config["lr-norm-bias"] == config["lr-head"] == 1
    if config["whiten"] == "yes":
        net.conv1.weight.requires_grad_(False)
    trained = [p for p in net.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": config["weight-decay"]},
              {"params": [p for p in trained if p.ndim == 1]}]
    return torch.optim.SGD(groups, lr=config["lr"], momentum=config["momentum"], nesterov=config["nesterov"] == "yes")


class _Kept:
    """A training's state in a file after every epoch, from which it goes on. Without a path nothing is kept."""

    def __init__(self, path, **parts):
        self.path, self.parts = path, parts

    def read(self):
        """The number of steps done and the seconds they took."""
        if self.path is None or not self.path.exists():
            return 0, 0.0
        state = torch.load(self.path)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return state["steps"], state["seconds"]

    def write(self, steps, seconds):
        if self.path is None:
            return
        new = self.path.with_suffix(".new")
        torch.save({name: part.state_dict() for name, part in self.parts.items()} | {"steps": steps, "seconds": seconds}, new)
        new.replace(self.path)


def _train(net, batches_from, config, steps, autocast, keep):
    optimizer = _optimizer(net, config)
    schedule = _schedule(optimizer, config, steps)
    decay = config["ema"]
    average = torch.optim.swa_utils.AveragedModel(
        net, avg_fn=lambda old, new, n: old + (1 - min(decay**EVERY, (n + 1) / (n + 10))) * (new - old), use_buffers=True)
    an_epoch = _steps_of_an_epoch(config)
    kept = _Kept(keep, net=net, optimizer=optimizer, schedule=schedule, average=average)
    first, seconds = kept.read()
    loss_sum = correct = seen = 0
    for i, (x, labels) in enumerate(batches_from(first), first):
        begin = time.perf_counter()
        with autocast():
            outputs = net(x.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(outputs.float(), labels, label_smoothing=config["label-smoothing"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i + 1 < steps:
            schedule.step()
        if decay > 0 and (i + 1) % EVERY == 0:
            average.update_parameters(net)
        loss_sum, correct, seen = loss_sum + loss.item() * len(x), correct + int((outputs.argmax(1) == labels).sum()), seen + len(x)
        seconds += time.perf_counter() - begin
        if (i + 1) % an_epoch == 0 or i + 1 == steps:
            print(f"step {i + 1}/{steps}  loss {loss_sum / seen:.3f}  train acc {correct / seen:.3f}  [{seconds:.0f} s]",
                  flush=True)
            last, loss_sum, correct, seen = (loss_sum / seen, correct / seen), 0, 0, 0
            if i + 1 < steps:
                kept.write(i + 1, seconds)
    return average.module if decay > 0 else net, last, seconds


def _accuracy(net, config, autocast):
    images, labels = _test_set()
    net.eval()
    correct = 0
    with torch.no_grad(), autocast():
        for x, y in zip(images.split(500), labels.split(500)):
            outputs = sum(weight * net(seen.contiguous(memory_format=torch.channels_last)).float() for weight, seen in _views(x, config["tta"]))
            correct += int((outputs.argmax(1) == y).sum())
    return correct / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path, help="folder of a run that has ended")
    parser.add_argument("--program", required=True, help="resnet")
    parser.add_argument("--precision", choices=("f32", "bf16"), help="bf16 is torch.autocast; default: the run's")
    parser.add_argument("--steps", type=int, help="default: the run's")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FILE", help="keep the state there after every epoch, and go on from it")
    arguments = parser.parse_args()
    config = tomllib.loads((arguments.run / "config.toml").read_text())
    steps = arguments.steps or json.loads((arguments.run / "result.json").read_text())["steps"]
    bf16 = (arguments.precision or config["precision"]) == "bf16"
    autocast = (lambda: torch.autocast("cpu", torch.bfloat16)) if bf16 else contextlib.nullcontext
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        net = _network(config)
        missing, unexpected = net.load_state_dict(_first_weights(arguments.program, arguments.run, folder), strict=False)
        assert not unexpected and all("running" in each or "tracked" in each for each in missing), (missing, unexpected)
        net = net.to(memory_format=torch.channels_last).train()
        net, (loss, train), seconds = _train(net, lambda first: _batches(arguments.program, arguments.run, config, first, steps, folder), config, steps,
                                             autocast, arguments.keep)
    print(f"loss {loss:.3f}, train acc {train:.4f}, test acc {_accuracy(net, config, autocast):.4f}")
    print(f"{steps * config['batch-size'] / seconds:.1f} examples/sec, {steps} steps, {'bf16' if bf16 else 'f32'}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
