"""A small picture for tests that make their own."""
import os
import struct
import zlib


def write_png(path, width, height, orientation=None):
    """A black picture that no other file equals; with EXIF's orientation when given."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    exif = b""
    if orientation:
        exif = chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HHI", orientation, 0, 0))
    rows = zlib.compress((b"\0" * (1 + (width + 7) // 8)) * height)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
                   + exif + chunk(b"tEXt", b"Title\0" + os.path.basename(path).encode()) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
