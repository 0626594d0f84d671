#include "opencloc/mllm/llava_export.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/checkpoint/model_directory.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// GPT-2's names in a block, and whether its matrix lies the other way round: its Conv1D multiplies
// from the left.
struct InBlock {
  std::string_view ours, theirs;
  bool matrix;
};
constexpr std::array<InBlock, 12> kInBlock = {{
    {"ln_1.weight", "ln_1.weight", false},
    {"ln_1.bias", "ln_1.bias", false},
    {"attn.in_proj_weight", "attn.c_attn.weight", true},
    {"attn.in_proj_bias", "attn.c_attn.bias", false},
    {"attn.out_proj.weight", "attn.c_proj.weight", true},
    {"attn.out_proj.bias", "attn.c_proj.bias", false},
    {"ln_2.weight", "ln_2.weight", false},
    {"ln_2.bias", "ln_2.bias", false},
    {"mlp.c_fc.weight", "mlp.c_fc.weight", true},
    {"mlp.c_fc.bias", "mlp.c_fc.bias", false},
    {"mlp.c_proj.weight", "mlp.c_proj.weight", true},
    {"mlp.c_proj.bias", "mlp.c_proj.bias", false},
}};
constexpr std::string_view kLanguage = "language_model.", kBlocks = "transformer.resblocks.",
                           kProjector = "multi_modal_projector.";

// A weight of the language model (its name without kLanguage) as GPT-2's.
std::pair<std::string, torch::Tensor> as_gpt2(std::string_view name, const torch::Tensor& weight) {
  if (!name.starts_with(kBlocks)) return {std::string(name), weight};  // wte, wpe, ln_f
  name.remove_prefix(kBlocks.size());
  const size_t dot = name.find('.');
  for (const auto& [ours, theirs, matrix] : kInBlock) {
    if (name.substr(dot + 1) != ours) continue;
    return {"h." + std::string(name.substr(0, dot + 1)) + std::string(theirs),
            matrix ? weight.t().contiguous() : weight};
  }
  throw Error::failed("a weight without a name in GPT-2", std::string(name), "tell the authors");
}

NamedTensors llava_weights(const MllmModel& model, const fs::path& vision) {
  NamedTensors weights;
  for (const auto& [name, weight] : reader_weights(model)) {
    if (name.starts_with(kLanguage)) {
      const auto [gpt2, values] = as_gpt2(std::string_view(name).substr(kLanguage.size()), weight);
      weights.emplace_back("model.language_model." + gpt2, values);
    } else if (name.starts_with(kProjector)) {
      weights.emplace_back("model." + name, weight);
    }  // a source of regions has no room
  }
  weights.emplace_back("lm_head.weight", model.reader->language_model->words());
  const SafetensorsFile tower(vision / "model.safetensors");
  for (const auto& info : tower.tensors())
    weights.emplace_back("model.vision_tower." + info.name, tower.tensor(info));
  return weights;
}

Json gpt2_config(const MllmModel& model) {
  const LanguageConfig& language = model.settings.model.language;
  const int64_t end = model.tokenizer->end_id();
  return {{"model_type", "gpt2"},
          {"architectures", {"GPT2LMHeadModel"}},
          {"vocab_size", language.vocab_size},
          {"n_positions", language.context_length},
          {"n_embd", language.width},
          {"n_layer", language.layers},
          {"n_head", language.heads},
          {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", 1e-5},
          {"tie_word_embeddings", false},  // LLaVA ties to LLaMA's name of the table
          {"bos_token_id", end},
          {"eos_token_id", end}};
}

Json llava_config(const MllmModel& model, Json vision) {
  return {{"architectures", {"LlavaForConditionalGeneration"}},
          {"model_type", "llava"},
          {"image_token_index", model.settings.model.image_id},
          {"image_seq_length", model.vision->config().vision.patches()},
          {"projector_hidden_act", "gelu"},
          {"multimodal_projector_bias", true},
          {"vision_feature_layer", model.settings.vision_layer},
          {"vision_feature_select_strategy",
           model.vision->config().vision.class_token ? "default" : "full"},
          {"tie_word_embeddings", false},  // LLaVA ties to LLaMA's name of the table
          {"eos_token_id", model.tokenizer->end_id()},
          {"pad_token_id", model.tokenizer->pad_id()},
          {"text_config", gpt2_config(model)},
          {"vision_config", std::move(vision)},
          {"torch_dtype", "float32"}};
}

}  // namespace

void export_llava(const fs::path& folder, const MllmModel& model) {
  require_openai_clip(model.vision->config(), "LLaVA");
  if (model.settings.blind)
    throw Error::input("a model that does not see", "setting 'blind'",
                       "export one that was trained with its pictures");
  write_folder(folder, [&](const fs::path& into) {
    // The tower's own layout, of which the parts are taken.
    const fs::path vision = into / "vision";
    SaveOptions tower;
    tower.layout = Layout::kHuggingFace;
    tower.vision_only = true;
    save_model(vision, model.vision, tower);
    write_safetensors(into / "model.safetensors", llava_weights(model, vision), {{"format", "pt"}});
    write_file(into / "config.json",
               dump_json(llava_config(model, read_json(vision / "config.json")), 2) + '\n');
    fs::rename(vision / "preprocessor_config.json", into / "preprocessor_config.json");
    fs::remove_all(vision);
    const Json generation = {{"eos_token_id", model.tokenizer->end_id()},
                             {"pad_token_id", model.tokenizer->pad_id()},
                             {"do_sample", false}};
    write_file(into / "generation_config.json", dump_json(generation, 2) + '\n');
    for (const auto& file : model.tokenizer->files()) write_file(into / file.name, file.bytes);
  });
}

}  // namespace opencloc
