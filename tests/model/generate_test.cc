#include "opencloc/model/coca/generate.h"

#include <gmock/gmock.h>
#include <torch/utils.h>

#include "tests/model/small_coca.h"

namespace opencloc {
namespace {

using fixtures::random_coca;
using fixtures::small_coca;
using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::Lt;

GenerateOptions options_for(const ModelConfig& config) {
  GenerateOptions options;
  options.start_id = fixtures::kCocaStart;
  options.end_id = static_cast<int32_t>(config.text.vocab_size - 1);
  options.vocab_size = config.text.vocab_size;
  options.max_tokens = longest_caption(config);
  return options;
}

// Log-likelihoods of what follows `ids`, by a whole forward pass; never start and padding.
torch::Tensor following(Cloc& model, const torch::Tensor& image, const std::vector<int32_t>& ids) {
  std::vector<int64_t> read{fixtures::kCocaStart};
  read.insert(read.end(), ids.begin(), ids.end());
  const auto tokens = model->text->encode(torch::tensor(read).unsqueeze(0)).tokens;
  auto logits = model->text_decoder->logits(model->text_decoder->forward(tokens, image))[0][-1];
  logits[0] = logits[fixtures::kCocaStart] = -std::numeric_limits<float>::infinity();
  return logits.log_softmax(0);
}

TEST(Generate, GreedyTakesTheLikeliestEachTime) {
  auto model = random_coca();
  const torch::NoGradGuard no_grad;
  const auto image = torch::randn({20, 4, 16});
  auto options = options_for(model->config());
  // A random model hardly ends: an id it writes becomes the end.
  options.end_id = generate(model, image, options)[0].ids[2];
  const auto texts = generate(model, image, options);
  ASSERT_EQ(texts.size(), 20U);
  size_t ended = 0;
  for (int64_t b = 0; b < 20; ++b) {
    std::vector<int32_t> ids;
    int32_t next = 0;
    while (true) {
      next = following(model, image.slice(0, b, b + 1), ids).argmax().item<int32_t>();
      if (next == options.end_id || static_cast<int64_t>(ids.size()) == options.max_tokens) break;
      ids.push_back(next);
    }
    const auto& text = texts[static_cast<size_t>(b)];
    EXPECT_THAT(text.ids, ElementsAreArray(ids)) << b;
    EXPECT_EQ(text.ended, next == options.end_id) << b;
    ended += text.ended ? 1 : 0;
  }
  EXPECT_GT(ended, 0U);
}

// Every text of up to `left` more words, and its mean log-likelihood.
void best_text(Cloc& model, const torch::Tensor& image, const GenerateOptions& options,
               int64_t left, std::vector<int32_t>& ids, double sum,
               std::pair<double, std::vector<int32_t>>& best) {
  const auto next = following(model, image, ids);
  const double mean =
      (sum + next[options.end_id].item<double>()) / static_cast<double>(ids.size() + 1);
  if (mean > best.first) best = {mean, ids};
  if (left == 0) return;
  for (int32_t id = 2; id < options.end_id; ++id) {
    ids.push_back(id);
    best_text(model, image, options, left - 1, ids, sum + next[id].item<double>(), best);
    ids.pop_back();
  }
}

TEST(Generate, EnoughBeamsFindTheBestText) {
  auto config = small_coca();
  config.text.vocab_size = 6;  // padding, start, three words, end
  auto model = random_coca(config);
  const torch::NoGradGuard no_grad;
  const auto image = torch::randn({5, 4, 16});
  auto options = options_for(config);
  options.max_tokens = 2;
  options.beams = 20;  // there are 13 texts
  const auto texts = generate(model, image, options);
  for (int64_t b = 0; b < 5; ++b) {
    std::vector<int32_t> ids;
    std::pair<double, std::vector<int32_t>> best{-1e9, {}};
    best_text(model, image.slice(0, b, b + 1), options, options.max_tokens, ids, 0, best);
    EXPECT_THAT(texts[static_cast<size_t>(b)].ids, ElementsAreArray(best.second)) << b;
    EXPECT_TRUE(texts[static_cast<size_t>(b)].ended);
  }
}

TEST(Generate, StaysWithinItsLengthAndVocabulary) {
  auto model = random_coca();
  const torch::NoGradGuard no_grad;
  const auto image = torch::randn({8, 4, 16});
  auto options = options_for(model->config());
  options.vocab_size = 7;  // of the tokenizer; its end token lies behind in this model
  for (const int64_t beams : {1, 3}) {
    options.beams = beams;
    for (const int64_t most : {1, 3, 6}) {
      options.max_tokens = most;
      for (const auto& text : generate(model, image, options)) {
        EXPECT_LE(static_cast<int64_t>(text.ids.size()), most);
        EXPECT_THAT(text.ids, Each(Lt(7)));
        EXPECT_THAT(text.ids, Each(::testing::Gt(fixtures::kCocaStart)));
      }
    }
  }
  EXPECT_TRUE(generate(model, image.slice(0, 0, 0), options).empty());
  options.max_tokens = 7;
  EXPECT_ANY_THROW(generate(model, image, options));
}

TEST(Generate, ABrokenModelWritesNothing) {
  auto model = random_coca();
  {
    const torch::NoGradGuard no_grad;
    model->text_decoder->text_projection.fill_(std::numeric_limits<float>::quiet_NaN());
  }
  for (const auto& text : generate(model, torch::randn({2, 4, 16}), options_for(model->config()))) {
    EXPECT_TRUE(text.ids.empty());
    EXPECT_FALSE(text.ended);
  }
}

}  // namespace
}  // namespace opencloc
