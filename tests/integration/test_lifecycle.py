"""Start, stop, restart, broken and full state folders: the daemon ends cleanly, forgets nothing that it wrote, and serves without any of it."""
import glob
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

from support import BINARY, Daemon, enter, free_port, HttpFixture, needs_linux, needs_mounts, needs_root, Scratch, until

PORTABLE = True
TIMEOUT = 180
HOST = "checks:\n  - {name: machine, kind: host, every: 1s}\n"


class Notified:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self):
        self.scratch = Scratch("rb-n-")
        self.path = self.scratch.join("notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.scratch.__exit__()

    def next(self):
        return self.socket.recv(4096).decode()

    def until(self, part):
        while True:
            text = self.next()
            if part in text:
                return text


class Ending(unittest.TestCase):
    def test_term_while_everything_is_in_flight(self):
        slow = enter(self, HttpFixture())
        slow.delay = 20
        checks = "".join(f"  - {{name: web{i}, kind: http, url: '{slow.url}', every: 1s, timeout: 30s}}\n" for i in range(10))
        checks += "".join(f"  - {{name: cmd{i}, kind: command, argv: [sh, -c, \"trap '' TERM; sleep 60 & sleep 60\"], every: 1s, timeout: 50s}}\n" for i in range(3))
        daemon = enter(self, Daemon(HOST + checks))
        until(lambda: daemon.metric("runbookd_children_running") >= 3 and daemon.metric("runbookd_exchanges_active") >= 10, 15, what="runs in flight")
        stop, torn, answered = threading.Event(), [], []

        def ask():
            while not stop.is_set():
                try:
                    answer = daemon.get("/status", accept="application/json", timeout=5)
                    answer.json()
                    answered.append(answer.status)
                except OSError:
                    pass
                except ValueError as error:
                    torn.append(error)
                except Exception as error:  # http.client's own for a closed connection
                    if "Incomplete" in type(error).__name__:
                        torn.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        held = socket.create_connection(("127.0.0.1", daemon.port))
        held.sendall(b"GET /status HTTP/1.1\r\nHost: loc")  # never completed
        waiting = threading.Thread(target=lambda: self.swallow(daemon, "/triage"))
        waiting.start()
        time.sleep(0.7)
        took = daemon.stop()
        stop.set()
        for thread in [*threads, waiting]:
            thread.join(15)
            self.assertFalse(thread.is_alive())
        held.close()
        self.assertLess(took, 5)
        self.assertEqual(torn, [])
        self.assertGreater(len(answered), 0)

    def swallow(self, daemon, path):
        try:
            daemon.get(path, accept="text/plain")
        except OSError:
            pass
        except Exception as error:
            self.assertIn("Disconnected", type(error).__name__)

    def test_interrupt_is_as_good(self):
        daemon = enter(self, Daemon(HOST))
        daemon.signal(signal.SIGINT)
        daemon.exit_code = daemon.process.wait(10)
        self.assertEqual(daemon.exit_code, 0)

    def test_term_at_any_moment_of_the_start(self):
        scratch = enter(self, Scratch())
        config = scratch.write("runbookd.yml", HOST, 0o600)
        for step in range(25):
            process = subprocess.Popen([BINARY, "--config", config, "--root", scratch.path, "--state-dir", scratch.join("state"), "serve", "--listen", f"127.0.0.1:{free_port()}"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(step * 0.002)
            process.terminate()
            self.assertIn(process.wait(10), (0, -signal.SIGTERM), step)

    def test_ready_is_told_once_it_serves(self):
        notified = enter(self, Notified())
        daemon = enter(self, Daemon(HOST, env={"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "2000000"}, ready=False))
        self.assertIn("READY=1", notified.next(), "the first word is READY=1")
        self.assertEqual(daemon.get("/-/healthy").status, 200)
        self.assertEqual([check["name"] for check in daemon.status()["checks"]], ["machine"])
        notified.until("WATCHDOG=1")
        until(lambda: daemon.get("/-/ready").status == 200, 5, what="ready once each check ran")
        daemon.stop()
        notified.until("STOPPING=1")

    def test_a_bad_configuration_is_never_ready(self):
        notified = enter(self, Notified())
        daemon = Daemon("checks: [{name: a, kind: nope}]\n", env={"NOTIFY_SOCKET": notified.path}, ready=False)
        self.assertEqual(daemon.process.wait(10), 78)
        daemon.scratch.__exit__()
        notified.socket.settimeout(0.2)
        with self.assertRaises(OSError):
            notified.until("READY=1")

    def test_no_watchdog_from_a_held_loop(self):
        notified = enter(self, Notified())
        daemon = enter(self, Daemon(HOST, env={"NOTIFY_SOCKET": notified.path, "WATCHDOG_USEC": "2000000", "RUNBOOKD_TEST_HOOKS": "1"}))
        notified.until("WATCHDOG=1")
        daemon.signal(signal.SIGUSR1)
        time.sleep(1)
        notified.socket.settimeout(0.1)
        try:
            while True:
                notified.next()
        except OSError:
            pass
        notified.socket.settimeout(3)
        with self.assertRaises(OSError):
            notified.until("WATCHDOG=1")
        notified.socket.settimeout(10)
        notified.until("WATCHDOG=1")


class EventPath(unittest.TestCase):
    @needs_linux
    def test_it_is_the_one_that_was_asked_for(self):
        """The portable selection runs on select and poll, as macOS does; otherwise Linux' own."""
        daemon = enter(self, Daemon(HOST))
        daemon.wait_state("machine", "ok")
        folder = f"/proc/{daemon.process.pid}/fd"
        opened = []
        for name in os.listdir(folder):
            try:
                opened.append(os.readlink(os.path.join(folder, name)))
            except OSError:
                pass
        epoll = sum("eventpoll" in target for target in opened)
        if os.environ.get("LIBEV_FLAGS") == "1":
            self.assertEqual(epoll, 0, opened)
        else:
            self.assertGreater(epoll, 0, opened)


class StateFolder(unittest.TestCase):
    def test_counters_survive(self):
        daemon = enter(self, Daemon(HOST + f"  - {{name: closed, kind: port, port: {free_port()}, every: 1s}}\n"))
        until(lambda: daemon.check("closed")["runs"] >= 3, 10, what="three runs")
        daemon.stop()
        first = daemon.stderr()
        daemon.start()
        status = {check["name"]: check for check in daemon.wait_settled()["checks"]}
        self.assertGreaterEqual(status["closed"]["runs"], 4, first)
        self.assertGreaterEqual(status["closed"]["failures"], 4)
        self.assertGreaterEqual(daemon.metric("runbookd_check_failures_total", check="closed"), 4)

    def test_since_survives_kill_9(self):
        daemon = enter(self, Daemon(f"checks:\n  - {{name: closed, kind: port, port: {free_port()}, every: 1s}}\n"))
        since = daemon.wait_state("closed", "fail")["since"]
        time.sleep(1)
        daemon.kill()
        daemon.start()
        self.assertEqual(daemon.wait_state("closed", "fail")["since"], since)

    def test_it_is_private(self):
        daemon = enter(self, Daemon(HOST))
        daemon.wait_state("machine", "ok")
        time.sleep(0.5)
        for path in [daemon.state_folder(), *glob.glob(daemon.state_folder() + "/*")]:
            self.assertEqual(os.lstat(path).st_mode & 0o077, 0, path)

    def test_damage_is_set_aside_and_told(self):
        daemon = enter(self, Daemon(HOST))
        daemon.wait_state("machine", "ok")
        daemon.stop()
        folder = daemon.state_folder()
        whole = {path: open(path, "rb").read() for path in glob.glob(folder + "/*") if os.path.isfile(path)}
        checkpoint = os.path.join(folder, "checks.state")
        self.assertIn(checkpoint, whole)
        for damage in (b"", b"\0" * 4096, b"garbage\n" * 100, whole[checkpoint][:-7], whole[checkpoint][:20] + b"X" + whole[checkpoint][21:]):
            with self.subTest(damage[:12]):
                for path in glob.glob(folder + "/checks.state*"):
                    os.unlink(path)
                with open(checkpoint, "wb") as file:
                    file.write(damage)
                logged = len(daemon.stderr())
                daemon.start()
                daemon.wait_state("machine", "ok")
                daemon.stop()
                if damage:
                    self.assertIn("checks.state", daemon.stderr()[logged:], "the log does not tell")
                    kept = [path for path in glob.glob(folder + "/*") if path != checkpoint and open(path, "rb").read() == damage]
                    self.assertTrue(kept, f"the damaged file is gone: {os.listdir(folder)}")

    def test_a_damaged_journal_serves(self):
        daemon = enter(self, Daemon(HOST))
        daemon.wait_state("machine", "ok")
        time.sleep(0.5)
        daemon.stop()
        journals = [path for path in glob.glob(daemon.state_folder() + "/*journal*")]
        self.assertTrue(journals, os.listdir(daemon.state_folder()))
        for damage in (b"\xff" * 1000, b"garbage without an end"):
            for path in journals:
                with open(path, "ab") as file:
                    file.write(damage)
            daemon.restart()
            daemon.wait_state("machine", "ok")

    def test_no_state_folder_at_all(self):
        daemon = enter(self, Daemon(HOST, state_dir="/dev/null/state"))
        daemon.wait_state("machine", "ok")
        self.assertIn("/dev/null/state", daemon.stderr())
        self.assertEqual(daemon.get("/triage", accept="text/plain").status, 200)

    @needs_linux
    @needs_root
    def test_a_full_disk_still_serves(self):
        place = enter(self, Scratch())
        needs_mounts()
        fill = 'mount -t tmpfs -o size=64k tmpfs "$0" && { head -c 200k /dev/zero > "$0/fill" 2>/dev/null; exec "$@"; }'
        daemon = enter(self, Daemon(HOST, state_dir=place.path, prefix=("unshare", "-m", "sh", "-c", fill, place.path)))
        daemon.wait_state("machine", "ok")
        runs = daemon.check("machine")["runs"]
        until(lambda: daemon.check("machine")["runs"] > runs + 1, 10, what="it goes on")
        for path in ("/status", "/metrics", "/triage"):
            self.assertEqual(daemon.get(path, accept="text/plain").status, 200)
        self.assertRegex(daemon.stderr(), "(?i)no space|full")

    @needs_linux
    @needs_root
    def test_a_disk_that_fills_while_it_runs(self):
        place = enter(self, Scratch())
        needs_mounts()
        mount = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"'
        port = free_port()
        daemon = enter(self, Daemon(f"checks:\n  - {{name: closed, kind: port, port: {port}, every: 1s}}\n", state_dir=place.path, prefix=("unshare", "-m", "sh", "-c", mount, place.path)))
        daemon.wait_state("closed", "fail")
        inside = f"/proc/{daemon.process.pid}/root{place.path}/fill"
        try:
            with open(inside, "wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 4096)
        except OSError:
            pass
        with HttpFixture(port=port):
            daemon.wait_state("closed", "ok")
            until(lambda: daemon.metric("runbookd_journal_errors_total") > 0, 15, what="the metric of the write that failed")
            os.unlink(inside)
        daemon.wait_state("closed", "fail")
        since = daemon.check("closed")["since"]
        time.sleep(7)
        folder = f"/proc/{daemon.process.pid}/root{place.path}"
        names = glob.glob(folder + "/*/checks.state")
        self.assertTrue(names and os.path.getsize(names[0]) > 0, "nothing was written again once there was room")
        self.assertEqual(daemon.check("closed")["since"], since)

    def test_a_second_daemon_is_refused(self):
        daemon = enter(self, Daemon(HOST))
        done = subprocess.run([BINARY, "--config", daemon.config, "--root", daemon.root, "--state-dir", daemon.state_dir, "serve", "--listen", f"127.0.0.1:{free_port()}"],
                              capture_output=True, text=True, timeout=15, check=False)
        self.assertNotIn(done.returncode, (0, 64, 78), done.stderr)
        self.assertIn("another runbookd", done.stderr)
        self.assertIn(str(daemon.process.pid), done.stderr, "it does not say which")
        daemon.wait_state("machine", "ok")

    def test_two_roots_share_a_state_folder(self):
        one = enter(self, Daemon(HOST))
        two = enter(self, Daemon(HOST, state_dir=one.state_dir))
        one.wait_state("machine", "ok")
        two.wait_state("machine", "ok")
        self.assertEqual(len(os.listdir(one.state_dir)), 2)
