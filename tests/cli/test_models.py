#!/usr/bin/env python3
"""diff, patch, inspect and bench of models: folders, threads, what changed, the
words for it, and that help, manual and completions name the same options.
TAP."""
import filecmp
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

from cli import SOURCE, TOOL, plan, result, safetensors, write

DATA = os.path.join(SOURCE, "tests/data")


def run(*args, **kw):
    return subprocess.run([TOOL, *args], capture_output=True, text=True, **kw)


def refused(got, status, words, name):
    result(got.returncode == status and got.stderr.count("\n") == 1 and
           words in got.stderr, name, "%d %s" % (got.returncode, got.stderr))


def f32(*values):
    return struct.pack("<%df" % len(values), *values)


def f16(*values):
    return struct.pack("<%de" % len(values), *values)


def many(seed, count):
    return f32(*(((i * 2654435761 + seed * 97) % 65521) / 65521 - 0.5
                 for i in range(count)))


def check_pair():
    """Every kind of change, with figures worked out by hand."""
    write("a.safetensors", safetensors([
        ("kept", "F32", [2], f32(1, 2)),
        ("moved", "F32", [2], f32(3, 4)),
        ("half", "F16", [2], f16(1, 0.5)),
        ("long", "F32", [4], f32(1, 2, 3, 4)),
        ("cast", "F32", [2], f32(1, 1.5)),
        ("old.name", "F32", [300], many(1, 300)),
        ("gone", "I8", [3], b"\1\2\3"),
        ("packed", "F4", [4], b"\x12\x34")]))
    write("b.safetensors", safetensors([
        ("kept", "F32", [2], f32(1, 2)),
        ("moved", "F32", [2], f32(3, 9)),
        ("half", "F16", [2], f16(1, 0.25)),
        ("long", "F32", [2, 3], f32(1, 2, 3, 4, 5, 6)),
        ("cast", "F16", [2], f16(1, 1.5)),
        ("new.name", "F32", [300], many(1, 300)),
        ("fresh", "BF16", [1], b"\0\0"),
        ("packed", "F4", [4], b"\x12\x35")]))
    got = run("inspect", "--json", "a.safetensors", "b.safetensors")
    rows = {r["name"]: r for r in json.loads(got.stdout)["tensors"]}
    result(list(rows) == ["kept", "moved", "half", "long", "cast", "new.name",
                          "fresh", "packed", "gone"],
           "tensors in the order of the file, then those gone", rows.keys())
    result(rows["kept"]["change"] == "same" and rows["kept"]["changed"] == 0,
           "a tensor that is the same")
    moved = rows["moved"]
    result(moved["change"] == "changed" and moved["changed"] == 1 and
           abs(moved["relative"] - 1) < 1e-9 and moved["max"] == 5,
           "share, relative size and largest change", moved)
    half = rows["half"]
    result(half["max"] == 0.25 and abs(half["relative"] ** 2 - 0.05) < 1e-9,
           "half precision", half)
    result(rows["long"]["change"] == "reshaped" and
           rows["long"]["was_shape"] == [4] and "changed" not in rows["long"],
           "another shape")
    result(rows["cast"]["change"] == "reshaped" and
           rows["cast"]["was_dtype"] == "F32" and rows["cast"]["changed"] == 0,
           "another type, the same values")
    result(rows["new.name"].get("was") == "old.name" and
           rows["new.name"]["change"] == "same", "renamed")
    result(rows["fresh"]["change"] == "new" and rows["gone"]["change"] == "gone",
           "new and gone")
    result(rows["packed"]["changed"] == 1 and rows["packed"]["elements"] == 2,
           "packed types go by bytes")
    got = run("inspect", "a.safetensors", "b.safetensors")
    result(got.returncode == 0 and "same, was old.name" in got.stdout and
           "other shape, was F32 [4]" in got.stdout and "####" in got.stdout and
           "2 of another shape, 1 new, 1 gone, 1 renamed" in got.stdout,
           "the same as text", got.stdout)
    write("x", b"hello")
    write("y", b"hallo!")
    got = run("inspect", "x", "y")
    result("opaque" in got.stdout and "2 differ" in got.stdout,
           "two opaque files", got.stdout)


def check_update():
    base = os.path.join(DATA, "federated/global-r00.safetensors")
    target = os.path.join(DATA, "federated/global-r01.safetensors")
    run("diff", base, target, "-o", "u")
    for option, path in (("--base", base), ("--target", target)):
        got = run("inspect", "--json", "u", option, path)
        told = json.loads(got.stdout)
        names = [r.get("name") for r in told["records"]]
        coded = sum(r["coded"] for r in told["records"])
        size = sum(r["bytes"] for r in told["records"])
        result("fc1.weight" in names and size == told["target_bytes"] and
               abs(coded - sum(told["segments"]) -
                   sum(told["auxiliary"])) < 1e-3,
               "inspect UPDATE %s names ranges; the sums fit" % option, told)
    coders = {r.get("coder") for r in told["records"]}
    result(coders - {None} and coders <= {None, "fast", "narrow", "small"},
           "coders are named", coders)
    got = run("inspect", "u", "--target", target)
    result("fc1.weight" in got.stdout and "%" in got.stdout and
           re.search(r"^delta +\d+ ranges", got.stdout, re.M),
           "the same as text", got.stdout)
    refused(run("inspect", "u", "--base", target), 4, "is not the base",
            "ranges are not named by another model")
    refused(run("inspect", base, "--base", target), 2, "is no update",
            "--base is for updates")
    result(run("inspect", base, "u", "--base", base).returncode == 2 and
           run("inspect", "u", "--base", base, "--target",
               target).returncode == 2, "options that do not go together")


def same_tree(a, b):
    def names(top):
        return sorted(os.path.relpath(os.path.join(d, f), top)
                      for d, _, files in os.walk(top) for f in files)
    return names(a) == names(b) and not filecmp.cmpfiles(
        a, b, names(a), shallow=False)[1]


def check_folders():
    write("d1/config.json", b'{"a":1}')
    write("d1/w/one.safetensors", safetensors([("a", "F32", [9000],
                                                many(1, 9000))]))
    write("d1/w/two.safetensors", safetensors([("b", "F32", [9000],
                                                many(2, 9000))]))
    write("d1/empty", b"")
    write("d2/config.json", b'{"a":2, "b":3}')
    write("d2/w/one.safetensors", safetensors([("a", "F32", [9000],
                                                many(1, 9000))]))
    write("d2/w/two.safetensors", safetensors([("b", "F32", [9000],
                                                many(2, 8999) + f32(7))]))
    write("d2/w/more/three", b"3" * 99)
    got = run("diff", "d1", "d2", "-o", "u")
    size = os.path.getsize("u")
    result(got.returncode == 0 and size < 6000, "diff of two folders",
           "%d %s" % (size, got.stderr))
    got = run("patch", "d1", "u", "-o", "out")
    result(got.returncode == 0 and same_tree("d2", "out"), "patch to a folder",
           got.stderr)
    got = run("patch", "d1", "u", "-o", "out")
    result(got.returncode == 0 and same_tree("d2", "out"),
           "patch over the same files")
    write("out/other", b"1")
    refused(run("patch", "d1", "u", "-o", "out"), 1, "other",
            "a folder with other files is refused")
    refused(run("patch", "d1", "u", "-o", "x"), 1, "no folder",
            "a file in the place of the folder is refused")
    refused(run("patch", "--in-place", "d1", "u"), 2, "in place",
            "a folder is not patched in place")
    refused(run("patch", "d2", "u", "-o", "out2"), 4, "not the base",
            "another folder is not the base")
    with open("u", "rb") as file:
        update = bytearray(file.read())
    update[-9] ^= 1
    write("bad", update)
    refused(run("patch", "d1", "bad", "-o", "out2"), 4, "segment",
            "a damaged update of a folder")
    for end in range(12, 90, 7):
        write("bad", update[:end])
        if run("patch", "d1", "bad", "-o", "out2").returncode != 4:
            result(False, "an update of a folder cut at %d" % end)
    evil = update.replace(b"w/more/three", b"w/../../thre")
    write("bad", evil)
    refused(run("patch", "d1", "bad", "-o", "out2"), 4, "bad",
            "no file goes outside of the folder")
    result(not [n for n in os.listdir(".") if "tmp-" in n or n == "out2"],
           "nothing is left behind")
    got = run("inspect", "u")
    result("w/more/three, 99 bytes" in got.stdout, "inspect lists the files")
    got = run("inspect", "d1", "d2")
    result("1 same, 1 changed" in got.stdout, "inspect of two folders",
           got.stdout + got.stderr)
    run("diff", "d2", "-o", "full")
    got = run("patch", "full", "-o", "out3")
    result(got.returncode == 0 and same_tree("d2", "out3"),
           "a folder from nothing")
    write("d3/.hidden", b"")
    refused(run("diff", "d3", "-o", "u3"), 2, ".hidden",
            "names that no version may have")
    write("d4/m", b"x")
    write("d4/m.dmjournal", b"x")
    refused(run("diff", "d4", "-o", "u4"), 4, "d4/m is half patched",
            "a half patched file in a folder")
    os.symlink("../x", "d2/link")
    got = run("inspect", "--json", "d2")
    result(got.returncode == 0, "a link to a file is a file", got.stderr)


def check_threads():
    data = [("t%d" % i, "F32", [200000], many(i, 200000)) for i in range(3)]
    write("big1", safetensors(data))
    data[1] = ("t1", "F32", [200000], os.urandom(800000))
    write("big2.safetensors", safetensors(data[::-1]))
    run("diff", "big1", "big2.safetensors", "-o", "u")
    ok = True
    for width in ("1", "2", "3", "16", "64"):
        got = run("patch", "--threads", width, "big1", "u", "-o", "t")
        ok = ok and got.returncode == 0 and filecmp.cmp(
            "t", "big2.safetensors", shallow=False)
    result(ok, "patch with any number of threads")
    with open("u", "rb") as file:
        update = bytearray(file.read())
    words = set()
    update[-1] ^= 1
    update[-300000] ^= 1
    write("bad", update)
    for _ in range(8):
        words.add(run("patch", "--threads", "8", "big1", "bad", "-o",
                      "t").stderr)
    result(len(words) == 1, "the first bad segment is named, every time", words)
    for args in (["--threads", "0"], ["--threads", "x"], ["--threads", "65"],
                 ["--threads", ""]):
        if run("patch", *args, "big1", "u", "-o", "t").returncode != 2:
            result(False, " ".join(args))
    for args in (["--speed", "slow"], ["--max-rank", "65"],
                 ["--max-rank", "-1"], ["--threads", "0"]):
        if run("diff", *args, "big1", "-o", "u").returncode != 2:
            result(False, " ".join(args))
    ok = True
    for args in (["--speed", "fast"], ["--speed", "small", "--max-rank", "0"],
                 ["--speed", "auto", "--threads", "2"], ["--fast"]):
        got = run("diff", *args, "a.safetensors", "b.safetensors", "-o", "u")
        ok = ok and got.returncode == 0 and run(
            "patch", "a.safetensors", "u", "-o", "t").returncode == 0
        ok = ok and filecmp.cmp("t", "b.safetensors", shallow=False)
    result(ok, "diff --speed, --max-rank, --threads")


def check_bench():
    base = os.path.join(DATA, "headonly/h0.safetensors")
    target = os.path.join(DATA, "headonly/h1.safetensors")
    os.mkdir("tmp")
    env = dict(os.environ, TMPDIR=os.path.abspath("tmp"))
    got = run("bench", "--json", "--threads", "1", base, target, env=env)
    rows = [json.loads(line) for line in got.stdout.splitlines()]
    ours = [r for r in rows if r["coder"].startswith("deltamesh")]
    result(got.returncode == 0 and len(ours) == 2 and len(rows) >= 6 and
           all(r.get("skipped") or r["exact"] for r in rows),
           "bench: every result is exact", got.stdout + got.stderr)
    got = run("bench", base, target, env=dict(env, PATH="/nonexistent"))
    result(got.returncode == 0 and got.stdout.count("not installed") == 4,
           "bench without other programs", got.stdout)
    refused(run("bench", base, "missing", env=env), 8, "missing",
            "bench of a missing file")
    write("noise1", os.urandom(6 << 20))
    write("noise2", os.urandom(6 << 20))
    for number_of in (signal.SIGINT, signal.SIGTERM):
        child = subprocess.Popen([TOOL, "bench", "noise1", "noise2"], env=env,
                                 stdout=subprocess.DEVNULL)
        while not os.listdir("tmp"):
            time.sleep(0.01)
        time.sleep(0.2)
        child.send_signal(number_of)
        child.wait()
        result(child.returncode == 128 + number_of and not os.listdir("tmp"),
               "bench leaves nothing after signal %d" % number_of,
               "%d %s" % (child.returncode, os.listdir("tmp")))
    result(not os.listdir("tmp"), "bench leaves nothing")


def check_words():
    """Options by --help against manual and completions."""
    with open(os.path.join(SOURCE, "daemon/man/deltamesh.1")) as file:
        manual = file.read()
    texts = {}
    folder = os.path.join(SOURCE, "contrib/completion")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name)) as file:
            texts[name] = file.read()
    verbs = re.findall(r"^  ([a-z]+) ", run("--help").stdout, re.M)
    missing = []
    for verb in verbs:
        for option in set(re.findall(r"--([a-z-]+)",
                                     run(verb, "--help").stdout)):
            if not re.search(r"Fl -%s\b" % option, manual):
                missing.append("manual: %s --%s" % (verb, option))
            missing += ["%s: %s --%s" % (name, verb, option)
                        for name, text in texts.items()
                        if "-" + option not in text and
                        "-l " + option not in text]
        if not re.search(r"^\.It Cm %s\b" % verb, manual, re.M):
            missing.append("manual: %s" % verb)
        missing += ["%s: %s" % (name, verb) for name, text in texts.items()
                    if verb not in text]
    result(verbs and not missing, "help, manual and completions agree",
           "\n".join(missing))
    words = subprocess.run(
        ["bash", "-c", ". %s/deltamesh.bash; COMP_WORDS=(deltamesh patch --in)"
         "; COMP_CWORD=2; _deltamesh; echo ${COMPREPLY[*]}" % folder],
        capture_output=True, text=True).stdout.split()
    result(words == ["--in-place"], "completion in bash", words)


def main():
    if not os.access(TOOL, os.X_OK):
        print("1..0 # SKIP the command was not built")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check_pair()
        check_update()
        check_folders()
        check_threads()
        check_bench()
        check_words()
        os.chdir("/")
    plan()


if __name__ == "__main__":
    sys.exit(main())
