#!/usr/bin/env bash
# Makes an arm64 Debian that runs on this machine under emulation, with edge and its wheels in it,
# an ssh server, and a user "pi" who has nothing.
#
#     tests/board/make.sh FOLDER
#
# FOLDER/root is the system; what is there already is kept. Needs root, and Debian's debootstrap and
# qemu-user-static, which it installs. The system takes some minutes once, edge some seconds again.
set -euo pipefail

folder=$1
project=$(cd "$(dirname "$0")/../.." && pwd)
root=$folder/root
python=${PYTHON:-python3}
mkdir -p "$folder"

if ! command -v debootstrap >/dev/null || ! command -v qemu-aarch64-static >/dev/null; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        debootstrap qemu-user-static binfmt-support
fi
if [ ! -e /proc/sys/fs/binfmt_misc/register ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
fi
[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64

if [ ! -e "$folder/made-with-ssh" ]; then
    rm -rf "$root"
    debootstrap --arch=arm64 --variant=minbase \
        --include=python3,python3-venv,ca-certificates,openssh-server bookworm "$root"
    chroot "$root" python3 -m venv /edge
    chroot "$root" useradd --create-home --shell /bin/bash --password '*' pi
    touch "$folder/made-with-ssh"
fi

# The wheels of the board's own Python and processor, as a device without internet gets them.
wheels=$root/wheels
rm -rf "$wheels"
mkdir "$wheels"
"$python" -m pip --disable-pip-version-check wheel -q --no-deps --wheel-dir "$wheels" "$project"
platforms=(manylinux_2_17_aarch64 manylinux2014_aarch64 manylinux_2_27_aarch64 manylinux_2_28_aarch64
    manylinux_2_34_aarch64 manylinux_2_35_aarch64)
"$python" -m pip --disable-pip-version-check download -q --only-binary=:all: \
    --python-version 3.11 --implementation cp "${platforms[@]/#/--platform=}" \
    -c "$project/constraints.txt" -d "$wheels" "$wheels"/edge_tflite-*.whl
chroot "$root" /edge/bin/python -m pip --disable-pip-version-check install -q \
    --no-index --find-links /wheels --upgrade --force-reinstall --no-deps edge-tflite
chroot "$root" /edge/bin/python -m pip --disable-pip-version-check install -q \
    --no-index --find-links /wheels --upgrade --upgrade-strategy eager edge-tflite
