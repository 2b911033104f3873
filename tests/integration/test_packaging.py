"""What ships beside the program: units, launch agent, rules, dashboard, manual page, reference, examples. Each is judged by the tool that will read it."""
import glob
import json
import os
import plistlib
import re
import shutil
import subprocess
import unittest

from fetch import reason, tool
from support import BINARY, TOP, Scratch, enter

# launchd.plist(5): every key that we use must be one of these, with this type.
LAUNCHD_KEYS = {
    "Label": str, "ProgramArguments": list, "WorkingDirectory": str, "EnvironmentVariables": dict, "RunAtLoad": bool, "KeepAlive": (bool, dict),
    "ThrottleInterval": int, "ExitTimeOut": int, "ProcessType": str, "LowPriorityIO": bool, "Umask": (int, str), "StandardOutPath": str, "StandardErrorPath": str,
    "SoftResourceLimits": dict, "HardResourceLimits": dict, "Nice": int, "Program": str, "StartInterval": int, "UserName": str, "GroupName": str,
}
KEEP_ALIVE_KEYS = {"SuccessfulExit": bool, "Crashed": bool, "AfterInitialDemand": bool, "PathState": dict, "OtherJobEnabled": dict}
# systemd-analyze's exposure, 0 (closed) to 100 (open), that the system unit must stay below: it may only ever sink.
EXPOSURE_MAX = 25
METRIC = re.compile(r"\b((?:runbookd|process)_[a-z0-9_]+)\b")


def run(*args, **options):
    return subprocess.run(args, capture_output=True, text=True, check=False, timeout=60, **options)


def read(*parts):
    with open(os.path.join(TOP, *parts), encoding="utf-8") as file:
        return file.read()


def known_metrics():
    """Names that the program says it writes: the fixed families and the kinds' values."""
    text = run(BINARY, "explain", "--markdown").stdout
    names = set(METRIC.findall(text)) | {"process_resident_memory_bytes"}
    return names | {name + suffix for name in names for suffix in ("_bucket", "_sum", "_count")}


class Launchd(unittest.TestCase):
    def test_agent_holds_known_keys_of_the_right_type(self):
        with open(os.path.join(TOP, "launchd", "io.runbookd.agent.plist"), "rb") as file:
            agent = plistlib.load(file)
        for key, value in agent.items():
            self.assertIn(key, LAUNCHD_KEYS)
            self.assertIsInstance(value, LAUNCHD_KEYS[key], key)
        for key, value in agent["KeepAlive"].items():
            self.assertIsInstance(value, KEEP_ALIVE_KEYS[key], key)
        self.assertEqual(agent["Label"], "io.runbookd.agent")
        self.assertTrue(all(isinstance(word, str) for word in agent["ProgramArguments"]))
        self.assertTrue(agent["ProgramArguments"][0].startswith("/"), "launchd looks nothing up in PATH")
        self.assertIn(agent["ProcessType"], ("Background", "Standard", "Adaptive", "Interactive"))
        self.assertEqual(agent["Umask"], 0o077)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
class Systemd(unittest.TestCase):
    def unit(self, name):
        """The unit as installed: its program exists."""
        scratch = enter(self, Scratch("rb-unit-"))
        text = re.sub(r"(?m)^(ExecStart=)\S+", lambda m: m[1] + os.path.abspath(BINARY), read("systemd", name + ".service"))
        path = scratch.join("runbookd.service")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path, text

    def test_verify_is_silent(self):
        for name, scope in (("runbookd", "--system"), ("runbookd-user", "--user")):
            path, text = self.unit(name)
            env = os.environ | {"XDG_RUNTIME_DIR": os.path.dirname(path)}
            done = run("systemd-analyze", scope, "verify", "--recursive-errors=yes", "--man=no", path, env=env)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""), name)
            for wanted in ("Type=notify", "WatchdogSec=", "StateDirectoryMode=0700", "ExecReload="):
                self.assertIn(wanted, text)

    def test_system_unit_stays_closed(self):
        path, _ = self.unit("runbookd")
        done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", path)
        self.assertEqual(done.returncode, 0, done.stdout[-400:] + done.stderr)


class Prometheus(unittest.TestCase):
    def setUp(self):
        self.promtool = tool("promtool")
        if not self.promtool:
            self.skipTest(reason("promtool"))

    def test_rules_are_valid_and_fire_as_their_tests_say(self):
        folder = os.path.join(TOP, "prometheus")
        for args in (("check", "rules", "runbookd.rules.yml"), ("test", "rules", "runbookd.rules.test.yml")):
            done = run(self.promtool, *args, cwd=folder)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_rule_has_a_test(self):
        alerts = set(re.findall(r"alert: (\w+)", read("prometheus", "runbookd.rules.yml")))
        tested = set(re.findall(r"alertname: (\w+)", read("prometheus", "runbookd.rules.test.yml")))
        self.assertTrue(alerts)
        self.assertEqual(alerts, tested)

    def test_scrape_snippet_fits_into_a_configuration(self):
        scratch = enter(self, Scratch("rb-prom-"))
        with open(scratch.join("prometheus.yml"), "w", encoding="utf-8") as file:
            file.write("scrape_configs:\n" + read("prometheus", "scrape.yml"))
        done = run(self.promtool, "check", "config", scratch.join("prometheus.yml"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_rules_name_only_metrics_that_exist(self):
        names = known_metrics()
        for rule in re.findall(r"(?ms)expr: *(?:\|\n)?(.*?)\n\s+(?:for|labels|annotations):", read("prometheus", "runbookd.rules.yml")):
            self.assertEqual(set(METRIC.findall(rule)) - names, set())


class Grafana(unittest.TestCase):
    def test_dashboards_hold_together(self):
        files = glob.glob(os.path.join(TOP, "grafana", "dashboards", "*.json"))
        self.assertTrue(files)
        names = known_metrics()
        for path in files:
            with open(path, encoding="utf-8") as file:
                dashboard = json.load(file)
            with self.subTest(os.path.basename(path)):
                self.check(dashboard, names)

    def check(self, dashboard, names):
        self.assertIsNone(dashboard.get("id"), "a provisioned dashboard carries no id")
        for key, kind in (("uid", str), ("title", str), ("schemaVersion", int), ("panels", list), ("templating", dict), ("time", dict)):
            self.assertIsInstance(dashboard[key], kind, key)
        variables = {one["name"] for one in dashboard["templating"]["list"]} | {"__rate_interval", "__interval", "__range"}
        panels = [panel for outer in dashboard["panels"] for panel in [outer, *outer.get("panels", [])]]
        ids = [panel["id"] for panel in panels]
        self.assertEqual(len(ids), len(set(ids)), "panel ids are unique")
        taken = set()
        for panel in dashboard["panels"]:
            grid = panel["gridPos"]
            cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
            self.assertFalse(taken & cells, f"{panel['title']} lies on another panel")
            self.assertLessEqual(grid["x"] + grid["w"], 24, panel["title"])
            taken |= cells
        for panel in panels:
            for target in panel.get("targets", []):
                self.assertTrue(target["expr"].strip())
                self.assertLessEqual(set(re.findall(r"\$\{?(\w+)", target["expr"])), variables)
                self.assertEqual(set(METRIC.findall(target["expr"])) - names, set(), panel["title"])
            if panel["type"] not in ("row", "text"):
                self.assertTrue(panel["targets"], panel["title"])
                self.assertEqual(panel["datasource"]["uid"], "${datasource}", panel["title"])


class Texts(unittest.TestCase):
    def test_reference_is_what_the_program_prints(self):
        done = run(BINARY, "explain", "--markdown")
        self.assertEqual(done.returncode, 0, done.stderr)
        if done.stdout != read("docs", "reference.md"):
            self.fail("docs/reference.md is old; mend it: build/runbookd explain --markdown > docs/reference.md")

    def test_readme_lists_every_kind(self):
        kinds = re.findall(r"(?m)^RB_KIND\((\w+)\)", read("lib", "kinds", "kinds.def"))
        listed = re.findall(r"(?m)^\| `(\w+)` \|", read("README.md"))
        self.assertEqual(set(kinds) - set(listed), set())

    def test_readme_names_only_files_that_exist(self):
        for name in set(re.findall(r"\b((?:docs|systemd|launchd|prometheus|grafana|examples)/[\w./-]+\w|[A-Z]{3,}\.md)\b", read("README.md"))):
            self.assertTrue(os.path.exists(os.path.join(TOP, name)), name)

    @unittest.skipUnless(shutil.which("groff"), "groff is not here")
    def test_manual_page_formats_without_a_warning(self):
        page = run(BINARY, "explain", "--man").stdout
        done = run("groff", "-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-o", "-P-u", input=page)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for section in ("NAME", "SYNOPSIS", "COMMANDS", "EXIT STATUS", "FILES"):
            self.assertIn(section, done.stdout)

    def test_examples_validate(self):
        for path in sorted(glob.glob(os.path.join(TOP, "examples", "*.yml"))):
            if os.path.basename(path) == "peak-trade.yml":
                continue  # belongs to another tree, in which its own test runs it
            done = run(BINARY, "validate", "--config", path, cwd=TOP)
            self.assertEqual(done.returncode, 0, f"{path}: {done.stdout}{done.stderr}")

    def test_schema_is_json(self):
        schema = json.loads(run(BINARY, "schema").stdout)
        self.assertIn("$schema", schema)


if __name__ == "__main__":
    unittest.main()
