#!/bin/sh
# NNC bitstreams: the committed folder and, where it is there, the shared
# collection beside the source tree; prints TAP with the counts of each.
set -u
program=$DM_BUILDDIR/tests/conformance/test_nnc_vectors
. "$DM_SRCDIR/tests/conformance/run_vectors.sh"

run()
{
    if [ -f "$2/index.json" ]; then
        run_vectors "$program" "$2" "$1"
    else
        skip_vectors "$1" 'no such vectors here'
    fi
}

echo 1..4
run committed "$DM_SRCDIR/tests/vectors/nnc"
run shared "$DM_SRCDIR/../shared/nnc/vectors"
run headers "$DM_SRCDIR/../shared/nnc/vectors_headers"
run 'first edition' "$DM_SRCDIR/../shared/nnc/vectors_nncodec1"
