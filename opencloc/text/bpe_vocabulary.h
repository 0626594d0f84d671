// Reading CLIP's BPE vocabulary files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "opencloc/text/tokenizer.h"

namespace opencloc {

struct BpeVocabulary {
  std::unordered_map<std::string, int32_t> ids;             // "red</w>" -> 736
  std::vector<std::pair<std::string, std::string>> merges;  // ("re", "d</w>"), best first
};

// The printable stand-in of each byte 0..255 in vocabulary files (GPT-2's table), as UTF-8.
std::vector<std::string> bpe_byte_symbols();

// bpe_simple_vocab*.txt, gzipped or not: a title line, then the merges; the ids follow from their
// order. CLIP uses lines 2 to 48,895. Error (input) when it is no such file.
BpeVocabulary parse_bpe_merges(const TokenizerFile& merges);

// vocab.json gives the ids, merges.txt (a title line, then the merges) the order.
BpeVocabulary parse_bpe_vocabulary(const TokenizerFile& vocab_json,
                                   const TokenizerFile& merges_txt);

// The title line and the merges, as merges.txt has them.
std::string merges_text(const std::vector<std::pair<std::string, std::string>>& merges);

// vocab.json and merges.txt, which transformers reads, of a tokenizer that has only CLIP's
// bpe_simple_vocab file; none of any other.
std::vector<TokenizerFile> bpe_pair_files(const Tokenizer& tokenizer);

}  // namespace opencloc
