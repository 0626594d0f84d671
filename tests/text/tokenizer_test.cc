#include "opencloc/text/tokenizer.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/text/bpe_vocabulary.h"
#include "tests/text/small_vocabulary.h"

namespace opencloc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A word a letter; as CLIP it has a start token, as T5 none.
class Letters : public Tokenizer {
 public:
  explicit Letters(std::optional<int32_t> start) : start_(start) {}
  std::vector<int32_t> encode(std::string_view text) const override {
    return {text.begin(), text.end()};
  }
  int64_t vocab_size() const override { return 258; }
  std::optional<int32_t> start_id() const override { return start_; }
  int32_t end_id() const override { return 257; }
  int32_t pad_id() const override { return 0; }
  const std::vector<TokenizerFile>& files() const override { return files_; }

 private:
  std::optional<int32_t> start_;
  std::vector<TokenizerFile> files_;
};

TEST(Tokenize, PadsAfterTheEndToken) {
  const TokenizedText text = tokenize(Letters(256), "ab", 6);
  EXPECT_THAT(text.ids, ElementsAre(256, 'a', 'b', 257, 0, 0));
  EXPECT_EQ(text.length, 4);
  EXPECT_FALSE(text.truncated());
  EXPECT_THAT(tokenize(Letters(std::nullopt), "ab", 4).ids, ElementsAre('a', 'b', 257, 0));
  EXPECT_THAT(tokenize(Letters(std::nullopt), "", 3).ids, ElementsAre(257, 0, 0));
}

TEST(Tokenize, CutsSoThatTheEndTokenIsLast) {
  const TokenizedText text = tokenize(Letters(256), "abcde", 4);
  EXPECT_THAT(text.ids, ElementsAre(256, 'a', 'b', 257));
  EXPECT_EQ(text.length, 4);
  EXPECT_EQ(text.dropped, 3);
  EXPECT_TRUE(text.truncated());
  EXPECT_FALSE(tokenize(Letters(256), "ab", 4).truncated());
  EXPECT_THAT(tokenize(Letters(256), "abc", 2).ids, ElementsAre(256, 257));
}

TEST(Tokenize, RefusesAContextWithoutRoom) { EXPECT_THROW(tokenize(Letters(256), "a", 1), Error); }

TEST(TruncationCounter, CountsTextsAndTokens) {
  TruncationCounter counter;
  EXPECT_EQ(counter.summary(), "0 of 0 texts (0.0%) were cut, losing 0.0% of all tokens");
  counter.add(tokenize(Letters(256), "abcdefgh", 6));  // 10 ids, 4 of them lost
  for (int i = 0; i < 3; ++i) counter.add(tokenize(Letters(256), "abcdefgh", 10));
  EXPECT_EQ(counter.texts(), 4);
  EXPECT_EQ(counter.texts_cut(), 1);
  EXPECT_EQ(counter.tokens(), 40);
  EXPECT_EQ(counter.tokens_cut(), 4);
  EXPECT_EQ(counter.summary(), "1 of 4 texts (25.0%) were cut, losing 10.0% of all tokens");
}

class LoadTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Saved and loaded again from the copy alone, it encodes alike.
  void expect_round_trip(const std::filesystem::path& path) const {
    const auto first = load_tokenizer(path);
    const std::filesystem::path copy = folder_ / "copy";
    save_tokenizer(*first, copy);
    const auto second = load_tokenizer(copy);
    EXPECT_THAT(first->encode("lower"), ElementsAre(515, 518));
    EXPECT_EQ(first->encode("low aaa, 7!"), second->encode("low aaa, 7!"));
    EXPECT_EQ(first->end_id(), second->end_id());
    EXPECT_EQ(first->vocab_size(), second->vocab_size());
  }

  std::filesystem::path folder_;
};

TEST_F(LoadTokenizer, PlainMerges) {
  write_file(folder_ / "bpe_simple_vocab_small.txt", small_merges());
  expect_round_trip(folder_ / "bpe_simple_vocab_small.txt");
  expect_round_trip(folder_);
}

TEST_F(LoadTokenizer, AMergesFileHasAPairForTransformers) {
  write_file(folder_ / "bpe_simple_vocab_16e6.txt", small_merges());
  const auto merges = load_tokenizer(folder_);
  const auto files = bpe_pair_files(*merges);
  ASSERT_EQ(files.size(), 2U);
  for (const auto& file : files) write_file(folder_ / "pair" / file.name, file.bytes);
  const auto pair = load_tokenizer(folder_ / "pair");
  EXPECT_EQ(pair->encode("slow lower! aaa"), merges->encode("slow lower! aaa"));
  EXPECT_EQ(pair->end_id(), merges->end_id());
  EXPECT_TRUE(bpe_pair_files(*pair).empty());
}

TEST_F(LoadTokenizer, GzippedMerges) {
  const std::filesystem::path file = folder_ / "bpe_simple_vocab_16e6.txt.gz";
  gzFile gz = gzopen(file.c_str(), "wb");
  ASSERT_NE(gz, nullptr);
  const std::string text = small_merges();
  ASSERT_EQ(gzwrite(gz, text.data(), static_cast<unsigned>(text.size())),
            static_cast<int>(text.size()));
  gzclose(gz);
  expect_round_trip(folder_);

  const std::string whole = read_file(file);
  write_file(file, whole.substr(0, whole.size() / 2));
  EXPECT_THROW(load_tokenizer(folder_), Error);
}

TEST_F(LoadTokenizer, VocabularyAndMerges) {
  Json ids = Json::object();
  for (const auto& [symbol, id] : parse_bpe_merges({"", small_merges()}).ids) ids[symbol] = id;
  write_file(folder_ / "vocab.json", ids.dump());
  write_file(folder_ / "merges.txt", small_merges());
  expect_round_trip(folder_);
  expect_round_trip(folder_ / "vocab.json");
  expect_round_trip(folder_ / "merges.txt");
}

TEST_F(LoadTokenizer, SaysWhatIsMissing) {
  try {
    load_tokenizer(folder_);
    FAIL() << "loaded a tokenizer from an empty folder";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(folder_.string()));
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.model"));
  }
  EXPECT_THROW(load_tokenizer(folder_ / "nothing.model"), Error);
  EXPECT_THROW(load_tokenizer(folder_ / "picture.jpg"), Error);
  write_file(folder_ / "tokenizer.model", "no model at all");
  EXPECT_THROW(load_tokenizer(folder_), Error);
}

}  // namespace
}  // namespace opencloc
