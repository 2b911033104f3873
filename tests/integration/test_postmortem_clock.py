"""A played incident whose clock is stepped back by ten minutes in between: the post-mortem tells it in the order in which it happened, in UTC, and no planted secret is anywhere."""
import datetime
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import unittest

from docker_engine import Engine
from support import TOP, Daemon, Repo, Scratch, enter, free_port, needs_linux, until

ALONE = True
TIMEOUT = 180
STEP_S = -600
TOKEN = "ghp_" + "Zx9Cv8Bn7Mq6Wr5Ty4Up3As2Df1Gh0JkLz8Q"
PASSWORD = "Correct-Horse-4711-Battery"
HEADINGS = ["Summary", "Impact Scope", "Evidence Chain", "Timeline (UTC)", "Root Cause", "Remediation", "Verification", "Resolution Status", "Follow-up"]
SERVICE = """import http.server, sys
settings = dict(line.split(": ", 1) for line in open(sys.argv[1]).read().splitlines())
http.server.HTTPServer(("127.0.0.1", int(settings["port"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
CONFIG = """
defaults: {{every: 1s}}
checks:
  - {{name: shop-port, kind: port, port: {port}, severity: page}}
  - {{name: shop, kind: http, url: "http://127.0.0.1:{port}/", depends_on: [shop-port]}}
  - {{name: settings, kind: drift, files: ["conf/*"]}}
  - {{name: forbidden, kind: keys, phase: safety, rules: [{{file: conf/shop.yml, key: live, equals: false}}]}}
"""


class Clock:
    """The wall clock of what is started with env(): off by as many seconds as is told at any time."""

    def __init__(self):
        self.place = Scratch("rb-clock-")
        self.file, self.library = self.place.join("shift"), self.place.join("clock_shift.so")
        self.step(0)
        source = os.path.join(TOP, "tests", "diagnosis", "fixtures", "clock_shift.c")
        try:
            subprocess.run([*os.environ.get("CC", "cc").split(), "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise unittest.SkipTest(f"no compiler for the shifted clock: {error}") from None
        seen = subprocess.run([sys.executable, "-c", "import time; print(time.time())"], env=os.environ | self.env() | {"CLOCK_SHIFT_S": "-86400"} | {"CLOCK_SHIFT_FILE": ""},
                              capture_output=True, text=True, check=False)
        if seen.returncode != 0 or not 86000 < time.time() - float(seen.stdout) < 87000:
            raise unittest.SkipTest("a preloaded clock has no effect here")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.place.__exit__()

    def env(self):
        return {"LD_PRELOAD": self.library, "CLOCK_SHIFT_FILE": self.file}

    def step(self, seconds):
        """In place: the file is mapped by those who look."""
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb", buffering=0) as file:
            file.write(struct.pack("=q", seconds))


class Played(unittest.TestCase):
    """What both incidents below share."""

    def setUp(self):
        if any("asan" in key.lower() for key in os.environ):
            self.skipTest("the sanitizer's library has to be loaded first")
        self.clock = enter(self, Clock())

    def accept(self, daemon):
        done = subprocess.run(daemon.command("drift", "accept", "--all", "--reason", "as it is"), env=daemon.environment(), cwd=self.repo.path, capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        daemon.wait_state("settings", "ok")

    def open(self, daemon, title):
        """An incident, and right behind it the step."""
        opened = daemon.post("/triage", json.dumps({"title": title, "tag": "shop", "note": f"first seen, password={PASSWORD}"}), headers={"Accept": "application/json"}).json()
        self.clock.step(STEP_S)
        until(lambda: daemon.status()["time"] < opened["time"], 10, what="the clock stepped back")
        time.sleep(1.2)
        return opened["incident"]

    def note(self, daemon, ident, text):
        self.assertEqual(200, daemon.post(f"/api/v1/incidents/{ident}/notes", json.dumps({"text": text, "who": "ada"})).status)

    def rows(self, text):
        """[(time, what)] of the timeline."""
        whole = text.split("## Timeline (UTC)")[1].split("\n## ")[0]
        return [(row[1], row[2]) for row in re.finditer(r"^\| (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)Z(?: \([^)]*\))? \| (.*)$", whole, re.M)], whole

    def in_order(self, rows, wanted, whole):
        at = -1
        for word in wanted:
            found = [number for number, (_, what) in enumerate(rows) if re.search(word, what) and number > at]
            self.assertTrue(found, f"{word!r} does not come after row {at}\n{whole}")
            at = found[0]

    def is_clean(self, where, content):
        for secret in (TOKEN, PASSWORD):
            self.assertNotIn(secret.encode(), content if isinstance(content, bytes) else content.encode(), f"{secret} in {where}")

    def nothing_leaks(self, daemon, ident):
        for path in ("/status", "/metrics", "/", "/triage", "/api/v1/checks", "/api/v1/incidents", f"/api/v1/incidents/{ident}", f"/api/v1/incidents/{ident}/postmortem",
                     f"/api/v1/incidents/{ident}/postmortem?lang=de"):
            for accept in ("application/json", "text/plain", "text/html"):
                self.is_clean(f"{path} as {accept}", daemon.get(path, accept=accept).body)
        daemon.stop()
        for folder, _, files in os.walk(daemon.state_dir):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    self.is_clean(os.path.join(folder, name), file.read())
        self.is_clean("the log", daemon.stderr() + daemon.stdout())


@needs_linux
class SteppedBack(Played):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.repo = enter(self, Repo({"conf/shop.yml": self.settings(self.port), "shop.py": SERVICE}))
        self.service = None
        self.addCleanup(self.kill)

    def settings(self, port, password="none"):
        return f"port: {port}\nlive: false\npassword: {password}\n"

    def run_service(self):
        """Its own command line holds a secret too."""
        self.service = subprocess.Popen([sys.executable, "shop.py", "conf/shop.yml", "--password", PASSWORD, f"--token={TOKEN}"], cwd=self.repo.path, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        if self.service:
            self.service.send_signal(signal.SIGKILL)
            self.service.wait()
            self.service = None

    def start(self):
        self.run_service()
        daemon = enter(self, Daemon(CONFIG.format(port=self.port), root=self.repo.path, env=self.clock.env()))
        for name in ("shop", "shop-port"):
            daemon.wait_state(name, "ok")
        self.accept(daemon)
        return daemon

    def play(self, daemon):
        """Kill, look, step, edit, note, start again, step, mend, close: in this order."""
        self.kill()
        daemon.wait_state("shop-port", "fail")
        ident = self.open(daemon, f"shop down {TOKEN}")
        self.note(daemon, ident, "the clock was set right just now")
        self.repo.write("conf/shop.yml", self.settings(self.port, f"{PASSWORD}\ntoken: {TOKEN}"))
        daemon.wait_state("settings", "warn")
        self.note(daemon, ident, f"settings edited, with {TOKEN} in them")
        daemon.kill()
        daemon.start()
        daemon.wait_state("settings", "warn")
        self.note(daemon, ident, "runbookd itself was ended and started")
        self.run_service()
        daemon.wait_state("shop", "ok")
        self.note(daemon, ident, "shop answers again")
        self.repo.write("conf/shop.yml", self.settings(self.port))
        daemon.wait_state("settings", "ok")
        self.assertEqual(200, daemon.post(f"/api/v1/incidents/{ident}/close", b'{"text": "an edit by mistake", "who": "ada"}').status)
        return ident

    def test_it_is_told_as_it_happened(self):
        daemon = self.start()
        began = datetime.datetime.now(datetime.timezone.utc)
        ident = self.play(daemon)
        text = daemon.text(f"/api/v1/incidents/{ident}/postmortem", accept="text/markdown")
        self.assertEqual(HEADINGS, re.findall(r"^## (.*)$", text, re.M))
        rows, whole = self.rows(text)
        self.in_order(rows, ["shop-port.*ok → fail", "^opened", "first seen", "^clock_step", "clock was set right", "settings.*ok → warn", "changed conf", "settings edited", "^start",
                             "runbookd itself was ended", "shop .*fail → ok", "shop answers again", "conf.*as accepted again", "^closed.*an edit by mistake"], whole)
        # the times are the daemon's own, UTC, and step back once
        times = [datetime.datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc) for row in rows]
        back = [number for number in range(1, len(times)) if (times[number] - times[number - 1]).total_seconds() < -300]
        self.assertEqual(1, len(back), whole)
        after = next(number for number, (_, what) in enumerate(rows) if "clock was set right" in what)
        self.assertLessEqual(back[0], after, whole)
        self.assertLess(abs((times[0] - began).total_seconds()), 60, "UTC, whatever the zone of the machine")
        self.assertRegex(text, "stepped back")
        self.assertNotRegex(text, r"-\d+ (s|min|h)\b", "nothing takes less than no time")
        german = daemon.text(f"/api/v1/incidents/{ident}/postmortem?lang=de", accept="text/markdown")
        self.assertEqual(HEADINGS, re.findall(r"^## (.*)$", german, re.M))
        self.assertEqual([row[0] for row in rows], [row[0] for row in self.rows(german)[0]])
        os.mkdir(self.repo.join("pm"))
        made = subprocess.run(daemon.command("incident", "postmortem", ident, "-o", self.repo.join("pm")), env=daemon.environment(), cwd=self.repo.path, capture_output=True, text=True, check=False)
        self.assertEqual(0, made.returncode, made.stderr)
        with open(self.repo.join("pm", os.listdir(self.repo.join("pm"))[0]), "rb") as file:
            self.is_clean("the written post-mortem", file.read())
        self.nothing_leaks(daemon, ident)


@needs_linux
class SteppedBackWithContainer(Played):
    """The same with a real engine: a container that is killed, its mounted configuration that is edited, a restart that fails, and its last words."""
    SCRIPT = f"cat /etc/app.yml; grep -q '^mode: ok' /etc/app.yml || {{ echo 'bad mode, token {TOKEN}'; exit 3; }}; sleep 3600"
    CONFIG = """
defaults: {{every: 1s, timeout: 5s}}
checks:
  - {{name: stack, kind: compose, socket: "{socket}", project: shop, services: [app], window: 1s, severity: page}}
  - {{name: settings, kind: drift, files: ["conf/*"]}}
"""

    def settings(self, mode, secret=""):
        """In place, so that the mount sees it."""
        with open(self.repo.join("conf", "app.yml"), "r+", encoding="ascii") as file:
            file.truncate()
            file.write(f"mode: {mode}\n{secret}")

    def start(self, engine):
        self.repo = enter(self, Repo({"conf/app.yml": "mode: ok\n"}))
        engine.run("app", ["/bin/sh", "-c", self.SCRIPT], project="shop", service="app", Binds=[self.repo.join("conf", "app.yml") + ":/etc/app.yml:ro"])
        daemon = enter(self, Daemon(self.CONFIG.format(socket=engine.socket), root=self.repo.path, env=self.clock.env()))
        daemon.wait_state("stack", "ok")
        self.accept(daemon)
        return daemon

    def play(self, daemon, engine):
        engine.do("app", "kill")
        daemon.wait_state("stack", "fail")
        ident = self.open(daemon, "app is gone")
        self.note(daemon, ident, "the clock was set right just now")
        self.settings("broken", f"token: {TOKEN}\npassword: {PASSWORD}\n")
        daemon.wait_state("settings", "warn")
        engine.do("app", "start")
        until(lambda: "code 3" in daemon.check("stack")["message"], 15, what="the restart that failed")
        self.assertIn("bad mode", daemon.text("/status", accept="application/json"), "its last words are told")
        self.note(daemon, ident, "started again, in vain")
        self.settings("ok")
        daemon.wait_state("settings", "ok")
        engine.do("app", "start")
        daemon.wait_state("stack", "ok")
        self.assertEqual(200, daemon.post(f"/api/v1/incidents/{ident}/close", b'{"text": "an edit by mistake"}').status)
        return ident

    def test_it_is_told_as_it_happened(self):
        engine = enter(self, Engine())
        daemon = self.start(engine)
        ident = self.play(daemon, engine)
        text = daemon.text(f"/api/v1/incidents/{ident}/postmortem", accept="text/markdown")
        rows, whole = self.rows(text)
        self.in_order(rows, ["stack.*ok → fail", "^opened", "^clock_step", "clock was set right", "changed conf", "^container.*exit code 3", "in vain", "conf.*as accepted again", "stack.*fail → ok",
                             "^closed.*an edit by mistake"], whole)
        self.assertIn("137", text, "how it ended")
        self.nothing_leaks(daemon, ident)


if __name__ == "__main__":
    unittest.main()
