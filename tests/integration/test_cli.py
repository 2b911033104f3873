"""Each case of cli_commands.py as a test of its own."""
import os
import re
import subprocess
import sys
import unittest

from support import BINARY

TIMEOUT = 180
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli_commands.py")


def case(name):
    def test(self):
        done = subprocess.run([sys.executable, SCRIPT, BINARY, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, check=False)
        text = done.stdout.decode("utf-8", "replace")
        self.assertIn("PASS cli ", text, text)
        self.assertEqual(done.returncode, 0, text)
    return test


class CommandLine(unittest.TestCase):
    pass


with open(SCRIPT, encoding="utf-8") as file:
    for found in re.findall(r"^@case\ndef (\w+)", file.read(), re.M):
        setattr(CommandLine, "test_" + found, case(found))
