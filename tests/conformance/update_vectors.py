#!/usr/bin/env python3
"""The golden updates under the decoder that was written from FORMAT.md alone.
TAP."""
import json
import os
import sys

root = os.environ.get("DM_SRCDIR", ".")
sys.path.insert(0, os.path.join(root, "tests", "gen"))
sys.dont_write_bytecode = True
import update_decode as dec  # noqa: E402


def main():
    try:
        dec.Zstd()
    except OSError:
        print("1..0 # SKIP libzstd.so.1 is not there")
        return 0
    folder = os.path.join(root, "tests", "vectors", "updates")
    with open(os.path.join(folder, "index.json")) as file:
        updates = json.load(file)["updates"]
    targets = {}
    print("1..%d" % len(updates))
    failed = 0
    for number, entry in enumerate(updates, 1):
        name = entry["update"]
        with open(os.path.join(folder, name + ".update"), "rb") as file:
            update = file.read()
        try:
            target = dec.decode(update, targets.get(entry["base"]))
            good = dec.tree_id(target).hex() == entry["target"] and \
                len(target) == entry["size"]
            targets[name] = target
        except dec.Bad as error:
            print("# " + str(error))
            good = False
        failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", number, name))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
