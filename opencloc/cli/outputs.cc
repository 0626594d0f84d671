#include "opencloc/cli/outputs.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include <unistd.h>

#include "opencloc/base/error.h"

namespace opencloc::cli {
namespace {

namespace fs = std::filesystem;

// Endings that promise a format.
constexpr std::array<std::string_view, 34> kEndings = {
    ".npy",   ".npz",  ".pt",   ".pth",  ".bin",     ".ckpt",        ".gguf",   ".onnx",  ".json",
    ".jsonl", ".csv",  ".tsv",  ".txt",  ".parquet", ".h5",          ".hdf5",   ".arrow", ".pkl",
    ".tar",   ".gz",   ".zst",  ".zip",  ".html",    ".safetensors", ".xml",    ".jpg",   ".jpeg",
    ".png",   ".webp", ".toml", ".yaml", ".yml",     ".md",          ".feather"};

std::string ending_of(const std::string& path) {
  std::string ending = fs::path(path).extension().string();
  std::ranges::transform(ending, ending.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending;
}

// The nearest folder above that is there must take new entries.
void require_writable(const std::string& flag, const fs::path& path) {
  std::error_code ignored;  // what cannot be looked at is not there
  fs::path above = fs::absolute(path).lexically_normal();
  if (above.filename().empty()) above = above.parent_path();  // "out/"
  while (!fs::exists(above, ignored) && above.has_relative_path()) above = above.parent_path();
  if (!fs::is_directory(above, ignored) && above != fs::absolute(path).lexically_normal()) {
    throw Error::input("cannot be written: " + above.string() + " is no folder",
                       flag + " " + path.string(), "name a path in a folder");
  }
  if (::access(above.c_str(), W_OK) != 0) {
    throw Error::failed("cannot be written (" + errno_text() + ")", flag + " " + path.string(),
                        "name a place where you may write");
  }
}

void require_no_input(const std::string& flag, const std::string& path,
                      const std::vector<std::string>& inputs) {
  for (const auto& input : inputs) {
    std::error_code ignored;  // one of them is not there: they differ
    if (!input.empty() && fs::equivalent(path, input, ignored)) {
      throw Error::input("the input would be replaced", flag + " " + path, "name another path");
    }
  }
}

}  // namespace

void check_output_file(const std::string& flag, const std::string& path, const OutputKind& kind,
                       const std::vector<std::string>& inputs) {
  if (path.empty()) return;
  const std::string ending = ending_of(path);
  const bool own = std::ranges::find(kind.endings, ending) != kind.endings.end();
  if (!own && std::ranges::find(kEndings, ending) != kEndings.end()) {
    throw Error::input(
        "what is written is " + std::string(kind.name) + ", which " + ending + " does not say",
        flag + " " + path, "end it with " + std::string(*kind.endings.begin()));
  }
  std::error_code ignored;  // what is not there is no folder
  if (fs::is_directory(path, ignored) || path.ends_with('/'))
    throw Error::input("is a folder, a file is written", flag + " " + path, "name a file");
  require_no_input(flag, path, inputs);
  require_writable(flag, path);
}

void check_output_folder(const std::string& flag, const std::string& path,
                         const std::vector<std::string>& inputs) {
  if (path.empty()) return;
  std::error_code ignored;  // what is not there is no file
  const bool there = fs::exists(path, ignored);
  if (there && !fs::is_directory(path, ignored))
    throw Error::input("is a file, a folder is written", flag + " " + path, "name a folder");
  const std::string ending = ending_of(path);
  if (!there && std::ranges::find(kEndings, ending) != kEndings.end()) {
    throw Error::input("a folder is written, which " + ending + " does not say", flag + " " + path,
                       "name it without " + ending);
  }
  require_no_input(flag, path, inputs);
  require_writable(flag, path);
}

void make_parents(const std::string& path) {
  const fs::path above = fs::path(path).parent_path();
  std::error_code error;
  if (!above.empty()) fs::create_directories(above, error);
  if (error) {
    throw Error::failed("cannot create folder (" + error.message() + ")", above.string(),
                        "check rights and free space");
  }
}

}  // namespace opencloc::cli
