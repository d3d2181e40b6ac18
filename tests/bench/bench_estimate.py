#!/usr/bin/env python3
"""How near estimates come, over all pairs of a corpus.

    bench_estimate.py [--tool BENCH_ESTIMATE] [--full] FOLDER

FOLDER has model files and an index.json that says which replaced which. One
JSON line a pair (see bench_estimate.c), then one with the share of pairs whose
estimate is within 15 percent of the bytes of the update that is then made.
--full also looks at updates from nothing.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NEAR = 0.15


def versions(sequence):
    """Per version: its files, and the file that names its base, if any does."""
    out = []
    for entry in sequence["files"]:
        name = entry["file"]
        folder, stem = os.path.dirname(name), os.path.basename(name)
        last = out[-1][0][0] if out else ""
        # Shards share a folder, ncnn's two files a stem.
        together = (sequence["format"].endswith("shards") and
                    os.path.dirname(last) == folder or
                    sequence["format"] == "ncnn" and
                    os.path.splitext(last)[0] == os.path.splitext(name)[0])
        if out and together:
            out[-1][0].append(name)
        elif stem.endswith("-ext.bin"):
            continue
        else:
            out.append(([name], entry.get("base")))
    return out


def pairs(index):
    for sequence in index["sequences"]:
        known = versions(sequence)
        for i, (files, base) in enumerate(known):
            if base:
                yield [base], files
            elif i and "-base" not in files[0]:
                yield known[i - 1][0], files


def place(folder, files, tmp, name):
    """One file as it is; several, under names that stay, in a folder."""
    if len(files) == 1:
        return os.path.join(folder, files[0])
    out = os.path.join(tmp, name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    for file in files:
        stem = os.path.basename(file)
        if stem.endswith((".param", ".bin")):
            stem = "model" + os.path.splitext(stem)[1]
        shutil.copy(os.path.join(folder, file), os.path.join(out, stem))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--tool", default=os.path.join(
        os.environ.get("DM_BUILDDIR", os.path.join(ROOT, "build")),
        "tests/bench/bench_estimate"))
    args = parser.parse_args()
    with open(os.path.join(args.folder, "index.json")) as f:
        todo = list(pairs(json.load(f)))
    if args.full:
        todo += [([], target) for _, target in todo]
    near, worst, read, seconds = 0, 1.0, 0, 0.0
    with tempfile.TemporaryDirectory() as tmp:
        for base, target in todo:
            ends = [place(args.folder, e, tmp, n)
                    for e, n in ((base, "base"), (target, "target")) if e]
            line = subprocess.run([args.tool, *ends], check=True, text=True,
                                  stdout=subprocess.PIPE).stdout
            row = json.loads(line)
            row.update(base=base[0] if base else None, target=target[0])
            print(json.dumps(row), flush=True)
            off = max(row["ratio"], 1 / row["ratio"])
            near += abs(row["ratio"] - 1) <= NEAR
            worst = max(worst, off)
            read = max(read, row["read_base"], row["read_target"])
            seconds = max(seconds, row["estimate_s"])
    print(json.dumps({"bench": "estimates", "pairs": len(todo), "near": near,
                      "share": round(near / len(todo), 4),
                      "worst": round(worst, 3), "read_max": read,
                      "seconds_max": seconds}))
    sys.exit(0)


main()
