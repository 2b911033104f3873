"""Accepting what is there: `check --print-accepted` prints lines for the file of accepted findings, and with them in it the check is ok until something new comes."""
import os
import subprocess
import unittest

from support import BINARY, Repo, Scratch


class RatchetTest(unittest.TestCase):
    def run_check(self, *args):
        command = [BINARY, "--root", self.repo.path, "--state-dir", self.state.join("s"), "--config", self.state.join("c.yml"), "check", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env={"PATH": os.environ["PATH"], "HOME": self.state.path})

    def setUp(self):
        self.repo = self.enterContext(Repo({"a.txt": "live = true\nx\n" + "".join(f"live = {i}\n" for i in range(70)), "b odd: 3.txt": "\x1b[31mlive here #:7\n"}))
        self.state = self.enterContext(Scratch())
        self.repo.write("report.sh", "#!/bin/sh\nfor i in $(seq 30); do echo \"docs/f$i.md:4: odd:$i\"; done\nexit 1\n", 0o755)
        self.repo.commit("more")
        self.state.write("c.yml", "checks:\n  - {name: words, kind: text, forbid: [live], files: ['*.txt'], accepted: ops/words}\n"
                         "  - {name: doctor, kind: command, argv: [./report.sh], exit: {0: ok, 1: fail}, accepted: ops/doctor}\n  - {name: plain, kind: host}\n", 0o600)
        os.mkdir(self.repo.join("ops"))
        subprocess.run([BINARY, "--root", self.repo.path, "--state-dir", self.state.join("s"), "--config", self.state.join("c.yml"), "trust", "--yes"], check=False,
                       capture_output=True, timeout=30, env={"PATH": os.environ["PATH"], "HOME": self.state.path})

    def accept(self, name):
        """Asks and appends until nothing is new; returns how many lines it took."""
        for _ in range(5):
            printed = self.run_check(name, "--print-accepted")
            with open(self.repo.join("ops", name), "a", encoding="utf-8") as file:
                file.write(printed.stdout)
            self.assertEqual(printed.returncode, 0, printed.stderr)
            if not printed.stdout:
                break
            self.assertNotIn("\x1b", printed.stdout)
            self.assertEqual("more new findings" in printed.stderr, printed.stdout.count("\n") - 1 in (20, 64), printed.stderr)
        with open(self.repo.join("ops", name), encoding="utf-8") as file:
            return [line for line in file if not line.startswith("#")]

    def test_text(self):
        self.assertEqual(self.run_check("words").returncode, 1)
        self.assertEqual(len(self.accept("words")), 72)
        self.assertEqual(self.run_check("words").returncode, 0)
        self.repo.write("a.txt", "\n\n" + self.repo.read("a.txt").decode() + "live = new\n")
        after = self.run_check("words", "--print-accepted")
        self.assertEqual(after.stdout.count("\n"), 2, after.stdout)
        self.assertIn("a.txt:75:1: live = new", after.stdout)

    def test_command(self):
        self.assertEqual(len(self.accept("doctor")), 30)
        self.assertEqual(self.run_check("doctor").returncode, 0, self.run_check("doctor").stdout)

    def test_nothing_to_accept(self):
        printed = self.run_check("plain", "--print-accepted")
        self.assertEqual((printed.returncode, printed.stdout), (2, ""))
        self.assertIn("no", printed.stderr)


if __name__ == "__main__":
    unittest.main()
