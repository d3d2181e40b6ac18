#!/usr/bin/env python3
"""The golden updates of tests/vectors/updates: small updates that use all that
codec/FORMAT.md has, which must decode for ever.

    golden_updates.py BUILD [FOLDER] [--add]     (tests/vectors/updates)

BUILD has deltamesh and tests/gen/gen_update. The contents are made here from
fixed seeds, the updates by the command: one of them is changed afterwards into
a form that it writes for large models only. gen_update makes combinations that
no plan would choose. Every update is decoded by update_decode.py, and all that FORMAT.md has must
occur. A base is kept as the full update that makes it. With --add
those that are there stay, as they decode for ever, and new cases join them."""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import update_decode as dec

FLOATS = {"F64": 12, "F32": 11, "F16": 9, "BF16": 10, "F8_E5M2": 13,
          "F8_E4M3": 14}
INTEGERS = {"I8": 2, "U8": 1, "I16": 4, "U16": 3, "I32": 6, "U32": 5, "I64": 8,
            "U64": 7, "BOOL": 0, "I4": 22}


FUZZED = ("diff", "floats-sparse-small", "integers-small", "lattice-far",
          "lattice-full", "low-rank-split", "mixed-1", "mixed-1000",
          "segments-small", "text")


# Models ----------------------------------------------------------------------

def float_bits(name, x):
    """The nearest element, not finite beyond the largest."""
    if name == "F64":
        return struct.unpack("<Q", struct.pack("<d", x))[0]
    x = dec.binary32(x)
    if name == "F32":
        return struct.unpack("<I", struct.pack("<f", x))[0]
    got = dec.round_float(x, dec.DTYPES[FLOATS[name]])
    return got[0] if got else 0x7f


class Tensor:
    def __init__(self, dtype, rows, columns, elements):
        self.dtype, self.shape, self.elements = dtype, (rows, columns), elements

    def data(self):
        if self.dtype == "I4":
            pairs = zip(self.elements[::2], self.elements[1::2])
            return bytes(a & 15 | (b & 15) << 4 for a, b in pairs)
        code = FLOATS.get(self.dtype, INTEGERS.get(self.dtype))
        kind = dec.DTYPES[code]
        mask = (1 << kind.bits) - 1
        return dec.bytes_of([e & mask for e in self.elements], kind)


def floats(dtype, rows, columns, numbers):
    return Tensor(dtype, rows, columns, [float_bits(dtype, x) for x in numbers])


def file(tensors):
    """tensors: {name: Tensor}; a safetensors file"""
    header, body = {}, b""
    for name, tensor in tensors.items():
        data = tensor.data()
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape),
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def gauss(seed, count, sigma):
    source = random.Random(seed)
    return [source.gauss(0, sigma) for _ in range(count)]


def add(a, b):
    return [x + y for x, y in zip(a, b)]


def product(seed, rows, columns, rank, sigma):
    u, v = gauss(seed + "u", rows * rank, sigma), gauss(seed + "v",
                                                        columns * rank, 1)
    return [sum(u[i * rank + k] * v[j * rank + k] for k in range(rank))
            for i in range(rows) for j in range(columns)]


# Cases -----------------------------------------------------------------------

CASES = []  # name, base content or None, target content, arguments


def case(name, base, target, *arguments):
    CASES.append((name, base, target, arguments))


def speeds(name, base, target):
    for speed in ("fast", "small"):
        case("%s-%s" % (name, speed), base, target, "--speed", speed)


def float_cases():
    rows, columns = 16, 28
    base, target = {}, {}
    for dtype in FLOATS:
        numbers = gauss(dtype, rows * columns, 0.1)
        step = 0.02 if dtype.startswith("F8") else 0.001
        moved = add(numbers, gauss(dtype + "+", rows * columns, step))
        base[dtype] = floats(dtype, rows, columns, numbers)
        target[dtype] = floats(dtype, rows, columns, moved)
    speeds("floats", file(base), file(target))
    case("floats-full", None, file(base))
    sparse = {}
    for dtype, tensor in base.items():
        chance = random.Random("sparse" + dtype)
        sparse[dtype] = Tensor(dtype, rows, columns, [
            e + chance.choice((-1, 1, 2)) if chance.random() < 0.1 else e
            for e in tensor.elements])
    speeds("floats-sparse", file(base), file(sparse))


def integer_cases():
    rows, columns = 14, 20
    base, target = {}, {}
    for dtype, code in INTEGERS.items():
        bits = 4 if dtype == "I4" else dec.DTYPES[code].bits
        spread = {"BOOL": 0.5, "I4": 2.0}.get(dtype, 2.0 ** (bits - 4))
        numbers = [int(x) for x in gauss(dtype, rows * columns, spread)]
        if dtype in ("U8", "U16", "U32", "U64"):
            numbers = [abs(n) for n in numbers]
        moved = [n + int(x) for n, x in
                 zip(numbers, gauss(dtype + "+", rows * columns, 1.2))]
        if dtype == "BOOL":
            numbers = [n & 1 for n in numbers]
            moved = [n & 1 for n in moved]
        base[dtype] = Tensor(dtype, rows, columns, numbers)
        target[dtype] = Tensor(dtype, rows, columns, moved)
    speeds("integers", file(base), file(target))
    case("integers-full", None, file(base))


SPECIAL = {
    "F64": [0, 1 << 63, 0x7ff << 52, 0xfff << 52, 0x7ff8 << 48, 1, 1 << 51,
            0x7ff0dead << 32, 0xfff8 << 48 | 7, (1 << 64) - 1],
    "F32": [0, 1 << 31, 0x7f800000, 0xff800000, 0x7fc00000, 1, 1 << 22,
            0x7f80dead, 0xffc00007, 0xffffffff],
    "F16": [0, 0x8000, 0x7c00, 0xfc00, 0x7e00, 1, 0x200, 0x7c0d, 0xfe07,
            0xffff],
    "BF16": [0, 0x8000, 0x7f80, 0xff80, 0x7fc0, 1, 0x40, 0x7f8d, 0xffc7,
             0xffff],
    "F8_E5M2": [0, 0x80, 0x7c, 0xfc, 0x7e, 1, 2, 0x7d, 0xfe, 0xff],
    "F8_E4M3": [0, 0x80, 0x7f, 0xff, 0x7e, 1, 4, 0x81, 0xfe, 7],
}


def special_cases():
    """NaNs with payloads, infinities, -0, denormal numbers in base, in target,
    in both, under a plain and a low rank prediction."""
    rows, columns = 16, 28
    base, target = {}, {}
    for dtype, special in SPECIAL.items():
        chance = random.Random("special" + dtype)
        sigma = 0.02 if dtype in ("F64", "F32", "F16", "BF16") else 0.2
        numbers = gauss(dtype, rows * columns, 0.1)
        moved = add(numbers, product(dtype, rows, columns, 1, sigma))
        for tensors, values in ((base, numbers), (target, moved)):
            tensor = floats(dtype, rows, columns, values)
            tensor.elements = [
                chance.choice(special) if chance.random() < 0.05 else e
                for e in tensor.elements]
            tensors[dtype] = tensor
    speeds("special", file(base), file(target))


def low_rank_cases():
    rows, columns = 32, 40
    base, target = {}, {}
    for dtype in ("F32", "F16", "BF16", "I8"):
        for rank in (1, 2):
            name = "%s-%d" % (dtype, rank)
            scale = 60 if dtype == "I8" else 0.1
            numbers = gauss(name, rows * columns, scale / 2)
            moved = add(numbers, product(name, rows, columns, rank,
                                         scale / 4))
            if dtype == "I8":
                clip = [max(-128, min(127, round(x))) for x in numbers]
                base[name] = Tensor(dtype, rows, columns, clip)
                target[name] = Tensor(dtype, rows, columns, [
                    max(-128, min(127, round(c + m - n)))
                    for c, m, n in zip(clip, moved, numbers)])
            else:
                base[name] = floats(dtype, rows, columns, numbers)
                target[name] = floats(dtype, rows, columns, moved)
    case("low-rank", file(base), file(target))


def row_scale_cases():
    rows, columns = 24, 32
    base, target = {}, {}
    for dtype in ("F32", "BF16", "F16", "I8"):
        numbers = gauss("scale" + dtype, rows * columns,
                        40 if dtype == "I8" else 0.1)
        factor = [0.9 + 0.2 * abs(x) for x in gauss("rows" + dtype, rows, 0.5)]
        if dtype == "I8":
            numbers = [max(-128, min(127, round(x))) for x in numbers]
        moved = [x * factor[i // columns] for i, x in enumerate(numbers)]
        if dtype == "I8":
            moved = [max(-128, min(127, round(x))) for x in moved]
            base[dtype] = Tensor(dtype, rows, columns, numbers)
            target[dtype] = Tensor(dtype, rows, columns, moved)
        else:
            base[dtype] = floats(dtype, rows, columns, numbers)
            target[dtype] = floats(dtype, rows, columns, moved)
    case("row-scale", file(base), file(target))


def trained_cases():
    """Tensors that shrink as a whole, of which parts change more than others
    and some do not change."""
    rows, columns = 14, 80
    base, target = {}, {}
    for dtype in ("F64", "F32", "BF16"):
        numbers = gauss("trained" + dtype, rows * columns, 0.1)
        source = random.Random("changes" + dtype)
        base[dtype] = floats(dtype, rows, columns, numbers)
        moved = [x * 0.98 + source.gauss(0, 0.0005) for x in numbers]
        target[dtype] = floats(dtype, rows, columns, moved)
        sizes = (0.00005, 0.02, 0, 0.001, 0.1)
        moved = [x + source.gauss(0, sizes[i // 128 % 5])
                 for i, x in enumerate(numbers)]
        base[dtype + "-blocks"] = floats(dtype, rows, columns, numbers)
        target[dtype + "-blocks"] = floats(dtype, rows, columns, moved)
    speeds("trained", file(base), file(target))


def cast_cases():
    rows, columns = 24, 24
    base, target = {}, {}
    for source, to in (("F64", "F32"), ("F32", "F16"), ("F32", "BF16"),
                       ("F16", "F32"), ("BF16", "F8_E4M3"),
                       ("F32", "F8_E5M2"), ("F32", "I8"), ("I16", "I8")):
        name = source + " to " + to
        numbers = gauss(name, rows * columns, 0.1)
        if to == "I8":
            numbers = gauss(name, rows * columns, 40)
        if source == "I16":
            base[name] = Tensor(source, rows, columns,
                                [round(x) for x in numbers])
        else:
            base[name] = floats(source, rows, columns, numbers)
        if to == "I8":
            target[name] = Tensor(to, rows, columns, [
                max(-128, min(127, round(x))) for x in numbers])
        else:
            moved = add(numbers, gauss(name + "+", rows * columns, 0.0003))
            target[name] = floats(to, rows, columns, moved)
    case("cast", file(base), file(target))


def pick(values, columns, rows_kept, columns_kept):
    return [values[i * columns + j] for i in rows_kept for j in columns_kept]


def window_cases():
    """Columns and rows that went or came, and a matrix transposed."""
    rows, columns = 24, 40
    base, target = {}, {}
    kept = [j for j in range(columns) if j % 7 not in (2, 3)]
    for dtype in ("F32", "BF16", "I8"):
        def tensor(r, c, values, dtype=dtype):
            if dtype == "I8":
                return Tensor(dtype, r, c, [round(300 * x) for x in values])
            return floats(dtype, r, c, values)

        def moved(seed, values):
            return add(values, gauss(seed + dtype, len(values), 0.002))

        for change in ("pruned", "grown", "turned"):
            values = gauss(change + dtype, rows * columns, 0.1)
            name = "%s %s" % (dtype, change)
            base[name] = tensor(rows, columns, values)
            if change == "pruned":
                left = pick(values, columns, range(rows), kept)
                target[name] = tensor(rows, len(kept), moved(change, left))
            elif change == "grown":
                more = gauss("more" + dtype, rows * 5, 0.1)
                wide = []
                for i in range(rows):
                    wide += values[i * columns:(i + 1) * columns]
                    wide += more[i * 5:(i + 1) * 5]
                target[name] = tensor(rows, columns + 5, moved(change, wide))
            else:
                turned = [values[i * columns + j] for j in range(columns)
                          for i in range(rows)]
                target[name] = tensor(columns, rows, moved(change, turned))
    case("window", file(base), file(target))


def byte_cases():
    words = random.Random("words")
    text = "".join("%d %s\n" % (i, words.choice(("alpha", "beta", "gamma")))
                   for i in range(3000)).encode()
    changed = text.replace(b"17 beta", b"seventeen, beta")
    case("text", text, changed)
    case("text-full", None, text)
    noise = random.Random("noise").randbytes(700)
    case("raw", None, noise)
    case("raw-again", noise, noise)
    case("empty", None, b"")
    case("from-nothing", b"", text[:500])
    case("to-nothing", noise, b"")
    counted = bytes(i * i >> 3 & 255 for i in range(3000))
    case("diff", counted, bytes((b + (i % 97 == 0)) & 255
                                for i, b in enumerate(counted)))


def large_case():
    """Several segments, most of them unchanged; one element lies across."""
    count = 400000
    base = floats("F32", 1, 1, [0.0])
    base.shape = (1, count)
    base.elements = [0x3f800000 + (i // 4096) for i in range(count)]
    some = Tensor("F32", 1, count, list(base.elements))
    chance = random.Random("large")
    for i in list(range(261000, 263000)) + list(range(390000, 390500)):
        some.elements[i] += chance.randrange(-300, 300)
    speeds("segments", file({"w": base}), file({"w": some}))


def lattice_cases():
    """Quantised changes: matrices of which few elements move, vectors of which
    nearly all do; then from further back, over the sum of two steps."""
    base, near, far, full = {}, {}, {}, {}
    for dtype in ("F64", "F32", "F16", "BF16"):
        for name, rows, columns, spread, step in (
                ("m", 48, 40, 0.4, 2.0 ** -9), ("s", 64, 64, 0.14, 2.0 ** -7),
                ("v", 1, 24, 6, 1.5 * 2.0 ** -12), ("b", 1, 8, 6, 2.0 ** -10),
                ("c", 1, 20, 6, 2.0 ** -12)):
            numbers = gauss(dtype + name, rows * columns, 0.05)
            one, two = [[round(x) for x in gauss(dtype + name + n,
                                                 rows * columns, spread)]
                        for n in ("1", "2")]
            shape = rows, columns
            tensors = base, near, far
            values = numbers
            for tensor, levels, by in zip(tensors, ([], one, two),
                                          (0, step, 4 * step)):
                if levels:
                    values = [v + q * by for v, q in zip(values, levels)]
                made = floats(dtype, *shape, values)
                values = [dec.DTYPES[FLOATS[dtype]].value(e)
                          for e in made.elements]
                if rows == 1:
                    made.shape = (columns,)
                tensor[dtype + name] = made
            full[dtype + name] = floats(dtype, *shape,
                                        [q * step for q in one])
    case("lattice", file(base), file(near))
    case("lattice-far", file(base), file(far))
    case("lattice-full", None, file(full))


def guessed_cases():
    """Levels that follow their neighbours and their predictions, over several
    segments too; the bases are those of the cases above and one more."""
    shift = random.Random("guessed")
    base, near = {}, {}
    for dtype, rows, columns, step in (("F32", 70, 120, 2.0 ** -9),
                                       ("F64", 40, 30, 2.0 ** -12),
                                       ("BF16", 50, 41, 2.0 ** -5),
                                       ("F16", 1, 700, 2.0 ** -8)):
        numbers = [round(x * 256) / 256 for x in
                   gauss("guessed" + dtype, rows * columns, 0.3)]
        values, last = [], 0
        for i, x in enumerate(numbers):
            up = values[i - columns][0] if i >= columns else 0
            last = round(0.5 * last + 0.3 * up - 0.05 * x / step +
                         shift.gauss(0, 1 + i % columns % 9))
            last *= (i // 500) % 7 != 3
            values.append((last, x))
        name = dtype + "guessed"
        base[name] = floats(dtype, rows, columns, numbers)
        held = [dec.DTYPES[FLOATS[dtype]].value(e)
                for e in base[name].elements]
        near[name] = floats(dtype, rows, columns, [
            h + v[0] * step for h, v in zip(held, values)])
    case("guessed", file(base), file(near))


# Updates ---------------------------------------------------------------------

def diff(tool, folder, base, target, arguments):
    paths = [os.path.join(folder, name) for name in ("base", "target", "out")]
    for path, data in zip(paths, (base, target)):
        if data is not None:
            with open(path, "wb") as out:
                out.write(data)
    contents = paths[:2] if base is not None else paths[1:2]
    subprocess.run([tool, "diff", *arguments, *contents, "-o", paths[2]],
                   check=True, stdout=subprocess.DEVNULL)
    with open(paths[2], "rb") as made:
        return made.read()


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def split_aux(update, base):
    """Every record with tables begins an auxiliary segment of its own; one
    more that no record refers to."""
    parsed = dec.Update(update, base)
    header = parsed.header
    assert header.aux_count == 1
    reader = dec.Reader(parsed.coded[0])
    parts = []
    head = bytearray(header.data[:header.directory_at])
    for record in header.records:
        if record.aux is None:
            continue
        start = reader.pos
        dec.read_record_tables(reader, record, header.guessed)
        parts.append(reader.data[start:reader.pos])
        head[record.flags_at] |= 16
    parts.append(b"nothing refers to this")
    coded = parts + parsed.coded[1:]
    out = bytes(head) + varint(len(parts))
    for data in coded:
        out += varint(len(data))
        if data:
            out += dec.blake(b"dm segment", data)[:16]
    return b"DMUPDATE" + struct.pack("<I", len(out)) + out + b"".join(coded)


def features(update, base):
    """What of the format an update uses."""
    parsed = dec.Update(update, base)
    target = parsed.decode()
    found = {"kind " + kind for kind in parsed.kinds}
    modes = ("same", "bytes", "diff", "coded")
    for r in parsed.header.records:
        found.add("mode " + modes[r.mode])
        if r.mode == dec.BYTES and r.has_base:
            found.add("stretch" if r.base_size != r.size else "bytes over base")
        if r.mode != dec.CODED:
            continue
        coder = "small" if r.small else "lattice" if r.lattice else \
            "fast" if r.dtype.bits >= 32 else "narrow"
        found.add("%s %s %s" % (coder, r.dtype.name, "delta" if
                                r.coding.delta else "full"))
        kind = "float" if r.dtype.is_float else "integer"
        for feature in ("cast", "rank", "scaled", "scale", "window"):
            if getattr(r, feature):
                found.add("%s %s %s" % (coder, kind, feature))
        if r.window and r.window.transposed:
            found.add("transposed")
        if r.window and any(b is None for _, _, b in r.window.runs):
            found.add("run without base")
        if getattr(r.coding, "has_lost", 0):
            found.add("has_lost")
        if getattr(r.coding, "shifted", 0):
            found.add("%s shifted" % r.dtype.name)
        if getattr(r.coding, "sparse", 0):
            found.add("sparse")
        if r.lattice:
            found.add("lattice matrix" if r.coding.columns else
                      "lattice vector")
            if r.step:
                found.add("lattice step")
            if r.coding.has_residual:
                found.add("lattice %s residual" % r.dtype.name)
            continue
        if 0 < r.coding.direct_end < 256 and r.coding.delta:
            found.add("direct " + coder)
    aux = parsed.header.aux_count
    found.add("%s auxiliary segments" % (aux if aux < 2 else "several"))
    if len(parsed.coded) - aux > 1:
        found.add("several segments")
    return target, found


def wanted():
    out = {"kind " + k for k in ("raw", "frame", "pieces", "same")}
    out |= {"mode " + m for m in ("same", "bytes", "diff", "coded")}
    for dtype in dec.DTYPES.values():
        for coder in ("small", "fast" if dtype.bits >= 32 else "narrow"):
            out |= {"%s %s %s" % (coder, dtype.name, mode)
                    for mode in ("delta", "full")}
    for feature in ("cast", "rank", "scaled", "window"):
        out |= {"%s %s" % (coder, feature) for coder in (
            "small float", "small integer", "fast float", "narrow float",
            "narrow integer")}
    out |= {"%s float scale" % c for c in ("fast", "narrow")}
    return out | {"f32 shifted", "transposed",
                  "run without base", "has_lost", "sparse",
                  "direct fast", "direct narrow", "direct small", "stretch",
                  "bytes over base", "several segments",
                  "several auxiliary segments"}


def wanted_lattices():
    out = {"lattice matrix", "lattice vector", "lattice step"}
    for dtype in ("f64", "f32", "f16", "bf16"):
        out |= {"lattice %s %s" % (dtype, what)
                for what in ("delta", "full", "residual")}
    return out | {"lattice float %s" % f
                  for f in ("cast", "rank", "scaled", "scale", "window")}


def write(folder, name, data):
    with open(os.path.join(folder, name + ".update"), "wb") as out:
        out.write(data)


def seed_fuzzer(folder):
    """First inputs of fuzz_update_mutate: a seed and an update."""
    corpus = os.path.join(folder, "..", "..", "fuzz", "corpus",
                          "update_mutate")
    if not os.path.isdir(os.path.dirname(corpus)):
        return
    os.makedirs(corpus, exist_ok=True)
    for name in FUZZED:
        with open(os.path.join(folder, name + ".update"), "rb") as update:
            data = update.read()
        with open(os.path.join(corpus, name), "wb") as out:
            out.write(struct.pack("<Q", len(data)) + data)


def main():
    build = sys.argv[1]
    tool = os.path.join(build, "deltamesh")
    keep_old = "--add" in sys.argv
    rest = [a for a in sys.argv[2:] if a != "--add"]
    folder = rest[0] if rest else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "updates")
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith((".update", ".json")) and not keep_old:
            os.remove(os.path.join(folder, name))
    for make in (float_cases, integer_cases, special_cases, low_rank_cases,
                 row_scale_cases, trained_cases, cast_cases, window_cases,
                 byte_cases, large_case, lattice_cases, guessed_cases):
        make()
    full, found, index, size = {}, set(), [], 0
    if keep_old:
        with open(os.path.join(folder, "index.json")) as old:
            index = json.load(old)["updates"]
    for each in index:
        if each["base"] is None:
            with open(os.path.join(folder, each["update"] + ".update"),
                      "rb") as update:
                full[dec.Update(update.read(), None).decode()] = each["update"]
    old = {each["update"] for each in index}

    def keep(name, base, target, update):
        nonlocal size
        got, uses = features(update, base)
        assert got == target, name
        found.update(uses)
        size += len(update)
        write(folder, name, update)
        index.append({"update": name, "base": None if base is None else
                      full[base], "target": dec.tree_id(target).hex(),
                      "size": len(target)})
        if base is None:
            full.setdefault(target, name)

    with tempfile.TemporaryDirectory() as scratch:
        def make(name, base, target, arguments):
            if base is not None and base not in full:
                make(name.replace("-fast", "") + "-base", None, base, ())
            update = diff(tool, scratch, base, target, arguments)
            keep(name, base, target, update)
            if name == "low-rank":
                keep(name + "-split", base, target, split_aux(update, base))

        def make_guessed(seed):
            name = "mixed-%d" % seed
            base, target, update = mixed(seed)
            uses = features(update, base)[1] & wanted_lattices()
            if uses - found_guessed and name not in old:
                keep(name, base, target, update)
            found_guessed.update(uses)

        def mixed(seed):
            paths = [os.path.join(scratch, n) for n in ("b", "t", "u")]
            subprocess.run([os.path.join(build, "tests/gen/gen_update"),
                            str(seed), *paths], check=True)
            return [open(p, "rb").read() for p in paths]

        def make_mixed(seed):
            base, target, update = mixed(seed)
            if base not in full:
                make("mixed-base", None, base, ())
            wants = wanted() | wanted_lattices()
            if features(update, base)[1] & wants - found:
                keep("mixed-%d" % seed, base, target, update)

        for each in sorted(CASES, key=lambda c: c[1] is not None):
            if each[0] not in old:
                make(*each)
        if keep_old:
            found |= wanted() | wanted_lattices()
        found_guessed = set()
        for seed in range(2000, 2100):
            if wanted_lattices() <= found_guessed:
                break
            make_guessed(seed)
        for seed in range(1, 200):
            if wanted() <= found:
                break
            make_mixed(seed)
        for seed in range(1000, 1200):
            if wanted_lattices() <= found:
                break
            make_mixed(seed)
    with open(os.path.join(folder, "index.json"), "w") as out:
        json.dump({"updates": index}, out, indent=1)
        out.write("\n")
    seed_fuzzer(folder)
    print("%d updates, %d bytes" % (len(index), size))
    missing = (wanted() | wanted_lattices()) - found
    for name in sorted(missing):
        print("no update has: " + name)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
