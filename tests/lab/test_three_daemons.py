#!/usr/bin/env python3
"""Three real daemons on loopback: founded, joined, a model published twice
through the command, killed and restarted, spoken to raw. Prints TAP."""
import json
import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lab import Lab, LabError  # noqa: E402


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = False

    def ok(self, good, what):
        self.count += 1
        self.failed |= not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {what}", flush=True)

    def end(self):
        print(f"1..{self.count}")
        sys.exit(self.failed)


def model_file(path, seed, changed=0):
    """A small safetensors file; changed: how many of its floats differ."""
    rng = random.Random(seed)
    count = 60000
    header = json.dumps({"w": {"dtype": "F32", "shape": [count],
                               "data_offsets": [0, 4 * count]}}).encode()
    header += b" " * (-len(header) % 8)
    values = [rng.gauss(0, 0.05) for _ in range(count)]
    other = random.Random(changed)
    for _ in range(changed):
        values[other.randrange(count)] += other.gauss(0, 0.001)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header)
        f.write(struct.pack(f"<{count}f", *values))


def raw_call(path, data, replies=1):
    """Sends bytes to a control socket; that many replies, [] when it closes."""
    out = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(path)
        s.sendall(data)
        buf = b""
        while len(out) < replies:
            got = s.recv(65536)
            if not got:
                break
            buf += got
            while b"\0" in buf:
                one, buf = buf.split(b"\0", 1)
                out.append(json.loads(one))
    return out


def raw(path, method, **params):
    call = {"method": method, "parameters": params}
    return raw_call(path, json.dumps(call).encode() + b"\0")[0]


def check_control(tap, lab):
    path = lab.nodes[0].control
    info = raw(path, "org.varlink.service.GetInfo")["parameters"]
    tap.ok("io.deltamesh.Control" in info["interfaces"], "GetInfo names the interface")
    text = raw(path, "org.varlink.service.GetInterfaceDescription",
               interface="io.deltamesh.Control")["parameters"]["description"]
    tap.ok("method Status()" in text, "the interface describes itself")
    tap.ok(raw(path, "io.deltamesh.Control.Nonsense")["error"] ==
           "org.varlink.service.MethodNotFound", "an unknown method is refused")
    tap.ok(raw(path, "io.deltamesh.Control.Show", version=3)["error"] ==
           "org.varlink.service.InvalidParameter", "a wrong type is refused")
    error = raw(path, "io.deltamesh.Control.Show", version="abcdef12")
    tap.ok(error["error"] == "io.deltamesh.Control.NotFound" and
           error["parameters"]["exit"] == 8, "an unknown version is not found")
    tap.ok(raw_call(path, b"not json\0") == [], "what is no JSON closes the connection")
    two = b'{"method":"io.deltamesh.Control.Status"}\0' * 2
    tap.ok(len(raw_call(path, two, 2)) == 2, "calls may be pipelined")
    for data in (b"", b"\0", b"{", b"[]\0", b'{"method":1}\0',
                 b'{"method":"x","parameters":[]}\0', b"x" * (1 << 20) + b"y"):
        try:
            raw_call(path, data, 0)
        except (ConnectionError, socket.timeout):
            pass
    tap.ok(raw(path, "io.deltamesh.Control.Status")["parameters"]["joined"],
           "the daemon still answers after nonsense")


def check_refusals(tap, lab, name):
    node = lab.nodes[0]
    again = node.json("publish", "m", name)
    tap.ok(again["unchanged"], "the same bytes again make no version")
    keys = os.path.join(lab.dir, "keys")
    os.rename(keys, keys + ".away")
    other = lab.nodes[1].run("publish", "m", name, check=False)
    os.rename(keys + ".away", keys)
    tap.ok(other.returncode == 5 and other.stderr.count("\n") == 1,
           "publishing without a key is refused in one line")
    tap.ok(node.run("show", "nothing@latest", check=False).returncode == 8,
           "an unknown model is status 8")
    tap.ok(node.run("publish", "Bad Name", name, check=False).returncode == 2,
           "a wrong model name is status 2")


def check_second(tap, lab):
    import subprocess
    node = lab.nodes[0]
    done = subprocess.run([os.path.join(lab.bin, "deltameshd"), "--state",
                           os.path.join(node.dir, "state"), "--control",
                           node.control + "2", "--listen", "127.0.0.1:0"],
                          capture_output=True, text=True, timeout=10)
    tap.ok(done.returncode == 1 and "another deltameshd" in done.stderr and
           done.stderr.count("\n") == 1, "a second daemon on the state: one line")
    bad = os.path.join(lab.dir, "bad.conf")
    with open(bad, "w") as f:
        f.write("[network]\nlisten = nonsense:x:y\n")
    done = subprocess.run([os.path.join(lab.bin, "deltameshd"), "--config", bad],
                          capture_output=True, text=True, timeout=10)
    tap.ok(done.returncode == 2 and "bad.conf:2:" in done.stderr,
           "a wrong line is named, status 2")


def run(tap, lab):
    first = lab.nodes[0]
    before = first.json("status", ok=(1,))
    tap.ok(not before["joined"] and "not joined" in before["problems"][0],
           "without a fleet it says so")
    lab.found()
    lab.wait_links(2)
    tap.ok(True, "three nodes joined and linked")
    name = os.path.join(lab.dir, "m.safetensors")
    model_file(name, 1)
    v1 = lab.publish(0, "m", name)
    took = lab.wait_running("m", name)
    tap.ok(True, f"version 1 in place everywhere after {took:.2f} s")
    model_file(name, 1, changed=50)
    v2 = lab.publish(0, "m", name)
    took = lab.wait_running("m", name)
    tap.ok(True, f"version 2 in place everywhere after {took:.2f} s")
    direct = [u for u in v2["updates"] if u["base"]]
    tap.ok(bool(direct) and direct[0]["bytes"] < v2["size"] / 20,
           "the update of version 2 is small")
    tap.ok(v1["version"] != v2["version"], "versions differ")
    check_refusals(tap, lab, name)

    killed = lab.nodes[2]
    killed.kill()
    model_file(name, 1, changed=90)
    lab.publish(0, "m", name)
    lab.wait_running("m", name, nodes=lab.nodes[:2])
    killed.start()
    lab.wait_running("m", name)
    tap.ok(True, "a node killed meanwhile catches up")

    out = os.path.join(lab.dir, "out")
    lab.nodes[1].run("export", v1["version"][:10], "-o", out)
    model_file(name, 1)
    with open(out, "rb") as a, open(name, "rb") as b:
        tap.ok(a.read() == b.read(), "export of version 1 is bit for bit the file")
    tap.ok(lab.nodes[1].run("verify", check=False).returncode == 0, "verify finds nothing")
    check_control(tap, lab)
    check_second(tap, lab)
    stops = [node.stop() for node in lab.nodes]
    tap.ok(max(stops) < 2, f"SIGTERM ends each in {max(stops):.2f} s")
    for node in lab.nodes:
        node.start()
    lab.wait_links(1)
    tap.ok(True, "all are back after a restart")


def main():
    tap = Tap()
    try:
        with Lab(count=3) as lab:
            run(tap, lab)
    except LabError as error:
        for line in str(error).splitlines():
            print("#", line)
        tap.ok(False, "the lab went on")
    tap.end()


if __name__ == "__main__":
    main()
