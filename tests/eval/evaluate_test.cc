#include "opencloc/eval/evaluate.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/encode/regions.h"
#include "opencloc/eval/search_boxes.h"
#include "opencloc/model/clip/preprocess.h"
#include "tests/eval/tiny_world.h"

namespace opencloc {
namespace {

using opencloc::fixtures::ByteTokenizer;
using opencloc::fixtures::drawn_records;
using opencloc::fixtures::tiny_config;
using opencloc::fixtures::tiny_model;
using opencloc::fixtures::write_shard;

class EvaluateTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("opencloc_evaluate_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    records_ = drawn_records(31);
    write_shard(folder_ / "good-0.tar", {records_.begin(), records_.begin() + 18});
    write_shard(folder_ / "good-1.tar", {records_.begin() + 18, records_.end()});
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }

  static std::string glob(const std::string& pattern = "good-*.tar") {
    return (folder_ / pattern).string();
  }
  static EvalOptions quiet() {
    EvalOptions options;
    options.progress = false;
    options.workers = 2;
    return options;
  }
  Json run(const EvalOptions& options, const std::string& pattern = "good-*.tar") {
    return evaluate(model_, tokenizer_, glob(pattern), options);
  }

  // One text, one picture at a time: nothing batched, nothing cut.
  torch::Tensor text_embedding(const std::string& text) {
    const torch::NoGradGuard no_grad;
    const auto tokens = tokenize(tokenizer_, text, model_->config().text.context_length);
    return model_->encode_text(torch::tensor(tokens.ids).to(torch::kInt64).unsqueeze(0))[0];
  }
  ImageFeatures features(const Record& record) {
    const torch::NoGradGuard no_grad;
    const auto input = preprocess(Image::decode(record.image, record.key), model_->config());
    return model_->encode_image(input.pixels.unsqueeze(0));
  }
  torch::Tensor canvas_boxes(const Record& record, const Region& region) {
    const Image image = Image::decode(record.image, record.key);
    const Box box = clip_to_unit(preprocess(image, model_->config()).map.to_canvas(region.box));
    return torch::tensor({{box.x0, box.y0, box.x1, box.y1}});
  }

  static std::filesystem::path folder_;
  static std::vector<Record> records_;
  Cloc model_ = tiny_model();
  ByteTokenizer tokenizer_;
};
std::filesystem::path EvaluateTest::folder_;
std::vector<Record> EvaluateTest::records_;

float cosine(const torch::Tensor& a, const torch::Tensor& b) {
  return torch::dot(normalized(a), normalized(b)).item<float>();
}

// Numbers within rounding of each other, all else equal.
void expect_same(const Json& a, const Json& b, const std::string& where = "") {
  ASSERT_EQ(a.type(), b.type()) << where;
  if (a.is_number_float()) {
    EXPECT_NEAR(a.get<double>(), b.get<double>(), 1e-5) << where;
  } else if (a.is_object()) {
    ASSERT_EQ(a.size(), b.size()) << where;
    for (const auto& [key, value] : a.items()) {
      ASSERT_TRUE(b.contains(key)) << where << "/" << key;
      expect_same(value, b[key], where + "/" + key);
    }
  } else if (a.is_array()) {
    ASSERT_EQ(a.size(), b.size()) << where;
    for (size_t i = 0; i < a.size(); ++i) expect_same(a[i], b[i], where + "/" + std::to_string(i));
  } else {
    EXPECT_EQ(a, b) << where;
  }
}

TEST_F(EvaluateTest, HasTheKeysOfTheInterface) {
  const Json results = run(quiet());
  const std::map<std::string, std::vector<std::string>> keys{
      {"zeroshot", {"acc1", "acc5", "mean_per_class_recall", "n"}},
      {"retrieval",
       {"image_retrieval_recall@1", "image_retrieval_recall@5", "image_retrieval_recall@10",
        "text_retrieval_recall@1", "text_retrieval_recall@5", "text_retrieval_recall@10", "n"}},
      {"region_recognition",
       {"acc1", "acc5", "mean_per_class_recall", "n", "classes", "templates", "method"}},
      {"region_retrieval",
       {"region_to_text_recall@1", "region_to_text_recall@10", "text_to_region_recall@1",
        "text_to_region_recall@10", "n"}},
      {"grounding", {"acc@0.5", "mean_iou", "n", "constant_box", "predicted_spread"}}};
  for (const auto& [task, names] : keys) {
    ASSERT_TRUE(results.contains(task)) << task;
    for (const auto& name : names) EXPECT_TRUE(results[task].contains(name)) << task << "/" << name;
  }
  EXPECT_EQ(results["region_recognition"]["method"], "prompter");
  EXPECT_EQ(results["region_recognition"]["templates"], false);
  EXPECT_EQ(results["samples"], 31);
  EXPECT_TRUE(results["skipped"].empty());
  EXPECT_TRUE(results["not_run"].empty());
}

TEST_F(EvaluateTest, ZeroshotAgreesWithOneByOne) {
  std::set<std::string> classes;
  for (const auto& record : records_) classes.insert(*record.label);
  int hits = 0;
  std::map<std::string, std::pair<double, double>> per_class;  // hits, count
  for (const auto& record : records_) {
    const auto image = features(record).embedding[0];
    const auto best = std::max_element(
        classes.begin(), classes.end(), [&](const std::string& a, const std::string& b) {
          return cosine(image, text_embedding(a)) < cosine(image, text_embedding(b));
        });
    const bool hit = *best == *record.label;
    hits += hit;
    per_class[*record.label].first += hit;
    per_class[*record.label].second += 1;
  }
  double class_mean = 0;
  for (const auto& [name, counts] : per_class) {
    class_mean += counts.first / counts.second / static_cast<double>(per_class.size());
  }
  const Json figures = run(quiet())["zeroshot"];
  EXPECT_DOUBLE_EQ(figures["acc1"], hits / 31.0);
  EXPECT_NEAR(figures["mean_per_class_recall"].get<double>(), class_mean, 1e-12);
  EXPECT_EQ(figures["n"], 31);
}

TEST_F(EvaluateTest, RetrievalAgreesWithOneByOne) {
  struct Caption {
    torch::Tensor embedding;
    size_t image;
  };
  std::vector<Caption> captions;
  std::vector<torch::Tensor> images;
  for (size_t i = 0; i < records_.size(); ++i) {
    images.push_back(features(records_[i]).embedding[0]);
    captions.push_back({text_embedding(records_[i].caption), i});
    if (records_[i].captions.size() > 1) {
      captions.push_back({text_embedding(records_[i].captions[1]), i});
    }
  }
  const auto nearest_right = [](const auto& scores, const auto& right) {  // any right one in top 5
    int found = 0;
    for (size_t q = 0; q < scores.size(); ++q) {
      float best = -2;
      for (size_t j = 0; j < scores[q].size(); ++j) {
        if (right(q, j)) best = std::max(best, scores[q][j]);
      }
      int before = 0;
      for (const float score : scores[q]) before += score > best;
      found += before < 5;
    }
    return found / static_cast<double>(scores.size());
  };
  std::vector<std::vector<float>> by_text(captions.size());
  std::vector<std::vector<float>> by_image(images.size());
  for (size_t t = 0; t < captions.size(); ++t) {
    for (size_t i = 0; i < images.size(); ++i) {
      by_text[t].push_back(cosine(captions[t].embedding, images[i]));
      by_image[i].push_back(by_text[t].back());
    }
  }
  const Json figures = run(quiet())["retrieval"];
  EXPECT_DOUBLE_EQ(
      figures["image_retrieval_recall@5"],
      nearest_right(by_text, [&](size_t t, size_t i) { return captions[t].image == i; }));
  EXPECT_DOUBLE_EQ(
      figures["text_retrieval_recall@5"],
      nearest_right(by_image, [&](size_t i, size_t t) { return captions[t].image == i; }));
  EXPECT_EQ(figures["n"], 31);
  EXPECT_EQ(figures["texts"], captions.size());
}

TEST_F(EvaluateTest, RegionTasksAgreeWithOneByOne) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> regions;
  std::vector<std::string> texts;
  for (const auto& record : records_) {
    const auto image = features(record);
    for (const auto& region : record.regions) {
      regions.push_back(model_->encode_regions(
          image, box_prompts(canvas_boxes(record, region), torch::zeros({1}, torch::kInt64)))[0]);
      texts.push_back(region.text);
    }
  }
  const std::set<std::string> names(texts.begin(), texts.end());
  std::map<std::string, torch::Tensor> name_embedding;
  for (const auto& name : names) name_embedding[name] = text_embedding(name);

  int named = 0;
  int region_to_text = 0;
  int text_to_region = 0;
  const size_t n = regions.size();
  for (size_t i = 0; i < n; ++i) {
    const auto score = [&](size_t region, size_t text) {
      return cosine(regions[region], name_embedding[texts[text]]);
    };
    int better_names = 0;
    for (const auto& name : names) {
      better_names += cosine(regions[i], name_embedding[name]) > score(i, i);
    }
    named += better_names == 0;
    // All n texts and all n regions are candidates; equal texts are right for each other.
    int texts_before = 0;
    int regions_before = 0;
    float best_region = -2;
    for (size_t j = 0; j < n; ++j) {
      if (texts[j] == texts[i]) best_region = std::max(best_region, score(j, i));
    }
    for (size_t j = 0; j < n; ++j) {
      if (texts[j] == texts[i]) continue;
      texts_before += score(i, j) > score(i, i);
      regions_before += score(j, i) > best_region;
    }
    region_to_text += texts_before < 10;
    text_to_region += regions_before < 1;
  }
  ASSERT_GT(n, 30u);
  const Json results = run(quiet());
  const auto count = static_cast<double>(n);
  EXPECT_EQ(results["region_recognition"]["n"], n);
  EXPECT_EQ(results["region_recognition"]["classes"], names.size());
  EXPECT_DOUBLE_EQ(results["region_recognition"]["acc1"], named / count);
  EXPECT_DOUBLE_EQ(results["region_retrieval"]["region_to_text_recall@10"], region_to_text / count);
  EXPECT_DOUBLE_EQ(results["region_retrieval"]["text_to_region_recall@1"], text_to_region / count);
}

TEST_F(EvaluateTest, GroundingAgreesWithOneByOneAndCountsUniquePhrasesOnly) {
  const torch::NoGradGuard no_grad;
  double sum = 0;
  int counted = 0;
  int repeated = 0;
  for (const auto& record : records_) {
    std::map<std::string, int> times;
    for (const auto& region : record.regions) ++times[region.text];
    for (const auto& region : record.regions) {
      if (times[region.text] > 1) {
        ++repeated;
        continue;
      }
      const auto box = model_->ground(features(record), text_embedding(region.text).unsqueeze(0),
                                      torch::zeros({1}, torch::kInt64))[0];
      const auto truth = canvas_boxes(record, region)[0];
      const auto at = [](const torch::Tensor& b, int c) { return b[c].item<float>(); };
      sum += iou({at(box, 0), at(box, 1), at(box, 2), at(box, 3)},
                 {at(truth, 0), at(truth, 1), at(truth, 2), at(truth, 3)});
      ++counted;
    }
  }
  const Json figures = run(quiet())["grounding"];
  ASSERT_GT(repeated, 0);
  EXPECT_EQ(figures["n"], counted);
  EXPECT_EQ(figures["repeated_phrases_left_out"], repeated);
  EXPECT_NEAR(figures["mean_iou"].get<double>(), sum / counted, 1e-5);
}

TEST_F(EvaluateTest, SameResultsWhateverIsDoneAtATime) {
  EvalOptions options = quiet();
  options.region_methods = available_methods(model_->config(), true);
  const Json reference = run(options);
  for (const int64_t size : {1, 3, 7}) {
    options.batch_size = size;
    options.region_batch = size;
    options.chunk = size;
    options.workers = 1 + size % 2;
    expect_same(run(options), reference);
  }
  EXPECT_EQ(dump_json(run(options)), dump_json(run(options)));
}

TEST_F(EvaluateTest, EveryMethodIsReportedTheFirstOnTop) {
  EvalOptions options = quiet();
  options.tasks = {Task::kRegionRetrieval, Task::kRegionRecognition};
  options.region_methods = available_methods(model_->config(), true);
  const Json results = run(options);
  const Json& methods = results["region_retrieval"]["methods"];
  std::vector<std::string> names;
  for (const auto& [name, figures] : methods.items()) {
    names.push_back(name);
    EXPECT_EQ(figures["method"], name);
    EXPECT_EQ(figures["n"], methods["prompter"]["n"]);
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre("prompter", "roi_align", "crop", "roi_align_penultimate"));
  EXPECT_EQ(results["region_retrieval"]["method"], "prompter");
  EXPECT_FALSE(results.contains("zeroshot"));
  const std::string table = results_table(results);
  for (const auto& name : names) EXPECT_THAT(table, ::testing::HasSubstr(name));
}

TEST_F(EvaluateTest, PlainClipIsMeasuredByCrop) {
  EvalOptions options = quiet();
  options.region_heads = false;
  const Json results = run(options);
  EXPECT_EQ(results["region_recognition"]["method"], "crop");
  EXPECT_FALSE(results.contains("grounding"));
  EXPECT_TRUE(results["not_run"].contains("grounding"));
  options.region_methods = {RegionMethod::kPrompter};
  EXPECT_THROW(run(options), Error);
}

TEST_F(EvaluateTest, RoiAlignModelIsMeasuredByItsTrainedExtractor) {
  ModelConfig config = tiny_config();
  config.cloc.region_extractor = RegionExtractor::kRoiAlign;
  Cloc model = tiny_model(config);
  EvalOptions options = quiet();
  options.tasks = {Task::kRegionRecognition};
  EXPECT_EQ(evaluate(model, tokenizer_, glob(), options)["region_recognition"]["method"],
            "roi_align");
  options.region_methods = {RegionMethod::kPrompter};
  EXPECT_THROW(evaluate(model, tokenizer_, glob(), options), Error);
}

TEST_F(EvaluateTest, CropOfTheWholePictureIsThePicture) {
  Record record = records_[0];
  record.label = "cat";
  record.regions = {{{0, 0, 1, 1}, "cat", 1, "", Json::object()},
                    {{0, 0, 1, 1}, "dog", 1, "", Json::object()}};
  write_shard(folder_ / "whole.tar", {record});
  EvalOptions options = quiet();
  options.region_methods = {RegionMethod::kCrop};
  const Json results = run(options, "whole.tar");
  const auto image = features(record).embedding[0];
  const bool cat = cosine(image, text_embedding("cat")) > cosine(image, text_embedding("dog"));
  EXPECT_EQ(results["region_recognition"]["acc1"], 0.5);  // the same answer for both
  EXPECT_EQ(results["region_retrieval"]["region_to_text_recall@1"], 0.5);
  options.classes = {"cat", "dog"};
  EXPECT_EQ(run(options, "whole.tar")["zeroshot"]["acc1"], cat ? 1.0 : 0.0);
}

TEST_F(EvaluateTest, NamesOutsideTheClassesAreLeftOutAndCounted) {
  EvalOptions options = quiet();
  options.tasks = {Task::kZeroshot, Task::kRegionRecognition};
  options.classes = {"cat", "dog", "cat", "zebra"};
  const Json results = run(options);
  int64_t regions = 0;
  int64_t inside = 0;
  for (const auto& record : records_) {
    for (const auto& region : record.regions) {
      ++regions;
      inside += region.text == "cat" || region.text == "dog";
    }
  }
  const Json& figures = results["region_recognition"];
  EXPECT_EQ(figures["n"], inside);
  EXPECT_EQ(figures["left_out"], regions - inside);
  EXPECT_EQ(figures["classes"], 3);
  options.classes = {"zebra"};
  const Json none = run(options);
  EXPECT_TRUE(none["not_run"].contains("zeroshot"));
  EXPECT_TRUE(none["not_run"].contains("region_recognition"));
}

TEST_F(EvaluateTest, HeldOutNamesCompeteAmongThemselves) {
  int64_t held_out = 0;
  for (const auto& record : records_) {
    for (const auto& region : record.regions) held_out += region.extra.contains("held_out");
  }
  const Json figures = run(quiet())["region_recognition"]["held_out"];
  EXPECT_EQ(figures["n"], held_out);
  EXPECT_EQ(figures["classes"], 2);
  EXPECT_DOUBLE_EQ(figures["chance"], 0.5);
}

TEST_F(EvaluateTest, TemplatesChangeZeroshotAlone) {
  EvalOptions options = quiet();
  const Json bare = run(options);
  options.templates = {"{}"};
  expect_same(run(options)["region_recognition"], bare["region_recognition"]);
  EXPECT_EQ(run(options)["zeroshot"]["acc1"], bare["zeroshot"]["acc1"]);
  options.templates = {"{} is what I see", "no {}"};
  const Json prompted = run(options);
  expect_same(prompted["region_recognition"], bare["region_recognition"]);
  EXPECT_EQ(prompted["zeroshot"]["templates"], Json(options.templates));
}

TEST_F(EvaluateTest, BrokenSamplesAreSkippedAndCounted) {
  auto records = drawn_records(6);
  records[1].image.resize(40);
  records[4].image = "not a picture";
  records[5].regions = {{{0.1f, 0.1f, 0.5f, 0.5f}, "", 1, "", Json::object()}};
  write_shard(folder_ / "broken.tar", records);
  const Json results = run(quiet(), "broken.tar");
  EXPECT_EQ(results["samples"], 4);
  EXPECT_EQ(results["skipped"]["image does not decode"], 2);
  EXPECT_EQ(results["skipped"]["region without text"], 1);
  EXPECT_THAT(results_table(results), ::testing::HasSubstr("skipped image does not decode: 2"));
}

TEST_F(EvaluateTest, NothingGoodIsAnError) {
  auto records = drawn_records(2);
  for (auto& record : records) record.image = "nothing";
  write_shard(folder_ / "hopeless.tar", records);
  EXPECT_THROW(run(quiet(), "hopeless.tar"), Error);
  EXPECT_THROW(run(quiet(), "missing-*.tar"), Error);
}

TEST_F(EvaluateTest, TasksWithoutDataSayWhy) {
  auto records = drawn_records(3);
  for (auto& record : records) {
    record.regions.clear();
    record.label.reset();
    record.caption.clear();
    record.captions.clear();
  }
  write_shard(folder_ / "bare.tar", records);
  const Json results = run(quiet(), "bare.tar");
  EXPECT_EQ(results["not_run"].size(), 5u);
  EXPECT_THAT(results_table(results), ::testing::HasSubstr("no sample has a caption"));
}

TEST_F(EvaluateTest, BoxesTheCanvasCutsOffAreLeftOutAndCounted) {
  ModelConfig config = tiny_config();
  config.preprocess.resize_mode = CanvasRule::kShortest;
  Cloc model = tiny_model(config);
  Record record = records_[0];
  record.image = encode_png(fixtures::drawn_image(90, 30, 5));  // the middle third is seen
  record.regions = {{{0, 0, 0.2f, 1}, "ant", 1, "", Json::object()},
                    {{0.4f, 0, 0.6f, 1}, "bee", 1, "", Json::object()}};
  write_shard(folder_ / "wide.tar", {record});
  const Json results = evaluate(model, tokenizer_, glob("wide.tar"), quiet());
  EXPECT_EQ(results["region_recognition"]["n"], 1);
  EXPECT_EQ(results["skipped"]["box outside the canvas"], 1);
}

TEST_F(EvaluateTest, StopsAfterMaxSamplesAndLeavesTheModelAsItWas) {
  EvalOptions options = quiet();
  options.batch_size = 4;
  options.max_samples = 10;
  model_->train();
  EXPECT_EQ(run(options)["samples"], 10);
  EXPECT_TRUE(model_->is_training());
  model_->eval();
  run(options);
  EXPECT_FALSE(model_->is_training());
}

TEST_F(EvaluateTest, CutTextsAreCounted) {
  auto records = drawn_records(4);
  for (auto& record : records) {
    record.captions.clear();
    record.regions.clear();
  }
  records[2].caption = "a caption that is longer than the context";
  write_shard(folder_ / "long.tar", records);
  EvalOptions options = quiet();
  options.tasks = {Task::kRetrieval};
  const Json results = run(options, "long.tar");
  EXPECT_EQ(results["truncated_texts"]["texts"], 1);
  EXPECT_DOUBLE_EQ(results["truncated_texts"]["share"], 0.25);
}

TEST(EvalNames, GoBothWaysAndUnknownOnesAreErrors) {
  for (const auto* name :
       {"zeroshot", "retrieval", "region_recognition", "region_retrieval", "grounding"}) {
    EXPECT_STREQ(to_string(parse_task(name)), name);
  }
  for (const auto* name : {"prompter", "roi_align", "crop", "roi_align_penultimate"}) {
    EXPECT_STREQ(to_string(parse_region_method(name)), name);
  }
  EXPECT_THROW(parse_task("zero-shot"), Error);
  EXPECT_THROW(parse_region_method("all"), Error);
}

// Every box by itself: grounding by search is the best of them.
TEST_F(EvaluateTest, GroundingBySearchIsTheNearestOfAllBoxes) {
  EXPECT_EQ(grid_boxes(6).size(0), 441);
  EXPECT_EQ(grid_boxes(1).size(0), 1);
  const auto boxes = grid_boxes(model_->config().vision.grid());
  std::vector<Box> wanted, truth;
  for (const Record& record : records_) {
    std::map<std::string, int> times;
    for (const Region& region : record.regions) ++times[region.text];
    const auto seen = features(record);
    for (const Region& region : record.regions) {
      if (times[region.text] > 1) continue;
      const auto text = text_embedding(region.text);
      int64_t best = 0;
      float highest = -2;
      for (int64_t i = 0; i < boxes.size(0); ++i) {
        const torch::NoGradGuard no_grad;
        const auto z = model_->encode_regions(
            seen, box_prompts(boxes.slice(0, i, i + 1), torch::zeros({1}, torch::kInt64)))[0];
        if (const float c = cosine(z, text); c > highest + 1e-6F) {
          highest = c;
          best = i;
        }
      }
      const auto* b = boxes[best].data_ptr<float>();
      const auto of_canvas = canvas_boxes(record, region);
      const auto* t = of_canvas.data_ptr<float>();
      wanted.push_back({b[0], b[1], b[2], b[3]});
      truth.push_back({t[0], t[1], t[2], t[3]});
    }
  }
  auto options = quiet();
  options.tasks = {Task::kGrounding};
  options.ground_by_search = true;
  options.region_batch = 7;
  const Json got = run(options)["grounding"];
  ASSERT_EQ(got["n"], wanted.size());
  EXPECT_EQ(got["by"], "search");
  double sum = 0;
  for (size_t i = 0; i < wanted.size(); ++i) sum += iou(wanted[i], truth[i]);
  EXPECT_NEAR(got["mean_iou"].get<double>(), sum / static_cast<double>(wanted.size()), 0.02);
}

// Texts under other keys stand in for those that regions have.
TEST_F(EvaluateTest, RegionsMayGoByAnotherText) {
  auto records = records_;
  for (auto& record : records)
    for (auto& region : record.regions) region.extra["other"] = "a " + region.text;
  write_shard(folder_ / "other.tar", records);
  auto options = quiet();
  options.tasks = {Task::kRegionRetrieval};
  options.region_text = "other";
  const Json by_key = run(options, "other.tar");
  for (auto& record : records)
    for (auto& region : record.regions) region.text = "a " + region.text;
  write_shard(folder_ / "same.tar", records);
  options.region_text = "text";
  expect_same(by_key["region_retrieval"], run(options, "same.tar")["region_retrieval"]);
  options.region_text = "nowhere";  // what has no such key keeps its text
  expect_same(run(options, "same.tar")["region_retrieval"], by_key["region_retrieval"]);
}

}  // namespace
}  // namespace opencloc
