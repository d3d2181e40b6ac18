#!/usr/bin/env python3
"""A second decoder of update files, written from codec/FORMAT.md alone. Slow
and plain: it says what the format is, nothing else.

    update_decode.py UPDATE [BASE] [-o TARGET]

Needs libzstd.so.1. Checks tree ids and hashes; prints the target's tree id.
"""
import copy
import ctypes
import fractions
import hashlib
import math
import struct
import sys


class Bad(Exception):
    """The update is malformed."""


def need(condition, what):
    if not condition:
        raise Bad(what)


def ceil_div(a, b):
    return -(-a // b)


def clamp(v, low, high):
    return min(max(v, low), high)


def signed(v, bits):
    """v modulo 2^bits as a number in two's complement"""
    v &= (1 << bits) - 1
    return v - (1 << bits) if v >> (bits - 1) else v


def unzigzag(z):
    return -(z + 1) // 2 if z & 1 else z // 2


# Hashes, trees ---------------------------------------------------------------

def blake(person, data):
    return hashlib.blake2b(data, digest_size=32,
                           person=person.ljust(16, b"\0")).digest()


def block_log_of(size):
    log = 16
    while log < 20 and size > 1023 << log:
        log += 1
    return log


def tree_id(content):
    log = block_log_of(len(content))
    leaves = [blake(b"dm leaf", content[i:i + (1 << log)])
              for i in range(0, len(content), 1 << log)]
    return blake(b"dm tree", struct.pack("<QB", len(content), log) +
                 b"".join(leaves))


# Bytes and bits --------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.pos = data, 0

    def take(self, count):
        need(count <= len(self.data) - self.pos, "input ends early")
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 127) << shift
            if byte < 128:
                need(byte or not shift, "varint has a shorter form")
                need(value < 1 << 64, "varint too large")
                return value
            shift += 7

    def rest(self):
        return self.take(len(self.data) - self.pos)

    def end(self, what):
        need(self.pos == len(self.data), "bytes left over: " + what)


class Bits:
    """A bit string, least significant bit of each byte first."""

    def __init__(self, reader):
        self.reader, self.have, self.value = reader, 0, 0

    def get(self, count):
        while self.have < count:
            self.value |= self.reader.u8() << self.have
            self.have += 8
        got = self.value & ((1 << count) - 1)
        self.value >>= count
        self.have -= count
        return got

    def gamma(self):
        k = 0
        while not self.get(1):
            k += 1
            need(k < 16, "gamma code too long")
        return (1 << k) | self.get(k)

    def padding(self):
        need(self.value == 0, "ones in the padding")


# zstd ------------------------------------------------------------------------

class Zstd:
    def __init__(self):
        lib = ctypes.CDLL("libzstd.so.1")
        lib.ZSTD_createDCtx.restype = ctypes.c_void_p
        lib.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
        lib.ZSTD_DCtx_refPrefix.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        lib.ZSTD_decompressDCtx.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t,
            ctypes.c_char_p, ctypes.c_size_t]
        for name in ("ZSTD_DCtx_refPrefix", "ZSTD_decompressDCtx",
                     "ZSTD_findFrameCompressedSize"):
            getattr(lib, name).restype = ctypes.c_size_t
        lib.ZSTD_findFrameCompressedSize.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t]
        self.lib = lib

    def frame(self, data, size, prefix):
        """The content, size bytes, of data, which is one frame."""
        lib = self.lib
        need(data[:4] == b"\x28\xb5\x2f\xfd", "not a zstd frame")
        need(lib.ZSTD_findFrameCompressedSize(data, len(data)) == len(data),
             "not one zstd frame")
        context = lib.ZSTD_createDCtx()
        try:
            if prefix:
                lib.ZSTD_DCtx_refPrefix(context, prefix, len(prefix))
            out = ctypes.create_string_buffer(size + 1)
            got = lib.ZSTD_decompressDCtx(context, out, size, data, len(data))
            need(got == size, "zstd frame does not decode to its size")
            return out.raw[:size]
        finally:
            lib.ZSTD_freeDCtx(context)


# Types -----------------------------------------------------------------------

class Dtype:
    """An element type; one of 4 bits stands for pairs of elements."""

    def __init__(self, name, bits, kind, mantissa=0):
        self.name, self.packed = name, bits == 4
        self.bits, self.size = max(bits, 8), max(bits, 8) // 8
        self.is_float = kind == "float"
        self.is_signed = kind != "unsigned"
        self.mantissa = mantissa
        self.exponent = bits - 1 - mantissa if self.is_float else 0

    def ordered(self, v):
        """Bits to the ordered form (its own inverse), modulo 2^bits."""
        if self.is_float and v >> (self.bits - 1):
            return v ^ ((1 << (self.bits - 1)) - 1)
        return v

    def exponent_field(self, v):
        return v >> self.mantissa & ((1 << self.exponent) - 1)

    def bias(self):
        return (1 << (self.exponent - 1)) - 1

    def value(self, v):
        """The number that an element is; None unless it is finite."""
        if not self.is_float:
            return signed(v, self.bits) if self.is_signed else v
        field = self.exponent_field(v)
        fraction = v & ((1 << self.mantissa) - 1)
        if self.name == "f8_e4m3":
            if v & 0x7f == 0x7f:
                return None
        elif field == (1 << self.exponent) - 1:
            return None
        if field:
            fraction |= 1 << self.mantissa
        number = math.ldexp(fraction,
                            max(field, 1) - self.bias() - self.mantissa)
        return -number if v >> (self.bits - 1) else number


DTYPES = {
    0: Dtype("bool", 8, "unsigned"), 1: Dtype("u8", 8, "unsigned"),
    2: Dtype("i8", 8, "signed"), 3: Dtype("u16", 16, "unsigned"),
    4: Dtype("i16", 16, "signed"), 5: Dtype("u32", 32, "unsigned"),
    6: Dtype("i32", 32, "signed"), 7: Dtype("u64", 64, "unsigned"),
    8: Dtype("i64", 64, "signed"), 9: Dtype("f16", 16, "float", 10),
    10: Dtype("bf16", 16, "float", 7), 11: Dtype("f32", 32, "float", 23),
    12: Dtype("f64", 64, "float", 52), 13: Dtype("f8_e5m2", 8, "float", 2),
    14: Dtype("f8_e4m3", 8, "float", 3), 15: Dtype("f8_e8m0", 8, "unsigned"),
    16: Dtype("f4", 4, "unsigned"), 20: Dtype("f8_e5m2fnuz", 8, "unsigned"),
    21: Dtype("f8_e4m3fnuz", 8, "unsigned"),
    22: Dtype("i4", 4, "unsigned"), 23: Dtype("u4", 4, "unsigned"),
}
U8 = DTYPES[1]
LATTICES = (25, 26, 27, 28)  # 16 more than their type
PREDICTED = ("f64", "f32", "f16", "bf16", "f8_e5m2", "f8_e4m3", "i8", "u8",
             "i16", "u16")


def elements_of(data, dtype):
    size = dtype.size
    return [int.from_bytes(data[i:i + size], "little")
            for i in range(0, len(data), size)]


def bytes_of(elements, dtype):
    return b"".join(e.to_bytes(dtype.size, "little") for e in elements)


# rANS ------------------------------------------------------------------------

class Table:
    def __init__(self, bits):
        pivot = bits.get(5)
        freq = [0] * 32
        length = 0
        for symbol in range(32):
            if symbol == pivot:
                continue
            length += unzigzag(bits.gamma() - 1)
            need(0 <= length <= 11, "length of a frequency")
            if 1 <= length <= 4:
                freq[symbol] = 1 << (length - 1) | bits.get(length - 1)
            elif length:
                freq[symbol] = (8 | bits.get(3)) << (length - 4)
        need(sum(freq) < 2048, "frequencies too large")
        freq[pivot] = 2048 - sum(freq)
        need(freq[31] > 0, "escape has no frequency")
        self.freq = freq
        self.first = [sum(freq[:s]) for s in range(32)]
        self.symbol = [s for s in range(32) for _ in range(freq[s])]


def read_tables(reader):
    bits = Bits(reader)
    count = bits.get(5)
    need(count <= 16, "too many tables")
    tables = [Table(bits) for _ in range(count)]
    bits.padding()
    return tables


class Rans:
    """Symbols by tables, and raw bits. head: words and lane code, or None."""

    def __init__(self, reader, head, has_shifts=False):
        lanes = (1, 4, 16, 32)[head & 3]
        words = head >> 2
        raw_size = reader.varint()
        shifts = reader.varint() if has_shifts else 0
        self.states = self.read_states(reader, lanes)
        self.shifts = None
        if shifts:
            self.shifts = copy.copy(self)
            self.shifts.states = self.read_states(reader, 1)
        self.words = struct.unpack("<%dH" % words, reader.take(2 * words))
        self.lane = self.word = 0
        if shifts:
            self.shifts.words = struct.unpack("<%dH" % (shifts - 1),
                                              reader.take(2 * (shifts - 1)))
            self.shifts.lane = self.shifts.word = 0
        self.raw = Bits(Reader(reader.take(raw_size)))

    @staticmethod
    def read_states(reader, lanes):
        states = list(struct.unpack("<%dI" % lanes, reader.take(4 * lanes)))
        need(min(states) >= 1 << 16, "state too small")
        return states

    def symbol(self, table):
        x = self.states[self.lane]
        slot = x & 2047
        s = table.symbol[slot]
        x = table.freq[s] * (x >> 11) + slot - table.first[s]
        if x < 1 << 16:
            need(self.word < len(self.words), "words end early")
            x = x << 16 | self.words[self.word]
            self.word += 1
        self.states[self.lane] = x
        self.lane = (self.lane + 1) % len(self.states)
        return s

    def finish_words(self):
        need(self.word == len(self.words), "words left over")
        need(all(x == 1 << 16 for x in self.states), "wrong final state")

    def finish(self):
        self.finish_words()
        if self.shifts:
            self.shifts.finish_words()
        self.raw.padding()
        self.raw.reader.end("raw bits")


# Classes, "Segment coded fast" -----------------------------------------------

class FastCoding:
    def __init__(self, reader, dtype, tables):
        bits = Bits(reader)
        self.tables = tables
        self.delta = bits.get(1)
        runs = 1 + (bits.get(4) if self.delta else 0)
        self.scale = 0
        self.shifted = bits.get(1) if self.delta else 0
        self.shift_table = bits.get(4) if self.shifted else 0
        need(self.shift_table < len(tables), "no such table")
        if self.delta or not dtype.is_float:
            self.scale = bits.get(10)
        self.direct_end = 256 if dtype.is_float else 0
        if self.delta:
            self.direct_end = bits.get(9)
            need(self.direct_end <= 256, "direct_end")
        self.direct_first = 0
        if self.direct_end:
            self.direct_first = bits.get(12)
            need(self.direct_first < 2 << dtype.exponent, "direct_first")
        if not dtype.is_float:
            need(runs == 1 and self.direct_end == 0 and not self.shifted,
                 "coding of integers")
        self.runs = []
        for i in range(runs):
            first = bits.get(8) if i else 0
            need(not i or first > self.runs[-1][0], "first_exponent")
            table = bits.get(4)
            need(table < len(tables), "no such table")
            self.runs.append((first, table))
        bits.padding()
        self.key = (self.delta, self.scale, self.direct_end,
                    self.direct_first, tuple(self.runs), self.shifted,
                    self.shift_table)


def context_exponent(dtype, v):
    """E of "Classes": 8 bits"""
    if not dtype.is_float:
        return 0
    field = dtype.exponent_field(v)
    return clamp(field - 896, 0, 255) if dtype.bits == 64 else field


def fast_difference(s, q, w):
    """a, b of symbol s in row q"""
    half = (q + s - 1) // 2
    if s == 1:
        return (0, min(q // 2 + 2, w)) if q >= 2 else (1, 1)
    if half == 0:
        return 1, 1
    if half <= w - 2:
        return 2 + (q + s - 1) % 2, half
    return 0, w


def shift_exponent(x, s):
    """E and p of "Shifts"."""
    if s == 0:
        return 255, 0
    t = 0 if s == 31 else s - 15
    return clamp(x - (t >> 1), 1, 254) if x else 0, t & 1


def fast_elements(rans, coding, dtype, predicted, lost):
    del lost
    w = dtype.bits
    out = []
    shift = half = 0
    for i, v in enumerate(predicted):
        e = context_exponent(dtype, v) if coding.delta else 0
        if coding.shifted:
            if i % 128 == 0:
                need(rans.shifts, "no shifts")
                shift = rans.shifts.symbol(coding.tables[coding.shift_table])
            e, half = shift_exponent(e, shift)
        table = [t for first, t in coding.runs if first <= e][-1]
        s = rans.symbol(coding.tables[table])
        if s == 31:
            out.append(rans.raw.get(w))
            continue
        if s == 0:
            code = 0
        else:
            if e < coding.direct_end:
                a, b = coding.direct_first + s - 1, dtype.mantissa
                if a >= 2 << dtype.exponent:
                    a, b = 0, w
            else:
                q = clamp(coding.scale + half - 2 * max(e, 1), 0, 2 * (w - 2))
                a, b = fast_difference(s, q, w)
            code = (a << b) + rans.raw.get(b)
        d = -(code >> 1) if code & 1 else code >> 1
        if e >= coding.direct_end:
            d += dtype.ordered(v) if coding.delta else 0
        out.append(dtype.ordered(d & ((1 << w) - 1)))
    return out


# Narrow rows -----------------------------------------------------------------

class NarrowCoding:
    def __init__(self, reader, dtype, tables):
        bits = Bits(reader)
        self.tables = tables
        self.delta = bits.get(1)
        self.has_lost = bits.get(1) if self.delta else 0
        runs = 1 + (bits.get(4) if self.delta else 0)
        need(runs <= 8 or not self.has_lost, "runs")
        self.scale = self.direct_first = self.row = self.centre = 0
        self.direct_end = 0
        if dtype.is_float:
            self.direct_end = 256
            if self.delta:
                self.scale = bits.get(9)
                self.direct_end = bits.get(9)
                need(self.direct_end <= 256, "direct_end")
            if self.direct_end:
                self.direct_first = bits.get(9)
                need(self.direct_first < 2 << dtype.exponent, "direct_first")
        else:
            self.row = bits.get(4)
            need(self.row <= 9, "row")
            self.centre = 0 if self.delta else bits.get(1)
        self.runs = []
        first = 0
        for i in range(runs):
            first += bits.gamma() if i else 0
            need(first <= 255, "first of a run")
            four = [bits.get(4)] * 4
            if self.has_lost and not bits.get(1):
                four[1:] = [bits.get(4) for _ in range(3)]
                need(len(set(four)) > 1, "equal tables")
            need(max(four) < len(tables), "no such table")
            self.runs.append((first, tuple(four)))
        bits.padding()
        self.key = (self.delta, self.has_lost, self.scale, self.direct_end,
                    self.direct_first, self.row, self.centre,
                    tuple(self.runs))


def narrow_context(dtype, p):
    if dtype.is_float:
        return dtype.exponent_field(p)
    if dtype.bits == 16:
        return p >> 8 ^ (128 if dtype.is_signed else 0)
    return p ^ (128 if dtype.is_signed else 0)


def narrow_low(i):
    return i if i < 8 else (4 + i % 4) << (i // 4 - 1)


def narrow_width(i):
    return 0 if i < 8 else i // 4 - 1


def narrow_symbol(s, row):
    """a, b of symbol s in a row that is not direct"""
    if row >= 3:
        return narrow_low(s) << (row - 1), narrow_width(s) + row - 1
    if s == 0:
        return 0, 0
    if row == 2:
        return 2 * narrow_low(s), narrow_width(s) + 1
    if row == 0 or s <= 14:
        return s + 1, 0
    return 2 * narrow_low(s - 7), narrow_width(s - 7) + 1


def narrow_elements(rans, coding, dtype, predicted, lost):
    w = dtype.bits
    out = []
    for i, p in enumerate(predicted):
        e = narrow_context(dtype, p) if coding.delta else 0
        tables = [t for first, t in coding.runs if first <= e][-1]
        if coding.has_lost:
            level = lost[i]
        else:
            top = dtype.is_signed and coding.delta and p >> (w - 1)
            level = 3 if top else 4
        side = 0
        if coding.has_lost:
            side = level - 4 if level >= 4 else 3 - level
        direct = dtype.is_float and e < coding.direct_end
        s = rans.symbol(coding.tables[tables[side]])
        if s == 31:
            out.append(rans.raw.get(w))
            continue
        if direct:
            h = coding.direct_first + s - 1
            a, b = h << dtype.mantissa, dtype.mantissa
            if s == 0:
                a, b = 0, 0
            elif h >= 2 << dtype.exponent:
                a, b = 0, w
        else:
            row = coding.row
            if dtype.is_float:
                row = clamp(1 + coding.scale - max(e, 1), 1, 9)
            a, b = narrow_symbol(s, row)
        code = a + rans.raw.get(b)
        negative = code & 1
        if coding.delta and not direct and level < 4:
            negative ^= 1
        start = 0
        if coding.delta and not direct:
            start = dtype.ordered(p)
        elif coding.centre:
            start = 1 << (w - 1)
        d = -(code >> 1) if negative else code >> 1
        out.append(dtype.ordered((start + d) & ((1 << w) - 1)))
    return out


class RansStream:
    def __init__(self, reader, elements):
        head = reader.varint()
        self.rans = None
        if head:
            self.rans = Rans(reader, head - 1, elements is fast_elements)
        self.elements = elements

    def piece(self, coding, dtype, first, predicted, lost):
        del first
        need(self.rans, "a stream of no elements")
        return self.elements(self.rans, coding, dtype, predicted, lost)

    def finish(self):
        if self.rans:
            self.rans.finish()


# The small coder -------------------------------------------------------------

class SmallCoding:
    def __init__(self, reader, dtype):
        bits = Bits(reader)
        self.delta = bits.get(1)
        self.direct_end = 256 if dtype.is_float else 0
        if dtype.is_float and self.delta:
            self.direct_end = bits.get(1) and 1 + bits.get(8)
        self.direct_top = bits.get(dtype.exponent) if self.direct_end else 0
        self.sparse = bits.get(1) if self.direct_end < 256 else 0
        self.scale = bits.get(10) if self.direct_end < 256 else 0
        self.columns = 0
        if bits.get(1):
            n = bits.get(4)
            self.columns = (1 << n) + bits.get(n)
            need(2 <= self.columns <= 16384, "columns")
        bits.padding()
        self.key = (self.delta, self.direct_end, self.direct_top, self.sparse,
                    self.scale, self.columns)


def squash_table():
    table = {}
    e = 1 << 32
    for k in range(2816):
        table[k] = (1 << 48) // ((1 << 32) + e)
        table[-k] = 65536 - table[k]
        e = e * 4278222805 >> 32
    return table


def stretch_table(squash):
    table = []
    x = -2303
    for i in range(4096):
        while x < 2303 and squash[x] < 16 * i + 8:
            x += 1
        table.append(x)
    return table


SQUASH = squash_table()
STRETCH = stretch_table(SQUASH)


# First states: probabilities of a logistic distribution.

def first_state(x, y, count):
    p = (x << 22) // y if y else 1 << 21
    return [clamp(p, 4096, (1 << 22) - 4096), count]


def share_below(z, u):
    c = 4015 if z % 2 else 5678
    x = (((c << 20) >> (z // 2 + 4)) * u) >> 24
    return SQUASH[clamp(x, -2815, 2815)]


def outside(z, t):
    """o_0, o_1, f_0, f_1"""
    if t:
        f = 2 * t - 1
        return (65536 - share_below(z, 8 - f), share_below(z, -8 - f),
                65536 - share_below(z, 24 - f), share_below(z, -24 - f))
    four = [outside(z, t) for t in range(1, 5)]
    o = sum(x[0] + x[1] for x in four) // 8
    f = sum(x[2] + x[3] for x in four) // 8
    return o, o, f, f


def octave_nodes(q):
    """Node 1 to 7 of the trees octave[q]."""
    z, y = (q - 8, 8) if q < 18 else (8, 0)
    s = [65536] + [65536 - share_below(z, 16 * 2 ** j - y)
                   for j in range(1, 8)] + [0]
    m = [0] * 8 + [s[j] - s[j + 1] + 16 for j in range(8)]
    if q < 18:
        m[8] = 1
    for i in range(7, 0, -1):
        m[i] = m[2 * i] + m[2 * i + 1]
    return [None] + [first_state(m[2 * i + 1], m[i], 4) for i in range(1, 8)]


def make_first_states():
    made = {}
    for q in range(64):
        z = q - 8 if q < 18 else 2 * q - 26
        made["none", q] = first_state(63, 64, 2)
        for node, state in enumerate(octave_nodes(q)):
            made["octave", q, node] = state
        for t in range(5):
            o_0, o_1, f_0, f_1 = outside(z, t)
            made["zero", q, t] = first_state(o_0 + o_1, 65536, 12)
            made["sign", q, t] = first_state(o_1, o_0 + o_1, 12)
            made["one", q, t, 0] = first_state(f_0, o_0, 12)
            made["one", q, t, 1] = first_state(f_1, o_1, 12)
    return made


FIRST = make_first_states()


def state_at_first(key):
    name, q = key[:2]
    if name in ("zero_a", "sign_a"):
        return list(FIRST[name[:-2], q, key[2]])
    if name == "octave":
        return list(FIRST[name, q, key[-1]])
    if name == "low":
        return [1 << 21, 4]
    return list(FIRST.get(key, (1 << 21, 0)))


class SmallStream:
    first_weight = 26000

    def __init__(self, reader):
        head = reader.varint()
        self.empty = head == 0
        if self.empty:
            return
        raw_size = reader.varint()
        self.bytes = reader.take(head - 1)
        self.raw = Bits(Reader(reader.take(raw_size)))
        self.at = 0
        self.range = (1 << 64) - 1
        self.code = self.next_bytes(8)
        self.states = {}
        self.weights = {}

    def next_bytes(self, count):
        got = self.bytes[self.at:self.at + count].ljust(count, b"\0")
        self.at += count
        return int.from_bytes(got, "big")

    def coded_bit(self, p):
        bound = (self.range >> 16) * p
        bit = int(self.code < bound)
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        if self.range < 1 << 32:
            self.range <<= 32
            self.code = self.code << 32 | self.next_bytes(4)
        return bit

    def state(self, key):
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = self.state_at_first(key)
        return state

    @staticmethod
    def state_at_first(key):
        return state_at_first(key)

    @staticmethod
    def learn(state, bit):
        p, n = state
        r = 16384 // (2 * n + 3)
        state[0] = (1024 * p + (((bit << 22) - p) >> 3) * r) >> 10
        state[1] = min(n + 1, 255)

    def bit(self, *key):
        state = self.state(key)
        bit = self.coded_bit(state[0] >> 6 | 1)
        self.learn(state, bit)
        return bit

    def mixed(self, keys, weights_key):
        states = [self.state(key) for key in keys]
        first = self.first_weight
        if weights_key[1:2] == ("flag_w_guess",):
            first = 16500
        weights = self.weights.setdefault(weights_key, [first] * len(keys))
        s = [STRETCH[state[0] >> 10] for state in states]
        x = sum(w * t for w, t in zip(weights, s)) >> 16
        p = SQUASH[clamp(x, -2815, 2815)]
        bit = self.coded_bit(p)
        e = ((bit << 16) - p) >> 3
        for i in range(len(keys)):
            weights[i] = clamp(weights[i] + ((s[i] * e + 4096) >> 13),
                               -262143, 262143)
            self.learn(states[i], bit)
        return bit

    def tree(self, count, *key):
        node = 1
        for _ in range(count):
            node = 2 * node + self.bit(*key, node)
        return node - (1 << count)

    def finish(self):
        if self.empty:
            return
        need(4 <= self.at - len(self.bytes) <= 8, "range bytes")
        self.raw.padding()
        self.raw.reader.end("raw bits")

    def piece(self, coding, dtype, first, predicted, lost):
        need(not self.empty, "a stream of no elements")
        piece = SmallPiece(self, coding, dtype, len(predicted))
        return [piece.element(first + i, v, lost[i] if lost else None)
                for i, v in enumerate(predicted)]


def turned(side):
    """1 for 2 and 2 for 1"""
    return (0, 2, 1)[side]


class SmallPiece:
    def __init__(self, stream, coding, dtype, count):
        self.s, self.c, self.t = stream, coding, dtype
        columns = coding.columns
        self.columns = columns if 0 < columns <= count else 1
        self.side = [0] * self.columns
        self.level = [0] * self.columns
        self.sign = [0] * self.columns
        self.r1 = self.r2 = self.s1 = self.s2 = self.row_sign = 0
        self.n1 = self.n2 = 0
        self.density = 32768

    def element(self, index, v, lost):
        t = self.t
        if not self.c.delta:
            v = 0
        if t.is_float:
            e = context_exponent(t, v)
        elif t.bits == 8:
            e = abs(signed(v, 8)).bit_length()
        else:
            e = 0
        if t.is_float and e < self.c.direct_end:
            return self.value(e, v)
        m, sign = self.difference(e, v, index % self.columns, lost)
        ordered = t.ordered(v) + (-m if sign else m)
        return t.ordered(ordered & ((1 << t.bits) - 1))

    def difference(self, e, v, column, lost):
        s, w = self.s, self.t.bits
        q = self.c.scale - 32 - (2 * max(e, 1) if self.t.is_float else 0)
        q = min(q, 2 * w - 3)
        o = q // 2 if q > 0 else 0
        if q < -8:
            size = 0
        elif q < 10:
            size = q + 8
        elif q < 100:
            size = 18 + (q - 10) // 2
        else:
            size = 63
        if lost is None:
            t = 0
            flip = v >> (w - 1) if self.t.is_float else 0
        else:
            flip = int(lost < 4)
            t = 1 + (3 - lost if lost < 4 else lost - 4)
        mixing = w == 8 or self.c.sparse
        m, sign = self.magnitude(e, o, size, t, flip, column, mixing)
        if mixing:
            self.update(column, m, sign, q)
        return m, sign

    def changed(self, e, o, size, t, column, mixing):
        if not mixing:
            return self.s.bit("zero", size, t)
        level = self.level[column] // 32
        a = (2 * self.r1 + self.r2 + level + 2) // 4
        h = max(self.density.bit_length() - 1 - 8, 0)
        return self.s.mixed((("zero_a", size, t, a),
                             ("zero_b", h, level, min(o, 15)),
                             ("zero_c", e, t)), ("zero_w", t))

    def direction(self, size, t, flip, column, mixing):
        if not mixing:
            return self.s.bit("sign", size, t)
        a = min((self.row_sign + 1024) >> 8, 7)
        b = min((self.sign[column] + 64) >> 4, 7)
        sides = self.s1, self.s2, self.side[column]
        if flip:
            a, b = 7 - a, 7 - b
            sides = [turned(side) for side in sides]
        tt = sides[0] + 3 * sides[1] + 9 * sides[2]
        return self.s.mixed((("sign", size, t), ("sign_a", size, t, tt),
                             ("sign_b", a, b, t)), ("sign_w", t))

    def magnitude(self, e, o, size, t, flip, column, mixing):
        s, w = self.s, self.t.bits
        k_raw = min(o - 4 if o >= 5 else 0, w - 8)
        has_changed = w <= 16 or o < 5 or self.c.sparse
        if has_changed and not self.changed(e, o, size, t, column, mixing):
            return 0, 0
        g = self.direction(size, t, flip, column, mixing)
        sign = g ^ flip
        if k_raw == 0 and not s.bit("one", size, t, g):
            return 1, sign
        j = s.tree(3, "octave", size, g)
        if j == 0 and k_raw > 0:
            if not has_changed and not s.bit("none", size):
                return 0, sign
            return s.raw.get(k_raw + 1), sign
        k = k_raw + j
        if j == 7 and w > 8:
            while k < w - 1 and s.bit("more", k):
                k += 1
        n = min(k, 2)
        h = s.tree(n, "low", size, j)
        return (1 << k) + (h << (k - n)) + s.raw.get(k - n), sign

    def update(self, column, m, sign, q):
        rel = c = step = 0
        if m:
            k = m.bit_length() - 1
            f = m >> (k - 1) & 1 if k else 0
            rel = clamp(2 * k + f - q + 4, 1, 7)
            c = 1 + sign
            step = -64 if sign else 64
        self.r2, self.r1 = self.r1, rel
        self.s2, self.s1 = self.s1, c
        self.density += (2047 if m else 0) - self.density // 32
        self.row_sign += (16 * step - self.row_sign) >> 3
        self.side[column] = c
        self.level[column] += (32 * rel - self.level[column]) >> 2
        self.sign[column] += (step - self.sign[column]) >> 2

    def value(self, e, v):
        s, t = self.s, self.t
        delta = self.c.delta
        sign = s.bit("value_sign",
                     1 + (v >> (t.bits - 1)) if delta else 0)
        j = s.tree(4, "value", e if delta else 256 + 16 * self.n1 + self.n2)
        if j == 15:
            field = s.raw.get(t.exponent)
        else:
            field = (self.c.direct_top - j) % (1 << t.exponent)
        n = min(t.mantissa, 3)
        high = s.tree(n, "value_low", j)
        low = s.raw.get(t.mantissa - n)
        self.n2, self.n1 = self.n1, j
        return (sign << (t.bits - 1) | field << t.mantissa |
                high << (t.mantissa - n) | low)


# Predictions -----------------------------------------------------------------

def binary32(x):
    return ctypes.c_float(x).value


def round_float(x, dtype):
    """x, finite, to the nearest number of dtype; (bits, number, unit) or None
    beyond the largest."""
    m = dtype.mantissa
    least = 1 - dtype.bias() - m
    unit = least
    if x:
        unit = max(math.frexp(x)[1] - 1 - m, least)
    steps = round(abs(math.ldexp(x, -unit)))  # half to even
    number = math.ldexp(steps, unit)
    largest = 448.0
    if dtype.name != "f8_e4m3":
        largest = math.ldexp((2 << m) - 1, dtype.bias() - m)
    if number > largest:
        return None
    if number:
        e = max(math.frexp(number)[1] - 1, least + m)
        fraction = int(math.ldexp(number, m - e))
        bits = fraction + ((e + dtype.bias() - 1) << m)
    else:
        bits = 0
    if math.copysign(1, x) < 0:
        bits |= 1 << (dtype.bits - 1)
        number = -number
    return bits, number, math.ldexp(1, unit)


def integer_prediction(r, dtype):
    """From a fixed point of 24 bits: bits and level."""
    low = -(1 << (dtype.bits - 1)) if dtype.is_signed else 0
    high = low + (1 << dtype.bits) - 1
    number = clamp((r + (1 << 23)) >> 24, low, high)
    # floor(8 x + 4), x = r / 2^24 - number
    level = clamp(((r - (number << 24)) * 8 + (4 << 24)) >> 24, 0, 7)
    return number & ((1 << dtype.bits) - 1), level


# Lattices --------------------------------------------------------------------

class LatticeCoding:
    @classmethod
    def of_factors(cls, rank):
        coding = cls.__new__(cls)
        coding.delta = coding.has_residual = 0
        coding.columns = rank if rank > 1 else 0
        return coding

    def __init__(self, reader):
        bits = Bits(reader)
        self.delta = bits.get(1)
        self.has_residual = bits.get(1)
        octave = bits.get(8) - 120
        density = bits.get(3)
        r = 2 * bits.get(density - 1) + 1 if density else 0
        self.set_step((octave << density) + r, density)
        self.columns = 0
        if bits.get(1):
            n = bits.get(4)
            self.columns = (1 << n) + bits.get(n)
            need(2 <= self.columns <= 8192, "columns")
        bits.padding()

    def set_step(self, qp, density):
        self.qp, self.density = qp, density
        self.octave, r = qp >> density, qp & ((1 << density) - 1)
        need(-120 <= self.octave <= 100, "octave of a step")
        need(not density or r & 1, "density of a step")
        self.step = math.ldexp((1 << density) + r, self.octave - density)

    @property
    def key(self):
        return (self.delta, self.has_residual, self.density, self.qp,
                self.columns)

    def moved(self, by):
        coding = copy.copy(self)
        coding.set_step(self.qp + by, self.density)
        return coding

    def moved_from(self, other):
        """Whether a step alone leads from the other to this."""
        return (self.key[:3] == other.key[:3] and
                -128 <= self.qp - other.qp <= 127)


def mean_class(x):
    if x < 4:
        return 0
    k = x.bit_length() - 1
    return min(2 * k + (x >> (k - 1) & 1) - 3, 35)


def third(x):
    return min((mean_class(x) + 1) // 3, 11)


def mean_of_class(c):
    """size(c)"""
    k, f = (c + 3) // 2, (c + 3) % 2
    return (2 + f) << (k - 1) if c else 1


def expect(x, flag):
    return first_state(x + (128 if flag else 0), 4096 + x +
                       (128 if flag else 0), 2)


def octave_at_first(c, k):
    return octave_of_mean(mean_of_class(5 * c + 2), k)


def octave_of_mean(x, k):
    x += 128
    e = 65536 * x // (4096 + x)
    for _ in range(k):
        e = e * e // 65536
    return first_state(e, 65536, 2)


def lattice_state_at_first(key):
    name, args = key[0], key[1:]
    if name in ("off_block", "off"):
        return first_state(1, 16, 2)
    if name == "off_octave":
        return first_state(1, 4, 2)
    if name in ("off_sign", "off_low"):
        return [1 << 21, 0]
    matrix, args = args[0], args[1:]
    flag = args[0] % 4
    if name == "act":
        x = mean_of_class(3 * args[1])
        if matrix:
            x = (x + (64 << args[2] if args[2] else 1)) // 2
        return expect(x, flag)
    if name == "mean":
        return expect(mean_of_class(args[1]), flag)
    if name == "size":
        return expect(mean_of_class(5 * args[1] + 2), flag)
    if name == "first":
        return first_state(1, 16 - args[1], 2)
    if name == "block_mean":
        x = mean_of_class(args[0])
        return first_state(16 * x, 4096 + 15 * x, 2)
    if name == "block_past":
        return expect(mean_of_class(3 * args[0]), 0)
    if name == "octave":
        return octave_at_first(*args)
    if name == "guess":
        return first_state(1, 8, 2) if args[0] == 4 else \
            expect(mean_of_class(args[1] // 16), flag)
    if name == "octave_act":
        return octave_of_mean(mean_of_class(3 * args[0]), args[2])
    if name == "octave_mean":
        return octave_of_mean(mean_of_class(args[0]), args[1])
    if name == "octave_size":
        return octave_of_mean(mean_of_class(5 * args[0] + 2), args[2])
    return [1 << 21, 0]


class LatticeStream(SmallStream):
    first_weight = 22000

    def __init__(self, reader, guessed):
        super().__init__(reader)
        self.carried = [8192, 256]
        self.guessed = guessed

    @staticmethod
    def state_at_first(key):
        return lattice_state_at_first(key)

    def number(self, octaves, octave, low):
        """octave and low: the keys of the states"""
        k = 0
        while k < octaves - 1 and self.bit(*octave, k):
            k += 1
        t = min(k, 2)
        return self.below(k, low)

    def below(self, k, low):
        t = min(k, 2)
        h = self.tree(t, *low, k)
        return (1 << k) + (h << (k - t)) + self.raw.get(k - t)

    def piece(self, coding, dtype, first, predicted, lost):
        need(not self.empty, "a stream of no elements")
        piece = LatticePiece(self, coding, dtype, first, predicted)
        out = []
        for at in range(0, len(predicted), 16):
            out += piece.block(at, min(16, len(predicted) - at))
        self.carried[piece.set] = piece.mean
        return out

    def levels(self, coding, count):
        """A piece of levels alone."""
        piece = LatticePiece(self, coding, None, 0, [0] * count)
        out = []
        for at in range(0, count, 16):
            out += piece.block_levels(at, min(16, count - at))
        self.carried[piece.set] = piece.mean
        return out


class LatticePiece:
    def __init__(self, stream, coding, dtype, first, predicted):
        self.s, self.c, self.t = stream, coding, dtype
        self.predicted, self.first = predicted, first
        self.set = int(0 < coding.columns <= len(predicted))
        self.columns = coding.columns if self.set else 1
        self.mean = self.act = stream.carried[self.set]
        self.count, self.blocks, self.left, self.row_sign = 4, 0, 0, 1024
        self.s1 = self.s2 = self.in_last = self.off_last = 0
        self.side = [0] * self.columns
        self.level = [0] * self.columns
        self.sign = [128] * self.columns
        self.up, self.drift = [0] * self.columns, [0] * self.columns
        self.before, self.up_left = [0, 0, 0], 0
        self.weight, self.power, self.cost = [0] * 9, [0] * 9, [0] * 3
        self.off = 0

    def mixed(self, keys, weights):
        keys = [(key[0], self.set) + key[1:] for key in keys]
        weights = weights if isinstance(weights, tuple) else (weights,)
        return self.s.mixed(keys, (self.set, *weights))

    def column(self, at):
        return (self.first + at) % self.columns

    def block(self, at, n):
        levels = self.block_levels(at, n)
        out = [self.point(at + i, levels[i]) for i in range(n)]
        if self.c.has_residual:
            self.residuals(at, levels, out)
        return out

    def block_levels(self, at, n):
        sparse = self.mean < 512
        levels = None
        if sparse and not self.not_zero(at, n):
            levels = [0] * n
            self.skip(at, n)
        if levels is None:
            levels = []
            for i in range(n):
                alone = sparse and not any(levels)
                levels.append(self.one(at + i, i if alone else None, n,
                                       sparse))
            self.in_last = min(sum(1 for x in levels if x), 3)
        return levels

    def not_zero(self, at, n):
        above = 0
        if self.set:
            above = min(sum(1 for i in range(n)
                            if self.side[self.column(at + i)]), 3)
        bit = self.mixed((("block_mean", mean_class(self.mean)),
                          ("block_near", 4 * self.in_last + above),
                          ("block_past", third(self.blocks))), "block_w")
        self.blocks += ((4096 if bit else 0) - self.blocks) >> 4
        return bit

    def skip(self, at, n):
        self.left = self.s1 = self.s2 = self.in_last = 0
        self.before, self.up_left = [0, 0, 0], 0
        for i in range(n if self.set else 0):
            c = self.column(at + i)
            self.up[c] = 0
            self.drift[c] += -self.drift[c] >> 2
        self.act >>= 3
        self.mean -= self.mean * n // (n + self.count + 1)
        self.count = min(self.count + n, 60)
        if self.set:
            for i in range(n):
                c = self.column(at + i)
                self.side[c] = 0
                self.level[c] -= (self.level[c] + 7) >> 3

    def prediction(self, at):
        """a and b"""
        v = self.predicted[at]
        if not self.c.delta:
            return 0, 0
        field = self.t.exponent_field(v)
        size = field - self.t.bias() - self.c.octave + 4
        return clamp(size, 0, 15) if field else 0, v >> (self.t.bits - 1)

    def guessed(self, keys, name, weights, *of):
        """The keys and weights, with those of the guess if there is one"""
        if not self.s.guessed:
            return keys, (weights, *of)
        g = 16 * mean_class(self.mean) + self.off
        return keys + ((name, *of, g),), (weights + "_guess", *of)

    def flag(self, m, a, c):
        mean = mean_class(self.mean)
        level = min((self.level[c] >> 3).bit_length(), 7) if self.set else 0
        return self.mixed(*self.guessed((
            ("act", m, third(self.act), level), ("mean", m, mean, self.left),
            ("size", m, mean // 5, a)), "guess", "flag_w", m))

    def flag_alone(self, a, c, i):
        coarse = mean_class(self.mean) // 5
        level = min((self.level[c] >> 3).bit_length(), 7) if self.set else 0
        return self.mixed(*self.guessed((
            ("act", 4, third(self.act), level), ("first", coarse, i),
            ("size", 4, coarse, a)), "guess", "flag_w", 4))

    def rest(self, a, c):
        """The number of a level from 4 on, with guesses"""
        mean = mean_class(self.mean)
        level = min((self.level[c] >> 3).bit_length(), 7) if self.set else 0
        k = 0
        while k < 24 and self.mixed(
                (("octave_act", third(self.act), level, k),
                 ("octave_mean", mean, k), ("octave_size", mean // 5, a, k)),
                ("octave_w", k)):
            k += 1
        return self.s.below(k, ("low", self.set))

    def taps(self, at, c):
        pred = 0
        v = self.predicted[at]
        field = self.t.exponent_field(v) if self.t and self.c.delta else 0
        size = field - self.t.bias() - self.c.octave + 4 if field else -1
        if size >= 0:
            fraction = 1 << self.t.mantissa | v & ((1 << self.t.mantissa) - 1)
            pred = (fraction << min(size, 20)) >> self.t.mantissa
            pred = 1 << 20 if size >= 20 else pred
            pred = -pred if v >> (self.t.bits - 1) else pred
        right = c + 1 < self.columns
        return [*self.before, self.up[c] if self.set else 0, self.up_left,
                self.up[c + 1] if self.set and right else 0, pred,
                self.drift[c] if self.set else 0, 16]

    def guess(self, taps, sparse):
        """What the taps say, and the whole levels of the guess"""
        full = sum(w * x for w, x in zip(self.weight, taps)) >> 20
        best = 1 if self.cost[1] < self.cost[0] else 0
        best = 2 if self.cost[2] < self.cost[best] else best
        part = full >> (2 - best) if best else 0
        whole = 0 if sparse else (part + 8) >> 4
        self.off = clamp(part - 16 * whole, -8, 7) + 8
        return full, whole

    def learn(self, taps, full, c, level):
        x = 16 * clamp(level, -32767, 32767)
        for i, g in enumerate((0, full >> 1, full)):
            y = abs(x - g) + 8
            k = y.bit_length() - 1
            cost = (2 * k + (y >> (k - 1) & 1)) << 10
            self.cost[i] += (cost - self.cost[i]) >> 6
        error = clamp(x - full, -(1 << 19), 1 << 19)
        mean = (self.act + self.mean) >> 9 | 1
        u = 2 * mean.bit_length()
        for i, tap in enumerate(taps):
            square = tap * tap << 12 >> u
            if not square:
                continue
            self.power[i] += square - (self.power[i] >> 9)
            s = min((self.power[i] + 16 * square).bit_length() + u - 16, 62)
            move = ((error * tap << 16) + (1 << (s - 1))) >> s
            self.weight[i] = clamp(self.weight[i] + move, -(1 << 23), 1 << 23)
        self.before = [x] + self.before[:2]
        if self.set:
            self.up_left = self.up[c] if c + 1 < self.columns else 0
            self.up[c] = x
            self.drift[c] += (x - self.drift[c]) >> 2

    def one(self, at, alone, n, sparse):
        c = self.column(at)
        if not self.s.guessed:
            return self.moved(at, alone, n)
        taps = self.taps(at, c)
        full, whole = self.guess(taps, sparse)
        level = whole + self.moved(at, alone, n)
        self.learn(taps, full, c, level)
        return level

    def moved(self, at, alone, n):
        a, b = self.prediction(at)
        c = self.column(at)
        m = negative = 0
        if alone is None:
            changed = self.flag(0, a, c)
        else:
            changed = alone == n - 1 or self.flag_alone(a, c, alone)
        if changed:
            side = self.side[c] if self.set else 0
            up = self.sign[c] >> 5 if self.set else 4
            negative = self.mixed(*self.guessed(
                (("sign_near", self.s1 + 3 * self.s2 + 9 * side),
                 ("sign_mean", 8 * (self.row_sign >> 8) + up),
                 ("sign_pred", a + 16 * b)), "sign_guess", "sign_w"))
            self.off = 15 - self.off if negative else self.off
            m = 1
            while m < 4 and self.flag(m, a, c):
                m += 1
            if m == 4 and self.s.guessed:
                m = 3 + self.rest(a, c)
            elif m == 4:
                coarse = mean_class(self.mean) // 5
                m = 3 + self.s.number(25, ("octave", self.set, coarse),
                                      ("low", self.set))
        self.note(c, m, negative)
        return -m if negative else m

    def note(self, c, m, negative):
        code = 1 + negative if m else 0
        z = min(m, 65535) << 12
        self.left = min(m, 2)
        self.s2, self.s1 = self.s1, code
        self.act += (z - self.act) >> 3
        rate = 16384 // (2 * self.count + 3)
        self.mean += ((z - self.mean) * rate) >> 13
        self.count = min(self.count + 1, 60)
        if m:
            self.row_sign += ((0 if negative else 2047) - self.row_sign) >> 3
        if not self.set:
            return
        self.side[c] = code
        self.level[c] += ((min(m, 255) << 8) - self.level[c]) >> 3
        if m:
            self.sign[c] += ((0 if negative else 255) - self.sign[c]) >> 2

    def point(self, at, level):
        v, t = self.predicted[at], self.t
        number = t.value(v)
        if level == 0 or number is None:
            return v
        if t.bits == 64:
            total = number + float(level) * self.c.step
            if not math.isfinite(total):
                return v
            return struct.unpack("<Q", struct.pack("<d", total))[0]
        total = binary32(number + binary32(float(binary32(level)) *
                                           self.c.step))
        if not math.isfinite(total):
            return v
        if t.bits == 32:
            return struct.unpack("<I", struct.pack("<f", total))[0]
        rounded = round_float(total, t)
        return rounded[0] if rounded else v

    def residuals(self, at, levels, out):
        s, t = self.s, self.t
        self.off_last = s.bit("off_block", self.off_last +
                              (2 if any(levels) else 0))
        if not self.off_last:
            return
        for i, level in enumerate(levels):
            a, b = self.prediction(at + i)
            if not s.bit("off", 3 * a + min(abs(level), 2)):
                continue
            negative = s.bit("off_sign", b)
            m = s.number(t.bits, ("off_octave", a), ("off_low",))
            moved = t.ordered(out[i]) + (-m if negative else m)
            out[i] = t.ordered(moved & ((1 << t.bits) - 1))


class Predictor:
    """tables: (scales, u, v), each None where there is none"""

    def __init__(self, record, tables):
        self.r = record
        self.scales, self.u, self.v = tables
        self.plain = record.plain

    def acc(self, index):
        r = self.r
        row, column = divmod(index, r.columns)
        return signed(sum(a * b for a, b in zip(self.u[row], self.v[column])),
                      32)

    def one(self, index, base):
        r = self.r
        if r.dtype.is_float or r.source.is_float:
            got = self.floating(index, base)
            return got or (0 if r.cast else base, 3)
        number = r.source.value(base)
        scale = 1 << 24
        if r.scaled:
            scale = self.scales[index // r.columns]
        fixed = number * scale
        if r.rank:
            fixed += self.acc(index) << (24 + r.shift)
        return integer_prediction(fixed, r.dtype)

    def floating(self, index, base):
        """Bits and level, or None where the base's bits stand."""
        r = self.r
        double = "f64" in (r.dtype.name, r.source.name)
        fit = float if double else binary32
        real = r.source.value(base)
        if real is None:
            return None
        real = float(real)
        if r.scaled:
            t = math.ldexp(fit(self.scales[index // r.columns]),
                           r.scale_shift)
            real = fit(real * t)
        if r.scale:
            real = fit(real * r.scale)
        if r.rank:
            real = fit(real + math.ldexp(fit(self.acc(index)), r.shift))
        if not math.isfinite(real):
            return None
        if r.dtype.name == "f64":
            return struct.unpack("<Q", struct.pack("<d", real))[0], 3
        if not r.dtype.is_float:
            real = clamp(real, -float(1 << 20), float(1 << 20))
            return integer_prediction(math.floor(math.ldexp(real, 24)),
                                      r.dtype)
        real = binary32(real)
        if not math.isfinite(real):
            return None
        if r.dtype.name == "f32":
            return struct.unpack("<I", struct.pack("<f", real))[0], 3
        got = round_float(real, r.dtype)
        if got is None:
            return None
        bits, number, unit = got
        lost = fractions.Fraction(real) - fractions.Fraction(number)
        level = math.floor(8 * lost / fractions.Fraction(unit) + 4)
        return bits, clamp(level, 0, 7)

    def predict(self, first, base):
        """Predictions and levels (or None) of elements from first on."""
        if self.plain:
            return base, None
        pairs = [self.one(first + i, b) for i, b in enumerate(base)]
        lost = None
        if self.r.dtype.bits <= 16:
            lost = [level for _, level in pairs]
        return [bits for bits, _ in pairs], lost


# Auxiliary segments ----------------------------------------------------------

def read_factors(reader, rank, rows, columns):
    """u, v: a list of rank numbers for each row and column"""
    bits = Bits(reader)
    count = 1 + bits.get(2)
    tables = [Table(bits) for _ in range(count)]
    parts = []
    width = 0
    for _ in range(2 * rank):
        width += unzigzag(bits.gamma() - 1)
        need(0 <= width <= 15, "width of a part")
        table = bits.get(2) if count > 1 else 0
        need(table < count, "no such table")
        parts.append((width, tables[table]))
    bits.padding()
    rans = Rans(reader, reader.varint())
    sides = []
    for first, lines in ((0, rows), (rank, columns)):
        side = []
        for _ in range(lines):
            line = []
            for width, table in parts[first:first + rank]:
                s = rans.symbol(table)
                if s == 31:
                    number = rans.raw.get(16)
                else:
                    number = ((s - 15) << width) + rans.raw.get(width)
                line.append(signed(number, 16))
            side.append(line)
        sides.append(side)
    rans.finish()
    return sides


def read_level_factors(reader, rank, rows, columns, guessed):
    stream = LatticeStream(reader, guessed)
    need(not stream.empty, "factors of no elements")
    stream.carried = [32768, 32768]
    coding = LatticeCoding.of_factors(rank)
    sides = []
    for lines in (rows, columns):
        numbers = stream.levels(coding, rank * lines)
        need(all(-32768 <= n <= 32767 for n in numbers), "factor too large")
        sides.append([numbers[i:i + rank]
                      for i in range(0, len(numbers), rank)])
    stream.finish()
    return sides


def read_record_tables(reader, record, guessed):
    scales = u = v = None
    if record.scaled:
        fine = record.dtype.is_float or record.source.is_float
        steps, one = read_factors(reader, 2 if fine else 1, record.rows, 1)
        need(not any(one[0]), "v of row scales")
        if fine:
            need(record.rows < 1 << 18, "rows of row scales")
            scales = [(high << 16) + (low & 0xffff) for high, low in steps]
        else:
            scales = [(1 << 24) + (step << 10) for step, in steps]
    if record.rank:
        shape = record.rank, record.rows, record.columns
        u, v = read_level_factors(reader, *shape, guessed) \
            if record.lattice else read_factors(reader, *shape)
    return scales, u, v


# Header ----------------------------------------------------------------------

SAME, BYTES, DIFF, CODED = range(4)


class Record:
    """How a range of the target is coded."""

    def __init__(self):
        self.base_offset = self.base_size = 0
        self.dtype = self.source = self.coding = self.window = None
        self.small = self.lattice = self.step = self.cast = False
        self.scaled = False
        self.has_base = False
        self.columns = self.rank = self.shift = self.scale_shift = 0
        self.scale = 0.0
        self.aux = self.flags_at = None

    @property
    def plain(self):
        return not (self.cast or self.rank or self.scaled or self.scale)

    @property
    def count(self):
        return self.size // self.dtype.size

    @property
    def rows(self):
        return ceil_div(self.count, self.columns) if self.columns else 0


class Window:
    def __init__(self, reader):
        self.columns = reader.varint()
        need(1 <= self.columns < 1 << 32, "columns")
        direction = reader.varint()
        self.transposed, self.stride = direction & 1, direction >> 1
        need(1 <= self.stride < 1 << 32, "stride")
        self.runs = []  # (first column, count, base column or None)
        column = after = 0
        run_count = reader.varint()
        need(run_count <= 4096, "runs")
        for _ in range(run_count):
            code = reader.varint()
            count, base = code >> 1, None
            need(count >= 1, "count of a run")
            if not code & 1:
                base = after + unzigzag(reader.varint())
                after = base + count
            self.runs.append((column, count, base))
            column += count
        need(not run_count or column == self.columns, "runs and columns")

    def column(self, j):
        if not self.runs:
            return j
        for first, count, base in self.runs:
            if j < first + count:
                return None if base is None else base + j - first
        raise AssertionError

    def element(self, index):
        """Which element of the base is that of element index, or None."""
        i, j = divmod(index, self.columns)
        c = self.column(j)
        if c is None:
            return None
        return c * self.stride + i if self.transposed else i * self.stride + c

    def reach(self, count):
        """How many elements of the base count elements reach over."""
        rows = ceil_div(count, self.columns)
        across = self.columns
        if self.runs:
            across = max([base + n for _, n, base in self.runs
                          if base is not None], default=0)
        need(across, "no base")
        if self.transposed:
            need(rows <= self.stride, "more rows than stride")
            return (across - 1) * self.stride + rows
        need(across <= self.stride, "columns beyond the stride")
        return (rows - 1) * self.stride + across


class Header:
    def __init__(self, data):
        reader = Reader(data)
        version = reader.u8()
        need(version in (2, 3, 4), "version")
        self.guessed = version == 4
        flags = reader.u8()
        need(flags <= 1, "flags")
        self.data, self.id = data, blake(b"dm update", data)
        self.target_tree = reader.take(32)
        self.target_size = reader.varint()
        self.has_base = bool(flags)
        self.base_tree, self.base_size = None, 0
        if flags:
            self.base_tree = reader.take(32)
            self.base_size = reader.varint()
        self.block_log = block_log_of(self.target_size)
        self.segment_bytes = 1 << (self.block_log + reader.u8())
        need(self.segment_bytes <= 1 << 20, "segment_log")
        self.fast_tables = read_tables(reader)
        self.narrow_tables = read_tables(reader)
        self.records = []
        self.read_records(reader)
        need((version > 2) == any(r.lattice for r in self.records),
             "version for these records")
        self.directory_at = reader.pos
        self.aux_count = reader.varint()
        need(self.aux_count <= 4096, "auxiliary segments")
        self.segments = []
        for i in range(self.aux_count +
                       ceil_div(self.target_size, self.segment_bytes)):
            size = reader.varint()
            need(size <= (1 << 20) + 1, "size of a segment")
            need(i >= self.aux_count or 1 <= size <= 1 << 20,
                 "size of an auxiliary segment")
            self.segments.append((size, reader.take(16) if size else None))
        reader.end("header")

    def read_records(self, reader):
        self.sizes = []    # the last 15 different ones, most recent first
        self.codings = {}  # by dtype and coder
        self.vectors = {}  # by dtype: the last of lattices without columns
        self.next = 0
        self.aux = -1
        offset = 0
        while offset < self.target_size:
            need(len(self.records) < 65536, "records")
            record = self.read_record(reader, self.target_size - offset)
            record.offset = offset
            offset += record.size
            need(offset <= self.target_size, "record beyond the target")
            self.records.append(record)

    def read_size(self, reader, code, left):
        if code:
            need(code <= len(self.sizes), "no such size")
            size = self.sizes[code - 1]
            need(size != left, "size that is all that is left")
        else:
            size = reader.varint()
            need(size not in self.sizes, "size that is kept")
            need(size != left, "size that is all that is left")
            size = size or left
        if size in self.sizes:
            self.sizes.remove(size)
        self.sizes = [size] + self.sizes[:14]
        return size

    def read_record(self, reader, left):
        record = Record()
        first = reader.u8()
        record.mode = first & 3
        place = first >> 2 & 3
        record.size = self.read_size(reader, first >> 4, left)
        record.has_base = place != 0
        flags = has_coding = 0
        if record.mode == CODED:
            second = reader.u8()
            code = second & 31
            record.lattice = code in LATTICES
            record.small = bool(second & 32) and not record.lattice
            record.step = bool(second & 32) and record.lattice
            code -= 16 if record.lattice else 0
            need(code in DTYPES, "dtype")
            need(not record.step or not second & 64, "coding and step")
            record.dtype = record.source = DTYPES[code]
            has_coding = second & 64
            if second & 128:
                record.flags_at = reader.pos
                flags = reader.u8()
                need(1 <= flags < 64, "flags of a record")
            need(record.size % record.dtype.size == 0, "broken element")
        record.cast, record.scaled = flags & 1, flags >> 3 & 1
        if record.cast:
            source = reader.u8()
            need(source in DTYPES, "dtype")
            record.source = DTYPES[source]
            need(record.source is not record.dtype, "cast to itself")
        if place:
            record.base_offset = self.next
        if place >= 2:
            record.base_offset += unzigzag(reader.varint())
        if place == 3:
            need(record.mode == BYTES, "stretch")
            record.base_size = reader.varint()
            need(record.base_size != record.size, "not a stretch")
        elif place:
            record.base_size = record.size
        if record.mode in (SAME, DIFF):
            need(place, "no base")
        if flags & 2:
            record.window = Window(reader)
            record.columns = record.window.columns
        if flags & 12 and not record.window:
            record.columns = reader.varint()
            need(1 <= record.columns < 1 << 32, "columns")
        if flags & 4:
            record.rank = reader.u8()
            need(1 <= record.rank <= 64, "rank")
            record.shift = reader.u8() - 100
            need(-100 <= record.shift <= 60, "shift")
        if flags & 8:
            record.scale_shift = reader.u8() - 60
            need(-60 <= record.scale_shift <= 30, "scale shift")
        if flags & 32:
            record.scale = struct.unpack("<f", reader.take(4))[0]
            need(2.0 ** -32 <= record.scale <= 2.0 ** 32 and record.scale != 1
                 and not flags & 8, "scale")
        if record.mode == CODED:
            self.read_coding(reader, record, has_coding)
            self.check_coded(record, flags)
        if place:
            need(record.base_offset >= 0, "base before its start")
            self.next = record.base_offset + record.base_size
            need(self.next <= self.base_size, "base beyond its end")
        return record

    def read_coding(self, reader, record, has_coding):
        dtype = record.dtype
        key = dtype.name, record.small, record.lattice
        before = self.codings.get(key)
        last = self.vectors.get(dtype.name)
        if record.step:
            need(last, "no coding")
            coding = last.moved(unzigzag(reader.u8()))
            need(before.key != coding.key, "coding repeated")
            record.coding = self.codings[key] = coding
            self.vectors[dtype.name] = coding
            return
        if not has_coding:
            need(before, "no coding")
            record.coding = before
            if record.lattice and not before.columns:
                self.vectors[dtype.name] = before
            return
        if dtype.packed:
            dtype = U8
        if record.lattice:
            coding = LatticeCoding(reader)
        elif record.small:
            coding = SmallCoding(reader, dtype)
        elif dtype.bits >= 32:
            coding = FastCoding(reader, dtype, self.fast_tables)
        else:
            coding = NarrowCoding(reader, dtype, self.narrow_tables)
        need(not before or before.key != coding.key, "coding repeated")
        record.coding = self.codings[key] = coding
        if record.lattice and not coding.columns:
            need(not last or not coding.moved_from(last), "not as a step")
            self.vectors[dtype.name] = coding

    def check_coded(self, record, flags):
        need(bool(record.coding.delta) == record.has_base,
             "coding and base do not fit")
        need(record.has_base or not flags, "flags without base")
        if not record.has_base:
            return
        need(not record.plain or not getattr(record.coding, "has_lost", 0),
             "nothing that rounding lost")
        need(not flags or not record.dtype.packed, "flags of 4 bits")
        count = record.count
        if record.window:
            count = record.window.reach(count)
        record.base_size = count * record.source.size
        if flags & 45:
            need(record.dtype.name in PREDICTED and
                 record.source.name in PREDICTED, "type has no prediction")
        need(not record.scale or record.dtype.is_float or
             record.source.is_float, "scale of integers")
        if not record.rank and not record.scaled:
            need(not flags & 16, "no tables")
            return
        need(record.rank * (record.rows + record.columns) <= record.count,
             "factors too many")
        need(not record.scaled or record.rows <= record.count / 8,
             "row scales too many")
        if flags & 16 or self.aux < 0:
            self.aux += 1
        record.aux = self.aux


# Segments --------------------------------------------------------------------

class Update:
    def __init__(self, data, base):
        reader = Reader(data)
        need(reader.take(8) == b"DMUPDATE", "magic")
        head = reader.take(struct.unpack("<I", reader.take(4))[0])
        self.header = Header(head)
        self.coded = []
        for size, digest in self.header.segments:
            coded = reader.take(size)
            need(digest is None or
                 blake(b"dm segment", coded)[:16] == digest,
                 "hash of a segment")
            self.coded.append(coded)
        reader.end("update file")
        if self.header.has_base:
            need(base is not None, "needs a base")
            need(tree_id(base) == self.header.base_tree, "another base")
        self.base = base if self.header.has_base else b""
        self.zstd = None
        self.tables = {}
        self.read_aux()
        self.kinds = set()

    def read_aux(self):
        for index in range(self.header.aux_count):
            reader = Reader(self.coded[index])
            records = [r for r in self.header.records if r.aux == index]
            for record in records:
                self.tables[record.offset] = read_record_tables(
                    reader, record, self.header.guessed)
            if records:
                reader.end("auxiliary segment")

    def decode(self):
        header = self.header
        out = []
        for i, coded in enumerate(self.coded[header.aux_count:]):
            start = i * header.segment_bytes
            end = min(start + header.segment_bytes, header.target_size)
            part = self.segment(coded, start, end)
            need(len(part) == end - start, "size of a segment")
            out.append(part)
        target = b"".join(out)
        need(tree_id(target) == header.target_tree, "another target")
        return target

    def frame(self, data, size, prefix):
        self.zstd = self.zstd or Zstd()
        return self.zstd.frame(data, size, prefix)

    def segment(self, coded, start, end):
        pieces = []  # record, first byte and end in the record
        for record in self.header.records:
            low = max(record.offset, start)
            high = min(record.offset + record.size, end)
            if low < high:
                pieces.append((record, low - record.offset,
                               high - record.offset))
        if not coded:
            self.kinds.add("same")
            return b"".join(self.unchanged(*piece) for piece in pieces)
        kind = coded[0]
        need(kind <= 2, "kind of a segment")
        self.kinds.add(("raw", "frame", "pieces")[kind])
        if kind == 0:
            return coded[1:]
        if kind == 1:
            reader = Reader(coded[1:])
            offset, size = reader.varint(), reader.varint()
            need(size <= prefix_max(end - start) and
                 offset + size <= len(self.base) and (size or not offset),
                 "prefix")
            return self.frame(reader.rest(), end - start,
                              self.base[offset:offset + size])
        return Pieces(self, coded[1:], pieces, end - start).decode()

    def unchanged(self, record, low, high):
        need(record.has_base, "nothing to leave as it is")
        need(record.base_size == record.size and not record.window and
             not record.cast, "nothing to leave as it is")
        return self.base[record.base_offset + low:record.base_offset + high]

    def base_elements(self, record, first, end):
        size = record.source.size
        base = self.base[record.base_offset:
                         record.base_offset + record.base_size]
        if not record.window:
            return elements_of(base[first * size:end * size], record.source)
        out = []
        for index in range(first, end):
            at = record.window.element(index)
            out.append(0 if at is None else int.from_bytes(
                base[at * size:(at + 1) * size], "little"))
        return out


def prefix_max(size):
    return min((1 << 20) + 16 * size, 1 << 23)


def place_in_base(x, record):
    """q(x) of "Byte streams" """
    b, t = record.base_size, record.size
    if b == t:
        return x
    while t >= 1 << 24:
        b, t = b >> 1, t >> 1
    return x * (b // t) + x * (b % t) // t


class Pieces:
    def __init__(self, update, coded, pieces, size):
        self.update, self.pieces, self.size = update, pieces, size
        self.reader = Reader(coded)

    @staticmethod
    def elements(piece):
        record, low, high = piece
        return ceil_div(low, record.dtype.size), high // record.dtype.size

    def coder(self, piece):
        record = piece[0]
        if record.mode != CODED:
            return None
        first, end = self.elements(piece)
        if first >= end:
            return None
        if record.small or record.lattice:
            return "small" if record.small else "lattice"
        return "fast" if record.dtype.bits >= 32 else "narrow"

    def plain_sizes(self, piece):
        """head (or all) and tail of a piece that lie in the plain stream"""
        record, low, high = piece
        if record.mode == BYTES:
            return high - low, 0
        if record.mode != CODED:
            return 0, 0
        first, end = self.elements(piece)
        if first > end:
            return high - low, 0
        size = record.dtype.size
        return first * size - low, high - end * size

    def byte_stream(self, size, prefix):
        if size == 0:
            return Reader(b"")
        code = self.reader.varint()
        data = self.reader.take(code >> 1)
        if code & 1:
            need(len(data) == size, "size of a byte stream")
        else:
            data = self.update.frame(data, size, prefix)
        return Reader(data)

    def prefix(self):
        left = prefix_max(self.size)
        out = []
        for record, low, high in self.pieces:
            if record.mode != BYTES or not record.has_base:
                continue
            first = max(place_in_base(low, record) - 65536, 0)
            end = min(place_in_base(high, record) + 65536, record.base_size)
            end = min(end, first + left)
            left -= end - first
            out.append(self.update.base[record.base_offset + first:
                                        record.base_offset + end])
        return b"".join(out)

    def decode(self):
        plain = self.byte_stream(
            sum(sum(self.plain_sizes(p)) for p in self.pieces), self.prefix())
        diff = self.byte_stream(sum(
            high - low for r, low, high in self.pieces if r.mode == DIFF), b"")
        wanted = {self.coder(piece) for piece in self.pieces}
        streams = {}
        for name, make in (
                ("fast", lambda r: RansStream(r, fast_elements)),
                ("narrow", lambda r: RansStream(r, narrow_elements)),
                ("small", SmallStream),
                ("lattice", lambda r: LatticeStream(
                    r, self.update.header.guessed))):
            if name in wanted:
                streams[name] = make(self.reader)
        self.reader.end("segment")
        out = []
        for piece in self.pieces:
            record, low, high = piece
            if record.mode == SAME:
                out.append(self.update.unchanged(record, low, high))
            elif record.mode == DIFF:
                base = self.update.unchanged(record, low, high)
                out.append(bytes((x + y) & 255 for x, y in
                                 zip(base, diff.take(high - low))))
            else:
                head, tail = self.plain_sizes(piece)
                out.append(plain.take(head))
                coder = self.coder(piece)
                if coder:
                    out.append(self.coded_piece(streams[coder], piece))
                out.append(plain.take(tail))
        for stream in streams.values():
            stream.finish()
        return b"".join(out)

    def coded_piece(self, stream, piece):
        record = piece[0]
        first, end = self.elements(piece)
        tables = self.update.tables.get(record.offset, (None, None, None))
        predicted, lost = [0] * (end - first), None
        if record.has_base:
            base = self.update.base_elements(record, first, end)
            predicted, lost = Predictor(record, tables).predict(first, base)
        if not record.dtype.packed:
            return bytes_of(stream.piece(record.coding, record.dtype, first,
                                         predicted, lost), record.dtype)
        halves = [half for e in predicted for half in (e & 15, e >> 4)]
        halves = stream.piece(record.coding, U8, 2 * first, halves, lost)
        return bytes(low & 15 | (high & 15) << 4
                     for low, high in zip(halves[::2], halves[1::2]))


def decode(update, base=None):
    return Update(update, base).decode()


def main():
    args = sys.argv[1:]
    out = None
    if "-o" in args:
        at = args.index("-o")
        out = args[at + 1]
        del args[at:at + 2]
    if not 1 <= len(args) <= 2:
        sys.exit(__doc__)
    contents = []
    for name in args:
        with open(name, "rb") as file:
            contents.append(file.read())
    try:
        target = decode(*contents)
    except Bad as error:
        sys.exit("%s: %s" % (args[0], error))
    print(tree_id(target).hex())
    if out:
        with open(out, "wb") as file:
            file.write(target)


if __name__ == "__main__":
    main()
