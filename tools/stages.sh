# Sourced by ./check and ./quickstart: named stages with their time and, where asked for, peak memory.
# shellcheck shell=bash

stage_names=() stage_seconds=() stage_notes=()

minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

available_kib() { awk '/^MemAvailable:/ { print $2 }' /proc/meminfo; }

# stage NAME COMMAND...: runs it, keeps its time; a failing command ends the script through set -e.
stage() {
  local name=$1 began=$SECONDS
  shift
  echo "== $name"
  "$@"
  stage_names+=("$name")
  stage_seconds+=($((SECONDS - began)))
  stage_notes+=("${stage_note:-}")
  stage_note=
}

# with_peak_memory COMMAND...: how much less memory the machine had at the worst second of COMMAND
# than before it goes into the stage's note.
with_peak_memory() {
  local before lowest low_file status=0 watcher
  before=$(available_kib)
  low_file=$(mktemp)
  echo "$before" >"$low_file"
  (
    lowest=$before
    while kill -0 $$ 2>/dev/null && sleep 1; do  # not beyond the script itself
      now=$(available_kib)
      if [ "$now" -lt "$lowest" ]; then
        lowest=$now
        echo "$lowest" >"$low_file"
      fi
    done
  ) &
  watcher=$!
  "$@" || status=$?
  kill "$watcher" 2>/dev/null || true
  wait "$watcher" 2>/dev/null || true
  lowest=$(cat "$low_file")
  rm -f "$low_file"
  stage_note="peak memory $(((before - lowest) / 1024)) MiB"
  return "$status"
}

print_stages() {
  local i
  for i in "${!stage_names[@]}"; do
    printf '%-22s %6s   %s\n' "${stage_names[$i]}" "$(minutes "${stage_seconds[$i]}")" "${stage_notes[$i]}"
  done
}

# configure PRESET: cmake's chatter goes to a file that is shown only when it fails.
configure() {
  local log=build/$1/configure.log
  mkdir -p "build/$1"
  if ! cmake --preset "$1" -Wno-dev >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  with_peak_memory cmake --build --preset "$preset" ${1:+--target "$@"}
}
