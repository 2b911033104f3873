"""What the untuned half needs beside the shop: a service on a unix socket, a small file system, further certificates, further programs of the repository.

Every part undoes itself by w.undo; files of the repository are put back by the world.
"""
import os
import shutil
import signal
import subprocess
import time

from world import HERE, OLD, PYTHON, UID

QUIET = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


# ---- the repository

def team_has(w, files, executable=()):
    """Further files of the team, committed long ago."""
    for name, text in files.items():
        w.write(name, text)
        os.chmod(w.file(name), 0o755 if name in executable else 0o644)
    w.commit("More of the shop")
    for name in files:
        os.utime(w.file(name), (time.time() - OLD,) * 2)
    w.git("update-index", "-q", "--refresh")


QUOTA = {"scripts/quota.sh": """\
#!/bin/sh
# Tells how many orders a minute are allowed, as config/limits.yaml says.
n=$(sed -n 's/^  per_minute: //p' config/limits.yaml)
case "$n" in
    '' | *[!0-9]*) echo "config/limits.yaml: orders.per_minute is no number" >&2; exit 1 ;;
esac
echo "$n orders a minute"
"""}


def quota_checks(_):
    return [{"name": "quota", "kind": "command", "argv": ["scripts/quota.sh"], "exit": {"0": "ok", "1": "fail"}, "depends_on": ["configs"]}]


PACK = {"tools/bin/squeeze": """\
#!/bin/sh
[ "$1" = --version ] && { echo "squeeze 3.2"; exit 0; }
[ "$1" = --quiet ] || exit 2
echo "packed"
""", "scripts/pack.sh": """\
#!/bin/sh
# Packs what is to be delivered.
PATH="$PWD/tools/bin:$PATH"
exec squeeze --quiet config
"""}


def pack_checks(_):
    return [{"name": "squeeze", "kind": "tool", "argv": ["tools/bin/squeeze", "--version"], "min": "3.0"},
            {"name": "pack", "kind": "command", "argv": ["scripts/pack.sh"], "env": {"PATH": "/usr/bin:/bin"}, "exit": {"0": "ok", "1": "fail", "2": "fail", "127": "fail"}, "depends_on": ["squeeze"]}]


# ---- programs

def spawn(w, argv, uid=UID):
    """As w.spawn, and what a pasted command started in its place ends with it, too."""
    def end():
        for pid in w.others_like(argv):
            os.kill(pid, signal.SIGKILL)
    w.undo.append(end)
    return w.spawn(argv, uid)


def program(w):
    path = w.path("programs", "unix_app.py")
    if not os.path.exists(path):
        shutil.copy(os.path.join(HERE, "fixtures", "unix_app.py"), path)
    return [PYTHON, "-SEs", path]


def ledger_socket(w):
    return w.path("run", "ledger.sock")


def ledger(w):
    """A service on a unix socket, and the books on 9201 that need it; returns the first."""
    os.makedirs(w.path("run"), exist_ok=True)
    os.chown(w.path("run"), UID, UID)
    w.undo.append(lambda: shutil.rmtree(w.path("run"), ignore_errors=True))
    w.books = None
    restart_books(w)
    w.ledger = spawn(w, [*program(w), "ledger", "--socket", ledger_socket(w)])


def restart_books(w, *arguments):
    if w.books:
        w.books.kill()
        w.books.wait(10)
    w.books = spawn(w, [*program(w), "books", "--port", "9201", "--ledger", ledger_socket(w), *arguments])


def ledger_checks(w):
    return [{"name": "ledger", "kind": "http", "url": "http://ledger/health", "unix_socket": ledger_socket(w)},
            {"name": "books-port", "kind": "port", "port": 9201, "owner": "python"},
            {"name": "books", "kind": "http", "url": "http://localhost:9201/health", "depends_on": ["books-port", "ledger"]}]


def end_ledger(w, number=signal.SIGKILL):
    w.ledger.send_signal(number)
    w.ledger.wait(10)


CHAIN = (("front", 8201), ("middle", 8202), ("back", 8203))


def chain(w):
    """Three services on the host, each of which needs the next; only their pages are looked at."""
    for (name, port), below in zip(CHAIN, (*CHAIN[1:], None)):
        needs = ["--upstream", f"{below[0]}=http://127.0.0.1:{below[1]}/health"] if below else []
        process = spawn(w, [PYTHON, "-SEs", w.path("programs", "app.py"), name, "--port", str(port), "--control", w.path("control", name), *needs])
        setattr(w, name, process)


def chain_checks(_):
    return [{"name": name, "kind": "http", "url": f"http://localhost:{port}/health", "depends_on": [below[0]] if below else []} for (name, port), below in zip(CHAIN, (*CHAIN[1:], None))]


# ---- a small file system

def spool(w, options="size=1m"):
    """A tmpfs of its own, and a script of the team that writes there."""
    os.makedirs(w.path("spool"), exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},uid={UID},gid={UID},mode=755", "spool", w.path("spool")], check=True)

    def undo():
        subprocess.run(["umount", "-l", w.path("spool")], check=False)
        os.rmdir(w.path("spool"))
    w.undo.append(undo)
    team_has(w, {"scripts/enqueue.sh": "#!/bin/sh\n# Puts one order into the spool.\nset -e\nhead -c 8192 /dev/zero > \"$SPOOL/order.$$\"\nrm \"$SPOOL/order.$$\"\n"}, ["scripts/enqueue.sh"])


def spool_checks(w):
    limits = {"path": w.path("spool"), "warn_below": "30%", "fail_below": "3%", "inodes_warn_below": "30%", "inodes_fail_below": "5%", "writable": True}
    return [{"name": "spool-disk", "kind": "host", "disk": limits},
            {"name": "enqueue", "kind": "command", "argv": ["scripts/enqueue.sh"], "env": {"SPOOL": w.path("spool")}, "exit": {"0": "ok", "1": "fail", "2": "fail"},
             "depends_on": ["spool-disk"]}]


def fill_spool(w, share=1.0):
    """Orders that nobody fetches: up to that share of its blocks are used."""
    with open(w.path("spool", "orders"), "ab", buffering=0) as file:
        os.fchown(file.fileno(), UID, UID)
        stat = os.statvfs(w.path("spool"))
        wanted = int(stat.f_blocks * share) - (stat.f_blocks - stat.f_bfree)
        try:
            for _ in range(wanted):
                file.write(b"\0" * stat.f_frsize)
        except OSError:
            pass


def fill_inodes(w, count=100000):
    try:
        for number in range(count):
            with open(w.path("spool", f"order.{number}"), "wb") as file:
                os.fchown(file.fileno(), UID, UID)
    except OSError:
        pass


# ---- certificates

def serve_certificate(w, text):
    """The edge is restarted with it, and once more when all is put back."""
    w.undo.append(lambda: w.kill("edge"))
    with open(w.path("tls", "edge.pem"), "w", encoding="ascii") as out:
        out.write(text)
    w.kill("edge", signal.SIGTERM)
    w.start("edge")


def certificate(w, host="localhost", trusted=True, seconds=86400 * 90):
    """Key and certificate in one text; valid for so many seconds from now."""
    folder = w.path("tls", "new")
    os.makedirs(folder)
    try:
        key, request, out, extra = (os.path.join(folder, name) for name in ("key", "csr", "crt", "ext"))
        with open(extra, "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n")
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={host}"], **QUIET)
        signer = ["-CA", w.path("tls", "ca.pem"), "-CAkey", w.path("tls", "ca.key"), "-set_serial", str(time.time_ns())] if trusted else ["-signkey", key]
        days = max(2, seconds // 86400 + 1)
        subprocess.run(["openssl", "x509", "-req", "-in", request, *signer, "-days", str(days), "-extfile", extra, "-out", out],
                       env=os.environ | w.clock_shift(seconds - days * 86400), **QUIET)
        text = ""
        for name in (key, out):
            with open(name, encoding="ascii") as file:
                text += file.read()
        return text
    finally:
        shutil.rmtree(folder)


# ---- another project of containers

def job(w, service, argv, restart=None):
    w.engine.ask("DELETE", f"/containers/jobs-{service}-1?force=1")
    w.engine.run(f"jobs-{service}-1", argv, project="jobs", service=service, image="test/shop:1", restart=restart)


def jobs_checks(services, once=()):
    def checks(w):
        return [{"name": "jobs", "kind": "compose", "project": "jobs", "services": list(services), "once": list(once), "socket": w.engine.socket, "window": "2s", "depends_on": ["docker"]}]
    return checks
