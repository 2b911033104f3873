#!/usr/bin/env python3
"""The command line against the real binary: exit codes, files written and not written, trust, formats, a daemon that lies.

usage: cli_commands.py BINARY        prints "PASS name" or "FAIL name: why" for each case; exit 1 when one failed
"""
import http.server
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

BINARY = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/runbookd")
CASES = []


def case(function):
    CASES.append(function)
    return function


class Place:
    """A git repository and a state folder of their own."""

    def __init__(self, config=None):
        self.base = os.path.realpath(tempfile.mkdtemp(prefix="rb-cli-"))
        self.root = os.path.join(self.base, "tree")
        self.state = os.path.join(self.base, "state")
        os.mkdir(self.root)
        subprocess.run(["git", "init", "-q", self.root], check=True)
        if config is not None:
            self.write("runbookd.yml", config)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.base)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def environment(self):
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": self.base, "TERM": "xterm"}
        return env | {key: value for key, value in os.environ.items() if key.startswith(("ASAN", "UBSAN", "TSAN", "LIBEV", "RUNBOOKD_USE"))}

    def run(self, *args, expect=None):
        done = subprocess.run([BINARY, "--state-dir", self.state, *args], cwd=self.root, env=self.environment(), capture_output=True, timeout=60, check=False)
        done.out, done.err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"{args}: exit {done.returncode}, expected {expect}\n{done.out}{done.err}")
        return done


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    def __init__(self, place, port):
        self.process = subprocess.Popen([BINARY, "--state-dir", place.state, "serve", "--config", place.path("runbookd.yml"), "--listen", f"127.0.0.1:{port}"],
                                        cwd=place.root, env=place.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            # It answers before it has said in its state folder where: the command line has to find it.
            if place.run("status").returncode != 2:
                return
            time.sleep(0.05)
        raise AssertionError("the daemon did not start: " + self.stop())

    def stop(self):
        self.process.terminate()
        return b"".join(self.process.communicate(timeout=20)).decode("utf-8", "replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def check(condition, text):
    if not condition:
        raise AssertionError(text)


GOOD = "checks:\n  - {name: machine, kind: host}\n"


@case
def usage_errors_are_64_with_a_suggestion():
    with Place() as place:
        for args, part in ((["chekc"], "did you mean `check`?"), (["check", "--strickt"], "--strict"), (["check", "--format", "yaml"], "json"),
                           (["status", "web"], "too much"), (["explain", "hots"], "did you mean `host`?"), (["help", "chek"], "check"), ([], "Usage")):
            done = place.run(*args, expect=64)
            check(part in done.err, f"{args}: {done.err}")
            check(done.out == "", f"{args} wrote to stdout")
        check("runbookd help check" in place.run("check", "--nope", expect=64).err, "no pointer to the help")


@case
def help_version_and_tables():
    with Place() as place:
        commands = re.findall(r"^  ([a-z]+) ", place.run("help", expect=0).out, re.M)
        check({"serve", "check", "status", "triage", "validate", "init", "trust", "explain", "schema", "info", "version"} <= set(commands), commands)
        for command in commands:
            check(f"Usage: runbookd {command}" in place.run("help", command, expect=0).out, command)
            check(place.run(command, "--help", expect=0).out == place.run("help", command, expect=0).out, command)
        check(re.fullmatch(r"runbookd \d+\.\d+\.\d+\n", place.run("version", expect=0).out), "version")
        check(place.run("--version", expect=0).out == place.run("version").out, "--version")
        json.loads(place.run("schema", expect=0).out)
        kinds = re.findall(r"^  ([a-z]+) ", place.run("explain", expect=0).out, re.M)
        for kind in kinds:
            check(len(place.run("explain", kind, expect=0).out) > 100, kind)
        info = json.loads(place.run("info", "--json", expect=0).out)
        check(info["configuration"]["root"] == place.root, info)


@case
def completions_and_manual_are_valid():
    with Place() as place:
        for shell in ("bash", "zsh", "fish"):
            text = place.run("completion", shell, expect=0).out
            check("--strict" in text or "strict" in text, shell)
            if shutil.which(shell):
                done = subprocess.run([shell, "-n"], input=text.encode(), capture_output=True, check=False)
                check(done.returncode == 0, f"{shell}: {done.stderr}")
        place.run("completion", "tcsh", expect=64)
        manual = place.run("explain", "--man", expect=0).out
        check(manual.startswith(".TH RUNBOOKD 1") and manual.isascii(), "man page")
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=manual.encode(), capture_output=True, check=False)
            check(done.returncode == 0 and done.stderr == b"", done.stderr)


@case
def every_error_has_its_place():
    config = ("include: [missing.yml]\n"
              "checks:\n"
              "  - {name: a, kind: host, depends_on: [b]}\n"
              "  - {name: b, kind: host, depends_on: [a], every: soon}\n"
              "  - {name: c, kind: hots}\n"
              "  - {name: d, kind: host, name: e}\n"
              "  - {name: f, kind: host, dsik: {path: /}}\n")
    with Place(config) as place:
        done = place.run("validate", expect=78)
        for part in ("missing.yml", "circle", "every", "did you mean", "name", "dsik"):
            check(part in done.err, f"{part} is not in\n{done.err}")
        places = re.findall(r"runbookd\.yml:(\d+):(\d+): ", done.err)
        check(len(places) >= 6, done.err)
        report = json.loads(place.run("validate", "--json", expect=78).out)
        check(report["valid"] is False and len(report["errors"]) >= 6, report)
        for error in report["errors"]:
            check(error["line"] > 0 and error["column"] > 0 and error["message"], error)
        for command in ("check", "trust"):
            place.run(command, expect=78)
    with Place() as place:
        place.run("validate", "--config", "nowhere.yml", expect=78)
    with Place(GOOD) as place:
        check("1 check, 1 file, not trusted" in place.run("validate", expect=0).out, "validate")
        report = json.loads(place.run("validate", "--json", expect=0).out)
        check(report["valid"] is True and report["errors"] == [] and len(report["checks"]) == 1, report)


@case
def init_writes_once_and_only_there():
    with Place() as place:
        text = place.run("init", "--stdout", expect=0).out
        check(os.listdir(place.root) == [".git"], "init --stdout wrote something")
        place.run("init", expect=0)
        with open(place.path("runbookd.yml"), encoding="utf-8") as file:
            check(file.read() == text, "init and init --stdout differ")
        place.write("runbookd.yml", "mine: true\n")
        check("--force" in place.run("init", expect=2).err, "no way out is named")
        with open(place.path("runbookd.yml"), encoding="utf-8") as file:
            check(file.read() == "mine: true\n", "init replaced a file")
        place.run("init", "--force", expect=0)
        place.run("validate", expect=0)
        check(sorted(os.listdir(place.root)) == [".git", "runbookd.yml"], os.listdir(place.root))
        os.unlink(place.path("runbookd.yml"))
        os.symlink("/nowhere/at/all", place.path("runbookd.yml"))
        place.run("init", expect=2)
        place.run("init", "--force", expect=2)
        check(os.readlink(place.path("runbookd.yml")) == "/nowhere/at/all", "the link was replaced")


@case
def nothing_starts_before_trust():
    config = "checks:\n  - {name: probe, kind: tool, argv: [./probe.sh, 'a b', --token=hunter2hunter2]}\n"
    with Place(config) as place:
        place.write("probe.sh", "#!/bin/sh\n: > ran\necho probe 1.2\n", 0o755)
        done = place.run("check", "--json", expect=1)
        check(json.loads(done.out)["checks"][0]["reason"] == "untrusted", done.out)
        check(not os.path.exists(place.path("ran")), "an untrusted program ran")
        done = place.run("trust", expect=0)
        check("./probe.sh" in done.out and "'a b'" in done.out and "hunter2" not in done.out, done.out)
        check(json.loads(place.run("check", "--json", expect=0).out)["checks"][0]["state"] == "ok", "trusted")
        check(os.path.exists(place.path("ran")), "a trusted program did not run")
        place.write("runbookd.yml", config + "# changed\n")
        place.run("check", expect=1)
        place.run("--config", "runbookd.yml", "check", expect=0)
    with Place() as place:
        check("runbookd init" in place.run("trust", expect=2).err, "trust without a file")


@case
def exit_codes_and_formats():
    config = ("checks:\n"
              "  - {name: fine, kind: host}\n"
              "  - {name: low, kind: host, phase: gate, disk: {path: /, warn_below: 100%}}\n"
              "  - {name: gone, kind: host, phase: safety, disk: {path: /no/such/path}}\n")
    with Place(config) as place:
        place.run("check", "fine", expect=0)
        place.run("check", "low", expect=0)
        place.run("check", "low", "--strict", expect=1)
        done = place.run("check", expect=1)
        check("\033" not in done.out and done.err == "", "colour or progress without a terminal")
        place.run("check", "--phase", "gate", expect=0)
        check("did you mean 'fine'" in place.run("check", "fien", expect=64).err, "suggestion")
        report = json.loads(place.run("check", "--json", expect=1).out)
        check({"summary", "safety", "checks"} <= set(report) and report["safety"]["state"] == "violated", report.keys())
        check(json.loads(place.run("check", "--format", "json").out)["summary"] == report["summary"], "--json and --format json")
        check(xml.etree.ElementTree.fromstring(place.run("check", "--format", "junit", expect=1).out) is not None, "junit")
        check(json.loads(place.run("check", "--format", "sarif", expect=1).out)["version"] == "2.1.0", "sarif")
        for names, code in ((["fine"], 0), (["low"], 1), (["low", "gone"], 2)):
            done = place.run("check", "--format", "nagios", *names, expect=code)
            check(done.out.count("\n") == 1, done.out)
        check(sorted(os.listdir(place.root)) == [".git", "runbookd.yml"] and not os.path.exists(place.state), "check wrote something")


@case
def output_that_does_not_get_out_is_told():
    with Place(GOOD) as place:
        for redirect in (">&-",) + ((">/dev/full",) if os.path.exists("/dev/full") else ()):
            done = subprocess.run(["sh", "-c", f'"$0" check {redirect}', BINARY], cwd=place.root, env=place.environment(), capture_output=True, timeout=60, check=False)
            check(done.returncode == 2 and b"could not be written" in done.stderr, f"{redirect}: {done}")


@case
def without_a_daemon():
    port = free_port()
    with Place(f"daemon: {{listen: ['127.0.0.1:{port}']}}\n" + GOOD) as place:
        done = place.run("status", expect=2)
        check(done.out == "" and done.err.count("\n") == 1 and "runbookd serve" in done.err and str(port) in done.err, done.err)
        done = place.run("triage", expect=0)
        check("No daemon answers" in done.out.splitlines()[0] and "VERDICT" in done.out, done.out)
        check(json.loads(place.run("triage", "--json", expect=0).out)["verdict"] == "healthy", "json")
        check(not os.path.exists(place.state), "triage wrote state")


@case
def with_a_daemon():
    port, closed = free_port(), free_port()
    config = f"checks:\n  - {{name: machine, kind: host, every: 1s}}\n  - {{name: web, kind: port, port: {closed}, every: 1s}}\n"
    with Place(config) as place:
        with Daemon(place, port):
            deadline = time.monotonic() + 15
            while place.run("status").out.count("pending") and time.monotonic() < deadline:
                time.sleep(0.2)
            done = place.run("status", expect=1)
            check("web" in done.out and "nobody listens" in done.out, done.out)
            status = json.loads(place.run("status", "--json", expect=1).out)
            check(status["summary"]["fail"] == 1 and status["root"] == place.root, status["summary"])
            done = place.run("triage", expect=1)
            check("No daemon" not in done.out and "CAUSE" in done.out, done.out)
            # A second daemon on the same tree is refused, by a message that names the reason.
            done = place.run("serve", "--config", "runbookd.yml", "--listen", f"127.0.0.1:{free_port()}")
            check(done.returncode != 0 and "another runbookd" in done.err, done.err)
            watch_on_a_terminal(place)
            # A configuration that was broken meanwhile does not hide the daemon that still runs on the old one.
            place.write("runbookd.yml", "checks: [\n")
            check("nobody listens" in place.run("status", expect=1).out, "status with a broken configuration")
            check("No daemon" not in place.run("triage", expect=1).out, "triage with a broken configuration")
        place.run("status", expect=2)


def watch_on_a_terminal(place):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.root)
        os.execve(BINARY, [BINARY, "--state-dir", place.state, "status", "--watch", "1"], place.environment())
    shown, deadline = b"", time.monotonic() + 10
    while time.monotonic() < deadline and shown.count(b"\033[H") < 2:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536)
    os.kill(pid, signal.SIGINT)
    try:
        while select.select([terminal], [], [], 2)[0]:
            piece = os.read(terminal, 65536)
            if not piece:
                break
            shown += piece
    except OSError:
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    check(code == 0, f"watch ended with {code}")
    check(b"web" in shown and shown.count(b"\033[H") >= 2, shown)
    check(shown.startswith(b"\033[?1049h") and shown.rstrip().endswith(b"\033[?25h\033[?1049l"), "the terminal was not given back")


@case
def a_lying_daemon_cannot_paint():
    hostile = "ok   x \033[2J\033]0;owned\007 \u202egnp.exe\r\nfail y"

    class Liar(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"root": None, "verdict": "healthy", "summary": {"fail": 0}, "x": hostile}) if "json" in self.headers["Accept"] else hostile
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Place(f"daemon: {{listen: ['127.0.0.1:{server.server_address[1]}']}}\n" + GOOD) as place:
            for command in ("status", "triage"):
                done = place.run(command, expect=0)
                check("owned" in done.out, done.out)
                check(not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", done.out), repr(done.out))
    finally:
        server.shutdown()
        server.server_close()


@case
def what_is_no_runbookd_is_told():
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<html>not here</html>")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Place(f"daemon: {{listen: ['127.0.0.1:{server.server_address[1]}']}}\n" + GOOD) as place:
            check("404" in place.run("status", expect=2).err, "status")
            check("No daemon answers" in place.run("triage", expect=0).out, "triage")
    finally:
        server.shutdown()
        server.server_close()


def main():
    wanted = sys.argv[2:]
    failed = 0
    for function in CASES:
        name = "cli " + function.__name__.replace("_", " ")
        if wanted and function.__name__ not in wanted:
            continue
        try:
            function()
            print(f"PASS {name}", flush=True)
        except Exception as error:  # each case is on its own
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
