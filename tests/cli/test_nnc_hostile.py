#!/usr/bin/env python3
"""Streams that ask for much or make no sense: refused in one line, at once, in
little memory, and nothing is written. TAP.

They were made by hand, from the standard's syntax: a header that says what the
name tells, and a codeword of zeroes that fits it where that is possible."""
import os
import resource
import subprocess
import sys
import tempfile
import time

TOOL = os.path.join(os.environ.get("DM_BUILDDIR", "."), "deltamesh")
DATA = os.path.join(os.environ.get("DM_SRCDIR", "."), "tests", "data")
LIKE = os.path.join(DATA, "headonly", "h0.safetensors")
SECONDS = 20  # of a sanitizer's build on a busy machine
MEGABYTES = 400

# Stream: what it is, a word of the refusal.
CASES = {
    "0n": ("a shape [0, 2^32 - 1]", "none of that name"),
    "badname": ("a name that is not UTF-8", "malformed"),
    "block_bomb": ("factors whose product is 2^41 multiplications", "too m"),
    "block_bomb2": ("factors longer than their product", "too many elements"),
    "block_g0": ("a G of no rows", "factors"),
    "block_gx": ("a G whose rows do not divide the weight", "factors"),
    "block_r0": ("factors of rank 0", "factors"),
    "cb1_27x100": ("100 tensors of 2^28 elements, no bit each", "too many"),
    "cb1_28": ("2^28 elements, no bit each", "too many elements"),
    "cb1_33": ("2^33 elements, no bit each", "too many elements"),
    "huge": ("a magnitude above 32 bits", "codeword"),
    "n0": ("a shape [2^32 - 1, 0]", "none of that name"),
    "n0n": ("a shape [2^32 - 1, 0, 2^32 - 1]", "none of that name"),
    "n0s": ("entry points of 2^32 - 1 rows", "malformed"),
    "nodims": ("no dimensions", "neither sent nor known"),
    "over": ("32 dimensions of 2^31", "counted"),
    "over2": ("a product of dimensions above 2^64", "counted"),
    "parent7": ("an update without those before it", "--base"),
    "rank0": ("no dimension", "malformed"),
    "rank33": ("33 dimensions", "malformed"),
    "same_names": ("a block of tensors of one name", "--base"),
    "same_names_temporal": ("the same, seen again", "not known"),
    "scan": ("a codeword that ends early, in blocks", "too many elements"),
    "short": ("a codeword that ends early", "too many elements"),
    "skip": ("2^14 rows of 2^14 that are skipped", "too many elements"),
    "temporal": ("levels of an update that was not sent", "not known"),
}


def run(*args):
    """What it did, and complaints about what it took."""
    start = time.monotonic()
    got = subprocess.run([TOOL, "nnc", *args], capture_output=True, text=True,
                         timeout=60, check=False)
    seconds = time.monotonic() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if seconds > SECONDS or memory > MEGABYTES:
        return got, [f"{args[0]} took {seconds:.1f} s, {memory:.0f} MB"]
    return got, []


# The same where no model is given that could set a limit.
INSPECTED = {
    "cb1_27x100": ("100 tensors of 2^28 elements, looked at", "too many"),
    "skip": ("2^28 elements of skipped rows, looked at", "too many elements"),
}


def path_of(name):
    return os.path.join(DATA, "nnc_hostile", name + ".nnc")


def refused(word, out, *args):
    got, complaints = run(*args)
    if got.returncode != 4:
        complaints.append(f"exit status {got.returncode}")
    if got.stderr.count("\n") != 1 or word not in got.stderr:
        complaints.append(f"says {got.stderr!r}, not {word!r}")
    if os.path.exists(out):
        complaints.append("wrote a file")
    return complaints


def not_decoded(name, word, out):
    """Some may be looked at all the same."""
    complaints = refused(word, out, "decode", path_of(name), "--like", LIKE,
                         "-o", out)
    got, more = run("inspect", path_of(name))
    if got.returncode not in (0, 4):
        complaints.append(f"inspect: exit status {got.returncode}")
    return complaints + more


def not_inspected(name, word, out):
    return refused(word, out, "inspect", path_of(name))


def main():
    if not os.access(TOOL, os.X_OK):
        print("1..0 # SKIP the command was not built")
        return 0
    usage = subprocess.run([TOOL, "nnc", "--help"], capture_output=True,
                           text=True, check=False)
    if "--without-nnc" in usage.stderr:
        print("1..0 # SKIP configured --without-nnc")
        return 0
    print(f"1..{len(CASES) + len(INSPECTED)}")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        tests = [(not_decoded, *each) for each in CASES.items()] + \
            [(not_inspected, *each) for each in INSPECTED.items()]
        for number, (test, name, (what, word)) in enumerate(tests, 1):
            complaints = test(name, word, out)
            print("not ok" if complaints else "ok", number, "-", what)
            for complaint in complaints:
                print("#", complaint)
    return 0


if __name__ == "__main__":
    sys.exit(main())
