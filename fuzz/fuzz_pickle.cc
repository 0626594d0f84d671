// PyTorch's archives: the zip directory and the pickle within, or a pickle alone.
#include "fuzz/fuzz_target.h"
#include "opencloc/checkpoint/file/torch_pickle.h"
#include "opencloc/checkpoint/file/torch_zip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) {
    const auto bytes = opencloc::bytes_of_text(text);
    if (!opencloc::TorchZip::looks_like_one(bytes)) {
      const opencloc::Pickle pickle(bytes, "fuzz");
      return;
    }
    const opencloc::TorchZip zip(bytes, "fuzz");
    const opencloc::Pickle pickle(zip.entry("data.pkl"), "fuzz");
    static_cast<void>(pickle.root().find("state_dict"));
  });
}
