#!/usr/bin/env python3
"""A folder of pictures: what is told of it, how it is split, and that a run of it can be repeated and evaluated."""
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tomllib

import program
from program import HERE, SOURCE, put, put_idx, run

sys.path.insert(0, str(SOURCE / "reference"))
import package_pictures  # noqa: E402


def pixels(number, side=8):
    return bytes((number * 37 + 11 * i + (number >> 3) * i) % 256 for i in range(side * side * 3))


def ppm(number, side=8):
    return b"P6\n%d %d\n255\n" % (side, side) + pixels(number, side)


def png(number, side=8, level=6):
    return program.png(pixels(number, side), side, side, level)


# 100 planted duplicates: copies, saved as PNG, renamed, in another class.
CLASSES = ("katze", "犬")
for i in range(300):
    put(f"photos/{CLASSES[i % 3 == 0]}/{i // 50}/{i:03}.ppm", ppm(i))
for n, i in enumerate(range(0, 300, 3)):
    other = CLASSES[n % 4 != 3]  # a quarter of them in the other class
    put(f"photos/{other}/again {299 - n}{('.ppm', '.png')[n % 2]}", (ppm, png)[n % 2](i))
put("photos/Thumbs.db", b"x")
put("photos/katze/.hidden.ppm", b"x")
put("photos/katze/notes.txt", b"x")
os.symlink("..", "photos/katze/loop")
(HERE / "photos/empty").mkdir()

found = json.loads(run("data", "photos", "--resize", "8", "--recipe", "chapter", "--json", "--sheet", "sheet.png").stdout)
assert found["duplicates"] == 100 and found["in_classes"] == 25 and found["overlaps"] == 0, found
assert [c["name"] for c in found["classes"]] == ["katze", "犬"], found
for c in found["classes"]:
    assert abs(c["test"] - 0.1 * (c["train"] + c["test"])) <= 1, found
assert found["train"] + found["test"] == 400 and found["bad_files"] == [] and found["other_files"] == {".txt": 1}, found
assert any("empty has no picture" in note for note in found["notes"]) and any("not followed" in note for note in found["notes"])
assert found["height"] == {"min": 8, "median": 8, "max": 8}, found
plain = (HERE / "sheet.png").read_bytes()
assert plain.startswith(b"\x89PNG")
run("data", "photos", "--resize", "8", "--recipe", "chapter", "--normalize", "imagenet", "--sheet", "sheet.png")
same = (HERE / "sheet.png").read_bytes()
assert same == plain, "shown without the normalisation"
run("data", "photos", "--resize", "8", "--recipe", "chapter", "--augment", "crop,flip,rotate", "--augment-filter", "bilinear", "--sheet", "sheet.png")
shown = (HERE / "sheet.png").read_bytes()
assert struct.unpack(">2I", shown[16:24])[1] == struct.unpack(">2I", plain[16:24])[1] and shown != plain
assert "katze" in run("data", "photos", "--resize", "8").stdout

# Pictures that stand twice by their names, first those in two classes.
same = found["same_pictures"]
classes_of = [len({file.split("/")[0] for file in files}) for files in same]
assert classes_of == [2] * 25 + [1] * 75 and all(len(files) == 2 for files in same), classes_of
table = run("data", "photos", "--resize", "8").stdout
assert table.count("one picture: ") == 20 and f"one picture: {same[0][0]}, {same[0][1]}\n" in table and "80 more" in table, table
for i in range(4):  # as other tools call their parts
    for part, number in (("Training", 200), ("Testing", 210)):
        put(f"kaggle/{part}/{'ab'[i % 2]}/{i}.png", png(number + i))
kaggle = json.loads(run("data", "kaggle", "--resize", "8", "--json").stdout)
assert [c["name"] for c in kaggle["classes"]] == ["a", "b"] and (kaggle["train"], kaggle["test"]) == (4, 4), kaggle

# What a scan keeps is what reference/package_pictures.py compares with Pillow.
run("data", "photos", "--resize", "8", env={**os.environ, "XDG_CACHE_HOME": str(HERE / "apart")})
digests = package_pictures.cached(HERE / "apart")
head = b"".join(n.to_bytes(8, "little") for n in (8, 8, 3))
assert digests[f"{CLASSES[0]}/0/007.ppm"] == hashlib.sha256(head + pixels(7)).hexdigest() and len(digests) == 400, digests

# A part's name without the other part is a class, which is told.
for i in range(6):
    put(f"odd/{('cat', 'Test', 'val')[i % 3]}/{i}.png", png(300 + i))
odd = json.loads(run("data", "odd", "--resize", "8", "--json").stdout)
assert [c["name"] for c in odd["classes"]] == ["Test", "cat", "val"], odd
assert [note.split(": ")[0] for note in odd["notes"]] == ["Test/ is a class", "val/ is a class"], odd
shutil.rmtree(HERE / "odd")

# What was decided is told: which classes there are, and that pictures of one's own are not trained as the chapter's.
bare = ("train", "photos", "--resize", "32", "--channels", "8,8", "--blocks", "1,1", "--steps", "1", "--warmup", "0")
told = run(*bare, "--out", "bare").stderr
assert "classes: katze, 犬\nsplit: 0.1 of each class to test on, by content and seed 0\n" in told and "settings: model resnet18, recipe scratch, batch-size 128, epochs 30, steps 1, " in told, told
for given, model, recipe in (((), "resnet18", "scratch"), (("--init", "bare/model.safetensors"), "resnet18", "finetune"),
                             (("--recipe", "chapter"), "d2l_resnet18", "chapter"), (("--model", "resnet34"), "resnet34", "scratch"),
                             (("--lr", "0.01"), "resnet18", "scratch"), (("--recipe", "scratch"), "resnet18", "scratch")):
    run(*bare, *given, "--out", "chosen")
    chosen = tomllib.loads((HERE / "chosen/config.toml").read_text())
    assert (chosen["model"], chosen["recipe"]) == (model, recipe), (given, chosen)
    assert chosen["lr"] == (0.01 if "--lr" in given else {"scratch": 0.15, "finetune": 0.005, "chapter": 0.05}[recipe]), chosen
    shutil.rmtree(HERE / "chosen")

# Training, and the same again: whatever the files are called, and in which order the disk lists them.
SMALL = ["--resize", "32", "--batch-size", "20", "--steps", "3", "--channels", "8,8", "--blocks", "1,1", "--quiet"]
first = json.loads(run("train", "photos", *SMALL, "--out", "first", "--json").stdout)
assert (first["bad_files"], first["duplicates"], first["overlaps"]) == (0, 100, 0), first
config = (HERE / "first/config.toml").read_text()
assert f"data = 'folder:{HERE}/photos'" in config, config
names = sorted(p.relative_to("photos") for p in pathlib.Path("photos").rglob("*") if p.suffix in (".ppm", ".png") and p.name[0] != ".")
for i, name in enumerate(reversed(names)):
    put(f"copy/{name.parts[0]}/{i}{name.suffix}" if len(name.parts) > 1 else f"copy/{name}", (HERE / "photos" / name).read_bytes())
for threads in (1, 2, 3):
    copy = json.loads(run("train", "--data", "folder:copy", *SMALL, "--threads", str(threads), "--out", f"copy-{threads}", "--json").stdout)
    assert copy["weights_sha256"] == first["weights_sha256"], (first, copy)
again = json.loads(run("train", "--config", "first/config.toml", "--quiet", "--out", "again", "--json").stdout)
assert again["weights_sha256"] == first["weights_sha256"]
figures = json.loads(run("eval", "first", "--json").stdout)
assert figures["test_acc"] == first["test_acc"], (figures, first)
other = json.loads(run("train", "photos", *SMALL, "--seed", "1", "--val-split", "0.5", "--out", "other", "--json").stdout)
assert other["weights_sha256"] != first["weights_sha256"]
run("train", "photos", "--data", "cifar10", code=2, says="given twice")

# A cache of decoded pictures changes no bit: in memory, on disk, where not all fit, and where files of it are damaged.
for augment in ("crop,flip", "resized-crop,flip"):
    runs = {}

    def cached(name, *flags):
        words = ["train", "photos", *SMALL, "--steps", "0", "--epochs", "2", "--limit-train", "60", "--augment", augment, *flags]
        result = run(*words, "--out", f"{augment}-{name}", "--json")
        runs[name] = json.loads(result.stdout)["weights_sha256"]

    cached("none")
    for cache, threads in (("memory", "1"), ("memory", "3"), ("disk", "3"), ("disk", "1")):
        cached(f"{cache}-{threads}", "--cache", cache, "--loader-threads", threads)
    decoded = pathlib.Path(os.environ["XDG_CACHE_HOME"]) / "resnet/decoded"
    files = sorted(path for path in decoded.rglob("*-*") if path.is_file())
    assert len(files) > 40, files
    for number, path in enumerate(files):
        content = bytearray(path.read_bytes())
        content[-1 - number % len(content)] ^= 1
        path.write_bytes(content if number % 2 else content[:number])
    cached("damaged", "--cache", "disk")
    shutil.rmtree(decoded)
    cached("small", "--cache", "memory", "--cache-size", "5K", "--loader-threads", "2")
    assert len(set(runs.values())) == 1, runs
small = [*SMALL[:-1], "--cache", "memory", "--cache-size", "5K"]
assert "decoded in every epoch" in run("train", "photos", *small, "--out", "told").stderr
run("train", "photos", *SMALL, "--cache", "disk", "--jpeg", "draft", code=2, says="--cache is disk beside --jpeg")
bench = json.loads(run("bench", "loader", "--data", "folder:photos", "--resize", "8", "--augment", "crop,flip", "--cache", "memory",
                       "--loader-threads", "2", "--json").stdout)
assert bench["threads"] == 2 and [loader["threads"] for loader in bench["loaders"]] == [1, 2], bench
assert set(bench["parts"]) == {"decode", "transform", "copy"} and bench["examples_per_second"] > 0, bench
assert abs(sum(part["share"] for part in bench["parts"].values()) - 1) < 1e-6, bench
run("train", "photos", "--val-split", "2", code=2, says="--val-split cannot be '2'")
put("tested/val/a/1.ppm", ppm(1))
put("tested/val/b/2.ppm", ppm(2))
for flags in (["tested"], ["photos", "--resize", "8", "--val-split", "1"]):
    run("data", *flags, "--save-batches", "none.safetensors", code=2, says="has no example to train on")

# A run's config.toml says which batches it had, numbers of random changes included.
changes = ["--augment", "resized-crop,rotate,rand", "--crop-area", "0.3,0.6", "--rotate-degrees", "40", "--rand-operations", "1", "--rand-magnitude", "20",
           "--erasing", "0.9", "--erasing-area", "0.1,0.2", "--val-split", "0.4", "--seed", "3"]
told = run("train", "photos", *SMALL[:-1], *changes, "--out", "changed").stderr
assert "rand, crop-area 0.3,0.6, rotate-degrees 40, rand-operations 1, rand-magnitude 20, erasing 0.9, erasing-area 0.1,0.2" in told, told
of_run = ["--config", "changed/config.toml", "--epoch", "2"]
run("data", *of_run, "--save-batches", "of-run.safetensors")
run("data", "photos", *SMALL[:4], "--recipe", "chapter", *changes, "--epoch", "2", "--save-batches", "of-flags.safetensors")
run("data", *of_run, "--crop-area", "0.3,0.5", "--save-batches", "of-both.safetensors")
saved = [(HERE / f"of-{name}.safetensors").read_bytes() for name in ("run", "flags", "both")]
assert saved[0] == saved[1] != saved[2], [len(bytes) for bytes in saved]
others = "the run of changed/config.toml had other examples"
assert others not in json.loads(run("data", "--config", "changed/config.toml", "--json").stdout)["notes"]
other = json.loads(run("data", "--config", "changed/config.toml", "--seed", "4", "--json").stdout)
assert others in other["notes"], other
run("data", "--config", "changed/result.json", code=1, says="is no file of settings")

odd = os.fsdecode(b"folder:pho\xff")  # no UTF-8
os.symlink("photos", odd.split(":")[1])
json.loads(run("bench", "loader", "--data", odd, "--resize", "8", "--json").stdout)

# Bad files: all of them at once, before anything is written.
put("photos/katze/broken.png", png(5)[:-20])
put("photos/犬/none.jpg", b"")
os.symlink("nowhere", "photos/犬/link.ppm")
bad = run("train", "photos", *SMALL, "--out", "bad", code=1, says="--on-bad-file = skip").stderr
for name in ("katze/broken.png", "犬/none.jpg", "犬/link.ppm"):
    assert f"cannot read photos/{name}: " in bad, bad
assert not (HERE / "bad").exists()
skipped = json.loads(run("train", "photos", *SMALL, "--on-bad-file", "skip", "--out", "skipped", "--json").stdout)
assert skipped["bad_files"] == 3 and skipped["weights_sha256"] == first["weights_sha256"], skipped
assert len(json.loads(run("data", "photos", "--resize", "8", "--json").stdout)["bad_files"]) == 3

# What may not be read, for one who is not root.
if os.geteuid() == 0:
    for i in range(4):
        put(f"closed/{'ab'[i % 2]}/{i}.ppm", ppm(i))
    put("closed/a/secret/1.ppm", ppm(9))
    os.chmod("closed/a/secret", 0)
    os.chmod("closed/b/1.ppm", 0)
    try:
        private = run("data", "closed", "--resize", "8", "--json", preexec_fn=lambda: os.setuid(65534),
                      env={**os.environ, "XDG_CACHE_HOME": "/nonexistent"})
    except (subprocess.SubprocessError, PermissionError):
        private = None  # this folder lies where others may not look
    if private:
        names = [file["file"] for file in json.loads(private.stdout)["bad_files"]]
        assert names == ["a/secret", "b/1.ppm"], private

# train/ and val/ as they are; what is in both is told.
for i in range(12):
    put(f"parts/train/{'ab'[i % 2]}/{i}.png", png(i))
    put(f"parts/val/{'ab'[i % 2]}/{i}.png", png(i if i < 4 else 100 + i, level=1))
parts = run("train", "parts", *SMALL, "--batch-size", "4", "--out", "parts-run", "--json", says="4 pictures of the test are in train/ too")
assert json.loads(parts.stdout)["overlaps"] == 4

# train/, val/ and test/: watched on val/, chosen by it too, tested once on test/.
for i in range(3):
    for k in "ab":
        put(f"parts/test/{k}/{i}.png", png(200 + 2 * i + (k == "b")))
three = json.loads(run("data", "parts", "--resize", "8", "--json").stdout)
assert (three["train"], three["validation"], three["test"], three["overlaps"], three["val_overlaps"]) == (12, 12, 6, 0, 4), three
assert [(c["train"], c["validation"], c["test"]) for c in three["classes"]] == [(6, 6, 3)] * 2, three
assert "12 pictures to train on, 12 to validate on, 6 to test on, 2 classes" in run("data", "parts", "--resize", "8").stdout
watched = run("train", "parts", *SMALL[:-1], "--batch-size", "4", "--steps", "6", "--patience", "2", "--out", "watched", "--json",
              says="note: val/ is what a training is watched on, test/ what it is tested on at its end\n")
assert "split: the folder's own\n" in watched.stderr, watched.stderr
assert "note: 4 pictures of val/ are in train/ or test/ too" in watched.stderr, watched.stderr
assert "12 training examples, 12 to validate, 6 to test; 6 steps in 2 epochs" in watched.stderr and "  val acc 0." in watched.stderr, watched.stderr
result = json.loads(watched.stdout)
assert (result["overlaps"], result["val_overlaps"]) == (0, 4), result
assert f"patience: the network of epoch {result['best_epoch']} is kept, the best so far\n" in watched.stderr, watched.stderr
ended = run("train", "parts", *SMALL[:-1], "--batch-size", "4", "--steps", "30", "--lr", "0", "--patience", "2", "--out", "ended", "--json")
assert "patience: no better accuracy for 2 epochs; the network of epoch 1 is kept\n" in ended.stderr, ended.stderr
assert json.loads(ended.stdout)["epochs"] == 3, ended.stdout
tested = json.loads(run("eval", "watched", "--json").stdout)
assert tested["examples"] == 6 and tested["test_acc"] == result["test_acc"], (tested, result)
metrics = (HERE / "watched/metrics.csv").read_text().splitlines()
assert metrics[0] == "epoch,train_loss,train_acc,val_acc", metrics
kept = [line.split(",")[3] for line in metrics[1:] if float(line.split(",")[0]) == (result["best_epoch"] or result["epochs"])]
assert [float(value) for value in kept] == [result["val_acc"]], (metrics, result)
assert "val acc" in (HERE / "watched/curves.svg").read_text() and "test acc" not in (HERE / "watched/curves.svg").read_text()
assert "val acc" in run("plot", "watched").stdout and "test acc" in run("plot", "watched", "parts-run").stdout
run("report", "watched")
assert '"validated":true' in (HERE / "watched/report.html").read_text()
again = json.loads(run("train", "--config", "watched/config.toml", "--out", "watched-again", "--json").stdout)
assert again["weights_sha256"] == result["weights_sha256"] and again["test_acc"] == result["test_acc"], (again, result)
put("parts/val/a/new.png", png(300))
run("train", "--resume", "watched", code=1, says="has other examples now than the run of watched had")

# The last batch of one example, and lists in a configuration.
put("list.toml", b"blocks = [1, 1]\nchannels = [8, 8]\nresize = 8\n")
odd = ["train", "parts", "--config", "list.toml", "--batch-size", "11", "--epochs", "1", "--quiet", "--out", "odd", "--json"]
run(*odd, code=2, says="the last batch has 1 example of 12: ")
assert json.loads(run(*odd, "--drop-last").stdout)["steps"] == 1
assert "drop-last = 'yes'" in (HERE / "odd/config.toml").read_text()

# A test set without one of the network's classes, and a folder in two places.
for folder, split, labels in (("numbers", "train", [0, 1, 2, 0, 1, 2]), ("numbers", "t10k", [0, 1]), ("fewer", "t10k", [0, 1, 1]),
                              ("more", "t10k", [0, 3])):
    put_idx(folder, split, bytes(range(64)) * len(labels), labels, 8)
run("train", "--data", "idx:numbers", *SMALL, "--batch-size", "6", "--out", "numbers-run")
fewer = json.loads(run("eval", "numbers-run", "--data", "idx:fewer", "--json").stdout)
assert [c["examples"] for c in fewer["classes"]] == [1, 2, 0], fewer
run("eval", "numbers-run", "--data", "idx:more", code=1, says="the network knows 3 classes, idx:more has 4")
# Labels with gaps: the classes without an example are told before training, and by `data`.
GAPS = "2 of 4 classes have no example to train on: 1, 2"
put_idx("gaps", "train", bytes(range(64)) * 4, [0, 3, 0, 3], 8)
put_idx("gaps", "t10k", bytes(range(64)), [0], 8)
run("train", "--data", "idx:gaps", *SMALL, "--batch-size", "4", "--out", "gaps-run", says=f"note: {GAPS}\n")
assert json.loads(run("data", "idx:gaps", "--resize", "8", "--json").stdout)["notes"] == [GAPS]
assert f"\nnote: {GAPS}\n" in run("data", "idx:gaps", "--resize", "8").stdout
run("train", "--data", "idx:numbers", "--data-dir", "elsewhere", code=2, says="--data-dir is elsewhere beside a data set in numbers")
print("a folder of pictures: told, split, repeated")
