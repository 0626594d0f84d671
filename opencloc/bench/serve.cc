#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <torch/utils.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/base/sha256.h"
#include "opencloc/base/temporary.h"
#include "opencloc/bench/http_load.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/checkpoint/fingerprint.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/resize.h"
#include "opencloc/index/index_writer.h"
#include "opencloc/serve/wire.h"
#include "opencloc/text/sentence_piece.h"

extern "C" char** environ;  // NOLINT: POSIX declares it nowhere

namespace opencloc::bench {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRegionsAPicture = 14;  // of a made-up index, as the usual grid gives
constexpr int kPictures = 16;

struct ServedFolder {
  fs::path path = fs::temp_directory_path() / ("opencloc-bench-" + owner_tag() + ".serve");
  ServedFolder() { fs::create_directories(path); }
  ~ServedFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

// A text with words that the made-up tokenizer has seen, and that no other request has.
std::string text_number(int64_t number) {
  return "a photo of " + std::to_string(number % 1000) + " red cars beside " +
         std::to_string(number) + " trees";
}

std::vector<float> made_up_unit(Rng& rng, int64_t width) {
  std::vector<float> vector(static_cast<size_t>(width));
  double squares = 0;
  for (float& x : vector) {
    x = static_cast<float>(rng.uniform()) - 0.4f;
    squares += static_cast<double>(x) * static_cast<double>(x);
  }
  for (float& x : vector) x /= static_cast<float>(std::sqrt(squares));
  return vector;
}

void make_up_index(const fs::path& path, const IndexInfo& info, int64_t rows, uint64_t seed) {
  create_index(path, info);
  IndexWriter writer(path);
  Rng rng(seed, {1});
  for (int64_t made = 0, number = 0; made < rows; made += 1 + kRegionsAPicture, ++number) {
    NewPicture picture;
    picture.name.name = "picture" + std::to_string(number) + ".jpg";
    picture.digest = sha256_hex(picture.name.name);
    picture.width = picture.height = 640;
    picture.vector = made_up_unit(rng, info.width);
    for (int64_t i = 0; i < kRegionsAPicture; ++i) {
      const auto x = static_cast<float>(rng.uniform(0, 0.5));
      picture.regions.push_back({{x, x, x + 0.4f, x + 0.5f}, "", made_up_unit(rng, info.width)});
    }
    writer.add(picture);
  }
  writer.commit();
}

// A model of random weights, which cost what trained ones do, and an index of made-up vectors.
void make_up_world(const BenchOptions& options, const fs::path& folder) {
  ModelConfig config = load_model_config(options.model.empty() ? "ViT-B-16" : options.model);
  int64_t captions = 0;
  const auto caption = [&]() -> std::optional<std::string> {
    constexpr int64_t kCaptions = 2000;
    if (captions == kCaptions) return std::nullopt;
    return text_number(captions++);
  };
  const fs::path pieces = folder / "pieces.model";
  train_sentencepiece(caption, {.vocab_size = 200}, pieces);
  const auto tokenizer = load_tokenizer(pieces);
  config.text.vocab_size = tokenizer->vocab_size();
  config.text.eos_id = tokenizer->end_id();
  torch::manual_seed(1);
  const Cloc model(config);
  SaveOptions save;
  save.tokenizer = tokenizer.get();
  save_model(folder / "model", model, save);
  IndexInfo info;
  info.width = config.embed_dim;
  info.model = (folder / "model").string();
  info.fingerprint = model_fingerprint(model, tokenizer.get());
  make_up_index(folder / "index", info, options.index_rows, options.seed);
}

// `opencloc serve` of this program's own file, on a free port.
class StartedServer {
 public:
  StartedServer(const std::vector<std::string>& flags, const fs::path& log) {
    std::vector<std::string> words{"opencloc", "serve"};
    words.insert(words.end(), flags.begin(), flags.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw Error::failed("no pipe (" + errno_text() + ")");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT,
                                     0600);
    const int failed =
        ::posix_spawn(&process_, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    std::string address;
    char letter = 0;
    while (failed == 0 && ::read(ends[0], &letter, 1) == 1 && letter != '\n') address += letter;
    ::close(ends[0]);
    if (failed != 0) {
      process_ = 0;
      throw Error::failed(std::string("the server cannot be started (") + std::strerror(failed) +
                          ")");
    }
    if (address.empty()) {
      const std::string said = read_file(log);
      stop();
      throw Error::failed("the server did not start, and said: " + said.substr(0, said.find('\n')));
    }
    place_ = parse_http_place(address);
  }
  ~StartedServer() { stop(); }
  StartedServer(const StartedServer&) = delete;
  const HttpPlace& place() const { return place_; }

 private:
  void stop() {
    if (process_ == 0) return;
    ::kill(process_, SIGTERM);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) continue;
    process_ = 0;
  }
  pid_t process_ = 0;
  HttpPlace place_;
};

// Coarse noise of 224 pixels as a JPEG, about as large as a photo of that size.
std::string made_up_jpeg(uint64_t seed) {
  Rng rng(seed, {2});
  Image coarse(14, 14);
  for (uint8_t& value : coarse.pixels) value = static_cast<uint8_t>(rng.next());
  ResizeOptions options;
  options.width = options.height = 224;
  options.interpolation = Interpolation::kBilinear;
  return encode_jpeg(resize(coarse, options), 90);
}

std::string json_of_box(int64_t number) {
  const double x = 0.001 * static_cast<double>(number % 500);
  return dump_json({{"prompts", Json::array({{{"box", {x, 0.1, x + 0.4, 0.9}}}})}});
}

// What the clients of a kind ask.
using Questions = std::function<HttpQuestion(int64_t number)>;
Questions questions_of(const std::string& kind, const HttpPlace& place) {
  if (kind == "health") return [](int64_t) { return HttpQuestion{"GET", "/healthz", "", ""}; };
  if (kind == "text") {
    return [](int64_t number) {
      return HttpQuestion{.path = "/v1/embeddings",
                          .body = dump_json({{"input", text_number(number)}})};
    };
  }
  if (kind == "search") {
    return [](int64_t number) {
      return HttpQuestion{.path = "/v1/search",
                          .body = dump_json({{"text", text_number(number)}, {"k", 10}})};
    };
  }
  if (kind == "image") {
    auto bodies = std::make_shared<std::vector<std::string>>();
    for (uint64_t i = 0; i < kPictures; ++i) {
      bodies->push_back(dump_json(
          {{"input", "data:image/jpeg;base64," + serve::base64_encoded(made_up_jpeg(i))}}));
    }
    return [bodies](int64_t number) {
      return HttpQuestion{.path = "/v1/embeddings",
                          .body = (*bodies)[static_cast<size_t>(number) % bodies->size()]};
    };
  }
  // region
  const HttpReply scene =
      HttpClient(place).ask({.path = "/v1/scenes", .body = made_up_jpeg(0), .type = "image/jpeg"});
  if (scene.status != 201)
    throw Error::failed("the server refused a picture: " + scene.body.substr(0, 300));
  const auto id = parse_json(scene.body, "/v1/scenes").at("id").get<std::string>();
  return [path = "/v1/scenes/" + id + "/regions"](int64_t number) {
    return HttpQuestion{.path = path, .body = json_of_box(number)};
  };
}

// The server's memory as it says itself; 0 where it does not.
double server_mib(const HttpPlace& place) {
  constexpr std::string_view kName = "\nprocess_resident_memory_bytes ";
  const std::string text = HttpClient(place).ask({"GET", "/metrics", "", ""}).body;
  const size_t at = text.find(kName);
  return at == text.npos ? 0 : std::strtod(text.c_str() + at + kName.size(), nullptr) / (1 << 20);
}

void load_kind(const BenchOptions& options, const HttpPlace& place, const std::string& kind) {
  const Questions questions = questions_of(kind, place);
  const HttpReply first = HttpClient(place).ask(questions(0));
  if (first.status / 100 != 2) {
    throw Error::failed("the server answered " + std::to_string(first.status) + " to '" + kind +
                        "': " + first.body.substr(0, 300));
  }
  for (const int clients : options.clients) {
    load_http(place, clients, std::min(1.0, options.seconds), questions);  // warms up
    const HttpLoad load = load_http(place, clients, options.seconds, questions);
    Figure figure;
    figure.name = "serve/" + kind + "/c" + std::to_string(clients);
    figure.items_per_s = static_cast<double>(load.answered) / load.seconds;
    figure.more = {{"p50_ms", load.percentile(0.5)},
                   {"p99_ms", load.percentile(0.99)},
                   {"answered", load.answered},
                   {"refused", load.refused},
                   {"server_mib", server_mib(place)}};
    report(options, figure);
  }
}

}  // namespace

void serve(const BenchOptions& options) {
  std::vector<std::string> kinds = options.kinds;
  if (kinds.empty()) kinds = {"health", "text", "image", "region", "search"};
  if (!options.server.empty()) {
    HttpPlace place = parse_http_place(options.server);
    if (!options.api_key_file.empty()) {
      const std::string keys = read_file(options.api_key_file);
      place.key = keys.substr(0, keys.find_first_of("\r\n"));
    }
    for (const std::string& kind : kinds) load_kind(options, place, kind);
    return;
  }
  const ServedFolder folder;
  std::string model = options.model, index = options.index;
  const bool own_model = fs::is_directory(model);
  if (index.empty() && !own_model) {
    make_up_world(options, folder.path);
    model = (folder.path / "model").string();
    index = (folder.path / "index").string();
  }
  std::vector<std::string> flags{"--port",        "0",
                                 "--per-address", "0",
                                 "--device",      options.device,
                                 "--threads",     std::to_string(options.threads)};
  if (!model.empty()) flags.insert(flags.end(), {"--model", model});
  if (!index.empty()) flags.insert(flags.end(), {"--index", "bench=" + index});
  if (!options.precisions.empty())
    flags.insert(flags.end(), {"--precision", options.precisions.front()});
  if (options.batch > 0) flags.insert(flags.end(), {"--max-batch", std::to_string(options.batch)});
  const StartedServer server(flags, folder.path / "log");
  for (const std::string& kind : kinds) {
    if (kind == "search" && index.empty()) continue;  // a model alone: nothing is there to search
    load_kind(options, server.place(), kind);
  }
}

}  // namespace opencloc::bench
