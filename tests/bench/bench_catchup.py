#!/usr/bin/env python3
"""A node that was away: what catching up costs beside the best path.

usage: bench_catchup.py [--build DIR] [--hold K] FILE...

Three nodes publish the files one by one; one of them is stopped after file K
(default 2), comes back when the last is out, and fetches it. Prints one JSON
line: bytes it received, and the bytes of the direct update that
`deltamesh diff` makes, of the chain of single steps, and of the full update.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lab"))
from lab import Lab  # noqa: E402


def update_bytes(lab, base, target):
    out = os.path.join(lab.dir, "update")
    names = ([base] if base else []) + [target]
    subprocess.run([os.path.join(lab.bin, "deltamesh"), "diff", *names, "-o", out],
                   check=True, stdout=subprocess.DEVNULL)
    return os.path.getsize(out)


def received(node):
    return node.metrics()["deltamesh_received_bytes_total"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build")
    parser.add_argument("--hold", type=int, default=2)
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    model = "bench/model"
    with Lab(3, args.build) as lab:
        lab.found()
        lab.wait_links(2)
        away = lab.nodes[2]
        name = os.path.join(lab.dir, "model.safetensors")
        for step, path in enumerate(args.files):
            shutil.copyfile(path, name)
            lab.publish(0, model, name)
            here = lab.nodes if step <= args.hold else lab.nodes[:2]
            lab.wait_running(model, name, nodes=here)
            if step == args.hold:
                time.sleep(0.5)
                away.stop()
        away.start()
        start = time.monotonic()
        lab.wait_running(model, name, nodes=[away])
        seconds = time.monotonic() - start
        time.sleep(0.5)
        got = received(away)
        held, last = args.files[args.hold], args.files[-1]
        steps = len(args.files) - 1 - args.hold
        direct = update_bytes(lab, held, last)
        chain = sum(update_bytes(lab, a, b) for a, b in
                    zip(args.files[args.hold:], args.files[args.hold + 1:]))
        full = update_bytes(lab, None, last)
    best = min([direct, full] + ([chain] if steps <= 4 else []))
    print(json.dumps({"bench": "catchup", "held": args.hold,
                      "target": len(args.files) - 1, "received": int(got),
                      "direct": direct, "chain": chain, "full": full,
                      "of_best": round(got / best, 4),
                      "seconds": round(seconds, 2)}))


if __name__ == "__main__":
    main()
