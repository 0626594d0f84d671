#include "opencloc/checkpoint/model_directory.h"

#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/publish.h"
#include "opencloc/checkpoint/gguf_layout.h"
#include "opencloc/checkpoint/hf_layout.h"
#include "opencloc/checkpoint/open_clip_layout.h"
#include "opencloc/checkpoint/openai_layout.h"
#include "opencloc/checkpoint/region_part.h"
#include "opencloc/model/initial.h"
#include "opencloc/model/quantized.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

// In the order in which they are looked for: a configuration says more than weights alone.
struct LayoutEntry {
  Layout layout;
  const char* name;
  bool (*found)(const fs::path&);
  Sources (*sources)(const fs::path&);
  ModelConfig (*read_config)(const fs::path&);
  void (*load_towers)(const fs::path&, Cloc&);
  void (*write)(const fs::path&, const Cloc&, const TowerOptions&);
};
constexpr LayoutEntry kLayouts[] = {
    {Layout::kOpenClip, "open_clip", open_clip_layout::found, open_clip_layout::sources,
     open_clip_layout::read_config, open_clip_layout::load_towers, open_clip_layout::write},
    {Layout::kHuggingFace, "hf", hf_layout::found, hf_layout::sources, hf_layout::read_config,
     hf_layout::load_towers, hf_layout::write},
    {Layout::kGguf, "gguf", gguf_layout::found, gguf_layout::sources, gguf_layout::read_config,
     gguf_layout::load_towers, gguf_layout::write},
    {Layout::kOpenAi, "openai", openai_layout::found, openai_layout::sources,
     openai_layout::read_config, openai_layout::load_towers, openai_layout::write},
};

const LayoutEntry& entry_of(Layout layout) {
  return *std::ranges::find(kLayouts, layout, &LayoutEntry::layout);
}

const LayoutEntry& require_layout(const fs::path& path) {
  if (!fs::exists(path))
    throw Error::input("no such model directory or file", path.string(), "check the path");
  if (const auto layout = layout_of(path)) return entry_of(*layout);
  if (!fs::is_directory(path)) {
    throw Error::input("is not a model's file (neither GGUF nor weights under open_clip's names)",
                       path.string(), "name the folder its configuration lies in");
  }
  const fs::path nested = path / "model";  // a run directory
  throw Error::input(
      "is not a model directory (neither open_clip_config.json, a CLIP config.json, nor one file "
      "of CLIP weights)",
      path.string(),
      layout_of(nested) ? "name " + nested.string() : "see docs/reference/model_directories.md");
}

bool has_tokenizer_files(const fs::path& directory) {
  if (fs::exists(directory / "vocab.json") && fs::exists(directory / "merges.txt")) return true;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".model") || name.starts_with("bpe_simple_vocab")) return true;
  }
  return false;
}

bool fits(const TextConfig& config, const Tokenizer& tokenizer) {
  if (tokenizer.vocab_size() > config.vocab_size) return false;
  if (config.pool != TextPool::kEnd) return true;  // padding fills up to the place that is pooled
  return tokenizer.end_id() == (config.eos_id >= 0 ? config.eos_id : tokenizer.vocab_size() - 1);
}

// A single file's region part is the default one.
RegionPart region_part_of(const fs::path& path) {
  return fs::is_directory(path) ? read_region_part(path) : RegionPart{};
}

[[noreturn]] void refuse_quantized(const fs::path& path) {
  throw Error::input("8-bit weights lie in OpenCLOC's own layout alone", path.string(),
                     "use --to opencloc, or convert the model it was quantised from");
}

}  // namespace

const char* to_string(Layout layout) { return entry_of(layout).name; }

std::optional<Layout> layout_of(const fs::path& given) {
  const fs::path path = current_folder(given);
  for (const auto& entry : kLayouts) {
    if (entry.found(path)) return entry.layout;
  }
  return std::nullopt;
}

Sources model_sources(const fs::path& given) {
  const fs::path path = current_folder(given);
  return require_layout(path).sources(path);
}

ModelConfig read_model_config(const fs::path& given) {
  const fs::path path = current_folder(given);
  auto config = require_layout(path).read_config(path);
  const RegionPart part = region_part_of(path);
  config.cloc = part.config;
  config.name = part.name;
  config.validate(path.string());
  return config;
}

std::vector<StoredTensors> model_tensors(const fs::path& given) {
  const fs::path path = current_folder(given);
  std::vector<StoredTensors> files;
  if (const fs::path towers = model_sources(path).weights; !towers.empty())
    files.push_back(open_weights(towers));
  if (fs::is_directory(path) && fs::exists(path / kRegionHeadsFile))
    files.push_back(open_weights(path / kRegionHeadsFile));
  return files;
}

std::shared_ptr<const Tokenizer> load_tokenizer_if_any(const fs::path& given) {
  const fs::path path = current_folder(given);
  if (fs::is_directory(path) && has_tokenizer_files(path)) return load_tokenizer(path);
  const auto layout = layout_of(path);
  if (layout == Layout::kGguf) return gguf_layout::read_tokenizer(path);
  const fs::path beside = path.parent_path().empty() ? "." : path.parent_path();
  if (layout && !fs::is_directory(path) && has_tokenizer_files(beside)) {
    auto tokenizer = load_tokenizer(beside);
    if (fits(read_model_config(path).text, *tokenizer)) return tokenizer;
  }
  return nullptr;
}

LoadedModel load_model(const fs::path& given) {
  const fs::path path = current_folder(given);
  LoadedModel loaded;
  const LayoutEntry& layout = require_layout(path);
  loaded.layout = layout.layout;
  loaded.vision_only = layout.sources(path).vision_only;
  {
    const initial::FromFiles no_draws;
    loaded.model = Cloc(read_model_config(path));
  }
  const RegionPart part = region_part_of(path);
  if (part.quantized) {
    if (layout.layout != Layout::kOpenClip) refuse_quantized(path);
    make_quantized(loaded.model);
  }
  layout.load_towers(path, loaded.model);
  loaded.about = part.about;
  loaded.has_region_heads = part.has_heads;
  if (part.has_heads) load_region_heads(path, loaded.model);
  if (!loaded.vision_only) loaded.tokenizer = load_tokenizer_if_any(path);
  if (loaded.tokenizer)
    check_tokenizer(loaded.model->config().text, *loaded.tokenizer, path.string());
  loaded.model->eval();
  return loaded;
}

void check_tokenizer(const TextConfig& config, const Tokenizer& tokenizer, std::string_view where) {
  if (tokenizer.vocab_size() > config.vocab_size) {
    throw Error::input("the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                           " ids, the model only " + std::to_string(config.vocab_size),
                       where, "use the tokenizer the model was trained with");
  }
  if (!fits(config, tokenizer)) {
    throw Error::input("the tokenizer ends texts with id " + std::to_string(tokenizer.end_id()) +
                           ", the model pools at " +
                           (config.eos_id >= 0 ? "id " + std::to_string(config.eos_id)
                                               : std::string("the highest id")),
                       where, "use the tokenizer the model was trained with");
  }
}

bool is_single_file(const fs::path& path, Layout layout) {
  return (layout == Layout::kGguf && path.extension() == ".gguf") ||
         (layout == Layout::kOpenAi && path.extension() == ".safetensors");
}

void save_model(const fs::path& path, const Cloc& model, const SaveOptions& options) {
  const bool vision_only = options.vision_only;
  if (vision_only && options.layout != Layout::kHuggingFace && options.layout != Layout::kGguf) {
    throw Error::input(
        std::string("the ") + to_string(options.layout) + " layout has no image tower alone",
        path.string(), "use --to hf or gguf");
  }
  if (is_quantized(model)) {
    if (options.layout != Layout::kOpenClip || !options.region_config) refuse_quantized(path);
    if (options.dtype != Dtype::kF32) {
      throw Error::input("what is not quantised of an 8-bit model is F32", path.string(),
                         "leave --dtype out");
    }
  }
  const Tokenizer* tokenizer = vision_only ? nullptr : options.tokenizer;
  if (tokenizer != nullptr) check_tokenizer(model->config().text, *tokenizer, path.string());
  const TowerOptions towers{options.dtype, vision_only, tokenizer, options.projector};
  const auto& write = entry_of(options.layout).write;
  if (is_single_file(path, options.layout)) return write(path, model, towers);
  write_folder(path, [&](const fs::path& folder) {
    write(folder, model, towers);
    if (!vision_only && (options.region_config || options.region_heads))
      write_region_part(folder, model, options);
    if (tokenizer != nullptr) save_tokenizer(*tokenizer, folder);
  });
}

}  // namespace opencloc
