"""Changes that somebody, or git, would hide: the daemon remembers listings and stat data between its looks, and still has to see each of them in the next one."""
import os
import shutil
import subprocess
import time
import unittest

from support import GIT_ENV, Daemon, Repo, Scratch, enter, needs_linux, needs_mounts, until

TIMEOUT = 300
CONFIG = """
daemon: {file_events: false}
checks:
  - {name: files, kind: drift, files: ["**"], every: 1h, timeout: 20s}
"""
FILES = {"a.txt": "aaaa\n", "dir/c.txt": "cccc\n", "dir/sub/d.toml": "x = 1\n", ".gitignore": "*.log\n/out/\n"}
LOCAL = {"u/new.yml": "k: 1\n", "u/deep/er/x.yml": "k: 2\n"}
SETTLED_S = 2.3  # what changed less than two seconds ago is never remembered: only after that the memory is at work


class Hidden(unittest.TestCase):
    def setUp(self):
        self.repo = enter(self, Repo(FILES))
        for name, text in LOCAL.items():
            self.repo.write(name, text)
        self.daemon = enter(self, Daemon(CONFIG, root=self.repo.path))
        until(lambda: self.daemon.check("files")["reason"] == "no_baseline", what="the first look")
        done = subprocess.run(self.daemon.command("drift", "accept", "files", "--reason", "as it is"), capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        time.sleep(SETTLED_S)
        self.sees()
        self.outside = enter(self, Scratch())

    def look(self):
        """What the look after now tells: {key: change}."""
        self.assertEqual(self.daemon.post("/api/v1/checks/files/run", timeout=30).status, 200)
        status = self.daemon.status()
        check = next(check for check in status["checks"] if check["name"] == "files")
        self.assertIn(check["reason"], ("none", "drift"), check)
        return {item["key"]: item["change"] for entry in status["drift"] for item in entry["items"]}

    def sees(self, **changes):
        self.assertEqual(self.look(), changes)

    def rewrite(self, name, text, keep_time=True):
        path = self.repo.join(name)
        before = os.stat(path)
        self.repo.write(name, text)
        if keep_time:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def restore(self):
        self.repo.git("checkout", "-q", "--", ".")
        for name, text in LOCAL.items():
            self.repo.write(name, text)

    def test_content_behind_old_times(self):
        self.rewrite("a.txt", "aaab\n")
        self.rewrite("u/new.yml", "k: 9\n")
        self.sees(**{"a.txt": "changed", "u/new.yml": "changed"})
        self.restore()
        self.repo.write("another", "k: 8\n")
        before = os.stat(self.repo.join("u/new.yml"))
        os.utime(self.repo.join("another"), ns=(before.st_atime_ns, before.st_mtime_ns))
        os.rename(self.repo.join("another"), self.repo.join("u/new.yml"))
        self.sees(**{"u/new.yml": "changed"})
        self.restore()
        if os.stat(self.outside.path).st_dev == os.stat(self.repo.path).st_dev:
            os.link(self.repo.join("dir/c.txt"), self.outside.join("link"))
            with open(self.outside.join("link"), "r+", encoding="ascii") as file:
                file.write("cccd")
            self.sees(**{"dir/c.txt": "changed"})

    def test_within_one_tick_of_the_index(self):
        for number in range(4):
            self.repo.write("a.txt", f"aa{number}a\n")
            self.repo.git("add", "a.txt")
            self.repo.write("a.txt", f"aa{number}b\n")
            self.assertIn("a.txt", self.look())
            self.repo.write("a.txt", "aaaa\n")
            self.repo.git("add", "a.txt")
        self.sees()

    def test_what_git_was_told_not_to_look_at(self):
        for bit in ("assume-unchanged", "skip-worktree"):
            self.repo.git("update-index", "--" + bit, "a.txt")
            self.repo.write("a.txt", "evil\n")
            self.sees(**{"a.txt": "changed"})
            os.unlink(self.repo.join("a.txt"))
            self.sees(**{"a.txt": "removed"})
            self.repo.git("update-index", "--no-" + bit, "a.txt")
            self.restore()
        self.sees()

    def test_sparse_checkout(self):
        self.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!/dir/")
        self.assertFalse(os.path.exists(self.repo.join("dir/c.txt")))
        self.sees()
        self.assertTrue(any("2 files are left out by the sparse checkout" in line for line in self.daemon.check("files")["evidence"]), self.daemon.check("files"))
        self.repo.write("dir/c.txt", "evil\n")
        self.sees(**{"dir/c.txt": "changed"})

    def test_ignore_rules_of_all_levels(self):
        hidden = {"u/new.yml": "removed"}
        self.rewrite(".gitignore", "new.yml\n/ou/", keep_time=True)
        self.assertEqual(self.look(), {".gitignore": "changed", **hidden})
        self.restore()
        time.sleep(SETTLED_S)
        self.repo.write("u/.gitignore", "new.yml\n")
        self.assertEqual(self.look(), {"u/.gitignore": "added", **hidden})
        item = next(item for entry in self.daemon.status()["drift"] for item in entry["items"] if item["key"] == "u/new.yml")
        self.assertIn("still there", item["diff"])
        os.unlink(self.repo.join("u/.gitignore"))
        self.sees()
        excludes = self.outside.write("excludes", "new.yml\n")
        for at in (self.repo.join(".git/info/exclude"), excludes):
            if at == excludes:
                self.repo.git("config", "core.excludesFile", excludes)
            with open(at, "w", encoding="ascii") as file:
                file.write("new.yml\n")
            self.assertEqual(self.look(), hidden)
            time.sleep(SETTLED_S)
            before = os.stat(at)
            with open(at, "w", encoding="ascii") as file:
                file.write("neu.yml\n")
            os.utime(at, ns=(before.st_atime_ns, before.st_mtime_ns))
            self.sees()

    def test_a_git_folder_that_is_none_hides_nothing(self):
        self.repo.write("evil/conf.toml", "x = 1\n")
        os.mkdir(self.repo.join("evil/.git"))
        self.repo.write("other/.git", "x\n")
        self.repo.write("other/conf.toml", "x = 1\n")
        self.repo.write("third/.svn/conf.toml", "x = 1\n")
        self.assertEqual(set(self.look()), {"evil/conf.toml", "other/conf.toml", "third/.svn/conf.toml"})
        shutil.rmtree(self.repo.join("third"))
        shutil.rmtree(self.repo.join("other"))
        time.sleep(SETTLED_S)
        subprocess.run(["git", "init", "-q", self.repo.join("evil")], check=True, env=os.environ | GIT_ENV)
        self.sees(**{"evil/": "added"})  # its files are not ours; that it is there we say
        shutil.rmtree(self.repo.join("evil"))
        subprocess.run(["git", "init", "-q", self.repo.join("u")], check=True, env=os.environ | GIT_ENV)
        self.assertEqual(self.look(), {"u/": "added", "u/new.yml": "removed", "u/deep/er/x.yml": "removed"})
        shutil.rmtree(self.repo.join("u/.git"))
        self.repo.git("worktree", "add", "-q", self.repo.join("wt"), "-b", "side")
        self.sees(**{"wt/": "added"})

    def test_forms_of_the_index(self):
        self.repo.git("update-index", "--index-version", "4")
        self.repo.git("update-index", "--untracked-cache")
        self.sees()
        self.rewrite("a.txt", "evil\n")
        self.sees(**{"a.txt": "changed"})
        self.restore()
        self.repo.git("config", "index.skipHash", "true")
        self.rewrite("a.txt", "evil\n")
        self.repo.git("add", "a.txt")
        self.sees(**{"a.txt": "changed"})
        self.repo.git("reset", "-q", "--hard")
        self.repo.git("update-index", "--split-index")
        self.daemon.post("/api/v1/checks/files/run")
        self.assertEqual(self.daemon.check("files")["reason"], "unreadable")  # told, not passed over
        self.assertIn("--no-split-index", self.daemon.check("files")["message"])
        self.repo.git("update-index", "--no-split-index")
        self.sees()

    def test_inside_a_submodule(self):
        other = enter(self, Repo({"f": "1\n"}))
        self.repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.path, "sub")
        added = self.look()
        self.assertEqual(added, {".gitmodules": "added", "sub": "added"})
        entry = lambda: next(item for entry in self.daemon.status()["drift"] for item in entry["items"] if item["key"] == "sub")
        os.utime(self.repo.join("sub/f"))
        self.assertEqual(self.look(), added)
        self.assertNotIn("uncommitted", entry()["new"])
        self.repo.write("sub/f", "2\n")
        self.assertEqual(self.look(), added)
        self.assertIn("something uncommitted", entry()["new"])

    def test_filters(self):
        with open(self.repo.join(".git/info/attributes"), "w", encoding="ascii") as file:
            file.write("a.txt filter=odd\n")
        self.rewrite("a.txt", "aaab\n")
        self.sees(**{"a.txt": "changed"})  # a driver without a program is none
        self.repo.git("config", "filter.odd.clean", "touch " + self.outside.join("ran") + "; echo aaaa")
        self.look()
        done = subprocess.run(self.daemon.command("drift", "accept", "--all", "--reason", "behind a filter"), capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        os.utime(self.repo.join("a.txt"))
        open_items = lambda: {item["key"] for entry in self.daemon.status()["drift"] for item in entry["items"] if not item["accepted"]}
        self.look()
        self.assertEqual(open_items(), set())
        self.rewrite("a.txt", "aaac\n")
        self.look()
        self.assertEqual(open_items(), {"a.txt"})
        self.assertFalse(os.path.exists(self.outside.join("ran")), "a filter was run")

    def test_folders_that_change_places(self):
        os.rename(self.repo.join("u"), self.repo.join("v"))
        self.sees(**{"u/new.yml": "removed", "u/deep/er/x.yml": "removed", "v/new.yml": "added", "v/deep/er/x.yml": "added"})
        os.rename(self.repo.join("v"), self.repo.join("u"))
        time.sleep(SETTLED_S)
        os.rename(self.repo.join("u/deep"), self.outside.join("deep"))
        os.symlink(self.outside.join("deep"), self.repo.join("u/deep"))
        self.sees(**{"u/deep": "added", "u/deep/er/x.yml": "removed"})

    def test_while_nobody_looked(self):
        self.daemon.stop()
        self.rewrite("u/new.yml", "k: 7\n")
        self.repo.write("u/deep/er/y.yml", "n: 1\n")
        self.daemon.start()
        until(lambda: self.daemon.check("files")["runs"] > 0, what="the first look")
        self.sees(**{"u/new.yml": "changed", "u/deep/er/y.yml": "added"})

    @needs_linux
    def test_a_folder_mounted_over_another(self):
        needs_mounts()
        self.outside.write("new.yml", LOCAL["u/new.yml"])
        self.outside.write("more.yml", "z: 1\n")
        if subprocess.run(["mount", "--bind", self.outside.path, self.repo.join("u")], capture_output=True, check=False).returncode != 0:
            self.skipTest("no bind mounts here")
        self.addCleanup(subprocess.run, ["umount", self.repo.join("u")], capture_output=True, check=False)
        self.sees(**{"u/more.yml": "added", "u/deep/er/x.yml": "removed"})
        subprocess.run(["umount", self.repo.join("u")], check=True)
        self.sees()


if __name__ == "__main__":
    unittest.main()
