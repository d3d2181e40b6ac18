#!/bin/sh
# Every header compiles alone, and its guard is its path; that of an installed
# one is the path by which programs include it.
# shellcheck disable=SC2086 # flags are words
set -u
cd "${DM_SRCDIR:-$(dirname "$0")/../..}" || exit 1
: "${CC:=cc}"
headers=$(find codec protocol store daemon tests contrib -name '*.h' | LC_ALL=C sort)
flags=$(pkg-config --cflags libuv lmdb inih cmocka jansson libzstd 2>/dev/null)
echo "1..$(echo "$headers" | wc -l)"
n=0
for h in $headers; do
    n=$((n + 1))
    guard=$(echo "${h#codec/include/}" | tr 'a-z/.-' 'A-Z___')
    if ! grep -q "^#ifndef $guard\$" "$h"; then
        echo "not ok $n - $h: guard is not $guard"
    elif ! echo "#include \"$h\"" | $CC -std=gnu11 -D_GNU_SOURCE -I. \
        -Icodec/include $flags -Wall -Wextra -Werror -fsyntax-only -x c -; then
        echo "not ok $n - $h: does not compile alone"
    else
        echo "ok $n - $h"
    fi
done
