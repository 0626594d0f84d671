// The way from the thin program to the whole one.
#pragma once

namespace opencloc::cli {

// The running process becomes opencloc-tensors, with the arguments, environment and open files it
// has: looked for beside this program, then in ../libexec/opencloc. `argv` is main()'s. Before
// there are threads. Throws Error (failed) where it is not there.
[[noreturn]] void become_whole(char** argv);

}  // namespace opencloc::cli
