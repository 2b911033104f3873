"""Issue C, acceptance 1 and 6 at their size: 15,000 files that are touched, cloned, changed in every way; and a tree that wants to hurt, by an ordinary user, watched by strace."""
import glob
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time
import types
import unittest

from support import BINARY, GIT_ENV, TOP, Repo, Scratch, enter, needs_linux, needs_tool

TIMEOUT = 300
FILES, MEGABYTES, CONFIGS = 15000, 15, 3300
NOBODY = 65534
CONFIG = """
checks:
  - {name: files, kind: drift, files: ["**"], every: 1h, timeout: 60s}
"""


class Machine:
    """A state folder and a configuration of its own, the command line as some user with some umask and time zone."""

    def __init__(self, user=None, umask=0o022, zone="UTC"):
        self.scratch, self.user, self.umask, self.zone = Scratch("rb-machine-"), user, umask, zone
        self.config = self.scratch.write("runbookd.yml", CONFIG)
        self.state = self.scratch.join("state")
        if user is not None:
            for path in (self.scratch.path, self.config):
                os.chown(path, user, user)
            os.chmod(self.scratch.path, 0o711)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.scratch.__exit__()

    def do(self, *argv, **options):
        who = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        env = os.environ | GIT_ENV | {"TZ": self.zone, "HOME": self.scratch.path}
        return subprocess.run(argv, capture_output=True, check=False, timeout=120, umask=self.umask, env=env, cwd=self.scratch.path, **who, **options)

    def run(self, root, *args, code=0, prefix=()):
        done = self.do(*prefix, BINARY, *args, "--config", self.config, "--root", root, "--state-dir", self.state)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{args}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout.decode("utf-8", "replace")

    def accept(self, root):
        self.run(root, "drift", "accept", "files", "--reason", "as deployed")

    def items(self, root, **options):
        report = json.loads(self.run(root, "drift", "show", "--json", **options))
        return {item["key"]: item for entry in report["drift"] for item in entry["items"]}

    def baseline(self):
        return glob.glob(os.path.join(self.state, "*", "baselines", "files.baseline"))[0]


def another_user():
    """An ordinary user that can start the program; None where there is none (not root, or the build lies behind a closed folder)."""
    if os.geteuid() != 0:
        return None
    try:
        probe = subprocess.run([BINARY, "--version"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False, cwd="/")
    except PermissionError:
        return None
    return NOBODY if probe.returncode == 0 else None


def fifteen_thousand():
    spec = importlib.util.spec_from_file_location("gen_tree", os.path.join(TOP, "tests", "support", "gen_tree.py"))
    gen_tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gen_tree)
    repo = Repo({".gitattributes": "*.crlf text eol=crlf\n", "win.crlf": "a\r\nb\r\n", "run.sh": "#!/bin/sh\n"})
    repo.git("config", "gc.auto", "0")  # else git packs the objects behind our back while they are cloned
    gen_tree.Tree(types.SimpleNamespace(folder=repo.path, files=FILES, megabytes=MEGABYTES, configs=CONFIGS, seed=7, git=False)).make()
    os.symlink("run.sh", repo.join("link"))
    repo.commit("all of it")
    return repo


class Scale(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.repo = fifteen_thousand()
        cls.machine = Machine()
        cls.machine.accept(cls.repo.path)
        cls.some = sorted(glob.glob("config/*/*.yml", root_dir=cls.repo.path))[0]

    @classmethod
    def tearDownClass(cls):
        cls.repo.__exit__()
        cls.machine.__exit__()

    def items(self):
        return self.machine.items(self.repo.path)

    def one(self):
        items = self.items()
        self.assertEqual(len(items), 1, list(items)[:20])
        return next(iter(items.values()))

    def test_1_touched_and_elsewhere(self):
        facts = json.loads(self.machine.run(self.repo.path, "check", "files", "--json"))["checks"][0]["message"]
        self.assertIn("15004 facts", facts)
        subprocess.run(["find", self.repo.path, "-path", "*/.git", "-prune", "-o", "-type", "f", "-exec", "touch", "{}", "+"], check=True)
        self.assertEqual(self.items(), {})
        user = another_user()
        there = enter(self, Machine(user=user, umask=0o077, zone="Pacific/Kiritimati"))
        clone = there.scratch.join("some", "where else")
        os.makedirs(os.path.dirname(clone))
        if user is not None:
            os.chown(os.path.dirname(clone), user, user)
        subprocess.run(["git", "clone", "-q", self.repo.path, clone], check=True, env=os.environ | GIT_ENV, umask=0o077)
        if user is not None:
            subprocess.run(["chown", "-R", f"{user}:{user}", clone], check=True)
        there.accept(clone)
        shutil.copyfile(self.machine.baseline(), there.baseline())  # what was accepted here, there
        self.assertEqual(there.items(clone), {})
        with open(os.path.join(clone, self.some), "ab") as file:
            file.write(b"z")
        self.assertEqual(list(there.items(clone)), [self.some])  # it does compare

    def test_2_one_byte(self):
        before = time.time()
        with open(self.repo.join(self.some), "r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(b"#" if first != b"#" else b"!")
        item = self.one()
        self.assertEqual((item["key"], item["change"], item["class"]), (self.some, "changed", "worktree"))
        at = lambda seconds: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
        self.assertTrue(at(before - 1) <= item["changed_at"] <= at(time.time() + 1), item)
        self.repo.git("commit", "-q", "-a", "-m", "one byte")
        committed = self.one()
        self.assertEqual((committed["class"], committed["id"]), ("committed", item["id"]))
        self.assertEqual(committed["changed_at"], at(int(self.repo.git("log", "-1", "--format=%ct"))))
        self.repo.git("revert", "--no-edit", "HEAD")
        self.assertEqual(self.items(), {})

    def test_3_all_other_ways(self):
        repo = self.repo
        os.rename(repo.join(self.some), repo.join("config/moved.yml"))
        items = self.items()
        self.assertEqual({key: item["change"] for key, item in items.items()}, {self.some: "removed", "config/moved.yml": "added"})
        self.assertIn(self.some, items["config/moved.yml"]["diff"])
        os.rename(repo.join("config/moved.yml"), repo.join(self.some))
        os.chmod(repo.join("run.sh"), 0o755)
        self.assertIn("executable", self.one()["new"])
        os.chmod(repo.join("run.sh"), 0o644)
        os.unlink(repo.join("link"))
        os.symlink("win.crlf", repo.join("link"))
        self.assertEqual((self.one()["old"], self.one()["new"]), ('link to "run.sh"', 'link to "win.crlf"'))
        repo.git("checkout", "-q", "--", "link")
        repo.write("win.crlf", "a\nb\n")
        self.assertEqual(self.items(), {})
        repo.write("win.crlf", "a\nB\n")
        self.assertEqual(self.one()["key"], "win.crlf")
        repo.git("checkout", "-q", "--", "win.crlf")
        os.unlink(repo.join("run.sh"))
        repo.write("run.sh/inside", "x\n")
        items = self.items()
        self.assertEqual(items["run.sh"]["new"], "folder")
        self.assertLessEqual(set(items), {"run.sh", "run.sh/inside"})
        shutil.rmtree(repo.join("run.sh"))
        repo.git("checkout", "-q", "--", "run.sh")
        other = enter(self, Repo({"f": "1\n"}))
        repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.path, "sub")
        items = self.items()
        self.assertEqual({key: item["change"] for key, item in items.items()}, {".gitmodules": "added", "sub": "added"})
        self.assertIn("submodule at", items["sub"]["new"])
        repo.git("rm", "-q", "-f", "sub", ".gitmodules")
        self.assertEqual(self.items(), {})


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@needs_linux
class Hostile(unittest.TestCase):
    """As an ordinary user where that can be had: root may read what is closed."""

    def setUp(self):
        self.user = another_user()
        self.machine = enter(self, Machine(user=self.user))
        self.root = self.machine.scratch.join("tree")
        repo = Repo({"a.txt": "1\n", "big": "x\n", "shut/tracked": "1\n", "cfg/app.yml": "a: 1\n"})
        shutil.move(repo.path, self.root)
        with open(self.join("shut/own"), "w", encoding="ascii") as file:
            file.write("1\n")
        if self.user is not None:
            subprocess.run(["chown", "-R", f"{self.user}:{self.user}", self.root], check=True)
        self.machine.accept(self.root)
        self.addCleanup(os.chmod, self.join("shut"), 0o755)

    def join(self, name):
        return os.path.join(self.root, name)

    def hurt(self):
        os.mkfifo(self.join("pipe"))
        os.symlink("/dev/zero", self.join("zero"))
        os.symlink("/etc", self.join("out"))
        os.symlink("..", self.join("up"))
        os.unlink(self.join("a.txt"))
        os.mkfifo(self.join("a.txt"))
        os.truncate(self.join("big"), 1 << 40)
        with open(os.fsencode(self.root) + b"/n\xff\x1b[31m\n.yml", "wb") as file:
            file.write(b"x: 1\n")
        os.chmod(self.join("shut"), 0)

    def grow(self, ended):
        with open(self.join("growing"), "ab", buffering=0) as file:
            while not ended.is_set() and file.tell() < 256 << 20:
                file.write(b"x" * 4096)
                time.sleep(0.0005)

    def flatten(self):
        """Takes away the deep folders, two levels a turn: rm looks at the whole path of each."""
        top = os.open(self.root, os.O_RDONLY)
        try:
            while True:
                os.rename("d/d", "e", src_dir_fd=top, dst_dir_fd=top)
                os.rmdir("d", dir_fd=top)
                os.rename("e", "d", src_dir_fd=top, dst_dir_fd=top)
        except FileNotFoundError:
            os.close(top)

    def sane(self, items, closed):
        self.assertEqual(items["a.txt"]["new"], "fifo")
        self.assertEqual((items["zero"]["new"], items["out"]["new"], items["up"]["new"]), ('link to "/dev/zero"', 'link to "/etc"', 'link to ".."'))
        self.assertIn(str(1 << 40), items["big"]["new"])
        self.assertEqual(len([key for key in items if key.startswith("n") and key.endswith(".yml")]), 1)
        self.assertFalse([key for key in items if key.startswith(("out/", "up/", "zero/"))])
        if closed:
            self.assertEqual({items[name]["new"] for name in ("shut/tracked", "shut/own")}, {"unreadable"})
            self.assertNotIn("removed", {item["change"] for item in items.values()})

    def test_nothing_outside_is_opened(self):
        strace = needs_tool("strace")
        self.hurt()
        ended, trace = threading.Event(), self.machine.scratch.join("trace")
        writer = threading.Thread(target=self.grow, args=(ended,))
        writer.start()
        try:
            items = self.machine.items(self.root, prefix=(strace, "-f", "-qq", "-y", "-s", "4096", "-e", "trace=open,openat,openat2", "-e", "signal=none", "-o", trace))
        finally:
            ended.set()
            writer.join()
        self.sane(items, self.user is not None)
        self.assertEqual((items["growing"]["change"], items["growing"]["class"]), ("added", "untracked"))
        with open(trace, encoding="utf-8", errors="replace") as file:
            opened = re.findall(r" = \d+<([^>]*)>", file.read())
        self.assertIn(self.root, opened)
        allowed = (self.root, self.machine.scratch.path, "/usr/", "/lib", "/proc/", "/sys/", os.path.dirname(os.path.realpath(BINARY)), os.path.realpath("/etc/ssl"), "/dev/null", "/dev/urandom")
        known = ("/etc/ld.so", "/etc/passwd", "/etc/nsswitch.conf", "/etc/localtime", "/etc/resolv.conf", "/etc/hosts", "/etc/gitconfig", "/etc/hostname", "/etc/machine-id", "/etc/group")
        self.assertEqual([path for path in opened if not path.startswith(allowed + known)], [])
        self.assertFalse([path for path in opened if path in ("/dev/zero", self.join("pipe"), self.join("a.txt")) or path.startswith("/etc/ssh")])

    def test_a_cycle_takes_no_longer_than_five_seconds(self):
        self.hurt()
        self.addCleanup(self.flatten)
        deep = os.open(self.root, os.O_RDONLY)
        for _ in range(20000):
            os.mkdir("d", dir_fd=deep)
            inner = os.open("d", os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = inner
        os.close(deep)
        for outer in range(300):
            os.mkdir(self.join(f"w{outer}"))
            for inner in range(100):
                os.mkdir(self.join(f"w{outer}/{inner}"))
        before = cpu_s()
        items = self.machine.items(self.root)
        took = cpu_s() - before  # processor time: other tests run beside this one
        peak = self.machine.do("/usr/bin/env", "python3", "-c", "import resource,subprocess,sys;"
                               "subprocess.run(sys.argv[1:],capture_output=True);print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)", BINARY, "drift", "show",
                               "--config", self.machine.config, "--root", self.root, "--state-dir", self.machine.state)
        self.sane(items, self.user is not None)
        self.assertLess(took, 5)
        self.assertLess(int(peak.stdout) // 1024, 200, "MiB")


if __name__ == "__main__":
    unittest.main()
