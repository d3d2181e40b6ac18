#!/bin/sh
# Installs what is missing, builds, and runs every test:
#   gcc, all warnings as errors: unit, conformance, fuzz replay, simulator,
#     end-to-end and lint
#   clang with AddressSanitizer and UndefinedBehaviorSanitizer: the same
# With --full also: distcheck, many simulator seeds, a kill loop of 200 rounds,
# man pages and scripts judged, the codec under qemu-user on machines of other
# byte order and width, a minute of each fuzz target.
# The last line is `N passed, N failed`; the exit status says the same.
set -u
cd "$(dirname "$0")/.." || exit 1
. contrib/packages.sh
full=
case "${1-}" in
--full) full=1 ;;
"") ;;
*)
    echo "usage: contrib/check.sh [--full]" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086
need $PACKAGES_BUILD $PACKAGES_CHECK || exit 1

out=build-check
jobs=$(nproc)
passed=0
failed=0
skipped=0
mkdir -p $out

# count SUMMARY_LOG: adds the totals that automake's summary states
count() {
    p=$(sed -n 's/^# PASS: *//p' "$1" | tail -n 1)
    s=$(sed -n 's/^# SKIP: *//p' "$1" | tail -n 1)
    f=$(sed -n 's/^# FAIL: *//p' "$1" | tail -n 1)
    e=$(sed -n 's/^# ERROR: *//p' "$1" | tail -n 1)
    passed=$((passed + ${p:-0}))
    skipped=$((skipped + ${s:-0}))
    failed=$((failed + ${f:-0} + ${e:-0}))
}

# fail WHAT: one failure that is no single test
fail() {
    failed=$((failed + 1))
    echo "FAILED: $1"
}

# suite NAME CONFIGURE_ARGUMENT...: builds in a folder of its own, runs tests
suite() {
    name=$1
    shift
    echo "== $name"
    rm -rf "${out:?}/$name"
    mkdir -p "$out/$name"
    if ! (cd "$out/$name" && ../../configure -q --enable-werror "$@" &&
        make -s -j"$jobs" && make -s -j"$jobs" check TESTS=) \
        >"$out/$name.log" 2>&1; then
        tail -n 40 "$out/$name.log"
        fail "$name: does not build"
        return
    fi
    (cd "$out/$name" && make -k -j"$jobs" check) >"$out/$name.log" 2>&1
    status=$?
    before=$failed
    count "$out/$name.log"
    grep -E '^(FAIL|ERROR|XPASS)[: ]|^(not ok)' "$out/$name.log" | head -n 40
    if [ $status -ne 0 ] && [ "$before" -eq "$failed" ]; then
        tail -n 20 "$out/$name.log"
        fail "$name: make check ended with $status"
    fi
    if [ "$before" -ne "$failed" ]; then
        (cd "$out/$name" && tail -n 60 test-suite.log 2>/dev/null)
    fi
    grep -E '^SKIP' "$out/$name.log" | sort | uniq | head -n 20
}

autoreconf -fi >$out/autoreconf.log 2>&1 || {
    cat $out/autoreconf.log
    fail "autoreconf"
}
export DM_KILL_ROUNDS=200
suite gcc CC=gcc CFLAGS="-O2 -g"
export DM_KILL_ROUNDS=40
ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS UBSAN_OPTIONS
suite clang-sanitize CC=clang-14 CFLAGS="-O1 -g" \
    --with-sanitizer=address,undefined
if [ -n "$full" ]; then
    . contrib/check-full.sh
fi

[ "$skipped" -eq 0 ] || echo "$skipped skipped (named above)"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
