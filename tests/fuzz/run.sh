#!/usr/bin/env bash
# Every libFuzzer target, or the named ones, for some seconds each: tests/fuzz/run.sh [SECONDS] [TARGET…]. New inputs go to .dev/fuzz/, never into the repository;
# an input that breaks a property is kept in .dev/fuzz/findings/ and named. Exit 1 when there is one.
set -uo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 2
seconds=60
case ${1:-} in
  '' | *[!0-9]*) ;;
  *) seconds=$1; shift ;;
esac
command -v clang >/dev/null || { printf 'fuzz: needs clang: ./dev install-deps\n' >&2; exit 2; }

build=build-fuzz
if [ ! -f $build/build.ninja ]; then
  CC=clang CXX=clang++ meson setup $build --buildtype=debugoptimized -Dfuzz=true -Db_lundef=false -Db_pie=false -Db_sanitize=address,undefined \
    -Dc_args=-fsanitize=fuzzer-no-link -Dcpp_args=-fsanitize=fuzzer-no-link >$build.log 2>&1 || { cat $build.log >&2; rm -rf $build.log $build; exit 2; }
  rm -f $build.log
fi
known=$(cd tests/fuzz && ls fuzz_*.c | sed 's/^fuzz_\(.*\)\.c$/\1/')
# shellcheck disable=SC2086 # a list of names
[ $# -gt 0 ] || set -- $known

findings=.dev/fuzz/findings
mkdir -p $findings
failed=0
for name in "$@"; do
  [ -f "tests/fuzz/fuzz_$name.c" ] || { printf 'fuzz: no target %s; there are: %s\n' "$name" "$(printf '%s ' $known)" >&2; exit 64; }
  ninja -C $build "tests/fuzz/fuzz_$name" >$build/compile.log 2>&1 || { grep -v '^\[' $build/compile.log >&2; exit 2; }
  mkdir -p ".dev/fuzz/$name"
  log=.dev/fuzz/$name.log
  if "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$findings/$name-" ".dev/fuzz/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    printf 'PASS fuzz %s: %s inputs in %s s, %s\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds" \
      "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
  else
    failed=1
    printf 'FAIL fuzz %s: see %s\n' "$name" "$log"
    grep -E 'ERROR|SUMMARY|does not hold|Test unit written' "$log" | head -n 5
  fi
done
exit $failed
