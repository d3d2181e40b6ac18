#!/usr/bin/env python3
"""Writes tests/vectors/noise/patterns.json: one Noise vector for every pattern,
made without our code (hashlib, hmac and the `cryptography` package).

    python3 tests/gen/noise_vectors.py > tests/vectors/noise/patterns.json

Ref: The Noise Protocol Framework, revision 34."""
import hashlib
import hmac
import json

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey, X25519PublicKey)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# Pre-messages before "...", then one arrow a message.
PATTERNS = """
N:    <- s ... -> e, es
K:    -> s <- s ... -> e, es, ss
X:    <- s ... -> e, es, s, ss
NN:   -> e <- e, ee
NK:   <- s ... -> e, es <- e, ee
NX:   -> e <- e, ee, s, es
XN:   -> e <- e, ee -> s, se
XK:   <- s ... -> e, es <- e, ee -> s, se
XX:   -> e <- e, ee, s, es -> s, se
KN:   -> s ... -> e <- e, ee, se
KK:   -> s <- s ... -> e, es, ss <- e, ee, se
KX:   -> s ... -> e <- e, ee, se, s, es
IN:   -> e, s <- e, ee, se
IK:   <- s ... -> e, es, s, ss <- e, ee, se
IX:   -> e, s <- e, ee, se, s, es
NK1:  <- s ... -> e <- e, ee, es
NX1:  -> e <- e, ee, s -> es
X1N:  -> e <- e, ee -> s <- se
X1K:  <- s ... -> e, es <- e, ee -> s <- se
XK1:  <- s ... -> e <- e, ee, es -> s, se
X1K1: <- s ... -> e <- e, ee, es -> s <- se
X1X:  -> e <- e, ee, s, es -> s <- se
XX1:  -> e <- e, ee, s -> es, s, se
X1X1: -> e <- e, ee, s -> es, s <- se
K1N:  -> s ... -> e <- e, ee -> se
K1K:  -> s <- s ... -> e, es <- e, ee -> se
KK1:  -> s <- s ... -> e <- e, ee, se, es
K1K1: -> s <- s ... -> e <- e, ee, es -> se
K1X:  -> s ... -> e <- e, ee, s, es -> se
KX1:  -> s ... -> e <- e, ee, se, s -> es
K1X1: -> s ... -> e <- e, ee, s -> se, es
I1N:  -> e, s <- e, ee -> se
I1K:  <- s ... -> e, es, s <- e, ee -> se
IK1:  <- s ... -> e, s <- e, ee, se, es
I1K1: <- s ... -> e, s <- e, ee, es -> se
I1X:  -> e, s <- e, ee, s, es -> se
IX1:  -> e, s <- e, ee, se, s -> es
I1X1: -> e, s <- e, ee, s -> se, es
"""

# Which modifiers to show with a pattern; the hash alternates.
MODIFIERS = {
    "N": "psk0", "X": "psk1", "NN": "psk0+psk2", "KK": "psk1", "IX": "psk2",
    "XX": "psk0", "XK": "psk3", "X1X1": "psk4", "IK": "psk0+psk1+psk2",
    "KX1": "psk0",
}


def arrows(text):
    """[(sender, tokens)] of a run of arrows."""
    out = []
    for word in text.replace(",", " ").split():
        if word in ("->", "<-"):
            out.append((0 if word == "->" else 1, []))
        else:
            out[-1][1].append(word)
    return out


def public(secret):
    key = X25519PrivateKey.from_private_bytes(secret).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(secret, other):
    return X25519PrivateKey.from_private_bytes(secret).exchange(
        X25519PublicKey.from_public_bytes(other))


class Symmetric:
    def __init__(self, name, hash_name):
        self.new = {"BLAKE2b": hashlib.blake2b, "SHA256": hashlib.sha256}[
            hash_name]
        size = self.new().digest_size
        name = name.encode()
        self.h = name.ljust(size, b"\0") if len(name) <= size else self.hash(
            name)
        self.ck, self.k, self.n = self.h, None, 0

    def hash(self, data):
        return self.new(data).digest()

    def hkdf(self, data, count):
        temp = hmac.new(self.ck, data, self.new).digest()
        out, last = [], b""
        for i in range(count):
            last = hmac.new(temp, last + bytes([i + 1]), self.new).digest()
            out.append(last)
        return out

    def mix_hash(self, data):
        self.h = self.hash(self.h + data)

    def mix_key(self, data):
        self.ck, key = self.hkdf(data, 2)
        self.k, self.n = key[:32], 0

    def mix_key_and_hash(self, data):
        self.ck, mixed, key = self.hkdf(data, 3)
        self.mix_hash(mixed)
        self.k, self.n = key[:32], 0

    def seal(self, plain):
        out = plain
        if self.k is not None:
            out = aead(self.k, self.n, self.h, plain)
            self.n += 1
        self.mix_hash(out)
        return out


def aead(key, n, ad, plain):
    nonce = b"\0" * 4 + n.to_bytes(8, "little")
    return ChaCha20Poly1305(key).encrypt(nonce, plain, ad)


def seed(label):
    return hashlib.sha256(b"deltamesh noise vector " + label.encode()).digest()


def add_psks(messages, modifiers):
    places = [int(m[3:]) for m in modifiers.split("+") if m]
    for place in places:
        if place:
            messages[place - 1][1].append("psk")
    if 0 in places:
        messages[0][1].insert(0, "psk")
    return len(places)


def make(base, text, modifiers, hash_name, prologue=None, said=None):
    pre_text, _, body = text.rpartition("...")
    messages = arrows(body)
    psk_count = add_psks(messages, modifiers)
    name = f"Noise_{base}{modifiers}_25519_ChaChaPoly_{hash_name}"
    side = ("init", "resp")
    s = [seed(f"{base} {x} s") for x in side]
    e = [seed(f"{base} {x} e") for x in side]
    psks = [seed(f"{base} psk {i}") for i in range(psk_count)]
    if prologue is None:
        prologue = b"" if len(base) % 2 else base.encode()
    pre = arrows(pre_text)
    known = {who for who, _ in pre}
    sent = {who for who, tokens in messages if "s" in tokens}

    state = Symmetric(name, hash_name)
    state.mix_hash(prologue)
    for who, _ in sorted(pre):
        state.mix_hash(public(s[who]))
    left, out = list(psks), []

    def run(who, token):
        """The bytes that a token puts on the wire."""
        if token == "e":
            state.mix_hash(public(e[who]))
            if psk_count:
                state.mix_key(public(e[who]))
            return public(e[who])
        if token == "s":
            return state.seal(public(s[who]))
        if token == "psk":
            state.mix_key_and_hash(left.pop(0))
            return b""
        initiator = e[0] if token[0] == "e" else s[0]
        responder = e[1] if token[1] == "e" else s[1]
        state.mix_key(dh(initiator, public(responder)))
        return b""

    for i, (who, tokens) in enumerate(messages):
        payload = b"" if i == 1 else f"{base} handshake {i}".encode()
        payload = payload if said is None else said
        wire = b"".join(run(who, token) for token in tokens)
        wire += state.seal(payload)
        out.append({"payload": payload.hex(), "ciphertext": wire.hex()})
    keys = [key[:32] for key in state.hkdf(b"", 2)]
    nonces = [0, 0]
    for i in range(len(messages), len(messages) + 3):
        who = 0 if len(messages) == 1 else i % 2
        payload = f"transport {i}".encode()
        wire = aead(keys[who], nonces[who], b"", payload)
        nonces[who] += 1
        out.append({"payload": payload.hex(), "ciphertext": wire.hex()})

    vector = {"protocol_name": name}
    for who in (0, 1):
        vector[side[who] + "_prologue"] = prologue.hex()
        if psks:
            vector[side[who] + "_psks"] = [psk.hex() for psk in psks]
        if who in known or who in sent:
            vector[side[who] + "_static"] = s[who].hex()
        if 1 - who in known:
            vector[side[who] + "_remote_static"] = public(s[1 - who]).hex()
        if any(w == who for w, _ in messages):
            vector[side[who] + "_ephemeral"] = e[who].hex()
    vector["handshake_hash"] = state.h.hex()
    vector["messages"] = out
    return vector


def main():
    vectors = []
    for i, line in enumerate(PATTERNS.strip().splitlines()):
        base, _, text = line.partition(":")
        hash_name = "BLAKE2b" if i % 2 == 0 else "SHA256"
        vectors.append(make(base, text, MODIFIERS.get(base, ""), hash_name))
    print(json.dumps({
        "source": "made by tests/gen/noise_vectors.py, independent of our "
                  "engine",
        "vectors": vectors}, indent=1))


if __name__ == "__main__":
    main()
