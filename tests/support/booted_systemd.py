"""A real systemd, booted in a container on a throw-away overlay of this machine's root. Linux, root. Nothing of the machine's own systemd is touched.

with Booted(binds={"/usr/bin/runbookd": "/path/of/binary"}) as booted: booted.run("systemctl", "start", "x")
Mounts live in a mount namespace of their own and end with the container.
"""
import os
import shutil
import subprocess
import tempfile
import time

import fetch

TARGET = "[Unit]\nRequires=basic.target dbus.service\nAfter=basic.target dbus.service\nAllowIsolate=yes\n"
BOOT = ('mount -t tmpfs tmpfs "$0" && mkdir "$0/upper" "$0/work" "$0/root" && '
        'mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root" && exec "$@"')


def missing():
    """Why there can be no such container here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/lib/systemd/systemd") or not os.path.isdir("/usr/share/dbus-1"):
        return "systemd or dbus is not installed here"
    if fetch.tool("systemd-nspawn") is None:
        return fetch.reason("systemd-nspawn")
    return None


class Booted:
    def __init__(self, binds):
        self.scratch = tempfile.mkdtemp(prefix="rb-systemd-")
        os.mkdir(os.path.join(self.scratch, "mnt"))
        target = os.path.join(self.scratch, "rb-test.target")
        with open(target, "w", encoding="ascii") as file:
            file.write(TARGET)
        self.binds = {"/etc/systemd/system/rb-test.target": target} | binds
        self.process, self.leader = None, None
        self.log = open(os.path.join(self.scratch, "log"), "wb")

    def __enter__(self):
        folder = os.path.join(self.scratch, "mnt")
        nspawn = [fetch.tool("systemd-nspawn"), "-q", "-D", os.path.join(folder, "root"), "--boot", "--register=no", "--keep-unit", "--private-network",
                  *[f"--bind-ro={source}:{inside}" for inside, source in self.binds.items()], "systemd.unit=rb-test.target"]
        self.process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", BOOT, folder, *nspawn],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            self.leader = self.find_leader()
            if self.leader and self.run("systemctl", "is-active", "-q", "rb-test.target").returncode == 0:
                return self
            time.sleep(0.1)
        with open(os.path.join(self.scratch, "log"), "rb") as file:
            text = file.read().decode("utf-8", "replace")
        self.__exit__()
        raise AssertionError(f"systemd did not boot: {text[-2000:]}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            if self.leader:
                self.run("systemctl", "poweroff", "--force")
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.terminate()
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def find_leader(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
                children = file.read().split()
        except OSError:
            return None
        for pid in children:  # the container's systemd, once nspawn has made it process 1 of its namespace
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                    if file.read().strip() == "systemd":
                        return pid
            except OSError:
                pass
        return None

    def run(self, *args, timeout=60):
        """A command inside; returns the finished process, output as text."""
        return subprocess.run(["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "--", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=timeout, check=False)

    def show(self, unit, name):
        return self.run("systemctl", "show", unit, "-p", name, "--value").stdout.strip()
