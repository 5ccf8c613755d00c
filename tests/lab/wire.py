#!/usr/bin/env python3
"""A cable with faults: forwards frames between two interfaces by raw sockets (no netem needed).

    wire.py lossy A B          of the long frames from A to B: the 2nd is lost, the 4th comes after the
                               5th, the 7th comes twice
    wire.py vlan A T1 T2 B     between A and T1 frames get the tag 42, between T2 and B they lose it:
                               two switches, T1 and T2 are the ends of the trunk between them
"""
import select
import socket
import sys

TAG = bytes.fromhex("8100002a")


def port(name):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((name, 0))
    return sock


def frames(sock):
    """What came in; not what we sent. The kernel takes the outer tag off what it gives."""
    frame, address = sock.recvfrom(65536)
    return [] if address[2] == socket.PACKET_OUTGOING else [frame]


def forward(ways):
    while True:
        for sock in select.select(list(ways), [], [])[0]:
            target, change = ways[sock]
            for frame in frames(sock):
                for out in change(frame):
                    target.send(out)


def lossy():
    seen, held = 0, []

    def change(frame):
        nonlocal seen, held
        if len(frame) < 1000:
            return [frame]
        seen += 1
        if seen == 2:
            return []
        if seen == 4:
            held = [frame]
            return []
        if seen == 7:
            return [frame, frame]
        out, held = [frame, *held], []
        return out

    return change


def same(frame):
    return [frame]


def tagged(frame):
    return [frame[:12] + TAG + frame[12:]]


def main():
    how, *names = sys.argv[1:]
    ports = [port(name) for name in names]
    if how == "lossy":
        a, b = ports
        ways = {a: (b, lossy()), b: (a, same)}
    else:
        a, t1, t2, b = ports
        ways = {a: (t1, tagged), t1: (a, same), t2: (b, same), b: (t2, tagged)}
    print("ready", flush=True)
    forward(ways)


if __name__ == "__main__":
    main()
