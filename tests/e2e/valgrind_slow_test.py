#!/usr/bin/env python3
"""Valgrind's memcheck over three steps of training, with a checkpoint each, their evaluation, saving and resuming, and over an
evaluation of the model: no access to what is not there, no use of what was not set, no leak."""
import shutil
import subprocess

from program import PROGRAM, TIMEOUT, put_small_idx

if shutil.which("valgrind") is None:
    print("valgrind is not installed; nothing checked")
    raise SystemExit(77)
if subprocess.run(["valgrind", "-q", PROGRAM, "--version"], capture_output=True, check=False).returncode != 0:
    print("valgrind cannot run this program (a sanitizer's?); nothing checked")
    raise SystemExit(77)

put_small_idx("own")


def check(*arguments):
    # AVX-512 is not known to valgrind; what it emulates is AVX2.
    command = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect", PROGRAM,
               *arguments, "--isa", "avx2", "--threads", "2"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT * 4, check=False)
    assert result.returncode == 0, f"{' '.join(command)}: exit code {result.returncode}\n{result.stderr[-6000:]}"
    print(f"resnet {arguments[0]}: no error, no leak")


SMALL = ["--data", "idx:own", "--resize", "16", "--model", "resnet18", "--channels", "8,8", "--blocks", "1,1", "--batch-size", "4"]
for optimizer, extra in (("sgd", ["--momentum", "0.9"]), ("adamw", ["--augment", "crop,flip", "--ema", "0.9"])):
    check("train", *SMALL, "--steps", "2", "--epochs", "2", "--optimizer", optimizer, *extra, "--checkpoint-every", "1", "--out", optimizer)
    check("train", "--resume", optimizer, "--steps", "3")
check("eval", "sgd")
