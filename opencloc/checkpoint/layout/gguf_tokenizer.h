// A tokenizer inside a GGUF file. CLIP's BPE lies under the standard keys tokenizer.ggml.tokens and
// tokenizer.ggml.merges; a SentencePiece model as its file's bytes, under a key of our own.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "opencloc/checkpoint/file/gguf_header.h"
#include "opencloc/text/bpe_vocabulary.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

// Null when the file has none. A file of clip.cpp's has no merges: they follow from the order of
// its tokens. Throws Error (input).
std::shared_ptr<const Tokenizer> gguf_tokenizer(const GgufHeader& header, const std::string& where);

// Keys to write.
std::vector<std::pair<std::string, GgufOut>> gguf_tokenizer_keys(const Tokenizer& tokenizer);

// The merges of a byte-level BPE whose tokens stand in the order in which they were made: a token's
// two parts are what the merges before it leave of it. Tokens that no pair makes are passed over.
std::vector<std::pair<std::string, std::string>> merges_from_tokens(
    const std::vector<std::string>& tokens);

}  // namespace opencloc
