// Our SentencePiece models as transformers reads them. That its ids are ours is for
// tests/tools/drop_in_test.py, which asks open_clip's get_tokenizer().
#include "opencloc/text/sentence_piece_json.h"

#include <filesystem>
#include <map>

#include <gtest/gtest.h>
#include <unistd.h>

#include "opencloc/base/files.h"
#include "opencloc/text/sentence_piece.h"
#include "opencloc/text/sentence_piece_pieces.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

class SentencePieceJson : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(folder_); }
  std::shared_ptr<const Tokenizer> trained(SentencePieceTraining options) {
    int left = 300;
    options.vocab_size = 120;
    const auto captions = [&]() -> std::optional<std::string> {
      const char* kThings[] = {"a red apple", "the small guitar", "a blue bus above a café"};
      if (left-- <= 0) return std::nullopt;
      return kThings[left % 3];
    };
    train_sentencepiece(captions, options, folder_ / "tokenizer.model");
    return load_tokenizer(folder_);
  }
  const fs::path folder_ =
      fs::path(testing::TempDir()) / ("opencloc-piece-json-" + std::to_string(getpid()));
};

TEST_F(SentencePieceJson, HasEveryPieceAndJoinsThemByScore) {
  const auto tokenizer = trained({});
  const auto files = transformers_tokenizer_files(*tokenizer);
  ASSERT_EQ(files.size(), 2U);
  ASSERT_EQ(files[0].name, "tokenizer.json");
  const Json json = parse_json(files[0].bytes, "tokenizer.json");
  const auto pieces = sentence_piece_pieces(tokenizer->files()[0].bytes, "tokenizer.model");
  ASSERT_EQ(json["model"]["vocab"].size(), pieces.size());
  std::map<std::string, float> scores;
  for (size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(json["model"]["vocab"][pieces[i].text], i);
    scores[pieces[i].text] = pieces[i].score;
  }
  ASSERT_GT(json["model"]["merges"].size(), 20U);
  float before = 0;
  for (const auto& merge : json["model"]["merges"]) {
    const auto made = scores.find(merge[0].get<std::string>() + merge[1].get<std::string>());
    ASSERT_NE(made, scores.end()) << merge;
    EXPECT_LE(made->second, before);
    before = made->second;
  }
  EXPECT_EQ(json["post_processor"]["single"].size(), 2U);
  EXPECT_EQ(json["post_processor"]["special_tokens"]["</s>"]["ids"][0], tokenizer->end_id());
  EXPECT_EQ(json["model"]["unk_token"], "<unk>");
  const Json config = parse_json(files[1].bytes, "tokenizer_config.json");
  EXPECT_EQ(config["pad_token"], pieces[static_cast<size_t>(tokenizer->pad_id())].text);
}

TEST_F(SentencePieceJson, ACaptionersTextsBeginWithItsStart) {
  const auto tokenizer = trained({.start_token = true});
  const auto files = transformers_tokenizer_files(*tokenizer);
  ASSERT_EQ(files.size(), 2U);
  const Json single = parse_json(files[0].bytes, "tokenizer.json")["post_processor"]["single"];
  ASSERT_EQ(single.size(), 3U);
  EXPECT_EQ(single[0]["SpecialToken"]["id"], "<|startoftext|>");
}

TEST_F(SentencePieceJson, ModelsThatItCannotSayHaveNone) {
  EXPECT_TRUE(transformers_tokenizer_files(*trained({.symbols = {"<region>"}})).empty());
  EXPECT_TRUE(transformers_tokenizer_files(*trained({.split_digits = true})).empty());
}

TEST_F(SentencePieceJson, TheCopyIsNoPartOfTheTokenizer) {
  for (const auto& file : transformers_tokenizer_files(*trained({})))
    write_file(folder_ / file.name, file.bytes);
  const auto again = load_tokenizer(folder_);
  ASSERT_EQ(again->files().size(), 1U);
  EXPECT_EQ(again->files()[0].name, "tokenizer.model");
  EXPECT_EQ(transformers_tokenizer_files(*again).size(), 2U);
}

}  // namespace
}  // namespace opencloc
