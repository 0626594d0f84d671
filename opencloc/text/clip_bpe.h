// CLIP's byte-level BPE, equal to OpenAI's, open_clip's and transformers' ids.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "opencloc/text/bpe_vocabulary.h"
#include "opencloc/text/tokenizer.h"
#include "opencloc/text/word_cache.h"

namespace opencloc {

class ClipBpe : public Tokenizer {
 public:
  // `files` = what the vocabulary came from; `name` is for messages. Error (input) when a symbol of
  // a merge, one of the 2 x 256 byte symbols, or the start and end tokens have no id.
  ClipBpe(const BpeVocabulary& vocabulary, std::vector<TokenizerFile> files, std::string_view name);

  std::vector<int32_t> encode(std::string_view text) const override;
  int64_t vocab_size() const override { return vocab_size_; }
  std::optional<int32_t> start_id() const override { return start_id_; }
  int32_t end_id() const override { return end_id_; }
  int32_t pad_id() const override { return 0; }
  std::string decode(std::span<const int32_t> ids) const override;
  const std::vector<TokenizerFile>& files() const override { return files_; }

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  std::vector<int32_t> encode_word(std::string_view word) const;
  const Merge* find_merge(int32_t left, int32_t right) const;

  std::vector<TokenizerFile> files_;
  std::array<int32_t, 256> byte_ids_ = {};       // a byte inside a word
  std::array<int32_t, 256> last_byte_ids_ = {};  // a byte that ends a word ("</w>")
  std::unordered_map<uint64_t, Merge> merges_;
  std::unordered_map<int32_t, std::string>
      texts_;  // of each id: its bytes, a blank behind what ends a word
  int64_t vocab_size_ = 0;
  int32_t start_id_ = 0;
  int32_t end_id_ = 0;
  WordCache cache_;
};

}  // namespace opencloc
