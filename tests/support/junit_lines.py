#!/usr/bin/env python3
"""junit_lines.py NAME FILE: one line per test case of a meson JUnit file: PASS, FAIL or SKIP. A file that is missing or empty is a failure, never silence."""
import sys
import xml.etree.ElementTree as ET

name, path = sys.argv[1], sys.argv[2]
lines = []
try:
    for case in ET.parse(path).getroot().iter("testcase"):
        label = f"{name}: {case.get('classname', '')} {case.get('name', '')}".strip()
        if case.find("failure") is not None or case.find("error") is not None:
            lines.append(f"FAIL {label}")
        elif case.find("skipped") is not None:
            lines.append(f"SKIP {label}: skipped by the test")
        else:
            lines.append(f"PASS {label}")
except (OSError, ET.ParseError) as error:
    lines.append(f"FAIL {name}: no results in {path}: {error}")
if not lines:
    lines.append(f"FAIL {name}: the suite ran no test")
print("\n".join(lines))
