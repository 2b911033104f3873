"""Asking a remote where its branch stands: over HTTP and git's own protocol, and remotes that never answer, which must cost no more than their time."""
import http.server
import os
import socket
import subprocess
import threading
import time
import unittest

from support import BlackHole, Daemon, Repo, Scratch, enter, free_port, needs_linux

TIMEOUT = 120
BACKEND = os.path.join(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip(), "git-http-backend")
DRIFT = '{name: upstream, kind: drift, git: [upstream], baseline: auto, every: 1h, timeout: 20s}'
OTHERS = "".join(f"  - {{name: other{i}, kind: path, every: 1s, exist: [a.txt]}}\n" for i in range(6))


class Backend(http.server.BaseHTTPRequestHandler):
    """git http-backend, as a web server would call it."""
    protocol_version = "HTTP/1.1"
    top = None

    def do_GET(self):
        path, _, query = self.path.partition("?")
        env = os.environ | {"GIT_PROJECT_ROOT": self.top, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": "GET",
                            "REMOTE_ADDR": "127.0.0.1", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        head, _, body = subprocess.run([BACKEND], env=env, capture_output=True, check=True).stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Remotes(unittest.TestCase):
    def clone(self, url):
        """A clone of a repository whose origin is then said to be at `url`."""
        self.origin = enter(self, Repo({"a.txt": "1\n"}))
        place = enter(self, Scratch())
        subprocess.run(["git", "clone", "-q", self.origin.path, place.join("clone")], check=True, env=os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null"})
        path = place.join("clone")
        subprocess.run(["git", "-C", path, "remote", "set-url", "origin", url(self.origin.path)], check=True)
        return path

    def run_again(self, daemon):
        answer = daemon.post("/api/v1/checks/upstream/run", timeout=30)
        self.assertEqual(answer.status, 200, answer.text)
        return daemon.check("upstream")

    def follows_the_remote(self, path):
        with Daemon(f"checks:\n  - {DRIFT}\n", root=path) as daemon:
            daemon.wait_state("upstream", "ok")
            self.origin.write("a.txt", "2\n")
            self.origin.commit("moved on")
            self.assertEqual(self.run_again(daemon)["state"], "warn")

    @unittest.skipUnless(os.access(BACKEND, os.X_OK), "git has no http-backend here")
    def test_over_http(self):
        def url(top):
            Backend.top = os.path.dirname(top)
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            self.addCleanup(lambda: (server.shutdown(), server.server_close(), thread.join()))
            return f"http://127.0.0.1:{server.server_port}/{os.path.basename(top)}/.git"
        self.follows_the_remote(self.clone(url))

    def test_over_the_git_protocol(self):
        def url(top):
            port = free_port()
            server = subprocess.Popen(["git", "daemon", "--export-all", f"--base-path={os.path.dirname(top)}", f"--port={port}", "--listen=127.0.0.1"],
                                      stderr=subprocess.DEVNULL, env=os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null"})
            self.addCleanup(lambda: (server.terminate(), server.wait()))
            time.sleep(0.5)
            if server.poll() is not None:
                self.skipTest("git daemon does not run here")
            return f"git://127.0.0.1:{port}/{os.path.basename(top)}/.git"
        self.follows_the_remote(self.clone(url))

    def never_answers(self, scheme, port):
        path = self.clone(lambda top: top)  # a baseline first
        with Daemon(f"checks:\n  - {DRIFT}\n{OTHERS}", root=path) as daemon:
            daemon.wait_state("upstream", "ok")
            subprocess.run(["git", "-C", path, "remote", "set-url", "origin", f"{scheme}://127.0.0.1:{port}/x.git"], check=True)
            began = time.monotonic()
            check = self.run_again(daemon)
            self.assertGreater(time.monotonic() - began, 7)
            self.assertLess(time.monotonic() - began, 12)
            self.assertEqual(check["state"], "ok", "what cannot be asked is no drift")
            self.assertIn("did not answer within 8 s", "\n".join(check["evidence"]))
            self.assertEqual(daemon.metric("runbookd_worker_abandoned"), 0)
            self.assertEqual(daemon.metric("runbookd_worker_busy"), 0)
            self.assertLess(daemon.metric("runbookd_check_start_late_seconds"), 2, "others had to wait")

    def test_a_server_that_accepts_and_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for scheme in ("http", "git"):
                with self.subTest(scheme=scheme):
                    self.never_answers(scheme, silent.getsockname()[1])

    @needs_linux
    def test_a_host_that_takes_no_connection(self):
        with BlackHole() as hole:
            self.never_answers("https", hole.port)

    def test_ssh_is_told(self):
        path = self.clone(lambda top: "git@forge.example:x/y.git")
        with Daemon(f"checks:\n  - {DRIFT}\n", root=path) as daemon:
            check = daemon.wait_state("upstream", "skip")
            self.assertEqual(check["reason"], "offline")
            self.assertIn("over ssh", "\n".join(check["evidence"]))


if __name__ == "__main__":
    unittest.main()
