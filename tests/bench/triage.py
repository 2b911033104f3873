#!/usr/bin/env python3
"""GET /triage on a preflight of 30 local checks: fresh (every check runs again for each request), `?fresh=0`, and 1,000 requests at once with 200 real curls beside them.

Twice: as it is by default (scans and commands keep their own beat, the report tells their age), and with `triage: true` for these too.

Peer: the block of commands that the first team's runbook has for "Detection & Triage", run by hand in the same tree. RB_SHARED names the folder with their tree;
without it a made-up tree of the same size and the same commands are used.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time

from measure import HERE, ROUNDS, TOP, Daemon, Program, Scratch, alternate, compiled, free_port, main, median, ratio, wait_port
from support import Repo, quantile, until

GOAL = {"fresh_p99_ms": 50, "known_p99_ms": 2, "by_hand_ms": 290}
FRESH_PER_ROUND, SPACING_S = 15, 1.05
OWN_BEAT = ("syntax", "text", "command")  # not brought forward by default
PARALLEL, CURLS, CHECKS = 1000, 200, 30
RUNBOOK = "docs/ops/runbooks/cursor_multi_agent_orchestration.md"
BLOCK = r"""git status -sb
git log --oneline -n 3
lsof -nP -iTCP -sTCP:LISTEN | egrep ':(3000|8000|9090|9092|9094|9095|9109|9110|9111)\b' || true
curl -fsS http://localhost:9090/-/ready >/dev/null && echo "prom: OK" || echo "prom: DOWN"
curl -fsS http://localhost:3000/login >/dev/null && echo "grafana: OK" || echo "grafana: DOWN"
docker compose ls
[ -x scripts/ops/prom_targets_check.sh ] && ./scripts/ops/prom_targets_check.sh || true
"""
# What the two that are down stand for: a listener that is gone with its probe, so that there is a cause to be found.
CONFIG = """defaults: {{every: 1h{triage}}}
checks:
  - {{name: paper, kind: keys, phase: safety, rules: [{{files: [config.toml, config/config.toml], key: environment.mode, equals: paper}}, {{files: [config.toml, config/config.toml], key: environment.enable_live_trading, equals: false}}]}}
  - {{name: kill-switch, kind: keys, phase: safety, rules: [{{file: config/risk/kill_switch.toml, key: kill_switch.enabled, equals: true}}]}}
  - {{name: bounds, kind: keys, phase: safety, rules: [{{file: config/bounded_live.toml, key: bounded_live.enforcement.enforce_limits, equals: true}}]}}
  - {{name: tiers, kind: keys, phase: safety, rules: [{{files: [config/strategy_tiering.toml, config/r_and_d_presets.toml], key: "**.allow_live", equals: false}}]}}
  - {{name: environment, kind: env, phase: safety, self: true, deny: [PT_ARMED, ARM_LIVE, "PT_CONFIRM*"]}}
  - {{name: processes, kind: env, phase: safety, processes: true, deny: [PT_ARMED, ARM_LIVE, "PT_CONFIRM*"]}}
  - {{name: disk, kind: host, disk: {{path: ., warn_below: 1%}}}}
  - {{name: memory, kind: host, memory: {{warn_below: 1%}}}}
  - {{name: load, kind: host, load: {{warn_above: 1000}}}}
  - {{name: python, kind: tool, argv: [python3, --version]}}
  - {{name: git-tool, kind: tool, argv: [git, --version]}}
  - {{name: shell, kind: command, argv: [sh, -c, "exit 0"]}}
  - {{name: repo, kind: git, branch: main}}
  - {{name: configs, kind: syntax}}
  - {{name: policy, kind: text, files: ["config/**", "docker/**", "*.toml", "*.yml"], forbid: ['^LIVE_ARMED\\s*=\\s*1']}}
  - {{name: config-drift, kind: drift, files: ["config/**", "*.toml"]}}
  - {{name: lock-file, kind: path, exist: [uv.lock], count: {{min: 1}}}}
  - {{name: docs, kind: path, exist: ["docs/**/*.md"]}}
  - {{name: left-over, kind: path, absent: ["**/*.orig"]}}
  - {{name: runner, kind: path, exist: [config.toml]}}
  - {{name: web-port, kind: port, port: {http}, owner: python}}
  - {{name: tls-port, kind: port, port: {https}, bind: loopback}}
  - {{name: unused-port, kind: port, port: {unused}, free: true}}
  - {{name: gone-port, kind: port, port: {gone}, severity: page}}
  - {{name: marker, kind: port, port: {http}, marker: {{url: /, contains: ok}}}}
  - {{name: web, kind: http, url: "http://127.0.0.1:{http}/", depends_on: [web-port]}}
  - {{name: web-two, kind: http, url: "http://127.0.0.1:{http}/two", expect: {{status: 200}}}}
  - {{name: gone, kind: http, url: "http://127.0.0.1:{gone}/", depends_on: [gone-port]}}
  - {{name: greeting, kind: tcp, address: "127.0.0.1:{tcp}", steps: [{{expect: "^220 "}}]}}
  - {{name: dial, kind: tcp, address: "127.0.0.1:{https}"}}
"""


def team_tree():
    shared = os.environ.get("RB_SHARED") or os.path.join(TOP, "..", "shared")
    path = os.path.join(shared, "peak_trade", "tree")
    return path if os.path.isdir(path) else None


def repository(scratch):
    """A clone of their tree, or one like it with what the checks look at."""
    if team_tree():
        return Repo(tree=team_tree())
    made = scratch.join("made")
    subprocess.run([sys.executable, os.path.join(TOP, "tests", "support", "gen_tree.py"), made, "--files", "190", "--megabytes", "3", "--configs", "150"],
                   check=True, stdout=subprocess.DEVNULL)
    safe = "[environment]\nmode = \"paper\"\nenable_live_trading = false\n"
    tiers = "[strategy.a]\nallow_live = false\n"
    shutil.rmtree(os.path.join(made, ".git"), ignore_errors=True)
    return Repo({"config.toml": safe, "config/config.toml": safe, "docs/README.md": "docs\n", "uv.lock": "version = 1\n", "config/strategy_tiering.toml": tiers,
                 "config/r_and_d_presets.toml": tiers, "config/risk/kill_switch.toml": "[kill_switch]\nenabled = true\n",
                 "config/bounded_live.toml": "[bounded_live.enforcement]\nenforce_limits = true\n"}, tree=made)


def block_by_hand(repo):
    """The fenced commands under "Detection & Triage" in the team's own file."""
    try:
        text = repo.read(RUNBOOK).decode()
    except OSError:
        return BLOCK
    found = re.search(r"Detection & Triage\*\*\n```bash\n(.*?)\n```", text, re.S)
    return found[1] if found else BLOCK


def by_hand(script, folder):
    start = time.monotonic()
    subprocess.run(["bash", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return (time.monotonic() - start) * 1e3


def runs(daemon, kinds_left_out=()):
    return {check["name"]: check["runs"] for check in daemon.status()["checks"] if check["kind"] not in kinds_left_out}


def one_more(before, after):
    """Each check ran exactly once more."""
    return all(after[name] == count + 1 for name, count in before.items())


def fresh(daemon, left_out):
    """Requests that each bring every check forward, in ms; counted, not believed."""
    times = []
    for _ in range(FRESH_PER_ROUND):
        before = runs(daemon, left_out)
        time.sleep(SPACING_S)
        answer = daemon.get("/triage?max_age=1", accept="text/plain")
        assert answer.status == 200 and "gone-port" in answer.text, answer.text
        assert one_more(before, runs(daemon, left_out)), "not every check ran once for the request"
        times.append(answer.seconds * 1e3)
    return times


def curl_ms(daemon):
    """As a person asks: a curl process, every check fresh."""
    time.sleep(SPACING_S)
    start = time.monotonic()
    subprocess.run(["curl", "-fsS", f"{daemon.base}/triage?max_age=1"], stdout=subprocess.DEVNULL, check=True)
    return (time.monotonic() - start) * 1e3


def many(daemon, left_out, client, scratch):
    """All at once while every check is old; returns latencies and how many rounds there were."""
    time.sleep(6)
    before, start = runs(daemon, left_out), time.monotonic()
    with open(scratch.join("load.json"), "wb") as out:
        load = subprocess.Popen([client, str(daemon.port), "/triage", str(PARALLEL), "0"], stdout=out)
        curls = [subprocess.Popen(["curl", "-sS", "-o", scratch.join(f"answer.{i}"), "-w", "%{http_code}", f"{daemon.base}/triage"], stdout=subprocess.PIPE) for i in range(CURLS)]
        codes = [one.communicate()[0] for one in curls]
        assert load.wait() == 0, "the load program failed"
    took = time.monotonic() - start
    with open(scratch.join("load.json"), encoding="ascii") as file:
        result = json.load(file)
    after = runs(daemon, left_out)
    return {"answered": result["requests"] + codes.count(b"200"), "of": PARALLEL + CURLS, "all_answered_within_s": round(took, 3),
            "p50_ms": result["p50_ms"], "p99_ms": result["p99_ms"], "rounds_of_checks": max(after[name] - before[name] for name in before),
            "one_round": one_more(before, after)}


def measure(daemon, left_out, script, client):
    results = alternate(ROUNDS, ours=lambda: {"fresh": fresh(daemon, left_out), "curl": curl_ms(daemon)}, theirs=lambda: by_hand(script, daemon.root),
                        known=lambda: json.loads(subprocess.run([client, str(daemon.port), "/triage?fresh=0", "1", "1"], check=True, capture_output=True).stdout))
    times = [ms for one in results["ours"] for ms in one["fresh"]]
    curls = [one["curl"] for one in results["ours"]]
    return {"fresh": {"requests": len(times), "p50_ms": median(times), "p99_ms": round(quantile(times, 0.99), 3), "max_ms": round(max(times), 3)},
            "fresh_0": {key: median([one[key] for one in results["known"]]) for key in ("per_second", "p50_ms", "p99_ms")},
            "by_hand": {"median_ms": median(results["theirs"]), "curl_fresh_median_ms": median(curls), "ratio": ratio(curls, results["theirs"])}}


def served(repo, ports, forced, script, client, scratch):
    left_out = () if forced else OWN_BEAT
    with Daemon(CONFIG.format(triage=", triage: true" if forced else "", **ports), root=repo.path) as daemon:
        assert len(daemon.wait_settled()["checks"]) == CHECKS
        subprocess.run(daemon.command("drift", "accept", "--all", "--reason", "as it stands"), env=daemon.environment(), check=True, capture_output=True)
        until(lambda: daemon.check("config-drift")["state"] == "ok", what="an accepted baseline")
        report = {"states": {state: count for state, count in daemon.status()["summary"].items() if count}, "brought_forward": len(runs(daemon, left_out))}
        return report | measure(daemon, left_out, script, client) | {"parallel": many(daemon, left_out, client, scratch)}


def run():
    with Scratch("rb-bench-") as scratch, repository(scratch) as repo:
        client = compiled("load", scratch)
        ports = {name: free_port() for name in ("http", "https", "tcp", "gone", "unused")}
        cert, key = scratch.join("cert.pem"), scratch.join("key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=127.0.0.1",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        target = [sys.executable, f"{HERE}/target.py", str(ports["http"]), str(ports["https"]), str(ports["tcp"]), cert, key]
        with Program(target, ports["http"], scratch):
            wait_port(ports["tcp"])
            script = block_by_hand(repo)
            return {"what": f"GET /triage with {CHECKS} local checks", "goal": GOAL, "tree": "the first team's" if team_tree() else "made up",
                    "by_default": served(repo, ports, False, script, client, scratch), "all_forced": served(repo, ports, True, script, client, scratch)}


if __name__ == "__main__":
    main(run)
