#include "opencloc/checkpoint/model_directory.h"

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/hf_layout.h"
#include "opencloc/checkpoint/open_clip_layout.h"
#include "opencloc/checkpoint/region_part.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

Layout require_layout(const fs::path& directory) {
  if (!fs::is_directory(directory))
    throw Error::input("no such model directory", directory.string(), "check the path");
  if (const auto layout = layout_of(directory)) return *layout;
  const fs::path nested = directory / "model";  // a run directory
  throw Error::input(
      "is not a model directory (neither open_clip_config.json nor a CLIP config.json)",
      directory.string(),
      layout_of(nested) ? "name " + nested.string() : "see docs/model_directories.md");
}

bool has_tokenizer_files(const fs::path& directory) {
  if (fs::exists(directory / "vocab.json") && fs::exists(directory / "merges.txt")) return true;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".model") || name.starts_with("bpe_simple_vocab")) return true;
  }
  return false;
}

}  // namespace

const char* to_string(Layout layout) { return layout == Layout::kOpenClip ? "open_clip" : "hf"; }

std::optional<Layout> layout_of(const fs::path& directory) {
  if (open_clip_layout::found(directory)) return Layout::kOpenClip;
  if (hf_layout::found(directory)) return Layout::kHuggingFace;
  return std::nullopt;
}

ModelConfig read_model_config(const fs::path& directory) {
  const Layout layout = require_layout(directory);
  auto config = layout == Layout::kOpenClip ? open_clip_layout::read_config(directory)
                                            : hf_layout::read_config(directory);
  const RegionPart part = read_region_part(directory);
  config.cloc = part.config;
  config.name = part.name;
  config.validate(directory.string());
  return config;
}

std::vector<fs::path> weight_files(const fs::path& directory) {
  const bool open_clip = require_layout(directory) == Layout::kOpenClip;
  std::vector<fs::path> files;
  for (const char* name : {open_clip ? "open_clip_model.safetensors" : "model.safetensors",
                           "cloc_heads.safetensors"}) {
    if (fs::exists(directory / name)) files.push_back(directory / name);
  }
  return files;
}

std::shared_ptr<const Tokenizer> load_tokenizer_if_any(const fs::path& directory) {
  return has_tokenizer_files(directory) ? load_tokenizer(directory) : nullptr;
}

LoadedModel load_model(const fs::path& directory) {
  LoadedModel loaded;
  loaded.layout = require_layout(directory);
  loaded.model = Cloc(read_model_config(directory));
  if (loaded.layout == Layout::kOpenClip) {
    open_clip_layout::load_towers(directory, loaded.model);
  } else {
    hf_layout::load_towers(directory, loaded.model);
  }
  const RegionPart part = read_region_part(directory);
  loaded.about = part.about;
  loaded.has_region_heads = part.has_heads;
  if (part.has_heads) load_region_heads(directory, loaded.model);
  loaded.tokenizer = load_tokenizer_if_any(directory);
  if (loaded.tokenizer)
    check_tokenizer(loaded.model->config().text, *loaded.tokenizer, directory.string());
  loaded.model->eval();
  return loaded;
}

void check_tokenizer(const TextConfig& config, const Tokenizer& tokenizer, std::string_view where) {
  if (tokenizer.vocab_size() > config.vocab_size) {
    throw Error::input("the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                           " ids, the model only " + std::to_string(config.vocab_size),
                       where, "use the tokenizer the model was trained with");
  }
  if (config.pool != TextPool::kEnd) return;  // padding fills up to the place that is pooled
  const bool fits = config.eos_id >= 0 ? tokenizer.end_id() == config.eos_id
                                       : tokenizer.end_id() == tokenizer.vocab_size() - 1;
  if (!fits) {
    throw Error::input("the tokenizer ends texts with id " + std::to_string(tokenizer.end_id()) +
                           ", the model pools at " +
                           (config.eos_id >= 0 ? "id " + std::to_string(config.eos_id)
                                               : std::string("the highest id")),
                       where, "use the tokenizer the model was trained with");
  }
}

void save_model(const fs::path& directory, const Cloc& model, const SaveOptions& options) {
  if (options.tokenizer != nullptr)
    check_tokenizer(model->config().text, *options.tokenizer, directory.string());
  write_folder(directory, [&](const fs::path& folder) {
    if (options.layout == Layout::kOpenClip) {
      open_clip_layout::write(folder, model);
    } else {
      hf_layout::write(folder, model);
    }
    write_region_part(folder, model, options);
    if (options.tokenizer != nullptr) save_tokenizer(*options.tokenizer, folder);
  });
}

}  // namespace opencloc
