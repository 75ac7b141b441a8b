"""What Pillow makes of the JPEG files of tests/golden/pictures.bin with Image.draft(): 1/2, 1/4 or 1/8 of their sides.

Writes tests/golden/drafts.json: name, wanted height and width, what came out, and the SHA-256 of its RGB bytes.
Needs Pillow 12 from PyPI.
"""

import hashlib
import io
import json
import pathlib
import warnings

import PIL
from PIL import Image, ImageOps

import golden

warnings.simplefilter("ignore")
assert int(PIL.__version__.split(".")[0]) < 13


FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"


def jpegs():
    pictures = json.loads((FOLDER / "pictures.json").read_text())["cases"]
    files = io.BytesIO((FOLDER / "pictures.bin").read_bytes())
    for picture in pictures:
        content = files.read(picture["bytes"])
        if content.startswith(b"\xff\xd8\xff"):
            yield picture, content


def main():
    cases = []
    for picture, content in jpegs():
        height, width = picture["height"], picture["width"]
        if min(height, width) < 16:
            continue
        # One file for each scale, and one that the two sides decide differently.
        for down, across in ((2, 2), (4, 4), (8, 8), (9, 3)):
            h, w = max(1, height // down), max(1, width // across)
            image = Image.open(io.BytesIO(content))
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            image.draft("RGB", (h, w) if turned else (w, h))
            image = ImageOps.exif_transpose(image).convert("RGB")
            cases.append({"name": picture["name"], "wanted": [h, w], "height": image.height, "width": image.width,
                          "sha256": hashlib.sha256(image.tobytes()).hexdigest()})
    golden.write(FOLDER / "drafts.json", {"case": "drafts", "pillow": PIL.__version__, "cases": cases})
    print(f"{len(cases)} pictures")


if __name__ == "__main__":
    main()
