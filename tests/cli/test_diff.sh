#!/bin/sh
# diff, patch and inspect: results, messages, exit statuses. TAP.
tool=${DM_BUILDDIR:-.}/deltamesh
data=${DM_SRCDIR:-.}/tests/data/headonly
if ! [ -x "$tool" ]; then
    echo "1..0 # SKIP the command was not built"
    exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0

# result NAME: tells whether the command before it succeeded.
result() {
    if [ $? -eq 0 ]; then verdict=ok; else verdict="not ok"; fi
    number=$((number + 1))
    echo "$verdict $number - $1"
}

# exits STATUS COMMAND...: true if it ends with that status, and with exactly
# one line of words if that is an error.
exits() {
    want=$1
    shift
    "$@" >out 2>err
    got=$?
    [ $got -eq "$want" ] || { echo "# $got: $*"; sed 's/^/# /' err; return 1; }
    [ "$want" -eq 0 ] || [ "$want" -eq 2 ] || [ "$(wc -l <err)" -eq 1 ]
}

no_leftovers() {
    ! ls -A | grep -q 'tmp-'
}

# A safetensors file of one tensor: model FILE WORD, of 4 bytes.
model() {
    printf '\074\000\000\000\000\000\000\000' >"$1"
    printf '%-60s' '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' \
        >>"$1"
    printf '%s' "$2" >>"$1"
}

model a.safetensors aaaa
model b.safetensors bbbb
seq 1 20000 >old.txt
seq 1 3 20000 >new.txt
: >empty
printf x >one
mkdir folder

for pair in "a.safetensors b.safetensors" "old.txt new.txt" "old.txt empty" \
    "empty old.txt" "one a.safetensors" "old.txt old.txt"; do
    # shellcheck disable=SC2086
    set -- $pair
    exits 0 "$tool" diff "$1" "$2" -o u &&
        exits 0 "$tool" patch "$1" u -o t && cmp -s t "$2"
    result "$1 to $2 and back"
done
for file in a.safetensors old.txt empty one; do
    exits 0 "$tool" diff "$file" -o u && exits 0 "$tool" patch u -o t &&
        cmp -s t "$file"
    result "$file from nothing"
done
exits 0 "$tool" diff "$data/h0.safetensors" "$data/h1.safetensors" -o u &&
    [ "$(wc -c <u)" -lt 8000 ] &&
    exits 0 "$tool" patch "$data/h0.safetensors" u -o t &&
    cmp -s t "$data/h1.safetensors"
result "a new head takes less than 8,000 bytes"
exits 0 "$tool" diff --json old.txt new.txt -o u && grep -q '"target_bytes":' out
result "diff --json"

exits 0 "$tool" diff a.safetensors b.safetensors -o u
printf keep >t
exits 4 "$tool" patch b.safetensors u -o t && grep -q 'not the base' err &&
    [ "$(cat t)" = keep ]
result "another base is refused before anything is written"
exits 4 "$tool" patch u -o t && grep -q 'needs its base' err
result "an update without its base"
exits 0 "$tool" diff b.safetensors -o full &&
    exits 4 "$tool" patch a.safetensors full -o t && grep -q 'takes no base' err
result "a full update with a base"
exits 4 "$tool" patch a.safetensors b.safetensors -o t &&
    grep -q 'not an update' err
result "what is no update"
size=$(wc -c <u)
head -c $((size - 1)) u >cut
exits 4 "$tool" patch a.safetensors cut -o t && [ "$(cat t)" = keep ]
result "a truncated update leaves the file alone"
{ cat u; printf x; } >long
exits 4 "$tool" patch a.safetensors long -o t
result "bytes behind an update"
{ head -c $((size - 1)) u; printf '\377'; } >flip
exits 4 "$tool" patch a.safetensors flip -o t && [ "$(cat t)" = keep ]
result "a changed segment"
{ head -c 12 u; printf '\011'; tail -c +14 u; } >newer
exits 4 "$tool" patch a.safetensors newer -o t && grep -q newer err
result "a newer format"
no_leftovers
result "nothing partial is left behind"
exits 0 "$tool" patch a.safetensors u -o a.safetensors &&
    cmp -s a.safetensors b.safetensors
result "patch in place"
model a.safetensors aaaa

exits 8 "$tool" diff a.safetensors missing -o u2 && grep -q missing err &&
    ! [ -e u2 ]
result "a missing file is not found"
exits 8 "$tool" patch a.safetensors u -o nowhere/t
result "a missing folder is not found"
exits 2 "$tool" diff a.safetensors b.safetensors
result "diff without -o"
exits 2 "$tool" diff -o u
result "diff of nothing"
exits 2 "$tool" diff a b c -o u
result "diff of three"
exits 2 "$tool" patch -o u
result "patch of nothing"
exits 2 "$tool" inspect
result "inspect of nothing"
exits 2 "$tool" inspect --what a
result "an unknown option"
exits 2 "$tool" diff folder a.safetensors -o u2
result "a folder is no file"
if [ -w /dev/full ]; then
    exits 7 "$tool" patch a.safetensors u -o /dev/full
    result "no space is left"
fi

exits 0 "$tool" inspect a.safetensors && grep -q '^a .*F32.*\[1\]' out &&
    grep -q '1 tensors, 1 elements, 72 bytes' out
result "inspect lists tensors"
exits 0 "$tool" inspect --json a.safetensors &&
    grep -q '"name":"a","dtype":"F32","shape":\[1\]' out
result "inspect --json lists tensors"
exits 0 "$tool" inspect u && grep -q '^target' out && grep -q '^base ' out
result "inspect tells an update"
exits 0 "$tool" inspect --json u && grep -q '"format":"update"' out
result "inspect --json tells an update"
exits 4 "$tool" inspect cut
result "inspect of a truncated update"
exits 0 "$tool" inspect old.txt &&
    [ "$(cat out)" = "opaque, $(wc -c <old.txt) bytes" ]
result "inspect of an unknown format"
cp old.txt bad.safetensors
exits 4 "$tool" inspect bad.safetensors && grep -q 'not a valid' err
result "inspect of an invalid safetensors file"
exits 0 "$tool" diff a.safetensors bad.safetensors -o u2 &&
    grep -q 'warning: bad.safetensors' err &&
    exits 0 "$tool" patch a.safetensors u2 -o t && cmp -s t bad.safetensors
result "an invalid safetensors file is taken as bytes, with a warning"
for name in --help.safetensors 'link -> etc passwd.safetensors' \
    "new
line"; do
    cp a.safetensors "./$name"
    exits 0 "$tool" inspect -- "$name" &&
        exits 0 "$tool" diff -o u2 -- b.safetensors "$name" &&
        exits 0 "$tool" patch -o t -- b.safetensors u2 &&
        cmp -s t a.safetensors && exits 0 "$tool" patch -o "$name" -- b.safetensors u2
    result "a file named $(printf %s "$name" | tr '\n' '?')"
done
exits 0 "$tool" diff --help && grep -q usage out
result "--help"
echo "1..$number"
