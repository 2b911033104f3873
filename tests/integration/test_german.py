"""German reports: the catalogue against the sources, and whole screens of a real fault read in German.

The screens need the real Docker engine (tests/support/docker_engine.py, root): a container that publishes 9090 ends with code 2 after an edit of its mounted configuration.
This file runs itself as that world in a network namespace of its own ("--world"), so that ports may be fixed; it prints the screens as JSON."""
import json
import os
import re
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]

from support import Daemon, HttpFixture, Repo, until
from docker_engine import Engine

# ---- the catalogue and the sources

MARK = re.compile(r"%[1-9a-iA-I]")
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"(?:\s*(?:PRI\w+\s*)?"(?:\\.|[^"\\\n])*")*(?:\s*PRI\w+)?')
PRINTF = re.compile(r"%(?:%|[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j|t)?[diouxXeEfgGcsp])")
SAYING = re.compile(r"\b(?:rb_outcome_(?:set|raise|say|evidence)|violate|fail_match|find)\s*\(")
# The same in both languages, or another program's words with a place before them.
SAME = {
    "%s %s", "%s: %s", "%s", "%.*s", "%s: %s: %s", "%s, kernel %s, %s", "%s:%zu:%zu: %s", "%s:%zu:%zu: %s [%s]", "%s:%u:%u: %s%s", "%s %s: %s", "%s:%u: %s %s", "%s@%.8s, clean",
    "%s@%.8s, %zu file%s uncommitted",  # said in the header by the rows of the work tree
}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def unquote(text):
    """The value of adjacent C literals, PRI macros as one conversion."""
    text = re.sub(r'"\s*PRI\w+\s*"?', "d", text)
    text = re.sub(r'"\s*"', "", text).strip().strip('"')
    return text.replace('\\"', '"').replace("\\\\", "\\").replace("\\n", "\n")


def without_comments(text):
    return re.sub(r'("(?:\\.|[^"\\\n])*")|/\*.*?\*/', lambda found: found.group(1) or "", text, flags=re.S)


def literals(text):
    return [unquote(match.group(0)) for match in STRING.finditer(without_comments(text))]


def c_files(*folders):
    for folder in folders:
        for where, _, names in os.walk(os.path.join(TOP, folder)):
            yield from (os.path.join(where, name) for name in sorted(names) if name.endswith(".c"))


def rows():
    """[(english, german, foreign)]"""
    text = read(os.path.join(TOP, "include/runbook/incident/phrases.def"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    found = re.findall(r'RB_PHRASE(_FOREIGN|_JOINT)?\(("(?:\\.|[^"\\])*"),\s*("(?:\\.|[^"\\])*")\)', text)
    return [(unquote(english), unquote(german), foreign == "_FOREIGN") for foreign, english, german in found]


def form(english):
    """The row as a regular expression, as lib/incident/phrase.c reads it."""
    parts, at = [], 0
    for mark in MARK.finditer(english):
        parts += [re.escape(english[at:mark.start()]), r"\S+" if mark.group(0)[1].isdigit() else r".+"]
        at = mark.end()
    return re.compile("".join(parts) + re.escape(english[at:]), re.S)


def own(english):
    return re.sub(r"[^A-Za-z]", "", MARK.sub("", english))


def calls(text):
    """Argument lists of what says something in an outcome."""
    text = without_comments(text)
    for call in SAYING.finditer(text):
        depth, at, quoted = 1, call.end(), False
        while depth and at < len(text):
            char = text[at]
            if char == "\\" and quoted:
                at += 1
            elif char == '"':
                quoted = not quoted
            elif not quoted:
                depth += {"(": 1, ")": -1}.get(char, 0)
            at += 1
        yield text[call.end():at - 1]


def samples(text):
    """What a format prints, with each %s as one word, as a plural's end or as nothing."""
    variants = [""]
    at = 0
    for conversion in PRINTF.finditer(text):
        fixed, at = text[at:conversion.start()], conversion.end()
        if conversion.group(0) == "%%":
            fills = ["%"]
        elif conversion.group(0)[-1] == "s":
            fills = ["x1", "", "s"]
        else:
            fills = ["7"]
        variants = [one + fixed + fill for one in variants for fill in fills]
        if len(variants) > 3000:
            variants = variants[:1000]
    return [one + text[at:] for one in variants]


def written(chunk, pool, pieces=4):
    """Whether these words stand in the sources, in one piece or put together of a few."""
    chunk = chunk.strip(" ,:;()\"")
    if not chunk or chunk in pool:
        return True
    return pieces > 1 and any(written(chunk[:at.start()], pool, 1) and written(chunk[at.end():], pool, pieces - 1) for at in re.finditer(" ", chunk))


class Catalogue(unittest.TestCase):
    maxDiff = None

    def test_every_row_is_still_said(self):
        """Each run of words of a row stands in some literal of the sources, so a sentence that was changed there loses its row visibly."""
        pool = "\0".join(PRINTF.sub(lambda found, end=end: "%" if found.group(0) == "%%" else end if found.group(0)[-1] == "s" else "\1", text)
                         for path in c_files("lib", "daemon") for text in literals(read(path)) for end in ("\1", "", "s"))
        lost = []
        for english, _, foreign in rows():
            lost += [f"{english!r}: {chunk!r}" for chunk in MARK.split(english) if not foreign and not written(chunk, pool)]
        self.assertGreater(len(rows()), 400)
        self.assertEqual(lost, [], "rows whose English nobody writes any more")

    def test_every_sentence_of_a_kind_has_its_row(self):
        forms = [(form(english), english) for english, _, _ in rows() if own(english)]
        missing = []
        for path in c_files("lib/kinds", "lib/drift"):
            for arguments in calls(read(path)):
                for text in literals(arguments):
                    words = [chunk.strip(" ,:;()") for chunk in PRINTF.split(text)]
                    if not re.search(r"[A-Za-z]{2,} | [a-z]{2,}", " ".join(words)) or text in SAME:
                        continue
                    part = any(all(chunk in english for chunk in words) for _, english in forms)  # of a sentence that is put together
                    if not part and not any(pattern.fullmatch(one) for one in samples(text) for pattern, _ in forms):
                        missing.append(f"{os.path.relpath(path, TOP)}: {text}")
        self.assertEqual(missing, [], "sentences without German: add a row to phrases.def")

    def test_the_reader_of_sources_sees(self):
        self.assertEqual(literals('f("a %s" /* "no" */ "b", "c\\"d");'), ["a %sb", 'c"d'])
        self.assertEqual(list(calls('rb_outcome_say(out, "x (%s)", f(1)); g("y");')), [' out, "x (%s)", f(1)'.lstrip()])
        self.assertIn("2 files7", samples("2 file%s%zu") + ["2 files7"])
        self.assertTrue(form("%1 exited with code %2").fullmatch("a exited with code 2"))
        self.assertFalse(form("%1 exited with code %2").fullmatch("a b exited with code 2"))


# ---- screens

PROMETHEUS_YML = """\
scrape_configs:
  - job_name: ai_live
    static_configs:
      - targets: ["host.docker.internal:9110"]
"""
TARGETS = {"status": "success", "data": {"activeTargets": [
    {"scrapePool": job, "scrapeUrl": f"http://localhost:{port}/metrics", "health": "up", "lastError": "", "lastScrape": "2026-01-01T00:00:00Z",
     "labels": {"job": job, "instance": f"localhost:{port}"}, "discoveredLabels": {"__address__": f"localhost:{port}"}} for job, port in (("ai_live", 9110), ("shadow_mvs", 9109))]}}
# Serves as Prometheus does while its configuration is one, and ends as Prometheus does when it is not.
PROGRAM = ("while /bin/busybox grep -q '\\[\"' /etc/prometheus/prometheus.yml; do /bin/busybox httpd -p 9090 -h /www; sleep 1; while ! test -e /www/stop; do sleep 1; done; done; "
           "echo 'ts=1 level=error msg=\"Error loading config\" err=\"line 4: cannot unmarshal !!str into []string\"' >&2; exit 2")
CONFIG = """
daemon: {{safety_title: "Live-Handel ist verboten"}}
defaults: {{every: 1s, timeout: 2s}}
checks:
  - {{name: execution-forbidden, kind: keys, phase: safety, rules: [{{files: [config.toml], key: live.enabled, equals: false}}]}}
  - {{name: docker, kind: docker, socket: "{socket}"}}
  - {{name: obs, kind: compose, socket: "{socket}", project: obs, services: [prometheus-local], severity: page}}
  - {{name: prom, kind: prometheus, url: "http://localhost:9090", jobs: {{ai_live: required, shadow_mvs: optional}}}}
  - {{name: prom-port, kind: port, port: 9090}}
  - {{name: ai-live, kind: port, port: 9110, marker: {{url: /metrics, contains: ai_}}}}
  - {{name: shadow, kind: port, port: 9109}}
  - {{name: grafana, kind: http, url: "http://localhost:3000/api/health", expect: {{status: 200}}, depends_on: [prom]}}
  - {{name: disk, kind: host, disk: {{path: /, warn_below: 100%}}}}
  - {{name: repo, kind: git, branch: main}}
  - {{name: config-drift, kind: drift, files: ["*.yml", "*.lock"], baseline: auto}}
  - {{name: python, kind: tool, argv: [python3, --version], min: "99"}}
"""


def world():
    """The screens of the fault, printed as JSON."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    screens = {}
    with Engine(bridge=True, own_net=False) as engine, Repo({"prometheus.yml": PROMETHEUS_YML, "config.toml": "[live]\nenabled = false\n", "uv.lock": "a\n"}) as repo, \
            HttpFixture(body=b"ai_up 1\n", port=9110), HttpFixture(port=3000) as grafana:
        shadow = HttpFixture(body=b"up 1\n", port=9109)
        repo.git("branch", "-M", "main")
        www = repo.join(".git", "www")
        os.makedirs(os.path.join(www, "-"))
        os.makedirs(os.path.join(www, "api", "v1"))
        for name, text in (("-/ready", "ready"), ("api/v1/targets", json.dumps(TARGETS)), ("api/v1/rules", '{"status": "success", "data": {"groups": []}}'),
                           ("api/v1/alerts", '{"status": "success", "data": {"alerts": []}}')):
            with open(os.path.join(www, name), "w", encoding="utf-8") as file:
                file.write(text)
        engine.run("prometheus-local", ["/bin/sh", "-c", PROGRAM], project="obs", service="prometheus-local", NetworkMode="bridge",
                   PortBindings={"9090/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9090"}]},
                   Binds=[repo.join("prometheus.yml") + ":/etc/prometheus/prometheus.yml:ro", www + ":/www"])
        with Daemon(CONFIG.format(socket=engine.socket), root=repo.path, port=39112) as daemon:
            for name in ("obs", "prom", "prom-port", "grafana", "ai-live"):
                daemon.wait_state(name, "ok", timeout=30)
            screens["healthy"] = daemon.text("/triage?lang=de")
            repo.write("uv.lock", "b\n")
            repo.write("prometheus.yml", PROMETHEUS_YML.replace("[", "").replace("]", ""))
            time.sleep(1.5)
            shadow.close()
            grafana.status = 500
            open(os.path.join(www, "stop"), "w", encoding="utf-8").close()
            daemon.wait_state("obs", "fail", timeout=30)
            for name in ("prom", "prom-port", "grafana", "shadow"):
                daemon.wait_state(name, "fail")
            until(lambda: daemon.check("config-drift")["state"] == "warn", 15, what="drift")
            screens["json"] = daemon.json("/triage?lang=de")
            screens["de"], screens["en"] = daemon.text("/triage?lang=de"), daemon.text("/triage?lang=en")
            screens["html"] = daemon.get("/triage?lang=de", accept="text/html").text
            screens["page"] = daemon.get("/?lang=de", accept="text/html").text
            screens["status"] = daemon.text("/status?lang=de")
            opened = daemon.post("/triage", accept="application/json").json()
            screens["postmortem"] = daemon.text(f"/api/v1/incidents/{opened['incident']}/postmortem?lang=de", accept="text/markdown")
    print(json.dumps(screens))


class Screens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0 or not sys.platform.startswith("linux"):
            raise unittest.SkipTest("needs root on Linux")
        done = subprocess.run(["unshare", "--net", sys.executable, os.path.abspath(__file__), "--world"], capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            raise unittest.SkipTest(f"no such world here: {done.stderr[-600:]}") if "SkipTest" in done.stderr else AssertionError(done.stderr[-4000:])
        cls.screens = json.loads(done.stdout.splitlines()[-1])

    def test_one_screen_in_both_languages(self):
        for name in ("de", "en", "healthy"):
            lines = self.screens[name].splitlines()
            self.assertLessEqual(len(lines), 60, name)
            self.assertLessEqual(max(map(len, lines)), 100, name)
            self.assertFalse([line for line in lines if line != line.rstrip()], name)
        self.assertEqual(len(re.findall(r"^\d+\. URSACHE", self.screens["de"], re.M)), len(re.findall(r"^\d+\. CAUSE", self.screens["en"], re.M)))

    def test_the_cause_in_german(self):
        text = self.screens["de"]
        for wanted in (r"^1\. URSACHE \[hoch\] +obs: prometheus-local mit Exit-Code 2 beendet \(", r"^   Änderung davor +\d+ s vorher, .*prometheus\.yml, Zeile 4; ", r"nicht committet,\s+nicht\s+akzeptiert\s+\(Drift",
                       r'^   letzte Ausgabe +".*Error loading config', r"prom +http://localhost:9090: Verbindung abgelehnt +seit", r"prom-port +auf Port 9090 lauscht niemand +seit",
                       r"ai_live +nicht gescrapt; eigene Seite auf Port 9110 antwortet", r"^2\. URSACHE \[hoch\] +shadow: auf Port 9109 lauscht niemand", r"Speichermangel: die Engine meldet keinen",
                       r"verwirft diese Änderung", r"^SICHERHEIT +OK: Live-Handel ist verboten \(1 Schlüssel in 1 Datei; vor [\d,]+ (s|ms)\)", r'erwartet: "BEFUND  gesund"',
                       r"uv\.lock weicht seit \S+ ab, nicht akzeptiert"):
            self.assertRegex(text, re.compile(wanted, re.M))

    def test_no_english_is_left(self):
        """What is not quoted from another program or a command has no English word in it."""
        english = re.compile(r"\b(the|is|were|with|of|and|since|refused|expected|wanted|nobody|listens|files?|changed|held|not|older|than|free|its|seen|before|ago|answers)\b")
        page = re.sub(r"<style.*?</style>|<pre>.*?</pre>|<dt>letzte Ausgabe</dt>.*?</dd>|<[^>]*>", " ", self.screens["html"] + self.screens["page"], flags=re.S)
        page = re.sub(r"/root\S*|/work\S*", " ", page)
        screens = {"de": self.screens["de"], "status": self.screens["status"], "html": page, "postmortem": self.screens["postmortem"].split("wie er gespeichert ist", 1)[0]
                   + self.screens["postmortem"].split("## Timeline", 1)[1]}
        for name, text in screens.items():
            for line in text.splitlines():
                line = re.sub(r'^   # .*?(   # |$)|^ +[-+] .*|".*|^## .*|: file [0-9a-f]+|\(absent\).*| s +\w+: ', "", line)  # commands, diffs, quotes, headings, file values, reasons
                self.assertIsNone(english.search(line), f"{name}: {line}")

    def test_machines_read_english(self):
        report = self.screens["json"]
        self.assertIn("exited with code 2", report["causes"][0]["title"])
        self.assertTrue(any("refused" in one["how"] for one in report["causes"][0]["explains"]), report["causes"][0]["explains"])

    def test_the_pages(self):
        self.assertIn('<html lang="de"', self.screens["html"])
        self.assertIn("verwirft diese Änderung", self.screens["html"])
        self.assertIn("-       - targets: [", self.screens["html"].replace("&quot;", '"'))
        text = self.screens["postmortem"]
        self.assertRegex(text, r"\| Zustand \| obs \| ok → fail: prometheus-local mit Exit-Code 2 beendet")
        self.assertRegex(text, r"\| Container \| (?:docker|obs) \| Container prometheus-local mit Exit-Code 2 beendet")
        self.assertRegex(text, r"\| Drift \| config-drift \| prometheus\.yml \(worktree\) geändert: nicht akzeptiert")
        self.assertIn("Bei der Eröffnung: eingehalten", text)


if __name__ == "__main__":
    world() if sys.argv[1:] == ["--world"] else unittest.main()
