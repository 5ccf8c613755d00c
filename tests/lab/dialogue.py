"""A socket that talks in lines: what peer.py and client.py share.

Nothing is buffered beyond the line asked for, unless `greedy` is set, so that a TLS handshake may
follow any line.
"""
import socket
import ssl


class Dialogue:
    def __init__(self, sock, greedy=False):
        self.sock, self.greedy, self.rest = sock, greedy, b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(10)

    def send(self, *lines):
        """All lines in one segment."""
        self.sock.sendall(b"".join(line.encode() if isinstance(line, str) else line for line in
                                   (line + "\r\n" if isinstance(line, str) else line for line in lines)))

    def line(self):
        while b"\n" not in self.rest:
            more = self.sock.recv(4096 if self.greedy else 1)
            if not more:
                line, self.rest = self.rest, b""
                return line.decode("latin-1")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode("latin-1").rstrip("\r")

    def reply(self):
        """The last line of an SMTP reply."""
        while True:
            line = self.line()
            if line[3:4] != "-":
                return line

    def ask(self, command):
        self.send(command)
        return self.reply()

    def until(self, prefix):
        while True:
            line = self.line()
            if line.startswith(prefix) or not line:
                return line

    def start_tls(self, context, **how):
        self.sock = context.wrap_socket(self.sock, **how)

    def end_tls(self):
        self.sock = self.sock.unwrap()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
            while self.sock.recv(4096):
                pass
        except OSError:
            pass
        self.sock.close()


def client_context(version=None):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.maximum_version = version
    return context
