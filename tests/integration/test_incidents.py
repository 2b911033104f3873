"""Incidents: opened by POST /triage, the command line and Alertmanager; what is kept, what survives, what is refused; post-mortems; silences."""
import http.client
import json
import os
import re
import subprocess
import time
import unittest

from support import Daemon, Scratch, enter, free_port, needs_tool, until

CONFIG = """
checks:
  - {name: marker, kind: path, exist: [marker.txt], every: 1s, severity: page}
  - {name: forbidden, kind: keys, phase: safety, every: 1s, rules: [{files: [safe.toml], key: live.enabled, equals: false}]}
"""
SECRET = "ghp_" + "0123456789abcdefghijklmnopqrstuvwxyz"
SAFE = "[live]\nenabled = false\n"


def alert(name="DiskFull", instance="h1", status="firing", **labels):
    return {"status": status, "labels": {"alertname": name, "instance": instance, "severity": "warning", **labels},
            "annotations": {"summary": f"{name} on {instance}"}, "startsAt": "2026-11-22T07:09:03.325164319Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "", "fingerprint": format(abs(hash((name, instance))) % 2**64, "016x")}


def payload(alerts, status="firing", key='{}:{alertname="DiskFull"}', **more):
    return {"receiver": "hook", "status": status, "alerts": alerts, "groupLabels": {"alertname": alerts[0]["labels"]["alertname"]} if alerts else {},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "version": "4", "groupKey": key, "truncatedAlerts": 0, **more}


def in_its_place(program):
    """Debian's Alertmanager reads its templates from /usr/share: a namespace in which they are there, while the machine has none."""
    templates = os.path.join(os.path.dirname(os.path.dirname(program)), "share/prometheus/alertmanager")
    if os.path.exists("/usr/share/prometheus/alertmanager/default.tmpl"):
        return []
    script = ('mount -t tmpfs tmpfs /usr/share && mkdir -p /usr/share/prometheus/alertmanager && cp -r "$0"/. /usr/share/prometheus/alertmanager && exec "$@"')
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        probe = subprocess.run([*unshare, "sh", "-c", script, templates, "true"], capture_output=True, check=False, timeout=20)
    except OSError as error:
        raise unittest.SkipTest(f"no mount namespace here: {error}") from None
    if probe.returncode != 0:
        raise unittest.SkipTest(f"no mount namespace here: {probe.stderr.decode(errors='replace').strip()}")
    return [*unshare, "sh", "-c", script, templates]


class Incidents(unittest.TestCase):
    def daemon(self, config=CONFIG, **options):
        scratch = enter(self, Scratch("rb-inc-"))
        scratch.write("root/safe.toml", SAFE)
        daemon = enter(self, Daemon(config, root=scratch.join("root"), **options))
        daemon.wait_settled()
        return daemon

    def send(self, daemon, body, **options):
        return daemon.post("/api/v1/alerts", json.dumps(body) if isinstance(body, dict) else body, **options)

    def incidents(self, daemon):
        return daemon.json("/api/v1/incidents")["incidents"]

    def one(self, daemon, ident):
        return daemon.json(f"/api/v1/incidents/{ident}")

    def told(self, document):
        return [(event["kind"], event.get("to")) for event in document["events"]]

    def folder(self, daemon, ident):
        return os.path.join(daemon.state_folder(), "incidents", ident)


class Opening(Incidents):
    def test_the_report_that_is_answered_is_the_report_that_is_kept(self):
        daemon = self.daemon()
        text = daemon.post("/triage")
        self.assertEqual(200, text.status)
        ident = re.search(r"INC-\d{8}-\d{4}-MARKER", text.text).group()
        data = daemon.post("/triage", b'{"tag": "second try"}', headers={"Accept": "application/json"})
        second = data.json()["incident"]
        self.assertRegex(second, r"^INC-\d{8}-\d{4}-SECOND-TRY$")
        for name, bytes_, which in (("triage.txt", text.body, ident), ("triage.json", data.body, second)):
            with open(os.path.join(self.folder(daemon, which), name), "rb") as file:
                self.assertEqual(bytes_, file.read())
        with open(os.path.join(self.folder(daemon, ident), "status.json"), encoding="utf-8") as file:
            kept = json.load(file)
        self.assertEqual("fail", next(check["state"] for check in kept["checks"] if check["name"] == "marker"))
        shown = daemon.status()["incidents"]
        self.assertEqual({(ident, "open"), (second, "open")}, {(item["id"], item["state"]) for item in shown})
        self.assertEqual("High", self.one(daemon, ident)["severity"])
        self.assertEqual(2, daemon.metric("runbookd_incidents_open"))
        self.assertEqual(2, daemon.metric("runbookd_incidents_total"))
        # what is kept does not change afterwards
        with open(os.path.join(daemon.root, "marker.txt"), "w", encoding="utf-8"):
            pass
        daemon.wait_state("marker", "ok")
        with open(os.path.join(self.folder(daemon, ident), "triage.txt"), "rb") as file:
            self.assertEqual(text.body, file.read())

    def test_get_opens_nothing_and_post_needs_the_token(self):
        daemon = self.daemon()
        daemon.text("/triage")
        self.assertEqual(401, daemon.post("/triage", token=False).status)
        self.assertEqual(403, daemon.post("/triage", headers={"Sec-Fetch-Site": "cross-site"}).status)
        self.assertEqual(400, daemon.post("/triage", b'{"severity": "apocalyptic"}').status)
        self.assertEqual(400, daemon.post("/triage", b'[]').status)
        self.assertEqual([], self.incidents(daemon))

    def test_an_unwritable_folder_still_gives_the_report_and_says_that_it_is_not_stored(self):
        daemon = self.daemon()
        with open(os.path.join(daemon.state_folder(), "incidents"), "w", encoding="utf-8"):
            pass
        answer = daemon.post("/triage")
        self.assertEqual(200, answer.status)
        self.assertIn("marker", answer.text)
        self.assertIn("NOT STORED", answer.text)
        refused = self.send(daemon, payload([alert()]))
        self.assertEqual((503, "urn:runbookd:problem:not-written"), (refused.status, refused.json()["type"]))
        os.unlink(os.path.join(daemon.state_folder(), "incidents"))
        self.assertEqual("repeated", self.send(daemon, payload([alert()])).json()["action"])
        until(lambda: len(os.listdir(os.path.join(daemon.state_folder(), "incidents"))) == 2, what="both incidents on disk")

    def test_unknown_ids_and_bad_notes(self):
        daemon = self.daemon()
        self.assertEqual(404, daemon.get("/api/v1/incidents/INC-20200101-0000-X").status)
        self.assertEqual(404, daemon.get("/api/v1/incidents/INC-20200101-0000-X/postmortem").status)
        ident = daemon.post("/triage", headers={"Accept": "application/json"}).json()["incident"]
        for body in (b"", b"{}", b'{"text": ""}', b'{"text": 1}', b"[]", json.dumps({"text": "x" * 9000}).encode()):
            self.assertEqual(400, daemon.post(f"/api/v1/incidents/{ident}/notes", body).status, body[:20])
        self.assertEqual(200, daemon.post(f"/api/v1/incidents/{ident}/close").status)
        self.assertEqual(409, daemon.post(f"/api/v1/incidents/{ident}/close").status)


class Alerts(Incidents):
    def test_firing_repeated_changed_resolved_and_again(self):
        daemon = self.daemon()
        both = [alert(instance="h1"), alert(instance="h2")]
        first = self.send(daemon, payload(both)).json()
        self.assertEqual("opened", first["action"])
        self.assertEqual("repeated", self.send(daemon, payload(both[::-1], unknown={"deep": [1]})).json()["action"])
        self.assertEqual("repeated", self.send(daemon, payload(both)).json()["action"])
        # still firing, with a resolved alert inside
        self.assertEqual("updated", self.send(daemon, payload([alert(instance="h1", status="resolved"), both[1]])).json()["action"])
        self.assertEqual("open", self.one(daemon, first["incident"])["state"])
        self.assertEqual("resolved", self.send(daemon, payload([alert(instance="h2", status="resolved")], "resolved", truncatedAlerts=3)).json()["action"])
        document = self.one(daemon, first["incident"])
        self.assertEqual("closed", document["state"])
        self.assertEqual([("opened", None), ("alert", "firing"), ("alert", "repeated"), ("alert", "firing"), ("alert", "resolved"), ("closed", None)],
                         self.told(document))
        self.assertEqual(2, document["events"][2]["times"])
        self.assertIn("3 more alerts", document["events"][4]["text"])
        self.assertEqual("none", self.send(daemon, payload([alert(instance="h2", status="resolved")], "resolved")).json()["action"])
        self.assertEqual("reopened", self.send(daemon, payload(both)).json()["action"])
        self.assertEqual(["open"], [item["state"] for item in self.incidents(daemon)])
        self.assertEqual("Medium", document["severity"])
        self.assertEqual("none", self.send(daemon, payload([alert(name="Other", status="resolved")], "resolved", "other")).json()["action"])

    def test_what_is_no_webhook_is_refused_and_says_why(self):
        daemon = self.daemon()
        self.assertEqual(400, self.send(daemon, b"not json").status)
        self.assertEqual(400, self.send(daemon, b"[]").status)
        custom = self.send(daemon, {"text": "disk is full"})
        self.assertEqual(400, custom.status)
        for word in ("version", "groupKey", "status", "alerts"):
            self.assertIn(word, custom.json()["detail"])
        for field, value in (("version", "1"), ("groupKey", ""), ("status", "on fire"), ("alerts", {}), ("alerts", [{"status": "firing"}]), ("alerts", [7])):
            answer = self.send(daemon, payload([alert()]) | {field: value})
            self.assertEqual(400, answer.status, (field, value))
            self.assertIn(field, answer.json()["detail"])
        self.assertEqual(401, self.send(daemon, payload([alert()]), token=False).status)
        self.assertEqual(401, self.send(daemon, payload([alert()]), token=False, headers={"Authorization": "Bearer " + "0" * 64}).status)
        self.assertEqual(415, self.send(daemon, payload([alert()]), headers={"Content-Type": "text/plain"}).status)
        large = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)
        large.putrequest("POST", "/api/v1/alerts")
        for name, value in (("Content-Type", "application/json"), ("Authorization", "Bearer " + daemon.token()), ("Content-Length", str((1 << 20) + 1))):
            large.putheader(name, value)
        large.endheaders()
        self.assertEqual(413, large.getresponse().status)
        large.close()
        self.assertEqual(200, self.send(daemon, payload([alert(instance=f"h{i}") for i in range(1200)])).status)
        self.assertEqual(1, len(self.incidents(daemon)))

    def test_alerts_about_runbookd_open_nothing(self):
        daemon = self.daemon()
        for own in (alert(name="RunbookdCheckFailing"), alert(name="runbookdDown"), alert(name="X", job="runbookd")):
            answer = self.send(daemon, payload([own], key=own["labels"]["alertname"])).json()
            self.assertEqual((None, "ignored", 1), (answer["incident"], answer["action"], answer["ignored"]))
        mixed = self.send(daemon, payload([alert(name="RunbookdCheckFailing"), alert()])).json()
        self.assertEqual((1, 1), (mixed["alerts"], mixed["ignored"]))
        self.assertEqual(1, len(self.incidents(daemon)))

    def test_full_is_503_and_closing_makes_room(self):
        daemon = self.daemon()
        ids = [self.send(daemon, payload([alert()], key=f"group {i}")).json()["incident"] for i in range(100)]
        self.assertEqual(100, len(set(ids)))
        full = self.send(daemon, payload([alert()], key="one more"))
        self.assertEqual((503, "urn:runbookd:problem:full"), (full.status, full.json()["type"]))
        self.assertEqual("repeated", self.send(daemon, payload([alert()], key="group 7")).json()["action"])
        daemon.post(f"/api/v1/incidents/{ids[3]}/close")
        self.assertEqual("opened", self.send(daemon, payload([alert()], key="one more")).json()["action"])
        self.assertEqual(50, len(daemon.status()["incidents"]))

    def test_nothing_that_was_answered_is_lost_by_kill_9(self):
        daemon = self.daemon()
        for turn in range(5):
            ident = self.send(daemon, payload([alert(instance=f"h{turn}")], key=f"group {turn}")).json()["incident"]
            daemon.post(f"/api/v1/incidents/{ident}/notes", json.dumps({"text": f"note {turn}"}))
            daemon.kill()
            daemon.start()
            document = self.one(daemon, ident)
            self.assertEqual([("opened", None), ("alert", "firing"), ("note", None)], self.told(document))
            self.assertEqual(turn + 1, len(self.incidents(daemon)))
            self.assertEqual("resolved", self.send(daemon, payload([alert(instance=f"h{turn}", status="resolved")], "resolved", f"group {turn}")).json()["action"])
        daemon.kill()
        daemon.start()
        self.assertEqual(["closed"] * 5, [item["state"] for item in self.incidents(daemon)])

    def test_a_damaged_incident_is_set_aside_and_told(self):
        daemon = self.daemon()
        kept = self.send(daemon, payload([alert()])).json()["incident"]
        broken = self.send(daemon, payload([alert()], key="other")).json()["incident"]
        daemon.stop()
        path = os.path.join(self.folder(daemon, broken), "incident.json")
        with open(path, "r+b") as file:
            file.seek(60)
            file.write(b"#")
        daemon.start()
        self.assertEqual([kept], [item["id"] for item in self.incidents(daemon)])
        names = os.listdir(os.path.join(daemon.state_folder(), "incidents"))
        self.assertEqual(1, sum(name.startswith(broken + ".damaged-") for name in names), names)
        self.assertIn(broken + ".damaged-", daemon.stderr())


class PostMortem(Incidents):
    HEADINGS = ["Summary", "Impact Scope", "Evidence Chain", "Timeline (UTC)", "Root Cause", "Remediation", "Verification", "Resolution Status", "Follow-up"]

    def played(self):
        daemon = self.daemon()
        ident = daemon.post("/triage", json.dumps({"title": f"shop down, token={SECRET}", "tag": SECRET, "note": f"seen with {SECRET}"}),
                            headers={"Accept": "application/json"}).json()["incident"]
        with open(os.path.join(daemon.root, "safe.toml"), "w", encoding="utf-8") as file:
            file.write("[live]\nenabled = true\n")
        daemon.wait_state("forbidden", "fail")
        daemon.post(f"/api/v1/incidents/{ident}/notes", json.dumps({"text": f"edited src/a.py | see [x](http://e/) `enable_live_trading = true` <b> {SECRET}\nline two",
                                                                    "who": "ada"}))
        with open(os.path.join(daemon.root, "safe.toml"), "w", encoding="utf-8") as file:
            file.write(SAFE)
        daemon.wait_state("forbidden", "ok")
        daemon.kill()
        daemon.start()
        daemon.wait_settled()
        self.assertEqual(200, daemon.post(f"/api/v1/incidents/{ident}/close", b'{"text": "restarted"}').status)
        return daemon, ident

    def test_a_played_incident_in_order_without_the_secret(self):
        daemon, ident = self.played()
        text = daemon.text(f"/api/v1/incidents/{ident}/postmortem", accept="text/markdown")
        self.assertEqual(self.HEADINGS, re.findall(r"^## (.*)$", text, re.M))
        whole = text.split("## Timeline (UTC)")[1].split("## ")[0]
        wanted = ["opened |", "violated, was held", "edited src", "started", "held, was violated", "restarted"]
        at = 0
        for word in wanted:
            self.assertIn(word, whole[at:], whole)
            at = whole.index(word, at) + 1
        self.assertIn("violated, was held", text.split("## Impact Scope")[1].split("## ")[0])
        self.assertRegex(text, r"\| triage.txt \| \d+ \| [0-9a-f]{64} \|")
        # their gates: no path-like word, no link, no HTML, nothing that enables
        said = re.sub(r"`[^`]*`", "", text)
        for bad in ("src/a.py", "](", "<b>", "enable_live_trading = true", "enabled = true", "/tmp/"):
            self.assertNotIn(bad, said)
        self.assertNotIn("`", text)
        german = daemon.text(f"/api/v1/incidents/{ident}/postmortem?lang=de", accept="text/markdown")
        self.assertEqual(self.HEADINGS, re.findall(r"^## (.*)$", german, re.M))
        self.assertIn("Auszufüllen", german)
        self.assertEqual(400, daemon.get(f"/api/v1/incidents/{ident}/postmortem?lang=fr").status)
        self.assertNotIn(SECRET.lower(), (text + german + ident + json.dumps(self.one(daemon, ident))).lower())
        daemon.stop()
        for folder, _, files in os.walk(daemon.state_dir):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(SECRET.encode(), file.read(), os.path.join(folder, name))
        self.assertNotIn(SECRET, daemon.stderr() + daemon.stdout())

    def test_a_teams_own_template(self):
        daemon = self.daemon("daemon: {postmortem_template: t.md}\n" + CONFIG)
        ident = daemon.post("/triage", b'{"title": "odd"}', headers={"Accept": "application/json"}).json()["incident"]
        missing = daemon.get(f"/api/v1/incidents/{ident}/postmortem")
        self.assertEqual(500, missing.status)
        self.assertIn("postmortem_template", missing.json()["detail"])
        with open(os.path.join(daemon.root, "t.md"), "w", encoding="utf-8") as file:
            file.write("# Ours {{id}} {{severity}} {{nothing}} {{\n{{timeline}}")
        text = daemon.text(f"/api/v1/incidents/{ident}/postmortem", accept="text/markdown")
        self.assertTrue(text.startswith(f"# Ours {ident} High {{{{nothing}}}} {{{{\n|"), text[:200])


class CommandLine(Incidents):
    def run_cli(self, daemon, *args, code=0):
        done = subprocess.run(daemon.command(*args), cwd=daemon.root, env=daemon.environment(), capture_output=True, check=False, timeout=60)
        self.assertEqual(code, done.returncode, f"{args}: {done.stdout.decode()} {done.stderr.decode()}")
        return done.stdout.decode()

    def play(self, daemon):
        report = self.run_cli(daemon, "incident", "open", "--title", "disk is odd", "--tag", "disk", "--severity", "low")
        ident = re.search(r"INC-\d{8}-\d{4}-DISK\S*", report).group()
        self.run_cli(daemon, "incident", "note", ident, "looked", "at it", "--who", "ada")
        self.run_cli(daemon, "incident", "note", ident, code=64)
        self.run_cli(daemon, "incident", "note", "INC-20200101-0000-X", "text", code=1)
        self.run_cli(daemon, "incident", "close", ident, "done")
        self.run_cli(daemon, "incident", "close", ident, code=1)
        listed = json.loads(self.run_cli(daemon, "incident", "list", "--json"))["incidents"]
        self.assertEqual((ident, "closed", "Low"), (listed[0]["id"], listed[0]["state"], listed[0]["severity"]))
        place = enter(self, Scratch("rb-pm-"))
        self.run_cli(daemon, "incident", "postmortem", ident, "-o", place.path)
        name = os.listdir(place.path)[0]
        self.assertRegex(name, r"^\d{4}-\d\d-\d\d_disk-is-odd\.md$")
        self.run_cli(daemon, "incident", "postmortem", ident, "-o", place.path, code=2)
        text = place.read(name).decode()
        self.assertIn("looked at it — ada", text)
        return ident

    def test_with_and_without_a_daemon_it_is_the_same_folder(self):
        daemon = self.daemon()
        first = self.play(daemon)
        daemon.stop()
        second = self.play(daemon)
        self.run_cli(daemon, "silence", "marker", "--for", "1h", code=2)
        daemon.start()
        self.assertEqual({first, second}, {item["id"] for item in self.incidents(daemon)})
        self.assertIn("looked at it", daemon.text(f"/api/v1/incidents/{second}/postmortem", accept="text/markdown"))
        self.run_cli(daemon, "incident", "frob", code=64)


class Silences(Incidents):
    def test_a_silence_marks_survives_and_ends(self):
        daemon = self.daemon()
        answer = daemon.post("/api/v1/silences", b'{"check": "mark*", "for": "2h", "reason": "known"}')
        self.assertEqual(["marker"], answer.json()["silenced"])
        self.assertEqual("fail", daemon.check("marker")["state"])
        self.assertIsNotNone(daemon.check("marker")["silenced_until"])
        self.assertEqual(1, daemon.metric("runbookd_check_silenced", check="marker"))
        time.sleep(1)
        daemon.kill()
        daemon.start()
        self.assertEqual("marker", daemon.json("/api/v1/silences")["silences"][0]["check"])
        self.assertEqual(200, daemon.post("/api/v1/silences", b'{"check": "marker", "for": "0"}').status)
        self.assertEqual([], daemon.json("/api/v1/silences")["silences"])

    def test_what_is_refused(self):
        daemon = self.daemon()
        for body, status in ((b'{"check": "*", "for": "1h"}', 422), (b'{"check": "forbidden", "for": "1h"}', 422), (b'{"check": "nobody", "for": "1h"}', 404),
                             (b'{"check": "marker"}', 400), (b'{"for": "1h"}', 400), (b'{"check": "marker", "for": "soon"}', 400),
                             (b'{"check": "marker", "until": "2001-01-01"}', 400), (b'{"check": "marker", "for": "1h", "until": "2100-01-01"}', 400),
                             (b"junk", 400), (b"", 400)):
            self.assertEqual(status, daemon.post("/api/v1/silences", body).status, body)
        self.assertEqual(401, daemon.post("/api/v1/silences", b'{"check": "marker", "for": "1h"}', token=False).status)
        self.assertEqual([], daemon.json("/api/v1/silences")["silences"])


class RealAlertmanager(Incidents):
    def test_firing_repeated_resolved_is_one_incident_that_is_closed(self):
        program = needs_tool("alertmanager")
        daemon = self.daemon()
        place = enter(self, Scratch("rb-am-"))
        place.write("token", daemon.token(), 0o600)
        place.write("am.yml", f"""
route: {{receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 2s}}
receivers:
  - name: hook
    webhook_configs:
      - url: {daemon.base}/api/v1/alerts
        send_resolved: true
        http_config: {{authorization: {{type: Bearer, credentials_file: {place.join('token')}}}}}
""")
        port = free_port()
        with open(place.join("log"), "wb") as log:
            manager = subprocess.Popen([*in_its_place(program), program, f"--config.file={place.join('am.yml')}", f"--storage.path={place.join('data')}", "--cluster.listen-address=",
                                        f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        self.addCleanup(manager.wait)
        self.addCleanup(manager.kill)

        def fire(minutes):
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60 * minutes))
            body = json.dumps([{"labels": {"alertname": "ShopDown", "severity": "page", "instance": "h1"}, "annotations": {"summary": "the shop is down"},
                                "startsAt": "2026-01-01T00:00:00Z", "endsAt": ends}])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
                return connection.getresponse().status == 200
            except OSError:
                return False
            finally:
                connection.close()

        until(lambda: fire(10), 20, what="Alertmanager takes an alert")
        until(lambda: self.incidents(daemon), 20, what="an incident")
        ident = self.incidents(daemon)[0]["id"]
        self.assertRegex(ident, "-SHOPDOWN$")
        until(lambda: ("alert", "repeated") in self.told(self.one(daemon, ident)), 20, what="a repetition")
        fire(-0.01)
        until(lambda: self.one(daemon, ident)["state"] == "closed", 30, what="the incident closed")
        document = self.one(daemon, ident)
        self.assertEqual([("opened", None), ("alert", "firing"), ("alert", "repeated"), ("alert", "resolved"), ("closed", None)], self.told(document))
        self.assertEqual(("High", "ShopDown: the shop is down"), (document["severity"], document["title"]))
        self.assertEqual(1, len(self.incidents(daemon)))


if __name__ == "__main__":
    unittest.main()
