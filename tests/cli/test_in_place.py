#!/usr/bin/env python3
"""deltamesh patch --in-place: the base becomes the target bit for bit, however
often it is killed on the way. TAP. SEED and ROUNDS from the environment."""
import hashlib
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("DM_BUILDDIR", ".")
HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(BUILD, "deltamesh")
SEED = int(os.environ.get("SEED", "1"))
ROUNDS = int(os.environ.get("ROUNDS", "12"))
MIB = 1 << 20
number = 0


def result(ok, name):
    global number
    number += 1
    print("%s %d - %s" % ("ok" if ok else "not ok", number, name), flush=True)
    if not ok:
        print("# seed %d" % SEED)


def run(*args, **kw):
    return subprocess.run([TOOL, *args], capture_output=True, text=True, **kw)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def words(rng, size):
    """Bytes with matches near and far, of some 3 bits each."""
    parts = [rng.randbytes(rng.randrange(4, 80)) for _ in range(2000)]
    out = bytearray()
    while len(out) < size:
        out += rng.choice(parts)
    return bytes(out[:size])


def floats(rng, size, base=None):
    """f32 values, or small changes to those of base."""
    count = size // 4
    if base is None:
        return struct.pack("<%df" % count,
                           *(rng.gauss(0, 0.02) for _ in range(count)))
    values = struct.unpack("<%df" % count, base)
    return struct.pack("<%df" % count,
                       *(v + rng.gauss(0, 1e-4) for v in values))


def safetensors(tensors):
    entries, at = [], 0
    for name, data in tensors:
        entries.append('"%s":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]}'
                       % (name, len(data) // 4, at, at + len(data)))
        at += len(data)
    head = ("{" + ",".join(entries) + "}").encode()
    return struct.pack("<Q", len(head)) + head + b"".join(d for _, d in tensors)


def pairs(rng):
    """Name, base, target: what in-place order can get wrong."""
    text = words(rng, 9 * MIB)
    noise = rng.randbytes(9 * MIB)
    third = len(noise) // 3
    yield "same size", text, text[:4 * MIB] + words(rng, MIB) + text[5 * MIB:]
    yield "inserted", noise, rng.randbytes(70001) + noise
    yield "inserted text", text, text[:99] + words(rng, 300001) + text[99:]
    yield "removed", noise, noise[300001:]
    yield "swapped", noise, noise[third:] + noise[:third]
    yield "reversed blocks", noise, b"".join(
        noise[i:i + 65536] for i in range(len(noise) - 65536, -1, -65536))
    yield "grown", text, text + words(rng, 5 * MIB)
    yield "shrunk", text, text[:5 * MIB]
    yield "to nothing", text[:MIB], b""
    yield "unchanged", text[:MIB], text[:MIB]
    small = [("t%d" % i, floats(rng, 2 * MIB)) for i in range(2)]
    base = [(name, data * 3) for name, data in small]
    changed = [(name, floats(rng, len(data), data)) for name, data in base]
    new = [("head", floats(rng, MIB))] + changed[::-1]
    yield "floats", safetensors(base), safetensors(changed)
    yield "tensors moved", safetensors(base), safetensors(new)


def leftovers(folder):
    return [n for n in os.listdir(folder) if "journal" in n or "tmp-" in n]


def shim(folder):
    """The library that ends the command at a given call, or None."""
    out = os.path.join(folder, "crash.so")
    cc = os.environ.get("CC", "cc").split()
    try:
        subprocess.run([*cc, "-shared", "-fPIC", "-o", out,
                        os.path.join(HERE, "crash.c"), "-ldl"],
                       check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    env = dict(os.environ, LD_PRELOAD=out)
    fine = subprocess.run([TOOL, "--version"], env=env, capture_output=True)
    return out if fine.returncode == 0 and not fine.stderr else None


def killed_at_calls(library, base, target):
    """Killed at the 1st changing call, the restart at the 2nd, and so on; then
    anew, always at the nth only. Returns how often it was killed, or -1."""
    kills = 0
    for each in (False, True):
        at = 1
        while True:
            write("b", base)
            for _ in range(400 if each else 1):
                env = dict(os.environ, LD_PRELOAD=library, CRASH_AT=str(at))
                got = run("patch", "--in-place", "b", "u", env=env)
                if got.returncode != 137:
                    break
                kills += 1
                if each:
                    at += 1
            done = got.returncode == 0
            if not done and run("patch", "--in-place", "b", "u").returncode:
                return -1
            if read("b") != target or leftovers("."):
                return -1
            if done:
                break
            at += 3
    return kills


def killed_at_times(rng, base, target, rounds):
    start = time.time()
    write("b", base)
    if run("patch", "--in-place", "b", "u").returncode:
        return -1
    longest = time.time() - start
    kills = 0
    for _ in range(rounds):
        write("b", base)
        while True:
            child = subprocess.Popen([TOOL, "patch", "--in-place", "b", "u"],
                                     stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            try:
                child.wait(timeout=rng.random() * longest)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.returncode == 0:
                break
            if child.returncode != -9:
                return -1
            kills += 1
        if read("b") != target or leftovers("."):
            return -1
    return kills


def check_refusals(base, target, other):
    write("b", base)
    write("wrong", other)
    got = run("patch", "--in-place", "wrong", "u")
    result(got.returncode == 4 and "not the base" in got.stderr and
           read("wrong") == other and not leftovers("."),
           "another base is refused and left alone")
    update = bytearray(read("u"))
    update[-9] ^= 64
    write("damaged", update)
    got = run("patch", "--in-place", "b", "damaged")
    result(got.returncode == 4 and read("b") == base and not leftovers("."),
           "a damaged update changes nothing")
    got = run("patch", "--in-place", "b", "u", "-o", "t")
    result(got.returncode == 2, "-o and --in-place do not go together")
    if os.geteuid():
        os.chmod("b", 0o444)
        got = run("patch", "--in-place", "b", "u")
        result(got.returncode == 5 and "b" in got.stderr,
               "a base that cannot be written to")
        os.chmod("b", 0o644)
    else:
        result(True, "a base that cannot be written to # SKIP root can")


def check_half_done(library, base, target):
    """Between the two, only the same command goes on."""
    write("b", base)
    env = dict(os.environ, LD_PRELOAD=library, CRASH_AT="12")
    got = run("patch", "--in-place", "b", "u", env=env)
    result(got.returncode == 137 and leftovers(".") == ["b.dmjournal"],
           "a journal is left where it was killed")
    for args in (["inspect", "b"], ["diff", "b", "u", "-o", "x"],
                 ["diff", "u", "b", "-o", "x"], ["patch", "b", "u", "-o", "x"]):
        got = run(*args)
        result(got.returncode == 4 and "b.dmjournal" in got.stderr and
               "--in-place" in got.stderr and not os.path.exists("x"),
               "%s of a half patched base names the journal" % args[0])
    run("diff", "wrong", "u", "-o", "u2")
    got = run("patch", "--in-place", "b", "u2")
    result(got.returncode == 4 and "another update" in got.stderr,
           "another update does not go on")
    shutil.copy("b.dmjournal", "keep")
    with open("b.dmjournal", "r+b") as file:
        file.write(b"DMJOURNX")
    got = run("patch", "--in-place", "b", "u")
    result(got.returncode == 4 and "no whole journal" in got.stderr,
           "a journal that is none is refused")
    os.rename("keep", "b.dmjournal")
    got = run("patch", "--in-place", "b", "u")
    result(got.returncode == 0 and read("b") == target, "the same one does")
    write("b", base)
    run("patch", "--in-place", "b", "u", env=env)
    write("b", base)
    got = run("patch", "--in-place", "b", "u")
    result(got.returncode == 0 and read("b") == target and not leftovers("."),
           "a base restored meanwhile starts anew")


def check_full_disk(base, target):
    def limit(size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    write("b", base)
    small = len(base) + 100000
    got = run("patch", "--in-place", "b", "u", preexec_fn=limit(small))
    result(got.returncode == 7 and read("b") == base and not leftovers("."),
           "no room for a larger target is met before anything is changed")
    got = run("patch", "--in-place", "b", "u", preexec_fn=limit(MIB))
    result(got.returncode == 7 and read("b") == base and not leftovers("."),
           "nor is there for the journal")


def check_tmpfs(rng):
    """A disk that has room for the base and little more."""
    os.mkdir("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none",
                              "disk"], capture_output=True)
    name = "a full disk"
    if mounted.returncode:
        result(True, name + " # SKIP no file system can be mounted")
        return
    try:
        base = rng.randbytes(24 * MIB)
        target = base[:MIB] + rng.randbytes(7 * MIB) + base[8 * MIB:]
        write("b2", base)
        write("t2", target)
        run("diff", "b2", "t2", "-o", "u2")
        write("disk/b", base)
        write("disk/filler", bytes(14 * MIB))
        got = run("patch", "--in-place", "disk/b", "u2")
        full = got.returncode == 7 and read("disk/b") == base
        os.remove("disk/filler")
        got = run("patch", "--in-place", "disk/b", "u2")
        result(full and got.returncode == 0 and read("disk/b") == target and
               not leftovers("disk"), name)
    finally:
        subprocess.run(["umount", "disk"], check=False)


def main():
    if not os.access(TOOL, os.X_OK):
        print("1..0 # SKIP the command was not built")
        return
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        library = shim(folder)
        for name, base, target in pairs(rng):
            write("b", base)
            write("t", target)
            made = run("diff", "b", "t", "-o", "u")
            got = run("patch", "--in-place", "b", "u")
            result(made.returncode == 0 and got.returncode == 0 and
                   read("b") == target and not leftovers("."), name)
            if got.returncode:
                print("# " + got.stderr.strip())
            if name in ("inserted text", "swapped", "floats"):
                kills = killed_at_times(rng, base, target, ROUNDS // 4)
                result(kills >= 0, "%s, killed at any time" % name)
                print("# killed %d times" % kills)
                kills = killed_at_calls(library, base, target) if library else 0
                result(kills >= 0, "%s, killed at every call%s" % (
                    name, "" if library else " # SKIP no compiler"))
                print("# killed %d times" % kills)
            if name == "inserted text":
                check_refusals(base, target, base[1:])
                if library:
                    check_half_done(library, base, target)
                check_full_disk(base, target)
        check_tmpfs(rng)
        os.chdir("/")
    print("1..%d" % number)


if __name__ == "__main__":
    sys.exit(main())
