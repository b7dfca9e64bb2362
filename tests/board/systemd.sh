#!/usr/bin/env bash
# Makes a Debian with systemd, an ssh server, sudo and a user "pi", to be booted by systemd-nspawn.
#
#     tests/board/systemd.sh FOLDER
#
# FOLDER/root is the system; what is there already is kept. Needs root, and Debian's debootstrap and
# systemd-container, which it installs.
set -euo pipefail

folder=$1
root=$folder/root
mkdir -p "$folder"

if ! command -v debootstrap >/dev/null || ! command -v systemd-nspawn >/dev/null; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        debootstrap systemd-container
fi
if [ ! -e "$folder/made" ]; then
    rm -rf "$root"
    debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,python3,python3-venv,openssh-server,sudo bookworm "$root"
    chroot "$root" useradd --create-home --shell /bin/bash --password '*' --groups video pi
    touch "$folder/made"
fi
