"""Batch norm alone: an everyday case, and one whose mean is 1000 standard deviations."""

import math

import torch
from torch.nn import functional as F

from golden import SEED, Pins, digits
from philox import fill

RUNS = 8


def _recipes(mean):
    channel, full = [16], [8, 16, 12, 12]
    deviation = digits(math.sqrt(3), 12)  # makes the standard deviation 1
    return {
        "x": {"shape": full, "center": mean, "scale": deviation},
        "dy": {"shape": full, "center": 0, "scale": 1},
        "gamma": {"shape": channel, "center": 1, "scale": 0.2},
        "beta": {"shape": channel, "center": 0, "scale": 0.1},
        "running_mean": {"shape": channel, "center": 0, "scale": 0.1},
        "running_var": {"shape": channel, "center": 1, "scale": 0.2},
    }


def _run(recipes, seed, dtype, train):
    tensors = {name: torch.from_numpy(fill(seed, name, **recipe)).to(dtype) for name, recipe in recipes.items()}
    x, gamma, beta = (tensors[name].requires_grad_() for name in ("x", "gamma", "beta"))
    y = F.batch_norm(x, tensors["running_mean"], tensors["running_var"], gamma, beta, train, 0.1, 1e-5)
    y.backward(tensors["dy"])
    results = {"y": y.detach(), "dx": x.grad, "dgamma": gamma.grad, "dbeta": beta.grad}
    if train:
        results.update({name: tensors[name] for name in ("running_mean", "running_var")})
    return {name: result.numpy() for name, result in results.items()}


def _pin(recipes, train):
    """Unlike the networks, every run has exactly the input of its reference: other numbers each time."""
    pins = Pins(_run(recipes, SEED, torch.float64, train))
    for k in range(RUNS):
        reference = _run(recipes, SEED + k, torch.float64, train)
        pins.stray(_run(recipes, SEED + k, torch.float32, train), reference)
    return pins.result()


def batch_norm():
    cases = []
    for name, mean in (("everyday", 0), ("mean_1000_sigma", 1000)):
        recipes = _recipes(mean)
        cases.append({"name": name, "eps": 1e-5, "momentum": 0.1, "tensors": recipes,
                      "train": _pin(recipes, True), "eval": _pin(recipes, False)})
    return {"torch": torch.__version__, "runs": RUNS, "cases": cases}
