# Shared by scripts/*: messages, the log of long steps, stamps. Source it; it sets ROOT and CACHE and runs nothing.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=$ROOT/.cache
export ROOT CACHE

say() { printf '==> %s\n' "$*"; }

# die MESSAGE [WHAT TO DO]
die() {
  printf 'error: %s\n' "$1" >&2
  if [ $# -gt 1 ]; then printf '       %s\n' "${@:2}" >&2; fi
  exit 1
}

# quietly NAME COMMAND...: output goes to .cache/logs/NAME.log; on failure its end is shown and the status is returned.
quietly() {
  local log=$CACHE/logs/$1.log status=0
  shift
  mkdir -p "$CACHE/logs"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    printf -- '--- the last lines of %s\n' "${log#"$ROOT"/}" >&2
    tail -n 40 "$log" >&2
  fi
  return "$status"
}

# fingerprint FILE|DIRECTORY|=TEXT...: one hash over contents and names; absent files count as absent.
fingerprint() {
  local part
  for part in "$@"; do
    case $part in
      =*) printf '%s\n' "$part" ;;
      *) if [ -d "$part" ]; then find "$part" -type f -print0 | sort -z | xargs -0r sha256sum; elif [ -e "$part" ]; then sha256sum "$part"; fi ;;
    esac
  done | sha256sum | cut -d' ' -f1
}

# fresh NAME HASH PRODUCT...: true when NAME was stamped with HASH and every product still exists.
fresh() {
  local stamp=$CACHE/stamps/$1 hash=$2 product
  shift 2
  [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$hash" ] || return 1
  for product in "$@"; do [ -e "$product" ] || return 1; done
}

stamp() {
  mkdir -p "$CACHE/stamps"
  printf '%s\n' "$2" >"$CACHE/stamps/$1"
}

# node-gyp downloads the headers of Node unless it is told where they are; most installations carry them.
find_node_headers() {
  local prefix
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [ -e "$prefix/include/node/node_api.h" ]; then export npm_config_nodedir=$prefix; fi
}
