"""Parameter counts, tensors' names and logits of the ResNet family, torchvision's and timm's."""

import hashlib
import math

import numpy as np
import timm
import torch
import torchvision
from torch import nn

from golden import SEED, digits
from networks import disturb
from philox import fill, uniform, words

LOGITS = ["wide_resnet50_2", "resnext50_32x4d", "resnet18d", "resnet50d", "seresnet18", "seresnet50", "resnetv2_18",
          "resnetv2_50"]
COUNTS = LOGITS + ["wide_resnet101_2", "resnext101_32x8d", "resnext101_64x4d", "resnet34d", "resnet101d", "seresnet34",
                   "seresnext50_32x4d", "resnetv2_34", "resnetv2_101"]
INPUT, CLASSES, RUNS = [2, 3, 50, 46], 7, 4  # maps of odd sizes


def make(model, classes):
    if model in torchvision.models.list_models():
        return torchvision.models.get_model(model, weights=None, num_classes=classes)
    return timm.create_model(model, pretrained=False, num_classes=classes)


def load(net, dtype):
    """Fills `net` by the rule of the README; the numbers are float32 ones whatever `dtype` is."""
    modules = dict(net.named_modules())
    state = {}
    for name, tensor in net.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        if leaf == "num_batches_tracked":
            continue
        if isinstance(modules[owner], nn.BatchNorm2d):
            center, scale = {"weight": (0.5, 0.1), "bias": (0, 0.1), "running_mean": (0, 0.1),
                             "running_var": (1, 0.2)}[leaf]
        else:
            center, scale = 0, 0.1 if leaf == "bias" else math.sqrt(3 / (tensor.numel() // tensor.shape[0]))
        state[name] = torch.from_numpy(fill(SEED, name, list(tensor.shape), center, scale))
    net.load_state_dict(state, strict=False)
    return net.to(dtype)


def logits(model, images, dtype, training, noisy=0):
    net = load(make(model, CLASSES), dtype).train(training)
    if noisy:
        disturb(net, noisy)
    with torch.no_grad():
        return net(torch.from_numpy(images).to(dtype)).numpy().astype(np.float64)


def case(model):
    names = [name for name, _ in make(model, CLASSES).state_dict().items()]
    result = {"model": model, "parameters": sum(p.numel() for p in make(model, 1000).parameters()),
              "names_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest()}
    if model not in LOGITS:
        return result
    images = uniform(SEED, "input", math.prod(INPUT)).astype(np.float32).reshape(INPUT)
    for mode in ("train", "eval"):
        exact = logits(model, images, torch.float64, mode == "train")
        deviation = 0.0
        for run in range(RUNS):
            moved = words(SEED, f"ulp/{run}", images.size).reshape(INPUT).astype(np.int64) % 3 - 1
            pixels = (images + moved * np.spacing(images)).astype(np.float32)
            for noisy in (0, run + 1):
                deviation = max(deviation, np.abs(logits(model, pixels, torch.float32, mode == "train", noisy)
                                                  - exact).max())
        result[mode] = {"logits": [digits(v, 9) for v in exact.reshape(-1)], "tolerance": digits(8 * deviation, 3)}
    print(model, result["train"]["tolerance"], result["eval"]["tolerance"], flush=True)
    return result


def family():
    return {"torch": torch.__version__, "torchvision": torchvision.__version__, "timm": timm.__version__,
            "input": INPUT, "classes": CLASSES, "cases": [case(model) for model in COUNTS]}
