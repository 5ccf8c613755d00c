#!/usr/bin/env bash
# The lab: two network namespaces with a cable between them, and real mail servers in one of them.
#
#   lab.sh up DIR [CLIENT SERVER]   make the namespaces (default names fd-client, fd-server), start the servers
#   lab.sh bridge DIR               put a bridge into the cable, in a namespace CLIENT-wire
#   lab.sh down DIR                 end every process in them and remove them; always possible
#
# DIR (new, under /tmp: other users must be able to pass through it) holds configuration, certificates,
# queues and logs, and after `up` a file `env` that names the namespaces. Needs root; starts no daemon
# outside of its namespaces and touches no configuration of the machine. make-captures.sh, load.sh and
# tests/live_mail.rs use it.
#
#   client  10.77.1.1  fd77::1        server  10.77.2.1  fd77::2  (and 10.77.2.2: a server without TLS)
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

lab_need() { # what must be installed for `up`
    local tool
    for tool in ip postfix openssl python3; do
        command -v "$tool" >/dev/null || { echo "lab: $tool is not installed" >&2; return 1; }
    done
    [ "$(id -u)" = 0 ] || { echo "lab: needs root" >&2; return 1; }
}

on_client() { ip netns exec "$CLIENT" "$@"; }
on_server() { ip netns exec "$SERVER" "$@"; }

# Plain Ethernet on the cable, as a switch would see it: one segment a frame, true checksums.
lab_plain_offloads() { # NAMESPACE INTERFACE
    if command -v ethtool >/dev/null; then
        ip netns exec "$1" ethtool -K "$2" tso off gso off gro off tx off >/dev/null 2>&1 || true
    fi
}

lab_addresses() { # give both ends of the cable, wherever it runs, their addresses
    ip -n "$CLIENT" link set e0 address 02:00:0a:4d:01:01
    ip -n "$SERVER" link set e0 address 02:00:0a:4d:02:01
    ip -n "$CLIENT" addr add 10.77.1.1/16 dev e0
    ip -n "$CLIENT" addr add fd77::1/64 dev e0 nodad
    ip -n "$SERVER" addr add 10.77.2.1/16 dev e0
    ip -n "$SERVER" addr add 10.77.2.2/16 dev e0
    ip -n "$SERVER" addr add fd77::2/64 dev e0 nodad
    lab_plain_offloads "$CLIENT" e0
    lab_plain_offloads "$SERVER" e0
    ip -n "$CLIENT" link set e0 up
    ip -n "$SERVER" link set e0 up
}

lab_network() {
    local ns
    for ns in "$CLIENT" "$SERVER"; do
        ip netns add "$ns"
        ip -n "$ns" link set lo up
    done
    ip -n "$CLIENT" link add e0 type veth peer name e0 netns "$SERVER"
    lab_addresses
}

# A third namespace in the middle: the client's cable ends in its c0, the server's in its s0.
lab_wire() {
    WIRE=$CLIENT-wire
    local end
    ip netns add "$WIRE"
    ip -n "$WIRE" link set lo up
    ip -n "$CLIENT" link del e0
    ip -n "$CLIENT" link add e0 type veth peer name c0 netns "$WIRE"
    ip -n "$SERVER" link add e0 type veth peer name s0 netns "$WIRE"
    lab_addresses
    for end in c0 s0; do
        lab_plain_offloads "$WIRE" $end
        ip -n "$WIRE" link set $end promisc on up
    done
}

# Both of its cables in a bridge.
lab_bridge() {
    ip -n "$WIRE" link add br0 type bridge
    ip -n "$WIRE" link set br0 up
    ip -n "$WIRE" link set c0 master br0
    ip -n "$WIRE" link set s0 master br0
    sleep 0.5
}

# A CA, and from it what servers present: a good certificate, one that expired, one of another name.
lab_certificates() {
    local tls=$DIR/tls name
    mkdir -p "$tls"
    openssl req -quiet -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Lab CA" \
        -keyout "$tls/ca.key" -out "$tls/ca.crt" 2>/dev/null \
        || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Lab CA" \
            -keyout "$tls/ca.key" -out "$tls/ca.crt" 2>/dev/null
    : >"$tls/index.txt"
    printf '[ca]\ndefault_ca=lab\n[lab]\ndatabase=%s/index.txt\nrand_serial=yes\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=any\ncopy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n' \
        "$tls" "$tls" >"$tls/ca.cnf"
    lab_certificate good mx.example.test 20250101000000Z 20450101000000Z
    lab_certificate expired mx.example.test 20200101000000Z 20210101000000Z
    lab_certificate other other.example.test 20250101000000Z 20450101000000Z
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=mx.example.test" \
        -addext "subjectAltName=DNS:mx.example.test" -keyout "$tls/self.key" -out "$tls/self.crt" 2>/dev/null
    cat "$tls/self.key" "$tls/self.crt" >"$tls/self.pem"
    chmod 644 "$tls"/*
}

lab_certificate() { # NAME HOST NOT-BEFORE NOT-AFTER
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -addext "subjectAltName=DNS:$2" \
        -keyout "$tls/$1.key" -out "$tls/$1.csr" 2>/dev/null
    openssl ca -batch -config "$tls/ca.cnf" -cert "$tls/ca.crt" -keyfile "$tls/ca.key" -startdate "$3" -enddate "$4" \
        -in "$tls/$1.csr" -out "$tls/$1.crt" -notext 2>/dev/null
    cat "$tls/$1.key" "$tls/$1.crt" >"$tls/$1.pem"
}

# Postfix with a configuration of its own. Mail for anyone@mx.example.test is accepted and dropped.
lab_postfix() {
    local dir=$DIR/postfix
    mkdir -p "$dir/etc" "$dir/queue" "$dir/data"
    chown postfix "$dir/data"
    cat >"$dir/etc/main.cf" <<CONFIG
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
maillog_file = $dir/log
maillog_file_prefixes = $dir
myhostname = mx.example.test
mydestination =
virtual_mailbox_domains = mx.example.test
virtual_mailbox_maps = inline:{alice@mx.example.test=x, bob@mx.example.test=x, grey@mx.example.test=x}
virtual_transport = discard:
default_transport = discard:
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = all
smtpd_peername_lookup = no
smtpd_banner = mx.example.test ESMTP
smtpd_recipient_restrictions = check_recipient_access inline:{grey@mx.example.test={450 4.2.0 Greylisted, try again in 300 seconds}}, permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = $DIR/tls/good.pem
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:12345
smtpd_tls_session_cache_database =
smtpd_tls_loglevel = 0
smtpd_error_sleep_time = 0
smtp_dns_support_level = disabled
alias_maps =
alias_database =
CONFIG
    cat >"$dir/etc/master.cf" <<'CONFIG'
smtp       inet  n - n - - smtpd
10.77.2.2:smtp inet n - n - - smtpd -o smtpd_tls_security_level=none
submission inet  n - n - - smtpd -o smtpd_sasl_auth_enable=yes
smtps      inet  n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
2501       inet  n - n - - smtpd -o smtpd_tls_chain_files=${queue_directory}/../../tls/expired.pem
2502       inet  n - n - - smtpd -o smtpd_tls_chain_files=${queue_directory}/../../tls/other.pem
2503       inet  n - n - - smtpd -o smtpd_tls_chain_files=${queue_directory}/../../tls/self.pem
2504       inet  n - n - - smtpd -o smtpd_timeout=2s
2505       inet  n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
pickup     unix  n - n 60 1 pickup
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
tlsmgr     unix  - - n 1000? 1 tlsmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
showq      unix  n - n - - showq
error      unix  - - n - - error
retry      unix  - - n - - error
discard    unix  - - n - - discard
anvil      unix  - - n - 1 anvil
scache     unix  - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
CONFIG
    on_server postfix -c "$dir/etc" start >"$dir/start" 2>&1 || { cat "$dir/start" "$dir/log" >&2; return 1; }
}

# Dovecot for IMAP, POP3, ManageSieve, LMTP, and as Postfix's AUTH. Every user's password is `secret`.
lab_dovecot() {
    local dir=$DIR/dovecot
    [ -x /usr/sbin/dovecot ] || return 0
    mkdir -p "$dir/run" "$dir/state" "$dir/mail"
    chmod 777 "$dir/mail"
    local protocols="imap pop3"
    [ -e /usr/lib/dovecot/lmtp ] && protocols="$protocols lmtp"
    [ -e /usr/lib/dovecot/managesieve ] && protocols="$protocols sieve"
    cat >"$dir/dovecot.conf" <<CONFIG
base_dir = $dir/run
state_dir = $dir/state
log_path = $dir/log
protocols = $protocols
listen = *, ::
ssl = yes
ssl_cert = <$DIR/tls/good.crt
ssl_key = <$DIR/tls/good.key
ssl_dh =
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:$dir/mail/%u
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$dir/mail/%u allow_all_users=yes
}
first_valid_uid = 1
service auth {
  inet_listener {
    address = 127.0.0.1
    port = 12345
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
service lmtp {
  inet_listener lmtp {
    port = 24
  }
}
CONFIG
    on_server dovecot -c "$dir/dovecot.conf"
}

# Exim, if deps.sh fetched it, on ports 2525 to 2527.
EXIM=$HERE/../../target/exim
lab_exim() {
    [ -x "$EXIM/usr/sbin/exim4" ] || return 0
    on_server unshare -m "$HERE/exim.sh" "$(realpath "$EXIM")" "$DIR" &
    disown
}

lab_wait_for() { # PORT…: until the server listens on all of them
    local port try
    for port in "$@"; do
        for try in $(seq 100); do
            on_server ss -Hltn "sport = :$port" | grep -q . && continue 2
            sleep 0.1
        done
        echo "lab: nothing listens on port $port" >&2
        return 1
    done
}

lab_up() { # DIR [CLIENT SERVER]
    DIR=$1 CLIENT=${2:-fd-client} SERVER=${3:-fd-server}
    lab_need
    mkdir -p "$DIR"
    chmod 755 "$DIR"
    printf 'DIR=%q CLIENT=%q SERVER=%q\n' "$DIR" "$CLIENT" "$SERVER" >"$DIR/env"
    lab_network
    lab_certificates
    lab_postfix
    lab_dovecot
    lab_exim
    lab_wait_for 25 465 587
    if [ -x "$EXIM/usr/sbin/exim4" ]; then lab_wait_for 2525 2526 2527; fi
    if [ -x /usr/sbin/dovecot ]; then lab_wait_for 143 110 12345; fi
}

lab_down() { # DIR
    [ -e "$1/env" ] || return 0
    # shellcheck source=/dev/null
    . "$1/env"
    local ns try signal=TERM
    for ns in "$CLIENT" "$SERVER" "$CLIENT-wire"; do
        [ -e "/run/netns/$ns" ] || continue
        # Every process in a namespace that we made is ours.
        for try in $(seq 30); do
            ip netns pids "$ns" | xargs -r kill -"$signal" 2>/dev/null || true
            [ -n "$(ip netns pids "$ns")" ] || break
            sleep 0.1
            [ "$try" -lt 10 ] || signal=KILL
        done
        ip netns del "$ns"
    done
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case ${1:-} in
        up) shift; lab_up "$@" ;;
        bridge) . "$2/env"; lab_wire; lab_bridge ;;
        down) lab_down "$2" ;;
        *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
fi
