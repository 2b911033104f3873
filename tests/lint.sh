#!/usr/bin/env bash
# Layout, clang-tidy, cppcheck and the house rules. Exit 1 when any of them has something to say.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
jobs=$( (nproc || sysctl -n hw.ncpu || echo 2) 2>/dev/null | head -n 1)
failed=0
step() { printf '%-14s' "$1"; shift; if output=$("$@" 2>&1); then echo ok; else failed=1; echo "not clean"; printf '%s\n' "$output" | head -60; fi; }

files=$(git ls-files '*.c' '*.h' '*.cpp' | grep -v '^tests/fuzz/corpus')
sources=$(git ls-files 'lib/**.c' 'daemon/**.c' | grep -v 'lib/platform/darwin')
[ -f build-lint/build.ninja ] || meson setup build-lint --buildtype=debugoptimized >/dev/null || exit 2

layout() { printf '%s\n' $files | xargs clang-format --dry-run -Werror; }
tidy() { printf '%s\n' $sources | xargs -P "$jobs" -n 8 clang-tidy -p build-lint --quiet --warnings-as-errors='*'; }
check() {
  cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c11 -j "$jobs" \
    --suppress=missingIncludeSystem -Iinclude -Idaemon -D_GNU_SOURCE -DRB_VERSION='"0"' \
    -D'json_array_foreach(a,i,v)=for(i=0;(v=json_array_get(a,i));i++)' -D'json_object_foreach(o,k,v)=for(;(v=json_object_get(o,k));)' lib daemon
}
step style python3 tests/style.py
step clang-format layout
step cppcheck check
step clang-tidy tidy
exit $failed
