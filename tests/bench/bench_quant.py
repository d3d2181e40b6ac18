#!/usr/bin/env python3
"""Bytes of NNC streams against those of a reference encoder at equal error.

    bench_quant.py BENCH BASELINE CORPUS [--sequence NAME]... [OPTION]...

BENCH is the built bench_quant, BASELINE a JSON file with the reference's bytes
and errors of whole sequences of updates, CORPUS the folder its file names are
relative to. Each sequence is coded at every qp of a range. Each point of the
reference that no other one beats is then compared with the fewest bytes of ours
whose error is not larger: nothing is interpolated. One line a point; `ours` is
null where no qp of the range is fine enough. The reference codes tensors of one
dimension finer than the 5 % that ours has, see vector_error. Options that are
not known here go to BENCH, so that one lambda holds for all points."""
import argparse
import json
import os
import subprocess


def points_of(sequence):
    """(error, bytes, name) of the reference, errors rising, bytes falling."""
    points = sorted((run["final_error_relative_to_total_change"],
                     sum(run["bytes"]), name)
                    for name, run in sequence["updates"].items())
    envelope = []
    for point in points:
        if not envelope or point[1] < envelope[-1][1]:
            envelope.append(point)
    return envelope


def runs_of(args, rest, files):
    runs = []
    for qp in range(args.first, args.last + 1):
        out = subprocess.run([args.bench, "--qp", str(qp), *rest, *files],
                             check=True, stdout=subprocess.PIPE).stdout
        runs.append(json.loads(out))
    return runs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("baseline")
    parser.add_argument("corpus")
    parser.add_argument("--sequence", action="append")
    parser.add_argument("--first", type=int, default=-60)
    parser.add_argument("--last", type=int, default=-18)
    args, rest = parser.parse_known_args()
    with open(args.baseline, encoding="utf-8") as f:
        baseline = json.load(f)
    for sequence in baseline["sequences"]:
        if args.sequence and sequence["sequence"] not in args.sequence:
            continue
        files = [os.path.join(args.corpus, name)
                 for name in sequence["files"]]
        runs = runs_of(args, rest, files)
        for error, size, name in points_of(sequence):
            fine = [run for run in runs if run["error"] <= error]
            ours = min(fine, key=lambda run: run["bytes"], default=None)
            print(json.dumps({
                "sequence": sequence["sequence"], "reference": name,
                "reference_error": error, "reference_bytes": size,
                "ours": ours,
                "ratio": round(ours["bytes"] / size, 3) if ours else None,
            }), flush=True)


if __name__ == "__main__":
    main()
