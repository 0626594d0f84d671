// Every route of every dialect, held against the library itself.
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/index/index_writer.h"
#include "opencloc/serve/static_files.h"
#include "tests/serve/running_server.h"

namespace opencloc::serve {
namespace {

using fixtures::ask;
using fixtures::expect_same;
using fixtures::floats;
using fixtures::Reply;
using fixtures::RunningServer;
using fixtures::World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const Model& the_model() {
  static const Model model = Model::load(World::the().model(), {.device = "cpu"});
  return model;
}
Scene scene_of(int photo) { return the_model().encode(Image::read(World::the().photo(photo))); }

std::vector<float> from_base64(const Json& text) {
  const std::string bytes = *base64_decoded(text.get<std::string>());
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// One server for all that changes nothing.
class Routes : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ServeOptions options;
    options.indexes = {{"photos", World::the().new_index().string()}};
    server_ = std::make_unique<RunningServer>(options);
  }
  static void TearDownTestSuite() { server_.reset(); }
  static Json embed(const Json& body) {
    const Reply reply = server_->post("/v1/embeddings", body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json()["data"];
  }
  static Json refused(const std::string& path, const Json& body, int status) {
    const Reply reply = server_->post(path, body);
    EXPECT_EQ(reply.status, status) << body.dump() << "\n" << reply.body;
    return reply.json()["error"];
  }
  static std::string new_scene(int photo) {
    const Reply reply = server_->post_picture("/v1/scenes", World::the().bytes(photo));
    EXPECT_EQ(reply.status, 201) << reply.body;
    return reply.json()["id"];
  }
  static std::unique_ptr<RunningServer> server_;
};
std::unique_ptr<RunningServer> Routes::server_;

TEST_F(Routes, EmbeddingsOfTexts) {
  const Reply reply =
      server_->post("/v1/embeddings", {{"model", "any"}, {"input", {"a red car", "two dogs"}}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json json = reply.json();
  EXPECT_EQ(json["object"], "list");
  EXPECT_EQ(json["model"], "model");
  EXPECT_GT(json["usage"]["prompt_tokens"], 2);
  ASSERT_EQ(json["data"].size(), 2u);
  EXPECT_EQ(json["data"][1]["index"], 1);
  expect_same(floats(json["data"][0]["embedding"]), the_model().encode_text("a red car").values);
  expect_same(floats(json["data"][1]["embedding"]), the_model().encode_text("two dogs").values);
  expect_same(floats(embed({{"input", "two dogs"}})[0]["embedding"]),
              the_model().encode_text("two dogs").values);
}

TEST_F(Routes, EmbeddingsInBase64) {
  const Json data = embed({{"input", "a red car"}, {"encoding_format", "base64"}});
  expect_same(from_base64(data[0]["embedding"]), the_model().encode_text("a red car").values);
}

TEST_F(Routes, EmbeddingsOfPicturesAndBoxes) {
  const std::string picture = World::the().base64(0);
  const std::string uri = "data:image/png;base64," + picture;
  const Scene scene = scene_of(0);
  const Json data = embed({{"input",
                            {uri,
                             {{"image", picture}},
                             {{"image", picture}, {"box", {0.1, 0.1, 0.6, 0.7}}},
                             {{"image", picture}, {"point", {0.5, 0.5}}},
                             {{"image", picture}, {"prompt", "a red car"}},
                             {{"type", "image_url"}, {"image_url", {{"url", uri}}}},
                             {{"text", "a red car"}},
                             {{"type", "text"}, {"text", "two dogs"}}}}});
  ASSERT_EQ(data.size(), 8u);
  for (const int whole : {0, 1, 5})
    expect_same(floats(data[whole]["embedding"]), scene.embedding().values);
  expect_same(floats(data[2]["embedding"]), scene.region(Box{0.1f, 0.1f, 0.6f, 0.7f}).values);
  expect_same(floats(data[3]["embedding"]), scene.region(Point{0.5f, 0.5f}).values);
  expect_same(floats(data[4]["embedding"]), scene.region("a red car").values);
  expect_same(floats(data[6]["embedding"]), the_model().encode_text("a red car").values);
  expect_same(floats(data[7]["embedding"]), the_model().encode_text("two dogs").values);
  expect_same(floats(embed({{"input", picture}, {"modality", "image"}})[0]["embedding"]),
              scene.embedding().values);
}

TEST_F(Routes, EmbeddingsOfMessages) {
  const Json part = {{"type", "image_url"},
                     {"image_url", {{"url", "data:image/png;base64," + World::the().base64(1)}}}};
  const Json data = embed({{"messages", {{{"role", "user"}, {"content", Json::array({part})}}}}});
  expect_same(floats(data[0]["embedding"]), scene_of(1).embedding().values);
  expect_same(
      floats(embed({{"messages", {{{"role", "user"}, {"content", "two dogs"}}}}})[0]["embedding"]),
      the_model().encode_text("two dogs").values);
}

TEST_F(Routes, EmbeddingsRefuseInWords) {
  EXPECT_EQ(refused("/v1/embeddings", {{"model", "a"}}, 400)["param"], "input");
  EXPECT_EQ(refused("/v1/embeddings", {{"input", Json::array()}}, 400)["param"], "input");
  EXPECT_EQ(refused("/v1/embeddings", {{"input", {1, 2}}}, 400)["param"], "input[0]");
  EXPECT_EQ(refused("/v1/embeddings", {{"input", {"a", ""}}}, 400)["param"], "input[1]");
  EXPECT_EQ(refused("/v1/embeddings", {{"input", "a"}, {"dimensions", 7}}, 400)["param"],
            "dimensions");
  EXPECT_EQ(refused("/v1/embeddings", {{"input", "a"}, {"encoding_format", "int8"}}, 400)["param"],
            "encoding_format");
  EXPECT_EQ(embed({{"input", "a"}, {"dimensions", 24}}).size(), 1u);
  const std::string picture = World::the().base64(0);
  EXPECT_EQ(refused("/v1/embeddings",
                    {{"input", Json::array({{{"image", picture}, {"box", {0.5, 0.5, 0.4, 1}}}})}},
                    422)["type"],
            "invalid_prompt");
  EXPECT_EQ(refused("/v1/embeddings",
                    {{"input", Json::array({{{"image", picture}}})}, {"modality", "region"}},
                    400)["param"],
            "input[0]");
}

TEST_F(Routes, AddressesAreNeverOpened) {
  for (const char* url :
       {"http://127.0.0.1:1/a.jpg", "https://example.org/a.jpg", "file:///etc/passwd"}) {
    for (const Json& input :
         {Json(url), Json::array({{{"image", url}}}),
          Json::array({{{"type", "image_url"}, {"image_url", {{"url", url}}}}})}) {
      const Json error = refused("/v1/embeddings", {{"input", input}}, 400);
      EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("opens no addresses"));
    }
    refused("/v1/search", {{"image", url}}, 400);
    refused("/knn-service", {{"image_url", url}, {"modality", "image"}}, 400);
    EXPECT_EQ(server_->post("/vectorize", {{"images", {url}}}).status, 400);
  }
  // A text may be an address, where that is said.
  EXPECT_EQ(embed({{"input", "http://example.org"}, {"modality", "text"}}).size(), 1u);
}

TEST_F(Routes, ABrokenPictureIsItsOwnFault) {
  const std::string good = "data:image/png;base64," + World::the().base64(0);
  const std::string broken = "data:image/png;base64," + base64_encoded("\x89PNG\r\n\x1a\nbroken");
  const Json error = refused("/v1/embeddings", {{"input", {good, broken, good}}}, 422);
  EXPECT_EQ(error["param"], "input[1]");
  EXPECT_EQ(error["type"], "invalid_image");
  const Reply reply =
      server_->post("/v1/embeddings", {{"input", {good, broken, "a text"}}, {"on_error", "skip"}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json json = reply.json();
  ASSERT_EQ(json["data"].size(), 2u);
  EXPECT_EQ(json["data"][1]["index"], 2);
  ASSERT_EQ(json["errors"].size(), 1u);
  EXPECT_EQ(json["errors"][0]["index"], 1);
  expect_same(floats(json["data"][0]["embedding"]), scene_of(0).embedding().values);
  // A picture of one pixel, which has ended a server of others.
  Image tiny(1, 1);
  EXPECT_EQ(refused("/v1/embeddings",
                    {{"input", "data:image/png;base64," + base64_encoded(encode_png(tiny))}},
                    422)["type"],
            "invalid_image");
  EXPECT_EQ(server_->get("/readyz").status, 200);
}

TEST_F(Routes, ManyAtOnceEqualOneByOne) {
  constexpr int kClients = 24;
  std::vector<std::future<std::vector<float>>> answers;
  for (int i = 0; i < kClients; ++i) {
    answers.push_back(std::async(std::launch::async, [i] {
      const Json input = i % 2 == 0 ? Json("text number " + std::to_string(i))
                                    : Json("data:image/png;base64," + World::the().base64(i % 8));
      return floats(embed({{"input", input}})[0]["embedding"]);
    }));
  }
  for (int i = 0; i < kClients; ++i) {
    expect_same(answers[i].get(),
                i % 2 == 0 ? the_model().encode_text("text number " + std::to_string(i)).values
                           : scene_of(i % 8).embedding().values);
  }
}

TEST_F(Routes, Models) {
  for (const char* path : {"/v1/models", "/models"}) {
    const Json json = server_->get(path).json();
    EXPECT_EQ(json["data"][0]["id"], "model");
    EXPECT_EQ(json["data"][0]["embedding_width"], 24);
  }
  EXPECT_EQ(server_->get("/v1/models/model").json()["object"], "model");
  EXPECT_EQ(server_->get("/v1/models/other").status, 404);
  EXPECT_EQ(server_->post("/embeddings", {{"input", "a"}}).status, 200);
}

TEST_F(Routes, ScenesAreEncodedOnceAndPrompted) {
  const std::string id = new_scene(0);
  EXPECT_EQ(id, new_scene(0));
  EXPECT_EQ(server_->get("/v1/scenes/" + id).json()["width"], 60);
  const Scene scene = scene_of(0);
  const Reply reply =
      server_->post("/v1/scenes/" + id + "/regions",
                    {{"prompts",
                      {{{"box", {0, 0, 0.5, 0.5}}},
                       {{"point", {0.5, 0.5}}},
                       {{"text", "a blue bus"}},
                       {{"mask", {{"width", 2}, {"height", 1}, {"rle", {0, 1, 1}}}}},
                       {{"box", {0.25, 0.25, 1, 1}}}}}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json data = reply.json()["data"];
  ASSERT_EQ(data.size(), 5u);
  expect_same(floats(data[0]["embedding"]), scene.region(Box{0, 0, 0.5f, 0.5f}).values);
  expect_same(floats(data[1]["embedding"]), scene.region(Point{0.5f, 0.5f}).values);
  expect_same(floats(data[2]["embedding"]), scene.region("a blue bus").values);
  expect_same(floats(data[3]["embedding"]), scene.region(Mask(2, 1, {1, 0})).values);
  expect_same(floats(data[4]["embedding"]), scene.region(Box{0.25f, 0.25f, 1, 1}).values);
  // A form does as well.
  const std::string form = "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n" +
                           World::the().bytes(0) + "\r\n--b--\r\n";
  EXPECT_EQ(ask(server_->port(), {.method = "POST",
                                  .path = "/v1/scenes",
                                  .body = form,
                                  .type = "multipart/form-data; boundary=b"})
                .json()["id"],
            id);
}

TEST_F(Routes, APromptsFaultIsItsOwn) {
  const std::string path = "/v1/scenes/" + new_scene(0) + "/regions";
  Json body = {{"prompts", {{{"box", {0, 0, 1, 1}}}, {{"box", {1, 1, 0, 0}}}}}};
  EXPECT_EQ(refused(path, body, 422)["param"], "prompts[1]");
  body["on_error"] = "skip";
  const Json json = server_->post(path, body).json();
  EXPECT_EQ(json["data"].size(), 1u);
  EXPECT_EQ(json["errors"][0]["index"], 1);
  EXPECT_EQ(refused(path, {{"prompts", Json::array()}}, 400)["param"], "prompts");
  EXPECT_EQ(refused(path, {{"prompt", 1}}, 400)["param"], "prompt");
  EXPECT_EQ(refused("/v1/scenes/none/regions", body, 404)["param"], "id");
}

TEST_F(Routes, GroundAndClassify) {
  const std::string path = "/v1/scenes/" + new_scene(2);
  const Scene scene = scene_of(2);
  const Json ground =
      server_->post(path + "/ground", {{"texts", {"a red car", "two dogs"}}}).json()["data"];
  ASSERT_EQ(ground.size(), 2u);
  const Box box = scene.ground("two dogs");
  EXPECT_NEAR(ground[1]["box"][0].get<float>(), box.x0, 1e-5);
  EXPECT_NEAR(ground[1]["box"][3].get<float>(), box.y1, 1e-5);
  if (box.area() > 0) {
    EXPECT_NEAR(ground[1]["score"].get<float>(),
                similarity(scene.region(box), the_model().encode_text("two dogs")), 1e-4);
  }
  EXPECT_EQ(
      server_->post(path + "/ground", {{"texts", {"a"}}, {"min_score", 1.1}}).json()["data"].size(),
      0u);
  const Json classes = server_
                           ->post(path + "/classify", {{"labels", {"car", "dog", "tree"}},
                                                       {"prompts", {{{"box", {0, 0, 1, 0.5}}}}}})
                           .json()["data"][0]["labels"];
  ASSERT_EQ(classes.size(), 3u);
  EXPECT_GE(classes[0]["score"], classes[1]["score"]);
  const auto label = classes[0]["label"].get<std::string>();
  EXPECT_NEAR(classes[0]["score"].get<float>(),
              similarity(scene.region(Box{0, 0, 1, 0.5f}), the_model().encode_text(label)), 1e-5);
  EXPECT_EQ(server_->post(path + "/classify", {{"labels", {"car"}}}).status, 200);
}

TEST_F(Routes, AScenePictureOfAnIndexNeedsNotBeSent) {
  const Json hits =
      server_->post("/v1/search", {{"image", World::the().base64(2)}, {"k", 1}}).json()["hits"];
  const int64_t id = hits[0]["id"].get<int64_t>();
  const Reply stored = server_->post("/v1/scenes", {{"index", "photos"}, {"id", id}});
  EXPECT_EQ(stored.status, 201);
  EXPECT_EQ(stored.json()["id"], new_scene(2));  // it is the same content
  EXPECT_EQ(server_->post("/v1/scenes", {{"id", id}}).json()["id"], stored.json()["id"]);
  EXPECT_EQ(server_->post("/v1/scenes", {{"id", 99}}).status, 404);
  EXPECT_EQ(server_->post("/v1/scenes", {{"id", "x"}}).status, 400);
  EXPECT_EQ(server_->post("/v1/scenes", {{"index", "photos"}}).status, 400);
  EXPECT_EQ(server_->post("/v1/scenes", {{"index", "none"}, {"id", 1}}).status, 404);
  EXPECT_EQ(server_->post("/v1/scenes", {{"id", 1}, {"path", "/etc/passwd"}}).status, 400);
}

TEST_F(Routes, ScenePicturesAreJpegsOfOurs) {
  const std::string path = "/v1/scenes/" + new_scene(3) + "/picture";
  const Reply reply = server_->get(path);
  EXPECT_EQ(reply.header("content-type"), "image/jpeg");
  EXPECT_EQ(Image::decode(reply.body, "answer").width, 60);
  EXPECT_EQ(server_->get(path + "?size=1").status, 400);
  EXPECT_EQ(server_->get(path + "?size=x").status, 400);
}

TEST_F(Routes, SearchByEverything) {
  const std::string picture = World::the().base64(2);
  const std::string scene = new_scene(2);
  const Scene own = scene_of(2);
  for (const Json& query :
       {Json{{"image", picture}}, Json{{"scene", scene}}, Json{{"id", 3}}, Json{{"id", "3"}},
        Json{{"embedding", own.embedding().values}, {"unit", "image"}}}) {
    Json body = query;
    body["k"] = 2;
    body["deduplicate"] = false;
    const Reply reply = server_->post("/v1/search", body);
    ASSERT_EQ(reply.status, 200) << query.dump() << reply.body;
    const Json json = reply.json();
    EXPECT_EQ(json["unit"], "image");
    ASSERT_EQ(json["hits"].size(), 2u);
    EXPECT_EQ(json["hits"][0]["id"], 3) << query.dump();
    EXPECT_NEAR(json["hits"][0]["score"].get<double>(), 1, 2e-3);
    EXPECT_EQ(json["hits"][0]["name"], "2.png");
    EXPECT_EQ(json["hits"][0]["picture"], "/v1/indexes/photos/images/3/picture");
    EXPECT_EQ(json["hits"][0]["rank"], 1);
  }
  const Json box = {{"box", {0, 0, 1, 1}}};
  for (Json body : {Json{{"image", picture}, {"prompt", box}},
                    Json{{"scene", scene}, {"prompt", box}}, Json{{"id", "3:1"}}}) {
    body["k"] = 1;
    const Json json = server_->post("/v1/search", body).json();
    EXPECT_EQ(json["unit"], "region");
    EXPECT_EQ(json["hits"][0]["id"], 3) << json.dump();
    EXPECT_EQ(json["hits"][0]["region"], 1);
    EXPECT_NEAR(json["hits"][0]["score"].get<double>(), 1, 2e-3);
  }
}

TEST_F(Routes, SearchByText) {
  const Json json = server_->post("/v1/search", {{"text", "a red car"}, {"k", 5}}).json();
  EXPECT_EQ(json["index"], "photos");
  EXPECT_EQ(json["scanned"], 25);  // 5 pictures of 1 + 4 boxes
  ASSERT_GT(json["hits"].size(), 0u);
  EXPECT_THAT(json.dump(), Not(HasSubstr(World::the().photos().string())));
  const Json first = server_->post("/v1/search", {{"text", "a red car"}, {"k", 1}}).json();
  const Json rest =
      server_->post("/v1/search", {{"text", "a red car"}, {"k", 1}, {"offset", 1}}).json();
  EXPECT_EQ(first["hits"][0]["id"], json["hits"][0]["id"]);
  EXPECT_EQ(rest["hits"][0]["id"], json["hits"][1]["id"]);
  EXPECT_EQ(rest["hits"][0]["rank"], 2);
  EXPECT_EQ(server_->post("/v1/search", {{"text", "a"}, {"min_score", 1.5}}).json()["hits"].size(),
            0u);
  EXPECT_EQ(server_->post("/v1/search", {{"text", "a"}, {"cut", 1000}}).json()["cut"]["mode"], "z");
  EXPECT_EQ(server_->post("/v1/search", {{"text", "a"}, {"cut", "auto"}}).json()["cut"]["mode"],
            "auto");
}

TEST_F(Routes, SearchRefusesInWords) {
  EXPECT_EQ(refused("/v1/search", {{"k", 1}}, 400)["code"], 400);
  refused("/v1/search", {{"text", "a"}, {"id", 1}}, 400);
  EXPECT_EQ(refused("/v1/search", {{"text", "a"}, {"filter", "x"}}, 400)["param"], "filter");
  EXPECT_EQ(refused("/v1/search", {{"text", "a"}, {"k", 0}}, 400)["param"], "k");
  EXPECT_EQ(refused("/v1/search", {{"text", "a"}, {"k", 1001}}, 400)["param"], "k");
  EXPECT_EQ(refused("/v1/search", {{"text", "a"}, {"index", "no"}}, 404)["param"], "index");
  EXPECT_EQ(refused("/v1/search", {{"id", 99}}, 404)["param"], "id");
  EXPECT_EQ(refused("/v1/search", {{"id", "3:99"}}, 404)["param"], "id");
  EXPECT_EQ(refused("/v1/search", {{"id", "a"}}, 404)["param"], "id");
  EXPECT_EQ(refused("/v1/search", {{"scene", "no"}}, 404)["param"], "scene");
  EXPECT_EQ(refused("/v1/search", {{"embedding", {1, 2}}}, 400)["param"], "embedding");
  EXPECT_EQ(refused("/v1/search", {{"embedding", std::vector<float>(24, 0)}}, 400)["param"],
            "embedding");
  EXPECT_EQ(refused("/v1/search", {{"text", "a"}, {"prompt", {{"text", "b"}}}}, 400)["param"],
            "prompt");
  EXPECT_EQ(refused("/v1/search", {{"image", "AAAA"}}, 422)["type"], "invalid_image");
}

TEST_F(Routes, IndexesAndTheirPictures) {
  const Json all = server_->get("/v1/indexes").json()["data"];
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]["name"], "photos");
  EXPECT_EQ(all[0]["pictures"], 5);
  EXPECT_EQ(all[0]["vectors"], 30);
  EXPECT_EQ(server_->get("/v1/indexes/photos").json(), all[0]);
  EXPECT_EQ(server_->get("/v1/indexes/none").status, 404);
  const Json image = server_->get("/v1/indexes/photos/images/2").json();
  EXPECT_EQ(image["width"], 60);
  EXPECT_THAT(image["names"].get<std::vector<std::string>>(), ElementsAre("1.png"));
  ASSERT_EQ(image["regions"].size(), 5u);
  EXPECT_NEAR(image["regions"][0]["box"][2].get<double>(), 1, 1e-4);
  const Reply picture = server_->get("/v1/indexes/photos/images/2/picture?size=300");
  EXPECT_EQ(picture.header("content-type"), "image/jpeg");
  EXPECT_EQ(Image::decode(picture.body, "answer").height, 40);
  const std::string tag = picture.header("etag");
  EXPECT_EQ(
      server_->get("/v1/indexes/photos/images/2/picture?size=300", "If-None-Match: " + tag + "\r\n")
          .status,
      304);
  for (const char* id : {"0", "99", "-1", "a", "2x", "99999999999999999999", "..%2f..", "%2e%2e"}) {
    EXPECT_EQ(server_->get(std::string("/v1/indexes/photos/images/") + id).status, 404) << id;
    EXPECT_EQ(server_->get(std::string("/v1/indexes/photos/images/") + id + "/picture").status, 404)
        << id;
  }
}

TEST_F(Routes, WritesAreOffUnlessAsked) {
  const Reply reply = server_->post_picture("/v1/indexes/photos/images", World::the().bytes(6));
  EXPECT_EQ(reply.status, 403);
  EXPECT_THAT(reply.message(), HasSubstr("read_only"));
  EXPECT_EQ(
      ask(server_->port(), {.method = "DELETE", .path = "/v1/indexes/photos/images/1"}).status,
      403);
}

TEST_F(Routes, ClipRetrieval) {
  EXPECT_EQ(server_->get("/indices-list").json(), Json::array({"photos"}));
  EXPECT_EQ(server_->get("/config.json").json()["defaultIndex"], "photos");
  // As its client sends it.
  const Json body = {{"text", nullptr},
                     {"image", World::the().base64(1)},
                     {"image_url", nullptr},
                     {"embedding_input", nullptr},
                     {"deduplicate", false},
                     {"use_safety_model", true},
                     {"use_violence_detector", true},
                     {"indice_name", "photos"},
                     {"use_mclip", false},
                     {"aesthetic_score", ""},
                     {"aesthetic_weight", 0.5},
                     {"modality", "image"},
                     {"num_images", 2},
                     {"num_result_ids", 4}};
  // Its page names no type.
  const Reply reply = ask(server_->port(), {.method = "POST",
                                            .path = "/knn-service",
                                            .body = dump_json(body),
                                            .type = "text/plain;charset=UTF-8"});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json hits = reply.json();
  ASSERT_EQ(hits.size(), 4u);
  EXPECT_EQ(hits[0]["id"], 2);
  EXPECT_NEAR(hits[0]["similarity"].get<double>(), 1, 2e-3);
  EXPECT_EQ(hits[0]["url"], "http://127.0.0.1/v1/indexes/photos/images/2/picture");
  EXPECT_EQ(hits[0]["image_path"], "1.png");
  EXPECT_EQ(hits[1].size(), 5u);
  EXPECT_EQ(hits[2].size(), 2u);  // id and similarity
  const Json rows =
      server_->post("/metadata", {{"ids", {2, 99, 4}}, {"indice_name", "photos"}}).json();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1]["id"], 4);
  EXPECT_EQ(rows[1]["metadata"]["image_path"], "3.png");
  const auto vector = scene_of(0).embedding().values;
  EXPECT_EQ(server_
                ->post("/knn-service",
                       {{"embedding_input", vector}, {"modality", "image"}, {"num_images", 1}})
                .json()[0]["id"],
            1);
  EXPECT_EQ(
      server_->post("/knn-service", {{"text", "a"}, {"modality", "image"}, {"num_images", 3000}})
          .json()
          .size(),
      5u);
  EXPECT_EQ(refused("/knn-service", {{"text", "a"}, {"modality", "text"}}, 400)["param"],
            "modality");
  refused("/knn-service", {{"text", "a"}}, 400);
  refused("/knn-service", {{"modality", "image"}}, 400);
  refused("/knn-service", {{"text", "a"}, {"modality", "image"}, {"num_images", 10001}}, 400);
}

TEST_F(Routes, Weaviate) {
  EXPECT_EQ(server_->get("/.well-known/live").status, 204);
  EXPECT_EQ(server_->get("/.well-known/ready").status, 204);
  EXPECT_EQ(server_->get("/meta").json()["model"], "model");
  const Json json =
      server_->post("/vectorize", {{"texts", {"two dogs"}}, {"images", {World::the().base64(0)}}})
          .json();
  expect_same(floats(json["textVectors"][0]), the_model().encode_text("two dogs").values);
  expect_same(floats(json["imageVectors"][0]), scene_of(0).embedding().values);
  EXPECT_EQ(server_->post("/vectorize", {{"texts", Json::array()}, {"images", Json::array()}}).body,
            R"({"textVectors":[],"imageVectors":[]})");
  const Reply broken = server_->post("/vectorize", {{"images", {"AAAA"}}});
  EXPECT_EQ(broken.status, 422);
  EXPECT_TRUE(broken.json()["error"].is_string());
}

Reply predict(int port, const std::string& entries, const std::string& name,
              const std::string& value) {
  std::string form = "--b\r\nContent-Disposition: form-data; name=\"entries\"\r\n\r\n" + entries +
                     "\r\n--b\r\nContent-Disposition: form-data; name=\"" + name + "\"" +
                     (name == "image" ? "; filename=\"blob\"" : "") + "\r\n\r\n" + value +
                     "\r\n--b--\r\n";
  return ask(port, {.method = "POST",
                    .path = "/predict",
                    .body = std::move(form),
                    .type = "multipart/form-data; boundary=b"});
}

TEST_F(Routes, Immich) {
  EXPECT_EQ(server_->get("/ping").body, "pong");
  const int port = server_->port();
  const Reply visual =
      predict(port, R"({"clip":{"visual":{"modelName":"a"}}})", "image", World::the().bytes(0));
  ASSERT_EQ(visual.status, 200) << visual.body;
  expect_same(floats(parse_json(visual.json()["clip"].get<std::string>(), "clip")),
              scene_of(0).embedding().values);
  EXPECT_EQ(visual.json()["imageWidth"], 60);
  EXPECT_EQ(visual.json()["imageHeight"], 40);
  const Reply textual =
      predict(port, R"({"clip":{"textual":{"modelName":"a","options":{"language":"en"}}}})", "text",
              "two dogs");
  expect_same(floats(parse_json(textual.json()["clip"].get<std::string>(), "clip")),
              the_model().encode_text("two dogs").values);
  EXPECT_EQ(predict(port, R"({"facial-recognition":{}})", "image", "x").status, 422);
  EXPECT_EQ(predict(port, R"({"clip":{"visual":{}}})", "text", "x").status, 400);
  EXPECT_EQ(predict(port, "no json", "text", "x").status, 400);
}

TEST_F(Routes, HealthMetricsAndDescription) {
  EXPECT_EQ(server_->get("/healthz").json()["status"], "ok");
  EXPECT_EQ(server_->get("/readyz").json()["status"], "ready");
  EXPECT_THAT(server_->get("/").header("content-type"), HasSubstr("text/html"));
  const Reply metrics = server_->get("/metrics");
  EXPECT_THAT(metrics.header("content-type"), HasSubstr("version=0.0.4"));
  EXPECT_THAT(metrics.body, HasSubstr("opencloc_requests_total{route=\"/healthz\",code=\"200\"}"));
  EXPECT_THAT(metrics.body, HasSubstr("opencloc_connections "));
  EXPECT_THAT(metrics.body, HasSubstr("le=\"+Inf\""));
}

// The description and the table of routes say the same.
TEST_F(Routes, OpenApiNamesEveryRouteAndNoOther) {
  const Json document = server_->get("/openapi.json").json();
  std::set<std::string> described, answered;
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      described.insert(lower(method) + " " + path);
      std::set<std::string> named, used;
      if (operation.contains("parameters")) {
        for (const Json& parameter : operation["parameters"])
          if (parameter["in"] == "path") named.insert(parameter["name"]);
      }
      for (size_t at = path.find('{'); at != path.npos; at = path.find('{', at + 1))
        used.insert(path.substr(at + 1, path.find('}', at) - at - 1));
      EXPECT_EQ(named, used) << path;
    }
  }
  std::set<std::string> page;
  for (const Route& route : static_routes()) page.insert(route.path);
  for (const Route& route : server_->server().router().routes()) {
    if (std::string(route.path) != "/" && page.contains(route.path)) continue;
    answered.insert(lower(route.method) + " " + route.path);
    const Json& operation = document["paths"][route.path][lower(route.method)];
    EXPECT_EQ(operation.contains("security"), route.access == Access::kOpen) << route.path;
    EXPECT_EQ(operation.contains("requestBody"), route.body != BodyKind::kNone) << route.path;
  }
  EXPECT_EQ(described, answered);
}

TEST_F(Routes, UnknownPathsMethodsAndTypes) {
  for (const char* path :
       {"/etc/passwd", "/../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/scenes/../../etc/passwd", "/v1/scenes/..%2f..%2fetc%2fpasswd", "//etc/passwd",
        "/v1/indexes/photos/images/..%2f..%2fcatalog.sqlite/picture", "/v1/indexes/%00",
        "/v1/indexes/photos/../../../etc/passwd", "/index.json", "/catalog.sqlite", "/%", "/v1/"}) {
    EXPECT_EQ(server_->get(path).status, 404) << path;
  }
  const Reply wrong = server_->get("/v1/search");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("allow"), "POST");
  EXPECT_EQ(ask(server_->port(),
                {.method = "POST", .path = "/v1/search", .body = "{}", .type = "text/plain"})
                .status,
            415);
  EXPECT_EQ(ask(server_->port(),
                {.method = "POST", .path = "/v1/scenes", .body = "{}", .type = "text/plain"})
                .status,
            415);
  EXPECT_EQ(ask(server_->port(), {.method = "HEAD", .path = "/healthz"}).status, 200);
}

TEST_F(Routes, AnswersKeepToThemselves) {
  const Reply reply = server_->get("/healthz");
  EXPECT_EQ(reply.header("x-content-type-options"), "nosniff");
  EXPECT_EQ(reply.header("referrer-policy"), "no-referrer");
  EXPECT_EQ(reply.header("cross-origin-resource-policy"), "same-origin");
  EXPECT_THAT(reply.header("content-security-policy"), HasSubstr("default-src 'none'"));
  EXPECT_EQ(reply.header("access-control-allow-origin"), "");
}

TEST_F(Routes, ForeignHostsAndOriginsAreRefused) {
  for (const char* host :
       {"evil.example", "evil.example:1234", "127.0.0.1.evil.example", "10.0.0.1"})
    EXPECT_EQ(server_->get("/healthz", std::string("Host: ") + host + "\r\n").status, 403) << host;
  for (const char* host : {"localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:7"})
    EXPECT_EQ(server_->get("/healthz", std::string("Host: ") + host + "\r\n").status, 200) << host;
  EXPECT_EQ(server_->get("/healthz", "Host: 127.0.0.1\r\nHost: evil.example\r\n").status, 400);
  for (const char* origin : {"http://evil.example", "null", "http://127.0.0.1:9", ""})
    EXPECT_EQ(server_->get("/healthz", std::string("Origin: ") + origin + "\r\n").status, 403)
        << origin;
  EXPECT_EQ(server_->get("/healthz", "Origin: http://127.0.0.1\r\n").status, 200);
}

}  // namespace
}  // namespace opencloc::serve
