"""Acceptance 1: without a configuration the daemon plans from where it stands, tells what it found, and is quiet on a healthy machine."""
import os
import re
import subprocess
import time
import unittest

from support import BINARY, TOP, Daemon, Repo, Scratch, enter, free_port, until

PORTABLE = True
HEALTHY = {"pyproject.toml": "[project]\nname = 'x'\n", "compose.yml": "services:\n  web: {image: nginx}\n", "data.json": '{"a": 1}\n', "README.md": "# x\n"}


class FirstRun(unittest.TestCase):
    def test_discovery_serves_and_tells(self):
        repo = enter(self, Repo(HEALTHY))
        daemon = enter(self, Daemon(root=repo.path))
        out = until(lambda: daemon.stdout() if "curl" in daemon.stdout() else None, 8, what="the banner")
        self.assertIn(f"127.0.0.1:{daemon.port}", out)
        self.assertRegex(out, r"\d+ checks? from discovery")
        self.assertRegex(out, rf"curl -s (http://)?(127\.0\.0\.1|localhost):{daemon.port}/triage")
        self.assertRegex(out, r"\d+ ok")
        # The printed line works as it stands.
        if subprocess.run(["which", "curl"], capture_output=True, check=False).returncode == 0:
            line = re.search(r"curl -s \S+", out)[0]
            done = subprocess.run(line.split(), capture_output=True, timeout=10, check=False)
            self.assertIn(b"VERDICT", done.stdout)
        status = daemon.status()
        self.assertEqual(status["root"], repo.path)
        kinds = {check["kind"] for check in status["checks"]}
        self.assertLessEqual({"host", "git", "syntax", "tool", "prometheus", "http"}, kinds)

    def test_quiet_on_a_healthy_repository(self):
        repo = enter(self, Repo(HEALTHY))
        daemon = enter(self, Daemon(root=repo.path))
        status = daemon.wait_settled(60)
        for check in status["checks"]:
            self.assertNotIn(check["state"], ("pending", "stale"), check)
            if check["state"] == "unknown":
                self.assertNotEqual(check["reason"], "none", check)
                self.assertGreater(len(check["message"]), 10, check)
            if check["kind"] != "host":  # this machine's disk may really be full
                self.assertNotEqual(check["state"], "fail", check)
        self.assertEqual(status["safety"]["state"], "none")

    def test_the_three_worst_come_first(self):
        files = HEALTHY | {"broken.json": '{"a": 1,}\n', "broken.toml": "a = \n"}
        repo = enter(self, Repo(files))
        daemon = enter(self, Daemon(root=repo.path))
        daemon.wait_settled(30)
        out = until(lambda: daemon.stdout() if "curl" in daemon.stdout() else None, 8, what="the banner")
        self.assertIn("configs", out, "the failing check is not among the findings")
        self.assertIn("2 of", daemon.check("configs")["message"])

    def test_outside_a_repository(self):
        place = enter(self, Scratch())
        daemon = enter(self, Daemon(root=place.path))
        status = daemon.wait_settled(30)
        self.assertFalse([check for check in status["checks"] if check["kind"] != "host" and check["state"] == "fail"], status)
        self.assertEqual(os.listdir(place.path), [], "it wrote into the folder that it watches")

    @unittest.skipUnless(os.path.realpath(BINARY) == os.path.join(TOP, "build", "runbookd"), "only with the program that ./dev builds")
    def test_dev_run(self):
        repo = enter(self, Repo(HEALTHY))
        state = enter(self, Scratch())
        port = free_port()
        started = time.monotonic()
        with open(state.join("log"), "wb") as log:
            process = subprocess.Popen([os.path.join(TOP, "dev"), "run", "--listen", f"127.0.0.1:{port}", "--state-dir", state.join("state")], cwd=repo.path,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        text = until(lambda: state.read("log").decode() if b"curl" in state.read("log") else None, 60, what="the curl line of ./dev run")
        self.assertIn(f"127.0.0.1:{port}", text)
        self.assertLess(time.monotonic() - started, 60)
