# shellcheck shell=sh disable=SC2154,SC2086
# Sourced by check.sh --full: the checks that take long.

need mandoc shellcheck

# task NAME COMMAND...: one test that passes when the command succeeds
task() {
    name=$1
    shift
    echo "== $name"
    if "$@" >"$out/task.log" 2>&1; then
        passed=$((passed + 1))
    else
        tail -n 60 "$out/task.log"
        fail "$name"
    fi
}

# shellcheck disable=SC2154
gcc_build=$PWD/$out/gcc
export DM_SRCDIR="$PWD" DM_BUILDDIR="$gcc_build"

task "make distcheck" make -C "$gcc_build" -s distcheck
task "kill -9, 200 rounds" python3 tests/lab/test_kill.py --rounds 200 --seed 1000
task "simulator, many seeds" "$gcc_build/tests/sim/sim" all --seeds 1..100
task "man pages" mandoc -Tlint -W warning daemon/man/*.1 daemon/man/*.5 daemon/man/*.8
task "shell scripts" shellcheck -x contrib/*.sh tests/lint/*.sh \
    tests/cli/test_install.sh

# Without what declared patents cover: builds, and passes all else.
export DM_KILL_ROUNDS=10
suite gcc-without-nnc CC=gcc CFLAGS="-O2 -g" --without-nnc

# The codec, big-endian, on 32 bits, and with NEON. The folders keep the foreign
# libraries from run to run.
need $PACKAGES_FOREIGN || echo "some are missing: $PACKAGES_FOREIGN"
for arch in s390x armhf arm64; do
    echo "== codec on $arch"
    contrib/foreign.sh "$arch" "$out/foreign-$arch" >"$out/foreign.log" 2>&1
    case $? in
    0) passed=$((passed + $(grep -c '^ok ' "$out/foreign.log"))) ;;
    77)
        skipped=$((skipped + 1))
        grep '^SKIP' "$out/foreign.log"
        ;;
    *)
        tail -n 60 "$out/foreign.log"
        fail "codec on $arch"
        ;;
    esac
done

# A minute of each fuzz target under libFuzzer.
echo "== fuzz build"
if mkdir -p $out/fuzz && (cd $out/fuzz &&
    ../../configure -q CC=clang-14 CFLAGS="-O1 -g" --enable-fuzz \
        --with-sanitizer=address,undefined &&
    make -s -j"$jobs" && make -s -j"$jobs" check TESTS=) >$out/fuzz.log 2>&1; then
    for target in "$out"/fuzz/tests/fuzz/fuzz_*; do
        case $target in *.o | *.log | *.trs) continue ;; esac
        [ -x "$target" ] || continue
        name=$(basename "$target")
        mkdir -p "$out/corpus/$name"
        task "$name, one minute" "$target" -max_total_time=60 -rss_limit_mb=2048 \
            -timeout=20 -artifact_prefix="$out/" "$out/corpus/$name" \
            "tests/fuzz/corpus/${name#fuzz_}"
    done
else
    tail -n 40 $out/fuzz.log
    fail "fuzz targets do not build"
fi
