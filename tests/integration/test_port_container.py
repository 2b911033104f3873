"""Kind port on a real Docker engine: the container behind docker-proxy, another one, and one that is gone."""
import json
import shutil
import subprocess
import unittest

from support import BINARY, Scratch, enter
from docker_engine import Engine

WEB, OTHER, UNUSED = 18080, 18081, 18082
CONFIG = """\
checks:
  - {{name: right, kind: port, port: {web}, owner: {{container: web, socket: "{socket}"}}}}
  - {{name: service, kind: port, port: {web}, owner: {{container: shop/front, socket: "{socket}"}}}}
  - {{name: wrong, kind: port, port: {other}, owner: {{container: web, socket: "{socket}"}}}}
  - {{name: by-name, kind: port, port: {web}, owner: docker-proxy}}
  - {{name: unused, kind: port, port: {unused}, owner: {{container: web, socket: "{socket}"}}}}
  - {{name: no-engine, kind: port, port: {web}, owner: {{container: web, socket: "{socket}.not"}}}}
"""


def published(port, address="127.0.0.1"):
    return {"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostIp": address, "HostPort": str(port)}]}}


class PortContainer(unittest.TestCase):
    def setUp(self):
        if not shutil.which("nsenter"):
            self.skipTest("needs nsenter(1)")
        self.engine = enter(self, Engine(bridge=True))
        subprocess.run(self.engine.inside("ip", "link", "set", "lo", "up"), check=True)
        self.scratch = enter(self, Scratch())
        self.scratch.write("runbookd.yml", CONFIG.format(socket=self.engine.socket, web=WEB, other=OTHER, unused=UNUSED), 0o600)

    def check(self):
        """{name: check}, by the program run once where the engine's ports are."""
        argv = [BINARY, "check", "--json", "--config", self.scratch.join("runbookd.yml"), "--root", self.scratch.path, "--state-dir", self.scratch.join("state")]
        done = subprocess.run(self.engine.inside(*argv), capture_output=True, text=True, timeout=60, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def test_the_container_behind_the_proxy(self):
        self.engine.run("web", project="shop", service="front", **published(WEB))
        self.engine.run("other", **published(OTHER, "0.0.0.0"))
        found = self.check()
        for name in ("right", "service"):
            self.assertEqual((found[name]["result"], found[name]["reason"]), ("ok", "none"), found[name])
            self.assertIn("held by container web (test/busybox:1) through docker-proxy", found[name]["message"])
            self.assertIn("container web, image test/busybox:1, service shop/front", found[name]["evidence"])
        self.assertEqual((found["wrong"]["result"], found["wrong"]["reason"]), ("fail", "wrong_owner"), found["wrong"])
        self.assertIn("container other", found["wrong"]["message"])
        self.assertEqual(found["by-name"]["result"], "ok", found["by-name"])
        self.assertEqual((found["unused"]["result"], found["unused"]["reason"]), ("fail", "not_listening"), found["unused"])
        self.assertEqual((found["no-engine"]["result"], found["no-engine"]["reason"]), ("unknown", "owner_unreadable"), found["no-engine"])

        self.engine.do("web", "stop", "?t=1")
        gone = self.check()["right"]
        self.assertEqual((gone["result"], gone["reason"]), ("fail", "not_listening"), gone)
        self.assertTrue(any("container web is exited" in line for line in gone["evidence"]), gone)


if __name__ == "__main__":
    unittest.main()
