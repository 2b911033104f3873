"""Issue C, acceptance 5: the same facts give the same bytes whoever packs them and wherever; `verify` names every damage; no secret gets in."""
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import unittest

from support import BINARY, Daemon, Repo, Scratch, enter, needs_tool

PORTABLE = True
MARK = 19  # bytes of the gzip header that runbookd writes
# Glued together, so that no scanner takes this file for a leak.
SECRETS = ["gh" "p_abcdefghijklmnopqrstuvwxyz0123456789", "hunter2" "-very-secret", "AKIA" "IOSFODNN7EXAMPLE", "pl4nted" "FromAFile99"]
FILES = {"config/app.toml": "a = 1\n", "config/more.yml": "b: 2\n", "src/main.py": "print(1)\n", "scripts/run.sh": "#!/bin/sh\n", "README.md": "hello\n"}


def run(place, *args, code=0, env=None, cwd=None, umask=None):
    done = subprocess.run([BINARY, "--state-dir", os.path.join(place.path, ".state-of-test"), *args], cwd=cwd or place.path, capture_output=True, timeout=120,
                          check=False, env=os.environ | (env or {}), preexec_fn=(lambda: os.umask(umask)) if umask is not None else None)
    text = done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")
    if code is not None:
        assert done.returncode == code, f"{args}: exit {done.returncode}, not {code}\n{text}"
    return text


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def members(path):
    with tarfile.open(path, "r:gz") as tar:
        return {info.name: (info, tar.extractfile(info).read()) for info in tar.getmembers()}


def everything(path):
    """All that could hold a secret: names and bytes, unpacked."""
    found = members(path)
    return b"\0".join(name.encode("utf-8", "surrogateescape") + b"\0" + data for name, (_, data) in found.items())


def verify(place, path, code=1):
    return run(place, "verify", path, code=code)


def pack_tar(path, entries, mode="w:gz"):
    """A tar.gz of (TarInfo or name, bytes)."""
    with tarfile.open(path, mode) as tar:
        for name, data in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data) if info.type == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))


class SameFactsSameBytes(unittest.TestCase):
    def repo(self):
        repo = enter(self, Repo(FILES))
        os.chmod(repo.join("scripts/run.sh"), 0o755)
        repo.git("tag", "-a", "v1.0", "-m", "one")
        repo.git("tag", "light")
        repo.write("runbookd.yml", "checks:\n  - {name: disk, kind: path, exist: [README.md]}\n")
        repo.commit("add a runbook")
        return repo

    def test_names_places_zones_umasks(self):
        repo, out = self.repo(), enter(self, Scratch())
        twin = out.join("elsewhere", "with another name")
        os.makedirs(os.path.dirname(twin))
        subprocess.run(["git", "clone", "-q", repo.path, twin], check=True, capture_output=True)
        variants = [(repo.path, "one.tar.gz", {"TZ": "UTC"}, 0o022), (twin, "two.tar.gz", {"TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": "/nonexistent"}, 0o077),
                    (repo.path, "three.tar.gz", {"TZ": "America/New_York", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"}, 0o000)]
        for command in (["evidence", "--commit", "HEAD", "config/**", "scripts"], ["bundle", "config", "scripts/run.sh", "README.md"]):
            digests = set()
            for root, name, env, umask in variants:
                path = out.join(command[0] + "-" + name)
                run(out, "--root", root, *command, "-o", path, env=env, umask=umask, cwd=root)
                digests.add(sha256(path))
                verify(out, path, code=0)
            self.assertEqual(len(digests), 1, command)

    def test_own_output_in_the_tree_is_no_fact(self):
        repo = self.repo()
        run(repo, "evidence", "-o", "a.tar.gz", env={"XDG_CONFIG_HOME": "/nonexistent"})
        run(repo, "evidence", "-o", "b.tar.gz", env={"XDG_CONFIG_HOME": "/nonexistent"})
        status = members(repo.join("b.tar.gz"))["evidence/status.txt"][1].decode()
        self.assertNotIn("tar.gz", status)
        self.assertEqual(sha256(repo.join("a.tar.gz")), sha256(repo.join("b.tar.gz")))

    def test_what_is_in_it(self):
        repo, out = self.repo(), enter(self, Scratch())
        repo.write("new file.txt", "x")
        repo.write("README.md", "changed\n")
        os.remove(repo.join("src/main.py"))
        repo.git("mv", "config/more.yml", "config/moved.yml")
        head = repo.git("rev-parse", "HEAD").strip()
        index = read(repo.join(".git/index"))
        path = out.join("e.tar.gz")
        run(repo, "evidence", "-o", path, "--commit", head, "--commit", "nonsense", "config/app.toml", "nope.txt", "README.md")
        self.assertEqual(read(repo.join(".git/index")), index, "the index was written")
        found = members(path)
        for name in ("HEAD.txt", "status.txt", "log_50.txt", "tags.txt", "versions.txt", f"show_{head}.txt", "config/effective.json", "config/files/runbookd.yml",
                     "files/config/app.toml", "files/nope.txt.__MISSING__", "show_nonsense.txt.__MISSING__", "manifest.json", "SHA256SUMS.txt"):
            self.assertIn("evidence/" + name, found)
        text = {name: data.decode() for name, (_, data) in found.items()}
        want = repo.git("status", "--porcelain", "-uall", "--no-renames").splitlines()
        got = text["evidence/status.txt"].splitlines()
        self.assertEqual(sorted(got), sorted(line.replace('"', "") for line in want if ".state-of-test" not in line))
        self.assertEqual(got, sorted(got, key=lambda line: line[3:]))
        self.assertIn(f"commit {head}\n", text["evidence/HEAD.txt"])
        self.assertIn("branch main\n", text["evidence/HEAD.txt"])
        self.assertEqual([line.split()[0] for line in text["evidence/log_50.txt"].splitlines()], repo.git("log", "--format=%H").split())
        self.assertEqual([line.split()[-1] for line in text["evidence/tags.txt"].splitlines()], ["light", "v1.0"])
        self.assertIn("+checks:", text[f"evidence/show_{head}.txt"])
        time = int(repo.git("log", "-1", "--format=%ct"))
        for name, (info, _) in found.items():
            self.assertEqual((info.mtime, info.uid, info.gid, info.uname, info.gname, info.type), (time, 0, 0, "", "", tarfile.REGTYPE), name)
            self.assertIn(info.mode, (0o644, 0o755))
        self.assertEqual(list(found), sorted(found))
        manifest = json.loads(text["evidence/manifest.json"])
        self.assertEqual(manifest["missing"], ["drift.json", "files/nope.txt", "show_nonsense.txt"])
        for row in manifest["members"]:
            self.assertEqual(hashlib.sha256(found["evidence/" + row["name"]][1]).hexdigest(), row["sha256"])
        for word in (repo.path, out.path):
            self.assertNotIn(word.encode(), everything(path))

    def test_log_ends_at_fifty(self):
        repo = enter(self, Repo(FILES))
        for number in range(60):
            repo.commit(f"number {number}")
        run(repo, "--root", repo.path, "evidence", "-o", repo.join("e.tar.gz"))
        lines = members(repo.join("e.tar.gz"))["evidence/log_50.txt"][1].decode().splitlines()
        self.assertEqual([line.split()[0] for line in lines], repo.git("log", "-50", "--format=%H").split())

    def test_outside_git_and_before_the_first_commit(self):
        place = enter(self, Scratch())
        place.write("a.txt", "a")
        run(place, "--root", place.path, "evidence", "-o", place.join("e.tar.gz"), "a.txt")
        found = members(place.join("e.tar.gz"))
        self.assertIn("evidence/HEAD.txt.__MISSING__", found)
        self.assertEqual({info.mtime for info, _ in found.values()}, {0})
        verify(place, place.join("e.tar.gz"), code=0)
        subprocess.run(["git", "init", "-q", "-b", "main", place.path], check=True)
        run(place, "--root", place.path, "evidence", "-o", place.join("f.tar.gz"))
        self.assertIn(b"none yet", members(place.join("f.tar.gz"))["evidence/HEAD.txt"][1])

    def test_drift_is_a_fact_without_times(self):
        repo = self.repo()
        repo.write("runbookd.yml", """checks:
  - {name: cfg, kind: drift, files: ["config/**"]}
""", 0o600)
        repo.commit("drift")
        run(repo, "--root", repo.path, "drift", "accept", "cfg", "--all", "--reason", "as it should be", code=None)
        digests = set()
        for number in range(2):
            repo.write("config/app.toml", "a = 2\n")
            os.utime(repo.join("config/app.toml"), (1000000 * (number + 1),) * 2)
            run(repo, "evidence", "-o", f"{number}.tar.gz")
            digests.add(sha256(repo.join(f"{number}.tar.gz")))
        report = json.loads(members(repo.join("1.tar.gz"))["evidence/drift.json"][1])
        self.assertEqual([entry["check"] for entry in report["drift"]], ["cfg"])
        self.assertNotIn("changed_at", json.dumps(report))
        self.assertEqual(len(digests), 1)

    def test_a_broken_configuration_is_no_obstacle(self):
        repo = self.repo()
        repo.write("runbookd.yml", "checks: [{name: x, kind: nonsense}]\n")
        run(repo, "evidence", "-o", "e.tar.gz")
        self.assertIn("evidence/config/effective.json.__MISSING__", members(repo.join("e.tar.gz")))


class OtherReaders(unittest.TestCase):
    def archive(self):
        repo = enter(self, Repo(FILES | {"with space/ä.txt": "umlaut\n", "deep/" * 30 + "x" * 120 + ".txt": "long\n"}))
        path = repo.join("b.tar.gz")
        run(repo, "--root", repo.path, "bundle", ".", "-o", path)
        return repo, path

    def listing(self, program, path):
        done = subprocess.run([program, "-tzf", path], capture_output=True, check=False, timeout=60, env=os.environ | {"LC_ALL": "C.UTF-8"})
        self.assertEqual((done.returncode, done.stderr), (0, b""), done.stderr)
        return done.stdout.decode().splitlines()

    def test_gnu_tar_and_bsdtar(self):
        _, path = self.archive()
        names = list(members(path))
        if b"GNU tar" in subprocess.run(["tar", "--version"], capture_output=True, check=False).stdout:
            self.assertEqual(self.listing("tar", path), names)
        self.assertEqual(self.listing(needs_tool("bsdtar"), path), names)

    def test_shasum_agrees(self):
        repo, path = self.archive()
        place = enter(self, Scratch())
        subprocess.run(["tar", "-xzf", path, "-C", place.path], check=True, capture_output=True)
        tools = [tool for tool in (["sha256sum"], ["shasum", "-a", "256"]) if shutil.which(tool[0])]
        self.assertTrue(tools, "neither sha256sum nor shasum is here")
        for tool in tools:
            subprocess.run([*tool, "-c", "SHA256SUMS.txt"], cwd=place.join("bundle"), check=True, capture_output=True)
            subprocess.run([*tool, "-c", "b.tar.gz.sha256"], cwd=repo.path, check=True, capture_output=True)
        self.assertEqual(read(path + ".sha256").decode().split("  ")[1], "b.tar.gz\n")


class Secrets(unittest.TestCase):
    def test_a_planted_secret_appears_nowhere(self):
        token, password, key, from_file = SECRETS
        pem = "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "MIIEpAIBAAKCAQEAplanted\n" * 5 + "-----END RSA PRIVATE " + "KEY-----\n"
        repo = enter(self, Repo({"config/app.yml": f"password: {password}\n", "key.pem": pem, "secret.txt": from_file + "\n", "leak.txt": f"it is {from_file} here\n",
                                 "other.env": f"AWS_ACCESS_KEY_ID={key}\nexport DB_PASSWORD='{password}'\n"}))
        repo.commit(f"use {token}\n\nAuthorization: Bearer {token}")
        repo.write("config/app.yml", f"password: {password}x\ntoken:\n  - {token}\n")
        repo.commit("change")
        repo.write(f"untracked-{token}", "x")
        repo.write("runbookd.yml", f"""checks:
  - {{name: page, kind: http, url: "http://localhost:1/", every: manual, headers: {{Authorization: "Bearer {token}", X-Plain: !file secret.txt}}}}
""", 0o600)
        path = repo.join("e.tar.gz")
        good = repo.read("runbookd.yml")
        for broken in (b"", b"  - {name: y, kind: nonsense}\n"):  # what !file read is known even when the configuration has errors
            repo.write("runbookd.yml", good + broken, 0o600)
            run(repo, "bundle", "leak.txt", "secret.txt", "-o", "b.tar.gz", "--force")
            self.assertNotIn(from_file.encode(), everything(repo.join("b.tar.gz")))
        repo.write("runbookd.yml", good, 0o600)
        text = run(repo, "evidence", "-o", path, "--commit", "HEAD", "--commit", "HEAD~1", "--commit", "HEAD~2", "--observed", ".")
        raw = everything(path)
        for secret in (*SECRETS, "MIIEpAIBAAKCAQEAplanted"):
            self.assertNotIn(secret.encode(), raw, f"{secret} got into the archive")
            self.assertNotIn(secret, text)
        manifest = json.loads(members(path)["evidence/manifest.json"][1])
        counts = {row["name"]: row["masked"] for row in manifest["members"]}
        self.assertGreaterEqual(counts["files/leak.txt"], 1, "what !file read is masked by its value")
        self.assertGreaterEqual(counts["files/key.pem"], 1)
        self.assertGreaterEqual(counts["show_HEAD~2.txt"], 3)
        self.assertEqual(manifest["masked"], sum(counts.values()))
        verify(repo, path, code=0)


class Targets(unittest.TestCase):
    def test_never_over_something_never_into_git(self):
        repo = enter(self, Repo(FILES))
        root = ("--root", repo.path)
        repo.write("there.tar.gz", "mine")
        self.assertIn("--force", run(repo, *root, "bundle", "README.md", "-o", "there.tar.gz", code=2))
        self.assertEqual(repo.read("there.tar.gz"), b"mine")
        self.assertFalse(os.path.exists(repo.join("there.tar.gz.sha256")))
        run(repo, *root, "bundle", "README.md", "-o", "there.tar.gz", "--force")
        verify(repo, repo.join("there.tar.gz"), code=0)
        for place in (".git/x.tar.gz", ".git/refs/heads/x.tar.gz", "config/../.git/hooks/x"):
            run(repo, *root, "bundle", "README.md", "-o", place, code=2)
        os.symlink("README.md", repo.join("link.tar.gz"))
        run(repo, *root, "bundle", "src", "-o", "link.tar.gz", "--force", code=2)
        self.assertEqual(repo.read("README.md"), b"hello\n")
        run(repo, *root, "bundle", "../x", "-o", "y.tar.gz", code=2)
        run(repo, *root, "bundle", "/etc/passwd", "-o", "y.tar.gz", code=2)
        run(repo, *root, "bundle", "-o", "y.tar.gz", code=64)
        run(repo, *root, "bundle", "README.md", code=64)
        self.assertFalse([name for name in os.listdir(repo.path) if name.startswith((".runbookd-", "y.tar"))])
        run(repo, *root, "bundle", "nope", "-o", "strict.tar.gz", "--strict", code=1)

    def test_hostile_tree(self):
        repo = enter(self, Repo({"a\nb\x1b[31m.txt": "x\n", "back\\slash%.txt": "y\n", "bidi\u202e.txt": "z\n", "fine.txt": "f\n"}))
        os.mkfifo(repo.join("pipe"))
        os.symlink("/etc/passwd", repo.join("out"))
        os.symlink("/dev/zero", repo.join("endless"))
        with open(repo.join("huge"), "wb") as file:
            file.truncate(1 << 40)
        with open(os.fsencode(repo.path) + b"/bad\xff.txt", "wb") as file:
            file.write(b"bytes")
        for command, folder in (("bundle", "bundle/"), ("evidence", "evidence/files/")):
            path = repo.join(command + ".tar.gz")
            text = run(repo, "--root", repo.path, command, ".", "-o", path)
            self.assertNotIn("\x1b", text)
            found = members(path)
            for name in ("a%0Ab%1B[31m.txt", "back%5Cslash%25.txt", "bidi%E2%80%AE.txt", "bad%FF.txt", "out.__MISSING__", "endless.__MISSING__", "pipe.__MISSING__", "huge.__MISSING__"):
                self.assertIn(folder + name, found)
            self.assertNotIn(b"root:", everything(path))
            verify(repo, path, code=0)


class Damage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.repo = Repo(FILES | {"zeros.bin": "\0" * 200000, "noise.bin": random.Random(1).randbytes(30000)})
        cls.good = cls.repo.join("good.tar.gz")
        run(cls.repo, "--root", cls.repo.path, "bundle", "config", "src", "README.md", "zeros.bin", "noise.bin", "-o", cls.good)
        cls.found = members(cls.good)

    @classmethod
    def tearDownClass(cls):
        cls.repo.__exit__(None, None, None)

    def write(self, data, sidecar=False):
        """Another archive beside the good one, by default without its .sha256: the content alone must tell."""
        path = self.repo.join("bad.tar.gz")
        with open(path, "wb") as file:
            file.write(data)
        if os.path.exists(path + ".sha256"):
            os.remove(path + ".sha256")
        if sidecar:
            shutil.copy(self.good + ".sha256", path + ".sha256")
        return path

    def repacked(self, change):
        """The good members, changed, in a tar that is packed as runbookd packs: only the content is wrong."""
        entries = {name: data for name, (_, data) in self.found.items()}
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            for name, data in change(entries):
                info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
                info.size = len(data) if info.type == tarfile.REGTYPE else 0
                tar.addfile(info, io.BytesIO(data))
        return self.write(gzip.compress(raw.getvalue(), mtime=0))

    def test_every_flipped_byte(self):
        data = bytearray(read(self.good))
        rng = random.Random(7)
        places = set(range(MARK + 12)) | set(range(len(data) - 12, len(data))) | {rng.randrange(len(data)) for _ in range(220)}
        undetected = []
        for place in sorted(places):
            data[place] ^= 1 << rng.randrange(8)
            report = json.loads(run(self.repo, "verify", self.write(data), "--json", code=None))
            if report["ok"] or not report["problems"]:
                undetected.append(place)
            data[:] = read(self.good)
        self.assertEqual(undetected, [])
        self.assertGreaterEqual(len(places), 200)

    def test_the_changed_member_is_named(self):
        def change(entries):
            entries["bundle/README.md"] = b"jello\n"
            return entries.items()
        self.assertRegex(verify(self.repo, self.repacked(change)), r"changed +bundle/README\.md: was changed")

    def test_damage_in_the_stream_names_a_member(self):
        data = bytearray(read(self.good))
        data[len(data) // 2:] = bytes(len(data) - len(data) // 2)
        self.assertRegex(verify(self.repo, self.write(data)), r"(gzip|tar|changed) +bundle/noise\.bin")

    def test_the_sum_beside_it(self):
        data = bytearray(read(self.good))
        data[100] ^= 1
        self.assertIn("the .sha256 beside it says", verify(self.repo, self.write(data, sidecar=True)))
        with open(self.write(read(self.good)) + ".sha256", "w", encoding="ascii") as file:
            file.write("nonsense\n")
        self.assertIn("holds no sum", verify(self.repo, self.repo.join("bad.tar.gz")))

    def test_cut_grown_and_nothing(self):
        data = read(self.good)
        for part in (data[:-1], data[:-9], data[:len(data) // 2], data[:5], b"", data + b"x", data + gzip.compress(b"more"), b"not an archive"):
            verify(self.repo, self.write(part))
        run(self.repo, "verify", self.repo.join("none.tar.gz"), code=2)
        run(self.repo, "verify", self.repo.path, code=2)

    def test_missing_and_added(self):
        text = verify(self.repo, self.repacked(lambda entries: [item for item in entries.items() if item[0] != "bundle/src/main.py"]))
        self.assertRegex(text, r"missing +bundle/src/main\.py")
        text = verify(self.repo, self.repacked(lambda entries: [*entries.items(), ("bundle/added.txt", b"new")]))
        self.assertRegex(text, r"unlisted +bundle/added\.txt")
        text = verify(self.repo, self.repacked(lambda entries: [*entries.items(), ("other/added.txt", b"new")]))
        self.assertRegex(text, r"unlisted +other/added\.txt")
        for name in ("manifest.json", "SHA256SUMS.txt"):
            text = verify(self.repo, self.repacked(lambda entries, name=name: [item for item in entries.items() if item[0] != "bundle/" + name]))
            self.assertIn("bundle/" + name, text)

    def test_unsafe_members(self):
        def special(name, kind, target=""):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            return info
        cases = {"../x": r"path +\.\./x", "/etc/evil": r"path +/etc/evil", "bundle/../../y": r"path +bundle/\.\./\.\./y", "bundle/README.md": r"duplicate +bundle/README\.md",
                 special("bundle/l", tarfile.SYMTYPE, "/etc/passwd"): r"link +bundle/l: is a link to /etc/passwd",
                 special("bundle/h", tarfile.LNKTYPE, "../../x"): r"link +bundle/h", special("bundle/d", tarfile.CHRTYPE): r"type +bundle/d", special("bundle/f", tarfile.FIFOTYPE): r"type +bundle/f",
                 "bundle/e\x1b[31m\n": r"unlisted +bundle/e\\x1b\[31m\\n"}
        for name, pattern in cases.items():
            text = verify(self.repo, self.repacked(lambda entries, name=name: [*entries.items(), (name, b"")]))
            self.assertRegex(text, pattern)
            self.assertNotIn("\x1b", text)

    def test_bombs(self):
        path = self.repo.join("bomb.tar.gz")
        pack_tar(path, [("bundle/big", b"\0" * (64 << 20))])
        self.assertRegex(verify(self.repo, path), r"bomb +bundle/big: unpacks to more than 200 times its size")
        with gzip.open(path, "wb") as file:
            info = tarfile.TarInfo("bundle/big")
            info.size = 1 << 40
            file.write(info.tobuf() + random.Random(3).randbytes(1 << 20))
        verify(self.repo, path)
        inner = gzip.compress(b"\0" * (32 << 20))
        pack_tar(path, [("bundle/inner.tar.gz", inner)])
        self.assertRegex(verify(self.repo, path), r"bomb +bundle/inner\.tar\.gz!")
        data = b""
        for _ in range(4):
            raw = io.BytesIO()
            with tarfile.open(fileobj=raw, mode="w:gz") as tar:
                info = tarfile.TarInfo("in.tar.gz")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            data = raw.getvalue()
        with open(path, "wb") as file:
            file.write(data)
        self.assertIn("levels deep", verify(self.repo, path))

    def test_many_members_are_a_bomb(self):
        path = self.repo.join("many.tar.gz")
        with gzip.open(path, "wb", compresslevel=1) as file:
            for number in range(100002):
                info = tarfile.TarInfo(f"bundle/{random.Random(number).getrandbits(400):x}")
                file.write(info.tobuf())
            file.write(b"\0" * 1024)
        self.assertIn("bomb", verify(self.repo, path))


class SumsInside(unittest.TestCase):
    def bundle(self, files, *names):
        repo = enter(self, Repo(files))
        path = repo.join("b.tar.gz")
        run(repo, "--root", repo.path, "bundle", *names, "-o", path)
        return repo, path

    def test_sums_of_folders(self):
        good = hashlib.sha256(b"wheel").hexdigest()
        repo, path = self.bundle({"dist/a.whl": b"wheel", "dist/SHA256SUMS.txt": f"{good}  a.whl\n", "dist/a.whl.sha256": f"{good} *a.whl\n"}, "dist")
        verify(repo, path, code=0)
        repo, path = self.bundle({"dist/a.whl": b"other", "dist/SHA256SUMS.txt": f"{good}  a.whl\n"}, "dist")
        self.assertRegex(verify(repo, path), r"changed +bundle/dist/a\.whl: .*bundle/dist/SHA256SUMS\.txt says")
        repo, path = self.bundle({"dist/a.whl": b"wheel", "dist/gone.whl.sha256": f"{good}  gone.whl\n"}, "dist")
        self.assertRegex(verify(repo, path), r"missing +bundle/dist/gone\.whl")

    def test_archives_inside(self):
        inner, path = self.bundle(FILES, "config")
        verify(inner, path, code=0)
        data = bytearray(read(path))
        repo, outer = self.bundle({"part.tar.gz": bytes(data)}, "part.tar.gz")
        verify(repo, outer, code=0)
        data[len(data) // 2] ^= 4
        repo, outer = self.bundle({"part.tar.gz": bytes(data)}, "part.tar.gz")
        self.assertIn("bundle/part.tar.gz!", verify(repo, outer))
        foreign = repo.join("foreign.tar.gz")
        pack_tar(foreign, [("pkg/a", b"1")])
        run(repo, "--root", repo.path, "bundle", "foreign.tar.gz", "-o", repo.join("c.tar.gz"))
        verify(repo, repo.join("c.tar.gz"), code=0)
        pack_tar(foreign, [("../../a", b"1")])
        run(repo, "--root", repo.path, "bundle", "foreign.tar.gz", "-o", repo.join("d.tar.gz"))
        self.assertRegex(verify(repo, repo.join("d.tar.gz")), r"path +bundle/foreign\.tar\.gz!\.\./\.\./a")


class Observed(unittest.TestCase):
    NAMES = ("status.json", "triage.json", "triage.txt", "metrics.txt")

    def check(self, path, source):
        found = members(path)
        for name in self.NAMES:
            self.assertIn("evidence/observed/" + name, found)
        self.assertIn("summary", json.loads(found["evidence/observed/status.json"][1]))
        self.assertIn("verdict", json.loads(found["evidence/observed/triage.json"][1]))
        self.assertIn(b"VERDICT", found["evidence/observed/triage.txt"][1])
        self.assertIn(b"runbookd_check_state", found["evidence/observed/metrics.txt"][1])
        rows = {row["name"]: row["source"] for row in json.loads(found["evidence/manifest.json"][1])["members"]}
        self.assertEqual({rows["observed/" + name] for name in self.NAMES}, {source})

    def test_alone(self):
        repo = enter(self, Repo(FILES))
        repo.write("runbookd.yml", "checks:\n  - {name: readme, kind: path, exist: [README.md]}\n")
        run(repo, "evidence", "--observed", "-o", repo.join("e.tar.gz"))
        self.check(repo.join("e.tar.gz"), "one round")
        verify(repo, repo.join("e.tar.gz"), code=0)

    def test_from_the_daemon(self):
        daemon = enter(self, Daemon("checks:\n  - {name: machine, kind: host, every: 1s}\n"))
        daemon.wait_state("machine", "ok", "warn")
        out = enter(self, Scratch())
        done = subprocess.run(daemon.command("evidence", "--observed", "-o", out.join("e.tar.gz")), env=daemon.environment(), capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check(out.join("e.tar.gz"), "daemon")


if __name__ == "__main__":
    unittest.main()
