// GGUF files, read back by ourselves and by an independent reader in Python (read_gguf.py).
#include "opencloc/checkpoint/file/gguf.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>

#include <gmock/gmock.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/layout/gguf_tokenizer.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/text/clip_bpe.h"
#include "opencloc/text/sentence_piece.h"
#include "tests/base/temp_folder.h"
#include "tests/text/small_vocabulary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::TestFolder;
using ::testing::HasSubstr;

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  std::array<char, 1 << 16> block;
  for (size_t got; (got = std::fread(block.data(), 1, block.size(), pipe)) > 0;)
    out.append(block.data(), got);
  EXPECT_EQ(::pclose(pipe), 0) << command;
  return out;
}

class Gguf : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c 'import json' >/dev/null 2>&1") != 0)
      GTEST_SKIP() << "no python3 on this machine";
    ModelConfig config;
    config.name = "small";
    config.embed_dim = 32;
    config.vision = {.image_size = 32, .patch_size = 8, .width = 64, .layers = 2, .head_width = 16};
    config.text = {.context_length = 9, .vocab_size = 40, .width = 32, .heads = 4, .layers = 2};
    torch::manual_seed(5);
    model_ = Cloc(config);
    const torch::NoGradGuard no_grad;
    for (auto& weight : model_->parameters()) weight.add_(0.2 * torch::randn_like(weight));
    SaveOptions options;
    options.layout = Layout::kHuggingFace;
    save_model(folder_ / "hf", model_, options);
  }
  Json reread(const SaveOptions& options) const {
    const fs::path path = folder_ / "m.gguf";
    save_model(path, model_, options);
    return parse_json(output_of("python3 " + std::string(OPENCLOC_SOURCE_DIR) +
                                "/tests/checkpoint/read_gguf.py " + path.string() + " " +
                                (folder_ / "hf").string()),
                      "read_gguf.py");
  }
  static SaveOptions gguf(Dtype dtype) {
    SaveOptions options;
    options.layout = Layout::kGguf;
    options.dtype = dtype;
    return options;
  }
  TestFolder folder_;
  Cloc model_{nullptr};
};

TEST_F(Gguf, TwoTowersAreClipCpps) {
  const Json found = reread(gguf(Dtype::kF32));
  EXPECT_EQ(found["version"], 3);
  EXPECT_EQ(found["missing"], Json::array());
  EXPECT_EQ(found["different"], Json::array());
  // All of CLIPModel but logit_scale: clip.cpp counts 397 for ViT-B.
  EXPECT_EQ(found["compared"], (2 + 2) * 16 + 13);
  EXPECT_EQ(found["tensors"].size(), (2 + 2) * 16 + 13u);
  const Json& keys = found["keys"];
  const Json wanted = {{"general.architecture", "clip"},
                       {"clip.has_text_encoder", true},
                       {"clip.has_vision_encoder", true},
                       {"clip.has_llava_projector", false},
                       {"general.file_type", 0},
                       {"general.name", "small"},
                       {"general.description", "two-tower CLIP model"},
                       {"clip.text.context_length", 9},
                       {"clip.text.embedding_length", 32},
                       {"clip.text.feed_forward_length", 128},
                       {"clip.text.projection_dim", 32},
                       {"clip.text.attention.head_count", 4},
                       {"clip.text.block_count", 2},
                       {"clip.vision.image_size", 32},
                       {"clip.vision.patch_size", 8},
                       {"clip.vision.embedding_length", 64},
                       {"clip.vision.feed_forward_length", 256},
                       {"clip.vision.projection_dim", 32},
                       {"clip.vision.attention.head_count", 4},
                       {"clip.vision.block_count", 2},
                       {"clip.use_gelu", true}};
  for (const auto& [key, value] : wanted.items()) EXPECT_EQ(keys[key], value) << key;
  EXPECT_NEAR(keys["clip.vision.attention.layer_norm_epsilon"].get<double>(), 1e-5, 1e-9);
  EXPECT_NEAR(keys["clip.vision.image_mean"][1].get<double>(), 0.4578275, 1e-7);
}

TEST_F(Gguf, HalfAndEightBitsAreWithinTheirRounding) {
  for (const auto& [dtype, type, largest] :
       {std::tuple{Dtype::kF16, "F16", 1.0}, std::tuple{Dtype::kBF16, "BF16", 1.0},
        std::tuple{Dtype::kQ8_0, "Q8_0", 0.5 + 127.0 / 2048}}) {
    const Json found = reread(gguf(dtype));
    EXPECT_EQ(found["different"], Json::array());
    EXPECT_EQ(found["missing"], Json::array());
    EXPECT_LE(found["largest"][type].get<double>(), largest) << type;
    EXPECT_GT(found["largest"][type].get<double>(), 0) << type;
    EXPECT_EQ(found["tensors"]["v.blk.0.attn_q.weight"]["type"], type);
    EXPECT_EQ(found["tensors"]["t.token_embd.weight"]["type"], type);
    EXPECT_EQ(found["tensors"]["v.patch_embd.weight"]["type"], "F16");
    EXPECT_EQ(found["tensors"]["v.blk.0.attn_q.bias"]["type"], "F32");
    EXPECT_EQ(found["keys"].contains("general.quantization_version"), dtype == Dtype::kQ8_0);
  }
}

TEST_F(Gguf, AnImageTowerWithLlavasProjectorIsAnMmproj) {
  const auto first = torch::randn({96, 64}), second = torch::randn({96, 96});
  write_safetensors(folder_ / "projector.safetensors",
                    {{"model.mm_projector.0.weight", first},
                     {"model.mm_projector.0.bias", torch::randn({96})},
                     {"model.mm_projector.2.weight", second},
                     {"model.mm_projector.2.bias", torch::randn({96})}});
  auto options = gguf(Dtype::kF32);
  options.vision_only = true;
  options.projector = folder_ / "projector.safetensors";
  const Json found = reread(options);
  EXPECT_EQ(found["different"], Json::array());
  std::set<std::string> missing;  // what LLaVA does not use
  for (const auto& name : found["missing"]) {
    if (!name.get<std::string>().starts_with("text_")) missing.insert(name.get<std::string>());
  }
  EXPECT_EQ(missing, (std::set<std::string>{"vision_model.post_layernorm.weight",
                                            "vision_model.post_layernorm.bias",
                                            "visual_projection.weight"}));
  EXPECT_EQ(found["tensors"].size(), 2 * 16 + 5 + 4u);
  EXPECT_EQ(found["tensors"]["mm.0.weight"]["shape"], Json({96, 64}));
  EXPECT_EQ(found["tensors"]["mm.2.bias"]["shape"], Json({96}));
  EXPECT_EQ(found["tensors"]["v.blk.1.ffn_up.weight"]["shape"], Json({256, 64}));
  EXPECT_EQ(found["tensors"]["v.blk.1.ffn_down.weight"]["shape"], Json({64, 256}));
  EXPECT_EQ(found["keys"]["clip.has_llava_projector"], true);
  EXPECT_EQ(found["keys"]["clip.projector_type"], "mlp");
  EXPECT_EQ(found["keys"]["clip.vision.block_count"], 2);
  EXPECT_EQ(found["keys"]["clip.vision.feature_layer"], Json({1}));
  EXPECT_EQ(found["keys"]["clip.has_text_encoder"], false);

  // Read back: the same features from below the last norm.
  const torch::NoGradGuard no_grad;
  auto loaded = load_model(folder_ / "m.gguf");
  EXPECT_TRUE(loaded.vision_only);
  const auto pixels = torch::randn({1, 3, 32, 32});
  EXPECT_TRUE(
      torch::equal(loaded.model->encode_image(pixels).tokens, model_->encode_image(pixels).tokens));
}

// llama.cpp's and clip.cpp's names of the two MLP layers, whatever the file's kind.
TEST_F(Gguf, FeedForwardLayersAreToldByTheirShapes) {
  auto options = gguf(Dtype::kF32);
  options.vision_only = true;
  save_model(folder_ / "v.gguf", model_, options);
  const auto file = open_gguf(folder_ / "v.gguf");
  std::vector<GgufOutTensor> tensors;
  const auto stored = file->stored();
  for (const auto& tensor : stored.tensors()) {
    std::string name = tensor.name;
    if (const size_t at = name.find("ffn_"); at != std::string::npos)
      name = name.substr(0, at) + (name.find("ffn_up") == at ? "ffn_down" : "ffn_up") +
             name.substr(name.rfind('.'));
    tensors.push_back({name, tensor.read(), GgufType::kF32});
  }
  std::vector<std::pair<std::string, GgufOut>> keys;
  for (const char* key : {"clip.vision.image_size", "clip.vision.patch_size",
                          "clip.vision.embedding_length", "clip.vision.feed_forward_length",
                          "clip.vision.block_count", "clip.vision.attention.head_count"})
    keys.emplace_back(key, static_cast<uint32_t>(file->header().integer(key, 0)));
  keys.emplace_back("general.architecture", std::string("clip"));
  keys.emplace_back("clip.has_vision_encoder", true);
  keys.emplace_back("clip.use_gelu", true);
  write_gguf(folder_ / "old.gguf", keys, tensors);
  const auto wanted = load_model(folder_ / "v.gguf").model->clip_weights();
  const auto found = load_model(folder_ / "old.gguf").model->clip_weights();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i].first.starts_with("visual.")) continue;
    EXPECT_TRUE(torch::equal(found[i].second, wanted[i].second)) << wanted[i].first;
  }
}

TEST(GgufTokenizer, BytePairsComeBackWithAndWithoutMerges) {
  const TestFolder folder;
  write_file(folder / "bpe_simple_vocab.txt", small_merges());
  const auto tokenizer = load_tokenizer(folder / "bpe_simple_vocab.txt");
  auto keys = gguf_tokenizer_keys(*tokenizer);
  for (const bool with_merges : {true, false}) {
    if (!with_merges)
      std::erase_if(keys, [](const auto& key) { return key.first.ends_with("merges"); });
    write_gguf(folder / "t.gguf", keys, {});
    const auto file = open_gguf(folder / "t.gguf");
    const auto found = gguf_tokenizer(file->header(), "t.gguf");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->vocab_size(), tokenizer->vocab_size());
    EXPECT_EQ(found->end_id(), tokenizer->end_id());
    for (const char* text : {"hello", "the red low newer lowest widest", "ünïcode 123!"})
      EXPECT_EQ(found->encode(text), tokenizer->encode(text)) << text;
    ASSERT_EQ(found->files().size(), 2u);
    EXPECT_EQ(found->files()[0].name, "vocab.json");
    save_tokenizer(*found, folder / "saved");
    EXPECT_EQ(load_tokenizer(folder / "saved")->encode("lower"), tokenizer->encode("lower"));
  }
}

// All 48,894 merges of CLIP's vocabulary follow from its tokens.
TEST(GgufTokenizer, ClipsMergesFollowFromTheirOrder) {
  const char* given = std::getenv("OPENCLOC_TEST_DATA");
  const fs::path path =
      (given != nullptr ? fs::path(given)
                        : fs::path(OPENCLOC_SOURCE_DIR).parent_path() / "shared") /
      "data/clip/bpe_simple_vocab_16e6.txt.gz";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path << " (set OPENCLOC_TEST_DATA)";
  const auto vocabulary = parse_bpe_merges({"vocab", read_file(path)});
  std::vector<std::string> tokens(vocabulary.ids.size());
  for (const auto& [token, id] : vocabulary.ids) tokens.at(static_cast<size_t>(id)) = token;
  EXPECT_EQ(merges_from_tokens(tokens), vocabulary.merges);
}

TEST(GgufTokenizer, SentencePieceTravelsAsBytes) {
  const TestFolder folder;
  int captions = 0;
  train_sentencepiece(
      [&]() -> std::optional<std::string> {
        if (captions++ == 60) return std::nullopt;
        return captions % 2 == 0 ? "a red car beside a tree" : "two dogs in the street";
      },
      {.vocab_size = 50}, folder / "pieces.model");
  const auto tokenizer = load_tokenizer(folder / "pieces.model");
  ModelConfig config = load_model_config("ViT-Test");
  config.text.vocab_size = tokenizer->vocab_size();
  config.text.eos_id = tokenizer->end_id();
  SaveOptions options;
  options.layout = Layout::kGguf;
  options.tokenizer = tokenizer.get();
  save_model(folder / "m.gguf", Cloc(config), options);
  const auto loaded = load_model(folder / "m.gguf");
  ASSERT_NE(loaded.tokenizer, nullptr);
  EXPECT_EQ(loaded.tokenizer->files()[0].bytes, tokenizer->files()[0].bytes);
  EXPECT_EQ(loaded.tokenizer->encode("two red dogs"), tokenizer->encode("two red dogs"));
}

}  // namespace
}  // namespace opencloc
