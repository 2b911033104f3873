"""The docker and compose kinds against a real engine: every way in which a service can end, and every way in which the engine cannot be asked.

The engine is unpacked into .dev/tools and runs on a private socket (tests/support/docker_engine.py); without root the class is skipped and says so. The parts that
need no engine (nothing there, garbage, a hanging one, no permission) run everywhere.
"""
import glob
import http.server
import json
import os
import signal
import socket
import socketserver
import threading
import time
import unittest

from support import Daemon, Scratch, enter, needs_root, until
from docker_engine import Engine

PROJECT = "peaktrade-observability"
SERVICES = ("prometheus-local", "grafana", "exporter")


def config(socket_path, extra="", presence="required", every="1s"):
    return f"""
defaults: {{every: {every}, timeout: 2s}}
checks:
  - {{name: docker, kind: docker, socket: "{socket_path}", presence: {presence}}}
  - {{name: obs, kind: compose, socket: "{socket_path}", project: {PROJECT}, services: [{", ".join(SERVICES)}], presence: {presence}, window: 2s}}
{extra}"""


class RealEngine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()
        cls.engine.__enter__()
        cls.addClassCleanup(cls.engine.__exit__)

    def setUp(self):
        self.engine.clear()
        for name in SERVICES:
            self.engine.run(name, project=PROJECT, service=name)

    def daemon(self, **options):
        return enter(self, Daemon(config(self.engine.socket, **options)))

    def again(self, name, *args, **options):
        """The service anew, made otherwise."""
        self.engine.remove(name)
        return self.engine.run(name, *args, project=PROJECT, service=name, **options)

    def reached(self, daemon, state, reason, name="obs", timeout=8):
        def look():
            check = daemon.check(name)
            return check if (check["state"], check["reason"]) == (state, reason) else None
        try:
            return until(look, timeout, what=f"{name} {state}:{reason}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {daemon.check(name)}\n{self.engine.log()[-1500:]}") from None

    def test_every_way_to_end(self):
        daemon = self.daemon()
        self.reached(daemon, "ok", "none")
        self.assertEqual(daemon.metric("runbookd_compose_service_up", check="obs", service="grafana"), 1)

        self.engine.do("grafana", "stop", "?t=1")
        check = self.reached(daemon, "fail", "stopped")
        self.assertIn("grafana", check["message"])
        self.assertEqual(daemon.metric("runbookd_compose_service_up", check="obs", service="grafana"), 0)
        self.engine.do("grafana", "start")
        self.reached(daemon, "ok", "none")

        script = "seq 1 30; echo 'password=hunter2hunter2'; echo '\033[31mlast line'; exit 3"
        self.again("exporter", ["/bin/sh", "-c", script])
        check = self.reached(daemon, "fail", "exited")
        self.assertIn("exporter exited with code 3", check["message"])
        words = self.last_words(daemon)
        self.assertEqual(len(words), 20, words)
        self.assertIn("last line", words[-1])
        self.assertNotIn("hunter2", daemon.text("/status", accept="application/json") + daemon.text("/triage") + daemon.text("/"))
        self.assertNotIn("\033", daemon.text("/triage"))

        self.again("exporter", ["/bin/tail", "/dev/zero"], Memory=8 << 20)
        self.assertIn("137", self.reached(daemon, "fail", "oom")["message"])

        self.again("exporter", ["/bin/sh", "-c", "echo no such file: prometheus.yml; exit 7"], restart="always")
        check = self.reached(daemon, "fail", "crash_loop")
        self.assertIn("code 7", check["message"])
        self.assertIn("no such file: prometheus.yml", self.last_words(daemon))

        self.again("exporter", health=["/bin/sh", "-c", "echo database is locked; exit 1"])
        self.reached(daemon, "fail", "unhealthy")
        self.assertIn("database is locked", " ".join(self.last_words(daemon)))

        self.again("exporter")
        self.reached(daemon, "ok", "none")
        self.engine.do("exporter", "pause")
        self.reached(daemon, "warn", "paused")
        self.engine.do("exporter", "unpause")
        self.reached(daemon, "ok", "none")

        self.engine.load("test/busybox:2", extra="another image")
        self.again("exporter", image="test/busybox:2")
        self.assertIn("test/busybox:2", self.reached(daemon, "warn", "image_changed")["message"])
        self.reached(daemon, "ok", "none")  # after its window

        for name in SERVICES:
            self.engine.remove(name)
        self.reached(daemon, "fail", "missing")

    def last_words(self, daemon):
        return daemon.json("/triage?fresh=0")["causes"][0]["last_words"]

    def test_a_tag_that_moved(self):
        daemon = self.daemon()
        self.reached(daemon, "ok", "none")
        self.engine.load("test/busybox:1", extra="moved")
        self.addCleanup(self.engine.load, "test/busybox:1")
        self.assertIn("older image", self.reached(daemon, "warn", "image_changed")["message"])

    def test_presence_optional(self):
        for name in SERVICES:
            self.engine.remove(name)
        daemon = self.daemon(presence="optional")
        self.reached(daemon, "skip", "absent")
        for name in SERVICES:
            self.engine.run(name, project=PROJECT, service=name)
        self.reached(daemon, "ok", "none")
        for name in SERVICES:
            self.engine.do(name, "stop", "?t=1")
        self.reached(daemon, "skip", "absent")
        for name in SERVICES:
            self.engine.do(name, "start")
        self.reached(daemon, "ok", "none")
        self.again("grafana", ["/bin/false"])
        self.reached(daemon, "fail", "exited")
        for name in SERVICES:
            self.engine.remove(name)
        self.reached(daemon, "skip", "absent")

    def test_old_crashes_of_a_project_never_seen_up(self):
        for name in SERVICES:
            self.again(name, ["/bin/false"])
        daemon = self.daemon(presence="optional")
        self.reached(daemon, "skip", "absent")

    def test_engine_stops_and_comes_back(self):
        daemon = self.daemon()
        self.reached(daemon, "ok", "none")
        self.reached(daemon, "ok", "none", name="docker")
        self.engine.stop()
        fault = self.reached(daemon, "fail", "no_socket", name="docker")
        self.assertIn(self.engine.socket, fault["message"])
        check = self.reached(daemon, "unknown", "engine_unreachable")
        self.assertEqual(check["suppressed_by"], "docker")
        report = daemon.json("/triage?fresh=0")
        self.assertEqual([cause["check"] for cause in report["causes"]], ["docker"])
        self.assertEqual([item["check"] for item in report["causes"][0]["explains"]], ["obs"])
        self.assertEqual(report["undetermined"], [])
        self.engine.start()
        self.reached(daemon, "ok", "none", name="docker")
        for name in SERVICES:
            self.engine.do(name, "start")
        self.reached(daemon, "ok", "none")
        # The stream is back too: what happens now is in the timeline, and so is the gap.
        self.engine.do("grafana", "pause")
        self.reached(daemon, "warn", "paused")
        until(lambda: "container grafana was paused" in self.journal(daemon), 5, what="the event in the journal")
        self.assertRegex(self.journal(daemon), r" gap .*container events from ")

    def test_engine_hangs(self):
        daemon = self.daemon()
        self.reached(daemon, "ok", "none", name="docker")
        self.engine.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.engine.process.send_signal, signal.SIGCONT)
        self.reached(daemon, "fail", "timeout", name="docker", timeout=10)
        self.assertLess(daemon.get("/status").seconds, 1)
        self.engine.process.send_signal(signal.SIGCONT)
        self.reached(daemon, "ok", "none", name="docker")

    def test_events_bring_the_check_forward(self):
        daemon = self.daemon(every="1h")
        self.reached(daemon, "ok", "none")
        time.sleep(1.5)  # the streams are open by now
        started = time.monotonic()
        self.engine.do("grafana", "kill")
        self.reached(daemon, "fail", "stopped", timeout=5)
        self.assertLess(time.monotonic() - started, 4)

    def test_only_get_reaches_the_engine(self):
        before = len(self.engine.log())
        daemon = self.daemon()
        self.again("exporter", ["/bin/false"])
        mark = len(self.engine.log())
        self.reached(daemon, "fail", "exited")
        time.sleep(2)
        calls = [line.split("Calling ")[1].split()[0] for line in self.engine.log()[mark:].splitlines() if "Calling " in line]
        self.assertGreater(len(calls), 5)
        self.assertEqual(set(calls), {"GET"}, self.engine.log()[before:][-2000:])

    def test_facts_and_unexpected_project(self):
        self.engine.run("other", project="stranger", service="other")
        extra = f'  - {{name: strict, kind: docker, socket: "{self.engine.socket}", projects: [{PROJECT}], disk: true}}\n'
        daemon = self.daemon(extra=extra)
        daemon.wait_settled()
        check = self.reached(daemon, "warn", "unexpected_project", name="strict")
        self.assertIn("stranger", check["message"])
        self.assertGreater(daemon.metric("runbookd_docker_disk_bytes", check="strict", type="images"), 100_000)
        self.assertEqual(daemon.metric("runbookd_docker_containers", check="docker", state="running"), 4)

    def journal(self, daemon):
        text = ""
        for path in glob.glob(os.path.join(daemon.state_folder(), "journal*")):
            with open(path, encoding="utf-8") as file:
                text += file.read()
        return text


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # the daemon hangs up when its test is over


class FakeEngine(http.server.BaseHTTPRequestHandler):
    """An engine of API 1.52: answers /version and an empty list, remembers paths."""
    paths = []
    version = "1.52"
    containers = []
    details = {}

    def do_GET(self):
        self.paths.append(self.path)
        path = self.path.split("?")[0]
        name = path.rsplit("/", 2)[-2] if path.count("/") > 2 else ""
        answers = {"/version": {"Version": "29.0.0", "ApiVersion": self.version, "MinAPIVersion": "1.44"}}
        if path.endswith("/containers/json"):
            answer = self.containers
        elif name in self.details:
            answer = self.details[name]
        else:
            answer = answers.get(path)
        body = json.dumps(answer if answer is not None else {"message": "page not found"}).encode()
        self.send_response(200 if answer is not None else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "peer"


def serve(test, path, handler):
    server = UnixServer(path, handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    test.addCleanup(server.server_close)
    test.addCleanup(server.shutdown)
    return server


class NoEngine(unittest.TestCase):
    def setUp(self):
        self.scratch = enter(self, Scratch("rbs-"))
        self.path = self.scratch.join("docker.sock")

    def states(self, presence="required", prefix=(), **options):
        daemon = enter(self, Daemon(config(self.path, presence=presence), prefix=prefix, **options))
        daemon.wait_settled()
        return daemon, daemon.check("docker"), daemon.check("obs")

    def test_nothing_there(self):
        _, docker, obs = self.states()
        self.assertEqual((docker["state"], docker["reason"]), ("fail", "no_socket"))
        self.assertEqual((obs["state"], obs["reason"], obs["suppressed_by"]), ("unknown", "engine_unreachable", "docker"))

    def test_nothing_there_and_optional(self):
        _, docker, obs = self.states(presence="optional")
        self.assertEqual((docker["state"], obs["state"]), ("skip", "skip"))

    def test_nobody_listens(self):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.path)
        _, docker, _ = self.states()
        self.assertEqual((docker["state"], docker["reason"]), ("fail", "not_running"))

    def test_garbage(self):
        class Garbage(socketserver.StreamRequestHandler):
            def handle(self):
                self.request.recv(100)
                self.wfile.write(b"\x00\xff\x1b[31mwhat?\r\n\r\n")
        serve(self, self.path, Garbage)
        _, docker, obs = self.states()
        self.assertEqual((docker["state"], docker["reason"]), ("fail", "protocol"))
        self.assertEqual((obs["state"], obs["reason"]), ("unknown", "engine_unreachable"))

    def test_a_web_server_that_is_no_engine(self):
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<html>hello</html>")

            def log_message(self, *_):
                pass

            def address_string(self):
                return "peer"
        serve(self, self.path, Page)
        _, docker, _ = self.states()
        self.assertEqual((docker["state"], docker["reason"]), ("fail", "protocol"))

    @needs_root
    def test_no_permission(self):
        serve(self, self.path, FakeEngine)
        os.chmod(self.path, 0o600)
        os.chmod(self.scratch.path, 0o755)
        import shutil
        if not shutil.which("setpriv"):
            self.skipTest("needs setpriv(1)")
        binary = self.scratch.join("runbookd")
        shutil.copy(os.environ.get("RB_BINARY", ""), binary)
        tree = self.scratch.join("tree")
        state = self.scratch.join("state")
        os.mkdir(tree)
        os.mkdir(state)
        os.chown(state, 65534, 65534)
        config_path = self.scratch.write("c.yml", config(self.path))
        import subprocess
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary, "check", "--json", "--config", config_path, "--root", tree,
                               "--state-dir", state], capture_output=True, check=False, cwd=tree, env={"PATH": os.environ["PATH"], "HOME": state})
        self.assertTrue(done.stdout, done.stderr)
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        self.assertEqual((checks["docker"]["state"], checks["docker"]["reason"]), ("unknown", "no_permission"))
        self.assertEqual((checks["obs"]["state"], checks["obs"]["reason"]), ("unknown", "engine_unreachable"))

    def test_an_engine_of_api_1_52(self):
        labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": "grafana"}
        identity = "a" * 64
        FakeEngine.paths.clear()
        FakeEngine.containers = [{"Id": identity, "Names": ["/g"], "Image": "g:1", "ImageID": "sha256:1", "State": "running", "Status": "Up 2 minutes (unhealthy)",
                                  "Health": {"Status": "unhealthy", "FailingStreak": 3}, "Labels": labels}]
        FakeEngine.details = {}
        serve(self, self.path, FakeEngine)
        daemon, docker, obs = self.states()
        self.assertEqual(docker["state"], "ok")
        self.assertIn("29.0.0", docker["message"])
        self.assertTrue(any(path.startswith("/v1.52/containers/json") for path in FakeEngine.paths), FakeEngine.paths)
        # It could not be inspected (404): the listing is believed.
        self.assertIn("unhealthy", obs["message"] + " ".join(obs["evidence"]))


if __name__ == "__main__":
    unittest.main()
