#!/usr/bin/env python3
"""Runs the integration tests: tests/integration/test_*.py, unittest modules of the standard library, each in a process of its own.

usage: run.py [--binary FILE] [--results FILE] [--portable] [-k PATTERN] [--list] [MODULE…]

Appends "PASS name", "FAIL name" or "SKIP name: why" per test method to the results file. Two modules run side by side. A module may say, at
the left margin:  TIMEOUT = seconds (default 120) · ALONE = True (timing matters: nothing runs beside it) · PORTABLE = True (part of the reduced
selection that repeats the suite on the portable event path). Lines on standard error that begin with "NOTE " are figures, shown. A module that outlives its time is ended with everything it started and fails.
"""
import argparse
import ast
import concurrent.futures
import glob
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
TIMEOUT_S = 120


class Module:
    """What the parent knows of a module without importing it."""

    def __init__(self, path):
        self.name = os.path.basename(path)[:-3]
        self.timeout, self.alone, self.portable, self.is_test = TIMEOUT_S, False, False, False
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read(), path)
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.is_test |= any(alias.name == "unittest" for alias in node.names)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant):
                self.mark(node.targets[0].id, node.value.value)

    def mark(self, name, value):
        if name == "TIMEOUT":
            self.timeout = value
        elif name == "ALONE":
            self.alone = value
        elif name == "PORTABLE":
            self.portable = value


class Lines(unittest.TestResult):
    """One JSON line per finished test, on the pipe to the parent."""

    def __init__(self, out):
        super().__init__()
        self.out, self.failed, self.started_at = out, False, 0.0

    def tell(self, verdict, test, text=""):
        name = re.sub(r"^setUpClass \((.*)\)$", r"\1", str(test.id() if hasattr(test, "id") else test)).replace("test_", "", 1).replace(".test_", ".")
        doc = {"verdict": verdict, "name": name, "text": text, "seconds": round(time.monotonic() - self.started_at, 2)}
        self.out.write(json.dumps(doc) + "\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.failed, self.started_at = False, time.monotonic()

    def addSuccess(self, test):
        if not self.failed:
            self.tell("PASS", test)

    def addError(self, test, err):
        self.tell("FAIL", test, self._exc_info_to_string(err, test) if isinstance(test, unittest.TestCase) else repr(err[1]))

    def addFailure(self, test, err):
        self.addError(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failed = True
            self.tell("FAIL", subtest, self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.tell("SKIP", test, reason)

    def addUnexpectedSuccess(self, test):
        self.tell("FAIL", test, "unexpected success")

    def addExpectedFailure(self, test, err):
        self.tell("FAIL", test, "an expected failure is a defect that nobody mends")


def select(suite, pattern):
    chosen = unittest.TestSuite()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            chosen.addTest(select(item, pattern))
        elif not pattern or pattern in item.id():
            chosen.addTest(item)
    return chosen


def run_module(name, pattern):
    """In the child: imports the module and runs it."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[:0] = [HERE, os.path.join(TOP, "tests", "support")]
    result = Lines(out)
    result.started_at = time.monotonic()
    try:
        module = importlib.import_module(name)
    except unittest.SkipTest as skip:
        result.tell("SKIP", name, str(skip))
        return 0
    tests = select(unittest.defaultTestLoader.loadTestsFromModule(module), pattern)
    if tests.countTestCases() == 0 and not pattern:
        result.tell("FAIL", name, "the module holds no test")
    tests.run(result)
    return 0


class Runner:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}

    def take(self, doc):
        verdict, text = doc["verdict"], doc["text"].strip()
        line = f"{verdict} integration: {doc['name']}"
        if self.options.portable:
            line = f"{verdict} portable: {doc['name']}"
        if verdict == "SKIP":
            line += ": " + (" ".join(text.split()) or "no reason given")
        with self.lock:
            self.counts[verdict] += 1
            print(f"{line}  [{doc.get('seconds', 0):.1f} s]", flush=True)
            if verdict == "FAIL":
                print("    " + text[-6000:].replace("\n", "\n    "), flush=True)
            if self.options.results:
                with open(self.options.results, "a", encoding="utf-8") as file:
                    file.write(line + "\n")

    def run(self, module):
        """One module in a process group of its own."""
        args = [sys.executable, os.path.abspath(__file__), "--child", module.name]
        if self.options.k:
            args += ["-k", self.options.k]
        with tempfile.TemporaryFile() as noise, tempfile.TemporaryDirectory(prefix="rb-it-") as scratch:
            os.chmod(scratch, 0o711)  # tests as another user pass through
            child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=noise, stdin=subprocess.DEVNULL, start_new_session=True,
                                     env=os.environ | {"TMPDIR": scratch, "PYTHONDONTWRITEBYTECODE": "1"})
            timer = threading.Timer(module.timeout, os.killpg, (child.pid, signal.SIGKILL))
            started = time.monotonic()
            timer.start()
            for raw in child.stdout:
                self.take(json.loads(raw))
            code = child.wait()
            timer.cancel()
            noise.seek(0)
            for note in re.findall(rb"^NOTE .*", noise.read(), re.M):
                print(f"    {module.name}: {note[5:].decode('utf-8', 'replace')}", flush=True)
            if code != 0:
                noise.seek(0)
                late = time.monotonic() - started >= module.timeout - 1
                why = f"ended after {module.timeout} s, its limit" if late else f"the test process ended with {code}"
                self.take({"verdict": "FAIL", "name": module.name, "text": why + "\n" + noise.read().decode("utf-8", "replace")[-4000:]})
            try:
                os.killpg(child.pid, signal.SIGKILL)  # whatever the tests left behind
            except ProcessLookupError:
                pass


def parse():
    parser = argparse.ArgumentParser(description="the integration tests")
    parser.add_argument("--binary", default=os.path.join(TOP, "build", "runbookd"))
    parser.add_argument("--results")
    parser.add_argument("--portable", action="store_true")
    parser.add_argument("-k", metavar="PATTERN", help="only tests whose name holds this")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("modules", nargs="*")
    return parser.parse_args()


def main():
    options = parse()
    if options.child:
        return run_module(options.child, options.k)
    binary = os.path.realpath(options.binary)
    if not os.access(binary, os.X_OK):
        print(f"run.py: {binary} is no program; build it: ./dev build", file=sys.stderr)
        return 2
    os.environ["RB_BINARY"] = binary
    if not os.environ.get("RB_SHARED") and os.path.isdir(os.path.join(TOP, "..", "shared")):
        os.environ["RB_SHARED"] = os.path.realpath(os.path.join(TOP, "..", "shared"))
    modules = [module for module in map(Module, sorted(glob.glob(os.path.join(HERE, "test_*.py")))) if module.is_test]
    if options.modules:
        modules = [module for module in modules if module.name in options.modules or module.name[5:] in options.modules]
    if options.portable:
        modules = [module for module in modules if module.portable]
    if options.list:
        print("\n".join(module.name for module in modules))
        return 0
    runner = Runner(options)
    started = time.monotonic()
    beside = sorted((module for module in modules if not module.alone), key=lambda module: -module.timeout)
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, options.jobs)) as pool:
        list(pool.map(runner.run, beside))
    for module in modules:
        if module.alone:
            runner.run(module)
    counts = runner.counts
    print(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped in {time.monotonic() - started:.0f} s")
    return 1 if counts["FAIL"] or not counts["PASS"] else 0


if __name__ == "__main__":
    sys.exit(main())
