"""A real Docker engine on a private socket, for tests: unpacked into .dev/tools, in a network namespace of its own, with one small image.

with Engine() as engine:
    engine.run("web", ["/bin/sleep", "3600"], project="p", service="web")
Needs root on Linux; raises unittest.SkipTest, saying why, where that is not so. Never installs anything and starts no service.
"""
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import urllib.parse

import fetch

PACKAGES = ("docker.io", "containerd", "runc", "busybox-static")
APPLETS = ("sh", "sleep", "true", "false", "test", "echo", "cat", "tail", "seq", "env", "wget")
IMAGE = "test/busybox:1"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def _programs():
    """PATH with the engine's programs, and the static busybox."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise unittest.SkipTest("a real Docker engine needs root on Linux")
    if not shutil.which("unshare"):
        raise unittest.SkipTest("a private Docker engine needs unshare(1)")
    folders = []
    for name in PACKAGES:
        folder = fetch.package(name)
        if not folder:
            raise unittest.SkipTest(f"no {name}: {fetch._reasons.get(name)}")
        folders.append(folder)
    path = [os.path.join(folder, part) for folder in folders for part in ("usr/sbin", "usr/bin", "bin") if os.path.isdir(os.path.join(folder, part))]
    return os.pathsep.join([*path, os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")]), os.path.join(folders[-1], "bin", "busybox")


def _image_tar(busybox, extra=None, files=None):
    """A root file system with busybox and its links; extra: text that makes another image of it; files: {path in the image: file or folder here}."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in ("bin", "etc", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        tar.add(busybox, "bin/busybox")
        for name in APPLETS:
            link = tarfile.TarInfo("bin/" + name)
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        if extra:
            file = tarfile.TarInfo("etc/extra")
            file.size = len(extra)
            tar.addfile(file, io.BytesIO(extra.encode("ascii")))
        for path, source in (files or {}).items():
            tar.add(os.path.realpath(source), path.lstrip("/"), filter=_useful)
    return data.getvalue()


def _useful(entry):
    """Folders of a language's library hold much that no test needs."""
    return None if os.path.basename(entry.name) in ("test", "idlelib", "ensurepip", "lib2to3", "pydoc_data", "tkinter") or "/config-3" in entry.name else entry


class Engine:
    def __init__(self, bridge=False, own_net=True):
        """bridge: with a network that can publish ports, inside the engine's own network namespace (see inside). own_net=False: the caller already
        lives in a network namespace of its own, and the engine shares it."""
        self.bridge, self.own_net = bridge, own_net
        self.path, self.busybox = _programs()
        self.folder = tempfile.mkdtemp(prefix="rbd-", dir="/tmp")  # containerd's socket must stay below 108 bytes
        self.socket = os.path.join(self.folder, "docker.sock")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None

    # -- life

    def start(self):
        arguments = [*(["unshare", "--net"] if self.own_net else []), "dockerd", "--debug", "--iptables=false", "--ip6tables=false", *([] if self.bridge else ["--bridge=none"]), "--storage-driver=overlay2",
                     "--data-root", os.path.join(self.folder, "data"), "--exec-root", os.path.join(self.folder, "exec"), "--pidfile",
                     os.path.join(self.folder, "pid"), "-H", "unix://" + self.socket]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(arguments, env={"PATH": self.path, "HOME": self.folder}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise unittest.SkipTest(f"dockerd does not start here: {self.log()[-400:]}")
            try:
                if self.ask("GET", "/_ping")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise unittest.SkipTest(f"dockerd does not answer here: {self.log()[-400:]}")

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        try:
            self.start()
            self.load(IMAGE)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.process and self.process.poll() is None:
                self.process.send_signal(signal.SIGCONT)
                self.clear()
        except (OSError, AssertionError, http.client.HTTPException):
            pass
        self.stop()
        for mount in reversed(self._mounts()):
            subprocess.run(["umount", "-l", mount], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _mounts(self):
        with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
            return sorted(line.split()[1] for line in file if line.split()[1].startswith(self.folder + "/"))

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def inside(self, *argv):
        """A command line that runs in the engine's network namespace."""
        return ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", *argv]

    # -- asking

    def ask(self, method, path, body=None, kind="application/json"):
        """(status, document or bytes)"""
        connection = UnixConnection(self.socket)
        try:
            data = json.dumps(body).encode() if isinstance(body, dict) else body
            connection.request(method, path, body=data, headers={"Content-Type": kind} if data is not None else {})
            answer = connection.getresponse()
            raw = answer.read()
            try:
                return answer.status, json.loads(raw)
            except ValueError:
                return answer.status, raw
        finally:
            connection.close()

    def must(self, method, path, body=None, **options):
        status, answer = self.ask(method, path, body, **options)
        assert status < 400, f"{method} {path}: {status} {answer!r}"
        return answer

    # -- images and containers

    def load(self, name, extra=None, files=None):
        repository, tag = name.rsplit(":", 1)
        query = urllib.parse.urlencode({"fromSrc": "-", "repo": repository, "tag": tag})
        self.must("POST", "/images/create?" + query, _image_tar(self.busybox, extra, files), kind="application/x-tar")
        return self.must("GET", f"/images/{urllib.parse.quote(name, safe='')}/json")["Id"]

    def create(self, name, argv, project=None, service=None, image=IMAGE, labels=None, health=None, restart=None, tty=False, env=(), **host):
        all_labels = dict(labels or {})
        if project:
            all_labels |= {"com.docker.compose.project": project, "com.docker.compose.service": service or name,
                           "com.docker.compose.container-number": "1", "com.docker.compose.oneoff": "False",
                           "com.docker.compose.config-hash": all_labels.get("com.docker.compose.config-hash", "0" * 64)}
        body = {"Image": image, "Cmd": argv, "Labels": all_labels, "Tty": tty, "Env": list(env),
                "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": restart or "no"}} | host}
        if "PortBindings" in host:
            body["ExposedPorts"] = {port: {} for port in host["PortBindings"]}
        if health:
            body["Healthcheck"] = {"Test": ["CMD", *health], "Interval": 300_000_000, "Timeout": 5_000_000_000, "Retries": 1}
        return self.must("POST", "/containers/create?name=" + name, body)["Id"]

    def run(self, name, argv=("/bin/sleep", "3600"), **options):
        identity = self.create(name, list(argv), **options)
        self.must("POST", f"/containers/{identity}/start")
        return identity

    def do(self, name, action, query=""):
        self.must("POST", f"/containers/{name}/{action}{query}")

    def inspect(self, name):
        return self.must("GET", f"/containers/{name}/json")

    def remove(self, name):
        self.must("DELETE", f"/containers/{name}?force=1")

    def clear(self):
        for container in self.must("GET", "/containers/json?all=1"):
            self.ask("DELETE", f"/containers/{container['Id']}?force=1")
