"""1,000 requests for /triage at once: one round of checks, all answered, with the same report. Another site's page starts nothing, and nobody waits past the deadline."""
import http.client
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import time
import unittest

from support import BlackHole, Daemon, HttpFixture, enter, free_port, needs_linux, until

ALONE = True
PARALLEL = 1000
CONFIG = """defaults: {{every: 1h}}
checks:
  - {{name: gone-port, kind: port, port: {gone}, severity: page}}
  - {{name: gone, kind: http, url: 'http://127.0.0.1:{gone}/', depends_on: [gone-port]}}
  - {{name: web, kind: http, url: 'http://127.0.0.1:{web}/'}}
  - {{name: machine, kind: host}}
  - {{name: files, kind: path, absent: [never]}}
"""


def runs(daemon):
    return {check["name"]: check["runs"] for check in daemon.status()["checks"]}


def at_once(port, path, count, seconds=60):
    """Answers of `count` connections that all ask before any is read, as raw bytes; what is unanswered is b''."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n".encode()
    answers, selector = {}, selectors.DefaultSelector()
    for number in range(count):
        one = socket.create_connection(("127.0.0.1", port), 30)
        one.sendall(request)
        one.setblocking(False)
        answers[number] = b""
        selector.register(one, selectors.EVENT_READ, number)
    end = time.monotonic() + seconds
    while selector.get_map() and time.monotonic() < end:
        for key, _ in selector.select(1):
            try:
                data = key.fileobj.recv(1 << 16)
            except OSError:
                data = b""
            answers[key.data] += data
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
    left = list(selector.get_map().values())
    for key in left:
        key.fileobj.close()
    selector.close()
    return list(answers.values())


def steady(answer):
    """The report without what a clock says: the round and the ages in it may be a second apart."""
    body = answer.partition(b"\r\n\r\n")[2].decode()
    body = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", body)
    return re.sub(r"\b[\d.]+ (ms|s|min)\b( \d+ s\b)?", "AGE", " ".join(body.split())).replace("fresh in AGE", "fresh")


class Load(unittest.TestCase):
    def daemon(self, **options):
        web = enter(self, HttpFixture())
        daemon = enter(self, Daemon(CONFIG.format(gone=free_port(), web=web.port), **options))
        daemon.wait_settled()
        return daemon, web

    def test_a_thousand_share_one_round(self):
        daemon, web = self.daemon()
        time.sleep(5.1)  # max_age is 5 s: now every result is too old
        before, asked = runs(daemon), len(web.requests)
        answers = at_once(daemon.port, "/triage", PARALLEL)
        self.assertEqual([], [one[:80] for one in answers if not one.startswith(b"HTTP/1.1 200 ")])
        self.assertEqual({name: count + 1 for name, count in before.items()}, runs(daemon), "one round of checks")
        self.assertEqual(1, len(web.requests) - asked, "what is probed saw more than one request")
        bodies = {steady(one) for one in answers}
        self.assertEqual(1, len(bodies), "\n----\n".join(sorted(bodies)[:3]))
        report = bodies.pop()
        self.assertIn("1 cause explains 2 failing checks", report)
        self.assertIn("5 of 5 checks fresh", report)
        self.assertIn("gone-port", report)
        self.assertEqual(0, daemon.metric("runbookd_server_connections") - 1, "connections are left open")

    @needs_linux
    def test_a_starved_daemon_blames_no_client(self):
        """It shares one processor with six loops: requests lie unread for long, and are no slow clients for it."""
        if not shutil.which("taskset"):
            self.skipTest("needs taskset(1)")
        pinned = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
        daemon, _ = self.daemon(prefix=pinned)
        hogs = [subprocess.Popen([*pinned, sys.executable, "-c", "while True: pass"]) for _ in range(6)]
        try:
            for _ in range(3):
                answers = at_once(daemon.port, "/triage?max_age=1", PARALLEL)
                self.assertEqual([], [one[:80] for one in answers if not one.startswith(b"HTTP/1.1 200 ")])
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()

    def test_a_young_result_is_not_made_again(self):
        daemon, _ = self.daemon()
        daemon.text("/triage?max_age=1")
        before = runs(daemon)
        self.assertEqual([], [one[:80] for one in at_once(daemon.port, "/triage?max_age=1h", 200) if not one.startswith(b"HTTP/1.1 200 ")])
        at_once(daemon.port, "/triage?fresh=0", 200)
        self.assertEqual(before, runs(daemon))

    def test_rounds_are_a_second_apart(self):
        """Whatever max_age is asked for: a loop of requests cannot drive the checks."""
        daemon, _ = self.daemon()
        before, start = runs(daemon), time.monotonic()
        while time.monotonic() - start < 3:
            self.assertEqual(200, daemon.get("/triage?max_age=0", accept="text/plain").status)
        took = time.monotonic() - start
        most = max(count - before[name] for name, count in runs(daemon).items())
        self.assertGreaterEqual(most, 1)
        self.assertLessEqual(most, took + 1)

    def test_another_site_starts_nothing(self):
        daemon, web = self.daemon()
        time.sleep(1.1)
        before, asked = runs(daemon), len(web.requests)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://other.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"},
                        {"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example", "Sec-Fetch-Mode": "no-cors"}):
            answer = daemon.get("/triage?max_age=1", accept="text/plain", headers=headers)
            self.assertIn(answer.status, (200, 403), headers)
            self.assertNotIn("access-control-allow-origin", answer.headers)
            if "Origin" in headers or headers["Sec-Fetch-Site"] == "cross-site":
                self.assertEqual(before, runs(daemon), headers)
        self.assertEqual(asked, len(web.requests))
        self.assertEqual(403, daemon.post("/triage", headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example"}).status)
        self.assertEqual(before, runs(daemon))
        self.assertEqual([], daemon.json("/api/v1/incidents")["incidents"])
        # the page's own button, and curl
        daemon.text("/triage?max_age=1", headers={"Sec-Fetch-Site": "same-origin"})
        self.assertEqual({name: count + 1 for name, count in before.items()}, runs(daemon))


class Deadline(unittest.TestCase):
    def test_nobody_waits_past_it(self):
        """One check hangs for 20 s: every request is answered by its own deadline, and the report says what it could not know."""
        web = enter(self, HttpFixture())
        daemon = enter(self, Daemon(f"checks:\n  - {{name: hangs, kind: http, url: '{web.url}', every: 1h, timeout: 20s}}\n  - {{name: machine, kind: host, every: 1h}}\n"))
        daemon.wait_settled()
        web.delay = 15
        time.sleep(1.1)
        started = time.monotonic()
        answers = at_once(daemon.port, "/triage?deadline=1s&max_age=1", 300)
        took = time.monotonic() - started
        self.assertEqual([], [one[:80] for one in answers if not one.startswith(b"HTTP/1.1 200 ")])
        self.assertGreater(took, 0.5)
        self.assertLess(took, 3, "one second was the deadline")
        single = daemon.get("/triage?deadline=500ms&max_age=1", accept="text/plain", timeout=10)
        self.assertLess(single.seconds, 1.5)
        self.assertIn("hangs", single.text)
        self.assertRegex(single.text, r"held: hangs, \d+ s old")

    def test_those_who_leave_are_forgotten(self):
        hole = enter(self, BlackHole())
        daemon = enter(self, Daemon(f"checks:\n  - {{name: hangs, kind: http, url: 'http://127.0.0.1:{hole.port}/', every: 1h, timeout: 20s}}\n"))
        daemon.get("/status")
        for _ in range(100):
            one = socket.create_connection(("127.0.0.1", daemon.port), 5)
            one.sendall(b"GET /triage?deadline=30s HTTP/1.1\r\nHost: localhost\r\n\r\n")
            one.close()
        until(lambda: daemon.metric("runbookd_server_connections") <= 1, 10, what="the end of connections whose client left")
        try:
            daemon.get("/triage?deadline=1s", accept="text/plain")
        except http.client.HTTPException as error:
            self.fail(f"not answered: {error}")


if __name__ == "__main__":
    unittest.main()
