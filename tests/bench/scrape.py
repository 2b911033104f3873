#!/usr/bin/env python3
"""Throughput and latency of /metrics at 1 and 16 kept-alive connections against node_exporter, on a page of at least 50 kB that is not smaller than theirs.

One client thread (load.c) asks both as fast as they answer. Ours is served from the snapshot, theirs collected per scrape: that difference is the point.
"""
import json
import subprocess
import urllib.request

from measure import ROUNDS, Daemon, Program, Scratch, alternate, compiled, free_port, main, median, peer, ratio

SECONDS = "1.5"
PAGE_BYTES = 50_000


def page_bytes(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return len(answer.read())


def config(count):
    return "checks:\n" + "".join(f'  - {{name: check-{i:04d}, kind: path, exist: ["."], every: 15s}}\n' for i in range(count))


def checks_for(size):
    """How many checks make a page of `size`: from two small pages."""
    sizes = []
    for count in (1, 11):
        with Daemon(config(count)) as daemon:
            daemon.wait_settled()
            sizes.append(page_bytes(daemon.port))
    per_check = (sizes[1] - sizes[0]) / 10
    return max(1, round((size - sizes[0]) / per_check) + 2)


def load(client, port, connections):
    done = subprocess.run([client, str(port), "/metrics", str(connections), SECONDS], check=True, capture_output=True)
    return json.loads(done.stdout)


def summary(results):
    return {key: median([one[key] for one in results]) for key in ("per_second", "p50_ms", "p99_ms", "page_bytes")}


def run():
    report = {"what": "/metrics over kept-alive connections, one client thread; runbookd against node_exporter", "goal": "throughput >= 100 times, p99 <= 5 ms"}
    with Scratch("rb-bench-") as scratch:
        client, port = compiled("load", scratch), free_port()
        args = [peer("node_exporter"), f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        with Program(args, port, scratch) as exporter:
            size = max(PAGE_BYTES, page_bytes(exporter.port))
            checks = checks_for(size)
            report["checks"] = checks
            with Daemon(config(checks)) as daemon:
                daemon.wait_settled()
                for connections in (1, 16):
                    results = alternate(ROUNDS, ours=lambda c=connections: load(client, daemon.port, c), theirs=lambda c=connections: load(client, exporter.port, c))
                    rates = {side: [one["per_second"] for one in rounds] for side, rounds in results.items()}
                    report[f"connections_{connections}"] = {"runbookd": summary(results["ours"]), "node_exporter": summary(results["theirs"]),
                                                            "throughput_ratio": ratio(rates["ours"], rates["theirs"])}
    return report


if __name__ == "__main__":
    main(run)
