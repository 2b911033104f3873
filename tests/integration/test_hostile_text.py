"""Acceptance 10: text from files, commits and servers is escaped in every text output and never enters a printed command."""
import re
import subprocess
import unittest

from support import BINARY, Daemon, HttpFixture, Repo, enter, free_port, until

PORTABLE = True
ESCAPE, BIDI = "\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe\u2066"
FILE = "bad\n\x1b[31m\u202ename$(touch owned);`id`'.json"
NEVER = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class HostileText(unittest.TestCase):
    def start(self):
        repo = enter(self, Repo({"ok.toml": "a = 1\n"}))
        repo.write(FILE, "{broken")
        repo.commit(f"subject {BIDI} {ESCAPE}\n\nbody {BIDI}")
        repo.git("checkout", "-q", "-b", "branch\u202ex")
        web = enter(self, HttpFixture(status=500, body=f"broken {ESCAPE} {BIDI}\r\nSet-Cookie: x".encode()))
        config = ("defaults: {every: 2s}\nchecks:\n"
                  "  - {name: repo, kind: git, branch: main}\n"
                  "  - {name: configs, kind: syntax}\n"
                  "  - {name: leftovers, kind: path, absent: ['*.json']}\n"
                  f"  - {{name: web, kind: http, url: '{web.url}', expect: {{body: nothing}}}}\n"
                  f"  - {{name: closed, kind: port, port: {free_port()}}}\n"
                  "  - name: cmd\n    kind: command\n    argv: [printf, '\\033[2J\\033]0;owned\\007 \\342\\200\\256 text\\nsecond']\n    exit: {0: fail}\n")
        daemon = enter(self, Daemon(config, root=repo.path))
        daemon.wait_settled()
        for name in ("repo", "configs", "leftovers", "web", "cmd"):
            self.assertEqual(daemon.check(name)["state"], "fail", name)
        return repo, daemon

    def assert_clean(self, text, what):
        found = NEVER.search(text)
        if found:
            self.fail(f"{what} holds {found[0]!r} in {text[max(0, found.start() - 80):found.end() + 40]!r}")

    def test_every_text_is_escaped(self):
        repo, daemon = self.start()
        # A commit while it watches: HEAD's move enters the timeline.
        repo.git("commit", "-q", "--allow-empty", "-m", f"moved {BIDI} {ESCAPE}")
        until(lambda: daemon.check("repo")["runs"] >= 3, 10, what="further runs of the git check")
        for path in ("/status", "/triage", "/triage?fresh=0", "/", "/metrics", "/api/v1/checks/configs"):
            for accept in ("text/plain", "text/html", "application/json", "application/openmetrics-text"):
                answer = daemon.get(path, accept=accept)
                self.assertIn(answer.status, (200, 406), (path, accept))
                self.assert_clean(answer.text, f"{path} as {accept}")
                for key, value in answer.headers.items():
                    self.assert_clean(value, f"header {key} of {path}")
        self.assert_clean(daemon.stdout(), "the banner")
        self.assert_clean(daemon.stderr(), "the log")
        self.assertIn("name", daemon.text("/status"), "the file's name is told, escaped")
        for args in (["status"], ["triage"], ["check"], ["check", "--format", "junit"], ["check", "--format", "nagios"], ["check", "--format", "sarif"]):
            done = subprocess.run([BINARY, "--config", daemon.config, "--root", repo.path, "--state-dir", daemon.state_dir, *args], cwd=repo.path,
                                  env=daemon.environment(), capture_output=True, timeout=30, check=False)
            self.assertTrue(done.stdout, (args, done.stderr))
            self.assert_clean(done.stdout.decode(), " ".join(args))
            self.assert_clean(done.stderr.decode(), " ".join(args))

    def test_html_is_text(self):
        repo = enter(self, Repo({"<img src=x onerror=alert(1)>.json": "{broken"}))
        daemon = enter(self, Daemon("checks:\n  - {name: configs, kind: syntax, every: 2s}\n", root=repo.path))
        daemon.wait_state("configs", "fail")
        for path in ("/", "/triage"):
            answer = daemon.get(path, accept="text/html")
            self.assertNotIn("<img src=x", answer.text)
            self.assertIn("default-src", answer.headers.get("content-security-policy", ""))
            self.assertEqual(answer.headers.get("x-content-type-options"), "nosniff")

    def test_no_printed_command_holds_it(self):
        repo, daemon = self.start()
        report = daemon.json("/triage")
        commands = [line for cause in report["causes"] for line in cause["do"]] + [hint for check in daemon.status()["checks"] for hint in check["hints"]]
        for line in commands + [line for line in daemon.text("/triage").splitlines() if line.lstrip().startswith("# ")]:
            self.assert_clean(line, "a printed command")
            self.assertNotIn("touch owned", line, "the hostile name entered a command")
            self.assertNotIn("\\x1b", line, "not even escaped: a value with a control character never enters a command")
        self.assertFalse((repo.path + "/owned") in repo.git("status", "--porcelain"))

    def test_json_is_json(self):
        _, daemon = self.start()
        self.assertIn("owned", str(daemon.check("cmd")))
        configs = daemon.check("configs")
        self.assertEqual(len(configs["evidence"]), 1, configs)
        self.assertEqual(daemon.get("/status", accept="application/json").headers["content-type"].split(";")[0], "application/json")
