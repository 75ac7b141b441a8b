"""The networks of the golden files, filled with numbers that depend on the tensor's name only."""

import math

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from golden import SEED, digits
from philox import fill


class Residual(nn.Module):
    """The chapter's block (d2l/torch.py): biases everywhere, no norm behind the 1x1 convolution."""

    def __init__(self, in_channels, channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(in_channels, channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.conv3:
            x = self.conv3(x)
        return F.relu(y + x)


def d2l_resnet18(classes):
    def module(in_channels, channels):
        halve = in_channels != channels
        return nn.Sequential(Residual(in_channels, channels, use_1x1conv=halve, strides=2 if halve else 1),
                             Residual(channels, channels))

    stem = nn.Sequential(nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3), nn.BatchNorm2d(64), nn.ReLU(),
                         nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
    net = nn.Sequential(stem, module(64, 64), module(64, 128), module(128, 256), module(256, 512),
                        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(512, classes))
    assert classes != 10 or sum(p.numel() for p in net.parameters()) == 11_178_378
    return net


def d2l_small(classes):
    """The chapter's network with one block a stage and two stages."""
    stem = nn.Sequential(nn.Conv2d(1, 8, kernel_size=7, stride=2, padding=3), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
    return nn.Sequential(stem, nn.Sequential(Residual(8, 8)),
                         nn.Sequential(Residual(8, 16, use_1x1conv=True, strides=2)),
                         nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(16, classes))


class SmallResNet(nn.Module):
    """torchvision's ResNet of basic blocks for small gray pictures: a 3x3 stem of `stem` channels and no pool behind it."""

    def __init__(self, stem, channels, blocks, strides, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.names = [f"layer{i + 1}" for i in range(len(channels))]
        width = stem
        for name, out, count, stride in zip(self.names, channels, blocks, strides, strict=True):
            stage = nn.Sequential()
            for j in range(count):
                step = stride if j == 0 else 1
                shortcut = None
                if step != 1 or width != out:
                    shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride=step, bias=False), nn.BatchNorm2d(out))
                stage.append(BasicBlock(width, out, stride=step, downsample=shortcut))
                width = out
            self.add_module(name, stage)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for name in self.names:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


def build(model, classes):
    if model == "d2l_resnet18":
        return d2l_resnet18(classes)
    if model == "d2l_small":
        return d2l_small(classes)
    net = torchvision.models.get_model(model, weights=None, num_classes=classes)
    tensors, parameters = {"resnet18": (122, 11_689_512), "resnet50": (320, 25_557_032)}[model]
    assert len(net.state_dict()) == tensors
    fewer = (1000 - classes) * (net.fc.in_features + 1)
    assert sum(p.numel() for p in net.parameters()) == parameters - fewer
    return net


def stages(net):
    """(name, function) pairs that make up the forward pass."""
    if isinstance(net, nn.Sequential):
        return list(net.named_children())
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    layers = [(name, getattr(net, name)) for name in ("layer1", "layer2", "layer3", "layer4", "avgpool")]
    return [("stem", stem), *layers, ("fc", lambda x: net.fc(torch.flatten(x, 1)))]


def recipes(net):
    """{tensor: {shape, center, scale}}: near the network's own initialisation, no two channels alike."""
    modules = dict(net.named_modules())
    xavier = isinstance(net, nn.Sequential)
    result = {}
    for name, tensor in net.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        module = modules[owner]
        if leaf == "num_batches_tracked":
            continue
        if isinstance(module, nn.BatchNorm2d):
            center, scale = {"weight": (1, 0.2), "bias": (0, 0.1), "running_mean": (0, 0.1),
                             "running_var": (1, 0.2)}[leaf]
            if name.endswith("bn3.weight"):
                # Sixteen bottlenecks at full strength amplify rounding until ReLUs flip: float32
                # gradients are then 2 to 20 % off. At a fifth they are within 1e-5 and can be pinned.
                center, scale = 0.2, 0.04
        else:
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            default = leaf == "bias" or isinstance(module, nn.Linear) and not xavier
            variance = 1 / (3 * fan_in) if default else 2 / (fan_in + fan_out) if xavier else 2 / fan_out
            center, scale = 0, digits(math.sqrt(3 * variance), 6)
        result[name] = {"shape": list(tensor.shape), "center": center, "scale": scale}
    return result


def load(net, dtype):
    """Fills `net` by its recipes; the numbers are float32 ones whatever `dtype` is."""
    state = {name: torch.from_numpy(fill(SEED, name, **recipe)) for name, recipe in recipes(net).items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return net.to(dtype)


def running(net):
    """Running statistics by name, as float arrays."""
    return {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()
            if name.endswith(("running_mean", "running_var"))}


def disturb(net, run):
    """Gives every 3x3 convolution the error of a Winograd kernel, in all three of its passes.

    Normal noise of 2e-6 of the largest value: over 1e5 to 1e6 values its largest is 1e-5 of it, which
    is what F(6x6) in float32 has.
    """
    generator = torch.Generator().manual_seed(run)

    def noisy(x):
        return x + 2e-6 * x.detach().abs().max() * torch.randn(x.shape, generator=generator, dtype=x.dtype)

    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_hook(lambda module, inputs, output: noisy(output))
            module.register_full_backward_hook(
                lambda module, dx, dy: None if dx[0] is None else (noisy(dx[0]),))  # None: all before is frozen
            module.weight.register_hook(noisy)
    return net


def bias_before_norm(net):
    """Names of convolution biases that a batch norm cancels: their gradient is exactly 0."""
    return [name for name, _ in net.named_parameters()
            if isinstance(net, nn.Sequential) and (name == "0.0.bias" or name.endswith(("conv1.bias", "conv2.bias")))]
