#!/usr/bin/env python3
"""Writes an image for containers that holds one static program and the licences of what is in it, as an OCI archive: `podman load -i`,
`skopeo copy oci-archive:FILE`. The same program gives the same bytes.

Usage: oci_image.py PROGRAM FILE.tar
"""
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path


def tar(files):
    """A tar of (name, bytes, mode), of no time and nobody."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image(program, licences, version):
    """The files of an image layout, by name. Source: opencontainers/image-spec 1.0."""
    layer = tar([("licences", licences, 0o644), ("resnet", program, 0o755)])
    packed = gzip.compress(layer, mtime=0)
    config = json.dumps({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["/resnet"], "WorkingDir": "/",
                   "Labels": {"org.opencontainers.image.title": "resnet", "org.opencontainers.image.version": version}},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    }, sort_keys=True).encode()
    kind = "application/vnd.oci.image."

    def described(content, media):
        return {"mediaType": kind + media, "digest": digest(content), "size": len(content)}

    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                           "config": described(config, "config.v1+json"),
                           "layers": [described(packed, "layer.v1.tar+gzip")]}, sort_keys=True).encode()
    # The tag as the layout has it; the whole name, for podman and containerd; manifest.json is for Docker's own store.
    name = {"annotations": {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": f"docker.io/library/resnet:{version}"}}
    docker = json.dumps([{"Config": "blobs/sha256/" + digest(config)[7:], "RepoTags": [f"resnet:{version}"],
                          "Layers": ["blobs/sha256/" + digest(packed)[7:]]}]).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [described(manifest, "manifest.v1+json") | name]}, sort_keys=True).encode()
    blobs = {"blobs/sha256/" + digest(content)[7:]: content for content in (config, packed, manifest)}
    return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, "manifest.json": docker} | blobs


def main():
    if len(sys.argv) != 3:
        print(__doc__.strip().splitlines()[-1], file=sys.stderr)
        return 2
    program, out = Path(sys.argv[1]), Path(sys.argv[2])
    content = program.read_bytes()
    if b"ld-linux" in content[:4096]:
        print(f"{program}: it needs a loader and libraries, which the image would not have", file=sys.stderr)
        print("build it with: cmake --preset static && cmake --build --preset static", file=sys.stderr)
        return 1
    version = subprocess.run([program.resolve(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    notices = Path(__file__).with_name("notices.sh")
    licences = subprocess.run([notices], capture_output=True, check=False)
    if licences.returncode != 0:
        print(licences.stderr.decode(), end="", file=sys.stderr)
        return 1
    archive = tar((name, data, 0o644) for name, data in image(content, licences.stdout, version).items())
    part = out.with_name(out.name + ".part")
    part.write_bytes(archive)
    os.replace(part, out)
    print(f"{out}: {len(archive)} bytes, a program of {len(content)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
