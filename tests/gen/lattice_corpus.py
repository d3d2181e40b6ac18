#!/usr/bin/env python3
"""Writes the first inputs of fuzz_lattice: predictions and targets of each
type, whole steps apart or not, and codings with streams of any bytes.

    python3 tests/gen/lattice_corpus.py tests"""
import os
import random
import struct
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


def coding(pred, residual, octave, density=0, half=0, columns=0):
    value = at = 0
    fields = [(pred, 1), (residual, 1), (octave + 120, 8), (density, 3)]
    if density:
        fields.append((half, density - 1))
    fields.append((columns != 0, 1))
    if columns:
        n = columns.bit_length() - 1
        fields += [(n, 4), (columns - (1 << n), n)]
    for field, bits in fields:
        value |= field << at
        at += bits
    return value.to_bytes((at + 7) // 8, "little")


def pack(kind, x):
    """An element near x, bits cut where the type has fewer."""
    if kind == 0:
        return struct.pack("<d", x)
    if kind == 2:
        return struct.pack("<e", x)
    return struct.pack("<f", x)[2 if kind == 3 else 0:]


def steps(rng, kind, count, share, off):
    """Predictions, then targets of which a share lies steps of 2^-9 away."""
    pred, target = b"", b""
    for _ in range(count):
        p = rng.gauss(0, 0.1) if kind < 2 else rng.randrange(-64, 64) / 512
        level = round(rng.gauss(0, 3)) if rng.random() < share else 0
        t = pack(kind, p + level / 512)
        pred += pack(kind, p)
        target += rng.randbytes(len(t)) if rng.random() < off else t
    return pred + target


def main(root):
    rng = random.Random(1)
    folder = os.path.join(root, "fuzz", "corpus", "lattice")
    os.makedirs(folder, exist_ok=True)
    codings = (coding(1, 0, -9), coding(1, 1, -9, 2, 1, 12),
               coding(0, 1, -30, 7, 63, 700), coding(0, 0, 100))
    files = {"empty": b"", "no-elements": b"\x01\x00" + codings[0] + b"\x00"}
    for kind, size in enumerate((8, 4, 2, 2)):
        for name, share, off in (("few", 0.03, 0), ("many", 0.8, 0),
                                 ("off", 0.3, 0.05), ("any", 1, 1)):
            data = steps(rng, kind, 3000 // size, share, off)
            files[f"trip-{kind}-{name}"] = (
                bytes([128 | kind, rng.randrange(12)]) +
                codings[rng.randrange(3)] + data)
        for i, each in enumerate(codings):
            files[f"outside-{kind}-{i}"] = (
                bytes([kind, 3 * i]) + each + stream(rng, 300, 200) +
                stream(rng, 20, 0))
    for name, data in list(files.items()):
        if name.startswith(("trip", "outside")):
            files[name + "-guessed"] = bytes([data[0] | 64]) + data[1:]
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(data)


main(sys.argv[1])
