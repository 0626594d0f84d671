#include "opencloc/checkpoint/layout/gguf_projector.h"

#include "opencloc/base/error.h"

namespace opencloc {

std::vector<GgufOutTensor> read_projector(const std::filesystem::path& path, int64_t width,
                                          GgufType matrices) {
  const StoredTensors weights = open_weights(path);
  const auto find = [&](const char* number, const char* layer, const char* kind) {
    for (const auto& tensor : weights.tensors()) {
      for (const std::string& ending : {std::string("mm_projector.") + number + kind,
                                        std::string("multi_modal_projector.") + layer + kind,
                                        std::string("mm.") + number + kind}) {
        if (tensor.name.ends_with(ending)) return tensor.read();
      }
    }
    throw Error::input(std::string("no mm_projector.") + number + kind, path.string(),
                       "name LLaVA's mm_projector.bin, or a file with these tensors");
  };
  std::vector<GgufOutTensor> tensors;
  for (const auto& [number, layer] : {std::pair{"0", "linear_1"}, std::pair{"2", "linear_2"}}) {
    const std::string name = std::string("mm.") + number;
    tensors.push_back({name + ".weight", find(number, layer, ".weight"), matrices});
    tensors.push_back({name + ".bias", find(number, layer, ".bias"), GgufType::kF32});
  }
  const auto& first = tensors[0].values;   // [H, D]
  const auto& second = tensors[2].values;  // [H, H]
  if (first.dim() != 2 || second.dim() != 2 || first.size(1) != width ||
      second.size(1) != first.size(0)) {
    throw Error::input("the projector does not take " + std::to_string(width) + " wide features",
                       path.string(), "use the projector of this image tower");
  }
  return tensors;
}

}  // namespace opencloc
