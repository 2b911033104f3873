"""The team's runbook: `validate` lists what no check covers, `check --runbook` runs what a section names, the triage report quotes the section that the cause names (and says when it is gone), and POST /triage
takes the arguments and forms of GET."""
import html
import json
import os
import subprocess
import time
import unittest

from support import BINARY, Daemon, Repo, Scratch, enter, first_team_tree, free_port

BOOK = """\
# Handbuch

## Phase 1: Vorbereitung

### Entry
- `git status` ist sauber, Web läuft.

### Steps
```bash
# Kommentar: uname -a
git status
curl -fsS http://localhost:{port}/health \\
  >/dev/null && echo "ok" || echo "aus"
curl -fsS http://localhost:{other}/
lsof -nP -iTCP -sTCP:LISTEN | egrep ':({port}|{other})' || true
python3 - <<'PY'
import os; rm_everything()
PY
[ -x scripts/a.sh ] && scripts/a.sh --fast || true
git push origin main
```

## Phase 2: Störung

### Entry
- Phase 1 ist grün.

### Steps
**1) Sehen**
```console
$ frobnicate --status
all good: curl http://not-a-command/
```

**2) Beheben**
```sh
docker restart web   # token=ghp_0123456789abcdefghijklmnopqrstuvwxyz
echo "<script>alert(1)</script>"
```
## Phase 3: Leer
nothing
## Phase 4: Fremd
```sh
frobnicate --all
```
"""
CONFIG = """\
daemon: {{runbook: book.md}}
defaults: {{every: 1s}}
checks:
  - {{name: web, kind: http, url: 'http://localhost:{port}/', runbook: "Phase 2 > 2)"}}
  - {{name: repo, kind: git, clean: true}}
  - {{name: ready, kind: host, runbook: "Phase 1"}}
"""


def run(root, *args, config=None):
    """(exit code, stdout, stderr) of the program in a folder, with a state folder of its own."""
    with Scratch("rb-state-") as state:
        command = [BINARY, *args, "--state-dir", state.path, "--root", root] + (["--config", config] if config else [])
        done = subprocess.run(command, cwd=root, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


class Book(unittest.TestCase):
    def setUp(self):
        self.port, self.other = free_port(), free_port()
        text = BOOK.format(port=self.port, other=self.other)
        self.repo = enter(self, Repo({"book.md": text, ".gitignore": "*.yml\n"}))
        self.config = self.repo.write("rb.yml", CONFIG.format(port=self.port))
        self.lines = text.splitlines()

    def line(self, words):
        return next(i for i, line in enumerate(self.lines, 1) if words in line)

    def run_in_repo(self, *args):
        return run(self.repo.path, *args, config=self.config)


class Validate(Book):
    def test_lists_what_no_check_covers(self):
        code, text, errors = self.run_in_repo("validate")
        self.assertEqual((code, errors), (0, ""), text)
        for words in (f"localhost:{self.other}/", "lsof", "scripts/a.sh", "frobnicate --status", "frobnicate --all"):
            self.assertRegex(text, rf"(?m)^  book\.md:{self.line(words)}: ")
        self.assertIn(f"no check: port {self.other}", text)
        self.assertNotIn(f"book.md:{self.line('/health')}:", text)
        self.assertNotRegex(text, r"(?m)^  book\.md:\d+: git status")
        self.assertNotIn("not-a-command", text)
        self.assertNotIn("rm_everything", text)
        self.assertRegex(text, rf"git push {self.line('git push')}; docker restart web {self.line('docker restart')}")
        self.assertNotIn("ghp_", text)

    def test_json_has_all(self):
        code, text, _ = self.run_in_repo("validate", "--json")
        report = json.loads(text)
        self.assertEqual((code, report["valid"], len(report["runbooks"])), (0, True, 1))
        book = report["runbooks"][0]
        self.assertEqual((book["file"], book["error"], book["dropped"]), ("book.md", None, 0))
        uncovered = {one["line"]: one for one in book["uncovered"]}
        self.assertEqual(uncovered[self.line(f"localhost:{self.other}/")]["missing"], f"localhost:{self.other}")
        self.assertTrue(uncovered[self.line("docker restart")]["changes"])
        self.assertFalse(uncovered[self.line("lsof")]["changes"])
        self.assertEqual(uncovered[self.line("lsof")]["checks"], ["web"])
        covered = {one["line"]: one["checks"] for one in book["covered"]}
        self.assertEqual(covered[self.line("/health")], ["web"])
        self.assertEqual(covered[next(i for i, line in enumerate(self.lines, 1) if line == "git status")], ["repo"])

    def test_a_long_list_ends(self):
        self.repo.write("book.md", BOOK.format(port=1, other=2) + "```sh\n" + "".join(f"look{i} x\n" for i in range(60)) + "```\n")
        _, text, _ = self.run_in_repo("validate")
        self.assertRegex(text, r"… and \d+ more; validate --json lists all")
        self.assertLess(len(text.splitlines()), 40)
        report = json.loads(self.run_in_repo("validate", "--json")[1])
        self.assertGreaterEqual(len(report["runbooks"][0]["uncovered"]), 60)

    def test_without_a_runbook_nothing_is_said(self):
        self.repo.write("rb.yml", "checks: [{name: ready, kind: host}]\n")
        self.assertNotIn("runbook", self.run_in_repo("validate")[1])

    def test_an_ambiguous_address_is_refused_with_its_lines(self):
        self.repo.write("rb.yml", "daemon: {runbook: book.md}\nchecks: [{name: ready, kind: host, runbook: Entry}]\n")
        code, _, errors = self.run_in_repo("validate")
        self.assertEqual(code, 78)
        self.assertIn("ambiguous", errors)
        self.assertIn("lines 5, ", errors)

    def test_the_first_teams(self):
        repo = enter(self, Repo(tree=first_team_tree()))
        example = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/peak-trade.yml")
        code, text, _ = run(repo.path, "validate", "--json", config=example)
        book = json.loads(text)["runbooks"][0]
        covered = {one["line"]: one["checks"] for one in book["covered"]}
        uncovered = {one["line"]: one for one in book["uncovered"]}
        self.assertEqual(code, 0)
        self.assertEqual(covered[124], ["repo"])
        self.assertEqual(covered[86], ["grafana"])
        self.assertEqual(covered[41], ["configs"])
        self.assertEqual(uncovered[30]["missing"], "port 9090")
        self.assertEqual(uncovered[87]["missing"], "localhost:9090")
        self.assertIn(83, uncovered)
        self.assertFalse(set(covered) & {110, 111, 139, 143, 173}, "commands behind a # are no commands")
        code, text, errors = run(repo.path, "check", "--runbook", "Phase 8 > Entry", "--json", config=example)
        names = {check["name"] for check in json.loads(text)["checks"]}
        self.assertIn(code, (0, 1), errors)
        self.assertLessEqual({"execution-forbidden", "execution-env", "grafana", "configs", "stack-observability", "disk"}, names)
        self.assertFalse(names & {"doctor", "web", "mlflow"}, names)


class CheckRunbook(Book):
    def names(self, section):
        code, text, errors = self.run_in_repo("check", "--json", "--runbook", section)
        self.assertIn(code, (0, 1), errors)
        return {check["name"] for check in json.loads(text)["checks"]}

    def test_what_a_section_names(self):
        self.assertEqual(self.names("Phase 1 > Entry"), {"repo", "web"})        # a code span, a name
        self.assertEqual(self.names("Phase 2 > Entry"), {"ready"})              # another phase: who addresses it
        self.assertEqual(self.names("book.md#Phase 1 > Steps"), {"repo", "web"})  # commands
        self.assertEqual(self.names("Phase 2 > 2)"), {"web"})                   # who addresses it

    def test_exit_code_and_text_are_checks(self):
        code, text, _ = self.run_in_repo("check", "--runbook", "Phase 2 > Entry")
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"(?m)^ok +ready ")
        code, text, _ = self.run_in_repo("check", "--runbook", "Phase 2 > 2)")
        self.assertEqual(code, 1, text)
        self.assertRegex(text, r"(?m)^fail +web ")

    def test_a_section_without_checks_is_an_error(self):
        code, text, errors = self.run_in_repo("check", "--runbook", "Phase 4")
        self.assertEqual((code, text), (2, ""))
        self.assertIn("no check is named there", errors)
        self.assertIn(f"  {self.line('frobnicate --all')}: frobnicate --all", errors)
        code, text, errors = self.run_in_repo("check", "--runbook", "Phase 3", "--format", "nagios")
        self.assertEqual(code, 3)
        self.assertTrue(text.startswith("RUNBOOKD UNKNOWN"))

    def test_a_wrong_address(self):
        code, _, errors = self.run_in_repo("check", "--runbook", "Phase 1 > Stepps")
        self.assertEqual(code, 64)
        self.assertIn("did you mean 'Steps'?", errors)
        code, _, errors = self.run_in_repo("check", "--runbook", "gone.md#Phase 1")
        self.assertEqual(code, 2)
        self.assertIn("gone.md", errors)


class Report(Book):
    def start(self):
        with open(self.config, encoding="utf-8") as file:
            daemon = enter(self, Daemon(file.read(), root=self.repo.path))
        daemon.wait_settled()
        return daemon

    def fresh(self, daemon, path="/triage", **options):
        time.sleep(1.05)  # a round a second at most
        return daemon.text(path, **options)

    def test_the_section_is_quoted_as_it_is_now(self):
        daemon = self.start()
        text = self.fresh(daemon)
        place = self.line("**2) Beheben**")
        self.assertIn(f"\nRUNBOOK  book.md:{place}  2) Beheben\n   # docker restart web   # token=", text)
        self.assertNotIn("ghp_", text)
        self.assertLessEqual(len(text.splitlines()), 60)
        for line in text[text.index("RUNBOOK"):text.index("RECORD")].splitlines()[1:]:
            self.assertTrue(line.startswith("   # "), line)
        cause = daemon.json("/triage?fresh=0")["causes"][0]
        self.assertEqual(cause["runbook_section"]["line"], place)
        self.assertEqual(len(cause["runbook_text"]), 2)
        page = daemon.get("/triage?fresh=0", accept="text/html").text
        self.assertIn(f"<details><summary>RUNBOOK book.md:{place}  2) Beheben</summary>", page)
        self.assertIn(html.escape("<script>alert(1)</script>", quote=False).replace("<", "&lt;"), page)
        self.assertNotIn("<script", page)

        self.repo.write("book.md", "neu\n" + "\n".join(self.lines).replace("docker restart web", "docker start web"))
        text = self.fresh(daemon)
        self.assertIn(f"book.md:{place + 1}  2) Beheben\n   # docker start web", text)
        self.repo.write("book.md", "\n".join(self.lines).replace("2) Beheben", "3) Anders"))
        text = self.fresh(daemon)
        self.assertIn("RUNBOOK  book.md: section no longer found: 2) Beheben\nRECORD", text)
        self.assertNotIn("docker restart", text[text.index("RUNBOOK"):])
        os.unlink(self.repo.join("book.md"))
        text = self.fresh(daemon, "/triage?lang=de")
        self.assertIn("book.md ist jetzt nicht lesbar; Abschnitt: 2) Beheben", text)
        self.assertEqual(daemon.json("/triage?fresh=0")["causes"][0]["runbook_section"]["state"], "unreadable")

    def test_without_a_daemon(self):
        _, text, _ = self.run_in_repo("triage")
        self.assertIn("2) Beheben\n   # docker restart web", text)

    def test_a_fifo_in_its_place_holds_nothing_up(self):
        daemon = self.start()
        os.unlink(self.repo.join("book.md"))
        os.mkfifo(self.repo.join("book.md"))
        time.sleep(1.05)
        answer = daemon.get("/triage", accept="text/plain")
        self.assertEqual(answer.status, 200)
        self.assertLess(answer.seconds, 2)
        self.assertNotIn("docker restart", answer.text)


class Post(Book):
    def test_forms_and_arguments(self):
        with open(self.config, encoding="utf-8") as file:
            daemon = enter(self, Daemon(file.read(), root=self.repo.path))
        daemon.wait_settled()
        report = daemon.post("/triage?lang=de&deadline=2s&max_age=1s")
        self.assertEqual(report.status, 200)
        self.assertIn("BEFUND", report.text)
        page = daemon.post("/triage?lang=de", accept="text/html")
        self.assertTrue(page.headers["content-type"].startswith("text/html"))
        self.assertIn('<html lang="de">', page.text)
        as_json = daemon.post("/triage?fresh=0", accept="application/json").json()
        self.assertIn(as_json["incident"], {one["id"] for one in daemon.json("/api/v1/incidents")["incidents"]})
        self.assertEqual(len(daemon.json("/api/v1/incidents")["incidents"]), 3)
        # What is kept is the configuration's language, whatever was asked for.
        folder = os.path.join(daemon.state_folder(), "incidents")
        for name in os.listdir(folder):
            with open(os.path.join(folder, name, "triage.txt"), encoding="utf-8") as file:
                self.assertIn("VERDICT", file.read())

    def test_a_wrong_argument_is_named_and_opens_nothing(self):
        with open(self.config, encoding="utf-8") as file:
            daemon = enter(self, Daemon(file.read(), root=self.repo.path))
        daemon.wait_settled()
        for name, value in (("lang", "fr"), ("deadline", "soon"), ("max_age", "-1"), ("fresh", "2"), ("lang", "")):
            for answer in (daemon.post(f"/triage?{name}={value}"), daemon.get(f"/triage?{name}={value}")):
                self.assertEqual(answer.status, 400, name)
                self.assertEqual(answer.headers["content-type"], "application/problem+json")
                problem = answer.json()
                self.assertEqual(problem["type"], "urn:runbookd:problem:bad-argument")
                self.assertIn(f"argument {name} ", problem["detail"])
        self.assertEqual(daemon.json("/api/v1/incidents")["incidents"], [])


if __name__ == "__main__":
    unittest.main()
