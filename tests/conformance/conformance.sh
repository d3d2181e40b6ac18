#!/bin/sh
# Runs each conformance program over the committed vectors and, where it is
# there, over the shared collection beside the source tree; prints TAP with the
# counts of each.
set -u
suites='noise cose cbor ed25519 x25519 chacha20poly1305 blake2b'
programs=$DM_BUILDDIR/tests/conformance
. "$DM_SRCDIR/tests/conformance/run_vectors.sh"

echo 1..14
for suite in $suites; do
    run_vectors "$programs/test_${suite}_vectors" \
        "$DM_SRCDIR/tests/vectors/$suite" "$suite committed"
done
for suite in $suites; do
    shared=$DM_SRCDIR/../shared/vectors/$suite
    if [ -d "$shared" ]; then
        run_vectors "$programs/test_${suite}_vectors" "$shared" "$suite shared"
    else
        skip_vectors "$suite shared" 'no shared vectors here'
    fi
done
