// The embeddings of texts that come again and again, such as the phrases of a stream of pictures.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "opencloc/encode/text_encoder.h"

namespace opencloc {

// Keeps embeddings until there are more than `most`, then begins anew: memory stays bounded however
// long the stream is. Not thread-safe.
class TextCache {
 public:
  // `encoder` outlives the cache.
  explicit TextCache(TextEncoder& encoder, size_t most = 100'000)
      : encoder_(encoder), most_(most) {}

  // -> [texts, E], not normalised, on the CPU. What is new goes through the tower, once.
  torch::Tensor embeddings(const std::vector<std::string>& texts);
  size_t size() const { return rows_.size(); }

 private:
  TextEncoder& encoder_;
  const size_t most_;
  std::unordered_map<std::string, torch::Tensor> rows_;  // [E] each, with storage of its own
};

}  // namespace opencloc
