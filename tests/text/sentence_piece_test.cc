#include "opencloc/text/sentence_piece.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/text/sentence_piece_pieces.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using testing::Each;
using testing::Ge;
using testing::IsEmpty;

CaptionSource from_list(std::vector<std::string> captions) {
  return [captions = std::move(captions), i = size_t{0}]() mutable -> std::optional<std::string> {
    if (i == captions.size()) return std::nullopt;
    return captions[i++];
  };
}

std::vector<std::string> made_captions(int count) {
  const std::vector<std::string> sizes = {"small", "Large", "red", "blue"};
  const std::vector<std::string> things = {"apple", "guitar", "fox", "Bus", "café", "umbrella"};
  Rng rng(1);
  std::vector<std::string> captions;
  for (int i = 0; i < count; ++i) {
    captions.push_back("a " + sizes[rng.below(sizes.size())] + " " +
                       things[rng.below(things.size())] + " above a " +
                       things[rng.below(things.size())]);
  }
  return captions;
}

class TrainSentencePiece : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path out(const char* name) const { return folder_ / name; }

 private:
  const fs::path folder_ =
      fs::path(testing::TempDir()) / ("opencloc-pieces-" + std::to_string(getpid()));
};

TEST_F(TrainSentencePiece, FollowsT5AndLowerCases) {
  testing::internal::CaptureStderr();
  train_sentencepiece(from_list(made_captions(500)), {.vocab_size = 200}, out("a.model"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());

  const auto tokenizer = load_tokenizer(out("a.model"));
  EXPECT_EQ(tokenizer->pad_id(), 0);
  EXPECT_EQ(tokenizer->end_id(), 1);
  EXPECT_EQ(tokenizer->start_id(), std::nullopt);
  EXPECT_LE(tokenizer->vocab_size(), 200);
  EXPECT_EQ(tokenizer->encode("A LARGE GUITAR"), tokenizer->encode("a large guitar"));
  EXPECT_NE(tokenizer->encode("a large guitar"), tokenizer->encode("a large apple"));
  EXPECT_THAT(tokenizer->encode("a small fox above a bus"), Each(Ge(3)));  // no unknown pieces
  EXPECT_THAT(tokenizer->encode(""), IsEmpty());

  const TokenizedText text = tokenize(*tokenizer, "a red apple", 8);
  EXPECT_EQ(text.ids[static_cast<size_t>(text.length - 1)], 1);
  EXPECT_EQ(text.ids.back(), 0);
}

TEST_F(TrainSentencePiece, CaptionersGetAStartTokenAndReadIdsBack) {
  train_sentencepiece(from_list(made_captions(300)), {.vocab_size = 200, .start_token = true},
                      out("start.model"));
  const auto tokenizer = load_tokenizer(out("start.model"));
  ASSERT_EQ(tokenizer->start_id(), 3);
  EXPECT_EQ(tokenizer->end_id(), 1);
  const TokenizedText text = tokenize(*tokenizer, "A large Bus above a café", 20);
  EXPECT_EQ(text.ids[0], 3);
  EXPECT_EQ(text.ids[static_cast<size_t>(text.length - 1)], 1);
  EXPECT_EQ(tokenizer->decode(text.ids), "a large bus above a café");
  EXPECT_EQ(tokenizer->decode({}), "");
  EXPECT_THAT(tokenizer->encode("<|startoftext|>"), Each(testing::Ne(3)));
}

TEST_F(TrainSentencePiece, SiglipsTokenizerIsKnownByItsConfiguration) {
  const fs::path folder = out("siglip"), copy = out("siglip_copy");
  fs::create_directories(folder);
  fs::create_directories(copy);
  train_sentencepiece(from_list(made_captions(300)), {.vocab_size = 200}, folder / "spiece.model");
  const auto plain = load_tokenizer(folder);
  write_file(folder / "tokenizer_config.json", R"({"tokenizer_class": "SiglipTokenizer"})");
  const auto siglip = load_tokenizer(folder);
  EXPECT_EQ(siglip->pad_id(), siglip->end_id());
  EXPECT_NE(plain->pad_id(), plain->end_id());
  EXPECT_EQ(siglip->encode("  A red, apple!"), plain->encode("a red apple"));
  EXPECT_NE(plain->encode("a red, apple!"), plain->encode("a red apple"));
  save_tokenizer(*siglip, copy);
  EXPECT_EQ(load_tokenizer(copy)->encode("a red, apple!"), siglip->encode("a red apple"));
  EXPECT_EQ(load_tokenizer(copy)->pad_id(), siglip->end_id());
}

TEST_F(TrainSentencePiece, IsDeterministic) {
  for (const char* name : {"b1.model", "b2.model"}) {
    train_sentencepiece(from_list(made_captions(300)), {.vocab_size = 120}, out(name));
  }
  EXPECT_EQ(read_file(out("b1.model")), read_file(out("b2.model")));
}

TEST_F(TrainSentencePiece, SymbolsAndDigitsAreNotJoined) {
  std::vector<std::string> texts = made_captions(200);
  for (int i = 100; i < 400; ++i) texts.push_back("at [" + std::to_string(i) + ", 128]");
  train_sentencepiece(from_list(texts),
                      {.vocab_size = 200, .symbols = {"<image>", "<region>"}, .split_digits = true},
                      out("symbols.model"));
  const auto tokenizer = load_tokenizer(out("symbols.model"));
  const auto region = tokenizer->encode("<region>").back();
  const auto ids = tokenizer->encode("a fox<region>, at 128 or 128<region>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), region), 2);
  EXPECT_NE(tokenizer->encode("<image>").back(), region);
  const auto one = tokenizer->encode("1").back();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), one), 2) << "128 is three digits";
  EXPECT_EQ(tokenizer->decode(ids), "a fox<region>, at 128 or 128<region>");
}

// Ids and kinds are those that the library gives.
TEST_F(TrainSentencePiece, PiecesAreListedWithScoresAndKinds) {
  train_sentencepiece(from_list(made_captions(200)),
                      {.vocab_size = 120, .start_token = true, .symbols = {"<region>"}},
                      out("a.model"));
  const std::string bytes = read_file(out("a.model"));
  const auto pieces = sentence_piece_pieces(bytes, "a.model");
  const auto tokenizer = load_tokenizer(out("a.model"));
  ASSERT_EQ(static_cast<int64_t>(pieces.size()), tokenizer->vocab_size());
  const auto at = [&](int64_t id) { return pieces[static_cast<size_t>(id)]; };
  EXPECT_EQ(at(tokenizer->end_id()).text, "</s>");
  EXPECT_EQ(at(tokenizer->end_id()).kind, PieceKind::kControl);
  EXPECT_EQ(at(*tokenizer->start_id()).kind, PieceKind::kControl);
  EXPECT_EQ(at(2).kind, PieceKind::kUnknown);
  EXPECT_EQ(at(tokenizer->encode("<region>").back()).kind, PieceKind::kUserDefined);
  const auto apple = tokenizer->encode("apple");
  ASSERT_EQ(apple.size(), 1U);
  EXPECT_EQ(at(apple[0]).text, "\u2581apple");
  EXPECT_EQ(at(apple[0]).kind, PieceKind::kNormal);
  EXPECT_LT(at(apple[0]).score, 0);
  EXPECT_THROW(sentence_piece_pieces("", "x"), Error);
  EXPECT_THROW(sentence_piece_pieces(std::string_view(bytes).substr(0, bytes.size() / 2), "x"),
               Error);
}

TEST_F(TrainSentencePiece, SmallAndAwkwardCorporaWork) {
  const std::vector<std::vector<std::string>> corpora = {
      {"one caption"},
      {"x"},
      {"", "  \n ", "a cat\nand\ta dog", ""},
      {"日本語のテキスト", "emoji 😀🚀", "\xff\xfe broken"},
      {std::string(100'000, 'a')},
  };
  for (const auto& corpus : corpora) {
    train_sentencepiece(from_list(corpus), {}, out("c.model"));
    const auto tokenizer = load_tokenizer(out("c.model"));
    for (const int32_t id : tokenizer->encode("a cat on one caption")) {
      EXPECT_LT(id, tokenizer->vocab_size());
    }
  }
}

TEST_F(TrainSentencePiece, NothingToLearnFromIsAnError) {
  EXPECT_THROW(train_sentencepiece(from_list({}), {}, out("d.model")), Error);
  EXPECT_THROW(train_sentencepiece(from_list({"", "   "}), {}, out("d.model")), Error);
  EXPECT_THROW(train_sentencepiece(from_list({"a cat"}), {.vocab_size = 3}, out("d.model")), Error);
  EXPECT_FALSE(fs::exists(out("d.model")));
}

TEST_F(TrainSentencePiece, ReadsNoMoreCaptionsThanAsked) {
  int read = 0;
  const CaptionSource endless = [&]() -> std::optional<std::string> {
    return "caption " + std::to_string(read++);
  };
  train_sentencepiece(endless, {.vocab_size = 100, .max_captions = 50}, out("e.model"));
  EXPECT_EQ(read, 50);
}

TEST(SentencePieceTokenizer, RoundTripsThroughAFolder) {
  const fs::path folder = fs::path(testing::TempDir()) / "sp_folder";
  train_sentencepiece(from_list(made_captions(200)), {.vocab_size = 100}, folder / "spiece.model");
  const auto first = load_tokenizer(folder);
  save_tokenizer(*first, folder / "copy");
  EXPECT_TRUE(fs::exists(folder / "copy/tokenizer.model"));
  EXPECT_EQ(load_tokenizer(folder / "copy")->encode("a red café"), first->encode("a red café"));
}

}  // namespace
}  // namespace opencloc
