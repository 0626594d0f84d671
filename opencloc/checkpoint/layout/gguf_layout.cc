#include "opencloc/checkpoint/layout/gguf_layout.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/file/gguf.h"
#include "opencloc/checkpoint/layout/clip_names.h"
#include "opencloc/checkpoint/layout/gguf_projector.h"
#include "opencloc/checkpoint/layout/gguf_tokenizer.h"
#include "opencloc/checkpoint/layout/vision_only.h"

namespace opencloc::gguf_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "model.gguf";
constexpr const char* kProjection = "visual_projection.weight";
constexpr const char* kLogitScale = "opencloc.logit_scale";
constexpr double kTrainedLogitScale = 4.605170185988092;  // log(100): where CLIP's training ends
constexpr double kEpsilon = 1e-5;

// clip.cpp's files call the layer that widens ffn_down, llama.cpp's newer ones ffn_up, as the name
// says. llama.cpp reads both by their shapes, clip.cpp its own alone.
constexpr Renamed kSingles[] = {
    {"visual.class_embedding", "v.class_embd"},
    {"visual.conv1.weight", "v.patch_embd.weight"},
    {"visual.positional_embedding", "v.position_embd.weight"},
    {"visual.ln_pre.", "v.pre_ln."},
    {"visual.ln_post.", "v.post_ln."},
    {"visual.proj", kProjection},
    {"token_embedding.weight", "t.token_embd.weight"},
    {"positional_embedding", "t.position_embd.weight"},
    {"ln_final.", "t.post_ln."},
    {"text_projection", "text_projection.weight"},
};
constexpr Renamed kInBlock[] = {
    {"ln_1.", "ln1."},
    {"ln_2.", "ln2."},
    {"attn.out_proj.", "attn_out."},
    {"mlp.c_fc.", "ffn_up."},
    {"mlp.c_proj.", "ffn_down."},
};
constexpr Renamed kInBlockSwapped[] = {
    {"ln_1.", "ln1."},          {"ln_2.", "ln2."},          {"attn.out_proj.", "attn_out."},
    {"mlp.c_fc.", "ffn_down."}, {"mlp.c_proj.", "ffn_up."},
};
constexpr ClipNames kNames = {"GGUF",   kSingles, "v.blk.",
                              "t.blk.", kInBlock, {"attn_q.", "attn_k.", "attn_v."}};
constexpr ClipNames kSwappedNames = {"GGUF",   kSingles,        "v.blk.",
                                     "t.blk.", kInBlockSwapped, {"attn_q.", "attn_k.", "attn_v."}};

Naming naming(bool swapped) {
  return [swapped](const std::string& parameter) {
    return stored_as(swapped ? kSwappedNames : kNames, parameter);
  };
}

// The file; empty for a directory with none, or several.
fs::path file_of(const fs::path& path) {
  if (fs::is_regular_file(path)) return path.extension() == ".gguf" ? path : fs::path();
  if (!fs::is_directory(path)) return {};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file() && entry.path().extension() == ".gguf")
      files.push_back(entry.path());
  }
  return files.size() == 1 ? files[0] : fs::path();
}

void require(bool holds, const std::string& what, const std::string& where) {
  if (!holds) throw Error::input(what, where, "this model is not a CLIP that OpenCLOC implements");
}

struct Opened {
  explicit Opened(const fs::path& path)
      : file(open_gguf(file_of(path))),
        tensors(file->stored()),
        has_text(file->header().boolean("clip.has_text_encoder", false)) {
    const std::string& where = file->path();
    require(file->header().text("general.architecture", "") == "clip",
            "its architecture is not clip", where);
    require(file->header().boolean("clip.has_vision_encoder", false), "has no image tower", where);
    const std::string projector = file->header().text("clip.projector_type", "mlp");
    constexpr std::string_view kLlava[] = {"mlp", "mlp_norm", "ldp", "ldpv2"};
    require(std::ranges::find(kLlava, projector) != std::end(kLlava),
            "its projector is of type " + projector + ", of another family than CLIP's", where);
  }

  bool projected() const { return tensors.find(kProjection) != nullptr; }
  bool has_post_norm() const { return tensors.find("v.post_ln.weight") != nullptr; }
  bool swapped() const {
    const StoredTensor* down = tensors.find("v.blk.0.ffn_down.weight");
    if (down == nullptr || down->shape.size() != 2 || down->shape[0] == down->shape[1])
      return has_text;
    const StoredTensor* norm = tensors.find("v.blk.0.ln1.weight");
    return norm != nullptr && norm->shape.size() == 1 && down->shape[1] == norm->shape[0];
  }
  int64_t rows(const char* name) const {
    const StoredTensor* tensor = tensors.find(name);
    require(tensor != nullptr && tensor->shape.size() == 2, std::string("no ") + name,
            file->path());
    return tensor->shape[0];
  }

  std::shared_ptr<const GgufFile> file;
  StoredTensors tensors;
  bool has_text;
};

// What clip.vision.* and clip.text.* share.
struct Tower {
  int64_t width, mlp_width, layers, heads;
};
Tower tower(const GgufHeader& header, const std::string& part, const std::string& where) {
  const std::string key = "clip." + part + ".";
  Tower result{
      header.integer(key + "embedding_length", 0), header.integer(key + "feed_forward_length", 0),
      header.integer(key + "block_count", 0), header.integer(key + "attention.head_count", 0)};
  require(result.width > 0 && result.heads > 0 && result.width % result.heads == 0,
          key + "embedding_length is not a multiple of attention.head_count", where);
  const double epsilon = header.number(key + "attention.layer_norm_epsilon", kEpsilon);
  require(std::abs(epsilon - kEpsilon) < 1e-9, key + "attention.layer_norm_epsilon is not 1e-5",
          where);
  return result;
}

void read_floats(const GgufHeader& header, const char* key, std::array<float, 3>& values,
                 const std::string& where) {
  const auto numbers = header.numbers(key);
  if (numbers.empty()) return;
  require(numbers.size() == 3, std::string(key) + " is not three numbers", where);
  for (size_t i = 0; i < 3; ++i) values[i] = static_cast<float>(numbers[i]);
}

using Keys = std::vector<std::pair<std::string, GgufOut>>;

void add_number(Keys& keys, const std::string& key, int64_t value) {
  keys.emplace_back(key, static_cast<uint32_t>(value));
}

void add_tower(Keys& keys, const std::string& part, const Tower& tower) {
  const std::string key = "clip." + part + ".";
  add_number(keys, key + "embedding_length", tower.width);
  add_number(keys, key + "feed_forward_length", tower.mlp_width);
  add_number(keys, key + "block_count", tower.layers);
  add_number(keys, key + "attention.head_count", tower.heads);
  keys.emplace_back(key + "attention.layer_norm_epsilon", static_cast<float>(kEpsilon));
}

// LLaVA's projector reads a tower's tokens, so any pooling will do, and so will a tower without a
// class token.
void require_openai_tokens(const ModelConfig& config) {
  ModelConfig tokens = config;
  tokens.vision.class_token = true;
  tokens.vision.pool = ImagePool::kClassToken;
  tokens.text = placeholder_text();
  require_openai_clip(tokens, "GGUF layout");
}

GgufType matrix_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return GgufType::kF32;
    case Dtype::kF16:
      return GgufType::kF16;
    case Dtype::kBF16:
      return GgufType::kBF16;
    case Dtype::kQ8_0:
      break;
  }
  return GgufType::kQ8_0;
}

// clip.cpp has ggml's numbers of types there.
uint32_t clip_cpp_file_type(Dtype dtype) {
  return dtype == Dtype::kQ8_0 || dtype == Dtype::kBF16 ? static_cast<uint32_t>(matrix_type(dtype))
                                                        : llama_file_type(dtype);
}

Keys keys_of(const ModelConfig& config, const TowerOptions& options, int64_t projection_dim) {
  const bool llava = !options.projector.empty();
  Keys keys;
  keys.emplace_back("general.architecture", std::string("clip"));
  keys.emplace_back("clip.has_text_encoder", !options.vision_only);
  keys.emplace_back("clip.has_vision_encoder", true);
  keys.emplace_back("clip.has_llava_projector", llava);
  keys.emplace_back("general.file_type", options.vision_only ? llama_file_type(options.dtype)
                                                             : clip_cpp_file_type(options.dtype));
  keys.emplace_back("general.name", config.name.empty() ? std::string("CLIP") : config.name);
  keys.emplace_back("general.description",
                    std::string(llava                 ? "image encoder for LLaVA"
                                : options.vision_only ? "vision-only CLIP model"
                                                      : "two-tower CLIP model"));
  if (options.dtype == Dtype::kQ8_0) add_number(keys, "general.quantization_version", 2);
  if (llava) keys.emplace_back("clip.projector_type", std::string("mlp"));
  if (!options.vision_only) {
    add_number(keys, "clip.text.context_length", config.text.context_length);
    add_number(keys, "clip.text.projection_dim", config.embed_dim);
    add_tower(keys, "text",
              {config.text.width, 4 * config.text.width, config.text.layers, config.text.heads});
  }
  add_number(keys, "clip.vision.image_size", config.vision.image_size);
  add_number(keys, "clip.vision.patch_size", config.vision.patch_size);
  add_number(keys, "clip.vision.projection_dim", projection_dim);
  const auto mlp_width =
      std::llround(config.vision.mlp_ratio * static_cast<double>(config.vision.width));
  add_tower(keys, "vision",
            {config.vision.width, mlp_width, config.vision.layers, config.vision.heads()});
  if (llava) {
    // So many blocks are run, whatever a reader makes of block_count.
    keys.emplace_back("clip.vision.feature_layer",
                      std::vector<int32_t>{
                          static_cast<int32_t>(config.vision.layers + 1 + options.feature_layer)});
  }
  const auto& preprocess = config.preprocess;
  keys.emplace_back("clip.vision.image_mean",
                    std::vector<float>(preprocess.mean.begin(), preprocess.mean.end()));
  keys.emplace_back("clip.vision.image_std",
                    std::vector<float>(preprocess.std.begin(), preprocess.std.end()));
  keys.emplace_back("clip.use_gelu", !config.quick_gelu);
  keys.emplace_back("opencloc.resize_mode", std::string(to_string(preprocess.resize_mode)));
  add_number(keys, "opencloc.fill_color", preprocess.fill_color);
  keys.emplace_back("opencloc.interpolation",
                    std::string(preprocess.bicubic ? "bicubic" : "bilinear"));
  return keys;
}

}  // namespace

GgufType stored_type(const torch::Tensor& values, Dtype dtype) {
  if (values.dim() < 2) return GgufType::kF32;
  if (values.dim() > 2) return dtype == Dtype::kF32 ? GgufType::kF32 : GgufType::kF16;
  return matrix_type(dtype);
}

uint32_t llama_file_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return 0;
    case Dtype::kF16:
      return 1;
    case Dtype::kBF16:
      return 32;
    case Dtype::kQ8_0:
      break;
  }
  return 7;
}

bool found(const fs::path& path) {
  const fs::path file = file_of(path);
  return !file.empty() && open_gguf(file)->header().text("general.architecture", "") == "clip";
}

Sources sources(const fs::path& path) {
  const Opened opened(path);
  Sources files;
  files.weights = file_of(path);
  files.vision_only = !opened.has_text;
  files.note = opened.has_text ? "clip.cpp's two towers" : "an image tower alone";
  if (opened.tensors.find("mm.0.weight") != nullptr)
    files.note += " with LLaVA's projector (llama.cpp's mmproj), which OpenCLOC does not use";
  if (!opened.has_post_norm())
    files.note += "; without the last norm, which LLaVA has no use for: read as the identity";
  const GgufHeader& header = opened.file->header();
  if (header.find("clip.use_gelu") == nullptr && header.find("clip.use_silu") == nullptr)
    files.assumed.emplace_back("no key says its activation: taken as quick_gelu, as in llama.cpp");
  if (header.find("clip.vision.image_mean") == nullptr ||
      header.find("clip.vision.image_std") == nullptr) {
    files.assumed.emplace_back("no key says the pictures' mean or std: taken as CLIP's");
  }
  return files;
}

ModelConfig read_config(const fs::path& path) {
  const Opened opened(path);
  const GgufHeader& header = opened.file->header();
  const std::string& where = opened.file->path();
  require(!header.boolean("clip.use_silu", false), "its activation is SiLU", where);
  ModelConfig config;
  config.quick_gelu = !header.boolean("clip.use_gelu", false);

  const Tower vision = tower(header, "vision", where);
  config.vision.image_size = header.integer("clip.vision.image_size", 0);
  config.vision.patch_size = header.integer("clip.vision.patch_size", 0);
  config.vision.width = vision.width;
  config.vision.layers = vision.layers;
  config.vision.head_width = vision.width / vision.heads;
  config.vision.mlp_ratio =
      static_cast<double>(vision.mlp_width) / static_cast<double>(vision.width);
  config.embed_dim = opened.projected() ? opened.rows(kProjection) : vision.width;

  config.text = placeholder_text();
  if (opened.has_text) {
    const Tower text = tower(header, "text", where);
    require(text.mlp_width == 4 * text.width,
            "clip.text.feed_forward_length is not 4 times embedding_length", where);
    config.text = {.context_length = header.integer("clip.text.context_length", 0),
                   .vocab_size = opened.rows("t.token_embd.weight"),
                   .width = text.width,
                   .heads = text.heads,
                   .layers = text.layers,
                   .eos_id = header.integer("opencloc.eos_id", -1)};
  }
  auto& preprocess = config.preprocess;
  read_floats(header, "clip.vision.image_mean", preprocess.mean, where);
  read_floats(header, "clip.vision.image_std", preprocess.std, where);
  const std::string mode = header.text("opencloc.resize_mode", to_string(preprocess.resize_mode));
  for (const auto rule : {CanvasRule::kLongest, CanvasRule::kShortest, CanvasRule::kSquash}) {
    if (mode == to_string(rule)) preprocess.resize_mode = rule;
  }
  preprocess.fill_color =
      static_cast<uint8_t>(std::clamp<int64_t>(header.integer("opencloc.fill_color", 0), 0, 255));
  preprocess.bicubic = header.text("opencloc.interpolation", "bicubic") != "bilinear";
  config.validate(where);
  return config;
}

void load_towers(const fs::path& path, Cloc& model) {
  const Opened opened(path);
  const auto ignored = [](const std::string& name) {
    return name.starts_with("mm.") || name == "model.image_newline" || name == "v.image_newline";
  };
  auto weights = opened.has_text ? NamedTensors(model->clip_weights())
                                 : vision_weights(model, {.with_projection = opened.projected()});
  std::erase_if(weights, [&](const auto& item) {
    return item.first == "logit_scale" ||
           (!opened.has_post_norm() && item.first.starts_with("visual.ln_post."));
  });
  load_weights(opened.tensors, weights, naming(opened.swapped()), ignored);
  const torch::NoGradGuard no_grad;
  model->logit_scale.fill_(opened.file->header().number(kLogitScale, kTrainedLogitScale));
  if (!opened.projected()) project_plainly(model);
  if (!opened.has_post_norm()) {
    for (auto& [name, value] : model->clip_weights()) {
      if (name == "visual.ln_post.weight") value.fill_(1);
      if (name == "visual.ln_post.bias") value.zero_();
    }
  }
}

std::shared_ptr<const Tokenizer> read_tokenizer(const fs::path& path) {
  const Opened opened(path);
  return opened.has_text ? gguf_tokenizer(opened.file->header(), opened.file->path()) : nullptr;
}

void write(const fs::path& path, const Cloc& model, const TowerOptions& options) {
  const auto& config = model->config();
  if (options.projector.empty()) {
    require_openai_clip(config, "GGUF layout");
  } else {
    require_openai_tokens(config);
  }
  std::vector<GgufOutTensor> tensors;
  int64_t projection_dim = config.embed_dim;
  if (!options.projector.empty()) {
    tensors = read_projector(options.projector, config.vision.width, matrix_type(options.dtype));
    projection_dim = tensors[0].values.size(0);
  }
  auto weights = options.vision_only
                     ? vision_weights(model, {.with_projection = options.projector.empty()})
                     : NamedTensors(model->clip_weights());
  // llama.cpp would apply the last norm, if it were there; LLaVA's features come from before it.
  std::erase_if(weights, [&](const auto& item) {
    return item.first == "logit_scale" ||
           (!options.projector.empty() && item.first.starts_with("visual.ln_post."));
  });
  const bool swapped = !options.vision_only;
  for (const auto& [name, value] : stored_weights(weights, naming(swapped)))
    tensors.push_back({name, value, stored_type(value, options.dtype)});

  Keys keys = keys_of(config, options, projection_dim);
  if (!options.vision_only) {
    keys.emplace_back(kLogitScale, model->logit_scale.item<float>());
    if (config.text.eos_id >= 0) add_number(keys, "opencloc.eos_id", config.text.eos_id);
    if (options.tokenizer != nullptr) {
      for (auto& key : gguf_tokenizer_keys(*options.tokenizer)) keys.push_back(std::move(key));
    }
  }
  write_gguf(fs::is_directory(path) ? path / kFile : path, keys, tensors);
}

}  // namespace opencloc::gguf_layout
