#!/usr/bin/env python3
"""The Debian packages of cpack on a bare Debian 12 (debootstrap --variant=minbase): apt installs them with what they depend on and
nothing that they do not; the program runs, its manual is there; a product of the development package builds and runs; and they leave
without a trace. RESNET_DEBIAN_ROOT: a folder for the bare system, which is kept between runs."""
import json
import os
import pathlib
import shutil
import subprocess

from program import HERE, PROGRAM, SOURCE, png, put, run

BUILD = pathlib.Path(PROGRAM).parent
MIRROR = "http://deb.debian.org/debian"

if os.getuid() != 0 or not shutil.which("debootstrap"):
    print("debootstrap is missing, or this is not root (apt-get install debootstrap)")
    raise SystemExit(77)


def sh(*command, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, f"{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


sh("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", HERE / "packages")
packages = {sh("dpkg-deb", "--field", deb, "Package").strip(): deb for deb in (HERE / "packages").glob("*.deb")}
assert set(packages) == {"resnet", "libresnet0.1", "libresnet-dev"}, packages
depends = {name: sh("dpkg-deb", "--field", deb, "Depends") for name, deb in packages.items()}
assert "libc6 (>=" in depends["resnet"] and "libpng16-16" in depends["resnet"], depends
assert "libfmt9" in depends["libresnet0.1"] and "libresnet0.1 (= 0.1.0)" in depends["libresnet-dev"], depends
for name, deb in packages.items():
    listing = sh("dpkg-deb", "--contents", deb)
    assert "./usr/share/doc/" + name + "/copyright" in listing, listing
    assert "/work" not in listing and "./home" not in listing
shlibs = sh("dpkg-deb", "--info", packages["libresnet0.1"], "shlibs")  # by which packages of products find what they need
assert shlibs.strip() == "libresnet 0.1 libresnet0.1 (>= 0.1.0)", shlibs

base = pathlib.Path(os.environ.get("RESNET_DEBIAN_ROOT", HERE / "base"))
if not (base / "usr/bin/apt-get").exists():
    made = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(base), MIRROR], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        print(f"no bare Debian could be had from {MIRROR}: {made.stdout[-500:]}{made.stderr[-500:]}")
        raise SystemExit(77)
root = HERE / "root"
sh("cp", "-a", base, root)
shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
for configuration in pathlib.Path("/etc/apt/apt.conf.d").glob("*proxy*"):
    shutil.copy(configuration, root / "etc/apt/apt.conf.d")
environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
environment |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}


def inside(*command):
    return sh("chroot", root, *command, env=environment)


for deb in packages.values():
    shutil.copy(deb, root / "tmp")
before = set(inside("dpkg-query", "--show", "--showformat", "${Package}\n").split())
inside("apt-get", "-q", "update")
inside("apt-get", "-q", "install", "--yes", "--no-install-recommends", f"/tmp/{packages['resnet'].name}")
more = set(inside("dpkg-query", "--show", "--showformat", "${Package}\n").split()) - before
assert not any(name.endswith("-dev") for name in more), more
put("root/data/a/0.png", png(bytes(range(192)) * 4, 16, 16))
for i in range(12):
    put(f"root/data/{'ab'[i % 2]}/{i}.png", png(bytes((i * 7 + k) % 256 for k in range(768)), 16, 16))
said = inside("resnet", "train", "/data", "--resize", "16", "--batch-size", "4", "--epochs", "1", "--blocks", "1,1", "--channels", "8,16",
              "--out", "/run", "--quiet")
assert said.startswith("loss "), said
answer = json.loads(inside("resnet", "predict", "/run", "/data/a/0.png", "--json"))[0]
assert answer["label"] in ("a", "b"), answer
for file in ("usr/share/man/man1/resnet.1", "usr/share/bash-completion/completions/resnet"):
    assert (root / file).exists() or (root / f"{file}.gz").exists(), file

inside("apt-get", "-q", "install", "--yes", "--no-install-recommends", f"/tmp/{packages['libresnet0.1'].name}",
       f"/tmp/{packages['libresnet-dev'].name}", "g++", "cmake", "make", "pkg-config")
shutil.copytree(SOURCE / "examples/product", root / "product")
for form in ("resnet::resnet", "resnet::shared"):
    folder = f"/build_{form[-6:]}"
    inside("cmake", "-S", "/product", "-B", folder, f"-DRESNET_LIBRARY={form}")
    inside("cmake", "--build", folder)
    for program in ("label", "label_c"):
        assert inside(f"{folder}/{program}", "/run/model.safetensors", "/data/a/0.png").split(": ")[1].startswith(answer["label"])
inside("apt-get", "-q", "purge", "--yes", "resnet", "libresnet0.1", "libresnet-dev")
left = [path for path in (root / "usr").rglob("*resnet*") if "/product" not in str(path)]
assert not left, left
print({name: deb.stat().st_size for name, deb in packages.items()}, depends["resnet"].strip(), sorted(more))
shutil.rmtree(root)
