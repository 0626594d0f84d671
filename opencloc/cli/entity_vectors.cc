#include "opencloc/cli/entity_vectors.h"

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/entities/make_entities.h"

namespace opencloc::cli {

void write_entity_vectors(const std::string& from, const std::filesystem::path& folder,
                          int64_t entities) {
  const SafetensorsFile file(from);
  if (file.find("entity_vectors") == nullptr)
    throw Error::input("there is no tensor entity_vectors", from, "store it under this name");
  const auto vectors = file.tensor("entity_vectors");  // [n, d]
  if (vectors.dim() != 2 || !vectors.is_floating_point() || vectors.size(0) != entities) {
    throw Error::input("entity_vectors is no floating-point matrix of " + std::to_string(entities) +
                           " rows, one an entity",
                       from, "store a row an entity, in the order of the source");
  }
  const auto half = vectors.to(torch::kHalf);  // [n, d]
  if (!half.isfinite().all().item<bool>())
    throw Error::input("a vector is not finite as F16", from, "scale them down");
  write_safetensors(folder / kEntityVectors, {{"entity_vectors", half}}, {{"source", from}});
}

}  // namespace opencloc::cli
