"""Drift of what is no file of the tree: packages of a real virtual environment, lock files, programs, answers, repositories, targets, containers."""
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import unittest
import zipfile

from support import BINARY, GIT_ENV, Daemon, Repo, Scratch, enter, first_team_tree, free_port, needs_root, until

PORTABLE = True
TIMEOUT = 300
SECRET = "ghp_" + "a1B2c3D4e5" * 4


class Check:
    """One drift check on a tree, by the command line, with a state folder of its own."""

    def __init__(self, test, root, source, name="d"):
        self.scratch, self.root, self.name = enter(test, Scratch("rb-drift-")), root, name
        self.state = self.scratch.join("state")
        self.configure(source)

    def configure(self, source):
        self.config = self.scratch.write("runbookd.yml", f"checks:\n  - {{name: {self.name}, kind: drift, every: 1h, timeout: 20s, {source}}}\n")

    def run(self, *args, code=0):
        done = subprocess.run([BINARY, *args, "--config", self.config, "--root", self.root, "--state-dir", self.state], capture_output=True,
                              text=True, check=False, cwd=self.scratch.path, timeout=120)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def accept(self):
        self.run("drift", "accept", self.name, "--reason", "intended")

    def items(self):
        report = json.loads(self.run("drift", "show", "--json").stdout)
        return {item["key"]: (item["change"], item["old"], item["new"]) for check in report["drift"] for item in check["items"]}

    def stored(self):
        """All that the folder of state holds."""
        content = b""
        for folder, _, names in os.walk(self.state):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    content += file.read()
        return content

    def check(self):
        return json.loads(self.run("check", self.name, "--json", code=None).stdout)["checks"][0]

    def outcome(self):
        check = self.check()
        return check["state"], check["reason"]


# ---- packages

def wheel(folder, name, version):
    """A wheel by hand: pip needs no index and no build for it."""
    path = os.path.join(folder, f"{name}-{version}-py3-none-any.whl")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 9 in the text\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


class Packages(unittest.TestCase):
    def test_upgrade_in_a_real_environment(self):
        work = enter(self, Scratch())
        python = work.join(".venv", "bin", "python")
        made = subprocess.run([sys.executable, "-m", "venv", work.join(".venv")], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            self.skipTest("python3 -m venv does not work here: " + made.stdout[-200:])

        def pip(*args):
            subprocess.run([python, "-m", "pip", "-q", "--disable-pip-version-check", *args], check=True, capture_output=True,
                           env=os.environ | {"PIP_NO_INDEX": "1", "HOME": work.path})
        pip("install", wheel(work.path, "Demo_Pkg", "1.0.0"), wheel(work.path, "other", "0.1"))
        checks = [Check(self, work.path, f"packages: [\"{place}\"]") for place in (".venv", ".venv/lib/*/site-packages", ".venv/lib/*/site-packages/*.dist-info")]
        for check in checks:
            check.accept()
            self.assertEqual(check.items(), {})
        before = time.time()
        pip("install", wheel(work.path, "Demo_Pkg", "2.0.0"))
        for check in checks:
            self.assertEqual(check.items(), {".venv:demo-pkg": ("changed", "1.0.0", "2.0.0")})
            self.assertTrue(any("1.0.0 → 2.0.0" in line for line in check.check()["evidence"]), check.check()["evidence"])
        report = json.loads(checks[0].run("drift", "show", "--json").stdout)
        changed = report["drift"][0]["items"][0]["changed_at"]
        self.assertGreaterEqual(changed, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before - 2)))
        pip("uninstall", "-y", "other")
        self.assertEqual(checks[0].items()[".venv:other"], ("removed", "0.1", None))
        shutil.rmtree(work.join(".venv"))
        self.assertEqual(checks[0].outcome(), ("unknown", "not_found"))

    def one(self, files, place, changes, expected):
        work = enter(self, Scratch())
        for name, text in files.items():
            work.write(name, text)
        check = Check(self, work.path, f"packages: [{place}]")
        check.accept()
        for name, text in changes.items():
            work.write(name, text)
        self.assertEqual(check.items(), expected)

    def test_lock_files(self):
        uv = 'version = 1\n[[package]]\nname = "a"\nversion = "%s"\nsource = {registry = "https://pypi.org/simple"}\n[[package]]\nname = "b"\nversion = "1"\n[[package]]\nname = "b"\nversion = "2"\n'
        self.one({"uv.lock": uv % "1.0"}, "uv.lock", {"uv.lock": uv % "1.1" + '[[package]]\nname = "c"\nsource = {virtual = "."}\n'},
                 {"uv.lock:a": ("changed", "1.0", "1.1"), "uv.lock:c": ("added", None, "(no version)")})
        npm3 = {"lockfileVersion": 3, "packages": {"": {"name": "me"}, "node_modules/@s/x": {"version": "1.0.0"}, "node_modules/y": {"version": "2.0.0"},
                                                  "node_modules/y/node_modules/@s/x": {"version": "0.9.0"}, "node_modules/l": {"link": True}}}
        new3 = json.loads(json.dumps(npm3))
        new3["packages"]["node_modules/@s/x"]["version"] = "1.2.0"
        self.one({"package-lock.json": json.dumps(npm3)}, "package-lock.json", {"package-lock.json": json.dumps(new3)},
                 {"package-lock.json:@s/x": ("changed", "0.9.0, 1.0.0", "0.9.0, 1.2.0")})
        npm1 = '{"lockfileVersion": 1, "dependencies": {"y": {"version": "2", "dependencies": {"x": {"version": "%s"}}}}}'
        self.one({"package-lock.json": npm1 % 1}, "package-lock.json", {"package-lock.json": npm1 % 3}, {"package-lock.json:x": ("changed", "1", "3")})
        requirements = "# pins\n-r more.txt\nFoo.Bar[x]==%s ; python_version > '3' \\\n    --hash=sha256:00\nbaz>=1  # loose\n"
        self.one({"requirements.txt": requirements % "1.0"}, "requirements.txt", {"requirements.txt": requirements % "1.1"},
                 {"requirements.txt:foo-bar": ("changed", "1.0", "1.1")})

    def test_system_and_cellar(self):
        status = "Package: zsh\nStatus: install ok installed\nVersion: %s\nDescription: shell\n Version: 7\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: bad\nStatus: install ok %s\nVersion: 3\n"
        self.one({"dpkg/status": status % ("5.9-4", "installed")}, "dpkg/status", {"dpkg/status": status % ("5.9-5", "half-configured")},
                 {"dpkg/status:zsh": ("changed", "5.9-4", "5.9-5"), "dpkg/status:bad": ("changed", "3", "3 (half-configured)")})
        work = enter(self, Scratch())
        for keg in ("Cellar/jq/1.6", "Cellar/jq/1.7", "Cellar/wget/1.24"):
            os.makedirs(work.join(keg))
        os.makedirs(work.join("opt"))
        os.symlink("../Cellar/jq/1.6", work.join("opt/jq"))
        check = Check(self, work.path, "packages: [Cellar]")
        check.accept()
        os.unlink(work.join("opt/jq"))
        os.symlink("../Cellar/jq/1.7", work.join("opt/jq"))
        self.assertEqual(check.items(), {"Cellar:jq": ("changed", "1.6", "1.7")})

    def test_what_cannot_be_read_is_unknown(self):
        work = enter(self, Scratch())
        check = Check(self, work.path, "packages: [uv.lock]")
        self.assertEqual(check.outcome(), ("unknown", "not_found"))
        work.write("uv.lock", "[[package]\n")
        self.assertEqual(check.outcome(), ("unknown", "parse"))
        self.assertIn("uv.lock:1:", check.check()["message"])
        os.unlink(work.join("uv.lock"))
        os.symlink("/etc/passwd", work.join("uv.lock"))
        self.assertEqual(check.check()["state"], "unknown")

    def test_first_teams_lock(self):
        repo = enter(self, Repo(tree=first_team_tree()))
        lock = repo.read("uv.lock").decode()
        for source, key in (("packages: [uv.lock]", "uv.lock:numpy"), ("files: [uv.lock]", "uv.lock")):
            repo.git("checkout", "-q", "--", "uv.lock")
            check = Check(self, repo.path, source)
            check.accept()
            at = lock.index('name = "numpy"\nversion = "') + len('name = "numpy"\nversion = "')
            old = lock[at:lock.index('"', at)]
            repo.write("uv.lock", lock[:at] + "99.0.0" + lock[at + len(old):])
            items = check.items()
            self.assertEqual(list(items), [key])
            text = json.dumps(json.loads(check.run("drift", "show", "--json").stdout), ensure_ascii=False) + check.run("drift", "diff", "--all", code=None).stdout
            self.assertIn("numpy", text)
            self.assertIn("99.0.0", text)
            self.assertIn(old, text)


# ---- programs

class Programs(unittest.TestCase):
    def program(self, work, text):
        return work.write("tell", "#!/bin/sh\n" + text, 0o755)

    def test_lines(self):
        work = enter(self, Scratch())
        self.program(work, "printf 'b\\na  \\n\\n'; echo token=" + SECRET)
        check = Check(self, work.path, "command: {argv: [./tell]}")
        check.accept()
        self.program(work, "echo a; echo b; echo token=" + SECRET[::-1])
        self.assertEqual(check.items(), {})  # a set, and a secret is no line
        self.program(work, "echo a; echo c")
        self.assertEqual({key: item[0] for key, item in check.items().items() if "token" not in key}, {"b": "removed", "c": "added"})
        self.assertNotIn(SECRET.encode(), check.stored())

    def test_a_value_from_a_file_is_never_kept(self):
        work = enter(self, Scratch())
        self.program(work, "echo got $PLAIN_NAME")
        check = Check(self, work.path, "command: {argv: [./tell], env: {PLAIN_NAME: !file value}}")
        check.scratch.write("value", "mellon-friend", 0o600)
        check.accept()
        self.assertIn(b"got [redacted]", check.stored())
        self.assertNotIn(b"mellon", check.stored())

    def test_keyed_and_ordered(self):
        work = enter(self, Scratch())
        self.program(work, "echo 'numpy==1.0'; echo 'flag'")
        keyed = Check(self, work.path, 'command: {argv: [./tell], order: keyed, separator: "=="}')
        ordered = Check(self, work.path, "command: {argv: [./tell], order: as_printed}")
        keyed.accept()
        ordered.accept()
        self.program(work, "echo 'flag'; echo 'numpy==2.0'")
        self.assertEqual(keyed.items(), {"numpy": ("changed", '"1.0"', '"2.0"')})
        self.assertEqual(len(ordered.items()), 2)

    def test_half_an_answer_is_no_drift(self):
        work = enter(self, Scratch())
        self.program(work, "echo a")
        check = Check(self, work.path, "command: {argv: [./tell], output_cap: 1KiB}")
        check.accept()
        for text, reason in (("echo b; exit 3", "failed"), ("kill -9 $$", "failed"), ("head -c 5000 /dev/zero | tr '\\0' x", "too_many")):
            self.program(work, text)
            self.assertEqual(check.outcome(), ("unknown", reason))
        os.unlink(work.join("tell"))
        self.assertEqual(check.outcome(), ("unknown", "not_found"))

    def test_tools(self):
        work = enter(self, Scratch())
        work.write("one", "#!/bin/sh\necho one 1.2.3\n", 0o755)
        check = Check(self, work.path, "tools: [{argv: [./one]}, {name: two, argv: [./missing, -V]}, {name: three, argv: [./one], after: 'one '}]")
        check.accept()
        self.assertEqual(check.items(), {})
        work.write("one", "#!/bin/sh\necho one 1.3.0 >&2\n", 0o755)
        work.write("missing", "#!/bin/sh\necho v7.1\n", 0o755)
        items = check.items()
        self.assertEqual(sorted(items), ["one", "three", "two"])
        self.assertEqual(items["one"], ("changed", '"1.2.3"', '"1.3.0"'))

    def test_an_untrusted_file_starts_nothing(self):
        work = enter(self, Scratch())
        work.write("tell", "#!/bin/sh\ntouch started\n", 0o755)
        work.write("runbookd.yml", "checks:\n  - {name: d, kind: drift, command: {argv: [./tell]}}\n  - {name: p, kind: drift, packages: [r.txt]}\n")
        done = subprocess.run([BINARY, "check", "--json", "--state-dir", work.join("state")], cwd=work.path, capture_output=True, text=True, check=False, timeout=60)
        reasons = {check["name"]: check["reason"] for check in json.loads(done.stdout)["checks"]}
        self.assertEqual(reasons, {"d": "untrusted", "p": "not_found"})
        self.assertFalse(os.path.exists(work.join("started")))

    def test_mistakes_of_configuration(self):
        work = enter(self, Scratch())
        for source, told in (("command: {cwd: .}", "needs argv"), ("http: {json: [a]}", "needs url"), ("git: [heads]", "is none of"), ("packages: []", "at least one"),
                             ("compose: {}", "needs project"), ("targets: {}", "needs url"), ("tools: []", "at least one"), ("git: [head], tools: [{argv: [x]}]", "exactly one source")):
            done = Check(self, work.path, source).run("validate", code=78)
            self.assertIn(told, done.stdout + done.stderr)


# ---- answers

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.answer
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_):
        pass


class Answers(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.seen = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def test_branch_protection(self):
        work = enter(self, Scratch())
        protection = {"required_status_checks": {"strict": True, "contexts": ["ci/lint", "ci/test"]}, "updated_at": "2026-01-01", "token": SECRET}
        self.server.answer = 200, protection
        check = Check(self, work.path, f"http: {{url: '{self.url}/api/branches/main', json: [/required_status_checks, /token], bearer: !file token}}")
        check.scratch.write("token", SECRET, 0o600)
        check.accept()
        self.assertEqual(self.server.seen[-1], ("/api/branches/main", "Bearer " + SECRET))
        self.server.answer = 200, protection | {"updated_at": "2026-02-02", "required_status_checks": {"contexts": ["ci/test", "ci/lint"], "strict": True}}
        self.assertEqual(check.items(), {})
        self.server.answer = 200, protection | {"required_status_checks": {"contexts": ["ci/test"], "strict": False}, "token": "another"}
        items = check.items()
        self.assertEqual({key: item[0] for key, item in items.items()},
                         {"required_status_checks.contexts[ci/lint]": "removed", "required_status_checks.strict": "changed", "token": "changed"})
        self.assertNotIn("another", json.dumps(items))
        for answer, reason in (((404, {}), "failed"), ((200, b"<html>"), "parse"), ((200, {"message": "moved"}), "not_found")):
            self.server.answer = answer
            self.assertEqual(check.outcome(), ("unknown", reason))
        check.configure(f"http: {{url: 'http://127.0.0.1:{free_port()}/', json: [/a]}}")
        self.assertEqual(check.outcome(), ("unknown", "refused"))

    def targets(self, *targets):
        self.server.answer = 200, {"status": "success", "data": {"activeTargets": [
            {"labels": {"job": job, "instance": url, **labels}, "scrapeUrl": f"http://{url}/metrics", "health": "up", "lastScrape": str(time.time())} for job, url, labels in targets]}}

    def test_targets(self):
        work = enter(self, Scratch())
        check = Check(self, work.path, f"targets: {{url: '{self.url}/', jobs: [ai_*]}}")
        self.targets(("ai_live", "a:9110", {"stack": "obs"}), ("other", "b:1", {}))
        check.accept()
        self.assertEqual(self.server.seen[-1][0], "/api/v1/targets?state=active")
        self.targets(("other", "c:1", {}), ("ai_live", "a:9110", {"stack": "obs"}))
        self.assertEqual(check.items(), {})
        self.targets(("ai_live", "a:9110", {}), ("ai_new", "n:1", {}))
        items = check.items()
        self.assertEqual({key: item[0] for key, item in items.items()}, {"ai_live http://a:9110/metrics": "changed", "ai_new http://n:1/metrics": "added"})
        self.assertIn("obs", items["ai_live http://a:9110/metrics"][1])
        self.targets()
        self.assertEqual(check.outcome(), ("unknown", "not_found"))

    def test_targets_of_a_real_prometheus(self):
        from test_prometheus_kind import Prometheus
        prometheus = enter(self, Prometheus({"ai_live": [free_port()]}))
        until(prometheus.ready, 20, what="Prometheus is ready")
        check = Check(self, enter(self, Scratch()).path, f"targets: {{url: '{prometheus.url}'}}")
        until(lambda: check.outcome() == ("unknown", "no_baseline"), 20, what="Prometheus lists its targets")
        check.accept()
        self.assertEqual(check.items(), {})
        added = free_port()
        prometheus.stop()
        prometheus.configure({"ai_live": [added]})
        prometheus.start()
        items = until(check.items, 30, what="the new target is drift")
        self.assertEqual(sorted(item[0] for item in items.values()), ["added", "removed"])
        self.assertIn(f"ai_live http://127.0.0.1:{added}/metrics", items)


class InTheDaemon(unittest.TestCase):
    def test_a_program_between_other_checks(self):
        work = enter(self, Scratch())
        work.write("tell", "#!/bin/sh\necho a\n", 0o755)
        config = "checks:\n" + "".join(f"  - {{name: d{i}, kind: drift, command: {{argv: [./tell]}}, baseline: auto, every: 1s, timeout: 1s}}\n" for i in range(5))
        daemon = enter(self, Daemon(config, root=work.path))
        until(lambda: daemon.check("d4")["state"] == "ok", what="the first baseline is taken")
        work.write("tell", "#!/bin/sh\necho b\n", 0o755)
        until(lambda: daemon.check("d4")["reason"] == "drift", what="drift of a program")
        work.write("tell", "#!/bin/sh\nsleep 60\n", 0o755)
        until(lambda: daemon.check("d4")["reason"] == "incomplete", what="a program that hangs is not compared")
        self.assertIn("did not end in time", daemon.check("d4")["message"])


# ---- repositories and containers

class Repository(unittest.TestCase):
    def test_refs_and_upstream(self):
        origin = enter(self, Repo({"a": "1\n"}))
        work = enter(self, Scratch())
        clone = work.join("clone")
        subprocess.run(["git", "clone", "-q", origin.path, clone], check=True, env=os.environ | GIT_ENV)

        def git(*args):
            subprocess.run(["git", "-C", clone, *args], check=True, env=os.environ | GIT_ENV, capture_output=True)
        check = Check(self, clone, "git: [head, branch, tags, remotes, upstream]")
        check.accept()
        self.assertEqual(check.items(), {})
        git("tag", "v1")
        git("checkout", "-q", "-b", "side")
        git("branch", "-q", "--set-upstream-to=origin/main")
        git("remote", "add", "fork", "https://op:" + SECRET + "@forge.example/x.git")
        origin.commit("second")
        items = check.items()
        self.assertEqual(sorted(items), ["branch", "remote fork", "tag v1", "upstream origin/main"])
        self.assertNotIn(SECRET, json.dumps(items))
        git("checkout", "-q", "main")
        os.rename(origin.path, origin.path + ".away")
        self.addCleanup(shutil.rmtree, origin.path + ".away", True)
        self.assertNotIn("upstream origin/main", check.items())  # offline: unknown is no drift
        self.assertTrue(any("is not compared" in line for line in check.check()["evidence"]))
        fresh = Check(self, clone, "git: [upstream]", name="fresh")
        self.assertEqual(fresh.outcome(), ("skip", "offline"))


class Containers(unittest.TestCase):
    @needs_root
    def test_what_a_project_is_made_of(self):
        from docker_engine import Engine
        engine = enter(self, Engine())
        work = enter(self, Scratch())
        work.write("scrape.yml", "a: 1\n")
        engine.run("prom", project="obs", service="prometheus-local", Binds=[work.join("scrape.yml") + ":/etc/p.yml:ro"])
        engine.run("other", project="else")
        check = Check(self, work.path, f"compose: {{project: obs, socket: '{engine.socket}'}}")
        check.accept()
        self.assertEqual(check.items(), {})
        engine.do("prom", "restart", "?t=0")
        self.assertEqual(check.items(), {})
        engine.remove("prom")
        engine.run("prom", project="obs", service="prometheus-local", labels={"com.docker.compose.config-hash": "1" * 64},
                   Binds=[work.join("scrape.yml") + ":/etc/q.yml:ro"])
        items = check.items()
        self.assertEqual({key: item[0] for key, item in items.items()},
                         {"prometheus-local.config_hash": "changed", "prometheus-local.mount[/etc/p.yml]": "removed", "prometheus-local.mount[/etc/q.yml]": "added"})
        self.assertEqual(items["prometheus-local.mount[/etc/q.yml]"][2], '"scrape.yml"')
        engine.stop()
        self.assertEqual(check.outcome(), ("unknown", "no_engine"))


if __name__ == "__main__":
    unittest.main()
