"""Captcha picture as the provider shows it: a PNG of 50 by 18 pixels, written without a library."""

import random
import struct
import zlib

WIDTH, HEIGHT = 50, 18
# Each letter has 5 rows of 3 pixels, one bit for each pixel.
_GLYPHS = {
    letter: [int(row, 2) for row in rows.split()]
    for letter, rows in {
        "2": "111 001 111 100 111", "3": "111 001 111 001 111", "4": "101 101 111 001 001",
        "5": "111 100 111 001 111", "6": "111 100 111 101 111", "7": "111 001 010 010 010",
        "8": "111 101 111 101 111", "9": "111 101 111 001 111", "a": "010 101 111 101 101",
        "b": "110 101 110 101 110", "c": "111 100 100 100 111", "d": "110 101 101 101 110",
        "e": "111 100 110 100 111", "f": "111 100 110 100 100", "g": "111 100 101 101 111",
        "h": "101 101 111 101 101", "k": "101 110 100 110 101", "m": "101 111 111 101 101",
        "n": "110 101 101 101 101", "p": "111 101 111 100 100", "q": "111 101 101 111 001",
        "r": "110 101 110 101 101", "s": "011 100 010 001 110", "t": "111 010 010 010 010",
        "u": "101 101 101 101 111", "v": "101 101 101 101 010", "w": "101 101 111 111 101",
        "x": "101 101 010 101 101", "y": "101 101 010 010 010", "z": "111 001 010 100 111",
    }.items()
}  # fmt: skip


def png(code: str, rng: random.Random) -> bytes:
    """Draw the code as dark pixels on a noisy background. Return a PNG."""
    rows = [bytearray(rng.randrange(200, 256) for _ in range(WIDTH)) for _ in range(HEIGHT)]
    for place, letter in enumerate(code):
        left, top = 4 + place * 11 + rng.randrange(3), 2 + rng.randrange(3)
        for y, bits in enumerate(_GLYPHS[letter]):
            for x in range(3):
                if bits >> (2 - x) & 1:
                    for dy in (0, 1):
                        for dx in (0, 1):
                            rows[top + 2 * y + dy][left + 2 * x + dx] = rng.randrange(60)
    raw = b"".join(b"\0" + bytes(row) for row in rows)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
