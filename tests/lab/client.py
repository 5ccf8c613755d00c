#!/usr/bin/env python3
"""The clients that swaks and curl won't be.

    client.py PART HOST PORT
"""
import imaplib
import poplib
import smtplib
import socket
import ssl
import struct
import sys
import time

from dialogue import Dialogue, client_context

HELO = "client.sender.test"
MESSAGE = "\r\n".join([
    "From: Carol <carol@sender.test>", "To: Alice <alice@mx.example.test>", "Subject: Minutes of Friday",
    "Message-Id: <17@client.sender.test>", "", "Dear Alice,", "", "the minutes are ready.", "Carol", ""])


def connect(host, port, greedy=False):
    return Dialogue(socket.create_connection((host, port), 10), greedy)


def hello(host, port, greedy=False):
    smtp = connect(host, port, greedy)
    smtp.reply()
    smtp.ask(f"EHLO {HELO}")
    return smtp


def mail(smtp, message=MESSAGE):
    smtp.ask("MAIL FROM:<carol@sender.test>")
    smtp.ask("RCPT TO:<alice@mx.example.test>")
    smtp.ask("DATA")
    smtp.send(message.encode() if isinstance(message, str) else message)
    smtp.ask(".")


def leave(smtp):
    smtp.ask("QUIT")
    smtp.close()


def plain(host, port):
    smtp = hello(host, port)
    mail(smtp)
    leave(smtp)


def asks_for_tls(host, port):
    """STARTTLS; whatever the answer, the mail is sent in clear."""
    smtp = hello(host, port)
    smtp.ask("STARTTLS")
    mail(smtp)
    leave(smtp)


def garbled(host, port):
    """The command as a firewall left it."""
    smtp = hello(host, port)
    smtp.ask("XXXXXXXX")
    mail(smtp)
    leave(smtp)


def no_tls(host, port):
    """Clear text after an accepted STARTTLS: the real server answers with an alert, and leaves."""
    smtp = hello(host, port)
    smtp.ask("STARTTLS")
    smtp.send(f"EHLO {HELO}")
    try:
        smtp.line()
    except ConnectionResetError:
        pass
    smtp.close()


def starttls(host, port, version=ssl.TLSVersion.TLSv1_2):
    smtp = hello(host, port, greedy=True)
    smtp.ask("STARTTLS")
    smtp.rest = b""
    smtp.start_tls(client_context(version), server_hostname="mx.example.test")
    smtp.ask(f"EHLO {HELO}")
    mail(smtp)
    leave(smtp)


def wrong_name(host, port):
    """Asks for a name that the certificate hasn't; goes on all the same."""
    starttls(host, port)


def distrusts(host, port):
    """Refuses the certificate: an alert, unknown CA."""
    smtp = hello(host, port)
    smtp.ask("STARTTLS")
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        smtp.start_tls(context, server_hostname="mx.example.test")
    except ssl.SSLError:
        pass
    smtp.close()


def injects(host, port):
    """A command behind STARTTLS in the same segment, before the TLS (CVE-2011-0411)."""
    smtp = hello(host, port)
    smtp.send("STARTTLS", "RSET")
    smtp.reply()
    smtp.start_tls(client_context(ssl.TLSVersion.TLSv1_2), server_hostname="mx.example.test")
    smtp.ask(f"EHLO {HELO}")
    leave(smtp)


def clear_again(host, port):
    smtp = hello(host, port)
    smtp.ask("STARTTLS")
    smtp.start_tls(client_context(ssl.TLSVersion.TLSv1_2), server_hostname="mx.example.test")
    smtp.ask(f"EHLO {HELO}")
    smtp.end_tls()
    smtp.ask("NOOP clear text again")
    leave(smtp)


def hangs_up(host, port):
    """Ends the TLS and the connection, without QUIT: Exim says farewell in clear text."""
    smtp = hello(host, port)
    smtp.ask("STARTTLS")
    smtp.start_tls(client_context(ssl.TLSVersion.TLSv1_2), server_hostname="mx.example.test")
    smtp.ask(f"EHLO {HELO}")
    smtp.sock.setblocking(False)
    try:
        smtp.end_tls()
    except ssl.SSLWantReadError:
        smtp.sock.settimeout(10)
    smtp.close()


def pipelined(host, port):
    """Several recipients at once, two of them refused; then the message and QUIT in one segment."""
    smtp = hello(host, port)
    recipients = ["alice", "nobody", "bob", "mallory"]
    smtp.send("MAIL FROM:<carol@sender.test>", *[f"RCPT TO:<{name}@mx.example.test>" for name in recipients], "DATA")
    for _ in range(len(recipients) + 2):
        smtp.reply()
    smtp.send(MESSAGE.encode(), ".", "QUIT")
    smtp.reply()
    smtp.reply()
    smtp.close()


def chunks(host, port):
    """BDAT: two chunks, with lines that would be commands or an end in DATA."""
    smtp = hello(host, port)
    smtp.ask("MAIL FROM:<carol@sender.test>")
    smtp.ask("RCPT TO:<alice@mx.example.test>")
    first, last = MESSAGE.encode(), b"QUIT\r\n.\r\nSTARTTLS\r\n"
    smtp.send(f"BDAT {len(first)}", first)
    smtp.reply()
    smtp.send(f"BDAT {len(last)} LAST", last)
    smtp.reply()
    leave(smtp)


def auth(host, port):
    """AUTH LOGIN with a wrong password, LOGIN, and in a second session PLAIN with an initial response."""
    for mechanism, password in (("login", "wrong"), ("login", "secret"), ("plain", "secret")):
        smtp = smtplib.SMTP(host, port, HELO)
        smtp.ehlo()
        smtp.user, smtp.password = "carol", password
        try:
            if mechanism == "login":
                smtp.auth("LOGIN", smtp.auth_login, initial_response_ok=False)
            else:
                smtp.auth("PLAIN", smtp.auth_plain)
            smtp.sendmail("carol@sender.test", ["alice@mx.example.test"], MESSAGE)
        except smtplib.SMTPAuthenticationError:
            pass
        smtp.quit()


def greylisted(host, port):
    smtp = hello(host, port)
    smtp.ask("MAIL FROM:<carol@sender.test>")
    smtp.ask("RCPT TO:<grey@mx.example.test>")
    leave(smtp)


def bare_lf(host, port):
    """Line ends without CR, and an end of data that some servers take for one (SMTP smuggling)."""
    smtp = hello(host, port)
    smtp.ask("MAIL FROM:<carol@sender.test>")
    smtp.ask("RCPT TO:<alice@mx.example.test>")
    smtp.ask("DATA")
    smtp.send(b"Subject: bare line feeds\n\none line\nanother\n.\r\nMAIL FROM:<smuggled@sender.test>\r\n.\r\n")
    smtp.send(b"NOOP\n")
    smtp.send("QUIT")
    smtp.until("221")
    smtp.close()


def escapes(host, port):
    """What must not reach a terminal: escape sequences, control and bidi characters; and UTF-8, which may."""
    smtp = hello(host, port)
    text = "Subject: \u20ac 100, Gr\u00fc\u00dfe, \U0001f4e7\r\n\r\nred \x1b[31malert\x1b[0m, clear \x1b[2J, title \x1b]0;owned\x07\r\n" \
        "back\x08space, bidi \u202egnp.exe\u202c, zero\u200bwidth, C1 \u009b31m\r\n".encode()
    mail(smtp, text + b"latin-1 caf\xe9, bare\rreturn, tab\there\r\n")
    leave(smtp)


def letters(host, port):
    """As typed in telnet without line mode."""
    smtp = connect(host, port)
    smtp.reply()
    for letter in b"HELO client.sender.test\r\n":
        smtp.send(bytes([letter]))
        time.sleep(0.002)
    smtp.reply()
    smtp.send(b"NOO")
    time.sleep(0.05)
    smtp.send(b"P\r\n")
    smtp.reply()
    leave(smtp)


def silent(host, port):
    """Says nothing more until the server's patience ends."""
    smtp = hello(host, port)
    smtp.reply()
    smtp.close()


def resets(host, port):
    """Ends in the middle of a message, by RST."""
    smtp = hello(host, port)
    smtp.ask("MAIL FROM:<carol@sender.test>")
    smtp.ask("RCPT TO:<alice@mx.example.test>")
    smtp.ask("DATA")
    smtp.send(b"Subject: never finished\r\n\r\nthis message has no end")
    time.sleep(0.1)
    smtp.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    smtp.sock.close()


def proxied(host, port):
    """Through a load balancer that says in front for whom it speaks."""
    smtp = connect(host, port)
    smtp.send("PROXY TCP4 192.0.2.7 10.77.2.1 40000 2505")
    smtp.reply()
    smtp.ask(f"EHLO {HELO}")
    mail(smtp)
    leave(smtp)


def long_mail(host, port):
    """Twelve thousand bytes, each line with its number: what is missing can be told."""
    smtp = hello(host, port)
    lines = "".join(f"line {number:04} {'.' * 28}{number:08}\r\n" for number in range(240))
    mail(smtp, f"Subject: twelve thousand bytes\r\n\r\n{lines}")
    leave(smtp)


def reads_early(host, port):
    """Speaks before the greeting."""
    smtp = connect(host, port)
    smtp.send(f"EHLO {HELO}", "QUIT")
    smtp.reply()
    smtp.reply()
    smtp.reply()
    smtp.close()


def lmtp(host, port):
    """One reply for each recipient after the dot."""
    session = smtplib.LMTP(host, port, HELO)
    session.sendmail("carol@sender.test", ["alice", "bob"], MESSAGE)
    session.quit()


def pop3(host, port):
    session = poplib.POP3(host, port)
    session.user("alice")
    session.pass_("secret")
    session.list()
    session.retr(1)
    session.quit()


def pop3_stls(host, port):
    session = poplib.POP3(host, port)
    session.stls(client_context())
    session.user("alice")
    session.pass_("secret")
    session.stat()
    session.quit()


def imap(host, port):
    """LOGIN with quoted words and with literals, a refusal, a fetch."""
    session = imaplib.IMAP4(host, port)
    try:
        session.login("alice", "wrong")
    except imaplib.IMAP4.error:
        pass
    session.logout()
    session = connect(host, port)
    session.line()
    session.send("a1 LOGIN {5}")
    session.line()
    session.send("alice {6+}", b"secret\r\n")
    session.until("a1 ")
    session.send("a2 SELECT INBOX")
    session.until("a2 ")
    session.send("a3 FETCH 1 BODY[]")
    session.until("a3 ")
    session.send("a4 LOGOUT")
    session.until("a4 ")
    session.close()


def imap_starttls(host, port):
    session = imaplib.IMAP4(host, port)
    session.starttls(client_context())
    session.login("alice", "secret")
    session.select("INBOX")
    session.logout()


def imaps(host, port):
    session = imaplib.IMAP4_SSL(host, port, ssl_context=client_context())
    session.login("alice", "secret")
    session.logout()


def sieve(host, port):
    session = connect(host, port)
    session.until("OK")
    session.send("STARTTLS")
    session.until("OK")
    session.start_tls(client_context(), server_hostname="mx.example.test")
    session.until("OK")
    session.send("LOGOUT")
    session.until("OK")
    session.close()


def refused(host, port):
    """Nobody listens."""
    try:
        socket.create_connection((host, port), 5)
    except ConnectionRefusedError:
        pass


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
