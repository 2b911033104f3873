"""The safety gate on the real daemon with examples/peak-trade.yml: held on the first team's tree; each guarded key flipped alone is a violation within one interval, with file, key,
expected and actual; what only looks like a flip stays held; what cannot be judged fails closed; tokens appear nowhere."""
import json
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

from support import BINARY, SHARED, TOP, Daemon, Repo, Scratch, enter, needs_linux, needs_root, until

EXAMPLE = os.path.join(TOP, "examples", "peak-trade.yml")
RUNBOOK = "docs/ops/runbooks/cursor_multi_agent_orchestration.md"
GUARDS = ("execution-forbidden", "execution-env", "execution-env-wanted")

# Where the team's tree is not to be had: the same guarded keys.
ENVIRONMENT = "[environment]\nmode = \"paper\"\nenable_live_trading = false\nrequire_confirm_token = true\ntestnet_dry_run = true\n"
TWIN = {
    "config.toml": ENVIRONMENT + "confirm_token = \"\"\n\n[live]\nmode = \"dry_run\"\n\n[live_risk]\nenabled = true\nblock_on_violation = true\n",
    "config/config.toml": ENVIRONMENT + "\n[live]\nenabled = false\nmode = \"paper\"\n\n[live_risk]\nenabled = true\nblock_on_violation = true\n",
    "config/bounded_live.toml": "[bounded_live]\nenabled = true\n\n[bounded_live.enforcement]\nenforce_limits = true\nallow_override = false\n",
    "config/risk/kill_switch.toml": "[kill_switch]\nenabled = true\nmode = \"active\"\nrequire_approval_code = true\n",
    "config/model_registry.toml": "[layer_mapping.L6]\nprimary = \"none\"  # Forbidden\nautonomy = \"EXEC (forbidden)\"\n",
    "config/strategy_tiering.toml": "[strategy.a]\nallow_live = false\n\n[strategy.b]\nallow_live = false\n",
    "config/r_and_d_presets.toml": "[preset.x]\nallow_live = false\n",
    RUNBOOK: "# Runbook\n\n## Phase 2 — Preflight\n\n## Phase 16 — Incident Playbook\n",
}


def fast_example():
    """The example with short intervals and only the guards; its rules as they are."""
    with open(EXAMPLE, encoding="utf-8") as file:
        text = file.read()
    end = text.index("  # ---- preflight: host")
    return re.sub(r"every: \d+s", "every: 1s", text[:end])


def table_of(text, table):
    """(start, end) of a table's lines."""
    start = re.search(rf"^\[{re.escape(table)}\][^\n]*\n", text, re.M).end()
    following = re.search(r"^\[", text[start:], re.M)
    return start, start + following.start() if following else len(text)


def set_key(text, table, key, value):
    """Replaces the key's value in its table, or appends the key."""
    start, end = table_of(text, table)
    body, count = re.subn(rf"^{key}\s*=[^\n]*", f"{key} = {value}", text[start:end], count=1, flags=re.M)
    return text[:start] + (body if count else f"{key} = {value}\n" + body) + text[end:]


# file, table, key, value, path in the message, expected, actual
FLIPS = [
    (file, *flip)
    for file in ("config.toml", "config/config.toml")
    for flip in (
        ("environment", "mode", '"live"', "environment.mode", '"paper"', '"live"'),
        ("environment", "enable_live_trading", "true", "environment.enable_live_trading", "false", "true"),
        ("environment", "require_confirm_token", "false", "environment.require_confirm_token", "true", "false"),
        ("environment", "testnet_dry_run", "false", "environment.testnet_dry_run", "true", "false"),
        ("environment", "live_mode_armed", "true", "environment.live_mode_armed", "absent or false", "true"),      # was absent
        ("environment", "live_dry_run_mode", "false", "environment.live_dry_run_mode", "absent or true", "false"),  # was absent
        ("live_risk", "enabled", "false", "live_risk.enabled", "true", "false"),
        ("live_risk", "block_on_violation", "false", "live_risk.block_on_violation", "true", "false"),
    )
] + [
    ("config/config.toml", "live", "enabled", "true", "live.enabled", "false", "true"),
    ("config/config.toml", "live", "mode", '"live"', "live.mode", '"paper"', '"live"'),
    ("config.toml", "live", "mode", '"live"', "live.mode", '"dry_run"', '"live"'),
    ("config/bounded_live.toml", "bounded_live.enforcement", "enforce_limits", "false", "bounded_live.enforcement.enforce_limits", "true", "false"),
    ("config/bounded_live.toml", "bounded_live.enforcement", "allow_override", "true", "bounded_live.enforcement.allow_override", "false", "true"),
    ("config/risk/kill_switch.toml", "kill_switch", "enabled", "false", "kill_switch.enabled", "true", "false"),
    ("config/risk/kill_switch.toml", "kill_switch", "mode", '"disabled"', "kill_switch.mode", '"active"', '"disabled"'),
    ("config/risk/kill_switch.toml", "kill_switch", "require_approval_code", "false", "kill_switch.require_approval_code", "true", "false"),
    ("config/model_registry.toml", "layer_mapping.L6", "primary", '"gpt"', "layer_mapping.L6.primary", '"none"', '"gpt"'),
    ("config/model_registry.toml", "layer_mapping.L6", "autonomy", '"EXEC"', "layer_mapping.L6.autonomy", '"EXEC (forbidden)"', '"EXEC"'),
    ("config.toml", "environment", "enable_live_trading", '"false"', "environment.enable_live_trading", "false", '"false"'),  # a string is no false
]


class Gate:
    """A repository of the team, written and put back."""

    def __init__(self, test):
        tree = os.path.join(SHARED, "peak_trade", "tree")
        self.repo = enter(test, Repo(tree=tree) if SHARED and os.path.isdir(tree) else Repo(files=TWIN))

    def text(self, file):
        return self.repo.read(file).decode("utf-8")

    def restore(self):
        self.repo.git("checkout", "-q", "--", ".")


class Safety(unittest.TestCase):
    def setUp(self):
        self.gate = Gate(self)
        self.repo = self.gate.repo
        self.daemon = enter(self, Daemon(config=fast_example(), root=self.repo.path))
        self.wait("held")

    def safety(self):
        return self.daemon.status()["safety"]

    def wait(self, state, timeout=8):
        return until(lambda: (found := self.safety())["state"] == state and found, timeout, what=f"safety {state}")

    def checks_once(self, name):
        """Until the guard has completed a run that began after now."""
        runs = self.daemon.check(name)["runs"]
        until(lambda: self.daemon.check(name)["runs"] >= runs + 2, 8, what=f"two more runs of {name}")

    def test_every_key_alone(self):
        for file, table, key, value, path, expected, actual in FLIPS:
            with self.subTest(file=file, key=path, value=value):
                self.gate.restore()
                self.repo.write(file, set_key(self.gate.text(file), table, key, value))
                told = rf"{re.escape(file)}:\d+: {re.escape(path)} is {re.escape(actual)}, expected {re.escape(expected)}"

                def alone(pattern=told):
                    safety = self.safety()
                    return safety["state"] == "violated" and len(safety["evidence"]) == 1 and re.search(pattern + "$", safety["evidence"][0])
                until(alone, 3, what=f"within one interval of a second, and the time to look: {told}")
        self.gate.restore()
        self.wait("held")

    def test_every_tier(self):
        for file in ("config/strategy_tiering.toml", "config/r_and_d_presets.toml"):
            before = self.gate.text(file)
            last = before.rindex("allow_live = false")
            self.repo.write(file, before[:last] + "allow_live = true" + before[last + len("allow_live = false"):])
            self.assertRegex(" ".join(self.wait("violated")["evidence"]), rf"{file}:\d+: .*allow_live is true, expected false")
            self.repo.write(file, before)
            self.wait("held")

    def test_other_spellings_of_the_same_key(self):
        flipped = re.sub(r"^enable_live_trading = false", "enable_live_trading = true", self.gate.text("config.toml"), flags=re.M)
        body_at, body_end = table_of(flipped, "environment")
        pairs = dict(re.findall(r"^(\w+)\s*=\s*([^#\n]+?)\s*(?:#.*)?$", flipped[body_at:body_end], re.M))
        head = flipped[:flipped.rindex("[environment]", 0, body_at)]
        rest = flipped[body_end:]
        dotted = "".join(f"environment.{key} = {value}\n" for key, value in pairs.items())
        inline = "environment = {" + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + "}\n"
        for name, text in (("dotted", dotted + head + rest), ("inline", inline + head + rest), ("quoted", flipped.replace("[environment]", '["environment"]', 1))):
            with self.subTest(name):
                self.repo.write("config.toml", text)
                self.assertRegex(" ".join(self.wait("violated")["evidence"]), r"config\.toml:\d+: environment\.enable_live_trading is true, expected false")
                self.gate.restore()
                self.wait("held")

    def test_what_arms_nothing(self):
        controls = {
            "config/bounded_live.toml": set_key(self.gate.text("config/bounded_live.toml"), "bounded_live", "enabled", "true"),
            "config.toml": "# environment.enable_live_trading = true\nnote_of_test = \"enable_live_trading = true\"\n" + self.gate.text("config.toml"),
            "config/config.toml": set_key(set_key(self.gate.text("config/config.toml"), "environment", "live_mode_armed", "false"), "environment",
                                          "live_dry_run_mode", "true  # live_mode_armed = true"),
            ".env": "PT_ARMED=0 # PT_ARMED=1\n# PT_ARMED=1\nPT_CONFIRM_LIVE=false\nNOTE='PT_ARMED=1'\n",
        }
        for file, text in controls.items():
            self.repo.write(file, text)
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", self.repo.path], env={"PT_ARMED": "0", "PATH": os.environ["PATH"]}) as process:
            try:
                self.checks_once("execution-forbidden")
                self.checks_once("execution-env")
                self.assertEqual(self.safety()["state"], "held", self.safety())
            finally:
                process.kill()

    def test_fails_closed(self):
        for file in ("config.toml", "config/risk/kill_switch.toml"):
            with self.subTest(file=file):
                os.unlink(self.repo.join(file))
                self.assertIn(f"{file} does not exist", " ".join(self.wait("violated")["evidence"]))
                self.gate.restore()
                self.wait("held")
                self.repo.write(file, self.gate.text(file) + "\nbroken = = 1\n")
                self.assertRegex(" ".join(self.wait("violated")["evidence"]), rf"{re.escape(file)}:\d+:\d+: does not parse")
                self.gate.restore()
                self.wait("held")
        before = self.gate.text("config.toml")
        self.repo.write("config.toml", re.sub(r"^enable_live_trading.*\n", "", before, flags=re.M))
        self.assertIn("environment.enable_live_trading is missing", " ".join(self.wait("violated")["evidence"]))

    @needs_linux
    def test_processes_of_the_repository(self):
        sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
        cases = [([*sleeper, self.repo.join("src/bot.py")], "/", "PT_ARMED", "1"), (sleeper, self.repo.path, "PT_ARMED", "true"),
                 (sleeper, self.repo.path, "PEAK_TRADE_CONFIG", "/tmp/other.toml"), (sleeper, self.repo.path, "EXECUTION_ENABLE", "yes")]
        for argv, cwd, name, value in cases:
            with self.subTest(name=name, cwd=cwd), subprocess.Popen(argv, cwd=cwd, env={name: value, "PATH": os.environ["PATH"]}) as process:
                try:
                    evidence = " ".join(self.wait("violated")["evidence"])
                    self.assertIn(f"{name} is set to {value} in ", evidence)
                    self.assertIn(f"(pid {process.pid}), as of its start at ", evidence)
                finally:
                    process.kill()
            self.wait("held")
        with subprocess.Popen(sleeper, cwd="/", env={"PT_ARMED": "1", "PATH": os.environ["PATH"]}) as stranger:
            try:
                self.checks_once("execution-env")
                self.assertEqual(self.safety()["state"], "held", "a process of another place")
            finally:
                stranger.kill()

    @needs_linux
    def test_tokens_appear_nowhere(self):
        token, shaped = "swordfish-7741-hunter", "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
        self.repo.write("config.toml", set_key(self.gate.text("config.toml"), "environment", "confirm_token", f'"{token}"'))
        self.repo.write("config/config.toml", set_key(self.gate.text("config/config.toml"), "environment", "mode", f'"{shaped}"'))
        self.repo.write(".env", f"PT_CONFIRM={token}\nKRAKEN_API_KEY={token}\n")
        env = {"PT_CONFIRM_PHRASE": token, "PT_LIVE_CONFIRM_TOKEN": token, "PATH": os.environ["PATH"]}
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", f"--token={token}"], cwd=self.repo.path, env=env) as process:
            try:
                self.wait("violated")
                self.checks_once("execution-env")
                checks = {check["name"]: json.dumps(check) for check in self.daemon.status()["checks"]}
                self.assertIn("environment.confirm_token is set (value hidden), expected absent or", checks["execution-forbidden"])
                for name in ("PT_CONFIRM is set (value hidden) in .env:1", "KRAKEN_API_KEY is set (value hidden)", "PT_CONFIRM_PHRASE is set (value hidden)",
                             "PT_LIVE_CONFIRM_TOKEN is set (value hidden)"):
                    self.assertIn(name, checks["execution-env"])
                pages = [self.daemon.get(path, accept=accept).text for path, accept in
                         [("/status", "application/json"), ("/status", "text/plain"), ("/triage", "text/plain"), ("/triage", "application/json"),
                          ("/triage", "text/html"), ("/metrics", "text/plain"), ("/", "text/html"), ("/api/v1/checks", "application/json")]]
            finally:
                process.kill()
        pages += [self.daemon.stdout(), self.daemon.stderr()]
        self.daemon.signal(1)  # a reload writes a checkpoint too
        time.sleep(0.5)
        for folder, _, names in os.walk(self.daemon.state_dir):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        pages.append(file.read().decode("utf-8", "replace"))
        self.assertGreater(len(pages), 11)
        for page in pages:
            self.assertNotIn(token, page)
            self.assertNotIn(shaped, page)

    def test_it_reaches_every_page(self):
        self.assertEqual(self.daemon.metric("runbookd_safety_state", state="held"), 1)
        self.assertRegex(self.daemon.text("/triage"), r"SAFETY +OK: live execution is still forbidden \(\d+ keys in 7 files, \d+/\d+ processes")
        self.assertEqual({check["name"]: check["state"] for check in self.daemon.status()["checks"]}, dict(zip(GUARDS, ("ok", "ok", "warn"))))
        before = self.gate.text("config.toml")
        self.repo.write("config.toml", set_key(before, "environment", "enable_live_trading", "true"))
        self.wait("violated")
        self.assertEqual(self.daemon.metric("runbookd_safety_state", state="violated"), 1)
        self.assertEqual(self.daemon.metric("runbookd_safety_state", state="held"), 0)
        self.assertEqual(self.daemon.metric("runbookd_check_reason_info", check="execution-forbidden", reason="wrong_value"), 1)
        triage = self.daemon.text("/triage")
        self.assertIn("VIOLATED", triage)
        self.assertIn("CAUSE [high]  execution-forbidden", triage)
        self.assertIn("diff HEAD -- config.toml", triage)

    def test_by_hand_it_looks_at_the_callers_environment(self):
        scratch = enter(self, Scratch())
        config = scratch.write("guard.yml", "checks:\n- {name: env, kind: env, phase: safety, processes: {argv: no-such-program-here}, deny: [PT_ARMED]}\n", 0o600)
        for value, state, code in (("1", "violated", 1), ("0", "held", 0)):
            done = subprocess.run([BINARY, "--config", config, "--root", self.repo.path, "--state-dir", scratch.join("state"), "--json", "check", "--phase", "safety"],
                                  env=self.daemon.environment() | {"PT_ARMED": value}, capture_output=True, check=False, timeout=30)
            self.assertEqual((done.returncode, json.loads(done.stdout)["safety"]["state"]), (code, state), done)

    def test_the_whole_example(self):
        """All of it, not the guards alone, with no stack around: nothing that is required is missing."""
        scratch = enter(self, Scratch())
        for args, code in ((("validate",), 0), (("--json", "check"), 0)):
            done = subprocess.run([BINARY, "--config", EXAMPLE, "--root", self.repo.path, "--state-dir", scratch.join("state"), *args],
                                  env=self.daemon.environment(), capture_output=True, check=False, timeout=60)
            if args[-1] == "check":
                answer = json.loads(done.stdout)
                self.assertEqual(answer["safety"]["state"], "held", answer["safety"])
                red = {check["name"] for check in answer["checks"] if check["phase"] == "safety" and check["state"] not in ("ok", "warn")}
                self.assertEqual(red, set())
            else:
                self.assertEqual(done.returncode, code, done)


class Engine:
    """A real dockerd on a socket of its own, or a skip."""

    def __init__(self):
        self.tool = os.path.join(SHARED, "tools", "with-docker-engine")
        if not SHARED or not os.path.exists(self.tool):
            raise unittest.SkipTest("set RB_SHARED to the folder that holds tools/with-docker-engine")
        if not shutil.which("dockerd"):
            raise unittest.SkipTest("dockerd is not installed")

    def __enter__(self):
        self.process = subprocess.Popen([self.tool, "sh", "-c", "echo $DOCKER_HOST; read end || true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.host = next((line.strip() for line in self.process.stdout if line.startswith("unix://")), None)
        if self.host is None:
            raise unittest.SkipTest(f"no engine: {self.process.stderr.read()[-300:]}")
        return self

    def docker(self, *args):
        return subprocess.run(["docker", *args], env=os.environ | {"DOCKER_HOST": self.host}, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def __exit__(self, *_):
        self.process.communicate("end\n", timeout=60)


@needs_root
@needs_linux
class Containers(unittest.TestCase):
    def test_environment_of_containers(self):
        engine, repo, token = enter(self, Engine()), enter(self, Repo(files=TWIN)), "swordfish-9921-hunter"
        daemon = enter(self, Daemon(config=fast_example(), root=repo.path, env={"DOCKER_HOST": engine.host}))

        def state_is(state):
            return until(lambda: (check := daemon.check("execution-env"))["state"] == state and check, 10, what=f"execution-env {state}")
        state_is("ok")
        engine.docker("run", "-d", "--name", "calm", "--network", "none", "-e", "PT_ARMED=0", "-e", "NOTE=PT_ARMED=1", "test/busybox:1")
        until(lambda: "1/1 containers" in daemon.check("execution-env")["message"], 10, what="the container is inspected")
        self.assertEqual(daemon.status()["safety"]["state"], "held")
        engine.docker("run", "-d", "--name", "bot", "--network", "none", "-e", "PT_ARMED=1", "-e", f"KRAKEN_API_SECRET={token}", "test/busybox:1")
        told = json.dumps(state_is("fail"))
        self.assertIn("PT_ARMED is set to 1 in container bot, as it was created", told)
        self.assertIn("KRAKEN_API_SECRET is set (value hidden)", told)
        self.assertNotIn(token, told + daemon.text("/triage") + daemon.text("/metrics") + daemon.stderr())
        self.assertEqual(daemon.status()["safety"]["state"], "violated")
        engine.docker("rm", "-f", "bot")
        state_is("ok")


if __name__ == "__main__":
    unittest.main()
