#!/usr/bin/env python3
"""What an operator types and what she sees: the verbs of deltamesh against real
daemons, their exit statuses, and that every refusal is one line."""
import filecmp
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lab import Lab, LabError  # noqa: E402


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, good, what, detail=""):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {what}", flush=True)
        if not good:
            for line in str(detail).splitlines():
                print("#", line)

    def refused(self, done, status, words, what):
        """An exit status, one line on standard error, words in it."""
        self.ok(done.returncode == status and done.stderr.count("\n") == 1 and
                words in done.stderr, what,
                f"status {done.returncode}: {done.stderr}{done.stdout}")


def safetensors(values):
    header = json.dumps({"w": {"dtype": "F32", "shape": [len(values)],
                               "data_offsets": [0, 4 * len(values)]}}).encode()
    return (struct.pack("<Q", len(header)) + header +
            struct.pack(f"<{len(values)}f", *values))


def write(lab, name, data):
    path = os.path.join(lab.dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def check_alone(tap, lab):
    node = lab.nodes[0]
    tap.refused(node.run("publish", "m", __file__, check=False), 1, "not joined",
                "publish before there is a fleet")
    tap.refused(node.run("join", "deltamesh1:AAAA", check=False), 4, "invite",
                "a damaged invite is refused before the daemon is asked")
    tap.refused(node.run("join", "/nonexistent", check=False), 8, "/nonexistent",
                "an invite file that is not there")
    done = node.run("status", "--no-such-option", check=False)
    tap.ok(done.returncode == 2 and "usage:" in done.stderr and
           "--no-such-option" in done.stderr, "a wrong option is named")
    for args, word in ((["publish", "m", "f", "--quantize", "much"], "--quantize much"),
                       (["diff", "--threads=x", "f", "-o", "u"], "--threads=x")):
        done = node.run(*args, check=False)
        tap.ok(done.returncode == 2 and f" {word}" in done.stderr.split("\n")[0],
               " ".join(args) + ": the first line names it", done.stderr)
    other = dict(os.environ, DELTAMESH_CONTROL="/nonexistent/control")
    done = subprocess.run([os.path.join(lab.bin, "deltamesh"), "status"], env=other,
                          capture_output=True, text=True)
    tap.refused(done, 3, "is deltameshd running?", "no daemon")


def check_join(tap, lab):
    """An address where nobody is: named with its reason, and tried on."""
    first, late = lab.nodes[0], lab.nodes[2]
    first.run("init", "--fleet", "lab")
    tap.refused(first.run("init", "--fleet", "other", check=False), 5, "already",
                "init on a node that has a fleet")
    first.wait_up()
    good = first.run("invite", "--address", first.listen).stdout
    lab.nodes[1].run("join", write(lab, "invite", good.encode()))
    tap.ok(True, "join with an invite from a file")
    bad = first.run("invite", "--address", "127.0.0.1:9").stdout.strip()
    done = late.run("join", bad, "--timeout", "2", check=False)
    tap.ok(done.returncode == 6 and "127.0.0.1:9" in done.stderr and
           "refused" in done.stderr, "join says which address failed how",
           done.stderr)
    late.run("join", good.strip(), "--timeout", "20")
    tap.ok(True, "another invite of the same fleet helps it on")
    damaged = good.strip()[:-3] + ("A" if good.strip()[-3] != "A" else "B") + \
        good.strip()[-2:]
    tap.refused(first.run("join", damaged, check=False), 4, "",
                "one wrong letter in an invite is noticed")


def check_publish(tap, lab):
    node = lab.nodes[0]
    one = write(lab, "m.safetensors", safetensors([0.5 * i for i in range(5000)]))
    reply = node.json("publish", "a/m", one, "--wait", "--meta", "data=set 1")
    tap.ok(reply["n"] == 1 and not reply["unchanged"], "publish --wait")
    shown = node.json("show", "a/m@latest")
    tap.ok(shown["meta"].get("data") == "set 1" and
           shown["version"]["channels"] == ["main"], "show: meta and channel", shown)
    again = node.json("publish", "a/m", one)
    tap.ok(again["unchanged"] and again["version"] == reply["version"],
           "the same bytes again make no version")
    two = write(lab, "m.safetensors", safetensors([0.5 * i + 0.001 for i in range(5000)]))
    node.run("publish", "a/m", two, "--no-release")
    tap.ok(node.json("show", "a/m@main")["version"]["n"] == 1 and
           node.json("show", "a/m@latest")["version"]["n"] == 2,
           "--no-release leaves the channel alone")
    node.run("release", "a/m@latest")
    lab.wait_running("a/m", two)
    tap.ok(True, "release brings it to every node")
    node.run("release", "a/m#1")
    old = write(lab, "old/m.safetensors", safetensors([0.5 * i for i in range(5000)]))
    lab.wait_running("a/m", old)
    lab.nodes[1].run("export", "a/m@main", "-o", os.path.join(lab.dir, "out"))
    with open(os.path.join(lab.dir, "out"), "rb") as f:
        tap.ok(f.read() == safetensors([0.5 * i for i in range(5000)]),
               "release of an older version; export gives its bytes")
    return two


def check_refusals(tap, lab, path):
    node = lab.nodes[0]
    tap.refused(node.run("show", "a/m@nowhere", check=False), 8, "", "no such channel")
    tap.refused(node.run("show", "deadbeefdeadbeef", check=False), 8, "",
                "no such version")
    tap.refused(node.run("publish", "a", path, check=False), 5, "a/m",
                "a model whose name is a folder of another's")
    tap.refused(node.run("publish", "a/m", "/nonexistent", check=False), 8,
                "/nonexistent", "a file that is not there")
    write(lab, "odd/.hidden", b"x")
    tap.refused(node.run("publish", "a/m", os.path.join(lab.dir, "odd"),
                         check=False), 2, ".hidden",
                "a folder with a file that no version may have")
    os.mkdir(os.path.join(lab.dir, "void"))
    tap.refused(node.run("publish", "a/m", os.path.join(lab.dir, "void"),
                         check=False), 4, "no file", "an empty folder")
    tap.refused(node.run("publish", "a/m", path, "--key", path, check=False), 5,
                "others can read it", "a key that others can read")
    tap.refused(node.run("publish", "a/m", path, "--parent", "nothing@latest",
                         check=False), 8, "", "an unknown parent")


def check_files(tap, lab):
    """Several files, odd names, odd contents."""
    node = lab.nodes[0]
    a = write(lab, "set/weights.bin", os.urandom(70000))
    b = write(lab, "set/labels.txt", b"cat\ndog\n")
    node.run("publish", "b/set", a, b, "--wait")
    folder = os.path.join(lab.dir, "exported")
    lab.nodes[2].run("export", "b/set@running", "-o", folder)
    tap.ok(filecmp.cmp(a, os.path.join(folder, "weights.bin"), shallow=False) and
           filecmp.cmp(b, os.path.join(folder, "labels.txt"), shallow=False),
           "several files as one version, exported to a folder")
    tree = os.path.join(lab.dir, "tree")
    names = ["z.txt", "a/config.json", "a/b/weights.safetensors"]
    for i, name in enumerate(names):
        write(lab, "tree/" + name, safetensors([i, i + 0.5]))
    node.run("publish", "b/tree", tree, "--wait", "--timeout", "60")
    out = os.path.join(lab.dir, "tree-out")
    lab.nodes[2].run("export", "b/tree@running", "-o", out)
    tap.ok(all(filecmp.cmp(os.path.join(tree, n), os.path.join(out, n),
                           shallow=False) for n in names) and
           sum(len(f) for _, _, f in os.walk(out)) == len(names),
           "a folder as one version, exported as the same folder")
    broken = write(lab, "broken.safetensors", b"\xff" * 3000)
    done = node.run("publish", "b/broken", broken, "--wait")
    tap.ok("warning" in done.stderr and "broken.safetensors" in done.stderr,
           "an unreadable safetensors publishes as opaque, with a warning",
           done.stderr)
    empty = write(lab, "empty.safetensors", b"")
    node.run("publish", "b/empty", empty, "--wait")
    lab.wait_running("b/empty", empty)
    tap.ok(True, "an empty file")
    done = node.run("publish", "b/odd", write(lab, "sp ace.bin", b"1"), check=False)
    tap.refused(done, 2, "sp ace.bin", "a file name that cannot be a path")


def check_keys(tap, lab):
    node = lab.nodes[0]
    secret = write(lab, "passphrase", b"correct horse\n")
    backup = os.path.join(lab.dir, "backup")
    node.run("keys", "backup", backup, "--passphrase-file", secret)
    with open(backup) as f:
        tap.ok("secret" not in f.read() and os.stat(backup).st_mode & 0o77 == 0,
               "a backup is sealed and private")
    wrong = write(lab, "wrong", b"battery staple\n")
    tap.refused(node.run("keys", "restore", backup, "--passphrase-file", wrong,
                         check=False), 5, "passphrase", "a wrong passphrase")
    tap.refused(node.run("keys", "restore", backup, "--passphrase-file", secret,
                         check=False), 1, "holds keys already",
                "restore never overwrites keys")
    keys = os.path.join(lab.dir, "keys", "deltamesh", "lab")
    lost = os.path.join(lab.dir, "lost")
    os.rename(keys, lost)
    path = write(lab, "m.safetensors", safetensors([7.0] * 5000))
    tap.refused(node.run("publish", "c/m", path, check=False), 5, "--key",
                "publishing without a key")
    node.run("keys", "restore", backup, "--passphrase-file", secret)
    same = filecmp.dircmp(keys, lost)
    tap.ok(sorted(same.same_files) == ["operator.key", "publisher.key", "root.key"],
           "restored keys are the keys")
    tap.ok(sorted(k["role"] for k in node.json("keys", "list")["keys"]) ==
           ["operator", "publisher", "root"], "keys list")
    node.run("publish", "c/m", path, "--wait")
    tap.ok(True, "publishing with restored keys")


def check_status(tap, lab):
    node = lab.nodes[0]
    for verb in ("status", "versions", "peers", "fleet", "metrics"):
        done = node.run(verb, "--json")
        tap.ok(isinstance(json.loads(done.stdout), dict) and
               done.stdout.count("\n") == 1, f"{verb} --json is one line of JSON")
    # Nodes stop at different times; what is behind is said.
    lab.nodes[2].stop()
    path = write(lab, "m.safetensors", safetensors([9.0] * 5000))
    done = node.run("publish", "c/m", path, "--wait", "--timeout", "2", check=False)
    tap.ok(done.returncode == 6 and "2 of 3" in done.stderr,
           "--wait with a node away: time-out, and how many run it", done.stderr)
    node.run("publish", "c/m", path, "--wait=2", "--timeout", "20")
    tap.ok(True, "--wait=2 is content with two")
    behind = [n for n in node.json("fleet")["nodes"]
              if any(m["behind"] for m in n["models"])]
    tap.ok(len(behind) == 1, "fleet shows the one that is behind", behind)
    lab.nodes[2].start()
    lab.wait_running("c/m", path)
    tap.ok(True, "it catches up when it is back")
    took = lab.nodes[1].stop()
    tap.ok(took < 2 and lab.nodes[1].process.returncode == 0,
           f"SIGTERM ends in {took:.2f} s")
    lab.nodes[1].start()


def check_quota(tap):
    with Lab(1, config="[store]\nquota = 16M\n") as lab:
        lab.found()
        big = write(lab, "big.bin", bytes(17 << 20))
        done = lab.nodes[0].run("publish", "m", big, check=False)
        tap.refused(done, 7, "quota", "a model above the quota")
        small = write(lab, "small.bin", os.urandom(100000))
        # A node alone waits a minute before it tells what it runs.
        lab.nodes[0].run("publish", "m", small)
        lab.wait_running("m", small)
        tap.ok(True, "a small one still fits")


def main():
    tap = Tap()
    try:
        with Lab(3) as lab:
            check_alone(tap, lab)
            check_join(tap, lab)
            path = check_publish(tap, lab)
            check_refusals(tap, lab, path)
            check_files(tap, lab)
            check_keys(tap, lab)
            check_status(tap, lab)
        check_quota(tap)
    except (LabError, subprocess.SubprocessError, OSError, KeyError) as e:
        tap.ok(False, "the run goes to its end", e)
    print(f"1..{tap.count}")
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
