"""The half that nothing is tuned on: what really happens to a team with a repository, a compose stack, Prometheus, exporters and scripts.

Written without looking at the diagnosis. Expected is what an experienced operator who knows the truth would call the cause; where two checks are equally right, either will do.
What was answered wrongly at first was mended in general, never by a weight; scenarios_test_late.py was written after that, to be new again.
"""
import functools
import os
import shutil
import signal
import subprocess
import time

import parts_test as parts
import scenario as scenarios
from world import UID, containers, until

scenario = functools.partial(scenarios.scenario, "test")

API_DOWN = ("api", "proxy", "public", "dashboard")
DB_DOWN = ("db-port", "db", *API_DOWN)
PROMETHEUS_DOWN = ("prom-ready", "prom", "dashboard")
BY_DOCKER = ("docker", "shop-stack", "obs-stack", "db-port", "api-port", "dashboard-port")


# ---- simple: services

@scenario("ledger-killed", "simple", truth="the service on the unix socket was killed; its socket's file stayed behind", causes=["ledger"], symptoms=["books"],
          words=["ledger.sock"], checks=parts.ledger_checks, prepare=parts.ledger, shows={"ledger": "refused", "books": "fail"})
def _(w):
    parts.end_ledger(w)


@scenario("socket-file-cleaned-away", "simple", truth="a cleaner of temporary files removed the socket of a service that runs", causes=["ledger"], symptoms=["books"],
          words=["ledger.sock"], checks=parts.ledger_checks, prepare=parts.ledger, shows={"ledger": "no_socket", "books": "fail"})
def _(w):
    os.unlink(parts.ledger_socket(w))


@scenario("dashboard-cannot-start", "simple", truth="the dashboard was made anew with a command that its image does not have", causes=["shop-stack"],
          symptoms=["dashboard-port", "dashboard"], words=["shop-dashboard-1"], shows={"shop-stack": "not_started", "dashboard": "fail"})
def _(w):
    try:
        w.run_container("dashboard", argv=["/opt/dashboard/start"])
    except AssertionError:
        return
    raise AssertionError("the container did start")


@scenario("migration-fails", "simple", truth="the migration, which runs once, ended with code 3", causes=["jobs"], words=["migrate", "code 3", "relation orders is locked"],
          checks=parts.jobs_checks(["mailer"], ["migrate"]), shows={"jobs": "exited"},
          prepare=lambda w: (parts.job(w, "mailer", ["/bin/sleep", "3600"]), parts.job(w, "migrate", ["/bin/true"])))
def _(w):
    parts.job(w, "migrate", ["/bin/sh", "-c", "echo 'migrate: relation orders is locked' >&2; exit 3"])


@scenario("rules-broken-and-restarted", "simple repair", truth="an edit of the rules kept Prometheus from starting again", causes=["obs-stack"], symptoms=PROMETHEUS_DOWN,
          words=["config/rules.yml", "obs-prometheus-1"], shows={"obs-stack": "exited", "dashboard": "fail"})
def _(w):
    w.edit("config/rules.yml", "groups:", "group:")
    time.sleep(1.2)
    w.act("prometheus", "restart")


@scenario("scrapes-a-wrong-port", "simple repair", truth="an edit of the scrape configuration made Prometheus ask the wrong port; the exporter is well", causes=["prom"],
          words=["orders", "config/prometheus.yml"], shows={"prom": "target_down", "orders": "ok"})
def _(w):
    w.edit("config/prometheus.yml", "host.docker.internal:9102", "host.docker.internal:9192")
    time.sleep(1.2)
    w.act("prometheus", "kill", "?signal=HUP")


@scenario("debugger-left-open", "simple", truth="somebody left a debug server on a port that has to be free", causes=["debug-port"], words=["5678"],
          checks=lambda w: [{"name": "debug-port", "kind": "port", "port": 5678, "free": True}], shows={"debug-port": "taken"})
def _(w):
    w.stranger("debugger", "--port", "5678")


@scenario("alertmanager-gone", "simple", truth="Alertmanager was killed", causes=["alertmanager"], words=["9093"], shows={"alertmanager": "refused"})
def _(w):
    w.kill("alertmanager")


@scenario("edge-self-signed", "simple", truth="the edge got a self-signed certificate that nobody trusts", causes=["edge"], words=["self-signed"],
          shows={"edge": "tls_self_signed"})
def _(w):
    parts.serve_certificate(w, parts.certificate(w, trusted=False))


@scenario("listens-to-the-world", "simple", truth="the books were started again listening on every address", causes=["books-local"], words=["9201"],
          checks=lambda w: [*parts.ledger_checks(w), {"name": "books-local", "kind": "port", "port": 9201, "bind": "loopback"}], prepare=parts.ledger,
          shows={"books-local": "exposed", "books": "ok"})
def _(w):
    parts.restart_books(w, "--bind", "0.0.0.0")


# ---- simple: files, tools, git, environment

@scenario("script-lost-its-x", "simple repair", truth="a script lost its right to be executed", causes=["files"], symptoms=["report"], words=["scripts/report.sh"],
          shows={"files": "not_executable", "report": "not_executable"})
def _(w):
    os.chmod(w.file("scripts/report.sh"), 0o644)


@scenario("folder-not-writable", "simple repair", truth="the data folder lost its right to be written", causes=["data-folder"], symptoms=["report"], words=["data"],
          checks=lambda w: [{"name": "data-folder", "kind": "path", "exist": ["data"], "mode": "0755"}], shows={"data-folder": "wrong_mode", "report": "fail"})
def _(w):
    w.undo.append(lambda: os.chmod(w.file("data"), 0o755))
    os.chmod(w.file("data"), 0o555)


RELEASES = {"deploy/releases/41/shop.conf": "workers = 3\n", "deploy/releases/42/shop.conf": "workers = 4\n", "scripts/workers.sh": "#!/bin/sh\nset -e\ngrep workers deploy/current/shop.conf\n"}


def released(w):
    parts.team_has(w, RELEASES, ["scripts/workers.sh"])
    os.symlink("releases/42", w.file("deploy/current"))
    w.own(w.file("deploy/current"))


@scenario("link-leads-nowhere", "simple", truth="a cleanup of old releases removed the one that the link points at", causes=["release"], symptoms=["workers"],
          words=["deploy/current"], prepare=released, shows={"release": "missing", "workers": "fail"},
          checks=lambda w: [{"name": "release", "kind": "path", "exist": ["deploy/current/shop.conf"]},
                            {"name": "workers", "kind": "command", "argv": ["scripts/workers.sh"], "exit": {"0": "ok", "1": "fail", "2": "fail"}, "depends_on": ["release"]}])
def _(w):
    shutil.rmtree(w.file("deploy/releases/42"))


@scenario("program-missing-in-path", "simple", truth="a program that a script calls by its name was removed", causes=["squeeze"], symptoms=["pack"], words=["squeeze"],
          checks=parts.pack_checks, prepare=lambda w: parts.team_has(w, parts.PACK, list(parts.PACK)), shows={"squeeze": "not_found", "pack": "fail"})
def _(w):
    os.unlink(w.file("tools/bin/squeeze"))


@scenario("program-downgraded", "simple", truth="a program was replaced by an old version that does not know an option", causes=["squeeze"], symptoms=["pack"], words=["0.9"],
          checks=parts.pack_checks, prepare=lambda w: parts.team_has(w, parts.PACK, list(parts.PACK)), shows={"squeeze": "too_old", "pack": "fail"})
def _(w):
    w.write("tools/bin/squeeze", '#!/bin/sh\n[ "$1" = --version ] && { echo "squeeze 0.9"; exit 0; }\necho "squeeze: unknown option $1" >&2\nexit 1\n')


@scenario("head-detached", "simple repair", truth="somebody checked out a commit and left it so", causes=["repo"], words=["detached"], shows={"repo": "detached"})
def _(w):
    w.git("checkout", "-q", "--detach", "HEAD")


def experiment(w):
    w.git("checkout", "-q", "-b", "experiment")
    w.edit("config/report.toml", "rows = 20", "lines = 20")
    w.commit("Try lines")
    w.git("checkout", "-q", "main")


@scenario("branch-of-an-experiment", "simple repair", truth="another branch was checked out, on which the report's configuration has no rows", causes=["repo"], symptoms=["report"],
          words=["experiment"], prepare=experiment, shows={"repo": "wrong_branch", "report": "fail"})
def _(w):
    w.git("checkout", "-q", "experiment")


@scenario("yaml-broken-by-a-tab", "simple repair", truth="an edit with a tab broke a YAML file that a script reads", causes=["configs"], symptoms=["quota"],
          words=["config/limits.yaml"], checks=parts.quota_checks, prepare=lambda w: parts.team_has(w, parts.QUOTA, list(parts.QUOTA)),
          shows={"configs": "broken", "quota": "fail"})
def _(w):
    w.edit("config/limits.yaml", "  per_minute", "\tper_minute")


@scenario("conflict-markers-committed", "simple", truth="somebody committed a file with the markers of a conflict", causes=["configs"], symptoms=["quota"],
          words=["config/limits.yaml"], checks=parts.quota_checks, prepare=lambda w: parts.team_has(w, parts.QUOTA, list(parts.QUOTA)),
          shows={"configs": "broken", "quota": "fail"})
def _(w):
    w.edit("config/limits.yaml", "  per_minute: 600\n", "<<<<<<< HEAD\n  per_minute: 600\n=======\n  per_minute: 900\n>>>>>>> faster\n")
    w.commit("Merge faster")


@scenario("guarded-file-broken", "simple repair", truth="the file with the guarded key does not parse any more, so that nobody can tell whether payments are off",
          causes=[("payments-off", "configs")], words=["config/api.toml", "VIOLATED"], shows={"configs": "broken", "payments-off": "broken"})
def _(w):
    w.edit("config/api.toml", "[payments]", "[payments")


@scenario("dotenv-wrong-region", "simple repair", truth="a variable in the dotenv file was changed", causes=["dotenv"], words=["REGION"], shows={"dotenv": "wrong_value"})
def _(w):
    w.edit(".env", "REGION=eu", "REGION=us")


def worker_with(w, env):
    w.kill("worker")
    w.start("worker", env=env)


@scenario("worker-in-test-mode", "simple", truth="the worker was started with the variables of the test system", causes=["worker-mode"], words=["MODE"],
          checks=lambda w: [{"name": "worker-mode", "kind": "env", "processes": {"argv": "app.py worker"}, "require": {"MODE": "production"}}],
          prepare=lambda w: worker_with(w, {"MODE": "production"}), shows={"worker-mode": "wrong_value"})
def _(w):
    worker_with(w, {"MODE": "test"})


TOKEN = "ghp_" + "9vKq2LxT7mWzR4sYb8Nc3HdJf6Ga1EpQu5oX"


@scenario("secret-planted", "simple", truth="somebody wrote a token into a configuration", causes=["secrets"], words=["config/features.json"], not_words=[TOKEN],
          checks=lambda w: [{"name": "secrets", "kind": "secrets", "exclude": ["data/**"]}], shows={"secrets": "found"})
def _(w):
    w.edit("config/features.json", '"green"]', f'"green"], "token": "{TOKEN}"')


@scenario("arming-line-in-a-text", "simple repair", truth="a line that arms payments was put into a file", causes=["no-arming"], words=["config/banner.txt"],
          shows={"no-arming": "forbidden"})
def _(w):
    w.edit("config/banner.txt", "Welcome to the shop.\n", "Welcome to the shop.\nLIVE_ARMED = 1\n")


@scenario("lock-stops-a-script", "simple repair", truth="a git process died and left its lock, on which a script stumbles", causes=["repo"], symptoms=["stamp"],
          words=["index.lock"], checks=lambda w: [{"name": "stamp", "kind": "command", "argv": ["git", "write-tree"], "exit": {"0": "ok", "128": "fail"}, "depends_on": ["repo"]}],
          shows={"repo": "stuck_lock", "stamp": "fail"})
def _(w):
    w.write(".git/index.lock", "", age=3600)


@scenario("inodes-used-up", "simple", truth="the spool has no inode left, though space enough", causes=["spool-disk"], symptoms=["enqueue"], words=["spool"],
          checks=parts.spool_checks, prepare=lambda w: parts.spool(w, "size=4m,nr_inodes=200"), shows={"spool-disk": "inodes_low", "enqueue": "fail"})
def _(w):
    parts.fill_inodes(w)


@scenario("mounted-read-only", "simple", truth="the spool was mounted read-only", causes=["spool-disk"], symptoms=["enqueue"], words=["read-only"],
          checks=parts.spool_checks, prepare=parts.spool, shows={"spool-disk": "read_only", "enqueue": "fail"})
def _(w):
    subprocess.run(["mount", "-o", "remount,ro", w.path("spool")], check=True)


# ---- compound

@scenario("api-edit-and-edge-certificate", "compound", truth="an edit keeps the api from starting, and the edge got a certificate for another name", causes=["shop-stack", "edge"],
          symptoms=["api-port", "prom", *API_DOWN], words=["config/api.toml", "shop-api-1"],
          shows={"shop-stack": "exited", "edge": "tls_host_mismatch", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.edit("config/api.toml", 'database = "host.docker.internal:5432"', 'database = "db"')
    time.sleep(1.2)
    w.act("api", "restart")
    parts.serve_certificate(w, parts.certificate(w, host="shop.internal"))


@scenario("proxy-dead-behind-a-dead-database", "compound", truth="the database was killed, and so was the proxy, whose end one could take for a symptom",
          causes=["shop-stack", "proxy-port"], symptoms=[*DB_DOWN], words=["shop-db-1", "8081"], shows={"shop-stack": "fail", "proxy-port": "fail", "dashboard": "fail"})
def _(w):
    w.act("db", "kill")
    time.sleep(1.5)
    w.kill("proxy")


@scenario("guard-prometheus-and-exporter", "compound", truth="an exporter was killed, Prometheus was stopped, and a guard is violated: three things",
          causes=["payments-off", "obs-stack", "pricing-port"], symptoms=["pricing", *PROMETHEUS_DOWN], words=["VIOLATED", "obs-prometheus-1", "9101"],
          shows={"payments-off": "wrong_value", "obs-stack": "fail", "pricing-port": "fail", "dashboard": "fail"})
def _(w):
    w.edit("config/api.toml", "live = false", "live = true")
    w.act("prometheus", "stop")
    w.kill("pricing")


@scenario("disk-full-and-database-gone", "compound", truth="the data disk is full and the database ended; the api suffers from both", causes=["shop-stack", "data-disk"],
          symptoms=["report", *DB_DOWN], words=["shop-db-1", "code 14"], shows={"shop-stack": "exited", "data-disk": "disk_low", "report": "fail", "dashboard": "fail"})
def _(w):
    w.fill_disk()
    w.tell("db", "exit 14 fatal: replication slot lost")


@scenario("lock-and-broken-json", "compound repair", truth="a git process died, and an edit broke a file: nothing to do with each other", causes=["repo", "configs"],
          words=["index.lock", "config/features.json"], shows={"repo": "stuck_lock", "configs": "broken"})
def _(w):
    w.edit("config/features.json", '["red", "green"]', '["red" "green"]')
    w.write(".git/index.lock", "", age=3600)


@scenario("armed-beside-a-stopped-prometheus", "compound", truth="the worker runs armed, and Prometheus was stopped", causes=["env-off", "obs-stack"], symptoms=PROMETHEUS_DOWN,
          words=["VIOLATED", "PAY_ARMED", "obs-prometheus-1"], shows={"env-off": "denied_set", "obs-stack": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    worker_with(w, {"PAY_ARMED": "yes"})
    w.act("prometheus", "stop")


@scenario("engine-stopped-and-exporter-killed", "compound", truth="the engine was stopped, and an exporter on the host was killed", causes=["docker", "orders-port"],
          symptoms=["shop-stack", "obs-stack", "db-port", "db", "api-port", "dashboard-port", *API_DOWN, "prom-ready", "prom", "orders"], words=["9102"],
          shows={"docker": "fail", "orders-port": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.kill("orders")
    w.stop_engine()


@scenario("exporter-killed-and-another-replaced", "compound", truth="an exporter was killed, and a stranger sits on the port of the other", causes=["orders-port", "pricing-port"],
          symptoms=["orders", "pricing", "prom"], words=["9101", "9102"], shows={"orders-port": "fail", "pricing-port": "wrong_marker", "pricing": "fail", "prom": "fail"})
def _(w):
    w.kill("orders")
    w.kill("pricing")
    w.stranger("squatter", "--port", "9101")


@scenario("ledger-gone-and-disk-full", "compound", truth="the service on the unix socket was killed; the spool is full. Two scripts and services suffer, each from one of them",
          causes=["ledger", "spool-disk"], symptoms=["books", "enqueue"], checks=lambda w: parts.ledger_checks(w) + parts.spool_checks(w),
          prepare=lambda w: (parts.ledger(w), parts.spool(w)), shows={"ledger": "refused", "books": "fail", "spool-disk": "disk_low", "enqueue": "fail"})
def _(w):
    parts.end_ledger(w)
    parts.fill_spool(w)


# ---- coincidence

@scenario("deploy-of-another-service", "coincidence", truth="the database crashed; the dashboard, deployed a moment before, has nothing to do with it", causes=["shop-stack"],
          symptoms=DB_DOWN, words=["shop-db-1", "code 21"], noise=lambda w: w.run_container("dashboard", env=["VERSION=2"]), noise_shows={"dashboard": "ok", "shop-stack": "ok"},
          shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 21 fatal: cannot lock its data folder")


@scenario("neighbour-restarts-all-the-time", "coincidence", truth="the proxy was killed; a container of somebody else restarts all the time beside it", causes=["proxy-port"],
          symptoms=["proxy", "public", "dashboard"], not_words=["lab-noise"], shows={"proxy": "fail", "dashboard": "fail"},
          noise=lambda w: w.engine.run("lab-noise-1", ["/bin/sh", "-c", "sleep 0.3; exit 1"], project="lab", service="noise", image="test/shop:1", restart="always"))
def _(w):
    w.kill("proxy")


def importer_checks(w):
    parts.job(w, "importer", ["/bin/sleep", "3600"])
    return parts.jobs_checks(["importer"])(w)


@scenario("known-crash-loop-and-new", "coincidence slow_burn", truth="an importer crashes since two days, as everybody knows; now an exporter was killed", causes=["pricing-port"],
          may=["jobs"], symptoms=["pricing", "prom"], standing=["jobs"], checks=importer_checks, history_days=2, history_shows={"jobs": "crash_loop"},
          history=lambda w: parts.job(w, "importer", ["/bin/sh", "-c", "echo 'importer: no input' >&2; exit 1"], restart="always"), shows={"pricing": "fail", "prom": "fail"})
def _(w):
    w.kill("pricing")


@scenario("other-key-edited-before-a-crash", "coincidence", truth="the database crashed; the api's configuration, edited a moment before, is not its", causes=["shop-stack"],
          symptoms=DB_DOWN, words=["shop-db-1", "code 17"], not_words=["pool = 16"], standing=["config-drift"], noise=lambda w: w.edit("config/api.toml", "pool = 8", "pool = 16"),
          noise_shows={"config-drift": "warn"}, shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 17 fatal: index of orders is broken")


@scenario("file-touched-before-a-crash", "coincidence", truth="the api crashed for a reason of its own; its configuration was touched, not changed", causes=["shop-stack"],
          symptoms=["api-port", "prom", *API_DOWN], words=["shop-api-1", "code 12", "connection pool is poisoned"], not_words=["api.toml"],
          noise=lambda w: os.utime(w.file("config/api.toml")), shows={"shop-stack": "exited", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.tell("api", "exit 12 fatal: connection pool is poisoned")


@scenario("slow-but-well", "coincidence", truth="the orders exporter is slow since long; the proxy was killed", causes=["proxy-port"], symptoms=["proxy", "public", "dashboard"],
          checks=lambda w: [{"name": "orders-speed", "kind": "http", "url": "http://localhost:9102/metrics", "warn_after": "100ms", "timeout": "5s"}], standing=["orders-speed"],
          prepare=lambda w: w.tell("orders", "slow 0.2"), shows={"proxy": "fail", "dashboard": "fail", "orders-speed": "slow"})
def _(w):
    w.kill("proxy")


@scenario("rules-edited-well-before-a-kill", "coincidence", truth="an exporter was killed; rules edited and loaded a moment before are right", causes=["orders-port"],
          symptoms=["orders", "prom"], not_words=["7200"], standing=["config-drift"], noise_shows={"config-drift": "warn", "prom": "ok"}, shows={"orders": "fail", "prom": "fail"},
          noise=lambda w: (w.edit("config/rules.yml", "3600", "7200"), time.sleep(1.2), w.act("prometheus", "kill", "?signal=HUP")))
def _(w):
    w.kill("orders")


@scenario("commit-of-a-script-before-a-stop", "coincidence", truth="Prometheus was stopped by hand; the commit a moment before changed a script that it does not know",
          causes=["obs-stack"], symptoms=PROMETHEUS_DOWN, words=["obs-prometheus-1"], not_words=["More rows"], standing=["config-drift"], noise_shows={"config-drift": "warn"},
          noise=lambda w: (w.edit("config/report.toml", "rows = 20", "rows = 40"), w.commit("More rows")), shows={"obs-stack": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.act("prometheus", "stop")


@scenario("certificate-ends-next-week", "coincidence slow_burn", truth="an exporter was killed; the edge's certificate, which ends next week, is another matter",
          causes=["orders-port"], symptoms=["orders", "prom"], standing=["edge"], prepare=lambda w: parts.serve_certificate(w, parts.certificate(w, seconds=6 * 86400)),
          shows={"orders": "fail", "edge": "tls_expires_soon", "prom": "fail"})
def _(w):
    w.kill("orders")


@scenario("wrong-region-since-days", "coincidence", truth="a variable is wrong since three days; now the api was stopped", causes=["shop-stack"], may=["dotenv"],
          standing=["dotenv"], words=["shop-api-1"], symptoms=["api-port", "prom", *API_DOWN], history_days=3, history=lambda w: w.edit(".env", "REGION=eu", "REGION=us"),
          history_shows={"dotenv": "wrong_value"}, shows={"shop-stack": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.act("api", "stop")


# ---- what the observer cannot see

def hang_engine(w):
    w.undo.append(lambda: w.engine.process.send_signal(signal.SIGCONT))
    w.engine.process.send_signal(signal.SIGSTOP)


@scenario("engine-hangs", "observer", truth="the engine's socket takes connections and nothing answers; the shop is well", may=["docker"],
          shows={"docker": "timeout", "dashboard": "ok"})
def _(w):
    hang_engine(w)


@scenario("engine-hangs-and-proxy-killed", "observer compound", truth="the proxy was killed; that the engine does not answer is another matter",
          causes=["proxy-port", ("docker", "proxy-port")],
          symptoms=["proxy", "public", "dashboard"], noise=hang_engine, noise_shows={"docker": "timeout"}, standing=BY_DOCKER, shows={"proxy": "fail", "dashboard": "fail"})
def _(w):
    w.kill("proxy")


@scenario("engine-socket-moved", "observer", truth="the engine's socket is not where it was; engine and shop are well", causes=["docker"], symptoms=["shop-stack", "obs-stack"],
          shows={"docker": "no_socket", "dashboard": "ok"})
def _(w):
    w.undo.append(lambda: os.rename(w.engine.socket + ".moved", w.engine.socket))
    os.rename(w.engine.socket, w.engine.socket + ".moved")


def hide_processes(w):
    w.undo.append(lambda: subprocess.run(["mount", "-o", "remount,hidepid=0", "/proc"], check=True))
    subprocess.run(["mount", "-o", "remount,hidepid=2", "/proc"], check=True)


def pricing_of_another_user(w):
    hide_processes(w)
    w.kill("pricing")
    w.start("pricing", uid=61005)


@scenario("exporter-hidden", "observer", truth="the exporter runs as another user, whose processes the operator cannot see; it is well", verdict="undetermined",
          shows={"pricing-port": "unknown", "pricing": "ok"})
def _(w):
    pricing_of_another_user(w)


@scenario("exporter-hidden-and-prometheus-stopped", "observer", truth="Prometheus was stopped; whose exporter that is, which cannot be seen, does not matter", causes=["obs-stack"],
          symptoms=PROMETHEUS_DOWN, noise=pricing_of_another_user, noise_shows={"pricing-port": "unknown", "pricing": "ok"}, standing=["pricing-port"],
          shows={"obs-stack": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.act("prometheus", "stop")


@scenario("folder-closed-to-the-observer", "observer", truth="a folder may not be read by the daemons any more; what is in it is well", verdict="undetermined",
          checks=lambda w: [{"name": "keys-there", "kind": "path", "exist": [w.path("keys") + "/*.pem"]}], shows={"keys-there": "unknown"},
          prepare=lambda w: (os.makedirs(w.path("keys")), shutil.copy(w.path("tls", "ca.pem"), w.path("keys", "shop.pem")), w.undo.append(lambda: shutil.rmtree(w.path("keys")))))
def _(w):
    os.chmod(w.path("keys"), 0o700)


@scenario("dotenv-closed-and-database-paused", "observer compound", truth="the database was paused; that the dotenv file cannot be read is another matter", causes=["shop-stack"],
          symptoms=["db", *API_DOWN], words=["paused", ".env"], standing=["dotenv"], noise=lambda w: (os.chown(w.file(".env"), 0, 0), os.chmod(w.file(".env"), 0o600)),
          noise_shows={"dotenv": "unknown"}, shows={"shop-stack": "paused", "dashboard": "fail"})
def _(w):
    w.act("db", "pause")


@scenario("repository-of-root", "observer", truth="somebody used git as root: the repository belongs to root now, and git refuses it", may=["repo"],
          shows={"repo": "foreign_owner"})
def _(w):
    w.undo.append(lambda: os.chown(w.file(".git"), UID, UID))
    os.chown(w.file(".git"), 0, 0)


@scenario("names-hang-and-exporter-killed", "observer compound", truth="the name server hangs, which nothing explains; an exporter was killed", causes=["orders-port"],
          may=["names", "public"], symptoms=["orders", "prom"], words=["9102"], shows={"orders": "fail", "public": "fail", "prom": "fail"})
def _(w):
    w.stop_process("names")
    w.kill("orders")


# ---- recovery

@scenario("prometheus-came-back", "recovery", truth="Prometheus was killed and started again before anybody asked", verdict="healthy",
          shows={"obs-stack": "fail", "dashboard": "fail"}, after=lambda w: w.act("prometheus", "start"), after_shows={"obs-stack": "ok", "dashboard": "ok", "prom": "ok"})
def _(w):
    w.act("prometheus", "kill")


@scenario("edit-taken-back", "recovery", truth="a guard was violated by an edit, which was taken back before anybody asked", verdict="healthy", shows={"payments-off": "fail"},
          after=lambda w: w.git("checkout", "-q", "--", "config/api.toml"), after_shows={"payments-off": "ok", "config-drift": "ok"})
def _(w):
    w.edit("config/api.toml", "live = false", "live = true")


def flap(w):
    for _ in range(3):
        w.kill("pricing")
        time.sleep(1.4)
        w.start("pricing")
        time.sleep(1.4)


@scenario("flapped-and-well-again", "recovery", truth="an exporter came and went, and is well at last", verdict="healthy", after=lambda w: None,
          after_shows={"pricing": "ok", "pricing-port": "ok", "prom": "ok"})
def _(w):
    flap(w)


@scenario("disk-full-and-freed", "recovery", truth="the spool was full, and was emptied before anybody asked", verdict="healthy", checks=parts.spool_checks, prepare=parts.spool,
          shows={"spool-disk": "disk_low", "enqueue": "fail"}, after=lambda w: os.unlink(w.path("spool", "orders")), after_shows={"spool-disk": "ok", "enqueue": "ok"})
def _(w):
    parts.fill_spool(w)


@scenario("engine-back-containers-not", "recovery", truth="the engine was restarted; its containers, which have no restart policy, stayed down", causes=["shop-stack", "obs-stack"],
          symptoms=["db-port", "db", "api-port", "dashboard-port", *API_DOWN, "prom-ready", "prom"], words=["shop-db-1", "shop-api-1", "obs-prometheus-1"],
          shows={"docker": "fail", "dashboard": "fail"}, after=lambda w: w.start_engine(), after_shows={"docker": "ok", "shop-stack": "fail", "obs-stack": "fail"})
def _(w):
    w.stop_engine()


# ---- slow burns

def wait_for_the_end(w):
    time.sleep(max(0, w.certificate_ends - time.time() + 1))


def short_certificate(w):
    w.certificate_ends = time.time() + 15
    parts.serve_certificate(w, parts.certificate(w, seconds=15))


@scenario("certificate-runs-out", "slow_burn", truth="the edge's certificate ended, which had been announced", causes=["edge"], words=["expired"], noise=short_certificate,
          noise_shows={"edge": "tls_expires_soon"}, standing=["edge"], shows={"edge": "tls_expired"})
def _(w):
    wait_for_the_end(w)


def licence(w):
    """The dashboard ends at its start while a file says so; the engine starts it again each time."""
    program = " ".join(containers(w.folder)["shop-dashboard-1"]["argv"])
    w.run_container("dashboard", argv=["/bin/sh", "-c", f"[ -e /control/ended ] && {{ echo 'fatal: the licence has ended' >&2; exit 5; }}; exec {program}"], restart="always")


def one_crash(w):
    w.tell("dashboard", "exit 1 warning: the licence ends soon")


@scenario("restarts-more-and-more", "slow_burn", truth="the dashboard crashed once, came back, and crashes at every start now: its licence has ended", causes=["shop-stack"],
          symptoms=["dashboard-port", "dashboard"], words=["shop-dashboard-1", "the licence has ended"], prepare=licence, noise=one_crash,
          standing=["shop-stack", "dashboard", "dashboard-port"], shows={"shop-stack": "crash_loop", "dashboard": "fail"})
def _(w):
    w.tell("ended", "")
    one_crash(w)


@scenario("leaks-until-the-engine-gives-up", "slow_burn", truth="the dashboard needs more and more memory; it was killed, started again and killed until the engine gave up",
          causes=["shop-stack"], symptoms=["dashboard-port", "dashboard"], words=["shop-dashboard-1", "memory"],
          prepare=lambda w: w.run_container("dashboard", RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 2}, memory=64), shows={"shop-stack": "oom", "dashboard": "fail"})
def _(w):
    until = time.monotonic() + 12
    while w.engine.inspect("shop-dashboard-1")["State"]["Status"] != "exited" and time.monotonic() < until:
        w.tell("dashboard", "leak")
        time.sleep(0.4)


@scenario("spool-fills-beside-an-edit", "slow_burn coincidence", truth="the spool filled until it was full; an edit in between has nothing to do with it", causes=["spool-disk"],
          symptoms=["enqueue"], not_words=["new_checkout"], checks=parts.spool_checks, prepare=parts.spool, standing=["spool-disk", "config-drift"],
          noise_shows={"spool-disk": "warn", "config-drift": "warn"},
          noise=lambda w: (parts.fill_spool(w, 0.8), w.edit("config/features.json", '"new_checkout": false', '"new_checkout": true')),
          shows={"spool-disk": "disk_low", "enqueue": "fail"})
def _(w):
    parts.fill_spool(w)


# ---- undetermined

@scenario("alertmanager-hangs", "simple", truth="Alertmanager hangs: nothing tells why", undetermined=["alertmanager"], shows={"alertmanager": "timeout"})
def _(w):
    w.stop_process("alertmanager")


@scenario("dashboard-errors", "simple", truth="the dashboard answers with an error, though nothing changed and all that it needs is well", undetermined=["dashboard"],
          shows={"dashboard": "status"})
def _(w):
    w.tell("dashboard", "status 500")


@scenario("database-greets-wrongly", "simple", truth="the database's port answers with another name; nothing tells why", undetermined=["db"], shows={"db": "expect", "api": "ok"})
def _(w):
    w.tell("db", "marker mirror")


@scenario("edge-cuts-connections-after-an-edit", "coincidence", truth="the edge cuts every connection; an edit of a file that it does not read says nothing", undetermined=["edge"],
          not_words=["to our shop"], standing=["config-drift"], noise=lambda w: w.edit("config/banner.txt", "to the shop", "to our shop"), noise_shows={"config-drift": "warn"},
          shows={"edge": "fail"})
def _(w):
    w.tell("edge", "drop")
