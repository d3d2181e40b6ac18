#!/usr/bin/env python3
"""deltamesh nnc: models and differences through streams and back, every option,
what cannot be carried, broken streams. TAP."""
import array
import json
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
from cli import SOURCE, TOOL, plan, result, safetensors, write  # noqa: E402
from test_formats import FORMATS as CONTAINERS  # noqa: E402
from test_formats import weights, write as write_files  # noqa: E402


def nnc(*args, **kw):
    return subprocess.run([TOOL, "nnc", *args], capture_output=True, text=True,
                          **kw)


def fine(*args):
    got = nnc(*args)
    if got.returncode:
        raise RuntimeError("%s: %d %s" % (args, got.returncode, got.stderr))
    return got


def told(*args):
    return json.loads(fine(*args, "--json").stdout)


def refused(got, status, words, name):
    lines = got.stderr.count("\n")
    result(got.returncode == status and (lines == 1 or status == 2) and
           words in got.stderr, name, "%d %s" % (got.returncode, got.stderr))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def tensors_of(path):
    """name -> (dtype, shape, bytes)"""
    data = read(path)
    size, = struct.unpack_from("<Q", data)
    head = json.loads(data[8:8 + size])
    return {name: (t["dtype"], t["shape"],
                   data[8 + size + t["data_offsets"][0]:
                        8 + size + t["data_offsets"][1]])
            for name, t in head.items()}


def floats(data):
    return array.array("f", data)


def pack(values):
    return array.array("f", values).tobytes()


def norm(values):
    return math.sqrt(sum(v * v for v in values))


class Model:
    """Two matrices and two vectors, as training moves them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.tensors = {"a.weight": ([48, 64], self.noise(48 * 64, 0.05)),
                        "b.weight": ([32, 3, 3, 3], self.noise(32 * 27, 0.1)),
                        "b.bias": ([32], self.noise(32, 0.2)),
                        "scale": ([], self.noise(1, 1))}

    def noise(self, count, deviation):
        return array.array("f", (self.rng.gauss(0, deviation)
                                 for _ in range(count)))

    def step(self, size=0.004):
        for _, values in self.tensors.values():
            for i, d in enumerate(self.noise(len(values), size)):
                values[i] += d
        return self

    def write(self, path):
        return write(path, safetensors(
            [(name, "F32", shape, values.tobytes())
             for name, (shape, values) in self.tensors.items()]))


def largest(path_a, path_b, name=None):
    a, b = tensors_of(path_a), tensors_of(path_b)
    return max(abs(x - y) for n in ([name] if name else a)
               for x, y in zip(floats(a[n][2]), floats(b[n][2])))


# ---- whole models ----

def check_whole():
    Model(1).write("m")
    fine("encode", "m", "-o", "m.nnc", "--step", "0.001", "--no-dq", "--lambda",
         "0", "--vector-qp", "-40")
    done = fine("decode", "m.nnc", "-o", "out")
    m, out = tensors_of("m"), tensors_of("out")
    result(list(m) == list(out) and
           all(out[n][0] == "F32" and out[n][1] == (m[n][1] or [1]) for n in m),
           "names and shapes come back, a scalar as [1]", done.stdout)
    step = 2 ** -10  # the next smaller that has a qp
    result(largest("m", "out", "a.weight") <= step / 2 + 1e-7,
           "--step bounds the nearest levels", largest("m", "out", "a.weight"))
    fine("decode", "m.nnc", "--like", "m", "-o", "like")
    result(len(read("like")) == len(read("m")) and
           tensors_of("like")["scale"][1] == [] and
           floats(tensors_of("like")["a.weight"][2]) ==
           floats(out["a.weight"][2]),
           "--like writes the same container with other values")
    done = fine("decode", "m.nnc")
    result("the stream is whole" in done.stdout, "without -o it is checked",
           done.stdout)
    fine("encode", "m", "-o", "n.nnc", "--threads", "1")
    fine("encode", "m", "-o", "o.nnc", "--threads", "4")
    result(read("n.nnc") == read("o.nnc"), "threads make the same bytes")


def check_steps():
    model = Model(2)
    model.write("m")
    for bound in (0.01, 0.001):
        got = told("encode", "m", "-o", "m.nnc", "--max-error", str(bound))
        fine("decode", "m.nnc", "--like", "m", "-o", "out")
        result(largest("m", "out") <= bound * 1.00001 and
               abs(got["max_error"] - largest("m", "out")) < 1e-6,
               "--max-error %g holds for every number" % bound, got)
    for wanted in (0.3, 0.05, 0.002):
        got = told("encode", "m", "-o", "m.nnc", "--error", str(wanted))
        fine("decode", "m.nnc", "--like", "m", "-o", "out")
        a, b = tensors_of("m"), tensors_of("out")
        lost, all_of = 0, 0
        for n in ("a.weight", "b.weight"):
            x, y = floats(a[n][2]), floats(b[n][2])
            lost += sum((p - q) ** 2 for p, q in zip(x, y))
            all_of += sum(p * p for p in x)
        error = math.sqrt(lost / all_of)
        result(0.7 * wanted <= error <= wanted and
               abs(got["relative_error"] - error) < 1e-5,
               "--error %g is kept and used" % wanted, (error, got))
        x, y = floats(a["b.bias"][2]), floats(b["b.bias"][2])
        share = norm([p - q for p, q in zip(x, y)]) / norm(x)
        result(share <= 0.005001, "vectors keep theirs", share)
    fine("encode", "m", "-o", "m.nnc", "--vector-error", "0.2")
    fine("decode", "m.nnc", "--like", "m", "-o", "out")
    x, y = (floats(tensors_of(p)["b.bias"][2]) for p in ("m", "out"))
    share = norm([p - q for p, q in zip(x, y)]) / norm(x)
    result(0.005 < share <= 0.2, "--vector-error", share)
    sizes = []
    for bits in (3, 5, 8):
        sizes.append(told("encode", "m", "-o", "m.nnc", "--bits", str(bits))
                     ["bytes"])
    result(sizes == sorted(sizes) and sizes[0] < sizes[2], "--bits", sizes)
    rows = told("encode", "m", "-o", "m.nnc", "--qp", "-20")["tensors"]
    result([r["qp"] for r in rows if r["name"].endswith("weight")] == [-20, -20],
           "--qp is that of all matrices", rows)
    rows = told("encode", "m", "-o", "m.nnc", "--qp", "-80", "--density",
                "4")["tensors"]
    fine("decode", "m.nnc", "--like", "m", "-o", "out")
    result(rows[0]["qp"] == -80 and largest("m", "out", "a.weight") < 2 ** -4,
           "--density", rows)
    fine("encode", "m", "-o", "m.nnc", "--sparsity", "0.75", "--qp", "-40",
         "--lambda", "0")
    fine("decode", "m.nnc", "-o", "out")
    values = floats(tensors_of("out")["a.weight"][2])
    zeros = sum(v == 0 for v in values) / len(values)
    result(0.75 <= zeros < 0.8, "--sparsity", zeros)


def check_tools():
    Model(3).write("m")
    tools = [["--dq"], ["--no-dq"], ["--codebook"], ["--no-codebook"],
             ["--row-skip"], ["--no-row-skip"], ["--profile", "0"],
             ["--lambda", "0.05"], ["--device", "3"], ["--no-tca"]]
    tools += [["--scan", str(n)] for n in range(5)]
    for args in tools:
        fine("encode", "m", "-o", "m.nnc", "--qp", "-28", *args)
        fine("decode", "m.nnc", "--like", "m", "-o", "out")
        seen = told("inspect", "m.nnc")
        rows = [r for r in seen["tensors"] if r["name"] == "a.weight"]
        good = largest("m", "out", "a.weight") < 0.1 and seen["whole"]
        if args == ["--dq"]:
            good = good and rows[0]["dq"]
        if args == ["--no-dq"]:
            good = good and not any(r["dq"] for r in seen["tensors"])
        if args == ["--codebook"]:
            good = good and not rows[0]["dq"]
        if args[0] == "--scan":
            good = good and rows[0]["scan"] == int(args[1])
        if args[0] == "--profile":
            good = good and seen["profile"] == 0
        result(good, " ".join(args), (rows, largest("m", "out", "a.weight")))


def check_codebook():
    rng = random.Random(12)
    values = [rng.choice((-0.71, -0.13, 0, 0.4, 1.9)) for _ in range(4096)]
    write("b", safetensors([("w", "F32", [64, 64], pack(values))]))
    fine("encode", "b", "-o", "b.nnc", "--qp", "-28", "--codebook", "--lambda",
         "0")
    row = told("inspect", "b.nnc")["tensors"][0]
    fine("decode", "b.nnc", "-o", "out")
    result(row["kind"] == "codebook" and 4 <= row["codebook"] <= 16 and
           largest("b", "out") <= 2 ** -8 + 1e-6,
           "a few values far apart make a codebook",
           (row, largest("b", "out")))


# ---- what is not float32 ----

def check_types():
    nan = struct.pack("<4f", 1.5, math.nan, math.inf, -2)
    half = struct.pack("<6e", 1, -2, 0.5, 0.25, 3, -1)
    write("m", safetensors([
        ("nan", "F32", [2, 2], nan),
        ("half", "F16", [2, 3], half),
        ("wide", "F64", [2, 2], struct.pack("<4d", 1, 2, -3, 0.5)),
        ("flags", "BOOL", [4], bytes([1, 0, 0, 1])),
        ("bytes", "I8", [4], struct.pack("<4b", -128, 127, 0, 5)),
        ("count", "I64", [], struct.pack("<q", 1234567)),
        ("far", "I64", [2], struct.pack("<2q", 1, 1 << 40)),
        ("empty", "F32", [3, 0], b""), ("none", "F32", [0, 3], b""),
        ('quote"\\\u00e4\n', "I32", [1], struct.pack("<i", -7)),
        ("w", "F32", [2, 2], struct.pack("<4f", 1, 2, 3, 4)),
        ("w#2", "F32", [2], struct.pack("<2f", 1, 2))]))
    got = nnc("encode", "m", "-o", "m.nnc", "--qp", "-8", "--vector-qp", "-8",
              "--lambda", "0", "--no-dq")
    result(got.returncode == 0 and got.stderr.count("\n") == 2 and
           "'far' is not sent" in got.stderr and
           "'empty' is not sent" in got.stderr,
           "what cannot be carried is named, once", got.stderr)
    rows = told("inspect", "m.nnc")["tensors"]
    result(rows[-1]["name"] == "nan" and rows[-1]["kind"] == "raw",
           "what is no number comes raw and last", rows)
    fine("decode", "m.nnc", "--like", "m", "-o", "out")
    result(read("out") == read("m"), "all types come back in their container",
           "")
    fine("decode", "m.nnc", "-o", "own")
    own = tensors_of("own")
    result(own["nan"][2] == nan and own["half"][0] == "F32" and
           list(floats(own["half"][2])) == [1, -2, 0.5, 0.25, 3, -1] and
           own["bytes"] == ("I32", [4], struct.pack("<4i", -128, 127, 0, 5)) and
           own['quote"\\\u00e4\n'][2] == struct.pack("<i", -7),
           "alone they are float32 and int32", own)
    write("g", safetensors([("w_G", "F32", [2, 2], pack([1, 2, 3, 4]))]))
    got = nnc("encode", "g", "-o", "g.nnc")
    result(got.returncode == 0 and "_G" in got.stderr and
           got.stderr.count("\n") == 1, "names that NNCodec refuses are noted",
           got.stderr)
    fine("decode", "g.nnc", "-o", "out")
    result("w_G" in tensors_of("out"), "and carried")
    write("i8", safetensors([("bytes", "I8", [1], b"\x7f")]))
    write("y", safetensors([("bytes", "I32", [1], struct.pack("<i", 200))]))
    fine("encode", "y", "-o", "y.nnc")
    refused(nnc("decode", "y.nnc", "--like", "i8", "-o", "no"), 4,
            "'bytes': a number is out of the range of I8",
            "an integer that the container cannot hold")
    result(not os.path.exists("no"), "leaves no file")


# ---- differences ----

def check_differences():
    model = Model(4)
    model.write("m0")
    model.step().write("m1")
    got = told("encode", "--base", "m0", "m1", "-o", "d.nnc", "--error", "0.2")
    fine("decode", "d.nnc", "--base", "m0", "-o", "out")
    a, b, c = (floats(tensors_of(p)["a.weight"][2]) for p in ("m0", "m1", "out"))
    share = (norm([x - y for x, y in zip(b, c)]) /
             norm([x - y for x, y in zip(a, b)]))
    result(share < 0.25 and got["bytes"] < os.path.getsize("m1") / 6,
           "a difference is added to its base", (share, got))
    for args, words, name in (
            ([], "give the model that they are to with --base",
             "differences alone are refused"),
            (["--like", "m0"], "holds differences", "and with --like")):
        refused(nnc("decode", "d.nnc", *args, "-o", "no"), 4, words, name)
    fine("decode", "d.nnc", "--values", "new", "-o", "out")
    moved = floats(tensors_of("out")["a.weight"][2])
    result(norm([m - (y - x) for m, x, y in zip(moved, a, b)]) <
           0.25 * norm([y - x for x, y in zip(a, b)]), "--values new")
    fine("encode", "m0", "-o", "w.nnc", "--qp", "-40")
    fine("decode", "w.nnc", "--base", "m0", "--values", "difference", "-o",
         "out")
    twice = floats(tensors_of("out")["a.weight"][2])
    result(max(abs(t - 2 * x) for t, x in zip(twice, a)) < 0.01,
           "--values difference")
    got = told("encode", "--base", "m0", "m0", "-o", "s.nnc")
    fine("decode", "s.nnc", "--base", "m0", "-o", "out")
    result(got["same"] == 4 and got["bytes"] < 20 and read("out") == read("m0"),
           "no change is no tensor", got)
    Model(5).write("other")
    tensors = tensors_of("other")
    write("less", safetensors([("a.weight", *tensors["a.weight"])]))
    write("shape", safetensors([("a.weight", "F32", [64, 48],
                                 tensors["a.weight"][2])]))
    refused(nnc("decode", "d.nnc", "--base", "less", "-o", "no"), 4,
            "the model has none of that name", "a base without the tensor")
    refused(nnc("decode", "d.nnc", "--base", "shape", "-o", "no"), 4,
            "has another shape", "a base of another shape")
    fine("encode", "--base", "less", "m1", "-o", "e.nnc")
    rows = {r["name"]: r for r in told("inspect", "e.nnc")["tensors"]}
    result(rows["a.weight"]["parent"] and not rows["b.weight"]["parent"],
           "tensors that the base has not are sent whole", rows)
    fine("encode", "--base", "less", "m1", "-o", "e.nnc", "--error", "0.001")
    fine("decode", "e.nnc", "-o", "out", "--values", "new")
    x, y = (floats(tensors_of(p)["b.weight"][2]) for p in ("m1", "out"))
    share = norm([p - q for p, q in zip(x, y)]) / norm(x)
    result(share <= 0.001, "as exactly as differences, if that is more", share)
    write("n0", safetensors([("v", "F32", [2, 2], pack([1, math.inf, 3, 4]))]))
    write("n1", safetensors([("v", "F32", [2, 2], pack([1, 2, 3, 5]))]))
    fine("encode", "--base", "n0", "n1", "-o", "n.nnc", "--qp", "-8")
    fine("decode", "n.nnc", "--base", "n0", "-o", "out")
    result(read("out") == read("n1"), "an infinity in the base is replaced")


def check_lattice():
    rng = random.Random(6)
    base = [rng.gauss(0, 0.05) for _ in range(4096)]
    base = list(array.array("f", base))
    target = [x + rng.choice((0, 0, 0, 1, -1, 2)) * 2 ** -9 for x in base]
    write("l0", safetensors([("w", "F32", [64, 64], pack(base))]))
    write("l1", safetensors([("w", "F32", [64, 64], pack(target))]))
    got = told("encode", "--base", "l0", "l1", "-o", "l.nnc", "--lattice")
    fine("decode", "l.nnc", "--base", "l0", "-o", "out")
    result(got["lattice"] == 1 and got["max_error"] == 0 and
           got["bytes"] < 1400 and read("out") == read("l1"),
           "--lattice: the integers of a quantised model, exactly", got)


# ---- a chain ----

def check_chain():
    model = Model(7)
    model.write("c0")
    held, prev, sizes = "c0", [], []
    for n in range(1, 4):
        model.step().write("c%d" % n)
        stream = "c%d.nnc" % n
        args = [x for p in prev for x in ("--prev", p)]
        fine("encode", "--base", held, "c%d" % n, "-o", stream, "--qp", "-36",
             *args, *(["--tca"] if prev else []))
        fine("decode", stream, "--base", held, "-o", "h%d" % n, *args)
        rows = told("inspect", stream, *args)["tensors"]
        result(all(r["put_node_depth"] == n and r["parent"] and
                   r["temporal"] == bool(prev) for r in rows),
               "update %d: depth, parent and contexts" % n, rows)
        held = "h%d" % n
        prev.append(stream)
        sizes.append(os.path.getsize(stream))
    result(largest(held, "c3", "a.weight") < 2 ** -7, "the chain stays near",
           largest(held, "c3", "a.weight"))
    refused(nnc("decode", "c3.nnc", "--base", "h2", "-o", "no"), 4, "--prev",
            "an update that needs those before it says so")
    refused(nnc("decode", "c3.nnc", "--base", "h2", "--prev", "c1.nnc", "-o",
                "no"), 4, "c3.nnc", "one of them is not enough")
    refused(nnc("inspect", "c3.nnc"), 4, "--prev", "inspect says so as well")
    fine("encode", "c0", "-o", "root.nnc")
    fine("decode", "root.nnc", "--like", "c0", "-o", "r0")
    fine("encode", "--base", "r0", "c1", "-o", "r1.nnc", "--prev", "root.nnc")
    ids = [r["parameter_id"] for r in
           told("inspect", "r1.nnc", "--prev", "root.nnc")["tensors"]]
    result(len(ids) > 1 and len(set(ids)) == len(ids),
           "after a root without ids they are places in the model", ids)


# ---- containers ----

def size_of(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, f))
               for folder, _, files in os.walk(path) for f in files)


def check_containers():
    """Tensors of every container, as one file or a folder; the check sums of
    zip archives fit the new values."""
    for name, make in CONTAINERS.items():
        files = make(weights(0))
        write_files(name, files)
        model, out = name, name + ".out"
        if len(files) == 1:
            model = os.path.join(name, *files)
        fine("encode", model, "-o", "k.nnc", "--max-error", "0.001")
        fine("decode", "k.nnc", "--like", model, "-o", out)
        for path, to in ((model, "k1"), (out, "k2")):
            fine("encode", path, "-o", "k.nnc", "--max-error", "0.000001")
            fine("decode", "k.nnc", "-o", to)
        far = largest("k1", "k2")
        sizes = [size_of(model), size_of(out)]
        result(0.0002 < far < 0.00101 and sizes[0] == sizes[1],
               name + ": other values in the same container", (far, sizes))
        if name == "torch":
            with zipfile.ZipFile(out) as archive:
                result(archive.testzip() is None, "torch: check sums fit",
                       archive.testzip())


# ---- folders ----

def check_folder():
    os.mkdir("f")
    os.path.exists("g") and os.remove("g")
    Model(8).write("f/one.safetensors")
    write("f/two.safetensors", safetensors([("z", "F32", [2, 2],
                                             pack([1, 2, 3, 4]))]))
    write("f/words.txt", b"cat\n")
    fine("encode", "f", "-o", "f.nnc", "--qp", "-12", "--lambda", "0", "--no-dq")
    fine("decode", "f.nnc", "--like", "f", "-o", "g")
    result(read("g/words.txt") == b"cat\n" and
           read("g/two.safetensors") == read("f/two.safetensors") and
           largest("f/one.safetensors", "g/one.safetensors") < 0.2,
           "a folder of files")


# ---- broken streams ----

def check_broken():
    Model(9).write("m")
    fine("encode", "m", "-o", "m.nnc", "--bits", "3")
    data = read("m.nnc")
    wrong = []
    for size in sorted({0, 1, 3, 4, 5, 11, 12, 13, 20, len(data) - 1} |
                       set(range(14, len(data), len(data) // 25))):
        write("t.nnc", data[:size])
        for args in (["decode", "t.nnc", "--like", "m", "-o", "no"],
                     ["inspect", "t.nnc"]):
            got = nnc(*args)
            cut = size not in whole_prefixes(data)
            if cut and (got.returncode != 4 or got.stderr.count("\n") != 1 or
                        "t.nnc" not in got.stderr or os.path.exists("no")):
                wrong.append((size, args[0], got.returncode, got.stderr))
            elif not cut and got.returncode:
                wrong.append((size, args[0], got.returncode, got.stderr))
            if os.path.exists("no"):
                os.remove("no")
    result(not wrong, "streams cut short are refused with one line", wrong)
    rng, odd = random.Random(1), []
    for _ in range(60):
        at = rng.randrange(len(data))
        write("t.nnc", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) +
              data[at + 1:])
        got = nnc("decode", "t.nnc", timeout=60)
        if got.returncode not in (0, 4) or got.stderr.count("\n") > 1:
            odd.append((at, got.returncode, got.stderr))
    result(not odd, "a bit that changed is refused or another stream", odd)
    write("t.nnc", data[:len(data) - 30])
    got = nnc("inspect", "t.nnc", "--json")
    seen = json.loads(got.stdout)
    result(got.returncode == 4 and not seen["whole"] and
           0 < len(seen["tensors"]) < 4 and "NDU" in seen["units"],
           "inspect shows what comes before the break", got.stdout)
    write("t.nnc", b"no stream at all")
    refused(nnc("inspect", "t.nnc"), 4, "t.nnc", "what is no stream")
    refused(nnc("decode", "absent.nnc"), 8, "absent.nnc", "no such file")
    refused(nnc("encode", "t.nnc", "-o", "no"), 3 + 1, "no tensors",
            "a file without tensors")


def check_hostile():
    """Streams that are small and ask for much."""
    folder, odd, count = os.path.join(SOURCE, "tests/data/nnc_hostile"), [], 0
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".nnc"):
            continue
        count += 1
        got = nnc("decode", os.path.join(folder, name), "-o", "h.out",
                  timeout=60)
        size = os.path.getsize("h.out") if os.path.exists("h.out") else 0
        if got.returncode not in (0, 4) or got.stderr.count("\n") > 1 or \
                size > 1 << 30:
            odd.append((name, got.returncode, got.stderr, size))
        if size:
            os.remove("h.out")
    result(count and not odd, "%d hostile streams cost little" % count, odd)


def check_full():
    """A disk that is full in the middle."""
    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
    Model(13).write("m")
    fine("encode", "m", "-o", "m.nnc", "--qp", "-20")
    os.mkdir("full")
    write("full/old", b"old")
    for args in (["encode", "m"], ["decode", "m.nnc"],
                 ["decode", "m.nnc", "--like", "m"]):
        for out in ("full/new", "full/old"):
            got = nnc(*args, "-o", out, preexec_fn=small,
                      restore_signals=False)
            refused(got, 7, out + ": ", "no space: " + " ".join(args))
    result(os.listdir("full") == ["old"] and read("full/old") == b"old",
           "what was there stays, nothing else", os.listdir("full"))


def whole_prefixes(data):
    """Where one unit ends and the next begins: a stream may end there, once
    it has begun."""
    ends, at = set(), 0
    while at < len(data):
        size, = struct.unpack_from(">H", data, at)
        if size & 0x8000:
            size = struct.unpack_from(">I", data, at)[0] & 0x7fffffff
        at += size
        if at > 4:  # the start alone is none
            ends.add(at)
    return ends


# ---- words ----

def check_inspect():
    Model(10).write("m")
    fine("encode", "m", "-o", "m.nnc", "--qp", "-20", "--dq")
    seen = told("inspect", "m.nnc")
    row = seen["tensors"][0]
    result(seen["format"] == "nnc" and seen["profile"] == 1 and
           seen["bytes"] == os.path.getsize("m.nnc") and
           seen["units"]["NDU"]["count"] == 4 and
           sum(u["bytes"] for u in seen["units"].values()) == seen["bytes"] and
           seen["elements"] == 48 * 64 + 32 * 27 + 33, "inspect --json: totals",
           seen)
    result(row["name"] == "a.weight" and row["shape"] == [48, 64] and
           row["qp"] == -20 and row["step"] == 2 ** -5 and row["dq"] and
           abs(row["bits"] - 8 * row["bytes"] / 3072) < 1e-9,
           "inspect --json: tensors", row)
    text = fine("inspect", "m.nnc").stdout
    result("a.weight" in text and "[48, 64]" in text and "0.03125" in text and
           "4 NDU" in text and "bits an element" in text, "inspect in words",
           text)


def check_usage():
    Model(11).write("m")
    for args in (["encode", "m"], ["encode", "-o", "x"], ["encode", "m", "n", "-o", "x"],
                 ["encode", "m", "-o", "x", "--qp", "much"],
                 ["encode", "m", "-o", "x", "--bits", "1"],
                 ["encode", "m", "-o", "x", "--bits", "25"],
                 ["encode", "m", "-o", "x", "--max-error", "0"],
                 ["encode", "m", "-o", "x", "--sparsity", "2"],
                 ["encode", "m", "-o", "x", "--scan", "5"],
                 ["encode", "m", "-o", "x", "--profile", "2"],
                 ["encode", "m", "-o", "x", "--density", "8"],
                 ["encode", "m", "-o", "x", "--qp", "-38", "--bits", "4"],
                 ["encode", "m", "-o", "x", "--dq", "--codebook"],
                 ["encode", "m", "-o", "x", "--dq", "--scan", "1"],
                 ["encode", "m", "-o", "x", "--bits", "4", "--dq"],
                 ["encode", "m", "-o", "x", "--bits", "4", "--codebook"],
                 ["encode", "m", "-o", "x", "--bits", "4", "--vector-qp", "0"],
                 ["encode", "m", "-o", "x", "--max-error", "1",
                  "--vector-error", "0.1"],
                 ["encode", "m", "-o", "x", "--max-error", "1", "--sparsity",
                  "0.5"],
                 ["encode", "m", "-o", "x", "--vector-qp", "0",
                  "--vector-error", "0.1"],
                 ["encode", "m", "-o", "x", "--base", "m", "--profile", "0"],
                 ["encode", "m", "-o", "x", "--prev", "m.nnc"],
                 ["encode", "m", "-o", "x", "--tca"],
                 ["encode", "m", "-o", "x", "--qp", "200"],
                 ["decode"], ["decode", "x", "--base", "m", "--like", "m"],
                 ["decode", "x", "--values", "odd"], ["inspect"], ["odd"], []):
        got = nnc(*args)
        result(got.returncode == 2 and got.stderr and not os.path.exists("x"),
               "usage: " + " ".join(args), got.stderr)
    for part in ("encode", "decode", "inspect"):
        got = nnc(part, "--help")
        result(got.returncode == 0 and "usage: deltamesh nnc " + part in
               got.stdout, part + " --help", got.stdout)


def main():
    if not os.access(TOOL, os.X_OK):
        print("1..0 # SKIP the command was not built")
        return 0
    if nnc("--help").returncode:
        print("1..0 # SKIP configured --without-nnc")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for check in (check_whole, check_steps, check_tools, check_codebook,
                      check_types,
                      check_differences, check_lattice, check_chain, check_containers,
                      check_folder, check_broken, check_hostile, check_full,
                      check_inspect, check_usage):
            try:
                check()
            except (RuntimeError, OSError, KeyError, ValueError) as e:
                result(False, check.__name__ + " goes to its end", repr(e))
        left = [f for f in os.listdir(".") if "tmp-" in f]
        result(not left, "nothing is left behind", left)
        os.chdir("/")
    plan()
    return 0


if __name__ == "__main__":
    sys.exit(main())
