#!/usr/bin/env bash
# Guards the hot path: instructions that flowdump takes for small captures, counted by callgrind, may not be
# 5 % more than benches/instructions.tsv says. Instructions, unlike seconds, are the same on a busy machine; on one
# thread, because threads that wait for each other spin.
#
#   benches/instructions.sh           compares
#   benches/instructions.sh --write   takes today's counts as the ones to keep, to be committed with the reason
set -euo pipefail
cd "$(dirname "$0")/.."
BASE=benches/instructions.tsv
WORK=target/bench/instructions

command -v valgrind >/dev/null || { echo "valgrind is missing: apt install valgrind" >&2; exit 1; }
# Another program to count is named by FLOWDUMP; else it is this source's, as it is now.
cargo build --release --locked --workspace
FLOWDUMP=${FLOWDUMP:-target/release/flowdump}
mkdir -p "$WORK"

# count NAME KIND AMOUNT OPTION…: prints `NAME  instructions`. KIND-slow is over hours what KIND is in a moment.
count() {
    local name=$1 kind=$2 amount=$3
    shift 3
    [ -e "$WORK/$kind.pcap" ] || target/release/bench-generate "${kind%-slow}" "$WORK/$kind" $amount >&2
    rm -rf "$WORK/out" "$WORK/out.zip"
    valgrind --tool=callgrind --callgrind-out-file="$WORK/$name.callgrind" \
        "$FLOWDUMP" -q --threads 1 -r "$WORK/$kind.pcap" "$@" >/dev/null 2>"$WORK/log" || { cat "$WORK/log" >&2; exit 1; }
    printf '%s\t%s\n' "$name" "$(awk '/^(summary|totals):/ { print $2; exit }' "$WORK/$name.callgrind")"
}

{
    count bulk-files bulk "--megabytes 8" -o "$WORK/out"
    count mail-files mail "--megabytes 8" -o "$WORK/out"
    count mail-console mail "--megabytes 8" -c
    count text-console bulk-text "--megabytes 8" -c
    count binary-console bulk "--megabytes 8" -c
    count binary-hex bulk "--megabytes 8" -c -D
    count swarm-files swarm "--connections 5000" -o "$WORK/out"
    count swarm-slow-files swarm-slow "--connections 5000 --slower 5000" -o "$WORK/out"
    count swarm-zip swarm "--connections 5000" -o "$WORK/out.zip"
    count synflood-files synflood "--connections 50000" -o "$WORK/out"
    count lossy-files lossy "--megabytes 8" -o "$WORK/out"
} >"$WORK/now.tsv"
rm -rf "$WORK/out" "$WORK/out.zip"

if [ "${1:-}" = --write ]; then
    cp "$WORK/now.tsv" "$BASE"
    cat "$BASE"
    exit
fi
awk -F'\t' '
    NR == FNR { base[$1] = $2; next }
    {
        change = base[$1] ? ($2 / base[$1] - 1) * 100 : 0
        over = !base[$1] || change > 5
        printf "%-16s %14d %+6.1f %%%s\n", $1, $2, change, over ? "  too much, or new" : ""
        bad += over
    }
    END { exit bad > 0 }
' "$BASE" "$WORK/now.tsv" || {
    echo "more instructions than $BASE allows: callgrind_annotate $WORK/NAME.callgrind says where" >&2
    exit 1
}
