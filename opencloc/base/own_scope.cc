#include "opencloc/base/own_scope.h"

#include <dlfcn.h>

namespace opencloc {

// The address sanitizer refuses RTLD_DEEPBIND for fear of memory that crosses allocators, which it
// does not with ours: they are not instrumented and take new and delete from libstdc++ on both
// sides. So libc's own dlopen is called.
void* open_in_own_scope(const std::string& path) {
  auto* open = &::dlopen;
  if (void* libc = ::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD)) {
    if (void* plain = ::dlsym(libc, "dlopen")) open = reinterpret_cast<decltype(open)>(plain);
  }
  return open(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
}

}  // namespace opencloc
