#!/bin/sh
# A file exports only symbols that begin with its own name or that of its
# folder (update/header.c: header_, update_; store/record.c: store_record_), or
# with the noun that several files share (trust_query.c: trust_), and no library
# has writable file-scope state. Of the installed library programs see names
# that begin with dmc_ alone.
set -u
build=${DM_BUILDDIR:-build}
symbols=$(for lib in codec codecapi protocol store; do
    [ ! -f "$build/lib$lib.a" ] || nm -A --defined-only "$build/lib$lib.a"
done 2>/dev/null | grep -vE '(asan|ubsan|lsan|sancov|odr_)')
echo "1..3"
# "path/libX.a:file.o:address T name"
bad=$(echo "$symbols" | awk '$2 ~ /^[TDBR]$/ {
    split($1, part, ":"); file = part[2]; sub(/\.o$/, "", file)
    sub(/^lib[a-z]*_a-/, "", file)
    folder = part[1] ~ /libstore\.a$/ ? "store_" file : \
        part[1] ~ /libcodec\.a$/ ? "update_" : "noise_"
    noun = file; sub(/_.*/, "", noun)
    if (index($3, file "_") != 1 && index($3, folder) != 1 &&
        index($3, noun "_") != 1 &&
        !(part[1] ~ /libcodecapi\.a$/ && index($3, "dmc_") == 1) &&
        !(file == "status" && index($3, "diag_") == 1))
        print file ".c exports " $3 }')
if [ -z "$bad" ]; then
    echo "ok 1 - exported names begin with the name of their file"
else
    echo "not ok 1 - exported names begin with the name of their file"
    echo "$bad" | sed 's/^/# /'
fi
bad=$(for lib in codec codecapi protocol store; do
    [ ! -f "$build/lib$lib.a" ] || objdump -t "$build/lib$lib.a"
done 2>/dev/null | awk '/file format/ { file = $1 }
    $4 ~ /^\.(data|bss)$/ && $NF !~ /^(__|\.|_)/ { print file " " $NF }
    $3 ~ /^\.(data|bss)$/ && $NF !~ /^(__|\.|_)/ { print file " " $NF }' |
    grep -vE '(asan|ubsan|lsan|sancov|odr_)')
if [ -z "$bad" ]; then
    echo "ok 2 - no writable file-scope state"
else
    echo "not ok 2 - no writable file-scope state"
    echo "$bad" | sed 's/^/# /'
fi
# Names that are defined for others; what sanitizers add begins with "_".
bad=$({
    [ ! -f "$build/libdeltamesh-codec.a" ] ||
        nm -A --defined-only "$build/libdeltamesh-codec.a"
    for lib in "$build"/libdeltamesh-codec.so.*; do
        [ ! -f "$lib" ] || nm -A -D --defined-only "$lib"
    done
} | awk '$(NF - 1) ~ /^[A-Z]$/ && $NF !~ /^(dmc_|_)/')
if [ -z "$bad" ]; then
    echo "ok 3 - the installed library shows only dmc_ names"
else
    echo "not ok 3 - the installed library shows only dmc_ names"
    echo "$bad" | sed 's/^/# /'
fi
