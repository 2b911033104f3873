"""What the daemon read of other people's environments is gone when the round is over: the values are in no page of its memory, no log, no answer, no file of its state."""
import json
import os
import re
import secrets
import socketserver
import subprocess
import sys
import threading
import unittest
from http.server import BaseHTTPRequestHandler

from support import Daemon, Repo, Scratch, needs_linux, until

CONTAINER = "c" * 64


class Engine(socketserver.ThreadingUnixStreamServer):
    """As much of a Docker engine as kind env asks for, with a value in a container's environment."""
    daemon_threads = True

    def __init__(self, path, value):
        listed = {"Id": CONTAINER, "Names": ["/bot"], "Image": "bot", "State": "running", "Status": "Up", "Labels": {}}
        inspected = {"Id": CONTAINER, "Name": "/bot", "State": {"Status": "running", "Running": True},
                     "Config": {"Image": "bot", "Labels": {}, "Env": ["PT_TOKEN=" + value, "FILLER=" + "x" * 3000]}, "HostConfig": {}, "NetworkSettings": {}, "Mounts": []}
        self.answers = {"/version": {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10"}, "/containers/json": [listed], f"/containers/{CONTAINER}/json": inspected}
        self.inspections = 0
        super().__init__(path, Handler)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = re.sub(r"^/v[\d.]+|\?.*", "", self.path)
        body = json.dumps(self.server.answers.get(path, {"message": "no such page"})).encode()
        self.send_response(200 if path in self.server.answers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.inspections += path.endswith(f"{CONTAINER}/json")

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


def memory_of(pid):
    """(region, bytes) of all that the process may write to."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps.read().splitlines():
            bounds, mode = line.split()[:2]
            start, end = (int(part, 16) for part in bounds.split("-"))
            if mode.startswith("rw"):
                try:
                    memory.seek(start)
                    yield line, memory.read(end - start)
                except OSError:
                    continue


@needs_linux
class MemoryTest(unittest.TestCase):
    def test_values_of_environments_are_gone(self):
        process_value, argument, container_value = (secrets.token_hex(16) for _ in range(3))
        marker = "rb-marker-" + secrets.token_hex(8)
        with Repo({"a.txt": "a\n"}) as repo, Scratch() as scratch:
            socket_path = scratch.join("docker.sock")
            engine = Engine(socket_path, container_value)
            self.addCleanup(engine.server_close)
            self.addCleanup(engine.shutdown)
            threading.Thread(target=engine.serve_forever, daemon=True).start()
            env = {"PT_TOKEN": process_value, "PATH": os.environ["PATH"], "FILLER": "y" * 3000}
            bot = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", "PT_TOKEN=" + argument], cwd=repo.path, env=env)
            self.addCleanup(bot.wait)
            self.addCleanup(bot.kill)
            config = (f"checks:\n  - {{name: {marker}, kind: env, every: 1s, deny: [PT_TOKEN], processes: true}}\n"
                      f"  - {{name: boxes, kind: env, every: 1s, deny: [PT_TOKEN], containers: true, socket: '{socket_path}'}}\n")
            with Daemon(config, root=repo.path) as daemon:
                daemon.wait_state(marker, "fail")
                daemon.wait_state("boxes", "fail")
                self.assertIn("PT_TOKEN is set (value hidden)", json.dumps(daemon.status()))
                before = engine.inspections
                until(lambda: engine.inspections >= before + 2, what="two more rounds")
                daemon.check("boxes")
                values = [value.encode() for value in (process_value, argument, container_value)]
                answers = "".join(daemon.text(path) for path in ("/status", "/metrics", "/triage")) + json.dumps(daemon.status()) + daemon.log(100000)
                for value in values:
                    self.assertNotIn(value.decode(), answers)
                self.look_through(daemon, marker.encode(), values)
                for folder, _, names in os.walk(daemon.state_folder()):
                    for path in filter(os.path.isfile, (os.path.join(folder, name) for name in names)):
                        with open(path, "rb") as file:
                            content = file.read()
                        for value in values:
                            self.assertNotIn(value, content, path)

    def look_through(self, daemon, marker, values):
        """Several looks, since one may fall into a round; a value that stays is there in all of them."""
        left = dict.fromkeys(values, "")
        for _ in range(5):
            seen_marker, found = False, {}
            for region, content in memory_of(daemon.process.pid):
                seen_marker = seen_marker or marker in content
                found.update({value: region for value in values if value in content})
            self.assertTrue(seen_marker, "the search finds what must be there")
            left = {value: found[value] for value in left if value in found}
            if not left:
                return
        self.fail("left in memory: " + ", ".join(f"value {values.index(value)} in {region}" for value, region in left.items()))


if __name__ == "__main__":
    unittest.main()
