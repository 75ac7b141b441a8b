#!/usr/bin/env python3
"""Speed of training on a GPU against PyTorch on the same card, in alternation: rows of a Markdown table, then one JSON line.

    bench/rival_gpu.py --program build/ci/resnet --precision bf16,tf32

For each precision PyTorch's forms (channels_last; the whole step of that in one CUDA graph, which no time of the host's slows; compiled
with reduce-overhead and with max-autotune, which are in graphs too; eager) are timed once, and the fastest then takes turns
with `resnet bench train --device`. Batches and state of both sides lie on the card, and steps are asked for before those ahead
of them are done. A form that is not ready when --seconds are over is left out, and said so, and no pair is begun that would end
behind them. --prepare compiles and times nothing: what the compilers find stays in their caches. tools/device_check.sh runs this.
"""
import argparse
import json
import signal
import statistics
import subprocess
import sys
import time

import torch
from torch import nn

from rival_step import network

COMPILED = ("reduce-overhead", "max-autotune")  # modes of torch.compile, the quicker one first
FORMS = ("channels_last", "graph") + COMPILED + ("eager",)
WARM_UP = 8  # steps that do not count; compiling is in the first ones, capturing in those that follow
WARM_SECONDS = 0.5  # of steps before each measurement: a card's clocks rise meanwhile
ROUNDS = 5
GRACE = 25   # seconds that are kept for the rounds


class Late(BaseException):
    """The time of a form is over. No Exception: compilers catch those, and go on with another way."""


def rows(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


class Rival:
    """PyTorch's training step of one form and precision."""

    def __init__(self, options, form, precision):
        self.form, self.precision, self.step = form, precision, self.eager_step
        shape = [int(extent) for extent in options.input.split("x")]
        self.examples = shape[0]
        self.device = torch.device(options.torch_device)
        torch.manual_seed(0)
        # Inductor chooses layouts itself and is fastest from channels_last.
        layout = torch.contiguous_format if form == "eager" else torch.channels_last
        net = network(options.model, shape[1], options.classes, "large").to(self.device, memory_format=layout).train()
        self.optimiser = torch.optim.SGD(net.parameters(), lr=0.02, fused=True)
        self.loss_of = nn.CrossEntropyLoss()
        self.net = torch.compile(net, mode=form) if form in COMPILED else net
        # Four different batches in turn: constant data would flatter the caches.
        self.batches = [(torch.rand(shape, device=self.device).to(memory_format=layout),
                         torch.randint(options.classes, (shape[0],), device=self.device)) for _ in range(4)]
        if form == "graph":
            self.capture()
        self.run(WARM_UP)

    def capture(self):
        """One CUDA graph of the whole step, into whose images and labels each batch is copied."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for images, labels in self.batches:  # what it chooses and what memory it needs is known when it is captured
                self.eager_step(images, labels)
        torch.cuda.current_stream().wait_stream(stream)
        inputs = [tensor.clone() for tensor in self.batches[0]]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self.eager_step(*inputs)

        def replay(images, labels):
            inputs[0].copy_(images)
            inputs[1].copy_(labels)
            graph.replay()
            return loss
        self.step = replay

    def eager_step(self, images, labels):
        self.optimiser.zero_grad(set_to_none=True)
        # Without its cache: casts that a graph keeps must be in the graph.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=self.form != "graph"):
            loss = self.loss_of(self.net(images), labels)
        loss.backward()
        self.optimiser.step()
        return loss

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def warm_up(self):
        begin = time.monotonic()
        while time.monotonic() - begin < WARM_SECONDS:
            self.run(WARM_UP)

    def run(self, steps):
        """Examples a second of so many steps."""
        self.wait()
        begin = time.perf_counter()
        for i in range(steps):
            loss = self.step(*self.batches[i % len(self.batches)])
        self.wait()
        seconds = time.perf_counter() - begin
        assert torch.isfinite(loss)
        return self.examples * steps / seconds


def matmul_tflops(device, precision):
    """What NVIDIA's own library makes of the tensor cores (on sm_90 by wgmma): a square product, TFLOP/s."""
    side, times = (8192, 20) if device.type == "cuda" else (64, 1)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    for count in (3, times):
        if device.type == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            b = a @ a
        float(b[0, 0])
        seconds = (time.perf_counter() - begin) / count
    return 2 * side**3 / seconds / 1e12


def late(_signal, _frame):
    raise Late


def fastest(options, precision, deadline, figures):
    """The form with the most examples a second, or None."""
    best, best_speed = None, 0.0
    for form in FORMS:
        left = int(deadline - GRACE - time.monotonic())
        title = f"PyTorch {torch.__version__} {form}, {precision}"
        if left < 1:
            rows(title, "not tried: the time is over", "")
            continue
        signal.setitimer(signal.ITIMER_REAL, left, 5)  # again, where somebody swallowed it
        try:
            rival = Rival(options, form, precision)
            rival.warm_up()
            speed = rival.run(options.steps)
        except Late:
            rows(title, "not ready in time", f"{left} s")
            continue
        except Exception as error:  # pylint: disable=broad-except; a form that does not run here is no end of the rest
            lines = str(error).strip().splitlines()
            rows(title, "does not run here", (lines[0] if lines else type(error).__name__)[:120].replace("|", "/"))
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        rows(title, f"{speed:,.0f} examples/s", "")
        figures[form] = speed
        if speed > best_speed:
            best, best_speed = rival, speed
        del rival
    return best


def ours(options, precision, seconds):
    """What `resnet bench --json` says; None where it is not there in so many seconds."""
    command = [options.program, "bench", "train", "--device", options.device, "--model", options.model, "--input", options.input,
               "--classes", str(options.classes), "--precision", precision, "--steps", str(options.steps), "--json"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        return None
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {(result.stderr.strip().splitlines() or ['?'])[0]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def choose(precision):
    """f32 products as TF32, which is what PyTorch's convolutions do by themselves."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True


def prepare(options, precisions):
    """Lets the compilers fill their caches."""
    for form in COMPILED:
        for precision in precisions:
            choose(precision)
            begin = time.monotonic()
            Rival(options, form, precision)
            print(f"{form}, {precision}: compiled within {time.monotonic() - begin:.0f} s", flush=True)


def compare(options, precision, deadline):
    figures = {}
    choose(precision)
    matmul = matmul_tflops(torch.device(options.torch_device), precision)
    rows(f"a product of 8192x8192 by cuBLAS, {precision}", f"{matmul:.4g} TFLOP/s", "")
    rival = fastest(options, precision, deadline, figures)
    result = {"matmul_tflops": matmul, "forms": figures, "best": rival and rival.form}
    pairs, longest, ours_is = [], 0.0, ""
    while rival is not None and len(pairs) < ROUNDS:
        begin = time.monotonic()
        if begin + longest > deadline:
            break
        record = ours(options, precision, deadline - begin)
        if record is None:
            break
        ours_is = ", ".join(filter(None, (record.get("libraries"), record.get("note"))))
        rival.warm_up()
        pairs.append((record["examples_per_second"], rival.run(options.steps)))
        longest = max(longest, time.monotonic() - begin)
    if not pairs:
        rows(f"ours ÷ PyTorch's best, {precision}", "no pair was done in time" if rival else "no form of PyTorch runs here", "")
        return result
    ratios = [a / b for a, b in pairs]
    goal = options.goals.get(precision)
    notes = [f"floor {goal[0]}, goal {goal[1]}"] if goal else []
    missing = [form for form in COMPILED if form not in figures]
    if missing:
        notes.append(f"without PyTorch's {', '.join(missing)}, which may be faster")
    rows(f"{options.model} {options.input}, {precision}", f"{statistics.median(a for a, _ in pairs):,.0f} examples/s",
         f"PyTorch {rival.form} in turn {statistics.median(b for _, b in pairs):,.0f}")
    rows(f"ours ÷ PyTorch's best, {precision}", f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(pairs)} of {ROUNDS} pairs)",
         "; ".join(notes))
    rows(f"ours in {precision} computes with", ours_is or "its own kernels", "")
    return result | {"pairs": pairs, "ratio": statistics.median(ratios), "ours": ours_is}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="ours")
    parser.add_argument("--model", default="d2l_resnet18")
    parser.add_argument("--input", default="256x1x96x96", help="images x channels x height x width")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--precision", default="bf16,tf32", help="bf16, tf32, f32, with commas between")
    parser.add_argument("--steps", type=int, default=100, help="of each measurement")
    parser.add_argument("--seconds", type=int, default=150, help="for all of it")
    parser.add_argument("--device", default="cuda:0", help="of our program")
    parser.add_argument("--torch-device", default="cuda", help="of PyTorch; cpu tries this script")
    parser.add_argument("--goal", action="append", default=[], metavar="PRECISION=FLOOR,GOAL", help="to be said beside a ratio")
    parser.add_argument("--prepare", action="store_true", help="compile and measure nothing")
    options = parser.parse_args()
    if not options.program and not options.prepare:
        parser.error("--program is missing")
    options.goals = {name: bounds.split(",") for name, bounds in (goal.split("=") for goal in options.goal)}
    if options.torch_device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU: no comparison")
        return 77
    signal.signal(signal.SIGALRM, late)
    precisions = options.precision.split(",")
    if options.prepare:
        prepare(options, precisions)
        return 0
    begin = time.monotonic()
    figures = {"torch": torch.__version__, "model": options.model, "input": options.input}
    for i, precision in enumerate(precisions):
        # Each has its share of the time that is left.
        deadline = time.monotonic() + (begin + options.seconds - time.monotonic()) / (len(precisions) - i)
        try:
            figures[precision] = compare(options, precision, deadline)
        except Exception as error:  # pylint: disable=broad-except; what the other precision tells is no less true
            figures[precision] = {"error": str(error)}
            rows(f"ours ÷ PyTorch's best, {precision}", "failed", (str(error).strip().splitlines() or ["?"])[0][:120].replace("|", "/"))
    print(json.dumps(figures))
    missing = [precision for precision in precisions if "ratio" not in figures[precision]]
    if missing:
        print(f"no comparison in {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
