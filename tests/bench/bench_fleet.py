#!/usr/bin/env python3
"""What spreading versions costs real daemons on loopback.

usage: bench_fleet.py [--build DIR] [--nodes N] [--model NAME] FILE...

Publishes the files one by one on the first of N nodes (default 8), all linked,
and prints one JSON line a step: bytes of the smallest update, sent by the
publisher, received by the others, segments received twice, seconds from the
command's start to the last node's file in place. The last line sums up.
"""
import argparse
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lab"))
from lab import Lab  # noqa: E402


def traffic(lab):
    out = []
    for node in lab.nodes:
        m = node.metrics()
        out.append({"sent": m["deltamesh_sent_bytes_total"],
                    "received": m["deltamesh_received_bytes_total"],
                    "twice": m["deltamesh_segments_twice_total"]})
    return out


def step_row(lab, before, path, update):
    """Bytes and repeats of one step, beside what is allowed."""
    after = traffic(lab)
    blocks = -(-os.path.getsize(path) // 65536)
    allowed = 1.02 * update + 40 * blocks + 1000
    sent = after[0]["sent"] - before[0]["sent"]
    received = max(a["received"] - b["received"]
                   for a, b in zip(after[1:], before[1:]))
    twice = sum(a["twice"] - b["twice"] for a, b in zip(after, before))
    return after, {
        "bytes": os.path.getsize(path), "update": update,
        "sent_by_publisher": int(sent), "sent_ratio": round(sent / update, 3),
        "received_max": int(received),
        "received_of_allowed": round(received / allowed, 3),
        "segments_twice": int(twice)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--model", default="bench/model")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    rows = []
    with Lab(args.nodes, args.build) as lab:
        lab.found()
        lab.wait_links(args.nodes - 1)
        time.sleep(2)  # what joining sets off is not part of a step
        before = traffic(lab)
        # Applications open current/NAME: one name for all versions.
        name = os.path.join(lab.dir, "model" + os.path.splitext(args.files[0])[1])
        for step, path in enumerate(args.files):
            shutil.copyfile(path, name)
            start = time.monotonic()
            reply = lab.publish(0, args.model, name)
            published = time.monotonic() - start
            lab.wait_running(args.model, name)
            seconds = time.monotonic() - start
            time.sleep(0.3)  # late messages count too
            update = min(u["bytes"] for u in reply["updates"])
            before, row = step_row(lab, before, path, update)
            row = {"bench": "fleet", "step": step, "file": os.path.basename(path),
                   "nodes": args.nodes, **row, "published_s": round(published, 3),
                   "in_place_s": round(seconds, 3)}
            rows.append(row)
            print(json.dumps(row), flush=True)
    print(json.dumps({
        "bench": "fleet", "step": "all",
        "sent_ratio_max": max(r["sent_ratio"] for r in rows),
        "received_of_allowed_max": max(r["received_of_allowed"] for r in rows),
        "segments_twice": sum(r["segments_twice"] for r in rows),
        "in_place_s_max": max(r["in_place_s"] for r in rows)}))


if __name__ == "__main__":
    main()
