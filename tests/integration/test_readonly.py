"""Acceptance 5: it only reads. Index, refs and tree stay as they are; only allowed programs start; nothing hostile in a repository runs; no trust, no program."""
import hashlib
import os
import re
import signal
import subprocess
import time
import unittest

from support import BINARY, Daemon, descendants, enter, HttpFixture, needs_linux, needs_mounts, needs_tool, Repo, Scratch, until

TIMEOUT = 500
WATCH_S = 300 if os.environ.get("RB_LONG") else 15
FILES = {"pyproject.toml": "[project]\nname = 'x'\n", "compose.yml": "services:\n  web: {image: nginx}\n", "package.json": "{}\n", "Makefile": "all:\n",
         "src/a.py": "x = 1\n", ".pre-commit-config.yaml": "repos: []\n", "b.json": "[1]\n"}
CHECKS = """\
defaults: {every: 1s, timeout: 20s}
checks:
  - {name: repo, kind: git, clean: true, branch: main, max_behind: 0, max_fetch_age: 7d}
  - {name: configs, kind: syntax, untracked: true}
  - {name: files, kind: path, exist: ['**/*.toml'], executable: [run.sh]}
  - {name: machine, kind: host, disk: {path: /, warn_below: 1%}}
"""


def fingerprint(root):
    """Everything that a reader must leave alone: bytes, size, mode and times of change of each file and folder, .git included; not the access time."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in [".", *files]:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            digest = ""
            if name != "." and os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, root)] = (info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, digest)
    return found


def ask_everything(daemon):
    for path in ("/", "/status", "/triage", "/metrics", "/api/v1/checks"):
        for accept in ("text/plain", "text/html", "application/json"):
            daemon.get(path, accept=accept)


class Untouched(unittest.TestCase):
    def test_index_refs_and_tree_stay(self):
        repo = enter(self, Repo(FILES))
        repo.write("run.sh", "#!/bin/sh\n", 0o755)
        repo.commit("second")
        repo.git("tag", "v1")
        repo.write("untracked.json", "{}\n")
        # Stat data that no longer fits the index: what makes `git status` rewrite it.
        for name in FILES:
            os.utime(repo.join(name), (1700000000, 1700000000))
        os.utime(repo.join(".git/index"), (1700000100, 1700000100))
        before = fingerprint(repo.path)
        daemon = enter(self, Daemon(CHECKS, root=repo.path))
        discovering = enter(self, Daemon(root=repo.path))
        end = time.monotonic() + WATCH_S
        while time.monotonic() < end:
            ask_everything(daemon)
            time.sleep(1)
        self.assertGreater(daemon.check("repo")["runs"], WATCH_S * 0.7)
        self.assertGreater(daemon.check("configs")["runs"], WATCH_S * 0.5)
        for args in (["check"], ["status"], ["triage"], ["validate"], ["init", "--stdout"], ["info"]):
            subprocess.run([BINARY, "--state-dir", daemon.state_dir, *args], cwd=repo.path, env=daemon.environment(), capture_output=True, timeout=60, check=False)
        discovering.stop()
        daemon.stop()
        self.assertEqual(fingerprint(repo.path), before)

    def test_plain_git_would_have_written(self):
        """The test above can fail: `git status` does rewrite such an index."""
        repo = enter(self, Repo(FILES))
        os.utime(repo.join("b.json"), (1700000000, 1700000000))
        os.utime(repo.join(".git/index"), (1700000100, 1700000100))
        before = fingerprint(repo.path)
        repo.git("status")
        self.assertNotEqual(fingerprint(repo.path), before)

    @needs_linux
    @unittest.skipUnless(os.geteuid() == 0, "needs root for a mount")
    def test_a_read_only_tree_is_enough(self):
        repo = enter(self, Repo(FILES))
        config = "checks:\n  - {name: repo, kind: git, every: 1s}\n  - {name: configs, kind: syntax, every: 1s}\n"
        needs_mounts()
        mounted = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"', repo.path)
        daemon = enter(self, Daemon(config, root=repo.path, prefix=mounted))
        daemon.wait_state("repo", "ok")
        daemon.wait_state("configs", "ok")


def started_by_daemon(lines):
    """(path, argv) of every program that the daemon or its scan helper started; what those programs start themselves (pyenv's shims do) is theirs."""
    parent, execs = {}, []
    for line in lines:
        pid, _, call = line.partition(" ")
        made = re.search(r"\b(?:clone3?|v?fork)\b.* = (\d+)$", call)
        if made:
            parent[made[1]] = pid
        ran = re.search(r'execve(?:at)?\((?:AT_FDCWD, )?"([^"]*)", \[(.*?)\]', call)
        if ran and not re.search(r" = -1 ", call):
            execs.append((pid, ran[1], tuple(re.findall(r'"((?:[^"\\]|\\.)*)"', ran[2]))))
    first, binary = execs[0][0], os.path.realpath(BINARY)
    ours = {binary, os.path.join(os.path.dirname(binary), "runbookd-scan")}
    foreign, found = set(), []
    for pid, path, argv in execs:
        line_of = pid
        while line_of in parent and line_of not in foreign and line_of != first:
            line_of = parent[line_of]
        if line_of in foreign:
            continue
        assert line_of == first, f"process {pid} has no known parent"
        if os.path.realpath(path) not in ours and not path.startswith("/proc/self/"):
            found.append((path, argv))
            foreign.add(pid)
    return found


@needs_linux
class Programs(unittest.TestCase):
    def traced(self, repo, config, seconds, **options):
        strace = needs_tool("strace")
        trace = enter(self, Scratch())
        prefix = (strace, "-f", "-qq", "-s", "4096", "-e", "trace=execve,execveat,clone,clone3,fork,vfork", "-e", "signal=none", "-o", trace.join("trace"))
        daemon = Daemon(config, root=repo.path, prefix=prefix, ready=False, **options)
        self.addCleanup(daemon.scratch.__exit__)
        try:
            daemon.wait_ready(60)
            daemon.wait_settled(60)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                ask_everything(daemon)
                time.sleep(1)
        finally:
            # strace passes no signal on: TERM goes to the daemon itself.
            for pid in descendants(daemon.process.pid)[:1]:
                os.kill(pid, signal.SIGTERM)
            daemon.process.wait(30)
        return started_by_daemon(trace.read("trace").decode("utf-8", "replace").splitlines())

    def test_only_what_discovery_lists(self):
        repo = enter(self, Repo(FILES))
        listed = subprocess.run([BINARY, "explain", "--discovery"], capture_output=True, text=True, check=True).stdout
        allowed = {tuple(re.split(r",\s*", argv)) for argv in re.findall(r"^\s+\S+\s+\[([^\]]+)\]", listed, re.M)}
        self.assertIn(("git", "--version"), allowed)
        started = self.traced(repo, None, min(WATCH_S, 60))
        self.assertGreater(len(started), 2, "no tool was looked at: the test sees nothing")
        self.assertEqual({(os.path.basename(argv[0]), *argv[1:]) for _, argv in started} - allowed, set())

    def test_a_configuration_starts_what_it_names_and_itself(self):
        repo = enter(self, Repo(FILES))
        config = CHECKS + "  - {name: mine, kind: command, argv: [/bin/true, named]}\n"
        self.assertEqual(set(self.traced(repo, config, 5)), {("/bin/true", ("/bin/true", "named"))})


class Hostile(unittest.TestCase):
    def hostile_repo(self):
        """Everything by which git starts programs from a repository's own files."""
        repo = enter(self, Repo({"a.toml": "a = 1\n", "sub.json": "{}\n"}))
        out = enter(self, Scratch())
        repo.write(".gitattributes", "*.toml filter=evil diff=evil merge=evil\n*.json filter=evil\n")
        repo.commit("attributes")
        script = out.write("evil.sh", f"#!/bin/sh\necho \"$0 $*\" >> {out.path}/ran\ncat\n", 0o755)
        for key in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.command", "diff.evil.textconv", "merge.evil.driver", "core.fsmonitor",
                    "diff.external", "core.pager", "core.editor", "core.sshCommand", "core.askPass", "gpg.program", "core.alternateRefsCommand", "credential.helper"):
            repo.git("config", key, script)
        repo.git("config", "filter.evil.required", "true")
        repo.git("config", "core.hooksPath", repo.join(".git/hooks"))
        repo.git("config", "core.untrackedCache", "true")
        for hook in ("post-index-change", "fsmonitor-watchman", "pre-commit", "post-checkout", "reference-transaction", "post-merge", "pre-auto-gc"):
            repo.write(f".git/hooks/{hook}", f"#!/bin/sh\necho {hook} >> {out.path}/ran\n", 0o755)
        repo.write("a.toml", "a = 2\n")
        os.utime(repo.join("sub.json"), (1700000000, 1700000000))
        return repo, out

    def test_nothing_of_the_repository_runs(self):
        repo, out = self.hostile_repo()
        for config in (CHECKS, None):
            daemon = enter(self, Daemon(config, root=repo.path))
            daemon.wait_settled(30)
            ask_everything(daemon)
            if config:
                until(lambda d=daemon: d.check("repo")["runs"] >= 4 and d.check("configs")["runs"] >= 2, 20, what="some runs")
                self.assertEqual(daemon.check("repo")["state"], "fail")  # it saw the changed file
                self.assertIn("a.toml", str(daemon.check("repo")))
            subprocess.run([BINARY, "--state-dir", daemon.state_dir, "check"], cwd=repo.path, env=daemon.environment(), capture_output=True, timeout=60, check=False)
        self.assertFalse(os.path.exists(out.join("ran")), out.join("ran"))

    def test_git_itself_would_have_run_them(self):
        repo, out = self.hostile_repo()
        subprocess.run(["git", "status"], cwd=repo.path, capture_output=True, env=os.environ | {"HOME": out.path}, check=False)
        subprocess.run(["git", "diff"], cwd=repo.path, capture_output=True, env=os.environ | {"HOME": out.path}, check=False)
        self.assertTrue(os.path.exists(out.join("ran")), "the traps are not armed: the other test proves nothing")

    def test_an_untrusted_file_starts_nothing(self):
        repo = enter(self, Repo())
        out = enter(self, Scratch())
        web = enter(self, HttpFixture())
        script = out.write("evil.sh", f"#!/bin/sh\necho ran >> {out.path}/ran\n", 0o755)
        repo.write("runbookd.yml", f"defaults: {{every: 1s}}\nchecks:\n  - {{name: cmd, kind: command, argv: [{script}]}}\n  - {{name: tool, kind: tool, argv: [{script}, --version]}}\n"
                                   f"  - {{name: web, kind: http, url: '{web.url}'}}\n")
        daemon = enter(self, Daemon(None, root=repo.path))  # found as ./runbookd.yml
        self.assertEqual({check["name"] for check in daemon.wait_settled()["checks"]}, {"cmd", "tool", "web"})
        time.sleep(2)
        daemon.text("/triage")
        token = {"Content-Length": "0"}
        self.assertIn(daemon.post("/api/v1/checks/cmd/run", headers=token).status, (200, 202, 409, 422))
        for name in ("cmd", "tool"):
            check = daemon.check(name)
            self.assertEqual((check["state"], check["reason"]), ("unknown", "untrusted"), check)
            self.assertIn("trust", check["message"] + str(check["hints"]))
        self.assertEqual(daemon.check("web")["state"], "ok")
        self.assertFalse(os.path.exists(out.join("ran")))
        done = subprocess.run([BINARY, "--state-dir", daemon.state_dir, "trust"], cwd=repo.path, env=daemon.environment(), capture_output=True, timeout=20, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        daemon.signal(1)
        daemon.wait_state("cmd", "ok")
        self.assertTrue(os.path.exists(out.join("ran")))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to give a file away")
    def test_a_file_that_others_can_write_is_refused(self):
        place = enter(self, Scratch())
        path = place.write("runbookd.yml", "checks:\n  - {name: a, kind: host}\n", 0o666)
        done = subprocess.run([BINARY, "--config", path, "validate"], capture_output=True, text=True, timeout=20, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("chmod", done.stderr)
