// A SentencePiece model as transformers reads it (tokenizer.json, tokenizer_config.json), and so
// open_clip's get_tokenizer(): both have their own copy of the algorithm.
#pragma once

#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

// The two files; none for what is no SentencePiece model as we train them for texts: BPE without
// symbols of its own, single digits or bytes. Ids are ours, but for what a program does to a text
// before (open_clip turns "&amp;" into "&").
std::vector<TokenizerFile> transformers_tokenizer_files(const Tokenizer& tokenizer);

// Is a tokenizer_config.json one of these? It says nothing that the model does not.
bool is_transformers_copy(const Json& tokenizer_config);

}  // namespace opencloc
