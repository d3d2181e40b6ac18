#!/usr/bin/env python3
"""Memory and idle CPU of real daemons.

usage: bench_memory.py [--build DIR] [--bytes 100M] [--idle SECONDS]

Two nodes; a float model of that size and a fine-tuned successor, changed mostly
by matrices of low rank, go from one to the other. Prints one JSON line: RssAnon of each idle and its highest while the
model moves (read every 5 ms), CPU time over the idle seconds.
"""
import argparse
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lab"))
from lab import Lab  # noqa: E402


class Peak(threading.Thread):
    """The highest RssAnon of each node while it runs."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes = nodes
        self.peak = [0] * len(nodes)
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.005):
            for i, node in enumerate(self.nodes):
                self.peak[i] = max(self.peak[i], node.rss_anon())


def move(lab, name, size, step):
    subprocess.run([os.path.join(lab.bin, "tests/gen/gen_model"), "-o", name,
                    "--bytes", size, "--steps", str(step), "--columns", "1024",
                    "--rank", "6"], check=True)
    peak = Peak(lab.nodes)
    peak.start()
    start = time.monotonic()
    reply = lab.publish(0, "bench/large", name)
    published = time.monotonic() - start
    lab.wait_running("bench/large", name, timeout=300)
    seconds = time.monotonic() - start
    peak.done.set()
    peak.join()
    return {"peak_publisher": peak.peak[0], "peak_receiver": peak.peak[1],
            "update": min(u["bytes"] for u in reply["updates"]),
            "published_s": round(published, 2), "in_place_s": round(seconds, 2)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build")
    parser.add_argument("--bytes", default="100M")
    parser.add_argument("--idle", type=float, default=60)
    args = parser.parse_args()
    with Lab(2, args.build) as lab:
        lab.found()
        lab.wait_links(1)
        time.sleep(2)
        idle = [node.rss_anon() for node in lab.nodes]
        name = os.path.join(lab.dir, "model.safetensors")
        rows = [move(lab, name, args.bytes, step) for step in range(2)]
        time.sleep(5)
        after = [node.rss_anon() for node in lab.nodes]
        ticks = [node.cpu_ticks() for node in lab.nodes]
        time.sleep(args.idle)
        used = [node.cpu_ticks() - t for node, t in zip(lab.nodes, ticks)]
        hz = os.sysconf("SC_CLK_TCK")
    print(json.dumps({
        "bench": "memory", "bytes": args.bytes, "idle_rss_anon": idle,
        "steps": rows, "after_rss_anon": after,
        "above_idle_publisher": max(r["peak_publisher"] for r in rows) - idle[0],
        "above_idle_receiver": max(r["peak_receiver"] for r in rows) - idle[1],
        "idle_cpu_percent": [round(100 * u / hz / max(args.idle, 1), 3)
                             for u in used]}))


if __name__ == "__main__":
    main()
