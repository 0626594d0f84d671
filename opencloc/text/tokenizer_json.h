// tokenizer.json: a tokenizer in one file, as the `tokenizers` library has it and transformers 5
// writes alone. CLIP's are read: byte-level BPE whose words end with "</w>".
#pragma once

#include <filesystem>
#include <memory>

#include "opencloc/text/tokenizer.h"

namespace opencloc {

// Does the file hold such a BPE? False when there is no file. Error (input) when it is no JSON.
bool is_clip_tokenizer_json(const std::filesystem::path& path);

// The tokenizer's files() are the file itself, and the pair vocab.json and merges.txt made of it,
// which more programs read. Error (input) for another kind of tokenizer, and for steps that would
// give other ids than CLIP's.
std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& path);

}  // namespace opencloc
