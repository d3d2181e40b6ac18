#!/usr/bin/env python3
"""publish --quantize: what is published is the decoded result, the same on every
node after any number of versions; --check chooses by the user's judgement; and
nothing stays behind, whatever ends it."""
import array
import filecmp
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_formats  # noqa: E402
from lab import Lab, LabError  # noqa: E402
from test_commands import Tap, write  # noqa: E402

ROWS, COLUMNS = 96, 128
FILE_HEAD = 12  # bytes of an update file before the update's header


def safetensors(tensors):
    """tensors: name -> (shape, array of floats)."""
    header, at, data = {}, 0, []
    for name, (shape, values) in tensors.items():
        size = 4 * len(values)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [at, at + size]}
        at += size
        data.append(values.tobytes())
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(data)


class Model:
    """Two matrices and a bias that are trained: each step moves all of them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.tensors = {
            "a.weight": ([ROWS, COLUMNS], self.noise(ROWS * COLUMNS, 0.05)),
            "b.weight": ([COLUMNS, COLUMNS], self.noise(COLUMNS ** 2, 0.05)),
            "b.bias": ([COLUMNS], self.noise(COLUMNS, 0.1))}

    def noise(self, count, deviation):
        gauss = self.rng.gauss
        return array.array("f", (gauss(0, deviation) for _ in range(count)))

    def step(self, size=0.002):
        for _, values in self.tensors.values():
            for i, d in enumerate(self.noise(len(values), size)):
                values[i] += d
        return safetensors(self.tensors)

    def bytes(self):
        return safetensors(self.tensors)


def floats(data):
    size = struct.unpack_from("<Q", data)[0]
    return array.array("f", data[8 + size:])


def largest_error(path_a, path_b):
    with open(path_a, "rb") as a, open(path_b, "rb") as b:
        x, y = floats(a.read()), floats(b.read())
    return max(abs(p - q) for p, q in zip(x, y))


# Says how near a candidate is to a reference: 1 is equal.
NEARNESS = """
import array, struct, sys
def read(path):
    data = open(path, "rb").read()
    return array.array("f", data[8 + struct.unpack_from("<Q", data)[0]:])
x, y, z = (read(p) for p in sys.argv[1:4])
lost = sum((a - b) ** 2 for a, b in zip(x, y))
moved = sum((a - b) ** 2 for a, b in zip(y, z))
print("tensors 3")
print("near %.6f" % (1 - (lost / moved) ** 0.5))
"""


def found(lab, count):
    """A fleet of the first nodes; the invite for others."""
    first = lab.nodes[0]
    first.run("init", "--fleet", "lab")
    first.wait_up()
    invite = first.run("invite", "--address", first.listen).stdout.strip()
    for node in lab.nodes[1:count]:
        node.run("join", invite, "--timeout", "30")
    return invite


def same_everywhere(lab, model, nodes):
    """Every node's file, which they all hold, or None where they differ."""
    paths = []
    for node in nodes:
        paths.append(os.path.join(lab.dir, f"out{node.index}"))
        node.run("export", model + "@main", "-o", paths[-1])
    same = all(filecmp.cmp(paths[0], p, shallow=False) for p in paths[1:])
    return paths[0] if same else None


def check_chain(tap, lab, invite):
    node, three = lab.nodes[0], lab.nodes[:3]
    model = Model(1)
    path = write(lab, "m.safetensors", model.bytes())
    node.run("publish", "q/m", path, "--wait=3")
    for i in range(3):
        write(lab, "m.safetensors", model.step())
        reply = node.json("publish", "q/m", path, "--quantize", "auto", "--wait=3")
        out = same_everywhere(lab, "q/m", three)
        tap.ok(out and not filecmp.cmp(out, path, shallow=False),
               f"quantised version {i + 1} is bit-identical on three nodes")
        chosen = [c for c in reply["quantized"]["candidates"] if c["chosen"]]
        direct = [u["bytes"] for u in reply["updates"] if u["base"]]
        tap.ok(len(chosen) == 1 and chosen[0]["error"] < 0.9 and
               direct == [chosen[0]["bytes"] - FILE_HEAD] and
               direct[0] < reply["size"] / 2,
               "the update that the command made is the one that is sent", reply)
    held = [u["bytes"] for u in lab.nodes[1].json("show", "q/m@latest")["updates"]
            if u["base"]]
    tap.ok(held == direct, "and the one that other nodes got", held)
    meta = node.json("show", "q/m@latest")["meta"]
    tap.ok(meta.get("quantized") == "auto" and float(meta["quantized-error"]) < 0.9
           and len(meta["quantized-base"]) == 16, "the manifest says so", meta)
    lab.nodes[2].stop()
    for _ in range(2):
        write(lab, "m.safetensors", model.step())
        node.run("publish", "q/m", path, "--quantize", "auto", "--wait=2")
    lab.nodes[2].start()
    lab.nodes[3].run("join", invite, "--timeout", "30")
    lab.wait_running("q/m", node.current("q/m", path))
    tap.ok(same_everywhere(lab, "q/m", lab.nodes),
           "a node that was away and one that joins late have the same bytes")


def check_rules(tap, lab):
    node = lab.nodes[0]
    model = Model(2)
    path = write(lab, "m.safetensors", model.bytes())
    reply = node.json("publish", "q/first", path, "--quantize", "auto", "--wait=3")
    chosen = [c for c in reply["quantized"]["candidates"] if c["chosen"]]
    full = [u["bytes"] for u in reply["updates"] if not u["base"]]
    tap.ok(len(chosen) == 1 and chosen[0]["error"] < 0.03 and
           reply["quantized"]["base"] == "" and full[0] < 0.4 * reply["size"] and
           same_everywhere(lab, "q/first", lab.nodes[:3]),
           "a first version is quantised alone", reply)
    node.run("publish", "q/r", path)
    exact = write(lab, "exact", model.step())
    os.replace(exact, path)
    reply = node.json("publish", "q/r", path, "--quantize", "max-error=0.0005")
    out = same_everywhere(lab, "q/r", [node])
    tap.ok(not reply["unchanged"] and largest_error(out, path) < 0.000501,
           "max-error bounds every element", largest_error(out, path))
    reply = node.json("publish", "q/r", path, "--quantize", "qp=-40")
    tap.ok(reply["quantized"]["candidates"][0]["strength"] == "qp=-40",
           "qp is taken", reply)
    write(lab, "m.safetensors", model.step())
    reply = node.json("publish", "q/r", path, "--quantize", "target-ratio=30%")
    chosen = [c for c in reply["quantized"]["candidates"] if c["chosen"]]
    others = [c for c in reply["quantized"]["candidates"]
              if c["bytes"] <= 0.3 * reply["size"]]
    tap.ok(len(chosen) == 1 and chosen[0]["bytes"] <= 0.3 * reply["size"] and
           chosen[0]["error"] == min(c["error"] for c in others),
           "target-ratio: the smallest error whose update fits", reply)
    write(lab, "m.safetensors", model.step())
    done = node.run("publish", "q/r", path, "--quantize", "target-ratio=0.00001",
                    check=False)
    tap.refused(done, 1, "nothing was published", "a ratio that cannot be had")
    tap.ok(node.json("show", "q/r@latest")["version"]["id"] == reply["version"],
           "and nothing was")
    matrix = safetensors({"w": model.tensors["a.weight"]})
    lone = write(lab, "lone/w.safetensors", matrix)
    node.run("publish", "q/s", lone)
    write(lab, "lone/w.safetensors", safetensors({"w": (
        [ROWS, COLUMNS], model.noise(ROWS * COLUMNS, 0.05))}))
    node.run("publish", "q/s", lone, "--no-release")
    done = node.run("publish", "q/s", lone, "--quantize", "qp=80", "--json")
    reply = json.loads(done.stdout)
    tap.ok("nothing of the change is left" in done.stderr,
           "a step that is too coarse is told", done.stderr)
    first = node.json("show", "q/s#1")["tree"]
    tap.ok(not reply["unchanged"] and
           node.json("show", "q/s@latest")["tree"] == first and
           first not in [u["base"] for u in reply["updates"]],
           "no update leads from what runs to the same", reply)
    node.run("release", "q/r#1")
    reply = node.json("publish", "q/r", path, "--quantize", "auto", "--wait=3")
    first = node.json("show", "q/r#1")
    tap.ok(reply["quantized"]["base"] == first["version"]["id"] and
           any(u["base"] == first["tree"] for u in reply["updates"]) and
           same_everywhere(lab, "q/r", lab.nodes[:3]),
           "the base is what channel main names, not what is newest", reply)
    done = node.run("publish", "q/n", write(lab, "text.txt", b"words\n"),
                    "--quantize", "auto")
    tap.ok("nothing to quantise" in done.stdout, "a file without tensors",
           done.stdout + done.stderr)


def check_usage(tap, lab):
    node = lab.nodes[0]
    path = write(lab, "m.safetensors", Model(3).bytes())
    for args in (["--quantize", "much"], ["--quantize", "qp=1.5"],
                 ["--quantize", "max-error=0"], ["--quantize", "target-ratio=200%"],
                 ["--check", "true {}"], ["--quantize", "auto", "--check", "true"],
                 ["--quantize", "auto", "--check-min", "1"],
                 ["--quantize", "auto", "--check", "true {}", "--check-timeout",
                  "0"],
                 ["--quantize", "auto", "--check", "true {}", "--check-min",
                  "nan"],
                 ["--quantize", "auto", *(a for i in range(61)
                                          for a in ("--meta", f"k{i}=v"))]):
        done = node.run("publish", "q/u", path, *args, check=False)
        tap.ok(done.returncode == 2, " ".join(args) + " is a usage error",
               done.stderr)


def check_check(tap, lab):
    node = lab.nodes[0]
    model = Model(4)
    path = write(lab, "m.safetensors", model.bytes())
    before = write(lab, "before", model.bytes())
    exact = write(lab, "exact", model.step())
    near = write(lab, "near.py", NEARNESS.encode())
    node.run("publish", "q/c", path)
    write(lab, "m.safetensors", model.bytes())
    command = f"python3 {near} {{}} {exact} {before}"
    reply = node.json("publish", "q/c", path, "--quantize", "auto", "--check",
                      command, "--check-min", "0.7")
    tried = reply["quantized"]["candidates"]
    chosen = [c for c in tried if c["chosen"]][0]
    tap.ok(chosen["value"] >= 0.7 and 3 <= len(tried) <= 9 and
           all(c["passed"] == (c["value"] >= 0.7) for c in tried) and
           chosen["bytes"] == min(c["bytes"] for c in tried if c["passed"]),
           "--check-min: the smallest update that passes", reply)
    def strength(c):
        return float(c["strength"].split("=")[1])
    coarser = [c for c in tried if strength(c) > strength(chosen)]
    tap.ok(coarser and not any(c["passed"] for c in coarser) and
           min(map(strength, coarser)) < 1.2 * strength(chosen),
           "the next step on the way to less failed", tried)
    meta = node.json("show", "q/c@latest")["meta"]
    tap.ok(abs(float(meta["quantized-check"]) - chosen["value"]) < 1e-4,
           "what the check printed is in the manifest", meta)
    done = node.run("publish", "q/c", path, "--quantize", "auto", "--check",
                    f"cmp -s {{}} {path}")
    out = same_everywhere(lab, "q/c", [node])
    tap.ok("exact" in done.stdout and filecmp.cmp(out, path, shallow=False),
           "where only the exact model passes it is published", done.stdout)
    write(lab, "m.safetensors", model.step())
    done = node.run("publish", "q/c", path, "--quantize", "qp=-100", "--check",
                    f"cmp -s {{}} {path}", "--no-release")
    tap.ok("unknown" in done.stdout and "the exact model" in done.stdout,
           "steps too fine for any levels are no end", done.stdout + done.stderr)
    write(lab, "m.safetensors", model.step())
    tap.refused(node.run("publish", "q/c", path, "--quantize", "qp=-240",
                         check=False), 4, "32 bits", "nor are they taken")
    tap.refused(node.run("publish", "q/c", path, path, "--quantize", "auto",
                         check=False), 2, "two files", "a file given twice")
    known = node.json("show", "q/c@latest")["version"]["id"]
    for what, args, status, words in (
            ("the model itself fails", ["--check", "false {}"], 4, "the model itself"),
            ("no such command", ["--check", "no-such-thing {} 2>&1"], 1, "127"),
            ("the model is below the limit", ["--check", "echo 0.5 {}",
             "--check-min", "0.6"], 4, "0.5, and --check-min is 0.6"),
            ("the files changed", ["--check", "echo x >> {}"], 1, "changed"),
            ("no number", ["--check", "true {}", "--check-min", "1"], 1, "no number"),
            ("a signal", ["--check", "kill -9 $$ {}"], 1, "signal 9"),
            ("the time is over", ["--check", "sleep 60; {}", "--check-timeout", "1"],
             6, "1 s")):
        done = node.run("publish", "q/c", path, "--quantize", "auto", *args,
                        check=False)
        tap.refused(done, status, words, "--check: " + what)
    tap.ok(node.json("show", "q/c@latest")["version"]["id"] == known,
           "none of these published anything")
    done = node.run("publish", "q/c", path, "--quantize", "auto", "--check",
                    "echo 'of {} 0.75 (15/20)'", "--check-min", "0.7")
    tap.ok(done.stderr.count("several numbers") == 1 and "0.75" in done.stdout,
           "a line of several numbers: the first counts, which is said once",
           done.stderr + done.stdout)


def check_keys(tap, lab):
    """Who cannot sign is told before the candidates are made."""
    ran = os.path.join(lab.dir, "ran")
    path = write(lab, "m.safetensors", Model(11).bytes())
    done = subprocess.run(
        [os.path.join(lab.bin, "deltamesh"), "publish", "q/k", path, "--control",
         lab.nodes[0].control, "--quantize", "auto", "--check",
         f"touch {ran}; test -e {{}}"], capture_output=True, text=True,
        env=dict(os.environ, XDG_CONFIG_HOME=os.path.join(lab.dir, "nothing")),
        check=False, timeout=60)
    tap.refused(done, 5, "--key", "no key: refused")
    tap.ok(not os.path.exists(ran), "before any check runs")


def check_exact(tap, lab):
    """What cannot be quantised is judged as well."""
    node = lab.nodes[0]
    text = write(lab, "text.txt", b"words\n" * 100)
    for args, status, words in (
            (["auto", "--check", "false {}"], 4, "the model itself"),
            (["qp=-8", "--check", "false {}"], 4, "the model itself"),
            (["target-ratio=0.0001"], 1, "possible"),
            (["target-ratio=1", "--check", "false {}"], 4, "the model itself")):
        done = node.run("publish", "q/x", text, "--quantize", *args, check=False)
        tap.refused(done, status, words, "no tensors: " + " ".join(args))
    done = node.run("publish", "q/x", text, "--quantize", "auto", "--check",
                    "grep -q words {}")
    tap.ok("nothing to quantise" in done.stdout, "no tensors, and it passes",
           done.stdout)


def check_folder(tap, lab):
    node = lab.nodes[0]
    model, other = Model(5), Model(6)
    folder = os.path.join(lab.dir, "set")
    write(lab, "set/one.safetensors", model.bytes())
    write(lab, "set/sub/two.safetensors", other.bytes())
    write(lab, "set/words.txt", b"cat dog\n")
    node.run("publish", "q/set", folder)
    write(lab, "set/one.safetensors", model.step())
    write(lab, "set/sub/two.safetensors", other.step())
    reply = node.json("publish", "q/set", folder, "--quantize", "auto", "--check",
                      "test -s {}/one.safetensors -a -s {}/sub/two.safetensors "
                      "&& grep -q 'cat dog' {}/words.txt")
    lab.wait_version("q/set", reply["version"])
    out = os.path.join(lab.dir, "set-out")
    lab.nodes[1].run("export", "q/set@main", "-o", out)
    tap.ok(any(c["chosen"] and c["tensors"] == 6
               for c in reply["quantized"]["candidates"]) and
           filecmp.cmp(os.path.join(folder, "words.txt"),
                       os.path.join(out, "words.txt"), shallow=False),
           "a folder: {} is the candidate's folder, other files stay exact", reply)


def check_formats(tap, lab):
    """Tensors in every container; the check sums of zip archives stay right."""
    node = lab.nodes[0]
    for name, files in test_formats.FORMATS.items():
        folder, model = os.path.join(lab.dir, "f", name), "q/f-" + name
        test_formats.write(folder, files(test_formats.weights(0)))
        os.makedirs(os.path.join(lab.dir, "f", name + "-out"), exist_ok=True)
        node.run("publish", model, folder)
        exact = files(test_formats.weights(1))
        test_formats.write(folder, exact)
        reply = node.json("publish", model, folder, "--quantize", "auto")
        lab.wait_version(model, reply["version"])
        out = os.path.join(lab.dir, "f", name + "-out")
        lab.nodes[1].run("export", model + "@main", "-o",
                         os.path.join(out, next(iter(exact))) if len(exact) == 1
                         else out)
        chosen = [c for c in reply["quantized"]["candidates"] if c["chosen"]]
        sizes = [os.path.getsize(os.path.join(out, f)) for f in exact]
        tap.ok(len(chosen) == 1 and chosen[0]["tensors"] == 3 and
               chosen[0]["bytes"] < 0.2 * reply["size"] and
               sizes == [len(d) for d in exact.values()],
               f"{name}: three tensors are quantised, the layout stays", reply)
        if name == "torch":
            with zipfile.ZipFile(os.path.join(out, "m.pth")) as z:
                tap.ok(z.testzip() is None, "torch: the check sums are right")


def prepare(node, model, keys, path, update, index=1):
    """Prepare as any client might call it; the error, or the last reply."""
    call = {"method": "io.deltamesh.Control.Prepare", "more": True, "parameters": {
        "model": model, "keys": keys, "update": index,
        "files": [{"path": os.path.basename(path), "size": 0, "offset": 0, "fd": 0}]}}
    with socket.socket(socket.AF_UNIX) as s, open(path, "rb") as f, \
            open(update, "rb") as u:
        s.connect(node.control)
        socket.send_fds(s, [json.dumps(call).encode() + b"\0"],
                        [f.fileno(), u.fileno()])
        data = b""
        while True:
            data += s.recv(65536)
            for part in data.split(b"\0")[:-1]:
                reply = json.loads(part)
                if "error" in reply or not reply.get("continues"):
                    return reply


def check_prepare(tap, lab):
    """Updates that come along from a client that is mistaken, or worse."""
    node = lab.nodes[0]
    model = Model(8)
    old = write(lab, "old", model.bytes())
    path = write(lab, "m.safetensors", model.bytes())
    node.run("publish", "q/p", path)
    new = write(lab, "m.safetensors", model.step())
    update = os.path.join(lab.dir, "update")
    other = write(lab, "other", model.step())
    keys = [k["public"] for k in node.json("keys", "list")["keys"]]

    def diff(base, target):
        subprocess.run([os.path.join(lab.bin, "deltamesh"), "diff", base, target,
                        "-o", update], check=True, capture_output=True)
    diff(old, new)
    reply = prepare(node, "q/p", keys, new, update)
    direct = [u["bytes"] for u in reply["parameters"].get("updates", []) if u["base"]]
    tap.ok(direct == [os.path.getsize(update) - FILE_HEAD],
           "Prepare keeps an update that came along", reply)
    for what, base, target in (("to other content", old, other),
                               ("from other content", other, new)):
        diff(base, target)
        reply = prepare(node, "q/p", keys, new, update)
        tap.ok(reply.get("error", "").endswith(".BadInput") and
               "update" in reply["parameters"]["what"],
               "an update " + what + " is refused", reply)
    diff(old, old)
    reply = prepare(node, "q/p", keys, old, update)
    same = reply["parameters"].get("unchanged")
    write(lab, "m.safetensors", model.step())
    node.run("publish", "q/p", path)
    reply = prepare(node, "q/p", keys, old, update)
    tap.ok(same and reply.get("error", "").endswith(".BadInput") and
           "leads to" in reply["parameters"]["what"],
           "an update to what it starts from is refused", reply)
    write(lab, "m.safetensors", model.step())
    reply = prepare(node, "q/p", keys, new, new)
    tap.ok(reply.get("error", "").endswith(".BadInput"),
           "what is no update is refused", reply)
    reply = prepare(node, "q/p", keys, new, update, index=7)
    tap.ok(reply.get("error", "").endswith(".Usage"),
           "an update without its descriptor is refused", reply)
    tap.ok(node.run("status", check=False).returncode in (0, 1),
           "the daemon goes on")


def publish_in(lab, tmp, path, *args, **kwargs):
    """The command with its temporary files in tmp; a process."""
    env = dict(os.environ, XDG_CONFIG_HOME=os.path.join(lab.dir, "keys"), TMPDIR=tmp)
    return subprocess.Popen(
        [os.path.join(lab.bin, "deltamesh"), "publish", "q/t", path, "--control",
         lab.nodes[0].control, "--quantize", "auto", *args], env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)


def wait_for(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid):
    """Ended; a zombie that nobody has buried counts."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def check_signals(tap, lab):
    model = Model(7)
    path = write(lab, "m.safetensors", model.bytes())
    lab.nodes[0].run("publish", "q/t", path)
    write(lab, "m.safetensors", model.step())
    tmp = os.path.join(lab.dir, "tmp's \"{}\" $$")
    os.mkdir(tmp)

    def heed():  # who runs the tests in the background may have it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        note = os.path.join(lab.dir, "note")
        if os.path.exists(note):
            os.remove(note)
        run = publish_in(lab, tmp, path, "--check",
                         f"test -s '{{}}' && test -s {{}} && test -s \"{{}}\" "
                         f"&& echo $$ > {note} && sleep 600", preexec_fn=heed)
        ready = wait_for(lambda: os.path.exists(note) and os.path.getsize(note))
        with open(note) as f:
            child = int(f.read())
        held = bool(os.listdir(tmp))
        run.send_signal(number)
        run.communicate(timeout=20)
        tap.ok(ready and held and run.returncode == -number and
               wait_for(lambda: not os.listdir(tmp)) and
               wait_for(lambda c=child: is_gone(c)),
               f"{number.name} leaves neither files nor a check", os.listdir(tmp))
    run = publish_in(lab, tmp, path)
    run.communicate(timeout=60)
    tap.ok(run.returncode == 0 and not os.listdir(tmp), "nor does success")

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    write(lab, "m.safetensors", model.step())
    run = publish_in(lab, tmp, path, preexec_fn=small_files, restore_signals=False)
    _, err = run.communicate(timeout=60)
    tap.ok(run.returncode == 7 and err.count("\n") == 1 and "space" in err and
           not os.listdir(tmp), "a full disk is one line", err)


def check_moved(tap, lab):
    """Another version is released while a check runs."""
    node = lab.nodes[0]
    model = Model(9)
    path = write(lab, "m.safetensors", model.bytes())
    node.run("publish", "q/t", path)
    other = write(lab, "later/m.safetensors", model.step())
    write(lab, "m.safetensors", model.step())
    go, tmp = os.path.join(lab.dir, "go"), os.path.join(lab.dir, "moved")
    os.mkdir(tmp)
    begun = os.path.join(lab.dir, "begun")
    check = (f"touch {begun}; until test -e {go}; do sleep 0.1; done; "
             "test -s {}")
    run = publish_in(lab, tmp, path, "--check", check)
    wait_for(lambda: os.path.exists(begun))
    moved = node.json("publish", "q/t", other)
    write(lab, "go", b"")
    out, err = run.communicate(timeout=60)
    tried = [float(x) for x in re.findall(r"error=([0-9.]+)", out)]
    tap.ok(run.returncode == 4 and err.count("\n") == 1 and
           "publish again" in err and "chosen" in out and
           len(tried) > 1 and tried == sorted(tried, reverse=True) and
           node.json("show", "q/t@main")["version"]["id"] == moved["version"],
           "a base that moved: nothing goes out over what it has not seen", err)
    os.remove(go)
    os.remove(begun)
    node.run("release", "q/t#1")
    run = publish_in(lab, tmp, path, "--check", check)
    wait_for(lambda: os.path.exists(begun))
    node.kill()
    node.start()
    write(lab, "go", b"")
    _, err = run.communicate(timeout=60)
    tap.ok(run.returncode == 0 and not os.listdir(tmp),
           "a daemon that starts anew meanwhile is no harm", err)


def check_full(tap):
    """The daemon's disk is full, which takes one that can be filled."""
    with Lab(1) as lab:
        state = os.path.join(lab.nodes[0].dir, "state")
        found(lab, 1)
        node, model = lab.nodes[0], Model(10)
        path = write(lab, "m.safetensors", model.bytes())
        node.stop()
        spare = state + ".spare"
        os.rename(state, spare)
        os.mkdir(state, 0o700)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700",
                           "tmpfs", state], capture_output=True,
                          check=False).returncode:
            tap.ok(True, "a full store # SKIP needs mount(8)")
            return
        try:
            subprocess.run(["cp", "-a", spare + "/.", state], check=True)
            node.start()
            node.run("publish", "q/full", path)
            known = node.json("show", "q/full@main")["version"]["id"]
            write(lab, "m.safetensors", model.step())
            disk, odd = os.statvfs(state), []
            free = disk.f_bavail * disk.f_bsize
            for left in (20, 60, 100, 130, 160):
                with open(os.path.join(state, "fill"), "wb") as f:
                    f.write(bytes(max(0, free - left * 1024)))
                done = node.run("publish", "q/full", path, "--quantize", "auto",
                                check=False)
                if done.returncode != 7 or done.stderr.count("\n") != 1 or \
                        "/state" not in done.stderr:
                    odd.append((left, done.returncode, done.stderr))
            os.remove(os.path.join(state, "fill"))
            tap.ok(not odd, "a full store: exit status 7, and where", odd)
            tap.ok(node.json("show", "q/full@main")["version"]["id"] == known
                   and node.run("verify", "q/full@main").returncode == 0,
                   "nothing of it stays")
            node.run("publish", "q/full", path, "--quantize", "auto")
            tap.ok(node.json("show", "q/full@main")["version"]["id"] != known,
                   "with room again it is published")
        finally:
            node.stop()
            subprocess.run(["umount", state], check=False)


def main():
    tap = Tap()
    try:
        with Lab(4) as lab:
            invite = found(lab, 3)
            check_chain(tap, lab, invite)
            check_rules(tap, lab)
            check_usage(tap, lab)
            check_check(tap, lab)
            check_keys(tap, lab)
            check_exact(tap, lab)
            check_folder(tap, lab)
            check_formats(tap, lab)
            check_prepare(tap, lab)
            check_signals(tap, lab)
            check_moved(tap, lab)
        check_full(tap)
    except (LabError, subprocess.SubprocessError, OSError, KeyError) as e:
        tap.ok(False, "the run goes to its end", e)
    print(f"1..{tap.count}")
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
