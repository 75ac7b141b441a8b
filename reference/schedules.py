"""Trajectories of PyTorch's learning-rate schedulers, a number a step."""

import warnings

import torch
from torch.optim import lr_scheduler

from golden import digits

LR, MOMENTUM, EPOCH = 0.5, 0.95, 6  # steps of an epoch
STEPS = 40

# Options as in resnet/schedule.h; what PyTorch is given for them is said in _scheduler.
CASES = {
    "constant": {"kind": "constant"},
    "constant_warmup": {"kind": "constant", "warmup_epochs": 1.5, "start": 0.25},
    "step": {"kind": "step", "gamma": 0.5, "every_epochs": 2},
    "step_warmup": {"kind": "step", "gamma": 0.25, "every_epochs": 1, "warmup_epochs": 1},
    "cosine": {"kind": "cosine", "final": 0.125},
    "cosine_warmup": {"kind": "cosine", "warmup_epochs": 0.5, "start": 0.1},
    "one_cycle": {"kind": "one_cycle", "low_momentum": 0.85},
    "one_cycle_to_zero": {"kind": "one_cycle", "start": 0.2, "final": 0.001, "peak": 0.2},
    "one_cycle_warmup": {"kind": "one_cycle", "warmup_epochs": 1, "peak": 0.5},
    "polynomial": {"kind": "polynomial", "power": 2},
    "polynomial_warmup": {"kind": "polynomial", "power": 0.5, "warmup_epochs": 2},
    "triangular": {"kind": "triangular", "start": 0.25, "final": 0.25, "peak": 0.25},
    "triangular_to_zero": {"kind": "triangular", "start": 0.2, "final": 0, "peak": 0.25},
    "triangular_warmup": {"kind": "triangular", "start": 0.04, "final": 0.04, "peak": 0.5, "warmup_epochs": 1},
}


def _scheduler(optimizer, options, steps):
    kind, start, final = options["kind"], options.get("start", 0.04), options.get("final", 0)
    peak = options.get("peak", 0.3)
    if kind == "step":
        return lr_scheduler.StepLR(optimizer, round(EPOCH * options["every_epochs"]), options["gamma"])
    if kind == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=LR * final)
    if kind == "polynomial":
        return lr_scheduler.PolynomialLR(optimizer, steps, options["power"])
    if kind == "one_cycle":
        low = options.get("low_momentum")
        return lr_scheduler.OneCycleLR(optimizer, LR, steps, pct_start=peak, div_factor=1 / start,
                                       final_div_factor=start / max(final, 1e-300), cycle_momentum=low is not None,
                                       base_momentum=low or 0, max_momentum=MOMENTUM)
    if kind == "triangular":
        up = round(peak * steps)
        if start != final:
            rise, fall = lr_scheduler.LinearLR(optimizer, start, 1, up), lr_scheduler.LinearLR(optimizer, 1, final, steps - up)
            return lr_scheduler.SequentialLR(optimizer, [rise, fall], [up])
        # Both ends of CyclicLR's are one.
        return lr_scheduler.CyclicLR(optimizer, LR * start, LR, up, steps - up, cycle_momentum=False)
    return lr_scheduler.ConstantLR(optimizer, 1)


def _trajectory(options):
    warmup = round(EPOCH * options.get("warmup_epochs", 0))

    def run(make, steps):
        optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=LR, momentum=MOMENTUM)
        scheduler = make(optimizer)
        points = []
        for _ in range(steps):
            points.append((float(optimizer.param_groups[0]["lr"]), optimizer.param_groups[0]["momentum"]))
            scheduler.step()
        return points

    def rise(optimizer):
        return lr_scheduler.LinearLR(optimizer, options.get("start", 0.04), 1, warmup)

    def rest(optimizer):
        return _scheduler(optimizer, options, STEPS - warmup)

    if not warmup:
        return run(rest, STEPS)
    if options["kind"] in ("one_cycle", "triangular"):  # they set the rate when they are made
        return run(rise, warmup) + run(rest, STEPS - warmup)
    return run(lambda o: lr_scheduler.SequentialLR(o, [rise(o), rest(o)], [warmup]), STEPS)


def schedules():
    """The learning rate of every step, and the momentum where it changes. Warm-up is LinearLR, by SequentialLR."""
    warnings.simplefilter("ignore")
    cases = []
    for name, options in CASES.items():
        points = _trajectory(options)
        case = {"name": name, "options": options, "lr": [digits(lr, 12) for lr, _ in points]}
        if "low_momentum" in options:
            case["momentum"] = [digits(momentum, 12) for _, momentum in points]
        cases.append(case)
    return {"torch": torch.__version__, "lr": LR, "momentum": MOMENTUM, "steps": STEPS, "steps_per_epoch": EPOCH,
            "schedules": cases}
