#!/usr/bin/env python3
"""Runs of several seeds: their folders, summary.json and the last lines, any one of them repeated bit for bit, what goes
on with them, and what is refused."""
import json
import os
import random
import re
import shutil
import signal
import statistics
import xml.etree.ElementTree

from program import HERE, TIMEOUT, has_lines, png, put, put_noise, result_of, run, start, wait_until

put_noise("data", 40)
SMALL = ["--data", "idx:data", "--resize", 16, "--batch-size", 8, "--channels", "8", "--blocks", "1", "--quiet"]
FIGURES = ["loss", "train_acc", "test_acc", "examples_per_second", "seconds"]


def same_weights(summary, other):
    pairs = [[(of["seed"], of["weights_sha256"]) for of in text["runs"]] for text in (summary, other)]
    assert pairs[0] == pairs[1], pairs


# Three seeds from 7 on: a folder each, what they have in common last and as JSON.
shown = run("train", *SMALL, "--epochs", 2, "--seed", 7, "--seeds", 3, "--out", "three").stdout
assert re.fullmatch(r"loss \d\.\d{3} ± \d\.\d{3}, train acc \d\.\d{3} ± \d\.\d{3}, test acc \d\.\d{3} ± \d\.\d{3}\n"
                    r"\d+\.\d ± \d+\.\d examples/sec on cpu\n", shown), shown
three = json.loads((HERE / "three" / "summary.json").read_text())
assert set(three) == {"seeds", "complete", "command", "version", "runs", "mean", "deviation", "min", "max"}, three.keys()
assert three["seeds"] == 3 and three["complete"] is True
assert [(of["seed"], of["folder"]) for of in three["runs"]] == [(7, "seed-7"), (8, "seed-8"), (9, "seed-9")]
for of in three["runs"]:
    result = result_of(f"three/{of['folder']}")
    assert all(of[key] == result[key] for key in [*FIGURES, "seed", "weights_sha256", "epochs", "steps"]), (of, result)
for key in FIGURES:
    values = [of[key] for of in three["runs"]]
    assert abs(three["mean"][key] - statistics.mean(values)) < 1e-9 * max(1, *values), key
    assert abs(three["deviation"][key] - statistics.stdev(values)) < 1e-9 * max(1, *values), key
    assert (three["min"][key], three["max"][key]) == (min(values), max(values)), key
assert len({of["weights_sha256"] for of in three["runs"]}) == 3, "the seed changes nothing"
xml.etree.ElementTree.parse(HERE / "three" / "curves.svg")

# Any one of them by its own folder alone; all of them by the folder around; and by the command that summary.json has.
for seed in (7, 9):
    run("train", "--config", f"three/seed-{seed}/config.toml", "--out", f"again-{seed}", "--quiet")
    assert result_of(f"again-{seed}")["weights_sha256"] == result_of(f"three/seed-{seed}")["weights_sha256"], seed
words = three["command"].split()
assert words[:2] == ["resnet", "train"] and words[-1] == "DIR", words
same_weights(three, json.loads(run(*words[1:-1], "all", "--json", "--quiet").stdout))

# Plots and other commands of such a folder.
text = run("plot", "three").stdout
assert all(f"three/seed-{seed}" in text for seed in (7, 8, 9)), text
run("plot", "three", "--svg", "three.svg")
assert "seed-8" in (HERE / "three.svg").read_text() and "band loss" in (HERE / "three.svg").read_text()
run("plot", "three", "again-7", "--svg", "both.svg")  # beside others they are one curve, their mean
assert "three, mean of 3" in (HERE / "both.svg").read_text() and "seed-8" not in (HERE / "both.svg").read_text()
assert "three, mean of 3" in run("plot", "again-7", "three").stdout
run("eval", "three", code=1, says="give one of them, e.g. three/seed-7")

# More of them, and one that is missing; those that have ended stay as they are.
before = (HERE / "three" / "seed-7" / "result.json").read_bytes()
shutil.rmtree(HERE / "three" / "seed-8")
more = json.loads(run("train", "--resume", "three", "--seeds", 4, "--json", "--quiet").stdout)
assert more["seeds"] == 4 and more["complete"] and [of["seed"] for of in more["runs"]] == [7, 8, 9, 10]
same_weights(three, more | {"runs": more["runs"][:3]})
assert (HERE / "three" / "seed-7" / "result.json").read_bytes() == before
assert "seeds = 4\n" in (HERE / "three" / "config.toml").read_text()
longer = json.loads(run("train", "--resume", "three", "--epochs", 3, "--json", "--quiet").stdout)
assert [of["epochs"] for of in longer["runs"]] == [3] * 4, longer
whole = json.loads(run("train", *SMALL, "--epochs", 3, "--seed", 7, "--seeds", 4, "--json", "--out", "whole").stdout)
same_weights(longer, whole)

# What does not change the bits may be another.
run("train", "--resume", "three", "--cache", "memory", "--quiet")

# Refused, and nothing changes.
config = (HERE / "three" / "config.toml").read_bytes()
for flags in (["--epochs", 4], ["--seeds", 5], ["--time", "1s"], ["--epochs", 2**40]):
    run("train", "--resume", "three", "--quiet", *flags, "--memory", "1M", code=1)
assert (HERE / "three" / "config.toml").read_bytes() == config and (HERE / "three" / "seed-9" / "result.json").exists()
for flags, says in ((["--lr", 0.1], "have --lr 0.05, these have 0.1"), (["--seeds", 2], "may become more, not fewer"),
                    (["--seeds", 1], "may become more, not fewer"), (["--steps", 1], "may become longer, not shorter"),
                    (["--seed", 3], "have --seed 7, these have 3"), (["--epochs", 2], "may become longer, not shorter")):
    run("train", "--resume", "three", "--quiet", *flags, code=2, says=says)
assert (HERE / "three" / "config.toml").read_bytes() == config
# One run with their settings is one run.
run("train", "--config", "three/config.toml", "--seeds", 1, "--epochs", 1, "--out", "single", "--quiet")
assert (HERE / "single" / "model.safetensors").exists() and not (HERE / "single" / "seed-7").exists()
run("train", "--resume", "three/seed-7", "--seeds", 2, "--quiet", code=2, says="is one run")
run("train", *SMALL, "--seeds", 2, "--out", "three", code=1, says="three already holds a run")
run("train", *SMALL, "--seeds", 2, "--seed", 2**64 - 1, "--out", "beyond", code=2, says="go beyond 2^64-1")
run("train", *SMALL, "--seeds", 2, "--data", "idx:nowhere", "--out", "beyond", code=1, says="nowhere")
assert (HERE / "three" / "config.toml").read_bytes() == config and not (HERE / "beyond").exists()

# Ctrl-C in the second seed ends all of them, and says how to go on; --resume does, to the same weights.
LONG = [*SMALL, "--epochs", 120, "--seeds", 3]


def interrupted(folder, *flags):
    """What it says where Ctrl-C comes in the second seed."""
    process = start("train", *LONG, *flags, "--out", folder)
    wait_until(process, (HERE / folder / "seed-1" / "metrics.csv").exists)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, (process.returncode, error)
    return error


undisturbed = json.loads(run("train", *LONG, "--json", "--out", "undisturbed").stdout)
error = interrupted("stopped")
assert re.search(r"stopped after [12] of 3 seeds; resnet train --resume stopped goes on", error), error
assert json.loads((HERE / "stopped" / "summary.json").read_text())["complete"] is False
resumed = json.loads(run("train", "--resume", "stopped", "--json", "--quiet").stdout)
assert resumed["complete"]
same_weights(undisturbed, resumed)

assert "stopped-by-steps goes on" in interrupted("stopped-by-steps", "--checkpoint-every", 5)

# Without checkpoints there is nothing to go on from.
error = interrupted("without", "--checkpoint-every", "0")
assert "--resume" not in error and "of 3 seeds; what was trained is in without" in error, error
process = start("train", *SMALL, "--epochs", 5000, "--checkpoint-every", 0, "--out", "alone")
wait_until(process, lambda: has_lines(HERE / "alone" / "metrics.csv", 2))
process.send_signal(signal.SIGINT)
_, error = process.communicate(timeout=TIMEOUT)
assert process.returncode == 130 and re.search(r"stopped after \d+ steps, saved in alone$", error, re.M), (process.returncode, error)

# Made longer, and stopped or killed in the first seed: none of the shorter runs is taken for one that has ended.
longer = json.loads(run("train", *SMALL, "--epochs", 120, "--seeds", 2, "--json", "--out", "longer").stdout)
for how in (signal.SIGINT, signal.SIGKILL):
    folder = HERE / f"grown-{how.name}"
    run("train", *SMALL, "--epochs", 2, "--seeds", 2, "--out", folder)
    size = (folder / "seed-0" / "metrics.csv").stat().st_size
    process = start("train", "--resume", folder, "--epochs", 120, "--quiet")
    wait_until(process, lambda: (folder / "seed-0" / "metrics.csv").stat().st_size > size)
    process.send_signal(how)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode in (130, -signal.SIGKILL), process.returncode
    grown = json.loads(run("train", "--resume", folder, "--json", "--quiet").stdout)
    assert grown["complete"] and [of["epochs"] for of in grown["runs"]] == [120, 120], grown
    same_weights(longer, grown)

# A seed that begins has the data of the others, whatever stands there now; and theirs are longer only where all can be.
run("train", *SMALL, "--epochs", 1, "--seeds", 2, "--out", "mixed")
config = (HERE / "mixed/seed-0/config.toml").read_bytes()
result = HERE / "mixed/seed-1/result.json"
known = result.read_bytes()
result.unlink()
result.mkdir()
run("train", "--resume", "mixed", "--epochs", 2, "--quiet", code=1, says="cannot remove mixed/seed-1/result.json")
assert (HERE / "mixed/seed-0/config.toml").read_bytes() == config, "longer than the others"
result.rmdir()
result.write_bytes(known)
run("train", "--resume", "mixed", "--quiet")
put_noise("data", 40, seed=1)
run("train", "--resume", "mixed", "--seeds", 3, "--quiet", code=1, says="has other examples now than the run of mixed/seed-0")
assert not (HERE / "mixed/seed-2").exists()
put_noise("data", 40)
run("train", "--resume", "mixed", "--seeds", 3, "--quiet")
# One that was killed before its first checkpoint begins anew, also where the folder is called otherwise by now.
(HERE / "mixed").rename(HERE / "moved")
for name in ("result.json", "model.safetensors"):
    (HERE / "moved/seed-1" / name).unlink()
shutil.rmtree(HERE / "moved/seed-1/checkpoints")
again = json.loads(run("train", "--resume", "moved", "--json", "--quiet").stdout)
assert again["complete"] and len(again["runs"]) == 3, again

# Where a folder has no split of its own, each seed has another one, of the same pictures.
for i in range(24):
    put(f"photos/{'ab'[i % 2]}/{i}.png", png(random.Random(i).randbytes(256), 16, 16))
PHOTOS = ["photos", *SMALL[2:], "--epochs", 1, "--val-split", 0.25]
run("train", *PHOTOS, "--seeds", 2, "--out", "split")
run("train", "--resume", "split", "--seeds", 3, "--quiet")
run("train", "--config", "split/seed-0/config.toml", "--val-split", 0.5, "--quiet", "--out", "halves")
put("photos/a/0.png", png(bytes(256), 16, 16))
run("train", "--resume", "split", "--seeds", 4, "--quiet", code=1, says="has other examples now than the run of split/seed-0")
run("train", "--config", "split/seed-0/config.toml", "--seed", 9, "--quiet", "--out", "other", code=1, says="give --data or --data-dir")
run("train", "--config", "split/config.toml", "--quiet", "--out", "split-again")

# With parts of its own all seeds have the same, and what is said is said for each.
for i in range(24):
    put(f"parts/{('train', 'train', 'val', 'test')[i % 4]}/{'ab'[i // 4 % 2]}/{i}.png", png(random.Random(i).randbytes(256), 16, 16))
PARTS = ["parts", *[flag for flag in SMALL[2:] if flag != "--quiet"], "--epochs", 1]
said = run("train", *PARTS, "--seeds", 2, "--out", "parted").stderr
assert re.search(r"^seed 0 \(1 of 2\)$.*^seed 1 \(2 of 2\)$.*^runs: parted$", said, re.M | re.S), said
assert said.count("12 training examples, 6 to validate, 6 to test") == 2, said
run("train", "--resume", "parted", "--seeds", 3, "--quiet")
assert "val_acc" in result_of("parted/seed-2")

# A pipe in place of a seed's settings is not waited for.
run("train", *SMALL, "--epochs", 1, "--seeds", 2, "--out", "piped")
(HERE / "piped/seed-0/config.toml").unlink()
os.mkfifo(HERE / "piped/seed-0/config.toml")
run("train", "--resume", "piped", "--epochs", 2, code=1, says="seed-0/config.toml is a device or a pipe")
