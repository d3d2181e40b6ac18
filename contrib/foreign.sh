#!/bin/sh
# The codec on another architecture: builds it and its tests with a cross
# compiler and runs them under qemu-user.
#
#   contrib/foreign.sh ARCH FOLDER     ARCH: s390x (big-endian), armhf (32 bits),
#                                      arm64
#
# The libraries of that architecture are unpacked in FOLDER, so that nothing
# foreign is installed: a Debian mirror must be within reach the first time.
# Needs gcc-s390x-linux-gnu, gcc-arm-linux-gnueabihf or gcc-aarch64-linux-gnu,
# and qemu-user. Exit status 77 and a line that says why: it cannot be done here.
set -u
arch=$1
folder=$2
mkdir -p "$folder" || exit 1
folder=$(cd "$folder" && pwd)
source=$(cd "$(dirname "$0")/.." && pwd)
case $arch in
s390x) triplet=s390x-linux-gnu qemu=qemu-s390x ;;
armhf) triplet=arm-linux-gnueabihf qemu=qemu-arm ;;
arm64) triplet=aarch64-linux-gnu qemu=qemu-aarch64 ;;
*)
    echo "no such architecture: $arch" >&2
    exit 1
    ;;
esac

skip() {
    echo "SKIP $arch: $1"
    exit 77
}

# Unpacks the libraries, with what they need, into $folder/root.
unpack() {
    apt=$folder/apt
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    set -- -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
        -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt/cache" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User= -o APT::Install-Recommends=0
    # Other sources than Debian's may not know the architecture.
    apt-get "$@" update -qq
    apt-get "$@" install -y -qq --download-only libc6-dev libsodium-dev \
        libzstd-dev libjansson-dev libcmocka-dev || return 1
    mkdir -p "$folder/part" || return 1
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$folder/part" || return 1
    done
    mv "$folder/part" "$folder/root"
}

for tool in "$triplet-gcc" "$qemu" apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || skip "no $tool"
done
[ -d "$folder/root" ] || unpack >"$folder/unpack.log" 2>&1 ||
    skip "no packages of it ($folder/unpack.log)"

units="api api_block api_nnc auxiliary bytes cabac_dec cabac_enc cbor classes cluster codebook
    container factors fast freq gather hash header lattice levels_enc lowrank
    match match_shape narrow ncnn nnc_dec nnc_element nnc_enc nnc_lowrank nnc_model
    onnx
    ordered predict qp quantize quantize_rank quantize_rate rans rd_tensor reader
    rng row_scale safetensors safetensors_write small source tflite torchzip tree
    trellis uniform update update_memory utf8 writer zip_sums"
tests="tests/conformance/test_update_vectors
    tests/conformance/test_update_mutations tests/conformance/test_nnc_vectors"
for unit in $units; do
    tests="$tests tests/unit/test_$unit"
done
rm -rf "$folder/build"
mkdir -p "$folder/build" && cd "$folder/build" || exit 1
PKG_CONFIG_SYSROOT_DIR=$folder/root
PKG_CONFIG_LIBDIR=$folder/root/usr/lib/$triplet/pkgconfig
export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
# shellcheck disable=SC2086
"$source/configure" -q --host="$triplet" --disable-daemon \
    CC="$triplet-gcc --sysroot=$folder/root" CFLAGS="-O2 -g" &&
    make -s -j"$(nproc)" $tests || exit 1

DM_SRCDIR=$source DM_BUILDDIR=$folder/build QEMU_LD_PREFIX=$folder/root
export DM_SRCDIR DM_BUILDDIR QEMU_LD_PREFIX
failed=0
for test in $tests; do
    set --
    [ "${test##*/}" != test_nnc_vectors ] || set -- "$source/tests/vectors/nnc"
    if timeout 1800 "$qemu" "$test" "$@" >"$folder/test.log" 2>&1; then
        echo "ok $arch $test"
    else
        tail -n 40 "$folder/test.log"
        echo "not ok $arch $test"
        failed=$((failed + 1))
    fi
done
exit $((failed > 0))
