// A picture's dialogues as a sequence: what is read, what is learned, where regions stand.
#include "opencloc/mllm/sequence.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/text/sentence_piece.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr PictureSize kPicture{200, 100};

class SequenceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { tokenizer_ = trained({"<image>", "<region>"}); }
  static void TearDownTestSuite() { tokenizer_.reset(); }

  static std::shared_ptr<const Tokenizer> trained(std::vector<std::string> symbols) {
    const auto path =
        fs::temp_directory_path() / ("sequence_test." + std::to_string(getpid()) + ".model");
    int left = 300;
    train_sentencepiece(
        [&]() -> std::optional<std::string> {
          if (left-- == 0) return std::nullopt;
          return "USER: where is the fox or the bat? ASSISTANT: fox [" + std::to_string(left) +
                 ", 512, 907, 34].";
        },
        {.vocab_size = 300, .symbols = std::move(symbols), .split_digits = true}, path);
    auto tokenizer = load_tokenizer(path);
    fs::remove(path);
    return tokenizer;
  }

  static SequenceOptions options(bool regions, int64_t context = 200) {
    return {.frame = {.frame = Frame::kFerret},
            .image_tokens = 4,
            .context_length = context,
            .region_symbols = regions};
  }

  // The text of the ids that are learned, or of the others without the picture's.
  static std::string text(const Sequence& sequence, bool learned) {
    std::vector<int32_t> ids;
    const int32_t image = symbol_id(*tokenizer_, kImageSymbol);
    for (size_t i = 0; i < sequence.ids.size(); ++i) {
      if ((sequence.learned[i] != 0) == learned && sequence.ids[i] != image)
        ids.push_back(sequence.ids[i]);
    }
    return tokenizer_->decode(ids);
  }

  static Dialogue refer() {
    return {"refer", {{"Is <box0> a fox or a bat?", "fox"}}, {{0.1F, 0.2F, 0.5F, 0.9F}}, {}, {}};
  }
  static Dialogue ground() {
    return {"ground", {{"Where is the bat?", "bat <box0>."}}, {{0.25F, 0.5F, 0.75F, 1}}, {}, {}};
  }

  static std::shared_ptr<const Tokenizer> tokenizer_;
};
std::shared_ptr<const Tokenizer> SequenceTest::tokenizer_;

TEST_F(SequenceTest, OnlyAnswersAreLearned) {
  const SequenceMaker maker(*tokenizer_, options(false));
  const Sequence sequence = maker.learn({refer(), ground()}, kPicture);
  EXPECT_EQ(sequence.ids.size(), sequence.learned.size());
  EXPECT_EQ(text(sequence, true), "fox bat [250, 500, 750, 999].");
  EXPECT_EQ(text(sequence, false),
            "user: is [100, 200, 500, 900] a fox or a bat? assistant: user: where is the bat? "
            "assistant:");
  EXPECT_EQ(sequence.turns, 2);
  EXPECT_TRUE(sequence.regions.empty());
  // Each answer ends, and the picture stands once, in one piece.
  EXPECT_EQ(std::count(sequence.ids.begin(), sequence.ids.end(), tokenizer_->end_id()), 2);
  EXPECT_EQ(sequence.ids.back(), tokenizer_->end_id());
  const int32_t image = symbol_id(*tokenizer_, kImageSymbol);
  const auto first = std::find(sequence.ids.begin(), sequence.ids.end(), image);
  EXPECT_EQ(std::count(sequence.ids.begin(), sequence.ids.end(), image), 4);
  EXPECT_EQ(std::count(first, first + 4, image), 4);
}

TEST_F(SequenceTest, RegionsFollowQuestionsAlone) {
  const SequenceMaker maker(*tokenizer_, options(true));
  Dialogue point = refer();
  point.turns[0].ask = "What is at <point0>?";
  point.points = {{0.3F, 0.5F}};
  const Sequence sequence = maker.learn({refer(), ground(), point}, kPicture);
  EXPECT_THAT(text(sequence, false), HasSubstr("900] <region> a fox"));
  EXPECT_THAT(text(sequence, false), HasSubstr("what is at [300, 500] <region>?"));
  EXPECT_THAT(text(sequence, true), testing::Not(HasSubstr("region")));
  const std::vector<SequenceRegion> expected = {{refer().boxes[0], false, {}},
                                                {{0.3F, 0.5F, 0.3F, 0.5F}, true, {0.3F, 0.5F}}};
  EXPECT_EQ(sequence.regions, expected);
  const int32_t region = symbol_id(*tokenizer_, kRegionSymbol);
  EXPECT_EQ(std::count(sequence.ids.begin(), sequence.ids.end(), region), 2);
}

TEST_F(SequenceTest, TurnsThatDoNotFitAreLeftOut) {
  const SequenceMaker all(*tokenizer_, options(true));
  const auto long_one = all.learn({refer(), ground()}, kPicture);
  const auto size = static_cast<int64_t>(long_one.ids.size());
  const SequenceMaker maker(*tokenizer_, options(true, size - 1));
  const Sequence sequence = maker.learn({refer(), ground()}, kPicture);
  EXPECT_EQ(sequence.turns, 1);
  EXPECT_EQ(sequence.turns_left_out, 1);
  EXPECT_EQ(text(sequence, true), "fox");
  EXPECT_TRUE(std::equal(sequence.ids.begin(), sequence.ids.end(), long_one.ids.begin()));
}

TEST_F(SequenceTest, AQuestionIsTheLearnedSequenceUpToItsAnswer) {
  const SequenceMaker maker(*tokenizer_, options(true));
  const Sequence learned = maker.learn({refer()}, kPicture);
  const Sequence asked = maker.ask(refer(), kPicture);
  EXPECT_TRUE(std::equal(asked.ids.begin(), asked.ids.end(), learned.ids.begin()));
  EXPECT_EQ(std::count(asked.learned.begin(), asked.learned.end(), 1), 0);
  EXPECT_EQ(learned.learned[asked.ids.size()], 1);
  EXPECT_EQ(asked.regions, learned.regions);
  const auto size = static_cast<int64_t>(asked.ids.size());
  EXPECT_THROW(SequenceMaker(*tokenizer_, options(true, size)).ask(refer(), kPicture), Error);
}

TEST_F(SequenceTest, RefusesTokenizersWithoutItsSymbolsAndShortContexts) {
  const auto plain = trained({});
  try {
    const SequenceMaker maker(*plain, options(true));
    FAIL() << "a tokenizer without symbols was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("does not know the symbol <image>"));
  }
  EXPECT_THROW(SequenceMaker(*tokenizer_, options(true, 4)), Error);
}

}  // namespace
}  // namespace opencloc
