"""Kind prometheus against a real Prometheus: dead target, missing job, empty target list, broken rule, firing alert, restart."""
import json
import os
import signal
import subprocess
import unittest
import urllib.error
import urllib.request

from support import Daemon, HttpFixture, Scratch, enter, free_port, needs_tool, until

TIMEOUT = 180
METRICS = b"# TYPE up_since gauge\nup_since 1\n"
CLOSE = {"Connection": "close"}  # Prometheus keeps a connection; a closed server must be gone for it, too
RULES = """\
groups:
  - name: team
    interval: 1s
    rules:
      - {alert: TargetGone, expr: 'up{job="shadow_mvs"} == 0', labels: {severity: page}, annotations: {summary: shadow is gone}}
      - {alert: RunbookdCheckFailing, expr: vector(1), labels: {severity: page}}
      - {alert: Watchdog, expr: vector(1), labels: {severity: none}}
%s
"""
# Two series on each side of a division that tells them apart by nothing.
BROKEN = "      - {alert: NeverEvaluates, expr: 'label_replace(vector(1), \"a\", \"x\", \"\", \"\") / on(b) group_left() (label_replace(vector(1), \"a\", \"1\", \"\", \"\") or label_replace(vector(1), \"a\", \"2\", \"\", \"\"))'}"


class Prometheus:
    """A real one in a folder of its own. jobs: {name: [port, …]}"""

    def __init__(self, jobs, rules=""):
        self.program = needs_tool("prometheus")
        self.scratch = Scratch("rb-prometheus-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.configure(jobs, rules)
        self.start()

    def configure(self, jobs, rules=""):
        lines = ["global: {scrape_interval: 1s, evaluation_interval: 1s}", f"rule_files: [{self.scratch.join('rules.yml')}]", "scrape_configs:"]
        for name, ports in jobs.items():
            targets = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
            lines.append(f"  - {{job_name: {name}, static_configs: [{{targets: [{targets}]}}]}}")
        self.scratch.write("prometheus.yml", "\n".join(lines) + "\n" if jobs else "global: {scrape_interval: 1s}\n")
        self.scratch.write("rules.yml", RULES % rules)

    def start(self):
        with open(self.scratch.join("log"), "ab") as log:
            self.process = subprocess.Popen([self.program, "--config.file", self.scratch.join("prometheus.yml"), "--storage.tsdb.path", self.scratch.join("data"),
                                             "--web.listen-address", f"127.0.0.1:{self.port}", "--log.level", "warn"], stdout=log, stderr=log)

    def ready(self):
        try:
            with urllib.request.urlopen(self.url + "/-/ready", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def ask(self, path):
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return json.load(answer)["data"]

    def health(self, job):
        return [target["health"] for target in self.ask("/api/v1/targets?state=active")["activeTargets"] if target["labels"]["job"] == job]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def __enter__(self):
        until(self.ready, 30, what="Prometheus ready")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.scratch.__exit__()


class Kind(unittest.TestCase):
    def watch(self, prometheus, **checks):
        """checks: {name: further options}"""
        text = "".join(f"  - {{name: {name}, kind: prometheus, every: 1s, url: '{prometheus.url}'{', ' if options else ''}{options}}}\n"
                       for name, options in checks.items())
        return enter(self, Daemon("checks:\n" + text))

    def wait_reason(self, daemon, name, reason, timeout=25):
        def reached():
            check = daemon.check(name)
            return check if check["reason"] == reason else None
        try:
            return until(reached, timeout, what=f"{name}: {reason}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {daemon.check(name)}") from None

    def test_targets_jobs_rules_and_alerts(self):
        live, shadow = enter(self, HttpFixture(body=METRICS, headers=CLOSE)), HttpFixture(body=METRICS, headers=CLOSE)
        prometheus = enter(self, Prometheus({"ai_live": [live.port], "shadow_mvs": [shadow.port]}))
        until(lambda: prometheus.health("ai_live") == ["up"] and prometheus.health("shadow_mvs") == ["up"], 20, what="both targets up")
        daemon = self.watch(prometheus, all="rules: fail", jobs="alerts: ignore, jobs: {ai_live: required, shadow_mvs: optional}",
                            missing="grace: 1s, jobs: {ai_live: required, nowhere: required}", unwanted="jobs: {ai_live: absent}",
                            labels="target_labels: [stack]")
        for name in ("all", "jobs"):
            daemon.wait_state(name, "ok")
        check = self.wait_reason(daemon, "missing", "job_missing")
        self.assertEqual(check["state"], "fail")
        self.assertTrue(any("no job nowhere" in line for line in check["evidence"]), check)
        self.wait_reason(daemon, "unwanted", "job_unexpected")
        self.assertEqual(self.wait_reason(daemon, "labels", "label_missing")["state"], "warn")
        self.assertEqual(daemon.metric("runbookd_prometheus_targets", check="all", health="up"), 2)

        shadow.close()
        check = self.wait_reason(daemon, "jobs", "target_down")
        self.assertEqual(check["state"], "fail")
        self.assertTrue(any("shadow_mvs" in line and "refused" in line for line in check["evidence"]), check)
        down = self.wait_reason(daemon, "all", "target_down")
        until(lambda: any("alert TargetGone" in line and "shadow is gone" in line for line in daemon.check("all")["evidence"]), 15,
              what=f"the alert as evidence of {down}")
        self.assertFalse([line for line in daemon.check("all")["evidence"] if "Runbookd" in line or "Watchdog" in line])

        enter(self, HttpFixture(body=METRICS, headers=CLOSE, port=shadow.port))
        daemon.wait_state("jobs", "ok", timeout=25)
        daemon.wait_state("all", "ok", timeout=25)
        prometheus.configure({"ai_live": [live.port], "shadow_mvs": [shadow.port]}, BROKEN)
        prometheus.reload()
        check = self.wait_reason(daemon, "all", "rule_error")
        self.assertEqual(check["state"], "fail")
        self.assertTrue(any("NeverEvaluates" in line and "many-to-many" in line for line in check["evidence"]), check)

    def test_empty_is_never_ok(self):
        prometheus = enter(self, Prometheus({}))
        daemon = self.watch(prometheus, patient="grace: 1h", strict="grace: 100ms", optional="grace: 100ms, jobs: {ai_live: optional}")
        for name in ("strict", "optional"):
            check = self.wait_reason(daemon, name, "no_targets")
            self.assertEqual(check["state"], "fail", check)
        check = self.wait_reason(daemon, "patient", "settling")
        self.assertEqual(check["state"], "warn", check)

    def test_a_restart_settles_and_a_dead_one_fails(self):
        live = enter(self, HttpFixture(body=METRICS, headers=CLOSE))
        prometheus = enter(self, Prometheus({"ai_live": [live.port]}))
        until(lambda: prometheus.health("ai_live") == ["up"], 20, what="the target up")
        daemon = self.watch(prometheus, prom="jobs: {ai_live: required}, grace: 60s")
        daemon.wait_state("prom", "ok")
        prometheus.stop()
        self.wait_reason(daemon, "prom", "refused")
        self.assertEqual(daemon.check("prom")["state"], "fail")
        prometheus.start()
        seen = set()

        def settled():
            check = daemon.check("prom")
            seen.add((check["state"], check["reason"]))
            return check["state"] == "ok"
        until(settled, 40, every=0.1, what="ok after the restart")
        self.assertFalse([pair for pair in seen if pair[1] in ("job_missing", "no_targets", "not_scraped")], seen)
        self.assertIn(("warn", "settling"), seen)
        self.assertEqual(prometheus.health("ai_live"), ["up"], "ok was said only once the target is up")


if __name__ == "__main__":
    unittest.main()
