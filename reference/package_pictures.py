"""Pictures as they are in packages, decoded by the program and by Pillow: how many are equal.

    python3 reference/package_pictures.py PROGRAM FOLDER...

Looks at every picture below the folders with `PROGRAM data`, which leaves size and SHA-256 of each in its cache, and
compares with Pillow 12's. Prints a line for each picture that differs or is refused, and their number; exit code 1
where one differs.
"""

import collections
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings


def cached(cache):
    """{path: digest} of a scan's cache (src/data/scan_cache.cpp)."""
    (file,) = (cache / "resnet").iterdir()
    text = file.read_bytes()
    text = text[text.index(b"\n") + 1:-64]  # behind the heading, before the sum
    entries = [entry.split(b" ", 5) for entry in text.split(b"\0")[:-1]]
    return {os.fsdecode(path): digest.decode() for _, _, _, _, digest, path in entries}


def digest_of(path):
    """data::picture_sha256() of what Pillow makes of a file."""
    from PIL import Image, ImageOps  # here: a test without Pillow reads cached()

    Image.MAX_IMAGE_PIXELS = None
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    head = b"".join(n.to_bytes(8, "little") for n in (image.height, image.width, 3))
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def main():
    warnings.simplefilter("ignore")
    program, *folders = sys.argv[1:]
    counts, failed = collections.Counter(), False
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        root = place / "pictures"
        root.mkdir()
        for number, folder in enumerate(folders):  # a class each
            (root / str(number)).symlink_to(pathlib.Path(folder).resolve())
        (root / "other").mkdir()  # one class alone would be refused
        (root / "other/white.ppm").write_bytes(b"P6 1 1 255 \xff\xff\xff")
        out = subprocess.run([program, "data", root, "--resize", "8", "--json"], capture_output=True, text=True, check=False,
                             env={**os.environ, "XDG_CACHE_HOME": str(place / "cache")})
        for path, digest in sorted(cached(place / "cache").items()):
            if path.startswith("other/"):
                continue
            try:
                equal = digest_of(root / path) == digest
                what = "equal" if equal else "differs"
            except OSError as error:
                what = f"read here, refused by Pillow ({error})"
            counts[pathlib.Path(path).suffix.lower(), what] += 1
            if what != "equal":
                failed = True
                print(f"{path}: {what}")
        if out.returncode == 0:
            for file in json.loads(out.stdout)["bad_files"]:
                counts[pathlib.Path(file["file"]).suffix.lower(), "refused"] += 1
                print(f"{file['file']}: refused: {file['why']}")
    for (suffix, what), count in sorted(counts.items()):
        print(f"{count} {suffix} {what}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
