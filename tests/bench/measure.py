"""What the benches share: processor time and memory of a process from the kernel, alternating rounds, medians, peers from .dev/tools."""
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "support"), os.path.join(TOP, "tests", "integration")]
os.environ.setdefault("RB_BINARY", os.path.join(TOP, "build", "runbookd"))
from fetch import reason, tool  # noqa: E402
from support import Daemon, Scratch, free_port  # noqa: E402,F401

ROUNDS = int(os.environ.get("RB_BENCH_ROUNDS", "7"))
CPUCLOCK_SCHED = 2


class Skip(Exception):
    """The bench cannot be had here; the text says why."""


def cpu_s(pid):
    """Processor time of all threads of a process, ended ones too, in seconds and exact to the nanosecond (clock_getcpuclockid(3));
    /proc/PID/stat counts in ticks of 10 ms, which a few hundred probes do not fill."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def memory_kb(pid):
    """{private, alone, resident} of the whole process in kB: what would be freed if it ended; the same if nobody else on this machine used any of its libraries but the C library
    (so that programs which happen to run beside it make it no smaller); what it maps in all."""
    sums, alone, name = {}, 0, ""
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            words = line.split()
            if not words[0].endswith(":"):
                name = os.path.basename(words[5]) if len(words) > 5 else ""
            elif words[0] == "Rss:" and not name.startswith(("libc.so", "ld-linux")):
                alone += int(words[1])
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                sums[words[0].rstrip(":")] = int(words[1])
    return {"private": sums["Private_Clean"] + sums["Private_Dirty"], "alone": alone, "resident": sums["Rss"]}


def peer(name):
    path = tool(name)
    if not path:
        raise Skip(f"{name}: {reason(name)}")
    return path


class Program:
    """A peer that serves on a port until the block ends."""

    def __init__(self, args, port, scratch):
        self.port = port
        with open(scratch.join("peer.log"), "ab") as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        wait_port(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def wait_port(port, timeout=15):
    import socket
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def alternate(rounds, **sides):
    """Runs the sides in turn, `rounds` times, changing who begins. {side: [result, …]}"""
    results = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            results[name].append(sides[name]())
    return results


def median(values):
    return round(statistics.median(values), 4)


def ratio(ours, theirs):
    """Median of the paired ratios, with the spread, so that one bad round shows and does not decide."""
    pairs = [a / b for a, b in zip(ours, theirs)]
    return {"median": median(pairs), "lowest": round(min(pairs), 4), "highest": round(max(pairs), 4), "rounds": len(pairs)}


def compiled(name, scratch):
    out = scratch.join(name)
    subprocess.run([*os.environ.get("CC", "cc").split(), "-O2", "-D_GNU_SOURCE", "-o", out, os.path.join(HERE, name + ".c")], check=True)
    return out


def main(run):
    """Prints what run() returns; a bench that cannot be had says why and is no failure."""
    try:
        print(json.dumps(run(), indent=2))
    except Skip as why:
        print(json.dumps({"skipped": str(why)}))
