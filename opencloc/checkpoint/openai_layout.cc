#include "opencloc/checkpoint/openai_layout.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/checkpoint/open_clip_layout.h"
#include "opencloc/checkpoint/weights.h"

namespace opencloc::openai_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kConfigKey = "open_clip_config";  // in the metadata of what we write
constexpr int64_t kHeadWidth = 64;
constexpr const char* kPatchEmbedding = "visual.conv1.weight";
constexpr const char* kResolution = "input_resolution";

bool is_weights_name(const fs::path& path) {
  constexpr std::string_view kEndings[] = {".safetensors", ".pt", ".pth", ".bin", ".ckpt"};
  const std::string ending = path.extension().string();
  return std::ranges::find(kEndings, ending) != std::end(kEndings) &&
         path.filename() != "cloc_heads.safetensors";
}

// The file of weights; empty for a directory with none, or several.
fs::path weights_of(const fs::path& path) {
  if (fs::is_regular_file(path)) return is_weights_name(path) ? path : fs::path();
  if (!fs::is_directory(path)) return {};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file() && is_weights_name(entry.path())) files.push_back(entry.path());
  }
  return files.size() == 1 ? files[0] : fs::path();
}

bool has_clip_names(const StoredTensors& weights) {
  return weights.find(kPatchEmbedding) != nullptr || weights.find("visual.layer1.0.conv1.weight");
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

}  // namespace

ModelConfig config_from_shapes(const StoredTensors& weights) {
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
  config.quick_gelu = weights.find(kResolution) != nullptr;
  config.vision.width = patches[0];
  config.vision.patch_size = patches[3];
  config.vision.image_size = grid * patches[3];
  config.vision.layers = count_blocks(weights, "visual.transformer.resblocks.");
  config.vision.head_width = kHeadWidth;
  if (patches[0] > 0)
    config.vision.mlp_ratio = static_cast<double>(mlp[0]) / static_cast<double>(patches[0]);
  config.text.context_length = text_places[0];
  config.text.vocab_size = tokens[0];
  config.text.width = tokens[1];
  config.text.heads = std::max<int64_t>(1, tokens[1] / kHeadWidth);
  config.text.layers = count_blocks(weights, "transformer.resblocks.");
  config.validate(weights.path());
  return config;
}

bool found(const fs::path& path) {
  const fs::path weights = weights_of(path);
  return !weights.empty() && has_clip_names(open_weights(weights));
}

Sources sources(const fs::path& path) {
  Sources files;
  files.weights = weights_of(path);
  if (!embedded_config(files.weights).is_null()) {
    files.note = "configuration from the file's metadata";
  } else if (fs::exists(config_beside(files.weights))) {
    files.config = config_beside(files.weights);
  } else {
    const bool openai = open_weights(files.weights).find(kResolution) != nullptr;
    files.note = std::string(
                     "architecture deduced from the shapes; heads taken as 64 wide, the "
                     "activation as ") +
                 (openai ? "quick_gelu, as OpenAI's all are"
                         : "gelu, as open_clip's are unless their name says quickgelu");
  }
  return files;
}

ModelConfig read_config(const fs::path& path) {
  const fs::path weights = weights_of(path);
  if (const Json json = embedded_config(weights); !json.is_null())
    return model_config_from_json(json, weights.string() + ": metadata");
  if (const fs::path beside = config_beside(weights); fs::exists(beside))
    return model_config_from_json(read_json(beside), beside.string());
  return config_from_shapes(open_weights(weights));
}

void load_towers(const fs::path& path, Cloc& model) {
  load_weights(open_weights(weights_of(path)), model->clip_weights(), stored_plainly,
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
