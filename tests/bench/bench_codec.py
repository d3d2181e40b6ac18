#!/usr/bin/env python3
"""Bytes of `deltamesh diff` beside those of other tools, known from a study.

    bench_codec.py [--tool DELTAMESH] [--speed SPEED ...] [--rank N] FOLDER

FOLDER has the model files and an anchors.json: for each pair of base and
target, the bytes that each tool needs. One JSON line a pair and speed, then one
a group with the geometric mean of ours over the anchor's. The exit status is 1
when a pair does not come back bit for bit.
"""
import argparse
import filecmp
import json
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# What a pair is, by a part of its target's path; the first that fits.
GROUPS = (("lora", "lora"), ("sparse", "few"), ("headonly", "few"),
          ("i8-", "int8"), ("int8", "int8"), ("bf16", "16 bit"),
          ("f16", "16 bit"), ("lm/", "16 bit"), ("", "f32 dense"))


def group_of(target):
    return next(name for part, name in GROUPS if part in target)


def others(pair):
    return {name: size for name, size in pair["bytes"].items()
            if name != "raw" and not name.startswith("prototype")}


def measure(args, pair, speed, tmp):
    base = os.path.join(args.folder, pair["base"])
    target = os.path.join(args.folder, pair["target"])
    update, back = os.path.join(tmp, "u"), os.path.join(tmp, "t")
    subprocess.run([args.tool, "diff", "--speed", speed, "--max-rank",
                    str(args.rank), base, target, "-o", update], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([args.tool, "patch", base, update, "-o", back], check=True,
                   stdout=subprocess.DEVNULL)
    tools = others(pair)
    best = min(tools, key=tools.get)
    ours = os.path.getsize(update)
    fm = tools.get("FM-Delta")
    return {"bench": "codec", "target": pair["target"], "speed": speed,
            "group": group_of(pair["target"]), "bytes": ours,
            "best_tool": best, "best_bytes": tools[best],
            "of_best": round(ours / tools[best], 4),
            "of_fm_delta": round(ours / fm, 4) if fm else None,
            "of_prototype": round(ours / pair["bytes"][
                "prototype small r32" if speed == "small"
                else "prototype fast r32"], 4),
            "exact": filecmp.cmp(target, back, shallow=False)}


def mean(values):
    values = [math.log(v) for v in values if v]
    return round(math.exp(sum(values) / len(values)), 4) if values else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--tool", default=os.path.join(
        os.environ.get("DM_BUILDDIR", os.path.join(ROOT, "build")),
        "deltamesh"))
    parser.add_argument("--speed", nargs="+", default=["fast", "small", "auto"])
    parser.add_argument("--rank", type=int, default=64)
    args = parser.parse_args()
    with open(os.path.join(args.folder, "anchors.json")) as f:
        pairs = json.load(f)["pairs"]
    lines = []
    with tempfile.TemporaryDirectory() as tmp:
        for pair in pairs:
            for speed in args.speed:
                lines.append(measure(args, pair, speed, tmp))
                print(json.dumps(lines[-1]), flush=True)
    for group in dict.fromkeys(line["group"] for line in lines):
        for speed in args.speed:
            some = [line for line in lines
                    if (line["group"], line["speed"]) == (group, speed)]
            print(json.dumps({
                "bench": "codec group", "group": group, "speed": speed,
                "pairs": len(some),
                "of_best": mean([line["of_best"] for line in some]),
                "worst_of_best": max(line["of_best"] for line in some),
                "of_fm_delta": mean([line["of_fm_delta"] for line in some]),
                "of_prototype": mean([line["of_prototype"] for line in some]),
            }))
    sys.exit(0 if all(line["exact"] for line in lines) else 1)


main()
