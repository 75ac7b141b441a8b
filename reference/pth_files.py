"""Small files of torch.save() for tests/golden/pth: of each type of storage and view, of each protocol, and what is
refused. Usage: python3 reference/pth_files.py"""
import argparse
import pathlib
from collections import OrderedDict, defaultdict

import torch
from torch import nn

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/pth"


def ramp(*shape, dtype=torch.float32):
    """Element i is (i + 1) / 4, negative where i is odd: exact in every floating-point type."""
    count = torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)
    return (count / 4 * (1 - 2 * ((count + 1) % 2))).reshape(shape).to(dtype)


def state_dict():
    flat = torch.zeros(40)
    flat[3:3 + 12:2] = ramp(6)
    flat[20:24] = ramp(4)
    transposed = torch.empty(4, 3)
    transposed.copy_(ramp(3, 4).T)
    return OrderedDict(plain=ramp(2, 3), half=ramp(5, dtype=torch.float16), brain=ramp(5, dtype=torch.bfloat16),
                       double=ramp(2, 2, dtype=torch.float64), transposed=transposed.T, slice=flat[3:15:2],
                       shared=flat[20:24], parameter=nn.Parameter(ramp(3, 1)), scalar=ramp(1).reshape(()),
                       empty=torch.empty(0, 3), count=torch.tensor(12345678901))


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.save(state_dict(), FOLDER / "state_dict.pth")
    torch.save(state_dict(), FOLDER / "protocol5.pth", pickle_protocol=5)
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(ramp(1, 2)).sum().backward()
    optimizer.step()
    with_metadata = nn.Module()
    with_metadata.register_buffer("x", ramp(1))
    saved = with_metadata.state_dict()  # has _metadata
    saved.clear()
    saved.update(state_dict())
    torch.save({"epoch": 3, "arch": "resnet18", "model": saved, "optimizer": optimizer.state_dict(), "best": 0.75,
                "size": torch.Size([1, 2]), "device": torch.device("cpu"), "dtype": torch.float32, "classes": {"cat", "dog"},
                "counts": defaultdict(int, a=1), "seed": 2 ** 80, "none": None, "done": True, "bytes": b"\0\xff"},
               FOLDER / "checkpoint.pth")
    torch.save(nn.Sequential(nn.Linear(1, 1)), FOLDER / "whole_model.pth")
    torch.save({"model": {"w": ramp(1)}, "args": argparse.Namespace(lr=0.1)}, FOLDER / "namespace.pth")
    torch.save({"w": ramp(1)}, FOLDER / "old.pth", _use_new_zipfile_serialization=False)
    torch.jit.script(nn.ReLU()).save(str(FOLDER / "script.pt"))


if __name__ == "__main__":
    main()
