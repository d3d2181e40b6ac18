#!/usr/bin/env python3
"""Versions made of NNC updates and NNC streams made of versions: publish --nnc,
export --nnc, with a daemon. TAP."""
import array
import filecmp
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lab import Lab, LabError  # noqa: E402
from test_commands import Tap, write  # noqa: E402
from test_quantize import Model, floats, safetensors  # noqa: E402


def nnc(lab, *args):
    return subprocess.run([os.path.join(lab.bin, "deltamesh"), "nnc", *args],
                          capture_output=True, text=True, check=True)


def largest(path_a, path_b):
    with open(path_a, "rb") as a, open(path_b, "rb") as b:
        return max(abs(p - q) for p, q in zip(floats(a.read()),
                                              floats(b.read())))


def check_publish(tap, lab):
    """Another program's update: made here with the command, from files."""
    node = lab.nodes[0]
    model = Model(1)
    base = write(lab, "m.safetensors", model.bytes())
    node.run("publish", "n/m", base, "--wait=2")
    new = write(lab, "new.safetensors", model.step())
    update = os.path.join(lab.dir, "update.nnc")
    out, want = os.path.join(lab.dir, "out"), os.path.join(lab.dir, "want")
    nnc(lab, "encode", "--base", base, new, "-o", update, "--error", "0.2")
    nnc(lab, "decode", update, "--base", base, "-o", want)
    reply = node.json("publish", "n/m", "--nnc", update, "--base", "n/m#1",
                      "--wait=2")
    for n in lab.nodes:
        n.run("export", "n/m@main", "-o", out)
        tap.ok(filecmp.cmp(out, want, shallow=False),
               "an update of other software is a version, node %d" % n.index)
    shown = node.json("show", "n/m@latest")
    tap.ok(reply["n"] == 2 and shown["version"]["n"] == 2 and
           os.path.basename(base) == shown["files"][0]["path"],
           "of the same name, behind its base", shown)
    full = os.path.join(lab.dir, "full.nnc")
    nnc(lab, "encode", new, "-o", full, "--max-error", "0.0001")
    node.run("publish", "n/m", "--nnc", full, "--base", "n/m#1", "--values",
             "new", "--no-release")
    node.run("export", "n/m@latest", "-o", out)
    tap.ok(largest(out, new) <= 0.000101, "--values new replaces",
           largest(out, new))
    node.run("publish", "n/m", "--nnc", full, "--base", "n/m#1", "--values",
             "difference", "--no-release")
    node.run("export", "n/m@latest", "-o", out)
    tap.ok(largest(out, new) > 0.01, "--values difference adds")
    broken = write(lab, "broken.nnc", open(update, "rb").read()[:-20])
    known = node.json("show", "n/m@latest")["version"]["id"]
    tap.refused(node.run("publish", "n/m", "--nnc", broken, "--base", "n/m#1",
                         check=False), 4, "broken.nnc", "a broken update")
    tap.refused(node.run("publish", "n/m", "--nnc", update, "--base", "n/m#9",
                         check=False), 8, "n/m#9", "a base that is not there")
    other = write(lab, "o.safetensors", safetensors(
        {"other": ([2, 2], array.array("f", [1, 2, 3, 4]))}))
    node.run("publish", "n/o", other)
    tap.refused(node.run("publish", "n/o", "--nnc", update, "--base", "n/o#1",
                         check=False), 4, "none of that name",
                "a base of other tensors")
    tap.refused(node.run("publish", "n/new", "--nnc", update, "--base", "n/m#1",
                         check=False), 2, "another model",
                "a base that is a version of another model")
    for args in (["--nnc", update], ["--base", "n/m#1"],
                 [base, "--nnc", update, "--base", "n/m#1"],
                 ["--nnc", update, "--base", "n/m#1", "--quantize", "auto"],
                 ["--values", "new", base]):
        done = node.run("publish", "n/m", *args, check=False)
        tap.ok(done.returncode == 2, "usage: publish " + " ".join(args),
               done.stderr)
    tap.refused(node.run("publish", "n/m", "--nnc", update, "--base", "n/m#1",
                         "--values", "odd", check=False), 2, "odd",
                "--values odd")
    tap.ok(node.json("show", "n/m@latest")["version"]["id"] == known,
           "none of these published anything")


def check_export(tap, lab):
    node = lab.nodes[0]
    model = Model(2)
    path = write(lab, "e.safetensors", model.bytes())
    node.run("publish", "n/e", path)
    new = write(lab, "e2.safetensors", model.step())
    os.replace(new, path)
    node.run("publish", "n/e", path)
    stream, out = os.path.join(lab.dir, "e.nnc"), os.path.join(lab.dir, "e.out")
    first = os.path.join(lab.dir, "e.first")
    node.run("export", "n/e#1", "-o", first)
    got = node.json("export", "n/e#2", "--nnc", "--base", "n/e#1", "-o", stream)
    nnc(lab, "decode", stream, "--base", first, "-o", out)
    tap.ok(got["relative_error"] <= 0.001 and largest(out, path) < 3e-5 and
           got["bytes"] == os.path.getsize(stream),
           "a difference of versions, close to exact", got)
    got = node.json("export", "n/e#2", "--nnc", "-o", stream, "--qp", "-32")
    nnc(lab, "decode", stream, "-o", out)
    tap.ok(0.001 < got["relative_error"] and largest(out, path) < 0.02,
           "a version alone, by the options of encode", got)
    rng = random.Random(3)
    for _, values in model.tensors.values():
        for i in range(len(values)):
            values[i] += rng.choice((0, 0, 0, 1, -1)) * 2 ** -10
    lattice = write(lab, "l.safetensors", model.bytes())
    node.run("publish", "n/e", lattice)
    got = node.json("export", "n/e#3", "--nnc", "--base", "n/e#2", "-o", stream)
    nnc(lab, "decode", stream, "--base", path, "-o", out)
    tap.ok(got["lattice"] == 3 and filecmp.cmp(out, lattice, shallow=False),
           "a version on a lattice over its base is exported exactly", got)
    reply = node.json("publish", "n/e", "--nnc", stream, "--base", "n/e#2",
                      "--no-release")
    tap.ok(reply["unchanged"], "and comes back as the same version", reply)
    tap.refused(node.run("export", "n/e#9", "--nnc", "-o", stream, check=False),
                8, "n/e#9", "no such version")
    for args in (["--nnc"], ["--nnc", "-o", stream, "--qp", "x"],
                 ["--nnc", "-o", stream, "--tca"]):
        done = node.run("export", "n/e#2", *args, check=False)
        tap.ok(done.returncode == 2, "usage: export " + " ".join(args),
               done.stderr)


def check_quantized(tap, lab):
    """What publish --quantize makes goes into a standard stream exactly."""
    node = lab.nodes[0]
    model = Model(4)
    path = write(lab, "q.safetensors", model.bytes())
    node.run("publish", "n/q", path)
    write(lab, "q.safetensors", model.step())
    node.run("publish", "n/q", path, "--quantize", "max-error=0.001")
    base, held = os.path.join(lab.dir, "q1"), os.path.join(lab.dir, "q2")
    stream, out = os.path.join(lab.dir, "q.nnc"), os.path.join(lab.dir, "qo")
    node.run("export", "n/q#1", "-o", base)
    node.run("export", "n/q#2", "-o", held)
    got = node.json("export", "n/q#2", "--nnc", "--base", "n/q#1", "-o", stream)
    nnc(lab, "decode", stream, "--base", base, "-o", out)
    tap.ok(got["lattice"] == 3 and filecmp.cmp(out, held, shallow=False),
           "a quantised version is exported exactly", got)


def check_absent(tap, lab):
    """A version that nobody can send is not waited for without end."""
    first, second = lab.nodes
    model = Model(6)
    path = write(lab, "a.safetensors", model.bytes())
    update = os.path.join(lab.dir, "a.nnc")
    first.run("publish", "n/a", path, "--wait=2")
    write(lab, "a.safetensors", model.step())
    nnc(lab, "encode", path, "-o", update)
    first.run("publish", "n/a", path, "--no-release")
    while second.run("show", "n/a#2", check=False).returncode:
        time.sleep(0.05)
    first.stop()
    tap.refused(second.run("export", "n/a#2", "--nnc", "-o", update + ".2",
                           "--timeout", "1", check=False), 6, "1 s",
                "export --nnc --timeout")
    tap.refused(second.run("publish", "n/a", "--nnc", update, "--base", "n/a#2",
                           "--timeout", "1", check=False), 6, "1 s",
                "publish --nnc --timeout")
    first.start()


def check_folder(tap, lab):
    node = lab.nodes[0]
    one = Model(5)
    folder = os.path.join(lab.dir, "set")
    write(lab, "set/one.safetensors", one.bytes())
    write(lab, "set/sub/words.txt", b"cat dog\n")
    node.run("publish", "n/set", folder)
    write(lab, "set/one.safetensors", one.step())
    update = os.path.join(lab.dir, "set.nnc")
    nnc(lab, "encode", folder, "-o", update, "--max-error", "0.0001")
    node.run("publish", "n/set", "--nnc", update, "--base", "n/set#1")
    out = os.path.join(lab.dir, "set-out")
    node.run("export", "n/set@latest", "-o", out)
    tap.ok(largest(os.path.join(out, "one.safetensors"),
                   os.path.join(folder, "one.safetensors")) < 0.000101 and
           open(os.path.join(out, "sub/words.txt")).read() == "cat dog\n",
           "a version of several files")


def main():
    tap = Tap()
    try:
        with Lab(2) as lab:
            tool = os.path.join(lab.bin, "deltamesh")
            if subprocess.run([tool, "nnc", "--help"], capture_output=True,
                              check=False).returncode:
                print("1..0 # SKIP configured --without-nnc")
                return
            lab.found()
            check_publish(tap, lab)
            check_export(tap, lab)
            check_quantized(tap, lab)
            check_folder(tap, lab)
            check_absent(tap, lab)
    except (LabError, subprocess.SubprocessError, OSError, KeyError) as e:
        tap.ok(False, "the run goes to its end",
               "%s %s" % (e, getattr(e, "stderr", "")))
    print(f"1..{tap.count}")
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
