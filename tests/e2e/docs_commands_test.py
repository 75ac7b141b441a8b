#!/usr/bin/env python3
"""The commands in README.md and docs/: each `resnet ...` is one that the program takes, those of RUN do what the text says, in
its order, on a small folder of pictures; of the others what they name exists. Lines that begin neither with a
program of ours nor with a word of OTHERS are taken for output. Compiling, packages and containers are the business of package/* and products_slow_test.py.

What a command of resnet that is only parsed does: it ends at its data or files, which are not there, and not at its flags.
"""
import json
import math
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess

from program import HERE, PROGRAM, SOURCE, TIMEOUT, png, put, put_noise, released, run, start
from weight_files import pth, read_safetensors, safetensors

PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]
FAKED = os.environ["RESNET_FAKE_GPU_DIR"]  # a GPU, where one is named
NO_DATA = {**os.environ, "RESNET_DATA_DIR": str(HERE / "none"), "LD_LIBRARY_PATH": FAKED, "RESNET_CUDA_PLUGIN": f"{FAKED}/libresnet_cuda.so"}
SECONDS = 1 if released() else 10  # for a command that has what it needs and begins to work

# Commands that run here, in this order, with what makes them small: the chapter's data set is 24 pictures of noise, the
# folders hold as many, and torchvision's file is one that we exported.
SMALL = ["--epochs", "1", "--resize", "32", "--batch-size", "4", "--channels", "8,16", "--blocks", "1,1"]
CROPPED = [*SMALL, "--crop", "32"]
RUN = {
    "./train.sh": SMALL,
    "./train.sh photos/": [*CROPPED, "--out", "runs/mine"],
    "build/release/resnet train photos/": [*CROPPED, "--out", "runs/resnet18-1"],
    "build/release/resnet eval runs/resnet18-1 --mistakes wrong.svg": [],
    "build/release/resnet predict runs/resnet18-1 new.jpg": [],
    "resnet train --resume runs/d2l_resnet18-1": [],
    "resnet export runs/resnet18-1 --onnx photos.onnx --with-preprocessing": [],
    "resnet export runs/resnet18-1 --safetensors photos.safetensors --dtype f16": [],
    "resnet train photos": [*SMALL, "--resize", "40"],
    "resnet data photos --resize 96 --augment crop,flip,trivial --sheet sheet.png": [],
    "resnet bench train --layers --model resnext50_32x4d --input 16x3x224x224": ["--input", "2x3x32x32", "--steps", "1"],
    "resnet train photos/ --tensorboard": SMALL,
    "resnet report runs/d2l_resnet18-1": [],
    "resnet train --limit-train 12000 --limit-test 2000 --resize 28 --channels 16,32,64 --blocks 1,1,1 --batch-size 100 --lr 0.1 "
    "--epochs 6 --seeds 3 --out runs/small": ["--epochs", "1", "--limit-train", "12", "--limit-test", "12", "--batch-size", "6"],
    "resnet report runs/small --peak": [],
    "resnet compare RUN activations.safetensors": [],
    "resnet train --seeds 5 --out runs/five": SMALL,
    "resnet train --resume runs/five": [],
    "resnet data /usr/share/openclipart/png --sheet art.png": [],
    "resnet train /usr/share/openclipart/png --on-bad-file skip --epochs 20 --batch-size 64 --precision bf16 --out art": [*CROPPED, "--epochs", "2"],
    "resnet eval art --mistakes wrong.svg": [],
    "resnet predict runs/resnet18-1 new.jpg": [],
    "resnet train /usr/share/tuxpaint/stamps --recipe finetune --init art/model.safetensors --precision bf16 --seeds 5":
        [*CROPPED, "--epochs", "2", "--seeds", "2"],
    "resnet import resnet18-f37072fd.pth": [],
    "resnet import resnet18-f37072fd.pth --classes imagenet.txt --out resnet18.safetensors": [],
    "resnet predict resnet18.safetensors photo.jpg": [],
    "resnet train photos/ --model resnet18 --recipe finetune --init resnet18-f37072fd.pth --resize 256 --crop 224 --normalize imagenet":
        [*CROPPED, "--epochs", "2"],
}
LEAVES = ["runs/mine/model.safetensors", "runs/resnet18-1/model.safetensors", "wrong.svg", "sheet.png", "art.png", "photos.onnx", "photos.safetensors", "runs/d2l_resnet18-1/report.html",
          "runs/small/report.html", "runs/five/summary.json", "art/model.safetensors", "resnet18.safetensors"]
ELSEWHERE = {"/usr/share/openclipart/png": "photos", "/usr/share/tuxpaint/stamps": "photos", "RUN": "runs/resnet18-1"}  # folders of packages that the tests do not install
SERVED, ADDRESS = "resnet serve runs/resnet18-1", "http://127.0.0.1:8000"  # it stays, for the lines of curl that follow

# Programs of others, and what of their commands can be checked: files that they name.
OTHERS = ["cmake", "cpack", "g++", "apt-get", "podman", "python3", "srun", "scontrol", "CCACHE_DISABLE=1", "if", "systemctl",
          "journalctl", "curl", "tools/", "bench/", "build/", "examples/", "./", "build/ci/fuzz/fuzz"]
PRESETS = {preset["name"] for preset in json.loads((SOURCE / "CMakePresets.json").read_text())["configurePresets"]}


def commands(text):
    """(line, command) of every command in a page: lines of a block of shell, and code within lines that begins with resnet."""
    fence, before = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"```(\w*)", line):
            fence = None if fence is not None else match[1]
        elif fence in ("sh", "bash", "console") or (fence is None and line.startswith("    ") and not before.startswith(("- ", "  "))):
            for part in re.split(r"\s(?:&&|;|\|)\s", line.strip()):
                yield number, part.split("  #")[0].strip(), True
        elif fence is None:
            for match in re.finditer(r"`(resnet [a-z][^`]*)`", line):
                yield number, match[1], False
        if line.strip() and not line.startswith("    "):
            before = line
        elif not line.strip():
            before = ""


def is_of_shell(command):
    """Blocks hold output and code too."""
    word = command.split(" ")[0]
    return re.fullmatch(r"(build/\w+/|\./)?(resnet|train\.sh|test\.sh)", word) is not None or word.startswith(tuple(OTHERS))


def parse(where, command, block):
    """Of a command that is shown with dots or choices the part before them counts."""
    command = re.split(r"\s\.\.\.|…|\s[\[(|]", command)[0]
    words = [re.sub(r"^N$", "1", word.rstrip(",.:;")) for word in shlex.split(command, comments=True)][1:]
    if words[:1] == ["COMMAND"] or not words:
        return
    if len(words) == 1 and words[0].isalpha() and not block:
        run(words[0], "--help")  # a command by its name alone
        return
    if words[0] == "help" or words[-1].startswith("--") and words[-1] not in ("--json", "--csv", "--svg", "--help", "--layers"):
        words = [*words[:1], "--help"]  # a flag by its name alone: the help must have it
        wanted = command.split()[-1]
        assert wanted in run(*words).stdout, f"{where}: `{command}`: the help has no {wanted}"
        return
    try:
        result = subprocess.run([PROGRAM, *words], capture_output=True, env=NO_DATA, timeout=SECONDS, check=False,
                                stdin=subprocess.DEVNULL, cwd=HERE / "empty")
    except subprocess.TimeoutExpired:
        return
    said = result.stderr.decode()
    short = not block and re.search(r"^resnet: resnet \w+ needs ", said)  # shown for its flags alone
    assert result.returncode in (0, 1) or "there is no data set" in said or short, f"{where}: `{command}`: exit code {result.returncode}: {said}"


def check_other(where, command):
    for name in re.findall(r"(?<![\w/.$-])(?:tools|bench|reference|packaging|examples|\.)/[\w./-]+\.(?:py|sh|txt)|packaging/\w+", command):
        assert (SOURCE / name).exists(), f"{where}: there is no {name}"
    for name in re.findall(r"--preset (\w[\w-]*)", command):
        assert name in PRESETS, f"{where}: there is no preset '{name}'"


# The book's contents and the reference's front page leave nothing out.
contents = (SOURCE / "docs/README.md").read_text()
for page in (SOURCE / "docs").glob("*.md"):
    assert page.name == "README.md" or f"]({page.name})" in contents, f"docs/README.md does not lead to {page.name}"
front = (SOURCE / "docs/reference.md").read_text()
for header in (SOURCE / "include/resnet").glob("*.h"):
    assert header.name == "resnet.h" or f"resnet/{header.name}" in front, f"docs/reference.md has no {header.name}"

book = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
for name in re.findall(r"^  (\w+) ", run("--help").stdout.split("ommands:")[1], re.MULTILINE):
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", run(name, "--help").stdout)) - {"--help"}:
        assert re.search(re.escape(flag) + r"(?![\w-])", book), f"no page of the book has resnet {name} {flag}"


def put_world():
    """What the commands of RUN find."""
    noise = random.Random(1)
    for kind in ("cat", "dog"):
        for i in range(12):
            put(f"photos/{kind}/{i}.png", png(noise.randbytes(40 * 48 * 3), 40, 48))
    for name in ("new.jpg", "photo.jpg", "one.jpg", "two.png"):
        put(name, png(noise.randbytes(40 * 48 * 3), 40, 48))  # a picture's name does not matter
    put_noise("chapter", 24)
    os.environ["RESNET_DATA_DIR"] = str(HERE / "chapter")
    put("imagenet.txt", "".join(f"kind {i}\n" for i in range(1000)).encode())
    run("train", "photos", "--model", "resnet18", *SMALL, "--out", "before")
    weights, _ = read_safetensors(HERE / "before/model.safetensors")
    weights |= {"fc.weight": ("F32", [1000, 16], bytes(64000)), "fc.bias": ("F32", [1000], bytes(4000))}
    put("resnet18-f37072fd.pth", pth(weights, dict))
    zeros = {name: ("F32", shape, bytes(4 * math.prod(shape))) for name, shape in (("input", [1, 3, 32, 32]), ("conv1", [1, 8, 16, 16]))}
    put("activations.safetensors", safetensors(zeros))


(HERE / "empty").mkdir()
put_world()
counts = {"run": 0, "parsed": 0, "looked at": 0}
pending = dict(RUN)
server = address = None
for page in PAGES:
    for line, command, block in commands(page.read_text(encoding="utf-8")):
        where = f"{page.relative_to(SOURCE)}:{line}"
        if block and not is_of_shell(command):
            continue
        if command in pending:
            small = pending.pop(command)
            words = [ELSEWHERE.get(word, word) for word in shlex.split(command)[1:]]
            run(*(["train"] if command.startswith("./train.sh") else []), *words, *small)
            counts["run"] += 1
        elif command == SERVED and block:
            server = start(*shlex.split(command)[1:], "--port", "0")
            address = re.search(r" at (http://\S+);", server.stderr.readline())[1]
            counts["run"] += 1
        elif ADDRESS in command and shutil.which("curl"):
            said = subprocess.run(["sh", "-c", command.replace("curl", "curl -sS --fail", 1).replace(ADDRESS, address)], capture_output=True,
                                  timeout=TIMEOUT, text=True, check=True)
            assert all(answer["top"] for answer in json.loads(said.stdout)), f"{where}: `{command}`: {said}"
            counts["run"] += 1
        elif re.match(r"(build/\w+/)?resnet ", command):
            parse(where, command, block)
            counts["parsed"] += 1
        elif command.startswith("./train.sh"):
            parse(where, "resnet train" + command.removeprefix("./train.sh"), block)
            counts["parsed"] += 1
        else:
            check_other(where, command)
            counts["looked at"] += 1
assert not pending and server, f"no page has these commands any more: {list(pending) or SERVED}"
server.send_signal(signal.SIGTERM)
assert server.wait(TIMEOUT) == 143
for file in LEAVES:
    assert (HERE / file).exists(), f"no {file}"
print(counts)
assert counts["parsed"] > 20, counts
