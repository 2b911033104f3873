"""Acceptance 9: a closed port under an http check under a dependent is one cause that explains two; a healthy twin is empty; `since` survives."""
import time
import unittest

from support import Daemon, HttpFixture, enter, free_port, until

PORTABLE = True
CONFIG = """\
defaults: {{every: 1s}}
checks:
  - {{name: web-port, kind: port, port: {port}, severity: page}}
  - {{name: web, kind: http, url: 'http://127.0.0.1:{port}/', depends_on: [web-port]}}
  - {{name: shop, kind: http, url: 'http://127.0.0.1:{port}/shop', depends_on: [web]}}
  - {{name: machine, kind: host}}
"""


class Triage(unittest.TestCase):
    def test_cause_and_symptoms(self):
        port = free_port()
        daemon = enter(self, Daemon(CONFIG.format(port=port)))
        daemon.wait_settled()
        report = daemon.json("/triage")
        self.assertEqual(report["verdict"], "causes", report)
        self.assertEqual([cause["check"] for cause in report["causes"]], ["web-port"])
        cause = report["causes"][0]
        self.assertEqual({one["check"] for one in cause["explains"]}, {"web", "shop"})
        self.assertEqual(cause["rank"], 1)
        self.assertTrue(cause["evidence"] or cause["title"], cause)
        self.assertRegex(cause["since"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$|^\d{4}-\d\d-\d\dT[\d:.]+Z$")
        for name in ("web", "shop"):
            self.assertTrue(daemon.check(name)["suppressed_by"], name)
        text = daemon.text("/triage")
        self.assertIn("1 cause explains 3 failing checks", text)
        self.assertIn("web-port", text)
        lines = text.splitlines()
        self.assertLessEqual(len(lines), 60)
        self.assertLessEqual(max(map(len, lines)), 100)
        html = daemon.get("/triage", accept="text/html")
        self.assertTrue(html.headers["content-type"].startswith("text/html"))
        self.assertIn("web-port", html.text)

    def test_healthy_twin_is_empty(self):
        web = enter(self, HttpFixture())
        daemon = enter(self, Daemon(CONFIG.format(port=web.port)))
        daemon.wait_settled()
        report = daemon.json("/triage")
        self.assertEqual((report["verdict"], report["causes"], report["undetermined"]), ("healthy", [], []), report)
        text = daemon.text("/triage")
        self.assertLessEqual(len(text.strip().splitlines()), 8, text)
        self.assertIn("healthy", text)

    def test_it_fails_and_recovers_while_watched(self):
        web = HttpFixture()
        port = web.port
        daemon = enter(self, Daemon(CONFIG.format(port=port)))
        daemon.wait_state("shop", "ok")
        last_ok = daemon.check("web-port")["last_ok"]
        web.close()
        daemon.wait_state("shop", "fail")
        report = daemon.json("/triage")
        self.assertEqual([cause["check"] for cause in report["causes"]], ["web-port"], report)
        self.assertGreaterEqual(report["causes"][0]["last_ok"], last_ok)
        enter(self, HttpFixture(port=port))
        daemon.wait_state("shop", "ok")
        self.assertEqual(daemon.json("/triage")["verdict"], "healthy")

    def test_since_survives_a_restart(self):
        daemon = enter(self, Daemon(CONFIG.format(port=free_port())))
        daemon.wait_settled()
        before = {check["name"]: check for check in daemon.status()["checks"]}
        cause = daemon.json("/triage")["causes"][0]
        time.sleep(1.1)
        daemon.restart()
        daemon.wait_settled()
        until(lambda: daemon.check("web-port")["state"] == "fail", 5)
        for name, check in before.items():
            after = daemon.check(name)
            self.assertEqual(after["since"], check["since"], name)
            self.assertGreaterEqual(after["runs"], check["runs"], name)
            self.assertGreaterEqual(after["failures"], check["failures"], name)
        self.assertEqual(daemon.json("/triage")["causes"][0]["since"], cause["since"])

    def test_a_triage_runs_what_is_old_and_shares_rounds(self):
        web = enter(self, HttpFixture())
        daemon = enter(self, Daemon(f"checks:\n  - {{name: web, kind: http, url: '{web.url}', every: 1h}}\n"))
        daemon.wait_settled()
        self.assertEqual(len(web.requests), 1)
        self.assertEqual(daemon.get("/triage?fresh=0").status, 200)
        self.assertEqual(len(web.requests), 1)
        time.sleep(5.2)
        daemon.text("/triage")
        self.assertEqual(len(web.requests), 2, "older than max_age: run afresh")
        daemon.text("/triage")
        self.assertEqual(len(web.requests), 2, "fresh: not run again")

    def test_a_triage_answers_by_its_deadline(self):
        web = enter(self, HttpFixture())
        daemon = enter(self, Daemon(f"checks:\n  - {{name: web, kind: http, url: '{web.url}', every: 1h, timeout: 20s}}\n"))
        daemon.wait_settled()
        web.delay = 30
        time.sleep(5.2)
        started = time.monotonic()
        report = daemon.json("/triage")
        self.assertLess(time.monotonic() - started, 4)
        self.assertEqual([held["check"] for held in report["held"]], ["web"], report)
