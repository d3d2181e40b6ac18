#!/usr/bin/env python3
"""Small ONNX, TFLite, PyTorch and ncnn files, sound and broken, and what a
parser is to say of each; from the formats' documents alone, without our code.
Writes tests/data/formats/*.json and the first inputs of the fuzz targets.

    python3 tests/gen/model_files.py tests"""
import collections
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile

BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32,
        "I8": 8, "U8": 8, "BOOL": 8, "I4": 4, "U4": 4, "C64": 64, "C128": 128,
        "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8}


class Cases:
    def __init__(self, name):
        self.name = name
        self.list = []
        self.seeds = {}

    def add(self, case, files, tensors=(), refused=None):
        """files: [(path, bytes)]; tensors: (name, dtype, shape, file, where),
        where: an offset, or the bytes that lie there once"""
        entry = {"case": case,
                 "files": [{"path": path, "hex": data.hex()}
                           for path, data in files]}
        if refused:
            entry["refused"] = refused
        rows = []
        for name, dtype, shape, file, where in tensors:
            count = 1
            for dim in shape:
                count *= dim
            size = count * BITS[dtype] // 8
            if isinstance(where, bytes):
                assert files[file][1].count(where) == 1, (case, name)
                assert len(where) == size, (case, name, len(where), size)
                where = files[file][1].index(where)
            rows.append((file, where, size, "%s %s [%s] %d@%d+%d" % (
                name, dtype, ",".join(map(str, shape)), file, where, size)))
        entry["tensors"] = [row[-1] for row in sorted(rows)]
        self.list.append(entry)
        if not refused:
            self.seeds[case.replace(" ", "-").replace(",", "")] = files

    def write(self, root, seed=None):
        folder = os.path.join(root, "data", "formats")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, self.name + ".json"), "w") as out:
            json.dump(self.list, out, indent=1)
            out.write("\n")
        folder = os.path.join(root, "fuzz", "corpus", self.name)
        os.makedirs(folder, exist_ok=True)
        for case, files in self.seeds.items():
            data = seed(files) if seed else files[0][1]
            if data is not None and len(data) <= 2048:
                with open(os.path.join(folder, case), "wb") as out:
                    out.write(data)


def run(count, start=1):
    """Bytes that occur nowhere else."""
    return bytes((start * 16 + i * 7 + (i >> 3)) & 255 | 0x80
                 for i in range(count))


def floats(count, start=0.5):
    return struct.pack("<%df" % count, *(start + i for i in range(count)))


# ---- protobuf and ONNX ----

def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def num(field, value):
    return varint(field << 3) + varint(value)


def raw(field, data):
    if isinstance(data, str):
        data = data.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(name, dims, kind=1, data=None, extra=b"", packed=False):
    if packed:
        out = raw(1, b"".join(varint(d) for d in dims))
    else:
        out = b"".join(num(1, d) for d in dims)
    out += num(2, kind)
    if name:
        out += raw(8, name)
    if data is not None:
        out += raw(9, data)
    return out + extra


def external(location, offset=None, length=None):
    out = b""
    for key, value in (("location", location), ("offset", offset),
                       ("length", length)):
        if value is not None:
            out += raw(13, raw(1, key) + raw(2, str(value)))
    return out + num(14, 1)


def graph(*tensors, nodes=()):
    return (b"".join(raw(1, n) for n in nodes) + raw(2, "g") +
            b"".join(raw(5, t) for t in tensors))


def node(output, *attributes):
    return (raw(1, "in") + raw(2, output) + raw(4, "Op") +
            b"".join(raw(5, a) for a in attributes))


def model(graph_bytes, extra=b""):
    return (num(1, 8) + raw(2, "gen") + raw(7, graph_bytes) +
            raw(8, raw(1, "") + num(2, 17)) + extra)


def onnx():
    c = Cases("onnx")
    f = floats(6)

    def good(case, body, *tensors, extra=b"", more=()):
        c.add(case, [("m.onnx", model(body, extra))] + list(more), tensors)

    def bad(case, body, words, extra=b"", more=()):
        c.add(case, [("m.onnx", model(body, extra))] + list(more), (), words)

    good("plain", graph(tensor("w", [2, 3], 1, f)), ("w", "F32", [2, 3], 0, f))
    good("packed dims", graph(tensor("w", [2, 3], 1, f, packed=True)),
         ("w", "F32", [2, 3], 0, f))
    good("no tensors", graph())
    c.add("content decides", [("m.bin", model(graph(tensor("w", [6], 1, f))))],
          [("w", "F32", [6], 0, f)])
    r = [run(8, i) for i in range(9)]
    good("types", graph(
        tensor("f16", [4], 10, r[0]), tensor("bf16", [4], 16, r[1]),
        tensor("i8", [8], 3, r[2]), tensor("i64", [1], 7, r[3]),
        tensor("f8", [8], 17, r[4]), tensor("i4", [4, 4], 22, r[5]),
        tensor("fnuz", [8], 18, r[6])),
        ("f16", "F16", [4], 0, r[0]), ("bf16", "BF16", [4], 0, r[1]),
        ("i8", "I8", [8], 0, r[2]), ("i64", "I64", [1], 0, r[3]),
        ("f8", "F8_E4M3", [8], 0, r[4]), ("i4", "I4", [4, 4], 0, r[5]),
        ("fnuz", "F8_E4M3FNUZ", [8], 0, r[6]))
    good("odd nibbles and two bits", graph(
        tensor("u4", [3, 5], 21, r[0]), tensor("u2", [30], 25, r[1])),
        ("u4", "U8", [8], 0, r[0]), ("u2", "U8", [8], 0, r[1]))
    d = struct.pack("<3d", 1.5, 2.5, 3.5)
    good("typed fields", graph(
        tensor("f", [6], 1, extra=raw(4, f)),
        tensor("d", [3], 11, extra=raw(10, d)),
        tensor("i", [3], 6, extra=raw(5, b"\1\2\3")),
        tensor("l", [2], 7, extra=raw(7, b"\1\2"))),
        ("f", "F32", [6], 0, f), ("d", "F64", [3], 0, d))
    good("floats one by one", graph(tensor("f", [2], 1, extra=b"".join(
        varint(4 << 3 | 5) + f[4 * i:4 * i + 4] for i in range(2)))))
    good("text and segments", graph(
        tensor("s", [1], 8, extra=raw(6, "text")),
        tensor("part", [2], 1, f[:8], extra=raw(3, num(1, 0) + num(2, 2)))))
    one = tensor("s", [], 1, f[:4])
    none = tensor("z", [0, 4], 1, b"")
    body = model(graph(one, none))
    c.add("scalar and empty", [("m.onnx", body)],
          [("s", "F32", [], 0, f[:4]),
           ("z", "F32", [0, 4], 0, body.index(none) + len(none))])
    big = floats(16, 100)
    small = floats(2, 200)
    good("constants", graph(nodes=[
        node("const", raw(1, "value") + raw(5, tensor("same", [16], 1, big))),
        node("tiny", raw(1, "value") + raw(5, tensor("same", [2], 1, small)))]),
        ("const", "F32", [16], 0, big))
    good("attribute lists", graph(nodes=[
        node("n", raw(10, tensor("", [16], 1, big)) +
             raw(10, tensor("", [6, 3], 1, floats(18, 300))))]),
        ("n", "F32", [16], 0, big),
        ("n#2", "F32", [6, 3], 0, floats(18, 300)))
    inner = graph(tensor("w", [2], 1, f[8:16]))
    good("subgraphs", graph(tensor("w", [2], 1, f[:8]), nodes=[
        node("if", raw(1, "then") + raw(6, inner))]),
        ("w", "F32", [2], 0, f[8:16]), ("w#2", "F32", [2], 0, f[:8]))
    good("functions and training", graph(),
         ("t", "F32", [2], 0, f[:8]), ("k", "F32", [16], 0, big),
         extra=raw(20, raw(1, graph(tensor("t", [2], 1, f[:8])))) +
         raw(25, raw(1, "fn") +
             raw(7, node("k", raw(5, tensor("", [16], 1, big))))))
    good("later fields and groups", graph(tensor("w", [6], 1, f)),
         ("w", "F32", [6], 0, f),
         extra=raw(500, "later") + varint(501 << 3 | 3) + num(3, 7) +
         varint(502 << 3 | 3) + varint(502 << 3 | 4) + varint(501 << 3 | 4))
    good("fields twice", graph(tensor("w", [2], 10, r[0]) + num(2, 1) +
                               raw(8, "v") + raw(9, f[:8])),
         ("v", "F32", [2], 0, f[:8]))
    long_form = model(graph(tensor("w", [6], 1, f)))
    long_form = long_form.replace(raw(2, "gen"),
                                  b"\x12\x83\x80\x80\x00gen")
    c.add("lengths in long form", [("m.onnx", long_form)],
          [("w", "F32", [6], 0, f)])
    good("names that are no text", graph(tensor(b"a\0\xff\xc3\xa9\x1b", [6],
                                                1, f)),
         ("a??\u00e9?", "F32", [6], 0, f))
    good("sparse", graph() + raw(15, raw(1, tensor("v", [6], 1, f))))

    data = run(16, 3) + f + run(5, 4)
    ext = graph(tensor("w", [2, 3], 1, extra=external("w.bin", 16, 24)),
                tensor("v", [4], 1, extra=external("w.bin", 0)))
    good("external", ext, ("w", "F32", [2, 3], 1, f),
         ("v", "F32", [4], 1, 0), more=[("w.bin", data)])
    c.add("external in folders",
          [("a/m.onnx", model(ext)), ("w.bin", data[:3]), ("a/w.bin", data)],
          [("w", "F32", [2, 3], 2, f), ("v", "F32", [4], 2, 0)])
    good("external, not there", ext)
    dots = graph(tensor("w", [6], 1, extra=external("./d//w.bin", 16, 24)))
    good("external with dots", dots, ("w", "F32", [6], 1, f),
         more=[("d/w.bin", data)])
    same = graph(tensor("b", [6], 1, extra=external("w.bin", 16)),
                 tensor("a", [2, 3], 1, extra=external("w.bin", 16)),
                 tensor("c", [6], 1, extra=external("w.bin", 20)))
    good("external, one range for all", same, ("a", "F32", [2, 3], 1, f),
         more=[("w.bin", data)])
    for place in ("../w.bin", "/w.bin", "a/../../w.bin", "..", "", "C:w.bin",
                  "a\\w.bin"):
        bad("outside " + place.replace("/", "!"),
            graph(tensor("w", [6], 1, extra=external(place, 0))),
            "out of the model's folder", more=[("w.bin", data)])
    bad("external past the end",
        graph(tensor("w", [6], 1, extra=external("w.bin", 24, 24))),
        "behind the end of its file", more=[("w.bin", data)])
    bad("external offset wraps",
        graph(tensor("w", [6], 1,
                     extra=external("w.bin", 18446744073709551615, 24))),
        "behind the end of its file", more=[("w.bin", data)])
    bad("external number", graph(tensor("w", [6], 1, extra=external(
        "w.bin", "18446744073709551616"))), "is no number",
        more=[("w.bin", data)])
    bad("external length", graph(tensor("w", [6], 1, extra=external(
        "w.bin", 0, 23))), "length of external data", more=[("w.bin", data)])
    bad("external without location",
        graph(tensor("w", [6], 1, extra=num(14, 1))), "no location")

    c.add("empty", [("m.onnx", b"")], (), "no graph")
    c.add("no graph", [("m.onnx", num(1, 8))], (), "no graph")
    c.add("text", [("m.onnx", b"hello, this is text")], (), "at offset")
    bad("negative dimension", graph(tensor("w", [-1, 3], 1, f)), "negative")
    bad("shape overflows", graph(tensor("w", [1 << 40, 1 << 40], 1, f)),
        "overflows")
    bad("shape overflows by the type", graph(tensor("w", [1 << 61], 1, b"")),
        "overflows")
    bad("too few bytes", graph(tensor("w", [2, 3], 1, f[:20])), "disagree")
    bad("too few floats", graph(tensor("w", [2, 3], 1, extra=raw(4, f[:20]))),
        "disagree")
    bad("unknown type", graph(tensor("w", [6], 99, f)), "unknown")
    bad("rank 65", graph(tensor("w", [1] * 65, 1, f[:4])), "64 dims")
    bad("varint of 11 bytes", graph(), "more than 64 bits",
        extra=num(5, 0)[:1] + b"\x80" * 10 + b"\0")
    bad("varint over 64 bits", graph(), "more than 64 bits",
        extra=num(5, 0)[:1] + b"\xff" * 9 + b"\2")
    bad("varint ends early", graph(), "ends early",
        extra=num(5, 0)[:1] + b"\x80")
    bad("length past the end", graph(), "reaches past the end",
        extra=varint(9 << 3 | 2) + varint(1 << 40))
    bad("length past its message", graph(b"\x4a\x7f"), "reaches past the end")
    bad("length of 64 bits", graph(), "reaches past the end",
        extra=varint(9 << 3 | 2) + varint((1 << 64) - 1))
    bad("field number 0", graph(), "field number", extra=b"\0\0")
    bad("field number over 32 bits", graph(), "field number",
        extra=varint(1 << 40) + b"\0")
    bad("wire type 6", graph(), "wire type", extra=b"\x0e")
    bad("wire type 7", graph(), "wire type", extra=b"\x0f")
    bad("group without begin", graph(), "none began", extra=b"\x0c")
    bad("group without end", graph(), "does not end", extra=b"\x0b\x08\x01")
    bad("another group ends", graph(), "another group", extra=b"\x0b\x14")
    bad("groups too deep", graph(), "nested too deep",
        extra=b"\x0b" * 40 + b"\x0c" * 40)
    bad("fixed ends early", graph(), "ends early", extra=b"\x0d\1\2\3")
    deep = graph(tensor("w", [6], 1, f))
    for _ in range(15):
        deep = graph(nodes=[node("n", raw(6, deep))])
    good("graphs 16 deep", deep, ("w", "F32", [6], 0, f))
    bad("graphs 17 deep", graph(nodes=[node("n", raw(6, deep))]), "nested")
    return c


# ---- FlatBuffers and TFLite ----

class Ref:
    """A child of a table: bytes made by a function of the builder."""
    def __init__(self, make):
        self.make = make


class Flat:
    def __init__(self):
        self.out = bytearray(b"\0\0\0\0TFL3")
        self.places = {}

    def align(self, size):
        while len(self.out) % size:
            self.out.append(0)

    def table(self, fields, label=None):
        """fields: {number: (struct format, value) or Ref}"""
        count = max(fields) + 1 if fields else 0
        self.align(8)
        vtable = len(self.out)
        self.out += b"\0" * (4 + 2 * count)
        self.align(8)
        pos = len(self.out)
        if label:
            self.places[label] = (vtable, pos)
        self.out += struct.pack("<i", pos - vtable)
        refs = []
        for number, field in sorted(fields.items(),
                                    key=lambda item: item[0]):
            fmt = "I" if isinstance(field, Ref) else field[0]
            self.align(struct.calcsize(fmt))
            struct.pack_into("<H", self.out, vtable + 4 + 2 * number,
                             len(self.out) - pos)
            if isinstance(field, Ref):
                refs.append((len(self.out), field))
                self.out += b"\0\0\0\0"
            else:
                self.out += struct.pack("<" + fmt, field[1])
        struct.pack_into("<HH", self.out, vtable, 4 + 2 * count,
                         len(self.out) - pos)
        for at, ref in refs:
            struct.pack_into("<I", self.out, at, ref.make() - at)
        return pos

    def vector(self, data, count, label=None):
        self.align(16)
        self.out += b"\0" * 12  # the count ends where 16-byte data begins
        pos = len(self.out)
        if label:
            self.places[label] = pos
        self.out += struct.pack("<I", count) + data
        return pos

    def text(self, text):
        pos = self.vector(text.encode() + b"\0", len(text))
        return pos

    def tables(self, makes, label=None):
        self.align(4)
        pos = len(self.out)
        if label:
            self.places[label] = pos
        self.out += struct.pack("<I", len(makes)) + b"\0" * (4 * len(makes))
        for i, make in enumerate(makes):
            at = pos + 4 + 4 * i
            struct.pack_into("<I", self.out, at, make() - at)
        return pos


def tflite_file(tensors, buffers, external=None, extra=b"", graphs=1,
                shared=False):
    """tensors: (name, shape, type, buffer, quantization or None); buffers:
    bytes, or (offset, size); external: (buffer, bytes) put behind"""
    fb = Flat()

    def buffer(i, data):
        if isinstance(data, tuple):
            return fb.table({1: ("Q", data[0]), 2: ("Q", data[1])},
                            "buffer%d" % i)
        if not data:
            return fb.table({}, "buffer%d" % i)
        return fb.table({0: Ref(lambda: fb.vector(data, len(data),
                                                  "data%d" % i))},
                        "buffer%d" % i)

    def quant(scale, zero):
        return fb.table({
            2: Ref(lambda: fb.vector(scale, len(scale) // 4)),
            3: Ref(lambda: fb.vector(zero, len(zero) // 8))})

    def one(i, name, shape, kind, number, quantization):
        fields = {
            0: Ref(lambda: fb.vector(
                b"".join(struct.pack("<i", d) for d in shape), len(shape))),
            1: ("B", kind), 2: ("I", number),
            3: Ref(lambda: fb.text(name))}
        if quantization:
            fields[4] = Ref(lambda: quant(*quantization))
        return fb.table(fields, "tensor%d" % i)

    def subgraph():
        if shared and "graph" in fb.places:
            return fb.places["graph"][1]
        return fb.table({0: Ref(lambda: fb.tables(
            [lambda i=i, t=t: one(i, *t) for i, t in enumerate(tensors)],
            "tensors"))}, "graph")

    root = fb.table({
        0: ("I", 3),
        2: Ref(lambda: fb.tables([subgraph] * graphs, "graphs")),
        4: Ref(lambda: fb.tables([lambda i=i, b=b: buffer(i, b)
                                  for i, b in enumerate(buffers)],
                                 "buffers"))}, "root")
    struct.pack_into("<I", fb.out, 0, root)
    return bytes(fb.out) + extra, fb.places


def patched(data, at, fmt, value):
    out = bytearray(data)
    struct.pack_into("<" + fmt, out, at, value)
    return bytes(out)


def tflite():
    c = Cases("tflite")
    w, b, q = floats(6), floats(3, 50), run(64, 2)

    def good(case, data, *tensors, path="m.tflite"):
        c.add(case, [(path, data)], tensors)

    def bad(case, data, words):
        c.add(case, [("m.tflite", data)], (), words)

    plain = [("in", [1, 2], 0, 0, None), ("w", [2, 3], 0, 1, None),
             ("bias", [3], 0, 2, None)]
    data, at = tflite_file(plain, [b"", w, b])
    good("plain", data, ("w", "F32", [2, 3], 0, w), ("bias", "F32", [3], 0, b))
    good("content decides", data, ("w", "F32", [2, 3], 0, w),
         ("bias", "F32", [3], 0, b), path="m.bin")
    r = [run(8, i) for i in range(8)]
    kinds, _ = tflite_file(
        [("f16", [4], 1, 1, None), ("i8", [2, 4], 9, 2, None),
         ("i4", [16], 17, 3, None), ("i4odd", [3, 5], 17, 4, None),
         ("later", [2], 99, 5, None), ("text", [1], 5, 6, None),
         ("sparse", [100], 0, 7, None)], [b""] + r[:7])
    good("types", kinds, ("f16", "F16", [4], 0, r[0]),
         ("i8", "I8", [2, 4], 0, r[1]), ("i4", "I4", [16], 0, r[2]),
         ("i4odd", "U8", [8], 0, r[3]), ("later", "U8", [8], 0, r[4]),
         ("text", "U8", [8], 0, r[5]), ("sparse", "F32", [2], 0, r[6]))
    scale, zero = floats(16, 900), struct.pack("<16q", *range(70, 86))
    quant, _ = tflite_file([("w", [16, 4], 9, 1, (scale, zero))], [b"", q])
    good("quantised", quant, ("w", "I8", [16, 4], 0, q),
         ("w.scale", "F32", [16], 0, scale),
         ("w.zero_point", "I64", [16], 0, zero))
    few, _ = tflite_file([("w", [64], 9, 1, (scale[:4], zero[:8]))], [b"", q])
    good("quantised as a whole", few, ("w", "I8", [64], 0, q))
    alias, _ = tflite_file([("b", [3, 2], 0, 1, None),
                            ("a", [2, 3], 0, 1, None)], [b"", w])
    good("a buffer that two share", alias, ("a", "F32", [2, 3], 0, w))
    twice, _ = tflite_file(plain, [b"", w, b], graphs=2, shared=True)
    good("a subgraph twice", twice, ("w", "F32", [2, 3], 0, w),
         ("bias", "F32", [3], 0, b))
    unused, _ = tflite_file(plain[:2], [b"", w, b])
    good("metadata", unused, ("w", "F32", [2, 3], 0, w))
    behind, _ = tflite_file([("w", [2, 3], 0, 1, None)], [b"", (4096, 24)])
    behind += b"\0" * (4096 - len(behind)) + w
    good("data behind the buffer", behind, ("w", "F32", [2, 3], 0, 4096))
    none, _ = tflite_file([("in", [1], 0, 0, None)], [b""])
    good("no constants", none)

    bad("data behind ends late", behind[:-1], "behind the end")
    wrap, _ = tflite_file([("w", [6], 0, 1, None)],
                          [b"", ((1 << 64) - 8, 24)])
    bad("data behind wraps", wrap, "behind the end")
    c.add("short", [("m.tflite", b"\x08\0\0\0TFL")], (), "too short")
    bad("identifier", data[:4] + b"TFL2" + data[8:], "identifier")
    bad("root outside", patched(data, 0, "I", len(data)), "behind the end")
    bad("root at itself", patched(data, 0, "I", 0), "points to itself")
    vtable, root = at["root"]
    bad("vtable before the file", patched(data, root, "i", root + 100),
        "vtable")
    bad("vtable behind the file", patched(data, root, "i", -len(data)),
        "vtable")
    bad("vtable of odd size", patched(data, vtable, "H", 7), "vtable")
    bad("vtable too large", patched(data, vtable, "H", 65534), "vtable")
    bad("vtable too small", patched(data, vtable, "H", 2), "vtable")
    bad("table too large", patched(data, vtable + 2, "H", 65535), "table")
    bad("field outside", patched(data, vtable + 4 + 2 * 4, "H", 40000),
        "out of its table")
    bad("buffers without end", patched(data, at["buffers"], "I", 1 << 30),
        "vector ends")
    bad("tensors without end", patched(data, at["tensors"], "I", 1 << 30),
        "vector ends")
    bad("graphs without end", patched(data, at["graphs"], "I", 1 << 31),
        "vector ends")
    bad("data without end", patched(data, at["data1"], "I", 1 << 20),
        "vector ends")
    bad("a table at itself", patched(data, at["tensors"] + 4, "I", 0),
        "points to itself")
    bad("a table outside", patched(data, at["tensors"] + 4, "I", 1 << 31),
        "behind the end")
    lost, _ = tflite_file([("w", [6], 0, 9, None)], [b"", w])
    bad("no such buffer", lost, "does not exist")
    minus, _ = tflite_file([("w", [-6], 0, 1, None)], [b"", w])
    bad("negative dimension", minus, "negative")
    rank, _ = tflite_file([("w", [1] * 65, 0, 1, None)], [b"", w])
    bad("rank 65", rank, "65 dimensions")
    many, _ = tflite_file(plain, [b"", w, b], graphs=2000, shared=True)
    bad("graphs that share a list", many, "room")
    for cut in (8, 16, len(data) // 2, len(data) - 8):
        c.add("cut at %d" % cut, [("m.tflite", data[:cut])], (), "at offset")
    return c


# ---- pickles and PyTorch ----

def torch_modules():
    torch = types.ModuleType("torch")
    utils = types.ModuleType("torch._utils")
    for name in ("FloatStorage", "HalfStorage", "LongStorage", "ByteStorage",
                 "OddStorage", "UntypedStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3",
                 "_rebuild_parameter"):
        def call(*args):
            raise NotImplementedError
        call.__name__ = call.__qualname__ = name
        call.__module__ = "torch._utils"
        setattr(utils, name, call)
    sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
    torch._utils = utils
    return torch


TORCH = torch_modules()


class Dtype:
    """torch.NAME: a global."""
    def __init__(self, name):
        self.name = name
        setattr(TORCH, name, self)

    def __reduce__(self):
        return self.name  # save_global looks it up in the module

    __module__ = "torch"


class Storage:
    def __init__(self, kind, key, count):
        self.id = ("storage", getattr(TORCH, kind), key, "cpu", count)


class Tensor:
    def __init__(self, storage, shape, stride=None, offset=0, dtype=None):
        if stride is None:
            stride = []
            step = 1
            for dim in reversed(shape):
                stride.insert(0, step)
                step *= dim
        self.args = (storage, offset, tuple(shape), tuple(stride), False,
                     collections.OrderedDict())
        self.dtype = dtype

    def __reduce__(self):
        if self.dtype:
            return (TORCH._utils._rebuild_tensor_v3,
                    self.args + (self.dtype, None))
        return TORCH._utils._rebuild_tensor_v2, self.args


class Parameter:
    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        return (TORCH._utils._rebuild_parameter,
                (self.data, True, collections.OrderedDict()))


class Net:
    def __init__(self, **state):
        self.__dict__.update(state)


Net.__module__ = "torch"
TORCH.Net = Net


def pickled(value, protocol=2):
    out = io.BytesIO()
    # the Python one looks at no __reduce__ of classes in C
    pickler = pickle._Pickler(out, protocol)
    pickler.persistent_id = lambda x: x.id if isinstance(x, Storage) else None
    pickler.dump(value)
    return out.getvalue()


def archive(entries, compress=(), force64=False, folder="m/", comment=b""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in entries:
            info = zipfile.ZipInfo(folder + name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = (zipfile.ZIP_DEFLATED if name in compress
                                  else zipfile.ZIP_STORED)
            with z.open(info, "w", force_zip64=force64) as f:
                f.write(data)
        z.comment = comment
    return out.getvalue()


def zip64_of(data, count=None, size=None, offset=None):
    """Puts zip64 end records before the end record, which says all ones."""
    end = data.rindex(b"PK\5\6")
    n = struct.unpack_from("<H", data, end + 10)[0]
    s, o = struct.unpack_from("<II", data, end + 12)
    count = n if count is None else count
    size = s if size is None else size
    offset = o if offset is None else offset
    return (data[:end] +
            struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, count,
                        count, size, offset) +
            struct.pack("<IIQI", 0x07064b50, 0, end, 1) +
            struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff,
                        0xffffffff, 0xffffffff, 0))


def torchzip():
    c = Cases("torchzip")
    w, b = floats(6), floats(3, 50)
    ws, bs = Storage("FloatStorage", "0", 6), Storage("FloatStorage", "1", 3)

    def files(value, *data, protocol=2):
        return [("data.pkl", pickled(value, protocol))] + [
            ("data/%d" % i, d) for i, d in enumerate(data)] + [
            ("version", b"3\n")]

    def good(case, data, *tensors, path="m.pth"):
        c.add(case, [(path, data)], tensors)

    def bad(case, data, words):
        c.add(case, [("m.pth", data)], (), words)

    state = collections.OrderedDict(w=Tensor(ws, [2, 3]), b=Tensor(bs, [3]))
    both = (("w", "F32", [2, 3], 0, w), ("b", "F32", [3], 0, b))
    plain = archive(files(state, w, b))
    good("plain", plain, *both)
    good("content decides", plain, *both, path="m.bin")
    for protocol in (0, 1, 3, 4, 5):
        if protocol:
            good("protocol %d" % protocol,
                 archive(files(state, w, b, protocol=protocol)), *both)
    good("nested", archive(files(
        {"epoch": 3, "lr": 0.5, "model": {"conv": [Tensor(ws, [6])]},
         "opt": {0: {"exp": Tensor(bs, [3])}}, "big": 1 << 100}, w, b)),
        ("model.conv.0", "F32", [6], 0, w), ("opt.0.exp", "F32", [3], 0, b))
    net = Net(_parameters={"weight": Parameter(Tensor(ws, [2, 3]))},
              _modules={"fc": Net(_parameters={"bias": Tensor(bs, [3])})},
              training=True)
    good("module", archive(files(net, w, b)),
         ("weight", "F32", [2, 3], 0, w), ("fc.bias", "F32", [3], 0, b))
    good("views in a row", archive(files(
        {"a": Tensor(ws, [2]), "b": Tensor(ws, [2, 2], offset=2)}, w)),
        ("a", "F32", [2], 0, w[:8]), ("b", "F32", [2, 2], 0, w[8:]))
    good("tied", archive(files(
        {"b": Tensor(ws, [2, 3]), "a": Tensor(ws, [2, 3])}, w)),
        ("a", "F32", [2, 3], 0, w))
    good("overlapping", archive(files(
        {"a": Tensor(ws, [4]), "b": Tensor(ws, [4], offset=2)}, w)),
        ("a", "F32", [4], 0, w[:16]))
    good("not in order", archive(files(
        {"t": Tensor(ws, [3, 2], [1, 3]), "u": Tensor(ws, [2])}, w)),
        ("t", "F32", [6], 0, w))
    good("scalar, empty, odd strides", archive(files(
        {"s": Tensor(ws, [], offset=5), "z": Tensor(bs, [0, 3]),
         "one": Tensor(ws, [1, 5], [77, 1])}, w, b)),
        ("one", "F32", [1, 5], 0, w[:20]), ("s", "F32", [], 0, w[20:]),
        ("z", "F32", [0, 3], 0, archive(files(
            {"s": Tensor(ws, [], offset=5), "z": Tensor(bs, [0, 3]),
             "one": Tensor(ws, [1, 5], [77, 1])}, w, b)).index(b)))
    f8 = Dtype("float8_e4m3fn")
    good("untyped", archive(files(
        {"f": Tensor(Storage("UntypedStorage", "0", 24), [24], dtype=f8)},
        w)), ("f", "F8_E4M3", [24], 0, w))
    good("unknown storage", archive(files(
        {"q": Tensor(Storage("OddStorage", "0", 48), [48])}, w)),
        ("q", "U8", [24], 0, w))
    good("unknown objects", archive(files(
        {"x": Net(a=1, t=Tensor(ws, [6])), "d": {1, 2}, "n": None}, w, b)),
        ("x.t", "F32", [6], 0, w), ("data/1", "U8", [12], 0, b))
    good("compressed", archive(files(state, w * 20, b), ["data/0"]),
         both[1])
    good("compressed pickle", archive(files(state, w, b), ["data.pkl"]),
         ("data/0", "U8", [24], 0, w), ("data/1", "U8", [12], 0, b))
    good("big-endian", archive(files(state, w, b) + [("byteorder", b"big")]),
         ("data/0", "U8", [24], 0, w), ("data/1", "U8", [12], 0, b))
    good("little-endian",
         archive(files(state, w, b) + [("byteorder", b"little")]), *both)
    good("constants", archive(files(state, w, b) + [
        ("constants.pkl", pickled((Tensor(ws, [2]),))),
        ("constants/0", floats(6, 70))]), *both,
        ("0", "F32", [2], 0, floats(2, 70)))
    good("path escape", archive(files(state, w, b) + [("../../x", b"y")]),
         *both)
    good("comment", archive(files(state, w, b), comment=b"PK\5\6 comment"),
         *both)
    good("zip64 entries", archive(files(state, w, b), force64=True), *both)
    good("zip64 directory", zip64_of(plain), *both)
    loop = {}
    loop["self"] = loop
    loop["t"] = Tensor(ws, [6])
    good("a dictionary in itself", archive(files(loop, w)),
         ("t", "F32", [6], 0, w))

    old = pickled(0x1950a86a20f9469cfc6c) + pickled(1001) + pickled({})
    old_ids = [("storage", TORCH.FloatStorage, key, "cpu", n, None)
               for key, n in (("77", 6), ("9", 3))]
    stores = []
    for identity in old_ids:
        s = Storage("FloatStorage", "", 0)
        s.id = identity
        stores.append(s)
    older = (old + pickled(collections.OrderedDict(
        w=Tensor(stores[0], [2, 3]), b=Tensor(stores[1], [3]))) +
        pickled(["9", "77"]) + struct.pack("<q", 3) + b +
        struct.pack("<q", 6) + w)
    good("older form", older, *both)
    good("older form by content", older, *both, path="m.ckpt")
    bad("older form cut", older[:-1], "behind the end")
    bad("older form without keys", older.replace(pickled(["9", "77"]),
                                                 pickled(["9"])), "not there")

    # archives that lie
    c.add("empty", [("m.pth", b"")], (), "begins neither")
    c.add("text", [("m.pt", b"hello, this is text")], (), "begins neither")
    bad("cut", plain[:-30], "no directory")
    bad("no data.pkl", archive([("data/0", w)]), "no data.pkl")
    end = plain.rindex(b"PK\5\6")
    first = plain.index(b"PK\1\2")
    second = plain.index(b"PK\1\2", first + 1)
    bad("directory behind its end", patched(plain, end + 16, "I", end),
        "does not lie before")
    bad("directory too large", patched(plain, end + 12, "I", end + 1),
        "does not lie before")
    bad("count too large", patched(patched(plain, end + 8, "H", 999),
                                   end + 10, "H", 999), "no room")
    bad("another disk", patched(plain, end + 4, "H", 1), "disks")
    bad("entry of another disk", patched(plain, first + 34, "H", 1), "disks")
    bad("no entry", patched(plain, first, "I", 0), "no entry")
    bad("size lie", patched(patched(plain, second + 20, "I", 0xfffffff0),
                            second + 24, "I", 0xfffffff0), "disagree")
    bad("sizes differ", patched(plain, second + 24, "I", 25), "disagree")
    bad("method differs", patched(plain, second + 10, "H", 8), "disagree")
    bad("header outside", patched(plain, second + 42, "I", 0xfffffff0),
        "does not lie before")
    bad("no header there", patched(plain, second + 42, "I", 4), "disagree")
    bad("names differ", patched(plain, second + 46, "B", 77), "names differ")
    inside = archive([("data.pkl", pickled(state)), ("data/0", archive(
        [("data/1", b)])), ("data/1", b)])
    bad("an entry in another", patched(
        inside, inside.rindex(b"PK\1\2") + 42, "I",
        inside.index(b"PK\3\4", inside.index(b"m/data/0"))), "overlaps")
    twice = archive(files(state, w, b) + [("data/2", b"")]).replace(
        b"m/data/2", b"m/data/1")
    bad("a name twice", twice, "twice")
    local = plain.index(b"PK\3\4", 4)
    bad("long extra field", patched(plain, local + 28, "H", 65535),
        "size is wrong")
    bad("zip64 count", zip64_of(plain, count=1 << 60), "too many")
    bad("zip64 size", zip64_of(plain, size=1 << 63), "does not lie before")
    bad("zip64 offset", zip64_of(plain, offset=(1 << 64) - 8),
        "does not lie before")
    z = zip64_of(plain)
    bad("zip64 locator", patched(z, z.rindex(b"PK\6\7") + 8, "Q", 1 << 62),
        "no zip64 end record")
    bad("zip64 ends disagree",
        patched(z, z.rindex(b"PK\5\6") + 10, "H", 2), "disagree")

    # pickles that lie
    def pkl(case, data, words, extra=(("data/0", w),)):
        bad(case, archive([("data.pkl", data)] + list(extra)), words)

    pkl("pickle cut", pickled(state)[:-1], "before its STOP")
    pkl("pickle empty", b"", "before its STOP")
    pkl("pickle protocol 9", b"\x80\x09N.", "protocol")
    pkl("pickle opcode", b"\x80\x02\xffN.", "opcode")
    pkl("pickle stack", b"\x80\x02.", "stack is empty")
    pkl("pickle mark", b"\x80\x02Nt.", "no mark")
    pkl("pickle pops below a mark", b"\x80\x02N(R.", "stack is empty")
    pkl("pickle memo", b"\x80\x02h\5.", "memo")
    pkl("pickle memo number", b"\x80\x02Nr\xff\xff\xff\xff.", "memo")
    pkl("pickle text length", b"\x80\x02X\xff\xff\xff\x7fab.", "text ends")
    pkl("pickle text of 64 bits", b"\x80\x04\x8d" + b"\xff" * 8 + b"ab.",
        "text ends")
    pkl("pickle long", b"\x80\x02\x8b\xff\xff\xff\xffab.", "number ends")
    pkl("pickle line", b"cos\nsystem", "line does not end")
    pkl("pickle items", b"\x80\x02N(Nu.", "items that do not fit")
    pkl("pickle odd items", b"\x80\x02}(Nu.", "items that do not fit")
    pkl("pickle frame", b"\x80\x04\x95" + b"\xff" * 8 + b"N.", "frame")
    deep = b"\x80\x02" + b"]" * 3000 + b"a" * 2999 + b"."
    good("pickle 3000 deep", archive([("data.pkl", deep), ("data/0", w)]),
         ("data/0", "U8", [24], 0, w))
    laughs = b"\x80\x02]q\0" + b"".join(
        b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" +
        bytes([i + 1]) for i in range(200)) + b"."
    good("pickle of laughs", archive([("data.pkl", laughs), ("data/0", w)]),
         ("data/0", "U8", [24], 0, w))
    system = b"cos\nsystem\n(S'exit 1'\ntR."
    good("pickle that calls", archive([("data.pkl", system), ("data/0", w)]),
         ("data/0", "U8", [24], 0, w))

    def lie(case, tensor, words):
        bad(case, archive(files({"w": tensor}, w)), words)

    lie("storage not there", Tensor(Storage("FloatStorage", "7", 6), [6]),
        "not there")
    lie("storage of another size", Tensor(Storage("FloatStorage", "0", 7),
                                          [6]), "another size")
    lie("storage of 2^62", Tensor(Storage("FloatStorage", "0", 1 << 62), [6]),
        "another size")
    lie("too large", Tensor(ws, [7]), "out of its storage")
    lie("offset too large", Tensor(ws, [6], offset=1), "out of its storage")
    lie("strides too large", Tensor(ws, [2, 2], [5, 1]), "out of its storage")
    lie("offset outside", Tensor(ws, [0], offset=7), "out of its storage")
    lie("negative dimension", Tensor(ws, [-1], [1]), "no number >= 0")
    lie("negative stride", Tensor(ws, [2], [-1]), "no number >= 0")
    lie("negative offset", Tensor(ws, [2], offset=-1), "do not fit")
    lie("shape overflows", Tensor(ws, [1 << 40, 1 << 40], [1, 1]), "overflows")
    lie("reach overflows", Tensor(ws, [3, 2], [1 << 63, 1][:1] + [1]),
        "no number >= 0")
    lie("ranks differ", Tensor(ws, [2, 2], [1]), "do not fit")
    lie("rank 65", Tensor(ws, [1] * 65), "64 dimensions")
    return c


# ---- ncnn ----

def text(*layers):
    return ("7767517\n%d %d\n" % (len(layers), len(layers)) +
            "".join(layer + "\n" for layer in layers)).encode()


def ncnn():
    c = Cases("ncnn")
    mark = {"f32": b"\0\0\0\0", "f16": struct.pack("<I", 0x01306b47),
            "i8": struct.pack("<I", 0x000d4b38)}

    def good(case, param, data, *tensors):
        c.add(case, [("m.param", param), ("m.bin", data)], tensors)

    def bad(case, param, words, data=b""):
        c.add(case, [("m.param", param), ("m.bin", data)], (), words)

    inp = "Input in 0 1 a 0=1"
    conv = "Convolution c1 1 1 a b 0=2 1=3 11=1 5=1 6=12 9=2 -23310=1,1.0e-1"
    fc = "InnerProduct fc 1 1 b c 0=3 1=1 2=6"
    w, b = floats(12), floats(2, 30)
    v, d = floats(6, 50), floats(3, 70)
    good("plain", text(inp, conv, "ReLU r 1 1 b c", fc),
         mark["f32"] + w + b + mark["f32"] + v + d,
         ("c1.weight", "F32", [2, 2, 1, 3], 1, w),
         ("c1.bias", "F32", [2], 1, b), ("fc.weight", "F32", [3, 2], 1, v),
         ("fc.bias", "F32", [3], 1, d))
    good("a layer of another make at no cost",
         text(inp, "Strange s 1 1 a b 0=7", conv), mark["f32"] + w + b,
         ("c1.weight", "F32", [2, 2, 1, 3], 1, w),
         ("c1.bias", "F32", [2], 1, b))
    good("a layer of another make with weights",
         text(inp, conv, "Strange s 1 1 a b 0=7", fc),
         mark["f32"] + w + b + floats(9, 90) + mark["f32"] + v + d,
         ("c1.weight", "F32", [2, 2, 1, 3], 1, w),
         ("c1.bias", "F32", [2], 1, b), ("rest", "F32", [9 + 1 + 6 + 3], 1,
                                         len(w) + len(b) + 4))
    h = run(24, 1)
    q, qs = run(12, 2), floats(2, 110)
    good("f16", text(inp, conv), mark["f16"] + h + b,
         ("c1.weight", "F16", [2, 2, 1, 3], 1, h),
         ("c1.bias", "F32", [2], 1, b))
    odd = "InnerProduct fc 1 1 b c 0=1 1=0 2=5"
    good("f16 and int8 fill words", text(odd, odd.replace("fc", "f2")),
         mark["f16"] + run(10, 3) + b"\0\0" + mark["i8"] + run(5, 4) +
         b"\0\0\0", ("fc.weight", "F16", [1, 5], 1, run(10, 3)),
         ("f2.weight", "I8", [1, 5], 1, run(5, 4)))
    good("int8 with scales", text(inp, conv + " 8=102"),
         mark["i8"] + q + b + qs + floats(1, 120) + floats(1, 130),
         ("c1.weight", "I8", [2, 2, 1, 3], 1, q),
         ("c1.bias", "F32", [2], 1, b),
         ("c1.weight_scales", "F32", [2], 1, qs),
         ("c1.input_scale", "F32", [1], 1, floats(1, 120)),
         ("c1.output_scale", "F32", [1], 1, floats(1, 130)))
    depth = "ConvolutionDepthWise dw 1 1 a b 0=4 1=1 5=0 6=4 7=4 8=1"
    good("depthwise scales", text(depth), mark["i8"] + run(4, 5) +
         floats(4, 140) + floats(1, 150),
         ("dw.weight", "I8", [4, 1, 1, 1], 1, run(4, 5)),
         ("dw.weight_scales", "F32", [4], 1, floats(4, 140)),
         ("dw.input_scale", "F32", [1], 1, floats(1, 150)))
    good("int8 scales of another version", text(inp, odd, depth),
         mark["f32"] + floats(5, 240) + mark["i8"] + run(4, 5) +
         floats(4, 140) + floats(4, 150),
         ("fc.weight", "F32", [1, 5], 1, floats(5, 240)),
         ("rest", "F32", [10], 1, 24))
    good("padding and deformable",
         text("Padding p 1 1 a b 6=3",
              "DeformableConv2D d 1 1 b c 0=1 1=1 5=1 6=2"),
         floats(3, 250) + mark["f32"] + floats(2, 260) + floats(1, 270),
         ("p.pad", "F32", [3], 1, floats(3, 250)),
         ("d.weight", "F32", [1, 2, 1, 1], 1, floats(2, 260)),
         ("d.bias", "F32", [1], 1, floats(1, 270)))
    table = floats(256, 1000)
    good("table", text(odd), struct.pack("<I", 0x01010101) + table +
         run(5, 6) + b"\0\0\0", ("fc.weight_table", "F32", [256], 1, table),
         ("fc.weight", "U8", [1, 5], 1, run(5, 6)))
    names = ["slope", "mean", "var", "bias"]
    good("norms", text("BatchNorm bn 1 1 a b 0=2", "Scale sc 1 1 b c 0=2 1=1",
                       "PReLU p 1 1 c d 0=2", "Normalize n 1 1 d e 3=2",
                       "LayerNorm ln 1 1 e f 0=2", "GroupNorm g 1 1 f g 1=2",
                       "InstanceNorm in 1 1 g h 0=2 2=0"),
         floats(24),
         *[("bn." + n, "F32", [2], 1, 8 * i) for i, n in enumerate(names)],
         ("sc.scale", "F32", [2], 1, 32), ("sc.bias", "F32", [2], 1, 40),
         ("p.slope", "F32", [2], 1, 48), ("n.scale", "F32", [2], 1, 56),
         ("ln.gamma", "F32", [2], 1, 64), ("ln.beta", "F32", [2], 1, 72),
         ("g.gamma", "F32", [2], 1, 80), ("g.beta", "F32", [2], 1, 88))
    good("embed, memory, scale as input",
         text("Embed e 1 1 a b 0=2 1=3 2=1 3=6", "MemoryData m 0 1 c 0=2 1=3",
              "Scale s 2 1 b c d 0=-233 1=0",
              "Deconvolution dc 1 1 d e 0=1 1=2 5=0 6=4"),
         mark["f32"] + v + b + floats(6, 160) + mark["f32"] + floats(4, 170),
         ("e.weight", "F32", [3, 2], 1, v), ("e.bias", "F32", [2], 1, b),
         ("m.data", "F32", [3, 2], 1, floats(6, 160)),
         ("dc.weight", "F32", [1, 1, 2, 2], 1, floats(4, 170)))
    lstm = "LSTM l 1 1 a b 0=1 1=8 2=0"
    good("lstm", text(lstm), mark["f32"] + floats(8, 1) + mark["f32"] +
         floats(4, 20) + mark["f32"] + floats(4, 40),
         ("l.weight_xc", "F32", [4, 2], 1, floats(8, 1)),
         ("l.bias_c", "F32", [4, 1], 1, floats(4, 20)),
         ("l.weight_hc", "F32", [4, 1], 1, floats(4, 40)))
    good("bytes left", text(inp, conv), mark["f32"] + w + b + run(7, 7),
         ("c1.weight", "F32", [2, 2, 1, 3], 1, w),
         ("c1.bias", "F32", [2], 1, b), ("rest", "U8", [7], 1, run(7, 7)))
    two = text(conv, conv)
    good("a name twice", two, (mark["f32"] + w + b) + mark["f32"] +
         floats(12, 200) + floats(2, 220),
         ("c1.weight", "F32", [2, 2, 1, 3], 1, w),
         ("c1.bias", "F32", [2], 1, b),
         ("c1.weight#2", "F32", [2, 2, 1, 3], 1, floats(12, 200)),
         ("c1.bias#2", "F32", [2], 1, floats(2, 220)))
    c.add("no binary", [("m.param", text(inp, conv))])
    c.add("binary of another", [("m.param", text(inp, conv)),
                                ("n.bin", mark["f32"] + w + b)])
    c.add("folders", [("a/m.param", text(conv)), ("m.bin", b"no"),
                      ("a/m.bin", mark["f32"] + w + b)],
          [("c1.weight", "F32", [2, 2, 1, 3], 2, w),
           ("c1.bias", "F32", [2], 2, b)])
    c.add("returns", [("m.param", text(conv).replace(b"\n", b"\r\n")),
                      ("m.bin", mark["f32"] + w + b)],
          [("c1.weight", "F32", [2, 2, 1, 3], 1, w),
           ("c1.bias", "F32", [2], 1, b)])

    full = mark["f32"] + w + b
    bad("binary cut", text(inp, conv), "need more than", full[:-1])
    bad("binary empty", text(inp, conv), "need more than")
    bad("huge", text("InnerProduct f 1 1 a b 0=1 2=2147483647"),
        "need more than", full)
    bad("huge product", text("MemoryData f 0 1 a 0=2147483647 1=2147483647"),
        "need more than", full)
    bad("huge attention", text("MultiHeadAttention f 1 1 a b 0=2147483647 "
                               "2=2147483647 3=2147483647"),
        "need more than", full)
    bad("huge lstm", text("LSTM f 1 1 a b 0=2147483647 1=5"),
        "need more than", full)
    bad("magic", b"7767518\n1 1\n", "no ncnn model")
    bad("empty", b"", "no ncnn model")
    bad("binary text", bytes(range(256)), "no ncnn model")
    bad("no counts", b"7767517\nx y\n", "no counts")
    bad("negative counts", b"7767517\n-1 -1\n", "no counts")
    bad("lines missing", b"7767517\n2 2\n" + inp.encode() + b"\n",
        "1 layers of the 2")
    bad("blobs missing", text("ReLU r 3 1 a b"), "fewer blobs")
    bad("blob counts", text("ReLU r x 1 a b"), "no counts")
    bad("blobs without end", text("ReLU r 999999999999999999 "
                                  "999999999999999999 a b"), "fewer blobs")
    return c


def ncnn_seed(files):
    """Two bytes of the text's size, the text, the binary."""
    if len(files) != 2:
        return None
    return struct.pack("<H", len(files[0][1])) + files[0][1] + files[1][1]


def main():
    root = sys.argv[1]
    onnx().write(root)
    tflite().write(root)
    torchzip().write(root)
    ncnn().write(root, ncnn_seed)


if __name__ == "__main__":
    main()
