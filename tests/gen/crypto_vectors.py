#!/usr/bin/env python3
"""Writes the small suites below tests/vectors (all but noise), made without our
code: examples of RFC 7693, 7748, 8032, 8439 and 8949 recomputed with hashlib
and the `cryptography` package, and changed ones that must be refused.

    python3 tests/gen/crypto_vectors.py tests/vectors"""
import hashlib
import json
import os
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey, X25519PublicKey)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def raw(key):
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def ed25519():
    """RFC 8032 section 7.1, TEST 1 to 3; then what must not verify."""
    order = 2**252 + 27742317777372353535851937790883648493
    seeds = [
        ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         ""),
        ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "72"),
        ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "af82"),
    ]
    tests = []
    for i, (seed, msg) in enumerate(seeds):
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        sig = key.sign(bytes.fromhex(msg))
        tests.append({"name": f"RFC 8032 TEST {i + 1}", "seed": seed,
                      "public": raw(key.public_key()).hex(), "msg": msg,
                      "sig": sig.hex()})
    public = tests[2]["public"]
    s = int.from_bytes(sig[32:], "little")

    def bad(comment, public, msg, sig):
        tests.append({"comment": comment, "pk": public, "msg": msg,
                      "sig": sig.hex(), "result": "invalid"})

    bad("another message", public, "af83", sig)
    bad("another key", tests[0]["public"], "af82", sig)
    bad("changed R", public, "af82", bytes([sig[0] ^ 1]) + sig[1:])
    bad("changed S", public, "af82", sig[:32] + bytes([sig[32] ^ 1]) + sig[33:])
    bad("S + order", public, "af82",
        sig[:32] + (s + order).to_bytes(32, "little"))
    bad("short", public, "af82", sig[:63])
    bad("long", public, "af82", sig + b"\0")
    bad("empty", public, "af82", b"")
    bad("key of small order, all-zero S", "01" + "00" * 31, "af82",
        b"\1" + bytes(63))
    return tests


def x25519():
    """RFC 7748 section 5.2, first example; the base point; low order."""
    tests = []

    def good(comment, private, public):
        shared = X25519PrivateKey.from_private_bytes(
            bytes.fromhex(private)).exchange(
                X25519PublicKey.from_public_bytes(bytes.fromhex(public)))
        tests.append({"comment": comment, "private": private, "public": public,
                      "shared": shared.hex(), "result": "valid", "flags": []})

    scalar = ("a546e36bf0527c9d3b16154b82465edd"
              "62144c0ac1fc5a18506a2244ba449ac4")
    good("RFC 7748 5.2", scalar,
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    good("base point", scalar, "09" + "00" * 31)
    assert tests[0]["shared"].startswith("c3da55379de9c6908e94ea4df28d084f")
    p = 2**255 - 19
    for u in (0, 1, p - 1, p, p + 1):
        tests.append({"comment": f"low order {u % p}", "private": scalar,
                      "public": u.to_bytes(32, "little").hex(),
                      "shared": "00" * 32, "result": "acceptable",
                      "flags": ["ZeroSharedSecret"]})
    return tests


def chacha20poly1305():
    """RFC 8439 section 2.8.2, and changes of it."""
    key = bytes(range(0x80, 0xa0))
    iv = bytes.fromhex("070000004041424344454647")
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you "
            b"only one tip for the future, sunscreen would be it.")
    tests = []

    def add(comment, result, msg, ct, tag, iv=iv, aad=aad):
        tests.append({"comment": comment, "result": result, "key": key.hex(),
                      "iv": iv.hex(), "aad": aad.hex(), "msg": msg.hex(),
                      "ct": ct.hex(), "tag": tag.hex()})

    for msg, ad in ((text, aad), (b"", b""), (b"", aad), (text[:1], b"")):
        sealed = ChaCha20Poly1305(key).encrypt(iv, msg, ad)
        add("RFC 8439 2.8.2" if msg == text else "short", "valid", msg,
            sealed[:-16], sealed[-16:], aad=ad)
    sealed = ChaCha20Poly1305(key).encrypt(iv, text, aad)
    ct, tag = sealed[:-16], sealed[-16:]
    assert tag.hex() == "1ae10b594f09e26a7e902ecbd0600691"
    add("changed tag", "invalid", text, ct, bytes([tag[0] ^ 1]) + tag[1:])
    add("changed text", "invalid", text, bytes([ct[0] ^ 1]) + ct[1:], tag)
    add("changed aad", "invalid", text, ct, tag, aad=aad + b"\0")
    add("changed nonce", "invalid", text, ct, tag, iv=bytes(12))
    add("short tag", "invalid", text, ct, tag[:15])
    add("long nonce", "invalid", text, ct, tag, iv=iv + b"\0")
    return tests


def blake2b():
    tests = []
    for size, key in ((3, 0), (0, 0), (127, 0), (128, 0), (129, 0), (255, 64),
                      (0, 64), (64, 32)):
        data = b"abc" if size == 3 else bytes(range(size))
        tests.append({"hash": "blake2b", "in": data.hex(),
                      "key": bytes(range(key)).hex(),
                      "out": hashlib.blake2b(
                          data, key=bytes(range(key))).hexdigest()})
    assert tests[0]["out"].startswith("ba80a53f981c4d0d6a2797b69f12f6e9")
    return tests


def cbor():
    """RFC 8949 Appendix A where our subset has something to say, and broken
    ones (roundtrip false)."""
    good = [("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000),
            ("1b000000e8d4a51000", 1000000000000), ("29", -10),
            ("3903e7", -1000), ("3bffffffffffffffff", -18446744073709551616),
            ("f4", False), ("f5", True), ("f6", None), ("60", ""),
            ("6449455446", "IETF"), ("62c3bc", "\u00fc"),
            ("64f0908591", "\U00010151"), ("80", []),
            ("83010203", [1, 2, 3]), ("a0", {}),
            ("a26161016162820203", {"a": 1, "b": [2, 3]}),
            ("826161a161626163", ["a", {"b": "c"}])]
    tests = [{"hex": h, "roundtrip": True, "decoded": d} for h, d in good]
    tests += [{"hex": h, "roundtrip": True, "diagnostic": d} for h, d in (
        ("40", "h''"), ("c249010000000000000000", "2(h'010000000000000000')"),
        ("d818456449455446", "24(h'6449455446')"),
        ("a201020304", "{1: 2, 3: 4}"), ("f90000", "0.0"), ("f7", "undefined"),
        ("fa47c35000", "100000.0"), ("f8ff", "simple(255)"))]
    tests += [{"hex": h, "roundtrip": False, "diagnostic": d} for h, d in (
        ("1817", "23, two bytes"), ("1900ff", "255, three bytes"),
        ("1a0000ffff", "65535, five bytes"),
        ("1b00000000ffffffff", "2^32 - 1, nine bytes"),
        ("5800", "h'', two bytes"), ("1c", "reserved"),
        ("5f42010243030405ff", "(_ h'0102', h'030405')"),
        ("7f657374726561646d696e67ff", "(_ \"strea\", \"ming\")"),
        ("9fff", "[_ ]"), ("bf6346756ef563416d7421ff", "{_ ...}"),
        ("a203040102", "keys descend"), ("a201020102", "a key twice"),
        ("62c328", "no UTF-8"), ("63eda080", "a surrogate"), ("ff", "break"),
        ("0000", "two items"), ("", "nothing"), ("8301", "too few"),
        ("818181818181818181" + "00", "nine deep"),
        ("9b7fffffffffffffff00", "a count of 2^63 - 1"))]
    return tests


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    if n < 256:
        return bytes([major << 5 | 24, n])
    return bytes([major << 5 | 25]) + n.to_bytes(2, "big")


def bstr(data):
    return head(2, len(data)) + data


def cose():
    """COSE_Sign and COSE_Sign1 with the key of RFC 8032 TEST 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc4"
                         "4449c5697b326919703bac031cae7f60")
    key = Ed25519PrivateKey.from_private_bytes(seed)
    payload = b"This is the content."
    alg, kid = bytes.fromhex("a10127"), bytes.fromhex("a104423131")
    tests = []

    def make(title, single, body=b"", external=b"", tag=None, flip=False,
             alg=alg, fail=False):
        context = b"Signature1" if single else b"Signature"
        parts = [alg] if single else [body, alg]
        parts = [b"" if p == b"\xa0" else p for p in parts]
        tbs = head(4, 4 if single else 5) + head(3, len(context)) + context
        tbs += b"".join(bstr(p) for p in parts) + bstr(external)
        tbs += bstr(payload)
        sig = key.sign(tbs)
        if flip:
            sig = bytes([sig[0] ^ 1]) + sig[1:]
        if single:
            out = b"\x84" + bstr(alg) + kid + bstr(payload) + bstr(sig)
        else:
            out = b"\x84" + bstr(body) + b"\xa0" + bstr(payload)
            out += b"\x81\x83" + bstr(alg) + kid + bstr(sig)
        tag = (18 if single else 98) if tag is None else tag
        if tag:
            out = head(6, tag) + out
        signer = {"key": {"kty": "OKP", "crv": "Ed25519",
                          "x_hex": raw(key.public_key()).hex()}}
        if external:
            signer["external"] = external.hex()
        between = {"ToBeSign_hex": tbs.hex()}
        test = {"title": title, "output": {"cbor": out.hex()}}
        test["input"] = ({"sign0": signer} if single
                         else {"sign": {"signers": [signer]}})
        test["intermediates"] = between if single else {"signers": [between]}
        if fail:
            test["fail"] = True
        tests.append(test)

    make("sign", False)
    make("sign1", True)
    make("sign, body header", False, body=bytes.fromhex("a10300"))
    make("sign, empty map as body header", False, body=b"\xa0")
    make("sign, external data", False, external=b"outside")
    make("sign1, external data", True, external=b"outside")
    make("sign1, no tag", True, tag=0)
    make("sign, wrong tag", False, tag=998, fail=True)
    make("sign1 under the tag of sign", True, tag=98, fail=True)
    make("sign, changed signature", False, flip=True, fail=True)
    make("sign1, changed signature", True, flip=True, fail=True)
    make("sign, ES256 named", False, alg=bytes.fromhex("a10126"), fail=True)
    make("sign, no algorithm", False, alg=b"", fail=True)
    return tests


def main():
    for make in (ed25519, x25519, chacha20poly1305, blake2b, cbor, cose):
        folder = os.path.join(sys.argv[1], make.__name__)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "small.json"), "w") as out:
            json.dump({"source": "made by tests/gen/crypto_vectors.py, "
                                 "independent of our code",
                       "tests": make()}, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
