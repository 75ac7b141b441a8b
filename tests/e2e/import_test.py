#!/usr/bin/env python3
"""Weights in: `resnet import` and `train --init` with safetensors and PyTorch's files, what is printed of them, and files
that are no weights, named wherever a model is given."""
import json
import struct

from program import HERE, SOURCE, png, put, put_noise, run
from weight_files import pth, read_safetensors, safetensors

GOLDEN = SOURCE / "tests/golden/pth"


# ---- a small network and its weights in every form

put_noise("data", 24)
SMALL = ["--data", f"idx:{HERE / 'data'}", "--resize", "24", "--batch-size", "8", "--epochs", "1", "--model", "resnet18", "--channels", "8,8",
         "--blocks", "1,1"]
run("train", *SMALL, "--quiet", "--out", "trained")
TRAINED = HERE / "trained/model.safetensors"
weights, meta = read_safetensors(TRAINED)
put("plain.safetensors", safetensors(weights))
put("checkpoint.pth", pth(weights, lambda state: {"epoch": 3, "model": {"module." + name: value for name, value in state.items()}}))

TAKEN = "what has no weights (strides, pools, activations) is taken to be that of resnet18"
IS = "torchvision resnet18 with blocks 1,1, channels 8,8, stem-channels 8, 3 classes, 1 input channel"
for name, told in (("plain.safetensors", ()),
                   ("checkpoint.pth", ("'model' was taken of 'epoch', 'model'", "'module.' was taken off all names"))):
    said = run("import", name, "--resize", "24", "--out", "again.safetensors").stdout
    for text in (f"{name}: {IS}", TAKEN, "wrote again.safetensors", *told):
        assert text in said, said
    again, _ = read_safetensors(HERE / "again.safetensors")
    assert again == weights, name

    found = json.loads(run("import", name, "--json").stdout)
    assert (found["recognised"], found["model"], found["classes"], found["in_channels"]) == (True, "resnet18", 3, 1), found
    assert TAKEN in found["notes"], found
    assert found["preprocessing"]["resize"] == [256, 0] and found["preprocessing"]["crop"] == [224, 224], found

# An architecture that differs in nothing that has weights (timm's resnetaa50 from resnet50) looks the same, and the line says so.
run("train", *SMALL[:-4], "--quiet", "--out", "whole")
put("whole.safetensors", safetensors(read_safetensors(HERE / "whole/model.safetensors")[0]))
said = run("import", "whole.safetensors").stdout
assert said.startswith("whole.safetensors: torchvision resnet18, 3 classes") and TAKEN in said, said

# The model that comes of it answers as the one that was trained, under the names that were given.
(HERE / "names.txt").write_bytes(b"\xef\xbb\xbf0\r\n1\r\n2\r\n")  # as an editor on Windows writes it
run("import", "checkpoint.pth", "--resize", "24", "--crop", "24", "--classes", "names.txt", "--out", "again.safetensors")
figures = [json.loads(run("eval", model, "--data", f"idx:{HERE / 'data'}", "--json").stdout)
           for model in (TRAINED, "again.safetensors")]
assert figures[0]["confusion"] == figures[1]["confusion"] and figures[0]["loss"] == figures[1]["loss"], figures
(HERE / "two.txt").write_text("cat\ndog\n")
run("import", "checkpoint.pth", "--classes", "two.txt", "--out", "never.safetensors", code=1, says="2 names for the 3 classes")
assert not (HERE / "never.safetensors").exists()

# Nothing is written in place of a part of what is read.
put("parts/a.safetensors", safetensors(weights))
put("parts/i.json", json.dumps({"weight_map": {name: "a.safetensors" for name in weights}}).encode())
for _ in range(2):
    run("import", "parts/i.json", "--resize", "24", "--out", "parts/net.safetensors")
run("import", "parts/i.json", "--out", "parts/a.safetensors", code=2, says="is read, and would be lost")
put("parts/self.json", json.dumps({"weight_map": {name: "self.json" for name in weights}}).encode())
run("import", "parts/self.json", code=1, says="parts/self.json: it is an index itself")

# A model file stays what it is.
said = run("import", TRAINED, "--out", "copy.safetensors").stdout
assert "a model file of this program" in said and "strides" not in said, said
assert not json.loads(run("import", TRAINED, "--json").stdout)["notes"]
assert (HERE / "copy.safetensors").read_bytes() == TRAINED.read_bytes()
run("import", TRAINED, "--resize", "32", code=2, says="are for weights without a model")

# Training begins with it; what does not fit is told.
put_noise("two", 24)
(HERE / "two/train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1" + struct.pack(">I", 24) + bytes(i % 2 for i in range(24)))
(HERE / "two/t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1" + struct.pack(">I", 24) + bytes(i % 2 for i in range(24)))
said = run("train", *SMALL, "--data", f"idx:{HERE / 'two'}", "--init", "checkpoint.pth", "--steps", "1", "--out", "init").stderr
for text in ("init: 'module.' was taken off all names", "init: the head 'fc' begins anew: 3 outputs in the file, 2 here"):
    assert text in said, said
# A run's weights are known by their content: what repeats it, or goes on with its seeds, has those and no others.
put("moving.safetensors", safetensors(weights))
for seeds, out in ((1, "one"), (2, "many")):
    run("train", *SMALL, "--init", "moving.safetensors", "--steps", "1", "--seeds", seeds, "--out", out)
turned = {name: (dtype, shape, data[4:] + data[:4] if name == "conv1.weight" else data) for name, (dtype, shape, data) in weights.items()}
put("moving.safetensors", safetensors(turned))
for again in (["--config", "one/config.toml"], ["--config", "many/config.toml"], ["--resume", "many", "--seeds", "3"]):
    out = [] if "--resume" in again else ["--out", "never"]
    run("train", *again, *out, code=1, says="moving.safetensors has other weights now than the run began with")
    assert not (HERE / "never").exists()
run("train", "--config", "one/config.toml", "--init", "moving.safetensors", "--out", "moved")
put("moving.safetensors", safetensors(weights))
run("train", "--resume", "many", "--seeds", "3")
run("train", "--config", "one/config.toml", "--out", "repeated")
assert (HERE / "repeated/model.safetensors").read_bytes() == (HERE / "one/model.safetensors").read_bytes()
# A head of as many other classes begins anew too; one of the same is taken.
ANEW = "init: the head 'fc' begins anew: its classes are others in the file"
for folder, names, anew in (("same", ("0", "1", "2"), False), ("fruit", ("apple", "pear", "plum"), True)):
    for label, name in enumerate(names):
        for i in range(4):
            put(f"{folder}/{name}/{i}.png", png(bytes((7 * label + 31 * i + p) % 256 for p in range(24 * 24)), 24, 24))
    said = run("train", "--data", f"folder:{HERE / folder}", *SMALL[2:], "--recipe", "chapter", "--batch-size", "4", "--init", TRAINED, "--steps", "1",
               "--out", f"head-{folder}").stderr
    assert (ANEW in said) == anew, said
# What they were trained to see, where they are shown something else.
run("train", *SMALL, "--normalize", "0.5/0.25", "--quiet", "--out", "normal")
for flags, told in (([], True), (["--normalize", "0.5/0.25"], False)):
    said = run("train", *SMALL, *flags, "--init", "normal/model.safetensors", "--steps", "1", "--out", f"seen-{told}").stderr
    assert ("init: its weights were trained on pictures with --normalize 0.5/0.25, these have none\n" in said) == told, said
# Its weights stand where a recipe would have made others, and none is frozen.
run("train", *SMALL, "--recipe", "fast", "--init", "normal/model.safetensors", "--steps", "1", "--out", "own")
config = (HERE / "own/config.toml").read_text()
assert all(f"{flag} = 'no'\n" in config for flag in ("whiten", "dirac", "zero-gamma")), config
# What an export is measured by fits a shorter side of 1024 as well.
run("import", "plain.safetensors", "--resize", "1024", "--crop", "24", "--out", "large.safetensors")
assert "on 8 pictures of noise" in run("export", "large.safetensors", "--onnx", "large.onnx").stdout

run("train", *SMALL, "--channels", "8,16", "--init", "plain.safetensors", "--out", "never", code=1,
    says="hint: the file holds torchvision resnet18 with blocks 1,1, channels 8,8")
assert not (HERE / "never").exists()
said = run("train", *SMALL, "--channels", "8,16", "--init", "plain.safetensors", "--out", "never", code=1).stderr
assert said.count("\ninit: tensor 'layer2.0.") + said.startswith("init: tensor 'layer2.0.") > 3, said

# What is not recognised is listed, with the nearest network.
odd = dict(weights)
odd["layer1.0.attention.weight"] = ("F32", [1], b"\0\0\0\0")
put("odd.safetensors", safetensors(odd))
refused = run("import", "odd.safetensors", "--out", "never.safetensors", code=1, says="is not torchvision resnet18")
assert "tensor 'layer1.0.attention.weight' F32 [1] is not in the network" in refused.stdout, refused.stdout
assert not json.loads(run("import", "odd.safetensors", "--json", code=1).stdout)["recognised"]
assert not (HERE / "never.safetensors").exists()

# Whole models, scripts and old files: refused by name, with what to do.
for name, says in (("whole_model.pth", "torch.save(model.state_dict(), FILE)"), ("script.pt", "TorchScript"),
                   ("namespace.pth", "'argparse.Namespace'"), ("old.pth", "from before PyTorch 1.6")):
    for command in (["import", GOLDEN / name], ["train", *SMALL, "--init", GOLDEN / name, "--out", "never"]):
        run(*command, code=1, says=says)

# What is no model says what it is, wherever one is given.
FILES = {"pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 44\n", "is a git-lfs pointer"),
         "page": (b"<!DOCTYPE html>\n<html><body>Not found</body></html>\n", "is a web page"),
         "network.onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.0.0:\x00", "is an ONNX model"),
         "packed.gz": (b"\x1f\x8b\x08" + bytes(30), "is a gzip file"),
         "packed.tar": (bytes(257) + b"ustar\0" + bytes(300), "is a tar archive"),
         "empty": (b"", "is empty"),
         "photo.png": (b"\x89PNG\r\n\x1a\n" + bytes(30), "is a picture (PNG)")}
for name, (content, says) in FILES.items():
    put(name, content)
    for command in (["predict", name, "photo.png"], ["eval", name, "--data", f"idx:{HERE / 'data'}"], ["import", name],
                    ["train", *SMALL, "--init", name, "--out", "never"]):
        lines = run(*command, code=1, says=f"{name} {says}").stderr.splitlines()
        assert [line[:5] for line in lines if not line.startswith("device:")] == ["resne", "hint:"], lines
run("predict", "checkpoint.pth", "photo.png", code=1, says="hint: resnet import makes a model of it")
run("eval", "plain.safetensors", "--data", f"idx:{HERE / 'data'}", code=1, says="hint: it may hold weights alone: resnet import")
