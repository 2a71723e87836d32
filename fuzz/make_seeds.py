#!/usr/bin/env python3
"""Writes the seeds of the corpora: make_seeds.py PALINODE   (needs numpy and Pillow)

Every seed is a small file that its reader accepts.
"""

import gzip
import io
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

corpus = pathlib.Path(__file__).parent / "corpus"
palinode = sys.argv[1]


def seed(target, name, data):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def encoded(picture, **options):
    into = io.BytesIO()
    picture.save(into, **options)
    return into.getvalue()


grey = Image.fromarray((np.indices((6, 9)).sum(0) * 12).astype("uint8"))
colour = Image.merge("RGB", [grey, grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT), grey])
exif = Image.Exif()
exif[274] = 6
for name, picture in {"grey": grey, "colour": colour, "palette": colour.quantize(5), "alpha": colour.convert("RGBA"),
                      "one-bit": grey.convert("1")}.items():
    seed("png", name, encoded(picture, format="PNG", exif=exif))
seed("jpeg", "grey", encoded(grey, format="JPEG", quality=30))
seed("jpeg", "colour", encoded(colour, format="JPEG", quality=30, exif=exif))
seed("jpeg", "progressive", encoded(colour, format="JPEG", quality=30, progressive=True))

images = struct.pack(">IIII", 2051, 1, 28, 28) + bytes(range(28)) * 28
labels = struct.pack(">II", 2049, 1) + b"\3"
for which, plain in ((0, images), (1, labels)):
    seed("idx", f"plain{which}", bytes([which]) + plain)
    seed("idx", f"gzip{which}", bytes([which]) + gzip.compress(plain, mtime=0))

seed("cifar", "ten", (b"\7" + bytes(3072)) * 2)
seed("cifar", "hundred", b"\1\x2a" + bytes(3072))
seed("stl10", "labels", b"\1\5")
seed("stl10", "folds", b"\2" + b"1 2 3\n4 5 49\n")
seed("stl10", "images", b"\0" + bytes(3 * 96 * 96))

for name, array in {"f4": np.zeros((1, 1, 2, 2), "<f4"), "i8": np.arange(3, dtype="<i8"), "fortran": np.asfortranarray(
        np.zeros((2, 2), "<f4"))}.items():
    into = io.BytesIO()
    np.save(into, array)
    seed("npy", name, into.getvalue())

quick_start = pathlib.Path(__file__).parent.parent / "crates/palinode-train/src/recipe"
seed("recipe", "quick-start", (quick_start / "quick-start.toml").read_bytes())
seed("recipe", "template", (quick_start / "template.toml").read_bytes())
seed("recipe", "experiment", b'experiment_version = 1\ntitle = "t"\nseeds = [1]\n[[row]]\nname = "r"\nset = ["seed=1"]\n')

with tempfile.TemporaryDirectory() as folder:
    run = pathlib.Path(folder) / "run"
    settings = ["model.blocks=[1]", "model.widths=[2]", "model.stem.norm=true", "data.subset=0.01", "training.test=false"]
    command = [palinode, "train", "--quiet", "--epochs", "1", "--out", str(run)]
    subprocess.run(command + [part for text in settings for part in ("--set", text)], check=True, stdout=subprocess.DEVNULL)
    seed("weights", "hamiltonian", (run / "weights/best.safetensors").read_bytes())
    seed("checkpoint", "one-epoch", (run / "checkpoints/latest.safetensors").read_bytes())
