"""Acceptance 3: the syntax kind agrees with independent parsers on real files, and follows one file that breaks and is mended."""
import json
import os
import subprocess
import time
import tomllib
import unittest

from support import Daemon, Repo, enter, first_team_tree, until

TIMEOUT = 180
CONFIG = 'checks:\n  - {name: configs, kind: syntax, every: 2s, timeout: 20s, files: ["**/*.toml", "**/*.yml", "**/*.yaml", "**/*.json"]}\n'
YAML_CHECK = r"""
import json, sys, yaml
bad = {}
for name in json.load(sys.stdin):
    try:
        with open(name, "rb") as file:
            for _ in yaml.parse(file, Loader=yaml.CSafeLoader):
                pass
    except (yaml.YAMLError, UnicodeError) as error:
        bad[name] = str(error)
print(json.dumps(bad))
"""


def yaml_parser():
    """A Python with PyYAML's C parser (libyaml: no relative of ours), or a skip."""
    for python in ("/usr/bin/python3", "python3"):
        try:
            done = subprocess.run([python, "-c", "import yaml; yaml.CSafeLoader"], capture_output=True, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return python
    raise unittest.SkipTest("no Python with yaml's C parser (apt: python3-yaml)")


def toml_verdict(data):
    tomllib.loads(data.decode("utf-8"))


def json_verdict(data):
    def no_twice(pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError("a key twice")
        return dict(pairs)

    def no_constant(text):
        raise ValueError(text)

    json.loads(data.decode("utf-8"), object_pairs_hook=no_twice, parse_constant=no_constant)


def judged(repo, names, verdict):
    bad = set()
    for name in names:
        try:
            verdict(repo.read(name))
        except ValueError:
            bad.add(name)
    return bad


def values(check):
    return {(value["name"], value["label"]): value["value"] for value in check["values"]}


class Tree(unittest.TestCase):
    def start(self, files=None, tree=None):
        repo = enter(self, Repo(files, tree))
        return repo, enter(self, Daemon(CONFIG, root=repo.path))

    def test_counts_agree_with_independent_parsers(self):
        python = yaml_parser()
        repo, daemon = self.start(tree=first_team_tree())
        tracked = [name for name in repo.git("ls-files", "-z").split("\0") if name]
        names = {"toml": [n for n in tracked if n.endswith(".toml")], "json": [n for n in tracked if n.endswith(".json")],
                 "yaml": [n for n in tracked if n.endswith((".yml", ".yaml"))]}
        self.assertGreater(min(map(len, names.values())), 10)
        done = subprocess.run([python, "-c", YAML_CHECK], cwd=repo.path, input=json.dumps(names["yaml"]).encode(), capture_output=True, check=True)
        bad = {"toml": judged(repo, names["toml"], toml_verdict), "json": judged(repo, names["json"], json_verdict), "yaml": set(json.loads(done.stdout))}
        daemon.wait_settled(30)
        check = daemon.check("configs")
        got = values(check)
        for kind in names:
            self.assertEqual(got["files", kind], len(names[kind]), kind)
            self.assertEqual(got["broken", kind], len(bad[kind]), (kind, bad[kind], check["evidence"]))
        self.assertEqual(check["state"], "fail" if any(bad.values()) else "ok", check)

    def break_and_mend(self, repo, daemon, name, broken, place):
        """One file breaks: within one interval (and the run) exactly it fails, at that place; mended, it recovers."""
        good = repo.read(name)
        repo.write(name, broken)
        started = time.monotonic()
        check = daemon.wait_state("configs", "fail", timeout=6)
        self.assertLess(time.monotonic() - started, 2 + 2.5)
        self.assertEqual(sum(count for (what, _), count in values(check).items() if what == "broken"), 1, check)
        self.assertEqual(len(check["evidence"]), 1, check)
        self.assertTrue(check["evidence"][0].startswith(f"{name}:{place}"), check["evidence"])
        self.assertEqual(check["reason"], "broken")
        repo.write(name, good)
        recovered = daemon.wait_state("configs", "ok", timeout=6)
        self.assertGreaterEqual(recovered["since"], check["since"])

    def test_break_and_mend_one_file(self):
        repo, daemon = self.start({"a.toml": "a = 1\nb = 2\n", "b/c.yml": "a: 1\nb: [1, 2]\n", "d.json": '{\n  "a": 1\n}\n', "e.yaml": "x: 1\n"})
        daemon.wait_state("configs", "ok")
        pid = daemon.process.pid
        self.break_and_mend(repo, daemon, "a.toml", "a = 1\nb = = 2\n", "2:5")
        self.break_and_mend(repo, daemon, "a.toml", "a = 1\na = 2\n", "2:")
        self.break_and_mend(repo, daemon, "b/c.yml", "a: 1\nb: [1, 2\nc: 3\n", "")
        self.break_and_mend(repo, daemon, "b/c.yml", "a: 1\nb: 2\na: 3\n", "3:1")
        self.break_and_mend(repo, daemon, "d.json", '{\n  "a": 1,\n}\n', "3:1")
        self.break_and_mend(repo, daemon, "d.json", '{\n  "a": 1,\n  "a": 2\n}\n', "3:")
        self.assertEqual(daemon.process.pid, pid)
        self.assertIsNone(daemon.process.poll())

    def test_breaking_one_of_the_first_team(self):
        repo, daemon = self.start(tree=first_team_tree())
        daemon.wait_state("configs", "ok", timeout=30)
        name = "config/config.toml"
        text = repo.read(name).decode()
        lines = text.splitlines(True)
        self.break_and_mend(repo, daemon, name, "".join(lines) + 'broken = "no end\n', f"{len(lines) + 1}:")

    def test_what_git_knows_is_followed(self):
        repo, daemon = self.start({"a.json": "{}\n", "gone.json": "{}\n"})
        daemon.wait_state("configs", "ok")
        repo.write("untracked.json", "{broken")
        os.unlink(repo.join("gone.json"))
        until(lambda: values(daemon.check("configs"))["deleted", None] == 1, 6, what="the deleted file is counted")
        self.assertEqual(daemon.check("configs")["state"], "ok", "untracked or deleted files are not judged")
        repo.git("add", "untracked.json")
        self.assertIn("untracked.json:1:", daemon.wait_state("configs", "fail", timeout=6)["evidence"][0])
