#!/usr/bin/python3
"""Writes tests/golden/*.json: what PyTorch and Pillow compute. See README.md for the schema."""

import argparse
import functools
import pathlib

import torch

import golden
import losses
import optimizers
import philox
import schedules
import training
from batch_norm import batch_norm
from resize import resize_bilinear


def family():
    import family as cases  # timm is for this one alone
    return cases.family()


CASES = {
    "resize_bilinear": resize_bilinear,
    "batch_norm": batch_norm,
    **{model: functools.partial(training.gradients, model) for model in training.MODELS},
    **{f"{model}_ten_steps": functools.partial(training.ten_steps, model) for model in training.MODELS},
    "d2l_resnet18_step": training.one_step,
    "optimizers": optimizers.optimizers,
    "losses": losses.losses,
    "schedules": schedules.schedules,
    "family": family,
}
BY_TORCH_2 = ("optimizers", "losses", "schedules", "family")  # of the files here; the others are by Debian's


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=sorted(CASES), help="make this one only; without, those of this PyTorch, README.md says which")
    default = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
    parser.add_argument("--out", type=pathlib.Path, default=default, help="folder to write to")
    options = parser.parse_args()

    torch.set_num_threads(2)
    philox.check()
    options.out.mkdir(parents=True, exist_ok=True)
    old = int(torch.__version__.split(".", maxsplit=1)[0]) < 2
    for name in [options.case] if options.case else [case for case in CASES if (case not in BY_TORCH_2) == old]:
        header = {"case": name, "generator": "philox4x32-10", "seed": golden.SEED}
        golden.write(options.out / f"{name}.json", {**header, **CASES[name]()})


if __name__ == "__main__":
    main()
