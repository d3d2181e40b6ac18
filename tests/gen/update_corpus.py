#!/usr/bin/env python3
"""Seeds of the fuzz targets for safetensors and updates.

    update_corpus.py DELTAMESH CORPUS     (tests/fuzz/corpus)
"""
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

WIDTH = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I8": 1}


def value(dtype, x):
    if dtype == "F64":
        return struct.pack("<d", x)
    if dtype == "F32":
        return struct.pack("<f", x)
    if dtype == "F16":
        return struct.pack("<e", x)
    if dtype == "BF16":
        return struct.pack("<f", x)[2:]
    return struct.pack("<b", max(-128, min(127, int(x * 99))))


def model(tensors, noise=0.0, seed=1):
    """tensors: (name, dtype, rows, cols)"""
    change = random.Random(seed)
    header, data = {}, b""
    for number, (name, dtype, rows, cols) in enumerate(tensors):
        values = random.Random("%s %s" % (dtype, name))
        body = b"".join(
            value(dtype, values.gauss(0, 0.1) + change.gauss(0, 1) * noise)
            for _ in range(rows * cols))
        header[name] = {"dtype": dtype, "shape": [rows, cols],
                        "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def net(dtype, rows=7):
    return [("a.w", dtype, 20, 30), ("a.b", dtype, 1, 20),
            ("q", "I8", 10, 20), ("head", dtype, rows, 40)]


def put(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def update_with_auxiliary():
    """A full update of five bytes with two auxiliary segments, from FORMAT.md
    alone."""
    coded = [b"one", b"another", b"\0hello"]
    header = bytes([2, 0]) + bytes(32) + bytes([5, 0])
    header += bytes([0])     # no tables
    header += bytes([1, 0])  # one record: bytes, to the end of the target
    header += bytes([2])
    for segment in coded:
        hashed = hashlib.blake2b(segment, digest_size=32,
                                 person=b"dm segment".ljust(16, b"\0"))
        header += bytes([len(segment)]) + hashed.digest()[:16]
    return header, b"DMUPDATE" + struct.pack("<I", len(header)) + header + \
        b"".join(coded)


def main():
    tool, corpus = sys.argv[1:]
    out = lambda target: os.path.join(corpus, target)
    good = {"f32": model(net("F32")), "empty": model([]),
            "scalar": model([("x", "F64", 1, 1)])}
    for name, data in good.items():
        put(out("safetensors"), name, data[:4000])
    put(out("safetensors"), "metadata", struct.pack("<Q", 28) +
        b'{"__metadata__":{"k":"v"}}  ')
    header, update = update_with_auxiliary()
    put(out("update_header"), "aux", header)
    put(out("update_decode"), "aux", update)
    pairs = {}
    for dtype in ("F64", "F32", "F16", "BF16"):
        pairs[dtype.lower()] = (model(net(dtype)),
                                model(net(dtype), 1e-3))
    pairs["grown"] = (model(net("F32")), model(net("F32", 9)))
    pairs["same"] = (model(net("F32")), model(net("F32")))
    pairs["text"] = (b"the old text, again and again and again",
                     b"the new text, again and again and again and more")
    pairs["full"] = (None, model(net("BF16")))
    pairs["empty"] = (b"x", b"")
    with tempfile.TemporaryDirectory() as tmp:
        base, target, update = (os.path.join(tmp, x) for x in "btu")
        for name, (old, new) in pairs.items():
            put(tmp, "t", new)
            args = [target]
            if old is not None:
                put(tmp, "b", old)
                args.insert(0, base)
            subprocess.run([tool, "diff"] + args + ["-o", update],
                           check=True, stdout=subprocess.DEVNULL)
            data = open(update, "rb").read()
            put(out("update_decode"), name, data)
            size = struct.unpack("<I", data[8:12])[0]
            put(out("update_header"), name, data[12:12 + size])
            old = old or b""
            if len(old) + len(new) < 8000:
                put(out("update_roundtrip"), name,
                    struct.pack("<HB", len(old), 3 if old else 2) + old + new)


main()
