#!/usr/bin/env python3
"""What `resnet serve` does under load, beside `resnet predict` on the same pictures: pairs, one after the other, so that what else
the machine does falls on both. Then as many requests as are asked for, and what they leave in memory.

Usage: bench/serve.py PROGRAM RUN PICTURES [--rounds 5] [--seconds 5] [--connections 1,16] [--requests 0]
PICTURES is a folder without sub-folders. Needs wrk (tools/setup.sh full).
"""
import argparse
import pathlib
import re
import signal
import statistics
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("run")
parser.add_argument("pictures", type=pathlib.Path)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=int, default=5)
parser.add_argument("--connections", default="1,16")
parser.add_argument("--requests", type=int, default=0)
arguments = parser.parse_args()
files = sorted(map(str, arguments.pictures.iterdir()))
sent = files[:64]

server = subprocess.Popen([arguments.program, "serve", arguments.run, "--port", "0"], stderr=subprocess.PIPE, text=True)
address = re.search(r" at (http://\S+);", server.stderr.readline())[1]


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1000, "m": 60000}[unit]


def wrk(connections, seconds):
    """Requests a second, and the times that half and 99 % of them are answered in, in ms."""
    said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s",
                           HERE / "serve.lua", address, "--", *sent], capture_output=True, text=True, check=True).stdout
    assert re.search(r"faults: 0 of [1-9]", said), said
    figures = [re.search(rf" {percent}%\s+(\S+)", said)[1] for percent in (50, 99)]
    return [float(re.search(r"Requests/sec:\s+(\S+)", said)[1]), *map(milliseconds, figures)]


def predict():
    """Pictures a second, without the program's start."""
    times = []
    for names in (files[:1], files):
        begin = time.monotonic()
        subprocess.run([arguments.program, "predict", arguments.run, "--csv", "--batch-size", "8", *names], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.monotonic() - begin)
    return (len(files) - 1) / (times[1] - times[0])


def metric(name):
    with urllib.request.urlopen(address + "/metrics") as answer:
        return float(re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)[1])


try:
    counts = [int(c) for c in arguments.connections.split(",")]
    rates, figures = [], {c: [] for c in counts}
    for number in range(arguments.rounds):
        rates.append(predict())
        for c in counts:
            figures[c].append(wrk(c, arguments.seconds))
    if rates:
        print(f"predict: {statistics.median(rates):.1f} pictures/s (of {len(rates)}: {min(rates):.1f} to {max(rates):.1f})")
    for c, found in figures.items():
        if not found:
            continue
        rate, half, most = (statistics.median(column) for column in zip(*found))
        share = statistics.median(f[0] / r for f, r in zip(found, rates))
        print(f"serve, {c} connections: {rate:.1f} requests/s ({min(f[0] for f in found):.1f} to {max(f[0] for f in found):.1f}), "
              f"{share:.2f} of predict, half in {half:.1f} ms, 99 % in {most:.1f} ms")
    done = 0
    while done < arguments.requests:
        wrk(16, arguments.seconds)
        done = int(metric("resnet_predict_seconds_count"))
        print(f"{done} requests: {metric('process_resident_memory_bytes') / 2**20:.1f} MiB", flush=True)
finally:
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 143
