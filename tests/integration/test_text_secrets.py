"""Issue B, acceptance 3: text and secrets agree line for line with ripgrep on a nasty tree; a planted key is found, masked everywhere, and keeps its fingerprint."""
import json
import os
import re
import subprocess
import threading
import time
import unittest

from support import BINARY, Daemon, Repo, enter, needs_tool

TIMEOUT = 180
# Expressions that rg's engine and PCRE2 read alike; each finds less than the 64 lines that evidence holds.
PATTERNS = [r"needle", r"needle$", r"^needle", r"^\s*needle\b", r"n[e]+dle\d{2,}", r"(?i)NEEDLE", r"größe.+needle", r"needle|naddel", r"\bärger\w*", r"n.edle", r"needle\s+=\s+\S+$",
            r"^$x|needle.*needle", r"[^a-z]needle", r"\xe9needle|needle\.", r"needle[!-/:-@]", r"nee(?:d|t)le{1,2}$", r"\p{Lu}needle", r"needle\t", r"^.{5}needle", r"needle.$"]
VALUE = "gh" + "p_" + "Zq8Rt5Vw2Xy7Bn4Mk9Lp3Hs6Dg1Fc0JaTeUi"


def nasty(repo):
    """Binary, CRLF, invalid UTF-8, lines of a megabyte, marks, links out of the tree, FIFOs, names that need care."""
    write = repo.write
    write("plain.txt", "needle\n  needle = 1\nNeedle12 needle\nnothing\n naddel\nAneedle\nneedle.\nneedle\t!\nneedle")
    write("crlf.txt", "needle\r\nfoo needle\r\nneedle = x\r\n\r\nlast needle")
    write("cr.txt", "a\rneedle\rb\nneedle\r\n")
    write("latin1.txt", b"caf\xe9 needle\nneedle\xff\n\xffneedle\nn\xffedle\n\xe9needle \xc3(\nneedle\xe9needle\n")
    write("utf8.txt", "größe der needle\nÄrger\nÄrger ärgerlich\nnéedle\nÉneedle ßneedle\nneedle…\n")
    write("long.txt", "x" * 500000 + "needle" + "y" * 500000 + "\nneedle\n" + "z" * 1000000 + "needle\n")
    write("only-long.txt", "ab " * 350000 + "needle99")
    write("binary.bin", b"needle\0needle\nneedle\n")
    write("late.bin", b"x\n" * 100 + b"\0" + b"needle\n")
    write("bom.txt", b"\xef\xbb\xbfneedle\nneedle\n")
    write("utf16le.txt", "\ufeffneedle\r\ngröße needle\n".encode("utf-16-le"))
    write("utf16be.txt", "\ufeffneedle\nx\n".encode("utf-16-be"))
    write("empty", "")
    write("newlines", "\n\n\n")
    write("dir with blank/a:b.txt", "needle: 12\n")
    write("deep/" + "d/" * 40 + "f.txt", "deep needle\n")
    write(".hidden/x", "hidden needle\n")
    repo.git("add", "-A")
    write("untracked.txt", "untracked needle\n")
    os.symlink("/etc/passwd", repo.join("passwd"))
    os.symlink(repo.join("plain.txt"), repo.join("link.txt"))
    os.symlink("/", repo.join("rootdir"))
    os.mkfifo(repo.join("fifo"))
    os.mkfifo(repo.join("dir with blank", "fifo.txt"))


def run_check(config, repo, *names):
    path = repo.join(".git", "runbookd-test.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(config))
    done = subprocess.run([BINARY, "check", "--config", path, "--root", repo.path, "--state-dir", repo.join(".git", "state"), "--json", *names], capture_output=True,
                          check=False, timeout=120)
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}, done


def places(check):
    """(path, line, column) of evidence lines."""
    found = set()
    for line in check["evidence"]:
        match = re.match(r"(.+?):(\d+):(\d+): ", line)
        if match:
            found.add((match.group(1), int(match.group(2)), int(match.group(3))))
    return found


def rg_places(rg, repo, *args):
    done = subprocess.run([rg, "--json", "--hidden", "--no-ignore", "--glob", "!.git", *args, "."], cwd=repo.path, capture_output=True, check=False)
    found = set()
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event["type"] == "match":
            data = event["data"]
            found.add((data["path"]["text"].removeprefix("./"), data["line_number"], data["submatches"][0]["start"] + 1))
    return found


class TextAndSecrets(unittest.TestCase):
    def setUp(self):
        self.repo = enter(self, Repo())

    def test_agrees_with_rg(self):
        rg = needs_tool("rg")
        nasty(self.repo)
        checks = [{"name": f"p{i}", "kind": "text", "forbid": [pattern]} for i, pattern in enumerate(PATTERNS)]
        results, done = run_check({"checks": checks}, self.repo)
        seen = 0
        for i, pattern in enumerate(PATTERNS):
            check = results[f"p{i}"]
            # A '\r' before '\n' is a part of the line's end (--crlf) or a character of the line, whichever matches.
            expected = rg_places(rg, self.repo, "-e", pattern) | rg_places(rg, self.repo, "--crlf", "-e", pattern)
            self.assertLess(len(expected), 64)
            self.assertEqual(places(check), expected, f"{pattern}: {check['message']} {done.stderr.decode()}")
            self.assertEqual(check["result"], "fail" if expected else "ok", check["message"])
            seen += len(expected)
        self.assertGreater(seen, 150)

    def test_agrees_with_rg_on_what_git_shows(self):
        """Ignored files are none of ours; rg leaves them out too."""
        rg = needs_tool("rg")
        nasty(self.repo)
        self.repo.write(".gitignore", "ignored/\n*.log\n")
        self.repo.write("ignored/a.txt", "needle\n")
        self.repo.write("b.log", "needle\n")
        results, _ = run_check({"checks": [{"name": "t", "kind": "text", "forbid": ["needle"]}]}, self.repo)
        done = subprocess.run([rg, "--json", "--hidden", "--crlf", "--glob", "!.git", "needle", "."], cwd=self.repo.path, capture_output=True, check=False)
        expected = {(data["path"]["text"].removeprefix("./"), data["line_number"]) for data in
                    (event["data"] for event in map(json.loads, done.stdout.splitlines()) if event["type"] == "match")}
        self.assertEqual({place[:2] for place in places(results["t"])}, expected)

    def test_files_that_change_while_read(self):
        """Whatever a writer does meanwhile: findings that stay are found, and nothing but a settled file counts as searched."""
        self.repo.write("stays.txt", "needle\n")
        changing = self.repo.write("changing.txt", "x" * 1000000)
        stop = threading.Event()

        def rewrite():
            size = 0
            while not stop.is_set():
                size = (size + 4096) % 4000000
                with open(changing, "r+b") as file:
                    file.truncate(size)
                    file.write(b"y\n")

        writer = threading.Thread(target=rewrite)
        writer.start()
        try:
            for _ in range(5):
                results, _ = run_check({"checks": [{"name": "t", "kind": "text", "forbid": ["needle"]}, {"name": "u", "kind": "text", "forbid": ["never there"]}]}, self.repo)
                self.assertIn(("stays.txt", 1, 1), places(results["t"]))
                self.assertIn((results["u"]["result"], results["u"]["reason"]), {("ok", "none"), ("unknown", "unreadable")}, results["u"]["message"])
        finally:
            stop.set()
            writer.join()

    def test_planted_key(self):
        self.repo.write("config/app.toml", f"a = 1\ntoken = \"{VALUE}\"\n")
        config = {"checks": [{"name": "secrets", "kind": "secrets"}]}
        first = run_check(config, self.repo)[0]["secrets"]
        self.assertEqual((first["result"], first["reason"]), ("fail", "found"))
        self.assertEqual(places(first), {("config/app.toml", 2, 10)})
        self.repo.write("config/app.toml", "b\n" * 10 + f"a = 1\ntoken = \"{VALUE}\"\n")
        moved = run_check(config, self.repo)[0]["secrets"]
        self.assertEqual(places(moved), {("config/app.toml", 12, 10)})
        prints = [re.search(r"fingerprint ([0-9a-f]{16})", check["evidence"][0]).group(1) for check in (first, moved)]
        self.assertEqual(prints[0], prints[1])
        allowed = {"checks": [{"name": "secrets", "kind": "secrets", "allow": [{"fingerprint": prints[0], "reason": "test key", "until": "2100-01-01"}]}]}
        self.assertEqual(run_check(allowed, self.repo)[0]["secrets"]["result"], "ok")

    def test_value_is_nowhere(self):
        self.repo.write("leak.env", f"GITHUB_TOKEN={VALUE}\nurl = postgres://app:{VALUE[4:30]}@db/x\n")
        self.repo.commit("leak")
        config = json.dumps({"checks": [{"name": "secrets", "kind": "secrets", "every": "1s"}, {"name": "text", "kind": "text", "every": "1s", "forbid": ["TOKEN|postgres"]}]})
        daemon = enter(self, Daemon(config=config, root=self.repo.path))
        daemon.wait_state("secrets", "fail")
        daemon.wait_state("text", "fail")
        needles = [VALUE.encode(), VALUE[4:30].encode(), VALUE[8:24].encode()]
        texts = {path: daemon.get(path, timeout=20).raw for path in ("/metrics", "/status", "/triage?fresh=0", "/", "/api/v1/checks/secrets")}
        texts["/status text"] = daemon.text("/status").encode()
        texts["log"] = str(daemon.log(10000)).encode()
        time.sleep(1)
        for folder, _, names in os.walk(daemon.state_folder()):
            for name in names:
                try:
                    with open(os.path.join(folder, name), "rb") as file:
                        texts[name] = file.read()
                except OSError:
                    continue
        for where, text in texts.items():
            for needle in needles:
                self.assertNotIn(needle, text, where)
        self.assertIn("leak.env:1:", json.dumps(daemon.check("secrets")))
        # Nor in the memory of the daemon, which only ever saw the helper's output.
        with open(f"/proc/{daemon.process.pid}/maps", encoding="ascii") as maps, open(f"/proc/{daemon.process.pid}/mem", "rb") as memory:
            for line in maps:
                span, mode = line.split()[:2]
                low, high = (int(part, 16) for part in span.split("-"))
                if "r" not in mode or "[v" in line:
                    continue
                try:
                    memory.seek(low)
                    data = memory.read(high - low)
                except (OSError, ValueError, OverflowError):
                    continue
                for needle in needles:
                    self.assertNotIn(needle, data, line)


if __name__ == "__main__":
    unittest.main()
