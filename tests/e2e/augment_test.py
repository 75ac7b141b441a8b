#!/usr/bin/env python3
"""The bits of a run with every random transform on do not depend on the threads that make batches or compute steps."""
import itertools
import json
import random

from program import png, put, run

# In colour, so that jitter and policies have something to do.
noise = random.Random(1)
for i in range(80):
    put(f"pictures/{'abcd'[i % 4]}/{i}.png", png(noise.randbytes(40 * 36 * 3), 40, 36))

RUN = ["train", "pictures", "--val-split", "0.25", "--resize", "32", "--channels", "8,8", "--blocks", "1,1", "--batch-size", "16",
       "--epochs", "2", "--lr", "0.1", "--momentum", "0.9", "--nesterov", "yes", "--ema", "0.9", "--label-smoothing", "0.1", "--clip-norm", "1",
       "--accumulate", "2", "--jitter", "0.4,0.4,0.4,0.1", "--erasing", "0.5", "--cutout", "8", "--mixup", "0.2", "--cutmix", "1",
       "--normalize", "0.5,0.5,0.5/0.3,0.3,0.3", "--json", "--quiet"]


def weights(name, *flags):
    return json.loads(run(*RUN, *flags, "--out", name).stdout)["weights_sha256"]


seen = set()
for number, crop in enumerate(("crop", "reflect-crop", "resized-crop")):
    augment = f"{crop},flip,alternating-flip,rotate,trivial,rand"
    hashes = {(loader, engine): weights(f"run-{number}-{loader}-{engine}", "--augment", augment, "--loader-threads", loader, "--threads", engine)
              for loader, engine in itertools.product("124", "123")}
    assert len(set(hashes.values())) == 1, hashes
    seen |= set(hashes.values())
    # From its own config.toml as well.
    again = run("train", "--config", f"run-{number}-1-1/config.toml", "--out", f"again-{number}", "--json", "--quiet")
    assert json.loads(again.stdout)["weights_sha256"] in hashes.values(), again
seen.add(weights("other-seed", "--augment", "crop,flip", "--seed", "1"))
seen.add(weights("none"))
assert len(seen) == 5, "another seed, and no crop, give other bits"
print("ok")
