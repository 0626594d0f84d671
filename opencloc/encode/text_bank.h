// The texts of a data set and their embeddings, each distinct text encoded once. Grows with the
// number of distinct texts; for a stream without end: text_cache.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torch/types.h>

#include "opencloc/encode/text_encoder.h"

namespace opencloc {

// Numbers distinct texts from 0 in the order they come. Not thread-safe.
class TextBank {
 public:
  // `encoder` outlives the bank.
  explicit TextBank(TextEncoder& encoder) : encoder_(encoder) {}

  int64_t id_of(std::string_view text);
  const std::string& text(int64_t id) const { return texts_[static_cast<size_t>(id)]; }
  int64_t size() const { return static_cast<int64_t>(texts_.size()); }

  // Embeddings of these texts [ids, E], not normalised, on the CPU. Encodes what is new.
  torch::Tensor embeddings(const std::vector<int64_t>& ids);
  // The same, L2-normalised.
  torch::Tensor unit_embeddings(const std::vector<int64_t>& ids);

 private:
  void encode_new();

  TextEncoder& encoder_;
  std::unordered_map<std::string, int64_t> id_of_;
  std::vector<std::string> texts_;
  torch::Tensor rows_;  // [capacity, E], the first encoded_ are filled
  int64_t encoded_ = 0;
};

// One L2-normalised embedding per class: the mean over `templates` ("{}" is the name) of the
// normalised embeddings; bare names without templates. -> [classes, E], on the CPU.
torch::Tensor class_embeddings(TextEncoder& encoder, const std::vector<std::string>& classes,
                               const std::vector<std::string>& templates);

}  // namespace opencloc
