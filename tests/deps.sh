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

# Debian lets a machine have one mail server only: the second is unpacked where tests/lab/exim.sh finds it.
exim=$(dirname "$0")/../target/exim
unpack=""
unpack_exim() {
    work=$(mktemp -d /tmp/flowdump-exim.XXXXXX)
    # Where the archive has none, the test says that it is skipped.
    if (cd "$work" && apt-get download -qq exim4-daemon-light) >/dev/null 2>&1; then
        mkdir -p "$exim"
        dpkg-deb -x "$work"/exim4-daemon-light_*.deb "$exim"
        chmod u-s "$exim/usr/sbin/exim4"
    fi
    rm -rf "$work"
}

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
        perl -MNet::SSLeay -e1 2>/dev/null || missing="$missing libnet-ssleay-perl"
        perl -MIO::Socket::INET6 -e1 2>/dev/null || missing="$missing libio-socket-inet6-perl"
        need dovecot dovecot-core
        need /usr/lib/dovecot/imap dovecot-imapd
        need /usr/lib/dovecot/pop3 dovecot-pop3d
        need /usr/lib/dovecot/lmtp dovecot-lmtpd
        need /usr/lib/dovecot/managesieve dovecot-managesieved
        [ -x "$exim/usr/sbin/exim4" ] || unpack=exim
        need curl curl
        need openssl openssl
        need python3 python3
        need mandoc mandoc
        need unzip unzip
        need bsdtar libarchive-tools
        need less less
        need parallel parallel
        need valgrind valgrind
    fi
    [ -z "$missing$unpack" ] && exit 0
    echo "installing:$missing${unpack:+ exim (into target/)}"
    as_root apt-get update -qq
    if [ -n "$unpack" ]; then
        missing="$missing $(apt-cache depends exim4-daemon-light | sed -n 's/^ *Depends: \(lib.*\)/\1/p' | tr '\n' ' ')"
        unpack_exim
    fi
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif [ -n "$missing" ] || [ ! -e /usr/include/pcap/pcap.h ] && ! pkg-config --exists libpcap 2>/dev/null; then
    echo "missing:$missing libpcap development files. Install them with this system's package manager" >&2
    echo "(Fedora: dnf install gcc libpcap-devel; Alpine: apk add gcc musl-dev libpcap-dev; macOS: brew install libpcap)." >&2
    [ "$what" = test ] || exit 1
fi
