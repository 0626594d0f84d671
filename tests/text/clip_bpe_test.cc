#include "opencloc/text/clip_bpe.h"

#include <cstdlib>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "tests/text/small_vocabulary.h"

namespace opencloc {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;

class SmallBpe : public testing::Test {
 protected:
  // Symbols after decoding, "w" for a word end: easier to read than ids.
  std::vector<std::string> symbols(std::string_view text) const {
    std::vector<std::string> out;
    for (const int32_t id : bpe_->encode(text)) out.push_back(names_.at(id));
    return out;
  }

  void SetUp() override {
    const BpeVocabulary vocabulary = parse_bpe_merges({"small", small_merges()});
    for (const auto& [symbol, id] : vocabulary.ids) names_[id] = symbol;
    bpe_ = std::make_unique<ClipBpe>(vocabulary, std::vector<TokenizerFile>(), "small");
  }

  std::unordered_map<int32_t, std::string> names_;
  std::unique_ptr<ClipBpe> bpe_;
};

TEST_F(SmallBpe, IdsFollowTheOrderOfTheFile) {
  EXPECT_EQ(bpe_->vocab_size(), 512 + kSmallMerges + 2);
  EXPECT_EQ(bpe_->start_id(), 512 + kSmallMerges);
  EXPECT_EQ(bpe_->end_id(), 512 + kSmallMerges + 1);
  EXPECT_EQ(bpe_->pad_id(), 0);
  EXPECT_THAT(bpe_->encode("!"), ElementsAre(256));   // "!</w>": the first printable byte
  EXPECT_THAT(bpe_->encode("lo"), ElementsAre(514));  // the third merge
}

TEST_F(SmallBpe, MergesByRankNotByLength) {
  EXPECT_THAT(symbols("low"), ElementsAre("low</w>"));
  EXPECT_THAT(symbols("lower"), ElementsAre("lo", "wer</w>"));
  EXPECT_THAT(symbols("lo w"), ElementsAre("lo</w>", "w</w>"));
  // "aa" has a lower rank than "aa</w>"'s parts: pairs are taken left to right, none overlapping.
  EXPECT_THAT(symbols("aaaaa"), ElementsAre("aaaa", "a</w>"));
}

TEST_F(SmallBpe, SplitsWordsNumbersAndPunctuation) {
  EXPECT_THAT(symbols("x'll 12?!y"),
              ElementsAre("x</w>", "'", "l", "l</w>", "1</w>", "2</w>", "?", "!</w>", "y</w>"));
  EXPECT_THAT(symbols(""), IsEmpty());
  EXPECT_THAT(symbols(" \t\n"), IsEmpty());
}

TEST_F(SmallBpe, SpecialTokensInTheTextAreOneId) {
  EXPECT_THAT(bpe_->encode("<|startoftext|>lo<|endoftext|>"),
              ElementsAre(*bpe_->start_id(), 514, bpe_->end_id()));
}

TEST_F(SmallBpe, IdsAreReadBack) {
  for (const std::string text : {"lower low", "aaaaa l", "caf\xc3\xa9 12", ""}) {
    std::string spaced = bpe_->decode(bpe_->encode(text));
    if (text.ends_with("12")) spaced = spaced.substr(0, spaced.size() - 3) + "12";  // "1 2"
    EXPECT_EQ(spaced, text);
  }
  EXPECT_EQ(bpe_->decode(tokenize(*bpe_, "low", 6).ids), "low !!!");  // padding is a letter's id
  EXPECT_EQ(bpe_->decode(std::vector<int32_t>{-1, 1 << 20, bpe_->end_id()}), "");
}

TEST_F(SmallBpe, AnyBytesAreAccepted) {
  EXPECT_FALSE(bpe_->encode("\xff\xfe\xc3").empty());
  EXPECT_EQ(bpe_->encode(std::string(3, '\0')).size(), 0U);
}

TEST_F(SmallBpe, LongWordsCostNoMoreThanTheirLength) {
  const std::string word(300'000, 'a');
  EXPECT_EQ(bpe_->encode(word).size(), 75'002U);  // "aaaa" 74,999 times, "aa", "a", "a</w>"
}

TEST_F(SmallBpe, ThreadsAgree) {
  const std::vector<int32_t> expected = bpe_->encode("low lower lowest aaaa");
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        bpe_->encode("word" + std::to_string(i));
        if (bpe_->encode("low lower lowest aaaa") != expected) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(BpeVocabulary, BrokenFilesAreErrors) {
  EXPECT_THROW(parse_bpe_merges({"m", ""}), Error);
  EXPECT_THROW(parse_bpe_merges({"m", "title\nonly-one-symbol\n"}), Error);
  EXPECT_THROW(parse_bpe_merges({"m", "title\nthree symbols here\n"}), Error);
  EXPECT_THROW(parse_bpe_merges({"m", "\x1f\x8b\x08 not a gzip"}), Error);
  EXPECT_THROW(parse_bpe_vocabulary({"v", "[1, 2]"}, {"m", "title\na b\n"}), Error);
  EXPECT_THROW(parse_bpe_vocabulary({"v", R"({"a": "x"})"}, {"m", "title\na b\n"}), Error);
}

TEST(BpeVocabulary, MissingSymbolsAreNamed) {
  BpeVocabulary vocabulary = parse_bpe_merges({"m", small_merges()});
  vocabulary.ids.erase("lo");
  try {
    ClipBpe bpe(vocabulary, {}, "here.json");
    FAIL() << "accepted a vocabulary without 'lo'";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'lo'"));
    EXPECT_THAT(error.what(), HasSubstr("here.json"));
  }
}

// Ids written by the Python tokenizers for real captions and awkward texts.
TEST(ClipBpe, EqualsTheReference) {
  const char* named = std::getenv("OPENCLOC_TEST_DATA");
  const std::filesystem::path shared = named != nullptr ? named : OPENCLOC_SOURCE_DIR "/../shared";
  if (!std::filesystem::exists(shared / "parity/clip_bpe_cases.json")) {
    GTEST_SKIP() << "no reference cases in " << shared << " (set OPENCLOC_TEST_DATA)";
  }
  const auto bpe = load_tokenizer(shared / "data/clip");
  EXPECT_EQ(bpe->vocab_size(), 49408);
  EXPECT_EQ(bpe->start_id(), 49406);
  EXPECT_EQ(bpe->end_id(), 49407);
  const Json cases = read_json(shared / "parity/clip_bpe_cases.json");
  ASSERT_GT(cases.size(), 300U);
  for (const Json& item : cases) {
    const auto text = item.at("text").get<std::string>();
    EXPECT_THAT(bpe->encode(text), ElementsAreArray(item.at("ids").get<std::vector<int32_t>>()))
        << text;
  }
}

}  // namespace
}  // namespace opencloc
