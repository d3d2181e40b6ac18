#!/usr/bin/env python3
"""kill -9 at any moment loses nothing that was acknowledged.

usage: test_kill.py [--rounds N] [--seed S] [--build DIR]

Three daemons. Each round publishes a version on node 0, and at a random moment
one daemon is killed: while it publishes, fetches, activates or sweeps (gc).
It is started again without any repair; the round ends when every node runs the
newest acknowledged version with the same bytes, and every acknowledged version
is known everywhere. Every few rounds each node verifies all it holds. A round
is replayed by its seed, as far as real processes allow.
"""
import argparse
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lab import Lab, LabError  # noqa: E402

MODEL = "lab/kill"
BATCH = 10


class Rounds:
    def __init__(self, lab):
        self.lab = lab
        self.name = os.path.join(lab.dir, "model.safetensors")
        self.acknowledged = []
        self.steps = 0

    def make_file(self, rng):
        """The next version: fine-tuned, or all new once in a while. Steps are of
        low rank or not, so that updates have auxiliary segments or not."""
        self.steps += 1
        subprocess.run([
            os.path.join(self.lab.bin, "tests/gen/gen_model"), "-o", self.name,
            "--bytes", "600k", "--seed", str(1 + self.steps // 8),
            "--steps", str(self.steps % 8), "--changed", str(rng.choice([30, 100])),
            "--columns", "120", "--rank", str(3 - self.steps // 8 % 2 * 3),
        ], check=True)

    def publish(self, result):
        done = self.lab.nodes[0].run("publish", MODEL, self.name, "--json",
                                     check=False)
        result.append(done)

    def gc(self, node):
        node.run("gc", check=False)

    def kill_during(self, rng, victim):
        """Starts what the round is about, kills in its midst."""
        result = []
        work = [threading.Thread(target=self.publish, args=(result,))]
        sweep = rng.random() < 0.3
        if sweep:
            work.append(threading.Thread(target=self.gc, args=(victim,)))
        for t in work:
            t.start()
        # Publishing takes some 50 ms, fetching and activating follow at once.
        time.sleep(rng.random() ** 1.5 * 0.4)
        victim.kill()
        for t in work:
            t.join()
        return result[0], sweep

    def round(self, seed):
        rng = random.Random(seed)
        victim = rng.choice(self.lab.nodes)
        self.make_file(rng)
        done, sweep = self.kill_during(rng, victim)
        victim.start()
        what = (f"seed {seed}: killed node {victim.index} "
                f"{'while sweeping, ' if sweep else ''}publish "
                f"{'was' if done.returncode == 0 else 'was not'} acknowledged")
        if done.returncode:
            # Not acknowledged: the same command again must end it.
            self.lab.nodes[0].run("publish", MODEL, self.name)
        self.acknowledged.append(self.latest())
        self.lab.wait_running(MODEL, self.name, timeout=30)
        return what

    def latest(self):
        shown = self.lab.nodes[0].json("show", f"{MODEL}@latest")
        return shown["version"]["id"]

    def check_all(self):
        for node in self.lab.nodes:
            known = {v["id"] for v in node.json("versions", MODEL)["versions"]}
            # A publisher keeps records of its newest 64 versions at least.
            missing = set(self.acknowledged[-60:]) - known
            if missing:
                raise LabError(f"node {node.index} lost {sorted(missing)}")
            done = node.run("verify", check=False)
            if done.returncode:
                raise LabError(f"node {node.index}: {done.stdout}{done.stderr}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int,
                        default=int(os.environ.get("DM_KILL_ROUNDS", "20")))
    parser.add_argument("--seed", type=int,
                        default=int(os.environ.get("DM_SEED", "1")))
    parser.add_argument("--build")
    args = parser.parse_args()
    batches = -(-args.rounds // BATCH)
    print(f"1..{batches}", flush=True)
    failed = 0
    with Lab(3, args.build) as lab:
        lab.found()
        lab.wait_links(2)
        rounds = Rounds(lab)
        for batch in range(1, batches + 1):
            first = args.seed + (batch - 1) * BATCH
            name = f"seeds {first}..{first + BATCH - 1}"
            try:
                for seed in range(first, first + BATCH):
                    print("#", rounds.round(seed), flush=True)
                rounds.check_all()
                print(f"ok {batch} - {name}", flush=True)
            except (LabError, subprocess.SubprocessError) as e:
                failed += 1
                for line in str(e).splitlines():
                    print("#", line)
                print(f"not ok {batch} - {name}", flush=True)
                break
    if failed and batch < batches:
        for rest in range(batch + 1, batches + 1):
            print(f"not ok {rest} - not reached")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
