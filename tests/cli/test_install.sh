#!/bin/sh
# The library as `make install` leaves it: found by pkg-config, small programs
# built with it, shared and static, only names of its own to be seen. TAP.
# shellcheck disable=SC2086 # flags are words
set -u
build=${DM_BUILDDIR:-.}
source=${DM_SRCDIR:-.}
data=$source/tests/data/headonly
examples=$source/contrib/examples
: "${DM_CC:=cc}" "${DM_MAKE:=make}" "${DM_LDFLAGS=}"
unset MAKEFLAGS MFLAGS MAKELEVEL
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
number=0

# result NAME: tells whether the command before it succeeded.
result() {
    if [ $? -eq 0 ]; then verdict=ok; else verdict="not ok"; fi
    number=$((number + 1))
    echo "$verdict $number - $1"
}

skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# said COMMAND...: runs it; its words, as comments, when it fails
said() {
    "$@" >"$dir/said" 2>&1 && return 0
    sed 's/^/# /' "$dir/said"
    return 1
}

said "$DM_MAKE" -s -C "$build" install DESTDIR="$dir/root"
result "make install"
pc=$(find "$dir/root" -name deltamesh-codec.pc)
lib=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$dir/root"
export LD_LIBRARY_PATH="$lib"
version=$(pkg-config --modversion deltamesh-codec)
result "pkg-config finds version ${version:-?}"
include=$(find "$dir/root" -type d -path '*/include/deltamesh')
flags=$(pkg-config --cflags deltamesh-codec)

# alone: true if every header can be the only one
alone() {
    for h in "$include"/*.h; do
        echo "#include <deltamesh/${h##*/}>" | said $DM_CC -std=c11 $flags \
            -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c - || return 1
    done
}
alone
result "each header compiles alone as C11"
cxx=$(command -v g++ || command -v clang++ || command -v clang++-14)
if [ -n "$cxx" ] && echo 'int x;' | "$cxx" -x c++ -fsyntax-only - 2>&1; then
    for h in "$include"/*.h; do
        echo "#include <deltamesh/${h##*/}>"
    done | said "$cxx" -std=c++11 $flags -Wall -Wextra -Wpedantic -Werror \
        -fsyntax-only -x c++ -
    result "all headers compile as C++"
else
    skip "all headers compile as C++" "no C++ compiler"
fi

# names FILE NM_OPTION...: what it defines for others, a sanitizer's aside
names() {
    file=$1
    shift
    nm "$@" --defined-only "$file" | awk 'NF == 3 && $2 ~ /^[A-Z]$/ { print $3 }' |
        grep -vE '^(__?(asan|ubsan|lsan|sancov|odr_asan|gcov|llvm|start|stop))' |
        LC_ALL=C sort -u
}
grep -ohE '\<dmc_[a-z0-9_]+\(' "$include"/*.h | tr -d '(' |
    LC_ALL=C sort -u >"$dir/words"
# Functions that the headers define themselves are in no library.
grep -hE -A 1 '^static inline' "$include"/*.h | grep -oE 'dmc_[a-z0-9_]+\(' |
    tr -d '(' | LC_ALL=C sort -u >"$dir/inline"
LC_ALL=C comm -23 "$dir/words" "$dir/inline" >"$dir/declared"

# built NAME LIBRARY_FLAG...: an example of that name, as $dir/NAME
built() {
    name=$1
    shift
    said $DM_CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror $flags \
        -o "$dir/$name" "$examples/$name.c" "$@" $DM_LDFLAGS
}

# same NAME: examples make an update and apply it
works() {
    "$dir/update_make" "$data/h0.safetensors" "$data/h1.safetensors" \
        >"$dir/update" && [ "$(wc -c <"$dir/update")" -lt 8000 ] &&
        "$dir/update_apply" "$data/h0.safetensors" "$dir/update" \
            >"$dir/target" 2>"$dir/err" &&
        cmp -s "$dir/target" "$data/h1.safetensors"
}

# refuses WORD FILE...: update_apply fails, with that word
refuses() {
    word=$1
    shift
    "$dir/update_apply" "$@" >"$dir/target" 2>"$dir/err" && return 1
    grep -q "$word" "$dir/err"
}

# An NNC stream of one tensor "w" of 20 x 30 zeroes.
{
    printf '\000\004\002\001\000\010\006\201\000\100\000\200\000\027\026\011'
    printf '\167\000\320\100\301\045\047\202\240\200\353\132\200\021\240\000'
    printf '\000\010\330'
} >"$dir/stream"

# reads: nnc_info tells what is in a stream, and that another is none
reads() {
    "$dir/nnc_info" "$dir/stream" >"$dir/out" &&
        grep -q '^w  *uniform  *\[20 30\].* 0 of 600 not 0' "$dir/out" || return 1
    "$dir/nnc_info" "$dir/update" >"$dir/out" 2>"$dir/err" && return 1
    grep -q input "$dir/err"
}

# writes: nnc_write makes a stream of a file's last 1200 bytes
writes() {
    tail -c 1200 "$data/h0.safetensors" |
        "$dir/nnc_write" v 20 15 >"$dir/written" 2>"$dir/err" &&
        "$dir/nnc_info" "$dir/written" >"$dir/out" &&
        grep -q '^v  *[a-z]*  *\[20 15\]' "$dir/out" || return 1
    "$dir/nnc_write" v 20 15 </dev/null >"$dir/written" 2>"$dir/err" && return 1
    ! [ -s "$dir/written" ]
}

# library KIND FILE: the rest of the tests, of either library
library() {
    for name in update_make update_apply; do
        built $name $libs
        result "$1: $name builds"
    done
    works
    result "$1: an update is made and applied"
    refuses "not the one" "$data/h1.safetensors" "$dir/update" &&
        ! [ -s "$dir/target" ]
    result "$1: another base is refused before anything is written"
    refuses "not an update" "$data/h0.safetensors" "$data/h0.safetensors"
    result "$1: what is no update"
    if [ -e "$include/nnc.h" ]; then
        built nnc_info $libs && reads
        result "$1: nnc_info reads a stream"
        built nnc_write $libs && writes
        result "$1: nnc_write makes one"
    else
        skip "$1: nnc_info reads a stream" "configured --without-nnc"
        skip "$1: nnc_write makes one" "configured --without-nnc"
    fi
    if [ -x "$build/deltamesh" ]; then
        "$build/deltamesh" patch "$data/h0.safetensors" "$dir/update" \
            -o "$dir/patched" >/dev/null &&
            cmp -s "$dir/patched" "$data/h1.safetensors"
        result "$1: deltamesh patch takes the update"
    else
        skip "$1: deltamesh patch takes the update" "not built"
    fi
}

if [ -e "$lib/libdeltamesh-codec.so" ]; then
    names "$lib/libdeltamesh-codec.so" -D >"$dir/exported"
    said diff "$dir/declared" "$dir/exported"
    result "the shared library exports what the headers declare, no more"
    objdump -p "$lib/libdeltamesh-codec.so" |
        grep -q 'SONAME *libdeltamesh-codec\.so\.[0-9]*$'
    result "it has a soname"
    libs=$(pkg-config --libs deltamesh-codec)
    library shared
    ldd "$dir/update_apply" | grep -q 'libdeltamesh-codec\.so\.[0-9]* =>'
    result "the program needs the soname"
fi
if [ -e "$lib/libdeltamesh-codec.a" ]; then
    names "$lib/libdeltamesh-codec.a" >"$dir/exported"
    said diff "$dir/declared" "$dir/exported"
    result "the static library defines what the headers declare, no more"
    libs="$lib/libdeltamesh-codec.a $(pkg-config --static --libs deltamesh-codec |
        sed 's/-ldeltamesh-codec//')"
    library static
fi
said "$DM_MAKE" -s -C "$build" uninstall DESTDIR="$dir/root" &&
    [ -z "$(find "$dir/root" -name '*deltamesh*' ! -type d)" ]
result "make uninstall leaves nothing"
echo "1..$number"
