// Shared libraries that must not meet another copy of themselves in this process.
#pragma once

#include <string>

namespace opencloc {

// dlopen() of a library that finds its own names before the program's, and whose names nobody else
// finds. Null = dlerror() tells why.
void* open_in_own_scope(const std::string& path);

}  // namespace opencloc
