#include "opencloc/serve/batcher.h"

#include <condition_variable>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/serve/lane.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/base/temp_folder.h"
#include "tests/index/small_index.h"

namespace opencloc::serve {
namespace {

using ::testing::ElementsAre;

// Keeps what it is told.
class KeptAnswer : public Answer {
 public:
  void send(HttpResponse response) override { said_.set_value(std::move(response)); }
  bool abandoned() const override { return left_; }
  HttpResponse wait() { return said_.get_future().get(); }
  void leave() { left_ = true; }

 private:
  std::promise<HttpResponse> said_;
  std::atomic<bool> left_ = false;
};

struct Asked {
  std::shared_ptr<KeptAnswer> answer = std::make_shared<KeptAnswer>();
  CallPtr call;
  explicit Asked(std::chrono::seconds time = std::chrono::seconds(60)) {
    call = std::make_shared<Call>(HttpRequest{}, std::map<std::string, std::string>{}, answer,
                                  Call::Clock::now() + time, CallNotes{});
  }
};

// Texts become their lengths; what was asked together is noted.
class CountingEngine : public Engine {
 public:
  std::vector<Embedding> encode_texts(std::span<const std::string> texts) override {
    batches.push_back(texts.size());
    std::vector<Embedding> embeddings;
    for (const auto& text : texts) {
      if (text == "bad") throw Error::failed("the model broke");
      embeddings.push_back({{static_cast<float>(text.size())}});
    }
    return embeddings;
  }
  std::vector<Scene> encode_images(std::span<const Image> images) override {
    batches.push_back(images.size());
    throw Error::input("no pictures here");
  }
  std::vector<size_t> batches;
};

// Holds the compute thread until it is let go.
class Gate {
 public:
  explicit Gate(Batcher& batcher) {
    batcher.work(asked_.call, WorkKind::kPrompt, [this] {
      entered_.set_value();
      opened_.get_future().wait();
    });
    entered_.get_future().wait();
  }
  void open() { opened_.set_value(); }

 private:
  Asked asked_;
  std::promise<void> entered_, opened_;
};

class BatcherTest : public ::testing::Test {
 protected:
  void ask_text(const Asked& asked, const std::string& text) {
    batcher_.texts(asked.call, {text}, [call = asked.call](const std::vector<Embedding>& e) {
      call->respond(text_response(std::to_string(e.front().values[0])));
    });
  }
  CountingEngine engine_;
  Metrics metrics_;
  Batcher batcher_{engine_, {.max_texts = 4, .max_pixels = 100}, metrics_};
};

TEST_F(BatcherTest, ALoneRequestIsAlone) {
  const Asked one;
  ask_text(one, "abc");
  EXPECT_EQ(one.answer->wait().body, std::to_string(3.0f));
  EXPECT_THAT(engine_.batches, ElementsAre(1));
}

TEST_F(BatcherTest, WhatWaitsIsTakenTogetherUpToTheLimit) {
  Gate gate(batcher_);
  std::vector<Asked> asked(6);
  for (size_t i = 0; i < asked.size(); ++i) ask_text(asked[i], std::string(i + 1, 'x'));
  EXPECT_EQ(batcher_.waiting(), 6u);
  gate.open();
  for (size_t i = 0; i < asked.size(); ++i)
    EXPECT_EQ(asked[i].answer->wait().body, std::to_string(static_cast<float>(i + 1)));
  EXPECT_THAT(engine_.batches, ElementsAre(4, 2));
}

TEST_F(BatcherTest, LargePicturesAreNotTakenTogether) {
  for (const int side : {4, 8}) {
    Gate gate(batcher_);
    std::vector<Asked> asked(3);
    for (const Asked& one : asked) {
      batcher_.image(
          one.call, std::make_shared<Image>(side, side), [](const Scene&) {},
          [call = one.call](const Error& error) { call->respond(text_response(error.what())); });
    }
    gate.open();
    for (const Asked& one : asked) EXPECT_EQ(one.answer->wait().body, "no pictures here");
  }
  // 3 x 16 pixels together, and each by itself because that fails; 3 x 64 never together.
  EXPECT_THAT(engine_.batches, ElementsAre(3, 1, 1, 1, 1, 1, 1));
}

TEST_F(BatcherTest, WhatIsOverCostsNothing) {
  Gate gate(batcher_);
  const Asked left, late(std::chrono::seconds(-1)), here;
  left.answer->leave();
  for (const Asked* asked : {&left, &late, &here}) ask_text(*asked, "a");
  gate.open();
  here.answer->wait();
  EXPECT_THAT(engine_.batches, ElementsAre(1));
}

TEST_F(BatcherTest, ShortKindsComeFirst) {
  Gate gate(batcher_);
  std::vector<std::string> order;
  const Asked other, prompt;
  std::promise<void> done;
  batcher_.work(other.call, WorkKind::kOther, [&] {
    order.push_back("other");
    done.set_value();
  });
  batcher_.work(prompt.call, WorkKind::kPrompt, [&] { order.push_back("prompt"); });
  gate.open();
  done.get_future().wait();
  // Were they held up for half a second, the older came first.
  EXPECT_EQ(order.size(), 2u);
  EXPECT_EQ(order.back(), "other");
}

TEST_F(BatcherTest, FaultsAreAnswersAndTheThreadLives) {
  const Asked bad, refused, good;
  ask_text(bad, "bad");
  const HttpResponse broken = bad.answer->wait();
  EXPECT_EQ(broken.status, 500);
  EXPECT_EQ(broken.body.find("broke"), std::string::npos);
  batcher_.work(refused.call, WorkKind::kScan, [] { throw Refused{not_found("no")}; });
  EXPECT_EQ(refused.answer->wait().status, 404);
  ask_text(good, "a");
  EXPECT_EQ(good.answer->wait().status, 200);
}

TEST_F(BatcherTest, StopDropsWhatWaits) {
  const Asked waiting;
  auto gate = std::make_unique<Gate>(batcher_);
  ask_text(waiting, "a");
  std::thread stopper([this] { batcher_.stop(); });
  gate->open();
  stopper.join();
  ask_text(waiting, "b");
  EXPECT_EQ(batcher_.waiting(), 0u);
}

TEST_F(BatcherTest, SearchesWithQualityAndWithoutAreApart) {
  const fixtures::SmallIndex small;
  {
    IndexWriter writer(small.path());
    NewPicture picture = fixtures::made_up_picture(3);
    for (NewRegion& region : picture.regions) region.quality = 0.5f;
    writer.add(picture);
    writer.commit();
  }
  ServedIndex index({"small", small.path().string()});
  Gate gate(batcher_);
  const Asked with, without;
  for (const bool quality : {true, false}) {
    const CallPtr& call = (quality ? with : without).call;
    batcher_.search(call, index, fixtures::made_up_vector(1), {.quality = quality},
                    [call](const SearchResult& result) {
                      const RegionHit& best = result.hits.at(0).best;
                      call->respond(text_response(best.score < best.cosine ? "lower" : "same"));
                    });
  }
  gate.open();
  EXPECT_EQ(with.answer->wait().body, "lower");
  EXPECT_EQ(without.answer->wait().body, "same");
}

TEST(Lane, WorksInOrderAndLivesThroughFaults) {
  Lane lane;
  std::string order;
  const Asked a, b, c;
  lane.post(a.call, [&] {
    order += "a";
    throw std::runtime_error("a fault");
  });
  lane.post(b.call, [&] { order += "b"; });
  lane.post(c.call, [&] { c.call->respond(text_response("c")); });
  EXPECT_EQ(c.answer->wait().body, "c");
  EXPECT_EQ(order, "ab");
  EXPECT_EQ(a.answer->wait().status, 500);
}

// With a real model: one picture of a batch that cannot be encoded is no other's fault.
class ModelOfTheTest : public Engine {
 public:
  explicit ModelOfTheTest(Model model) : model_(std::move(model)) {}
  std::vector<Embedding> encode_texts(std::span<const std::string> texts) override {
    return model_.encode_text(texts);
  }
  std::vector<Scene> encode_images(std::span<const Image> images) override {
    batches.push_back(images.size());
    return model_.encode(images);
  }
  std::vector<size_t> batches;

 private:
  Model model_;
};

TEST(BatcherWithModel, OnePicturesFaultIsItsOwn) {
  const fixtures::TestFolder folder;
  fixtures::write_tiny_model(folder / "model");
  ModelOfTheTest engine(Model::load(folder / "model", {.device = "cpu"}));
  Metrics metrics;
  Batcher batcher(engine, {}, metrics);
  Gate gate(batcher);
  std::vector<Asked> asked(3);
  for (size_t i = 0; i < asked.size(); ++i) {
    auto image = std::make_shared<Image>(20, 20);
    if (i == 1) image->pixels.pop_back();  // sizes that do not agree
    batcher.image(
        asked[i].call, image,
        [call = asked[i].call](const Scene& scene) {
          call->respond(text_response(std::to_string(scene.width())));
        },
        [](const Error& error) { throw Refused{bad_request(error.what())}; });
  }
  gate.open();
  EXPECT_EQ(asked[0].answer->wait().body, "20");
  EXPECT_EQ(asked[1].answer->wait().status, 400);
  EXPECT_EQ(asked[2].answer->wait().body, "20");
  EXPECT_THAT(engine.batches, ElementsAre(3, 1, 1, 1));
}

}  // namespace
}  // namespace opencloc::serve
