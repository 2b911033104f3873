#!/usr/bin/env python3
"""Policy and secrets in one pass of the scan helper over a made-up repository (15,000 files, 150 MB) against two runs of ripgrep with the same expressions; and one
pattern against one run. Ours includes starting the helper, reading git's index, judging and fingerprints; rg's look-arounds are left out, which it does not know.
RB_BENCH_TREE: a tree that is there already (tests/support/gen_tree.py --git)."""
import json
import os
import re
import subprocess
import sys
import time

from measure import HERE, ROUNDS, TOP, Scratch, alternate, main, median, peer, ratio

POLICY = [r"LIVE_ARMED\s*=\s*1", r"enable_live_trading\s*=\s*true", r"EXEC \(allowed\)"]
GOAL = {"faster": 2.5, "cpu": 0.4, "single_pattern_wall": 1.0}


def secret_expressions():
    """(group, expression) of every rule, for rg."""
    with open(os.path.join(TOP, "lib", "source", "secret_rules.def"), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    for call in re.findall(r"RULE\((.*)\)\s*$", text, flags=re.M):
        group, _, _, regex = re.findall(r'"((?:[^"\\]|\\.)*)"', call)[:4]
        regex = re.sub(r"\\(.)", r"\1", regex)
        regex = re.sub(r"\(\?<?!\[[^\]]*\]\)", "", regex)
        yield group, f"(?i:{regex})" if call.rstrip().split(",")[-2].strip() == "CI" else regex


def plain(value):
    """A node as the daemon sends it to its helper: text marked as quoted."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else "q" + value


def measured(args, cwd, stdin=b""):
    """Output, wall and processor time, peak memory of one program."""
    start = time.monotonic()
    with subprocess.Popen(args, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(stdin)
        process.stdin.close()
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return {"out": out, "wall": time.monotonic() - start, "cpu": usage.ru_utime + usage.ru_stime, "peak_kb": usage.ru_maxrss}


def helper(tree, *checks):
    beside = os.path.join(os.path.dirname(os.path.realpath(os.environ["RB_BINARY"])), "runbookd-scan")
    program = [beside] if os.access(beside, os.X_OK) else [os.environ["RB_BINARY"], "--scan-helper"]
    job = {"root": tree, "timeout_ms": 60000, "checks": [{"name": check["name"], "kind": check["kind"], "node": plain(check)} for check in checks]}
    return measured(program, tree, json.dumps(job).encode())


def rg(program, tree, expressions):
    args = [item for expression in expressions for item in ("-e", expression)]
    return measured([program, "-n", "--no-heading", *args, "."], tree)


def both(left, right):
    return {"out": left["out"] + right["out"], "wall": left["wall"] + right["wall"], "cpu": left["cpu"] + right["cpu"], "peak_kb": max(left["peak_kb"], right["peak_kb"])}


def value(outcome, name, label=None):
    return sum(number for name_, label_, number, *_ in outcome["values"] if name_ == name and label in (None, label_))


def compare(results):
    ours, theirs = results["ours"], results["theirs"]
    return {"ours": {key: median([run[key] for run in ours]) for key in ("wall", "cpu", "peak_kb")},
            "rg": {key: median([run[key] for run in theirs]) for key in ("wall", "cpu", "peak_kb")},
            "wall_ratio": ratio([run["wall"] for run in ours], [run["wall"] for run in theirs]),
            "cpu_ratio": ratio([run["cpu"] for run in ours], [run["cpu"] for run in theirs])}


def matches(ours, theirs, program, tree):
    """Both found the same: the numbers, and every line that our evidence shows stands in rg's output."""
    text, secrets = (json.loads(line) for line in ours["out"].splitlines()[:2])
    shapes = rg(program, tree, [expression for group, expression in secret_expressions() if group != "generic"])["out"].splitlines()
    policy = rg(program, tree, POLICY)["out"].splitlines()
    shown = {re.match(r"(.+?:\d+):", line).group(1) for line in text["evidence"] + [line for line in secrets["evidence"] if "(generic_" not in line]}
    known = {b":".join(line.split(b":")[:2]).decode().removeprefix("./") for line in theirs["out"].splitlines()}
    counts = {"policy": [int(value(text, "findings")), len(policy)],
              "secrets": [int(value(secrets, "findings") - value(secrets, "findings", "generic")), len(shapes)]}
    return {"ours_and_rg": counts, "same": all(left == right for left, right in counts.values()) and shown <= known}


def run():
    program = peer("rg")
    with Scratch("rb-bench-") as scratch:
        tree = os.environ.get("RB_BENCH_TREE")
        if not tree:
            tree = scratch.join("tree")
            subprocess.run([sys.executable, os.path.join(HERE, "..", "support", "gen_tree.py"), tree, "--git"], check=True, stdout=subprocess.DEVNULL)
        expressions = [expression for _, expression in secret_expressions()]
        text, secrets = {"name": "policy", "kind": "text", "forbid": POLICY}, {"name": "secrets", "kind": "secrets"}
        single = {"name": "one", "kind": "text", "forbid": ["LIVE_ARMED"]}
        helper(tree, text, secrets)  # the page cache is warm for both sides
        pair = alternate(ROUNDS, ours=lambda: helper(tree, text, secrets), theirs=lambda: both(rg(program, tree, POLICY), rg(program, tree, expressions)))
        one = alternate(ROUNDS, ours=lambda: helper(tree, single), theirs=lambda: rg(program, tree, ["LIVE_ARMED"]))
        joined = compare(pair)
        joined["times_faster"] = round(1 / joined["wall_ratio"]["median"], 2)
        return {"policy_and_secrets": joined, "matches": matches(pair["ours"][-1], pair["theirs"][-1], program, tree), "single_pattern": compare(one), "goal": GOAL,
                "rules": len(expressions)}


if __name__ == "__main__":
    main(run)
