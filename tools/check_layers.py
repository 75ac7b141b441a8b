#!/usr/bin/env python3
"""Holds src/ and include/ to the house of docs/architecture.md: who includes whom, who speaks, who names flags,
who touches files.

A folder of src/ (a room) may include its own files, its neighbours, and whatever those may include.
A public header is the front of one room and obeys that room's rule. src/kernels/ is a house of its own,
with rooms of the same kind; the rest sees only their fronts. If the house is wrong, change the tables and
the code in one commit, and say why.

Usage: check_layers.py [ROOT]      (default: the repository of this script)
Prints one line per offence, exit code 1 if there is any.
"""
import re
import sys
from pathlib import Path

# room: (rank, public headers, neighbours)
HOUSE = {
    "base":     (0, ["device.h", "error.h", "memory.h", "version.h"], []),
    "tensor":   (1, ["tensor.h", "image_view.h"], ["base"]),
    "kernels":  (2, [],                         ["tensor"]),
    "graph":    (2, ["graph.h"],                ["tensor"]),
    "images":   (2, ["images.h"],               ["tensor"]),
    "device":   (2, [],                         []),
    "emulator": (3, [],                         ["device"]),
    "cuda":     (3, [],                         ["device"]),  # the plugin alone; the library holds none of it
    "data":     (3, ["augment.h", "data.h", "folder.h"], ["images"]),
    "ops":      (3, [],                         ["graph", "kernels"]),
    "plan":     (3, [],                         ["kernels"]),
    "nn":       (4, ["functional.h", "init.h", "module.h", "nn.h", "models.h"], ["ops"]),
    "compiler": (4, ["loss.h", "optimizer.h"],  ["ops", "plan"]),
    "exec":     (4, [],                         ["plan"]),
    "cpu":      (5, [],                         ["compiler"]),
    "gpu":      (5, [],                         ["compiler", "device", "data"]),
    "engine":   (6, ["engine.h"],               ["nn", "cpu", "gpu", "exec"]),
    "io":       (7, ["export.h", "model_file.h", "weights.h"], ["engine", "data"]),
    "c":        (8, [],                         ["io"]),  # include/resnet.h, the C interface
    "train":    (8, ["checkpoint.h", "compare.h", "metrics.h", "predict.h", "schedule.h", "train.h"], ["io"]),
    "report":   (9, ["evaluation_files.h", "html_report.h", "report.h"], ["train"]),
    "bench":    (9, [],                         ["train"]),
    "serve":    (9, ["serve.h"],                ["train"]),
    "settings": (10, [],                        ["report"]),
    "cli":      (11, [],                        ["settings", "bench", "serve"]),
}

# Inside src/kernels/. room: (rank, its front: what the rest of the house may include, neighbours)
# A room is a folder, or a single file that stands lower than its folder. Every room sees the floor and
# src/base/ and src/tensor/ beneath it.
FLOOR = "."
KERNELS = {
    FLOOR:             (0, ["kernel.h"],                       []),  # kernel.h, index_table.h, offset.h
    "simd":            (1, ["simd/storage.h"],                 [FLOOR]),
    "conv/conv.h":     (1, ["conv/conv.h"],                    [FLOOR]),
    "conv/cost.h":     (2, [],                                 ["conv/conv.h"]),
    "loss":            (1, ["loss/loss.h", "loss/softmax.h"],  [FLOOR]),
    "matmul":          (2, [],                                 ["simd"]),
    "pool":            (2, ["pool/pool.h"],                    ["simd"]),
    "elementwise":     (2, ["elementwise/elementwise.h"],      ["simd"]),
    "optimizer":       (2, ["optimizer/optimizer.h"],          ["simd"]),
    "peak":            (2, ["peak/peak.h"],                    ["simd"]),
    "norm":            (3, ["norm/norm.h"],                    ["pool"]),
    "conv/norm_stats": (3, [],                                 ["conv/conv.h", "matmul"]),
    "conv/direct":     (4, [],                                 ["conv/norm_stats", "conv/cost.h"]),
    "conv/winograd":   (4, [],                                 ["conv/norm_stats", "conv/cost.h"]),
    "conv/grouped":    (4, [],                                 ["conv/norm_stats", "conv/cost.h"]),
    "conv/stem":       (5, ["conv/stem/stem.h"],               ["conv/direct", "norm"]),
    "conv":            (6, [],                                 ["conv/direct", "conv/winograd", "conv/grouped"]),  # the choice
}

# Lines of a source file.
MOST_LINES = 400

# For users alone; nothing of ours includes it.
UMBRELLA = "resnet.h"

# For programs in C, beside the folder of those for C++, with the room that implements it.
C_HEADER = ("include", "resnet.h")
C_ROOM = "c"
C_LIBRARY = ("stddef.h", "stdint.h")

# Third-party headers that only some rooms, or folders in them, may see: (pattern, whose, rooms).
GUARDED = [
    (r"hwy/", "Highway", ["kernels"]),
    (r"libxsmm", "libxsmm", ["kernels"]),
    (r"CLI/", "CLI11", ["cli"]),
    (r"toml\+\+/", "toml++", ["base"]),
    (r"nlohmann/", "nlohmann-json", ["base"]),
    (r"(?:jpeglib|jerror)\.h", "libjpeg", ["images"]),
    (r"png\.h", "libpng", ["images"]),
    (r"webp/", "libwebp", ["images"]),
    (r"cuda", "CUDA", ["cuda"]),
    (r"minizip/", "minizip", ["io"]),
    (r"onnx|google/protobuf/", "ONNX's schema", ["io/onnx"]),
]

# The library never prints, exits or aborts; only these rooms may.
MAY_SPEAK = ["cli"]
SPEECH = [
    (r"\bstd::w?(?:cout|cerr|clog)\b", "a global stream"),
    (r"\b(?:stdout|stderr)\b", "a global stream"),
    (r"(?<![\w.>])(?:std::)?v?printf\s*\(", "stdout"),
    (r"(?<![\w.>])(?:std::)?(?:puts|putchar|perror)\s*\(", "stdout"),
    (r"\bfmt::print(?:ln)?\s*\(\s*(?:FMT_STRING\s*\(\s*)?R?\"", "stdout"),
    (r"(?<![\w.>:])(?:std::|::)?(?:exit|_exit|_Exit|quick_exit|abort)\s*\(", "the end of the process"),
    (r"\bstd::terminate\s*\(", "the end of the process"),
]
# What a caller may override is his choice: a default argument in the header of the room that reports.
DEFAULT_STREAM = {"report": r"std::ostream\s*&\s*\w*\s*=\s*(?=std::(?:cerr|cout)\b)"}

# Files are read, written and looked for through src/base/file_system.h, so that tests can let each call fail. A
# path's name is no file. The streams that a program is given are open already.
OWNS_FILES = "base"
OWN_STREAMS = ["src/report/screen.cpp", "src/cli/main.cpp", "src/cli/stop_signals.cpp"]
CALLS = ("open(?:at)?|creat|p?(?:read|write)v?|close|f(?:data)?sync|rename(?:at)?|unlink(?:at)?|(?:rm|mk)dir|link|symlink|"
         "readlink|realpath|f?truncate|[lf]?stat|access|f?chmod|f?chown|flock|mmap|opendir|mkstemp|mkdtemp|remove")
FILES = [
    (rf"(?<![\w>])::(?:{CALLS})\s*\(", "a system call on files"),
    (r"\bO_(?:RDONLY|WRONLY|RDWR|CREAT)\b", "a system call on files"),
    (r"(?<![\w.>:])(?:std::)?(?:fopen|freopen|tmpfile|fdopen|gzopen|opendir|rename|unlink)\s*\(", "a call on files"),
    (r"\bstd::(?:basic_)?(?:[io]?fstream|filebuf)\b", "a stream on a file"),
    (r"(?:\bstd::filesystem|(?<![\w:])fs)::(?!path\b|absolute\b|canonical\b)\w+", "what is on the disk"),
]

TOKEN = re.compile(
    r"""(?P<comment>//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/)"""
    r"""|(?P<raw>R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)")"""
    r"""|(?P<string>"(?:[^"\\\n]|\\.)*")"""
    r"""|(?P<char>(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+')""",
    re.DOTALL | re.VERBOSE,
)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(.*?)[ \t]*$", re.MULTILINE)


def blank(text, keep_ends=0):
    """The same number of lines and columns without the content."""
    inner = "".join("\n" if c == "\n" else " " for c in text[keep_ends:len(text) - keep_ends])
    return text[:keep_ends] + inner + text[len(text) - keep_ends:]


def without_comments(text):
    return TOKEN.sub(lambda m: blank(m[0]) if m["comment"] else m[0], text)


def without_strings(text):
    return TOKEN.sub(lambda m: m[0] if m["comment"] else blank(m[0], 2 if m["raw"] else 1), text)


def visible(room, house=HOUSE):
    """The room itself and everything that it may include."""
    seen, todo = set(), [room]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += house[name][2]
    return seen


def kernels_room(path):
    """The room inside src/kernels/ of a path below the root: a file's own, else its folder's; or None."""
    inside = Path(*path.parts[2:])
    if str(inside) in KERNELS:
        return str(inside)
    return str(inside.parent) if str(inside.parent) in KERNELS else None


KERNELS_FRONT = {f"src/kernels/{header}" for _, headers, _ in KERNELS.values() for header in headers}
FRONT = {header: room for room, (_, headers, _) in HOUSE.items() for header in headers}


# Flags are the program's words; a library names its fields. Only the rooms that know flags may. The colours of a page's
# style, `--text: #111` and `var(--text)`, are none.
MAY_NAME_FLAGS = ["settings", "cli"]
FLAG = re.compile(r"(?<![\w-])(?<!var\()--[a-z][\w-]*(?![\w-]|: #)")


class Checker:
    def __init__(self, root):
        self.root = root
        self.offences = []

    def say(self, file, line, message):
        self.offences.append(f"{file.relative_to(self.root)}:{line}: {message}")

    def room_of(self, path):
        """The room of a path below the root, 'umbrella', or None."""
        parts = path.parts
        if parts[:2] == ("include", "resnet") and len(parts) == 3:
            return "umbrella" if parts[2] == UMBRELLA else FRONT.get(parts[2])
        if parts == C_HEADER:
            return C_ROOM
        if parts[0] == "src" and len(parts) > 2:
            return parts[1] if parts[1] in HOUSE else None
        return None

    def within(self, file, rooms):
        """Whether a file stands in one of these folders of src/."""
        return any((self.root / "src" / room) in file.parents for room in rooms)

    def check_include(self, file, line, room, public, written):
        if not (written[:1] in '"<' and written[-1:] in '">') or len(written) < 3:
            return self.say(file, line, f"include a file by its name, not '{written}'")
        name = written[1:-1]
        if ".." in Path(name).parts:
            return self.say(file, line, f"write '{name}' as seen from src/ or include/, without '..'")
        target = next((p for p in (Path("src", name), Path("include", name)) if (self.root / p).is_file()), None)
        if target is None:
            if written[0] == '"':
                near = file.parent / name
                hint = f"; write '{near.relative_to(self.root / 'src')}'" if near.is_file() else ""
                return self.say(file, line, f"no file '{name}' in src/ or include/{hint}")
            for pattern, whose, rooms in GUARDED:
                if re.match(pattern, name) and not self.within(file, rooms):
                    return self.say(file, line, f"'{room}' may not include '{name}': {whose} belongs to {', '.join(rooms)}")
            if public and re.search(r"[/.]", name) and not (room == C_ROOM and name in C_LIBRARY):
                self.say(file, line, f"a public header includes the standard library and public headers, not '{name}'")
            return None
        if public and target.parts[0] == "src":
            return self.say(file, line, f"a public header may not include '{name}', which is not installed")
        other = self.room_of(target)
        if room == "umbrella":
            return None
        if other == "umbrella":
            return self.say(file, line, f"'{name}' is for users; include the headers that are meant")
        if other is not None and other not in visible(room):
            self.say(file, line, f"'{room}' may not include '{name}' ('{other}', rank {HOUSE[room][0]} -> {HOUSE[other][0]}); "
                                 f"allowed: {', '.join(sorted(visible(room), key=lambda r: (HOUSE[r][0], r)))}")
        elif other == "kernels":
            self.check_kernels_include(file, line, room, name, target)
        return None

    def check_kernels_include(self, file, line, room, name, target):
        if room != "kernels":
            if str(target) not in KERNELS_FRONT:
                self.say(file, line, f"'{room}' may not include '{name}': it is no front of a room of src/kernels/")
            return
        inside, other = kernels_room(file.relative_to(self.root)), kernels_room(target)
        if inside is not None and other is not None and other not in visible(inside, KERNELS):
            allowed = sorted(visible(inside, KERNELS), key=lambda r: (KERNELS[r][0], r))
            self.say(file, line, f"'kernels/{inside}' may not include '{name}' ('{other}', rank {KERNELS[inside][0]} -> "
                                 f"{KERNELS[other][0]}); allowed: {', '.join(allowed)}")

    def check_speech(self, file, room, text):
        if room in MAY_SPEAK or room == "umbrella":
            return
        if room in DEFAULT_STREAM:
            text = re.sub(DEFAULT_STREAM[room] + r"std::\w+", lambda m: " " * len(m[0]), text)
        for pattern, what in SPEECH:
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                found = re.sub(r"\s*\(.*", "()", match[0])
                self.say(file, line, f"'{found}' in '{room}': {what} belongs to {', '.join(MAY_SPEAK)}")

    def check_files(self, file, room, text):
        if room == OWNS_FILES or str(file.relative_to(self.root)) in OWN_STREAMS:
            return
        for pattern, what in FILES:
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                found = re.sub(r"\s*\(.*", "()", match[0])
                self.say(file, line, f"'{found}' in '{room}': {what} belongs to {OWNS_FILES}; see src/base/files.h")

    def check_flags(self, file, room, text):
        if room in MAY_NAME_FLAGS or room == "umbrella":
            return
        for literal in TOKEN.finditer(text):
            match = None if literal["char"] else FLAG.search(literal[0])
            if match:
                line = text.count("\n", 0, literal.start() + match.start()) + 1
                self.say(file, line, f"'{match[0]}' in '{room}': flags belong to {', '.join(MAY_NAME_FLAGS)}; "
                                     "name the field, as in FitOptions::epochs")

    def check_file(self, file):
        path = file.relative_to(self.root)
        room = self.room_of(path)
        if room is None:
            kind = "public header" if path.parts[0] == "include" else "folder"
            name = path.name if kind == "public header" else "/".join(path.parts[:-1])
            return self.say(file, 1, f"the {kind} '{name}' is not in the table of tools/check_layers.py")
        if room == "kernels" and kernels_room(path) is None:
            return self.say(file, 1, f"the folder '{'/'.join(path.parts[:-1])}' is not in the table of tools/check_layers.py")
        text = file.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > MOST_LINES:
            self.say(file, lines, f"{lines} lines; a file fits in one head: at most {MOST_LINES}")
        text = without_comments(text)
        for match in INCLUDE.finditer(text):
            self.check_include(file, text.count("\n", 0, match.start()) + 1, room, path.parts[0] == "include", match[1])
        self.check_speech(file, room, without_strings(text))
        self.check_files(file, room, without_strings(text))
        self.check_flags(file, room, text)
        return None

    def run(self):
        files = [f for top in ("src", "include") for f in sorted((self.root / top).rglob("*"))
                 if f.suffix in (".h", ".hpp", ".cpp", ".cc", ".cu", ".inc")]
        for file in files:
            self.check_file(file)
        if not files:
            self.offences.append(f"{self.root}: no sources below src/ and include/")
        return len(files)


def check_table():
    """A neighbour stands lower; that also keeps the house free of circles."""
    for house in (HOUSE, KERNELS):
        for room, (rank, _, neighbours) in house.items():
            for other in neighbours:
                assert house[other][0] < rank, f"{room} (rank {rank}) may not stand on {other} (rank {house[other][0]})"


def main():
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    check_table()
    checker = Checker(root)
    count = checker.run()
    for offence in checker.offences:
        print(offence)
    print(f"{count} files, {len(checker.offences)} offences")
    return 1 if checker.offences else 0


if __name__ == "__main__":
    sys.exit(main())
