#!/usr/bin/env python3
"""The servers that no real software is any more: each speaks one part, to one client, and ends.

    peer.py PART PORT CERTIFICATE
"""
import socket
import ssl
import sys

from dialogue import Dialogue

NAME = "mx.example.test"


def greet(peer, *extensions, banner=f"220 {NAME} ESMTP"):
    peer.send(banner)
    peer.line()
    offers = [NAME, *extensions, "8BITMIME"]
    peer.send(*[f"250-{offer}" for offer in offers[:-1]], f"250 {offers[-1]}")


def serve(peer):
    """Accept whatever comes, until QUIT."""
    while True:
        line = peer.line()
        word = line[:4].upper()
        if word == "EHLO":
            peer.send(f"250-{NAME}", "250 8BITMIME")
        elif word == "DATA":
            peer.send("354 End data with <CR><LF>.<CR><LF>")
            peer.until(".")
            peer.send("250 2.0.0 Ok: queued as 4XYZ")
        elif word == "QUIT" or not line:
            peer.send("221 2.0.0 Bye")
            return
        elif word in ("MAIL", "RCPT", "NOOP", "RSET"):
            peer.send("250 2.0.0 Ok")
        else:
            peer.send("500 5.5.2 Error: command not recognized")


def refused(peer, _):
    """STARTTLS offered, and refused when asked for."""
    greet(peer, "STARTTLS")
    peer.line()
    peer.send("454 4.7.0 TLS not available due to local problem")
    serve(peer)


def unknown(peer, _):
    """STARTTLS not offered, asked for, and not known."""
    greet(peer)
    peer.line()
    peer.send("502 5.5.1 STARTTLS not supported")
    serve(peer)


def stripped(peer, _):
    """As seen behind a firewall that garbles the banner, the offer and the command."""
    greet(peer, "XXXXXXXA", banner="220 ****0**2******200**")
    serve(peer)


def no_tls(peer, _):
    """STARTTLS accepted; then both sides go on in clear text."""
    greet(peer, "STARTTLS")
    peer.line()
    peer.send("220 2.0.0 Ready to start TLS")
    serve(peer)


def response_injection(peer, context):
    """A reply behind the 220, before the TLS (CVE-2011-1430 and its kin, on the client's side)."""
    greet(peer, "STARTTLS")
    peer.line()
    peer.send("220 2.0.0 Ready to start TLS", "250 2.0.0 injected reply")
    peer.start_tls(context, server_side=True)
    serve(peer)


def two_lines(peer, context):
    """The reply to STARTTLS has two lines: TLS begins after the second."""
    greet(peer, "STARTTLS")
    peer.line()
    peer.send("220-2.0.0 Ready to start TLS")
    peer.send("220 2.0.0 Go ahead")
    peer.start_tls(context, server_side=True)
    serve(peer)


def clear_again(peer, context):
    """TLS is ended by close_notify on both sides, and clear text goes on."""
    greet(peer, "STARTTLS")
    peer.line()
    peer.send("220 2.0.0 Ready to start TLS")
    peer.start_tls(context, server_side=True)
    peer.line()
    peer.send("250 8BITMIME")
    peer.end_tls()
    serve(peer)


def shutting_down(peer, _):
    """421 in the middle of a mail, belonging to no command."""
    greet(peer)
    peer.line()
    peer.send("250 2.1.0 Ok")
    peer.send("421 4.3.2 Service shutting down")


def main():
    part, port, certificate = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate)
    listener = socket.create_server(("10.77.2.1", int(port)))
    listener.settimeout(20)
    peer = Dialogue(listener.accept()[0])
    globals()[part](peer, context)
    peer.close()


if __name__ == "__main__":
    main()
