#!/bin/sh
# Installs what building (`build`) or testing (`test`) needs and is not there. Needs root (or sudo)
# only where something is missing.
set -eu
what=${1:-build}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=""
need() { # need COMMAND-OR-FILE PACKAGE
    case $1 in
        /*) [ -e "$1" ] || missing="$missing $2" ;;
        *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2" ;;
    esac
}

if ! command -v cargo >/dev/null 2>&1 && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
    command -v curl >/dev/null 2>&1 || as_root apt-get install -y -qq curl ca-certificates >/dev/null
    echo "installing: Rust, by rustup, for this user"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal -c rustfmt -c clippy
fi

need cc gcc
if command -v apt-get >/dev/null 2>&1; then
    need /usr/include/pcap/pcap.h libpcap-dev
    if [ "$what" = test ]; then
        need tshark tshark
        need tcpflow tcpflow
        need tcpdump tcpdump
        need ip iproute2
        need postconf postfix
        need swaks swaks
        need curl curl
        need openssl openssl
        need python3 python3
        need mandoc mandoc
        need unzip unzip
        need less less
        need parallel parallel
    fi
    [ -z "$missing" ] && exit 0
    echo "installing:$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif [ -n "$missing" ] || [ ! -e /usr/include/pcap/pcap.h ] && ! pkg-config --exists libpcap 2>/dev/null; then
    echo "missing:$missing libpcap development files. Install them with this system's package manager" >&2
    echo "(Fedora: dnf install gcc libpcap-devel; Alpine: apk add gcc musl-dev libpcap-dev; macOS: brew install libpcap)." >&2
    [ "$what" = test ] || exit 1
fi
