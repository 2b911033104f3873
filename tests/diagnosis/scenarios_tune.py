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


@scenario("api-out-of-memory", "simple", truth="the api needed more memory than its limit", causes=["shop-stack"], symptoms=["api-port", "prom", *API_DOWN],
          words=["shop-api-1", "137"], shows={"shop-stack": "oom", "dashboard": "fail"})
def _(w):
    w.tell("api", "leak")


@scenario("prometheus-killed", "simple repair", truth="Prometheus was killed; its targets are well", causes=["obs-stack"], symptoms=PROMETHEUS_DOWN,
          words=["obs-prometheus-1", "137", "not scraped"], shows={"obs-stack": "fail", "dashboard": "fail"})
def _(w):
    w.act("prometheus", "kill")


@scenario("engine-stopped", "simple", truth="the Docker engine was stopped, and its containers with it", causes=["docker"],
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


@scenario("unrelated-edit-before-crash", "coincidence", truth="the database crashed; an edit of another file a moment before has nothing to do with it", causes=["shop-stack"],
          symptoms=["db-port", "db", *API_DOWN], words=["shop-db-1", "code 9"], noise_shows={"config-drift": "warn"}, standing=["config-drift"],
          noise=lambda w: w.edit("config/features.json", '"new_checkout": false', '"new_checkout": true'), shows={"shop-stack": "exited", "dashboard": "fail"})
def _(w):
    w.tell("db", "exit 9 fatal: assertion failed in compaction")


@scenario("two-things-at-once", "compound", truth="a container ended, and an exporter that has nothing to do with it was killed", causes=["shop-stack", "pricing-port"],
          symptoms=["db-port", "db", *API_DOWN, "pricing", "prom"], shows={"shop-stack": "fail", "pricing-port": "fail", "dashboard": "fail", "prom": "fail"})
def _(w):
    w.act("db", "kill")
    w.kill("pricing")


# ---- what the observer cannot see

@scenario("no-permission-for-docker", "observer", truth="the daemons may not use the Docker socket any more; the shop is well", words=["permission"],
          verdict="undetermined", shows={"docker": "no_permission", "shop-stack": "unknown"})
def _(w):
    os.chmod(w.engine.socket, 0o600)
