"""One small shop on real parts, and two runbookd daemons that watch it: one knows who depends on whom, the other has to find out.

The rig runs in network, mount and process namespaces of its own (see rig.py), so that ports are fixed, nothing of the machine is seen, and everything is gone when it ends.

  host         pricing 9101, orders 9102 (exporters), proxy 8081, edge 8443 (TLS), names 53 (DNS), worker, alertmanager 9093
  containers   shop-db-1 5432, shop-api-1 8080, shop-dashboard-1 3000 (project shop), obs-prometheus-1 9090 (project obs)
  calls        dashboard → proxy → api → db; dashboard → prometheus; prometheus scrapes pricing, orders and api
  files        a git repository: compose file, configurations (mounted), scripts, a tool, a runbook; data/ is a small tmpfs

What a scenario breaks is put back by mend(), without help, for everything named here.
"""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "integration")]

import fetch
from docker_engine import Engine
from support import Daemon, until

UID, DOCKER_GID = 61000, 61001
IMAGE = "test/shop:1"
PYTHON = "/usr/bin/python3"
APP = os.path.join(HERE, "fixtures", "app.py")
OLD = 10 * 86400
WAYS = ("with", "without")

FILES = {
    "README.md": "# Shop\n\nSee [the runbook](docs/runbook.md).\n",
    ".gitignore": "data/\n",
    ".env": "PAY_LIVE=0\nREGION=eu\n",
    "docker-compose.yml": """\
name: shop
services:
  db:
    image: test/shop:1
    ports: ["5432:5432"]
  api:
    image: test/shop:1
    ports: ["8080:8080"]
    volumes: ["./config/api.toml:/etc/shop/api.toml:ro", "./data:/data"]
  dashboard:
    image: test/shop:1
    ports: ["3000:3000"]
""",
    "obs/docker-compose.yml": """\
name: obs
services:
  prometheus:
    image: test/shop:1
    ports: ["9090:9090"]
    volumes: ["../config/prometheus.yml:/etc/prometheus/prometheus.yml:ro", "../config/rules.yml:/etc/prometheus/rules.yml:ro"]
""",
    "config/api.toml": """\
[service]
pool = 8
database = "host.docker.internal:5432"
timeout = "2s"

[payments]
live = false
currency = "EUR"
""",
    "config/prometheus.yml": """\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - static_configs:
        - targets: ["host.docker.internal:9093"]
scrape_configs:
  - job_name: pricing
    static_configs:
      - targets: ["host.docker.internal:9101"]
  - job_name: orders
    static_configs:
      - targets: ["host.docker.internal:9102"]
  - job_name: api
    static_configs:
      - targets: ["host.docker.internal:8080"]
""",
    "config/rules.yml": """\
groups:
  - name: shop
    rules:
      - record: shop:targets:up
        expr: sum(up)
      - alert: PricesOld
        expr: pricing_age_seconds > 3600
""",
    "config/report.toml": 'title = "daily report"\nrows = 20\n',
    "config/features.json": '{"new_checkout": false, "colours": ["red", "green"]}\n',
    "config/limits.yaml": "orders:\n  per_minute: 600\nusers:\n  sessions: 5\n",
    "config/banner.txt": "Welcome to the shop.\n",
    "scripts/report.sh": """\
#!/bin/sh
# The daily report: its rows come from config/report.toml, its result goes to data/.
set -e
rows=$(sed -n 's/^rows = \\([0-9]*\\)$/\\1/p' config/report.toml)
[ -n "$rows" ] || { echo "config/report.toml: no rows" >&2; exit 1; }
trap 'rm -f "data/report.$$"' EXIT
head -c 65536 /dev/zero > "data/report.$$"
mv "data/report.$$" data/report
echo "report of $rows rows written"
""",
    "bin/shopctl": "#!/bin/sh\necho \"shopctl 2.4.1\"\n",
    "docs/runbook.md": """\
# Shop runbook

## Containers

```bash
docker ps -a
```

## Exporters

Start them again from their folder.

## Disk

```bash
df -h
```

## Safety

Payments stay off.
""",
    "docs/notes.md": "# Notes\n\nNothing of importance.\n",
}
EXECUTABLE = ("scripts/report.sh", "bin/shopctl")


def containers(folder):
    """{name: how it is made}; mounts: {path in the container: path here}"""
    root = os.path.join(folder, "shop")

    def app(*arguments):
        return [PYTHON, "-SEs", "/fixture/app.py", *arguments]

    def service(project, name, port, argv, mounts=None, memory=192):
        compose = os.path.join(root, "" if project == "shop" else project, "docker-compose.yml")
        return {"project": project, "service": name, "port": port, "argv": argv, "mounts": {"/control": os.path.join(folder, "control")} | (mounts or {}),
                "memory": memory, "labels": {"com.docker.compose.project.config_files": compose,
                                             "com.docker.compose.project.working_dir": os.path.dirname(compose)}}

    prometheus = ["/usr/bin/prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/data", "--web.listen-address=:9090"]
    upstreams = ("--upstream", "proxy=http://host.docker.internal:8081/health", "--upstream", "prometheus=http://host.docker.internal:9090/-/ready")
    return {
        "shop-db-1": service("shop", "db", 5432, app("db", "--role", "tcp", "--port", "5432", "--control", "/control/db")),
        "shop-api-1": service("shop", "api", 8080, app("api", "--port", "8080", "--config", "/etc/shop/api.toml", "--state", "/data/api.state", "--control", "/control/api",
                                                       "--upstream", "db=tcp://host.docker.internal:5432"),
                              {"/etc/shop/api.toml": os.path.join(root, "config/api.toml"), "/data": os.path.join(root, "data")}),
        "shop-dashboard-1": service("shop", "dashboard", 3000, app("dashboard", "--port", "3000", "--control", "/control/dashboard", *upstreams)),
        "obs-prometheus-1": service("obs", "prometheus", 9090, prometheus, {"/etc/prometheus/prometheus.yml": os.path.join(root, "config/prometheus.yml"),
                                                                           "/etc/prometheus/rules.yml": os.path.join(root, "config/rules.yml")}, 512),
    }


def processes(folder):
    """{name: (argv, environment)} of the programs on the host."""
    def app(name, *arguments):
        return [PYTHON, "-SEs", os.path.join(folder, "programs", "app.py"), name, "--control", os.path.join(folder, "control", name), *arguments]

    return {
        "pricing": (app("pricing", "--port", "9101"), {}),
        "orders": (app("orders", "--port", "9102"), {}),
        "proxy": (app("proxy", "--port", "8081", "--upstream", "api=http://127.0.0.1:8080/health"), {}),
        "edge": (app("edge", "--port", "8443", "--tls", os.path.join(folder, "tls", "edge.pem")), {}),
        "names": (app("names", "--role", "dns", "--port", "53"), {}),
        "worker": (app("worker", "--role", "idle"), {"PAY_LIVE": "0"}),
        "alertmanager": ([fetch.tool("alertmanager"), "--config.file", os.path.join(folder, "alertmanager.yml"), "--storage.path", os.path.join(folder, "alerts"),
                          "--web.listen-address", "0.0.0.0:9093", "--cluster.listen-address=", "--log.level", "warn"], {}),
    }


def plan(folder, socket):
    """The checks, as the shop's team would write them."""
    def owner(container):
        return {"container": container, "socket": socket}

    def local(port, path="/health"):
        return f"http://localhost:{port}{path}"

    checks = [
        {"name": "docker", "kind": "docker", "socket": socket, "severity": "page"},
        {"name": "shop-stack", "kind": "compose", "project": "shop", "services": ["db", "api", "dashboard"], "file": ["docker-compose.yml"], "socket": socket, "window": "2s", "severity": "page",
         "depends_on": ["docker"], "runbook": "Containers"},
        {"name": "obs-stack", "kind": "compose", "project": "obs", "services": ["prometheus"], "file": ["obs/docker-compose.yml"], "socket": socket, "window": "2s", "severity": "page",
         "depends_on": ["docker"], "runbook": "Containers"},
        {"name": "db-port", "kind": "port", "port": 5432, "owner": owner("shop-db-1"), "depends_on": ["shop-stack"]},
        {"name": "db", "kind": "tcp", "address": "localhost:5432", "steps": [{"expect": "^READY db"}], "depends_on": ["db-port"]},
        {"name": "api-port", "kind": "port", "port": 8080, "owner": owner("shop-api-1"), "depends_on": ["shop-stack"]},
        {"name": "api", "kind": "http", "url": local(8080), "severity": "page", "depends_on": ["api-port", "db"]},
        {"name": "proxy-port", "kind": "port", "port": 8081, "owner": "python"},
        {"name": "proxy", "kind": "http", "url": local(8081), "depends_on": ["proxy-port", "api"]},
        {"name": "dashboard-port", "kind": "port", "port": 3000, "owner": owner("shop-dashboard-1"), "depends_on": ["shop-stack"]},
        {"name": "dashboard", "kind": "http", "url": local(3000), "depends_on": ["dashboard-port", "proxy", "prom-ready"]},
        {"name": "prom-ready", "kind": "http", "url": local(9090, "/-/ready"), "depends_on": ["obs-stack"]},
        {"name": "prom", "kind": "prometheus", "url": "http://localhost:9090", "jobs": {"pricing": "required", "orders": "required", "api": "required"}, "grace": "10s",
         "timeout": "2s", "depends_on": ["prom-ready", "pricing", "orders", "api-port"]},
        {"name": "alertmanager", "kind": "http", "url": local(9093, "/-/ready")},
        {"name": "pricing-port", "kind": "port", "port": 9101, "owner": "python", "marker": {"url": "/metrics", "contains": "pricing_up"}, "runbook": "Exporters"},
        {"name": "pricing", "kind": "http", "url": local(9101, "/metrics"), "expect": {"metrics": ["pricing_"]}, "depends_on": ["pricing-port"]},
        {"name": "orders-port", "kind": "port", "port": 9102, "owner": "python", "runbook": "Exporters"},
        {"name": "orders", "kind": "http", "url": local(9102, "/metrics"), "expect": {"metrics": ["orders_"]}, "depends_on": ["orders-port"]},
        {"name": "edge", "kind": "http", "url": "https://localhost:8443/health", "tls": {"ca_file": os.path.join(folder, "tls", "ca.pem")}},
        {"name": "names", "kind": "dns", "query": "shop.test", "type": "A", "server": "127.0.0.1:53", "expect": {"rcode": "NOERROR"}},
        {"name": "public", "kind": "http", "url": "http://shop.test:8081/health", "depends_on": ["names", "proxy"]},
        {"name": "repo", "kind": "git", "branch": "main", "lock_age": "1s"},
        {"name": "configs", "kind": "syntax"},
        {"name": "payments-off", "kind": "keys", "phase": "safety", "runbook": "Safety", "rules": [{"files": ["config/api.toml"], "key": "payments.live", "equals": False}]},
        {"name": "env-off", "kind": "env", "phase": "safety", "runbook": "Safety", "processes": {"argv": "app.py worker"}, "deny": ["PAY_LIVE", "PAY_ARMED"]},
        {"name": "dotenv", "kind": "env", "files": [".env"], "require": {"REGION": "eu"}},
        {"name": "no-arming", "kind": "text", "files": ["config/**"], "forbid": ["LIVE_ARMED\\s*=\\s*1"]},
        {"name": "files", "kind": "path", "exist": ["config/report.toml", "config/features.json", "scripts/report.sh"], "executable": ["scripts/*.sh"]},
        {"name": "shopctl", "kind": "tool", "argv": ["bin/shopctl", "--version"], "min": "2.4"},
        {"name": "report", "kind": "command", "argv": ["scripts/report.sh"], "triage": True, "exit": {"0": "ok", "1": "fail", "2": "fail"},
         "depends_on": ["files", "data-disk"]},
        {"name": "data-disk", "kind": "host", "disk": {"path": "data", "warn_below": "25%", "fail_below": "5%"}, "runbook": "Disk"},
        {"name": "machine", "kind": "host", "os": ["linux"]},
        {"name": "config-drift", "kind": "drift", "files": ["config/**", "*.yml", "scripts/**"], "baseline": "auto"},
    ]
    return checks


def known_kinds(binary):
    text = subprocess.run([binary, "explain"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^  (\w+)  ", text.partition("The rest of the file")[0], re.MULTILINE))


def only(checks, kinds):
    """Without the checks whose kind this binary does not have (it is built while the rig is written), and without dependencies on them."""
    names = {check["name"] for check in checks if check["kind"] in kinds}
    return [check | ({"depends_on": [name for name in check["depends_on"] if name in names]} if "depends_on" in check else {}) for check in checks if check["name"] in names]


def configuration(checks, way):
    """YAML (every check a line of JSON, which is YAML too); the second way has every depends_on deleted."""
    lines = ['daemon: {runbook: docs/runbook.md, safety_title: "payments stay off"}', "defaults: {every: 1s, timeout: 900ms}", "checks:"]
    for check in checks:
        lines.append("  - " + json.dumps({key: value for key, value in check.items() if key != "depends_on" or way == "with"}))
    return "\n".join(lines) + "\n"


class Watcher(Daemon):
    """A daemon as the shop's operator runs it: an ordinary user in the group docker."""

    def start(self, ready=True):
        for path in (self.scratch.path, self.state_dir):
            os.makedirs(path, exist_ok=True)
            os.chown(path, UID, UID)
        os.chown(self.config, UID, UID)
        super().start(ready)

    def write_config(self, text):
        super().write_config(text)
        os.chown(self.config, UID, UID)


class World:
    def __init__(self, binary):
        self.binary = os.path.realpath(binary)
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="rbw-", dir="/tmp"))
        os.chmod(self.folder, 0o755)
        self.root = self.path("shop")
        self.engine, self.running, self.spawned, self.made, self.daemons = None, {}, [], {}, {}
        self.base, self.undo, self.extra_checks, self.kinds = None, [], [], known_kinds(self.binary)

    # ---- places

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def file(self, *names):
        return os.path.join(self.root, *names)

    def operator(self, argv, **options):
        """Runs a program to its end as the operator; returns its output, asserts that it went well (check=False: does not)."""
        check = options.pop("check", True)
        options.setdefault("cwd", self.root)
        done = subprocess.run(argv, user=UID, group=UID, extra_groups=[DOCKER_GID], env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=options.pop("timeout", 30), check=False, **options)
        text = done.stdout.decode("utf-8", "replace")
        assert not check or done.returncode == 0, f"{argv}: {done.returncode} {text}"
        return text

    def environment(self):
        return {"PATH": self.path("bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.path("home"), "LC_ALL": "C.UTF-8",
                "GIT_AUTHOR_NAME": "op", "GIT_AUTHOR_EMAIL": "op@example.org", "GIT_COMMITTER_NAME": "op", "GIT_COMMITTER_EMAIL": "op@example.org",
                **({"DOCKER_HOST": "unix://" + self.engine.socket} if self.engine else {})}

    def git(self, *args, **options):
        return self.operator(["git", *args], **options).strip()

    # ---- life

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *_):
        self.sleep_daemons()
        for name in list(self.running):
            self.kill(name)
        self.end_strangers()
        if self.engine:
            self.engine.__exit__()
        subprocess.run(["umount", "-l", self.file("data")], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def build(self):
        for tool in ("prometheus", "alertmanager"):
            if not fetch.tool(tool):
                raise Unavailable(f"no {tool}: {fetch.reason(tool)}")
        self.own_network()
        self.lend_templates()
        for name in ("home", "control", "tls", "log", "bin", "programs", "alerts", "shop", "shop/data"):
            os.makedirs(self.path(name))
            os.chown(self.path(name), UID, UID)
        shutil.copy(APP, self.path("programs", "app.py"))
        with open(self.path("alertmanager.yml"), "w", encoding="ascii") as file:
            file.write("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=2m,uid={UID},gid={UID},mode=755", "data", self.file("data")], check=True)
        self.make_certificates()
        self.make_repository()
        self.engine = Engine(bridge=True, own_net=False)
        os.chmod(self.engine.folder, 0o711)
        self.engine.start()
        self.admit()
        self.engine.load(IMAGE, files=self.image_files())
        self.tools_of_the_machine()
        self.mend()

    def own_network(self):
        """Loopback, ports below 1024 for everybody, and names from our own server."""
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w", encoding="ascii") as file:
            file.write("0")
        with open(self.path("resolv.conf"), "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        subprocess.run(["mount", "--bind", self.path("resolv.conf"), os.path.realpath("/etc/resolv.conf")], check=True)

    def tools_of_the_machine(self):
        """What a printed command may need and is not here: `systemctl` for the engine's service, `sudo`, `docker compose`. They pass their arguments to us (see serve_tools)."""
        os.symlink(os.path.join(fetch.package("docker.io"), "usr/bin/docker"), self.path("bin", "docker"))
        plugins = self.path("home", ".docker", "cli-plugins")
        os.makedirs(plugins)
        os.makedirs(self.path("asked"))
        os.chmod(self.path("asked"), 0o777)
        ask = f'f={self.path("asked")}/$$; printf "%s\\n" {{}} "$@" > $f.new; mv $f.new $f.ask; while [ ! -e $f.done ]; do sleep 0.05; done; cat $f.out; exit $(cat $f.done)\n'
        scripts = {self.path("bin", "sudo"): 'exec "$@"\n', self.path("bin", "systemctl"): ask.format("systemctl"),
                   os.path.join(plugins, "docker-compose"): 'if [ "$1" = docker-cli-plugin-metadata ]; then\n'
                   '  echo \'{"SchemaVersion": "0.1.0", "Vendor": "rig", "Version": "v2", "ShortDescription": "compose"}\'; exit\nfi\n' + ask.format("compose")}
        for path, text in scripts.items():
            with open(path, "w", encoding="ascii") as file:
                file.write("#!/bin/sh\n" + text)
            os.chmod(path, 0o755)
        threading.Thread(target=self.serve_tools, daemon=True).start()

    def serve_tools(self):
        while True:
            for name in os.listdir(self.path("asked")) if os.path.isdir(self.path("asked")) else ():
                if name.endswith(".ask"):
                    stem = self.path("asked", name[:-4])
                    with open(stem + ".ask", encoding="utf-8") as file:
                        tool, *words = file.read().splitlines()
                    os.unlink(stem + ".ask")
                    code, text = self.systemctl(words) if tool == "systemctl" else self.compose(words)
                    for suffix, content in ((".out", text), (".done", str(code))):
                        with open(stem + ".new", "w", encoding="utf-8") as file:
                            file.write(content)
                        os.rename(stem + ".new", stem + suffix)
            time.sleep(0.05)

    def systemctl(self, words):
        words = [word for word in words if not word.startswith("-")]
        up = self.engine.process.poll() is None
        if words[1:] not in (["docker"], ["docker.service"]):
            return 4, f"Unit {' '.join(words[1:])} could not be found.\n"
        if words[0] == "status":
            return 0 if up else 3, "docker.service: " + ("active (running)\n" if up else "inactive (dead)\n")
        if words[0] in ("start", "restart"):
            self.start_engine()
            return 0, ""
        return 1, "the rig knows status and start\n"

    def compose(self, words):
        """docker compose -p PROJECT -f FILE… up -d [SERVICE…]; other words are refused, as they would not repair anything."""
        words, project, files = words[1:] if words[:1] == ["compose"] else words, None, []
        while words and words[0].startswith("-"):
            option, value, *words = words
            if option in ("-p", "--project-name"):
                project = value
            elif option in ("-f", "--file"):
                files.append(value)
        if words[:1] != ["up"] or not files or not all(os.path.exists(file) for file in files):
            return 1, "no such file, or not `up`\n"
        services = [word for word in words[1:] if not word.startswith("-")]
        for full, spec in containers(self.folder).items():
            compose = spec["labels"]["com.docker.compose.project.config_files"]
            if spec["project"] == project and os.path.realpath(files[0]) == compose and (not services or spec["service"] in services):
                status, found = self.engine.ask("GET", f"/containers/{full}/json")
                if status == 404 or found["Config"]["Image"] != IMAGE:
                    self.run_container(full)
                elif not found["State"]["Running"]:
                    self.engine.do(full, "start")
        return 0, ""

    def lend_templates(self):
        """Alertmanager looks for its templates in one place only: shown there in our own mount namespace, without touching the machine."""
        inside = "share/prometheus/alertmanager"
        if os.path.exists(os.path.join("/usr", inside, "default.tmpl")):
            return
        here = os.path.join(os.path.dirname(os.path.dirname(fetch.tool("alertmanager"))), inside)
        shutil.copytree(here, self.path(inside))
        subprocess.run(["mount", "-t", "overlay", "share", "-o", f"ro,lowerdir={self.path('share')}:/usr/share", "/usr/share"], check=True)

    def make_certificates(self):
        """edge.pem is used; good.pem and expired.pem are to be copied over it."""
        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, cwd=self.path("tls"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def key(name, *more):
            openssl("req", *more, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key")

        key("ca", "-x509", "-out", "ca.pem", "-days", "400", "-subj", "/CN=shop CA")
        key("edge", "-out", "edge.csr", "-subj", "/CN=localhost")
        with open(self.path("tls", "names"), "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost\n")
        for name, days in (("good", "300"), ("expired", "-1")):
            openssl("x509", "-req", "-in", "edge.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days, "-extfile", "names", "-out", name + ".crt")
            with open(self.path("tls", name + ".pem"), "wb") as out:
                for part in ("edge.key", name + ".crt"):
                    with open(self.path("tls", part), "rb") as file:
                        out.write(file.read())
        shutil.copy(self.path("tls", "good.pem"), self.path("tls", "edge.pem"))
        for name in os.listdir(self.path("tls")):
            os.chown(self.path("tls", name), UID, UID)

    def make_repository(self):
        for name, text in FILES.items():
            self.write(name, text)
            os.chmod(self.file(name), 0o755 if name in EXECUTABLE else 0o644)
        self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "The shop")
        self.base = self.git("rev-parse", "HEAD")

    def image_files(self):
        files = {"/fixture/app.py": APP, "/usr/bin/python3": PYTHON, "/usr/lib/python3.11": None, "/usr/bin/prometheus": fetch.tool("prometheus")}
        version = subprocess.run([PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], check=True, capture_output=True, text=True).stdout.strip()
        del files["/usr/lib/python3.11"]
        files[version] = version
        for program in (PYTHON, files["/usr/bin/prometheus"]):
            for line in subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.splitlines():
                for word in line.split():
                    if word.startswith("/"):
                        files[word] = word
        return files

    def admit(self):
        """The operator may use the engine, as a member of the group docker."""
        os.chown(self.engine.socket, 0, DOCKER_GID)
        os.chmod(self.engine.socket, 0o660)

    # ---- files

    def write(self, name, text, age=None):
        """In place, as an editor with a stable inode would; age: seconds that its time of change lies back."""
        path = self.file(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text.encode("utf-8"))
        self.own(path)
        if age is not None:
            os.utime(path, (time.time() - age,) * 2)

    def own(self, path):
        while path != self.folder:
            os.chown(path, UID, UID, follow_symlinks=False)
            path = os.path.dirname(path)

    def read(self, name):
        with open(self.file(name), encoding="utf-8") as file:
            return file.read()

    def edit(self, name, old, new, age=None):
        text = self.read(name)
        assert old in text, f"{name} does not hold {old!r}"
        self.write(name, text.replace(old, new), age)

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def fill_disk(self, leave=0):
        """data/ to its last block; leave: bytes that stay free. Again and again for a while: what was being written gives its blocks back when it ends."""
        for _ in range(1 if leave else 6):
            disk = os.statvfs(self.file("data"))
            with open(self.file("data", "dump.bin"), "ab", buffering=0) as file:
                try:
                    file.write(b"\0" * max(0, disk.f_bavail * disk.f_frsize - leave))
                    while not leave:
                        file.write(b"\0" * 4096)
                except OSError:
                    pass
            time.sleep(0 if leave else 0.2)
        os.chown(self.file("data", "dump.bin"), UID, UID)

    # ---- programs on the host

    def start(self, name, env=None, argv=None, uid=UID):
        wanted, more = processes(self.folder)[name]
        with open(self.path("log", name), "ab") as log:
            self.running[name] = subprocess.Popen(argv or wanted, cwd=self.root, user=uid, group=uid, extra_groups=[], start_new_session=True, stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", "HOME": self.path("home")} | more | (env or {}))
        return self.running[name]

    def kill(self, name, number=signal.SIGKILL):
        process = self.running[name]
        if process.poll() is None:
            process.send_signal(number)
            if number != signal.SIGSTOP:
                process.send_signal(signal.SIGCONT)
                process.wait(10)

    def stop_process(self, name):
        """It hangs: alive, its port open, no answer."""
        self.running[name].send_signal(signal.SIGSTOP)

    def tell(self, name, line):
        """One line to a fixture program's control file (see fixtures/app.py)."""
        path = self.path("control", name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(line + "\n")
        os.chown(path + ".new", UID, UID)
        os.rename(path + ".new", path)

    def stranger(self, name, *arguments, uid=UID):
        """A program that does not belong to the shop."""
        argv = [PYTHON, "-SEs", self.path("programs", "app.py"), name, *arguments]
        return self.spawn(argv, uid)

    def spawn(self, argv, uid=UID):
        process = subprocess.Popen(argv, cwd=self.path("home"), user=uid, group=uid, extra_groups=[], start_new_session=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"})
        self.spawned.append(process)
        return process

    def end_strangers(self):
        for process in self.spawned:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.spawned = []

    def others(self):
        """Processes of the operator that the rig has not started, or not for the shop: a pasted command has."""
        ours, found = {process.pid for process in self.running.values()}, []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if file.read() and os.stat(f"/proc/{pid}").st_uid == UID and int(pid) not in ours:
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def others_like(self, argv):
        """Those of them with that command line."""
        def line(pid):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return file.read().split(b"\0")[:-1]
        return [pid for pid in self.others() if os.path.exists(f"/proc/{pid}") and line(pid) == [os.fsencode(word) for word in argv]]

    # ---- containers

    def container(self, name):
        """Its full name by its service."""
        return next(full for full, spec in containers(self.folder).items() if name in (full, spec["service"]))

    def run_container(self, name, argv=None, image=IMAGE, restart=None, health=None, env=(), memory=None, **host):
        """Makes it anew; what is not told is as the shop has it."""
        full = self.container(name)
        spec = containers(self.folder)[full]
        self.engine.ask("DELETE", f"/containers/{full}?force=1")
        options = {"NetworkMode": "bridge", "ExtraHosts": ["host.docker.internal:host-gateway"], "Memory": (memory or spec["memory"]) << 20,
                   "MemorySwap": (memory or spec["memory"]) << 20, "PortBindings": {f"{spec['port']}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(spec["port"])}]},
                   "Binds": [f"{here}:{there}" for there, here in spec["mounts"].items()]} | host
        identity = self.engine.run(full, argv or spec["argv"], project=spec["project"], service=spec["service"], image=image, labels=spec["labels"], restart=restart,
                                   health=health, env=list(env), **options)
        return identity

    def act(self, name, action, query=""):
        """stop, start, restart, kill, pause, unpause …"""
        self.engine.do(self.container(name), action, query or ("?t=2" if action in ("stop", "restart") else ""))

    def remove_container(self, name):
        self.engine.remove(self.container(name))

    def wait_container(self, name, state, timeout=8):
        until(lambda: self.engine.inspect(self.container(name))["State"]["Status"] == state, timeout, what=f"container {name} {state}")

    def inodes(self, spec):
        return {path: os.stat(path).st_ino for path in spec["mounts"].values() if os.path.exists(path)}

    def mend_container(self, full, spec):
        status, found = self.engine.ask("GET", f"/containers/{full}/json")
        ours = status == 200 and self.made.get(full, (None,))[0] == found["Id"]
        state = found["State"] if status == 200 else {}
        if ours and found["RestartCount"] == 0 and not state["OOMKilled"] and state["Status"] in ("running", "exited", "paused"):
            if state["Status"] == "paused":
                self.engine.do(full, "unpause")
            same = self.made[full][1] == self.inodes(spec)
            if state["Status"] == "exited":
                self.engine.do(full, "start")
            elif not same:
                self.engine.do(full, "restart", "?t=2")
        else:
            found = {"Id": self.run_container(full)}
        self.made[full] = (found["Id"], self.inodes(spec))

    def stop_engine(self):
        """As the system would stop it; its containers end with it."""
        self.engine.stop()

    def start_engine(self):
        if self.engine.process.poll() is not None:
            self.engine.start()
        self.admit()

    # ---- back to health

    def mend(self):
        """Puts back whatever a scenario may have touched; what is well is left alone."""
        for undo in reversed(self.undo):
            undo()
        self.undo, self.extra_checks = [], []
        self.end_strangers()
        for pid in self.others():
            os.kill(pid, signal.SIGKILL)
        self.start_engine()
        for name in os.listdir(self.path("control")):
            with open(self.path("control", name), encoding="utf-8") as file:
                gave_up_its_port = file.read().startswith("close")
            os.unlink(self.path("control", name))
            if gave_up_its_port and name in self.running:
                self.kill(name)
        self.mend_files()
        for name, (argv, env) in processes(self.folder).items():
            process = self.running.get(name)
            well = process and process.poll() is None and process.args == argv and not self.odd_environment(process, env)
            if process and process.poll() is None and not well:
                self.kill(name)
            if well:
                process.send_signal(signal.SIGCONT)
            else:
                self.start(name)
        wanted = containers(self.folder)
        for container in self.engine.must("GET", "/containers/json?all=1"):
            if container["Names"][0].lstrip("/") not in wanted:
                self.engine.ask("DELETE", f"/containers/{container['Id']}?force=1")
        for full, spec in wanted.items():
            self.mend_container(full, spec)

    def odd_environment(self, process, env):
        """It was started otherwise than the shop does it: another environment, another user."""
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            now = dict(pair.split("=", 1) for pair in file.read().decode("utf-8", "replace").split("\0") if "=" in pair)
        return now != {"PATH": "/usr/bin:/bin", "HOME": self.path("home")} | env or os.stat(f"/proc/{process.pid}").st_uid != UID

    def mend_files(self):
        git = self.file(".git")
        for name in ("index.lock", "HEAD.lock", "MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "BISECT_START"):
            if os.path.lexists(os.path.join(git, name)):
                os.unlink(os.path.join(git, name))
        for name in ("rebase-merge", "rebase-apply"):
            shutil.rmtree(os.path.join(git, name), ignore_errors=True)
        for folder, names, files in os.walk(self.root):
            names[:] = [name for name in names if os.path.join(folder, name) not in (git, self.file("data"))]
            for path in [folder, *(os.path.join(folder, name) for name in files)]:
                mode = 0o755 if path == folder or os.path.relpath(path, self.root) in EXECUTABLE else 0o644
                now = os.lstat(path)
                if stat.S_IMODE(now.st_mode) != mode and not os.path.islink(path):
                    os.chmod(path, mode)
                if now.st_uid != UID:
                    os.chown(path, UID, UID, follow_symlinks=False)
        self.git("update-index", "-q", "--refresh", check=False)  # what is the same stays the same file, which matters to mounts
        self.git("checkout", "-q", "-f", "-B", "main", self.base)
        self.git("clean", "-fdxq", "-e", "data")
        self.git("stash", "clear")
        for branch in self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split():
            if branch != "main":
                self.git("branch", "-q", "-D", branch)
        for name in FILES:
            os.utime(self.file(name), (time.time() - OLD,) * 2)
        self.git("update-index", "-q", "--refresh")
        for name in os.listdir(self.file("data")):
            if name not in ("report", "api.state"):
                os.unlink(self.file("data", name))
        shutil.copy(self.path("tls", "good.pem"), self.path("tls", "edge.pem"))

    def rebuild(self):
        """When mending was not enough: everything anew but the engine and its image."""
        for name in list(self.running):
            self.kill(name)
        self.start_engine()
        self.engine.clear()
        self.made = {}
        self.mend()

    # ---- the two daemons

    def checks(self):
        """The plan, with what the scenario adds; a check of a known name changes that one's options."""
        checks = {check["name"]: check for check in plan(self.folder, self.engine.socket)}
        for check in self.extra_checks:
            checks[check["name"]] = checks.get(check["name"], {}) | check
        return only(list(checks.values()), self.kinds)

    def clock_shift(self, seconds):
        """Environment of a daemon whose wall clock is off by that."""
        library = self.path("programs", "clock_shift.so")
        if not os.path.exists(library):
            subprocess.run([os.environ.get("CC", "cc").split()[-1], "-shared", "-fPIC", "-O1", "-o", library, os.path.join(HERE, "fixtures", "clock_shift.c"), "-ldl"], check=True)
        return {"LD_PRELOAD": library, "CLOCK_SHIFT_S": str(int(seconds))}

    def wake_daemons(self, fresh=True, age=0):
        """Both at once; fresh=False: with the state that they had. age: so many seconds ago, as they believe."""
        kept = {} if fresh else self.kept
        checks = self.checks()
        for number, way in enumerate(WAYS):
            os.makedirs(self.path("state-" + way), exist_ok=True)
            if way not in kept:
                shutil.rmtree(self.path("state-" + way))
                os.makedirs(self.path("state-" + way))
            self.daemons[way] = Watcher(configuration(checks, way), root=self.root, binary=self.binary, state_dir=self.path("state-" + way), port=9112 + number, ready=False,
                                        env=self.clock_shift(-age) if age else None,
                                        prefix=["setpriv", f"--reuid={UID}", f"--regid={UID}", f"--groups={DOCKER_GID}"])
        for daemon in self.daemons.values():
            daemon.wait_ready()
        self.kept = set(WAYS)

    def sleep_daemons(self):
        for daemon in self.daemons.values():
            if daemon.process.poll() is None:
                daemon.signal(signal.SIGTERM)
        for daemon in self.daemons.values():
            try:
                daemon.process.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
            daemon.scratch.__exit__()
        self.daemons = {}

    def both(self, path):
        return {way: daemon.json(path) for way, daemon in self.daemons.items()}

    def wait_well(self, timeout=12, except_for=()):
        """Until every check is ok in both daemons; returns those that are not after the timeout."""
        deadline, bad = time.monotonic() + timeout, None
        while time.monotonic() < deadline:
            bad = [f"{check['name']} {check['state']} {check['reason']}: {check['message']}" for status in self.both("/status").values() for check in status["checks"]
                   if check["state"] not in ("ok", "skip") and check["name"] not in except_for]
            if not bad:
                return []
            time.sleep(0.1)
        return bad

    def settle(self, shows, timeout=14):
        """Until what has to show shows ({check: state or reason}), every check has run twice more, and nothing has changed for longer than an interval.

        Returns what did not come about: a problem of the scenario or of a check, not of the diagnosis.
        """
        first = {way: {check["name"]: check["runs"] for check in status["checks"]} for way, status in self.both("/status").items()}
        since, seen, deadline = time.monotonic(), None, time.monotonic() + timeout
        while True:
            status = self.both("/status")
            now = {(way, check["name"]): (check["state"], check["reason"]) for way, one in status.items() for check in one["checks"]}
            behind = [name for way, one in status.items() for name, runs in ((check["name"], check["runs"]) for check in one["checks"]) if runs < first[way].get(name, 0) + 2]
            missing = [f"{name} is {now.get((way, name))}, not {wanted}" for name, wanted in shows.items() for way in WAYS if wanted not in now.get((way, name), ())]
            if now != seen:
                since, seen = time.monotonic(), now
            if not behind and not missing and time.monotonic() - since > 1.2:
                return []
            if time.monotonic() > deadline:
                return missing or [f"{name} does not run" for name in behind] or ["the states do not settle"]
            time.sleep(0.1)


class Unavailable(Exception):
    """The world cannot be had here; the text tells why."""
