#!/usr/bin/env bash
# Measurements against named peers, printed as one JSON object: tests/bench/run.sh [NAME…]. Figures and ratios, never a pass or fail on wall time.
# A bench is tests/bench/NAME.py that prints JSON. RB_BINARY: another program than build/runbookd; RB_BENCH_ROUNDS: alternating rounds (7).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
known='probe scrape memory triage'
for extra in scan drift; do [ ! -f "$here/$extra.py" ] || known="$known $extra"; done

for name in "$@"; do
  case " $known " in
    *" $name "*) ;;
    *) printf 'bench: no bench %s; there are: %s\n' "$name" "$known" >&2; exit 64 ;;
  esac
done
# shellcheck disable=SC2086 # a list of names
[ $# -gt 0 ] || set -- $known
if [ -z "${RB_BINARY:-}" ]; then "$top/dev" build || exit 2; export RB_BINARY=$top/build/runbookd; fi

failed=0 first=1
printf '{\n"machine": "%s, %s processors", "time": "%s",\n"version": "%s"' "$(uname -srm)" "$( (nproc || sysctl -n hw.ncpu) 2>/dev/null)" \
  "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$("$RB_BINARY" version | head -n 1)"
for name in "$@"; do
  printf 'bench: %s\n' "$name" >&2
  printf ',\n"%s": ' "$name"
  python3 "$here/$name.py" || { failed=1; printf '{"error": "the bench failed; its messages are on standard error"}'; }
done
printf '}\n'
exit $failed
