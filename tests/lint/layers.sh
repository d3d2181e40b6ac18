#!/bin/sh
# Includes run one way: codec/base <- codec <- {protocol, store} <- daemon;
# protocol and store never include each other; uv.h only in daemon/, lmdb.h
# only in store/, sodium.h only in codec/base/hash.c and protocol/crypto.c. What
# a build --without-nnc has includes nothing of codec/nnc.
set -u
cd "${DM_SRCDIR:-$(dirname "$0")/../..}" || exit 1
echo "1..7"
n=0

# verdict NAME OFFENDING_LINES
verdict() {
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "$2" | sed 's/^/# /'
    fi
}

# included FOLDER PATTERN: include lines of a folder that match
included() {
    grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+[\"<]($2)" "$1" \
        --include='*.[ch]'
}

verdict "codec/base includes nothing of ours above it" \
    "$(included codec/base '(codec/[^b]|protocol/|store/|daemon/|tests/)')"
verdict "codec includes neither protocol, store nor daemon" \
    "$(included codec '(protocol/|store/|daemon/|tests/)')"
verdict "protocol includes neither store nor daemon" \
    "$(included protocol '(store/|daemon/|tests/)')"
verdict "store includes neither protocol nor daemon" \
    "$(included store '(protocol/|daemon/|tests/)')"
verdict "what --without-nnc builds of the codec includes nothing of codec/nnc" \
    "$(for d in base entropy lossless model quant update; do
        included "codec/$d" 'codec/nnc/'
    done | grep -vE '^codec/quant/(codebook|level_cost|rd_|trellis|uniform)')"
verdict "uv.h only in daemon, lmdb.h only in store" \
    "$( { for d in codec protocol store; do included $d 'uv\.h'; done
          for d in codec protocol daemon; do included $d 'lmdb\.h'; done; } )"
verdict "sodium.h only in hash.c and crypto.c" \
    "$( { for d in codec protocol store daemon; do included $d 'sodium'; done; } |
        grep -vE '^(codec/base/hash\.c|protocol/crypto\.c):')"
