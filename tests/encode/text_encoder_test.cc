#include "opencloc/encode/text_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/encode/text_bank.h"
#include "opencloc/encode/text_cache.h"
#include "tests/eval/tiny_world.h"

namespace opencloc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A tower that only adds up ids, and remembers what went through it.
struct CountingTower {
  std::vector<std::vector<int64_t>> shapes;  // [u, L] of every pass
  TextTowerUse use(bool padding_is_ignored = true) {
    return {8, 2, padding_is_ignored, [this](const torch::Tensor& ids) {
              shapes.push_back(ids.sizes().vec());
              const auto sum = ids.sum(1).to(torch::kFloat);
              return torch::stack({sum, -sum}, 1);  // [u, 2]
            }};
  }
  int64_t rows() const {
    int64_t all = 0;
    for (const auto& shape : shapes) all += shape[0];
    return all;
  }
};

float sum_of(const std::string& text) {
  float sum = 255;  // the end token
  for (const char c : text) sum += static_cast<float>(1 + static_cast<unsigned char>(c) % 253);
  return sum;
}

TEST(TextEncoderTest, EachDistinctTextGoesThroughOnceAndRowsKeepTheirOrder) {
  CountingTower tower;
  const fixtures::ByteTokenizer tokenizer;
  TextEncoder encoder(tower.use(), tokenizer, 64);
  const std::vector<std::string> texts = {"cat", "a", "cat", "dog", "a", "cat"};
  const auto rows = encoder.encode(texts);
  ASSERT_EQ(rows.sizes(), torch::IntArrayRef({6, 2}));
  EXPECT_EQ(tower.rows(), 3);
  for (size_t i = 0; i < texts.size(); ++i)
    EXPECT_FLOAT_EQ(rows[static_cast<int64_t>(i)][0].item<float>(), sum_of(texts[i])) << texts[i];
}

TEST(TextEncoderTest, ShortTextsAreCutAfterTheLongestOfTheirGroup) {
  const fixtures::ByteTokenizer tokenizer;
  CountingTower causal;
  TextEncoder(causal.use(), tokenizer, 64).encode({"cat", "a"});
  EXPECT_THAT(causal.shapes, ElementsAre(ElementsAre(2, 4)));
  CountingTower reads_padding;
  TextEncoder(reads_padding.use(false), tokenizer, 64).encode({"cat", "a"});
  EXPECT_THAT(reads_padding.shapes, ElementsAre(ElementsAre(2, 8)));
}

TEST(TextEncoderTest, BatchesAreBounded) {
  CountingTower tower;
  const fixtures::ByteTokenizer tokenizer;
  TextEncoder(tower.use(), tokenizer, 2).encode({"a", "b", "c", "d", "e"});
  EXPECT_THAT(tower.shapes, ElementsAre(ElementsAre(2, 2), ElementsAre(2, 2), ElementsAre(1, 2)));
}

TEST(TextEncoderTest, NoTextsAreNoRows) {
  CountingTower tower;
  const fixtures::ByteTokenizer tokenizer;
  EXPECT_EQ(TextEncoder(tower.use(), tokenizer, 2).encode({}).sizes(), torch::IntArrayRef({0, 2}));
  EXPECT_THAT(tower.shapes, IsEmpty());
}

TEST(TextEncoderTest, WhatIsCutIsTold) {
  CountingTower tower;
  const fixtures::ByteTokenizer tokenizer;
  TextEncoder encoder(tower.use(), tokenizer, 2);
  EXPECT_THAT(encoder.tokenize({"short", "longer than eight"}).cut, ElementsAre(false, true));
  EXPECT_EQ(encoder.truncation().texts_cut(), 1);
}

// The real tower: cut groups give what padded texts give.
TEST(TextEncoderTest, AgreesWithTheTowerOnPaddedTexts) {
  torch::manual_seed(1);
  Cloc model(fixtures::tiny_config());
  model->eval();
  const fixtures::ByteTokenizer tokenizer;
  TextEncoder encoder(model, tokenizer, 3);
  const std::vector<std::string> texts = {"a red car", "cat", "a dog on grass", "cat", "x"};
  const torch::NoGradGuard no_grad;
  const auto padded = model->encode_text(encoder.tokenize(texts).rows.ids);
  EXPECT_LT((encoder.encode(texts) - padded).abs().max().item<double>(), 1e-5);
}

TEST(TextCacheTest, KeepsWhatItKnowsAndForgetsWhenItIsFull) {
  CountingTower tower;
  const fixtures::ByteTokenizer tokenizer;
  TextEncoder encoder(tower.use(), tokenizer, 64);
  TextCache cache(encoder, 3);
  EXPECT_EQ(cache.embeddings({}).sizes(), torch::IntArrayRef({0, 2}));
  const auto first = cache.embeddings({"cat", "dog", "cat"});
  EXPECT_EQ(tower.rows(), 2);
  EXPECT_FLOAT_EQ(first[2][0].item<float>(), sum_of("cat"));
  cache.embeddings({"dog", "bird"});
  EXPECT_EQ(tower.rows(), 3) << "only what is new";
  cache.embeddings({"fish"});
  EXPECT_EQ(cache.size(), 4u);
  const auto again = cache.embeddings({"cat", "cow"});
  EXPECT_EQ(cache.size(), 2u) << "more than three were known: it began anew";
  EXPECT_FLOAT_EQ(again[0][0].item<float>(), sum_of("cat"));
}

TEST(TextBankTest, NumbersDistinctTextsInOrder) {
  CountingTower tower;
  const fixtures::ByteTokenizer tokenizer;
  TextEncoder encoder(tower.use(), tokenizer, 64);
  TextBank bank(encoder);
  EXPECT_EQ(bank.id_of("cat"), 0);
  EXPECT_EQ(bank.id_of("dog"), 1);
  EXPECT_EQ(bank.id_of("cat"), 0);
  EXPECT_FLOAT_EQ(bank.embeddings({1, 0, 1})[0][0].item<float>(), sum_of("dog"));
  EXPECT_EQ(bank.id_of("bird"), 2);
  EXPECT_FLOAT_EQ(bank.embeddings({2})[0][0].item<float>(), sum_of("bird"));
  EXPECT_EQ(tower.rows(), 3);
}

}  // namespace
}  // namespace opencloc
