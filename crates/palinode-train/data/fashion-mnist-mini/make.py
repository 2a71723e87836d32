#!/usr/bin/env python3
"""Draws the embedded data set: a class-balanced part of Fashion-MNIST.

Usage: make.py SOURCE [TARGET]

SOURCE holds the four gzipped IDX files of Fashion-MNIST (Debian's package dataset-fashion-mnist
puts them in /usr/share/datasets/fashion-mnist); TARGET is this script's directory by default.
600 training images per class are drawn from the training part and 100 test images per class from
the test part, with seed 20261123; they are stored in random order. Running the script again gives
the same images.
"""

import gzip
import random
import struct
import sys
from pathlib import Path

SEED = 20261123
CLASSES = 10


def read(path: Path, dimensions: int) -> tuple[list[int], bytes]:
    """Extents and elements of a gzipped IDX file of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    assert data[:4] == bytes([0, 0, 8, dimensions]), f"{path}: wrong magic number"
    header = 4 + 4 * dimensions
    return list(struct.unpack(f">{dimensions}I", data[4:header])), data[header:]


def write(path: Path, extents: list[int], elements: bytes) -> None:
    """A gzipped IDX file without name or time, so that its bytes depend on its content alone."""
    data = bytes([0, 0, 8, len(extents)]) + struct.pack(f">{len(extents)}I", *extents) + elements
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def draw(source: Path, target: Path, part: str, per_class: int) -> None:
    """Copies `per_class` images of every class of one part."""
    (count, rows, columns), images = read(source / f"{part}-images-idx3-ubyte.gz", 3)
    _, labels = read(source / f"{part}-labels-idx1-ubyte.gz", 1)
    generator = random.Random(f"{SEED} {part}")
    chosen = []
    for label in range(CLASSES):
        chosen += generator.sample([i for i in range(count) if labels[i] == label], per_class)
    generator.shuffle(chosen)
    size = rows * columns
    pixels = b"".join(images[i * size : (i + 1) * size] for i in chosen)
    write(target / f"{part}-images-idx3-ubyte.gz", [len(chosen), rows, columns], pixels)
    write(target / f"{part}-labels-idx1-ubyte.gz", [len(chosen)], bytes(labels[i] for i in chosen))


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = Path(sys.argv[1])
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).resolve().parent
    draw(source, target, "train", 600)
    draw(source, target, "t10k", 100)


if __name__ == "__main__":
    main()
