// SigLIP's ids against the SentencePiece library's own Python module. Skipped, visibly, where
// Debian's python3-sentencepiece is absent.
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/text/sentence_piece.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kTexts = {
    "a photo of a cat",
    "  Two DOGS,  playing (in the snow)!\n",
    "",
    "...",
    "café au lait — l’été, 12.5% off; e-mail: a_b@c.de",
    "ΟΔΟΣ ΣΟΦΟΥ",
    "日本語のテキスト、句読点。",
    "emoji 🐈\u200d⬛ and\u00a0no-break",
    "a very long caption that goes on and on about a red car beside a blue bus in front of a house",
    "</s> <pad> <unk> _under_score_ #tag",
};

std::vector<int32_t> ids(const Tokenizer& tokenizer, const std::string& text) {
  return tokenize(tokenizer, text, 16).ids;
}

TEST(SiglipTokenizer, EqualsTheSentencePieceLibrary) {
  if (std::system("/usr/bin/python3 -c 'import sentencepiece' 2>/dev/null") != 0)
    GTEST_SKIP() << "python3-sentencepiece is not installed";
  const fs::path folder = fs::path(testing::TempDir()) / "siglip_tokenizer";
  fs::remove_all(folder);
  fs::create_directories(folder);
  size_t next = 0;
  train_sentencepiece(
      [&]() -> std::optional<std::string> {
        if (next == 20 * kTexts.size()) return std::nullopt;
        return kTexts[next++ % kTexts.size()] + " again";
      },
      {.vocab_size = 300}, folder / "spiece.model");
  const auto plain = load_tokenizer(folder);
  write_file(folder / "tokenizer_config.json", R"({"tokenizer_class": "SiglipTokenizer"})");
  const auto siglip = load_tokenizer(folder);
  Json cases = Json::array();
  for (const auto& text : kTexts)
    cases.push_back({{"text", text}, {"siglip", ids(*siglip, text)}, {"plain", ids(*plain, text)}});
  write_file(folder / "cases.json", dump_json(cases));
  const std::string command =
      "/usr/bin/python3 " OPENCLOC_SOURCE_DIR "/tests/text/siglip_tokenizer_reference.py " +
      (folder / "spiece.model").string() + " " + (folder / "cases.json").string();
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

}  // namespace
}  // namespace opencloc
