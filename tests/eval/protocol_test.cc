#include "opencloc/eval/protocol.h"

#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/encode/regions.h"
#include "opencloc/encode/text_bank.h"
#include "opencloc/eval/classify.h"
#include "opencloc/eval/evaluate.h"
#include "opencloc/eval/metrics.h"
#include "opencloc/eval/templates.h"
#include "opencloc/model/clip/preprocess.h"
#include "tests/data/tar_maker.h"
#include "tests/eval/tiny_world.h"

namespace opencloc {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Protocols, NamesDifferAndWhatIsFixedIsReported) {
  std::set<std::string> names;
  for (const auto& protocol : protocols()) {
    EXPECT_TRUE(names.insert(protocol.name).second) << protocol.name;
    EXPECT_FALSE(protocol.headline.empty());
    EXPECT_EQ(&find_protocol(protocol.name), &protocol);
  }
  EXPECT_THROW(find_protocol("clip"), Error);
  const Json report = protocol_report(find_protocol("clipself"), {"image_size"},
                                      {{"region_recognition", {{"mean_per_class_recall", 0.25}}}});
  EXPECT_EQ(report["fixed"]["region_method"], "dense");
  EXPECT_FALSE(report["fixed"].contains("image_size"));
  EXPECT_THAT(report["changed"], Contains("image_size"));
  EXPECT_EQ(report["headline"]["region_recognition/mean_per_class_recall"], 0.25);
}

TEST(PublishedPrompts, AreAllThereAndNamesMayStandTwice) {
  const auto openai = load_templates("openai"), vild = load_templates("vild");
  EXPECT_EQ(std::set<std::string>(openai.begin(), openai.end()).size(), 80u);
  EXPECT_EQ(std::set<std::string>(vild.begin(), vild.end()).size(), 63u);
  EXPECT_THAT(vild, Contains("This is a photo of {article} {} in the scene."));
  EXPECT_THAT(vild, Contains("There is the {} in the scene."));
  EXPECT_TRUE(load_templates("none").empty());
  const ClassNames classes = load_classes("imagenet");
  ASSERT_EQ(classes.names.size(), 1000u);
  ASSERT_EQ(classes.labels.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(classes.labels.begin(), classes.labels.end()));
  EXPECT_EQ(std::count(classes.names.begin(), classes.names.end(), "missile"), 2);
  const std::string first = "n03773504", second = "n04008634", name = "missile", other = "n0";
  const ClassTargets targets =
      class_targets({&first, &second, &name, &other}, classes.names, classes.labels);
  EXPECT_EQ(targets.classes.size(), 1000u);
  EXPECT_EQ(targets.left_out, 1);
  EXPECT_EQ(classes.labels[static_cast<size_t>(targets.targets[1].item<int64_t>())], second);
  EXPECT_EQ(targets.targets[0].item<int64_t>(), targets.targets[2].item<int64_t>());
}

TEST(NamesMap, IsALabelATabAndAName) {
  const auto path = std::filesystem::path(::testing::TempDir()) /
                    ("opencloc_names_map_" + std::to_string(getpid()));
  write_file(path, "n1\tcock\n\n n2 \t missile\nn3\tmissile\n");
  const ClassNames classes = read_names_map(path);
  EXPECT_THAT(classes.labels, ElementsAre("n1", "n2", "n3"));
  EXPECT_THAT(classes.names, ElementsAre("cock", "missile", "missile"));
  for (const char* bad : {"n1 cock\n", "n1\t\n", "n1\ta\nn1\tb\n", "\n"}) {
    write_file(path, bad);
    EXPECT_THROW(read_names_map(path), Error) << bad;
  }
  std::filesystem::remove(path);
}

TEST(GroundingFigures, AnyBoxOfAPhraseAndTheBestConstantBox) {
  const Box left{0, 0, 0.5f, 1}, right{0.5f, 0, 1, 1}, whole{0, 0, 1, 1};
  const Json figures =
      grounding_figures({left, right, left}, {whole, whole, right}, {{left, right}, {left}, {}});
  EXPECT_DOUBLE_EQ(figures["acc@0.5"].get<double>(), 2.0 / 3);  // IoU of a half with the whole: 0.5
  EXPECT_DOUBLE_EQ(figures["acc_any@0.5"].get<double>(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(figures["best_constant_box"]["acc@0.5"].get<double>(), 1.0);
  EXPECT_FALSE(grounding_figures({left}, {left}, {{}}).contains("acc_any@0.5"));
}

TEST(FiguresByPart, AreThoseOfTheirSamplesAlone) {
  const auto ranks = torch::tensor({0, 3, 0, 0}, torch::kInt64);
  const auto targets = torch::tensor({0, 0, 1, 2}, torch::kInt64);
  const Json parts = figures_by_part(ranks, targets, 3, {"small", "small", "large", ""});
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_DOUBLE_EQ(parts["small"]["acc1"].get<double>(), 0.5);
  EXPECT_EQ(parts["large"]["n"], 1);
}

// Records that say all that the new tasks ask for.
class ProtocolTasks : public ::testing::Test {
 protected:
  void SetUp() override {
    records_ = fixtures::drawn_records(12);
    for (size_t i = 0; i < records_.size(); ++i) {
      Record& record = records_[i];
      record.extra["pair"] = std::to_string(i / 2);
      record.extra["choices"] = Json::array({{{"text", "right " + std::to_string(i)},
                                              {"negatives", {"wrong", "other"}},
                                              {"kind", i % 2 ? "a" : "b"}}});
      for (size_t r = 0; r < record.regions.size(); ++r) {
        Region& region = record.regions[r];
        if (r == 0) region.extra["negatives"] = {"a dog", "a cat"};
        if (r == 1) region.extra["crowd"] = true;
        if (r == 2) region.text.clear();
        region.extra["frequency"] = r % 2 ? "r" : "f";
      }
    }
    fixtures::write_shard(folder_ / "all.tar", records_);
    options_.progress = false;
    options_.workers = 1;
  }
  Json run() { return evaluate(model_, tokenizer_, (folder_ / "all.tar").string(), options_); }
  size_t regions_with(bool crowd, bool textless) const {
    size_t count = 0;
    for (const auto& record : records_)
      for (const auto& region : record.regions)
        count += (crowd || !region.extra.contains("crowd")) && (textless || !region.text.empty());
    return count;
  }

  fixtures::TempFolder folder_;
  std::vector<Record> records_;
  Cloc model_ = fixtures::tiny_model();
  fixtures::ByteTokenizer tokenizer_;
  EvalOptions options_;
};

TEST_F(ProtocolTasks, CrowdBoxesAndAreasAreASelection) {
  options_.tasks = {Task::kRegionRecognition};
  const Json plain = run();
  EXPECT_EQ(plain["region_recognition"]["n"], regions_with(false, false));
  EXPECT_GT(plain["skipped"]["crowd region"], 0);
  options_.boxes.crowd = true;
  const Json all = run();
  EXPECT_EQ(all["region_recognition"]["n"], regions_with(true, false));
  EXPECT_FALSE(all["skipped"].contains("crowd region"));
  EXPECT_EQ(all["region_recognition"]["by_frequency"]["r"]["n"].get<size_t>() +
                all["region_recognition"]["by_frequency"]["f"]["n"].get<size_t>(),
            regions_with(true, false));
  options_.boxes.min_area = 100;
  options_.boxes.max_area = 300;
  size_t between = 0;
  for (const auto& record : records_) {
    const Image image = Image::decode(record.image, record.key);
    for (const auto& region : record.regions) {
      const double area = static_cast<double>(region.box.width()) * region.box.height() *
                          image.width * image.height;
      between += !region.text.empty() && area >= 100 && area <= 300;
    }
  }
  const Json limited = run();
  ASSERT_GT(between, 0u);
  EXPECT_EQ(limited["region_recognition"]["n"], between);
}

TEST_F(ProtocolTasks, RegionPromptsCountAndAreNamed) {
  options_.tasks = {Task::kRegionRecognition};
  options_.region_templates = {"a photo of {article} {}."};
  const Json prompted = run();
  EXPECT_EQ(prompted["region_recognition"]["templates"], Json(options_.region_templates));
  TextEncoder encoder(model_, tokenizer_, 8);
  const auto found = class_embeddings(encoder, {"owl", "bee"}, options_.region_templates);
  const auto expected = normalized(encoder.encode({"a photo of an owl.", "a photo of a bee."}));
  EXPECT_TRUE(found.allclose(expected, 1e-5, 1e-6));
}

TEST_F(ProtocolTasks, DistractorsJoinTheCandidatesOfTexts) {
  options_.tasks = {Task::kRegionRetrieval};
  const Json none = run()["region_retrieval"];
  EXPECT_FALSE(none.contains("distractors"));
  options_.boxes.distractors = 0;
  const Json given = run()["region_retrieval"];
  EXPECT_EQ(given["n"], none["n"]);
  EXPECT_EQ(given["distractors"].get<size_t>(),
            regions_with(false, true) - regions_with(false, false));
  options_.boxes.distractors = 3;
  const Json random = run()["region_retrieval"];
  EXPECT_GT(random["distractors"].get<int64_t>(), given["distractors"].get<int64_t>() + 12);
  EXPECT_LE(random["text_to_region_with_distractors_recall@1"].get<double>(),
            random["text_to_region_recall@1"].get<double>());
  EXPECT_EQ(dump_json(run()["region_retrieval"]), dump_json(random));
}

TEST_F(ProtocolTasks, ChoicesAgreeWithTheirDefinition) {
  options_.tasks = {Task::kChoice};
  options_.region_methods = {RegionMethod::kCrop, RegionMethod::kDense};
  const Json choice = run()["choice"];
  TextEncoder encoder(model_, tokenizer_, 8);
  const auto unit = [&](const std::vector<std::string>& texts) {
    return normalized(encoder.encode(texts));
  };
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> pictures;
  double hits = 0;
  for (size_t i = 0; i < records_.size(); ++i) {
    const auto input = preprocess(Image::decode(records_[i].image, "x"), model_->config());
    pictures.push_back(normalized(model_->encode_image(input.pixels.unsqueeze(0)).embedding)[0]);
    const auto scores = unit({"right " + std::to_string(i), "wrong", "other"}).mv(pictures.back());
    hits += (scores[0] > scores.slice(0, 1).max()).item<bool>();
  }
  EXPECT_EQ(choice["pictures"]["n"], 12);
  EXPECT_DOUBLE_EQ(choice["pictures"]["acc1"].get<double>(), hits / 12);
  EXPECT_DOUBLE_EQ(choice["pictures"]["chance"].get<double>(), 1.0 / 3);
  const Json& kinds = choice["pictures"]["kinds"];
  EXPECT_DOUBLE_EQ(choice["pictures"]["mean_of_kinds"].get<double>(),
                   (kinds["a"]["acc1"].get<double>() + kinds["b"]["acc1"].get<double>()) / 2);
  size_t with_negatives = 0;
  for (const auto& record : records_) with_negatives += !record.regions.empty();
  EXPECT_EQ(choice["regions"]["n"].get<size_t>(), with_negatives);
  EXPECT_EQ(choice["regions"]["method"], "crop");
  EXPECT_TRUE(choice["regions"]["methods"].contains("dense"));
  double text = 0, image = 0, group = 0;
  for (size_t i = 0; i < records_.size(); i += 2) {
    const auto texts = unit({records_[i].caption, records_[i + 1].caption});
    const auto s = texts.mm(torch::stack({pictures[i], pictures[i + 1]}).t());  // [text, picture]
    const auto at = [&](int t, int p) { return s[t][p].item<float>(); };
    const bool t = at(0, 0) > at(1, 0) && at(1, 1) > at(0, 1);
    const bool p = at(0, 0) > at(0, 1) && at(1, 1) > at(1, 0);
    text += t / 6.0, image += p / 6.0, group += (t && p) / 6.0;
  }
  EXPECT_NEAR(choice["pairs"]["text_score"].get<double>(), text, 1e-12);
  EXPECT_NEAR(choice["pairs"]["image_score"].get<double>(), image, 1e-12);
  EXPECT_NEAR(choice["pairs"]["group_score"].get<double>(), group, 1e-12);
}

TEST_F(ProtocolTasks, WithoutChoicesThereIsNothingToChoose) {
  fixtures::write_shard(folder_ / "plain.tar", fixtures::drawn_records(3));
  options_.tasks = {Task::kChoice};
  const Json results = evaluate(model_, tokenizer_, (folder_ / "plain.tar").string(), options_);
  EXPECT_TRUE(results["not_run"].contains("choice"));
}

TEST_F(ProtocolTasks, ThePictureOfAnObjectIsTheOneWithTheBestBox) {
  options_.tasks = {Task::kObjectRetrieval};
  options_.boxes.crowd = true;
  for (auto& record : records_)
    for (size_t r = 0; r < record.regions.size(); ++r)
      if (!record.regions[r].text.empty()) record.regions[r].text = record.key + std::to_string(r);
  fixtures::write_shard(folder_ / "all.tar", records_);
  options_.boxes.distractors = 0;
  options_.region_methods = {RegionMethod::kDense};
  const Json figures = run()["object_retrieval"];
  // The captions of pictures that have no region with a text ask, too.
  size_t queries = regions_with(true, false);
  for (const auto& record : records_) {
    const bool asks = std::any_of(record.regions.begin(), record.regions.end(),
                                  [](const Region& region) { return !region.text.empty(); });
    if (!asks) queries += std::max<size_t>(record.captions.size(), 1);
  }
  EXPECT_EQ(figures["n"].get<size_t>(), queries);
  EXPECT_EQ(figures["boxes"].get<size_t>(), regions_with(true, true));
  EXPECT_TRUE(figures["methods"].contains("global"));
  EXPECT_EQ(figures["method"], "dense");
  EXPECT_EQ(figures["recall@1"], figures["methods"]["dense"]["recall@1"]);
}

// RefCOCO's and Flickr30k Entities' counts: every sentence, its own box or any of its boxes.
TEST_F(ProtocolTasks, EveryPhraseIsAskedFor) {
  for (auto& record : records_) {
    if (record.regions.empty()) continue;
    const Box& box = record.regions[0].box;
    record.regions[0].extra["boxes"] =
        Json::array({{0, 0, 1, 1}, {box.x0, box.y0, box.x1, box.y1}});
  }
  fixtures::write_shard(folder_ / "all.tar", records_);
  options_.tasks = {Task::kGrounding};
  options_.every_phrase = true;
  options_.boxes.crowd = true;
  const Json figures = run()["grounding"];
  const torch::NoGradGuard no_grad;
  TextEncoder encoder(model_, tokenizer_, 8);
  double hits = 0, any_hits = 0, sum = 0, n = 0;
  for (const auto& record : records_) {
    const auto input = preprocess(Image::decode(record.image, "x"), model_->config());
    const auto features = model_->encode_image(input.pixels.unsqueeze(0));
    const auto on_canvas = [&](const Box& box) { return clip_to_unit(input.map.to_canvas(box)); };
    for (size_t r = 0; r < record.regions.size(); ++r) {
      const Region& region = record.regions[r];
      if (region.text.empty()) continue;
      const auto box =
          model_->ground(features, encoder.encode({region.text}), torch::zeros({1}, torch::kInt64));
      const Box found{box[0][0].item<float>(), box[0][1].item<float>(), box[0][2].item<float>(),
                      box[0][3].item<float>()};
      const float own = iou(found, on_canvas(region.box));
      const bool whole = r == 0 && iou(found, on_canvas({0, 0, 1, 1})) >= 0.5f;
      hits += own >= 0.5f;
      any_hits += own >= 0.5f || whole;
      sum += own;
      ++n;
    }
  }
  EXPECT_EQ(figures["n"].get<double>(), n);
  EXPECT_EQ(figures["repeated_phrases_left_out"], 0);
  EXPECT_NEAR(figures["acc@0.5"].get<double>(), hits / n, 1e-12);
  EXPECT_NEAR(figures["acc_any@0.5"].get<double>(), any_hits / n, 1e-12);
  EXPECT_NEAR(figures["mean_iou"].get<double>(), sum / n, 1e-5);
}

// CLIPSelf's and FG-CLIP's dense features written out, on torch's own operations.
TEST_F(ProtocolTasks, DenseFeaturesAreTheLastBlockWithoutAttention) {
  const torch::NoGradGuard no_grad;
  const auto input = preprocess(Image::decode(records_[0].image, "x"), model_->config());
  EncodeOptions encode;
  encode.hidden_layer = -2;
  const auto features = model_->encode_image(input.pixels.unsqueeze(0), encode);
  const auto weights = model_->visual->named_parameters();
  const auto w = [&](const std::string& name) {
    return weights["transformer.resblocks.1." + name];
  };
  const auto ln = [](const torch::Tensor& x, const torch::Tensor& gain, const torch::Tensor& bias) {
    return torch::layer_norm(x, {x.size(-1)}, gain, bias);
  };
  const auto x = features.hidden.slice(1, 1);  // [1, N, D]
  const int64_t width = x.size(2);
  const auto value = ln(x, w("ln_1.weight"), w("ln_1.bias"))
                         .matmul(w("attn.in_proj_weight").slice(0, 2 * width).t()) +
                     w("attn.in_proj_bias").slice(0, 2 * width);
  auto y = x + value.matmul(w("attn.out_proj.weight").t()) + w("attn.out_proj.bias");
  const auto inner =
      torch::gelu(ln(y, w("ln_2.weight"), w("ln_2.bias")).matmul(w("mlp.c_fc.weight").t()) +
                  w("mlp.c_fc.bias"));
  y = y + inner.matmul(w("mlp.c_proj.weight").t()) + w("mlp.c_proj.bias");
  const auto dense =
      ln(y, weights["ln_post.weight"], weights["ln_post.bias"]).matmul(weights["proj"]);
  EXPECT_TRUE(model_->dense_tokens(features.hidden).allclose(dense, 1e-4, 1e-5));

  // A box of one whole patch reads that patch.
  const float cell = 1.0f / 4;
  RegionRows rows =
      region_rows({{{cell, 2 * cell, 2 * cell, 3 * cell}, {0, 0, 1, 1}}}, torch::kCPU);
  const auto raw = encode_regions(RegionMethod::kDenseRaw, model_, features, rows);
  EXPECT_TRUE(raw[0].allclose(dense[0][2 * 4 + 1], 1e-4, 1e-5));
  EXPECT_TRUE(raw[1].allclose(dense[0].mean(0), 1e-4, 1e-5));
  const auto unit = encode_regions(RegionMethod::kDense, model_, features, rows);
  EXPECT_TRUE(unit[1].allclose(normalized(dense[0]).mean(0), 1e-4, 1e-5));
}

TEST(PixelsAround, AreHalfAsMuchAgainWithinThePicture) {
  const Image image(200, 100);
  const PixelRect middle = pixels_around({0.4f, 0.4f, 0.6f, 0.6f}, image);  // 80..120, 40..60
  EXPECT_EQ(middle.x, 70);
  EXPECT_EQ(middle.width, 60);
  EXPECT_EQ(middle.y, 35);
  EXPECT_EQ(middle.height, 30);
  const PixelRect corner = pixels_around({0, 0, 0.5f, 1}, image);
  EXPECT_EQ(corner.x, 0);
  EXPECT_EQ(corner.width, 125);
  EXPECT_EQ(corner.height, 100);
}

}  // namespace
}  // namespace opencloc
