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

# --torch DIR sets it: a Python environment with torch, or an unpacked libtorch; empty = Debian's libtorch.
torch=

# build_folder PRESET: where it is built. Another libtorch has a folder of its own.
build_folder() { echo "build/$1${torch:+-torch}"; }

# configure PRESET: cmake's chatter goes to a file. Shown are the libtorch, or the error: its first line where the line
# is our own, else everything.
configure() {
  local folder log
  folder=$(build_folder "$1")
  log=$folder/configure.log
  mkdir -p "$folder"
  if ! cmake --preset "$1" -B "$folder" -DOPENCLOC_TORCH="$torch" -Wno-dev >"$log" 2>&1; then
    sed -n '/^CMake Error at cmake\/OpenClocTorch.cmake/ { n; s/^ */error: /p; q }' "$log" | grep . >&2 || cat "$log" >&2
    return 1
  fi
  sed -n 's/^-- \(libtorch [0-9]\)/\1/p' "$log"
}

# build PRESET [TARGET...]
build() {
  local folder
  folder=$(build_folder "$1")
  shift
  with_peak_memory cmake --build "$folder" ${1:+--target "$@"}
}
