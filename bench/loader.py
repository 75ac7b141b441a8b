"""The loader against Pillow with torchvision's transforms, in alternating pairs; called by bench/pair.py loader."""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import zlib

from environment import ROOT

SIZE = 224      # behind the transforms
SMALL = 32      # of the network that --cache memory has to feed
RIVAL = ROOT / "bench" / "rival_loader.py"


def picture_rows(file):
    """The rows of an RGB PNG without filters, as `resnet data --sheet` writes it; decoded here, for Pillow is the rival."""
    data, at, packed = pathlib.Path(file).read_bytes(), 8, b""
    while at < len(data):
        length, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        if kind == b"IHDR":
            width = int.from_bytes(data[at + 8:at + 12], "big")
        if kind == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += 12 + length
    raw, stride, rows, before = zlib.decompress(packed), 3 * width + 1, [], bytes(3 * width)
    for y in range(len(raw) // stride):
        kind, row = raw[y * stride], bytearray(raw[y * stride + 1:(y + 1) * stride])
        for x in range(len(row) if kind else 0):
            left, up, corner = row[x - 3] if x > 2 else 0, before[x], before[x - 3] if x > 2 else 0
            guess = left + up - corner
            paeth = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
            row[x] = (row[x] + (0, left, up, (left + up) // 2, paeth)[kind]) % 256
        before = bytes(row)
        rows.append(before)
    return rows


def check_pixels(program, python, folder):
    """Every picture of our contact sheet must be one that torchvision makes: the middle of what was resized."""
    with tempfile.TemporaryDirectory() as scratch:
        sheet, theirs = pathlib.Path(scratch) / "sheet.png", pathlib.Path(scratch) / "pixels"
        subprocess.run([program, "data", folder, "--resize", str(SIZE), "--val-split", "0", "--sheet", sheet], check=True,
                       capture_output=True)
        subprocess.run([python, RIVAL, folder, str(SIZE), "--pixels", theirs], check=True)
        pixels = theirs.read_bytes()
        length = 3 * SIZE * SIZE
        known = {pixels[i:i + length] for i in range(0, len(pixels), length)}
        rows, gap, seen = picture_rows(sheet), 2, 0
        for top in range(gap, len(rows) - SIZE + 1, SIZE + gap):
            for left in range(3 * gap, len(rows[0]) - 3 * SIZE + 1, 3 * (SIZE + gap)):
                tile = b"".join(row[left:left + 3 * SIZE] for row in rows[top:top + SIZE])
                if tile == b"\xff" * length:  # a class with fewer pictures than the sheet has columns
                    continue
                if tile not in known:
                    sys.exit("a picture of the sheet is none of torchvision's: the two do not do the same")
                seen += 1
    print(f"{seen} pictures equal torchvision's in every byte (resize, centre crop)", flush=True)


def run(options, python, measure):
    folder = pathlib.Path(options.pictures or ROOT / "build" / "photographs")
    if not options.pictures:
        subprocess.run([python, "-c", "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import photographs; "
                        "photographs.write(pathlib.Path(sys.argv[2]), 128)", ROOT / "bench", folder], check=True)
    other = options.against if os.sep in options.against else None
    if not other:
        check_pixels(options.program, python, folder)
    bench = [options.program, "bench", "loader", "--data", f"folder:{folder}", "--json"]
    ours = [*bench, "--resize", SIZE, "--augment", "resized-crop,flip", "--loader-threads", 1, "--batch-size", 64]
    ratios, version = [], ""
    name = "another build" if other else "torchvision"
    print(f"{'round':>5} {'resnet.cpp':>12} {name:>13} {'ratio':>7}   (pictures/s, one thread against one worker)")
    for number in range(1, options.rounds + 1):
        a = measure(ours)
        b = measure([other, *ours[1:]] if other else [python, RIVAL, folder, SIZE, 3])
        ratios.append(a["examples_per_second"] / b["examples_per_second"])
        version = name if other else b["version"]
        print(f"{number:>5} {a['examples_per_second']:>12.1f} {b['examples_per_second']:>13.1f} {ratios[-1]:>7.3f}", flush=True)
    parts = ", ".join(f"{name} {part['us']:.0f} us ({100 * part['share']:.0f} %)" for name, part in a["parts"].items())
    median = statistics.median(ratios)
    print(f"median ratio {median:.3f} (JPEG to {SIZE}x{SIZE}, resized crop and flip; {version}); ours: {parts}")
    if other:
        return 0 if median >= options.least else 1
    fed = measure([*bench, "--resize", SMALL, "--augment", "crop,flip", "--cache", "memory", "--loader-threads", 1])
    step = measure([options.program, "bench", "train", "--model", "resnet18", "--stem", "small", "--input", f"128x3x{SMALL}x{SMALL}",
                    "--steps", options.steps, "--json"])
    print(f"--cache memory at {SMALL}x{SMALL}: {fed['examples_per_second']:.0f} pictures/s of one thread, the step of resnet18 with its "
          f"small stem takes {step['examples_per_second']:.0f} ({step['threads']} threads)")
    return 0 if median >= options.least and fed["examples_per_second"] >= step["examples_per_second"] else 1
