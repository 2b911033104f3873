"""Acceptance 11: hostile requests over raw sockets (hostile_http.py) are refused with the right status, with and without the token."""
import os
import subprocess
import sys
import unittest

from support import Daemon, enter

PORTABLE = True
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile_http.py")


class HttpGuard(unittest.TestCase):
    def run_cases(self, *extra):
        daemon = enter(self, Daemon("checks:\n  - {name: machine, kind: host, every: 1s}\n"))
        token = [daemon.token()] if extra else []
        done = subprocess.run([sys.executable, SCRIPT, "127.0.0.1", str(daemon.port), *token], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=110, check=False)
        text = done.stdout.decode("utf-8", "replace")
        wrong = [line for line in text.splitlines() if not line.startswith("ok")]
        self.assertEqual(done.returncode, 0, "\n".join(wrong))
        self.assertGreaterEqual(text.count("\nok"), 25)
        daemon.wait_state("machine", "ok")
        self.assertGreater(daemon.metric("runbookd_server_timeouts_total"), 0)

    def test_hostile_requests_without_a_token(self):
        self.run_cases()

    def test_hostile_requests_with_the_token(self):
        self.run_cases("token")
