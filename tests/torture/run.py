#!/usr/bin/env python3
"""Cuts accepting at every call that changes a file: kill, half a write and then kill, disk full, input/output error. After each the state is verified, and a second run
without faults has to get through on what is left.

  run.py DRIFT_STATE FAULT_SO [--every N] [--sample N [--seed S]]

All points, at least 1,000, take minutes. A sample draws another N of them each time and names its seed, with which the same are drawn again.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile


def write(program, fault, folder, at=0, mode="count"):
    env = {"LD_PRELOAD": fault, "RB_FAULT_AT": str(at), "RB_FAULT_MODE": mode, "RB_FAULT_COUNT": os.path.join(folder, "count")}
    done = subprocess.run([program, "write", os.path.join(folder, "state")], env=env, capture_output=True, text=True, check=False, timeout=60)
    return len(done.stdout.split()), done.returncode


def verify(program, folder, acknowledged):
    done = subprocess.run([program, "verify", os.path.join(folder, "state"), str(acknowledged)], capture_output=True, text=True, check=False, timeout=60)
    return done.stderr.strip() if done.returncode else None


def cut(options, top, mode, at):
    """What is wrong after the fault at one call, or None."""
    folder = os.path.join(top, f"{mode}-{at}")
    os.mkdir(folder)
    acknowledged, code = write(options.program, options.fault, folder, at, mode)
    why = verify(options.program, folder, acknowledged)
    if not why and mode == "kill" and code == 0:
        why = "was not killed"
    if not why:
        again, code = write(options.program, options.fault, folder)
        why = f"the next run ended with {code}" if code else verify(options.program, folder, again)
    shutil.rmtree(folder)
    return why


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("fault")
    parser.add_argument("--every", type=int, default=1, help="only every N-th call")
    parser.add_argument("--sample", type=int, default=0, help="so many points, drawn by chance")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = parser.parse_args()
    top = tempfile.mkdtemp(prefix="rb-torture-")
    failures, places = [], []
    try:
        os.mkdir(os.path.join(top, "whole"))
        write(options.program, options.fault, os.path.join(top, "whole"))
        with open(os.path.join(top, "whole", "count"), encoding="ascii") as file:
            calls = int(file.read())
        places = [(mode, at) for mode in ("kill", "short", "enospc", "eio") for at in range(1, calls + 1, options.every)]
        if options.sample:
            print(f"torture: {options.sample} of {len(places)} points, again with --sample {options.sample} --seed {options.seed}", flush=True)
            places = random.Random(options.seed).sample(places, min(options.sample, len(places)))
        for mode, at in places:
            why = cut(options, top, mode, at)
            if why:
                failures.append(f"{mode} at call {at} of {calls}: {why}")
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print("\n".join(failures[:20]))
    print(f"torture: {len(places)} points, {len(failures)} failures")
    whole = options.every == 1 and not options.sample
    sys.exit(1 if failures or len(places) < (1000 if whole else 1) else 0)


main()
