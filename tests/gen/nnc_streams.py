#!/usr/bin/env python3
"""Writes small NNC bitstreams with all that the reader knows, their integers and
values, and malformed ones: tests/vectors/nnc by default.

    nnc_streams.py [-s SEED] [-n COUNT] [FOLDER]

COUNT is of streams, and of chains of streams, in which all that the syntax has
is mixed; the committed ones are few.

Independent of the codec: its own arithmetic coder and binarisation, written from
ISO/IEC 15938-17's syntax; slow, and without any search. Parameter sets, skipped
rows and signalling are drawn at random, which no encoder would do.
"""
import json
import os
import random
import struct
import sys

RLPS = [
    "128 112 97 84 74 65 57 50 45 39 34 30 27 23 20 18 "
    "15 14 12 11 10 9 7 7 5 5 4 4 3 3 2 2",
    "142 125 108 93 82 72 63 56 50 43 38 33 30 26 22 20 "
    "17 16 13 12 11 10 8 8 6 6 5 5 3 3 2 2",
    "156 137 119 103 90 79 70 61 55 48 42 37 33 28 24 22 "
    "19 17 15 13 12 11 9 9 6 6 5 5 4 4 2 2",
    "171 150 130 112 99 87 76 67 60 52 46 40 36 31 27 24 "
    "21 19 16 15 13 12 10 10 7 7 6 6 4 4 3 3",
    "185 162 141 121 107 94 82 73 65 56 50 43 39 34 29 26 "
    "22 21 17 16 14 13 11 11 8 8 6 6 4 4 3 3",
    "199 175 152 131 115 101 89 78 70 61 54 47 42 36 31 28 "
    "24 22 19 17 15 14 12 12 8 8 7 7 5 5 3 3",
    "213 187 163 140 123 108 95 84 75 65 58 50 45 39 33 30 "
    "26 24 20 18 16 15 13 13 9 9 7 7 5 5 3 3",
    "228 200 174 150 132 116 102 90 80 70 62 54 48 42 36 32 "
    "28 26 22 20 18 16 14 14 10 10 8 8 6 6 4 4",
]
RLPS = [[int(n) for n in row.split()] for row in RLPS]
STEP = [2512 - 224 * i for i in range(8)] + [720, 560, 464, 368, 272, 208, 144,
                                             80] + [64] * 15 + [0]
SETS = [(5, 4, 0, 0), (5, 4, -41, -1310), (5, 4, 95, 3039), (4, 5, 0, 0),
        (6, 6, 30, 962), (6, 6, 95, 3039), (6, 6, -21, -673), (7, 5, 0, 0),
        (7, 5, 30, 962)]
NEXT = [(0, 2), (7, 5), (1, 3), (6, 4), (2, 0), (5, 7), (3, 1), (4, 6)]
INT, FLOAT, RAW, BLOCK = range(4)


class Context:
    def __init__(self, index=0):
        self.index = index
        self.reset()

    def reset(self):
        self.d0, self.d1, self.s0, s = SETS[self.index]
        self.s1 = s - 16 * self.s0


class Coder:
    """The arithmetic encoder; low is an integer of any length."""

    def __init__(self):
        self.low, self.range, self.shifts = 0, 510, 0

    def bin(self, ctx, value):
        s = 16 * ctx.s0 + ctx.s1
        lps = RLPS[self.range >> 5 & 7][abs(s >> 7)]
        self.range -= lps
        if value != (s >= 0):
            self.low += self.range
            self.range = lps
        while self.range < 256:
            self.range, self.low = 2 * self.range, 2 * self.low
            self.shifts += 1
        sign = 1 if value else -1
        s0 = STEP[16 + (sign * ctx.s0 >> 3)] >> ctx.d0
        s1 = STEP[16 + (sign * ctx.s1 >> 7)] >> ctx.d1
        ctx.s0 += sign * s0
        ctx.s1 += sign * s1

    def bypass(self, value, count=1):
        for i in reversed(range(count)):
            self.low *= 2
            self.shifts += 1
            if value >> i & 1:
                self.low += self.range

    def finish(self):
        self.low += self.range - 2
        bits = 9 + self.shifts
        code = self.low | 1
        pad = -bits % 8
        return (code << pad).to_bytes((bits + pad) // 8, "big")


class Bits:
    def __init__(self):
        self.text = ""

    def u(self, count, value):
        self.text += format(value % (1 << count), "0%db" % count) if count else ""

    def ue(self, k, value):
        while value >= 1 << k:
            self.text += "0"
            value -= 1 << k
            k += 1
        self.text += "1"
        self.u(k, value)

    def ie(self, k, value):
        self.ue(k, 2 * value - 1 if value > 0 else -2 * value)

    def st(self, text):
        assert len(self.text) % 8 == 0
        for byte in text.encode() + b"\0":
            self.u(8, byte)

    def align(self):
        self.text += "1"
        self.text += "0" * (-len(self.text) % 8)

    def bytes(self):
        assert len(self.text) % 8 == 0
        return bytes(int(self.text[i:i + 8], 2)
                     for i in range(0, len(self.text), 8))


def unit(kind, body, long_size=False, counter=None):
    """One unit: the rest of its header and its payload are body."""
    head = bytes([kind << 2 | 2 | (counter is not None)])
    if counter is not None:
        head += bytes([counter])
    size = len(head) + len(body) + 2
    if long_size or size > 32767:
        return struct.pack(">I", 1 << 31 | size + 2) + head + body
    return struct.pack(">H", size) + head + body


def product(shape):
    n = 1
    for d in shape:
        n *= d
    return n


class Tensor:
    """One tensor's integers and how they are coded; all else has defaults."""

    def __init__(self, name, shape, levels, **more):
        self.name, self.shape, self.levels = name, list(shape), list(levels)
        self.qp, self.dq, self.scan, self.unary = -8, False, 0, 11
        self.codebook = self.zero = None
        self.codebook_h = None
        self.temporal = self.history = None
        self.parent = self.row_skip = self.random_sets = False
        self.depth = self.parameter = self.device = 0
        self.kind = FLOAT
        # Of the header, where it may say things in another way or not at all.
        self.node_ids = self.inputs = self.send_unary = True
        self.parent_type, self.format, self.shift, self.parts = 0, None, 0, 0
        self.__dict__.update(more)
        assert len(self.levels) == product(self.shape)


class Writer:
    """A stream's tools and its random choices."""

    def __init__(self, seed, profile=1, first_edition=False, density=2, qp=0):
        self.random = random.Random(seed)
        self.profile, self.first_edition = profile, first_edition
        self.density, self.qp = density, qp

    # ---- tensor syntax ----

    def sets(self, c, t, ctx, history):
        G = t.unary
        cb = len(t.codebook) if t.codebook and self.profile == 1 else 0
        zo = t.zero
        M = max(zo, cb - 1 - zo) if cb else 1 << 40
        states = 8 if t.dq else 1
        temporal = t.temporal is not None
        listed = [(i, cb != 1) for i in range(3 * states)]
        if temporal:
            listed += [(24 + i, cb != 1) for i in range(2 * states)]
        if history:
            listed += [(40 + i, cb != 1) for i in range(states)]
        signs = cb != 1 and not (cb and zo in (0, cb - 1))
        listed += [(48 + i, signs) for i in range(5 if temporal else 3)]
        listed += [(53 + a, a < 2 * M) for a in range(2 * G)]
        if temporal:
            listed += [(53 + a, a < 2 * G + 2 * (M - 1))
                       for a in range(2 * G, 4 * G)]
        listed += [(53 + 4 * G + a, G - 1 + (1 << (a + 1)) - 1 < M)
                   for a in range(32 if self.first_edition else 31)]
        for index, coded in listed:
            chosen = 0
            if coded:
                if t.random_sets and self.random.random() < 0.5:
                    chosen = self.random.randint(1, 8)
                c.bin(ctx["shift"], chosen > 0)
                if chosen:
                    c.bypass(chosen - 1, 3)
            ctx[index] = Context(chosen)

    def element(self, c, t, ctx, k, state, left, base, hist):
        G = t.unary
        cb = len(t.codebook) if t.codebook and self.profile == 1 else 0
        zo = t.zero
        if cb == 1:
            return
        side = 0 if left == 0 else 1 if left < 0 else 2
        if hist:
            sig = 40 + state
        elif base:
            sig = 24 + 2 * state + (abs(base) > 1)
        else:
            sig = 3 * state + side
        c.bin(ctx[sig], k != 0)
        if k == 0:
            return
        neg = k < 0
        if not (cb and zo in (0, cb - 1)):
            c.bin(ctx[51 + (base > 0) if base else 48 + side], neg)
        limit = (zo if neg else cb - 1 - zo) if cb else 1 << 40
        a, j, f = 1, 0, 1
        while limit > 1 and f and j < G and a < limit:
            f = abs(k) > a
            if base:
                c.bin(ctx[53 + 2 * G + 2 * j + (abs(base) < j)], f)
            else:
                c.bin(ctx[53 + 2 * j + neg], f)
            a += f
            j += 1
        if limit > 1 and f and a < limit:
            e = i = 0
            f = 1
            while f and i <= 30 and (i == 0 or a + (1 << e) <= limit):
                f = abs(k) >= a + (1 << e)
                c.bin(ctx[53 + 4 * G + i], f)
                i += 1
                if f:
                    a += 1 << e
                    e += 1
            c.bypass(abs(k) - a, e)

    def tensor(self, c, t):
        """Levels that are k: dependent quantisation is applied here."""
        if t.kind != INT:
            c.bypass(t.qp % (1 << (6 + self.density)), 6 + self.density)
        N, W = product(t.shape), product(t.shape[1:])
        rows = W > 1 and N > W
        scan = t.scan if rows else 0
        cb = len(t.codebook) if t.codebook and self.profile == 1 else 0
        ctx = {"shift": Context(), "row": Context()}
        skip = [False] * (N // W if rows else 1)
        history = False
        if self.profile == 1 and rows and cb != 1:
            if t.parent:
                history = t.history is not None
                c.bypass(history)
            c.bypass(t.row_skip)
            if t.row_skip:
                for r in range(N // W):
                    skip[r] = not any(t.levels[r * W:(r + 1) * W]) and \
                        self.random.random() < 0.8
                    c.bin(ctx["row"], skip[r])
        self.sets(c, t, ctx, history)
        if not rows:
            W = N
        H = N // W if W else 0
        B = 4 << scan if scan else max(H, W, 1)
        if (scan and H > B) or (scan and self.first_edition):
            c.range = 256
        left = state = 0
        out = [0] * N
        for top in range(0, H, B):
            for x in range(0, W, B):
                for y in range(top, min(top + B, H)):
                    if skip[y]:
                        for _ in range(W if t.dq else 0):
                            state = NEXT[state][0]
                        continue
                    for p in range(y * W + x, y * W + min(x + B, W)):
                        k = t.levels[p]
                        base = t.temporal[p] if t.temporal else 0
                        self.element(c, t, ctx, k, state, left, base,
                                     history and t.history[p])
                        left = k
                        out[p] = k
                        if t.dq:
                            sign = (k > 0) - (k < 0)
                            out[p] = 2 * k - sign * (state & 1)
                            state = NEXT[state][k & 1]
            if top + B < H:
                for each in ctx.values():
                    each.reset()
                left = 0
                c.range = 256
        return out

    # ---- units ----

    def start(self, parent=False, topology=True, methods=1, maps=0, base=None,
              metric=None, performance=False):
        bits = Bits()
        bits.u(1, 1)
        bits.u(4, maps)
        bits.u(3, methods)
        bits.u(1, 0)
        if self.profile == 1:
            bits.u(1, base is not None)
            bits.u(1, performance)
            bits.u(1, metric is not None and not performance)
            bits.u(1, parent)
            bits.u(3, 0)
            if base is not None:
                bits.st(base)
            if metric is not None:
                bits.st(metric)
        else:
            bits.u(7, 0)
        bits.u(3, self.density)
        bits.u(13, self.qp)
        if maps:  # what they hold is not looked at
            bits.u(40, 0x5a5a5a5a5a)
        bits.align()
        self.signalling = parent
        out = unit(0, bytes([self.profile])) + unit(1, bits.bytes())
        return out + (unit(3, bytes(3)) if topology else b"")

    def layer(self, density, qp, methods=1):
        """A layer parameter set, which holds from here on."""
        bits = Bits()
        bits.u(8, 128)
        bits.u(4, 0)
        bits.u(3, methods)
        bits.u(1, 0)
        if methods & 3:
            bits.u(3, density)
            bits.u(13, qp)
            self.density, self.qp = density, qp
        bits.align()
        return unit(2, bits.bytes())

    def codebook(self, bits, values, zero):
        bits.u(4, 2)
        bits.ue(2, len(values))
        bits.ie(2, zero - (len(values) >> 1))
        bits.ie(7, values[zero])
        for j in reversed(range(zero)):
            bits.ue(2, values[j + 1] - 1 - values[j])
        for j in range(zero + 1, len(values)):
            bits.ue(2, values[j] - 1 - values[j - 1])

    def ndu(self, tensors, payload=None, names=None, parts=0, shape=None,
            factors=None, send_dims=True, **more):
        """A data unit of one tensor, or of a block in coding order."""
        first, last = tensors[0], tensors[-1]
        main = tensors[-2] if factors else last
        kind = BLOCK if names else first.kind
        bits = Bits()
        bits.u(5, kind)
        bits.u(1, kind == BLOCK)
        bits.u(1, first.format is not None)
        bits.u(1, first.inputs)
        for t in tensors:
            t.density, t.qp_plus = self.density, self.qp
        if names:
            bits.ue(7, len(names) - 2)
            bits.align()
            for name in names:
                bits.st(name)
        else:
            bits.st(first.name)
        if self.profile == 1:
            bits.u(1, first.node_ids)
            if first.node_ids:
                bits.ue(1, first.device)
                bits.ue(5, first.parameter)
                bits.ue(4, first.depth)
            if self.signalling:
                bits.u(1, first.parent)
            if first.parent:
                bits.u(2, first.parent_type)
                bits.u(1, first.temporal is not None)
                if first.parent_type:
                    bits.u(256 * first.parent_type, self.random.getrandbits(99))
                else:
                    bits.ue(1, 0)
                    if not first.node_ids:
                        bits.ue(5, first.parameter)
                        bits.ue(4, first.depth)
        if kind in (FLOAT, BLOCK):
            bits.u(1, main.codebook is not None)
            if main.codebook:
                self.codebook(bits, main.codebook, main.zero)
        if kind != RAW:
            bits.u(1, first.dq)
        if first.format is not None:
            bits.u(7, first.format)
        shape = shape or last.shape
        if first.inputs:
            bits.u(1, send_dims)
            bits.u(1, first.send_unary)
            bits.u(4, parts or first.parts)
            if (parts or first.parts) & 1:
                bits.ue(3, factors[1] if factors else 3)
                bits.ue(3, factors[0] if factors else 4)
            if send_dims:
                bits.ue(1, len(shape))
                for d in shape:
                    bits.ue(7, d)
            if first.send_unary:
                bits.u(8, first.unary - 1)
        assert first.unary == 10 or first.inputs and first.send_unary
        if factors and main.codebook:
            self.codebook(bits, last.codebook, last.zero)
        if len(shape) > 1:
            if self.profile == 1:
                bits.ue(1, first.shift)
            bits.u(4, first.scan)
            if first.scan:
                B = 4 << first.scan
                counts = factors or [shape[0]]
                entries = sum(max(0, -(-n // B) - 1) for n in counts)
                for j in range(entries):  # not what a reader needs
                    bits.u(8, 17)
                    bits.u(3 if first.dq else 0, 5)
                    bits.ue(11, 100) if j == 0 else bits.ie(7, -3)
        bits.align()
        if payload is None:
            coder = Coder()
            for t in tensors:
                t.out = self.tensor(coder, t)
            payload = coder.finish()
        return unit(5, bits.bytes() + payload, **more)


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def values_of(t, density, qp_plus):
    if t.kind == RAW:
        return struct.pack("<%df" % len(t.raw), *t.raw)
    if t.kind == INT:
        return struct.pack("<%di" % len(t.out), *t.out)
    density, qp_plus = (t.density, t.qp_plus) if t.out else (density, qp_plus)
    m = 1 << density
    qp = t.qp + qp_plus
    step = (m + (qp & m - 1)) * 2.0 ** ((qp >> density) - density)
    if t.codebook:
        out = [f32(t.codebook[k + t.zero] * step) for k in t.out]
    else:
        out = [f32(f32(step) * f32(k)) for k in t.out]
    return struct.pack("<%df" % len(out), *out)


class Collection:
    def __init__(self, folder):
        self.folder, self.cases, self.reject = folder, [], []

    def file(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as f:
            f.write(data)
        return name

    def listed(self, name, tensors, data, extra):
        entries, blob = [], b""
        for t, bytes_ in zip(tensors, data):
            entry = {"name": t.name, "shape": t.shape, "offset": len(blob)}
            entry.update(extra(t))
            entries.append(entry)
            blob += bytes_
        return {"file": self.file(name, blob), "tensors": entries}

    def case(self, name, stream, tensors, writer, before=None, **more):
        def about(t):
            if t.kind == INT:
                return {"dtype": "int32", "method": "int"}
            if t.kind == RAW:
                return {"dtype": "float32", "method": "raw"}
            method = "codebook" if t.codebook else "uniform"
            return {"dtype": "float32", "qp": t.qp + t.qp_plus,
                    "method": method}

        def words(levels):
            return struct.pack("<%di" % len(levels), *levels)

        case = {"id": name, "stream": self.file(name + ".nnc", stream),
                "bytes": len(stream)}
        case["expect"] = self.listed(
            name + ".out.bin", tensors,
            [values_of(t, writer.density, writer.qp) for t in tensors], about)
        coded = [t for t in tensors if t.kind != RAW]
        case["levels"] = self.listed(name + ".lev.bin", coded,
                                     [words(t.out) for t in coded],
                                     lambda t: {"dtype": "int32"})
        if before:
            case["base"] = self.base(name, before)
        seen = [t for t in tensors if t.history and any(t.history)]
        if seen:
            case["history"] = self.listed(name + ".hist.bin", seen,
                                          [bytes(t.history) for t in seen],
                                          lambda t: {"dtype": "uint8"})
        case.update(more)
        self.cases.append(case)

    def base(self, name, before):
        def node(t):
            return {"dtype": "int32", "put_node_depth": t.depth,
                    "parameter_id": t.parameter}

        return self.listed(name + ".base.bin", before,
                           [struct.pack("<%di" % len(t.out), *t.out)
                            for t in before], node)

    def refuse(self, name, stream, reason, before=None, **more):
        case = {"id": name, "reason": reason, "bytes": len(stream),
                "stream": self.file(name + ".nnc", stream)}
        if before:
            case["base"] = self.base(name, before)
        case.update(more)
        self.reject.append(case)

    def write(self):
        index = {"format": 1, "byte_order": "little", "cases": self.cases,
                 "reject": self.reject}
        with open(os.path.join(self.folder, "index.json"), "w") as f:
            json.dump(index, f, indent=1)
            f.write("\n")


def draw(rnd, count, scale, zero=0.2):
    """Integers of about a Laplace distribution, rarely large ones."""
    def one():
        if rnd.random() < zero:
            return 0
        if rnd.random() < 0.02:
            return rnd.choice((-1, 1)) * rnd.randint(1, 1 << rnd.randint(1, 20))
        return int(rnd.expovariate(1 / scale)) * rnd.choice((-1, 1))
    return [one() for _ in range(count)]


def worked_examples(all_):
    """The two streams worked through in descriptions of the format."""
    w = Writer(0)
    t = Tensor("w", [2, 2], [1, -2, 0, 4], qp=-4)
    stream = w.start() + w.ndu([t])
    assert stream.hex() == ("00040201000806810040008000060e000000" +
                            "001516097700d040c120a082a080fb4a800e063780")
    all_.case("worked_uniform", stream, [t], w)
    before = Tensor("w", [2, 2], [2, -2, 0, 4], depth=1)
    before.out = before.levels
    t = Tensor("w", [2, 2], [0, -1, 0, 1], qp=-4, dq=True, parent=True,
               temporal=before.out, depth=2, row_skip=True)
    stream = w.start(parent=True) + w.ndu([t])
    assert stream.hex() == ("00040201000806810840008000060e000000" +
                            "001516097700d04a67048282" +
                            "0a82fb6fd000423660")
    assert t.out == [0, -2, 0, 1]
    all_.case("worked_update", stream, [t], w, before=[before],
              base_device_id=0)


def single_tensors(all_, seed):
    rnd = random.Random(seed)
    plans = [
        ("dq", [17, 13], {"dq": True}),
        ("one_dimension", [41], {"dq": True}),
        ("empty", [0], {}),
        ("empty_rows", [0, 5], {"dq": True}),
        ("row_skip_dq", [12, 9], {"dq": True, "row_skip": True, "zero": 0.93}),
        ("row_skip_uniform", [20, 6], {"row_skip": True, "zero": 0.9}),
        ("scan1_dq", [37, 19], {"dq": True, "scan": 1}),
        ("scan2_skip_dq", [35, 40], {"dq": True, "scan": 2, "row_skip": True,
                                    "zero": 0.97}),
        ("scan3", [33, 5, 7], {"scan": 3}),
        ("scan4_one_block_row", [60, 70], {"scan": 4, "zero": 0.8}),
        ("scan_ignored", [1, 30], {"scan": 1}),
        ("unary_1", [9, 11], {"unary": 1, "dq": True}),
        ("unary_256", [9, 11], {"unary": 256, "scale": 90}),
        ("sparse", [60, 70], {"zero": 0.995}),
        ("sparse_dq", [60, 70], {"zero": 0.99, "dq": True}),
        ("integers", [8, 9], {"kind": INT, "scale": 50}),
        ("codebook", [20, 6], {"codebook": [-9, -4, -1, 0, 2, 5, 11],
                               "zero_at": 3}),
        ("codebook_above", [20, 6], {"codebook": [0, 2, 5, 11], "zero_at": 0}),
        ("codebook_below", [20, 6], {"codebook": [-7, -3, 4], "zero_at": 2}),
        ("codebook_alone", [4, 6], {"codebook": [3], "zero_at": 0}),
        ("codebook_wide", [20, 6], {"codebook": list(range(-60, 180, 3)),
                                    "zero_at": 20, "unary": 3}),
    ]
    for number, (name, shape, options) in enumerate(plans):
        w = Writer(seed + number, density=number % 5, qp=number % 3 - 1)
        options = dict(options)
        levels = draw(rnd, product(shape), options.pop("scale", 3),
                      options.pop("zero", 0.3))
        if "codebook" in options:
            zero = options["zero"] = options.pop("zero_at")
            high = len(options["codebook"]) - 1 - zero
            levels = [max(-zero, min(high, k)) for k in levels]
        tensor = Tensor(name, shape, levels, random_sets=number % 2 == 0,
                        **options)
        if tensor.codebook is None:
            tensor.zero = None
        stream = w.start(topology=number % 2 == 0) + \
            w.ndu([tensor], long_size=number % 4 == 1)
        all_.case("one_" + name, stream, [tensor], w)


def extremes(all_):
    w = Writer(7)
    top = (1 << 31) - 1
    t = Tensor("i", [7], [top, -top, top - 1, -1, 0, 1, 1 << 30], kind=INT)
    all_.case("int_extremes", w.start() + w.ndu([t]), [t], w)


def blocks(all_, seed):
    rnd = random.Random(seed)
    w = Writer(seed)

    def vector(name, n):
        return Tensor(name, [n], draw(rnd, n, 4), qp=-20, dq=True)

    weight = Tensor("c.weight", [5, 3, 2], draw(rnd, 30, 3), dq=True)
    parts = [vector(n, 5) for n in ("c.scale", "c.bias", "b.beta", "b.gamma",
                                    "b.mean", "b.var")] + [weight]
    names = ["c.weight", "c.scale", "b.beta", "b.gamma", "b.mean", "b.var",
             "c.bias"]
    alone = Tensor("fc", [6], draw(rnd, 6, 3))
    stream = w.start() + w.ndu(parts, names=names, parts=14) + w.ndu([alone])
    all_.case("block_all", stream, parts + [alone], w)

    g = Tensor("d_G", [18, 10], draw(rnd, 180, 3), dq=True, scan=1)
    h = Tensor("d_H", [10, 10], draw(rnd, 100, 3), dq=True, scan=1)
    stream = w.start() + w.ndu([g, h], names=["d_G", "d_H"], parts=1,
                               shape=[18, 5, 2], factors=[18, 10])
    all_.case("block_factors", stream, [g, h], w)
    book = [-5, -2, 0, 1, 6]
    g = Tensor("d_G", [9, 3], [rnd.randint(-2, 2) for _ in range(27)],
               codebook=book, zero=2)
    h = Tensor("d_H", [3, 4], [rnd.randint(-1, 2) for _ in range(12)],
               codebook=[-3, 0, 4, 9], zero=1)
    bias = Tensor("d.bias", [9], draw(rnd, 9, 4))
    stream = w.start() + w.ndu([bias, g, h], names=["d_G", "d_H", "d.bias"],
                               parts=9, shape=[9, 4], factors=[9, 3])
    all_.case("block_factors_codebook", stream, [bias, g, h], w)
    weight = Tensor("k.weight", [4, 5], draw(rnd, 20, 3))
    bias = Tensor("k.bias", [4], draw(rnd, 4, 3))
    stream = w.start() + w.ndu([bias, weight], names=["k.weight", "k.bias"],
                               parts=8, send_dims=False, shape=[4, 5])
    all_.case("block_known_dims", stream, [bias, weight], w,
              known_dims=[{"name": "k.weight", "shape": [4, 5]}])


def other_units(all_, seed):
    rnd = random.Random(seed)
    w = Writer(seed, density=3, qp=5)
    a = Tensor("a", [3, 5], draw(rnd, 15, 3), dq=True)
    b = Tensor("b", [3, 5], draw(rnd, 15, 3), dq=True)
    raw = Tensor("r", [4], [0] * 4, kind=RAW)
    raw.raw = [1.5, -0.0, 3e38, 1e-45]
    stream = w.start() + unit(4, bytes([0, 0, 0])) + unit(6, b"") + \
        unit(33, b"whatever") + w.ndu([a], counter=0)
    stream += w.ndu([raw], payload=struct.pack("<4f", *raw.raw))
    all_.case("other_units", stream, [a, raw], w)
    stream = w.start() + w.layer(1, -3)
    stream += w.ndu([b])
    all_.case("layer_parameters", stream, [b], w)


def first_edition(all_, seed):
    rnd = random.Random(seed)
    for name, edition in (("profile0", False), ("edition1", True)):
        w = Writer(seed, profile=0, first_edition=edition)
        a = Tensor("a", [20, 9], draw(rnd, 180, 3), dq=True, scan=1,
                   random_sets=True)
        b = Tensor("b", [6, 7], draw(rnd, 42, 3), scan=1)
        c = Tensor("c", [8, 7], [rnd.randint(-2, 2) for _ in range(56)],
                   codebook=[-5, -2, 0, 1, 6], zero=2)
        stream = w.start() + w.ndu([a]) + w.ndu([b]) + w.ndu([c])
        all_.case(name, stream, [a, b, c], w)


def chain(all_, seed):
    """Four updates of three tensors; some are left out where all is zero."""
    rnd = random.Random(seed)
    w = Writer(seed)
    plans = [("c.w", [14, 11], {"dq": True}), ("c.b", [14], {"dq": True}),
             ("fc", [9, 10], {"scan": 1, "random_sets": True})]
    nodes, seen = {}, {}
    for step in range(4):
        stream = w.start(parent=True)
        sent = []
        for number, (name, shape, options) in enumerate(plans):
            levels = draw(rnd, product(shape), 2, 0.7)
            if (step + number) % 4 == 3:
                continue
            before = nodes.get(name)
            t = Tensor(name, shape, levels, parent=True, parameter=number,
                       device=3, depth=before.depth + 1 if before else 1,
                       **options)
            t.temporal = before.out if before and step != 2 else None
            stream += w.ndu([t])
            sent.append(t)
        all_.case("chain_%d" % step, stream, sent, w,
                  before=[nodes[n] for n in sorted(nodes)] or None,
                  base_device_id=3, chain={"name": "chain", "step": step})
        nodes.update((t.name, t) for t in sent)
    for t, temporal in ((nodes["c.w"], False), (nodes["fc"], True)):
        history = [rnd.randint(0, 1) for _ in t.levels]
        u = Tensor(t.name, t.shape, draw(rnd, len(history), 2, 0.5), dq=t.dq,
                   scan=t.scan, parent=True, parameter=t.parameter, device=3,
                   depth=t.depth + 1, history=history, random_sets=True,
                   row_skip=True, temporal=t.out if temporal else None)
        all_.case("history_%d" % temporal, w.start(parent=True) + w.ndu([u]),
                  [u], w, before=[t], base_device_id=3)


# ---- everything mixed ----

NAMES = ["", "w", "a b", "x_G", "y_H", "\u00e9\u4e2d", "q\"\\", "z" * 70]


def mixed_start(w, rnd, parent=False):
    """Units before the first data unit, with whatever they may say."""
    def junk(size):
        return bytes(rnd.randint(0, 255) for _ in range(size))

    performance = rnd.random() < 0.2
    stream = w.start(parent, topology=False, methods=rnd.choice((1, 2, 3)),
                     maps=rnd.choice((0, 0, 0, 8, 1, 15)),
                     base=rnd.choice((None, None, "", "b\u00e9")),
                     metric="top-1" if performance or rnd.random() < 0.2
                     else None, performance=performance)
    for _ in range(rnd.choice((0, 1, 1, 2))):
        form = rnd.randint(0, 6)
        stream += unit(3, bytes([form, rnd.randint(0, 1)]) + junk(form),
                       long_size=rnd.random() < 0.2)
    for kind in (4, 6, 31, 63):
        if rnd.random() < 0.15:
            stream += unit(kind, junk(rnd.randint(0, 9)))
    return stream


def mixed_shape(rnd):
    rank = rnd.choice((1, 1, 2, 2, 2, 3, 4, 5, 6))
    sides = {1: 40, 2: 40, 3: 11, 4: 6, 5: 4, 6: 3}[rank]
    shape = [rnd.randint(1, sides) for _ in range(rank)]
    if rnd.random() < 0.08:
        shape[rnd.randrange(rank)] = 0
    return shape


def mixed_coding(rnd, profile, name, shape, **more):
    """A tensor of that name and shape, coded in any way there is."""
    count = product(shape)
    kind = rnd.choice((INT, FLOAT, FLOAT, FLOAT, FLOAT))
    options = {"kind": kind, "unary": rnd.choice((1, 2, 10, 11, 11, 30, 256)),
               "random_sets": rnd.random() < 0.5, "qp": rnd.randint(-20, 10),
               "scan": rnd.choice((0, 0, 1, 2, 3, 4)),
               "row_skip": rnd.random() < 0.5, "shift": rnd.choice((0, 0, 1, 5)),
               "format": rnd.choice((None, None, 1, 8)),
               "dq": kind == FLOAT and rnd.random() < 0.6}
    options.update(more)
    if len(shape) == 1:
        options["scan"] = 0
    levels = draw(rnd, count, rnd.choice((1, 3, 40)),
                  rnd.choice((0, 0.3, 0.8, 0.99)))
    if kind == FLOAT and rnd.random() < 0.25:
        low = rnd.randint(-9, 3)
        book = sorted(rnd.sample(range(low, low + 90), rnd.choice((1, 2, 5, 40))))
        zero = rnd.choice((0, len(book) - 1, rnd.randrange(len(book))))
        options.update(codebook=book, zero=zero, dq=False)
        levels = [max(-zero, min(len(book) - 1 - zero, k)) for k in levels]
    if profile == 1 and rnd.random() < 0.2:
        width = product(shape[1:])
        for row in range(count // width if width else 0):
            if rnd.random() < 0.6:
                levels[row * width:(row + 1) * width] = [0] * width
    return Tensor(name, shape, levels, **options)


def mixed_header(rnd, t):
    """What may be left out; True: dimensions are sent."""
    choice = rnd.randint(0, 9)
    if choice == 0:
        t.inputs, t.unary = False, 10
    elif choice == 1:
        t.send_unary, t.unary = False, 10
    elif choice == 2 and t.kind == FLOAT:
        t.parts = rnd.randint(1, 15)
    return t.inputs and rnd.random() < 0.85


def mixed_raw(rnd, name, shape, **more):
    t = Tensor(name, shape, [0] * product(shape), kind=RAW, **more)
    t.raw = [rnd.choice((0.0, -0.0, 1e-40, rnd.gauss(0, 1), 1e38))
             for _ in t.levels]
    t.out = []
    return t, struct.pack("<%df" % len(t.raw), *t.raw)


def mixed_block(rnd, w, name, **more):
    """A block of a layer's tensors: parts in coding order, and its unit."""
    parts = rnd.randint(0, 15)
    shape = [rnd.randint(1, 20), rnd.randint(1, 6), rnd.randint(1, 5)]
    more = dict(more, scan=rnd.choice((0, 1, 2)), unary=rnd.choice((1, 10, 11)),
                row_skip=rnd.random() < 0.5, random_sets=rnd.random() < 0.3)
    dq = rnd.random() < 0.5
    book = not dq and rnd.random() < 0.4

    def one(suffix, dims, coded):
        levels = draw(rnd, product(dims), 2)
        t = Tensor(name + suffix, dims, levels, dq=dq, qp=rnd.randint(-20, 5),
                   **more)
        if coded:
            zero = rnd.randint(0, 3)
            t.codebook, t.zero = [-7, -1, 0, 6][:rnd.randint(zero + 1, 4)], zero
            t.levels = [max(-zero, min(len(t.codebook) - 1 - zero, k))
                        for k in levels]
        return t

    width = product(shape[1:])
    factors = [shape[0], rnd.randint(1, 9)] if parts & 1 else None
    scaling = [one("_scaling", shape[:1], False)] if parts & 2 else []
    norm = [one("." + s, shape[:1], False) for s in ("beta", "gamma", "mean", "var")
            ] if parts & 4 else []
    bias = [one(".bias", shape[:1], False)] if parts & 8 else []
    weight = [one("_G", factors, book), one("_H", [factors[1], width], book)
              ] if factors else [one("", shape, book)]
    names = [t.name for t in weight + scaling + norm + bias]
    if len(names) == 1:
        return None
    tensors = scaling + bias + norm + weight
    return tensors, w.ndu(tensors, names=names, parts=parts, shape=shape,
                          factors=factors)


def mixed_stream(all_, name_of_case, seed):
    rnd = random.Random(seed)
    profile = rnd.choice((1, 1, 1, 1, 0))
    w = Writer(rnd.random(), profile, density=rnd.randint(0, 7),
               qp=rnd.randint(-30, 30),
               first_edition=profile == 0 and rnd.random() < 0.5)
    stream, sent, known = mixed_start(w, rnd), [], []
    names = rnd.sample(NAMES, rnd.randint(1, 5))
    for name in names:
        if rnd.random() < 0.15:
            stream += w.layer(rnd.randint(0, 7), rnd.randint(-30, 30),
                              rnd.choice((0, 1, 2, 3)))
        ids = {"node_ids": rnd.random() < 0.8,
               "device": rnd.choice((0, 1, 9)),
               "parameter": rnd.choice((0, 3, 5000)),
               "depth": rnd.choice((0, 1, 40))}
        shape = mixed_shape(rnd)
        if rnd.random() < 0.12:
            t, payload = mixed_raw(rnd, name, shape, **ids)
            stream += w.ndu([t], payload=payload)
            sent.append(t)
            continue
        if rnd.random() < 0.2:
            made = mixed_block(rnd, w, name, **ids)
            if made:
                sent += made[0]
                stream += made[1]
            continue
        t = mixed_coding(rnd, profile, name, shape, **ids)
        dims = mixed_header(rnd, t)
        stream += w.ndu([t], send_dims=dims, long_size=rnd.random() < 0.1)
        if not dims:
            known.append({"name": name, "shape": shape})
        sent.append(t)
    more = {"known_dims": known} if known else {}
    all_.case(name_of_case, stream, sent, w, **more)


def mixed_streams(all_, seed, count):
    # First edition, in which a unit, the first or a later one, ends where it
    # must when read as profile 0 as well, but with other integers.
    mixed_stream(all_, "edition1_or_not", 16 * 1000003 + 7)
    mixed_stream(all_, "edition1_or_not_later", 2 * 1000003 + 22)
    for number in range(count):
        mixed_stream(all_, "mixed_%d" % number, seed * 1000003 + number)


class Kept:
    """What a receiver keeps of one tensor."""

    def __init__(self, t, before):
        self.name, self.shape, self.out = t.name, t.shape, t.out
        self.depth, self.parameter = t.depth, t.parameter
        if not t.node_ids and (t.parent_type or not t.parent):
            self.parameter = before.parameter if before else 0
            self.depth = (before.depth if before else 0) + 1 if t.parent else 0
        seen = before.seen if before and t.parent else [0] * len(t.out)
        self.seen = [int(a or b != 0) for a, b in zip(seen, t.out)]


def mixed_chain(all_, seed, number):
    rnd = random.Random(seed * 1000033 + number)
    names = rnd.sample(NAMES, rnd.randint(1, 4))
    shapes = {name: mixed_shape(rnd) for name in names}
    kept, device, known_device = {}, rnd.choice((0, 0, 2, 77)), None
    for step in range(3):
        w = Writer(rnd.random(), density=rnd.randint(0, 7),
                   qp=rnd.randint(-30, 30))
        stream, sent = mixed_start(w, rnd, parent=True), []
        now = dict(kept)
        base, base_device = [kept[n] for n in sorted(kept)], known_device
        for name in names:
            if rnd.random() < 0.2:
                continue
            before = kept.get(name)
            parent = rnd.random() < 0.85
            ids = {"parent": parent, "device": device,
                   "node_ids": rnd.random() < 0.8,
                   "parent_type": rnd.choice((0, 0, 0, 1, 2)),
                   "parameter": names.index(name), "depth": 0}
            if before:
                ids["parameter"] = before.parameter
            if parent:
                ids["depth"] = before.depth + 1 if before else 1
            t = mixed_coding(rnd, 1, name, shapes[name], **ids)
            dims = mixed_header(rnd, t)
            if parent and before and rnd.random() < 0.6:
                t.temporal = before.out
            if parent and rnd.random() < 0.4:
                t.history = before.seen if before else [0] * len(t.levels)
            dims = dims or not before
            stream += w.ndu([t], send_dims=dims and t.inputs)
            if not t.inputs and not before:
                stream, t = None, None
                break
            sent.append(t)
            now[name] = Kept(t, before)
            known_device = device if t.node_ids else known_device
        if stream is None:
            return
        more = {} if base_device is None else {"base_device_id": base_device}
        all_.case("mixed_chain_%d_%d" % (number, step), stream, sent, w,
                  before=base or None, chain={"name": "mixed_%d" % number,
                                              "step": step}, **more)
        kept = now


def raw_in_chain(all_):
    """Raw floats are updates as well: they have their place in the chain, and
    leave no integers to look at."""
    w = Writer(0)

    def ids(depth):
        return {"parent": True, "parameter": 4, "device": 2, "depth": depth}

    first = Tensor("w", [2], [3, -1], out=[3, -1], **ids(1))
    raw, payload = mixed_raw(random.Random(0), "w", [2], **ids(2))
    last = Tensor("w", [2], [0, 5], **ids(3))
    stream = w.start(parent=True) + w.ndu([raw], payload=payload) + \
        w.ndu([last])
    all_.case("raw_in_chain_0", stream, [raw, last], w, before=[first],
              base_device_id=2, chain={"name": "raw", "step": 0})
    then = Tensor("w", [2], [1, 0], temporal=last.levels, **ids(4))
    stream = w.start(parent=True) + w.ndu([then])
    all_.case("raw_in_chain_1", stream, [then], w,
              before=[last],
              base_device_id=2, chain={"name": "raw", "step": 1})


def ids_left_out(all_):
    """The device is not known where only the parent's part of the header has
    ids; G alone is found by its own name."""
    w = Writer(0)
    first = Tensor("w", [3, 2], [1, 0, 0, -2, 0, 0], parent=True, node_ids=False,
                   parameter=6, depth=1)
    all_.case("no_device_0", w.start(parent=True) + w.ndu([first]), [first], w,
              chain={"name": "no_device", "step": 0})
    then = Tensor("w", [3, 2], [0, 0, 0, 1, 0, 0], parent=True, device=9,
                  parameter=6, depth=2)
    all_.case("no_device_1", w.start(parent=True) + w.ndu([then]), [then], w,
              before=[first], chain={"name": "no_device", "step": 1})
    g = Tensor("x_G", [4, 3], [1, 0, -1] * 4, parts=1)
    all_.case("g_alone_known_dims", w.start() + w.ndu([g], send_dims=False), [g],
              w, known_dims=[{"name": "x_G", "shape": [4, 3]}])


def refused_parents(all_):
    """Updates that are not the next of their chain, with no temporal context
    to notice it by."""
    w = Writer(0)
    kept = Tensor("w", [2], [3, -1], parameter=4, depth=2)
    kept.out = kept.levels

    def refuse(why, name="w", **ids):
        ids = dict({"depth": 3, "parameter": 4, "device": 0}, **ids)
        t = Tensor(name, [2], [1, 0], parent=True, **ids)
        all_.refuse("parent_" + why, w.start(parent=True) + w.ndu([t]),
                    "not what it builds on", before=[kept], base_device_id=0)

    refuse("too_old", depth=2)
    refuse("root", depth=1)
    refuse("too_new", depth=4)
    refuse("not_counted", depth=0)
    refuse("other_parameter", parameter=5)
    refuse("other_device", device=1)
    refuse("other_device_first", name="v", depth=1, device=1)
    refuse("missed", name="v", depth=2)


def refusals(all_, seed):
    rnd = random.Random(seed)
    w = Writer(seed)
    t = Tensor("w", [6, 7], draw(rnd, 42, 3), dq=True)
    start, data = w.start(), w.ndu([t])
    good = start + data
    all_.refuse("no_bytes", b"", "empty")
    for cut in (3, 11, len(start) + 1, len(start) + 9, len(good) - 1):
        all_.refuse("cut_%d" % cut, good[:cut], "truncated")
    all_.refuse("start_only", good[:4], "no model parameter set")
    all_.refuse("no_start", good[4:], "no start")
    all_.refuse("two_starts", good[:4] + good, "two starts")
    all_.refuse("two_models", good[:12] + good[4:], "two parameter sets")
    all_.refuse("early_data", good[:4] + data + good[4:], "data first")
    all_.refuse("longer_unit", start + struct.pack(">H", len(data) + 1) +
                data[2:] + b"\0", "a byte behind the codeword")
    all_.refuse("padding", good[:-1] + bytes([good[-1] ^ 1]), "padding")
    all_.refuse("partial", start + w.ndu([t], counter=1), "a part")
    all_.refuse("unknown_dims", start + w.ndu([t], send_dims=False), "shape")
    book = Tensor("w", [4], [0, 1, -1, 0], codebook=[-1, 0, 1], zero=1, dq=True)
    all_.refuse("codebook_dq", start + w.ndu([book]), "both quantisers")
    huge = Tensor("w", [3], [0] * 3)
    all_.refuse("huge", start + w.ndu([huge], shape=[1 << 20, 1 << 20]),
                "too many elements")
    all_.refuse("overflow", start + w.ndu([huge], shape=[1 << 31] * 3),
                "elements overflow")
    w.start(parent=True)
    t.parent, t.temporal, t.depth = True, [1] * 42, 1
    all_.refuse("no_base", w.start(parent=True) + w.ndu([t]), "no base")
    w = Writer(seed, qp=2000)
    all_.refuse("step_too_large", w.start() + w.ndu([Tensor("w", [2], [0, 1])]),
                "a step above all of binary32")
    w = Writer(seed, profile=0)
    far = Tensor("w", [5], [0, 1, -2, 2, 0], codebook=[-1, 0, 1], zero=1)
    all_.refuse("far_index", w.start() + w.ndu([far]), "index out of codebook")


def main():
    args = sys.argv[1:]
    seed, count = 1, 8
    if args[:1] == ["-s"]:
        seed, args = int(args[1]), args[2:]
    if args[:1] == ["-n"]:
        count, args = int(args[1]), args[2:]
    here = os.path.dirname(os.path.abspath(__file__))
    folder = args[0] if args else os.path.join(here, "..", "vectors", "nnc")
    os.makedirs(folder, exist_ok=True)
    all_ = Collection(folder)
    worked_examples(all_)
    single_tensors(all_, seed)
    extremes(all_)
    blocks(all_, seed)
    other_units(all_, seed)
    first_edition(all_, seed)
    chain(all_, seed)
    mixed_streams(all_, seed, count)
    for number in range(count // 2):
        mixed_chain(all_, seed, number)
    raw_in_chain(all_)
    ids_left_out(all_)
    refusals(all_, seed)
    refused_parents(all_)
    all_.write()


if __name__ == "__main__":
    main()
