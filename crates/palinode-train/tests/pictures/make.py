#!/usr/bin/env python3
"""Makes the pictures of this folder that Rust's `image` crate does not write (needs Pillow and numpy)."""
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

folder = pathlib.Path(__file__).parent
scene = Image.fromarray((np.indices((12, 16)).sum(0)[..., None] * [9, 5, 7] % 256).astype("uint8"))
scene.save(folder / "progressive.jpg", quality=60, progressive=True)
scene.save(folder / "turned.tif", tiffinfo={274: 6}, compression="tiff_lzw")
scene.save(folder / "upright.png")
first, second = scene.convert("P"), scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("P")
first.save(folder / "two-frames.gif", save_all=True, append_images=[second])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# A palette of 40 bytes, which is no multiple of three.
header = struct.pack(">IIBBBBB", 8, 8, 4, 3, 0, 0, 0)
rows = zlib.compress(b"".join(b"\0" + bytes([0x01, 0x23, 0x45, 0x67]) for _ in range(8)))
palette = chunk(b"PLTE", bytes(range(40)))
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
(folder / "palette.png").write_bytes(png)

# 16,384 × 16,384 pixels of one bit, and a compressed text chunk, each of which unpacks to far more than its file.
header = struct.pack(">IIBBBBB", 16384, 16384, 1, 0, 0, 0, 0)
rows = zlib.compress(bytes(16384 * (1 + 16384 // 8)), 9)
text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + text + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
(folder / "bomb.png").write_bytes(png)
