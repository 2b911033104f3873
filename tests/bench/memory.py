#!/usr/bin/env python3
"""Memory of the daemon with 1,000 checks of several kinds at work, scraped all the time; blackbox_exporter idle beside it for scale."""
import time

from measure import ROUNDS, Daemon, Program, Scratch, alternate, free_port, main, median, memory_kb, peer
from support import HttpFixture

CHECKS = 1000


def config(port):
    kinds = [f'kind: http, url: "http://127.0.0.1:{port}/"', f'kind: tcp, address: "127.0.0.1:{port}"', f"kind: port, port: {port}",
             'kind: path, exist: ["."]', "kind: syntax"]
    lines = [f"  - {{name: check-{i:04d}, every: 10s, {kinds[i % 5 if i % 5 < 4 or i < 20 else 0]}}}" for i in range(CHECKS)]
    return "checks:\n" + "\n".join(lines) + "\n"


def run():
    with Scratch("rb-bench-") as scratch, HttpFixture() as target:
        port, modules = free_port(), scratch.join("blackbox.yml")
        with open(modules, "w", encoding="ascii") as file:
            file.write("modules: {http: {prober: http}}\n")
        blackbox = Program([peer("blackbox_exporter"), "--config.file=" + modules, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"], port, scratch)
        with blackbox as exporter, Daemon(config(target.port)) as daemon:
            daemon.wait_settled(60)

            def ours():
                time.sleep(2)
                between = memory_kb(daemon.process.pid)
                for path in ("/metrics", "/status"):
                    daemon.text(path, accept="*/*")
                just_fetched = memory_kb(daemon.process.pid)
                return between | {name + "_just_fetched": value for name, value in just_fetched.items()}
            time.sleep(10)
            results = alternate(ROUNDS, ours=ours, theirs=lambda: memory_kb(exporter.pid))
            page = len(daemon.text("/metrics"))
    kb = {side: {key: median([one[key] for one in rounds]) for key in rounds[0]} for side, rounds in results.items()}
    return {"what": f"memory in kB with {CHECKS} checks (http, tcp, port, path, syntax), median of {ROUNDS} samples while checks run: "
                    "between two scrapes, and right after /metrics and /status were fetched",
            "runbookd_kb": kb["ours"], "blackbox_idle_kb": kb["theirs"], "goal": "private, and alone, <= 10240 kB", "metrics_page_bytes": page}


if __name__ == "__main__":
    main(run)
