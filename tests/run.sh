#!/usr/bin/env bash
# The whole suite, or the named parts of it. Every suite appends lines "PASS name" / "FAIL name" / "SKIP name: why" to one results file; the closing line counts them.
set -uo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here" || exit 2
jobs=$( (nproc || sysctl -n hw.ncpu || echo 2) 2>/dev/null | head -n 1)
results=$(mktemp)
trap 'rm -f "$results"' EXIT
export RB_SHARED=${RB_SHARED:-$(cd "$here/../shared" 2>/dev/null && pwd || true)}
if command -v ccache >/dev/null 2>&1; then export CC="ccache ${CC:-cc}" CXX="ccache ${CXX:-c++}"; fi

head_line() { printf '\n== %s\n' "$*"; }
record() { printf '%s\n' "$*" | tee -a "$results"; }

# run_step NAME COMMAND…: one result
run_step() {
  local name=$1
  shift
  if "$@"; then record "PASS $name"; else record "FAIL $name"; fi
}

# meson_suite DIR NAME [SUITE…]: builds everything in DIR and runs the suites; one result per test case
meson_suite() {
  local dir=$1 name=$2 log=$here/$1/meson-logs/testlog.junit.xml
  shift 2
  if ! ninja -C "$dir" -j "$jobs" >"$dir.compile.log" 2>&1; then
    grep -E 'error|warning|FAILED' "$dir.compile.log" | head -40
    record "FAIL $name: build"
    return
  fi
  rm -f "$dir.compile.log"
  local args=() suite
  for suite in "$@"; do args+=(--suite "$suite"); done
  ninja -C "$dir" meson-test-prereq >/dev/null 2>&1 || true
  meson test -C "$dir" --no-rebuild --print-errorlogs --num-processes "$jobs" "${args[@]}" >"$dir.test.log" 2>&1 || grep -vE "^ *[0-9]+/[0-9]+ .* OK " "$dir.test.log" | tail -60
  rm -f "$dir.test.log"
  python3 tests/support/junit_lines.py "$name" "$log" | tee -a "$results" | grep -v '^PASS' || true
}

setup() {
  local dir=$1
  shift
  [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@" >"$dir.log" 2>&1 || { cat "$dir.log"; record "FAIL configure $dir"; return 1; }
  rm -f "$dir.log"
}

suite_style() {
  head_line "style"
  run_step "style: its rules see planted breaches" python3 tests/style.py --self-test
  run_step "style" python3 tests/style.py
}

suite_unit() {
  head_line "unit, sim, fuzz corpora (werror)"
  setup build-test --buildtype=debugoptimized -Dwerror=true && meson_suite build-test unit unit sim fuzz
}
suite_sim() { setup build-test --buildtype=debugoptimized -Dwerror=true && meson_suite build-test sim sim; }
suite_fuzz() { setup build-test --buildtype=debugoptimized -Dwerror=true && meson_suite build-test fuzz fuzz; }

# Whole: every call that changes the state fails or kills once, minutes. Among the other suites: 200 points, other ones each time; the log names the seed.
suite_torture() { setup build-test --buildtype=debugoptimized -Dwerror=true && meson_suite build-test torture torture; }
suite_torture_sample() {
  head_line "torture: 200 of the points at which a write can be cut"
  setup build-test --buildtype=debugoptimized -Dwerror=true && meson_suite build-test torture torture_sample
  grep -h '^torture: .*seed' build-test/meson-logs/testlog*.txt 2>/dev/null | tail -n 1
}

suite_sanitize() {
  head_line "the same under ASan and UBSan; threads under TSan"
  export LSAN_OPTIONS=suppressions=$here/tests/support/lsan.supp:print_suppressions=0 ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
  setup build-asan --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Db_pie=false && meson_suite build-asan asan unit sim fuzz
  setup build-tsan --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false -Db_pie=false && meson_suite build-tsan tsan threads
}

suite_integration() {
  head_line "integration: the real daemon against real parts"
  [ -x build/runbookd ] || ./dev build || { record "FAIL integration: build"; return; }
  # Helper programs of the tests; a module that lacks its helper skips, visibly.
  setup build-test --buildtype=debugoptimized -Dwerror=true && ninja -C build-test -j "$jobs" tests/unit/doc_check tests/unit/make_certs >/dev/null
  python3 tests/integration/run.py --binary build/runbookd --results "$results" || true
}

suite_diagnosis() {
  head_line "diagnosis: every third fault of the untuned half; ./dev diagnosis plays all"
  [ -x build/runbookd ] || ./dev build || { record "FAIL diagnosis: build"; return; }
  local log
  log=$(mktemp)
  python3 tests/diagnosis/rig.py --binary build/runbookd --half test --sample 3 --results "$results" --report >"$log" 2>&1 || tail -150 "$log"
  grep -E ' scenarios in |^   with' "$log" | tail -n 4 || true
  rm -f "$log"
}

suite_portable() {
  head_line "the portable event path: libev on select, libmicrohttpd on poll"
  [ -x build/runbookd ] || ./dev build || { record "FAIL portable: build"; return; }
  LIBEV_FLAGS=1 python3 tests/integration/run.py --binary build/runbookd --results "$results" --portable || true
}

suite_macos() {
  head_line "macOS: compiles, and links against declared symbols"
  python3 tests/support/macos_build.py --jobs "$jobs" | sed -e 's/^PASS /PASS macos: /' -e 's/^FAIL /FAIL macos: /' -e 's/^skipped/SKIP macos/' | tee -a "$results"
}

[ $# -gt 0 ] || set -- style unit torture_sample integration diagnosis portable sanitize macos
for suite in "$@"; do
  case $suite in
    style | unit | sim | fuzz | torture | torture_sample | sanitize | integration | diagnosis | portable | macos)
      [ "$suite" != integration ] || ./dev build || record "FAIL build"
      "suite_$suite" ;;
    *) printf 'tests/run.sh: no suite %s (style unit sim fuzz torture torture_sample sanitize integration diagnosis portable macos)\n' "$suite" >&2; exit 64 ;;
  esac
done

count() { grep -c "^$1 " "$results" || true; }
head_line "result"
grep '^SKIP ' "$results" || true
grep '^FAIL ' "$results" || true
passed=$(count PASS) failed=$(count FAIL) skipped=$(count SKIP)
[ "$skipped" = 0 ] || printf '%s skipped, each with its reason above\n' "$skipped"
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
