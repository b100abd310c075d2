# Showing a command as a user types it, and checking that its output says what it should.
# shellcheck shell=bash

STEPS=0
GOOD=0
OUTPUT=

heading() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# screen SHOWN COMMAND...: prints "$ SHOWN" and what the command prints; keeps it in OUTPUT. Never ends the script.
screen() {
  local shown=$1 status=0
  shift
  printf '\n$ %s\n' "$shown"
  OUTPUT=$("$@" 2>&1) || status=$?
  printf '%s\n' "$OUTPUT"
  if [ "$status" -ne 0 ]; then
    printf '(exit %s)\n' "$status"
    OUTPUT+=$'\n'"(exit $status)"
  fi
}

# ctl ARGUMENT...: agentctl with the demonstration's socket; shown as a user of an installed agent types it.
ctl() { screen "agentctl $*" "$ROOT/bin/agentctl" --socket "$DEMO/agent.sock" "$@"; }

# check WHAT CONDITION...: one step; CONDITION is a command. Prints "ok" or "NOT".
check() {
  local what=$1
  shift
  STEPS=$((STEPS + 1))
  if "$@"; then
    GOOD=$((GOOD + 1))
    printf '  ok   %s\n' "$what"
  else
    printf '  NOT  %s\n' "$what"
  fi
}

# says PATTERN (extended regular expression): the last screen has a line like it.
says() { grep -q -E -- "$1" <<<"$OUTPUT"; }
lacks() { ! says "$1"; }
has_lines_of() { # FILE: every line of it, spaces at both ends aside, in this order
  local wanted
  wanted=$(sed 's/^ *//; s/ *$//' "$1" | grep -v '^$')
  diff <(printf '%s\n' "$wanted") <(sed 's/^ *//; s/ *$//' <<<"$OUTPUT" | grep -v '^$' | grep -F -x -f <(printf '%s\n' "$wanted")) >/dev/null
}

# eventually SECONDS COMMAND...: repeats the command until it succeeds.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}
