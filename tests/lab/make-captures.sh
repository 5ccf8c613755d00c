#!/usr/bin/env bash
# Makes tests/captures/: real sessions between real servers and clients (lab.sh), recorded by tcpdump.
#
#   sudo tests/lab/make-captures.sh [FOLDER]      all of them, into FOLDER (default tests/captures)
#
# Every run makes other captures (times, ports, keys): the snapshots of tests/ must be looked at anew.
# Needs root and Debian's packages (installed if missing). About a minute.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here/../captures}")

missing=()
for package in postfix swaks libnet-ssleay-perl openssl curl python3 tcpdump tshark iproute2 ethtool zstd \
    dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-managesieved; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# shellcheck source=lab.sh
. "$here/lab.sh"
work=$(mktemp -d /tmp/flowdump-lab.XXXXXX)
chmod 755 "$work"
mkdir -p "$out" "$work/raw"
trap 'stop_recording 2>/dev/null; lab_down "$work/lab"; rm -rf "$work"' EXIT
lab_up "$work/lab" fd-captures-client fd-captures-server
export PYTHONDONTWRITEBYTECODE=1

recorder=""
record() { # NAME NAMESPACE INTERFACE [tcpdump's options and filter]
    local file=$out/$1.pcap ns=$2 interface=$3 try
    shift 3
    rm -f "$file"
    echo "$file" | sed 's|.*/||'
    # A filter of plain `tcp` keeps ARP, neighbour discovery and the like out; tests need few packets.
    [ $# -gt 0 ] || set -- tcp
    ip netns exec "$ns" tcpdump -Z root -U --immediate-mode -n -w "$file" -i "$interface" "$@" 2>"$work/tcpdump" &
    recorder=$!
    for try in $(seq 100); do
        grep -q "listening on" "$work/tcpdump" && return
        sleep 0.05
    done
    cat "$work/tcpdump" >&2
    return 1
}

stop_recording() {
    [ -n "$recorder" ] || return 0
    sleep 0.3
    kill -INT "$recorder"
    wait "$recorder" || true
    recorder=""
}

client() { on_client python3 "$here/client.py" "$@"; }

with_peer() { # PEER'S-PART CLIENT'S-PART
    on_server python3 "$here/peer.py" "$1" 25000 "$DIR/tls/good.pem" &
    local peer=$!
    lab_wait_for 25000
    client "$2" 10.77.2.1 25000
    wait "$peer"
}

swak() { # swaks's options: a small mail
    on_client swaks --silent 3 --helo client.sender.test --from carol@sender.test --h-To alice@mx.example.test \
        --header "Message-Id: <$RANDOM@client.sender.test>" --header "X-Mailer: swaks" "$@" >/dev/null 2>&1 || true
}

# One client, one capture.
session() { # NAME PART HOST PORT
    record "$1" "$SERVER" e0
    client "$2" "$3" "$4"
    stop_recording
}
scripted() { # NAME PEER'S-PART CLIENT'S-PART
    record "$1" "$SERVER" e0
    with_peer "$2" "$3"
    stop_recording
}

# --- plain SMTP ---------------------------------------------------------------------------------------
session smtp-plain plain 10.77.2.2 25
session smtp-ipv6 plain fd77::2 25
session smtp-starttls-not-used plain 10.77.2.1 25
session smtp-pipelined-refusals pipelined 10.77.2.1 25
session smtp-bdat chunks 10.77.2.2 25
session smtp-auth auth 10.77.2.1 587
session smtp-greylisted greylisted 10.77.2.2 25
session smtp-bare-lf bare_lf 10.77.2.2 25
session smtp-escapes escapes 10.77.2.2 25
session smtp-letters letters 10.77.2.2 25
session smtp-timeout-421 silent 10.77.2.1 2504
session smtp-reset resets 10.77.2.2 25
session smtp-proxied proxied 10.77.2.1 2505
session smtp-early-talker reads_early 10.77.2.2 25
session connection-refused refused 10.77.2.1 2599
scripted smtp-421-in-mail shutting_down plain

# --- STARTTLS and its failures ------------------------------------------------------------------------
record smtp-starttls-tls13 "$SERVER" e0
swak --server 10.77.2.1 --to alice@mx.example.test --tls --tls-sni mx.example.test --body "sealed"
stop_recording
session smtp-starttls-tls12 starttls 10.77.2.1 25
session smtp-starttls-expired starttls 10.77.2.1 2501
session smtp-starttls-wrong-name wrong_name 10.77.2.1 2502
session smtp-starttls-self-signed starttls 10.77.2.1 2503
session smtp-starttls-unknown-ca distrusts 10.77.2.1 25
session smtp-starttls-injected injects 10.77.2.1 25
session smtp-starttls-then-clear no_tls 10.77.2.1 25
scripted smtp-starttls-no-tls no_tls asks_for_tls
scripted smtp-starttls-refused-454 refused asks_for_tls
scripted smtp-starttls-unknown-502 unknown asks_for_tls
scripted smtp-starttls-stripped stripped garbled
scripted smtp-starttls-response-injected response_injection starttls
scripted smtp-starttls-two-line-220 two_lines starttls
scripted smtp-clear-after-tls clear_again clear_again
record smtps-465 "$SERVER" e0
printf 'From: carol@sender.test\r\nTo: alice@mx.example.test\r\nSubject: by curl\r\n\r\nhello\r\n' >"$work/mail"
on_client curl -sk --max-time 10 --connect-to mx.example.test:465:10.77.2.1:465 --url smtps://mx.example.test/client.sender.test \
    --mail-from carol@sender.test --mail-rcpt alice@mx.example.test --upload-file "$work/mail"
stop_recording
record smtp-starttls-openssl "$SERVER" e0
printf 'EHLO client.sender.test\r\nQUIT\r\n' | on_client timeout 5 openssl s_client -quiet -ign_eof -starttls smtp -crlf \
    -servername mx.example.test -connect 10.77.2.1:25 >/dev/null 2>&1 || true
stop_recording

# Another server, another TLS library.
record smtp-exim "$SERVER" e0
client plain fd77::2 2526
client starttls 10.77.2.1 2525
client hangs_up 10.77.2.1 2525
stop_recording

# --- the other mail protocols -------------------------------------------------------------------------
session lmtp lmtp 10.77.2.1 24
session pop3 pop3 10.77.2.1 110
session pop3-stls pop3_stls 10.77.2.1 110
session imap imap 10.77.2.1 143
session imap-starttls imap_starttls 10.77.2.1 143
session imaps imaps 10.77.2.1 993
session managesieve-starttls sieve 10.77.2.1 4190

# --- ways of capturing --------------------------------------------------------------------------------
record smtp-any-sll2 "$CLIENT" any
client plain 10.77.2.2 25
stop_recording
record smtp-any-sll "$CLIENT" any -y LINUX_SLL
client plain 10.77.2.2 25
stop_recording
record smtp-snaplen "$SERVER" e0 -s 100 tcp
client plain 10.77.2.2 25
stop_recording
record smtp-client-side-only "$SERVER" e0 tcp and dst port 25
client plain 10.77.2.2 25
stop_recording
record smtp-with-arp "$SERVER" e0 not icmp6
ip -n "$CLIENT" neigh flush dev e0
client plain 10.77.2.2 25
stop_recording

# With segmentation offload, as most machines have it: packets longer than the cable's, checksums undone.
on_client ethtool -K e0 tso on gso on tx on >/dev/null 2>&1 || true
on_server ethtool -K e0 gro on >/dev/null 2>&1 || true
record smtp-offload "$CLIENT" e0
client long_mail 10.77.2.2 25
stop_recording
lab_plain_offloads "$CLIENT" e0
lab_plain_offloads "$SERVER" e0

# What the capture lacks: frames taken out of it. Of the long mail's the second, third and seventh.
record smtp-long "$SERVER" e0
client long_mail 10.77.2.2 25
stop_recording
long_frames=$(tshark -r "$out/smtp-long.pcap" -Y "tcp.dstport == 25 && tcp.len > 1000" -T fields -e frame.number 2>/dev/null)
# shellcheck disable=SC2086
lost=$(set -- $long_frames; echo "$2 $3 $7")
# shellcheck disable=SC2086
editcap -F pcap "$out/smtp-long.pcap" "$out/smtp-lossy.pcap" $lost
mv "$out/smtp-long.pcap" "$work/raw/long.pcap"
# Begun too late: no SYN, no greeting. And the same conversation in two files, as tcpdump -C leaves it.
editcap -F pcap "$out/smtp-plain.pcap" "$out/smtp-midstream.pcap" 1-7
editcap -F pcap -r "$out/smtp-plain.pcap" "$out/smtp-rotated-1.pcap" 1-9
editcap -F pcap -r "$out/smtp-plain.pcap" "$out/smtp-rotated-2.pcap" 10-1000
# The same packets in every container.
editcap -F pcapng "$out/smtp-plain.pcap" "$out/smtp-plain.pcapng"
editcap -F nsecpcap "$out/smtp-plain.pcap" "$out/smtp-plain-nanoseconds.pcap"
gzip -9nc "$out/smtp-plain.pcap" >"$out/smtp-plain.pcap.gz"
zstd -q19fc "$out/smtp-plain.pcap" >"$out/smtp-plain.pcap.zst"

# pcapng of two interfaces with link types of their own.
ip netns exec "$CLIENT" dumpcap -q -i e0 -f tcp -i any -f tcp -w "$work/raw/two.pcapng" 2>"$work/dumpcap" &
recorder=$!
sleep 1
client plain 10.77.2.2 25
sleep 1
stop_recording
cp "$work/raw/two.pcapng" "$out/smtp-two-interfaces.pcapng"
chmod 644 "$out/smtp-two-interfaces.pcapng"

# --- tunnels ------------------------------------------------------------------------------------------
ip -n "$CLIENT" link add vx0 type vxlan id 77 local 10.77.1.1 remote 10.77.2.1 dstport 4789 dev e0
ip -n "$SERVER" link add vx0 type vxlan id 77 local 10.77.2.1 remote 10.77.1.1 dstport 4789 dev e0
ip -n "$CLIENT" addr add 10.78.1.1/16 dev vx0
ip -n "$SERVER" addr add 10.78.2.1/16 dev vx0
ip -n "$CLIENT" link set vx0 up
ip -n "$SERVER" link set vx0 up
lab_plain_offloads "$CLIENT" vx0
lab_plain_offloads "$SERVER" vx0
record smtp-vxlan "$SERVER" e0 udp port 4789
client plain 10.78.2.1 25
stop_recording
ip -n "$CLIENT" link del vx0
ip -n "$SERVER" link del vx0

# --- with something in between ------------------------------------------------------------------------
faults() { # what wire.py is to do
    ip netns exec "$WIRE" python3 "$here/wire.py" "$@" >"$work/wire" &
    fault=$!
    until grep -q ready "$work/wire"; do sleep 0.05; done
}

lab_wire
faults lossy c0 s0
record smtp-wire-faults "$SERVER" e0
client long_mail 10.77.2.2 25
stop_recording
kill "$fault"; wait "$fault" 2>/dev/null || true
faults lossy c0 s0
record smtp-retransmissions "$CLIENT" e0
client long_mail 10.77.2.2 25
stop_recording
kill "$fault"; wait "$fault" 2>/dev/null || true

ip -n "$WIRE" link add t1 type veth peer name t2
ip -n "$WIRE" link set t1 up
ip -n "$WIRE" link set t2 up
faults vlan c0 t1 t2 s0
record smtp-vlan "$WIRE" t1 vlan
client plain 10.77.2.2 25
stop_recording
kill "$fault"; wait "$fault" 2>/dev/null || true
ip -n "$WIRE" link del t1

# A bridge: `any` sees every packet twice.
lab_bridge
record smtp-bridge-any "$WIRE" any
client plain 10.77.2.2 25
stop_recording
ip -n "$WIRE" link del br0

# A router whose link to the server takes only 600 bytes: the client's packets come in fragments.
ip -n "$WIRE" addr add 10.77.1.254/24 dev c0
ip -n "$WIRE" addr add 10.77.2.254/24 dev s0
ip -n "$CLIENT" route add 10.77.2.0/24 via 10.77.1.254
ip -n "$SERVER" route add 10.77.1.0/24 via 10.77.2.254
ip -n "$WIRE" link set s0 mtu 600
ip netns exec "$WIRE" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
on_client sh -c 'echo 1 >/proc/sys/net/ipv4/ip_no_pmtu_disc'
record smtp-fragments "$WIRE" s0 ip
client long_mail 10.77.2.2 25
stop_recording

# --- the demonstration --------------------------------------------------------------------------------
ip -n "$CLIENT" link del e0
ip -n "$SERVER" link del e0
ip netns del "$WIRE"
ip -n "$CLIENT" link add e0 type veth peer name e0 netns "$SERVER"
lab_addresses
record demo "$SERVER" e0
swak --server 10.77.2.1 --to nobody@mx.example.test --h-Subject "Who are you?" --body "This one has nobody to read it."
sleep 0.7
swak --server 10.77.2.1 --to alice@mx.example.test --h-Subject "Minutes of Friday" \
    --body "Dear Alice,\n\nthe minutes are ready. Tell me if STARTTLS is missing from them.\n\nCarol"
sleep 0.4
swak --server 10.77.2.1 --to bob@mx.example.test --tls --tls-protocol tlsv1_2 --tls-sni mx.example.test --h-Subject "For your eyes only" --body "sealed"
sleep 0.3
swak --server 10.77.2.1 --to alice@mx.example.test --tls --tls-sni mx.example.test --h-Subject "For your eyes only" --body "sealed"
stop_recording

chmod 644 "$out"/*.pcap*
[ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$out"/*.pcap*
