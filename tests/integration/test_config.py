"""Acceptance 6: every error with its place in one run; a bad reload changes nothing; what a reload keeps and what it forgets."""
import re
import signal
import subprocess
import time
import unittest

from support import BINARY, Daemon, HttpFixture, Scratch, enter, free_port, until

PORTABLE = True
BAD = """\
include: [missing.yml]
checks:
  - {name: a, kind: host, depends_on: [b]}
  - {name: b, kind: host, depends_on: [a]}
  - {name: c, kind: host, evry: 5s}
  - {name: d, kind: host, every: soon}
  - {name: e, kind: host, name: f}
"""
GOOD = "checks:\n  - {name: machine, kind: host, every: 1s}\n"


def places(text):
    return {(int(line), int(column)) for line, column in re.findall(r"runbookd\.yml:(\d+):(\d+): ", text)}


class Errors(unittest.TestCase):
    def test_all_at_once_with_places_exit_78(self):
        place = enter(self, Scratch())
        place.write("runbookd.yml", BAD, 0o600)
        port = free_port()
        for args in (["serve", "--listen", f"127.0.0.1:{port}", "--state-dir", place.join("state")], ["validate"]):
            done = subprocess.run([BINARY, "--config", place.join("runbookd.yml"), *args], cwd=place.path, capture_output=True, timeout=20, check=False)
            text = done.stderr.decode() + done.stdout.decode()
            self.assertEqual(done.returncode, 78, text)
            lines = {line for line, _ in places(text)}
            self.assertLessEqual({1, 5, 6, 7}, lines, text)
            self.assertTrue(lines & {3, 4}, f"the cycle has no place:\n{text}")
            for word in ("missing.yml", "every", "soon", "name"):
                self.assertIn(word, text)
            self.assertRegex(text, "did you mean .every.")

    def test_syntax_error_is_one_with_its_place(self):
        place = enter(self, Scratch())
        place.write("runbookd.yml", "checks:\n  - {name: a, kind: host\n  - {name: b}\n", 0o600)
        done = subprocess.run([BINARY, "--config", place.join("runbookd.yml"), "validate"], capture_output=True, timeout=20, check=False)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertEqual(len(places(done.stderr.decode())), 1, done.stderr)


class Reload(unittest.TestCase):
    def reloads(self, daemon):
        return daemon.metric("runbookd_config_reloads_total")

    def test_a_bad_file_changes_nothing_and_is_told(self):
        daemon = enter(self, Daemon(GOOD))
        daemon.wait_state("machine", "ok")
        loaded = daemon.metric("runbookd_config_last_reload_success_timestamp_seconds")
        self.assertEqual(daemon.metric("runbookd_config_last_reload_successful"), 1)
        daemon.reload(BAD)
        until(lambda: daemon.metric("runbookd_config_last_reload_successful") == 0, 5, what="the metric of the refused reload")
        status = daemon.status()
        self.assertEqual([check["name"] for check in status["checks"]], ["machine"])
        self.assertIn("missing.yml", status["config"]["error"])
        self.assertRegex(status["config"]["error"], r"\d+:\d+")
        self.assertFalse(status["config"]["error"].endswith("\n"))
        self.assertEqual(daemon.metric("runbookd_config_last_reload_success_timestamp_seconds"), loaded)
        self.assertIn("missing.yml", daemon.stderr(), "the log does not tell")
        runs = daemon.check("machine")["runs"]
        until(lambda: daemon.check("machine")["runs"] > runs, 5, what="the old configuration goes on")
        daemon.reload(GOOD)
        until(lambda: daemon.metric("runbookd_config_last_reload_successful") == 1, 5, what="the metric of the mended file")
        self.assertIsNone(daemon.status()["config"]["error"])

    def test_reload_by_post(self):
        daemon = enter(self, Daemon(GOOD))
        daemon.write_config(BAD)
        answer = daemon.post("/-/reload")
        self.assertGreaterEqual(answer.status, 400, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertIn("missing.yml", answer.text)
        daemon.write_config(GOOD + "  - {name: more, kind: host}\n")
        self.assertEqual(daemon.post("/-/reload").status, 200)
        self.assertEqual({check["name"] for check in daemon.status()["checks"]}, {"machine", "more"})
        self.assertEqual(daemon.post("/-/reload", token=False).status, 401)

    def test_interval_keeps_state_url_does_not(self):
        web = enter(self, HttpFixture())
        other = enter(self, HttpFixture())
        hour = "checks:\n  - {{name: web, kind: http, url: '{}', every: {}}}\n  - {{name: machine, kind: host, every: {}}}\n"
        daemon = enter(self, Daemon(hour.format(web.url, "1h", "1h")))
        daemon.wait_settled()
        before = {check["name"]: check for check in daemon.status()["checks"]}
        daemon.reload(hour.format(web.url, "2h", "2h"))
        until(lambda: daemon.metric("runbookd_check_interval_seconds", check="web") == 7200, 5, what="the new interval")
        for name in ("web", "machine"):
            check = daemon.check(name)
            self.assertEqual((check["state"], check["since"], check["last_run"]), (before[name]["state"], before[name]["since"], before[name]["last_run"]))
        other.delay = 1.5
        runs = daemon.check("web")["runs"]
        daemon.reload(hour.format(other.url, "2h", "2h"))
        check = until(lambda: [one for one in daemon.status()["checks"] if one["name"] == "web" and one["state"] == "pending"], 5, 0.02, "the changed URL is pending")[0]
        self.assertEqual(check["runs"], runs, "counters survive")
        self.assertEqual(daemon.check("machine")["last_run"], before["machine"]["last_run"])
        self.assertEqual(daemon.wait_state("web", "ok")["runs"], runs + 1)
        self.assertEqual(len(other.requests), 1)

    def test_added_and_removed(self):
        daemon = enter(self, Daemon(GOOD))
        daemon.wait_state("machine", "ok")
        daemon.reload("checks:\n  - {name: other, kind: host, every: 1s}\n")
        until(lambda: [check["name"] for check in daemon.status()["checks"]] == ["other"], 5, what="the new plan")
        daemon.wait_state("other", "ok")
        self.assertNotIn("machine", daemon.text("/metrics"))

    def test_what_cannot_change_is_refused(self):
        daemon = enter(self, Daemon(GOOD))
        for lines, word in (("daemon: {root: /tmp}\n", "root"), ("daemon: {listen: ['127.0.0.1:1']}\n", "listen"), ("daemon: {state_dir: /tmp/x}\n", "state_dir")):
            with self.subTest(word):
                daemon.write_config(lines + GOOD)
                answer = daemon.post("/-/reload")
                # --listen, --root and --state-dir of the command line win over the file, as they did at the start: then nothing changed.
                self.assertIn(answer.status, (200, 409, 422), answer.body)
                if answer.status != 200:
                    self.assertIn(word, answer.text)

    def test_many_hangups_at_once(self):
        daemon = enter(self, Daemon(GOOD))
        for _ in range(50):
            daemon.signal(signal.SIGHUP)
            time.sleep(0.005)
        daemon.wait_state("machine", "ok")
        self.assertEqual(daemon.metric("runbookd_config_last_reload_successful"), 1)
