#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets of encodings and Noise, from the
committed vectors and from handshakes under the targets' fixed keys.

    python3 tests/gen/fuzz_corpus.py tests"""
import json
import os
import sys

import crypto_vectors
import noise_vectors
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def write(root, target, name, data):
    folder = os.path.join(root, "fuzz", "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)


def tests_of(root, suite):
    with open(os.path.join(root, "vectors", suite, "small.json")) as file:
        return json.load(file)["tests"]


def fixed_seed(label):
    """As fill_key in fuzz_noise_handshake.c."""
    words = label.split()
    if "psk" in words:
        return bytes([5]) * 32
    byte = 1 if "init" in words else 2
    return bytes([byte + (2 if words[-1] == "e" else 0)]) * 32


def noise(root):
    noise_vectors.seed = fixed_seed
    table = dict(line.split(":") for line in
                 noise_vectors.PATTERNS.strip().splitlines())
    names = [("XX", "psk0", "BLAKE2b"), ("XX", "", "SHA256"),
             ("IK", "", "BLAKE2b"), ("NN", "psk0+psk2", "SHA256"),
             ("N", "", "BLAKE2b"), ("X1X1", "", "BLAKE2b"),
             ("KK", "", "SHA256"), ("KX1", "", "BLAKE2b")]
    for i, (base, modifiers, hash_name) in enumerate(names):
        vector = noise_vectors.make(base, table[base], modifiers, hash_name,
                                    b"", b"hello")
        count = len(noise_vectors.arrows(table[base].rpartition("...")[2]))
        wires = [bytes.fromhex(m["ciphertext"])
                 for m in vector["messages"][:count]]
        for reader in (0, 1):  # the responder reads the even messages
            data = bytes([i | (8 if reader == 0 else 0)])
            for wire in wires[1 - reader::2]:
                data += len(wire).to_bytes(2, "big") + wire
            role = "initiator" if reader == 0 else "responder"
            write(root, "noise_handshake", f"{base}{modifiers}-{role}", data)


def envelope(payload, count):
    """A signed envelope as PROTOCOL.md has it."""
    head, bstr = crypto_vectors.head, crypto_vectors.bstr
    signers = []
    for i in range(count):
        key = Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32)
        public = crypto_vectors.raw(key.public_key())
        protected = bytes.fromhex("a2012704") + bstr(public)
        tbs = b"\x85" + head(3, 9) + b"Signature" + bstr(b"") + bstr(protected)
        sig = key.sign(tbs + bstr(b"") + bstr(payload))
        signers.append((public, b"\x83" + bstr(protected) + b"\xa0" + bstr(sig)))
    out = bytes.fromhex("d8628440a0") + bstr(payload) + head(4, count)
    return out + b"".join(signer for _, signer in sorted(signers))


def channel(root):
    def frames(*sizes):
        out = b""
        for n, size in enumerate(sizes):
            body = noise_vectors.aead(bytes([7]) * 32, n, b"",
                                      bytes(i & 255 for i in range(size)))
            out += len(body).to_bytes(2, "big") + body
        return out

    write(root, "channel", "one", b"\x05" + frames(20))
    write(root, "channel", "several", b"\x01" + frames(0, 1, 16, 300))
    write(root, "channel", "largest", b"\xff" + frames(16384))
    write(root, "channel", "too-large", b"\x03" + b"\x40\x11" + bytes(40))
    write(root, "channel", "no-tag", b"\x03" + b"\x00\x0f" + bytes(15))


def main():
    root = sys.argv[1]
    for i, test in enumerate(tests_of(root, "cbor")):
        write(root, "cbor", f"{i:02}", bytes.fromhex(test["hex"]))
    for i, test in enumerate(tests_of(root, "cose")):
        write(root, "cose", f"{i:02}", bytes.fromhex(test["output"]["cbor"]))
    for count in (1, 2, 3):
        write(root, "cose", f"envelope-{count}",
              envelope(b"payload" * count, count))
    noise(root)
    channel(root)


main()
