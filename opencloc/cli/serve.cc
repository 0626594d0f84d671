// `opencloc serve`: a model and indexes over HTTP.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <sys/stat.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/text_file.h"
#include "opencloc/cli/verb.h"
#include "opencloc/serve/freed_memory.h"
#include "opencloc/serve/server.h"

namespace opencloc::cli {
namespace {

struct ServeFlags {
  CommonFlags common;
  std::vector<std::string> indexes;
  std::string indices_paths, api_key_file, precision = "fp32", read_only = "on";
  uint64_t max_body = 20 << 20, scene_cache = 256 << 20;
  double max_megapixels = 50, drain = 10;
  serve::ServeOptions options;
};

// NAME=IDX, or IDX by the name of its folder.
serve::NamedIndex parse_index(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != text.npos && text.find('/') > equals)
    return {text.substr(0, equals), text.substr(equals + 1)};
  const auto folder = std::filesystem::absolute(text).lexically_normal();
  const auto name = folder.filename().empty() ? folder.parent_path() : folder;
  return {name.stem().string(), text};
}

// clip-retrieval's file: {"name": "folder"} or {"name": {"indice_folder": "folder"}}.
std::vector<serve::NamedIndex> read_indices_paths(const std::string& path) {
  const Json json = read_json(path);
  std::vector<serve::NamedIndex> indexes;
  if (!json.is_object())
    throw Error::input("not an object of names and folders", path, "write {\"photos\": \"IDX\"}");
  for (const auto& [name, value] : json.items()) {
    if (value.is_string()) {
      indexes.push_back({name, value.get<std::string>()});
    } else {
      indexes.push_back({name, json_string(value, "indice_folder", path, "")});
    }
  }
  return indexes;
}

std::vector<std::string> read_keys(const std::string& path) {
  constexpr size_t kShortest = 16;
  std::vector<std::string> keys;
  for (const std::string& line : read_text_lines(path)) {
    const std::string key(trimmed(line));
    if (key.empty() || key.front() == '#') continue;
    if (key.size() < kShortest) {
      throw Error::input("a key of less than 16 characters", path,
                         "make one with: openssl rand -hex 24");
    }
    keys.push_back(key);
  }
  if (keys.empty()) throw Error::input("no key in the file", path, "write one a line");
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0)
    log::warn("{}: everybody on this machine can read the keys; chmod o-r mends it", path);
  return keys;
}

std::string model_of(const ServeFlags& flags) {
  if (!flags.options.model.empty()) return flags.options.model;
  if (flags.options.indexes.empty())
    throw Error::input("nothing is served", "opencloc serve", "give --model or --index");
  const IndexInfo info = read_index_info(flags.options.indexes.front().path);
  if (!info.model.empty() && std::filesystem::exists(info.model)) return info.model;
  throw Error::input("the model that the index was made with is not there", info.model,
                     "say where it is with --model");
}

void run_serve(ServeFlags& flags) {
  serve::ServeOptions& options = flags.options;
  for (const std::string& index : flags.indexes) options.indexes.push_back(parse_index(index));
  if (!flags.indices_paths.empty()) {
    for (auto& index : read_indices_paths(flags.indices_paths))
      options.indexes.push_back(std::move(index));
  }
  options.model = model_of(flags);
  options.load = {flags.common.device, thread_count(flags.common), flags.precision};
  if (!flags.api_key_file.empty()) options.api_keys = read_keys(flags.api_key_file);
  options.http.limits.body_bytes = flags.max_body;
  options.http.drain_time = std::chrono::milliseconds(static_cast<int64_t>(1000 * flags.drain));
  options.http.on_signals = true;
  options.decoder.max_pixels = static_cast<int64_t>(1e6 * flags.max_megapixels);
  options.scene_cache = static_cast<int64_t>(flags.scene_cache);
  options.read_only = flags.read_only == "on";
  std::string& prefix = options.url_prefix;
  while (prefix.ends_with('/')) prefix.pop_back();
  if (!prefix.empty() && !prefix.starts_with('/')) prefix = "/" + prefix;

  serve::keep_little_freed_memory();
  raise_open_file_limit();
  std::signal(SIGPIPE, SIG_IGN);
  serve::Server server(options);
  std::printf("%s\n", server.address().c_str());
  std::fflush(stdout);
  log::info("serving {} with {} indexes; GET /openapi.json says what is answered",
            server.service().engine.name(), options.indexes.size());
  if (!server.run()) {
    log::warn("requests were still at work after {:g} seconds (--drain)", flags.drain);
    throw EndedBefore{1};
  }
}

}  // namespace

void add_serve(CLI::App& app) {
  const auto flags = std::make_shared<ServeFlags>();
  auto& options = flags->options;
  app.add_option("--model", options.model, "the model; without it that of the first index")
      ->type_name("DIR");
  app.add_option("--index", flags->indexes, "an index, and its name in addresses; several times")
      ->type_name("[NAME=]IDX");
  app.add_option("--indices-paths", flags->indices_paths,
                 "indexes in a JSON file, as clip-retrieval has it: {\"name\": \"folder\"}")
      ->type_name("FILE");
  app.add_option("--host", options.http.host,
                 "the address to listen on; others than this machine's need --api-key-file")
      ->capture_default_str();
  app.add_option("--port", options.http.port, "0 = one that is free; it is printed")
      ->check(CLI::Range(0, 65535))
      ->default_str("1234");
  options.http.port = 1234;
  app.add_option("--socket", options.http.socket, "a Unix socket in place of host and port")
      ->type_name("PATH");
  app.add_option("--api-key-file", flags->api_key_file, "keys that may ask, one a line")
      ->type_name("FILE");
  app.add_option("--allow-host", options.allow_hosts,
                 "a further name in Host headers that is ours; several times, '*' = any")
      ->type_name("NAME");
  app.add_option("--cors-origin", options.cors_origins,
                 "a page's origin that may ask, as https://example.org; several times")
      ->type_name("ORIGIN");
  app.add_option("--url-prefix", options.url_prefix, "what stands before every address")
      ->type_name("PATH");
  app.add_option("--max-body", flags->max_body, "the largest request, in bytes; 20M is MiB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("20M");
  app.add_option("--max-pixels", flags->max_megapixels, "the largest picture, in megapixels")
      ->check(CLI::Range(0.001, 178.0))
      ->capture_default_str();
  app.add_option("--max-batch", options.batch.max_images, "pictures that are encoded together")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--queue", options.queue,
                 "requests at a time; further ones are answered 429 with Retry-After")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--per-address", options.http.limits.per_address,
                 "connections of one address; 0 = no limit, behind a proxy")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  app.add_option("--scene-cache", flags->scene_cache, "bytes of pictures that can be prompted")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("256M");
  app.add_option("--idle-unload", options.idle_unload,
                 "seconds without work after which the model is given back; 0 = never")
      ->check(not_negative())
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_option("--read-only", flags->read_only, "off: who has a key may change the indexes")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option(
         "--drain", flags->drain,
         "seconds that requests at work have after SIGTERM; a second signal ends it at once")
      ->check(not_negative())
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_option("--precision", flags->precision, "of matrix products")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  add_device_flag(app, flags->common);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "Answers OpenAI's /v1/embeddings, clip-retrieval, Weaviate and immich, and its own "
      "/v1/scenes\n"
      "and /v1/search (docs/guide/server.md). It opens no connection by itself, and has no TLS: "
      "put a\n"
      "proxy in front. The address is printed once requests are taken.\n\n"
      "Examples:\n"
      "  opencloc serve --model run/model --index photos=photos.idx\n"
      "  opencloc serve --index photos.idx --host 0.0.0.0 --api-key-file keys.txt");
  app.callback([flags] { run_serve(*flags); });
}

}  // namespace opencloc::cli
