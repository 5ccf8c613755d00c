#!/usr/bin/env python3
"""What load.sh runs in its namespaces.

  load.py sink PORT                             accepts connections and reads them, until killed
  load.py send HOST PORT BYTES RATE CONNECTIONS sends so many bytes in all, at so many bits a second (0: no limit),
                                                over so many connections; prints bytes and seconds
  load.py latency SECONDS PORT -- COMMAND...    runs flowdump, sends lines to itself through PORT on 127.0.0.1,
                                                prints p50, p99 and maximum of packet time to line, in ms
"""
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone


def sink(port):
    server = socket.create_server(("", port), backlog=512)
    poll = select.epoll()
    poll.register(server, select.EPOLLIN)
    open_ones = {}
    buffer = bytearray(1 << 20)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == server.fileno():
                connection = server.accept()[0]
                open_ones[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
            elif not open_ones[descriptor].recv_into(buffer):
                poll.unregister(descriptor)
                open_ones.pop(descriptor).close()


def send(host, port, total, rate, count):
    # Lines, so that a console has something to show.
    chunk = b"".join(b"%06d the quick brown fox jumps over the lazy dog, again and again\r\n" % n for n in range(1000))
    connections = [socket.create_connection((host, port)) for _ in range(count)]
    begun = time.monotonic()
    sent = turn = 0
    while sent < total:
        piece = chunk[: total - sent]
        connections[turn % count].sendall(piece)
        sent += len(piece)
        turn += 1
        if rate:
            ahead = sent * 8 / rate - (time.monotonic() - begun)
            if ahead > 0.002:
                time.sleep(ahead)
    took = time.monotonic() - begun
    # What comes last must not be lost: the end tells how long the stream was.
    time.sleep(2)
    for connection in connections:
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    print(sent, f"{took:.3f}")


def latency(seconds, port, command):
    server = socket.create_server(("127.0.0.1", port))
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    time.sleep(1)
    client = socket.create_connection(("127.0.0.1", port))
    peer = server.accept()[0]

    def talk():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            client.sendall(b"MAIL FROM:<carol@sender.test>\r\n")
            peer.recv(1000)
            time.sleep(0.003)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)

    talker = threading.Thread(target=talk)
    talker.start()
    delays, rest = [], b""
    while data := os.read(process.stdout.fileno(), 1 << 16):
        now = time.time()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if b"MAIL FROM" in line:
                when = datetime.strptime(line.split()[0].decode(), "%Y-%m-%dT%H:%M:%S.%fZ")
                delays.append(now - when.replace(tzinfo=timezone.utc).timestamp())
    talker.join()
    process.wait()
    delays.sort()
    p50, p99 = (delays[int(len(delays) * part)] for part in (0.5, 0.99))
    print(f"{len(delays)} lines: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, max {delays[-1] * 1e3:.1f} ms")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "sink":
        sink(int(rest[0]))
    elif what == "send":
        send(rest[0], *map(int, rest[1:5]))
    elif what == "latency":
        latency(float(rest[0]), int(rest[1]), rest[3:])
