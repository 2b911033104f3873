"""What the integration tests share: the real daemon, git repositories, servers on loopback, waiting with a deadline. Standard library only.

from support import Daemon, Repo, Scratch, until, free_port, HttpFixture, BlackHole, parse_metrics, needs_root
Every helper cleans up behind itself when used with `with` or with self.addCleanup / enter(self, helper).
"""
import gzip
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("RB_BINARY") or os.path.join(TOP, "build", "runbookd")
SHARED = os.environ.get("RB_SHARED", "")
PASSED_ON = ("ASAN", "UBSAN", "TSAN", "LSAN", "LIBEV", "RUNBOOKD_USE", "PATH")
sys.path.insert(0, os.path.join(TOP, "tests", "support"))


# ---- waiting

def until(probe, timeout=10.0, every=0.05, what="the condition"):
    """Calls probe until it returns something true, which is returned; AssertionError after the timeout, with the last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come true within {timeout:g} s; last: {value!r}")
        time.sleep(every)


def free_port(family=socket.AF_INET):
    with socket.socket(family) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return probe.getsockname()[1]


def needs_root(test):
    return unittest.skipUnless(os.geteuid() == 0, "needs root")(test)


def needs_linux(test):
    return unittest.skipUnless(sys.platform == "linux", "needs Linux")(test)


def needs_mounts():
    """Skips the test where this user cannot have mounts of its own (no root, a container, a chroot)."""
    try:
        probe = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False, timeout=10)
        why = probe.stderr.decode(errors="replace").strip() if probe.returncode else None
    except OSError as error:
        why = str(error)
    if why is not None:
        raise unittest.SkipTest(f"no mount namespace here: {why}")


def needs_tool(name):
    """Path of a test-only program (see tests/support/fetch.py); skips the test when it is not to be had."""
    import fetch
    path = fetch.tool(name)
    if path is None:
        raise unittest.SkipTest(fetch.reason(name))
    return path


def test_program(name):
    """A helper program that meson builds (tests/unit/NAME): beside the binary, else in build-test; skips the test where neither has it."""
    for build in (os.path.dirname(os.path.realpath(BINARY)), os.path.join(TOP, "build-test")):
        path = os.path.join(build, "tests", "unit", name)
        if os.access(path, os.X_OK):
            return path
    raise unittest.SkipTest(f"{name} is not built: meson setup build-test && ninja -C build-test tests/unit/{name}")


def enter(test, helper):
    """Enters a helper for the time of one test."""
    value = helper.__enter__()
    test.addCleanup(helper.__exit__, None, None, None)
    return value


# ---- places

class Scratch:
    """A folder that goes away."""

    def __init__(self, prefix="rb-"):
        self.path = os.path.realpath(tempfile.mkdtemp(prefix=prefix))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def join(self, *names):
        return os.path.join(self.path, *names)

    def write(self, name, text, mode=0o644):
        path = self.join(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
        os.chmod(path, mode)
        return path

    def read(self, name):
        with open(self.join(name), "rb") as file:
            return file.read()


GIT_ENV = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
           "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": "/nonexistent"}


class Repo(Scratch):
    """A git repository with one commit. files: {name: text}; tree: a folder to copy."""

    def __init__(self, files=None, tree=None):
        super().__init__("rb-repo-")
        if tree:
            shutil.copytree(tree, self.path, dirs_exist_ok=True, symlinks=True)
        self.git("init", "-q", "-b", "main")
        for name, text in (files or {}).items():
            self.write(name, text)
        self.commit("first")

    def git(self, *args, **options):
        done = subprocess.run(["git", *args], cwd=self.path, env=os.environ | GIT_ENV, capture_output=True, check=False, **options)
        if done.returncode != 0:
            raise AssertionError(f"git {args}: {done.stderr.decode('utf-8', 'replace')}")
        return done.stdout.decode("utf-8", "replace")

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)


def first_team_tree():
    """The folder with the first team's real files, or a skip."""
    path = os.path.join(SHARED, "peak_trade", "tree")
    if not SHARED or not os.path.isdir(path):
        raise unittest.SkipTest("set RB_SHARED to the folder that holds peak_trade/tree")
    return path


# ---- the daemon

class Response:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.raw, self.seconds = status, headers, body, seconds
        self.body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)


class Daemon:
    """The real program on a free port with a state folder of its own.

    config: YAML text (written outside the root, given with --config) or None: discovery in the root.
    root: the tree (default: a fresh folder). args: further arguments of serve. ready=False: do not wait for it to listen.
    """

    def __init__(self, config=None, root=None, args=(), env=None, state_dir=None, ready=True, binary=None, port=None, prefix=()):
        self.scratch = Scratch("rb-daemon-")
        self.root = root or self.scratch.join("root")
        os.makedirs(self.root, exist_ok=True)
        self.state_dir = state_dir or self.scratch.join("state")
        self.port = port or free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.binary, self.args, self.prefix, self.extra_env = binary or BINARY, list(args), list(prefix), env or {}
        self.config = None
        if config is not None:
            self.config = self.scratch.join("runbookd.yml")
            self.write_config(config)
        self.process, self.exit_code = None, None
        self.out_path, self.err_path = self.scratch.join("stdout"), self.scratch.join("stderr")
        self.start(ready)

    def environment(self):
        env = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
        return env | {"HOME": self.scratch.path, "LC_ALL": "C.UTF-8"} | self.extra_env

    def command(self, *args):
        common = ["--root", self.root, "--state-dir", self.state_dir]
        return [*self.prefix, self.binary, *common, *(["--config", self.config] if self.config else []), *args]

    def start(self, ready=True):
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.process = subprocess.Popen(self.command("serve", "--listen", f"127.0.0.1:{self.port}", *self.args), cwd=self.root, env=self.environment(),
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.exit_code = None
        if ready:
            self.wait_ready()

    def wait_ready(self, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode} while starting\n{self.log()}")
            try:
                if self.get("/-/healthy").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.03)
        raise AssertionError(f"the daemon was not ready within {timeout} s\n{self.log()}")

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc, _):
        try:
            if self.process.poll() is None:
                self.stop() if exc_type is None else self.kill()
            elif self.exit_code is None and exc_type is None:
                raise AssertionError(f"the daemon had ended by itself with {self.process.returncode}\n{self.log()}")
        finally:
            if exc_type is not None:
                print(self.log(), file=sys.stderr)
            self.scratch.__exit__()

    def write_config(self, text):
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.config + ".new", 0o600)
        os.rename(self.config + ".new", self.config)

    # -- asking

    def get(self, path, accept=None, method="GET", body=None, headers=None, timeout=10):
        all_headers = dict(headers or {})
        if accept:
            all_headers["Accept"] = accept
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        started = time.monotonic()
        try:
            connection.request(method, path, body=body, headers=all_headers)
            answer = connection.getresponse()
            data = answer.read()
            return Response(answer.status, {key.lower(): value for key, value in answer.getheaders()}, data, time.monotonic() - started)
        finally:
            connection.close()

    def text(self, path, accept="text/plain", **options):
        answer = self.get(path, accept=accept, **options)
        assert answer.status == 200, f"{path}: {answer.status} {answer.body[:300]!r}"
        return answer.text

    def json(self, path, **options):
        answer = self.get(path, accept="application/json", **options)
        assert answer.status == 200, f"{path}: {answer.status} {answer.body[:300]!r}"
        return answer.json()

    def post(self, path, body=b"", token=True, **options):
        """As the owner: with the token of the state folder."""
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = "Bearer " + self.token()
        if body:
            headers.setdefault("Content-Type", "application/json")
        return self.get(path, method="POST", body=body, headers=headers, **options)

    def status(self):
        return self.json("/status")

    def check(self, name):
        found = [check for check in self.status()["checks"] if check["name"] == name]
        assert len(found) == 1, f"check {name}: {len(found)} of that name"
        return found[0]

    def wait_state(self, name, *states, timeout=15):
        def reached():
            check = self.check(name)
            return check if check["state"] in states else None
        try:
            return until(reached, timeout, what=f"{name} in {states}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.check(name)}\n{self.log()}") from None

    def wait_settled(self, timeout=30):
        """Until nothing is pending; returns /status."""
        def settled():
            status = self.status()
            return status if status["summary"]["pending"] == 0 else None
        return until(settled, timeout, what="no pending check")

    def metrics(self, accept="text/plain"):
        """{name: {labels as a sorted tuple of pairs: value}}"""
        return parse_metrics(self.text("/metrics", accept=accept))

    def metric(self, name, **labels):
        """The one value of a series; labels may be a part of its labels."""
        found = [value for pairs, value in self.metrics().get(name, {}).items() if labels.items() <= dict(pairs).items()]
        assert len(found) == 1, f"{name}{labels}: {len(found)} series"
        return found[0]

    # -- its files

    def state_folder(self):
        names = [name for name in os.listdir(self.state_dir) if os.path.isdir(os.path.join(self.state_dir, name))]
        assert len(names) == 1, f"folders in the state folder: {names}"
        return os.path.join(self.state_dir, names[0])

    def token(self):
        with open(os.path.join(self.state_folder(), "token"), encoding="ascii") as file:
            return file.read().split()[-1]

    def stdout(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stderr(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log(self, lines=40):
        both = [f"stdout: {line}" for line in self.stdout().splitlines()[-lines:]] + [f"stderr: {line}" for line in self.stderr().splitlines()[-lines:]]
        return "\n".join(both)

    # -- ending

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None):
        if config is not None:
            self.write_config(config)
        self.signal(signal.SIGHUP)

    def stop(self, timeout=15, code=0):
        """TERM; asserts a clean end and that none of its children is left. Returns the seconds it took."""
        children = descendants(self.process.pid)
        started = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            self.exit_code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.exit_code = self.process.wait()
            raise AssertionError(f"the daemon did not end within {timeout} s of TERM\n{self.log()}") from None
        took = time.monotonic() - started
        assert self.exit_code == code, f"the daemon ended with {self.exit_code}\n{self.log()}"
        left = [pid for pid in children if alive(pid)]
        until(lambda: not [pid for pid in left if alive(pid)], 3, what=f"end of the daemon's children {left}")
        return took

    def kill(self):
        self.process.kill()
        self.exit_code = self.process.wait()

    def restart(self, ready=True):
        if self.process.poll() is None:
            self.stop()
        self.start(ready)

    def zombies(self):
        return [pid for pid in descendants(self.process.pid) if process_state(pid) == "Z"]


def process_state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def alive(pid):
    return process_state(pid) not in (None, "Z", "X")


def descendants(pid):
    """All processes below pid (Linux; elsewhere none are known)."""
    parents = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    parents.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(name))
            except (OSError, IndexError):
                pass
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


# ---- metrics, by a parser that shares nothing with the renderer

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse_labels(text):
    pairs, at = [], 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"bad labels at {text[at:at + 40]!r} of {text!r}"
        pairs.append((match[1], match[2].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")))
        at = match.end()
    assert len({key for key, _ in pairs}) == len(pairs), f"a label twice: {text}"
    return tuple(sorted(pairs))


def parse_sample(line):
    match = SAMPLE.match(line)
    assert match, f"not a sample: {line!r}"
    return match[1], parse_labels(match[2] or ""), float(match[3].replace("Inf", "inf"))


def parse_metrics(text):
    """{name: {labels: value}}; asserts that no series comes twice."""
    series = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = parse_sample(line)
            of_name = series.setdefault(name, {})
            assert labels not in of_name, f"twice: {line}"
            of_name[labels] = value
    return series


# ---- servers on loopback

class HttpFixture:
    """An HTTP server whose answer the test chooses: server.status, server.body, server.delay may be changed at any time."""

    def __init__(self, status=200, body=b"ok", port=0, headers=None):
        self.status, self.body, self.delay, self.headers, self.requests = status, body, 0.0, headers or {}, []
        fixture = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                fixture.requests.append((self.command, self.path, dict(self.headers)))
                time.sleep(fixture.delay)
                body = fixture.body(self.path) if callable(fixture.body) else fixture.body
                self.send_response(fixture.status)
                self.send_header("Content-Length", str(len(body)))
                for key, value in fixture.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_HEAD = answer

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class BlackHole:
    """A port that never answers a SYN: a listener with a full backlog (the way to have one on loopback)."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fill = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fill.append(filler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in [*self.fill, self.listener]:
            one.close()


def quantile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
