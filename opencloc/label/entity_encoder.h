// Pictures and descriptions of entities in one space, for linking.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/image/image.h"
#include "opencloc/ops/precision.h"

namespace opencloc {

// Not thread-safe. Embeddings have length 1 and lie on the CPU.
class EntityEncoder {
 public:
  virtual ~EntityEncoder() = default;
  virtual torch::Tensor pictures(const std::vector<const Image*>& pictures) = 0;  // -> [B, E]
  virtual torch::Tensor texts(const std::vector<std::string>& texts) = 0;         // -> [n, E]
  virtual Json config() const = 0;
};

struct EntityEncoderOptions {
  torch::Device device = torch::kCPU;
  Precision precision = Precision::kFp32;
  Backend backend = Backend::kKernels;
};

// A CLIP of any layout. Texts are encoded once each. Error (input) without a text tower or
// tokenizer.
std::unique_ptr<EntityEncoder> clip_entity_encoder(const std::filesystem::path& directory,
                                                   const EntityEncoderOptions& options);

}  // namespace opencloc
