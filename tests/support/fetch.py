#!/usr/bin/env python3
"""Programs that only tests need, unpacked into .dev/tools and run from there: nothing is installed on the machine, no service is started.

from fetch import tool, reason
tool("prometheus")      path of the program, or None
reason("prometheus")    why not, for a skip that tells
Works as root and as an ordinary user: Debian's packages are downloaded (never installed) and unpacked; when the machine's own package lists
are empty, a private copy of them is fetched into .dev/apt. A download happens once; later runs use what is there, also without a network.
"""
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEV = os.path.join(HERE, ".dev")
TOOLS = os.path.join(DEV, "tools")
# program: (Debian package, path inside it)
PROGRAMS = {
    "prometheus": ("prometheus", "usr/bin/prometheus"),
    "promtool": ("prometheus", "usr/bin/promtool"),
    "alertmanager": ("prometheus-alertmanager", "usr/bin/prometheus-alertmanager"),
    "amtool": ("prometheus-alertmanager", "usr/bin/amtool"),
    "blackbox_exporter": ("prometheus-blackbox-exporter", "usr/bin/prometheus-blackbox-exporter"),
    "node_exporter": ("prometheus-node-exporter", "usr/bin/prometheus-node-exporter"),
    "dockerd": ("docker.io", "usr/sbin/dockerd"),
    "systemd-nspawn": ("systemd-container", "usr/bin/systemd-nspawn"),
    "check_dummy": ("monitoring-plugins-basic", "usr/lib/nagios/plugins/check_dummy"),
    "rg": ("ripgrep", "usr/bin/rg"),
    "strace": ("strace", "usr/bin/strace"),
    "bsdtar": ("libarchive-tools", "usr/bin/bsdtar"),
}
_reasons = {}


def _run(args, **options):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False, **options)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace").strip()


def _private_lists():
    """apt options for package lists of our own, fetched when they are not there."""
    base = os.path.join(DEV, "apt")
    for name in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(base, name), exist_ok=True)
    options = ["-o", f"Dir::State::lists={base}/lists", "-o", f"Dir::Cache={base}/cache", "-o", "APT::Sandbox::User=",
               "-o", "Dir::State::status=/dev/null"]  # what is installed here is not what can be fetched
    ok, text = _run(["apt-get", *options, "update", "-qq"])
    return options, None if ok else text


def _download(package, folder):
    ok, text = _run(["apt-get", "-o", "APT::Sandbox::User=", "download", "-qq", package], cwd=folder)
    if not ok:
        options, problem = _private_lists()
        if problem:
            return f"apt-get update: {problem[-300:]}"
        for pause in (0, 2, 5):  # a name server or a mirror may not answer once
            time.sleep(pause)
            ok, text = _run(["apt-get", *options, "download", "-qq", package], cwd=folder)
            if ok:
                break
    return None if ok else f"apt-get download {package}: {text[-300:]}"


def _unpack(package, into):
    """Downloads and unpacks into a neighbour, then renames: a cut never leaves half a tool. Returns a problem or None."""
    scratch = tempfile.mkdtemp(prefix=package + ".", dir=TOOLS)
    try:
        problem = _download(package, scratch)
        if problem:
            return problem
        files = [name for name in os.listdir(scratch) if name.endswith(".deb")]
        tree = os.path.join(scratch, "tree")
        ok, text = _run(["dpkg-deb", "-x", os.path.join(scratch, files[0]), tree]) if files else (False, "no package came")
        if not ok:
            return f"dpkg-deb: {text[-300:]}"
        os.rename(tree, into)
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def package(name):
    """Folder with the package's files, or None (see reason)."""
    into = os.path.join(TOOLS, name)
    if os.path.isdir(into):
        return into
    if name in _reasons:
        return None
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        _reasons[name] = f"{name} is not here and there is no apt to download it with"
        return None
    os.makedirs(TOOLS, exist_ok=True)
    with open(os.path.join(DEV, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        problem = None if os.path.isdir(into) else _unpack(name, into)
    if problem:
        _reasons[name] = problem
        return None
    return into


def _lacks(path):
    """Shared libraries that the program needs and this machine does not have: unpacking installs none."""
    if not shutil.which("ldd"):
        return []
    return [line.split()[0] for line in _run(["ldd", path])[1].splitlines() if "not found" in line]


def tool(program):
    """Path of the program: the machine's own, else from .dev/tools, downloaded if need be. None when it is not to be had."""
    name, inside = PROGRAMS[program]
    own = shutil.which(os.path.basename(inside))
    if own:
        return own
    folder = package(name)
    if folder is None:
        return None
    path = os.path.join(folder, inside)
    if not os.access(path, os.X_OK):
        _reasons[name] = f"{inside} is not in package {name}"
        return None
    lacking = _lacks(path)
    if lacking:
        _reasons[name] = f"{inside} needs {', '.join(lacking)}; install {name}"
        return None
    return path


def reason(program):
    return _reasons.get(PROGRAMS[program][0], "it is here")


if __name__ == "__main__":
    missing = 0
    for wanted in sys.argv[1:] or sorted(PROGRAMS):
        found = tool(wanted)
        print(wanted, found or f"- {reason(wanted)}")
        missing += found is None
    sys.exit(1 if missing else 0)
