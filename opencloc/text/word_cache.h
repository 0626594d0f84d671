// A bounded, thread-safe map from words to their ids: captions repeat words, BPE need not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace opencloc {

class WordCache {
 public:
  // Appends the ids of `word` to `out`; false when the word is not cached.
  bool append(std::string_view word, std::vector<int32_t>& out) const {
    Shard& shard = shard_of(word);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.words.find(word);
    if (found == shard.words.end()) return false;
    out.insert(out.end(), found->second.begin(), found->second.end());
    return true;
  }

  // Long words are not kept. A full shard starts again: what is frequent comes back at once.
  void put(std::string_view word, const std::vector<int32_t>& ids) const {
    if (word.size() > kLongestWord) return;
    Shard& shard = shard_of(word);
    const std::lock_guard lock(shard.mutex);
    if (shard.words.size() >= kWordsPerShard) shard.words.clear();
    shard.words.emplace(word, ids);
  }

 private:
  static constexpr size_t kShards = 16;
  static constexpr size_t kWordsPerShard = 8192;
  static constexpr size_t kLongestWord = 64;

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::string, std::vector<int32_t>, Hash, std::equal_to<>> words;
  };

  Shard& shard_of(std::string_view word) const { return shards_[Hash()(word) % kShards]; }

  mutable std::array<Shard, kShards> shards_;
};

}  // namespace opencloc
