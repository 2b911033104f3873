"""Drift on real repositories: what must not be drift, what must, of which class, who accepted it, and a tree that wants to hurt."""
import glob
import json
import os
import shutil
import subprocess
import time
import unittest

from support import BINARY, GIT_ENV, Daemon, Repo, Scratch, enter, needs_linux, needs_root, until

PORTABLE = True
TIMEOUT = 300
CONFIG = """
checks:
  - {name: files, kind: drift, files: ["**"], every: 1h, ignore: [{key: "made/**", reason: written by a build}, {key: "nothing/**", reason: gone}]}
"""
GUARDED = """
checks:
  - {name: files, kind: drift, files: ["**"], every: 1h}
  - name: guard
    kind: keys
    phase: safety
    every: 1h
    rules: [{file: live.toml, key: live.enabled, equals: false}]
"""


class Cli:
    """The command line on a tree, without a daemon, with a state folder of its own."""

    def __init__(self, repo, config=CONFIG):
        self.repo, self.scratch = repo, Scratch("rb-drift-")
        self.state = self.scratch.join("state")
        self.config = self.scratch.write("runbookd.yml", config)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.scratch.__exit__()

    def run(self, *args, code=0, env=None, root=None):
        command = [BINARY, *args, "--config", self.config, "--root", root or self.repo.path, "--state-dir", self.state]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | (env or {}), cwd=self.scratch.path, timeout=120)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def accept(self, *targets, code=0, reason="intended", **options):
        extra = [part for key, value in options.items() for part in (f"--{key}", value)]
        return self.run("drift", "accept", *targets, "--reason", reason, *extra, code=code)

    def items(self, *extra, **options):
        report = json.loads(self.run("drift", "show", "--json", *extra, **options).stdout)
        return {item["key"]: item for check in report["drift"] for item in check["items"]}

    def folder(self):
        return glob.glob(os.path.join(self.state, "*-*"))[0]


def files():
    return {"config/a.toml": "[live]\nmode = \"paper\"\nlevel = 1\n", "config/b.yml": "x: 1\n", "src/m.py": "print(1)\n", "docs/t.txt": "one\ntwo\n",
            ".gitattributes": "*.crlf text eol=crlf\n", "win.crlf": "a\r\nb\r\n", "run.sh": "#!/bin/sh\n", "uv.lock": LOCK}


LOCK = '''version = 1

[[package]]
name = "numpy"
version = "1.26.0"

[[package]]
name = "requests"
version = "2.31.0"
'''


class NoDrift(unittest.TestCase):
    def test_touch_clone_zone_umask(self):
        repo = enter(self, Repo(files()))
        cli = enter(self, Cli(repo))
        self.assertIn("new baseline of files", cli.accept("files").stdout)
        self.assertEqual(cli.items(), {})
        subprocess.run(["find", repo.path, "-path", "*/.git", "-prune", "-o", "-type", "f", "-exec", "touch", "{}", "+"], check=True)
        self.assertEqual(cli.items(), {})
        self.assertEqual(cli.items(env={"TZ": "Pacific/Kiritimati"}), {})
        for path in ("docs/t.txt", "config/a.toml"):  # another umask
            os.chmod(repo.join(path), 0o600)
        self.assertEqual(cli.items(), {})
        other = enter(self, Scratch())
        clone = other.join("elsewhere")
        subprocess.run(["git", "clone", "-q", repo.path, clone], check=True, env=os.environ | GIT_ENV)
        cli.run("drift", "show", root=clone)  # makes nothing: the folder of state is not there yet
        cli.run("drift", "accept", "files", "--reason", "makes the folder", root=clone)
        folders = glob.glob(os.path.join(cli.state, "*-*"))
        mine = next(f for f in folders if os.path.basename(f).startswith(os.path.basename(repo.path)))
        theirs = next(f for f in folders if os.path.basename(f).startswith("elsewhere"))
        with open(os.path.join(mine, "baselines", "files.baseline"), "rb") as a, open(os.path.join(theirs, "baselines", "files.baseline"), "rb") as b:
            facts = [[line for line in f.read().split(b"\n") if line.startswith(b"f\t")] for f in (a, b)]
        self.assertEqual(facts[0], facts[1])
        shutil.rmtree(repo.path)
        subprocess.run(["git", "clone", "-q", clone, repo.path], check=True, env=os.environ | GIT_ENV)
        self.assertEqual(cli.items(), {})

    def test_nothing_is_written_without_accepting(self):
        repo = enter(self, Repo(files()))
        cli = enter(self, Cli(repo))
        cli.items()
        self.assertFalse(os.path.exists(cli.state))
        check = json.loads(cli.run("check", "files", "--json", code=1).stdout)["checks"][0]
        self.assertEqual((check["state"], check["reason"]), ("unknown", "no_baseline"))


class Items(unittest.TestCase):
    def setUp(self):
        self.repo = enter(self, Repo(files()))
        self.cli = enter(self, Cli(self.repo))
        self.cli.accept("files")

    def one(self):
        items = self.cli.items()
        self.assertEqual(len(items), 1, items)
        return next(iter(items.values()))

    def test_one_byte_commit_revert(self):
        before = int(time.time()) - 1
        self.repo.write("docs/t.txt", "one\ntwX\n")
        item = self.one()
        self.assertEqual((item["key"], item["change"], item["class"], item["line"]), ("docs/t.txt", "changed", "worktree", 2))
        self.assertIn("- two\n+ twX", item["diff"])
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before))
        self.assertGreaterEqual(item["changed_at"], at)
        self.repo.commit("changed")
        committed = self.one()
        self.assertEqual((committed["class"], committed["id"]), ("committed", item["id"]))
        self.repo.git("revert", "--no-edit", "HEAD")
        self.assertEqual(self.cli.items(), {})

    def test_upstream(self):
        bare = enter(self, Scratch())
        self.repo.git("clone", "-q", "--bare", self.repo.path, bare.join("up.git"))
        self.repo.git("remote", "add", "origin", bare.join("up.git"))
        self.repo.git("fetch", "-q", "origin")
        self.repo.git("branch", "-q", "-u", "origin/main")
        self.repo.write("config/b.yml", "x: 2\n")
        self.repo.commit("mine")
        self.assertEqual(self.one()["class"], "committed")
        self.repo.git("push", "-q", "origin", "main")
        self.assertEqual(self.one()["class"], "upstream")

    def test_untracked_then_ignored(self):
        self.repo.write("config/new.yml", "y: 1\n")
        item = self.one()
        self.assertEqual((item["change"], item["class"]), ("added", "untracked"))
        self.repo.write(".git/info/exclude", "config/new.yml\n")
        self.assertEqual(self.cli.items(), {})

    def test_mode_link_rename_folder_crlf(self):
        os.chmod(self.repo.join("run.sh"), 0o755)
        item = self.one()
        self.assertTrue(item["new"].startswith("executable file"), item)
        os.chmod(self.repo.join("run.sh"), 0o644)
        os.unlink(self.repo.join("docs/t.txt"))
        os.symlink("/dev/zero", self.repo.join("docs/t.txt"))
        self.assertEqual(self.one()["new"], 'link to "/dev/zero"')
        os.unlink(self.repo.join("docs/t.txt"))
        os.mkdir(self.repo.join("docs/t.txt"))
        self.repo.write("docs/t.txt/inside", "x\n")
        self.assertEqual(self.one()["new"], "folder")
        shutil.rmtree(self.repo.join("docs/t.txt"))
        self.repo.git("checkout", "-q", "--", ".")
        self.assertEqual(self.cli.items(), {})
        os.rename(self.repo.join("src/m.py"), self.repo.join("src/n.py"))
        items = self.cli.items()
        self.assertEqual({key: item["change"] for key, item in items.items()}, {"src/m.py": "removed", "src/n.py": "added"})
        self.assertIn("renamed", items["src/n.py"]["diff"])
        self.assertIn("src/n.py", items["src/m.py"]["diff"])
        os.rename(self.repo.join("src/n.py"), self.repo.join("src/m.py"))
        self.repo.write("win.crlf", "a\nb\n")  # git stores both alike
        self.assertEqual(self.cli.items(), {})
        self.repo.write("win.crlf", "a\r\nB\r\n")
        self.assertEqual(self.one()["key"], "win.crlf")

    def test_submodule(self):
        other = enter(self, Repo({"f": "1\n"}))
        self.repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.path, "sub")
        self.repo.commit("with a submodule")
        self.cli.accept("--all")
        self.assertEqual(self.cli.items(), {})
        subprocess.run(["git", "-C", self.repo.join("sub"), "commit", "-q", "--allow-empty", "-m", "x"], check=True, env=os.environ | GIT_ENV)
        item = self.one()
        self.assertEqual((item["key"], item["class"]), ("sub", "worktree"))
        self.assertIn("submodule at", item["new"])

    def test_lock_file_shows_the_package(self):
        self.repo.write("uv.lock", LOCK.replace("2.31.0", "2.32.1"))
        item = self.one()
        self.assertIn("package[requests].version", item["old"])
        self.assertIn("2.31.0", item["old"])
        self.assertIn("2.32.1", item["new"])
        self.repo.write("uv.lock", LOCK.replace("[[package]]", '[[package]]\nname = "attrs"\nversion = "23.1"\n\n[[package]]', 1))
        self.assertNotIn("requests", self.one()["diff"].split("\n+")[0])

    def test_secrets_are_masked_everywhere(self):
        self.repo.write("config/b.yml", "x: 1\napi_token: hunter2hunter2\n")
        self.repo.write("config/loose.yml", "password: swordfish99\n")
        shown = json.dumps(self.cli.items())
        self.cli.accept("--all")
        self.repo.write("config/loose.yml", "password: swordfish77\n")
        shown += json.dumps(self.cli.items()) + self.cli.run("drift", "diff", "config/loose.yml").stdout + self.cli.run("drift", "log").stdout
        for folder, _, names in os.walk(self.cli.state):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    shown += file.read().decode("utf-8", "replace")
        for secret in ("hunter2", "swordfish"):
            self.assertNotIn(secret, shown)

    def test_ignore_rules(self):
        self.repo.write("made/x.json", "{}\n")
        self.assertEqual(self.cli.items(), {})
        check = json.loads(self.cli.run("check", "files", "--json").stdout)["checks"][0]
        self.assertTrue(any("nothing/** matches nothing" in line for line in check["evidence"]), check["evidence"])
        self.assertFalse(any("made/**" in line for line in check["evidence"]), check["evidence"])

    def test_markdown_cannot_be_broken_out_of(self):
        self.repo.write("config/b.yml", "x: \"```\\u001b[31m\"\n```\n# not a heading\n")
        text = self.cli.run("drift", "show", "--format", "markdown").stdout
        self.assertNotIn("\x1b", text)
        self.assertFalse([line for line in text.split("\n") if line.startswith(("```", "# not"))])


class Accept(unittest.TestCase):
    def test_reason_expiry_log(self):
        repo = enter(self, Repo(files()))
        cli = enter(self, Cli(repo))
        cli.accept("files")
        repo.write("docs/t.txt", "x\n")
        repo.write("config/b.yml", "x: 3\n")
        items = cli.items()
        self.assertIn("reason is missing", cli.run("drift", "accept", "--all", code=1).stderr)
        self.assertIn("no open item", cli.accept("no/such", code=1).stderr)
        cli.accept(items["docs/t.txt"]["id"][:8], expires="2s", ref="PR #1", who="op")
        self.assertEqual(set(cli.items()), {"config/b.yml"})
        accepted = cli.items("--all")["docs/t.txt"]["accepted"]
        self.assertEqual((accepted["who"], accepted["why"], accepted["ref"]), ("op", "intended", "PR #1"))
        time.sleep(2.1)
        self.assertEqual(set(cli.items()), {"config/b.yml", "docs/t.txt"})
        cli.accept("docs/**", "config/*.yml")
        self.assertEqual(cli.items(), {})
        log = json.loads(cli.run("drift", "log", "--json").stdout)
        self.assertEqual([entry["change"] for entry in log["log"]], ["baseline", "changed", "changed", "changed"])
        path = os.path.join(cli.folder(), "drift.log")
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        lines[2] = lines[2].replace(b"op", b"xx")
        with open(path, "wb") as file:
            file.write(b"\n".join(lines))
        self.assertIn("line 3", cli.run("drift", "log", code=1).stderr)
        with open(path, "wb") as file:
            file.write(b"\n".join(lines[:1] + lines[2:]))  # a line is gone
        self.assertIn("line 2", cli.run("drift", "log", code=1).stderr)

    def test_safety_keys_are_refused(self):
        repo = enter(self, Repo({"live.toml": "[live]\nenabled = false\nlevel = 1\n", "other": "1\n"}))
        cli = enter(self, Cli(repo, GUARDED))
        cli.accept("files")
        repo.write("live.toml", "[live]\nenabled = true\nlevel = 1\n")
        repo.write("other", "2\n")
        for target in (["live.toml"], ["--all"], ["**"]):
            refused = cli.accept(*target, code=1)
            self.assertIn("safety check 'guard'", refused.stderr)
            self.assertEqual(set(cli.items()), {"live.toml", "other"})
        cli.accept("other")
        repo.write("live.toml", "[live]\nenabled = false\nlevel = 2\n")  # another key of the file may change
        cli.accept("live.toml")
        os.unlink(repo.join("live.toml"))
        self.assertIn("guard", cli.accept("live.toml", code=1).stderr)

    def test_damaged_baseline_is_told_and_kept(self):
        repo = enter(self, Repo(files()))
        cli = enter(self, Cli(repo, CONFIG.replace("every: 1h", "every: 1s, baseline: auto")))
        daemon = enter(self, Daemon(CONFIG.replace("every: 1h", "every: 1s, baseline: auto"), root=repo.path))
        check = lambda: daemon.get("/api/v1/checks/files").json()
        until(lambda: check()["state"] == "ok" and "as accepted" in check()["message"])
        path = glob.glob(os.path.join(daemon.state_dir, "*", "baselines", "files.baseline"))[0]
        with open(path, "r+b") as file:
            file.seek(60)
            file.write(b"#")
        until(lambda: check()["reason"] == "baseline_damaged")
        until(lambda: glob.glob(path + ".damaged-*"))
        time.sleep(2.5)
        self.assertEqual(check()["reason"], "baseline_damaged")  # never rebuilt by itself, not even with baseline: auto
        self.assertFalse(os.path.exists(path))

    def test_through_the_daemon(self):
        repo = enter(self, Repo(files()))
        daemon = enter(self, Daemon(CONFIG.replace("every: 1h", "every: 1s"), root=repo.path))
        run = lambda *args: subprocess.run(daemon.command("drift", *args), capture_output=True, text=True, check=False, timeout=60)
        check = lambda: daemon.get("/api/v1/checks/files").json()
        until(lambda: check()["reason"] == "no_baseline")
        self.assertEqual(run("accept", "files", "--reason", "first").returncode, 0)
        self.assertEqual(check()["state"], "ok")
        repo.write("docs/t.txt", "x\n")
        until(lambda: check()["reason"] == "drift")
        self.assertEqual(check()["state"], "warn")
        item = daemon.get("/status").json()["drift"][0]["items"][0]
        self.assertEqual((item["key"], item["accepted"]), ("docs/t.txt", None))
        self.assertEqual(run("accept", item["id"], "--reason", "for a moment", "--expires", "2s").returncode, 0)
        self.assertEqual(check()["state"], "ok")
        until(lambda: check()["reason"] == "drift", timeout=6)
        metrics = daemon.get("/metrics").text
        self.assertIn('runbookd_drift_items{check="files",change="changed",class="worktree"} 1', metrics)
        self.assertRegex(metrics, r'runbookd_drift_baseline_timestamp_seconds\{check="files"\} 1\.\d+e\+?09|runbookd_drift_baseline_timestamp_seconds\{check="files"\} \d{10}')
        self.assertEqual(daemon.post("/api/v1/drift/accept", b'{"all":true,"reason":"x"}', token=False).status, 401)
        self.assertEqual(daemon.post("/api/v1/drift/accept", b'{"all":true}').status, 422)
        self.assertEqual(daemon.post("/api/v1/drift/accept", b'[]').status, 400)


class Hostile(unittest.TestCase):
    @needs_linux
    @needs_root
    def test_a_tree_that_wants_to_hurt(self):
        repo = Repo({"a.txt": "1\n", "big": "x\n", "closed/f": "1\n"})
        cli = enter(self, Cli(repo))
        cli.accept("files")
        os.mkfifo(repo.join("pipe"))
        os.symlink("/dev/zero", repo.join("zero"))
        os.symlink("/etc", repo.join("out"))
        os.unlink(repo.join("a.txt"))
        os.mkfifo(repo.join("a.txt"))
        with open(repo.join("big"), "wb") as file:
            file.truncate(1 << 40)
        self.addCleanup(subprocess.run, ["rm", "-rf", repo.path], check=True)  # Python's own removal recurses
        deep = os.open(repo.path, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d", dir_fd=deep)
            inner = os.open("d", os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = inner
        os.close(deep)
        start = time.monotonic()
        items = cli.items()
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(items["a.txt"]["new"], "fifo")
        self.assertIn(str(1 << 40), items["big"]["new"])
        self.assertEqual(items["zero"]["new"], 'link to "/dev/zero"')
        self.assertFalse([key for key in items if key.startswith("out/")], "a link out of the tree was followed")


if __name__ == "__main__":
    unittest.main()
