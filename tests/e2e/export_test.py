#!/usr/bin/env python3
"""A trained network handed over: ONNX and safetensors by `export`, and `compare` with activations of another program."""
import json
import os
import random
import struct

from program import HERE, png, put, put_noise, run


def safetensors(path, tensors):
    """Tensors {name: (shape, floats)} as F32."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        body = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    put(path, struct.pack("<Q", len(text)) + text + data)


def header_of(path):
    content = (HERE / path).read_bytes()
    return json.loads(content[8:8 + struct.unpack("<Q", content[:8])[0]])


put_noise("data", 30)
run("train", "--data", "idx:data", "--resize", "24", "--model", "resnet18", "--channels", "8,8", "--blocks", "1,1", "--batch-size", "15",
    "--epochs", "1", "--quiet", "--out", "run")

# ONNX, with what it is and how far it is from the model.
said = run("export", "run", "--onnx", "net.onnx").stdout
assert "opset 17" in said and "norms folded; read back" in said and "on 4 pictures of noise: input 0," in said, said
content = (HERE / "net.onnx").read_bytes()
assert b"resnet.cpp" in content and b"conv1.weight" in content
facts = json.loads(run("export", "run", "--onnx", "net.onnx", "--opset", "18", "--with-preprocessing", "--softmax", "--no-fold",
                       "--safetensors", "net.safetensors", "--dtype", "bf16", "--json").stdout)
assert facts["onnx"]["folded_norms"] == 0 and facts["onnx"]["bytes"] == (HERE / "net.onnx").stat().st_size, facts
assert facts["onnx"]["input_deviation"] == 0 and facts["onnx"]["same_top1"] == facts["onnx"]["pictures"] == 4, facts
assert facts["onnx"]["output_deviation"] <= 1e-5 and facts["onnx"]["largest_output"] <= 1, facts
assert header_of("net.safetensors")["fc.weight"]["dtype"] == "BF16"

# A network without an answer is written as it is, and that is said.
content = bytearray((HERE / "run/model.safetensors").read_bytes())
at = 8 + struct.unpack("<Q", content[:8])[0] + header_of("run/model.safetensors")["bn1.running_var"]["data_offsets"][0]
content[at:at + 4] = struct.pack("<f", -1)
put("negative.safetensors", content)
said = run("export", "negative.safetensors", "--onnx", "negative.onnx", "--json", code=1, says="of 4 pictures the output is not finite").stdout
assert json.loads(said)["onnx"]["nonfinite"] == 4 and json.loads(said)["onnx"]["same_top1"] == 0, said

# Its pictures, when there are any.
for i in range(3):
    put(f"pictures/{i}.png", png(random.Random(i).randbytes(3 * 30 * 20 * (i + 1)), 20 * (i + 1), 30))
facts = json.loads(run("export", "run", "--onnx", "net.onnx", "--with-preprocessing", "--check", "pictures", "--json").stdout)
assert facts["onnx"]["pictures"] == 3 and facts["onnx"]["input_deviation"] == 0, facts
run("export", "run", "--onnx", "net.onnx", "--check", "nowhere", code=1, says="nowhere")
for i in range(3, 100):  # more than are tried
    os.link("pictures/0.png", f"pictures/{i}.png")
for i in range(0, 100, 9):
    run("export", "run", "--onnx", f"pictures/{i}.png", "--check", "pictures", code=2, says="is read, and would be lost")

# In full precision it is the model file itself.
run("export", "run", "--safetensors", "copy.safetensors")
assert (HERE / "copy.safetensors").read_bytes() == (HERE / "run/model.safetensors").read_bytes()

# What does not go together.
run("export", "run", code=2, says="give --onnx FILE, --safetensors FILE or both")
run("export", "run", "--onnx", "x", "--safetensors", "x", code=2, says="are both 'x'")
run("export", "run", "--onnx", "x", "--safetensors", "./x", code=2, says="are both './x'")
model = HERE / "run/model.safetensors"
content = model.read_bytes()
(HERE / "link").symlink_to(model)
for flags in (["--onnx", "run/model.safetensors"], ["--safetensors", "link", "--dtype", "f16"]):
    run("export", "run", *flags, code=2, says="is read, and would be lost")
run("import", "run/model.safetensors", "--out", "link", code=2, says="is read, and would be lost")
assert model.read_bytes() == content
os.mkfifo("pipe")
for place in ("pipe", "/dev/null"):
    for flag in ("--onnx", "--safetensors"):
        run("export", "run", flag, place, code=2, says="a device or a pipe")
run("export", "run", "--safetensors", "x", "--threads", "2", code=2, says="--threads is of ONNX")
run("export", "run", "--onnx", "x.onnx", "--opset", "16", code=2, says="--opset cannot be '16'")
run("export", "run", "--safetensors", "x", "--softmax", code=2, says="--softmax is of ONNX")
run("export", "run", "--onnx", "x.onnx", "--dtype", "f16", code=2, says="--dtype is of safetensors")
run("export", "run", "--safetensors", "x", "--dtype", "f8", code=2, says="--dtype cannot be 'f8'")
run("export", "run", "--onnx", "no/folder/x.onnx", code=1, says="no/folder")
assert not (HERE / "x.onnx").exists() and not (HERE / "x").exists()

# Layer by layer: a convolution of zeros, of which all is known.
parameters = header_of("copy.safetensors")
shape = parameters["conv1.weight"]["shape"]
side, out = 24, 12
zeros = {"input": ([1, 1, side, side], [0.0] * side**2), "conv1": ([1, shape[0], out, out], [0.0] * shape[0] * out**2)}
safetensors("agrees.safetensors", zeros)
said = run("compare", "run", "agrees.safetensors").stdout
assert "1 layers agree" in said and "conv1" in said, said
safetensors("differs.safetensors", {**zeros, "conv1": ([1, shape[0], out, out], [1.0] + [0.0] * (shape[0] * out**2 - 1)), "gone": ([1], [0.0])})
said = run("compare", "run", "differs.safetensors", code=1, says="the first difference is in conv1")
assert "no such module here: gone (1)" in said.stdout, said.stdout
found = json.loads(run("compare", "run", "differs.safetensors", "--json", code=1).stdout)
assert found["first_difference"] == "conv1" and found["unknown"] == ["gone"] and found["layers"][0]["absolute"] == 1, found
safetensors("empty.safetensors", {"conv1": zeros["conv1"]})
run("compare", "run", "empty.safetensors", code=1, says="a reference has the network's 'input'")
run("compare", "run", "nowhere.safetensors", code=1, says="nowhere.safetensors")
