#!/usr/bin/env python3
"""Models of every format, in one file and in folders, through real daemons: each
is one version, its update is far smaller than its bytes, and what another node
exports is bit for bit what was published. Then updates from several held
versions, and ones with predictions of low rank. Prints TAP."""
import array
import filecmp
import json
import os
import random
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "gen")]
import model_files as gen  # noqa: E402
from lab import Lab, LabError  # noqa: E402

SHAPES = {"conv": (48, 32, 3, 3), "fc": (200, 250), "bias": (200,)}


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = False

    def ok(self, good, what, detail=""):
        self.count += 1
        self.failed |= not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {what}", flush=True)
        if not good:
            print("#", detail)

    def end(self):
        print(f"1..{self.count}")
        sys.exit(self.failed)


def count_of(shape):
    n = 1
    for dim in shape:
        n *= dim
    return n


def weights(step):
    """Tensors of a model and, with step, what training made of them."""
    base, change = random.Random(1), random.Random(2)
    out = {}
    for name, shape in SHAPES.items():
        values = [base.gauss(0, 0.05) for _ in range(count_of(shape))]
        for _ in range(step):
            values = [v + change.gauss(0, 1e-5) for v in values]
        out[name] = array.array("f", values).tobytes()
    return out


def safetensors(tensors):
    head, at = {}, 0
    for name, data in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(SHAPES[name]),
                      "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensors.values())


def onnx(tensors):
    return {"m.onnx": gen.model(gen.graph(*(
        gen.tensor(n, SHAPES[n], 1, d) for n, d in tensors.items())))}


def onnx_external(tensors):
    at, parts = 0, []
    for name, data in tensors.items():
        parts.append(gen.tensor(name, SHAPES[name], 1, None,
                                gen.external("m.data", at, len(data))))
        at += len(data)
    return {"m.onnx": gen.model(gen.graph(*parts)),
            "m.data": b"".join(tensors.values())}


def tflite(tensors):
    rows = [(n, SHAPES[n], 0, i + 1, None) for i, n in enumerate(tensors)]
    return {"m.tflite": gen.tflite_file(rows, [b"", *tensors.values()])[0]}


def torch(tensors):
    state = gen.collections.OrderedDict()
    for i, (name, data) in enumerate(tensors.items()):
        state[name] = gen.Tensor(gen.Storage("FloatStorage", str(i),
                                             len(data) // 4), SHAPES[name])
    return {"m.pth": gen.archive(
        [("data.pkl", gen.pickled(state))] +
        [(f"data/{i}", d) for i, d in enumerate(tensors.values())] +
        [("version", b"3\n")])}


def ncnn(tensors):
    out, inputs, kw, kh = SHAPES["conv"]
    rows, columns = SHAPES["fc"]
    none = b"\0\0\0\0"
    return {"m.param": gen.text(
        "Input in 0 1 a 0=1",
        f"Convolution c 1 1 a b 0={out} 1={kw} 11={kh} 6={count_of(SHAPES['conv'])}",
        f"InnerProduct fc 1 1 b c 0={rows} 1=1 2={rows * columns}"),
        "m.bin": none + tensors["conv"] + none + tensors["fc"] + tensors["bias"]}


def sharded(tensors):
    first = {"conv": tensors["conv"]}
    second = {n: tensors[n] for n in ("fc", "bias")}
    names = ["model-00001-of-00002.safetensors",
             "model-00002-of-00002.safetensors"]
    index = {"metadata": {"total_size": sum(map(len, tensors.values()))},
             "weight_map": {**{n: names[0] for n in first},
                            **{n: names[1] for n in second}}}
    return {names[0]: safetensors(first), names[1]: safetensors(second),
            "model.safetensors.index.json": json.dumps(index).encode(),
            "tokens/vocabulary.txt": b"cat\ndog\n"}


FORMATS = {"safetensors": lambda t: {"m.safetensors": safetensors(t)},
           "onnx": onnx, "onnx-external": onnx_external, "tflite": tflite,
           "torch": torch, "ncnn": ncnn, "sharded": sharded}


def write(folder, files):
    for name, data in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)


def same(folder, out, files):
    """One file comes out as a file, several as a folder."""
    if len(files) == 1:
        return filecmp.cmp(os.path.join(folder, *files), out, shallow=False)
    return (all(filecmp.cmp(os.path.join(folder, n), os.path.join(out, n),
                            shallow=False) for n in files) and
            sum(len(f) for _, _, f in os.walk(out)) == len(files))


def check_format(tap, lab, name, make, steps):
    folder = os.path.join(lab.dir, "in", name)
    model = "formats/" + name
    for step, tensors in enumerate(steps):
        files = make(tensors)
        write(folder, files)
        done = lab.nodes[0].json("publish", model, folder, "--wait")
    size = sum(map(len, files.values()))
    direct = [u["bytes"] for u in done["updates"] if u["base"]]
    # Changes of 1e-5 in weights of 0.05: a third of the bits, when the tensors
    # are found; as bytes it would be nine tenths.
    tap.ok(bool(direct) and direct[0] < 0.6 * size,
           f"{name}: the update takes {direct} of {size} bytes",
           done["updates"])
    out = os.path.join(lab.dir, "out-" + name)
    lab.nodes[1].run("export", model + "@running", "-o", out)
    tap.ok(same(folder, out, files), f"{name}: exported as it was published")
    return direct


def check_bases(tap, lab):
    """Channels at different versions: an update from each."""
    node = lab.nodes[0]
    path = os.path.join(lab.dir, "bases.safetensors")
    trees = []
    for step in range(4):
        with open(path, "wb") as f:
            f.write(safetensors(weights(step)))
        last = step == 3
        done = node.json("publish", "bases/m", path,
                         *([] if last else ["--no-release"]))
        if not last:
            node.run("release", f"bases/m#{step + 1}", "--channel",
                     f"channel{step}")
            trees.append(node.json("show", f"bases/m#{step + 1}")["tree"])
    bases = [u["base"] for u in done["updates"] if u["base"]]
    tap.ok(sorted(bases) == sorted(trees) and len(done["updates"]) == 4,
           "a full update, and one from each version a channel names",
           f"{bases} {trees}")
    full = [u["bytes"] for u in done["updates"] if not u["base"]]
    tap.ok(all(u["bytes"] < full[0] for u in done["updates"] if u["base"]),
           "each of them is smaller than the full one", done["updates"])


def check_chain(tap, lab):
    """Many versions, one after the other: whoever runs the last one has it in
    few steps."""
    path = os.path.join(lab.dir, "chain.safetensors")
    for step in range(8):
        with open(path, "wb") as f:
            f.write(safetensors(weights(step)))
        lab.publish(0, "chain/m", path)
        lab.wait_running("chain/m", path)
    for node in lab.nodes:
        done = node.run("verify", check=False)
        tap.ok(done.returncode == 0,
               f"node {node.index} holds eight versions whole",
               done.stdout + done.stderr)
    out = os.path.join(lab.dir, "chain.out")
    lab.nodes[1].run("export", "chain/m@latest", "-o", out)
    tap.ok(filecmp.cmp(path, out, shallow=False), "the last one is exported")


def check_away(tap, lab):
    """A node that was away for some versions: the other one, whose base lies in
    no plain file any more, makes the update that is smallest."""
    paths = [os.path.join(lab.dir, f"away{i}", "away.safetensors")
             for i in range(5)]
    maker, away = lab.nodes
    for step, path in enumerate(paths):
        os.makedirs(os.path.dirname(path))
        subprocess.run([os.path.join(lab.bin, "tests/gen/gen_model"), "-o",
                        path, "--bytes", "3M", "--steps", str(step)],
                       check=True)
        lab.publish(0, "away/m", path)
        lab.wait_running("away/m", path, nodes=lab.nodes[:1 + (step == 0)])
        if step == 0:
            away.stop()
    made = maker.metrics()["deltamesh_updates_made_total"]
    away.start()
    lab.wait_running("away/m", paths[-1])
    best = diff_bytes(lab, paths[0], paths[-1])
    got = away.metrics()["deltamesh_received_data_bytes_total"]
    tap.ok(maker.metrics()["deltamesh_updates_made_total"] == made + 1 and
           got < 1.05 * best + 20000,
           f"away for four versions: {got:.0f} bytes, the best is {best}",
           maker.tail())


def gen_model(lab, path, step):
    subprocess.run([os.path.join(lab.bin, "tests/gen/gen_model"), "-o", path,
                    "--bytes", "3M", "--tensors", "4", "--columns", "400",
                    "--rank", "4", "--steps", str(step)], check=True)


def diff_bytes(lab, base, target, *args):
    out = os.path.join(lab.dir, "diffed")
    subprocess.run([os.path.join(lab.bin, "deltamesh"), "diff", *args, base,
                    target, "-o", out], check=True, capture_output=True)
    return os.path.getsize(out)


def check_low_rank(tap, lab):
    """Auxiliary segments through publishing, the mesh, a restart."""
    paths = [os.path.join(lab.dir, f"step{i}", "rank.safetensors")
             for i in range(2)]
    for step, path in enumerate(paths):
        os.makedirs(os.path.dirname(path))
        gen_model(lab, path, step)
        done = lab.publish(0, "rank/m", path)
        lab.wait_running("rank/m", path)
    direct = [u["bytes"] for u in done["updates"] if u["base"]]
    plain = diff_bytes(lab, *paths, "--max-rank", "0")
    tap.ok(bool(direct) and direct[0] < 0.95 * plain,
           f"low rank: {direct} bytes, {plain} without", done["updates"])
    received = lab.nodes[1]
    metrics = received.metrics()
    tap.ok(filecmp.cmp(paths[1], received.current("rank/m", paths[1]),
                       shallow=False), "it arrives bit for bit", metrics)
    received.kill()
    received.start()
    lab.nodes[0].kill()
    out = os.path.join(lab.dir, "rank.out")
    received.run("export", "rank/m@latest", "-o", out)
    tap.ok(filecmp.cmp(paths[1], out, shallow=False) and
           received.run("verify", check=False).returncode == 0,
           "and is whole after kill -9, without its publisher")
    lab.nodes[0].start()


def main():
    tap = Tap()
    try:
        with Lab(2) as lab:
            lab.found()
            lab.wait_links(1)
            steps = [weights(0), weights(1)]
            for name, make in FORMATS.items():
                check_format(tap, lab, name, make, steps)
            check_bases(tap, lab)
            check_chain(tap, lab)
            check_low_rank(tap, lab)
            check_away(tap, lab)
    except (LabError, subprocess.SubprocessError, OSError, KeyError) as error:
        tap.ok(False, "the run goes to its end", error)
    tap.end()


if __name__ == "__main__":
    main()
