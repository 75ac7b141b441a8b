"""What the scripts of this folder share: the program, a fresh folder that they work in, small data sets and pictures."""
import atexit
import json
import os
import pathlib
import pty
import random
import re
import shutil
import struct
import subprocess
import time
import zlib

PROGRAM = os.environ["RESNET_PROGRAM"]
SOURCE = pathlib.Path(os.environ["RESNET_SOURCE_DIR"])
TIMEOUT = int(os.environ["RESNET_TEST_TIMEOUT"])  # seconds; sanitizers have more
HERE = pathlib.Path.cwd() / "files"

shutil.rmtree(HERE, ignore_errors=True)
HERE.mkdir()
os.chdir(HERE)
os.environ["XDG_CACHE_HOME"] = str(HERE.parent / "cache")
shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
os.environ.pop("RESNET_DATA_DIR", None)
os.environ["RESNET_CUDA_PLUGIN"] = "none"  # their numbers are the CPU's, also where there is a GPU


def sanitized():
    """Whether the program is a sanitizer's, which takes memory of its own and keeps what is freed."""
    return re.search(r"__[at]san_", subprocess.run(["readelf", "--dyn-syms", "-W", PROGRAM], capture_output=True, text=True, check=True).stdout)


def released():
    """Whether it has the speed and memory of what users have: no sanitizer's, and not without optimisation."""
    cache = pathlib.Path(PROGRAM).parent / "CMakeCache.txt"
    return not sanitized() and "CMAKE_BUILD_TYPE:STRING=Debug" not in (cache.read_text() if cache.exists() else "")


def run(*arguments, code=0, says="", data=None, **options):
    """Runs the program, with `data` as its standard input; its exit code must be `code`, and stderr must have `says`."""
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, input=data, timeout=TIMEOUT, check=False, **options)
    result.stdout, result.stderr = (text.decode(errors="replace") for text in (result.stdout, result.stderr))
    assert result.returncode == code and says in result.stderr, \
        f"{arguments}: exit code {result.returncode}, not {code}, or not '{says}' in\n{result.stderr}\nstdout: {result.stdout[-2000:]}"
    return result


def start(*arguments):
    """The program in the background, with pipes of text; it ends with the test, also with one that fails."""
    return ends_with_test(subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))


def ends_with_test(process):
    atexit.register(process.kill)
    return process


def wait_until(process, happened):
    """Until `happened()`, before which the process must not end."""
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def has_lines(path, count):
    """Whether a file that is being written has as many."""
    return path.exists() and path.read_text().count("\n") >= count


def on_terminal(*arguments):
    """All that the program writes to a terminal of 100 columns and 40 lines, in bytes."""
    ours, theirs = pty.openpty()
    process = ends_with_test(subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs,
                                              env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}))
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 1 << 16):
            written += part
    except OSError:  # the program has ended
        pass
    process.wait(timeout=TIMEOUT)
    return written


def result_of(folder):
    return json.loads((HERE / folder / "result.json").read_text())


def put(path, content):
    path = HERE / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def idx(values, *extents, kind=8):
    """An IDX file."""
    return bytes([0, 0, kind, len(extents)]) + b"".join(struct.pack(">I", e) for e in extents) + bytes(values)


def put_idx(folder, split, pixels, labels, height, width=None):
    """Gray images and their labels, as MNIST's files of a split ("train" or "t10k")."""
    labels = bytes(labels)
    put(f"{folder}/{split}-images-idx3-ubyte", idx(pixels, len(labels), height, width or height))
    put(f"{folder}/{split}-labels-idx1-ubyte", idx(labels, len(labels)))


def put_small_idx(folder, seed=0):
    """Eight examples of 40x40 in three classes, the same to train and to test on."""
    for split in ("train", "t10k"):
        put_idx(folder, split, ((7 * i + seed) % 251 for i in range(8 * 40 * 40)), (i % 3 for i in range(8)), 40)


def put_noise(folder, examples, seed=0):
    """As put_small_idx(), but pictures of 16x16 that are noise."""
    pixels = random.Random(seed).randbytes(examples * 16 * 16)
    for split in ("train", "t10k"):
        put_idx(folder, split, pixels, (i % 3 for i in range(examples)), 16)


def png(pixels, height, width, level=6):
    """Gray or RGB, by the number of bytes."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    row = len(pixels) // height
    rows = b"".join(b"\0" + pixels[row * y:row * (y + 1)] for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2 if row > width else 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, level)) + chunk(b"IEND", b""))
