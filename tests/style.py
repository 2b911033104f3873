#!/usr/bin/env python3
"""The house rules that a compiler does not know. Prints "file:line: message" for each breach; exit 1 when there is one.

Run by ./dev test and ./dev lint. `--self-test` plants one breach of every rule and fails when a rule does not see it."""
import os
import re
import sys
import tempfile

LAYERS = ["base", "platform", "config", "source", "check", "drift", "kinds", "state", "incident", "evidence", "render", "daemon"]
RANK = {layer: rank for rank, layer in enumerate(LAYERS)}
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|system|popen|gets|alloca|atoi|atol|atof|tmpnam|mktemp)\s*\(")
OS_MACRO = re.compile(r"\b(__linux__|__APPLE__|__MACH__|__FreeBSD__|_WIN32|TARGET_OS_MAC)\b")
CLOCK = re.compile(r"\b(clock_gettime|gettimeofday|time|mach_absolute_time|mach_continuous_time)\s*\(")
CLOCK_OK = re.compile(r"(->|\.)\s*time\s*\(")
LEFT_OPEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MUTABLE = re.compile(r"^static\s+(?!.*\bconst\b[^*]*[=;\[])(?!inline\b)(?!_Thread_local\b)[A-Za-z_][\w\s\*]*?\b(\w+)\s*(\[[^\]]*\])?\s*(=|;)")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
# What daemon/ and lib/ keep at file scope, each with its reason.
MUTABLE_OK = {
    ("lib/base/log.c", "sink"): "the process-wide log sink, set once before threads start",
    ("lib/base/log.c", "options"): "the process-wide log sink, set once before threads start",
    ("lib/base/log.c", "settings"): "the process-wide log sink, set once before threads start",
}


def strip_comments(text):
    """Comments and literals become blanks, so that lines keep their numbers."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)) if m.group(0)[0] == "/" else m.group(0)[0] + " " * (len(m.group(0)) - 2) + m.group(0)[0], text)


def layer_of(path):
    parts = path.split("/")
    if parts[:2] == ["include", "runbook"] and len(parts) > 3:
        return parts[2]
    if parts[0] == "lib" and len(parts) > 2:
        return parts[1]
    return "daemon" if parts[0] == "daemon" else None


def check_file(path, text, kinds, report):
    layer = layer_of(path)
    code = strip_comments(text)
    for number, (line, raw) in enumerate(zip(code.split("\n"), text.split("\n")), 1):
        include = INCLUDE.match(raw)
        if include and layer:
            target = include.group(1).split("/")
            if target[0] == "runbook" and len(target) == 3 and RANK[target[1]] > RANK[layer]:
                report(path, number, f"reverse include: {layer} must not see {target[1]}")
        banned = BANNED.search(line)
        if banned:
            report(path, number, f"{banned.group(1)}() is banned: use the bounded form of lib/base")
        if OS_MACRO.search(line) and layer != "platform":
            report(path, number, "an OS macro outside lib/platform")
        if layer and layer != "platform" and CLOCK.search(line) and not CLOCK_OK.search(line) and "strftime" not in line:
            report(path, number, "a clock call outside lib/platform: use rb_clock")
        if LEFT_OPEN.search(raw):
            report(path, number, "left open: finish it or write an issue")
        mutable = MUTABLE.match(line)
        if mutable and layer and path.startswith("lib/") and path.endswith(".c") and (path, mutable.group(1)) not in MUTABLE_OK:
            report(path, number, f"mutable file-scope state: {mutable.group(1)}")
    if path.startswith("lib/kinds/") and path.endswith(".c"):
        name = path.split("/")[2].removesuffix(".c")  # lib/kinds/NAME.c, or a file of the folder lib/kinds/NAME/
        if name != "registry" and name not in kinds:
            report(path, 1, "no row of kinds.def names this kind")
    if path.endswith(".c") and layer and not text.lstrip().startswith("/*"):
        report(path, 1, "a .c file opens with what it does and why")


def sources(root):
    for top in ("include", "lib", "daemon"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".cpp", ".def")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def run(root, report):
    try:
        with open(os.path.join(root, "lib/kinds/kinds.def"), encoding="utf-8") as f:
            kinds = set(re.findall(r"^RB_KIND\((\w+)\)", f.read(), re.M))
    except FileNotFoundError:
        kinds = set()
    count = 0
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as f:
            check_file(path, f.read(), kinds, report)
        count += 1
    for kind in sorted(kinds):
        if not os.path.exists(os.path.join(root, "lib/kinds", kind + ".c")):
            report("lib/kinds/kinds.def", 1, f"row {kind} has no file")
    return count


PLANTED = {
    "lib/base/a.c": ('/* x */\n#include "runbook/config/plan.h"\n', "reverse include"),
    "lib/base/b.c": ("/* x */\nvoid f(char *a) { strcpy(a, a); }\n", "banned"),
    "lib/base/c.c": ("/* x */\n#ifdef __APPLE__\n#endif\n", "OS macro"),
    "lib/base/d.c": ("/* x */\nlong f(void) { return time(0); }\n", "clock call"),
    "lib/base/e.c": ("/* x */\n/* TO" + "DO */\n", "left open"),
    "lib/base/f.c": ("/* x */\nstatic int counter = 0;\n", "mutable"),
    "lib/base/g.c": ("int f(void);\n", "opens with"),
    "lib/kinds/orphan.c": ("/* x */\n", "no row"),
    "lib/kinds/kinds.def": ("RB_KIND(ghost)\n", "has no file"),
}


def self_test():
    with tempfile.TemporaryDirectory() as root:
        for path, (text, _) in PLANTED.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)
        seen = []
        run(root, lambda path, line, message: seen.append((path, message)))
    blind = [f"{path}: {want}" for path, (_, want) in PLANTED.items() if not any(p == path and want in m for p, m in seen)]
    for rule in blind:
        print("style: the rule did not see its planted breach:", rule)
    return 1 if blind else 0


def main():
    if "--self-test" in sys.argv:
        sys.exit(self_test())
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    breaches = []
    count = run(root, lambda path, line, message: breaches.append(f"{path}:{line}: {message}"))
    print("\n".join(breaches) if breaches else f"style: {count} files, no breach")
    sys.exit(1 if breaches else 0)


main()
