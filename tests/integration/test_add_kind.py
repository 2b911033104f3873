"""CONTRIBUTING.md says: a check kind is one file and one row. Here its sample is taken from the page, put into a copy of the tree, built and run."""
import os
import re
import shutil
import subprocess
import unittest

from support import TOP, Scratch, enter

TIMEOUT = 600


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


class AddKind(unittest.TestCase):
    def run_in(self, folder, *args, code=0):
        done = subprocess.run(args, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        self.assertEqual(done.returncode, code, f"{args}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    @unittest.skipUnless(shutil.which("meson") and shutil.which("ninja"), "meson and ninja are not here")
    def test_the_sample_of_the_page_builds_and_runs(self):
        scratch = enter(self, Scratch("rb-kind-"))
        tree = scratch.join("tree")
        os.makedirs(tree)
        names = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True).stdout.decode().split("\0")
        for name in (name for name in names if name and not name.startswith("tests/") and os.path.isfile(os.path.join(TOP, name))):
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            shutil.copy(os.path.join(TOP, name), os.path.join(tree, name))
        blocks = re.findall(r"```c\n(.*?)```", read(TOP, "CONTRIBUTING.md"), re.S)
        row, sample = blocks[0].strip(), blocks[1]
        kind = re.fullmatch(r"RB_KIND\((\w+)\)", row)[1]
        with open(os.path.join(tree, "lib", "kinds", "kinds.def"), "a", encoding="utf-8") as file:
            file.write(row + "\n")
        with open(os.path.join(tree, "lib", "kinds", kind + ".c"), "x", encoding="utf-8") as file:
            file.write(sample)

        self.run_in(tree, "meson", "setup", "build", "-Dtests=false", "-Dwerror=true", "--buildtype=plain")
        self.run_in(tree, "ninja", "-C", "build", "-j2", "runbookd")
        binary = os.path.join(tree, "build", "runbookd")
        self.assertIn("runbookd_symlink_age_seconds", self.run_in(tree, binary, "explain", kind))
        self.assertIn(f'"{kind}"', self.run_in(tree, binary, "schema"))

        root = scratch.join("root")
        os.makedirs(os.path.join(root, "releases", "42"))
        os.symlink("releases/42", os.path.join(root, "current"))
        config = scratch.join("runbookd.yml")
        for target, code, said in (("releases/42", 0, "leads to releases/42"), ("releases/41", 1, "not to releases/41")):
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"checks:\n  - {{name: release, kind: {kind}, link: current, target: {target}}}\n")
            os.chmod(config, 0o600)
            self.assertIn(said, self.run_in(root, binary, "check", "--config", config, "--root", root, "--state-dir", scratch.join("state"), code=code))


if __name__ == "__main__":
    unittest.main()
