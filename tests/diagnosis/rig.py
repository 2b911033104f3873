#!/usr/bin/env python3
"""How well does the triage tell cause from symptom? Faults on real parts, each with what a person who knows the truth would say, scored.

usage: rig.py --binary build/runbookd [-k PATTERN]… [--half tune|test] [--sample N] [--jobs N] [--json FILE] [--results FILE] [--keep] [--report] [--list] [--times N]

Works in network, mount and process namespaces of its own (needs root on Linux, unshare, and the test-only programs of tests/support/fetch.py); without them it
says why and ends with 0, skipped. Exit 1: below the thresholds of acceptance, or a scenario could not be played. See README.md.
"""
import argparse
import fnmatch
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import scenario as scenarios
import score


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("RB_BINARY"))
    parser.add_argument("-k", dest="pattern", action="append", default=[], help="only scenarios whose name holds or matches this")
    parser.add_argument("--half", choices=("tune", "test"))
    parser.add_argument("--tag", choices=scenarios.TAGS)
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="only every N-th of them, always the same")
    parser.add_argument("--jobs", type=int, default=2, help="worlds side by side")
    parser.add_argument("--times", type=int, default=1, help="play each scenario so often")
    parser.add_argument("--json", help="write all results here")
    parser.add_argument("--results", help="append PASS, FAIL and SKIP lines here, as the other suites do")
    parser.add_argument("--keep", action="store_true", help="stop after the fault of the first scenario that is not answered well, and wait")
    parser.add_argument("--report", action="store_true", help="print the reports of what was not answered well")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    return parser.parse_args()


def load():
    for name in ("scenarios_tune", "scenarios_test", "scenarios_test_late"):
        if os.path.exists(os.path.join(HERE, name + ".py")):
            __import__(name)
    return scenarios.ALL


def chosen(options):
    def fits(one):
        named = not options.pattern or any(pattern in one.name or fnmatch.fnmatch(one.name, pattern) for pattern in options.pattern)
        return named and options.half in (None, one.half) and (not options.tag or options.tag in one.tags)
    return [one for one in load().values() if fits(one)][::max(1, options.sample)]


# ---- one scenario, inside

def ask(world, names):
    """What both daemons say now, and what the naive rankers make of the same moment."""
    answers, raw = {}, {}
    for way, daemon in world.daemons.items():
        status = daemon.status()
        report, text = daemon.json("/triage?fresh=0"), daemon.text("/triage?fresh=0")
        raw[way] = {"status": status, "report": report, "text": text}
        answers[way] = score.told(report, text, status)
    depends_on = {check["name"]: check.get("depends_on", ()) for check in world.checks()}
    for mark, way, graph in (("", "with", depends_on), ("-", "without", {})):
        for ranker in (score.earliest, score.deepest):
            answers[ranker.__name__ + mark] = score.naive(ranker(raw[way]["status"], graph), names)
    return answers, raw


class Broken(Exception):
    """The scenario could not be played."""


def begin(world, one):
    """A healthy world with two daemons that have seen it well (but for what stands broken)."""
    if one.checks:
        world.extra_checks = one.checks(world)
    if one.history:
        world.wake_daemons(age=one.history_days * 86400)
        bad = world.wait_well(except_for=["edge"])  # its certificate was not valid then
        if bad:
            raise Broken("before its history: " + "; ".join(bad[:4]))
        step(world, one.history, one.history_shows, "its history")
        world.sleep_daemons()
    if one.prepare:
        one.prepare(world)
    world.wake_daemons(fresh=not one.history)
    bad = world.wait_well(except_for=one.standing)
    if bad:
        raise Broken("not well at the start: " + "; ".join(bad[:4]))


def step(world, function, shows, what):
    function(world)
    problems = world.settle(shows)
    if problems:
        raise Broken(f"{what}: " + "; ".join(problems[:4]))


def printed(text):
    """The commands of a report as somebody takes them from the terminal: the lines below DO, without their first #."""
    block = text.partition("\nDO, ")[2].splitlines()[1:]
    block = block[:next((i for i, one in enumerate(block) if one and not one.startswith(" ")), len(block))]
    return [one.strip().removeprefix("# ") for one in block if one.strip().startswith("# ")]


def repaired(world, raw, standing):
    """Pastes the printed commands, as the operator, and looks whether everything is well again."""
    before = {check["name"]: check["state"] for check in raw["with"]["status"]["checks"]}
    script = "\n".join(printed(raw["with"]["text"])) + "\n"
    try:
        said = world.operator(["sh", "-xc", script], check=False, timeout=60, cwd=world.path("home"))
    except subprocess.TimeoutExpired:
        said = "it took longer than 60 s"
    log = [script, "---- which said", said[-3000:]]
    bad = world.wait_well(10, except_for=standing)
    worse = [text for text in bad if before.get(text.split()[0]) == "ok" and " fail " in text]
    return {"works": not bad, "bad": bad, "worse": worse, "log": log}


def play(world, one):
    started = time.monotonic()
    result = {"name": one.name, "half": one.half, "tags": one.tags, "truth": one.truth, "status": "played"}
    world.mend()
    try:
        begin(world, one)
    except Broken as error:
        print(f"{one.name}: {error}; the world is built anew", file=sys.stderr)
        world.sleep_daemons()
        world.rebuild()
        begin(world, one)
    if one.noise:
        step(world, one.noise, one.noise_shows, "its noise")
    twin, twin_raw = ask(world, one)
    result["twins"] = {way: score.judge_twin(one, twin[way]) for way in score.DAEMONS}
    step(world, one.fault, one.shows, "the fault")
    if one.after:
        step(world, one.after, one.after_shows, "after the fault")
    answers, raw = ask(world, one)
    result["answers"] = {way: {key: value for key, value in answer.items() if key != "text"} for way, answer in answers.items()}
    result["ways"] = {way: score.judge(one, answer) for way, answer in answers.items()}
    result["reports"] = {way: raw[way]["text"] for way in score.DAEMONS}
    if any(result["twins"].values()):
        result["reports"] |= {way + " (twin)": twin_raw[way]["text"] for way in score.DAEMONS}
    if "repair" in one.tags:
        result["remedy"] = repaired(world, raw, one.standing)
    result["seconds"] = time.monotonic() - started
    return result


def good(result):
    ways = [result["ways"][way] for way in score.DAEMONS] if "ways" in result else []
    return bool(ways) and all(points["top1"] and not points["invented"] and not points["symptoms"] and not points["words"] for points in ways) and \
        not any(result["twins"].values()) and (result.get("remedy") or {"works": True, "worse": []})["works"]


def played(world, one):
    try:
        return play(world, one)
    except Broken as error:
        return {"name": one.name, "half": one.half, "tags": one.tags, "status": "not played", "problem": str(error)}
    except (AssertionError, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        return {"name": one.name, "half": one.half, "tags": one.tags, "status": "not played", "problem": f"{type(error).__name__}: {error}"[:600],
                "trace": traceback.format_exc()}


def inside(options):
    """In namespaces of our own: one world, its scenarios one after the other, a line of JSON for each."""
    from world import Unavailable, World
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(3))
    names = json.loads(options.inside)
    every = load()
    try:
        with World(options.binary) as world:
            for name in names:
                result = played(world, every[name])
                print(json.dumps(result), flush=True)
                if options.keep and not good(result):
                    print(json.dumps({"kept": f"DOCKER_HOST=unix://{world.engine.socket}, daemons on 9112 (depends_on) and 9113, {world.folder}"}), flush=True)
                    signal.pause()
                world.sleep_daemons()
    except (Unavailable, unittest.SkipTest) as error:
        print(json.dumps({"skip": str(error)}), flush=True)


# ---- all of them, outside

NAMESPACES = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]


def cannot():
    """Why the rig cannot work here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the rig needs root on Linux (a Docker engine and namespaces of its own)"
    try:
        done = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        return f"no unshare: {error}"
    return None if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()}"


def run_all(options, wanted):
    """Results as they come, from `jobs` worlds side by side."""
    jobs = 1 if options.keep else max(1, min(options.jobs, len(wanted) // 3))
    todo = [one.name for one in wanted] * options.times
    children, lines = [], queue.Queue()

    def listen(child):
        for text in child.stdout:
            lines.put(text)
        lines.put(None)

    for job in range(jobs):
        argv = [*NAMESPACES, sys.executable, os.path.join(HERE, "rig.py"), "--binary", os.path.realpath(options.binary), "--inside", json.dumps(todo[job::jobs])]
        children.append(subprocess.Popen(argv + (["--keep"] if options.keep else []), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL))
        threading.Thread(target=listen, args=(children[-1],), daemon=True).start()
    try:
        left = jobs
        while left:
            text = lines.get()
            if text is None:
                left -= 1
            elif text.startswith(b'{"kept"'):
                print(f"kept; enter with: nsenter -t {first_below(children[0].pid)} -a\n{json.loads(text)['kept']}", file=sys.stderr, flush=True)
            else:
                yield json.loads(text)
    finally:
        for child in children:
            end(child)


def first_below(pid):
    """The process in the namespaces: unshare's child."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return int((file.read().split() or ["0"])[0])


def end(child):
    """The world inside takes itself down; unshare passes no signal on."""
    try:
        os.kill(first_below(child.pid) or child.pid, signal.SIGTERM)
        child.wait(30)
    except (OSError, subprocess.TimeoutExpired):
        child.kill()
        child.wait()


def main():
    options = arguments()
    if options.inside:
        inside(options)
        return 0
    wanted = chosen(options)
    if options.list:
        for one in wanted:
            print(f"{one.name:<34} {one.half:<5} {' '.join(one.tags):<24} {one.truth}")
        return 0
    if not options.binary or not wanted:
        print("rig.py: nothing to do: --binary is missing, or no scenario has that name", file=sys.stderr)
        return 2
    why = cannot()
    if why:
        note(options, f"SKIP diagnosis rig: {why}")
        return 0
    said = io.StringIO()
    own = unittest.TextTestRunner(said, verbosity=0).run(unittest.defaultTestLoader.loadTestsFromName("test_score"))
    if not own.wasSuccessful():
        print(said.getvalue())
        note(options, "FAIL diagnosis rig: its own scoring is wrong, so that nothing it says counts")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    started, results = time.monotonic(), []
    print(score.HEAD)
    for result in run_all(options, wanted):
        if "skip" in result:
            note(options, f"SKIP diagnosis rig: {result['skip']}")
            return 0
        results.append(result)
        print(score.line(result), flush=True)
        if options.report and not good(result):
            tell(result)
    return finish(options, wanted, results, time.monotonic() - started)


def note(options, text):
    """A line for people and for the suite's results file."""
    print(text)
    if options.results:
        with open(options.results, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def tell(result):
    for title, text in result.get("reports", {}).items():
        print(f"---- {result['name']}, {title}\n{text}")
    for way, points in result.get("ways", {}).items():
        if way in score.DAEMONS:
            print(f"---- {way}: {json.dumps(points)}")
    if result.get("remedy"):
        print("\n".join(["---- pasted", *result["remedy"]["log"], "---- not well: " + "; ".join(result["remedy"]["bad"])]))
    print(result.get("trace", ""))


def finish(options, wanted, results, seconds):
    whole = [result for result in results if result["status"] == "played"]
    print(score.LEGEND)
    if whole:
        print("\n".join(score.summary(whole)))
    print(f"{len(results)} of {len(wanted) * options.times} scenarios in {seconds:.0f} s")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"results": results, "verdicts": score.verdicts(whole)}, file, indent=1)
    lost = len(wanted) * options.times - len(whole)
    for result in results:
        if result["status"] != "played":
            note(options, f"FAIL diagnosis {result['name']}: not played: {result['problem']}")
    # The untuned half is what counts as soon as it is there.
    counted = [result for result in whole if result["half"] == "test"] or whole
    bad = lost
    if not options.pattern and not options.tag:
        for what, holds, figure in score.verdicts(counted, options.sample > 1):
            note(options, f"{'PASS' if holds else 'FAIL'} diagnosis, {what}: {figure}")
            bad += not holds
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
