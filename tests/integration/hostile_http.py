#!/usr/bin/env python3
"""Hostile HTTP requests over raw sockets against a running runbookd: each must get its status, and the daemon must stay healthy.

Usage: hostile_http.py HOST PORT [TOKEN]. Standard library only. Exit 0: all as expected."""
import socket
import sys
import time

HOST, PORT = sys.argv[1], int(sys.argv[2])
TOKEN = sys.argv[3] if len(sys.argv) > 3 else None
AUTH = f"Authorization: Bearer {TOKEN}\r\n" if TOKEN else ""
CLOSED = 0  # closed without an answer


def connect(timeout=15):
    sock = socket.create_connection((HOST, PORT), timeout)
    sock.settimeout(timeout)
    return sock


def read_all(sock):
    data = b""
    try:
        while True:
            got = sock.recv(65536)
            if not got:
                break
            data += got
    except (ConnectionResetError, BrokenPipeError, socket.timeout):
        pass
    return data


def status_of(data):
    if not data.startswith(b"HTTP/1."):
        return CLOSED
    return int(data.split(b" ", 2)[1])


def ask(request):
    if isinstance(request, str):
        request = request.encode("latin-1")
    with connect() as sock:
        try:
            sock.sendall(request)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return read_all(sock)


def req(line, headers="", host="localhost", body=""):
    host_line = f"Host: {host}\r\n" if host is not None else ""
    return f"{line}\r\n{host_line}Connection: close\r\n{headers}\r\n{body}"


CASES = [
    # Host
    ("no Host", req("GET /metrics HTTP/1.1", host=None), {400}),
    ("no Host, HTTP/1.0", req("GET /metrics HTTP/1.0", host=None), {400}),
    ("two Hosts", req("GET /metrics HTTP/1.1", "Host: localhost\r\n"), {400}),
    ("two different Hosts", req("GET /metrics HTTP/1.1", "Host: evil.example\r\n"), {400}),
    ("foreign Host (rebinding)", req("GET /status HTTP/1.1", host="evil.example"), {403, 421}),
    ("foreign Host with our port", req("GET /status HTTP/1.1", host=f"evil.example:{PORT}"), {403, 421}),
    ("Host with a prefix of ours", req("GET /status HTTP/1.1", host="localhost.evil.example"), {403, 421}),
    ("Host with user info", req("GET /status HTTP/1.1", host="localhost@evil.example"), {400, 403, 421}),
    ("empty Host", req("GET /status HTTP/1.1", host=""), {400, 403, 421}),
    ("Host with a NUL", req("GET /-/healthy HTTP/1.1", host="localhost\0evil"), {400}),
    ("space before the colon", req("GET /metrics HTTP/1.1", "Transfer-Encoding : chunked\r\n"), {400}),
    ("500 parameters", req("GET /metrics?" + "&".join(["a=1"] * 500) + " HTTP/1.1"), {400}),
    ("foreign Host with a NUL", req("GET /status HTTP/1.1", host="evil\0localhost"), {400, 403, 421, CLOSED}),
    ("Host with a bad port", req("GET /status HTTP/1.1", host="localhost:99x"), {400, 403, 421}),
    # target
    ("absolute URI", req("GET http://localhost/metrics HTTP/1.1"), {400}),
    ("absolute foreign URI", req("GET http://evil.example/metrics HTTP/1.1"), {400}),
    ("authority form", req("CONNECT localhost:22 HTTP/1.1"), {400, 405}),
    ("asterisk form", req("OPTIONS * HTTP/1.1"), {400, 405}),
    ("dot dot", req("GET /../etc/passwd HTTP/1.1"), {400}),
    ("dot dot inside", req("GET /api/v1/checks/../../../status HTTP/1.1"), {400}),
    ("encoded dot dot", req("GET /%2e%2e/status HTTP/1.1"), {400, 404}),
    ("encoded slash", req("GET /api%2fv1%2fchecks HTTP/1.1"), {400, 404}),
    ("encoded NUL", req("GET /metrics%00.html HTTP/1.1"), {400}),
    ("raw NUL", req("GET /metrics\0.html HTTP/1.1"), {400}),
    ("raw control byte", req("GET /metrics\x01 HTTP/1.1"), {400}),
    ("raw non-ASCII byte", req("GET /metrics\xff HTTP/1.1"), {400, 404}),
    ("broken percent", req("GET /%zz HTTP/1.1"), {400}),
    ("backslash", req("GET /\\status HTTP/1.1"), {400, 404}),
    ("double slash", req("GET //metrics HTTP/1.1"), {400, 404}),
    ("fragment", req("GET /metrics#x HTTP/1.1"), {400, 404}),
    ("very long target", req("GET /" + "a" * 5000 + " HTTP/1.1"), {414}),
    ("target beyond all memory", req("GET /" + "a" * 200000 + " HTTP/1.1"), {414, 431, CLOSED}),
    ("space in target", req("GET /metrics x HTTP/1.1"), {400, CLOSED}),
    ("unknown path", req("GET /admin HTTP/1.1"), {404}),
    # framing
    ("Transfer-Encoding", req("POST /-/reload HTTP/1.1", "Transfer-Encoding: chunked\r\n", body="0\r\n\r\n"), {400, 411, 501}),
    ("TE and CL", req("POST /-/reload HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", body="0\r\n\r\n"), {400}),
    ("obfuscated TE", req("POST /-/reload HTTP/1.1", "Transfer-Encoding: xchunked\r\n"), {400, 411, 501}),
    ("two Content-Lengths", req("POST /-/reload HTTP/1.1", "Content-Length: 0\r\nContent-Length: 5\r\n", body="12345"), {400}),
    ("two equal Content-Lengths", req("POST /-/reload HTTP/1.1", "Content-Length: 0\r\nContent-Length: 0\r\n"), {400}),
    ("negative Content-Length", req("POST /-/reload HTTP/1.1", "Content-Length: -1\r\n"), {400}),
    ("Content-Length with text", req("POST /-/reload HTTP/1.1", "Content-Length: 5x\r\n"), {400}),
    ("huge Content-Length", req("POST /-/reload HTTP/1.1", "Content-Length: 99999999999\r\n"), {400, 413}),
    ("Content-Length beyond 64 bits", req("POST /-/reload HTTP/1.1", "Content-Length: 99999999999999999999999\r\n"), {400, 413}),
    ("body on a TE GET", req("GET /metrics HTTP/1.1", "Transfer-Encoding: chunked\r\n", body="5\r\nhello\r\n0\r\n\r\n"), {400, 411, 501}),
    ("oversize header", req("GET /metrics HTTP/1.1", "X-Big: " + "b" * 100000 + "\r\n"), {431, 413, 400, CLOSED}),
    ("many headers", req("GET /metrics HTTP/1.1", "".join(f"X-{i}: y\r\n" for i in range(5000))), {431, 413, 400, CLOSED}),
    # method
    ("wrong method", req("DELETE /metrics HTTP/1.1"), {405}),
    ("GET of a POST route", req("GET /-/reload HTTP/1.1"), {405}),
    ("made-up method", req("FROB /status HTTP/1.1"), {405, 400, 501}),
    ("TRACE", req("TRACE /status HTTP/1.1"), {405}),
    ("lower-case method", req("get /status HTTP/1.1"), {405, 400, 501}),
    # what changes state
    ("reload without token", req("POST /-/reload HTTP/1.1", "Content-Length: 0\r\n"), {401}),
    ("reload with a wrong token", req("POST /-/reload HTTP/1.1", "Content-Length: 0\r\nAuthorization: Bearer wrong\r\n"), {401}),
    ("reload with Basic", req("POST /-/reload HTTP/1.1", "Content-Length: 0\r\nAuthorization: Basic eDp5\r\n"), {401}),
    ("two Authorization fields", req("POST /-/reload HTTP/1.1", "Content-Length: 0\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n"), {400, 401}),
    ("cross-site POST", req("POST /-/reload HTTP/1.1", AUTH + "Content-Length: 0\r\nSec-Fetch-Site: cross-site\r\n"), {403}),
    ("same-site POST", req("POST /-/reload HTTP/1.1", AUTH + "Content-Length: 0\r\nSec-Fetch-Site: same-site\r\n"), {403}),
    ("foreign Origin", req("POST /-/reload HTTP/1.1", AUTH + "Content-Length: 0\r\nOrigin: http://evil.example\r\n"), {403}),
    ("null Origin", req("POST /-/reload HTTP/1.1", AUTH + "Content-Length: 0\r\nOrigin: null\r\n"), {403}),
    # nonsense
    ("no HTTP at all", "hello\r\n\r\n", {400, 505, CLOSED}),
    ("TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n", {400, 414, 431, 505, 408, CLOSED}),
    ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405, 505, CLOSED}),
    ("HTTP/9.9", req("GET /metrics HTTP/9.9"), {400, 505, CLOSED}),
    ("header without colon", req("GET /metrics HTTP/1.1", "nonsense\r\n"), {400, 200}),
    ("folded header", req("GET /metrics HTTP/1.1", "X-A: b\r\n c\r\n"), {400, 200}),
    ("folded Host", "GET /status HTTP/1.1\r\nHost: localhost\r\n .evil.example\r\nConnection: close\r\n\r\n", {400, 403, 421}),
    ("space before colon", "GET /status HTTP/1.1\r\nHost : localhost\r\nConnection: close\r\n\r\n", {400, 403, 421}),
]
if TOKEN:
    CASES += [
        ("not JSON", req("POST /-/reload HTTP/1.1", AUTH + "Content-Length: 3\r\nContent-Type: text/plain\r\n", body="a=b"), {415}),
        ("form post", req("POST /-/reload HTTP/1.1", AUTH + "Content-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\n", body="a=b"), {415}),
        ("body over the limit", req("POST /-/reload HTTP/1.1", AUTH + "Content-Length: 1000000\r\nContent-Type: application/json\r\n"), {413}),
        ("run of an unknown check", req("POST /api/v1/checks/no-such-check/run HTTP/1.1", AUTH + "Content-Length: 0\r\n"), {404}),
    ]


def pipelined():
    """Two requests in one packet, the second one hostile: the second must be judged by itself."""
    data = ask("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n" + req("GET /status HTTP/1.1", host="evil.example"))
    return data.count(b"HTTP/1.1 "), data


def drip(seconds=14):
    """One byte a second: closed at the whole-request deadline, with 408 where possible. Returns (status, seconds)."""
    start = time.monotonic()
    with connect() as sock:
        sock.settimeout(1)
        data = b""
        for char in b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: yes\r\n":
            try:
                sock.send(bytes([char]))
                got = sock.recv(4096)
                if not got:
                    break
                data += got
            except socket.timeout:
                pass
            except OSError:
                break
            if time.monotonic() - start > seconds:
                break
        return status_of(data), time.monotonic() - start


def main():
    bad = 0
    for name, request, wanted in CASES:
        data = ask(request)
        got = status_of(data)
        problem = None
        if got not in wanted:
            problem = f"wanted {sorted(wanted)}, got {got}"
        elif b"runbookd_check_state" in data and 200 not in wanted:
            problem = "the answer holds data"
        print(f"{'FAIL' if problem else 'ok  '} {name}: {problem or got}")
        bad += problem is not None
    count, data = pipelined()
    second_refused = b" 403 " in data or b" 421 " in data
    print(f"{'ok  ' if second_refused and count == 2 else 'FAIL'} pipelined: {count} answers")
    bad += not (second_refused and count == 2)
    status, took = drip()
    slow_ok = status in (408, CLOSED) and 8 <= took <= 13
    print(f"{'ok  ' if slow_ok else 'FAIL'} one byte a second: {status} after {took:.1f} s")
    bad += not slow_ok
    alive = status_of(ask(req("GET /-/healthy HTTP/1.1")))
    print(f"{'ok  ' if alive in (200, 503) else 'FAIL'} still answers: {alive}")
    bad += alive not in (200, 503)
    print(f"{len(CASES) + 3} hostile cases, {bad} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
