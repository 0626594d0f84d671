#include "opencloc/checkpoint/layout/openai_layout.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/checkpoint/layout/known_heads.h"
#include "opencloc/checkpoint/layout/open_clip_layout.h"
#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/checkpoint/layout/wrapped_names.h"

namespace opencloc::openai_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kConfigKey = "open_clip_config";  // in the metadata of what we write
constexpr int64_t kHeadWidth = 64;
constexpr const char* kPatchEmbedding = "visual.conv1.weight";
constexpr const char* kResolution = "input_resolution";
const std::initializer_list<std::string_view> kAnchors = {"visual.conv1.weight",
                                                          "visual.layer1.0.conv1.weight"};
constexpr int64_t kOpenAiWidths[] = {768, 1024};  // of the image towers OpenAI published

bool is_weights_name(const fs::path& path) {
  constexpr std::string_view kEndings[] = {".safetensors", ".pt", ".pth", ".bin", ".ckpt"};
  const std::string ending = path.extension().string();
  return std::ranges::find(kEndings, ending) != std::end(kEndings) &&
         path.filename() != "cloc_heads.safetensors";
}

// The weights under open_clip's names, without what training code put before them, and without
// the "text." of open_clip's CustomTextCLIP.
StoredTensors open_clip_weights(const fs::path& path) {
  const StoredTensors weights = without_wrappers(open_weights(path), kAnchors);
  if (weights.find("text.token_embedding.weight") == nullptr) return weights;
  constexpr std::string_view kText = "text.";
  return weights.renamed([&](const std::string& name) {
    return name.starts_with(kText) ? name.substr(kText.size()) : name;
  });
}

bool has_clip_names(const fs::path& path) { return has_wrapped(open_weights(path), kAnchors); }

// Of several files: one that cannot be read as weights (an optimizer's state) is no model.
bool may_be_clip(const fs::path& path) {
  try {
    return has_clip_names(path);
  } catch (const Error&) {
    return false;
  }
}

// The file of weights; empty for a directory with none, or several.
fs::path weights_of(const fs::path& path) {
  const auto files = candidates(path);
  return files.size() == 1 ? files[0] : fs::path();
}

// Numbers of blocks "PREFIXN.SUFFIX".
int64_t count_blocks(const StoredTensors& weights, const std::string& prefix) {
  int64_t count = 0;
  while (weights.find(prefix + std::to_string(count) + ".attn.in_proj_weight") != nullptr) ++count;
  return count;
}

std::vector<int64_t> shape_of(const StoredTensors& weights, const std::string& name, size_t dims) {
  const StoredTensor* tensor = weights.find(name);
  if (tensor == nullptr || tensor->shape.size() != dims) {
    throw Error::input("no " + name + " of " + std::to_string(dims) + " dimensions", weights.path(),
                       "name a whole CLIP: both towers under open_clip's names");
  }
  return tensor->shape;
}

// The configuration we put into safetensors files; null when there is none.
Json embedded_config(const fs::path& path) {
  if (path.extension() != ".safetensors") return nullptr;
  const std::string text = SafetensorsFile(path).metadata(kConfigKey);
  return text.empty() ? Json(nullptr) : parse_json(text, path.string() + ": metadata");
}

fs::path config_beside(const fs::path& weights) {
  return weights.parent_path() / "open_clip_config.json";
}

void warn_of_other_readers(const ModelConfig& config) {
  const bool heads_fit = config.vision.head_width == kHeadWidth &&
                         config.text.heads == std::max<int64_t>(1, config.text.width / kHeadWidth);
  std::string wrong;
  if (!config.quick_gelu) wrong = "gelu (OpenAI's code computes quick_gelu)";
  if (!heads_fit) wrong += std::string(wrong.empty() ? "" : ", ") + "heads that are not 64 wide";
  if (config.vision.mlp_ratio != 4.0) wrong += std::string(wrong.empty() ? "" : ", ") + "mlp_ratio";
  if (wrong.empty()) return;
  log::warn(
      "OpenAI's layout has no words for {}: OpenCLOC reads it from the file's metadata, "
      "OpenAI's own code would compute something else",
      wrong);
}

// Neither the shapes nor the known architectures say it.
[[noreturn]] void refuse_heads(const StoredTensors& weights, const char* tower, int64_t width) {
  throw Error::input(
      "no configuration says how many heads its " + std::string(tower) + " has, and its width of " +
          std::to_string(width) + " is no known architecture's",
      weights.path(),
      "name it with the setting 'architecture=NAME', or FILE.json with its model_cfg, or put "
      "its open_clip_config.json beside");
}

// Heads by the width of the tower: OpenAI's own are 64 wide; the widths of open_clip's larger ones
// are known; else there is no telling.
void guess_heads(const StoredTensors& weights, ModelConfig& config,
                 std::vector<std::string>& assumed) {
  const bool openai = weights.find(kResolution) != nullptr;
  const int64_t width = config.vision.width, text_width = config.text.width;
  if (openai && std::ranges::find(kOpenAiWidths, width) != std::end(kOpenAiWidths)) {
    config.vision.head_width = kHeadWidth;
    config.text.heads = std::max<int64_t>(1, text_width / kHeadWidth);
    return;
  }
  const auto vision = known_vision_heads(width), text = known_text_heads(text_width);
  if (!vision && (!openai || width % kHeadWidth != 0)) refuse_heads(weights, "image tower", width);
  if (!text && (!openai || text_width % kHeadWidth != 0))
    refuse_heads(weights, "text tower", text_width);
  const KnownHeads rule{kHeadWidth, "as in OpenAI's models"};
  const KnownHeads of_vision = vision.value_or(rule), of_text = text.value_or(rule);
  config.vision.head_width = of_vision.head_width;
  config.text.heads = text_width / of_text.head_width;
  assumed.push_back("no configuration says how many heads it has: taken as heads of " +
                    std::to_string(of_vision.head_width) + " in the image tower of width " +
                    std::to_string(width) + " (" + of_vision.why + "), of " +
                    std::to_string(of_text.head_width) + " in the text tower of width " +
                    std::to_string(text_width) + " (" + of_text.why + ")");
}

// "ViT-B-32-quickgelu-laion400m_e32.pt".
bool says_quick_gelu(const std::string& path) {
  std::string name = fs::path(path).filename().string();
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::erase_if(name, [](char c) { return c == '-' || c == '_'; });
  return name.find("quickgelu") != std::string::npos;
}

void guess_activation(const StoredTensors& weights, ModelConfig& config,
                      std::vector<std::string>& assumed) {
  const bool openai = weights.find(kResolution) != nullptr;
  const bool named = says_quick_gelu(weights.path());
  config.quick_gelu = openai || named;
  if (openai) return;
  assumed.push_back(std::string("no configuration says its activation: taken as ") +
                    (named ? "quick_gelu, as its name says"
                           : "gelu, as open_clip's are unless their name says quickgelu"));
}

}  // namespace

ModelConfig config_from_shapes(const StoredTensors& weights, const ModelHints& hints,
                               std::vector<std::string>& assumed) {
  if (weights.find("visual.layer1.0.conv1.weight") != nullptr) {
    throw Error::input("its image tower is a ResNet, which OpenCLOC has not", weights.path(),
                       "use a vision transformer: ViT-B-32, ViT-B-16, ViT-L-14, ...");
  }
  const auto patches = shape_of(weights, kPatchEmbedding, 4);               // [D, 3, P, P]
  const auto places = shape_of(weights, "visual.positional_embedding", 2);  // [1+N, D]
  const auto mlp = shape_of(weights, "visual.transformer.resblocks.0.mlp.c_fc.weight", 2);
  const auto tokens = shape_of(weights, "token_embedding.weight", 2);     // [V, D]
  const auto text_places = shape_of(weights, "positional_embedding", 2);  // [T, D]
  const auto grid = static_cast<int64_t>(
      std::lround(std::sqrt(static_cast<double>(std::max<int64_t>(places[0] - 1, 0)))));
  ModelConfig config;
  config.embed_dim = shape_of(weights, "text_projection", 2)[1];
  config.vision.width = patches[0];
  config.vision.patch_size = patches[3];
  config.vision.image_size = grid * patches[3];
  config.vision.layers = count_blocks(weights, "visual.transformer.resblocks.");
  if (patches[0] > 0)
    config.vision.mlp_ratio = static_cast<double>(mlp[0]) / static_cast<double>(patches[0]);
  config.text.context_length = text_places[0];
  config.text.vocab_size = tokens[0];
  config.text.width = tokens[1];
  config.text.layers = count_blocks(weights, "transformer.resblocks.");
  if (!hints.architecture.empty()) {
    apply_architecture(hints.architecture, weights.path(), config);
  } else {
    guess_heads(weights, config, assumed);
    guess_activation(weights, config, assumed);
    if (!assumed.empty())
      assumed.emplace_back(
          "no configuration says how pictures are prepared: taken as CLIP's (its mean and std, cut "
          "to a square, bicubic)");
  }
  config.validate(weights.path());
  return config;
}

std::vector<fs::path> candidates(const fs::path& path) {
  if (fs::is_regular_file(path)) {
    if (is_weights_name(path)) return {path};
    return {};
  }
  if (!fs::is_directory(path)) return {};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file() && is_weights_name(entry.path())) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  if (files.size() > 1) std::erase_if(files, [](const auto& file) { return !may_be_clip(file); });
  return files;
}

bool found(const fs::path& path) {
  const fs::path weights = weights_of(path);
  return !weights.empty() && has_clip_names(weights);
}

Sources sources(const fs::path& path, const ModelHints& hints) {
  Sources files;
  files.weights = weights_of(path);
  const StoredTensors weights = open_clip_weights(files.weights);
  if (!embedded_config(files.weights).is_null()) {
    files.note = "configuration from the file's metadata";
  } else if (fs::exists(config_beside(files.weights))) {
    files.config = config_beside(files.weights);
  } else {
    const bool openai = weights.find(kResolution) != nullptr;
    const auto config = config_from_shapes(weights, hints, files.assumed);
    files.note = "architecture deduced from the shapes";
    if (!hints.architecture.empty()) {
      files.note += "; heads, activation and preprocessing as in " + hints.architecture;
    } else {
      files.note += std::string("; the activation taken as ") +
                    (config.quick_gelu ? "quick_gelu" : "gelu") +
                    (openai ? ", as OpenAI's all are" : "");
    }
  }
  if (!weights.note().empty()) files.assumed.push_back(weights.note());
  return files;
}

ModelConfig read_config(const fs::path& path, const ModelHints& hints) {
  const fs::path weights = weights_of(path);
  const Json embedded = embedded_config(weights);
  const fs::path beside = config_beside(weights);
  if (embedded.is_null() && !fs::exists(beside)) {
    std::vector<std::string> assumed;  // told by sources()
    return config_from_shapes(open_clip_weights(weights), hints, assumed);
  }
  if (!embedded.is_null()) return model_config_from_json(embedded, weights.string() + ": metadata");
  return model_config_from_json(read_json(beside), beside.string());
}

void load_towers(const fs::path& path, Cloc& model) {
  load_weights(open_clip_weights(weights_of(path)), model->clip_weights(), stored_plainly,
               open_clip_layout::no_parameter);
}

void write(const fs::path& path, const Cloc& model, const TowerOptions& options) {
  const auto& config = model->config();
  require_openai_clip(config, "OpenAI layout");
  warn_of_other_readers(config);
  auto tensors = cast(stored_weights(model->clip_weights(), stored_plainly), options.dtype);
  tensors.emplace_back(kResolution, torch::tensor(config.vision.image_size));
  tensors.emplace_back("context_length", torch::tensor(config.text.context_length));
  tensors.emplace_back("vocab_size", torch::tensor(config.text.vocab_size));
  write_safetensors(
      fs::is_directory(path) ? path / kWeightsFile : path, tensors,
      {{"format", "pt"}, {kConfigKey, dump_json(open_clip_config_json(model->config()))}});
}

}  // namespace opencloc::openai_layout
