#!/usr/bin/env python3
"""Writes the first inputs of fuzz_gather and fuzz_gather_code.

    python3 tests/gen/gather_corpus.py tests/fuzz/corpus"""
import os
import struct
import sys

NONE = 0xffff
# name: transposed, log2 of the width, offset, columns, stride, elements, size
# of the base, runs
INPUTS = {
    "plain": (0, 2, 4, 0, 0, 100, 404, []),
    "window": (0, 2, 8, 6, 10, 60, 1000, [(2, 1), (3, 5), (1, NONE)]),
    "long-rows": (0, 1, 0, 3000, 5000, 9000, 40000, [(1000, 3000),
                                                      (2000, 7)]),
    "one-row": (0, 3, 0, 900, 1200, 900, 9600, [(300, 900), (300, NONE),
                                               (300, 0)]),
    "transposed": (1, 2, 0, 40, 50, 2000, 8000, []),
    "transposed-tall": (1, 0, 3, 4, 9000, 20000, 40000, [(2, 2), (2, 0)]),
    "too-short": (0, 2, 8, 6, 10, 60, 300, [(6, 0)]),
    "aliased": (1, 2, 0, 40, 50, 2001, 8000, []),
}


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def code(turned, columns, stride, runs):
    """As FORMAT.md, "Gathered bases", has it."""
    out = varint(columns) + varint(2 * stride + turned) + varint(len(runs))
    end = 0
    for count, column in runs:
        out += varint(2 * count + (column == NONE))
        if column != NONE:
            step = column - end
            out += varint(2 * step if step >= 0 else -2 * step - 1)
            end = column + count
    return out


def write(target, name, data):
    folder = os.path.join(sys.argv[1], target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)


def main():
    for name, (turned, width, offset, columns, stride, elems, size,
               runs) in INPUTS.items():
        data = struct.pack("<BHIIII", turned | width << 1, offset, columns,
                           stride, elems, size)
        for run in runs:
            data += struct.pack("<HH", *run)
        write("gather", name, data)
        write("gather_code", name, code(turned, columns, stride, runs))


main()
