"""The later part of the half that nothing is tuned on: each block was written after the diagnosis had been mended for what the blocks before had found.

Still without looking at the diagnosis; see scenarios_test.py.
"""
import os
import shutil
import signal
import subprocess
import time

import parts_test as parts
from scenarios_test import API_DOWN, BY_DOCKER, DB_DOWN, PROMETHEUS_DOWN, TOKEN, hang_engine, licence, one_crash, scenario, worker_with
from world import UID, containers, until


# ---- more of coincidence: where nobody can tell why, and where the known trouble is the louder one

@scenario("deploy-before-errors", "coincidence", truth="the api answers with errors, and nothing tells why; the dashboard, deployed a moment before, has nothing to do with it",
          undetermined=["api"], symptoms=["proxy", "public", "dashboard", "prom"], noise=lambda w: w.run_container("dashboard", env=["VERSION=3"]),
          noise_shows={"dashboard": "ok", "shop-stack": "ok"}, shows={"api": "status", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.tell("api", "status 502")


@scenario("rules-edited-before-a-hang", "coincidence", truth="an exporter hangs, and nothing tells why; rules edited and loaded a moment before are right", undetermined=["orders"],
          symptoms=["prom"], not_words=["1800"], standing=["config-drift"], noise_shows={"config-drift": "warn", "prom": "ok"}, shows={"orders": "timeout", "prom": "fail"},
          noise=lambda w: (w.edit("config/rules.yml", "3600", "1800"), time.sleep(1.2), w.act("prometheus", "kill", "?signal=HUP")))
def _(w):
    w.stop_process("orders")


@scenario("commit-before-dashboard-errors", "coincidence", truth="the dashboard answers with errors, and nothing tells why; the commit a moment before changed the report",
          undetermined=["dashboard"], not_words=["rows = 30"], standing=["config-drift"],
          noise=lambda w: (w.edit("config/report.toml", "rows = 20", "rows = 30"), w.commit("Thirty rows")), noise_shows={"config-drift": "warn"}, shows={"dashboard": "status"})
def _(w):
    w.tell("dashboard", "status 503")


@scenario("ledger-hangs-after-an-edit", "coincidence", truth="the service on the unix socket hangs, and nothing tells why; an edit of what it does not read says nothing",
          undetermined=["ledger"], symptoms=["books"], checks=parts.ledger_checks, prepare=parts.ledger, standing=["config-drift"],
          noise=lambda w: w.edit("config/limits.yaml", "sessions: 5", "sessions: 6"), not_words=["sessions: 6"], noise_shows={"config-drift": "warn"},
          shows={"ledger": "timeout", "books": "fail"})
def _(w):
    w.ledger.send_signal(signal.SIGSTOP)


@scenario("database-slower-than-patience", "coincidence", truth="the database answers, but too slowly for everybody; the restart of the dashboard a moment before says nothing",
          undetermined=["db"], symptoms=API_DOWN, noise=lambda w: w.act("dashboard", "restart"), noise_shows={"dashboard": "ok", "shop-stack": "ok"},
          shows={"db": "timeout", "api": "fail", "dashboard": "fail"})
def _(w):
    w.tell("db", "slow 3")


@scenario("known-outage-and-a-debugger", "coincidence slow_burn", truth="the proxy is down since three days, as everybody knows; now somebody left a debug server open",
          causes=["debug-port"], may=["proxy-port", "proxy", "public", "dashboard"], standing=["proxy-port", "proxy", "public", "dashboard"], history_days=3,
          history=lambda w: w.kill("proxy"), history_shows={"proxy": "fail", "dashboard": "fail"},
          checks=lambda w: [{"name": "debug-port", "kind": "port", "port": 5678, "free": True}], shows={"debug-port": "taken"})
def _(w):
    w.stranger("debugger", "--port", "5678")


def silence_proxy_and_kill(w):
    for daemon in w.daemons.values():
        for name in ("proxy-port", "proxy", "public", "dashboard"):
            answer = daemon.post("/api/v1/silences", b'{"check": "%s", "for": "2h", "reason": "being moved"}' % name.encode())
            assert answer.status < 300, answer.text
    w.kill("proxy")


@scenario("silenced-move-and-detached-head", "coincidence", truth="the proxy is being moved, which was announced; now somebody left a commit checked out", causes=["repo"],
          words=["detached"], may=["proxy-port", "proxy", "public", "dashboard"], standing=["proxy-port", "proxy", "public", "dashboard"], noise=silence_proxy_and_kill,
          noise_shows={"proxy-port": "fail", "dashboard": "fail"}, shows={"repo": "detached"})
def _(w):
    w.git("checkout", "-q", "--detach", "HEAD")


def flap_proxy(w):
    for _ in range(4):
        for line in ("status 500", ""):
            w.tell("proxy", line)
            time.sleep(1.3)
    w.tell("proxy", "status 500")


@scenario("flapping-proxy-and-certificate", "coincidence", truth="the proxy comes and goes since a while; now the edge got a certificate that nobody trusts", causes=["edge"],
          may=["proxy", "public", "dashboard"], standing=["proxy", "public", "dashboard"], noise=flap_proxy, noise_shows={"proxy": "fail"},
          shows={"edge": "tls_self_signed", "proxy": "fail"})
def _(w):
    parts.serve_certificate(w, parts.certificate(w, trusted=False))


# ---- more of compound: what is known beside what cannot be known

@scenario("database-hangs-up-and-lock", "compound", truth="the database hangs up on everybody, and nothing tells why; a git process left its lock, which is another matter",
          causes=["repo"], undetermined=["db"], symptoms=API_DOWN, words=["index.lock"], shows={"repo": "stuck_lock", "db": "closed", "api": "fail", "dashboard": "fail"})
def _(w):
    w.tell("db", "drop")
    w.write(".git/index.lock", "", age=7200)


@scenario("proxy-hangs-and-secret-planted", "compound", truth="the proxy hangs, and nothing tells why; a token in a file is another matter", causes=["secrets"],
          undetermined=["proxy"], symptoms=["public", "dashboard"], not_words=[TOKEN], checks=lambda w: [{"name": "secrets", "kind": "secrets", "exclude": ["data/**"]}],
          shows={"proxy": "timeout", "secrets": "found", "dashboard": "fail"})
def _(w):
    w.stop_process("proxy")
    w.edit("config/features.json", '"green"]', f'"green"], "token": "{TOKEN}"')


# ---- more of what cannot be seen

@scenario("docker-unseen-and-dashboard-errors", "observer", truth="the dashboard answers with errors, and nothing tells why; that Docker may not be asked is another matter",
          undetermined=["dashboard"], noise=lambda w: os.chmod(w.engine.socket, 0o600), noise_shows={"docker": "no_permission"}, standing=BY_DOCKER, shows={"dashboard": "status"})
def _(w):
    w.tell("dashboard", "status 500")


@scenario("engine-hangs-and-orders-hang", "observer", truth="an exporter hangs, and nothing tells why; that the engine does not answer is another matter", undetermined=["orders"],
          may=["docker"], symptoms=["prom"], noise=hang_engine, noise_shows={"docker": "timeout"}, standing=BY_DOCKER, shows={"orders": "timeout", "prom": "fail"})
def _(w):
    w.stop_process("orders")


@scenario("dotenv-closed-and-database-hangs-up", "observer", truth="the database hangs up on everybody, and nothing tells why; that a file cannot be read is another matter",
          undetermined=["db"], symptoms=API_DOWN, standing=["dotenv"], noise=lambda w: (os.chown(w.file(".env"), 0, 0), os.chmod(w.file(".env"), 0o600)),
          noise_shows={"dotenv": "unknown"}, shows={"db": "closed", "api": "fail", "dashboard": "fail"})
def _(w):
    w.tell("db", "drop")


# ---- a later look at other things that happen

@scenario("compose-file-broken", "simple repair", truth="an edit broke the compose file; what runs, runs", causes=[("configs", "shop-stack")], words=["docker-compose.yml"],
          shows={"configs": "broken", "api": "ok"})
def _(w):
    w.edit("docker-compose.yml", "  api:\n", "  api\n")


@scenario("image-bumped-but-not-deployed", "coincidence", truth="the compose file names a newer image since a moment; nobody has deployed it, and nothing is broken",
          verdict="healthy", shows={"config-drift": "warn", "dashboard": "ok"})
def _(w):
    w.edit("docker-compose.yml", "image: test/shop:1\n    ports: [\"3000:3000\"]", "image: test/shop:2\n    ports: [\"3000:3000\"]")


@scenario("published-elsewhere", "simple", truth="the api was made anew and publishes another port", causes=["api-port"], symptoms=["prom", *API_DOWN], words=["8080"],
          shows={"api-port": "not_listening", "api": "refused", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.run_container("api", PortBindings={"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8088"}]})


@scenario("file-became-a-folder", "simple",
          truth="the api's configuration was moved away; when its container was made anew, the engine made a folder in its place, and the api cannot start",
          causes=[("shop-stack", "payments-off", "configs")], symptoms=["api-port", "prom", *API_DOWN], words=["config/api.toml", "shop-api-1"],
          shows={"shop-stack": "exited", "payments-off": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.undo.append(lambda: os.path.isdir(w.file("config/api.toml")) and os.rmdir(w.file("config/api.toml")))
    os.unlink(w.file("config/api.toml"))
    w.run_container("api")


@scenario("backup-does-not-come", "slow_burn", truth="the nightly backup was not made, and the last one is too old now", causes=["backup"], words=["backups"],
          shows={"backup": "too_old"}, checks=lambda w: [{"name": "backup", "kind": "path", "exist": ["backups/*.tar"], "max_age": "26h", "age_of": "newest"}],
          prepare=lambda w: (w.write("backups/one.tar", "one\n", age=40 * 3600), w.write("backups/two.tar", "two\n", age=26 * 3600 - 14)))
def _(w):
    time.sleep(6)


@scenario("key-file-too-open", "simple repair", truth="the key of the edge can be read by everybody", causes=["key-mode"], words=["shop.key"], shows={"key-mode": "wrong_mode"},
          checks=lambda w: [{"name": "key-mode", "kind": "path", "exist": ["private/shop.key"], "mode": "0600"}],
          prepare=lambda w: (w.write("private/shop.key", "not a key\n"), os.chmod(w.file("private/shop.key"), 0o600)))
def _(w):
    os.chmod(w.file("private/shop.key"), 0o644)


@scenario("key-twice-in-json", "simple repair", truth="an edit put a key into a JSON file twice", causes=["configs"], words=["config/features.json", "new_checkout"],
          shows={"configs": "broken"})
def _(w):
    w.edit("config/features.json", '"colours"', '"new_checkout": true, "colours"')


def two_limits(w):
    w.git("checkout", "-q", "-b", "limits")
    w.edit("config/limits.yaml", "per_minute: 600", "per_minute: 900")
    w.commit("Raise the limit")
    w.git("checkout", "-q", "main")
    w.edit("config/limits.yaml", "per_minute: 600", "per_minute: 300")
    w.commit("Lower the limit")


def rebase(w):
    w.git("rebase", "-q", "limits", check=False)


@scenario("rebase-stopped", "simple repair", truth="a rebase stopped at a conflict; its markers broke a file that a script reads", causes=["repo"], symptoms=["configs", "quota"],
          words=["rebase"], checks=parts.quota_checks, prepare=lambda w: (parts.team_has(w, parts.QUOTA, list(parts.QUOTA)), two_limits(w)),
          shows={"repo": "operation", "configs": "broken", "quota": "fail"})
def _(w):
    rebase(w)


@scenario("script-edited-badly", "simple repair", truth="an edit broke the script of the report", causes=["report"], words=["scripts/report.sh"],
          shows={"report": "fail", "config-drift": "warn"})
def _(w):
    w.edit("scripts/report.sh", 'rows written"', "rows written")


@scenario("script-hangs-after-an-edit", "simple repair", truth="an edit made the report wait for ever", causes=["report"], words=["scripts/report.sh"],
          shows={"report": "timeout", "config-drift": "warn"})
def _(w):
    w.edit("scripts/report.sh", "set -e\n", "set -e\nsleep 3600\n")


# compound

@scenario("two-containers-of-a-project", "compound", truth="the database ended, and an edit keeps the api from starting: two containers of one project", causes=["shop-stack"],
          symptoms=["db-port", "db", "api-port", "prom", *API_DOWN], words=["shop-db-1", "shop-api-1"],
          shows={"shop-stack": "fail", "db": "fail", "api-port": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.tell("db", "exit 33 fatal: no such tablespace")
    w.edit("config/api.toml", "pool = 8", "pool = [8]")
    time.sleep(1.5)
    w.act("api", "restart")


@scenario("json-broken-and-file-gone", "compound repair", truth="one file was broken by an edit, another was deleted; only the second is needed by the report",
          causes=["configs", "files"], symptoms=["report"], words=["config/features.json", "config/report.toml"], shows={"configs": "broken", "files": "missing", "report": "fail"})
def _(w):
    w.edit("config/features.json", '{"new', '{new')
    os.unlink(w.file("config/report.toml"))


@scenario("rebase-and-database-killed", "compound", truth="a rebase stopped at a conflict, and the database was killed: nothing to do with each other",
          causes=["repo", "shop-stack"], symptoms=["configs", *DB_DOWN], words=["rebase", "shop-db-1"], prepare=two_limits,
          shows={"repo": "operation", "configs": "broken", "shop-stack": "fail", "dashboard": "fail"})
def _(w):
    rebase(w)
    w.act("db", "kill")


@scenario("job-removed-and-disk-full", "compound", truth="a job was taken out of the scrape configuration, and the data disk is full", causes=["prom", "data-disk"],
          symptoms=["report", *API_DOWN], words=["pricing"], shows={"prom": "job_missing", "data-disk": "disk_low", "report": "fail", "dashboard": "fail"})
def _(w):
    w.edit("config/prometheus.yml", '  - job_name: pricing\n    static_configs:\n      - targets: ["host.docker.internal:9101"]\n', "")
    time.sleep(1.2)
    w.act("prometheus", "kill", "?signal=HUP")
    w.fill_disk()


@scenario("ledger-gone-on-a-wrong-branch", "compound", truth="the service on the unix socket was killed, and another branch is checked out", causes=["ledger", "repo"],
          symptoms=["books"], checks=parts.ledger_checks, prepare=lambda w: (parts.ledger(w), w.git("branch", "try")),
          shows={"ledger": "refused", "books": "fail", "repo": "wrong_branch"})
def _(w):
    w.git("checkout", "-q", "try")
    parts.end_ledger(w)


@scenario("tool-and-certificate-and-worker", "compound", truth="a program was removed, the edge got a certificate that nobody trusts, and the worker runs armed: three things",
          causes=["env-off", "squeeze", "edge"], symptoms=["pack"], words=["VIOLATED", "squeeze", "self-signed"], checks=parts.pack_checks,
          prepare=lambda w: parts.team_has(w, parts.PACK, list(parts.PACK)), shows={"env-off": "denied_set", "squeeze": "not_found", "pack": "fail", "edge": "tls_self_signed"})
def _(w):
    os.unlink(w.file("tools/bin/squeeze"))
    worker_with(w, {"PAY_LIVE": "true"})
    parts.serve_certificate(w, parts.certificate(w, trusted=False))


# coincidence

@scenario("pull-of-many-files-before-a-crash", "coincidence", truth="the database crashed; the commits that were pulled a moment before have nothing that it reads",
          causes=["shop-stack"], symptoms=DB_DOWN, words=["shop-db-1", "code 40"], not_words=["rows = 25", "per_minute: 700"], standing=["config-drift"],
          noise_shows={"config-drift": "warn"}, shows={"shop-stack": "exited", "dashboard": "fail"},
          noise=lambda w: (w.edit("config/report.toml", "rows = 20", "rows = 25"), w.edit("config/limits.yaml", "600", "700"), w.edit("docs/notes.md", "Nothing", "Something"), w.commit("Several things")))
def _(w):
    w.tell("db", "exit 40 fatal: page cache is inconsistent")


@scenario("right-edit-among-others", "coincidence", truth="of two edits in the same moment one keeps the api from starting, the other says nothing", causes=["shop-stack"],
          symptoms=["api-port", "prom", *API_DOWN], words=["config/api.toml", "shop-api-1"], not_words=["sessions: 9"],
          shows={"shop-stack": "exited", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.edit("config/limits.yaml", "sessions: 5", "sessions: 9")
    w.edit("config/api.toml", "pool = 8", 'pool = "many"')
    time.sleep(1.2)
    w.act("api", "restart")


@scenario("reload-before-a-kill", "coincidence", truth="an exporter was killed; that runbookd was told to read its configuration anew a moment before is routine",
          causes=["orders-port"], symptoms=["orders", "prom"], noise=lambda w: [daemon.signal(signal.SIGHUP) for daemon in w.daemons.values()],
          shows={"orders": "fail", "prom": "fail"})
def _(w):
    w.kill("orders")


@scenario("namesake-that-ended-long-ago", "coincidence", truth="the database was stopped; a container of a similar name, which ended with an error, belongs to somebody else",
          causes=["shop-stack"], symptoms=DB_DOWN, words=["shop-db-1"], not_words=["shop-db-old-1", "code 99"], shows={"shop-stack": "fail", "dashboard": "fail"},
          noise=lambda w: w.engine.run("shop-db-old-1", ["/bin/sh", "-c", "echo 'fatal: old' >&2; exit 99"], project="shopold", service="db", image="test/shop:1"))
def _(w):
    w.act("db", "stop")


@scenario("cpu-hog-beside-a-kill", "coincidence", truth="the proxy was killed; a program beside it takes a whole processor", causes=["proxy-port"],
          symptoms=["proxy", "public", "dashboard"], noise=lambda w: w.spawn(["/bin/sh", "-c", "while :; do :; done"]), shows={"proxy": "fail", "dashboard": "fail"})
def _(w):
    w.kill("proxy")


@scenario("database-stopped-inside", "coincidence",
          truth="the database's process was stopped by a signal: its container runs, nothing answers and nothing tells why; an edit of the api's configuration a moment before was right",
          undetermined=["db"], symptoms=API_DOWN, standing=["config-drift"], noise=lambda w: w.edit("config/api.toml", '"2s"', '"3s"'), noise_shows={"config-drift": "warn"},
          shows={"db": "timeout", "api": "fail", "dashboard": "fail"})
def _(w):
    w.undo.append(lambda: w.act("db", "kill", "?signal=CONT"))
    w.act("db", "kill", "?signal=STOP")


@scenario("prometheus-stopped-inside", "coincidence",
          truth="Prometheus' process was stopped by a signal: its container runs, nothing answers and nothing tells why; the deploy of the dashboard a moment before says nothing",
          undetermined=["prom-ready"], symptoms=["prom", "dashboard"], noise=lambda w: w.run_container("dashboard", env=["VERSION=4"]),
          noise_shows={"dashboard": "ok", "shop-stack": "ok"}, shows={"prom-ready": "timeout", "prom": "fail", "dashboard": "fail"})
def _(w):
    w.undo.append(lambda: w.act("prometheus", "kill", "?signal=CONT"))
    w.act("prometheus", "kill", "?signal=STOP")


# observer

def close(w, *names):
    for name in names:
        os.chown(w.file(name), 0, 0)
        os.chmod(w.file(name), 0o600)


@scenario("guarded-file-closed", "observer", truth="the daemons may not read the file with the guarded key any more; it is as it was", verdict="undetermined",
          words=["UNKNOWN", "api.toml"], shows={"payments-off": "unknown", "api": "ok"})
def _(w):
    close(w, "config/api.toml")


@scenario("guarded-file-closed-and-prometheus-killed", "observer compound", truth="Prometheus was killed; that a file cannot be read is another matter", causes=["obs-stack"],
          symptoms=PROMETHEUS_DOWN, words=["UNKNOWN", "obs-prometheus-1"], noise=lambda w: close(w, "config/api.toml"), noise_shows={"payments-off": "unknown"},
          standing=["payments-off", "configs", "no-arming", "config-drift"], shows={"obs-stack": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.act("prometheus", "kill")


@scenario("disk-behind-a-closed-door", "observer", truth="the folder above the spool may not be entered by the daemons; the spool is well", verdict="undetermined",
          shows={"vault-disk": "unknown"}, checks=lambda w: [{"name": "vault-disk", "kind": "host", "disk": {"path": w.path("vault", "spool"), "warn_below": "1%"}}],
          prepare=lambda w: (os.makedirs(w.path("vault", "spool")), w.undo.append(lambda: shutil.rmtree(w.path("vault")))))
def _(w):
    os.chmod(w.path("vault"), 0o700)


@scenario("ledger-may-not-be-asked", "observer", truth="the socket's rights were changed so that the operator may not use it; the service runs", verdict="undetermined",
          shows={"ledger": "permission"}, checks=lambda w: parts.ledger_checks(w)[:1], prepare=parts.ledger)
def _(w):
    os.chown(parts.ledger_socket(w), 0, 0)
    os.chmod(parts.ledger_socket(w), 0o600)


@scenario("names-hang", "observer", truth="the name server hangs; all that is asked by its address is well", may=["names", "public"], shows={"public": "fail", "proxy": "ok"})
def _(w):
    w.stop_process("names")


# recovery

@scenario("licence-renewed", "recovery", truth="the dashboard crashed at every start until its licence was renewed", verdict="healthy", prepare=licence,
          shows={"shop-stack": "crash_loop"}, after=lambda w: (os.unlink(w.path("control", "ended")), w.act("dashboard", "restart")),
          after_shows={"shop-stack": "ok", "dashboard": "ok", "dashboard-port": "ok"})
def _(w):
    w.tell("ended", "")
    one_crash(w)


@scenario("rebase-aborted", "recovery", truth="a rebase stopped at a conflict and was given up before anybody asked", verdict="healthy",
          shows={"repo": "operation", "configs": "broken"}, prepare=two_limits, after=lambda w: w.git("rebase", "--abort"),
          after_shows={"repo": "ok", "configs": "ok", "config-drift": "ok"})
def _(w):
    rebase(w)


@scenario("database-back-proxy-not", "recovery compound", truth="the database was killed and is back; the proxy, killed at the same time, is not", causes=["proxy-port"],
          symptoms=["proxy", "public", "dashboard"], not_words=["code 137"], shows={"shop-stack": "fail", "proxy-port": "fail", "api": "fail"},
          after=lambda w: w.act("db", "start"), after_shows={"shop-stack": "ok", "api": "ok", "proxy": "fail", "dashboard": "fail"})
def _(w):
    w.act("db", "kill")
    w.kill("proxy")


# slow burn

@scenario("inodes-run-out", "slow_burn", truth="orders that nobody fetches used up the spool's inodes, little by little", causes=["spool-disk"], symptoms=["enqueue"],
          standing=["spool-disk"], checks=parts.spool_checks, prepare=lambda w: parts.spool(w, "size=4m,nr_inodes=200"), noise=lambda w: parts.fill_inodes(w, 160),
          noise_shows={"spool-disk": "warn"}, shows={"spool-disk": "inodes_low", "enqueue": "fail"})
def _(w):
    parts.fill_inodes(w)


# ---- a last look: chains without port checks, replicas, damaged repositories, half-told truths

@scenario("end-of-a-chain-killed", "simple", truth="the last of three services, each of which needs the next, was killed", causes=["back"], symptoms=["middle", "front"],
          checks=parts.chain_checks, prepare=parts.chain, shows={"back": "refused", "middle": "status", "front": "status"})
def _(w):
    w.back.kill()
    w.back.wait(10)


@scenario("middle-of-a-chain-killed", "simple", truth="the second of three services, each of which needs the next, was killed", causes=["middle"], symptoms=["front"],
          checks=parts.chain_checks, prepare=parts.chain, shows={"back": "ok", "middle": "refused", "front": "status"})
def _(w):
    w.middle.kill()
    w.middle.wait(10)


@scenario("end-of-a-chain-hangs", "coincidence", truth="the last of three services hangs, and nothing tells why; an edit a moment before is of a file that it does not read",
          undetermined=["back"], symptoms=["middle", "front"], checks=parts.chain_checks, prepare=parts.chain, standing=["config-drift"],
          noise=lambda w: w.edit("config/banner.txt", "shop", "store"), noise_shows={"config-drift": "warn"}, shows={"back": "timeout", "middle": "status", "front": "status"})
def _(w):
    w.back.send_signal(signal.SIGSTOP)


@scenario("front-and-back-killed", "compound", truth="the first and the last of three services were killed, which are two things", causes=["front", "back"], symptoms=["middle"],
          checks=parts.chain_checks, prepare=parts.chain, shows={"back": "refused", "middle": "status", "front": "refused"})
def _(w):
    for process in (w.front, w.back):
        process.kill()
        process.wait(10)


@scenario("exporters-swapped", "simple", truth="the two exporters were started on each other's port", causes=[("pricing-port", "pricing", "orders", "orders-port")], words=["9101"],
          shows={"pricing-port": "wrong_marker", "pricing": "fail", "orders": "fail"})
def _(w):
    w.kill("pricing")
    w.kill("orders")
    w.stranger("orders", "--port", "9101")
    w.stranger("pricing", "--port", "9102")


@scenario("container-armed", "simple", truth="the api was made anew with a forbidden variable", causes=["containers-off"], words=["PAY_LIVE", "VIOLATED", "shop-api-1"],
          shows={"containers-off": "denied_set", "api": "ok"},
          checks=lambda w: [{"name": "containers-off", "kind": "env", "phase": "safety", "containers": {"project": "shop"}, "deny": ["PAY_LIVE"], "socket": w.engine.socket}])
def _(w):
    w.run_container("api", env=["PAY_LIVE=1"])


@scenario("container-armed-beside-a-dead-proxy", "compound", truth="the api was made anew with a forbidden variable, and the proxy was killed",
          causes=["containers-off", "proxy-port"], symptoms=["proxy", "public", "dashboard"], words=["PAY_LIVE", "VIOLATED"],
          shows={"containers-off": "denied_set", "proxy": "fail", "dashboard": "fail", "api": "ok"},
          checks=lambda w: [{"name": "containers-off", "kind": "env", "phase": "safety", "containers": {"project": "shop"}, "deny": ["PAY_LIVE"], "socket": w.engine.socket}])
def _(w):
    w.run_container("api", env=["PAY_LIVE=1"])
    w.kill("proxy")


@scenario("variable-only-unset", "coincidence", truth="a variable that should be set is not, which only warns; nothing is broken", verdict="healthy",
          shows={"dotenv": "required_unset"})
def _(w):
    w.edit(".env", "REGION=eu\n", "")


@scenario("two-file-systems", "compound", truth="the data disk is full, and the spool was mounted read-only", causes=["data-disk", "spool-disk"],
          symptoms=["report", "enqueue", *API_DOWN], checks=parts.spool_checks, prepare=parts.spool,
          shows={"data-disk": "disk_low", "spool-disk": "read_only", "report": "fail", "enqueue": "fail", "dashboard": "fail"})
def _(w):
    w.fill_disk()
    subprocess.run(["mount", "-o", "remount,ro", w.path("spool")], check=True)


@scenario("proxy-on-another-port", "simple", truth="the proxy was started on another port", causes=["proxy-port"], symptoms=["proxy", "public", "dashboard"], words=["8081"],
          shows={"proxy-port": "not_listening", "proxy": "fail", "dashboard": "fail"})
def _(w):
    w.kill("proxy")
    w.stranger("proxy", "--port", "8082", "--upstream", "api=http://127.0.0.1:8080/health")


@scenario("exporter-on-loopback-only", "simple",
          truth="the exporter was started listening on loopback only: its page answers here, and Prometheus in its container cannot reach it", may=["prom"],
          shows={"prom": "target_down", "orders": "ok", "orders-port": "ok"})
def _(w):
    w.kill("orders")
    w.stranger("orders", "--port", "9102", "--bind", "127.0.0.1")


@scenario("index-of-git-damaged", "simple", truth="the index of the repository is damaged; the files are as they were", may=["repo"], shows={"repo": "unreadable"})
def _(w):
    path = w.file(".git", "index")
    shutil.copy(path, w.path("index.kept"))
    w.undo.append(lambda: (shutil.copy(w.path("index.kept"), path), os.chown(path, UID, UID)))
    with open(path, "r+b") as file:
        file.write(b"JUNK" * 16)


@scenario("spool-unmounted", "simple", truth="the spool was unmounted and its folder removed", causes=["spool-disk"], symptoms=["enqueue"], words=["spool"],
          checks=parts.spool_checks, prepare=parts.spool, shows={"spool-disk": "path_missing", "enqueue": "fail"})
def _(w):
    subprocess.run(["umount", "-l", w.path("spool")], check=True)
    os.rmdir(w.path("spool"))
    w.undo.append(lambda: (os.makedirs(w.path("spool")), subprocess.run(["mount", "-t", "tmpfs", "spool", w.path("spool")], check=True)))


@scenario("impostor-on-the-engine-socket", "observer", truth="another program answers on the engine's socket; engine and shop are well", may=["docker"],
          shows={"docker": "protocol", "dashboard": "ok"})
def _(w):
    w.undo.append(lambda: os.replace(w.engine.socket + ".moved", w.engine.socket))
    os.rename(w.engine.socket, w.engine.socket + ".moved")
    parts.spawn(w, [*parts.program(w), "impostor", "--socket", w.engine.socket], uid=0)
    until(lambda: os.path.exists(w.engine.socket))
    w.admit()


@scenario("exporter-slower-than-patience", "coincidence",
          truth="the exporter answers, but too slowly for everybody, and nothing tells why; the commit a moment before says nothing", undetermined=["orders"], symptoms=["prom"],
          noise=lambda w: (w.edit("docs/notes.md", "Nothing", "Anything"), w.commit("Notes again")), shows={"orders": "timeout", "prom": "fail"})
def _(w):
    w.tell("orders", "slow 2.5")


@scenario("second-of-two-replicas", "simple", truth="one of two containers of the api ended; the other does all the work", causes=["shop-stack"], words=["shop-api-2", "code 4"],
          shows={"shop-stack": "exited", "api": "ok"},
          prepare=lambda w: w.engine.run("shop-api-2", ["/bin/sh", "-c", "while [ ! -e /control/second ]; do sleep 0.2; done; echo 'fatal: replica lost its lease' >&2; exit 4"], project="shop", service="api",
                                         image="test/shop:1", Binds=[w.path("control") + ":/control"], labels=containers(w.folder)["shop-api-1"]["labels"]))
def _(w):
    w.tell("second", "")
