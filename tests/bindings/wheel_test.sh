#!/usr/bin/env bash
# wheel_test.sh [--torch-from DIR] [--wheel FILE] [--work DIR] [--debian]
# `pip install .` as a user does it: a clean virtual environment, torch, this source; then the program on the path, the
# README's lines of Python, and the package's own tests. Prints what each step took and the sizes. Long (a build), so not
# a part of ./check. Exit code 77, with the reason: no network, or no torch to be had.
#   --debian         Debian's python3-torch (an environment with --system-site-packages), not PyPI's
#   --torch-from DIR the torch of this environment (linked, not downloaded)
#   --wheel FILE     a wheel that is built already
#   --work DIR       where all of it goes and stays; without it, a folder under /tmp that goes again
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$source/tools/stages.sh"

debian=no torch_from='' wheel='' work=''
while [ $# -gt 0 ]; do
  case $1 in
    --debian) debian=yes ;;
    --torch-from | --wheel | --work)
      [ $# -gt 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
      case $1 in --torch-from) torch_from=$2 ;; --wheel) wheel=$(realpath "$2") ;; --work) work=$2 ;; esac
      shift
      ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work"
skip() {
  echo "wheel_test: skipped: $*"
  exit 77
}
environment=$work/environment python=$work/environment/bin/python

make_environment() {
  if [ $debian = yes ]; then
    [ -e /usr/lib/python3/dist-packages/torch ] || skip "no python3-torch"
    /usr/bin/python3 -m venv --clear --system-site-packages "$environment"
  else
    python3 -m venv --clear "$environment"
  fi
}
# The index that pip is set up for must have what a build in isolation asks for.
require_network() {
  "$python" -m pip download -q --no-deps -d "$work/probe" scikit-build-core >"$work/probe.log" 2>&1 ||
    skip "no package index ($(tail -n 1 "$work/probe.log"))"
}
install_torch() {
  if [ -n "$torch_from" ]; then
    cp -al "$torch_from"/lib/python3*/site-packages/. "$environment"/lib/python3*/site-packages/
  else
    "$python" -m pip install -q --no-cache-dir torch numpy || skip "torch cannot be installed"
  fi
}
build_wheel() { "$python" -m pip wheel -q --no-deps -w "$work/dist" "$source"; }
install_wheel() { "$python" -m pip install -q "$wheel"; }
use_program() {
  # By the path alone, and in no folder of the source.
  cd "$work"
  PATH=$environment/bin:$PATH
  opencloc --version
  rm -rf scenes run
  opencloc data scenes --count 64 --size 48 --seed 1 --out scenes
  opencloc train --data scenes --model ViT-XXS-16-96 --steps 2 --batch-size 8 --out run
  opencloc data scenes --count 1 --size 96 --seed 2 --out one
  tar -xOf one/00000.tar --wildcards '*.jpg' >street.jpg
}
# The README's block of Python, with this model and picture.
run_readme() {
  cd "$work"
  sed -n '/^```python/,/^```/{/^```/d;p}' "$source/README.md" >readme.py
  [ -s readme.py ] || { echo "wheel_test: README.md has no Python" >&2; return 1; }
  mkdir -p runs && ln -sfn "$work/run" runs/demo
  "$python" readme.py
}
run_package_tests() {
  cd "$work"
  "$python" "$source/tests/bindings/installed_test.py" "$work/run/model" "$work/street.jpg"
}
sizes() {
  du -sh "$wheel" | sed 's/\t/  /'
  "$python" -m pip show -f opencloc | sed -n '/^Version/p; /^Files/,$p'
}

stage "environment" make_environment
stage "network" require_network
[ $debian = yes ] || stage "torch" install_torch
if [ -z "$wheel" ]; then
  stage "wheel" build_wheel
  wheel=$(echo "$work"/dist/opencloc-*.whl)
fi
stage "install" install_wheel
stage "program" use_program
stage "README's Python" run_readme
stage "package's tests" run_package_tests
stage "sizes" sizes
print_stages
