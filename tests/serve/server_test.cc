// What a server is set to: keys, limits, changes of indexes, a model that is given back.
#include "opencloc/serve/server.h"

#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/index/index_writer.h"
#include "opencloc/index/verify.h"
#include "opencloc/serve/static_files.h"
#include "tests/serve/running_server.h"

namespace opencloc::serve {
namespace {

using fixtures::ask;
using fixtures::Connection;
using fixtures::floats;
using fixtures::Reply;
using fixtures::request_text;
using fixtures::RunningServer;
using fixtures::World;
using ::testing::HasSubstr;

const std::string kKey = "a key of the test";
const std::string kWithKey = "Authorization: Bearer " + kKey + "\r\n";

TEST(Server, KeysAreNeededWhereThereAreSome) {
  ServeOptions options;
  options.api_keys = {"another key of it", kKey};
  const RunningServer server(options);
  const Json text = {{"input", "a"}};
  const Reply refused = server.post("/v1/embeddings", text);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("www-authenticate"), "Bearer");
  EXPECT_EQ(server.post("/v1/embeddings", text, "Authorization: Bearer no\r\n").status, 401);
  EXPECT_EQ(server.post("/v1/embeddings", text, "Authorization: Basic " + kKey + "\r\n").status,
            401);
  EXPECT_EQ(server.post("/v1/embeddings", text, kWithKey).status, 200);
  EXPECT_EQ(server.post("/v1/embeddings", text, "api-key: " + kKey + "\r\n").status, 200);
  EXPECT_EQ(server.get("/metrics").status, 401);
  const Reply weaviate = server.post("/vectorize", {{"texts", {"a"}}});
  EXPECT_EQ(weaviate.status, 401);
  EXPECT_TRUE(weaviate.json()["error"].is_string());
  EXPECT_EQ(server.get("/healthz").status, 200);
  EXPECT_EQ(server.get("/readyz").status, 200);
  EXPECT_EQ(server.post("/v1/search", {{"text", "a"}}, kWithKey).status, 404);  // no index
}

TEST(Server, OthersMachinesNeedKeys) {
  ServeOptions options;
  options.model = World::the().model().string();
  options.http.host = "0.0.0.0";
  EXPECT_THROW(Server{options}, Error);
  options.http.host = "127.0.0.1";
  options.read_only = false;
  EXPECT_THROW(Server{options}, Error);
}

TEST(Server, RefusesIndexesOfOtherModels) {
  const fixtures::TestFolder folder;
  create_index(folder / "index", {.width = 24, .model = "elsewhere", .fingerprint = "0123"});
  ServeOptions options;
  options.model = World::the().model().string();
  options.indexes = {{"photos", (folder / "index").string()}};
  try {
    const Server server(options);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("elsewhere"));
  }
  for (const char* name : {"", "a/b", "..", "a b"}) {
    options.indexes = {{name, World::the().new_index().string()}};
    EXPECT_THROW(Server{options}, Error) << name;
  }
}

TEST(Server, NamedPagesMayAsk) {
  ServeOptions options;
  options.cors_origins = {"https://page.example"};
  options.allow_hosts = {"server.example"};
  const RunningServer server(options);
  const std::string origin = "Origin: https://page.example\r\n";
  const Reply reply = server.get("/v1/models", origin);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("access-control-allow-origin"), "https://page.example");
  EXPECT_EQ(reply.header("vary"), "Origin");
  const Reply preflight =
      ask(server.port(), {.method = "OPTIONS", .path = "/v1/search", .headers = origin});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_THAT(preflight.header("access-control-allow-methods"), HasSubstr("POST"));
  EXPECT_EQ(server.get("/v1/models", "Origin: https://other.example\r\n").status, 403);
  EXPECT_EQ(server.get("/healthz", "Host: server.example\r\n").status, 200);
}

// Nothing is computed until it is let go.
class HeldComputeThread {
 public:
  explicit HeldComputeThread(Service& service) {
    service.batcher.work(
        std::make_shared<Call>(HttpRequest{}, std::map<std::string, std::string>{},
                               std::make_shared<Nobody>(),
                               Call::Clock::now() + std::chrono::seconds(60), CallNotes{}),
        WorkKind::kPrompt, [this] {
          entered_.set_value();
          open_.get_future().wait();
        });
    entered_.get_future().wait();
  }
  void let_go() { open_.set_value(); }

 private:
  struct Nobody : Answer {
    void send(HttpResponse) override {}
    bool abandoned() const override { return false; }
  };
  std::promise<void> entered_, open_;
};

TEST(Server, PicturesLeavePlacesForTexts) {
  ServeOptions options;
  options.queue = 4;
  RunningServer server(options);
  Service& service = server.server().service();
  HeldComputeThread held(service);
  Connection first(server.port()), second(server.port()), text(server.port());
  for (Connection* connection : {&first, &second}) {
    connection->write(request_text({.method = "POST",
                                    .path = "/v1/scenes",
                                    .body = World::the().bytes(connection == &first ? 0 : 1),
                                    .type = "image/png"}));
  }
  while (service.pictures_in_flight < 2) std::this_thread::yield();
  const Reply third = server.post_picture("/v1/scenes", World::the().bytes(2));
  EXPECT_EQ(third.status, 429);
  EXPECT_THAT(third.message(), HasSubstr("2 pictures"));
  text.write(request_text({.method = "POST",
                           .path = "/v1/embeddings",
                           .body = R"({"input": "a"})",
                           .type = "application/json"}));
  while (service.in_flight < 3) std::this_thread::yield();
  held.let_go();
  EXPECT_EQ(first.read().status, 201);
  EXPECT_EQ(second.read().status, 201);
  EXPECT_EQ(text.read().status, 200);
  EXPECT_EQ(server.post_picture("/v1/scenes", World::the().bytes(2)).status, 201);
}

TEST(Server, OverloadIsSaidAtOnce) {
  ServeOptions options;
  options.queue = 2;
  RunningServer server(options);
  Service& service = server.server().service();
  HeldComputeThread held(service);
  const std::string question = request_text({.method = "POST",
                                             .path = "/v1/embeddings",
                                             .body = R"({"input": "a"})",
                                             .type = "application/json"});
  Connection first(server.port()), second(server.port());
  first.write(question);
  second.write(question);
  while (service.in_flight < 2) std::this_thread::yield();
  const Reply third = server.post("/v1/embeddings", {{"input", "a"}});
  EXPECT_EQ(third.status, 429);
  EXPECT_EQ(third.header("retry-after"), "1");
  EXPECT_EQ(third.json()["error"]["type"], "overloaded_error");
  EXPECT_EQ(server.get("/healthz").status, 200);
  held.let_go();
  EXPECT_EQ(first.read().status, 200);
  EXPECT_EQ(second.read().status, 200);
  EXPECT_EQ(server.post("/v1/embeddings", {{"input", "a"}}).status, 200);
  EXPECT_THAT(server.get("/metrics").body, HasSubstr("opencloc_overloaded_total 1\n"));
}

TEST(Server, LargePicturesAreRefusedBeforeTheirPixels) {
  ServeOptions options;
  options.decoder.max_pixels = 60 * 40;
  RunningServer server(options);
  EXPECT_EQ(server.post_picture("/v1/scenes", World::the().bytes(0)).status, 201);
  const Reply large = server.post_picture("/v1/scenes", encode_png(fixtures::patterned(1, 61, 40)));
  EXPECT_EQ(large.status, 422);
  EXPECT_THAT(large.message(), HasSubstr("limit of 2400 pixels"));
  // A head of a PNG that says 60,000 x 60,000.
  std::string bomb = World::the().bytes(0);
  bomb.replace(16, 8, std::string("\0\0\xea\x60\0\0\xea\x60", 8));
  EXPECT_EQ(server.post_picture("/v1/scenes", bomb).status, 422);
  EXPECT_EQ(server.server().service().decoder.held_bytes(), 0);
}

TEST(Server, SeesWhatOthersChangeInAnIndex) {
  const auto index = World::the().new_index();
  ServeOptions options;
  options.indexes = {{"photos", index.string()}};
  const RunningServer server(options);
  const Json query = {{"image", World::the().base64(6)}, {"k", 1}, {"deduplicate", false}};
  EXPECT_LT(server.post("/v1/search", query).json()["hits"][0]["score"].get<double>(), 0.999);
  World::the().add(index, World::the().photo(6));
  const Json found = server.post("/v1/search", query).json()["hits"][0];
  EXPECT_NEAR(found["score"].get<double>(), 1, 2e-3);
  EXPECT_EQ(found["name"], "6.png");
  const int64_t id = found["id"];
  EXPECT_EQ(server.get("/v1/indexes/photos").json()["pictures"], 6);
  IndexWriter(index).remove({&id, 1});
  EXPECT_NE(server.post("/v1/search", query).json()["hits"][0]["id"], id);
  EXPECT_EQ(server.get("/v1/indexes/photos/images/" + std::to_string(id)).status, 404);
  IndexWriter(index).compact();
  EXPECT_EQ(server.post("/v1/search", query).json()["scanned"], 5);
}

TEST(Server, ChangesAnIndexForThoseWithAKey) {
  const auto index = World::the().new_index();
  ServeOptions options;
  options.indexes = {{"photos", index.string()}};
  options.api_keys = {kKey};
  options.read_only = false;
  const RunningServer server(options);
  const std::string path = "/v1/indexes/photos/images";
  EXPECT_EQ(server.post_picture(path, World::the().bytes(7)).status, 401);
  const Reply added = server.post_picture(path, World::the().bytes(7), kWithKey);
  ASSERT_EQ(added.status, 201) << added.body;
  const std::string id = added.json()["id"].dump();
  EXPECT_EQ(server.post_picture(path, World::the().bytes(7), kWithKey).status, 200);
  const Json found =
      server.post("/v1/search", {{"image", World::the().base64(7)}, {"k", 1}}, kWithKey).json();
  EXPECT_EQ(found["hits"][0]["id"].dump(), id);
  const Reply picture = server.get(path + "/" + id + "/picture", kWithKey);
  EXPECT_EQ(picture.status, 200);
  EXPECT_EQ(server.post_picture(path, "no picture", kWithKey).status, 422);
  EXPECT_TRUE(verify_index(index).faults.empty());
  {
    const IndexWriter other(index);
    const Reply locked = server.post_picture(path, World::the().bytes(6), kWithKey);
    EXPECT_EQ(locked.status, 503);
    EXPECT_NE(locked.header("retry-after"), "");
  }
  const fixtures::Ask remove = {.method = "DELETE", .path = path + "/" + id, .headers = kWithKey};
  EXPECT_EQ(ask(server.port(), remove).status, 204);
  EXPECT_EQ(ask(server.port(), remove).status, 404);
  EXPECT_EQ(server.get(path + "/" + id + "/picture", kWithKey).status, 404);
  EXPECT_EQ(server.get("/v1/indexes/photos", kWithKey).json()["pictures"], 5);
}

TEST(Server, HitsShowTheQualityOfTheirBoxes) {
  const auto index = World::the().new_index();
  std::vector<float> vector;
  {
    IndexWriter writer(index);
    vector.assign(static_cast<size_t>(writer.info().width), 0.0f);
    vector[0] = 1;
    NewPicture picture;
    picture.name.name = "rated.jpg";
    picture.digest = std::string(64, 'a');
    picture.vector = vector;
    picture.regions = {{{0, 0, 0.5f, 0.5f}, "", vector, 0.5f}};
    writer.add(picture);
    writer.commit();
  }
  ServeOptions options;
  options.indexes = {{"photos", index.string()}};
  const RunningServer server(options);
  Json body = {{"embedding", vector}, {"unit", "region"}, {"k", 1}};
  for (const bool quality : {true, false}) {
    body["quality"] = quality;
    const Json hit = server.post("/v1/search", body).json()["hits"][0];
    EXPECT_EQ(hit["name"], "rated.jpg");
    EXPECT_NEAR(hit["quality"].get<double>(), 0.5, 1e-4);
    EXPECT_NEAR(hit["cosine"].get<double>(), 1, 1e-3);
  }
  body["unit"] = "image";
  EXPECT_FALSE(server.post("/v1/search", body).json()["hits"][0].contains("quality"));
  body["quality"] = 3;
  EXPECT_EQ(server.post("/v1/search", body).json()["error"]["param"], "quality");
}

TEST(Server, ShowsOnlyWhatWasIndexed) {
  const fixtures::TestFolder folder;
  write_file(folder / "a.png", World::the().bytes(0));
  World::the().add(folder / "index", folder / "a.png");
  ServeOptions options;
  options.indexes = {{"photos", (folder / "index").string()}};
  const RunningServer server(options);
  const std::string path = "/v1/indexes/photos/images/1/picture";
  EXPECT_EQ(server.get(path).status, 200);
  write_file(folder / "a.png", World::the().bytes(1));  // another picture under the name
  const Reply changed = server.get(path);
  EXPECT_EQ(changed.status, 404);
  EXPECT_EQ(changed.body.find(folder.path().string()), std::string::npos);
  std::filesystem::remove(folder / "a.png");
  EXPECT_EQ(server.get(path).status, 404);
}

TEST(Server, GivesTheModelBackAndTakesItAgain) {
  ServeOptions options;
  options.idle_unload = 0.05;
  RunningServer server(options);
  const Json before = server.post("/v1/embeddings", {{"input", "a"}}).json()["data"];
  const ModelEngine& engine = server.server().service().engine;
  while (engine.loaded()) std::this_thread::yield();
  EXPECT_THAT(server.get("/readyz").json()["model"].get<std::string>(), HasSubstr("given back"));
  EXPECT_EQ(server.post("/v1/embeddings", {{"input", "a"}}).json()["data"], before);
}

TEST(Server, ForgetsScenesThatWereNotUsed) {
  ServeOptions options;
  options.scene_cache = 20'000;
  const RunningServer server(options);
  const std::string first = server.post_picture("/v1/scenes", World::the().bytes(0)).json()["id"];
  std::string last;
  for (int i = 1; i < 8; ++i)
    last = server.post_picture("/v1/scenes", World::the().bytes(i)).json()["id"].get<std::string>();
  EXPECT_EQ(server.get("/v1/scenes/" + last).status, 200);
  EXPECT_EQ(server.get("/v1/scenes/" + first).status, 404);
}

TEST(Server, StandsBehindAPrefix) {
  ServeOptions options;
  options.url_prefix = "/clip";
  options.indexes = {{"photos", World::the().new_index().string()}};
  const RunningServer server(options);
  EXPECT_EQ(server.get("/clip/healthz").status, 200);
  EXPECT_EQ(server.get("/healthz").status, 404);
  EXPECT_EQ(server.get("/clip/").status, 200);
  const Reply moved = server.get("/clip");
  EXPECT_EQ(moved.status, 308);
  EXPECT_EQ(moved.header("location"), "/clip/");
  EXPECT_EQ(server.get("/clipper").status, 404);
  EXPECT_EQ(server.post("/clip/v1/search", {{"id", 1}, {"k", 1}}).json()["hits"][0]["picture"],
            "/clip/v1/indexes/photos/images/1/picture");
}

TEST(StaticFiles, AreSentOnceWithTheirPolicy) {
  const StaticFile file{"app.js", "alert(1)"};
  HttpRequest request;
  const HttpResponse first = static_answer(file, request);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(first.body, "alert(1)");
  std::string tag, policy;
  for (const auto& [name, value] : first.headers) {
    if (name == "ETag") tag = value;
    if (name == "Content-Security-Policy") policy = value;
  }
  EXPECT_THAT(policy, HasSubstr("default-src 'none'; script-src 'self'"));
  request.headers = {{"if-none-match", tag}};
  const HttpResponse again = static_answer(file, request);
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
}

}  // namespace
}  // namespace opencloc::serve
