#!/usr/bin/python3
"""Prints the table of golden_resizes.inc: what Pillow makes of the pattern of synthetic.h."""
import numpy as np
from PIL import Image

CASES = [  # source width, height, target width, height, box
    (64, 48, 32, 24, None), (64, 48, 17, 31, None), (61, 37, 200, 150, None),
    (640, 480, 298, 224, None), (33, 257, 33, 64, None), (257, 33, 64, 33, None),
    (5, 3, 1, 1, None), (1, 1, 7, 5, None), (2, 300, 9, 2, None), (300, 2, 2, 9, None),
    (64, 48, 20, 20, (3.25, 1.5, 60.75, 47.125)), (100, 100, 50, 50, (10, 10, 60, 60)),
]


def pattern(width, height):
    y, x, c = np.mgrid[0:height, 0:width, 0:3].astype(np.int64)
    return ((x * x * (c + 3) + y * 7 * (x + c) + (x ^ y) * 11) % 256).astype(np.uint8)


def checksum(pixels):
    value = 0xCBF29CE484222325
    for byte in pixels.tobytes():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


print("// Written by golden.py: width, height -> width, height, box, bilinear, bicubic.")
for width, height, to_width, to_height, box in CASES:
    image = Image.fromarray(pattern(width, height))
    sums = [checksum(np.asarray(image.resize((to_width, to_height), how, box=box)))
            for how in (Image.BILINEAR, Image.BICUBIC)]
    corners = ", ".join(f"{v}f" if v % 1 else f"{v:.0f}" for v in box or (0, 0, width, height))
    print(f"{{{width}, {height}, {to_width}, {to_height}, {{{corners}}},"
          f" 0x{sums[0]:016x}, 0x{sums[1]:016x}}},")
