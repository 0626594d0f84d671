#include "opencloc/data/load/loader.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "tests/data/loader_fixture.h"

namespace opencloc {
namespace {

using fixtures::LetterTokenizer;
using fixtures::numbered_image;
using fixtures::numbered_record;
using fixtures::numbered_records;
using fixtures::TempFolder;
using fixtures::write_shard;
using ::testing::HasSubstr;
using ::testing::Not;

LoaderOptions small_options() {
  LoaderOptions options;
  options.batch_size = 5;
  options.seed = 3;
  options.sample.canvas.width = options.sample.canvas.height = 24;
  options.sample.canvas.rule = CanvasRule::kLongest;
  options.sample.context_length = 16;
  options.sample.regions_per_image = 2;
  return options;
}

// Everything in a batch, as one string.
std::string fingerprint(const Batch& batch) {
  std::string bytes;
  for (const auto* tensor :
       {&batch.pixels, &batch.text_ids, &batch.text_length, &batch.has_text, &batch.boxes,
        &batch.region_image, &batch.region_ids, &batch.region_length, &batch.region_text_id,
        &batch.names_one_box, &batch.prompt_kind, &batch.points}) {
    if (!tensor->defined()) continue;
    bytes.append(static_cast<const char*>(tensor->data_ptr()), tensor->nbytes());
  }
  for (const auto& key : batch.keys) bytes += key;
  for (const auto& text : batch.region_texts) bytes += text;
  return bytes;
}

class LoaderTest : public ::testing::Test {
 protected:
  std::vector<std::string> fingerprints(const std::string& data, const LoaderOptions& options,
                                        int batches, const SamplerPosition* start = nullptr) {
    const SampleStore store(data, skips_);
    Loader loader(store, tokenizer_, skips_, options, start);
    std::vector<std::string> seen;
    for (int i = 0; i < batches; ++i) seen.push_back(fingerprint(loader.next().batch));
    return seen;
  }
  std::string shard(const std::string& name, int first, int count) {
    write_shard(folder_ / name, numbered_records(first, count));
    return (folder_ / name).string();
  }

  TempFolder folder_;
  LetterTokenizer tokenizer_;
  SkipCounter skips_{0};
};

// JPEGs decoded at a fraction of their size: nearly the same pixels, the same boxes and texts.
// The first batches are those of a loader with the small canvas, the others those of one with the
// large, however many workers, from any start, in any share.
TEST_F(LoaderTest, TheFirstBatchesMayBeSmaller) {
  write_shard(folder_ / "a.tar", numbered_records(0, 17));
  const std::string data = (folder_ / "a.tar").string();
  auto large = small_options(), small = small_options(), both = small_options();
  small.sample.canvas.width = small.sample.canvas.height = 16;
  both.early = {.batches = 3, .size = 16};
  const auto of_small = fingerprints(data, small, 6), of_large = fingerprints(data, large, 6);
  const auto wanted = [&](size_t i) { return i < 3 ? of_small[i] : of_large[i]; };
  for (const int workers : {1, 4}) {
    both.workers = workers;
    const auto seen = fingerprints(data, both, 6);
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(seen[i], wanted(i)) << i;
  }
  const SampleStore store(data, skips_);
  Loader loader(store, tokenizer_, skips_, both);
  for (int64_t done = 1; done < 5; ++done) {
    const SamplerPosition after = loader.next().after;
    auto rest = both;
    rest.early.batches = std::max<int64_t>(0, 3 - done);
    const auto seen = fingerprints(data, rest, static_cast<int>(6 - done), &after);
    for (size_t i = 0; i < seen.size(); ++i)
      EXPECT_EQ(seen[i], wanted(i + static_cast<size_t>(done))) << done << ' ' << i;
  }
  auto share = both;
  share.share = {1, 2};
  Loader second(store, tokenizer_, skips_, share);
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(second.next().batch.pixels.sizes(),
              (torch::IntArrayRef{3, 3, i < 3 ? 16 : 24, i < 3 ? 16 : 24}));
}

TEST_F(LoaderTest, DraftDecodingIsFasterNotExact) {
  std::vector<Record> records = numbered_records(0, 5);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].extension = "jpg";
    records[i].image = encode_jpeg(numbered_image(static_cast<int>(i), 320, 240), 90);
  }
  write_shard(folder_ / "a.tar", records);
  const SampleStore store((folder_ / "a.tar").string(), skips_);
  LoaderOptions options = small_options();
  const auto load = [&](bool draft) {
    options.sample.jpeg_draft = draft;
    return Loader(store, tokenizer_, skips_, options).next().batch;
  };
  for (const bool augment : {false, true}) {
    options.sample.augment = augment;
    const Batch exact = load(false), draft = load(true);
    EXPECT_FALSE(torch::equal(draft.pixels, exact.pixels));
    EXPECT_LT((draft.pixels - exact.pixels).abs().mean().item<float>(), 0.02);
    EXPECT_TRUE(torch::equal(draft.boxes, exact.boxes));
    EXPECT_EQ(draft.region_texts, exact.region_texts);
  }
  // A crop of a hundredth of the area needs every pixel of 240 rows to fill 24.
  options.sample.crop.scale_min = 0.01;
  EXPECT_TRUE(torch::equal(load(true).pixels, load(false).pixels));
}

TEST_F(LoaderTest, OrderDoesNotDependOnWorkersOrLookAhead) {
  const std::string data = shard("a.tar", 0, 13) + "::" + shard("b.tar.gz", 50, 7);
  LoaderOptions options = small_options();
  options.sample.mosaic = 0.3;
  options.sample.point_prompts = options.sample.mask_prompts = 0.3;
  options.sample.label_noise = 0.3;
  options.sample.box_jitter = 0.1;
  options.workers = 1;
  options.ahead = 1;
  const auto expected = fingerprints(data, options, 9);
  for (const int workers : {1, 2, 4}) {
    options.workers = workers;
    options.ahead = 0;
    EXPECT_EQ(fingerprints(data, options, 9), expected) << workers << " workers";
  }
  options.seed = 4;
  EXPECT_NE(fingerprints(data, options, 9), expected);
}

TEST_F(LoaderTest, GoesOnWhereItStood) {
  const std::string data = shard("a.tar", 0, 13) + "::" + shard("b.tar", 50, 7);
  const LoaderOptions options = small_options();
  const auto expected = fingerprints(data, options, 12);
  const SampleStore store(data, skips_);
  for (const size_t done : {1U, 4U, 7U}) {  // in the first epoch and in later ones
    SamplerPosition position;
    {
      Loader loader(store, tokenizer_, skips_, options);
      for (size_t i = 0; i < done; ++i) position = loader.next().after;
    }
    // Through the form it is saved in.
    position = sampler_position_from_json(sampler_position_to_json(position), "test");
    const std::vector<std::string> rest(expected.begin() + static_cast<std::ptrdiff_t>(done),
                                        expected.end());
    EXPECT_EQ(fingerprints(data, options, 12 - static_cast<int>(done), &position), rest);
  }
}

TEST_F(LoaderTest, AnEpochHoldsEverySampleOnceAndEpochsDiffer) {
  const SampleStore store(shard("a.tar", 0, 10) + "::" + shard("b.tar", 10, 10), skips_);
  Sampler sampler(store.sizes(), {}, 1);
  std::map<int, std::vector<uint64_t>> first, second;
  while (second[0].size() < 10 || second[1].size() < 10) {
    const Draw draw = sampler.next();
    if (draw.epoch == 0) first[draw.source].push_back(draw.index);
    if (draw.epoch == 1) second[draw.source].push_back(draw.index);
  }
  for (const int source : {0, 1}) {
    const std::set<uint64_t> distinct(first[source].begin(), first[source].end());
    EXPECT_EQ(first[source].size(), 10U);
    EXPECT_EQ(distinct.size(), 10U);
    EXPECT_NE(first[source], second[source]);
  }
}

TEST(Sampler, DrawsSourcesInProportionToTheirWeights) {
  Sampler sampler({1000, 10}, {1, 3}, 0);
  int second = 0;
  for (int i = 0; i < 4000; ++i) second += sampler.next().source;
  EXPECT_NEAR(second, 3000, 120);
  EXPECT_THROW(Sampler({5, 5}, {1}, 0), Error);
  EXPECT_THROW(Sampler({5, 5}, {1, 0}, 0), Error);
  EXPECT_THROW(Sampler({5, 0}, {}, 0), Error);
}

TEST(Sampler, RefusesAPositionOfOtherData) {
  Sampler sampler({10, 10}, {}, 0);
  EXPECT_THROW(sampler.seek({5, {{0, 3}}}), Error);
  EXPECT_THROW(sampler.seek({5, {{0, 3}, {0, 11}}}), Error);
  EXPECT_THROW(sampler_position_from_json(Json::parse(R"({"drawn": -1, "sources": []})"), "x"),
               Error);
}

TEST_F(LoaderTest, BrokenSamplesAreSkippedAndCounted) {
  auto records = numbered_records(0, 8);
  records[2].image = "not a picture";
  records[5].caption.clear();  // and no alt-text
  records[5].regions.clear();
  write_shard(folder_ / "a.tar", records);
  LoaderOptions options = small_options();
  options.batch_size = 6;
  const auto one_worker = fingerprints((folder_ / "a.tar").string(), options, 2);
  options.workers = 4;
  SkipCounter skips(0);
  const SampleStore store((folder_ / "a.tar").string(), skips);
  Loader loader(store, tokenizer_, skips, options);
  std::set<std::string> keys;
  for (int i = 0; i < 2; ++i) {
    const Batch batch = loader.next().batch;
    EXPECT_EQ(fingerprint(batch), one_worker[static_cast<size_t>(i)]);
    keys.insert(batch.keys.begin(), batch.keys.end());
  }
  EXPECT_EQ(keys.size(), 6U);
  EXPECT_FALSE(keys.contains("a.tar#sample2"));
  EXPECT_GE(skips.count(skip::kBadImage), 1);
  EXPECT_GE(skips.count(skip::kNoText), 1);
}

// What others' broken samples are replaced by is nobody's business: every slot of a batch but those
// of broken samples holds what it holds where nothing is broken.
TEST_F(LoaderTest, BrokenSamplesAreReplacedInTheirPlace) {
  auto records = numbered_records(0, 9);
  write_shard(folder_ / "whole.tar", records);
  records[2].image = records[3].image = "not a picture";
  write_shard(folder_ / "broken.tar", records);
  LoaderOptions options = small_options();
  options.batch_size = 18;
  const auto keys_of = [&](const char* name) {
    const SampleStore store((folder_ / name).string(), skips_);
    auto keys = Loader(store, tokenizer_, skips_, options).next().batch.keys;
    for (auto& key : keys) key = key.substr(key.find('#') + 1);
    return keys;
  };
  const auto whole = keys_of("whole.tar"), broken = keys_of("broken.tar");
  ASSERT_EQ(whole.size(), broken.size());
  int replaced = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    const bool bad = whole[i] == "sample2" || whole[i] == "sample3";
    replaced += bad ? 1 : 0;
    EXPECT_EQ(whole[i] == broken[i], !bad) << i;
    EXPECT_TRUE(broken[i] != "sample2" && broken[i] != "sample3") << i;
  }
  EXPECT_EQ(replaced, 4) << "two epochs";
}

// However many processes share the batches, they hold together what one process has, in its order.
TEST_F(LoaderTest, SharesOfABatchAreThoseOfOneProcess) {
  auto records = numbered_records(0, 13);
  records[4].image = "no picture";
  write_shard(folder_ / "a.tar", records);
  const SampleStore store((folder_ / "a.tar").string(), skips_);
  LoaderOptions options = small_options();
  options.batch_size = 7;
  const auto load = [&](int64_t rank, int64_t size, const SamplerPosition* start) {
    options.share = {rank, size};
    return std::make_unique<Loader>(store, tokenizer_, skips_, options, start);
  };
  const auto whole = load(0, 1, nullptr);
  std::vector<LoadedBatch> expected;
  for (int i = 0; i < 4; ++i) expected.push_back(whole->next());
  SamplerPosition position;
  // Each batch by another number of processes, which start where the ones before stood.
  const std::vector<int64_t> sizes = {2, 3, 7, 5};
  for (size_t i = 0; i < sizes.size(); ++i) {
    std::vector<std::string> keys;
    std::vector<torch::Tensor> pixels;
    SamplerPosition after;
    for (int64_t rank = 0; rank < sizes[i]; ++rank) {
      const auto share = load(rank, sizes[i], i == 0 ? nullptr : &position)->next();
      keys.insert(keys.end(), share.batch.keys.begin(), share.batch.keys.end());
      pixels.push_back(share.batch.pixels);
      EXPECT_TRUE(rank == 0 || after == share.after);
      after = share.after;
    }
    EXPECT_EQ(keys, expected[i].batch.keys);
    EXPECT_TRUE(torch::equal(torch::cat(pixels), expected[i].batch.pixels));
    EXPECT_EQ(after, expected[i].after);
    position = after;
  }
  EXPECT_THROW(load(0, 8, nullptr), Error);  // none for some of them
}

TEST_F(LoaderTest, ASourceWithoutOneUsableSampleIsNamed) {
  auto records = numbered_records(0, 3);
  for (auto& record : records) record.image = "broken";
  write_shard(folder_ / "b.tar", records);
  const std::string both = shard("a.tar", 0, 3) + "::" + (folder_ / "b.tar").string();
  const SampleStore store(both, skips_);
  Loader loader(store, tokenizer_, skips_, small_options());
  try {
    for (int i = 0; i < 20; ++i) loader.next();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no sample of source 2 can be used"));
  }
}

TEST_F(LoaderTest, PicturesWithoutATextTrainByTheirRegions) {
  auto records = numbered_records(0, 5);
  records[2].caption.clear();  // and no alt-text
  write_shard(folder_ / "a.tar", records);
  const SampleStore store((folder_ / "a.tar").string(), skips_);
  LoaderOptions options = small_options();
  const Batch batch = Loader(store, tokenizer_, skips_, options).next().batch;
  ASSERT_TRUE(batch.has_text.defined());
  for (int64_t i = 0; i < 5; ++i)
    EXPECT_EQ(batch.has_text[i].item<bool>(),
              batch.keys[static_cast<size_t>(i)] != "a.tar#sample2");
  EXPECT_EQ(batch.regions(), 10);
  EXPECT_EQ(skips_.total(), 0);
  // A mosaic tells of the tiles that have a text.
  options.sample.mosaic = 1;
  const SampleMaker maker(store, tokenizer_, options.sample, 2);
  for (uint64_t epoch = 0; epoch < 20; ++epoch) {
    const std::string text = maker.make({0, epoch, 2}).text;
    EXPECT_THAT(text, Not(HasSubstr(", ,")));
    EXPECT_FALSE(text.starts_with(",") || text.ends_with(", ")) << text;
  }
  // Nothing is left to learn where no region is wanted.
  options.sample.regions_per_image = 0;
  options.sample.mosaic = 0;
  EXPECT_THROW(SampleMaker(store, tokenizer_, options.sample, 2).make({0, 0, 2}), BadSample);
}

TEST_F(LoaderTest, PicturesServeWithoutATextWhereTheyAloneTrain) {
  auto records = numbered_records(0, 6);
  for (size_t i = 0; i < 3; ++i) records[i].caption.clear();
  write_shard(folder_ / "a.tar", records);
  const SampleStore store((folder_ / "a.tar").string(), skips_);
  LoaderOptions options = small_options();
  options.batch_size = 6;
  options.sample.regions_per_image = 0;
  options.sample.pictures_alone = true;
  const Batch batch = Loader(store, tokenizer_, skips_, options).next().batch;
  ASSERT_TRUE(batch.has_text.defined());
  EXPECT_EQ(batch.has_text.sum().item<int64_t>(), 3);
  EXPECT_EQ(skips_.total(), 0);
}

// A second crop of each picture: another one, the same with any number of workers, and all else as
// without it.
TEST_F(LoaderTest, ASecondCaptionedViewChangesNothingElse) {
  const auto data = shard("a.tar", 0, 20);
  LoaderOptions options = small_options();
  options.sample.crop.scale_min = 0.3;
  for (const bool augment : {true, false}) {
    options.sample.augment = augment;
    options.sample.captioned_view = false;
    const auto without = fingerprints(data, options, 4);
    options.sample.captioned_view = true;
    EXPECT_EQ(fingerprints(data, options, 4), without);
    const SampleStore store(data, skips_);
    const auto views = [&](int workers) {
      options.workers = workers;
      Loader loader(store, tokenizer_, skips_, options);
      std::vector<Batch> batches;
      for (int i = 0; i < 4; ++i) batches.push_back(loader.next().batch);
      return batches;
    };
    const auto one = views(1), three = views(3);
    for (size_t i = 0; i < one.size(); ++i) {
      ASSERT_EQ(one[i].captioned_view.sizes(), one[i].pixels.sizes());
      EXPECT_TRUE(torch::equal(one[i].captioned_view, three[i].captioned_view));
      for (int64_t row = 0; row < one[i].images(); ++row)
        EXPECT_FALSE(torch::equal(one[i].captioned_view[row], one[i].pixels[row])) << row;
    }
  }
}

TEST_F(LoaderTest, DataWithoutOneUsableSampleIsAnError) {
  auto records = numbered_records(0, 3);
  for (auto& record : records) record.image = "broken";
  write_shard(folder_ / "a.tar", records);
  const SampleStore store((folder_ / "a.tar").string(), skips_);
  Loader loader(store, tokenizer_, skips_, small_options());
  try {
    loader.next();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.what(), HasSubstr("no sample can be used"));
  }
}

TEST_F(LoaderTest, AShardThatIsNoTarIsAnErrorUnlessAskedOtherwise) {
  const std::string good = shard("good.tar", 0, 4);
  write_file(folder_ / "bad.tar", std::string(4096, 'x'));
  const std::string both = (folder_ / "*.tar").string();
  EXPECT_THROW(SampleStore(both, skips_), Error);
  const SampleStore store(both, skips_, {.skip_bad_shards = true});
  EXPECT_EQ(store.total(), 4U);
  EXPECT_EQ(skips_.count(skip::kBadShard), 1);
  EXPECT_THROW(SampleStore((folder_ / "none*.tar").string(), skips_), Error);
}

TEST_F(LoaderTest, BatchesHoldWhatTheRecordsSay) {
  const SampleStore store(shard("a.tar", 0, 6), skips_);
  LoaderOptions options = small_options();
  options.sample.augment = false;
  Loader loader(store, tokenizer_, skips_, options);
  const Batch batch = loader.next().batch;
  ASSERT_EQ(batch.images(), 5);
  EXPECT_EQ(batch.pixels.sizes(), (std::vector<int64_t>{5, 3, 24, 24}));
  ASSERT_EQ(batch.regions(), 10);  // M = 2 of 3
  EXPECT_EQ(batch.images_with_regions, 5);
  EXPECT_FALSE(batch.prompt_kind.defined());
  for (int64_t r = 0; r < batch.regions(); ++r) {
    const auto image = batch.region_image[r].item<int64_t>();
    const std::string number = batch.texts[static_cast<size_t>(image)].substr(8);
    const std::string& text = batch.region_texts[static_cast<size_t>(r)];
    EXPECT_EQ(text.substr(6, text.find('.') - 6), number);
    // 40 x 32 pictures on a square canvas: y is shrunk by 0.8 and padded above by 0.1.
    const float left = 0.1f + 0.2f * static_cast<float>(text.back() - '0');
    const auto box = batch.boxes[r];
    EXPECT_NEAR(box[0].item<float>(), left, 0.02);
    EXPECT_NEAR(box[1].item<float>(), 0.1 + 0.8 * 0.2, 0.03);
    EXPECT_NEAR(box[3].item<float>(), 0.1 + 0.8 * 0.7, 0.03);
  }
  const int64_t length = batch.text_length[0].item<int64_t>();
  EXPECT_EQ(length, static_cast<int64_t>(batch.texts[0].size()) + 2);
  EXPECT_EQ(batch.text_ids[0][length - 1].item<int64_t>(), 102);
}

// Whether a text names two boxes is a question to all regions of the picture, not to the M chosen.
TEST_F(LoaderTest, TextsThatNameTwoBoxesAreMarked) {
  auto records = numbered_records(0, 2);
  for (const size_t i : {0U, 2U}) records[0].regions[i].text = "a dog";
  records[0].regions[1].text = "a cat";
  write_shard(folder_ / "a.tar", records);
  const SampleStore store((folder_ / "a.tar").string(), skips_);
  LoaderOptions options = small_options();
  options.batch_size = 2;
  options.sample.regions_per_image = 1;
  Loader loader(store, tokenizer_, skips_, options);
  std::map<std::string, std::set<bool>> named;
  for (int i = 0; i < 40; ++i) {
    const Batch batch = loader.next().batch;
    for (int64_t r = 0; r < batch.regions(); ++r) {
      const bool once = !batch.names_one_box.defined() || batch.names_one_box[r].item<bool>();
      named[batch.region_texts[static_cast<size_t>(r)].substr(0, 5)].insert(once);
    }
  }
  EXPECT_EQ(named, (std::map<std::string, std::set<bool>>{
                       {"a cat", {true}}, {"a dog", {false}}, {"thing", {true}}}));
}

TEST_F(LoaderTest, PromptPointsLieInTheBoxes) {
  const SampleStore store(shard("a.tar", 0, 20), skips_);
  LoaderOptions options = small_options();
  options.batch_size = 20;
  options.sample.point_prompts = 0.4;
  options.sample.mask_prompts = 0.4;
  Loader loader(store, tokenizer_, skips_, options);
  const Batch batch = loader.next().batch;
  ASSERT_TRUE(batch.prompt_kind.defined());
  for (int64_t kind = 0; kind < 3; ++kind)
    EXPECT_GT(batch.prompt_kind.eq(kind).sum().item<int>(), 0);
  const auto low = batch.boxes.slice(1, 0, 2).unsqueeze(1);  // [R, 1, 2]
  const auto high = batch.boxes.slice(1, 2, 4).unsqueeze(1);
  EXPECT_TRUE((batch.points >= low).all().item<bool>());
  EXPECT_TRUE((batch.points <= high).all().item<bool>());
}

TEST_F(LoaderTest, NoiseStaysTheSameOverEpochsAndIsAsMuchAsAsked) {
  const SampleStore store(shard("a.tar", 0, 60), skips_);
  SampleOptions clean = small_options().sample;
  clean.augment = false;
  clean.regions_per_image = 3;
  SampleOptions noisy = clean;
  noisy.label_noise = 0.2;
  noisy.box_jitter = 0.15;
  const SampleMaker maker(store, tokenizer_, noisy, 9);
  int wrong = 0, all = 0, moved = 0;
  for (uint64_t i = 0; i < 60; ++i) {
    std::map<std::string, Box> first;
    for (const auto& region : maker.make({0, 0, i}).regions) first[region.text] = region.box;
    for (const auto& region : maker.make({0, 7, i}).regions) {
      ASSERT_TRUE(first.contains(region.text));
      EXPECT_EQ(first[region.text], region.box);
      ++all;
      wrong += region.text.starts_with("thing " + std::to_string(i) + ".") ? 0 : 1;
      const float width = region.box.x1 - region.box.x0;
      moved += std::abs(width - 0.3f) > 0.005f ? 1 : 0;
      EXPECT_GT(region.box.area(), 0);
    }
  }
  EXPECT_NEAR(static_cast<double>(wrong) / all, 0.2, 0.09);
  EXPECT_GT(static_cast<double>(moved) / all, 0.9);
}

TEST_F(LoaderTest, MosaicsKeepBoxesInTheirTiles) {
  const SampleStore store(shard("a.tar", 0, 12), skips_);
  SampleOptions options = small_options().sample;
  options.mosaic = 1;
  options.regions_per_image = 12;
  const SampleMaker maker(store, tokenizer_, options, 2);
  const auto sample = maker.make({0, 0, 4});
  EXPECT_EQ(sample.canvas.width, 24);
  EXPECT_EQ(std::count(sample.text.begin(), sample.text.end(), ','), 3);
  EXPECT_EQ(sample.regions.size(), 12U);
  std::map<std::string, std::set<std::pair<bool, bool>>> tiles;  // of each picture number
  for (const auto& region : sample.regions) {
    const std::string number = region.text.substr(6, region.text.find('.') - 6);
    EXPECT_THAT(sample.text, HasSubstr("picture " + number));
    EXPECT_EQ(region.box.x0 >= 0.49f, region.box.x1 > 0.51f);
    EXPECT_EQ(region.box.y0 >= 0.49f, region.box.y1 > 0.51f);
    tiles[number].insert({region.box.x0 >= 0.49f, region.box.y0 >= 0.49f});
  }
}

TEST_F(LoaderTest, CaptionsAltTextsAndPhrasesMix) {
  Record record = numbered_record(1);
  record.captions = {"second caption", "third caption"};
  record.alt_text = "alt";
  for (auto& region : record.regions) region.extra["phrase"] = "a long phrase";
  write_shard(folder_ / "a.tar", {record});
  const SampleStore store((folder_ / "a.tar").string(), skips_);
  SampleOptions options = small_options().sample;
  options.alt_text = 0.25;
  options.phrase = 0.5;
  const SampleMaker maker(store, tokenizer_, options, 2);
  std::map<std::string, int> texts, phrases;
  for (uint64_t epoch = 0; epoch < 400; ++epoch) {
    const auto sample = maker.make({0, epoch, 0});
    ++texts[sample.text];
    for (const auto& region : sample.regions) ++phrases[region.text.substr(0, 5)];
  }
  EXPECT_EQ(texts.size(), 4U);
  for (const auto& [text, count] : texts) EXPECT_NEAR(count, 100, 35) << text;
  EXPECT_NEAR(phrases["a lon"], phrases["thing"], 120);
}

TEST(SampleOptions, RefusesSharesOutOfRange) {
  SampleOptions options;
  options.point_prompts = 0.7;
  options.mask_prompts = 0.7;
  EXPECT_THROW(options.validate(), Error);
  options = {};
  options.mosaic = -0.1;
  EXPECT_THROW(options.validate(), Error);
}

}  // namespace
}  // namespace opencloc
