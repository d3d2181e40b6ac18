#!/usr/bin/env python3
"""Bytes and seconds of `deltamesh diff` and `patch` beside zstd -19.

    bench_diff.py [--tool DELTAMESH] [--match TEXT] [--more] [--zstd FILE]
                  [--option OPTION]... [FOLDER]

FOLDER has an index.json of sequences (a file updates the one before it unless
`base` names another; the files of a sharded model, and those of a network and
its weights, are one version); without it the models of tests/data are taken.
--more adds pairs that are no neighbours: further apart, of other formats, of
other types, and files taken alone. One JSON line a pair, then one with totals.

zstd is the smaller of `zstd -19 --patch-from` with and without --long=27, the
files of a folder one after the other; its results are kept in FILE. What
deltamesh takes is measured with one thread, in seconds of the processor;
speed_up is how many times faster than the zstd run that gave fewer bytes it is.

The exit status is 1 when a pair does not come back bit for bit, or takes more
than zstd does by more than 256 bytes and 1 %.
"""
import argparse
import filecmp
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SPEED_RAW_MIN = 100000  # smaller pairs are dominated by starting a process


def files_of_name(names, stem):
    """The files that are one model: same name but for what follows it."""
    return [n for n in names if n.startswith(stem)]


def pairs_of_sequence(sequence):
    """Pairs of lists of files."""
    names = [entry["file"] for entry in sequence["files"]]
    kind = sequence["format"]
    if "shard" in kind or kind == "ncnn":
        stems = []
        for name in names:
            stem = os.path.dirname(name) if "shard" in kind else \
                os.path.splitext(name)[0] + "."
            if stem not in stems:
                stems.append(stem)
        groups = [files_of_name(names, stem) for stem in stems]
        yield from zip(groups, groups[1:])
        return
    before = None
    for entry in sequence["files"]:
        base = entry.get("base") or before
        before = entry["file"]
        if base:
            yield [base], [entry["file"]]


def pairs_more(index):
    """Pairs that are no neighbours, as far as the folder has them."""
    have = {e["file"] for s in index["sequences"] for e in s["files"]}
    st = ".safetensors"
    pairs = [
        ("finetune/e0" + st, "finetune/e8" + st),
        ("finetune/e0" + st, "finetune/e4" + st),
        ("finetune/e8" + st, "finetune/e0" + st),
        ("classext/c7" + st, "classext/c10" + st),
        ("classext/c10" + st, "classext/c7" + st),
        ("classext/c10" + st, "structure/s6" + st),
        ("classext/c10" + st, "structure/s3" + st),
        ("structure/s2" + st, "structure/s5" + st),
        ("structure/s6" + st, "classext/c10" + st),
        ("structure/s3" + st, "structure/s2" + st),
        ("classext/c7" + st, "headonly/h0" + st),
        ("classext/c7" + st, "headonly/h1" + st),
        ("headonly/h0" + st, "headonly/h3" + st),
        ("classext/c10" + st, "sparse/p2" + st),
        ("sparse/p2" + st, "lowrank/l1" + st),
        ("federated/global-r00" + st, "federated/global-r10" + st),
        ("federated/global-r05" + st, "federated/global-r10" + st),
        ("federated/client0-r10" + st, "federated/client1-r10" + st),
        ("lm/t0" + st, "lm/t3" + st),
        ("finetune/e0" + st, "halfprec-f16/e0" + st),
        ("finetune/e0" + st, "halfprec-f16/e1" + st),
        ("finetune/e0" + st, "halfprec-bf16/e1" + st),
        ("halfprec-f16/e0" + st, "finetune/e0" + st),
        ("halfprec-bf16/e0" + st, "finetune/e1" + st),
        ("halfprec-f16/e1" + st, "halfprec-bf16/e1" + st),
        ("finetune/e0" + st, "int8/e0" + st),
        ("int8/e0" + st, "finetune/e0" + st),
        ("transformer/f32-base" + st, "transformer/bf16-base" + st),
        ("transformer/bf16-base" + st, "transformer/f32-base" + st),
        ("transformer/f32-adam1e-5" + st, "transformer/bf16-adam1e-5" + st),
        ("transformer/f32-base" + st, "transformer/i8-base" + st),
        ("transformer/f32-lora8" + st, "transformer/f32-adam1e-5" + st),
        ("classext/c10" + st, "onnx-export/classext-c10.onnx"),
        ("onnx-export/classext-c10.onnx", "classext/c10" + st),
        ("classext/c9" + st, "onnx-export/classext-c10.onnx"),
        ("finetune/e8" + st, "onnx-export/resnet-e8.onnx"),
        ("finetune/e7" + st, "onnx-export/resnet-e8.onnx"),
        ("onnx-export/resnet-e8.onnx", "finetune/e8" + st),
        ("structure/s6" + st, "onnx-export/structure-s6.onnx"),
        ("structure/s5" + st, "onnx-export/structure-s6.onnx"),
        ("onnx-export/federated-r09.onnx", "onnx-export/federated-r10.onnx"),
        ("federated/global-r09" + st, "onnx-export/federated-r10.onnx"),
        ("federated/global-r10" + st, "onnx-export/federated-r10.onnx"),
        ("onnx-export/federated-r10.onnx", "federated/global-r10" + st),
        ("federated/global-r10" + st, "torch-zip/federated-r10.pth"),
        ("federated/global-r09" + st, "torch-zip/federated-r10.pth"),
        ("torch-zip/federated-r10.pth", "federated/global-r10" + st),
        ("torch-zip/federated-r09.pth", "onnx-export/federated-r10.onnx"),
        ("onnx-export/federated-r09.onnx", "torch-zip/federated-r10.pth"),
        ("outside/flower-fedfit/round1.pth",
         "outside/flower-fedfit/round7.pth"),
        ("outside/yunet-onnx/v1.onnx", "outside/yunet-onnx/v3.onnx"),
        ("outside/linzaer-rfb-train/epoch020" + st,
         "outside/linzaer-rfb-train/epoch420" + st),
        ("outside/linzaer-ncnn/v1.bin", "outside/linzaer-ncnn/v2.bin"),
        ("outside/linzaer-ncnn/v2.bin", "outside/linzaer-ncnn/v1.bin"),
        ("outside/linzaer-ncnn/v1.param", "outside/linzaer-ncnn/v2.param"),
    ]
    for base, target in pairs:
        if base in have and target in have:
            yield [base], [target]
    external = ["onnx-export/federated-r10-ext.onnx",
                "onnx-export/federated-r10-ext.bin"]
    if all(name in have for name in external):
        yield ["onnx-export/federated-r10.onnx"], external
        yield external, ["onnx-export/federated-r10.onnx"]
        yield ["federated/global-r09" + st], external
        yield ["onnx-export/federated-r09.onnx"], external
    shards = sorted(n for n in have if n.startswith("sharded/r10/"))
    if shards:
        yield ["federated/global-r09" + st], shards
        yield shards, ["federated/global-r10" + st]


def pairs_of_index(folder, more):
    with open(os.path.join(folder, "index.json")) as f:
        index = json.load(f)
    seen = set()
    for sequence in index["sequences"]:
        for base, target in pairs_of_sequence(sequence):
            seen.add((base[0], target[0], len(target)))
            yield base, target
    if not more:
        return
    for base, target in pairs_more(index):
        if (base[0], target[0], len(target)) not in seen:
            yield base, target


def pairs_of_data(folder):
    for name in sorted(os.listdir(folder)):
        sequence = os.path.join(folder, name)
        if not os.path.isdir(sequence):
            continue
        files = sorted(f for f in os.listdir(sequence)
                       if f.endswith(".safetensors"))
        for base, target in zip(files, files[1:]):
            yield [os.path.join(name, base)], [os.path.join(name, target)]


def timed(*command):
    """Seconds of the processor: others may be at work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime -
            before.ru_stime)


class Zstd:
    """zstd on pairs of files, remembered."""

    def __init__(self, path):
        self.path = path
        self.known = {}
        if path and os.path.exists(path):
            with open(path) as f:
                self.known = json.load(f)

    def run(self, base, target, tmp):
        if not shutil.which("zstd"):
            return None, None
        digest = hashlib.blake2b()
        for name in base, target:
            with open(name, "rb") as f:
                digest.update(f.read())
        key = digest.hexdigest()[:32]
        if key not in self.known:
            out = os.path.join(tmp, "z")
            tries = []
            # A window smaller than the base makes zstd fall back to less.
            for extra in (["--long=27"], []):
                seconds = timed("zstd", "-q", "-f", "-19", *extra,
                                "--patch-from=" + base, target, "-o", out)
                tries.append((os.path.getsize(out), seconds))
            self.known[key] = min(tries)
            if self.path:
                with open(self.path, "w") as f:
                    json.dump(self.known, f)
        return self.known[key]


def one_file(folder, names, to):
    """The path of one file with the bytes of all."""
    if len(names) == 1:
        return os.path.join(folder, names[0])
    with open(to, "wb") as out:
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as f:
                out.write(f.read())
    return to


def version(folder, names, to):
    """What deltamesh is given: the file, or a folder with the files."""
    if len(names) == 1:
        return os.path.join(folder, names[0])
    shutil.rmtree(to, ignore_errors=True)
    os.mkdir(to)
    for name in names:
        plain = os.path.basename(name)
        if name.endswith((".param", ".bin")) and "ncnn" in name:
            plain = "model" + os.path.splitext(name)[1]
        shutil.copyfile(os.path.join(folder, name), os.path.join(to, plain))
    return to


def same(a, b):
    if os.path.isfile(a):
        return filecmp.cmp(a, b, shallow=False)
    names = sorted(os.listdir(a))
    return names == sorted(os.listdir(b)) and \
        not any(filecmp.cmpfiles(a, b, names, shallow=False)[1:])


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def measure(args, zstd, folder, base, target, tmp):
    old = version(folder, base, os.path.join(tmp, "old"))
    new = version(folder, target, os.path.join(tmp, "new"))
    update, back = os.path.join(tmp, "u"), os.path.join(tmp, "t")
    old_bytes = one_file(folder, base, os.path.join(tmp, "old-bytes"))
    new_bytes = one_file(folder, target, os.path.join(tmp, "new-bytes"))
    limit, zstd_s = zstd.run(old_bytes, new_bytes, tmp)
    command = [args.tool, "diff", "--threads", "1", *args.option, old, new,
               "-o", update]
    encode = timed(*command)
    encode = min([encode] + [timed(*command) for _ in range(args.repeat)])
    decode = []
    for _ in range(1 + args.repeat):
        remove(back)
        decode.append(timed(args.tool, "patch", old, update, "-o", back))
    raw, ours = os.path.getsize(new_bytes), os.path.getsize(update)
    line = {
        "bench": "diff", "base": "+".join(base), "target": "+".join(target),
        "raw": raw, "bytes": ours, "ratio": round(ours / raw, 4),
        "zstd_bytes": limit, "encode_s": round(encode, 4),
        "decode_s": round(min(decode), 4), "exact": same(new, back),
    }
    if limit is not None:
        line["of_zstd"] = round(ours / limit, 3)
        line["margin"] = int(limit + max(256, limit / 100)) - ours
        line["speed_up"] = round(zstd_s / max(encode, 0.001), 1)
    return line


def total_of(lines):
    rated = [line for line in lines if "margin" in line]
    timed_lines = [line for line in rated if line["raw"] >= SPEED_RAW_MIN]
    total = {
        "bench": "diff total", "pairs": len(lines),
        "bytes": sum(line["bytes"] for line in lines),
        "not_exact": sum(not line["exact"] for line in lines),
    }
    if rated:
        total["zstd_bytes"] = sum(line["zstd_bytes"] for line in rated)
        total["over_zstd"] = sum(line["margin"] < 0 for line in rated)
        worst = min(rated, key=lambda line: line["margin"])
        total["worst_margin"] = worst["margin"]
        total["worst_pair"] = worst["target"]
    if timed_lines:
        slow = min(timed_lines, key=lambda line: line["speed_up"])
        total["slowest_speed_up"] = slow["speed_up"]
        total["slowest_pair"] = slow["target"]
        total["below_20x"] = sum(line["speed_up"] < 20
                                 for line in timed_lines)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--tool", default=os.path.join(
        os.environ.get("DM_BUILDDIR", os.path.join(ROOT, "build")),
        "deltamesh"))
    parser.add_argument("--all", action="store_true",
                        help="kept for old callers: all formats are taken")
    parser.add_argument("--more", action="store_true")
    parser.add_argument("--match", default="")
    parser.add_argument("--zstd", help="keeps the results of zstd here")
    parser.add_argument("--option", action="append", default=[],
                        help="passed to deltamesh diff")
    parser.add_argument("--repeat", type=int, default=2)
    args = parser.parse_args()
    folder = args.folder or os.path.join(ROOT, "tests", "data")
    pairs = pairs_of_index(folder, args.more) if args.folder \
        else pairs_of_data(folder)
    zstd = Zstd(args.zstd)
    lines = []
    with tempfile.TemporaryDirectory() as tmp:
        for base, target in pairs:
            if args.match not in base[0] + " " + target[0]:
                continue
            lines.append(measure(args, zstd, folder, base, target, tmp))
            print(json.dumps(lines[-1]), flush=True)
    total = total_of(lines)
    print(json.dumps(total))
    sys.exit(1 if total["not_exact"] or total.get("over_zstd") else 0)


main()
