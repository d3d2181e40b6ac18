"""What tests of the command share: where it is, lines of TAP, small files."""
import json
import os
import struct

BUILD = os.path.abspath(os.environ.get("DM_BUILDDIR", "."))
SOURCE = os.path.abspath(os.environ.get("DM_SRCDIR", "."))
TOOL = os.path.join(BUILD, "deltamesh")
number = 0


def result(ok, name, detail=""):
    global number
    number += 1
    print("%s %d - %s" % ("ok" if ok else "not ok", number, name), flush=True)
    if not ok:
        for line in str(detail).splitlines():
            print("#", line)


def plan():
    """To be called last."""
    print("1..%d" % number)


def write(path, data):
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def safetensors(tensors):
    """tensors: name, dtype, shape, bytes."""
    head, at = {}, 0
    for name, dtype, shape, data in tensors:
        head[name] = {"dtype": dtype, "shape": shape,
                      "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    return (struct.pack("<Q", len(text)) + text +
            b"".join(t[3] for t in tensors))
