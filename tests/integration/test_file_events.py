"""File events bring checks forward, and nothing more: an edit is seen at once, a storm of edits is no storm of runs, a loss is counted and everything looked at again."""
import os
import shutil
import signal
import time
import unittest

from support import Daemon, Repo, enter, needs_linux, until

TIMEOUT = 240
PORTABLE = True
KEYS = '{name: live, kind: keys, phase: safety, every: 1h, rules: [{file: live/on.toml, key: live.enabled, equals: false}]}'
DRIFT = '{name: config, kind: drift, files: ["config/**"], baseline: auto, every: 1h}'
FILES = {"config/a.toml": "a = 1\n", "config/sub/b.toml": "b = 1\n", "live/on.toml": "[live]\nenabled = false\n", "other.txt": "x\n"}


def config(*checks, **daemon):
    head = "".join(f"  {key}: {value}\n" for key, value in daemon.items())
    return (f"daemon:\n{head}" if head else "") + "checks:\n" + "".join(f"  - {check}\n" for check in checks)


class FileEvents(unittest.TestCase):
    def begin(self, *checks, env=None, files=None, **daemon):
        self.repo = enter(self, Repo(files or FILES))
        self.daemon = enter(self, Daemon(config(*checks, **daemon), root=self.repo.path, env=env))
        self.daemon.wait_settled()
        if daemon.get("file_events") != "false":
            self.watching()

    def watching(self):
        until(lambda: self.daemon.metric("runbookd_file_events_watched") > 0, what="watched folders")

    def runs(self, name):
        return self.daemon.metric("runbookd_check_runs_total", check=name)

    def lost(self, reason):
        return self.daemon.metric("runbookd_file_events_lost_total", reason=reason)

    def wait_runs(self, name, more_than, timeout=5):
        return until(lambda: self.runs(name) > more_than and self.runs(name), timeout, what=f"a run of {name} after the {more_than:g}th")

    def quiet(self, seconds, **runs):
        """Asserts that nothing runs for a while."""
        time.sleep(seconds)
        self.assertEqual({name: self.runs(name) for name in runs}, runs)


class Edits(FileEvents):
    def test_an_edit_is_seen_at_once(self):
        self.begin(DRIFT, KEYS)
        self.assertEqual(self.daemon.check("config")["state"], "ok")
        before = self.runs("live")
        began = time.monotonic()
        self.repo.write("config/sub/b.toml", "b = 2\n")
        self.daemon.wait_state("config", "warn", timeout=4)
        self.assertLess(time.monotonic() - began, 3)
        self.assertEqual(self.runs("live"), before, "a check that does not look at the file ran")
        self.repo.write("live/on.toml", "[live]\nenabled = true\n")
        self.daemon.wait_state("live", "fail", timeout=4)
        self.repo.write("live/on.toml.new", "[live]\nenabled = false\n")
        os.rename(self.repo.join("live/on.toml.new"), self.repo.join("live/on.toml"))
        self.daemon.wait_state("live", "ok", timeout=5)
        self.assertGreater(self.daemon.metric("runbookd_file_event_runs_total"), 2)
        self.assertGreater(self.daemon.metric("runbookd_file_events_total"), 2)
        self.assertEqual(self.lost("overflow"), 0)
        self.assertEqual(self.daemon.status()["self"]["file_events_unwatched"], 0)

    def test_what_nobody_looks_at_runs_nothing(self):
        self.begin(DRIFT, KEYS)
        before = {name: self.runs(name) for name in ("config", "live")}
        self.repo.write("other.txt", "y\n")
        self.repo.write("live/off.toml", "z\n")
        self.quiet(2, **before)

    def test_new_folders_are_watched(self):
        self.begin(DRIFT)
        os.makedirs(self.repo.join("config/new/deep"))
        time.sleep(3)  # past the second look that the new folders bring
        before = self.runs("config")
        self.repo.write("config/new/deep/c.toml", "c = 1\n")
        self.daemon.wait_state("config", "warn", timeout=8)
        self.assertGreater(self.runs("config"), before)

    def test_folders_removed_and_moved(self):
        self.begin(DRIFT, KEYS)
        shutil.rmtree(self.repo.join("live"))
        self.daemon.wait_state("live", "fail", timeout=5)
        until(lambda: self.lost("folder_gone") >= 1, what="a counted loss")
        os.rename(self.repo.join("config"), self.repo.join("elsewhere"))
        self.daemon.wait_state("config", "warn", timeout=5)
        os.rename(self.repo.join("elsewhere"), self.repo.join("config"))
        self.daemon.wait_state("config", "ok", timeout=10)
        self.repo.write("live/on.toml", "[live]\nenabled = false\n")
        self.daemon.wait_state("live", "ok", timeout=10)

    def test_a_commit_changes_the_class(self):
        self.begin(DRIFT)
        self.repo.write("config/a.toml", "a = 2\n")
        self.daemon.wait_state("config", "warn", timeout=5)
        item_class = lambda: [value for labels, value in self.daemon.metrics()["runbookd_drift_items"].items()
                              if {("change", "changed"), ("class", "committed")} <= set(labels)] == [1]
        self.assertFalse(item_class())
        self.repo.commit("second")
        until(item_class, 8, what="class committed")

    def test_switched_off(self):
        self.begin(DRIFT, KEYS, file_events="false")
        before = {name: self.runs(name) for name in ("config", "live")}
        self.repo.write("config/a.toml", "a = 2\n")
        self.repo.write("live/on.toml", "[live]\nenabled = true\n")
        self.quiet(3, **before)
        self.assertEqual(self.daemon.metric("runbookd_file_events_watched"), 0)
        self.assertEqual(self.daemon.metric("runbookd_file_events_total"), 0)
        self.daemon.reload(config(DRIFT, KEYS, file_events="true"))  # and on again, without a restart
        self.watching()
        self.repo.write("live/on.toml", "[live]\nenabled = 1\n")
        self.daemon.wait_state("live", "fail", timeout=5)
        self.daemon.reload(config(DRIFT, KEYS, file_events="false"))
        until(lambda: self.daemon.metric("runbookd_file_events_watched") == 0, what="no watch")

    def test_a_reload_watches_what_is_new(self):
        self.begin(KEYS)
        self.daemon.reload(config(KEYS, '{name: other, kind: path, exist: [docs/x.txt], every: 1h}'))
        until(lambda: [check["state"] for check in self.daemon.status()["checks"]] == ["ok", "fail"], what="the new plan, and its first run")
        time.sleep(1)
        self.repo.write("docs/x.txt", "x\n")
        self.daemon.wait_state("other", "ok", timeout=8)
        self.repo.write("live/on.toml", "[live]\nenabled = true\n")
        self.daemon.wait_state("live", "fail", timeout=5)

    def test_the_portable_loop(self):
        self.begin(DRIFT, env={"LIBEV_FLAGS": "1"})
        self.repo.write("config/a.toml", "a = 2\n")
        self.daemon.wait_state("config", "warn", timeout=4)

    def test_the_regular_beat_stays(self):
        """A run that an event brings is one more, never one instead."""
        self.begin('{name: live, kind: keys, every: 4s, rules: [{file: live/on.toml, key: live.enabled, equals: false}]}')
        first = self.wait_runs("live", self.runs("live"), timeout=8)  # a regular run, just now
        time.sleep(2.6)
        self.repo.write("live/on.toml", "[live]\nenabled = false\n")
        self.wait_runs("live", first, timeout=1.2)
        self.wait_runs("live", first + 1, timeout=1.8)  # without the beat of its own it would come after 5.2 s


class Storms(FileEvents):
    def test_a_storm_of_edits_is_no_storm_of_runs(self):
        self.begin(DRIFT, KEYS)
        before, cpu = self.runs("live"), self.daemon.metric("process_cpu_seconds_total")
        edits, ends = 0, time.monotonic() + 6
        while time.monotonic() < ends:
            self.repo.write("live/on.toml", f"[live]\nenabled = false\nn = {edits}\n")
            edits += 1
            time.sleep(0.001)
        self.assertGreater(edits, 500)
        ran = self.runs("live") - before
        self.assertGreaterEqual(ran, 1, "no run while the storm went on")
        self.assertLessEqual(ran, 5)  # after 1, 1+1, 1+1+2, … s
        until(lambda: self.daemon.metric("process_cpu_seconds_total") > cpu, 15, what="a newer figure")
        self.assertLess(self.daemon.metric("process_cpu_seconds_total") - cpu, 1.5)
        self.assertLess(self.daemon.metric("runbookd_loop_lag_seconds"), 0.5)
        self.repo.write("live/on.toml", "[live]\nenabled = true\n")  # the last word is heard all the same
        self.daemon.wait_state("live", "fail", timeout=20)

    @needs_linux
    def test_an_overflow_looks_at_everything_again(self):
        with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
            most = int(file.read())
        if most > 200000:
            self.skipTest(f"the queue holds {most} events here: filling it takes too long")
        self.begin(DRIFT, KEYS, env={"RUNBOOKD_TEST_HOOKS": "1"})
        before = {name: self.runs(name) for name in ("config", "live")}
        self.daemon.signal(signal.SIGUSR1)  # the loop does not read for 8 s
        time.sleep(0.3)
        one, two = self.repo.join("config/noise"), self.repo.join("config/noise2")
        with open(one, "w", encoding="ascii"):
            pass
        for _ in range(most // 4 + 1000):  # two events each
            os.rename(one, two)
            os.rename(two, one)
        os.unlink(one)
        self.repo.write("live/on.toml", "[live]\nenabled = true\n")  # this one finds the queue full
        until(lambda: self.lost("overflow") >= 1, 20, what="a counted overflow")
        self.daemon.wait_state("live", "fail", timeout=10)
        for name, runs in before.items():
            self.assertGreater(self.runs(name), runs, f"{name} did not look again")
        self.assertIn("file events were lost (overflow)", self.daemon.stderr())

    def test_many_new_folders(self):
        self.begin(DRIFT)
        for i in range(2000):
            os.makedirs(self.repo.join(f"config/many/d{i % 50}/e{i}"))
        until(lambda: self.daemon.metric("runbookd_file_events_watched") >= 2050, 20, what="their watches")
        self.assertLess(self.runs("config"), 15)
        self.repo.write("config/many/d7/e1957/x.toml", "x = 1\n")
        self.daemon.wait_state("config", "warn", timeout=20)

    def test_more_folders_than_are_watched(self):
        files = FILES | {f"config/w{i % 70}/v{i}/f": "" for i in range(4300)}
        self.begin(DRIFT, KEYS, files=files)
        until(lambda: self.daemon.metric("runbookd_file_events_unwatched") > 200, what="folders without a watch")
        self.assertLessEqual(self.daemon.metric("runbookd_file_events_watched"), 4096)
        self.assertGreaterEqual(self.lost("limit"), 1)
        self.assertIn("folders are not watched", self.daemon.stderr())
        self.repo.write("live/on.toml", "[live]\nenabled = true\n")  # literal paths come first
        self.daemon.wait_state("live", "fail", timeout=5)


class ReadOnly(FileEvents):
    def test_a_state_folder_in_the_tree_does_not_wake_itself(self):
        self.repo = enter(self, Repo(FILES))
        everything = '{name: all, kind: drift, files: ["**"], baseline: auto, every: 1h, untracked: true}'
        self.daemon = enter(self, Daemon(config(everything), root=self.repo.path, state_dir=self.repo.join("state")))
        self.daemon.wait_settled()
        self.watching()
        time.sleep(2)
        before = self.runs("all")
        self.quiet(6, all=before)  # the journal and the checkpoint are written meanwhile


if __name__ == "__main__":
    unittest.main()
