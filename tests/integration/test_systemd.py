"""Acceptance 12: the shipped units in a real booted systemd: ready only after the first configuration, reload, watchdog restart, a clean end; verify is silent."""
import os
import time
import unittest

from support import BINARY, TOP, Scratch, until
import booted_systemd

TIMEOUT = 200
UNIT = os.path.join(TOP, "systemd", "runbookd.service")
USER_UNIT = os.path.join(TOP, "systemd", "runbookd-user.service")
GOOD = "daemon: {root: /}\nchecks:\n  - {name: machine, kind: host, every: 1s}\n"
# The watchdog and stop times of the shipped unit, only shorter.
FASTER = "[Service]\nWatchdogSec=3\nTimeoutStopSec=3\nRestartSec=100ms\n"


class Systemd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        why = booted_systemd.missing()
        if why:
            raise unittest.SkipTest(why)
        cls.place = Scratch()
        cls.addClassCleanup(cls.place.__exit__)
        os.chmod(cls.place.path, 0o755)
        binds = {"/usr/bin/runbookd": os.path.realpath(BINARY), "/etc/systemd/system/runbookd.service": UNIT, "/etc/systemd/user/runbookd.service": USER_UNIT,
                 "/etc/systemd/system/runbookd.service.d/faster.conf": cls.place.write("faster.conf", FASTER)}
        cls.booted = booted_systemd.Booted(binds)
        cls.booted.__enter__()
        cls.addClassCleanup(cls.booted.__exit__)
        cls.inside("useradd", "--system", "--no-create-home", "runbookd")
        cls.inside("mkdir", "-p", "/etc/runbookd", "/root/.local/bin")
        cls.inside("cp", "/usr/bin/runbookd", "/root/.local/bin/runbookd")

    @classmethod
    def inside(cls, *args):
        done = cls.booted.run(*args)
        if done.returncode != 0:
            raise AssertionError(f"{args}: {done.stdout}{done.stderr}\n{cls.journal()}")
        return done.stdout

    @classmethod
    def journal(cls):
        return cls.booted.run("journalctl", "-u", "runbookd", "--no-pager", "-n", "30").stdout

    def configure(self, text):
        self.inside("sh", "-c", 'printf "%s" "$1" > /etc/runbookd/runbookd.yml; chmod 644 /etc/runbookd/runbookd.yml', "sh", text)

    def setUp(self):
        self.booted.run("systemctl", "stop", "runbookd")
        self.booted.run("systemctl", "reset-failed", "runbookd")
        self.configure(GOOD)

    def show(self, name):
        return self.booted.show("runbookd", name)

    def ask(self, path):
        return self.inside("curl", "-s", "--max-time", "5", "-H", "Accept: text/plain", f"http://127.0.0.1:9112{path}")

    def test_verify_is_silent(self):
        for args in (["/etc/systemd/system/runbookd.service"], ["--user", "/etc/systemd/user/runbookd.service"]):
            done = self.booted.run("env", "HOME=/root", "XDG_RUNTIME_DIR=/run", "systemd-analyze", "verify", "--recursive-errors=yes", *args)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""), args)

    def test_starts_and_is_ready_when_it_serves(self):
        self.inside("systemctl", "start", "runbookd")
        self.assertEqual((self.show("ActiveState"), self.show("Type")), ("active", "notify"))
        self.assertEqual(self.show("StatusText"), "1 checks")
        self.assertIn("runbookd_check_state", self.ask("/metrics"))  # at once: start returned only when it served
        self.assertEqual(self.inside("stat", "-c", "%U %a", "/var/lib/runbookd").strip(), "runbookd 700")
        until(lambda: "1 ok" in self.ask("/status") or '"ok":1' in self.ask("/status").replace(" ", ""), 10, what="the check is ok under the unit's hardening")
        self.inside("systemctl", "stop", "runbookd")
        self.assertEqual((self.show("ActiveState"), self.show("Result"), self.show("ExecMainStatus")), ("inactive", "success", "0"), self.journal())

    def test_a_bad_configuration_is_never_ready(self):
        self.configure("checks: [{name: a, kind: nope}]\n")
        self.assertNotEqual(self.booted.run("systemctl", "start", "runbookd").returncode, 0)
        self.assertEqual(self.show("ActiveEnterTimestampMonotonic") if self.show("NRestarts") == "0" else "0", "0")
        self.assertEqual(self.show("ExecMainStatus"), "78")
        self.assertIn("runbookd.yml:1:", self.journal())

    def test_reload(self):
        self.inside("systemctl", "start", "runbookd")
        pid = self.show("MainPID")
        self.configure(GOOD + "  - {name: second, kind: host, every: 1s}\n")
        self.inside("systemctl", "reload", "runbookd")
        until(lambda: "second" in self.ask("/status"), 5, what="the new check")
        self.assertEqual(self.show("MainPID"), pid)

    def test_a_hang_leads_to_a_watchdog_restart(self):
        with open(UNIT, encoding="utf-8") as file:
            self.assertIn("\nWatchdogSec=", file.read())
        self.inside("systemctl", "start", "runbookd")
        until(lambda: "ok" in self.ask("/status"), 5)
        pid, restarts = self.show("MainPID"), int(self.show("NRestarts"))
        time.sleep(4)
        self.assertEqual(self.show("MainPID"), pid, "the watchdog bit a healthy daemon")
        self.inside("kill", "-STOP", pid)
        until(lambda: int(self.show("NRestarts")) > restarts and self.show("ActiveState") == "active", 20, 0.2, "a restart")
        self.assertNotEqual(self.show("MainPID"), pid)
        self.assertIn("watchdog", self.journal().lower())
        self.assertIn("runbookd_check_state", self.ask("/metrics"))
