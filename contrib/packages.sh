# shellcheck shell=sh disable=SC2034,SC2086
# Sourced by demo.sh and check.sh: installs the Debian packages that are
# missing, as root or with sudo. Sets nothing else up.

# need PACKAGE...: installs those that are not installed yet
need() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
            grep -q '^install ok installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing packages:$missing" >&2
            echo "run as root, or install sudo, or install them by hand" >&2
            return 1
        }
        sudo=sudo
    fi
    echo "installing:$missing"
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends $missing >/dev/null
}

PACKAGES_BUILD="gcc libc6-dev make autoconf automake libtool pkg-config
    libuv1-dev libsodium-dev liblmdb-dev libzstd-dev libjansson-dev
    libinih-dev"
PACKAGES_CHECK="libcmocka-dev clang-14 clang-format-14 libclang-rt-14-dev
    python3 zstd binutils"
PACKAGES_FOREIGN="gcc-s390x-linux-gnu gcc-arm-linux-gnueabihf
    gcc-aarch64-linux-gnu libc6-dev-s390x-cross libc6-dev-armhf-cross
    libc6-dev-arm64-cross qemu-user"
