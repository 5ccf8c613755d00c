#!/usr/bin/env bash
# flowdump beside cp, tcpflow, tshark and the bare file system, on generated captures; writes
# docs/benchmarks.md. A stream with a wrong byte fails the run.
#
#   SCALE=small|full   size of the captures (default full: 1 GB, a million connections, five million SYNs: an hour)
#   ONLY='bulk mail'   only these parts (spine bulk mail lossy swarm disk console synflood memory linear live); docs stay
#   DISK=/var/tmp      a folder on a disk, for the part of that name, which is left out without: lines, an archive,
#                      and six million files, which the disk takes minutes to make and to delete
#   MEMORY_FS=/dev/shm where output goes: what is measured is programs, not a disk
#   FLOWDUMP=…         another binary
set -euo pipefail
cd "$(dirname "$0")/.."

SCALE=${SCALE:-full}
ONLY=${ONLY:-}
FLOWDUMP=${FLOWDUMP:-target/release/flowdump}
WORK=target/bench/$SCALE
TOOLS=target/release
OUT=${MEMORY_FS:-/dev/shm}/flowdump-bench.$$
disk=
DOC=$WORK/benchmarks.md

case $SCALE in
small) mega=100 swarm=100000 syns=500000 runs=5 swarm_runs=5 slow_runs=1 ;;
full) mega=1000 swarm=1000000 syns=5000000 runs=5 swarm_runs=1 slow_runs=1 ;;
*) echo "SCALE is small or full" >&2; exit 2 ;;
esac

need() { command -v "$1" >/dev/null || { echo "$1 is missing: $2" >&2; exit 1; }; }
have() { command -v "$1" >/dev/null; }
part() { [ -z "$ONLY" ] || [[ " $ONLY " == *" $1 "* ]]; }
need hyperfine "apt install hyperfine, or cargo install hyperfine"

cargo build --release --locked -p flowdump-bench
[ -x "$FLOWDUMP" ] || cargo build --release --locked
if have cc; then cc -O2 -o $TOOLS/bench-plain benches/plain.c; fi
mkdir -p "$WORK" "$OUT"
trap 'rm -rf "$OUT"' EXIT

# --- captures -----------------------------------------------------------------------------------------

free_kib() { df --output=avail -k "$1" | tail -1; }
[ "$(free_kib "$WORK")" -gt $((mega * 10 * 1000)) ] || { echo "too little space in $WORK" >&2; exit 1; }

# capture NAME KIND ARGUMENT…: made once for each build of the generator. What is timed next finds it in the page
# cache: it is read before each run, because some machines take pages back that nobody has used for a few seconds.
capture() {
    local name=$1; shift
    if [ ! "$WORK/$name.tsv" -nt $TOOLS/bench-generate ]; then
        $TOOLS/bench-generate "$1" "$WORK/$name" "${@:2}" >&2
    fi
    warm=$WORK/$name.pcap
}

# What takes much new memory waits for the host on a virtual machine that gives back what is free, five times as long
# in one run as in the next: as much as any program writes is written and deleted before each run.
room() { # room MEGABYTES, and at most half of what there is
    local half=$(($(free_kib "$OUT") / 2048))
    new=$1
    [ "$new" -lt $half ] || new=$half
}
streams=$((mega * 3))
# Two files a connection, a page and an inode each.
many_files=$((swarm * 11 / 1000))
room $streams

# --- measuring ----------------------------------------------------------------------------------------

csv=$WORK/hyperfine.csv
rows=$WORK/rows.tsv

# time_all RUNS NAME COMMAND [NAME COMMAND]…: every command writes to $OUT/o, which is fresh each time.
# Names have no commas.
time_all() {
    local count=$1; shift
    local args=()
    while [ $# -gt 0 ]; do
        args+=(-n "$1" "$2")
        shift 2
    done
    local once=1
    [ "$count" -gt 1 ] || once=0
    hyperfine --style basic --warmup $once --runs "$count" \
        --prepare "rm -rf $OUT/o ${disk:+$disk/o}; head -c ${new}M /dev/zero >$OUT/new; rm $OUT/new; cat $warm >/dev/null" \
        --export-csv "$csv" \
        "${args[@]}" >&2
    # name, median, user + system
    tail -n +2 "$csv" | awk -F, -v OFS='\t' '{ print $1, $4, $5 + $6 }' >>"$rows"
}

# peak COMMAND…: MB in all, and without what is mapped from files.
peak() {
    rm -rf "$OUT/o"
    $TOOLS/bench-peak "$@" 2>&1 >/dev/null | tail -1 | awk -F'\t' '{ printf "%.0f / %.0f MB", $2 / 1000, $3 / 1000 }'
}

# right NAME COMMAND…: runs it and judges the streams; what it says goes to the table's notes.
failed=0
right() {
    local name=$1; shift
    rm -rf "$OUT/o"
    "$@" >/dev/null 2>&1
    $TOOLS/bench-check ${CHECK:-} "$WORK/$name.tsv" "$OUT/o" >"$WORK/check.txt" || failed=1
    sed 's/^/    /' "$WORK/check.txt" >&2
    head -1 "$WORK/check.txt" | sed 's/.*: //'
}

# The same for another program: its names are its own, and its mistakes do not fail the run.
right_other() {
    local name=$1
    { $TOOLS/bench-check --any-name "$WORK/$name.tsv" "$OUT/o" || true; } | head -1 | sed 's/.*: //'
}

# As many bytes as flowdump's lines, written by dd in blocks as large: the least that a file of them takes.
as_many() { # as_many NAME FILE
    local bytes
    bytes=$($(fd "$1") -c -g | wc -c)
    echo "dd status=none if=/dev/zero of=$2 bs=128K iflag=count_bytes count=$bytes"
}

# --- the page -----------------------------------------------------------------------------------------

say() { printf '%s\n' "$@" >>"$DOC"; }

# table TITLE NOTE: what time_all gathered, relative to flowdump.
table() {
    say "" "## $1" "" "$2" "" "| program | median | CPU | time by flowdump's |" "|---|---:|---:|---:|"
    awk -F'\t' '
        { name[NR] = $1; wall[NR] = $2; cpu[NR] = $3; if ($1 ~ /^flowdump/ && !own) own = $2 }
        END { for (i = 1; i <= NR; i++)
            printf "| `%s` | %.3f s | %.3f s | %.2f |\n", name[i], wall[i], cpu[i], own ? wall[i] / own : 0 }
    ' "$rows" >>"$DOC"
    : >"$rows"
}

: >"$DOC"
: >"$rows"
say "# Benchmarks" "" \
    "Written by \`make bench\` (\`SCALE=$SCALE benches/run.sh\`); what the captures are: \`benches/generator/\`." \
    "Medians of $runs runs after one to warm up (*swarm* to files: $swarm_runs; tcpflow on it and on *synflood*: $slow_runs), all programs of a" \
    "table one after the other in one go, captures in the page cache, output on a memory file system into a" \
    "fresh folder, memory for it touched before. Ratios mean something on other machines, seconds do not." \
    "Streams are compared with the captures' manifests byte for byte. The *bare loop* creates, writes and" \
    "closes the same files and does nothing else; *plain C* (\`benches/plain.c\`) is the least that puts each segment where it belongs." "" \
    "- $(date -u +%F), $(git describe --always --dirty 2>/dev/null || echo 'no git')" \
    "- $(nproc) × $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1) ($(sed -n 's/^cpu family.*: /family /p; s/^model\t.*: /model /p' /proc/cpuinfo | head -2 | paste -sd' ')), $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo), Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg) before it began" \
    "- $(have tcpflow && tcpflow -V 2>&1 | head -1), $(have tshark && tshark -v 2>/dev/null | head -1 | cut -d' ' -f1-3)"

fd() { echo "$FLOWDUMP -q -r $WORK/$1.pcap"; }
# It leaves its report in the current folder.
tf() { echo "tcpflow -S enable_report=NO -r $WORK/$1.pcap"; }

files() { # files NAME TITLE RUNS RUNS_OF_TCPFLOW
    local name=$1 note
    local all=("cp" "cp $WORK/$name.pcap $OUT/o" \
        "bare loop" "$TOOLS/bench-files $WORK/$name.tsv $OUT/o" \
        "flowdump" "$(fd "$name") -o $OUT/o")
    if [ -x $TOOLS/bench-plain ] && [ "$name" != swarm ]; then
        all+=("plain C" "$TOOLS/bench-plain $WORK/$name.pcap $OUT/o")
    fi
    local others=("tcpflow" "$(tf "$name") -o $OUT/o")
    if have tcpflow && [ "$3" = "$4" ]; then
        all+=("${others[@]}")
        time_all "$3" "${all[@]}"
    else
        time_all "$3" "${all[@]}"
        if have tcpflow; then time_all "$4" "${others[@]}"; fi
    fi
    note="Peak memory, in all / without mapped files: flowdump $(peak $(fd "$name") -o "$OUT/o")"
    note+=". Streams: flowdump $(right "$name" $(fd "$name") -o "$OUT/o")"
    if have tcpflow; then
        note+="; tcpflow $(peak $(tf "$name") -o "$OUT/o"), $(right_other "$name")"
    fi
    table "$2" "$note."
}

# For who has two minutes: as much as one would copy from a server.
if part spine; then
    few=$((mega * 2 / 5)) many=$((swarm / 10))
    capture spine bulk --megabytes $few
    files spine "The spine: 8 long connections, $few MB, to files" $runs $runs
    note="Noise, two bytes of three escaped. Peak memory of flowdump, in all / without mapped files: $(peak $(fd spine) -c)."
    for folder in "$OUT" ${DISK:+"$DISK"}; do
        disk=$folder/flowdump-spine.$$
        mkdir -p "$disk"
        trap "rm -rf '$OUT' '$disk'" EXIT
        all=("flowdump -c > file" "$(fd spine) -c > $disk/o")
        if have tcpflow; then all+=("tcpflow -c > file" "$(tf spine) -c > $disk/o"); fi
        time_all "$runs" "${all[@]}"
        table "The spine: 8 long connections, $few MB, console to a file on $(df --output=fstype "$disk" | tail -1)" "$note"
        rm -rf "$disk"
    done
    disk=
    capture spine-many swarm --connections $many
    time_all "$runs" "bare loop" "$TOOLS/bench-files $WORK/spine-many.tsv $OUT/o" "flowdump" "$(fd spine-many) -o $OUT/o"
    table "The spine: $many connections of six packets, to files" \
        "Peak memory, in all / without mapped files: $(peak $(fd spine-many) -o "$OUT/o"). Streams: $(right spine-many $(fd spine-many) -o "$OUT/o")."
fi

if part bulk; then
    capture bulk bulk --megabytes $mega
    files bulk "Files: 8 long connections, $mega MB" $runs $runs
fi
if part mail; then
    capture mail mail --megabytes $mega
    files mail "Files: mail sessions, $mega MB, half of them STARTTLS" $runs $runs
fi
if part lossy; then
    capture lossy lossy --megabytes $((mega * 2 / 5))
    files lossy "Files: 5 % lost, 10 % reordered, $((mega * 2 / 5)) MB" $runs $runs
fi
if part swarm; then
    capture swarm swarm --connections $swarm
    room $many_files
    files swarm "Files: $swarm connections of six packets" $swarm_runs $slow_runs
    room $streams

    # One archive instead of so many files: names and bytes are those of the files.
    unzipped() {
        "$@" -o "$OUT/o/a.zip"
        unzip -q "$OUT/o/a.zip" -d "$OUT/o" && rm "$OUT/o/a.zip"
    }
    note="Peak memory, in all / without mapped files: $(peak $(fd swarm) -o "$OUT/o/a.zip")"
    note+=". Streams: $(right swarm unzipped $(fd swarm))"
    time_all "$runs" "flowdump to .zip" "$(fd swarm) -o $OUT/o/a.zip" "flowdump to .tar" "$(fd swarm) -o $OUT/o/a.tar"
    table "One archive: $swarm connections of six packets" "The same connections as above, where tcpflow's files are. $note."
fi

if [ -n "${DISK:-}" ] && part disk; then
    disk=$DISK/flowdump-bench.$$
    mkdir -p "$disk"
    trap "rm -rf '$OUT' '$disk'" EXIT
    type=$(df --output=fstype "$disk" | tail -1)
    for name in mail bulk-text bulk; do
        capture $name $name --megabytes $mega
        all=("flowdump -c -g > file" "$(fd $name) -c -g > $disk/o" "dd: as many bytes" "$(as_many $name $disk/o)" \
            "cat > file" "cat $WORK/$name.pcap > $disk/o")
        if have tcpflow; then all+=("tcpflow -c -g -FT > file" "$(tf $name) -c -g -FT > $disk/o"); fi
        time_all "$runs" "${all[@]}"
        table "On a disk: console, $name, $mega MB" "On $type, whose writing to the disk is not waited for."
    done
    capture swarm swarm --connections $swarm
    time_all "$runs" "flowdump to .zip" "$(fd swarm) -o $disk/o/a.zip"
    # Folders of their own, deleted at the end: making files after many were deleted takes ext4 far longer.
    all=("flowdump" "$(fd swarm) -o $disk/flowdump")
    if have tcpflow; then all+=("tcpflow" "$(tf swarm) -o $disk/tcpflow"); fi
    all+=("bare loop" "$TOOLS/bench-files $WORK/swarm.tsv $disk/bare")
    time_all 1 "${all[@]}"
    table "On a disk: $swarm connections of six packets" "On $type; one run each but for the archive."
    disk=
fi

if part console; then
    for name in mail mail-slow bulk-text bulk; do
        slower=1
        [ $name != mail-slow ] || slower=5000
        capture $name ${name%-slow} --megabytes $mega --slower $slower
        all=("flowdump -c > /dev/null" "$(fd $name) -c" \
            "flowdump -c -g > file" "$(fd $name) -c -g > $OUT/o" "dd: as many bytes" "$(as_many $name $OUT/o)" \
            "cat > /dev/null" "cat $WORK/$name.pcap" "cat > file" "cat $WORK/$name.pcap > $OUT/o")
        if have tcpflow; then
            all+=("tcpflow -c > /dev/null" "$(tf $name) -c" "tcpflow -c -g -FT > file" "$(tf $name) -c -g -FT > $OUT/o")
        fi
        time_all "$runs" "${all[@]}"
        if have tshark && [ $name = mail ]; then
            time_all 1 "tshark conversations (counts only)" "tshark -n -q -z conv,tcp -r $WORK/$name.pcap"
        fi
        case $name in
        mail-slow) note="The same sessions over hours instead of seconds. " ;;
        bulk) note="Noise: two bytes of three are escaped. " ;;
        *) note= ;;
        esac
        note+="Peak memory of flowdump -c, in all / without mapped files: $(peak $(fd $name) -c)."
        table "Console: $name, $mega MB" "$note"
    done
fi

if part synflood; then
    capture synflood synflood --connections $syns
    time_all "$runs" "flowdump" "$(fd synflood) -o $OUT/o" "flowdump -c > /dev/null" "$(fd synflood) -c" \
        "cat > /dev/null" "cat $WORK/synflood.pcap"
    note="Peak memory, in all / without mapped files: flowdump $(peak $(fd synflood) -o "$OUT/o")."
    note+=" Streams: flowdump $(right synflood $(fd synflood) -o "$OUT/o")."
    if have tcpflow; then
        # It keeps every SYN: stopped before it takes the machine with it.
        time_all 1 "tcpflow (at most 120 s and 8 GB)" \
            "(ulimit -v 8000000; timeout 120 $(tf synflood) -o $OUT/o) || true"
    fi
    table "A flood: $syns SYNs, 300 mail sessions among them" "$note"
fi

if part memory; then
    say "" "## Memory beyond the capture" "" \
        "The capture comes through a pipe, so that nothing of it is mapped; peak of anonymous memory." "" \
        "| capture | to files | to the console |" "|---|---:|---:|"
    for name in bulk mail swarm synflood lossy; do
        [ -e "$WORK/$name.pcap" ] || continue
        anonymous() { peak "$@" <"$WORK/$name.pcap" | sed 's/.* \/ //'; }
        say "| $name | $(anonymous "$FLOWDUMP" -q -r - -o "$OUT/o") | $(anonymous "$FLOWDUMP" -q -r - -c) |"
    done
fi

if part linear; then
    say "" "## Four times the input" "" \
        "What the file system takes for more files in one folder is in the bare loop; to the console there is none." "" \
        "| what | a quarter | all | ratio |" "|---|---:|---:|---:|"
    # four_times RUNS NAME QUARTER ALL
    four_times() {
        : >"$rows"
        time_all "$1" quarter "$3" all "$4"
        awk -F'\t' -v name="$2" '{ wall[NR] = $2 }
            END { printf "| %s | %.3f s | %.3f s | %.2f |\n", name, wall[1], wall[2], wall[2] / wall[1] }' "$rows" >>"$DOC"
    }
    for name in bulk mail swarm; do
        case $name in
        swarm)
            capture $name-quarter swarm --connections $((swarm / 4))
            room $many_files
            ;;
        *) capture $name-quarter $name --megabytes $((mega / 4)) ;;
        esac
        warm+=" $WORK/$name.pcap"
        [ $name = swarm ] && linear_runs=$swarm_runs || linear_runs=$runs
        four_times "$linear_runs" "$name to files" "$(fd $name-quarter) -o $OUT/o" "$(fd $name) -o $OUT/o"
        four_times "$linear_runs" "$name, bare loop" "$TOOLS/bench-files $WORK/$name-quarter.tsv $OUT/o" \
            "$TOOLS/bench-files $WORK/$name.tsv $OUT/o"
        room $streams
        [ $name = bulk ] || four_times "$runs" "$name to the console" "$(fd $name-quarter) -c" "$(fd $name) -c"
        [ $name != swarm ] || four_times "$runs" "$name to .zip" "$(fd $name-quarter) -o $OUT/o/a.zip" \
            "$(fd $name) -o $OUT/o/a.zip"
    done
fi

if part live; then
    say "" "## Live" ""
    if [ "$(id -u)" = 0 ] && have tcpdump && have tcpflow; then
        say "Eight connections over a cable between two network namespaces, sender, receiver and program on this" \
            "machine's processors (\`tests/lab/load.sh\`): packets dropped, by the kernel + by flowdump, and bytes" \
            "of the stream that are missing in the files." ""
        tests/lab/load.sh "$FLOWDUMP" 300000000 500 1000 2000 >"$WORK/live.txt" || failed=1
        cat "$WORK/live.txt" >>"$DOC"
    else
        say "Skipped: needs root, tcpdump and tcpflow."
    fi
fi

if [ -z "$ONLY" ]; then
    mkdir -p docs
    cp "$DOC" docs/benchmarks.md
fi
cat "$DOC"
[ $failed = 0 ] || { echo "streams came out wrong" >&2; exit 1; }
