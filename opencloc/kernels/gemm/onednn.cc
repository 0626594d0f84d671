#include "opencloc/kernels/gemm/onednn.h"

#ifdef OPENCLOC_ONEDNN_FILE
#include <string>

#include <dlfcn.h>

#include "opencloc/base/error.h"
#include "opencloc/base/own_scope.h"
#endif

namespace opencloc::kernels {

#ifdef OPENCLOC_ONEDNN_FILE
namespace {

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = library == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(library, name));
  if (function != nullptr) return;
  const char* reason = ::dlerror();
  throw Error::failed("cannot load oneDNN (" + std::string(reason == nullptr ? name : reason) + ")",
                      {}, "install Debian's libdnnl2");
}

OneDnn load_onednn() {
  void* library = open_in_own_scope(OPENCLOC_ONEDNN_FILE);
  OneDnn loaded{};
  find(library, "dnnl_sgemm", loaded.sgemm);
  find(library, "dnnl_set_max_cpu_isa", loaded.set_max_cpu_isa);
  return loaded;
}

}  // namespace

const OneDnn& onednn() {
  static const OneDnn loaded = load_onednn();
  return loaded;
}
#else
const OneDnn& onednn() {
  static const OneDnn linked{&dnnl_sgemm, &dnnl_set_max_cpu_isa};
  return linked;
}
#endif

}  // namespace opencloc::kernels
