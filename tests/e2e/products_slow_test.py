#!/usr/bin/env python3
"""examples/product against the installed tree, in a folder that was moved after the installation: find_package and pkg-config, the
static and the shared library, C++20 and 23, every compiler that is here; the names that the programs give pictures are those
of `resnet predict`. And what the shared library exports."""
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess

from program import HERE, PROGRAM, SOURCE, run

MODEL = SOURCE / "tests/golden/files/0.1.0/model.safetensors"
PICTURE = SOURCE / "tests/golden/files/0.1.0/picture.pgm"
PRODUCT = SOURCE / "examples/product"
BUILD = pathlib.Path(PROGRAM).parent
COMPILERS = [(cc, cxx) for cc, cxx in (("gcc", "g++"), ("clang", "clang++")) if shutil.which(cxx)]
assert ("gcc", "g++") in COMPILERS


def sh(*command, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, f"{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


sh("cmake", "--install", BUILD, "--prefix", HERE / "first")
prefix = HERE / "moved"
(HERE / "first").rename(prefix)
library = next(prefix.glob("lib*/**/libresnet.so")).parent
os.environ["PKG_CONFIG_PATH"] = str(library / "pkgconfig")
os.environ["LD_LIBRARY_PATH"] = str(library)
best = json.loads(run("predict", MODEL, PICTURE, "--json").stdout)[0]


def expect(program):
    said = sh(program, MODEL, PICTURE)
    match = re.fullmatch(re.escape(str(PICTURE)) + r": (\S+) (\S+)\n", said)
    assert match and match[1] == best["label"] and abs(float(match[2]) - best["probability"]) < 1e-5, (program, said)


done = []
for (cc, cxx), standard, form in itertools.product(COMPILERS, (20, 23), ("resnet::resnet", "resnet::shared")):
    name = f"{cxx}{standard}{form.replace(':', '')}"
    sh("cmake", "-S", PRODUCT, "-B", HERE / name, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DRESNET_LIBRARY={form}", f"-DCMAKE_C_COMPILER={cc}",
       f"-DCMAKE_CXX_COMPILER={cxx}", f"-DCMAKE_CXX_STANDARD={standard}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror",
       "-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Werror", "-DCMAKE_C_STANDARD=99")
    sh("cmake", "--build", HERE / name)
    expect(HERE / name / "label")
    expect(HERE / name / "label_c")
    done.append(name)
    flag = {20: "-std=c++20", 23: "-std=c++2b"}[standard]
    pc = "resnet" if form == "resnet::shared" else "resnet-static"
    sh(cxx, flag, PRODUCT / "label.cpp", "-o", HERE / f"{name}_pc", *sh("pkg-config", "--cflags", "--libs", pc).split())
    expect(HERE / f"{name}_pc")
    sh(cc, "-std=c99", PRODUCT / "label.c", "-o", HERE / f"{name}_c_pc", *sh("pkg-config", "--cflags", "--libs", pc).split())
    expect(HERE / f"{name}_c_pc")
    if form == "resnet::shared":
        (HERE / "all.cpp").write_text("#include <resnet/resnet.h>\n#include <resnet.h>\n")  # all public headers
        sh(cxx, flag, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{prefix}/include", HERE / "all.cpp")
    needed = sh("readelf", "-d", HERE / f"{name}_pc")
    assert ("libresnet.so.0.1" in needed) == (pc == "resnet"), needed

# A product of the shared library needs no other development package.
(HERE / "shared_only").mkdir()
(HERE / "shared_only/CMakeLists.txt").write_text("""cmake_minimum_required(VERSION 3.25)
project(shared_only LANGUAGES C)
find_package(resnet 0.1 REQUIRED COMPONENTS shared)
if(TARGET fmt::fmt OR TARGET resnet::resnet)
  message(FATAL_ERROR "more was looked for than the shared library")
endif()
add_executable(label_c """ + str(PRODUCT / "label.c") + """)
target_link_libraries(label_c PRIVATE resnet::shared)
""")
sh("cmake", "-S", HERE / "shared_only", "-B", HERE / "shared_only/build", f"-DCMAKE_PREFIX_PATH={prefix}")
sh("cmake", "--build", HERE / "shared_only/build")
expect(HERE / "shared_only/build/label_c")

# All functions of resnet.h are exported, and nothing but the library's own.
header = (SOURCE / "include/resnet.h").read_text()
declared = set(re.findall(r"^\w[\w *]*?\b(resnet_\w+)\(", header, re.MULTILINE))
assert len(declared) == 12, sorted(declared)
exported = [line.split(" ", 2)[2] for line in sh("nm", "-DC", "--defined-only", library / "libresnet.so").splitlines()]
assert {name for name in exported if name.startswith("resnet_")} == declared, exported
others = [name for name in exported if not re.match(r"(resnet(_|::)|(typeinfo|typeinfo name|vtable) for resnet::)", name)]
assert not others, others[:20]
print(f"{len(done)} ways by CMake and as many by pkg-config: {' '.join(done)}; {len(exported)} symbols exported")
