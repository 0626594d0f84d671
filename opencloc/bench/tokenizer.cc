#include <algorithm>
#include <filesystem>
#include <set>

#include "opencloc/base/rng.h"
#include "opencloc/base/temporary.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/text/clip_bpe.h"
#include "opencloc/text/sentence_piece.h"

namespace opencloc::bench {
namespace {

namespace fs = std::filesystem;

constexpr size_t kWords = 5000, kCaptions = 4000;

// Captions of 5 to 20 made-up words, frequent ones and rare ones (Zipf).
struct Corpus {
  std::vector<std::string> words, captions;

  explicit Corpus(uint64_t seed) {
    Rng rng(seed);
    for (size_t i = 0; i < kWords; ++i) {
      std::string word;
      for (uint64_t syllable = 1 + rng.below(3); syllable > 0; --syllable) {
        word += "bcdfghklmnprstvw"[rng.below(16)];
        word += "aeiou"[rng.below(5)];
      }
      words.push_back(word + "nrst"[rng.below(4)]);
    }
    for (size_t i = 0; i < kCaptions; ++i) {
      std::string caption = "A";
      for (uint64_t count = 5 + rng.below(16); count > 0; --count) {
        const double place = std::pow(static_cast<double>(kWords), rng.uniform()) - 1;
        caption += " " + words[std::min(kWords - 1, static_cast<size_t>(place))];
      }
      captions.push_back(caption + ".");
    }
  }
};

// A vocabulary whose merges build the first half of the words, letter by letter.
std::shared_ptr<const Tokenizer> made_up_bpe(const Corpus& corpus) {
  std::string merges = "\"bench\" #version: 0.2\n";
  std::set<std::string> seen;
  for (size_t i = 0; i < corpus.words.size() / 2; ++i) {
    const std::string& word = corpus.words[i];
    for (size_t n = 1; n < word.size(); ++n) {
      const std::string line =
          word.substr(0, n) + " " + word[n] + (n + 1 == word.size() ? "</w>" : "");
      if (seen.insert(line).second) merges += line + "\n";
    }
  }
  return std::make_shared<ClipBpe>(parse_bpe_merges({"bench", merges}),
                                   std::vector<TokenizerFile>(), "bench");
}

std::shared_ptr<const Tokenizer> made_up_sentence_piece(const Corpus& corpus) {
  const fs::path path = fs::temp_directory_path() / ("opencloc-bench-" + owner_tag() + ".model");
  size_t next = 0;
  const auto captions = [&]() -> std::optional<std::string> {
    if (next == corpus.captions.size()) return std::nullopt;
    return corpus.captions[next++];
  };
  train_sentencepiece(captions, {.vocab_size = 2000}, path);
  auto tokenizer = load_tokenizer(path);
  std::error_code ignored;
  fs::remove(path, ignored);
  return tokenizer;
}

}  // namespace

void tokenizer(const BenchOptions& options) {
  const Corpus corpus(options.seed);
  const auto run = [&](const std::string& name, const Tokenizer& tokenizer) {
    constexpr int64_t kContext = 77;
    int64_t ids = 0;
    const Spent spent = time_of(options.seconds, [&] {  // one thread
      ids = 0;
      for (const auto& caption : corpus.captions)
        ids += tokenize(tokenizer, caption, kContext).length;
    });
    const auto count = static_cast<double>(corpus.captions.size());
    auto figure = figure_of("tokenizer/" + name + "/t1", count, spent);
    figure.more["ids_a_text"] = static_cast<double>(ids) / count;
    report(options, figure);
  };
  if (!options.tokenizer.empty()) {
    run(fs::path(options.tokenizer).filename().string(), *load_tokenizer(options.tokenizer));
    return;
  }
  run("bpe", *made_up_bpe(corpus));
  run("sentencepiece", *made_up_sentence_piece(corpus));
}

}  // namespace opencloc::bench
