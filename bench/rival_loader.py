#!/usr/bin/env python3
"""Pictures a second of Pillow and torchvision's transforms in one worker of a DataLoader; run by bench/pair.py.

Usage: rival_loader.py FOLDER SIZE SECONDS          prints one line of JSON
       rival_loader.py FOLDER SIZE --check BATCHES  whether each picture of `resnet data --save-batches` is the middle of one, resized
"""
import json
import sys
import time
import warnings

import numpy as np
import PIL
import torch
import torchvision
from torchvision import transforms

warnings.simplefilter("ignore")
BATCH = 64


def check(folder, size, path):
    middle = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size)])
    known = {picture.tobytes() for picture, _ in torchvision.datasets.ImageFolder(folder, middle)}
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header, data = json.loads(file.read(length)), file.read()
    count = 0
    for name, entry in header.items():
        if not name.endswith(".images"):
            continue
        images = np.frombuffer(data[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for pixels in np.rint(images * 255).astype(np.uint8).transpose(0, 2, 3, 1):
            if pixels.tobytes() not in known:
                sys.exit(f"a picture of batch {name.split('.')[0]} is none of torchvision's")
            count += 1
    print(f"{count} pictures equal torchvision's in every byte (resize, centre crop)", flush=True)


def main():
    folder, size = sys.argv[1], int(sys.argv[2])
    if sys.argv[3] == "--check":
        return check(folder, size, sys.argv[4])
    seconds = float(sys.argv[3])
    change = transforms.Compose([transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    pictures = torchvision.datasets.ImageFolder(folder, change)
    loader = torch.utils.data.DataLoader(pictures, BATCH, shuffle=True, num_workers=1, persistent_workers=True, prefetch_factor=3)
    torch.set_num_threads(1)
    for _ in loader:  # starts the worker, and brings the files into memory
        pass
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for images, _ in loader:
            done += len(images)
    rate = done / (time.perf_counter() - begin)
    print(json.dumps({"examples_per_second": rate, "version": f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}"}))


if __name__ == "__main__":
    sys.exit(main())
