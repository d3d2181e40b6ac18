#!/usr/bin/env python3
"""The constants of the rule "auto" of quantised updates, chosen on models made
here and on no others.

    bench_auto.py [--tool BENCH] [--kind NAME ...] [--seed N ...]
                  [--price P ...] [--error E ...] [--rank N] [--jobs N]
                  [--read LINES ...] FOLDER

Needs numpy and scikit-learn (tiny_nets.py says what for). Makes sequences of
updates of small models, each kind with each seed, in FOLDER where they are not
yet; runs each in closed loop (bench_quantize.c: an update is coded against the
decoded one before) with each pair of a price of a bit and a largest error, and
measures every decoded model on held-out data. What an earlier run printed is
read, not measured again.

One JSON line a sequence (accuracies of the exact models), one a sequence and
pair: bytes, per cent of the float32 values an update, accuracy lost against the
exact model in points (mean over the updates, and at the last one), what the
held-out loss grew by in per cent, errors of the updates. Then one a pair over
all, and the pair that the rule chooses.

The rule, stated before any figure was seen: the pair with the fewest bytes (of
the geometric mean over sequences) of those for which

    the mean over kinds, seeds and updates of the accuracy lost is at most 0.1
    point (each kind counts the same), and
    for no kind the mean over seeds of the accuracy lost at the last update is
    above 0.3 point;

when there is none, the pair with the smallest mean. For text accuracy is that
of the next character.
"""
import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import tiny_nets  # pylint: disable=wrong-import-position

PRICES = (0.125, 0.25, 0.5, 1)
ERRORS = (0.5, 0.6, 0.7, 0.8, 0.9)
SEEDS = (1, 2)
MEAN_LOST_MAX = 0.1
LAST_LOST_MAX = 0.3


def make_sequence(folder, kind, seed):
    """Exact accuracies and losses; files and they are kept in the folder."""
    place = os.path.join(folder, "%s-%d" % (kind, seed))
    scores = os.path.join(place, "scores.json")
    if not os.path.exists(scores):
        os.makedirs(place, exist_ok=True)
        files_of, tester_of = tiny_nets.KINDS[kind]
        files, evaluate = files_of(seed), tester_of(seed)
        for i, model in enumerate(files):
            tiny_nets.save(os.path.join(place, "u%02d.safetensors" % i), model)
        with open(scores, "w", encoding="utf-8") as file:
            json.dump([evaluate(model) for model in files], file)
    with open(scores, encoding="utf-8") as file:
        return place, json.load(file)


def run_tool(args, place, count, pair, out):
    files = [os.path.join(place, "u%02d.safetensors" % i) for i in range(count)]
    run = subprocess.run(
        [args.tool, "price-error", "%g:%g" % pair, str(args.rank), out + "/"] +
        files, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def measure(args, place, exact, evaluate, pair):
    with tempfile.TemporaryDirectory() as out:
        lines = run_tool(args, place, len(exact), pair, out)
        got = [evaluate(tiny_nets.load(os.path.join(out, name)))
               for name in sorted(os.listdir(out))]
    lost = [e[0] - g[0] for e, g in zip(exact[1:], got)]
    grown = [100 * (g[1] / e[1] - 1) for e, g in zip(exact[1:], got)]
    raw = os.path.getsize(os.path.join(place, "u00.safetensors"))
    return {"bytes": lines[-1]["bytes"],
            "percent": round(100 * lines[-1]["bytes"] / raw / len(lost), 3),
            "lost": round(sum(lost) / len(lost), 4),
            "lost_last": round(lost[-1], 4),
            "loss_percent": round(sum(grown) / len(grown), 3),
            "loss_percent_last": round(grown[-1], 3),
            "limited": [line["limited"] for line in lines[:-1]],
            "errors": [line["error"] for line in lines[:-1]]}


def known(found, pair):
    """A pair measured already that cannot differ from this one: the limit was
    never reached and is no lower here, or always, at no higher a price."""
    for (price, error), line in found.items():
        if price == pair[0] and error <= pair[1] and not any(line["limited"]):
            return line
        if error == pair[1] and price <= pair[0] and all(line["limited"]):
            return line
    return None


def measure_sequence(args, kind, seed, found):
    """Lines of a sequence; found: those of earlier runs, by pair."""
    place, exact = make_sequence(args.folder, kind, seed)
    here = {"bench": "auto", "kind": kind, "seed": seed}
    out = [{**here, "accuracy": [round(e[0], 2) for e in exact],
            "loss": [round(e[1], 4) for e in exact]}]
    evaluate = tiny_nets.KINDS[kind][1](seed)
    for error in args.error:
        for price in args.price:
            pair = (price, error)
            line = known(found, pair) or measure(args, place, exact, evaluate,
                                                 pair)
            found[pair] = {**here, **line, "price": price, "error": error}
            out.append(found[pair])
    return out


def read_lines(paths):
    """Pairs measured before, by kind and seed."""
    found = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in map(json.loads, file):
                if line["bench"] == "auto" and "price" in line:
                    known_here = found.setdefault((line["kind"], line["seed"]),
                                                  {})
                    known_here[line["price"], line["error"]] = line
    return found


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def pair_summary(lines, price, error):
    here = [l for l in lines if l.get("price") == price and l["error"] == error]
    kinds = sorted({l["kind"] for l in here})

    def by_kind(key):
        return {k: mean(l[key] for l in here if l["kind"] == k) for k in kinds}
    lost, last = by_kind("lost"), by_kind("lost_last")
    return {"bench": "auto-pair", "price": price, "error": error,
            "percent": round(math.exp(mean(math.log(l["percent"])
                                           for l in here)), 3),
            "lost": round(mean(lost.values()), 4),
            "lost_last": round(mean(last.values()), 4),
            "lost_last_worst": round(max(last.values()), 4),
            "loss_percent": round(mean(by_kind("loss_percent").values()), 3),
            "kinds": {k: [round(lost[k], 3), round(last[k], 3)] for k in kinds}}


def choose(pairs):
    good = [p for p in pairs if p["lost"] <= MEAN_LOST_MAX and
            p["lost_last_worst"] <= LAST_LOST_MAX]
    if good:
        return min(good, key=lambda p: (p["percent"], p["price"], p["error"]))
    return min(pairs, key=lambda p: p["lost"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tool", default="tests/bench/bench_quantize")
    parser.add_argument("--kind", action="append", choices=tiny_nets.KINDS)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--price", type=float, action="append")
    parser.add_argument("--error", type=float, action="append")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--read", action="append", default=[])
    parser.add_argument("folder")
    args = parser.parse_args()
    args.price = sorted(args.price or PRICES)
    args.error = sorted(args.error or ERRORS)
    lines, found = [], read_lines(args.read)
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        tasks = [pool.submit(measure_sequence, args, kind, seed,
                             found.get((kind, seed), {}))
                 for seed in args.seed or SEEDS
                 for kind in args.kind or tiny_nets.KINDS]
        for task in concurrent.futures.as_completed(tasks):
            for line in task.result():
                lines.append(line)
                print(json.dumps(line), flush=True)
    pairs = [pair_summary(lines, price, error)
             for price in args.price for error in args.error]
    for pair in pairs:
        print(json.dumps(pair))
    chosen = choose(pairs)
    print(json.dumps({"bench": "auto-chosen", "price": chosen["price"],
                      "error": chosen["error"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
