// Model configurations in open_clip's JSON form, with a `cloc` part of our own.
// The same description serves training and inference.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/image/canvas.h"

namespace opencloc {

// What becomes the image's embedding: the class token; the mean of the patch tokens; or what a
// learned query reads from all tokens (SigLIP's attention pooling head, timm's "map").
enum class ImagePool { kClassToken, kAverage, kMax, kAttention };

inline constexpr size_t kSeveralLayers = 3;

struct VisionConfig {
  int64_t image_size = 224;
  int64_t patch_size = 16;
  int64_t width = 768;
  int64_t layers = 12;
  int64_t head_width = 64;
  double mlp_ratio = 4.0;
  bool class_token = true;  // a learned token in front of the patches
  bool patch_bias = false;
  bool ln_pre = true;
  ImagePool pool = ImagePool::kClassToken;
  bool ln_post_after_pool = false;  // only with kAverage is it another model
  bool projection = true;           // D -> E; without it D = E
  bool projection_bias = false;
  // Rotary positions beside the learned ones (layers/rotary.h), for a grid of that many patches
  // along a side; 0: none. Another image size scales its places to it.
  int64_t rotary_grid = 0;
  // Heads and MLP of kAttention's pooling head where they are not the blocks'; 0: they are.
  int64_t map_heads = 0;
  double map_mlp_ratio = 0;
  // CoCa's attentional pooler: learned queries of width E read from all tokens. The first one's
  // answer becomes the image's embedding, the others' are what captions are written from.
  bool attentional_pool = false;
  int64_t attn_pooler_queries = 256;
  int64_t attn_pooler_heads = 8;
  bool gelu_tanh = false;
  double layer_norm_eps = 1e-5;

  int64_t heads() const { return width / head_width; }
  int64_t grid() const { return image_size / patch_size; }
  int64_t patches() const { return grid() * grid(); }  // N
  int64_t tokens() const { return (class_token ? 1 : 0) + patches(); }
  // After how many blocks the Prompter reads, where it reads several layers: the last one, the
  // second-to-last one, the middle one. Towers of few blocks have some of them twice.
  std::array<int64_t, kSeveralLayers> several_layers() const {
    return {layers, std::max<int64_t>(layers - 1, 0), layers / 2};
  }
  bool operator==(const VisionConfig&) const = default;
};

// The place a text is pooled at: the end token, or the first or the last of all T places, which
// padding fills (SigLIP: the last).
enum class TextPool { kEnd, kFirst, kLast };

struct TextConfig {
  int64_t context_length = 77;
  int64_t vocab_size = 49408;
  int64_t width = 512;
  int64_t heads = 8;
  int64_t layers = 12;
  double mlp_ratio = 4.0;
  // Id of the end-of-text token, whose first place is pooled (open_clip: pool_type "eos", eos_id).
  // -1: the place of the highest id (open_clip's "argmax": OpenAI's vocabulary).
  int64_t eos_id = -1;
  TextPool pool = TextPool::kEnd;
  bool causal = true;
  bool projection_bias = false;
  bool gelu_tanh = false;
  double layer_norm_eps = 1e-5;
  // CoCa: a learned token behind the text is pooled, whatever `pool` says. It sees the text without
  // its padding; without correct_cls_mask open_clip's published models, whose mask is one place
  // off: also the first padding token, and itself only behind a text that has no padding.
  bool embed_cls = false;
  bool correct_cls_mask = false;

  int64_t positions() const { return context_length + (embed_cls ? 1 : 0); }
  // May texts be cut after their end token? Else padding is part of the text.
  bool padding_is_ignored() const { return causal && pool != TextPool::kLast; }
};

inline constexpr int64_t kPadId = 0;  // of models with embed_cls, as in open_clip

// CoCa's decoder: as many blocks of causal self-attention as of attention to the image. Its
// vocabulary and length are the text tower's, its width is that of both towers' embeddings.
struct MultimodalConfig {
  int64_t width = 512;
  int64_t heads = 8;
  int64_t layers = 12;
};

inline constexpr double kInitialLogitScale = 2.659260036932778;  // log(1 / 0.07)

enum class Pool { kAll, kPrompt };
enum class RegionExtractor { kPrompter, kRoiAlign };
// What a box prompt's third token is: its centre and a linear map of both corners, or the mean of
// the encodings of all places of the box, whose window grows with the box.
enum class BoxEncoding { kCentre, kIntegrated };

// The Prompter and BoxHead (spec/cloc.md section 2).
struct ClocConfig {
  RegionExtractor region_extractor = RegionExtractor::kPrompter;
  Pool pool = Pool::kPrompt;
  bool joint_box_token = true;                      // a third box token
  BoxEncoding box_encoding = BoxEncoding::kCentre;  // what that is
  // The Prompter reads a learned sum of the layer norms of several of the tower's layers
  // (VisionConfig::several_layers), not the last layer's tokens as they are.
  bool several_layers = false;
  bool position_image_tokens = true;  // patch tokens carry the sinusoidal encoding of their centres
  double mlp_ratio = 4.0;
  // Patches along a side of the grid whose frequencies encode places: the grid of training, which a
  // model read at another image size keeps. 0: the model's own (a Cloc's config has the number).
  int64_t encoding_grid = 0;
  // A head that says how well a box holds one object (quality_head.h).
  bool quality_head = false;
  bool hard_negatives = false;  // a temperature for L_hard (ClocImpl::hard_negative_logit_scale)
};

struct PreprocessConfig {
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f};
  std::array<float, 3> std{0.26862954f, 0.26130258f, 0.27577711f};
  CanvasRule resize_mode = CanvasRule::kShortest;
  uint8_t fill_color = 0;
  bool bicubic = true;  // else bilinear
};

struct ModelConfig {
  std::string name;         // e.g. "ViT-B-16"; empty for a config read from a file
  int64_t embed_dim = 512;  // E
  bool quick_gelu = false;
  bool custom_text =
      false;  // open_clip's CustomTextCLIP: "text." in front of the text tower's names
  double init_logit_scale = kInitialLogitScale;
  // SigLIP's logit_bias: there is one, and the sigmoid loss trains the model.
  std::optional<double> init_logit_bias;
  VisionConfig vision;
  TextConfig text;
  std::optional<MultimodalConfig> multimodal;  // a captioner (CoCa)
  ClocConfig cloc;
  bool region_part = true;  // false: a plain CLIP, which builds no Prompter
  PreprocessConfig preprocess;

  int64_t encoding_grid() const {
    return cloc.encoding_grid > 0 ? cloc.encoding_grid : vision.grid();
  }

  // Throws Error (input) naming the key that makes no sense.
  void validate(std::string_view where) const;
};

// "ViT-B-16", ... or the path of a JSON file. Error (input) lists the known names.
ModelConfig load_model_config(const std::string& name_or_path);
// From a parsed file: {"model_cfg"?: {embed_dim, vision_cfg, text_cfg, quick_gelu?},
// "preprocess_cfg"?, "cloc"?} or open_clip's bare model_cfg. Unknown keys that would change the
// model are errors.
ModelConfig model_config_from_json(const Json& json, std::string_view where);
// {"model_cfg": {...}, "preprocess_cfg": {...}}: open_clip_config.json.
Json open_clip_config_json(const ModelConfig& config);
// The `cloc` part, for cloc_config.json and model files.
Json cloc_config_json(const ClocConfig& config);
ClocConfig cloc_config_from_json(const Json& json, std::string_view where);
std::vector<std::string> known_model_names();

// Would open_clip build this model from its configuration? Keys of our own are in it otherwise.
// (Towers that open_clip knows by their name in timm, timm_towers.h, are written so.)
bool open_clip_knows(const ModelConfig& config);

// Is it OpenAI's architecture, which transformers' CLIPModel and the GGUF files hold?
bool is_openai_clip(const ModelConfig& config);

const char* to_string(ImagePool pool);  // "tok", "avg", "map"
const char* to_string(TextPool pool);   // "argmax" (of kEnd), "first", "last"
const char* to_string(Pool pool);
const char* to_string(RegionExtractor extractor);
const char* to_string(BoxEncoding encoding);
const char* to_string(CanvasRule rule);

}  // namespace opencloc
