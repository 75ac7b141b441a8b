#!/usr/bin/env python3
"""What a trained network answers: `eval` with its files, `predict` for pictures, folders, standard input, and among
them files that are no pictures."""
import base64
import csv
import io
import json
import os
import pathlib
import random
import socket
import struct
import subprocess
import xml.etree.ElementTree

from program import HERE, PROGRAM, on_terminal, png, put, put_idx, result_of, run

CLASSES = 3
SIDE = 8


# Pictures whose class is their brightness, with noise.
def pixels_of(label, generator):
    return bytes(min(255, 20 + 90 * label + generator.randrange(30)) for _ in range(SIDE * SIDE))


def picture(label, generator):
    return png(pixels_of(label, generator), SIDE, SIDE)


for split in ("train", "t10k"):
    generator = random.Random(f"1{split}")
    put_idx("data", split, b"".join(pixels_of(i % CLASSES, generator) for i in range(90)), (i % CLASSES for i in range(90)), SIDE)
run("train", "--data", "idx:data", "--resize", "16", "--channels", "8,8", "--blocks", "1,1", "--batch-size", "15", "--epochs", "6",
    "--lr", "0.1", "--quiet", "--out", "run")
result = result_of("run")
assert result["test_acc"] > 0.9, result

# With --tta flip a picture and its mirror image have one answer, wherever it is asked for; without it two.
generator = random.Random("mirror")
for i in range(2):
    pixels = generator.randbytes(SIDE * SIDE)
    rows = [pixels[y:y + SIDE] for y in range(0, len(pixels), SIDE)]
    put(f"mirror/a/{i}.png", png(pixels, SIDE, SIDE))
    put(f"mirror/b/{i}.png", png(b"".join(row[::-1] for row in rows), SIDE, SIDE))
    for name, images in (("left", rows), ("right", [row[::-1] for row in rows])):
        for split in ("train", "t10k"):
            put_idx(name, split, b"".join(images), [0], SIDE)
    put_idx(name, "train", bytes(SIDE * SIDE * 3), range(3), SIDE)  # three classes
for flags, same in (["--tta", "flip"], True), ([], False):
    top = [json.loads(run("predict", "run", f"mirror/{side}/0.png", "--json", *flags).stdout)[0]["top"] for side in "ab"]
    assert (top[0] == top[1]) == same, (flags, top)
    top = [json.loads(run("predict", "run", "-", "--json", *flags, data=(HERE / f"mirror/{side}/0.png").read_bytes()).stdout)[0]["top"]
           for side in "ab"]
    assert (top[0] == top[1]) == same, (flags, top)
    loss = [json.loads(run("eval", "run", "--data", f"idx:{side}", "--json", *flags).stdout)["loss"] for side in ("left", "right")]
    assert (loss[0] == loss[1]) == same, (flags, loss)

# A confusion matrix of millions of cells is given to nobody who has not asked for it.
for split in ("train", "t10k"):
    put_idx("many", split, bytes(1200 * SIDE * SIDE), bytes(1200), SIDE)
    put(f"many/{split}-labels-idx1-ubyte", b"\0\0\x0c\1" + struct.pack(">1201i", 1200, *range(1200)))
run("train", "--data", "idx:many", "--resize", "8", "--channels", "4,4", "--blocks", "1,1", "--batch-size", "5", "--steps", "1", "--quiet", "--out", "many-run")
many = json.loads(run("eval", "many-run", "--json", "--confusion", "many.csv").stdout)
assert many["confusion"] is None and len(many["classes"]) == 1200, many["confusion"]
assert len((HERE / "many.csv").read_text().splitlines()) == 1201

# The figures of an evaluation, and its files.
figures = json.loads(run("eval", "run", "--json", "--confusion", "confusion.csv", "--mistakes", "mistakes.svg",
                         "--save-predictions", "predictions.csv").stdout)
assert figures["test_acc"] == result["test_acc"]
low, high = figures["test_acc_95"]
assert 0.85 < low < figures["test_acc"] <= high <= 1, figures
assert figures["top5_acc"] is None, "of three classes any answer is among five"
assert 0 <= figures["calibration_error"] <= 1
table = list(csv.reader(io.StringIO((HERE / "predictions.csv").read_text())))
assert table[0] == ["example", "label", "answer", "probability", "label_probability"] and len(table) == 91
answers = [(int(row[1]), int(row[2])) for row in table[1:]]
assert sum(label == answer for label, answer in answers) / 90 == figures["test_acc"]
confusion = list(csv.reader(io.StringIO((HERE / "confusion.csv").read_text())))
assert confusion[0] == ["true\\answer", "0", "1", "2"]
counted = [[sum((label, answer) == (r, c) for label, answer in answers) for c in range(CLASSES)] for r in range(CLASSES)]
assert [list(map(int, row[1:])) for row in confusion[1:]] == counted == [figures["confusion"][3 * r:3 * r + 3] for r in range(CLASSES)]
for k, of in enumerate(figures["classes"]):
    hits, truly, said = counted[k][k], sum(counted[k]), sum(row[k] for row in counted)
    assert of["examples"] == truly and abs(of["recall"] - hits / truly) < 1e-12 and abs(of["f1"] - 2 * hits / (truly + said)) < 1e-12
assert abs(figures["macro_recall"] - sum(of["recall"] for of in figures["classes"]) / CLASSES) < 1e-12
text = run("eval", "run", "--confusion", "confusion.svg").stdout
assert f"test acc {figures['test_acc']:.4f}" in text and "calibration error" in text and "\nmean " in text, text
xml.etree.ElementTree.parse(HERE / "confusion.svg")

# A barely trained network makes mistakes: their sheet has the pictures themselves.
run("train", "--data", "idx:data", "--resize", "16", "--channels", "8", "--blocks", "1", "--batch-size", "15", "--steps", "1",
    "--quiet", "--out", "young")
young = json.loads(run("eval", "young", "--json", "--mistakes", "young.svg").stdout)
wrong = round(90 * (1 - young["test_acc"]))
images = xml.etree.ElementTree.parse(HERE / "young.svg").iter("{http://www.w3.org/2000/svg}image")
sheet = [base64.b64decode(image.get("href").removeprefix("data:image/png;base64,")) for image in images]
assert len(sheet) == min(64, wrong) > 0 and all(picture.startswith(b"\x89PNG") for picture in sheet)
unwritten = run("eval", "run", "--confusion", "nowhere/confusion.csv", code=1, says="nowhere/confusion.csv")
assert f"test acc {figures['test_acc']:.4f}" in unwritten.stdout, "what was measured is printed all the same"

# Labels for pictures, by name, by folder, and from standard input.
generator = random.Random(7)
pictures = HERE / "pictures"
(pictures / "deep" / "er").mkdir(parents=True)
for i in range(40):
    place = pictures if i % 2 else pictures / "deep" / "er"
    (place / f"{i:02}.png").write_bytes(picture(i % CLASSES, generator))
(pictures / "notes.txt").write_text("no picture")
assert b"Predicting" not in on_terminal("predict", "run", "pictures", "--batch-size", 1), "a bar among the answers"
found = json.loads(run("predict", "run", "pictures", "--json", "--top", 2).stdout)
assert [pathlib.Path(item["file"]).name for item in found] == [f"{i:02}.png" for i in [*range(1, 40, 2), *range(0, 40, 2)]]
for item in found:
    assert item["label"] == str(int(pathlib.Path(item["file"]).stem) % CLASSES), item
    assert item["top"][0] == {"label": item["label"], "probability": item["probability"]} and len(item["top"]) == 2
    assert 0 <= item["top"][1]["probability"] <= item["probability"] <= 1
for threads, batch in ((1, 32), (3, 32), (2, 7)):
    again = json.loads(run("predict", "run", "pictures", "--json", "--top", 2, "--threads", threads, "--batch-size", batch).stdout)
    assert [item["label"] for item in again] == [item["label"] for item in found]
    assert batch != 32 or again == found, "the same bits for any number of threads"
run("predict", "run", "pictures", says="note: pictures: 1 file is no picture: .txt 1\n")
first = run("predict", "run", pictures / "01.png", "--top", 1).stdout
assert first.startswith(f"{pictures}/01.png: 1 ") and first.endswith(" %\n"), first
piped = json.loads(run("predict", "run", "-", "--json", data=(pictures / "01.png").read_bytes()).stdout)
assert piped[0]["file"] == "-" and piped[0]["label"] == "1" and len(piped[0]["top"]) == 3, piped
# Also from a socket, and from a file from where it stands.
ours, theirs = socket.socketpair()
ours.sendall((pictures / "01.png").read_bytes())
ours.shutdown(socket.SHUT_WR)
with open(HERE / "behind", "wb+") as behind:
    behind.write(b"a header" + (pictures / "01.png").read_bytes())
    behind.flush()
    os.lseek(behind.fileno(), 8, os.SEEK_SET)
    for source in (theirs, behind):
        said = subprocess.run([PROGRAM, "predict", "run", "-", "--json"], stdin=source, capture_output=True, check=True)
        assert json.loads(said.stdout) == piped, said
run("predict", "run", pictures / "01.png", "-", code=2, says="cannot be given beside files")
(HERE / "-dash.png").write_bytes((pictures / "01.png").read_bytes())
assert run("predict", "run", "--top", 1, "--", "-dash.png").stdout.startswith("-dash.png: 1 ")

# A model's file alone is evaluated as its run is: what is done to a picture before the network is a part of it.
for label in range(CLASSES):
    for i in range(12):
        place = HERE / "photos" / "abc"[label] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(bytes(byte for byte in pixels_of(label, generator) for _ in range(3))[:3 * SIDE * SIDE], SIDE, SIDE))
run("train", "photos", "--resize", "24", "--crop", "16", "--resize-filter", "bicubic", "--normalize", "imagenet", "--val-split", "0.5",
    "--channels", "8", "--blocks", "1", "--batch-size", "6", "--epochs", "1", "--quiet", "--out", "colour")
of_run, of_file = (json.loads(run("eval", model, "--data", "folder:photos", "--val-split", "0.5", "--json").stdout)
                   for model in ("colour", "colour/model.safetensors"))
assert of_run["loss"] == of_file["loss"] and of_run["confusion"] == of_file["confusion"], (of_run, of_file)
# The split of a folder is the training's where its seed is given too; where nothing is given that is told.
run("train", "photos", "--resize", "16", "--val-split", "0.5", "--seed", 3, "--channels", "8", "--blocks", "1", "--batch-size", "6",
    "--epochs", "1", "--quiet", "--out", "seeded")
of_run = json.loads(run("eval", "seeded", "--json").stdout)
of_file = json.loads(run("eval", "seeded/model.safetensors", "--data", "photos", "--val-split", 0.5, "--seed", 3, "--json").stdout)
assert of_run["loss"] == of_file["loss"], (of_run, of_file)
run("eval", "seeded/model.safetensors", "--data", "photos", says="is split by --seed 0 and --val-split 0.1")
assert "is split by" not in run("eval", "seeded").stderr
# Other pictures: a share of them, or all. And files by their names.
for label in range(CLASSES):
    for i in range(12):
        put(f"others/{'abc'[label]}/{i}.png", png(bytes(byte for byte in pixels_of(label, generator) for _ in range(3)), SIDE, SIDE))
# Tables keep their columns beside long names.
for label in range(CLASSES):
    for i in range(4):
        put(f"long/{'abc'[label] * 20}/{i}.png", png(bytes(byte for byte in pixels_of(label, generator) for _ in range(3)), SIDE, SIDE))
run("train", "long", "--resize", "8", "--channels", "4,4", "--blocks", "1,1", "--batch-size", "3", "--steps", "1", "--quiet", "--out", "long-run")
rows = run("eval", "long-run").stdout.splitlines()
figures = [line for line in rows if line.startswith(("class ", "mean ", "aaa", "bbb", "ccc"))]
assert len(figures) == 5 and len({len(line) for line in figures}) == 1, rows
matrix = rows[rows.index("confusion, a row for each true class, a column for each answer") + 1:]
assert len(matrix) == 4 and len({len(line) for line in matrix}) == 1, rows
run("eval", "seeded", "--data", "others", says="that share alone is tested on; --val-split 1 tests on all of it")
assert json.loads(run("eval", "seeded", "--data", "others", "--val-split", 1, "--json").stdout)["examples"] == 36
run("eval", "seeded", "--save-predictions", "files.csv", "--mistakes", "files.svg")
rows = list(csv.DictReader(io.StringIO((HERE / "files.csv").read_text())))
assert rows and all(row["file"].startswith(row["label"] + "/") and (HERE / "photos" / row["file"]).is_file() for row in rows), rows
assert all(row["file"] in (HERE / "files.svg").read_text() for row in rows if row["label"] != row["answer"])
run("eval", "seeded", "--seed", 4, says="has other test examples than the run in seeded had")
run("eval", "seeded", "--confusion", "same.csv", "--save-predictions", "./same.csv", code=2, says="are both './same.csv'")
run("eval", "seeded", "--confusion", "seeded/model.safetensors", code=2, says="is read, and would be lost")
# A configuration with another split is a new run, not one whose data has changed.
run("train", "--config", "seeded/config.toml", "--seed", 4, "--val-split", "0.4", "--quiet", "--out", "split")

# Files that are no pictures are named, the others have their answers.
(pictures / "broken.png").write_bytes((pictures / "01.png").read_bytes()[:60])
mixed = run("predict", "run", pictures / "01.png", pictures / "broken.png", pictures / "gone.png", pictures / "notes.txt",
            pictures / "03.png", "--csv", code=1, says="3 of 5 pictures have no answer")
rows = list(csv.DictReader(io.StringIO(mixed.stdout)))
assert [row["label_1"] for row in rows] == ["1", "", "", "", "0"], rows
assert [row["error"] != "" for row in rows] == [False, True, True, True, False], rows
for name in ("broken.png", "gone.png", "notes.txt"):
    assert name in mixed.stderr, mixed.stderr
objects = json.loads(run("predict", "run", pictures / "broken.png", pictures / "03.png", "--json", code=1).stdout)
assert set(objects[0]) == {"file", "error"} and objects[1]["label"] == "0"
assert json.loads(run("predict", "run", "-", "--json", data=b"nothing", code=1).stdout)[0]["file"] == "-"
# The network's input follows the picture's size: neighbours of one shape go together, and have the answers that each has alone.
shapes = [(8, 8)] * 3 + [(24, 8), (8, 8), (24, 8), (24, 8)] + [(8, 24)] * 6
for i, (width, height) in enumerate(shapes):
    pixels = bytes(min(255, 20 + 90 * (i % CLASSES) + generator.randrange(30)) for _ in range(width * height))
    put(f"shapes/{i:02}.png", png(pixels, width, height) if i != 10 else b"no picture")
together, alone = (json.loads(run("predict", "run", "shapes", "--json", "--top", 3, "--batch-size", batch, code=1).stdout) for batch in (4, 1))
assert [pathlib.Path(item["file"]).name for item in together] == [f"{i:02}.png" for i in range(len(shapes))], together
assert ["error" in item for item in together] == [i == 10 for i in range(len(shapes))], together
for one, other in zip(together, alone):
    assert one.get("label") == other.get("label") and abs(one.get("probability", 0) - other.get("probability", 0)) < 1e-4, (one, other)
strip = HERE / "strip.png"
strip.write_bytes(png(bytes(5000), 1, 5000))
for model in ("run", "colour"):
    mixed = run("predict", model, pictures / "01.png", strip, pictures / "03.png", "--csv", code=1, says="strip.png: an image of ")
    assert [row["label_1"] != "" for row in csv.DictReader(io.StringIO(mixed.stdout))] == [True, False, True], mixed.stdout
    assert "error" in json.loads(run("predict", model, "-", "--json", data=strip.read_bytes(), code=1).stdout)[0]
(HERE / "dangling").mkdir()
(HERE / "dangling" / "a.png").write_bytes((pictures / "01.png").read_bytes())
(HERE / "dangling" / "b.png").symlink_to("nothing")
dangling = json.loads(run("predict", "run", "dangling", "--json", code=1, says="1 of 2 pictures have no answer").stdout)
assert ["error" in item for item in dangling] == [True, False] and dangling[0]["file"].endswith("b.png"), dangling
(HERE / "dangling" / "a.png").unlink()
run("predict", "run", "dangling", "--json", code=1, says="1 of 1 pictures have no answer")
(HERE / "empty").mkdir()
for top in (0, 2**63 - 1):
    run("predict", "run", pictures, "--top", top, "--csv", code=2, says=f"--top cannot be '{top}'")
run("predict", "run", "empty", code=1, says="empty holds no pictures")
among = json.loads(run("predict", "run", "empty", pictures / "01.png", "--json", code=1, says="1 of 2 pictures have no answer").stdout)
assert ["error" in item for item in among] == [True, False] and "empty holds no pictures" in among[0]["error"], among
assert run("predict", "run", "empty", "--json", code=1, says="empty holds no pictures").stdout == "", "half an array"

# Names that a model file chose are no commands to a terminal, and no lines of a table.
hostile = HERE / "hostile.safetensors"
model = (HERE / "run" / "model.safetensors").read_bytes()
size = int.from_bytes(model[:8], "little")
header = json.loads(model[8:8 + size])
header["__metadata__"]["resnet.classes"] = json.dumps(["\x1b]0;x\x07", "\nb", "=1,2"])
changed = json.dumps(header).encode()
hostile.write_bytes(len(changed).to_bytes(8, "little") + changed + model[8 + size:])
table = run("predict", hostile, pictures / "03.png", "--csv", "--top", 3).stdout
assert "\x1b" not in table and "\\x1b]0;x\\x07" in table and table.count("\n") == 2, table
run("predict", "run", pictures, "--json", "--csv", code=2, says="give one of them")
run("predict", "run", code=2, says="resnet predict needs FILE")
