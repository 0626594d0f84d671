#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <torch/nn/functional/normalization.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "tests/loss/contrastive_fixture.h"
#include "tests/loss/plain_loss.h"

namespace opencloc {
namespace {

namespace nn = torch::nn::functional;

struct EntityInputs {
  torch::Tensor image, classes;  // leaves
  EntityTargets targets;
};

torch::Tensor ids(std::vector<int64_t> values) { return torch::tensor(values, torch::kInt64); }

// 7 pictures and 5 classes; two pictures have no entity, others have others that are true as well.
EntityInputs some_entities(torch::ScalarType type) {
  torch::manual_seed(4);
  EntityInputs in;
  const auto image = torch::randn({7, 6}, type);
  in.image = (image / image.norm(2, 1, true)).detach().requires_grad_();
  in.classes = (3 * torch::randn({5, 6}, type)).requires_grad_();
  in.targets = {.positive = ids({2, -1, 0, 4, 4, -1, 1}),
                .other_begin = ids({0, 1, 2, 2, 4, 4, 4, 8}),
                .other = ids({0, 3, 1, 2, 0, 2, 3, 4})};
  return in;
}

// A loop over pictures and classes, with autograd.
torch::Tensor plain_entity_loss(const EntityInputs& in, double margin, double scale) {
  const auto unit = nn::normalize(in.classes, nn::NormalizeFuncOptions().dim(1));
  torch::Tensor sum = torch::zeros({}, in.image.options());
  int64_t pictures = 0;
  for (int64_t i = 0; i < in.image.size(0); ++i) {
    const auto own = in.targets.positive[i].item<int64_t>();
    if (own < 0) continue;
    std::vector<torch::Tensor> logits;
    int64_t place = 0;
    for (int64_t s = 0; s < unit.size(0); ++s) {
      bool other = false;
      for (auto at = in.targets.other_begin[i].item<int64_t>();
           at < in.targets.other_begin[i + 1].item<int64_t>(); ++at)
        other = other || in.targets.other[at].item<int64_t>() == s;
      if (other) continue;
      if (s == own) place = static_cast<int64_t>(logits.size());
      logits.push_back(scale * (in.image[i].dot(unit[s]) - (s == own ? margin : 0)));
    }
    sum = sum - torch::stack(logits).log_softmax(0)[place];
    ++pictures;
  }
  return sum / static_cast<double>(pictures);
}

TEST(EntityLoss, IsTheFormulaWhateverTheChunk) {
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    for (const int64_t chunk : {0, 1, 2, 100}) {
      const EntityInputs in = some_entities(type), plain = some_entities(type);
      const auto wanted = plain_entity_loss(plain, 0.15, 32);
      (3 * wanted).backward();
      const EntityLoss got = entity_loss(in.image, in.classes, in.targets, {.chunk = chunk});
      (3 * got.loss).backward();
      EXPECT_EQ(got.pictures, 5);
      const double tolerance = type == torch::kDouble ? 1e-10 : 1e-5;
      EXPECT_NEAR(got.loss.item<double>(), wanted.item<double>(),
                  tolerance * wanted.item<double>());
      for (const auto& [one, other] :
           {std::pair(in.image, plain.image), {in.classes, plain.classes}})
        EXPECT_LE((one.grad() - other.grad()).abs().max().item<double>(),
                  tolerance * other.grad().abs().max().item<double>());
      EXPECT_EQ(in.image.grad()[1].abs().sum().item<double>(), 0) << "it has no entity";
    }
  }
}

// The margin makes the loss harder and does not count in the accuracy.
TEST(EntityLoss, CountsTheNearestOwnClass) {
  const auto classes = torch::eye(3) * 7;
  const auto image = torch::eye(3).requires_grad_();
  const EntityTargets targets{ids({0, 1, 0}), ids({0, 0, 0, 1}), ids({2})};
  const auto got = entity_loss(image, classes, targets, {.margin = 0.9, .scale = 10});
  // The third picture is nearest to a class that is true, too: the tie of the two others goes to
  // the first of them.
  EXPECT_NEAR(got.accuracy.item<double>(), 1, 1e-9);
  const auto wrong = entity_loss(image, classes, {ids({1, 2, 0}), ids({0, 0, 0, 0}), ids({})});
  EXPECT_NEAR(wrong.accuracy.item<double>(), 0, 1e-9);
  EXPECT_GT(entity_loss(image, classes, targets, {.margin = 0.5}).loss.item<double>(),
            entity_loss(image, classes, targets, {.margin = 0.0}).loss.item<double>());
}

TEST(EntityLoss, WithoutEntitiesThereIsNone) {
  const auto image = torch::randn({2, 4}).requires_grad_();
  const auto classes = torch::randn({3, 4}).requires_grad_();
  const auto got = entity_loss(image, classes, {ids({-1, -1}), ids({0, 0, 0}), ids({})});
  got.loss.backward();
  EXPECT_EQ(got.loss.item<double>(), 0);
  EXPECT_EQ(got.pictures, 0);
  EXPECT_EQ(classes.grad().abs().sum().item<double>(), 0);
  EXPECT_EQ(image.grad().abs().sum().item<double>(), 0);
}

// [n, n]: pairs of equal texts.
torch::Tensor equal_pairs(const torch::Tensor& text_id) {
  return text_id.unsqueeze(1)
      .eq(text_id.unsqueeze(0))
      .logical_and_(torch::eye(text_id.size(0)).eq(0));
}

TEST(EqualTexts, AreNoNegativesInInfoNce) {
  for (const auto type : {torch::kFloat, torch::kDouble}) {
    for (const int64_t n : {1, 2, 9, 40}) {
      const auto pairs = make_pairs(n, type);
      const auto wanted = evaluate(pairs, [&] {
        return plain::info_nce(pairs.a, pairs.b, pairs.scale, equal_pairs(pairs.text_id));
      });
      const auto loss = [](const Pairs& own, dist::Group& group) {
        return clip_loss(own.a, own.b, own.scale,
                         {.chunk = 4, .group = &group, .text_id = own.text_id});
      };
      expect_close(evaluate(pairs, [&] { return loss(pairs, dist::alone()); }), wanted, 1e-5);
      if (n < 4) continue;
      for (const auto& sizes : shares_of(n))
        expect_close(evaluate_shared(pairs, sizes, loss), wanted, 1e-5);
      EXPECT_NE(clip_loss(pairs.a, pairs.b, pairs.scale).item<double>(),
                wanted.loss.item<double>());
    }
  }
}

TEST(EqualTexts, AreNoNegativesInTheSigmoidLoss) {
  for (const int64_t n : {1, 2, 9, 40}) {
    const auto pairs = make_pairs(n, torch::kDouble);
    const auto bias = torch::tensor(-1.5, torch::kDouble);
    const auto wanted = evaluate(pairs, [&] {
      const auto logits = pairs.a.mm(pairs.b.t()) * pairs.scale.exp() + bias;
      const auto signs = 2 * torch::eye(n, logits.options()) - 1;
      return -torch::log_sigmoid(signs * logits).masked_fill(equal_pairs(pairs.text_id), 0).sum() /
             static_cast<double>(n);
    });
    const auto loss = [&](const Pairs& own, dist::Group& group) {
      return sigmoid_loss(own.a, own.b, own.scale, bias,
                          {.chunk = 4, .group = &group, .text_id = own.text_id});
    };
    expect_close(evaluate(pairs, [&] { return loss(pairs, dist::alone()); }), wanted, 1e-9);
    if (n < 4) continue;
    for (const auto& sizes : shares_of(n))
      expect_close(evaluate_shared(pairs, sizes, loss), wanted, 1e-9);
  }
}

}  // namespace
}  // namespace opencloc
