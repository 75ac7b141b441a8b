"""Files of weights, written and read without PyTorch: its pickles name callables, which are made here by name alone."""
import io
import json
import pickle
import struct
import sys
import types
import zipfile

class Storage:
    def __init__(self, kind, key, count):
        self.id = ("storage", kind, key, "cpu", count)


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.id if isinstance(obj, Storage) else None


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def callable_of(module, name):
    home = sys.modules.setdefault(module, types.ModuleType(module))
    made = type(name, (), {"__module__": module})
    setattr(home, name, made)
    return made


torch_utils = sys.modules.setdefault("torch", types.ModuleType("torch"))
rebuild = callable_of("torch._utils", "_rebuild_tensor_v2")
kinds = {"F32": callable_of("torch", "FloatStorage"), "I64": callable_of("torch", "LongStorage")}


def read_safetensors(path):
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    metadata = header.pop("__metadata__", {})
    data = content[8 + length:]
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in header.items()}, metadata


def safetensors(tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in sorted(tensors.items(), key=lambda item: item[1][0] != "I64"):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def pth(tensors, wrap):
    """A .pth of `tensors`, pickled as what `wrap` makes of their dict."""
    state, archive = {}, io.BytesIO()
    for key, (name, (dtype, shape, content)) in enumerate(tensors.items()):
        count, strides = 1, []
        for extent in reversed(shape):
            strides.insert(0, count)
            count *= extent
        state[name] = Call(rebuild, Storage(kinds[dtype], str(key), count), 0, tuple(shape), tuple(strides), False, {})
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(wrap(state))
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("model/data.pkl", stream.getvalue())
        for key, (_, _, content) in enumerate(tensors.values()):
            files.writestr(f"model/data/{key}", content)
    return archive.getvalue()
