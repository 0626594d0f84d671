#include "opencloc/text/tokenizer.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"

namespace opencloc {

std::string Tokenizer::decode(std::span<const int32_t>) const {
  throw Error::input("this tokenizer does not turn ids into text", "tokenizer",
                     "use CLIP's BPE or SentencePiece");
}

TokenizedText tokenize(const Tokenizer& tokenizer, std::string_view text, int64_t context_length) {
  if (context_length < 2) {
    throw Error::input("the context length " + std::to_string(context_length) +
                           " has no room for start and end token",
                       "tokenizer", "set it to 2 or more (the paper's is 77)");
  }
  const std::vector<int32_t> words = tokenizer.encode(text);
  TokenizedText out;
  out.ids.reserve(static_cast<size_t>(context_length));
  if (const auto start = tokenizer.start_id()) out.ids.push_back(*start);
  const int64_t room = context_length - 1 - static_cast<int64_t>(out.ids.size());
  const int64_t kept = std::min(room, static_cast<int64_t>(words.size()));
  out.ids.insert(out.ids.end(), words.begin(), words.begin() + kept);
  out.ids.push_back(tokenizer.end_id());
  out.length = static_cast<int64_t>(out.ids.size());
  out.dropped = static_cast<int64_t>(words.size()) - kept;
  out.ids.resize(static_cast<size_t>(context_length), tokenizer.pad_id());
  return out;
}

void TruncationCounter::add(const TokenizedText& text) {
  ++texts_;
  tokens_ += text.length + text.dropped;
  if (!text.truncated()) return;
  ++texts_cut_;
  tokens_cut_ += text.dropped;
}

std::array<int64_t, 4> TruncationCounter::counts() const {
  return {texts(), texts_cut(), tokens(), tokens_cut()};
}

void TruncationCounter::add(const std::array<int64_t, 4>& counts) {
  texts_ += counts[0];
  texts_cut_ += counts[1];
  tokens_ += counts[2];
  tokens_cut_ += counts[3];
}

std::string TruncationCounter::summary() const {
  const auto percent = [](int64_t part, int64_t whole) {
    return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  return fmt::format("{} of {} texts ({:.1f}%) were cut, losing {:.1f}% of all tokens", texts_cut(),
                     texts(), percent(texts_cut(), texts()), percent(tokens_cut(), tokens()));
}

void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& directory) {
  for (const TokenizerFile& file : tokenizer.files()) {
    write_file(directory / file.name, file.bytes);
  }
}

}  // namespace opencloc
