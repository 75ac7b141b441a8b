#!/usr/bin/env python3
"""Fashion-MNIST's training set in two, so that settings are not chosen by its test set.

    examples/held_out.py FOLDER [SEED]

50,000 of its 60,000 pictures, as a shuffle from the seed (default 7) has them, are FOLDER's training set, the other 10,000 its test
set: `resnet train --data idx:FOLDER ...`. RESNET_DATA_DIR names the folder of the data.
"""
import gzip
import os
import pathlib
import random
import sys

SOURCE = pathlib.Path(os.environ.get("RESNET_DATA_DIR", "/usr/share/datasets/fashion-mnist"))
SIDE, HELD_OUT = 28, 10000


def read(name):
    """A file of the data set, packed or not, as the program takes it."""
    packed, plain = SOURCE / f"{name}.gz", SOURCE / name
    if not packed.exists() and not plain.exists():
        sys.exit(f"{plain} is missing: RESNET_DATA_DIR names the folder of Fashion-MNIST")
    return plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())


def read_train():
    """Pixels and labels of the training set."""
    return read("train-images-idx3-ubyte")[16:], read("train-labels-idx1-ubyte")[8:]


def make(folder):
    if folder.exists():
        sys.exit(f"{folder} is there already: name another folder")
    folder.mkdir(parents=True)


def write(folder, split, images, labels, chosen):
    """These examples as the files of a split."""
    pixels = SIDE * SIDE
    header = b"".join(n.to_bytes(4, "big") for n in (0x803, len(chosen), SIDE, SIDE))
    (folder / f"{split}-images-idx3-ubyte").write_bytes(header + b"".join(images[i * pixels:(i + 1) * pixels] for i in chosen))
    header = b"".join(n.to_bytes(4, "big") for n in (0x801, len(chosen)))
    (folder / f"{split}-labels-idx1-ubyte").write_bytes(header + bytes(labels[i] for i in chosen))


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 7
    images, labels = read_train()
    make(folder)
    order = list(range(len(labels)))
    random.Random(seed).shuffle(order)
    write(folder, "t10k", images, labels, sorted(order[:HELD_OUT]))
    write(folder, "train", images, labels, sorted(order[HELD_OUT:]))


if __name__ == "__main__":
    main()
