#!/usr/bin/env python3
"""Bad input: one line of what, one line of hint, the right exit code, and nothing half-written."""
import gzip
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

from program import HERE, PROGRAM, idx, png, put, put_small_idx, run

failures = 0


def data_set(name, **replaced):
    """A folder with a good small data set, but for what is replaced (None: left out)."""
    folder = HERE / name
    put_small_idx(folder)
    for key, value in replaced.items():
        file = folder / {"images": "train-images-idx3-ubyte", "labels": "train-labels-idx1-ubyte"}[key]
        if value is None:
            file.unlink()
        else:
            file.write_bytes(value)
    return folder


def check(what, arguments, code, says, hint="", left=()):
    """Runs the program; its stderr must be exactly a line of what and a line of hint."""
    global failures
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("device:", "epoch ", "testing "))]
    problems = []
    if result.returncode != code:
        problems.append(f"exit code {result.returncode}, expected {code}")
    if len(lines) != 2 or not lines[0].startswith("resnet: ") or not lines[1].startswith("hint: "):
        problems.append("not one line of what and one of hint")
    if says not in result.stderr:
        problems.append(f"does not say '{says}'")
    if hint not in (lines[1] if len(lines) > 1 else ""):
        problems.append(f"does not hint '{hint}'")
    if result.stdout:
        problems.append("wrote to stdout")
    problems += [f"left {path}" for path in left if pathlib.Path(path).exists()]
    if problems:
        failures += 1
        print(f"FAILED {what}: {'; '.join(problems)}\n{result.stderr}")
    else:
        print(f"ok     {what}")


def model_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


good = data_set("good")
small = ["--data", f"idx:{good}", "--resize", "40", "--batch-size", "4", "--epochs", "1", "--channels", "8,8", "--blocks", "1,1",
         "--quiet"]
trained = HERE / "trained"
run("train", *small, "--out", trained)
model = (trained / "model.safetensors").read_bytes()

out = HERE / "never"
train = ["train", *small, "--out", out]
check("unknown flag", ["train", "--epoch", "3"], 2, "no flag --epoch", "did you mean --epochs?")
check("unknown command", ["trian"], 2, "no command 'trian'", "did you mean resnet train?")
check("unknown model", ["summary", "--model", "resnet19"], 2, "--model cannot be 'resnet19'", "did you mean resnet1")
check("a word too many", ["train", "photos", "now"], 2, "takes no 'now'")
check("no data set", ["train", "now"], 2, "there is no data set 'now'", "folder:DIR")
check("flag without value", ["train", "--epochs"], 2, "--epochs")
check("a run that is not set", ["train", "--resume", ""], 2, "--resume cannot be ''")
check("a configuration that is not set", ["train", "--config="], 2, "--config cannot be ''")
check("data that is not set", ["train", ""], 2, "DATA cannot be ''")
check("a flag for a value", ["summary", "--svg", "--json"], 2, "--svg needs a value", left=[HERE / "--json"])
check("another command's flag", ["plan", "--jobs", "4"], 2, "no flag --jobs", "lists its flags")
check("serve's flags by their names", ["serve", trained, "--timeout", "0"], 2, "--timeout must be above 0")
check("serve's batch", ["serve", trained, "--batch-size", "2000"], 2, "--batch-size must be 1 to 1024")
check("serve's address", ["serve", trained, "--host", "999.1.1.1"], 2, "--host: '999.1.1.1' is no address")
check("an epoch of no batches", ["data", f"idx:{good}", "--epoch", "3"], 2, "--epoch has no use without --save-batches")
check("an epoch before the first", ["data", f"idx:{good}", "--epoch", "0", "--save-batches", "b"], 2, "--epoch")
check("reduced JPEGs of what has none", ["data", f"idx:{good}", "--jpeg", "draft"], 2, "--jpeg has no use without a folder of pictures")
check("batches that are not saved", ["data", f"idx:{good}", "--steps", "3"], 2, "--steps has no use without --save-batches")
check("a GPU's plan for a CPU", ["plan", "--device", "cuda", "--isa", "avx2"], 2, "--isa is of the CPU")
for flag, value in (("--threads", "0"), ("--threads", "-1"), ("--lr", "nan"), ("--lr", "-1"), ("--lr", "fast"), ("--epochs", "0"),
                    ("--batch-size", "0"), ("--seed", "-1"), ("--seed", "18446744073709551616"), ("--resize", "0"),
                    ("--resize", "96x"), ("--resize", "70000"), ("--steps", "-2"), ("--precision", "f16"), ("--device", "gpu"),
                    ("--isa", "mmx"), ("--blocks", "2,,2"), ("--channels", "0"), ("--block", "square"), ("--data", "mnist"),
                    ("--limit-train", "x")):
    check(f"{flag} {value}", [*train, flag, value], 2, value, left=[out])
for shape in ("1x1x0x0", "1x1x96", "1x1x96x96x96", "axbxcxd", "1x1x-3x4", "1x1x99999999999x3", ""):
    check(f"--input {shape}", ["summary", "--input", shape], 2, f"--input cannot be '{shape}'")
check("stages that differ", ["summary", "--blocks", "1,2", "--channels", "8,8,8"], 2, "stages")
check("one value per channel", ["train", "--data", f"idx:{good}", "--resize", "32", "--batch-size", "1", "--quiet", "--out", out], 2,
      "more than one value per channel", "larger", left=[out])
check("a flag before the command", ["--lr", "0.1", "train", *small[2:], "--out", out], 2, "'--lr' does not belong before the command",
      "resnet train --lr", left=[out])
check("one example left for the last batch", ["train", "--data", f"idx:{good}", "--resize", "32", "--batch-size", "7", "--quiet",
      "--out", out], 2, "the last batch has 1 example of 8: ", "--drop-last leaves it out", left=[out])
check("a precision that the instruction set lacks", [*train, "--precision", "bf16", "--isa", "avx2"], 2, "--precision bf16 needs avx512_bf16",
      "--precision f32", left=[out])

missing = HERE / "empty"
missing.mkdir()
# Recipes and what they set.
for flags, code, says, hint in (("--recipe slow", 2, "--recipe cannot be 'slow'", "chapter, scratch"),
                                ("--time 8", 2, "--time cannot be '8'", "8m"),
                                ("--freeze layer9", 2, "no part 'layer9'", "resnet summary"),
                                ("--lr-parts layer9=2", 2, "--lr-parts: the network has no part 'layer9'", "resnet summary"),
                                ("--lr-parts conv1", 2, "--lr-parts cannot be 'conv1'", "PART=FACTOR"),
                                ("--warmup 99", 2, "--warmup is as long as the run", "shorter"),
                                ("--nesterov yes", 2, "--nesterov is out of range", "momentum above 0"),
                                ("--low-momentum 0.5 --schedule one-cycle", 2, "without momentum", "--momentum"),
                                ("--ema 1", 2, "--ema is out of range", "below 1"),
                                ("--optimizer adamw --momentum 0.9", 2, "--momentum has no use with --optimizer adamw", "one of them"),
                                ("--beta1 0.8", 2, "--beta1 has no use without --optimizer adamw", "give that too"),
                                ("--lr-gamma 0.5 --lr-every 1", 2, "--lr-gamma has no use without --schedule step", ""),
                                ("--schedule cosine --lr-peak 0.5", 2, "--lr-peak has no use without --schedule one-cycle", ""),
                                ("--lr-start 0.5", 2, "--lr-start has no use without --warmup", ""),
                                ("--lr-final 0.1", 2, "--lr-final has no use without --schedule cosine", ""),
                                ("--lr-power 2", 2, "--lr-power has no use without --schedule polynomial", ""),
                                ("--low-momentum 0.5", 2, "--low-momentum has no use without --schedule one-cycle", ""),
                                ("--augment resized-crop --crop-padding 2", 2, "--crop-padding has no use without --augment crop", ""),
                                ("--augment-filter bilinear", 2, "--augment-filter has no use without --augment rotate", ""),
                                ("--rand-magnitude 3 --augment rotate", 2, "--rand-magnitude has no use without --augment rand", "give that too"),
                                ("--erasing-area 0.1,0.2", 2, "--erasing-area has no use without --erasing", "give that too"),
                                ("--crop-area 1,0.5 --augment resized-crop", 2, "--crop-area cannot be '1,0.5'", "e.g. 0.25,1"),
                                ("--cache-size 1G", 2, "--cache-size has no use without --cache memory", ""),
                                (f"--init {missing} --whiten yes", 2, "--whiten has no use with --init", "one of them"),
                                ("--optimizer adamw --nesterov yes", 2, "--nesterov has no use with --optimizer adamw", "one of them"),
                                (f"--init {missing} --whiten no", 1, "empty", ""),
                                ("--checkpoint-every 0 --keep 5", 2, "--keep has no use with --checkpoint-every 0", "one of them"),
                                ("--val-split 0.2", 2, "--val-split has no use without a folder of pictures", ""),
                                ("--on-bad-file skip", 2, "--on-bad-file has no use without a folder of pictures", ""),
                                ("--jpeg draft", 2, "--jpeg has no use without a folder of pictures", ""),
                                ("--model resnet18 --zero-gamma yes --shortcut none", 2, "--zero-gamma has no use with --shortcut none", ""),
                                ("--time 1m", 2, "--epochs has no use with --time", "one of them"),
                                ("--erasing 2", 2, "--erasing cannot be '2'", "give a number from 0 to 1"),
                                (f"--init {missing}", 1, "empty", "")):
    check(f"train {flags}", [*train, *flags.split()], code, says, hint, left=[out])
run(*train, "--optimizer", "adamw", "--nesterov", "no", "--on-bad-file", "stop", "--jpeg", "full")  # says what is so
shutil.rmtree(out)
check("missing data", ["train", "--data-dir", missing, "--out", out], 1, "train-images-idx3-ubyte",
      "apt-get install dataset-fashion-mnist", left=[out])


def bad_data(what, says, **replaced):
    folder = data_set("data_" + what.replace(" ", "_"), **replaced)
    check(what, ["train", *small[2:], "--data", f"idx:{folder}", "--out", out], 1, says, left=[out])


images = idx([1] * 8 * 1600, 8, 40, 40)
packed = gzip.compress(images)
bad_data("truncated images", "are declared", images=images[:-1])
bad_data("trailing bytes", "trailing bytes", images=images + b"x")
bad_data("truncated gzip", "ends early", images=packed[:-9])
bad_data("corrupt gzip", "corrupt", images=packed[:-6] + bytes([packed[-6] ^ 255]) + packed[-5:])
bad_data("wrong magic", "wrong magic number", images=b"PNG!" + images[4:])
bad_data("overflowing extents", "too large", images=idx([], 2**32 - 1, 2**32 - 1, 2**32 - 1))
bad_data("zero extent", "0", images=idx([], 8, 0, 40))
bad_data("gzip bomb", "trailing bytes", images=gzip.compress(images + bytes(50_000_000)))
bad_data("counts that differ", "8 images", labels=idx([0, 1], 2))
bad_data("no labels", "is missing", labels=None)
fashion = data_set("fashion", labels=idx([0, 1, 2, 10, 0, 1, 2, 0], 8))
check("label out of range", ["train", *small[2:], "--data-dir", fashion, "--out", out], 1, "label 10", left=[out])

check("an existing run", ["train", *small, "--out", trained], 1, "already holds a run")
assert (trained / "model.safetensors").read_bytes() == model, "the existing run was touched"
if os.geteuid() != 0:
    locked = HERE / "locked"
    locked.mkdir(mode=0o500)
    check("unwritable --out", ["train", *small, "--out", locked / "run"], 1, "Permission denied")
check("--out below a file", ["train", *small, "--out", trained / "config.toml" / "run"], 1, "Not a directory")
check("--out that cannot be", ["train", *small, "--out", "/proc/run"], 1, "/proc/run")

check("no such run", ["eval", HERE / "nowhere"], 1, "there is no")
check("a folder without a model", ["eval", missing], 1, "holds no model.safetensors")
length = struct.unpack("<Q", model[:8])[0]
header = json.loads(model[8:8 + length])


def bad_model(what, says, content):
    path = HERE / ("model_" + what.replace(" ", "_") + ".safetensors")
    path.write_bytes(content)
    check(what, ["eval", path, "--data", f"idx:{good}"], 1, says)


def with_header(**changes):
    changed = json.loads(json.dumps(header))
    changed["__metadata__"].update(changes)
    return model_file(changed, model[8 + length:])


other = HERE / "other"
run("train", *small, "--channels", "8,16", "--out", other)
other_model = (other / "model.safetensors").read_bytes()
other_header = json.loads(other_model[8:8 + struct.unpack("<Q", other_model[:8])[0]])
bad_model("truncated model", "model_truncated_model", model[:-1])
bad_model("empty model", "model_empty_model", b"")
bad_model("huge header", "model_huge_header", struct.pack("<Q", 2**62) + model[8:])
bad_model("header that is no JSON", "JSON", model_file(b"{" * 100))
bad_model("overflowing shape", "overflow", model_file({"a": {"dtype": "F32", "shape": [4194305, 4194305, 211106198978564],
                                                            "data_offsets": [0, 16]}}, bytes(16)))
bad_model("weights alone", "metadata", model_file({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)))
bad_model("graph of another network", "tensor", with_header(**{"resnet.graph": other_header["__metadata__"]["resnet.graph"]}))
bad_model("graph with an unknown operation", "unknown operation",
          with_header(**{"resnet.graph": header["__metadata__"]["resnet.graph"].replace('"op":"relu"', '"op":"launch"')}))
bad_model("graph that is no graph", "graph", with_header(**{"resnet.graph": "[]"}))
bad_model("newer graph", "version 2, this program reads 1",
          with_header(**{"resnet.graph": header["__metadata__"]["resnet.graph"].replace('"version":1', '"version":2')}))
bad_model("newer format", 'resnet.format "2"', with_header(**{"resnet.format": "2"}))
check("data of other classes", ["eval", trained, "--data", "fashion-mnist"], 1, "3 classes")
config = HERE / "bad.toml"
config.write_text("epochs = \n")
check("config that is no TOML", ["train", "--config", config, "--out", out], 1, "bad.toml", left=[out])
config.write_text("epoch = 3\n")
check("config with an unknown option", ["train", "--config", config, "--out", out], 1, "no option 'epoch'", "epochs", left=[out])
config.write_text("epochs = 'x'\n")
check("config with a value that cannot be", ["train", "--config", config, "--out", out], 1, "bad.toml", "whole number", left=[out])
check("no such config", ["train", "--config", HERE / "none.toml", "--out", out], 1, "none.toml", left=[out])
curves = trained / "metrics.csv"
check("a plot in place of its curves", ["plot", curves, "--svg", curves], 2, "is read, and would be lost")
check("answers in place of the settings", ["eval", trained, "--save-predictions", trained / "config.toml"], 2, "is read, and would be lost")
check("a report in place of a checkpoint", ["report", trained, "--out", next((trained / "checkpoints").iterdir())], 2,
      "is read, and would be lost")
for command in (["eval", trained, "--save-predictions"], ["eval", trained, "--confusion"], ["report", trained, "--out"],
                ["plot", trained, "--svg"]):
    for name in ("config.toml", "metrics.csv", "result.json", "model.safetensors"):
        check(f"{command[0]} in place of {name}", [*command, trained / name], 2, "is read, and would be lost")
for label in ("cat", "dog", "hen"):
    for i in range(4):
        put(f"photos/{label}/{i}.png", png(bytes([60 * i]) * 32 * 32, 32, 32))
photo = HERE / "photos/cat/1.png"
(HERE / "link.png").symlink_to(photo)
for written in (photo, HERE / "link.png"):
    for command in (["data", HERE / "photos", "--sheet"], ["data", HERE / "photos", "--resize", "32", "--save-batches"],
                    ["eval", trained, "--data", f"folder:{HERE / 'photos'}", "--mistakes"]):
        check(f"{command[0]} in place of a picture", [*command, written], 2, "is read, and would be lost")
check("a report in place of a picture", ["report", trained, "--data", f"folder:{HERE / 'photos'}", "--out", photo], 2,
      "is read, and would be lost")
assert len(list(good.iterdir())) == 4
for path in good.iterdir():  # also what of it is not read
    for command in (["data", f"idx:{good}", "--sheet"], ["eval", trained, "--save-predictions"], ["report", trained, "--out"]):
        check(f"{command[0]} in place of {path.name}", [*command, path], 2, "is read, and would be lost")
check("plot of nothing", ["plot", missing], 1, "metrics.csv")
check("bench of a flag without use", ["bench", "train", "--batch-size", "8"], 2, "no use for --batch-size", "--input")
check("bench of the loader's network", ["bench", "loader", "--check"], 2, "no use for --check")
check("bench of the loader's seed", ["bench", "loader", "--seed", "5"], 2, "no use for --seed")
check("bench of an evaluation's layers", ["bench", "infer", "--layers"], 2, "--layers", "bench train --layers")
# Hints say what is meant, not the next best word.
for words, code, says, hint in (("train --wd 0.1", 2, "no flag --wd", "did you mean --weight-decay?"),
                                ("train --device gpu", 2, "cannot be 'gpu'", "as cuda:0"),
                                ("train --gpu", 2, "no flag --gpu", "did you mean --device cuda?"),
                                ("train --batch 64", 2, "no flag --batch", "did you mean --batch-size?"),
                                ("train --resume x", 1, "is no run's folder", "give the folder of a run"),
                                ("train --out", 2, "--out needs a value", "folder of the run"),
                                ("eval", 2, "resnet eval needs RUN", "e.g. resnet eval runs/"),
                                ("plot", 2, "resnet plot needs RUN", "e.g. resnet plot runs/"),
                                ("report", 2, "resnet report needs RUN", "e.g. resnet report runs/"),
                                ("report nothing", 1, "there is no file or folder 'nothing'", "folder of a run"),
                                ("plot nothing", 1, "there is no file or folder 'nothing'", "folder of a run"),
                                ("predict x", 2, "resnet predict needs FILE", "photo.jpg"),
                                ("classify x", 2, "no command 'classify'", "did you mean resnet predict?"),
                                ("eval trained/config.toml", 1, "is no model file", "give trained"),
                                ("eval trained/model.safetensors/", 1, "there is no file", "give trained/model.safetensors"),
                                ("eval .", 1, "holds no model.safetensors", "a folder of runs: give one of them"),
                                ("plot trained/model.safetensors", 1, "has no curves", "give trained"),
                                ("plot .", 1, "holds no metrics.csv", "a folder of runs: give one of them"),
                                ("train --config trained", 1, "no file of settings", "give trained/config.toml"),
                                ("train --config trained/result.json", 1, "no file of settings", "give trained/config.toml"),
                                ("train --quiet=maybe", 2, "--quiet cannot be 'maybe'", "takes no value"),
                                ("train --data mnist", 2, "no data set 'mnist'", "did you mean fashion-mnist?"),
                                ("train nowhere/photos", 1, "there is no folder 'nowhere/photos'", "a sub-folder for each class"),
                                ("train --data good", 1, "no sub-folder with pictures", "idx:good"),
                                ("export x", 2, "nothing to write", "--onnx FILE"),
                                ("--lr 3", 2, "no flag '--lr'", "resnet COMMAND --lr"),
                                ("help trian", 2, "no command 'trian'", "did you mean resnet train?")):
    check(words, words.split(), code, says, hint)
check("bench of something else", ["bench", "trian"], 2, "trian", "did you mean train?")

shutil.rmtree(HERE / "trained")
sys.exit(1 if failures else 0)
