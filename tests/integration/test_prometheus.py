"""Acceptance 2 and the last sentence of 12: Debian's Prometheus scrapes the daemon, and every series, rule and dashboard expression answers there."""
import gzip
import json
import os
import re
import subprocess
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import openmetrics
from support import TOP, Daemon, HttpFixture, Repo, Scratch, enter, free_port, needs_tool, until

TIMEOUT = 300
SCRAPE_S = 120 if os.environ.get("RB_LONG") else 20
RULES = os.path.join(TOP, "prometheus", "runbookd.rules.yml")
RULE_TESTS = os.path.join(TOP, "prometheus", "runbookd.rules.test.yml")
DASHBOARDS = os.path.join(TOP, "grafana", "dashboards")
ACCEPT = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
CONFIG = """\
checks:
  - {{name: machine, kind: host, every: 2s}}
  - {{name: disk, kind: host, every: 2s, disk: {{path: /, warn_below: 1%}}}}
  - {{name: repo, kind: git, every: 5s}}
  - {{name: configs, kind: syntax, every: 5s}}
  - {{name: python, kind: tool, argv: [python3, --version], every: 1h}}
  - {{name: files, kind: path, exist: ['*.json'], every: 5s}}
  - {{name: web, kind: http, url: '{url}', every: 2s, severity: page}}
  - {{name: closed, kind: port, port: {closed}, every: 2s, severity: page}}
  - {{name: behind, kind: http, url: 'http://127.0.0.1:{closed}/', every: 2s, depends_on: [closed]}}
  - {{name: dial, kind: tcp, address: '127.0.0.1:{port}', every: 2s}}
  - {{name: prom, kind: prometheus, url: 'http://127.0.0.1:{prom}', every: 2s, jobs: {{runbookd: required}}, grace: 90s}}
  - {{name: perf, kind: command, argv: [sh, -c, "echo 'fine | load=1;2;3 used=50%'"], every: 5s}}
  - {{name: later, kind: command, argv: ['true'], every: manual}}
  - {{name: safe, kind: path, phase: safety, absent: ['*.never'], every: 5s}}
"""


class Prometheus:
    """Debian's own, scraping one target every second."""

    def __init__(self, program, target, port):
        self.scratch = Scratch("rb-prom-")
        self.base = f"http://127.0.0.1:{port}"
        self.scratch.write("prometheus.yml", f"global: {{scrape_interval: 1s, evaluation_interval: 5s}}\nrule_files: ['{RULES}']\n"
                                             f"scrape_configs:\n  - {{job_name: runbookd, static_configs: [{{targets: ['{target}']}}]}}\n")
        self.log = open(self.scratch.join("log"), "wb")
        self.process = subprocess.Popen([program, f"--config.file={self.scratch.join('prometheus.yml')}", f"--storage.tsdb.path={self.scratch.join('data')}",
                                         f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        until(self.ready, 30, what="Prometheus is ready")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.scratch.__exit__()

    def ready(self):
        try:
            with urllib.request.urlopen(self.base + "/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def api(self, path, **query):
        try:
            with urllib.request.urlopen(f"{self.base}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def query(self, expression):
        answer = self.api("query", query=expression)
        assert answer["status"] == "success", (expression, answer)
        return answer["data"]["result"]


def expressions():
    """(where, expression) of rules and dashboards, with Grafana's variables filled."""
    with open(RULES, encoding="utf-8") as file:
        text = file.read()
    found = []
    for match in re.finditer(r"^(\s+)expr: (\|\n((?:\1  .*\n)+)|.*)", text, re.M):
        found.append(("rules", match[3] if match[3] else match[2]))
    for name in sorted(os.listdir(DASHBOARDS)):
        with open(os.path.join(DASHBOARDS, name), encoding="utf-8") as file:
            walk(json.load(file), name, found)
    return [(where, filled(expression)) for where, expression in found]


def walk(node, where, found):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr" and isinstance(value, str):
                found.append((where, value))
            elif key == "query" and isinstance(value, str) and value.startswith("label_values("):
                found.append((where, value[len("label_values("):].rpartition(",")[0] or "up"))
            else:
                walk(value, where, found)
    elif isinstance(node, list):
        for one in node:
            walk(one, where, found)


def filled(expression):
    expression = re.sub(r"\$__(rate_interval|interval|range)\b", "5m", expression)
    return re.sub(r"\$\{?(?!labels|value)\w+(:\w+)?\}?", ".*", expression)


class Scraped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.promtool = needs_tool("promtool")
        program = needs_tool("prometheus")
        cls.web = HttpFixture()
        cls.addClassCleanup(cls.web.close)
        cls.repo = Repo({"a.json": "{}\n", "b.toml": "a = 1\n", "c.yml": "a: 1\n"})
        cls.addClassCleanup(cls.repo.__exit__)
        port = free_port()
        cls.daemon = Daemon(CONFIG.format(url=cls.web.url, closed=free_port(), port=cls.web.port, prom=port), root=cls.repo.path, ready=False)
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)
        cls.daemon.wait_ready()
        cls.first = cls.daemon.text("/metrics", accept=ACCEPT)
        cls.prometheus = Prometheus(program, f"127.0.0.1:{cls.daemon.port}", port)
        cls.prometheus.__enter__()
        cls.addClassCleanup(cls.prometheus.__exit__)
        time.sleep(SCRAPE_S)

    def test_up_all_the_time(self):
        up = self.prometheus.query(f"min_over_time(up{{job='runbookd'}}[{SCRAPE_S}s])")
        self.assertEqual([one["value"][1] for one in up], ["1"])
        self.assertGreater(float(self.prometheus.query(f"count_over_time(up{{job='runbookd'}}[{SCRAPE_S}s])")[0]["value"][1]), SCRAPE_S * 0.7)
        target = self.prometheus.api("targets")["data"]["activeTargets"][0]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))

    def test_every_series_from_the_first_scrape_on(self):
        """What the first body held, before anything ran, is what Prometheus knows from its first scrape on; perfdata is exempt."""
        families = openmetrics.parse(self.first)
        later = openmetrics.parse(self.daemon.text("/metrics", accept=ACCEPT))
        self.assertEqual({name for name in later if "perfdata" not in name} - set(families), set(), "families that were not there from the start")
        begin = float(self.prometheus.query("min(min_over_time(timestamp(up{job='runbookd'})[10m:1s]))")[0]["value"][1])
        missing = []
        for name, family in families.items():
            names = {name + suffix for suffix, _, _ in family.samples}
            for series in names:
                answer = self.prometheus.api("series", **{"match[]": f"{series}{{job='runbookd'}}", "start": begin - 1, "end": begin + 1})["data"]
                got = {tuple(sorted((k, v) for k, v in one.items() if k not in ("__name__", "instance", "job"))) for one in answer}
                want = {labels for suffix, labels, _ in family.samples if name + suffix == series}
                if series == "runbookd_check_reason_info":  # exactly one per check, whichever it is by then
                    got, want = ({tuple(pair for pair in labels if pair[0] == "check") for labels in side} for side in (got, want))
                for labels in want - got:
                    # le="1" and le="1.0" are one series to Prometheus.
                    if not any(key == "le" for key, _ in labels):
                        missing.append((series, labels))
        self.assertEqual(missing, [])

    def test_every_check_has_its_series(self):
        names = {check["name"]: check["kind"] for check in self.daemon.status()["checks"]}
        self.assertEqual(len(names), 14)
        for metric in ("info", "interval_seconds", "success", "suppressed", "silenced", "flapping", "runs_total", "failures_total", "state_changes_total",
                       "last_run_timestamp_seconds", "last_success_timestamp_seconds", "last_duration_seconds"):
            got = {one["metric"]["check"] for one in self.prometheus.query(f"runbookd_check_{metric}")}
            self.assertEqual(got, set(names), metric)
        states = self.prometheus.query("runbookd_check_state")
        self.assertEqual(len(states), 14 * 7)
        for name in names:
            self.assertEqual(sum(float(one["value"][1]) for one in states if one["metric"]["check"] == name), 1, name)
        reasons = self.prometheus.query("runbookd_check_reason_info == 1")
        self.assertEqual(sorted(one["metric"]["check"] for one in reasons), sorted(names), "exactly one reason each")
        self.assertEqual(self.prometheus.query("runbookd_check_suppressed == 1")[0]["metric"]["check"], "behind")
        self.assertEqual({one["metric"]["state"]: one["value"][1] for one in self.prometheus.query("runbookd_safety_state")},
                         {"held": "1", "violated": "0", "unknown": "0", "none": "0"})
        self.assertGreaterEqual(len(self.prometheus.query("{__name__=~'runbookd_command_perfdata.*'}")), 2)

    def test_no_sample_carries_a_timestamp(self):
        stamps = self.prometheus.query("timestamp(runbookd_build_info) - timestamp(up{job='runbookd'})")
        self.assertTrue(all(abs(float(one["value"][1])) < 0.001 for one in stamps), stamps)

    def test_openmetrics(self):
        answer = self.daemon.get("/metrics", accept=ACCEPT)
        self.assertTrue(answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0"))
        families = openmetrics.parse(answer.text)
        self.assertGreater(len(families), 40)
        self.assertTrue(all(family.help for family in families.values()), "a family without HELP")

    def test_text_format(self):
        answer = self.daemon.get("/metrics", accept="text/plain")
        self.assertTrue(answer.headers["content-type"].startswith("text/plain; version=0.0.4"))
        openmetrics.parse_classic(answer.text)
        done = subprocess.run([self.promtool, "check", "metrics"], input=answer.body, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_both_formats_say_the_same(self):
        om = openmetrics.parse(self.daemon.text("/metrics", accept=ACCEPT))
        classic = openmetrics.parse_classic(self.daemon.text("/metrics"))
        names = {name + suffix for name, family in om.items() for suffix, _, _ in family.samples}
        self.assertEqual(names, {name + suffix for name, family in classic.items() for suffix, _, _ in family.samples})

    def test_gzip_only_when_asked(self):
        for encoding, packed in ((None, False), ("gzip", True), ("gzip;q=0", False), ("deflate, gzip;q=0.5", True), ("identity", False), ("*;q=0", False), ("x-gzip-not", False)):
            with self.subTest(encoding):
                answer = self.daemon.get("/metrics", accept="text/plain", headers={"Accept-Encoding": encoding} if encoding else {})
                if answer.status == 406:
                    continue
                self.assertEqual(answer.headers.get("content-encoding"), "gzip" if packed else None)
                self.assertIn("accept-encoding", answer.headers.get("vary", "").lower())
                if packed:
                    self.assertLess(len(answer.raw), len(answer.body) / 3)
                    openmetrics.parse_classic(gzip.decompress(answer.raw).decode())

    def test_every_expression_answers(self):
        found = expressions()
        self.assertGreater(len([1 for where, _ in found if where == "rules"]), 5)
        self.assertGreater(len(found), 15)
        broken = []
        for where, expression in found:
            answer = self.prometheus.api("query", query=expression)
            if answer["status"] != "success":
                broken.append((where, expression, answer.get("error")))
        self.assertEqual(broken, [])

    def test_every_series_that_expressions_name_exists(self):
        known = set(self.prometheus.api("label/__name__/values")["data"])
        for where, expression in expressions():
            for name in re.findall(r"\b(?:runbookd|process)_[a-z0-9_]+", expression):
                self.assertIn(name, known, f"{where}: {expression}")

    def test_dashboards_show_something(self):
        empty = [expression for where, expression in expressions() if where != "rules" and not self.prometheus.query(expression)]
        allowed = [one for one in empty if re.search(r"==|>|<|silenced|flapping|unless|incident|heartbeat", one)]
        self.assertEqual([one for one in empty if one not in allowed], [])

    def test_rules_are_loaded_and_healthy(self):
        groups = self.prometheus.api("rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertGreater(len(rules), 5)
        self.assertEqual([rule for rule in rules if rule["health"] == "err"], [])

    def test_the_prometheus_kind_sees_this_prometheus(self):
        self.daemon.wait_state("prom", "ok", timeout=20)


class Rules(unittest.TestCase):
    def test_promtool(self):
        promtool = needs_tool("promtool")
        for args in (["check", "rules", "--lint-fatal", RULES], ["test", "rules", RULE_TESTS]):
            done = subprocess.run([promtool, *args], cwd=os.path.dirname(RULES), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stdout.decode())
