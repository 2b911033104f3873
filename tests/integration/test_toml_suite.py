#!/usr/bin/env python3
"""The official TOML suite (files-toml-1.0.0) through rb_doc_parse, which is what the `syntax` kind uses.

The suite is looked for in $RB_SHARED/data/toml-test; without it the test is skipped and says so. Valid files must give the same tagged JSON, invalid
files must be refused with a place. The parser runs in the test program doc_check ($RB_DOC_CHECK, else beside the unit tests of $RB_BINARY's build).
"""
import json
import math
import os
import re
import subprocess
import unittest


def normal_time(text):
    """Fractions without trailing zeros, upper-case separators: the suite allows both."""
    text = text.upper().replace(" ", "T")
    text = re.sub(r"(\.\d*?)0+(?=Z|[+-]|$)", r"\1", text)
    text = re.sub(r"\.(?=Z|[+-]|$)", "", text)
    return re.sub(r"[+-]00:00$", "Z", text)


def same(want, got):
    if isinstance(want, list):
        return isinstance(got, list) and len(want) == len(got) and all(map(same, want, got))
    if not isinstance(got, dict):
        return False
    if set(want) == {"type", "value"} and isinstance(want["type"], str) and isinstance(want["value"], str):
        if want["type"] != got.get("type"):
            return False
        a, b = want["value"], got["value"]
        if want["type"] == "float":
            a, b = float(a), float(b)
            return a == b or (math.isnan(a) and math.isnan(b))
        if want["type"] == "integer":
            return int(a) == int(b)
        if "date" in want["type"] or "time" in want["type"]:
            return normal_time(a) == normal_time(b)
        return a == b
    return want.keys() == got.keys() and all(same(want[k], got[k]) for k in want)


def doc_check():
    if os.environ.get("RB_DOC_CHECK"):
        return os.environ["RB_DOC_CHECK"]
    from support import test_program
    return test_program("doc_check")


class TomlSuite(unittest.TestCase):
    def test_official_suite(self):
        root = os.path.join(os.environ.get("RB_SHARED", ""), "data", "toml-test", "tests")
        listing = os.path.join(root, "files-toml-1.0.0")
        if not os.environ.get("RB_SHARED") or not os.path.exists(listing):
            self.skipTest("set RB_SHARED to the folder that holds data/toml-test (the official TOML suite)")
        checker = doc_check()
        with open(listing, encoding="utf-8") as lines:
            files = [line.strip() for line in lines if line.strip().endswith(".toml")]
        run = subprocess.run([checker, "toml"] + files, cwd=root, stdout=subprocess.PIPE, timeout=100, check=True)
        results = {entry["file"]: entry for entry in map(json.loads, run.stdout.splitlines())}
        bad = [name for name in files if not self.agrees(root, name, results.get(name, {}))]
        print(f"toml-test: {len(files) - len(bad)} of {len(files)} agree")
        self.assertEqual(bad, [])
        self.assertGreaterEqual(len(files), 709)

    def agrees(self, root, name, result):
        if name.startswith("valid/"):
            with open(os.path.join(root, name[:-5] + ".json"), encoding="utf-8") as want:
                return result.get("valid") is True and same(json.load(want), result["value"])
        return result.get("valid") is False and result["problems"][0]["line"] >= 1 and result["problems"][0]["column"] >= 1


if __name__ == "__main__":
    unittest.main()
