#!/usr/bin/env python3
"""Rare classes, and what --class-weights auto does for them.

    examples/imbalance.py [FOLDER] [FLAG...]

Takes of Fashion-MNIST's training set 2,000 pictures of the first class and fewer of each next one, down to 20 of the last
(1:100, a geometric series), trains on them with and without the weights for three seeds, and prints the macro recall
(mean over the classes) on the whole test set after the last epoch. FOLDER (default runs/imbalance) gets the data and the
runs; it must not be there already. Flags go to every `resnet train`; later ones win. RESNET names the program,
RESNET_DATA_DIR the folder of the data.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys

import held_out

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("RESNET", ROOT / "build/release/resnet")
MOST, LEAST, CLASSES = 2000, 20, 10
FLAGS = ["--resize", "28", "--model", "resnet18", "--stem", "small", "--blocks", "1,1,1", "--channels", "16,32,64",
         "--recipe", "scratch", "--crop-padding", "4", "--erasing", "0.25", "--lr", "0.2", "--epochs", "20", "--batch-size", "64", "--checkpoint-every", "0"]


def counts():
    return [round(MOST * (LEAST / MOST) ** (k / (CLASSES - 1))) for k in range(CLASSES)]


def put(folder):
    """The subset: of each class its first pictures, in the order of the file. The test set as it is."""
    images, labels = held_out.read_train()
    test = {name: held_out.read(name) for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
    held_out.make(folder)
    for name, content in test.items():
        (folder / name).write_bytes(content)
    left, kept = counts(), []
    for i, label in enumerate(labels):
        if left[label] > 0:
            left[label] -= 1
            kept.append(i)
    held_out.write(folder, "train", images, labels, kept)


def resnet(*arguments):
    run = subprocess.run([PROGRAM, *map(str, arguments), "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def main():
    arguments = sys.argv[1:]
    folder = pathlib.Path(arguments.pop(0) if arguments and not arguments[0].startswith("-") else "runs/imbalance")
    put(folder / "data")
    print("pictures of each class:", *counts())
    means = {}
    for weights in ("none", "auto"):
        recalls = []
        for seed in range(3):
            out = folder / f"{weights}-{seed}"
            resnet("train", "--data", f"idx:{folder / 'data'}", *FLAGS, "--class-weights", weights, "--seed", seed, "--out", out,
                   "--quiet", *arguments)
            recalls.append(resnet("eval", out)["macro_recall"])
        means[weights] = statistics.mean(recalls)
        print(f"--class-weights {weights}: macro recall {means[weights]:.3f} (seeds 0 to 2:",
              *(f"{recall:.3f}" for recall in recalls), end=")\n")
    print(f"difference: {100 * (means['auto'] - means['none']):.1f} points")


if __name__ == "__main__":
    main()
