"""Acceptance B5: real Nagios plugins from Debian as command checks: exit codes, messages, perfdata in base units, at most 64 labels."""
import os
import subprocess
import unittest

from support import Daemon, HttpFixture, enter, free_port, needs_linux, needs_tool

PERFDATA = "runbookd_command_perfdata"


def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


@needs_linux
class Nagios(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.dirname(needs_tool("check_dummy"))

    def daemon(self, checks):
        """checks: {name: [plugin, argument…]}"""
        lines = []
        for name, argv in checks.items():
            program = os.path.join(self.folder, argv[0]) if argv[0].startswith("check_") else argv[0]
            lines.append(f"  - {{name: {name}, kind: command, every: 2s, argv: [{', '.join(map(quoted, [program, *argv[1:]]))}]}}\n")
        daemon = enter(self, Daemon("checks:\n" + "".join(lines)))
        daemon.wait_settled()
        return daemon

    def test_exit_codes_become_states(self):
        daemon = self.daemon({"fine": ["check_dummy", "0", "all is well"], "warning": ["check_dummy", "1", "be careful"],
                              "critical": ["check_dummy", "2", "it burns"], "unknown": ["check_dummy", "3", "who knows"],
                              "usage": ["check_load", "--no-such-option"], "refused": ["check_tcp", "-H", "127.0.0.1", "-p", str(free_port())],
                              "load": ["check_load", "-w", "0,0,0", "-c", "100000,100000,100000"]})
        for name, result, says in (("fine", "ok", "OK: all is well"), ("warning", "warn", "WARNING: be careful"), ("critical", "fail", "CRITICAL: it burns"),
                                   ("unknown", "unknown", "UNKNOWN: who knows"), ("usage", "unknown", ""), ("refused", "fail", "Connection refused")):
            check = daemon.check(name)
            self.assertEqual((check["state"], check["result"]), (result, result), check)
            self.assertIn(says, check["message"], check)
            self.assertEqual(check["reason"], "none" if result == "ok" else "exit", check)
        by_hand = subprocess.run([os.path.join(self.folder, "check_load"), "-w", "0,0,0", "-c", "100000,100000,100000"], capture_output=True, check=False)
        self.assertEqual(daemon.check("load")["state"], {0: "ok", 1: "warn", 2: "fail"}.get(by_hand.returncode, "unknown"))
        exit_codes = {dict(labels)["check"]: value for labels, value in daemon.metrics()["runbookd_command_exit_code"].items()}
        self.assertEqual({name: exit_codes[name] for name in ("fine", "warning", "critical", "unknown")},
                         {"fine": 0, "warning": 1, "critical": 2, "unknown": 3})

    def test_perfdata_in_base_units(self):
        web = enter(self, HttpFixture(body=b"x" * 1000))
        root = os.statvfs("/")
        daemon = self.daemon({"disk": ["check_disk", "-w", "0%", "-c", "0%", "-p", "/"], "load": ["check_load", "-w", "1e5,1e5,1e5", "-c", "1e5,1e5,1e5"],
                              "procs": ["check_procs", "-w", "0:100000"], "web": ["check_http", "-I", "127.0.0.1", "-p", str(web.port)],
                              "all-units": ["check_dummy", "0", "text | 'a b'=250ms;1;2 used=50%;80;90;0;100 size=3KB big=2MB;; hits=7c n=4.5 t=2s it''s=1"]})
        self.assertEqual(daemon.check("all-units")["message"], "OK: text")
        by_hand = subprocess.run([os.path.join(self.folder, "check_disk"), "-w", "0%", "-c", "0%", "-p", "/"], capture_output=True, check=False)
        if by_hand.returncode == 3:
            self.skipTest(f"check_disk cannot see / here: {by_hand.stdout.decode(errors='replace').strip()}")
        used = daemon.metric(PERFDATA + "_bytes", check="disk", label="/")
        self.assertAlmostEqual(used, (root.f_blocks - root.f_bfree) * root.f_frsize, delta=2 << 30)
        for label, value in zip(("load1", "load5", "load15"), os.getloadavg()):
            self.assertAlmostEqual(daemon.metric(PERFDATA, check="load", label=label), value, delta=value + 2)
        self.assertGreater(daemon.metric(PERFDATA, check="procs", label="procs"), 1)
        self.assertGreater(daemon.metric(PERFDATA + "_bytes", check="web", label="size"), 1000)
        self.assertLess(daemon.metric(PERFDATA + "_seconds", check="web", label="time"), 2)
        for name, label, value in (("_seconds", "a b", 0.25), ("_ratio", "used", 0.5), ("_bytes", "size", 3072), ("_bytes", "big", 2 * 1048576),
                                   ("_events_total", "hits", 7), ("", "n", 4.5), ("_seconds", "t", 2)):
            self.assertAlmostEqual(daemon.metric(PERFDATA + name, check="all-units", label=label), value, msg=label)

    def test_at_most_64_labels(self):
        many = " ".join(f"m{index}={index}s" for index in range(100))
        daemon = self.daemon({"many": ["check_dummy", "0", "many | " + many]})
        series = daemon.metrics()[PERFDATA + "_seconds"]
        self.assertEqual(len(series), 64)
        self.assertEqual(daemon.metric(PERFDATA + "_seconds", check="many", label="m63"), 63)


if __name__ == "__main__":
    unittest.main()
