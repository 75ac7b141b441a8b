#!/usr/bin/env python3
"""Times whole training steps of the chapter's network in PyTorch, as `resnet bench train` does: one JSON line.

Run by pair_pytorch.py in the rival's virtual environment; by hand:
    python bench/pytorch_step.py --batch 256 --size 96 --threads 2 --layout channels_last
"""
import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    def __init__(self, channels_in, channels_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv3 = nn.Conv2d(channels_in, channels_out, 1, stride) if stride > 1 else None
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.bn2 = nn.BatchNorm2d(channels_out)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.conv3(x) if self.conv3 else x))


def network():
    layers = [nn.Conv2d(1, 64, 7, 2, padding=3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for width in (64, 128, 256, 512):
        layers += [Residual(channels, width, 1 if width == 64 else 2), Residual(width, width)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--layout", choices=("contiguous", "channels_last"), default="channels_last")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    net = network().to(memory_format=layout).train()
    step_net = torch.compile(net) if options.compile else net
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02)
    loss_of = nn.CrossEntropyLoss()
    # Four different batches in turn: constant data would flatter the caches and the branch predictor.
    batches = [(torch.rand(options.batch, 1, options.size, options.size).to(memory_format=layout),
                torch.randint(10, (options.batch,))) for _ in range(4)]
    times = []
    for i in range(2 + options.steps):
        images, labels = batches[i % len(batches)]
        begin = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(step_net(images), labels)
        loss.backward()
        optimiser.step()
        if i >= 2:
            times.append((time.perf_counter() - begin) * 1e3)
    assert torch.isfinite(loss)
    median = statistics.median(times)
    print(json.dumps({"torch": torch.__version__, "layout": options.layout, "compile": options.compile,
                      "examples_per_second": options.batch / median * 1e3,
                      "step_ms": {"median": median, "min": min(times), "max": max(times)},
                      "threads": options.threads,
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
