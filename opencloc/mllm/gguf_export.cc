#include "opencloc/mllm/gguf_export.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <spdlog/fmt/fmt.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/file/gguf.h"
#include "opencloc/checkpoint/layout/gguf_layout.h"
#include "opencloc/text/sentence_piece_pieces.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// GGUF's names in a block of GPT-2.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kGgufInBlock = {{
    {"ln_1.", "attn_norm."},
    {"attn.in_proj_", "attn_qkv."},
    {"attn.out_proj.", "attn_output."},
    {"ln_2.", "ffn_norm."},
    {"mlp.c_fc.", "ffn_up."},
    {"mlp.c_proj.", "ffn_down."},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kGgufSingles = {{
    {"wte.", "token_embd."},
    {"wpe.", "position_embd."},
    {"ln_f.", "output_norm."},
}};
constexpr std::string_view kReader = "language_model.", kReaderBlocks = "transformer.resblocks.";

// A weight of the language model, its name without kReader.
std::string gguf_name(std::string_view name) {
  const auto renamed = [&name](const auto& names, const std::string& before) {
    for (const auto& [ours, theirs] : names) {
      if (name.starts_with(ours))
        return before + std::string(theirs) + std::string(name.substr(ours.size()));
    }
    throw Error::failed("a weight without a name in GPT-2", std::string(name), "tell the authors");
  };
  if (!name.starts_with(kReaderBlocks)) return renamed(kGgufSingles, "");
  name.remove_prefix(kReaderBlocks.size());
  const size_t dot = name.find('.');
  const std::string block = "blk." + std::string(name.substr(0, dot + 1));
  name.remove_prefix(dot + 1);
  return renamed(kGgufInBlock, block);
}

using Keys = std::vector<std::pair<std::string, GgufOut>>;

// llama.cpp cuts a character without a piece into bytes, and stops where these have no pieces: they
// follow the tokenizer's, and mean what <unk> means.
constexpr int kByteValues = 256;

// llama.cpp has its own copy of SentencePiece's BPE: pieces with scores are all it wants. It does
// not fold case, as these models do, so the template writes what the model was taught. -> the id of
// <unk>
uint32_t add_tokenizer(Keys& keys, const Tokenizer& tokenizer) {
  const auto& files = tokenizer.files();
  if (files.empty() || !files[0].name.ends_with(".model"))
    throw Error::input("a tokenizer that llama.cpp has no words for", "tokenizer",
                       "export a model whose tokenizer is SentencePiece's");
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> kinds;
  uint32_t unknown = 0;
  for (const auto& piece : sentence_piece_pieces(files[0].bytes, files[0].name)) {
    if (piece.kind == PieceKind::kUnknown) unknown = static_cast<uint32_t>(texts.size());
    texts.push_back(piece.text);
    scores.push_back(piece.score);
    kinds.push_back(static_cast<int32_t>(piece.kind));
  }
  for (int byte = 0; byte < kByteValues; ++byte) {
    texts.push_back(fmt::format("<0x{:02X}>", byte));
    scores.push_back(0);
    kinds.push_back(static_cast<int32_t>(PieceKind::kByte));
  }
  const auto end = static_cast<uint32_t>(tokenizer.end_id());
  keys.emplace_back("tokenizer.ggml.model", std::string("llama"));
  keys.emplace_back("tokenizer.ggml.pre", std::string("default"));
  keys.emplace_back("tokenizer.ggml.tokens", std::move(texts));
  keys.emplace_back("tokenizer.ggml.scores", std::move(scores));
  keys.emplace_back("tokenizer.ggml.token_type", std::move(kinds));
  keys.emplace_back("tokenizer.ggml.bos_token_id", end);
  keys.emplace_back("tokenizer.ggml.eos_token_id", end);
  keys.emplace_back("tokenizer.ggml.unknown_token_id", unknown);
  keys.emplace_back("tokenizer.ggml.padding_token_id", static_cast<uint32_t>(tokenizer.pad_id()));
  keys.emplace_back("tokenizer.ggml.add_bos_token", false);
  keys.emplace_back("tokenizer.ggml.add_eos_token", false);
  keys.emplace_back("tokenizer.ggml.add_space_prefix", true);
  keys.emplace_back("tokenizer.chat_template",
                    std::string("{% for message in messages %}"
                                "{% if message['role'] == 'assistant' %}"
                                "{{ ' ' + message['content'] | lower + eos_token + ' ' }}"
                                "{% else %}"
                                "{{ 'user: ' + message['content'] | lower + ' assistant:' }}"
                                "{% endif %}"
                                "{% endfor %}"));
  return unknown;
}

void write_language_model(const fs::path& file, const MllmModel& model, Dtype dtype) {
  const LanguageConfig& language = model.settings.model.language;
  Keys keys;
  const auto number = [&keys](const char* key, int64_t value) {
    keys.emplace_back(std::string("gpt2.") + key, static_cast<uint32_t>(value));
  };
  keys.emplace_back("general.architecture", std::string("gpt2"));
  keys.emplace_back("general.name", std::string("OpenCLOC reader"));
  keys.emplace_back("general.file_type", gguf_layout::llama_file_type(dtype));
  number("context_length", language.context_length);
  number("embedding_length", language.width);
  number("feed_forward_length", 4 * language.width);
  number("block_count", language.layers);
  number("attention.head_count", language.heads);
  keys.emplace_back("gpt2.attention.layer_norm_epsilon", 1e-5F);
  const int64_t unknown = add_tokenizer(keys, *model.tokenizer);
  std::vector<GgufOutTensor> tensors;
  for (const auto& [name, weight] : reader_weights(model)) {
    if (!name.starts_with(kReader)) continue;
    const std::string stored = gguf_name(std::string_view(name).substr(kReader.size()));
    const auto values =  // the words [V, H], then those of the bytes
        stored == "token_embd.weight"
            ? torch::cat({weight, weight.slice(0, unknown, unknown + 1).repeat({kByteValues, 1})})
            : weight;
    tensors.push_back({stored, values, gguf_layout::stored_type(values, dtype)});
  }
  write_gguf(file, keys, tensors);
}

}  // namespace

void export_gguf(const fs::path& folder, const MllmModel& model, Dtype dtype) {
  if (model.settings.blind)
    throw Error::input("a model that does not see", "setting 'blind'",
                       "export one that was trained with its pictures");
  write_folder(folder, [&](const fs::path& into) {
    write_language_model(into / "model.gguf", model, dtype);
    const fs::path projector = into / "projector.safetensors";
    write_safetensors(projector, reader_weights(model), {});
    TowerOptions tower;
    tower.dtype = dtype;
    tower.vision_only = true;
    tower.projector = projector;
    tower.feature_layer = model.settings.vision_layer;
    gguf_layout::write(into / "mmproj.gguf", model.vision, tower);
    fs::remove(projector);
  });
}

}  // namespace opencloc
