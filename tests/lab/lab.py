"""Real daemons in scratch folders on loopback, for tests and benches.

    with Lab(count=3) as lab:
        lab.found()                       # init on node 0, the others join
        lab.publish(0, "m", "file")       # and released
        lab.wait_running("m", "file")     # on every node, bytes compared

The programs are taken from DM_BUILDDIR, or the folder given. Everything a Lab
started ends with it, and its folder is removed.
"""
import filecmp
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time


class LabError(Exception):
    pass


class Node:
    """One daemon and its folder."""

    def __init__(self, lab, index):
        self.lab = lab
        self.index = index
        self.dir = os.path.join(lab.dir, f"n{index}")
        self.models = os.path.join(self.dir, "state", "models")
        self.control = os.path.join(self.dir, "control")
        self.listen = "127.0.0.1:0"
        self.process = None
        os.makedirs(self.dir)
        with open(os.path.join(self.dir, "conf"), "w") as f:
            f.write("[network]\ndiscovery = no\n" + lab.config)

    def start(self, wait=True):
        log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen(
            [os.path.join(self.lab.bin, "deltameshd"),
             "--config", os.path.join(self.dir, "conf"),
             "--state", os.path.join(self.dir, "state"),
             "--control", self.control, "--listen", self.listen,
             "--log-level", self.lab.log_level],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        if wait:
            self.wait_up()

    def wait_up(self, timeout=20):
        end = time.monotonic() + timeout
        while self.run("status", check=False).returncode not in (0, 1):
            if self.process.poll() is not None:
                raise LabError(f"node {self.index} ended with "
                               f"{self.process.returncode}: {self.tail()}")
            if time.monotonic() > end:
                raise LabError(f"node {self.index} is not up: {self.tail()}")
            time.sleep(0.02)
        # The port stays the same over restarts: peers know it.
        if self.listen.endswith(":0"):
            bound = self.json("status", ok=(0, 1)).get("listen") or []
            if bound:
                self.listen = bound[0]

    def tail(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return "".join(f.readlines()[-15:])

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=5):
        """SIGTERM; the seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout)
        return time.monotonic() - start

    def run(self, *args, check=True, timeout=120):
        env = dict(os.environ, XDG_CONFIG_HOME=os.path.join(self.lab.dir, "keys"))
        done = subprocess.run(
            [os.path.join(self.lab.bin, "deltamesh"), args[0], *map(str, args[1:]),
             "--control", self.control],
            capture_output=True, text=True, env=env, timeout=timeout)
        if check and done.returncode:
            raise LabError(f"{' '.join(map(str, args))}: {done.returncode} "
                           f"{done.stderr}{done.stdout}\n{self.tail()}")
        return done

    def json(self, *args, ok=(0,)):
        done = self.run(*args, "--json", check=False)
        if done.returncode not in ok:
            raise LabError(f"{' '.join(map(str, args))}: {done.returncode} "
                           f"{done.stderr}\n{self.tail()}")
        return json.loads(done.stdout)

    def metrics(self):
        """OpenMetrics samples by name (labels in the name)."""
        out = {}
        for line in self.run("metrics").stdout.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def current(self, model, path):
        """The file an application would open."""
        return os.path.join(self.models, model, "current", os.path.basename(path))

    def rss_anon(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0

    def cpu_ticks(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


class Lab:
    def __init__(self, count, build=None, config="", log_level="info"):
        self.bin = build or os.environ.get("DM_BUILDDIR", "build")
        self.bin = os.path.abspath(self.bin)
        self.config = config
        self.log_level = log_level
        self.dir = tempfile.mkdtemp(prefix="deltamesh-lab-")
        self.nodes = [Node(self, i) for i in range(count)]

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start(wait=False)
            for node in self.nodes:
                node.wait_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        if os.environ.get("DM_LAB_KEEP"):
            print(f"# kept {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def found(self, mesh=True):
        """A fleet of all nodes; mesh: every node dials those before it."""
        first = self.nodes[0]
        first.run("init", "--fleet", "lab")
        first.wait_up()
        for i, node in enumerate(self.nodes[1:], 1):
            known = self.nodes[:i] if mesh else self.nodes[:1]
            args = [a for k in known for a in ("--address", k.listen)]
            invite = first.run("invite", *args).stdout.strip()
            node.run("join", invite, "--timeout", "30")

    def publish(self, index, model, path, *args):
        return self.nodes[index].json("publish", model, path, *args)

    def wait_running(self, model, path, timeout=60, nodes=None):
        """Until every node's current file has the bytes of path."""
        start = time.monotonic()
        for node in nodes or self.nodes:
            while True:
                try:
                    if filecmp.cmp(path, node.current(model, path), shallow=False):
                        break
                except OSError:
                    pass
                if time.monotonic() - start > timeout:
                    raise LabError(f"node {node.index} does not run {path}: "
                                   f"{node.run('status', check=False).stdout}"
                                   f"{node.tail()}")
                time.sleep(0.005)
        return time.monotonic() - start

    def wait_version(self, model, version, timeout=60):
        """Until every node runs this version, by its own word: what publish --wait
        waits for, records of what nodes run, is sent at 256 bytes a second."""
        end = time.monotonic() + timeout
        for node in self.nodes:
            while node.run("show", f"{model}@running", "--json", check=False
                           ).stdout.find(version) < 0:
                if time.monotonic() > end:
                    raise LabError(f"node {node.index} does not run {version}: "
                                   + node.tail())
                time.sleep(0.02)

    def wait_links(self, count, timeout=20):
        """Until every node has at least this many links up."""
        end = time.monotonic() + timeout
        for node in self.nodes:
            while node.json("status", ok=(0, 1))["links_up"] < count:
                if time.monotonic() > end:
                    raise LabError(f"node {node.index} has few links: "
                                   + node.run("peers").stdout)
                time.sleep(0.05)
