#!/bin/sh
# Installs what is missing, builds, starts three daemons on loopback in a
# scratch folder, publishes real versions of two models on the first, the last of
# them quantised, and shows that all three hold the same bytes and what each step
# cost.
set -eu
cd "$(dirname "$0")/.."
. contrib/packages.sh
# shellcheck disable=SC2086
need $PACKAGES_BUILD

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "Building: a few minutes, told in build-demo/build.log"
mkdir -p build-demo
[ -x configure ] || autoreconf -fi >build-demo/autoreconf.log 2>&1 || {
    cat build-demo/autoreconf.log
    exit 1
}
(
    cd build-demo
    [ -f Makefile ] || ../configure -q CFLAGS='-O2 -g'
    make -s -j"$(nproc)"
) >build-demo/build.log 2>&1 || {
    tail -n 40 build-demo/build.log
    exit 1
}
bin=$PWD/build-demo

scratch=$(mktemp -d)
pids=
cleanup() {
    status=$?
    trap - EXIT INT TERM
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait 2>/dev/null || true
    if [ $status -ne 0 ]; then
        tail -n 20 "$scratch"/*/log 2>/dev/null || true
        echo "demo failed with status $status" >&2
    fi
    rm -rf "$scratch"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
XDG_CONFIG_HOME=$scratch/keys
export XDG_CONFIG_HOME

# on NODE VERB...: the command against one of the daemons
on() {
    node=$1
    shift
    "$bin/deltamesh" "$@" --control "$scratch/$node/control"
}

# number KEY: the number of a key in JSON on standard input, summed
number() {
    grep -o "\"$1\":[0-9]*" | cut -d: -f2 | awk '{ n += $1 } END { print n + 0 }'
}

say "Starting three daemons on loopback"
for node in a b c; do
    mkdir "$scratch/$node"
    printf '[network]\ndiscovery = no\n' >"$scratch/$node/conf"
    "$bin/deltameshd" --config "$scratch/$node/conf" \
        --state "$scratch/$node/state" --control "$scratch/$node/control" \
        --listen 127.0.0.1:0 >"$scratch/$node/log" 2>&1 &
    pids="$pids $!"
done
for node in a b c; do
    tries=0
    until on "$node" status >/dev/null 2>&1 || [ $? -eq 1 ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || exit 1
        sleep 0.1
    done
done

say "A fleet of three: init on a, an invite, join on b and c"
on a init --fleet demo
on a invite >"$scratch/invite"
on b join "$scratch/invite" --timeout 30
on c join "$scratch/invite" --timeout 30

table=$scratch/table
printf 'step\tfile\tsent by a\tof two files\ttime\n' >"$table"
# publish MODEL FILE [OPTION...]: one step, measured
publish() {
    model=$1
    file=$2
    shift 2
    name=$(basename "$file")
    before=$(on a peers --json | number bytes_out)
    start=$(date +%s%N)
    on a publish "$model" "$file" "$@" --wait=3 --timeout 60
    end=$(date +%s%N)
    after=$(on a peers --json | number bytes_out)
    size=$(wc -c <"$file")
    printf '%s\t%d\t%d\t%s %%\t%s s\n' "$model ${name%.safetensors}${*:+, quantised}" \
        "$size" $((after - before)) \
        "$(awk "BEGIN { printf \"%.1f\", 100 * ($after - $before) / (2 * $size) }")" \
        "$(awk "BEGIN { printf \"%.2f\", ($end - $start) / 1e9 }")" >>"$table"
    # A quantised version is near the file, and the same everywhere.
    [ $# -eq 0 ] || file=$scratch/a/state/models/$model/current/$name
    for node in a b c; do
        cmp "$file" "$scratch/$node/state/models/$model/current/$name"
    done
    echo "identical on a, b and c, bit for bit"
}
for version in h0 h1 h3; do
    say "Publishing $version: a classifier's head is retrained"
    publish cameras/digits tests/data/headonly/$version.safetensors
done
for version in global-r00 global-r01; do
    say "Publishing $version: a round of federated training"
    publish federated/mnist tests/data/federated/$version.safetensors
done
say "Publishing global-r02: the next round, near it instead of equal"
publish federated/mnist tests/data/federated/global-r02.safetensors \
    --quantize auto

say "What each node runs, as node c sees it"
on c fleet
say "What node b holds"
on b versions
say "What each step cost: bytes that node a sent, for both others together"
awk -F '\t' '{ printf "%-38s %10s %10s %14s %8s\n", $1, $2, $3, $4, $5 }' \
    "$table"
say "All versions arrived and are identical. Cleaning up."
