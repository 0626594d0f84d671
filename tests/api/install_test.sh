#!/usr/bin/env bash
# install_test.sh BUILD SOURCE MAKE_TINY_MODEL CXX CXX_FLAGS
# Installs the build into a fresh prefix, builds the example against nothing but that prefix, runs it.
set -euo pipefail
build=$1 source=$2 make_tiny_model=$3 cxx=$4 cxx_flags=$5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "install_test: $*" >&2
  exit 1
}

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
# The example is copied, so that no header of the source tree can be found by chance.
cp -r "$source/examples/describe_region" "$work/example"
cmake -G Ninja -S "$work/example" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$cxx_flags" >"$work/configure.log" ||
  fail "the example does not configure: $(cat "$work/configure.log")"
cmake --build "$work/build" >"$work/build.log" || fail "the example does not build: $(cat "$work/build.log")"

"$make_tiny_model" "$work"
"$work/build/describe_region" "$work/model" "$work/picture.png" 0.1 0.2 0.6 0.9 "a red car" "a blue bus" \
  >"$work/out.txt"
cat "$work/out.txt"
grep -q '"a red car"' "$work/out.txt" || fail "the first text is missing"
grep -q '"a blue bus"' "$work/out.txt" || fail "the second text is missing"

# Errors of the library reach the program as opencloc::Error: one line and the library's exit code.
status=0
"$work/build/describe_region" "$work/nothing" "$work/picture.png" 0 0 1 1 cat 2>"$work/error.txt" || status=$?
[ "$status" = 2 ] || fail "a missing model gave exit code $status"
[ "$(wc -l <"$work/error.txt")" = 1 ] || fail "not one line: $(cat "$work/error.txt")"

# A version that is not there must not be found.
sed -i 's/find_package(opencloc .*)/find_package(opencloc 99.0 REQUIRED)/' "$work/example/CMakeLists.txt"
if cmake -G Ninja -S "$work/example" -B "$work/build99" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER="$cxx" >"$work/configure99.log" 2>&1; then
  fail "find_package(opencloc 99.0) was satisfied"
fi

# The thin program of the tree finds the whole one, which finds libtorch.
"$work/prefix/bin/opencloc" --version
"$work/prefix/bin/opencloc" inspect --json "$work/model" | grep -q '"kind":"model"' || fail "inspect does not see a model"
