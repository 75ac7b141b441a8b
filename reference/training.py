"""Whole networks: one forward and backward pass, ten training steps, one step of the chapter's size."""

import numpy as np
import torch
import torchvision
from torch.nn import functional as F

from golden import SEED, Pins, digits, scalar
from networks import bias_before_norm, build, load, recipes, running, stages
from philox import fill, words

RUNS = 8  # float32 runs that a tolerance is derived from
PROJECTIONS = 64
MODELS = {"d2l_resnet18": [4, 1, 64, 64], "resnet18": [2, 3, 64, 64], "resnet50": [2, 3, 64, 64]}
CLASSES = 10
STEP_INPUT = [256, 1, 96, 96]


def _header(model, shape):
    net = build(model, CLASSES)
    return {"torch": torch.__version__, "torchvision": torchvision.__version__, "model": model, "input": shape,
            "classes": CLASSES, "parameters": sum(p.numel() for p in net.parameters()), "runs": RUNS,
            "tensors": recipes(net)}


def _batch(shape, suffix="", run=None):
    """Input and labels; float32 run `run` sees every pixel moved by -1, 0 or +1 unit in the last place."""
    x = fill(SEED, "input" + suffix, shape, 0.5, 0.5)
    if run is not None:
        moves = words(SEED, f"ulp/{run}{suffix}", x.size).reshape(shape) % 3
        x = np.nextafter(x, x + moves.astype(np.float32) - 1)
    labels = words(SEED, "labels" + suffix, shape[0]).astype(np.int64) % CLASSES
    return torch.from_numpy(x), torch.from_numpy(labels)


def _loss(net, x, labels, outputs=None):
    for name, stage in stages(net):
        x = stage(x)
        if outputs is not None:
            outputs[name] = x.detach().numpy().copy()
    return F.cross_entropy(x, labels)


def _pinned(reference, runs, zero=()):
    """Pins each part of `reference`: a number, a list of numbers, or tensors by name."""
    pins = {part: Pins(value, zero if part == "gradients" else ())
            for part, value in reference.items() if isinstance(value, dict)}
    numbers = {part: [] for part in reference if part not in pins}
    for run in runs:
        for part, value in run.items():
            if part in pins:
                pins[part].stray(value)
            else:
                numbers[part].append(value)
    result = {}
    for part, value in reference.items():
        if part in pins:
            result[part] = pins[part].result()
        elif isinstance(value, list):
            result[part] = [scalar(v, [run[i] for run in numbers[part]]) for i, v in enumerate(value)]
        else:
            result[part] = scalar(value, numbers[part])
    return result


def _forward_backward(model, shape, dtype, train, run=None):
    net = load(build(model, CLASSES), dtype).train(train)
    x, labels = _batch(shape, run=run)
    outputs = {}
    loss = _loss(net, x.to(dtype), labels, outputs)
    if not train:
        return {"loss": loss.item(), "stages": outputs}
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in net.named_parameters()}
    _check_zeros(net, gradients, dtype)
    return {"loss": loss.item(), "stages": outputs, "gradients": gradients, "running": running(net)}


def _check_zeros(net, gradients, dtype):
    """The names taken for exactly 0 are those, and only those, that vanish in float64."""
    if dtype == torch.float64:
        vanishing = [name for name, g in gradients.items() if np.abs(g).max() < 1e-12]
        assert vanishing == bias_before_norm(net), vanishing


def gradients(model):
    """Stage outputs, losses and the gradient of every parameter."""
    shape = MODELS[model]
    zero = bias_before_norm(build(model, CLASSES))
    result = _header(model, shape)
    for mode in ("train", "eval"):
        reference = _forward_backward(model, shape, torch.float64, mode == "train")
        runs = (_forward_backward(model, shape, torch.float32, mode == "train", k) for k in range(RUNS))
        result[mode] = _pinned(reference, runs, zero)
    return result


def _steps(model, shape, steps, lr, dtype, run=None):
    net = load(build(model, CLASSES), dtype).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    losses = []
    for i in range(steps):
        x, labels = _batch(shape, f"/{i}", run)
        optimizer.zero_grad()
        loss = _loss(net, x.to(dtype), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(n.item() == steps for name, n in net.state_dict().items() if name.endswith("num_batches_tracked"))
    return {"losses": losses, "running": running(net)}


def ten_steps(model, lr, steps=10):
    """The losses of ten steps of plain SGD, each on a batch of its own, and the running statistics."""
    shape = MODELS[model]
    reference = _steps(model, shape, steps, lr, torch.float64)
    runs = (_steps(model, shape, steps, lr, torch.float32, k) for k in range(RUNS))
    return {**_header(model, shape), "lr": lr, "num_batches_tracked": steps, **_pinned(reference, runs)}


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


def _one_step(lr, dtype, run=None):
    net = load(build("d2l_resnet18", CLASSES), dtype).train()
    before = {name: p.detach().numpy().copy() for name, p in net.named_parameters()}
    x, labels = _batch(STEP_INPUT, run=run)
    loss = _loss(net, x.to(dtype), labels)
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
    losses, distances = [], []
    for k in range(RUNS):
        run = _one_step(lr, torch.float32, k)
        pins.stray(run["changes"])
        statistics.stray(run["running"])
        losses.append(run["loss"])
        distances.append(_distances(changes, projections, run["changes"]))

    result = pins.result()
    for name, pin in result.items():
        if name not in zero:
            l2 = float(np.linalg.norm(changes[name]))
            pin["projections"] = [digits(p, 12) for p in projections[name]]
            pin["pytorch_f32"] = _spread([d[name] for d in distances], l2)
    whole = float(np.sqrt(sum(np.sum(change**2) for change in changes.values())))
    totals = [tuple(sum(d[name][i] for name in d) for i in range(2)) for d in distances]
    return {**_header("d2l_resnet18", STEP_INPUT), "lr": lr, "loss": scalar(reference["loss"], losses),
            "l2": digits(whole, 12), "pytorch_f32": _spread(totals, whole),
            "changes": result, "running": statistics.result()}


def _spread(squares, l2):
    """Distances of the float32 runs relative to the change itself: true, and as projections see them."""
    return {"relative": [digits(true**0.5 / l2, 4) for true, _ in squares],
            "estimated": [digits(estimate**0.5 / l2, 4) for _, estimate in squares]}
