// Entities in training: L_entity beside an objective against the formula, pieces and processes
// against one whole batch, the row-sparse AdamW against a dense one, and runs that keep what runs
// promise.
#include "opencloc/objective/entities.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/objective/self_supervision.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/preflight.h"
#include "opencloc/train/row_optimizer.h"
#include "opencloc/train/step.h"
#include "tests/dist/thread_group.h"
#include "tests/error_of.h"
#include "tests/train/random_batch.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int64_t kClasses = 40;

// 7 pictures, the third without an entity, some with more than one.
Batch labelled_batch() {
  Batch batch = fixtures::random_batch(7, {0, 0, 1, 3, 3, 3, 6});
  batch.entity = torch::tensor({4, 30, -1, 4, 7, 12, 39}, torch::kInt64);
  batch.entity_others_begin = torch::tensor({0, 2, 2, 2, 3, 3, 3, 4}, torch::kInt64);
  batch.entity_others = torch::tensor({30, 5, 12, 4}, torch::kInt64);
  batch.text_id = torch::tensor({1, 2, 3, 1, 2, 5, 6}, torch::kInt64);
  return batch;
}

EntityOptions some_options() {
  EntityOptions options;
  options.negatives = 9;
  options.seed = 2;
  options.warmup = 10;
  return options;
}

struct EntityStep {
  StepResult result;
  std::map<std::string, torch::Tensor> gradients;  // "head" beside the parameters'
  torch::Tensor ids;
};

struct Recipe {
  const char* objective = "clip";
  EntityOptions options = some_options();
  bool masked_texts = false;
  bool views = false;  // SimCLR around it
  StepOptions step = {};
};

EntityStep step_of(const Batch& batch, const Recipe& how, std::mutex* drawing = nullptr) {
  std::unique_lock<std::mutex> lock;
  if (drawing != nullptr) lock = std::unique_lock(*drawing);  // weights: from one generator
  torch::manual_seed(5);
  Cloc model(load_model_config("ViT-Test"));
  SelfSupervisionOptions self;
  if (how.views) {
    self.simclr_weight = 0.7;
    self.simclr = {.hidden = 24, .out = 8};
  }
  SelfSupervisionHeads heads(self, model->config());
  if (drawing != nullptr) lock.unlock();
  const auto head = std::make_shared<EntityHead>(kClasses, model->config().embed_dim, 5);
  ObjectiveOptions options;
  options.mask_equal_texts = how.masked_texts;
  auto objective = with_entities(find_objective(how.objective)->make(model, options), model, head,
                                 how.options, "table");
  if (how.views) objective = with_self_supervision(std::move(objective), model, heads, self);
  EntityStep made{forward_backward(*objective, batch, how.step), {}, {}};
  for (const auto& weights : {model->named_parameters(), heads->named_parameters()}) {
    for (const auto& item : weights)
      if (item.value().grad().defined()) made.gradients[item.key()] = item.value().grad().clone();
  }
  if (head->used()) {
    made.gradients["head"] = head->gradient().clone();
    made.ids = head->ids();
  }
  return made;
}

void expect_same(const EntityStep& got, const EntityStep& wanted) {
  EXPECT_NEAR(got.result.loss, wanted.result.loss, 2e-5);
  for (const char* figure : {"loss_entity", "entity_acc", "loss_clip", "labelled"})
    EXPECT_NEAR(got.result.figures.at(figure), wanted.result.figures.at(figure), 2e-5) << figure;
  EXPECT_TRUE(torch::equal(got.ids, wanted.ids));
  ASSERT_EQ(got.gradients.size(), wanted.gradients.size());
  for (const auto& [name, gradient] : wanted.gradients) {
    const double scale = std::max(2e-2, gradient.abs().max().item<double>());
    EXPECT_LE((got.gradients.at(name) - gradient).abs().max().item<double>(), 1e-4 * scale) << name;
  }
}

// The whole class matrix with autograd: everything that is no class of the step is left out.
TEST(EntityObjective, IsTheFormulaOverAllClasses) {
  const Batch batch = labelled_batch();
  Recipe how;
  how.objective = "entities";
  how.step.step = 5;  // half of the margin
  const EntityStep got = step_of(batch, how);

  torch::manual_seed(5);
  Cloc model(load_model_config("ViT-Test"));
  auto all = EntityHead(kClasses, model->config().embed_dim, 5).values().clone().requires_grad_();
  const auto chosen = torch::zeros({kClasses}, torch::kBool).index_fill_(0, got.ids, 1);
  auto cosine = normalized(model->encode_image(batch.pixels).embedding).matmul(normalized(all).t());
  auto out = chosen.logical_not().unsqueeze(0).repeat({7, 1});
  for (const auto& [picture, entity] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 30}, {0, 5}, {3, 12}, {6, 4}})
    out[picture][entity] = true;
  auto margin = torch::zeros({7, kClasses});
  torch::Tensor sum = torch::zeros({});
  for (int64_t i = 0; i < 7; ++i)
    if (const auto own = batch.entity[i].item<int64_t>(); own >= 0) margin[i][own] = 0.075;
  const auto likelihood = (32 * (cosine - margin))
                              .masked_fill(out, -std::numeric_limits<float>::infinity())
                              .log_softmax(1);
  for (int64_t i = 0; i < 7; ++i)
    if (const auto own = batch.entity[i].item<int64_t>(); own >= 0) sum = sum - likelihood[i][own];
  const auto loss = sum / 6;
  EXPECT_NEAR(got.result.figures.at("loss_entity"), loss.item<double>(),
              1e-5 * loss.item<double>());
  EXPECT_NEAR(got.result.loss, 0.5 * loss.item<double>(), 1e-5 * loss.item<double>());
  (0.5 * loss).backward();
  const auto rows = all.grad().index_select(0, got.ids);
  EXPECT_LE((got.gradients.at("head") - rows).abs().max().item<double>(),
            1e-5 * rows.abs().max().item<double>());
  EXPECT_EQ(all.grad().abs().sum().item<float>(), rows.abs().sum().item<float>());
  const auto tower = model->visual->named_parameters()["conv1.weight"].grad();
  EXPECT_LE((got.gradients.at("visual.conv1.weight") - tower).abs().max().item<double>(),
            1e-5 * tower.abs().max().item<double>());
  EXPECT_EQ(got.gradients.count("text_projection"), 0U) << "texts are not encoded";
  EXPECT_FALSE(got.result.figures.has("loss_clip"));
}

TEST(EntityObjective, AddsToTheBase) {
  const Batch batch = labelled_batch();
  for (const char* name : {"clip", "cloc"}) {
    Recipe how;
    how.objective = name;
    const EntityStep both = step_of(batch, how);
    torch::manual_seed(5);
    Cloc model(load_model_config("ViT-Test"));
    const auto base = forward_backward(*find_objective(name)->make(model, {}), batch);
    EXPECT_NEAR(both.result.loss, base.loss + 0.5 * both.result.figures.at("loss_entity"), 1e-4);
    how.options.weight = 1;
    EXPECT_GT(step_of(batch, how).result.loss, both.result.loss);
  }
}

TEST(EntityObjective, PiecesAreTheWholeBatch) {
  const Batch plain = labelled_batch();
  Batch batch = plain;
  batch.first_view = torch::randn_like(batch.pixels);
  batch.second_view = torch::randn_like(batch.pixels);
  for (const char* name : {"clip", "cloc", "entities"}) {
    for (const bool views : {false, true}) {
      Recipe how;
      how.objective = name;
      how.views = views;
      how.masked_texts = true;
      const EntityStep whole = step_of(batch, how);
      for (const int64_t parts : {3, 7}) {
        how.step.accum_freq = parts;
        expect_same(step_of(batch, how), whole);
      }
    }
  }
}

Batch labelled_share(const Batch& batch, int64_t begin, int64_t end) {
  Batch share = batch;
  for (torch::Tensor* tensor :
       {&share.pixels, &share.text_ids, &share.text_length, &share.text_id, &share.entity,
        &share.has_text, &share.first_view, &share.second_view})
    if (tensor->defined()) *tensor = tensor->slice(0, begin, end).clone();
  share.entity_others_begin = batch.entity_others_begin.slice(0, begin, end + 1).clone();
  return share;
}

void expect_ranks_equal_one(const Batch& batch, const Recipe& how) {
  const EntityStep whole = step_of(batch, how);
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{4, 3}, {2, 0, 5}}) {
    std::vector<EntityStep> steps(sizes.size());
    std::mutex drawing;
    fixtures::run_ranks(static_cast<int>(sizes.size()), [&](dist::Group& group) {
      const auto rank = static_cast<size_t>(group.rank());
      int64_t begin = 0;
      for (size_t r = 0; r < rank; ++r) begin += sizes[r];
      Recipe own = how;
      own.step.group = &group;
      steps[rank] = step_of(labelled_share(batch, begin, begin + sizes[rank]), own, &drawing);
    });
    EntityStep sum = steps[0];
    for (size_t r = 1; r < steps.size(); ++r) {
      EXPECT_TRUE(torch::equal(steps[r].ids, sum.ids));
      for (const auto& [name, gradient] : steps[r].gradients) {
        auto& total = sum.gradients[name];
        total = total.defined() ? total + gradient : gradient;
      }
    }
    expect_same(sum, whole);
  }
}

TEST(EntityObjective, ProcessesAreOneBatch) {
  Batch batch = labelled_batch();
  batch.first_view = torch::randn_like(batch.pixels);
  batch.second_view = torch::randn_like(batch.pixels);
  for (const char* name : {"clip", "entities"}) {
    for (const bool views : {false, true}) {
      Recipe how;
      how.objective = name;
      how.masked_texts = true;
      how.views = views;
      expect_ranks_equal_one(batch, how);
    }
  }
}

// A batch of pictures with entities and no text still trains, beside CLIP, too.
TEST(EntityObjective, WithoutTextsTheEntitiesTrain) {
  Batch batch = labelled_batch();
  batch.has_text = torch::zeros({7}, torch::kBool);
  const Recipe clip;
  Recipe only;
  only.objective = "entities";
  EXPECT_NEAR(step_of(batch, clip).result.loss, step_of(batch, only).result.loss, 1e-6);
  expect_ranks_equal_one(batch, clip);
  batch.entity = torch::full({7}, -1, torch::kInt64);
  EXPECT_EQ(step_of(batch, clip).result.loss, 0);
}

// Pictures 0 and 3, and 1 and 4, have equal texts.
TEST(EntityObjective, EqualTextsAreNoNegativesWhereTheyAreMasked) {
  Batch batch = labelled_batch();
  for (const auto& [from, to] : {std::pair<int64_t, int64_t>{0, 3}, {1, 4}}) {
    batch.text_ids[to] = batch.text_ids[from];
    batch.text_length[to] = batch.text_length[from];
  }
  Recipe masked;
  masked.masked_texts = true;
  const double kept = step_of(batch, Recipe()).result.figures.at("loss_clip");
  EXPECT_LT(step_of(batch, masked).result.figures.at("loss_clip"), kept - 0.03);
}

// Of a row that is used in every step: libtorch's formula, step by step.
TEST(RowAdamW, IsAdamWOfTheRowsThatAreUsed) {
  AdamWOptions options;
  options.max_grad_norm = 1;
  for (const bool late : {false, true}) {
    const auto head = std::make_shared<EntityHead>(6, 3, 1);
    RowAdamW rows(head, options);
    const auto start = head->values().clone();
    auto value = start.to(torch::kDouble), m = torch::zeros_like(value),
         v = torch::zeros_like(value);
    std::vector<int64_t> times(6, 0);
    torch::manual_seed(3);
    for (int step = 0; step < 8; ++step) {
      const std::vector<int64_t> used =
          step % 2 == 0 ? std::vector<int64_t>{1, 4} : std::vector<int64_t>{0, 1};
      const auto gradient = torch::randn({2, 3});
      rows.begin();
      const auto leaf = head->use(torch::tensor(used, torch::kInt64));
      (leaf * gradient).sum().backward();
      rows.finish(dist::alone());
      const double others = 0.4;
      const double norm = std::sqrt(others * others + gradient.pow(2).sum().item<double>());
      if (late) {
        const auto got = rows.late_norm_with(torch::scalar_tensor(others, torch::kDouble));
        EXPECT_NEAR(got.item<double>(), norm, 1e-5);
        rows.late_step(0.01, got);
      } else {
        EXPECT_NEAR(rows.norm_with(others), norm, 1e-5);
        rows.step(0.01, rows.norm_with(others));
      }
      for (size_t i = 0; i < 2; ++i) {
        const int64_t row = used[i];
        const auto g = gradient[static_cast<int64_t>(i)].to(torch::kDouble) *
                       std::min(1.0, 1.0 / (norm + 1e-6));
        const auto t = static_cast<double>(++times[static_cast<size_t>(row)]);
        m[row] = options.beta1 * m[row] + (1 - options.beta1) * g;
        v[row] = options.beta2 * v[row] + (1 - options.beta2) * g * g;
        value[row] = value[row] * (1 - 0.01 * options.weight_decay) -
                     0.01 * (m[row] / (1 - std::pow(options.beta1, t))) /
                         ((v[row] / (1 - std::pow(options.beta2, t))).sqrt() + options.epsilon);
      }
    }
    EXPECT_TRUE(torch::allclose(head->values().to(torch::kDouble), value, 1e-5, 1e-6));
    EXPECT_TRUE(torch::allclose(head->first_moments().to(torch::kDouble), m, 1e-4, 1e-6));
    EXPECT_TRUE(torch::allclose(head->second_moments().to(torch::kDouble), v, 1e-4, 1e-6));
    EXPECT_TRUE(torch::equal(head->steps(), torch::tensor(times, torch::kInt64)));
    for (const int64_t row : {2, 3, 5})
      EXPECT_TRUE(torch::equal(head->values()[row], start[row])) << "it was never used";
  }
}

// On libtorch as on our kernels; and nothing changes where the norm is not finite.
TEST(RowAdamW, IsTheSameOnLibtorch) {
  torch::Tensor results[2];
  for (const bool torch_backend : {false, true}) {
    const BackendScope scope(torch_backend ? Backend::kTorch : Backend::kKernels);
    const auto head = std::make_shared<EntityHead>(50, 7, 1);
    RowAdamW rows(head, {});
    torch::manual_seed(3);
    for (int step = 0; step < 4; ++step) {
      rows.begin();
      const auto leaf = head->use(torch::randperm(50).slice(0, 0, 20 + step));
      (leaf * torch::randn(leaf.sizes())).sum().backward();
      rows.finish(dist::alone());
      rows.late_step(0.01, rows.late_norm_with(torch::zeros({}, torch::kDouble)));
    }
    results[torch_backend] =
        torch::cat({head->values(), head->first_moments(),
                    head->steps().to(torch::kFloat).unsqueeze(1).expand({50, 7})});
    const auto before = results[torch_backend].clone();
    rows.late_step(0.01, torch::scalar_tensor(std::nan(""), torch::kDouble));
    EXPECT_TRUE(torch::equal(head->values(), before.slice(0, 0, 50)));
    EXPECT_EQ(head->steps().sum().item<int64_t>(), 20 + 21 + 22 + 23);
  }
  EXPECT_TRUE(torch::allclose(results[0], results[1], 1e-5, 1e-6));
}

class EntityRun : public testing::Test {
 protected:
  // Squares whose two colours are their entities; every fifth picture has none.
  void SetUp() override {
    fs::create_directories(folder_);
    ShardWriter writer(folder_ / "a.tar");
    for (uint64_t i = 0; i < 48; ++i) {
      Record record = fixtures::squares(i);
      Json entities = Json::array();
      for (const auto& region : record.regions) {
        const auto colour = region.text.substr(2, region.text.find(' ', 2) - 2);
        entities.push_back({{"id", "id " + colour}, {"name", colour}});
      }
      if (i % 5 != 4) record.extra["entities"] = entities;
      writer.write(record);
    }
    writer.commit();
    write_classes("classes.tsv", 8);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write_classes(const char* name, size_t count) const {
    std::string table = "class\tid\tname\timages\n";
    for (size_t i = 0; i < count; ++i) {
      const std::string colour = fixtures::kColours[i].name;
      table += std::to_string(i) + "\tid " + colour + "\t" + colour + "\t9\n";
    }
    write_file(folder_ / name, table);
  }
  TrainConfig config(const char* run, const char* objective = "clip") const {
    TrainConfig made = fixtures::tiny_config(folder_ / "*.tar", folder_ / run);
    made.objective = find_objective(objective);
    made.entity_classes = folder_ / "classes.tsv";
    made.entities.negatives = 3;
    return made;
  }
  std::string beside(const char* run) const {
    return read_file(folder_ / run / "checkpoints/step-8/beside.safetensors");
  }
  std::string weights(const char* run) const {
    return read_file(folder_ / run / "model" / "open_clip_model.safetensors");
  }
  void resume_from_step_4(const char* run) const {
    for (const char* step : {"step-8", "step-6"})
      fs::remove_all(folder_ / run / "checkpoints" / step);
  }

  const fs::path folder_ =
      fs::path(testing::TempDir()) / ("opencloc-entities-" + std::to_string(getpid()));
};

TEST_F(EntityRun, ResumesToTheSameBytesAndLeavesNothingInTheModel) {
  for (const char* objective : {"clip", "entities"}) {
    train(config("whole", objective));
    train(config("resumed", objective));
    resume_from_step_4("resumed");
    train(config("resumed", objective));
    EXPECT_EQ(weights("resumed"), weights("whole"));
    EXPECT_EQ(beside("resumed"), beside("whole"));
    EXPECT_FALSE(fs::exists(folder_ / "whole/model/beside.safetensors"));
    const auto lines = read_metrics(folder_ / "whole/metrics.jsonl");
    for (const char* figure : {"loss_entity", "entity_acc", "labelled"})
      EXPECT_TRUE(lines.back().contains(figure)) << figure;

    // Other classes than the run began with: other ids, or another number.
    write_classes("classes.tsv", 7);
    auto changed = config("whole", objective);
    changed.steps = 10;
    EXPECT_THAT(fixtures::error_of([&] { train(changed); }), HasSubstr("another shape"));
    write_classes("classes.tsv", 8);
    std::string table = read_file(folder_ / "classes.tsv");
    table.replace(table.find("id red"), 6, "id RED");
    write_file(folder_ / "classes.tsv", table);
    EXPECT_THAT(fixtures::error_of([&] { train(changed); }), HasSubstr("another table of classes"));
    write_classes("classes.tsv", 8);
    fs::remove_all(folder_ / "whole");
    fs::remove_all(folder_ / "resumed");
  }
}

TEST_F(EntityRun, TwoProcessesTrainAsOne) {
  for (const char* objective : {"clip", "entities"}) {
    for (const int zero : {0, 1}) {
      train(config("one", objective));
      fixtures::run_ranks(2, [&](dist::Group& group) {
        auto two = config("two", objective);
        two.zero = zero;
        train(two, group);
      });
      const SafetensorsFile one(folder_ / "one/checkpoints/step-8/beside.safetensors"),
          two(folder_ / "two/checkpoints/step-8/beside.safetensors");
      for (const auto& info : one.tensors()) {
        const auto wanted = one.tensor(info), got = two.tensor(info.name);
        EXPECT_TRUE(torch::allclose(got.to(torch::kDouble), wanted.to(torch::kDouble), 1e-3, 1e-5))
            << info.name;
      }
      EXPECT_GT(one.tensor("entity_head.steps").sum().item<int64_t>(), 8 * 4);
      const auto of_one = read_metrics(folder_ / "one/metrics.jsonl"),
                 of_two = read_metrics(folder_ / "two/metrics.jsonl");
      for (size_t i = 0; i < of_one.size(); ++i) {
        for (const char* figure : {"loss", "loss_entity", "grad_norm"})
          EXPECT_NEAR(of_one[i][figure].get<double>(), of_two[i][figure].get<double>(), 2e-3)
              << figure << " of step " << i + 1;
      }
      for (const char* run : {"one", "two"}) fs::remove_all(folder_ / run);
    }
  }
}

TEST_F(EntityRun, AccumulationTrainsAsOneBatch) {
  train(config("whole"));
  auto parts = config("parts");
  parts.accum_freq = 3;
  train(parts);
  const auto whole = read_metrics(folder_ / "whole/metrics.jsonl"),
             cut = read_metrics(folder_ / "parts/metrics.jsonl");
  for (size_t i = 0; i < whole.size(); ++i)
    EXPECT_NEAR(whole[i]["loss"].get<double>(), cut[i]["loss"].get<double>(), 2e-3);
}

TEST_F(EntityRun, TextsFromEntitiesTrainClip) {
  auto named = config("named");
  named.sample.caption_from = CaptionFrom::kEntities;
  named.sample.regions_per_image = 0;
  named.objective = find_objective("clip");
  named.entities.weight = 0;
  named.steps = 60;
  named.save_every = 60;
  named.batch_size = 16;
  train(named);
  const auto masked = read_metrics(folder_ / "named/metrics.jsonl");
  EXPECT_FALSE(masked.back().contains("loss_entity"));
  // 8 names in batches of 16: with equal texts as negatives the loss cannot fall below about 0.7.
  EXPECT_LT(masked.back()["loss_clip"].get<double>(), masked.front()["loss_clip"].get<double>());
  named.out = folder_ / "kept";
  named.mask_equal_texts = false;
  train(named);
  EXPECT_GT(read_metrics(folder_ / "kept/metrics.jsonl").back()["loss_clip"].get<double>(),
            masked.back()["loss_clip"].get<double>() + 0.3);
}

TEST_F(EntityRun, SaysWhatCannotWork) {
  const auto refused = [&](const std::function<void(TrainConfig&)>& change,
                           const char* objective = "clip") -> std::string {
    TrainConfig wrong = config("wrong", objective);
    change(wrong);
    return fixtures::error_of([&] { train(wrong); });
  };
  EXPECT_THAT(refused([](TrainConfig& c) { c.entities.negatives = 0; }),
              HasSubstr("setting 'entity_negatives'"));
  for (const double margin : {-0.1, 1.0, std::nan("")})
    EXPECT_THAT(refused([&](TrainConfig& c) { c.entities.margin = margin; }),
                HasSubstr("setting 'entity_margin'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.entities.scale = 0; }),
              HasSubstr("setting 'entity_scale'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.entities.weight = -1; }),
              HasSubstr("setting 'entity_weight'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.entity_classes.clear(); }, "entities"),
              HasSubstr("no classes to learn"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.entity_base = "wordnet"; }),
              HasSubstr("nothing reads the descriptions"));
  EXPECT_THAT(refused([](TrainConfig& c) {
                c.sample.alt_text = 0.5;
                c.sample.caption_from = CaptionFrom::kAltText;
              }),
              HasSubstr("chosen twice"));
  EXPECT_THAT(refused([](TrainConfig& c) {
                c.model = "coca-XXS-16-96";
                c.objective = find_objective("coca");
              }),
              HasSubstr("a captioner is not trained with entities"));
  EXPECT_THAT(refused([&](TrainConfig& c) { c.entity_classes = folder_ / "none.tsv"; }),
              HasSubstr("none.tsv"));
  // Classes of other data.
  write_file(folder_ / "others.tsv", "class\tid\tname\timages\n0\tQ1\tcat\t9\n");
  for (const char* objective : {"clip", "entities"}) {
    EXPECT_THAT(
        refused([&](TrainConfig& c) { c.entity_classes = folder_ / "others.tsv"; }, objective),
        HasSubstr("no picture of 48 looked at has an entity that is a class"));
  }
}

TEST_F(EntityRun, IsLookedAtBeforeStepOne) {
  auto looked = config("looked");
  looked.read_entities();
  looked.complete(48);
  SkipCounter skips(0);
  const SampleStore store(looked.data, skips);
  const auto tokenizer = [&] {
    train(config("trained"));
    return load_tokenizer(folder_ / "trained/model");
  }();
  const auto table =
      preflight(looked, load_model_config("ViT-Test"), 1000, 1000, store, *tokenizer).table();
  EXPECT_THAT(table, HasSubstr("8 classes; 81.2% of the pictures have one; 3 per step as negatives"));
}

TEST_F(EntityRun, LearnsEntitiesByHeart) {
  auto longer = config("longer", "entities");
  longer.sample.augment = false;
  longer.entities.negatives = 100;
  longer.steps = 250;
  longer.batch_size = 16;
  longer.save_every = 250;
  longer.lr = 2e-3;
  train(longer);
  const auto lines = read_metrics(folder_ / "longer/metrics.jsonl");
  double last = 0;
  for (size_t i = lines.size() - 10; i < lines.size(); ++i)
    last += lines[i]["entity_acc"].get<double>() / 10;
  EXPECT_LT(lines.front()["entity_acc"].get<double>(), 0.6);
  EXPECT_GT(last, 0.97);
  EXPECT_LT(lines.back()["loss_entity"].get<double>(),
            0.3 * lines.front()["loss_entity"].get<double>());
}

}  // namespace
}  // namespace opencloc
