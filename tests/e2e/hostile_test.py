#!/usr/bin/env python3
"""Files that nobody vouches for: refused in a second, in 64 MB, in one line that may be printed, or run right.

tests/e2e/hostile/ holds model files that once did harm; more of the same kinds are made here.
"""
import gzip
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys

from program import HERE, PROGRAM, SOURCE, put_idx, released

HOSTILE = SOURCE / "tests/e2e/hostile"
# A sanitizer or a build without optimisation takes more time and memory of its own.
RELEASE = released()
MOST_SECONDS, MOST_KB, MOST_CHARACTERS = 1, 64 * 1024, 300
failures = checked = 0

# A process of its own, since the peak of a child begins with that of the process it was forked from.
MEASURE = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=open("usage", "w"))
"""


def check(what, arguments, ends=(1,), says="", figures=True):
    """Runs the program: its exit code is one of `ends`; if that is 1, two lines on stderr, the first with `says`; if
    0, all figures are numbers."""
    global failures, checked
    checked += 1
    process = subprocess.Popen([sys.executable, "-S", "-E", "-c", MEASURE, PROGRAM, *map(str, arguments)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        stdout, stderr = process.communicate(timeout=60 if RELEASE else 250)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        failures += 1
        print(f"FAILED {what}: hangs")
        return
    result = subprocess.CompletedProcess((), 0, stdout, stderr)
    code, seconds, kb = pathlib.Path("usage").read_text().split()
    code, seconds, kb = int(code), float(seconds), int(kb)
    problems = []
    if code not in ends:
        problems.append(f"exit code {code}, expected one of {ends}")
    try:
        text = result.stderr.decode() + result.stdout.decode()
    except UnicodeDecodeError:
        text = ""
        problems.append("printed what is not UTF-8")
    lines = result.stderr.decode(errors="replace").split("\n")[:-1]
    if code == 1 and (len(lines) != 2 or not lines[0].startswith("resnet: ") or not lines[1].startswith("hint: ")):
        problems.append("not one line of what and one of hint")
    if code == 1 and says not in lines[0]:
        problems.append(f"does not say '{says}'")
    if any(len(line.encode()) > MOST_CHARACTERS for line in lines):
        problems.append(f"a line of more than {MOST_CHARACTERS} characters")
    bad = {c for c in text if (c < " " and c != "\n") or "\x7f" <= c < "\xa0" or c in "\u061c\u200e\u200f\u2028\u2029"
           or "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"}
    if bad:
        problems.append(f"printed {bad}")
    if code == 0 and figures and ("nan" in text or "inf" in text):
        problems.append("printed a figure that is none")
    if RELEASE:
        if code != 0 and seconds > MOST_SECONDS:  # a valid network takes the time that it takes
            problems.append(f"{seconds} s")
        if kb > MOST_KB:
            problems.append(f"{kb} KB")
    if problems:
        failures += 1
        print(f"FAILED {what}: {'; '.join(problems)}\n{result.stdout.decode(errors='replace')[:500]}"
              f"{result.stderr.decode(errors='replace')[:1000]}")
    else:
        print(f"ok     {what}: {code}, {seconds:.2f} s, {kb // 1024} MB {lines[0][8:160] if lines else ''}")


DATA = HERE / "data"
for split in ("train", "t10k"):
    put_idx(DATA, split, [7 * i % 251 for i in range(10 * 784)], range(10), 28)


# ---- model files

def header_of(content):
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:8 + length]), content[8 + length:]


def file_of(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


PREPROCESSING = {"resize": [0, 0], "interpolation": "pil_bilinear", "channels": 1, "scale": "divide_by_255"}


def node(op, inputs, name="n", **attributes):
    return {"op": op, "name": name, "attributes": attributes, "inputs": inputs}


def conv(inputs, **changes):
    return node("conv2d", inputs, **{**{"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}, **changes})


def tensors_of(shapes, values=None):
    """Header entries and data of f32 tensors; `values` gives the numbers of some."""
    header, data = {}, b""
    for name, shape in shapes.items():
        count = 1
        for extent in shape:
            count *= extent
        numbers = (values or {}).get(name, [((3 * i) % 7 - 3) / 8 for i in range(count)])
        part = struct.pack(f"<{count}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    return header, data


STATE = {"k": [4, 1, 3, 3], "gamma": [4], "beta": [4], "mean": [4], "var": [4], "w": [10, 4]}
GOOD = {"var": [1, 2, 3, 4], "gamma": [1, 1, 2, 2]}


def graph_of(nodes, output, images=(1, 1, 28, 28), state=None, **more):
    values = [{"name": "images", "role": "input", "dtype": "f32", "shape": list(images)}]
    for name, shape in (state or STATE).items():
        values.append({"name": name, "role": "buffer" if name in ("mean", "var") else "parameter", "dtype": "f32", "shape": shape})
    return {"version": 1, "values": values, "nodes": nodes, "outputs": [{"name": "output", "value": output}], **more}


def usual_nodes():
    """Convolution, batch norm, ReLU, pool, classifier; values 0 to 6 are images and state."""
    return [conv([0, 1, -1]), node("batch_norm", [7, 2, 3, 4, 5], eps=1e-5, momentum=0.1, training=0), node("relu", [8]),
            node("global_avg_pool", [9]), node("flatten", [10]), node("linear", [11, 6, -1])]


def model(name, graph=None, values=None, state=None, extra=None, metadata=None, data=b"", classes=None, preprocessing=None):
    header, content = tensors_of(state or STATE, {**GOOD, **(values or {})})
    graph = graph_of(usual_nodes(), 12) if graph is None else graph
    texts = {"format": "pt", "resnet.format": "1", "resnet.graph": graph if isinstance(graph, str) else json.dumps(graph),
             "resnet.preprocessing": json.dumps({**PREPROCESSING, **(preprocessing or {})}),
             "resnet.classes": json.dumps([str(k) for k in range(10)] if classes is None else classes), **(metadata or {})}
    path = HERE / (name.replace(" ", "_") + ".safetensors")
    path.write_bytes(file_of({"__metadata__": texts, **header, **(extra or {})}, content + data))
    return path


def evaluated(what, path, **expected):
    check(what, ["eval", path, "--data", f"idx:{DATA}", "--limit-test", "1"], **expected)


def refused(what, says, **parts):
    path = model(what, **parts)
    evaluated(what, path, ends=(1,), says=says)
    path.unlink()


def changed(position, **changes):
    nodes = usual_nodes()
    nodes[position] = {**nodes[position], **changes}
    return graph_of(nodes, 12)


def with_attributes(position, attributes, without=()):
    nodes = usual_nodes()
    kept = {key: value for key, value in nodes[position]["attributes"].items() if key not in without}
    nodes[position]["attributes"] = {**kept, **attributes}
    return graph_of(nodes, 12)


def committed():
    """What once did harm. A file of Fashion-MNIST's class names gets those of the data set at hand."""
    for path in sorted(HOSTILE.glob("*.safetensors.gz")):
        header, data = header_of(gzip.decompress(path.read_bytes()))
        if json.loads(header["__metadata__"]["resnet.classes"]):
            header["__metadata__"]["resnet.classes"] = json.dumps([str(k) for k in range(10)])
        name = path.name.split(".")[0]
        file = HERE / path.name[:-3]
        file.write_bytes(file_of(header, data))
        # A parameter that is no classifier's and a network without classes are refused by eval itself.
        evaluated(name, file, ends=(0, 1), says="" if "activation" in name else file.name)
        file.unlink()


def vocabulary():
    evaluated("a good model", model("good"), ends=(0,))
    for name in ("sums", "signs", "pool_kernel", "x"):
        for position in (0, 1, 2):
            refused(f"attribute {name} {position}", "there is no attribute", graph=with_attributes(position, {name: 9}))
    for position, name in ((0, "stride"), (0, "groups"), (1, "eps"), (1, "training")):
        refused(f"no {name}", f"'{name}' is missing", graph=with_attributes(position, {}, without=(name,)))
        for value in (None, True, "1", [], [1], [1, 2, 3], {}, [[1, 1], 1], 1e300 if name != "eps" else -1.0, 2**64 - 1, [2**63 - 1, 1]):
            refused(f"{name} {json.dumps(value)}", f"{name}_", graph=with_attributes(position, {name: value}))
    for op in ("conv2d_pooled", "conv2d_weight_gradient", "batch_norm_gradient", "relu_gradient", "cross_entropy", "sgd", "launch"):
        refused(f"operation {op}", "operation" if op == "launch" else "not for inference", graph=changed(0, op=op))
    for position, inputs in ((0, [-1, 1, -1]), (0, [0, -1, -1]), (0, [0, 1]), (0, [0, 1, -1, 3]), (0, []), (1, [7, 2, 3, 4, -1]),
                             (2, [-1]), (5, [11, 99, -1]), (5, [11, -2, -1]), (0, [2**40, 1, -1]), (0, [None, 1, -1]), (0, "abc")):
        refused(f"operands {position} {inputs}".replace("/", ""), "operands", graph=changed(position, inputs=inputs))
    for key, value in (("attributes", []), ("attributes", None), ("name", 5), ("op", 7), ("inputs", 3)):
        refused(f"node {key} {value}", "graph", graph=changed(2, **{key: value}))
    for text in ("", "{", "[]", "7", "null", '"graph"', "{}", '{"version":1}', "[" * 100000, '{"a":' * 100000):
        refused(f"graph {text[:10]} {len(text)}".replace('"', ""), "graph_", graph=text)


def resources():
    refused("a column of millions of pixels", "too long", state={"k": [1, 1, 1, 1]}, preprocessing={"resize": [65535, 1]}, graph=graph_of(
        [conv([i + 1 if i else 0, 1, -1], padding=[min(65535 * 3**i, 2**20), 0]) for i in range(7)], 8, (1, 1, 65535, 1), {"k": [1, 1, 1, 1]}))
    refused("convolutions of 2^30 rows", "too long", state={"k": [1, 1, 1, 1]}, graph=graph_of(
        [conv([i + 1 if i else 0, 1, -1], padding=[0, 0]) for i in range(20)], 21, (1, 1, 2**30, 1), {"k": [1, 1, 1, 1]}))
    refused("key of 15 MB", "bytes", extra={"n" * 15_000_000: 1})
    refused("key of 7 MB", "a key of more than", extra={"n" * 7_000_000: 1})
    refused("text of 7 MB", "resnet.format", metadata={"resnet.format": "n" * 7_000_000})
    refused("210000 metadata keys", "elements", metadata={str(i): "" for i in range(210_000)})
    refused("30000 metadata keys", "more than 1024 texts", metadata={str(i): "" for i in range(30_000)})
    refused("2 MB of metadata keys of 1 MB", "key", metadata={"m" * 1_000_000: "", "n" * 1_000_000: ""})
    refused("preprocessing of 7 MB", "bytes", metadata={"resnet.preprocessing": " " * 7_000_000})
    refused("classes of 5 MB", "bytes", metadata={"resnet.classes": json.dumps(["a" * 1000] * 5000)})
    refused("200000 classes", "elements", classes=["c"] * 200_000)
    refused("class name of 100 KB", "text", classes=["c" * 100_000] + [str(k) for k in range(1, 10)])
    refused("graph of many lists", "", graph='{"version":1,"a":[' + ",".join(["[[],[],[]]"] * 200_000) + "]}")
    refused("graph of many members", "", graph='{"version":1,"a":{' + ",".join(f'"{i}":[]' for i in range(32_000)) + "}}")
    refused("graph of members in many objects", "",
            graph='{"version":1,"a":[' + ",".join('{"' + 20 * "k" + f'{i}":{{"a":[{{"bcdefghijklmnopqrstuvw":[[]]}}]}}}}' for i in range(32_000)) + "]}")
    refused("graph of many values", "", graph={**graph_of(usual_nodes(), 12), "values": [
        {"name": f"v{i}", "role": "parameter", "dtype": "f32", "shape": []} for i in range(32_000)]})
    refused("graph of 40000 nodes", "", graph=graph_of([node("relu", [max(0, i + 6) if i else 0], "") for i in range(40_000)], 12))
    many = {f"tensor.number.{i}.weight": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]} for i in range(30_000)}
    refused("30000 tensors", "tensors", extra=many)
    refused("tensor of a long shape", "shape", extra={"t": {"dtype": "F32", "shape": [1] * 30_000, "data_offsets": [0, 4]}})
    refused("extent beside 0", "beside an extent of 0", extra={"t": {"dtype": "F32", "shape": [2**62, 0], "data_offsets": [0, 0]}})
    for text in (b'{"a":' + b"1" * 10_000_000 + b"}", b'{"a":' + b"1" * 7_000_000 + b"}", b'{"a":-0.' + b"0" * 7_000_000 + b"}",
                 b"{" + b'"a":{' * 200_000 + b"}", b"{" + b" " * 7_999_000 + b"}", b'{"a":"' + b"\\u0041" * 1_300_000 + b'"}'):
        path = HERE / "header.safetensors"
        path.write_bytes(file_of(text, b""))
        evaluated(f"header {text[:8]} of {len(text)} bytes", path, says="header")
    for resize in ([4000, 4000], [65535, 65535], [65535, 1], [0, 5], [1025, 0], [65536, 2], [2**62, 2**62], [-1, -1], "x", None):
        if resize != [65535, 1]:
            refused(f"resize {resize}", "preprocessing", preprocessing={"resize": resize})
    evaluated("resize [65535, 1]", model("narrow", preprocessing={"resize": [65535, 1]}, graph=graph_of(
        [node("global_avg_pool", [0]), node("flatten", [2]), node("linear", [3, 1, -1])], 4, state={"w": [10, 1]}),
        state={"w": [10, 1]}), ends=(0,))
    for channels in (0, -1, 2**40, 1.5, "1", None):
        refused(f"channels {channels}", "preprocessing", preprocessing={"channels": channels})
    refused("channels 7", "channels", preprocessing={"channels": 7})


def texts():
    hostile = "\x1b]0;title\x07\u009b31m\u202e\u2066\u200f\x00" + "n" * 900
    refused("extra tensor", "\\x1b]0;title\\x07\\u009b31m\\u202e\\u2066\\u200f\\x00nnn",
            extra={hostile: {"dtype": "F32", "shape": [], "data_offsets": [164 + 4 * 32, 168 + 4 * 32]}}, data=bytes(4))
    refused("format", "\\u001b]0;title", metadata={"resnet.format": hostile})
    refused("node name", "\\x1b]0;title", graph=changed(5, name=hostile, inputs=[7, 6, -1]))
    refused("operation name", "\\x1b]0;title", graph=changed(5, op=hostile))
    refused("state name", "", graph={**graph_of(usual_nodes(), 12), "values": [{"name": hostile, "role": "buffer"}]})
    refused("output name", "", graph={**graph_of(usual_nodes(), 12), "outputs": [{"name": hostile, "value": 12}]})
    refused("attribute name", "\\x1b]0;title", graph=with_attributes(2, {hostile: 1}))
    refused("dtype", "\\x1b]0;title", extra={"t": {"dtype": hostile, "shape": [], "data_offsets": [0, 4]}})
    refused("role", "\\x1b]0;title", graph={**graph_of(usual_nodes(), 12), "values": [
        {"name": "v", "role": hostile, "dtype": "f32", "shape": []}]})
    refused("class name", "knows a class", classes=[hostile] + [str(k) for k in range(1, 10)])
    refused("preprocessing key", "\\x1b]0;title", preprocessing={hostile[:20]: 1})
    refused("interpolation", "u001b", preprocessing={"interpolation": hostile[:20]})
    names = HERE / "\x1b[31m\u202e"
    shutil.copytree(DATA, names)
    path = model("names")
    check("folder of data with a name", ["eval", path, "--data", f"idx:{names}", "--limit-test", "1"], ends=(0,))
    check("missing file with a name", ["eval", HERE / ("\x1b]0;t\x07" + "n" * 200)], says="\\x1b]0;t\\x07nnn")
    cifar = HERE / "cifar"
    cifar.mkdir()
    (cifar / "test_batch.bin").write_bytes(b"".join(bytes([k]) + bytes(i % 251 for i in range(3072)) for k in range(10)))
    classes = ["\x1b[31mred\u202e", "wide 残差", *(f"{k}\u009b" for k in range(8))]
    (cifar / "batches.meta.txt").write_text("\n".join(classes), encoding="utf-8")
    path = model("classes", classes=classes, preprocessing={"channels": 3}, state={"w": [10, 3]}, graph=graph_of(
        [node("global_avg_pool", [0]), node("flatten", [2]), node("linear", [3, 1, -1])], 4, (1, 3, 32, 32), {"w": [10, 3]}))
    for flags in ([], ["--json"]):
        check(f"class names printed {flags}", ["eval", path, "--data", "cifar10", "--data-dir", cifar, *flags], ends=(0,))


def not_finite():
    for what, values in (("nan weights", {"k": [float("nan")] * 36}), ("weights of 3e38", {"k": [3e38] * 36, "w": [3e38] * 40}),
                         ("a negative variance", {"var": [1, -1, 1, 1]}), ("one infinite weight", {"w": [float("-inf")] + [0] * 39})):
        path = model(what, values=values)
        evaluated(what, path, says=f"{path.name}: the network's output is not finite")


def plots():
    header = "epoch,train_loss,train_acc,test_acc\n"
    csv = HERE / "metrics.csv"

    def plotted(what, text, ends=(0, 1), says="metrics.csv"):
        csv.write_text(text, encoding="utf-8", newline="")
        check(f"plot of {what}", ["plot", csv], ends=ends, says=says, figures=False)
        check(f"svg of {what}", ["plot", csv, "--svg", "curves.svg"], ends=ends, says=says)
        if ends == (0,) and pathlib.Path("curves.svg").stat().st_size > 2_000_000:
            global failures
            failures += 1
            print(f"FAILED svg of {what}: {pathlib.Path('curves.svg').stat().st_size} bytes")

    plotted("1e300", (HOSTILE / "metrics_1e300.csv").read_text(), ends=(0,))
    for number in ("1e300", "-1e300", "1e19", "9223372036854775807", "inf", "nan", "5e-324", "1e12", "-0.0"):
        plotted(f"epoch {number}", header + f"{number},1,0.5,0.5\n", ends=(0,))
        plotted(f"figures {number}", header + f"1,{number},{number},{number}\n" + f"2,{number},0.5,{number}\n", ends=(0,))
    plotted("line ends of Windows", header.replace("\n", "\r\n") + "1,1,0.5,0.5\r\n", ends=(0,))
    plotted("270000 epochs", header + "".join(f"{i},1.25,0.{i % 10}5,0.{i % 9}5\n" for i in range(270_000)), ends=(1,))
    plotted("260000 epochs", header + "".join(f"{i},1.25,0.{i % 10}5,0.{i % 9}5\n" for i in range(260_000)), ends=(0,))
    plotted("17 MB", header + "1,1,1,1\n" * 2_200_000, ends=(1,))
    plotted("a line of 15 MB", header + "," * 15_000_000 + "\n", ends=(1,))
    plotted("a number of 15 MB", header + "1" * 15_000_000 + ",1,1,1\n", ends=(1,))
    plotted("commands", header + "\x1b]0;t\x07\x00\u202e,1,1,1\n", ends=(1,), says="\\x1b]0;t\\x07\\x00\\u202e")
    plotted("nothing", "", ends=(1,))
    csv.write_text(header + "1,1,0.5,0.5\n")
    for columns in ("200000000", "2147483647", "-5", "0", "99999999999999999999"):
        os.environ["COLUMNS"] = columns
        check(f"COLUMNS={columns}", ["plot", csv], ends=(0,))
    del os.environ["COLUMNS"]


def configs():
    config = HERE / "config.toml"
    csv = HERE / "metrics.csv"
    for what, text in (("dots", "a." * 400_000 + "a = 1\n"), ("few dots", "a." * 30_000 + "a = 1\n"), ("lists", "x = " + "[" * 60_000),
                       ("tables", "x = " + "{a=" * 20_000), ("headers", "[" + "a." * 30_000 + "a]\n"), ("5 MB", "# " + "n" * 5_000_000),
                       ("20 MB", "# " + "n" * 20_000_000), ("commands", "'\x1b]0;t\x07\u202e' = 1\n"), ("no UTF-8", "data = '\udcff'\n"),
                       ("NUL", "data = '\0'\n"), ("a huge number", "epochs = " + "9" * 50_000)):
        config.write_bytes(text.encode(errors="surrogateescape"))
        check(f"config of {what}", ["train", "--config", config, "--out", HERE / "never"], says="config.toml")
        shutil.rmtree(HERE / "never", ignore_errors=True)
    csv.write_text("epoch,train_loss,train_acc,test_acc\n1,1,0.5,0.5\n")
    for epochs in (2**63 - 1, -2**63, 0, 2**40, 10**30):
        config.write_text(f"epochs = {epochs}\nmodel = '\\u001b]0;t'\n")
        check(f"plot of {epochs} epochs", ["plot", HERE], ends=(0, 1), says="config.toml")
        check(f"svg of {epochs} epochs", ["plot", HERE, "--svg", "curves.svg"], ends=(0, 1), says="config.toml")
    config.unlink()
    for name in ("config.toml", "metrics.csv"):
        (HERE / name).unlink(missing_ok=True)
        os.mkfifo(HERE / name)
        check(f"plot of a pipe called {name}", ["plot", HERE], says=f"{name} is a device or a pipe")
        check(f"resume of a pipe called {name}", ["train", "--resume", HERE], says=f"{name} is a device or a pipe")
        (HERE / name).unlink()


for part in (committed, vocabulary, resources, texts, not_finite, plots, configs):
    part()
shutil.rmtree(HERE)
print(f"{checked} files, {failures} failures")
assert checked >= 100, "cases went missing"
sys.exit(1 if failures else 0)
