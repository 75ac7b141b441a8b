#!/usr/bin/env python3
"""Times training steps or evaluations of a network in PyTorch or OpenVINO, as `resnet bench` does: one JSON line.

Run by pair.py in the rivals' virtual environment; by hand:
    python bench/rival_step.py train --input 256x1x96x96 --threads 2 --form channels_last
"""
import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

# Blocks of each stage and the kind of block, as `resnet train --model` has them.
D2L = {"d2l_resnet18": ((2, 2, 2, 2), False), "d2l_resnet34": ((3, 4, 6, 3), False),
       "d2l_resnet50": ((3, 4, 6, 3), True), "d2l_resnet101": ((3, 4, 23, 3), True),
       "d2l_resnet152": ((3, 8, 36, 3), True)}
WARM_UP = 2  # steps that do not count


class Residual(nn.Module):
    """The chapter's block; with `bottleneck`, 1x1, 3x3 and 1x1 to four times the channels. `bias` false: torchvision's, whose
    shortcuts have a norm in place of a bias."""

    def __init__(self, channels_in, width, stride, bottleneck, bias=True):
        super().__init__()
        channels_out = 4 * width if bottleneck else width
        plan = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
        widths = [channels_in] + [width] * (len(plan) - 1) + [channels_out]
        self.convs = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], kernel, step, padding=kernel // 2, bias=bias)
                                   for i, (kernel, step) in enumerate(plan))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in widths[1:])
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=bias)
        if not same and not bias:
            self.shortcut = nn.Sequential(self.shortcut, nn.BatchNorm2d(channels_out))

    def forward(self, x):
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            y = norm(conv(y))
            if i + 1 < len(self.convs):
                y = F.relu(y)
        return F.relu(y + self.shortcut(x))


def network(name, channels, classes, stem):
    bias = name in D2L
    torchvision = None
    if not bias:
        try:
            import torchvision  # pylint: disable=import-outside-toplevel
        except ImportError:
            if f"d2l_{name}" not in D2L:
                raise
    if torchvision:
        net = torchvision.models.get_model(name, weights=None, num_classes=classes)
        if stem == "small":
            net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
            net.maxpool = nn.Identity()
        elif channels != 3:
            net.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        return net
    blocks, bottleneck = D2L[name if bias else f"d2l_{name}"]  # of the same shape where torchvision is not there
    layers = [nn.Conv2d(channels, 64, 3, padding=1, bias=bias) if stem == "small" else nn.Conv2d(channels, 64, 7, 2, padding=3, bias=bias),
              nn.BatchNorm2d(64), nn.ReLU()]
    if stem == "large":
        layers.append(nn.MaxPool2d(3, 2, padding=1))
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for block in range(count):
            layers.append(Residual(channels, width, 2 if stage > 0 and block == 0 else 1, bottleneck, bias))
            channels = 4 * width if bottleneck else width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def autocast(precision):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def training(net, form, precision):
    """One step on a batch; `form`: eager, channels_last or compile."""
    net.train()
    step_net = torch.compile(net) if form == "compile" else net
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02)
    loss_of = nn.CrossEntropyLoss()

    def step(images, labels):
        optimiser.zero_grad(set_to_none=True)
        with autocast(precision):
            loss = loss_of(step_net(images), labels)
        loss.backward()
        optimiser.step()
        assert torch.isfinite(loss)
    return step


def evaluation(net, form, precision, example, threads):
    """One evaluation of a batch; `form` may also be openvino."""
    net.eval()
    if form == "openvino":
        import openvino  # pylint: disable=import-outside-toplevel
        model = openvino.convert_model(net, example_input=example, input=[tuple(example.shape)])
        compiled = openvino.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"})
        return lambda images, _labels: compiled(images.numpy())
    step_net = torch.compile(net) if form == "compile" else net

    def step(images, _labels):
        with torch.no_grad(), autocast(precision):  # no gradients: what freezing needs
            step_net(images)
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=("train", "infer"))
    parser.add_argument("--model", default="d2l_resnet18")
    parser.add_argument("--stem", choices=("large", "small"), default="large")
    parser.add_argument("--input", default="256x1x96x96", help="images x channels x height x width")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--form", choices=("eager", "channels_last", "compile", "openvino"), default="channels_last")
    options = parser.parse_args()
    shape = [int(extent) for extent in options.input.split("x")]

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    # Inductor chooses layouts itself and is fastest from channels_last.
    layout = torch.channels_last if options.form in ("channels_last", "compile") else torch.contiguous_format
    net = network(options.model, shape[1], options.classes, options.stem).to(memory_format=layout)
    # Four different batches in turn: constant data would flatter the caches and the branch predictor.
    batches = [(torch.rand(shape).to(memory_format=layout), torch.randint(options.classes, (shape[0],)))
               for _ in range(4)]
    step = (training(net, options.form, options.precision) if options.work == "train"
            else evaluation(net, options.form, options.precision, batches[0][0], options.threads))
    times = []
    for i in range(WARM_UP + options.steps):
        begin = time.perf_counter()
        step(*batches[i % len(batches)])
        if i >= WARM_UP:
            times.append((time.perf_counter() - begin) * 1e3)
    median = statistics.median(times)
    version = torch.__version__
    if options.form == "openvino":
        import openvino  # pylint: disable=import-outside-toplevel
        version = openvino.__version__
    print(json.dumps({"version": version, "form": options.form, "examples_per_second": shape[0] / median * 1e3,
                      "step_ms": {"median": median, "min": min(times), "max": max(times)},
                      "threads": options.threads,
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
