#!/usr/bin/env python3
"""Writes the first inputs of fuzz_small: predictions and targets of each type,
and codings with streams of any bytes.

    python3 tests/gen/small_corpus.py tests"""
import os
import random
import sys


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def stream(rng, range_bytes, raw_bytes):
    return (varint(range_bytes + 1) + varint(raw_bytes) +
            rng.randbytes(range_bytes) + rng.randbytes(raw_bytes))


def near(rng, width, count):
    """Predictions, then targets that are mostly near."""
    pred = [rng.getrandbits(width) for _ in range(count)]
    target = [(p + rng.choice((0, 0, 1, -1, 2, -7, 300))) % 2**width
              for p in pred]
    return b"".join(v.to_bytes(width // 8, "little") for v in pred + target)


def main(root):
    rng = random.Random(1)
    folder = os.path.join(root, "fuzz", "corpus", "small")
    os.makedirs(folder, exist_ok=True)
    widths = (64, 32, 16, 16, 8, 8, 8, 16)
    # full; delta; delta with direct values; sparse delta with columns
    codings = (b"\x00\x00", b"\x01\x80\x04\x00", b"\xff\x01\x00\x00\x00",
               b"\x05\x10\x96\x01")
    files = {"empty": b"", "no-elements": b"\x00\x00\x00\x00\x00\x00"}
    for kind, width in enumerate(widths):
        data = near(rng, width, 1200 // (width // 8))
        files[f"trip-{kind}"] = bytes([128 | kind, 20]) + data
        files[f"trip-{kind}-lost"] = bytes([128 | 16 | kind, 3]) + data
        files[f"trip-{kind}-full"] = bytes([128 | 8 | kind, 9]) + data
        for i, coding in enumerate(codings):
            files[f"outside-{kind}-{i}"] = (
                bytes([kind | (16 if i & 1 else 0), 50]) + coding +
                stream(rng, 300, 200))
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(data)


main(sys.argv[1])
