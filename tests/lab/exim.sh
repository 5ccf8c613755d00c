#!/usr/bin/env bash
# Exim beside a Postfix that is installed. Debian lets a machine have one mail server only, so tests/deps.sh
# unpacks its package into a folder, and it runs from there. (Not OpenSMTPD: Debian 12's fails every TLS
# handshake, its issue 1171.)
#
#   exim.sh FOLDER DIR      run it, until killed, in a mount namespace of its own; lab.sh does
#
# It listens on ports 2525 (STARTTLS offered), 2526 (no TLS) and 2527 (implicit TLS), by GnuTLS; mail for
# alice@mx.example.test is accepted and kept. DIR/tls is lab.sh's.
set -euo pipefail

dir=$2/exim
mkdir -p "$dir/spool"
# Its user is compiled in, and the machine has none of this name.
{ grep -v ^Debian-exim: /etc/passwd; echo 'Debian-exim:x:64001:64001::/nonexistent:/bin/false'; } >"$dir/passwd"
{ grep -v ^Debian-exim: /etc/group; echo 'Debian-exim:x:64001:'; } >"$dir/group"
mount --bind "$dir/passwd" /etc/passwd
mount --bind "$dir/group" /etc/group
chown 64001:64001 "$dir/spool"
cat >"$dir/exim.conf" <<CONFIG
spool_directory = $dir/spool
log_file_path = $dir/spool/%slog
pid_file_path = $dir/spool/pid
primary_hostname = mx.example.test
smtp_banner = mx.example.test ESMTP Exim
local_interfaces = <; 0.0.0.0 ; ::0
daemon_smtp_ports = 2525 : 2526 : 2527
tls_on_connect_ports = 2527
tls_advertise_hosts = \${if eq{\$received_port}{2526}{}{*}}
tls_certificate = $2/tls/good.crt
tls_privatekey = $2/tls/good.key
host_lookup =
keep_environment =
queue_only = true
rfc1413_query_timeout = 0s
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept recipients = alice@mx.example.test
  deny message = 5.1.1 no such user here
CONFIG
exec "$1/usr/sbin/exim4" -C "$dir/exim.conf" -bdf >"$dir/log" 2>&1 </dev/null
