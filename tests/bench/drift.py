#!/usr/bin/env python3
"""The drift kind over a made-up repository (15,000 files, 3,300 of them configuration) against what a person would run instead, in turns: a first baseline of the configuration
against `tar -czf - config | sha256sum`, an unchanged look at the whole work tree against `git status`. Processor time of all processes; the peers' start is in theirs.
RB_BENCH_TREE: a tree that is there already (tests/support/gen_tree.py --git, committed)."""
import json
import os
import resource
import subprocess
import sys

from measure import HERE, ROUNDS, TOP, Scratch, main, median, ratio

GOAL = {"first_cpu_faster": 8, "unchanged_ms": 10, "work_tree_cpu": 0.7, "private_growth_bytes": 10_000_000}
CONFIGS, ALL = 'files: ["config/**"]', 'files: ["**"]'
INNER = 15  # unchanged runs of which each round takes the median


def bench_program():
    folder = os.path.join(TOP, "build-bench")  # the program that people run is built without tests
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        subprocess.run(["meson", "setup", folder, TOP, "--buildtype=release"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, "tests/bench/bench_drift"], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(folder, "tests", "bench", "bench_drift")


def make_tree(folder):
    environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run([sys.executable, os.path.join(TOP, "tests", "support", "gen_tree.py"), folder, "--git"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "-q", "-m", "x"], cwd=folder, env=environment, check=True)


def cpu_ms(script, folder):
    """Processor time of a shell line, the shell's included (under 1 ms)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["sh", "-c", script], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def ours(program, tree, options):
    with Scratch() as state:
        output = subprocess.run([program, tree, state.path, str(INNER), options], check=True, capture_output=True, text=True).stdout
    return json.loads(output)


def series(program, tree):
    """One list of figures for each name, a value a round."""
    figures = {name: [] for name in ("tar", "git_status", "first", "unchanged", "unchanged_cpu", "unchanged_tracked", "all", "all_tracked", "status", "growth")}
    for _ in range(ROUNDS):
        figures["tar"].append(cpu_ms("tar -czf - config | sha256sum", tree))
        configs, tracked = ours(program, tree, CONFIGS), ours(program, tree, CONFIGS + ", untracked: false")
        figures["first"].append(configs["first_cpu_ms"])
        figures["unchanged"].append(configs["unchanged_wall_ms"]["median"])
        figures["unchanged_cpu"].append(configs["unchanged_cpu_ms"]["median"])
        figures["unchanged_tracked"].append(tracked["unchanged_wall_ms"]["median"])
        figures["growth"].append(configs["private_growth_bytes"])
        figures["git_status"].append(cpu_ms("exec git --no-optional-locks status --porcelain", tree))
        whole = ours(program, tree, ALL)
        figures["all"].append(whole["unchanged_cpu_ms"]["median"])
        figures["growth"].append(whole["private_growth_bytes"])
        figures["git_status"].append(cpu_ms("exec git --no-optional-locks status --porcelain", tree))
        figures["all_tracked"].append(ours(program, tree, ALL + ", untracked: false")["unchanged_cpu_ms"]["median"])
        figures["status"].append(ours(program, tree, "status")["unchanged_cpu_ms"]["median"])
    return figures


def measure(program, tree):
    figures = series(program, tree)
    git = figures["git_status"][::2]
    return {"goal": GOAL, "ms": {name: median(values) for name, values in figures.items() if name != "growth"}, "private_growth_bytes": max(figures["growth"]),
            "first_cpu_faster": ratio(figures["tar"], figures["first"]), "work_tree_cpu": ratio(figures["all"], git),
            "work_tree_cpu_tracked_only": ratio(figures["all_tracked"], git), "kind_git_cpu": ratio(figures["status"], git)}


def run():
    program, tree = bench_program(), os.environ.get("RB_BENCH_TREE")
    if tree:
        return measure(program, tree)
    with Scratch() as scratch:
        make_tree(scratch.join("tree"))
        return measure(program, scratch.join("tree"))


if __name__ == "__main__":
    main(run)
