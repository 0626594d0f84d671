// The regular expression that CLIP's tokenizer splits by, as a hand-written scanner:
// <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd | \p{L}+ | \p{N} |
// [^\s\p{L}\p{N}]+
#pragma once

#include <functional>
#include <string_view>

namespace opencloc {

// Calls `word` with each match, in order; `text` is cleaned UTF-8.
void split_clip_words(std::string_view text, const std::function<void(std::string_view)>& word);

}  // namespace opencloc
