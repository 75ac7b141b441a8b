#!/usr/bin/env python3
"""Pictures a second of Pillow and torchvision's transforms in one worker of a DataLoader; run by bench/pair.py.

Usage: rival_loader.py FOLDER SIZE SECONDS          prints one line of JSON
       rival_loader.py FOLDER SIZE --pixels FILE    the middle of each picture, resized, as bytes one after the other
"""
import json
import sys
import time
import warnings

import PIL
import torch
import torchvision
from torchvision import transforms

warnings.simplefilter("ignore")
BATCH = 64


def main():
    folder, size = sys.argv[1], int(sys.argv[2])
    if sys.argv[3] == "--pixels":
        middle = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size)])
        with open(sys.argv[4], "wb") as out:
            for picture, _ in torchvision.datasets.ImageFolder(folder, middle):
                out.write(picture.tobytes())
        return
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
    main()
