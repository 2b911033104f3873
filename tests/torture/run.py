#!/usr/bin/env python3
"""Cuts accepting at every call that changes a file: kill, half a write and then kill, disk full, input/output error. After each the state is verified, and a second run
without faults has to get through on what is left.

  run.py DRIFT_STATE FAULT_SO [--every N]
"""
import argparse
import os
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("fault")
    parser.add_argument("--every", type=int, default=1, help="only every N-th call")
    options = parser.parse_args()
    top = tempfile.mkdtemp(prefix="rb-torture-")
    failures, points = [], 0
    try:
        os.mkdir(os.path.join(top, "whole"))
        write(options.program, options.fault, os.path.join(top, "whole"))
        with open(os.path.join(top, "whole", "count"), encoding="ascii") as file:
            calls = int(file.read())
        for mode in ("kill", "short", "enospc", "eio"):
            for at in range(1, calls + 1, options.every):
                folder = os.path.join(top, f"{mode}-{at}")
                os.mkdir(folder)
                acknowledged, code = write(options.program, options.fault, folder, at, mode)
                why = verify(options.program, folder, acknowledged)
                if not why and mode in ("kill", "short") and code == 0 and mode == "kill":
                    why = "was not killed"
                if not why:
                    again, code = write(options.program, options.fault, folder)
                    why = f"the next run ended with {code}" if code else verify(options.program, folder, again)
                if why:
                    failures.append(f"{mode} at call {at} of {calls}: {why}")
                points += 1
                shutil.rmtree(folder)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print("\n".join(failures[:20]))
    print(f"torture: {points} points, {len(failures)} failures")
    sys.exit(1 if failures or points < (1000 if options.every == 1 else 1) else 0)


main()
