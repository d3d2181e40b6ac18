#!/bin/sh
# NNC bitstreams: the committed folder and, where it is there, the shared
# collection beside the source tree; prints TAP with the counts of each.
set -u
program=$DM_BUILDDIR/tests/conformance/test_nnc_vectors
number=0

run()
{
    number=$((number + 1))
    if [ ! -f "$2/index.json" ]; then
        echo "ok $number - $1 # SKIP no such vectors here"
        return
    fi
    out=$("$program" "$2" 2>&1)
    rc=$?
    printf '%s\n' "$out" | sed 's/^/# /'
    result='not ok'
    count=$(printf '%s\n' "$out" | tail -n 1)
    case $count in
    '0 passed'*) ;;
    *) [ $rc -eq 0 ] && result=ok ;;
    esac
    echo "$result $number - $1: $count"
}

echo 1..4
run committed "$DM_SRCDIR/tests/vectors/nnc"
run shared "$DM_SRCDIR/../shared/nnc/vectors"
run headers "$DM_SRCDIR/../shared/nnc/vectors_headers"
run 'first edition' "$DM_SRCDIR/../shared/nnc/vectors_nncodec1"
