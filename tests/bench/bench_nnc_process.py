#!/usr/bin/env python3
"""Whole processes on a file of 16 times a model's tensors: how many million
elements a second `deltamesh nnc encode` and `nnc decode` take, start, reading
and writing included; processor seconds beside them, of all threads.

    tests/bench/bench_nnc_process.py [--deltamesh PATH] [--times N] [MODEL]

MODEL is a safetensors file; without one the newest of linzaer-rfb-train in the
corpus beside the source tree is taken, or where there is none, numbers of our
own in tensors of such shapes. One JSON line a case; the shortest of N runs
counts."""

import argparse
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CORPUS = os.path.join(ROOT, "..", "shared", "corpus", "outside",
                      "linzaer-rfb-train", "epoch420.safetensors")
COPIES = 16
CHILDREN = resource.RUSAGE_CHILDREN
CASES = [
    ("default", []),
    ("dq", ["--qp", "-38", "--dq", "--lambda", "0"]),
    ("uniform", ["--qp", "-38", "--no-dq", "--lambda", "0"]),
]


def read_safetensors(path):
    with open(path, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    header.pop("__metadata__", None)
    return [(name, t["dtype"], t["shape"],
             data[t["data_offsets"][0]:t["data_offsets"][1]])
            for name, t in header.items()]


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, data in tensors:
            f.write(data)


def own_tensors():
    rng = random.Random(1)
    tensors = []
    for i, (rows, columns) in enumerate([(16, 27), (64, 576), (128, 1152)] * 2):
        values = [rng.gauss(0, 0.05) for _ in range(rows * columns)]
        tensors.append(("w%d" % i, "F32", [rows, columns],
                        struct.pack("<%df" % len(values), *values)))
        values = [rng.gauss(1, 0.1) for _ in range(rows)]
        tensors.append(("b%d" % i, "F32", [rows],
                        struct.pack("<%df" % rows, *values)))
    return tensors


def elements(tensors):
    total = 0
    for _, _, shape, _ in tensors:
        count = 1
        for n in shape:
            count *= n
        total += count
    return total


def shortest(command, times):
    """Seconds that passed, and seconds of processors, each the least."""
    took, busy = [], []
    for _ in range(times):
        start, before = time.perf_counter(), resource.getrusage(CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - start)
        after = resource.getrusage(CHILDREN)
        busy.append(after.ru_utime + after.ru_stime - before.ru_utime -
                    before.ru_stime)
    return min(took), min(busy)


def bench(args, tensors, folder):
    model = os.path.join(folder, "model.safetensors")
    stream = os.path.join(folder, "model.nnc")
    back = os.path.join(folder, "back.safetensors")
    many = [("%d.%s" % (i, name), dtype, shape, data)
            for i in range(COPIES) for name, dtype, shape, data in tensors]
    write_safetensors(model, many)
    count = elements(many)
    for name, options in CASES:
        encode, encode_cpu = shortest(
            [args.deltamesh, "nnc", "encode", *options, model, "-o", stream],
            args.times)
        decode, decode_cpu = shortest(
            [args.deltamesh, "nnc", "decode", stream, "-o", back], args.times)
        size = os.path.getsize(stream)
        print(json.dumps({
            "bench": "nnc_process", "case": name, "elements": count,
            "bytes": size, "bits": round(8 * size / count, 3),
            "encode_s": round(encode, 3), "decode_s": round(decode, 3),
            "encode_cpu_s": round(encode_cpu, 3),
            "decode_cpu_s": round(decode_cpu, 3),
            "encode_mp_s": round(count / encode / 1e6, 2),
            "decode_mp_s": round(count / decode / 1e6, 2)}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--deltamesh", default="./deltamesh")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("model", nargs="?")
    args = parser.parse_args()
    path = args.model or (CORPUS if os.path.exists(CORPUS) else None)
    tensors = read_safetensors(path) if path else own_tensors()
    with tempfile.TemporaryDirectory() as folder:
        bench(args, tensors, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
