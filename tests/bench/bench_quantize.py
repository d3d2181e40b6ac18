#!/usr/bin/env python3
"""Quantised updates in closed loop beside a codec whose figures are known.

    bench_quantize.py [--tool BENCH] [--rank N] [--sequence NAME ...]
                      [--rule error=0.8 ...] [--no-accuracy] FOLDER

FOLDER has sequences of models, one folder each, and may have an eval.py, which
tells what a model is worth; beside it may lie nnc/baseline.json, the bytes that
another codec needs at some errors. A rule is error=E, qp=N, max-error=E or
auto.

One JSON line a sequence and rule: bytes of all update files and what that is of
the changed files' tensors, error of tensors of two or more dimensions against
the last file as a part of the change from the first, the worst such error of
the other tensors, accuracy, the other codec's bytes at that error (of its
settings with and without rate term the better, logarithm of bytes linear in
error between neighbours) and the ratio.
"""
import argparse
import glob
import json
import math
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

SEQUENCES = {
    "finetune": "finetune/e?.safetensors",
    "federated": "federated/global-r??.safetensors",
    "lm": "lm/t?.safetensors",
    "linzaer-rfb-train": "outside/linzaer-rfb-train/epoch*.safetensors",
    "flower-fedfit": "outside/flower-fedfit/round?.pth",
}
RULES = ("auto", "error=0.95", "error=0.9", "error=0.8", "error=0.5",
         "error=0.2", "qp=-16", "qp=-20", "qp=-24", "qp=-28", "qp=-32",
         "qp=-36", "qp=-40", "qp=-44", "qp=-48")


def known_sequences(folder):
    path = os.path.join(folder, "..", "nnc", "baseline.json")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return {s["sequence"]: s for s in json.load(file)["sequences"]}


def between(points, error):
    """Bytes at an error; None outside of the points."""
    points = sorted(points)
    for (e0, b0), (e1, b1) in zip(points, points[1:]):
        if e0 <= error <= e1 and e0 < e1:
            part = (error - e0) / (e1 - e0)
            return math.exp(math.log(b0) + part * math.log(b1 / b0))
    return None


def others_bytes(sequence, error):
    if not sequence:
        return None
    found = []
    for family in "RLN":
        points = [(u["final_error_relative_to_total_change"], sum(u["bytes"]))
                  for name, u in sequence["updates"].items()
                  if name[0] == family]
        found.append(between(points, error))
    found = [f for f in found if f]
    return min(found) if found else None


def accuracy_of(folder, path):
    script = os.path.join(folder, "eval.py")
    if not os.path.exists(script) or not path.endswith(".safetensors"):
        return None
    run = subprocess.run(["/usr/bin/python3", script, "--numpy", path],
                         capture_output=True, text=True, check=False)
    found = re.search(r"accuracy\s+([0-9.]+)", run.stdout)
    return float(found.group(1)) if found else None


def measure(args, name, rule, known, tmp):
    files = sorted(glob.glob(os.path.join(args.folder, SEQUENCES[name])))
    out = os.path.join(tmp, "out" + os.path.splitext(files[0])[1])
    kind, _, value = rule.partition("=")
    run = subprocess.run([args.tool, kind, value or "0", str(args.rank), out] +
                         files, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    last = lines[-1]
    sequence = known.get(name)
    raw = sequence["raw_bytes"] if sequence else os.path.getsize(files[0])
    # Elements of 16 bits count as 32, as in the other codec's figures.
    other = others_bytes(sequence, last["error"])
    line = {"bench": "quantize", "sequence": name, "rule": rule,
            "bytes": last["bytes"], "estimate": last["estimate"],
            "percent": round(100 * last["bytes"] / raw / last["updates"], 3),
            "error": last["error"], "vector_error": last["vector_error"],
            "vector_error_max": max(l["vector_error"] for l in lines[:-1]),
            "seconds": round(sum(l["seconds"] for l in lines[:-1]), 2),
            "other": round(other) if other else None,
            "ratio": round(last["bytes"] / other, 3) if other else None,
            "estimate_ratio":
                round(last["estimate"] / other, 3) if other else None}
    if not args.no_accuracy and name not in ("linzaer-rfb-train",):
        line["accuracy"] = accuracy_of(args.folder, out)
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tool", default="tests/bench/bench_quantize")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--sequence", action="append", choices=SEQUENCES)
    parser.add_argument("--rule", action="append")
    parser.add_argument("--no-accuracy", action="store_true")
    parser.add_argument("folder")
    args = parser.parse_args()
    known = known_sequences(args.folder)
    with tempfile.TemporaryDirectory() as tmp:
        for name in args.sequence or SEQUENCES:
            for rule in args.rule or RULES:
                print(json.dumps(measure(args, name, rule, known, tmp)),
                      flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
