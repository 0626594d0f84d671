#include "opencloc/checkpoint/model_directory.h"

#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/publish.h"
#include "opencloc/checkpoint/layout/gguf_layout.h"
#include "opencloc/checkpoint/layout/hf_layout.h"
#include "opencloc/checkpoint/layout/onnx_layout.h"
#include "opencloc/checkpoint/layout/open_clip_layout.h"
#include "opencloc/checkpoint/layout/openai_layout.h"
#include "opencloc/checkpoint/no_model.h"
#include "opencloc/checkpoint/region_part.h"
#include "opencloc/model/layers/initial.h"
#include "opencloc/model/quantized.h"
#include "opencloc/text/bpe_vocabulary.h"
#include "opencloc/text/sentence_piece_json.h"
#include "opencloc/text/tokenizer_json.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

// In the order in which they are looked for: a configuration says more than weights alone.
struct LayoutEntry {
  Layout layout;
  const char* name;
  bool (*found)(const fs::path&);
  Sources (*sources)(const fs::path&, const ModelHints&);
  ModelConfig (*read_config)(const fs::path&, const ModelHints&);
  void (*load_towers)(const fs::path&, Cloc&);
  void (*write)(const fs::path&, const Cloc&, const TowerOptions&);
};
// For layouts whose configuration says all there is to know.
template <Sources (*sources)(const fs::path&)>
Sources without_hints(const fs::path& path, const ModelHints&) {
  return sources(path);
}
template <ModelConfig (*read_config)(const fs::path&)>
ModelConfig without_hints(const fs::path& path, const ModelHints&) {
  return read_config(path);
}
constexpr LayoutEntry kLayouts[] = {
    {Layout::kOpenClip, "open_clip", open_clip_layout::found,
     without_hints<open_clip_layout::sources>, without_hints<open_clip_layout::read_config>,
     open_clip_layout::load_towers, open_clip_layout::write},
    {Layout::kHuggingFace, "hf", hf_layout::found, without_hints<hf_layout::sources>,
     without_hints<hf_layout::read_config>, hf_layout::load_towers, hf_layout::write},
    {Layout::kGguf, "gguf", gguf_layout::found, without_hints<gguf_layout::sources>,
     without_hints<gguf_layout::read_config>, gguf_layout::load_towers, gguf_layout::write},
    {Layout::kOpenAi, "openai", openai_layout::found, openai_layout::sources,
     openai_layout::read_config, openai_layout::load_towers, openai_layout::write},
    {Layout::kOnnx, "onnx", onnx_layout::found, without_hints<onnx_layout::sources>,
     without_hints<onnx_layout::read_config>, onnx_layout::load_towers, onnx_layout::write},
};

const LayoutEntry& entry_of(Layout layout) {
  return *std::ranges::find(kLayouts, layout, &LayoutEntry::layout);
}

const LayoutEntry& require_layout(const fs::path& path) {
  if (const auto layout = layout_of(path)) return entry_of(*layout);
  refuse_no_model(path);
}

// Hints are for weights without configuration.
void check_hints(const LayoutEntry& entry, const fs::path& path, const ModelHints& hints) {
  if (hints.architecture.empty()) return;
  const auto files = entry.sources(path, hints);
  const bool bare = entry.layout == Layout::kOpenAi && files.config.empty() &&
                    !files.note.starts_with("configuration");
  if (bare) return;
  throw Error::input("the model has a configuration, which says its architecture", path.string(),
                     "leave the setting 'architecture=" + hints.architecture + "' out");
}

bool has_tokenizer_files(const fs::path& directory) {
  if (fs::exists(directory / "vocab.json") && fs::exists(directory / "merges.txt")) return true;
  if (is_clip_tokenizer_json(directory / "tokenizer.json")) return true;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".model") || name.starts_with("bpe_simple_vocab")) return true;
  }
  return false;
}

// Files of a tokenizer that cannot be read as one; empty when there are none, or one that is read.
std::string unread_tokenizer(const fs::path& path) {
  if (!fs::is_directory(path) || has_tokenizer_files(path)) return {};
  const bool vocab = fs::exists(path / "vocab.json"), merges = fs::exists(path / "merges.txt");
  if (vocab || merges) {
    return std::string(vocab ? "vocab.json" : "merges.txt") + " lies here without " +
           (vocab ? "merges.txt" : "vocab.json") + ": no tokenizer is read";
  }
  if (!fs::exists(path / "tokenizer.json")) return {};
  return "tokenizer.json holds no BPE as CLIP's (a SentencePiece model's tokenizer is read from "
         "spiece.model): no tokenizer is read";
}

bool has_weights(const LayoutEntry& entry, const fs::path& path) {
  switch (entry.layout) {
    case Layout::kOpenClip:
      return !open_clip_layout::weights_in(path).empty();
    case Layout::kHuggingFace:
      return !hf_layout::weights_in(path).empty();
    case Layout::kGguf:
    case Layout::kOpenAi:
    case Layout::kOnnx:
      break;
  }
  return true;  // found() has seen them
}

// transformers' and open_clip's configurations often lie side by side: one is read, and what the
// other says otherwise is told.
std::vector<std::string> contradictions_beside(const fs::path& path, const LayoutEntry& chosen) {
  const bool open_clip = chosen.layout == Layout::kOpenClip;
  if ((!open_clip && chosen.layout != Layout::kHuggingFace) || !open_clip_layout::found(path) ||
      !hf_layout::found(path)) {
    return {};
  }
  const char* ours = open_clip ? "open_clip_config.json" : "config.json";
  const char* other = open_clip ? "config.json" : "open_clip_config.json";
  std::string differences;
  try {
    differences = different_keys(open_clip_layout::read_config(path), hf_layout::read_config(path));
  } catch (const Error& error) {
    return {std::string(other) + " beside " + ours + " was not compared: " + error.what()};
  }
  if (differences.empty()) return {};
  return {std::string(ours) + " and " + other + " contradict each other (" + differences +
          "): " + ours + " is read; remove the one that is wrong"};
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

// Tensors through which everything goes: when one is all 0, every picture or text is the same.
void require_some_weight(const LoadedModel& loaded, const fs::path& path) {
  constexpr std::string_view kPictures[] = {"visual.conv1.weight", "visual.proj"};
  constexpr std::string_view kTexts[] = {"token_embedding.weight", "text_projection",
                                         "text_projection.weight"};
  for (const auto& [name, value] : loaded.model->clip_weights()) {
    const bool pictures = std::ranges::find(kPictures, name) != std::end(kPictures);
    const bool texts = std::ranges::find(kTexts, name) != std::end(kTexts) && !loaded.vision_only;
    if ((!pictures && !texts) || !value.is_floating_point()) continue;
    if (!value.eq(0).all().item<bool>()) continue;
    throw Error::input("all values of " + name + " are 0", path.string(),
                       "get the weights again: they were never filled, or are a part of a model");
  }
}

[[noreturn]] void refuse_quantized(const fs::path& path) {
  throw Error::input("8-bit weights lie in OpenCLOC's own layout alone", path.string(),
                     "use the setting 'to=opencloc', or convert the model it was quantised from");
}

}  // namespace

const char* to_string(Layout layout) { return entry_of(layout).name; }

// A configuration counts for less when its weights lie in another layout's files.
std::optional<Layout> layout_of(const fs::path& given) {
  const fs::path path = current_folder(given);
  std::vector<const LayoutEntry*> found;
  for (const auto& entry : kLayouts) {
    if (entry.found(path)) found.push_back(&entry);
  }
  if (found.empty()) return std::nullopt;
  if (found.size() > 1) {
    for (const auto* entry : found) {
      if (has_weights(*entry, path)) return entry->layout;
    }
  }
  return found[0]->layout;
}

Sources model_sources(const fs::path& given, const ModelHints& hints) {
  const fs::path path = current_folder(given);
  const LayoutEntry& entry = require_layout(path);
  check_hints(entry, path, hints);
  Sources files = entry.sources(path, hints);
  for (auto& text : contradictions_beside(path, entry)) files.assumed.push_back(std::move(text));
  if (!files.vision_only) {
    if (std::string text = unread_tokenizer(path); !text.empty()) files.assumed.push_back(text);
  }
  return files;
}

ModelConfig read_model_config(const fs::path& given, const ModelHints& hints) {
  const fs::path path = current_folder(given);
  auto config = require_layout(path).read_config(path, hints);
  const RegionPart part = region_part_of(path);
  config.cloc = part.config;
  config.name = part.name;
  config.validate(path.string());
  return config;
}

std::vector<StoredTensors> model_tensors(const fs::path& given) {
  const fs::path path = current_folder(given);
  std::vector<StoredTensors> files;
  // Tensors have names and shapes whatever the architecture is: no hint is needed.
  const LayoutEntry& layout = require_layout(path);
  const fs::path towers = layout.layout == Layout::kOpenAi ? openai_layout::candidates(path).at(0)
                                                           : layout.sources(path, {}).weights;
  if (!towers.empty()) files.push_back(open_weights(towers));
  if (fs::is_directory(path) && fs::exists(path / kRegionHeadsFile))
    files.push_back(open_weights(path / kRegionHeadsFile));
  return files;
}

std::shared_ptr<const Tokenizer> load_tokenizer_if_any(const fs::path& given,
                                                       const ModelHints& hints) {
  const fs::path path = current_folder(given);
  if (fs::is_directory(path) && has_tokenizer_files(path)) return load_tokenizer(path);
  const auto layout = layout_of(path);
  if (layout == Layout::kGguf) return gguf_layout::read_tokenizer(path);
  const fs::path beside = path.parent_path().empty() ? "." : path.parent_path();
  if (layout && !fs::is_directory(path) && has_tokenizer_files(beside)) {
    auto tokenizer = load_tokenizer(beside);
    if (fits(read_model_config(path, hints).text, *tokenizer)) return tokenizer;
  }
  return nullptr;
}

LoadedModel load_model(const fs::path& given, const ModelHints& hints) {
  const fs::path path = current_folder(given);
  LoadedModel loaded;
  const LayoutEntry& layout = require_layout(path);
  loaded.layout = layout.layout;
  const Sources files = model_sources(path, hints);
  loaded.vision_only = files.vision_only;
  const RegionPart part = region_part_of(path);
  ModelConfig config = read_model_config(path, hints);
  config.region_part = part.has_heads;
  {
    const initial::FromFiles no_draws;
    loaded.model = Cloc(config);
  }
  for (const auto& text : files.assumed) log::warn("{}: {}", path.string(), text);
  if (part.quantized) {
    if (layout.layout != Layout::kOpenClip) refuse_quantized(path);
    make_quantized(loaded.model);
  }
  layout.load_towers(path, loaded.model);
  require_some_weight(loaded, path);
  loaded.about = part.about;
  loaded.has_region_heads = part.has_heads;
  if (part.has_heads) load_region_heads(path, loaded.model);
  if (!loaded.vision_only) loaded.tokenizer = load_tokenizer_if_any(path, hints);
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
  if (vision_only && (options.layout == Layout::kOpenClip || options.layout == Layout::kOpenAi)) {
    throw Error::input(
        std::string("the ") + to_string(options.layout) + " layout has no image tower alone",
        path.string(), "use the settings 'to=hf', 'to=gguf' or 'to=onnx'");
  }
  if (is_quantized(model)) {
    if (options.layout != Layout::kOpenClip || !options.region_config) refuse_quantized(path);
    if (options.dtype != Dtype::kF32) {
      throw Error::input("what is not quantised of an 8-bit model is F32", path.string(),
                         "leave the setting 'dtype' out");
    }
  }
  const Tokenizer* tokenizer = vision_only ? nullptr : options.tokenizer;
  if (tokenizer != nullptr) check_tokenizer(model->config().text, *tokenizer, path.string());
  const TowerOptions towers{options.dtype, vision_only, tokenizer, options.projector};
  const auto& write = entry_of(options.layout).write;
  if (is_single_file(path, options.layout)) return write(path, model, towers);
  write_folder(path, [&](const fs::path& folder) {
    write(folder, model, towers);
    const bool graphs = options.layout == Layout::kOnnx;  // which hold the region part themselves
    if (!vision_only && !graphs && (options.region_config || options.region_heads))
      write_region_part(folder, model, options);
    if (tokenizer == nullptr) return;
    save_tokenizer(*tokenizer, folder);
    auto copies = transformers_tokenizer_files(*tokenizer);
    if (options.layout == Layout::kHuggingFace && copies.empty())
      copies = bpe_pair_files(*tokenizer);
    for (const auto& file : copies) write_file(folder / file.name, file.bytes);
  });
}

}  // namespace opencloc
