"""The half that the diagnosis may be tuned on. Expected is what an experienced operator who knows the truth would call the cause."""
import functools
import os
import signal
import time

import scenario as scenarios

scenario = functools.partial(scenarios.scenario, "tune")
DAY = 86400

# What hangs on what in the world (see world.py).
API_DOWN = ("api", "proxy", "public", "dashboard")
PROMETHEUS_DOWN = ("prom-ready", "prom", "dashboard")


# ---- containers

@scenario("api-stopped", "simple repair", truth="the api's container was stopped by hand", causes=["shop-stack"], symptoms=["api-port", "prom", *API_DOWN],
          words=["shop-api-1", "code 0"], shows={"shop-stack": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.act("api", "stop")


@scenario("db-exits", "simple repair", truth="the database ended with code 7", causes=["shop-stack"], symptoms=["db-port", "db", *API_DOWN],
          words=["shop-db-1", "code 7", "page 113 is damaged"], shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 7 fatal: page 113 is damaged")


@scenario("api-out-of-memory", "simple repair", truth="the api needed more memory than its limit", causes=["shop-stack"], symptoms=["api-port", "prom", *API_DOWN],
          words=["shop-api-1", "137"], shows={"shop-stack": "oom", "dashboard": "fail"})
def _(w):
    w.tell("api", "leak")


@scenario("prometheus-killed", "simple repair", truth="Prometheus was killed; its targets are well", causes=["obs-stack"], symptoms=PROMETHEUS_DOWN,
          words=["obs-prometheus-1", "137", "not scraped"], shows={"obs-stack": "fail", "dashboard": "fail"})
def _(w):
    w.act("prometheus", "kill")


@scenario("engine-stopped", "simple repair", truth="the Docker engine was stopped, and its containers with it", causes=["docker"],
          symptoms=["shop-stack", "obs-stack", "db-port", "db", "api-port", "dashboard-port", *API_DOWN, "prom-ready", "prom"], words=["Docker"],
          shows={"docker": "fail", "shop-stack": "unknown", "dashboard": "fail"})
def _(w):
    w.stop_engine()


# ---- programs on the host

@scenario("pricing-killed", "simple repair", truth="the exporter's process was killed", causes=["pricing-port"], symptoms=["pricing", "prom"],
          words=["9101"], shows={"pricing": "fail", "prom": "fail"})
def _(w):
    w.kill("pricing")


@scenario("orders-hang", "simple", truth="the exporter hangs: its port is open, nothing comes", undetermined=["orders"], symptoms=["prom"],
          shows={"orders": "timeout", "prom": "fail"})
def _(w):
    w.stop_process("orders")


# ---- files

def break_api_config(w):
    w.edit("config/api.toml", "pool = 8", 'pool = "eight"')
    time.sleep(1.2)
    w.act("api", "restart")


@scenario("api-config-broken", "simple repair", truth="an edit of the mounted configuration kept the api from starting again", causes=["shop-stack"],
          symptoms=["api-port", "prom", *API_DOWN], words=["config/api.toml", "code 3", "service.pool must be a number"],
          shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    break_api_config(w)


@scenario("unrelated-edit-before-crash", "coincidence repair", truth="the database crashed; an edit of another file a moment before has nothing to do with it", causes=["shop-stack"],
          symptoms=["db-port", "db", *API_DOWN], words=["shop-db-1", "code 9"], noise_shows={"config-drift": "warn"}, standing=["config-drift"],
          noise=lambda w: w.edit("config/features.json", '"new_checkout": false', '"new_checkout": true'), shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 9 fatal: assertion failed in compaction")


@scenario("two-things-at-once", "compound repair", truth="a container ended, and an exporter that has nothing to do with it was killed", causes=["shop-stack", "pricing-port"],
          symptoms=["db-port", "db", *API_DOWN, "pricing", "prom"], shows={"shop-stack": "fail", "pricing-port": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.act("db", "kill")
    w.kill("pricing")


# ---- what the observer cannot see

@scenario("no-permission-for-docker", "observer", truth="the daemons may not use the Docker socket any more; the shop is well", words=["permission"],
          verdict="undetermined", shows={"docker": "no_permission", "shop-stack": "unknown"})
def _(w):
    os.chmod(w.engine.socket, 0o600)


@scenario("docker-unseen-and-pricing-killed", "observer repair", truth="an exporter was killed; that Docker cannot be seen is another matter", causes=["pricing-port"],
          symptoms=["pricing", "prom"], noise=lambda w: os.chmod(w.engine.socket, 0o600), noise_shows={"shop-stack": "unknown"},
          standing=("docker", "shop-stack", "obs-stack", "db-port", "api-port", "dashboard-port"), shows={"pricing": "fail", "prom": "fail"})
def _(w):
    w.kill("pricing")


@scenario("database-gone-behind-a-wall", "observer", truth="the database is gone; its container cannot be looked at, and that is no cause", causes=[("db-port", "db")],
          symptoms=API_DOWN, shows={"db-port": "fail", "dashboard": "fail", "shop-stack": "unknown"})
def _(w):
    os.chmod(w.engine.socket, 0o600)
    w.act("db", "kill")


@scenario("worker-of-another-user", "observer", truth="the worker runs as another user: its environment cannot be read, which says nothing about it", verdict="undetermined",
          shows={"env-off": "unknown"}, words=["UNKNOWN"])
def _(w):
    w.kill("worker")
    w.start("worker", uid=0)


@scenario("unreadable-file", "observer", truth="a file may not be read by the daemons; nothing is known to be broken", shows={"configs": "unknown"}, verdict="undetermined",
          words=["features.json"])
def _(w):
    os.chown(w.file("config/features.json"), 0, 0)
    os.chmod(w.file("config/features.json"), 0o600)


# ---- more of containers

@scenario("api-crash-loop", "simple repair", truth="the api ends again and again, because of an edit of its configuration", causes=["shop-stack"],
          symptoms=["api-port", "prom", *API_DOWN], words=["shop-api-1", "config/api.toml", "service.database must be host:port"], shows={"shop-stack": "crash_loop"},
          prepare=lambda w: w.run_container("api", restart="always"))
def _(w):
    w.edit("config/api.toml", "host.docker.internal:5432", "host.docker.internal")
    time.sleep(1.2)
    w.tell("api", "exit 1 terminated")


@scenario("dashboard-unhealthy", "simple", truth="the dashboard answers with errors, its container's health check sees it, too", causes=[("shop-stack", "dashboard")],
          words=["shop-dashboard-1"], shows={"shop-stack": "unhealthy", "dashboard": "fail"},
          prepare=lambda w: w.run_container("dashboard", health=["/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/metrics"]))
def _(w):
    w.tell("dashboard", "status 500")


@scenario("db-paused", "simple repair", truth="somebody paused the database's container", causes=["shop-stack"], symptoms=["db", *API_DOWN], words=["shop-db-1", "paused"],
          shows={"shop-stack": "paused", "db": "fail", "dashboard": "fail"})
def _(w):
    w.act("db", "pause")


@scenario("api-removed", "simple repair", truth="the api's container was removed", causes=["shop-stack"], symptoms=["api-port", "prom", *API_DOWN], words=["api"],
          shows={"shop-stack": "missing", "dashboard": "fail"})
def _(w):
    w.remove_container("api")


@scenario("api-wrong-image", "simple repair", truth="the api's container was made from another image, in which nothing listens", causes=[("shop-stack", "api")],
          symptoms=["proxy", "public", "dashboard", "prom"], words=["test/other"], shows={"shop-stack": "image_changed", "api": "fail", "dashboard": "fail"})
def _(w):
    w.engine.load("test/other:1", extra="other")
    w.run_container("api", argv=["/bin/sleep", "3600"], image="test/other:1")


@scenario("published-port-taken", "simple repair", truth="a stranger took the api's port while its container was down, so that it cannot start", causes=["api-port"], symptoms=["shop-stack"],
          words=["8080"], shows={"shop-stack": "fail", "api-port": "wrong_owner"})
def _(w):
    w.act("api", "stop")
    w.stranger("intruder", "--port", "8080")
    time.sleep(0.5)
    w.engine.ask("POST", "/containers/shop-api-1/start")


@scenario("two-projects", "compound repair", truth="the database and Prometheus ended, each for itself", causes=["shop-stack", "obs-stack"],
          symptoms=["db-port", "db", *API_DOWN, "prom-ready", "prom"], words=["shop-db-1", "obs-prometheus-1"],
          shows={"shop-stack": "fail", "obs-stack": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.tell("db", "exit 5 fatal: cannot map segment")
    w.act("prometheus", "kill")


# ---- Prometheus

@scenario("prometheus-config-broken", "simple repair", truth="an edit of the scrape configuration kept Prometheus from starting again", causes=["obs-stack"], symptoms=PROMETHEUS_DOWN,
          words=["config/prometheus.yml", "obs-prometheus-1", "unmarshal"], shows={"obs-stack": "exited", "dashboard": "fail"})
def _(w):
    w.edit("config/prometheus.yml", '      - targets: ["host.docker.internal:9101"]', '      - targets: "host.docker.internal:9101"')
    time.sleep(1.2)
    w.act("prometheus", "restart")


@scenario("target-dropped", "simple repair", truth="a job was taken out of the scrape configuration; its exporter is well", causes=["prom"], words=["orders", "config/prometheus.yml"],
          shows={"prom": "job_missing"})
def _(w):
    text = w.read("config/prometheus.yml")
    w.write("config/prometheus.yml", text.replace("  - job_name: orders\n    static_configs:\n      - targets: [\"host.docker.internal:9102\"]\n", ""))
    time.sleep(1.2)
    w.act("prometheus", "kill", "?signal=HUP")


@scenario("rule-broken", "simple repair", truth="a rule was edited so that it cannot be evaluated", causes=["prom"], words=["config/rules.yml"], shows={"prom": "rule_error"})
def _(w):
    w.edit("config/rules.yml", "expr: sum(up)", "expr: up / on() group_left() up")
    time.sleep(1.2)
    w.act("prometheus", "kill", "?signal=HUP")


@scenario("prometheus-killed-and-orders-too", "compound repair", truth="Prometheus was killed, and so was an exporter: one does not explain the other", causes=["obs-stack", "orders-port"],
          symptoms=["orders", *PROMETHEUS_DOWN], shows={"obs-stack": "fail", "orders-port": "fail", "dashboard": "fail"})
def _(w):
    w.act("prometheus", "kill")
    w.kill("orders")


# ---- more of programs

@scenario("proxy-killed", "simple repair", truth="the proxy was killed", causes=["proxy-port"], symptoms=["proxy", "public", "dashboard"], words=["8081"],
          shows={"proxy": "fail", "dashboard": "fail"})
def _(w):
    w.kill("proxy")


@scenario("proxy-hangs", "simple", truth="the proxy hangs: nothing tells why", undetermined=["proxy"], symptoms=["public", "dashboard"], shows={"proxy": "timeout", "dashboard": "fail"})
def _(w):
    w.stop_process("proxy")


@scenario("pricing-wrong-page", "simple", truth="the program on the exporter's port answers with other metrics", causes=[("pricing-port", "pricing")], words=["9101"],
          shows={"pricing-port": "wrong_marker", "pricing": "fail"})
def _(w):
    w.tell("pricing", "marker stock")


@scenario("stranger-on-the-exporter", "simple repair", truth="a stranger took the exporter's port after its end", causes=["pricing-port"], symptoms=["pricing"], words=["9101"],
          shows={"pricing-port": "wrong_marker", "pricing": "fail"})
def _(w):
    w.kill("pricing")
    w.stranger("intruder", "--port", "9101")


@scenario("worker-armed", "simple", truth="the worker was started with a forbidden variable", causes=["env-off"], words=["PAY_LIVE", "VIOLATED"], shows={"env-off": "denied_set"})
def _(w):
    w.kill("worker")
    w.start("worker", env={"PAY_LIVE": "1"})


@scenario("names-gone", "simple", truth="the name server was killed", causes=[("names", "public")], shows={"public": "fail"}, words=["shop.test"])
def _(w):
    w.kill("names")


def expired_certificate(w):
    with open(w.path("tls", "expired.pem"), "rb") as file, open(w.path("tls", "edge.pem"), "wb") as out:
        out.write(file.read())
    w.kill("edge", signal.SIGTERM)
    w.start("edge")
    w.undo.append(lambda: w.kill("edge"))


@scenario("certificate-expired", "simple", truth="the edge serves an expired certificate", causes=["edge"], words=["expired"], shows={"edge": "tls_expired"})
def _(w):
    expired_certificate(w)


# ---- more of files

@scenario("file-removed", "simple repair", truth="a configuration file was deleted, and the report needs it", causes=["files"], symptoms=["report"], words=["config/report.toml"],
          shows={"files": "missing", "report": "fail"})
def _(w):
    os.unlink(w.file("config/report.toml"))


@scenario("syntax-broken", "simple repair", truth="a JSON file was broken by an edit", causes=["configs"], words=["config/features.json"], shows={"configs": "broken"})
def _(w):
    w.edit("config/features.json", '"green"]', '"green"')


@scenario("safety-flipped", "simple repair", truth="payments were switched on in the configuration", causes=["payments-off"], words=["config/api.toml", "VIOLATED"],
          shows={"payments-off": "wrong_value"})
def _(w):
    w.edit("config/api.toml", "live = false", "live = true")


@scenario("safety-flipped-beside-a-crash", "compound repair", truth="payments were switched on, and the database crashed; one is not the other's cause", causes=["payments-off", "shop-stack"],
          symptoms=["db-port", "db", *API_DOWN], words=["VIOLATED", "shop-db-1"], shows={"payments-off": "fail", "shop-stack": "fail", "dashboard": "fail"})
def _(w):
    w.edit("config/api.toml", "live = false", "live = true")
    w.tell("db", "exit 4 fatal: lost its log")


@scenario("tool-missing", "simple repair", truth="a tool was deleted", causes=["shopctl"], words=["shopctl"], shows={"shopctl": "not_found"})
def _(w):
    os.unlink(w.file("bin/shopctl"))


@scenario("disk-full", "simple", truth="the data disk is full: what writes there fails", causes=["data-disk"], symptoms=["report", *API_DOWN], words=["data"],
          shows={"data-disk": "disk_low", "report": "fail", "api": "fail", "dashboard": "fail"})
def _(w):
    w.fill_disk()


@scenario("disk-fills-slowly", "slow_burn", truth="the data disk was low for a while and is full now", causes=["data-disk"], symptoms=["report", *API_DOWN], standing=["data-disk"],
          noise=lambda w: w.fill_disk(leave=400 << 10), noise_shows={"data-disk": "warn"}, shows={"data-disk": "fail", "report": "fail", "dashboard": "fail"})
def _(w):
    w.fill_disk()


@scenario("disk-low-but-innocent", "slow_burn coincidence", truth="the disk is low since long; the crash has other reasons", causes=["shop-stack"], symptoms=["db-port", "db", *API_DOWN],
          prepare=lambda w: w.fill_disk(leave=400 << 10), standing=["data-disk"], words=["shop-db-1", "code 6"], shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 6 fatal: checksum of block 9 is wrong")


def two_branches(w):
    w.git("checkout", "-q", "-b", "rows")
    w.edit("config/report.toml", "rows = 20", "rows = 50")
    w.commit("More rows")
    w.git("checkout", "-q", "main")
    w.edit("config/report.toml", "rows = 20", "rows = 10")
    w.commit("Fewer rows")


@scenario("merge-in-progress", "simple repair", truth="a merge stopped at a conflict, and its markers broke a file", causes=["repo"], symptoms=["configs"],
          words=["merge", "config/report.toml"], prepare=two_branches, shows={"repo": "operation", "configs": "broken"})
def _(w):
    w.git("merge", "-q", "rows", check=False)


@scenario("lock-left-behind", "simple repair", truth="a git process died and left its lock", causes=["repo"], words=["index.lock"], shows={"repo": "stuck_lock"})
def _(w):
    w.write(".git/index.lock", "", age=3600)


# ---- coincidence

@scenario("old-edit-then-crash", "coincidence", truth="the api crashed for a reason of its own; its configuration was edited three days ago", causes=["shop-stack"],
          symptoms=["api-port", "prom", *API_DOWN], standing=["config-drift"], words=["code 11", "too many open connections"], not_words=["pool = 9", "8 -> 9"],
          history=lambda w: None, prepare=lambda w: w.edit("config/api.toml", "pool = 8", "pool = 9", age=3 * DAY), shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("api", "exit 11 fatal: too many open connections")


@scenario("commit-before-a-kill", "coincidence repair", truth="an exporter was killed; a commit a moment before touched a text that nobody reads", causes=["pricing-port"],
          symptoms=["pricing", "prom"], not_words=["notes.md"], shows={"pricing": "fail", "prom": "fail"}, noise=lambda w: (w.edit("docs/notes.md", "Nothing", "Little"), w.commit("Notes")))
def _(w):
    w.kill("pricing")


@scenario("edit-before-a-hang", "coincidence", truth="the exporter hangs; an edit of a file that it does not read says nothing", undetermined=["orders"], symptoms=["prom"], standing=["config-drift"],
          noise=lambda w: w.edit("config/banner.txt", "Welcome", "Hello"), noise_shows={"config-drift": "warn"}, shows={"orders": "timeout", "prom": "fail"})
def _(w):
    w.stop_process("orders")


def orders_gone(w):
    w.kill("orders")


@scenario("long-failing-and-new", "coincidence slow_burn", truth="an exporter is down since two days, which everybody knows; now the database crashed", causes=["shop-stack"],
          symptoms=["db-port", "db", *API_DOWN], may=("orders-port", "orders", "prom"), standing=("orders-port", "orders", "prom"), history=orders_gone, history_days=2,
          history_shows={"orders-port": "fail", "prom": "fail"}, words=["code 8"], shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 8 fatal: no more file handles for segments")


def silence_and_kill(w):
    for daemon in w.daemons.values():
        for name in ("orders-port", "orders"):
            answer = daemon.post("/api/v1/silences", b'{"check": "%s", "for": "1h", "reason": "known"}' % name.encode())
            assert answer.status < 300, answer.text
    w.kill("orders")


@scenario("silenced-and-new", "coincidence", truth="an exporter is down and silenced; now the proxy was killed", causes=["proxy-port"], symptoms=["proxy", "public", "dashboard"],
          may=("orders-port", "orders", "prom"), standing=("orders-port", "orders", "prom"), noise=silence_and_kill, noise_shows={"orders-port": "fail", "prom": "fail"},
          shows={"proxy": "fail", "dashboard": "fail"})
def _(w):
    w.kill("proxy")


def flap(w):
    for _ in range(4):
        for line in ("status 500", ""):
            w.tell("orders", line)
            time.sleep(1.1)


@scenario("flapping-and-new", "coincidence", truth="an exporter flaps for a while; now the proxy was killed", causes=["proxy-port"], symptoms=["proxy", "public", "dashboard"],
          may=("orders", "prom"), standing=("orders", "prom"), noise=flap, shows={"proxy": "fail", "dashboard": "fail"})
def _(w):
    w.kill("proxy")
    w.tell("orders", "status 500")


# ---- recovery

@scenario("api-came-back", "recovery", truth="the api was stopped and started again before anybody asked", verdict="healthy", shows={"dashboard": "fail"},
          after=lambda w: w.act("api", "start"), after_shows={"dashboard": "ok", "prom": "ok", "shop-stack": "ok"})
def _(w):
    w.act("api", "stop")


@scenario("one-of-two-came-back", "recovery", truth="two exporters were killed; one runs again", causes=["orders-port"], symptoms=["orders", "prom"], shows={"pricing": "fail", "orders": "fail"},
          after=lambda w: w.start("pricing"), after_shows={"pricing": "ok", "pricing-port": "ok", "prom": "fail"})
def _(w):
    w.kill("pricing")
    w.kill("orders")


# ---- the rest of what can break

@scenario("dotenv-changed", "simple repair", truth="a required variable got another value", causes=["dotenv"], words=["REGION", ".env"], shows={"dotenv": "wrong_value"})
def _(w):
    w.edit(".env", "REGION=eu", "REGION=us")


@scenario("armed-in-a-file", "simple repair", truth="somebody armed the shop in a configuration file", causes=["no-arming"], words=["config/limits.yaml"], shows={"no-arming": "forbidden"})
def _(w):
    w.edit("config/limits.yaml", "orders:", "# LIVE_ARMED = 1\norders:")


@scenario("wrong-branch", "simple repair", truth="another branch is checked out", causes=["repo"], words=["main", "trial"], shows={"repo": "wrong_branch"})
def _(w):
    w.git("checkout", "-q", "-b", "trial")


@scenario("report-script-without-x", "simple repair", truth="the report's script lost its x", causes=["files"], symptoms=["report"], words=["scripts/report.sh"],
          shows={"files": "not_executable", "report": "not_executable"})
def _(w):
    os.chmod(w.file("scripts/report.sh"), 0o644)


@scenario("alertmanager-killed", "simple", truth="Alertmanager was killed; nothing else needs it", causes=["alertmanager"], words=["9093"], shows={"alertmanager": "refused"})
def _(w):
    w.kill("alertmanager")


@scenario("pricing-gives-up-its-port", "simple repair", truth="the exporter lives and listens no more", causes=["pricing-port"], symptoms=["pricing", "prom"], words=["9101"],
          shows={"pricing-port": "not_listening", "prom": "fail"})
def _(w):
    w.tell("pricing", "close")


@scenario("db-cuts-connections", "simple", truth="the database accepts and hangs up: nothing tells why", undetermined=["db"], symptoms=API_DOWN, shows={"db": "fail", "dashboard": "fail"})
def _(w):
    w.tell("db", "drop")


@scenario("api-answers-500", "simple", truth="the api answers with errors: nothing tells why", undetermined=["api"], symptoms=["proxy", "public", "dashboard"],
          shows={"api": "status", "dashboard": "fail"})
def _(w):
    w.tell("api", "status 500")


@scenario("disk-full-and-pricing-killed", "compound", truth="the disk is full, and an exporter was killed", causes=["data-disk", "pricing-port"],
          symptoms=["report", *API_DOWN, "pricing", "prom"], shows={"data-disk": "fail", "report": "fail", "pricing": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.fill_disk()
    w.kill("pricing")


@scenario("crash-and-a-hang", "compound", truth="the database crashed; that an exporter hangs is another matter, and nothing tells why", causes=["shop-stack"], undetermined=["orders"],
          symptoms=["db-port", "db", *API_DOWN, "prom"], shows={"shop-stack": "exited", "orders": "timeout", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.tell("db", "exit 3 fatal: torn page")
    w.stop_process("orders")


@scenario("merge-and-orders-killed", "compound repair", truth="a merge stopped at a conflict, and an exporter was killed", causes=["repo", "orders-port"], symptoms=["configs", "orders", "prom"],
          prepare=two_branches, shows={"repo": "operation", "configs": "broken", "orders": "fail", "prom": "fail"})
def _(w):
    w.git("merge", "-q", "rows", check=False)
    w.kill("orders")


@scenario("three-at-once", "compound repair", truth="Prometheus ended, the proxy was killed, a lock was left behind", causes=["obs-stack", "proxy-port", "repo"],
          symptoms=["prom-ready", "prom", "proxy", "public", "dashboard"], shows={"obs-stack": "fail", "proxy": "fail", "repo": "stuck_lock", "dashboard": "fail"})
def _(w):
    w.act("prometheus", "stop")
    w.kill("proxy")
    w.write(".git/index.lock", "", age=3600)


@scenario("stranger-elsewhere", "coincidence repair", truth="an exporter was killed; a new program on another port has nothing to do with it", causes=["pricing-port"], symptoms=["pricing", "prom"],
          not_words=["7777"], noise=lambda w: w.stranger("visitor", "--port", "7777"), shows={"pricing": "fail", "prom": "fail"})
def _(w):
    w.kill("pricing")


@scenario("restart-before-a-hang", "coincidence", truth="the proxy hangs; the restart of the dashboard a moment before is routine", undetermined=["proxy"], symptoms=["public", "dashboard"],
          noise=lambda w: w.act("dashboard", "restart"), noise_shows={"dashboard": "ok", "shop-stack": "ok"}, shows={"proxy": "timeout", "dashboard": "fail"})
def _(w):
    w.stop_process("proxy")


def touch_all(w):
    for name in ("config/api.toml", "config/prometheus.yml", "config/report.toml"):
        os.utime(w.file(name))


@scenario("touched-before-a-crash", "coincidence repair", truth="the api crashed; its files were touched a moment before, and not changed", causes=["shop-stack"], symptoms=["api-port", "prom", *API_DOWN],
          noise=touch_all, not_words=["changed  "], words=["code 12"], shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("api", "exit 12 fatal: stack overflow")


@scenario("mounted-edit-elsewhere", "coincidence", truth="the database crashed; the edit of the api's configuration changed nothing that runs", causes=["shop-stack"],
          symptoms=["db-port", "db", *API_DOWN], standing=["config-drift"], noise=lambda w: w.edit("config/api.toml", 'timeout = "2s"', 'timeout = "3s"'),
          noise_shows={"config-drift": "warn"}, not_words=["timeout: "], words=["code 13"], shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 13 fatal: bad block")


@scenario("unseen-worker-and-api-stopped", "observer repair", truth="the api was stopped; that the worker's environment cannot be read is another matter", causes=["shop-stack"],
          symptoms=["api-port", "prom", *API_DOWN], standing=["env-off"], noise=lambda w: (w.kill("worker"), w.start("worker", uid=0)), noise_shows={"env-off": "unknown"},
          words=["shop-api-1"], shows={"shop-stack": "fail", "dashboard": "fail"})
def _(w):
    w.act("api", "stop")


@scenario("docker-unseen-and-a-hang", "observer", truth="an exporter hangs; that Docker cannot be seen is another matter", undetermined=["orders"], symptoms=["prom"],
          noise=lambda w: os.chmod(w.engine.socket, 0o600), noise_shows={"shop-stack": "unknown"},
          standing=("docker", "shop-stack", "obs-stack", "db-port", "api-port", "dashboard-port"), shows={"orders": "timeout", "prom": "fail"})
def _(w):
    w.stop_process("orders")


@scenario("report-came-back", "recovery", truth="the disk was full for a moment", verdict="healthy", shows={"report": "fail"},
          after=lambda w: os.unlink(w.file("data/dump.bin")), after_shows={"report": "ok", "dashboard": "ok", "data-disk": "ok"})
def _(w):
    w.fill_disk()


# ---- what everybody got used to, and something small and new

@scenario("known-outage-and-certificate", "coincidence slow_burn", truth="an exporter is down since two days, which everybody knows; now the edge's certificate is an expired one", causes=["edge"],
          may=("orders-port", "orders", "prom"), standing=("orders-port", "orders", "prom"), history=orders_gone, history_days=2, history_shows={"orders-port": "fail", "prom": "fail"},
          words=["expired"], shows={"edge": "tls_expired"})
def _(w):
    expired_certificate(w)


@scenario("silenced-and-alertmanager", "coincidence", truth="an exporter is down and silenced; now Alertmanager was killed", causes=["alertmanager"], may=("orders-port", "orders", "prom"),
          standing=("orders-port", "orders", "prom"), noise=silence_and_kill, noise_shows={"orders-port": "fail", "prom": "fail"}, shows={"alertmanager": "refused"})
def _(w):
    w.kill("alertmanager")


@scenario("flapping-and-lock", "coincidence", truth="an exporter flaps for a while; now a git process left its lock behind", causes=["repo"], may=("orders", "prom"),
          standing=("orders", "prom"), noise=flap, words=["index.lock"], shows={"repo": "stuck_lock", "orders": "fail"})
def _(w):
    w.write(".git/index.lock", "", age=3600)
    w.tell("orders", "status 500")


@scenario("edit-before-errors", "coincidence", truth="the api answers with errors; an edit of a text that it does not read says nothing", undetermined=["api"],
          symptoms=["proxy", "public", "dashboard"], standing=["config-drift"], noise=lambda w: w.edit("config/banner.txt", "Welcome", "Hello"), noise_shows={"config-drift": "warn"},
          shows={"api": "status", "dashboard": "fail"})
def _(w):
    w.tell("api", "status 500")


@scenario("commit-before-cut-connections", "coincidence", truth="the database hangs up on everybody; a commit of notes a moment before says nothing", undetermined=["db"], symptoms=API_DOWN,
          noise=lambda w: (w.edit("docs/notes.md", "Nothing", "Little"), w.commit("Notes")), not_words=["notes.md"], shows={"db": "fail", "dashboard": "fail"})
def _(w):
    w.tell("db", "drop")


@scenario("disk-full-and-proxy-killed", "compound", truth="the disk is full, and the proxy was killed", causes=["data-disk", "proxy-port"], symptoms=["report", *API_DOWN],
          shows={"data-disk": "fail", "report": "fail", "proxy-port": "fail", "api": "fail", "dashboard": "fail"})
def _(w):
    w.fill_disk()
    w.kill("proxy")


@scenario("safety-flipped-and-a-hang", "compound", truth="payments were switched on; that an exporter hangs is another matter, and nothing tells why", causes=["payments-off"],
          undetermined=["orders"], symptoms=["prom"], words=["VIOLATED"], shows={"payments-off": "wrong_value", "orders": "timeout", "prom": "fail"})
def _(w):
    w.edit("config/api.toml", "live = false", "live = true")
    w.stop_process("orders")


@scenario("merge-and-armed-worker", "compound", truth="a merge stopped at a conflict, and the worker was started with a forbidden variable", causes=["repo", "env-off"], symptoms=["configs"],
          words=["VIOLATED", "PAY_ARMED"], prepare=two_branches, shows={"repo": "operation", "configs": "broken", "env-off": "denied_set"})
def _(w):
    w.git("merge", "-q", "rows", check=False)
    w.kill("worker")
    w.start("worker", env={"PAY_ARMED": "yes"})


@scenario("unreadable-file-and-errors", "observer", truth="the api answers with errors; that a file cannot be read is another matter", undetermined=["api"], symptoms=["proxy", "public", "dashboard"],
          noise=lambda w: (os.chown(w.file("config/features.json"), 0, 0), os.chmod(w.file("config/features.json"), 0o600)), noise_shows={"configs": "unknown"},
          standing=("configs", "config-drift"), shows={"api": "status", "dashboard": "fail"})
def _(w):
    w.tell("api", "status 500")


@scenario("docker-unseen-and-disk-full", "observer", truth="the disk is full; that Docker cannot be seen is another matter", causes=["data-disk"], symptoms=["report", *API_DOWN],
          noise=lambda w: os.chmod(w.engine.socket, 0o600), noise_shows={"shop-stack": "unknown"},
          standing=("docker", "shop-stack", "obs-stack", "db-port", "api-port", "dashboard-port"), shows={"data-disk": "fail", "report": "fail", "api": "fail", "dashboard": "fail"})
def _(w):
    w.fill_disk()


@scenario("alert-fires", "simple", truth="an alert fires that only warns: nothing is broken", verdict="healthy", shows={"prom": "alert_firing"})
def _(w):
    w.tell("pricing", "age 7200")


# ---- checks that look at different times

@scenario("cause-seen-late", "simple repair", truth="the exporter was killed; its port is looked at less often than its page", causes=["pricing-port"], symptoms=["pricing", "prom"],
          checks=lambda w: [{"name": "pricing-port", "every": "4s"}], shows={"pricing-port": "fail", "pricing": "fail", "prom": "fail"})
def _(w):
    w.kill("pricing")


@scenario("stack-seen-late", "simple repair", truth="the database ended; its stack is looked at less often than its port", causes=["shop-stack"], symptoms=["db-port", "db", *API_DOWN],
          checks=lambda w: [{"name": "shop-stack", "every": "4s"}, {"name": "docker", "every": "4s"}], words=["code 21"], shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 21 fatal: wal is missing")


@scenario("cause-not-confirmed", "simple", truth="the proxy was killed; its port check wants to see that often before it says so", causes=[("proxy-port", "proxy")],
          symptoms=["public", "dashboard"], checks=lambda w: [{"name": "proxy-port", "fail_after": 100}], shows={"proxy": "fail", "dashboard": "fail"})
def _(w):
    w.kill("proxy")


@scenario("exporter-of-another-user", "observer", truth="the exporter runs as another user, so that its port's owner cannot be seen; it is well", shows={"orders-port": "owner_unreadable"},
          verdict="undetermined")
def _(w):
    w.kill("orders")
    w.start("orders", uid=0)
