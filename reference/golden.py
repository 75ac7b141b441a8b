"""What a golden file looks like: how a tensor is pinned and how the text is written."""

import json
import math

import numpy as np

from philox import words

SEED = 20151210  # the day of arXiv:1512.03385
SAMPLES = 32


def digits(value, count):
    """`value` rounded to `count` significant digits."""
    return float(f"{float(value):.{count}g}")


def on_grid(value, scale):
    """`value` to ten significant digits of `scale`: what float64 leaves of a sum that cancels is noise."""
    return round(float(value), 9 - math.floor(math.log10(scale))) + 0.0 if scale else float(value)


def sample_indices(name, count, limit=SAMPLES):
    """Every index if `count` is at most `limit`, else `limit` of them drawn by the tensor's name."""
    if count <= limit:
        return np.arange(count)
    return words(SEED, "samples/" + name, limit).astype(np.int64) % count


def scalar(reference, runs, noisy_runs):
    """Pins one number by the float32 results `runs` and `noisy_runs` for it."""
    deviation, noisy = (max(abs(run - reference) for run in some) for some in (runs, noisy_runs))
    return {"value": digits(reference, 10), **_tolerance("", deviation), "noisy_deviation": digits(noisy, 4)}


def _tolerance(prefix, deviation):
    return {prefix + "deviation": digits(deviation, 4), prefix + "tolerance": digits(8 * deviation, 4)}


class Pins:
    """Pins float64 tensors: what they are, and how far float32 strays from them.

    `reference` maps names to float64 arrays; `stray` is then given the float32 arrays of one run after
    the other. Names in `zero` are known to be exactly 0, whatever rounding left in the reference.
    """

    def __init__(self, reference, zero=(), limit=SAMPLES):
        self._reference = reference
        self._zero = set(zero)
        self._limit = limit
        self._figures = {name: _figures(values) for name, values in reference.items()}
        self._deviation = {name: {} for name in reference}

    def stray(self, run, reference=None, noisy=False):
        """Takes one float32 run into account; `reference` if it is not the pinned one."""
        for name, values in (reference or self._reference).items():
            got = run[name].astype(np.float64)
            figures = _figures(values) if reference else self._figures[name]
            l2, total = (abs(a - b) for a, b in list(zip(_figures(got), figures))[:2])
            deviations = {"": float(np.abs(got - values).max()), "l2_": l2, "sum_": total}
            worst = self._deviation[name]
            for kind, deviation in deviations.items():
                kind = ("noisy_" if noisy else "") + kind
                worst[kind] = max(worst.get(kind, 0.0), deviation)

    def result(self):
        return {name: self._pin(name) for name in self._reference}

    def _pin(self, name):
        values = self._reference[name]
        if name in self._zero:
            return {"shape": list(values.shape), "exactly_zero": True, "tolerance": 0}
        l2, total, largest = self._figures[name]
        flat = values.reshape(-1)
        pin = {"shape": list(values.shape), "l2": digits(l2, 10), "sum": on_grid(total, np.abs(flat).sum()),
               "max_abs": digits(largest, 10)}
        worst = self._deviation[name]
        for kind in ("", "l2_", "sum_"):
            pin.update(_tolerance(kind, worst[kind]))
        for kind in ("noisy_", "noisy_l2_"):
            if kind in worst:
                pin[kind + "deviation"] = digits(worst[kind], 4)
        indices = sample_indices(name, flat.size, self._limit)
        pin["samples"] = [on_grid(flat[i], largest) for i in indices]
        return pin


def _figures(values):
    flat = values.reshape(-1)
    return math.sqrt(np.dot(flat, flat)), float(flat.sum()), float(np.abs(flat).max())


def write(path, content):
    """Writes JSON; an object or list without objects inside stands on one line."""
    path.write_text(_text(content, "") + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes", flush=True)


def _holds_objects(value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(isinstance(child, dict) or _holds_objects(child) for child in children)


def _text(value, indent):
    if not _holds_objects(value):
        return json.dumps(value, allow_nan=False)
    deeper = indent + " "
    if isinstance(value, dict):
        lines = [f"{deeper}{json.dumps(key)}: {_text(child, deeper)}" for key, child in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _text(child, deeper) for child in value) + f"\n{indent}]"
