#!/usr/bin/env python3
"""One server per way to misbehave, on loopback ports of the system's choice.

usage: fault_server.py FOLDER     (holds the PEM files that tests/support/certs.c made; unix sockets are made there)

Prints one line "NAME PORT" per server, then "ready", and serves until its standard input is closed. Standard library only.
"""
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

FOLDER = sys.argv[1]
HELD = []  # sockets that must stay open


def read_request(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = conn.recv(65536)
        if not chunk:
            return data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += conn.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(conn, status, body=b"", headers=()):
    lines = ["HTTP/1.1 %s" % status, "Content-Length: %d" % len(body), "Connection: close", *headers]
    conn.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def ok(conn):
    request = read_request(conn)
    if request:
        answer(conn, "200 OK", b'{"database":"ok","n":3,"on":true,"none":null,"list":[1,{"a/b":"x"}]}', ["Content-Type: application/json", "X-Empty:"])


def echo(conn):
    head, _, body = read_request(conn).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, path = lines[0].split(" ")[:2]
    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:]}
    text = json.dumps({"method": method, "path": path, "headers": headers, "body": body.decode("latin-1")}).encode()
    answer(conn, "200 OK", b"" if method == "HEAD" else text)


def status_page(conn):
    """/CODE answers with that status."""
    path = read_request(conn).split(b" ")[1].decode()
    answer(conn, path[1:] + " Whatever", b"body of " + path.encode())


METRICS = b"""# HELP peaktrade_ai_runs_total Runs.
# TYPE peaktrade_ai_runs_total counter
peaktrade_ai_runs_total{layer="L1"} 3
# TYPE shadow_mvs_up gauge
shadow_mvs_up 1
"""


def metrics(conn):
    read_request(conn)
    answer(conn, "200 OK", METRICS, ["Content-Type: text/plain; version=0.0.4"])


def metrics_error(conn):
    """A proxy's error page that names the metric, with the wrong status."""
    read_request(conn)
    answer(conn, "200 OK", b"<html><body>upstream of peaktrade_ai_runs_total 502</body></html>")


def lags(conn):
    read_request(conn)
    time.sleep(0.1)
    answer(conn, "200 OK", b"late")


def redirect(conn):
    """/CODE/URL leads to URL; /loop leads to itself."""
    path = read_request(conn).split(b" ")[1].decode()
    if path == "/loop":
        answer(conn, "302 Found", headers=["Location: /loop"])
    elif path == "/here":
        answer(conn, "200 OK", b"arrived")
    else:
        code, target = path[1:].split("/", 1)
        answer(conn, code + " Moved", headers=["Location: " + target])


def closes(conn):
    read_request(conn)


def resets(conn):
    conn.recv(1)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hangs(conn):
    HELD.append(conn)
    time.sleep(60)


def drips(conn):
    read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        conn.sendall(b"x")
        time.sleep(0.05)


def many_headers(conn):
    read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 1000) for i in range(100)) + b"\r\n")


def long_header(conn):
    read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nX-Long: " + b"v" * 300000 + b"\r\n\r\n")


def big_body(conn):
    """Says nothing of its size."""
    read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(200):
        conn.sendall(b"x" * 16384)


def truncated(conn):
    read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")


def chunk_wrong(conn):
    read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n")


def chunk_cut(conn):
    read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")


def garbage(conn):
    read_request(conn)
    conn.sendall(b"\x00\x01\x02 this is not HTTP\r\n\r\n")


def mail(conn):
    """Two answers in one packet, then the dialogue, line by line."""
    conn.sendall(b"220 mail ready\r\n250-first\r\n250 second\r\n")
    pending = b""
    while True:
        chunk = conn.recv(1000)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\r\n")
        for line in lines:
            conn.sendall(b"221 bye\r\n" if line == b"QUIT" else b"500 what\r\n")


def flood(conn):
    while True:
        conn.sendall(b"x" * 65536)


def silent(conn):
    conn.recv(1)
    time.sleep(60)


def listen(backlog=128):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    return listener


def serve(listener, handler, context=None):
    def one(conn):
        try:
            if context:
                conn = context.wrap_socket(conn, server_side=True)
            handler(conn)
        except (OSError, ValueError, IndexError):
            pass
        finally:
            conn.close()

    def run():
        while True:
            threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()


def announce(name, listener):
    print(name, listener.getsockname()[1])


def black_hole():
    """A listener whose backlog is full: connections are neither accepted nor refused."""
    listener = listen(0)
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        HELD.append(filler)
    HELD.append(listener)
    announce("blackhole", listener)


def tls_server(name, certificate, highest=None, handler=ok):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if highest:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = highest
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(os.path.join(FOLDER, certificate))
    listener = listen()
    serve(listener, handler, context)
    announce(name, listener)


def unix_server(name, handler):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(FOLDER, name))
    listener.listen(16)
    serve(listener, handler)


def main():
    for handler in (ok, echo, status_page, metrics, metrics_error, lags, redirect, closes, resets, hangs, drips, many_headers, long_header, big_body, truncated, chunk_cut, chunk_wrong, garbage, mail, flood, silent):
        listener = listen()
        serve(listener, handler)
        announce(handler.__name__, listener)
    black_hole()
    for name in ("good", "expired", "future", "selfsigned", "otherhost"):
        tls_server("tls_" + name, name + ".pem")
    tls_server("tls_old", "good.pem", highest=ssl.TLSVersion.TLSv1_1)
    tls_server("tls_twelve", "good.pem", highest=ssl.TLSVersion.TLSv1_2)
    chain = open(os.path.join(FOLDER, "good.pem"), encoding="ascii").read() + open(os.path.join(FOLDER, "ca.pem"), encoding="ascii").read()
    with open(os.path.join(FOLDER, "chain.pem"), "w", encoding="ascii") as file:
        file.write(chain)
    tls_server("tls_chain", "chain.pem")
    tls_server("tls_mail", "good.pem", handler=mail)
    tls_server("tls_redirect", "good.pem", handler=redirect)
    unix_server("ok.sock", ok)
    unix_server("mail.sock", mail)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(os.path.join(FOLDER, "dead.sock"))
    dead.close()
    free = listen()
    announce("closed", free)
    free.close()
    print("ready", flush=True)
    sys.stdin.read()


main()
