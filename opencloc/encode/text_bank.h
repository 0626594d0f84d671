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
  // Both outlive the bank. Embeddings are a call of all processes of `group`, whose banks hold the
  // same texts; they share the work.
  explicit TextBank(TextEncoder& encoder, dist::Group& group = dist::alone())
      : encoder_(encoder), group_(group) {}

  int64_t id_of(std::string_view text);
  const std::string& text(int64_t id) const { return texts_[static_cast<size_t>(id)]; }
  int64_t size() const { return static_cast<int64_t>(texts_.size()); }

  // What came since the last call is encoded by itself, not along with what comes later: so that
  // it does not hang on when embeddings are asked for.
  void end_list();
  // Embeddings of these texts [ids, E], not normalised, on the CPU. Encodes what is new.
  torch::Tensor embeddings(const std::vector<int64_t>& ids);
  // The same, L2-normalised.
  torch::Tensor unit_embeddings(const std::vector<int64_t>& ids);

 private:
  void encode_new();

  TextEncoder& encoder_;
  dist::Group& group_;
  std::unordered_map<std::string, int64_t> id_of_;
  std::vector<std::string> texts_;
  torch::Tensor rows_;  // [capacity, E], the first encoded_ are filled
  int64_t encoded_ = 0;
  std::vector<int64_t> list_ends_;  // beyond encoded_
};

// One L2-normalised embedding per class: the mean over `templates` ("{}" is the name,
// "{article}" its "a" or "an") of the
// normalised embeddings; bare names without templates. -> [classes, E], on the CPU.
// A call of all processes of `group`, which share the work.
torch::Tensor class_embeddings(TextEncoder& encoder, const std::vector<std::string>& classes,
                               const std::vector<std::string>& templates,
                               dist::Group& group = dist::alone());

}  // namespace opencloc
