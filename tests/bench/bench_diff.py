#!/usr/bin/env python3
"""Bytes and seconds of `deltamesh diff` and `patch` beside zstd -19.

    bench_diff.py [--tool DELTAMESH] [--all] [--match TEXT] [FOLDER]

FOLDER has an index.json of sequences (a file updates the one before it unless
`base` names another); without it the models of tests/data are taken. One JSON
line a pair; then one with totals. Safetensors pairs only, unless --all. The
exit status is 1 when a pair does not come back bit for bit, or a safetensors
pair takes more than zstd -19 --patch-from and 256 bytes.
"""
import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def pairs_of_index(folder):
    with open(os.path.join(folder, "index.json")) as f:
        index = json.load(f)
    for sequence in index["sequences"]:
        before = None
        last = {}
        for entry in sequence["files"]:
            name = entry["file"]
            if "shard" in sequence["format"]:
                base = last.get(os.path.basename(name))
                last[os.path.basename(name)] = name
            else:
                base = entry.get("base") or before
            before = name
            if base:
                yield base, name


def pairs_of_data(folder):
    for name in sorted(os.listdir(folder)):
        sequence = os.path.join(folder, name)
        if not os.path.isdir(sequence):
            continue
        files = sorted(f for f in os.listdir(sequence)
                       if f.endswith(".safetensors"))
        for base, target in zip(files, files[1:]):
            yield os.path.join(name, base), os.path.join(name, target)


def timed(*command):
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def zstd_bytes(base, target, out):
    if not shutil.which("zstd"):
        return None
    # The window must hold the base, else zstd falls back to less.
    timed("zstd", "-q", "-f", "-19", "--long=27", "--patch-from=" + base,
          target, "-o", out)
    other = out + ".plain"
    timed("zstd", "-q", "-f", "-19", "--patch-from=" + base, target, "-o",
          other)
    return min(os.path.getsize(out), os.path.getsize(other))


def measure(tool, folder, base, target, tmp):
    old, new = os.path.join(folder, base), os.path.join(folder, target)
    update, back = os.path.join(tmp, "u"), os.path.join(tmp, "t")
    encode = timed(tool, "diff", old, new, "-o", update)
    decode = min(timed(tool, "patch", old, update, "-o", back)
                 for _ in range(3))
    raw, ours = os.path.getsize(new), os.path.getsize(update)
    zstd = zstd_bytes(old, new, os.path.join(tmp, "z"))
    return {
        "bench": "diff", "base": base, "target": target, "raw": raw,
        "bytes": ours, "ratio": round(ours / raw, 4) if raw else None,
        "zstd_bytes": zstd,
        "margin": None if zstd is None else zstd + 256 - ours,
        "encode_s": round(encode, 3), "decode_s": round(decode, 3),
        "exact": filecmp.cmp(new, back, shallow=False),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--tool", default=os.path.join(
        os.environ.get("DM_BUILDDIR", os.path.join(ROOT, "build")),
        "deltamesh"))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--match", default="")
    args = parser.parse_args()
    folder = args.folder or os.path.join(ROOT, "tests", "data")
    pairs = pairs_of_index(folder) if args.folder else pairs_of_data(folder)
    count, lost, wrong, worst = 0, 0, 0, None
    with tempfile.TemporaryDirectory() as tmp:
        for base, target in pairs:
            model = target.endswith(".safetensors")
            if args.match not in target or not (model or args.all):
                continue
            line = measure(args.tool, folder, base, target, tmp)
            print(json.dumps(line), flush=True)
            count += 1
            wrong += not line["exact"]
            margin = line["margin"]
            if model and margin is not None:
                lost += margin < 0
                worst = margin if worst is None else min(worst, margin)
    print(json.dumps({"bench": "diff total", "pairs": count,
                      "not_exact": wrong, "over_zstd": lost,
                      "worst_margin": worst}))
    sys.exit(1 if wrong or lost else 0)


main()
