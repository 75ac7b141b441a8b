#!/usr/bin/env python3
"""The preset `static`: one file that needs no library, in a folder with nothing else (chroot): it trains, evaluates and predicts.
Then the image for containers that is made of it: every digest and size in it is right, and its one layer is that program."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

from program import HERE, SOURCE, png, put, put_small_idx

MOST_BYTES = 8_000_000  # of the program
MOST_IMAGE = 20_000_000
build = pathlib.Path(os.environ.get("RESNET_STATIC_BUILD", HERE / "static"))  # given: one that is kept


def sh(*command, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, f"{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


sh("cmake", "--preset", "static", "-B", build, cwd=SOURCE)
sh("cmake", "--build", build, "--target", "resnet_cli")
program = build / "resnet"
assert program.stat().st_size <= MOST_BYTES, f"{program.stat().st_size} bytes"
assert "NEEDED" not in sh("readelf", "-d", program) and "INTERP" not in sh("readelf", "-l", program), "it needs a loader or a library"
assert re.search(r"Type:\s+DYN", sh("readelf", "-h", program)), "it is not position-independent"

root = HERE / "root"
(root / "tmp").mkdir(parents=True)
shutil.copy(program, root / "resnet")
put_small_idx("root/data")
put("root/new.png", png(bytes(range(256)) * 4, 32, 32))
as_root = [] if os.getuid() == 0 else [shutil.which("unshare"), "--map-root-user"]
chroot = shutil.which("chroot") or "/usr/sbin/chroot"


def inside(*arguments):
    return sh(*as_root, chroot, root, "/resnet", *arguments, env={})


said = inside("train", "--data", "idx:/data", "--resize", 32, "--batch-size", 4, "--steps", 2, "--blocks", "1,1", "--channels", "8,16",
              "--out", "/run", "--quiet")
assert said.startswith("loss "), said
assert json.loads(inside("eval", "/run", "--json"))["examples"] == 8
assert len(json.loads(inside("predict", "/run", "/new.png", "--json"))[0]["top"]) == 3
quiet = subprocess.run([*as_root, chroot, root, "/resnet", "predict", "/run", "/new.png"], env={}, capture_output=True, text=True, check=True)
assert quiet.stderr == "", quiet.stderr  # that it has no plugin for GPUs is no news
assert "isa" in inside("--version") or "instruction set" in inside("--version")

# The image: what its index, its manifest and its configuration name is there, with these digests.
say = sh("python3", SOURCE / "tools/oci_image.py", program, HERE / "resnet.tar")
first = (HERE / "resnet.tar").read_bytes()
assert len(first) <= MOST_IMAGE, say
with tarfile.open(HERE / "resnet.tar") as archive:
    files = {entry.name: archive.extractfile(entry).read() for entry in archive}


def blob(described):
    content = files["blobs/" + described["digest"].replace(":", "/")]
    assert len(content) == described["size"] and "sha256:" + hashlib.sha256(content).hexdigest() == described["digest"]
    return content


manifest = json.loads(blob(json.loads(files["index.json"])["manifests"][0]))
config = json.loads(blob(manifest["config"]))
version = config["config"]["Labels"]["org.opencontainers.image.version"]
named = json.loads(files["index.json"])["manifests"][0]["annotations"]
assert named["org.opencontainers.image.ref.name"] == version and named["io.containerd.image.name"].endswith(f"/resnet:{version}"), named
docker, = json.loads(files["manifest.json"])
assert docker["RepoTags"] == [f"resnet:{version}"] and {docker["Config"], *docker["Layers"]} <= set(files), docker
layer = gzip.decompress(blob(manifest["layers"][0]))
assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
assert config["config"]["Entrypoint"] == ["/resnet"] and config["architecture"] == "amd64"
with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
    licences, entry = archive.getmembers()
    text = archive.extractfile(licences).read().decode()
    assert licences.name == "licences" and "MIT License" in text and "libwebp" in text and "nlohmann" in text, text[:400]
    assert entry.name == "resnet" and entry.mode == 0o755 and archive.extractfile(entry).read() == program.read_bytes()
sh("python3", SOURCE / "tools/oci_image.py", program, HERE / "resnet.tar")
assert (HERE / "resnet.tar").read_bytes() == first, "the same program gives another image"
refused = subprocess.run(["python3", SOURCE / "tools/oci_image.py", shutil.which("sh"), HERE / "no.tar"], capture_output=True, text=True, check=False)
assert refused.returncode == 1 and "needs a loader" in refused.stderr and not (HERE / "no.tar").exists()

# Another reader of images, where there is one.
if shutil.which("umoci"):
    (HERE / "layout").mkdir()
    sh("tar", "-xf", HERE / "resnet.tar", "-C", HERE / "layout")
    rootless = [] if os.getuid() == 0 else ["--rootless"]
    sh("umoci", "unpack", *rootless, "--image", f"{HERE / 'layout'}:{version}", HERE / "bundle")
    assert (HERE / "bundle/rootfs/resnet").read_bytes() == program.read_bytes()
    assert json.loads((HERE / "bundle/config.json").read_text())["process"]["args"] == ["/resnet"]
print(say, "umoci" if shutil.which("umoci") else "no umoci here: the image was read by this script alone")
