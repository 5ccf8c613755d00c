#!/usr/bin/env bash
# Load: a bounded sender in a namespace, and beside it flowdump, tcpdump and tcpflow in turn. What reached the
# files plus what flowdump declares missing must be what was sent; drops are compared at the same rates.
#
#   sudo tests/lab/load.sh FLOWDUMP [BYTES] [RATE…]    rates in Mbit/s, 0 = as fast as it goes (default 200 1000 0)
#
# Prints a table, in Markdown: tool, rate asked for and reached, packets dropped as the tool says (by the kernel + by
# itself), bytes that its files lack. At the end latency from packet to line. Exit 1 if flowdump lost a byte without
# saying so.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
flowdump=$(realpath "${1:?the flowdump to measure}")
bytes=${2:-300000000}
rates=("${@:3}")
[ ${#rates[@]} -gt 0 ] || rates=(200 1000 0)
port=2500 connections=8

# shellcheck source=lab.sh
. "$here/lab.sh"
DIR=$(mktemp -d /tmp/flowdump-load.XXXXXX) CLIENT=fd-load-client SERVER=fd-load-server
chmod 755 "$DIR"
printf 'DIR=%q CLIENT=%q SERVER=%q\n' "$DIR" "$CLIENT" "$SERVER" >"$DIR/env"
trap 'lab_down "$DIR"; rm -rf "$DIR"' EXIT
lab_network
{ on_server python3 "$here/load.py" sink "$port"; } 2>/dev/null & # until the namespace goes
disown
lab_wait_for "$port"

silent=0
dropped() { # as flowdump says: by the kernel and by itself
    sed -n 's/.* \([0-9,]*\) dropped by the kernel.* \([0-9,]*\) by flowdump.*/\1+\2/p' "$DIR/stderr" | head -1
}
run() { # NAME RATE HOW-TO-TELL-THAT-IT-CAPTURES COMMAND…: leaves the sender's result in $sent, $seconds
    local name=$1 rate=$2 ready=$3 pid try
    shift 3
    rm -rf "$DIR/out" "$DIR/stderr"
    mkdir "$DIR/out"
    chmod 777 "$DIR/out"
    ( cd "$DIR/out" && exec ip netns exec "$SERVER" "$@" >"$DIR/stdout" 2>"$DIR/stderr" ) &
    pid=$!
    for try in $(seq 50); do grep -q "$ready" "$DIR/stderr" 2>/dev/null && break; sleep 0.1; done
    read -r sent seconds < <(on_client python3 "$here/load.py" send 10.77.2.1 "$port" "$bytes" $((rate * 1000000)) "$connections")
    sleep 1
    kill -INT "$pid"
    wait "$pid" || echo "$name: exit $?"
}

real_bytes() { # of the files with the client's stream, without the zeros that stand for what is missing
    find "$DIR/out" -type f -name "*$1" -exec cat {} + | tr -d '\0' | wc -c
}

row() { # NAME RATE DROPPED LACKING
    printf '| %-16s | %6s | %8.0f | %10s | %12s |\n' "\`$1\`" "$2" "$(awk "BEGIN { print $sent * 8 / $seconds / 1e6 }")" "$3" "$4"
}

printf '| %-16s | %6s | %8s | %10s | %12s |\n' program Mbit/s reached dropped "bytes lacking" \
    --- ---: ---: ---: ---:
for rate in "${rates[@]}"; do
    run tcpdump "$rate" "listening on" tcpdump -Z root -n -i e0 -B 65536 -w packets.pcap "tcp port $port"
    row "tcpdump -w" "$rate" "$(sed -n 's/ packets* dropped by kernel//p' "$DIR/stderr")" -

    run tcpflow "$rate" "listening on" tcpflow -i e0 -X /dev/null "tcp port $port"
    row tcpflow "$rate" - $((sent - $(real_bytes "-010.077.002.001.0$port")))

    run "flowdump -w" "$rate" "capturing on" "$flowdump" -i e0 -c -w packets.pcap "tcp port $port"
    row "flowdump -c -w" "$rate" "$(dropped)" -

    run flowdump "$rate" "capturing on" "$flowdump" -i e0 -o flows "tcp port $port"
    lacking=$((sent - $(real_bytes "-10.77.2.1.$port")))
    row flowdump "$rate" "$(dropped)" "$lacking"
    declared=$(python3 -c 'import json,sys; print(sum(json.loads(line)["to_server"]["gap_bytes"] for line in sys.stdin))' \
        <"$DIR/out/flows/flows.jsonl")
    if [ "$lacking" != "$declared" ]; then
        echo "flowdump lacks $lacking bytes and declares $declared"
        silent=1
    fi
done

echo
printf 'From a packet to its line, through a pipe: '
on_server python3 "$here/load.py" latency 5 2600 -- "$flowdump" -i lo -c --color never "tcp port 2600" 2>/dev/null
exit $silent
