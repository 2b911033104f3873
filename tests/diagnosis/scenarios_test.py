"""The half that nothing is tuned on: what really happens to a team with a repository, a compose stack, Prometheus, exporters and scripts.

Written without looking at the diagnosis. Expected is what an experienced operator who knows the truth would call the cause; where two checks are equally right, either will do.
"""
import functools
import os
import shutil
import signal
import subprocess
import time

import parts_test as parts
import scenario as scenarios

scenario = functools.partial(scenarios.scenario, "test")

API_DOWN = ("api", "proxy", "public", "dashboard")
DB_DOWN = ("db-port", "db", *API_DOWN)
PROMETHEUS_DOWN = ("prom-ready", "prom", "dashboard")
BY_DOCKER = ("docker", "shop-stack", "obs-stack", "db-port", "api-port", "dashboard-port")


# ---- simple: services

@scenario("ledger-killed", "simple", truth="the service on the unix socket was killed; its socket's file stayed behind", causes=["ledger"], symptoms=["books"], words=["ledger.sock"],
          checks=parts.ledger_checks, prepare=parts.ledger, shows={"ledger": "refused", "books": "fail"})
def _(w):
    parts.end_ledger(w)


@scenario("socket-file-cleaned-away", "simple", truth="a cleaner of temporary files removed the socket of a service that runs", causes=["ledger"], symptoms=["books"],
          words=["ledger.sock"], checks=parts.ledger_checks, prepare=parts.ledger, shows={"ledger": "no_socket", "books": "fail"})
def _(w):
    os.unlink(parts.ledger_socket(w))


@scenario("dashboard-cannot-start", "simple", truth="the dashboard was made anew with a command that its image does not have", causes=["shop-stack"], symptoms=["dashboard-port", "dashboard"],
          words=["shop-dashboard-1"], shows={"shop-stack": "not_started", "dashboard": "fail"})
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


@scenario("edge-self-signed", "simple", truth="the edge got a self-signed certificate that nobody trusts", causes=["edge"], words=["self-signed"], shows={"edge": "tls_self_signed"})
def _(w):
    parts.serve_certificate(w, parts.certificate(w, trusted=False))
