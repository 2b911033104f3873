#!/usr/bin/env python3
"""Processor time per probe (HTTP, TCP, HTTPS) against blackbox_exporter, both probing one local target at the same rate.

Ours is the whole daemon: scheduling, storing, history, publishing are in the figure, and one scrape of /metrics a round. Theirs is what one
GET /probe costs, asked over one kept-alive connection, as Prometheus does. Neither side reuses connections to the target or TLS sessions.
"""
import http.client
import subprocess
import sys
import time
import urllib.parse

from measure import HERE, ROUNDS, Daemon, Program, Scratch, alternate, cpu_s, free_port, main, median, peer, ratio, wait_port

SECONDS = 3.0
RATE = {"http": 200, "tcp": 200, "https": 100}
GOAL = {"http": 1 / 8, "tcp": 1 / 8, "https": 0.65}
MODULES = """modules:
  http: {{prober: http, timeout: 5s, http: {{preferred_ip_protocol: ip4}}}}
  https: {{prober: http, timeout: 5s, http: {{preferred_ip_protocol: ip4, fail_if_not_ssl: true, tls_config: {{ca_file: {ca}}}}}}}
  tcp: {{prober: tcp, timeout: 5s, tcp: {{preferred_ip_protocol: ip4, query_response: [{{expect: "^220 "}}]}}}}
"""


def certificates(scratch):
    cert, key = scratch.join("cert.pem"), scratch.join("key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def check_line(number, protocol, ports, ca):
    common = f"name: p{number}, every: 1s, timeout: 5s"
    if protocol == "tcp":
        return f'  - {{{common}, kind: tcp, address: "127.0.0.1:{ports["tcp"]}", steps: [{{expect: "^220 "}}]}}'
    tls = f', tls: {{ca_file: "{ca}"}}' if protocol == "https" else ""
    return f'  - {{{common}, kind: http, url: "{protocol}://127.0.0.1:{ports[protocol]}/"{tls}}}'


def probes_done(daemon):
    counters = daemon.metrics()
    good = sum(counters["runbookd_check_success"].values())
    return sum(counters["runbookd_check_runs_total"].values()), good


def ours(protocol, ports, ca):
    count = RATE[protocol]
    config = "checks:\n" + "\n".join(check_line(i, protocol, ports, ca) for i in range(count)) + "\n"
    with Daemon(config) as daemon:
        daemon.wait_settled()
        time.sleep(1)
        runs, _ = probes_done(daemon)
        cpu = cpu_s(daemon.process.pid)
        time.sleep(SECONDS / 2)
        probes_done(daemon)
        time.sleep(SECONDS / 2)
        used = cpu_s(daemon.process.pid) - cpu
        after, good = probes_done(daemon)
        assert good == count, f"{good} of {count} probes succeed"
        return {"us": used / (after - runs) * 1e6, "probes": after - runs}


def theirs(protocol, ports, exporter):
    target = f"127.0.0.1:{ports['tcp']}" if protocol == "tcp" else f"{protocol}://127.0.0.1:{ports[protocol]}/"
    path = "/probe?" + urllib.parse.urlencode({"module": protocol, "target": target})
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port)

    def ask():
        connection.request("GET", path)
        return connection.getresponse().read()
    for _ in range(RATE[protocol]):
        answer = ask()
    assert b"\nprobe_success 1" in answer, answer.decode()
    cpu, start, number = cpu_s(exporter.pid), time.monotonic(), int(RATE[protocol] * SECONDS)
    for i in range(number):
        time.sleep(max(0.0, start + i / RATE[protocol] - time.monotonic()))
        ask()
    used = cpu_s(exporter.pid) - cpu
    connection.close()
    return {"us": used / number * 1e6, "probes": number}


def run():
    wanted = [name for name in sys.argv[1:] if name in RATE] or list(RATE)
    report = {"what": "processor time per probe, microseconds; runbookd as a whole against blackbox_exporter's /probe"}
    with Scratch("rb-bench-") as scratch:
        cert, key = certificates(scratch)
        ports = {name: free_port() for name in RATE}
        with open(scratch.join("blackbox.yml"), "w", encoding="utf-8") as file:
            file.write(MODULES.format(ca=cert))
        target = [sys.executable, f"{HERE}/target.py", str(ports["http"]), str(ports["https"]), str(ports["tcp"]), cert, key]
        port = free_port()
        blackbox = [peer("blackbox_exporter"), "--config.file=" + scratch.join("blackbox.yml"), f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        with Program(target, ports["http"], scratch), Program(blackbox, port, scratch) as exporter:
            wait_port(ports["tcp"])
            for name in wanted:
                results = alternate(ROUNDS, ours=lambda n=name: ours(n, ports, cert), theirs=lambda n=name: theirs(n, ports, exporter))
                us = {side: [one["us"] for one in rounds] for side, rounds in results.items()}
                report[name] = {"runbookd_us": median(us["ours"]), "blackbox_us": median(us["theirs"]), "ratio": ratio(us["ours"], us["theirs"]),
                                "goal": f"ratio <= {GOAL[name]:.3g}", "rate_per_s": RATE[name], "probes_per_round": results["ours"][0]["probes"]}
    return report


if __name__ == "__main__":
    main(run)
