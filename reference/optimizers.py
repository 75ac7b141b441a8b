"""Twenty steps of PyTorch's optimisers on a small network."""

import functools

import torch

import training
from golden import digits
from networks import bias_before_norm

MODEL = "d2l_small"
SHAPE = [8, 1, 32, 32]
STEPS = 20
SAMPLES = 4  # of each tensor
SLOTS = ("momentum_buffer", "exp_avg", "exp_avg_sq")

# What differs from the defaults of torch.optim. `lr` and `momentum` (AdamW's first beta) may be given for every
# step; all are exact in float32. Groups: `factor` of the learning rate, `decay` of the weight decay, `frozen`, by names.
SCHEDULE = [0.0078125 * (1 - i / 32) for i in range(STEPS)]
MOMENTA = [0.9375 - i / 128 for i in range(STEPS)]
OPTIMIZERS = {
    "sgd": {"lr": 0.0078125},
    "sgd_decay": {"lr": 0.0078125, "weight_decay": 0.25},
    "sgd_momentum": {"lr": 0.00390625, "momentum": 0.9},
    "sgd_nesterov": {"lr": 0.00390625, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0625},
    "sgd_dampening": {"lr": 0.0078125, "momentum": 0.75, "dampening": 0.5, "weight_decay": 0.0625},
    "sgd_schedule": {"lr": SCHEDULE, "momentum": MOMENTA},
    "sgd_groups": {"lr": 0.0078125, "momentum": 0.9, "weight_decay": 0.25,
                   "groups": [{"pattern": "0.*", "frozen": True}, {"pattern": "5.*", "factor": 4, "decay": 0.5}],
                   "decay_norms_and_biases": False},
    "adamw": {"lr": 0.001953125},
    "adamw_betas": {"lr": 0.001953125, "betas": [0.75, 0.9375], "eps": 1e-3, "weight_decay": 0.5},
    "adamw_schedule": {"lr": SCHEDULE, "momentum": MOMENTA},
}


def _groups(net, options):
    """`options` of every parameter, as PyTorch wants its groups; frozen ones are left out."""
    own = {key: options[key] for key in ("weight_decay", "dampening", "nesterov", "eps") if key in options}
    result = []
    for name, parameter in net.named_parameters():
        group = next((g for g in options.get("groups", []) if name.startswith(g["pattern"].rstrip("*"))), {})
        parameter.requires_grad_(not group.get("frozen", False))
        if group.get("frozen", False):
            continue
        decay = own.get("weight_decay") * group.get("decay", 1) if "weight_decay" in own else None
        if not options.get("decay_norms_and_biases", True) and parameter.ndim == 1:
            decay = 0
        result.append({"params": [parameter], **own, **({} if decay is None else {"weight_decay": decay}),
                       "factor": group.get("factor", 1)})
    return result


def _optimizer(net, name):
    options = OPTIMIZERS[name]
    if name.startswith("adamw"):
        betas = options.get("betas", [0.9, 0.999])
        return torch.optim.AdamW(_groups(net, options), betas=betas)
    return torch.optim.SGD(_groups(net, options), lr=0.1, momentum=_at(options, "momentum", 0, 0))


def _at(options, key, step, default):
    value = options.get(key, default)
    return value[step] if isinstance(value, list) else value


def _schedule(optimizer, options, step):
    for group in optimizer.param_groups:
        group["lr"] = _at(options, "lr", step, None) * group["factor"]
        if "betas" in group:
            group["betas"] = (_at(options, "momentum", step, group["betas"][0]), group["betas"][1])
        else:
            group["momentum"] = _at(options, "momentum", step, 0)


def _steps(name, dtype, run=None, noisy=False):
    net = training.network(MODEL, dtype, run, noisy).train()
    optimizer = _optimizer(net, name)
    parameters = dict(net.named_parameters())
    losses = []
    for i in range(STEPS):
        x, labels = training.batch(SHAPE, f"/{i}", run)
        optimizer.zero_grad()
        loss = training.loss_of(net, x.to(dtype), labels)
        loss.backward()
        for bias in bias_before_norm(net):
            if parameters[bias].grad is not None:
                # Zero by algebra; AdamW would make steps of the noise that rounding leaves.
                parameters[bias].grad.zero_()
        _schedule(optimizer, OPTIMIZERS[name], i)
        optimizer.step()
        losses.append(loss.item())
    slots = {f"{slot}/{key}": optimizer.state[parameter][slot].numpy().copy()
             for slot in SLOTS for key, parameter in parameters.items()
             if slot in optimizer.state.get(parameter, {}) and optimizer.state[parameter][slot] is not None}
    return {"losses": losses, "slots": slots,
            "parameters": {key: parameter.detach().numpy().copy() for key, parameter in parameters.items()}}


def optimizers():
    """The losses of twenty steps, each on a batch of its own, and the parameters and slots after them."""
    torch.set_num_threads(1)  # two would wait for each other most of the time
    cases = []
    for name, options in OPTIMIZERS.items():
        pins = training.pinned(functools.partial(_steps, name), limit=SAMPLES)
        cases.append({"name": name, "options": options, **pins})
    return {**training.header(MODEL, SHAPE), "steps": STEPS, "optimizers": cases}
