"""Everything is gone at once: no engine (missing, hanging, forbidden), no Prometheus, no names, a full and unwritable state folder, an unreadable repository. Whoever asks is
answered in time, is told what could not be seen and never that all is well; when things come back, so does the daemon, without a restart."""
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

from support import BINARY, TOP, Daemon, HttpFixture, Repo, Scratch, enter, free_port, needs_linux, needs_mounts, needs_root, until
from test_docker import FakeEngine, UnixServer

ALONE = True
TIMEOUT = 240
NOBODY = 65534
DEADLINE_S = 2
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
CONFIG = """
defaults: {{every: 1s, timeout: 1s}}
checks:
  - {{name: safe, kind: keys, phase: safety, rules: [{{files: [safe.toml], key: live.enabled, equals: false}}]}}
  - {{name: engine-gone, kind: docker, socket: {place}/gone.sock}}
  - {{name: engine-hangs, kind: docker, socket: {place}/hangs.sock, timeout: 5s}}
  - {{name: engine-closed, kind: docker, socket: {place}/closed.sock}}
  - {{name: prom, kind: prometheus, url: "http://127.0.0.1:{prom}"}}
  - {{name: named, kind: http, url: "http://shop.example.org:{web}/"}}
  - {{name: repo, kind: git, branch: main}}
  - {{name: files, kind: path, exist: [safe.toml]}}
  - {{name: disk, kind: host, disk: {{path: {state}, fail_below: 10%}}}}
  - {{name: web, kind: http, url: "http://127.0.0.1:{web}/"}}
"""
TARGET = {"discoveredLabels": {}, "labels": {"job": "shop", "instance": "s"}, "scrapePool": "shop", "scrapeUrl": "http://127.0.0.1:1/metrics", "globalUrl": "http://127.0.0.1:1/metrics",
          "lastError": "", "lastScrape": "2026-01-01T00:00:00Z", "lastScrapeDuration": 0.01, "health": "up", "scrapeInterval": "15s", "scrapeTimeout": "10s"}
PROMETHEUS = json.dumps({"status": "success", "data": {"activeTargets": [TARGET], "droppedTargets": [], "alerts": [], "groups": [], "version": "2.42.0"}}).encode()
# What an operator has to find by its name, wherever the report puts it; `web` alone is up all the time.
DOWN = ("safe", "engine-gone", "engine-hangs", "engine-closed", "prom", "named", "repo", "files", "disk")


class Names:
    """A name server on a loopback address of its own: every name is this machine, while `answers`."""

    def __enter__(self):
        self.answers, self.socket = True, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for last in range(2, 250):
            self.address = f"127.78.{os.getpid() % 250}.{last}"
            try:
                self.socket.bind((self.address, 53))
                break
            except OSError:
                continue
        else:
            raise unittest.SkipTest("no loopback address lets a name server listen on port 53")
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def serve(self):
        while True:
            question, peer = self.socket.recvfrom(4096)
            if not question:
                return
            end = question.index(b"\0", 12) + 5
            wants_v4 = question[end - 4:end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if wants_v4 else b""
            if self.answers:
                self.socket.sendto(question[:2] + b"\x81\x80\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0" + question[12:end] + answer, peer)

    def __exit__(self, *_):
        self.socket.sendto(b"", (self.address, 53))
        self.thread.join(5)
        self.socket.close()


class Unprivileged(Daemon):
    """Runs as a user who owns nothing but the state folder."""

    def start(self, ready=True):
        os.chmod(self.scratch.path, 0o755)
        os.chown(self.config, NOBODY, NOBODY)
        super().start(ready)


class Stack:
    """All that the daemon looks at."""

    def __init__(self, test):
        self.test, self.place, self.repo = test, enter(test, Scratch("rbd-")), enter(test, Repo({"safe.toml": "[live]\nenabled = false\n"}))
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", self.repo.path], check=True)
        os.chmod(self.place.path, 0o755)
        os.mkdir(self.place.join("state"))
        self.names, self.web = enter(test, Names()), enter(test, HttpFixture())
        self.place.write("resolv.conf", f"nameserver {self.names.address}\noptions timeout:1 attempts:1\n")
        shutil.copy(BINARY, self.place.join("runbookd"))
        self.prom_port, self.sockets, self.prom = free_port(), {}, None
        FakeEngine.containers, FakeEngine.details = [], {}
        self.up()

    def engine(self, name, mode=0o666):
        path = self.place.join(name + ".sock")
        if os.path.exists(path):
            os.unlink(path)
        server = UnixServer(path, FakeEngine)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.chmod(path, mode)
        self.sockets[name] = server

    def stop_engine(self, name):
        server = self.sockets.pop(name)
        server.shutdown()
        server.server_close()

    def up(self):
        for name in ("gone", "hangs", "closed"):
            self.engine(name)
        self.prom = HttpFixture(port=self.prom_port, body=lambda _: PROMETHEUS)
        self.names.answers = True
        os.chmod(self.repo.path, 0o755)

    def down(self):
        self.prom.close()
        self.names.answers = False
        self.stop_engine("gone")
        os.unlink(self.place.join("gone.sock"))
        self.stop_engine("hangs")
        os.unlink(self.place.join("hangs.sock"))
        self.hanging = socket.socket(socket.AF_UNIX)
        self.hanging.bind(self.place.join("hangs.sock"))
        self.hanging.listen(64)  # takes connections and never says a word
        os.chmod(self.place.join("hangs.sock"), 0o666)
        os.chmod(self.place.join("closed.sock"), 0o600)
        os.chmod(self.repo.path, 0)

    def back(self):
        self.hanging.close()
        self.stop_engine("closed")
        os.unlink(self.place.join("hangs.sock"))
        self.up()

    def close(self):
        for name in list(self.sockets):
            self.stop_engine(name)
        self.prom.close()


@needs_linux
@needs_root
class EverythingDown(unittest.TestCase):
    def start(self):
        if not shutil.which("setpriv"):
            self.skipTest("needs setpriv(1)")
        needs_mounts()
        stack = Stack(self)
        self.addCleanup(stack.close)
        state = stack.place.join("state")
        own = f'mount -t tmpfs -o size=512k,mode=0700,uid={NOBODY},gid={NOBODY} tmpfs "$0" && exec "$@"'
        prefix = ("unshare", "-m", "--propagation", "private", sys.executable, os.path.join(TOP, "tests", "support", "hostile_machine.py"),
                  "--resolv", stack.place.join("resolv.conf"), "--", "/bin/sh", "-c", own, state, *AS_NOBODY)
        config = CONFIG.format(place=stack.place.path, state=state, prom=stack.prom_port, web=stack.web.port)
        daemon = enter(self, Unprivileged(config, root=stack.repo.path, state_dir=state, prefix=prefix, binary=stack.place.join("runbookd")))
        self.inside = f"/proc/{daemon.process.pid}/root{state}"
        daemon.state_dir = self.inside  # as we see it
        return stack, daemon

    def fill(self):
        try:
            with open(os.path.join(self.inside, "fill"), "wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 4096)
        except OSError:
            pass

    def wait_healthy(self, daemon, what):
        try:
            until(lambda: daemon.json("/triage?max_age=1")["verdict"] == "healthy", 40, 0.5, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{daemon.text('/triage')}") from None

    def all_came_down(self, daemon):
        """Each is told as bad, with its own reason."""
        checks = {check["name"]: check for check in daemon.status()["checks"]}
        return all(checks[name]["state"] in ("fail", "unknown", "stale") for name in DOWN) and checks

    def asks_in_time(self, daemon):
        took = []
        for _ in range(4):
            time.sleep(1.05)
            answer = daemon.get(f"/triage?max_age=1&deadline={DEADLINE_S}s", accept="application/json")
            self.assertEqual(200, answer.status)
            took.append(answer.seconds)
        print(f"NOTE /triage with everything down: {', '.join(f'{one:.3f}' for one in took)} s; its deadline is {DEADLINE_S} s", file=sys.stderr)
        self.assertLess(min(took), DEADLINE_S + 0.1)
        self.assertLess(max(took), DEADLINE_S + 1)
        return answer

    def tells_what_it_could_not_know(self, daemon):
        answer = self.asks_in_time(daemon)
        report, told = answer.json(), answer.text
        self.assertNotEqual("healthy", report["verdict"])
        for name in DOWN:
            self.assertRegex(told, rf"(?<![\w./-]){name}(?![\w./-])", f"{name} is told nowhere")
        unseen = " ".join(report["observer"])
        self.assertIn("engine-closed", unseen, "what may not be seen is the observer's fault")
        self.assertRegex(unseen, r"repo is unknown \(unreadable\): cannot look into \S+: Permission denied")
        for cause in report["causes"]:
            self.assertNotIn("engine-closed", [cause["check"], *[one["check"] for one in cause["explains"]]], "a socket that we may not open is nobody's cause")
            self.assertNotEqual("web", cause["check"])
        text = daemon.text(f"/triage?max_age=1&deadline={DEADLINE_S}s")
        self.assertNotRegex(text, r"(?m)^VERDICT  healthy")
        self.assertIn("NOT SEEN", text)
        self.assertNotIn("SAFETY   OK", text)
        lines = text.splitlines()
        self.assertLessEqual(len(lines), 60)
        self.assertLessEqual(max(map(len, lines)), 100)
        german = daemon.text("/triage?fresh=0&lang=de")
        self.assertIn("NICHT BEOBACHTET", german)

    def others_answer(self, daemon):
        for path in ("/metrics", "/status", "/"):
            answer = daemon.get(path)
            self.assertEqual(200, answer.status, path)
            self.assertLess(answer.seconds, 1, path)
        self.assertEqual(0, daemon.metric("runbookd_check_success", check="safe"))
        self.assertEqual(1, daemon.metric("runbookd_check_success", check="web"))
        self.assertNotEqual("held", daemon.status()["safety"]["state"])

    def alone_it_works_too(self, stack, daemon):
        """`runbookd triage` with no daemon behind it, nowhere to write, as the same user in the same misery."""
        os.mkdir(stack.place.join("alone"))
        command = ["nsenter", "-t", str(daemon.process.pid), "-m", *AS_NOBODY, daemon.binary, "--root", stack.repo.path, "--state-dir", stack.place.join("alone"),
                   "--config", daemon.config, "triage"]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/", env=daemon.environment())
        took = time.monotonic() - started
        self.assertIn(done.returncode, (1, 2), done.stdout + done.stderr)
        self.assertLess(took, 5 + 10, "the longest timeout is 5 s")
        self.assertIn("VERDICT", done.stdout)
        self.assertNotRegex(done.stdout, r"(?m)^VERDICT  healthy")
        self.assertIn("engine-closed", done.stdout)
        self.assertNotIn("VERDICT", done.stdout.splitlines()[0], "the first line tells that no daemon was asked")

    def is_not_stored(self, daemon, token):
        answer = daemon.get("/triage", accept="text/plain", method="POST", headers={"Authorization": "Bearer " + token}, timeout=15)
        self.assertEqual(200, answer.status, answer.text)
        self.assertIn("NOT STORED", answer.text)

    def test_it_answers_and_comes_back(self):
        stack, daemon = self.start()
        self.wait_healthy(daemon, "a healthy stack")
        token = daemon.token()
        stack.down()
        self.fill()
        until(lambda: self.all_came_down(daemon), 20, what="everything down")
        self.is_not_stored(daemon, token)
        os.chmod(self.inside, 0)  # full, and now unwritable as well
        self.tells_what_it_could_not_know(daemon)
        self.others_answer(daemon)
        self.is_not_stored(daemon, token)
        self.alone_it_works_too(stack, daemon)
        self.assertEqual(daemon.zombies(), [])
        self.assertIsNone(daemon.process.poll())
        self.assertLess(len(daemon.stderr()), 64 << 10, "a bounded log")
        os.chmod(self.inside, 0o700)
        os.unlink(os.path.join(self.inside, "fill"))
        stack.back()
        self.wait_healthy(daemon, "a healthy stack again, without a restart")
        until(lambda: glob.glob(daemon.state_folder() + "/incidents/*/incident.json"), 40, what="the incidents that could not be written, on disk")
        self.assertEqual(2, len(daemon.json("/api/v1/incidents")["incidents"]))
        self.assertEqual(daemon.zombies(), [])
        answer = daemon.post("/triage")
        self.assertEqual(200, answer.status)
        self.assertNotIn("NOT STORED", answer.text)


if __name__ == "__main__":
    unittest.main()
