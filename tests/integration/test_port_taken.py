"""Acceptance 7: a taken port ends the start with a message that says who holds it; no other port is tried."""
import os
import socket
import subprocess
import unittest

from support import BINARY, Scratch, enter, free_port, needs_linux, needs_tool


class PortTaken(unittest.TestCase):
    def serve(self, place, *listen, prefix=()):
        args = [*prefix, BINARY, "--root", place.path, "--state-dir", place.join("state"), "serve"]
        for address in listen:
            args += ["--listen", address]
        done = subprocess.run(args, cwd=place.path, capture_output=True, timeout=20, check=False)
        return done.returncode, done.stderr.decode("utf-8", "replace"), done.stdout.decode("utf-8", "replace")

    def test_who_holds_it(self):
        place = enter(self, Scratch())
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            code, err, out = self.serve(place, f"127.0.0.1:{port}")
        self.assertNotIn(code, (0, 64, 78), err)
        self.assertIn(str(port), err)
        self.assertRegex(err, rf"\b{os.getpid()}\b", "it does not name the process that holds the port")
        self.assertRegex(err, "python")
        self.assertNotIn("serves", out)

    def test_one_taken_of_two_is_fatal(self):
        place = enter(self, Scratch())
        free = free_port()
        with socket.create_server(("127.0.0.1", 0)) as holder:
            code, err, _ = self.serve(place, f"127.0.0.1:{free}", f"127.0.0.1:{holder.getsockname()[1]}")
            self.assertNotEqual(code, 0)
            self.assertIn(str(holder.getsockname()[1]), err)
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(("127.0.0.1", free)), 0, "it serves although one address was taken")

    def test_the_default_port(self):
        """9112 itself, when nobody else has it: held by this test, and nothing else may be bound in its place."""
        place = enter(self, Scratch())
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 9112))
            holder.listen()
        except OSError:
            pass  # somebody holds it: as good for this test
        code, err, _ = self.serve(place)
        self.assertNotEqual(code, 0)
        self.assertIn("9112", err)

    @needs_linux
    def test_no_other_port_is_tried(self):
        strace = needs_tool("strace")
        place = enter(self, Scratch())
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            code, err, _ = self.serve(place, f"127.0.0.1:{port}", prefix=(strace, "-f", "-qq", "-e", "trace=bind", "-o", place.join("trace")))
        self.assertNotEqual(code, 0, err)
        binds = [line for line in place.read("trace").decode().splitlines() if "bind(" in line and "AF_INET" in line]
        self.assertTrue(binds)
        for line in binds:
            self.assertIn(f"htons({port})", line)
