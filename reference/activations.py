"""Writes what each module of a PyTorch network gives, for `resnet compare RUN FILE` (docs/compare.md).

Usage: activations.py MODEL WEIGHTS.pth OUT.safetensors [HEIGHT WIDTH]     (MODEL as torchvision calls it)
"""
import sys

import torch
import torchvision
from safetensors.torch import save_file


def record(model, x, path):
    seen = {"input": x}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, __, y, name=name or "output": seen.update({name: y.detach().clone()}))
    with torch.no_grad():
        model.eval()(x)
    save_file({name: y.contiguous() for name, y in seen.items() if isinstance(y, torch.Tensor)}, path)


if __name__ == "__main__":
    name, weights, out, *size = sys.argv[1:]
    model = torchvision.models.get_model(name)
    model.load_state_dict(torch.load(weights, weights_only=True))
    record(model, torch.rand(2, 3, *map(int, size or (224, 224)), generator=torch.Generator().manual_seed(0)), out)
