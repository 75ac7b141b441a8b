"""Whole networks: one forward and backward pass, ten training steps, one step of the chapter's size."""

import math

import numpy as np
import torch
import torchvision
from torch.nn import functional as F

from golden import SAMPLES, SEED, Pins, digits, on_grid, scalar
from networks import bias_before_norm, build, disturb, load, recipes, running, stages
from philox import fill, words

RUNS = 8  # float32 runs that a tolerance is derived from
PROJECTIONS = 64
MODELS = {"d2l_resnet18": [4, 1, 64, 64], "resnet18": [2, 3, 64, 64], "resnet50": [2, 3, 64, 64]}
CLASSES = 10
STEP_INPUT = [256, 1, 96, 96]


def header(model, shape):
    net = build(model, CLASSES)
    return {"torch": torch.__version__, "torchvision": torchvision.__version__, "model": model, "input": shape,
            "classes": CLASSES, "parameters": sum(p.numel() for p in net.parameters()), "runs": RUNS,
            "tensors": recipes(net)}


def batch(shape, suffix="", run=None):
    """Input and labels; float32 run `run` sees every pixel moved by -1, 0 or +1 unit in the last place."""
    x = fill(SEED, "input" + suffix, shape, 0.5, 0.5)
    if run is not None:
        moves = words(SEED, f"ulp/{run}{suffix}", x.size).reshape(shape) % 3
        x = np.nextafter(x, x + moves.astype(np.float32) - 1)
    labels = words(SEED, "labels" + suffix, shape[0]).astype(np.int64) % CLASSES
    return torch.from_numpy(x), torch.from_numpy(labels)


def loss_of(net, x, labels, outputs=None):
    for name, stage in stages(net):
        x = stage(x)
        if outputs is not None:
            outputs[name] = x.detach().numpy().copy()
    return F.cross_entropy(x, labels)


def network(model, dtype, run=None, noisy=False):
    net = load(build(model, CLASSES), dtype)
    return disturb(net, run) if noisy else net


def _float32_runs(compute, *arguments):
    """(noisy, result) of every float32 run: RUNS as they are, RUNS with noisy convolutions."""
    for noisy in (False, True):
        for run in range(RUNS):
            yield noisy, compute(*arguments, torch.float32, run, noisy)


def pinned(compute, *arguments, zero=(), limit=SAMPLES):
    """Pins each part of what `compute` returns: a list of losses, or tensors by name."""
    reference = compute(*arguments, torch.float64)
    losses = {False: [], True: []}
    pins = {part: Pins(value, zero if part == "gradients" else (), limit)
            for part, value in reference.items() if part != "losses"}
    for noisy, run in _float32_runs(compute, *arguments):
        losses[noisy].append(run["losses"])
        for part, pin in pins.items():
            pin.stray(run[part], noisy=noisy)
    return {"losses": _scalars(reference["losses"], losses), **{part: pin.result() for part, pin in pins.items()}}


def _scalars(reference, losses):
    """Pins a list of numbers; `losses` maps whether noisy to such a list for every run."""
    return [scalar(value, *([run[i] for run in losses[noisy]] for noisy in (False, True)))
            for i, value in enumerate(reference)]


def _forward_backward(model, shape, train, dtype, run=None, noisy=False):
    net = network(model, dtype, run, noisy).train(train)
    x, labels = batch(shape, run=run)
    outputs = {}
    loss = loss_of(net, x.to(dtype), labels, outputs)
    if not train:
        return {"losses": [loss.item()], "stages": outputs}
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in net.named_parameters()}
    _check_zeros(net, gradients, dtype)
    return {"losses": [loss.item()], "stages": outputs, "gradients": gradients, "running": running(net)}


def _check_zeros(net, gradients, dtype):
    """The names taken for exactly 0 are those, and only those, that vanish in float64."""
    if dtype == torch.float64:
        vanishing = [name for name, g in gradients.items() if np.abs(g).max() < 1e-12]
        assert vanishing == bias_before_norm(net), vanishing


def gradients(model):
    """Stage outputs, losses and the gradient of every parameter."""
    shape = MODELS[model]
    zero = bias_before_norm(build(model, CLASSES))
    result = header(model, shape)
    for mode in ("train", "eval"):
        parts = pinned(_forward_backward, model, shape, mode == "train", zero=zero)
        result[mode] = {"loss": parts.pop("losses")[0], **parts}
    return result


def _steps(model, steps, lr, dtype, run=None, noisy=False):
    net = network(model, dtype, run, noisy).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    losses = []
    for i in range(steps):
        x, labels = batch(MODELS[model], f"/{i}", run)
        optimizer.zero_grad()
        loss = loss_of(net, x.to(dtype), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(n.item() == steps for name, n in net.state_dict().items() if name.endswith("num_batches_tracked"))
    return {"losses": losses, "running": running(net)}


def ten_steps(model, lr=3e-5, steps=10):
    """The losses of ten steps of plain SGD, each on a batch of its own, and the running statistics.

    The chapter's rate of 0.05, and 0.01 too, send float32 and float64 apart within three steps (losses
    differ by 10 % and more): nothing could be pinned. At 3e-5 rounding moves the losses by far less
    than training does, which is the difference to `losses_without_update`.
    """
    still = _steps(model, steps, 0, torch.float64)["losses"]
    return {**header(model, MODELS[model]), "lr": lr, "num_batches_tracked": steps,
            "losses_without_update": [digits(loss, 10) for loss in still],
            **pinned(_steps, model, steps, lr)}


def _project(name, change):
    """Sums of `change` under 64 random signs: bit k % 32 of word i of stream sign/<k // 32>/<name>."""
    flat = change.reshape(-1).astype(np.float64)
    result = []
    for part in range(PROJECTIONS // 32):
        signs = words(SEED, f"sign/{part}/{name}", flat.size)
        for bit in range(32):
            ones = (signs >> np.uint32(bit)) & np.uint32(1)
            result.append(2 * np.dot(ones.astype(np.float64), flat) - flat.sum())
    return np.array(result)


def _one_step(lr, dtype, run=None, noisy=False):
    net = network("d2l_resnet18", dtype, run, noisy).train()
    before = {name: p.detach().numpy().copy() for name, p in net.named_parameters()}
    x, labels = batch(STEP_INPUT, run=run)
    loss = loss_of(net, x.to(dtype), labels)
    loss.backward()
    _check_zeros(net, {name: p.grad.numpy() for name, p in net.named_parameters()}, dtype)
    torch.optim.SGD(net.parameters(), lr=lr).step()
    changes = {name: p.detach().numpy() - before[name] for name, p in net.named_parameters()}
    return {"loss": loss.item(), "changes": changes, "running": running(net)}


def _distances(reference, projections, run):
    """{tensor: (squared distance of the changes, its estimate by projections)}."""
    result = {}
    for name, change in reference.items():
        apart = run[name].astype(np.float64) - change
        estimate = np.mean((_project(name, run[name]) - projections[name]) ** 2)
        result[name] = float(np.sum(apart**2)), float(estimate)
    return result


def one_step(lr=0.001):
    """How one step of the chapter's size changes every parameter."""
    reference = _one_step(lr, torch.float64)
    changes = reference["changes"]
    zero = bias_before_norm(build("d2l_resnet18", CLASSES))
    for name in zero:
        changes[name] = np.zeros_like(changes[name])
    projections = {name: _project(name, change) for name, change in changes.items()}

    pins = Pins(changes, zero)
    statistics = Pins(reference["running"], limit=64)
    losses, distances = {False: [], True: []}, {False: [], True: []}
    for noisy, run in _float32_runs(_one_step, lr):
        pins.stray(run["changes"], noisy=noisy)
        statistics.stray(run["running"], noisy=noisy)
        losses[noisy].append([run["loss"]])
        distances[noisy].append(_distances(changes, projections, run["changes"]))

    result = pins.result()
    for name, pin in result.items():
        if name not in zero:
            pin["projections"] = [on_grid(p, pin["l2"]) for p in projections[name]]
            pin.update(_spreads(distances, [name], changes))
    whole = math.sqrt(sum(np.sum(change**2) for change in changes.values()))
    return {**header("d2l_resnet18", STEP_INPUT), "lr": lr,
            "loss": _scalars([reference["loss"]], losses)[0], "l2": digits(whole, 10),
            **_spreads(distances, list(changes), changes), "changes": result, "running": statistics.result()}


def _spreads(distances, names, changes):
    """How far the float32 runs' changes of `names` are from the true ones, relative to those: as they
    are, and as the projections see them."""
    l2 = math.sqrt(sum(np.sum(changes[name] ** 2) for name in names))
    result = {}
    for noisy, key in ((False, "float32"), (True, "noisy_float32")):
        squares = [[sum(run[name][i] for name in names) for run in distances[noisy]] for i in range(2)]
        true, estimated = ([digits(math.sqrt(square) / l2, 4) for square in some] for some in squares)
        result[key] = {"relative": true, "estimated": estimated}
    return result
