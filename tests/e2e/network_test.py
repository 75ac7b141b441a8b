#!/usr/bin/env python3
"""Networks by configuration: a table [model] in a config file, the family's flags through training, its files and
evaluation, and the example of plain against residual networks."""
import gzip
import json
import os
import pathlib
import subprocess
import tomllib
import xml.etree.ElementTree

from program import HERE, PROGRAM, SOURCE, TIMEOUT, put, result_of, run
from weight_files import read_safetensors

SHORT = ["--limit-train", "96", "--limit-test", "40", "--batch-size", "32", "--resize", "20", "--epochs", "1"]


# The network of a config file, written with lists, is the one of the flags; the run's own config repeats it.
(HERE / "small.toml").write_text('[model]\nname = "resnet18"\nblocks = [1, 1]\nchannels = [8, 16]\nstem = "small"\n'
                                 'se-reduction = 2\ndrop-path = 0.2\n')
FLAGS = ["--model", "resnet18", "--blocks", "1,1", "--channels", "8,16", "--stem", "small", "--se-reduction", "2",
         "--drop-path", "0.2"]
run("train", "--config", "small.toml", *SHORT, "--out", "table")
run("train", *FLAGS, *SHORT, "--out", "flags")
run("train", "--config", "flags/config.toml", "--out", "again")
hashes = {result_of(name)["weights_sha256"] for name in ("table", "flags", "again")}
assert len(hashes) == 1, hashes
assert tomllib.loads((HERE / "table" / "config.toml").read_text())["blocks"] == "1,1"

# Drop path draws from seed and example: the same bits for any number of threads, others for another seed.
run("train", *FLAGS, *SHORT, "--threads", "1", "--out", "one")
run("train", *FLAGS, *SHORT, "--seed", "1", "--out", "seed")
of = {name: result_of(name)["weights_sha256"] for name in ("one", "seed")}
assert of["one"] in hashes and of["seed"] not in hashes, (of, hashes)

# Model files hold the family's operations.
for model in (["resnet50d"], ["seresnext50_32x4d", "--width-per-group", "8"], ["resnetv2_18"]):
    folder = model[0]
    run("train", "--model", *model, "--blocks", "1,1", "--channels", "8,16", *SHORT, "--steps", "1", "--out", folder)
    trained = result_of(folder)
    again = json.loads(run("eval", folder, "--limit-test", "40", "--json").stdout)
    assert abs(again["test_acc"] - trained["test_acc"]) < 1e-9, (folder, again, trained)

# The recipe `fast` whitens the first convolution and leaves it so, and trains all else; --lr-parts stops other parts.
FAST = [*FLAGS[:-4], "--recipe", "fast", *SHORT[:-2], "--ema", "0"]
of = {}
for name, flags in (("first", ["--lr", "0"]), ("fast", []), ("parts", ["--lr-parts", "layer1=0,fc=0.5"])):
    run("train", *FAST, "--steps", "3", *flags, "--out", name)
    of[name], _ = read_safetensors(HERE / name / "model.safetensors")
moved = {name for name, value in of["first"].items() if value != of["fast"][name]}
assert "conv1.weight" not in moved and {"fc.weight", "bn1.bias", "layer1.0.conv1.weight", "layer2.0.conv2.weight"} <= moved, moved
assert of["parts"]["layer1.0.conv1.weight"] == of["first"]["layer1.0.conv1.weight"] != of["fast"]["layer1.0.conv1.weight"]
assert of["first"]["fc.weight"] != of["parts"]["fc.weight"] != of["fast"]["fc.weight"]

# What fits no network says so in flags.
for wrong, words in ((["--model", "d2l_resnet18", "--se-reduction", "16"], "the chapter's networks have no groups"),
                     (["--model", "resnet18", "--groups", "2"], "--groups and --width-per-group are for bottlenecks"),
                     (["--strides", "1,2", "--blocks", "2,2,2"], "3 stages by --blocks, 2 by --strides"),
                     (["--shortcut", "none", "--drop-path", "0.1"], "--drop-path drops a block's branch")):
    error = run("summary", *wrong, code=2).stderr
    assert words in error and len(error.splitlines()) <= 2 and max(map(len, error.splitlines())) <= 300, error

# The example, with few steps.
subprocess.run([SOURCE / "examples" / "plain_vs_residual.sh", "compared", *SHORT, "--steps", "1", "--channels", "4,4,4,4"],
               env={**os.environ, "RESNET": PROGRAM}, check=True, timeout=TIMEOUT, capture_output=True)
# Files of the data set may be packed or not; without them nothing is left.
fashion = pathlib.Path(os.environ.get("RESNET_DATA_DIR", "/usr/share/datasets/fashion-mnist"))
for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
    packed = next(fashion.glob(f"{name}-idx?-ubyte.gz"))
    content = packed.read_bytes()
    put(f"fashion/{packed.name}" if "t10k" in name else f"fashion/{packed.stem}", content if "t10k" in name else gzip.decompress(content))
refused = subprocess.run([SOURCE / "examples" / "imbalance.py", "never"], env={**os.environ, "RESNET": PROGRAM, "RESNET_DATA_DIR": HERE},
                         check=False, timeout=TIMEOUT, capture_output=True, text=True)
assert refused.returncode == 1 and "RESNET_DATA_DIR" in refused.stderr and not (HERE / "never").exists(), refused
said = subprocess.run([SOURCE / "examples" / "imbalance.py", "imbalance", "--epochs", "1", "--steps", "1", "--limit-train", "64",
                       "--limit-test", "64"], env={**os.environ, "RESNET": PROGRAM, "RESNET_DATA_DIR": HERE / "fashion"}, check=True, timeout=TIMEOUT, capture_output=True, text=True).stdout
assert "--class-weights auto: macro recall" in said and "difference: " in said, said
subprocess.run([SOURCE / "examples" / "held_out.py", "held"], env={**os.environ, "RESNET_DATA_DIR": HERE / "fashion"}, check=True, timeout=TIMEOUT)
halves = [(HERE / f"held/{split}-images-idx3-ubyte").read_bytes()[16:] for split in ("train", "t10k")]
pictures = [sorted(data[i:i + 784] for i in range(0, len(data), 784)) for data in (*halves, (HERE / "fashion/train-images-idx3-ubyte").read_bytes()[16:])]
assert [len(part) for part in pictures] == [50000, 10000, 60000] and sorted(pictures[0] + pictures[1]) == pictures[2], "all are there once"
assert json.loads(run("data", "idx:held", "--json").stdout)["test"] == 10000
drawn = (HERE / "compared" / "curves.svg").read_text()
xml.etree.ElementTree.fromstring(drawn)
assert all(name in drawn for name in ("plain-18", "plain-34", "residual-18", "residual-34")), drawn
