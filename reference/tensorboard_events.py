#!/usr/bin/env python3
"""Holds the event files of a run to what TensorBoard itself reads: trains a small run with --tensorboard, kills it in its middle, goes on
with it, and compares every scalar with the run's metrics.csv, by EventAccumulator and over HTTP from a server of TensorBoard's.

Usage: tensorboard_events.py PROGRAM      (needs tensorboard from PyPI: 2.21.0 was used)
"""
import csv
import json
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
BATCHES, EPOCHS = 10, 6
TRAIN = ["--limit-train", str(32 * BATCHES), "--limit-test", "64", "--batch-size", "32", "--resize", "32", "--channels", "8,8", "--blocks",
         "1,1", "--epochs", str(EPOCHS), "--schedule", "cosine", "--checkpoint-every", "7", "--quiet", "--tensorboard"]


def same(a, b):
    """Whether `a` is `b` as f32."""
    return a == struct.unpack("f", struct.pack("f", float(b)))[0]


with tempfile.TemporaryDirectory() as folder:
    run = pathlib.Path(folder) / "runs/small"
    process = subprocess.Popen([PROGRAM, "train", *TRAIN, "--out", run], stdout=subprocess.DEVNULL)
    while process.poll() is None and len(list(run.glob("checkpoints/step-0000000[2-5]*"))) == 0:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was too fast"
    before = len((run / "metrics.csv").read_text().splitlines())
    time.sleep(1.1)
    subprocess.run([PROGRAM, "train", "--resume", run, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    files = sorted(path.name for path in run.glob("events.out.tfevents.*"))
    assert len(files) == 2, files
    points = list(csv.DictReader((run / "metrics.csv").open()))
    assert len(points) == 5 * EPOCHS and before < len(points), len(points)
    steps = [round(float(point["epoch"]) * BATCHES) for point in points]

    events = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    assert events.file_version == 2.0
    tags = {"loss/train": "train_loss", "accuracy/train": "train_acc", "accuracy/test": "test_acc", "epoch": "epoch"}
    for tag, column in tags.items():
        wanted = [(step, point[column]) for step, point in zip(steps, points) if point[column]]
        found = events.Scalars(tag)
        assert [event.step for event in found] == [step for step, _ in wanted], (tag, found)
        assert all(same(event.value, value) for event, (_, value) in zip(found, wanted)), (tag, found, wanted)
        assert all(a.wall_time <= b.wall_time for a, b in zip(found, found[1:])), tag
    rates = [event.value for event in events.Scalars("lr")]
    assert len(rates) == len(points) and all(a > b for a, b in zip(rates, rates[1:])), rates
    assert all(event.value > 0 for event in events.Scalars("examples_per_second"))
    image, = events.Images("pictures")
    assert image.encoded_image_string.startswith(b"\x89PNG") and image.width > 100, (image.width, image.height)
    text, = events.Tensors("settings/text_summary")
    assert b"epochs = 6" in text.tensor_proto.string_val[0]
    print(f"EventAccumulator: {len(points)} points of {len(tags) + 2} scalars, an image and a text, of {len(files)} files")

    server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", run.parent, "--port", "0", "--load_fast", "false"],
                              stderr=subprocess.PIPE, text=True)
    try:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://localhost:\d+/", line)))

        def get(path):
            with urllib.request.urlopen(address + "data/" + path, timeout=60) as answer:
                return json.load(answer)

        for _ in range(200):
            if "small" in get("plugin/scalars/tags"):
                break
            time.sleep(0.2)
        for tag, column in tags.items():
            found = get(f"plugin/scalars/scalars?run=small&tag={tag}")
            wanted = [(step, point[column]) for step, point in zip(steps, points) if point[column]]
            assert [event[1] for event in found] == [step for step, _ in wanted], (tag, found)
            assert all(same(event[2], value) for event, (_, value) in zip(found, wanted)), tag
        image, = get("plugin/images/images?run=small&tag=pictures&sample=0")
        with urllib.request.urlopen(address + "data/plugin/images/individualImage?" + image["query"], timeout=60) as answer:
            assert answer.read(4) == b"\x89PNG"
        assert "epochs = 6" in get("plugin/text/text?run=small&tag=settings/text_summary")[0]["text"]
        print("TensorBoard over HTTP: the same scalars, the image and the text")
    finally:
        server.terminate()
        server.wait()
