// `opencloc convert`: a model in one layout -> the same model in another.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/checkpoint/layout/onnx_layout.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/verb.h"
#include "opencloc/eval/quantization_loss.h"
#include "opencloc/model/quantized.h"

namespace opencloc::cli {
namespace {

namespace fs = std::filesystem;

struct ConvertFlags {
  std::string in, out;
  std::string to;
  std::string architecture;
  std::string dtype;  // empty: the layout's own
  std::string projector;
  std::string quantize;  // empty: not
  std::string data;      // shards to measure the loss on
  int64_t max_samples = 256;
  bool vision_only = false;
  bool json = false;
};

// "opencloc" is open_clip's layout with our two files always beside it.
Layout layout_named(const std::string& name) {
  for (const auto layout :
       {Layout::kOpenClip, Layout::kHuggingFace, Layout::kOpenAi, Layout::kGguf, Layout::kOnnx}) {
    if (name == to_string(layout)) return layout;
  }
  return Layout::kOpenClip;
}

// A folder of weights without configuration may be somebody's checkpoints: it is a model's alone
// when it holds what this verb writes.
bool is_models_alone(const fs::path& folder) {
  const auto layout = layout_of(folder);
  if (layout != Layout::kOpenAi) return layout.has_value();
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::string ending = entry.path().extension().string();
    const bool ours = name == "model.safetensors" || name == "cloc_heads.safetensors" ||
                      ending == ".json" || ending == ".txt" || ending == ".model" ||
                      ending == ".gz";
    if (!ours) return false;
  }
  return true;
}

// What is there already is replaced only when it is a model, or nothing at all; never IN, nor the
// folder it lies in.
void require_free(const fs::path& in, const fs::path& out) {
  if (!fs::exists(out)) return;
  if (!fs::exists(in)) throw Error::input("no such model", in.string(), "check the path");
  const fs::path inside = fs::canonical(in).lexically_relative(fs::canonical(out));
  if (!inside.empty() && *inside.begin() != "..") {
    throw Error::input("the result would replace what it is made from", out.string(),
                       "name another path for the result");
  }
  const bool replaceable = fs::is_directory(out)
                               ? fs::is_empty(out) || is_models_alone(out)
                               : fs::is_regular_file(out) && layout_of(out).has_value();
  if (!replaceable) {
    throw Error::input("is there, and is no model that could be replaced", out.string(),
                       "name another path, or remove it first");
  }
}

void check_flags(const ConvertFlags& flags, Layout layout) {
  if (!flags.projector.empty() && (layout != Layout::kGguf || !flags.vision_only)) {
    throw Error::input("a projector goes into a GGUF image tower alone", "--projector",
                       "add --to gguf --vision-only");
  }
  if (!flags.quantize.empty() && flags.to != "opencloc") {
    throw Error::input("only OpenCLOC's own layout holds 8-bit weights that it multiplies",
                       "--quantize " + flags.quantize, "use --to opencloc; GGUF has --dtype q8_0");
  }
  if (!flags.quantize.empty() && !flags.dtype.empty()) {
    throw Error::input("what is not quantised stays F32", "--dtype " + flags.dtype,
                       "leave it out beside --quantize");
  }
  if (flags.quantize.empty() && !flags.data.empty()) {
    throw Error::input("there is no quantisation whose loss could be measured", "--data",
                       "add --quantize int8");
  }
  if (flags.dtype == "q8_0" && layout != Layout::kGguf) {
    throw Error::input("only GGUF files hold q8_0", "--dtype q8_0",
                       "use --to gguf, or --dtype f32, f16 or bf16");
  }
}

// A name that says another thing than what is written.
void check_output(const ConvertFlags& flags, Layout layout) {
  if (!is_single_file(flags.out, layout)) return check_output_folder("OUT", flags.out);
  check_output_file("OUT", flags.out,
                    layout == Layout::kGguf ? OutputKind{"GGUF", {".gguf"}} : kSafetensorsOutput);
}

// Says what the result lacks of the model.
std::vector<std::string> left_behind(const LoadedModel& loaded, const SaveOptions& options,
                                     bool single_file) {
  std::vector<std::string> parts;
  if (options.vision_only) {
    if (!loaded.vision_only) parts.emplace_back("the text tower");
    if (options.layout == Layout::kHuggingFace || !options.projector.empty())
      parts.emplace_back("the image projection");
  }
  if (loaded.has_region_heads && (single_file || options.vision_only))
    parts.emplace_back("the region heads");
  if (loaded.tokenizer && (options.vision_only || (single_file && options.layout != Layout::kGguf)))
    parts.emplace_back("the tokenizer");
  return parts;
}

onnx_layout::Totals totals(const fs::path& out) {
  onnx_layout::Totals sum;
  for (const auto& file : model_tensors(out)) {
    sum.tensors += file.tensors().size();
    for (const auto& tensor : file.tensors())
      sum.values += c10::multiply_integers(tensor.shape.begin(), tensor.shape.end());
  }
  return sum;
}

void run_convert(const ConvertFlags& flags) {
  const fs::path in = flags.in, out = flags.out;
  const Layout layout = layout_named(flags.to);
  check_flags(flags, layout);
  check_output(flags, layout);
  require_free(in, out);
  LoadedModel loaded = load_model(in, {flags.architecture});
  if (is_quantized(loaded.model) && flags.to != "opencloc") {
    throw Error::input("its weights are of 8 bits already", flags.in,
                       "convert the model it was quantised from");
  }
  if (loaded.vision_only && !flags.vision_only) {
    throw Error::input("holds an image tower alone", flags.in,
                       "convert it with --vision-only --to hf, gguf or onnx");
  }
  Json loss;
  if (!flags.quantize.empty()) {
    if (is_quantized(loaded.model)) {
      throw Error::input("is quantised already", flags.in, "leave --quantize out, or copy it");
    }
    if (flags.data.empty()) {
      quantize_towers(loaded.model);
    } else {
      loss = quantize_and_measure(loaded, {flags.data, flags.max_samples});
    }
  }
  SaveOptions options;
  options.layout = layout;
  options.tokenizer = loaded.tokenizer.get();
  options.about = loaded.about;
  options.region_heads = loaded.has_region_heads;
  options.region_config = flags.to == "opencloc" || loaded.has_region_heads;
  options.dtype = !flags.dtype.empty()        ? dtype_from(flags.dtype)
                  : layout == Layout::kOpenAi ? Dtype::kF16
                                              : Dtype::kF32;
  options.vision_only = flags.vision_only;
  options.projector = flags.projector;
  save_model(out, loaded.model, options);

  const auto lost = left_behind(loaded, options, is_single_file(out, layout));
  const auto [tensors, values] = layout == Layout::kOnnx ? onnx_layout::totals(out) : totals(out);
  if (flags.json) {
    const Json line = {{"in", flags.in},
                       {"from", to_string(loaded.layout)},
                       {"out", flags.out},
                       {"to", flags.to},
                       {"dtype", to_string(options.dtype)},
                       {"quantization", is_quantized(loaded.model) ? Json("int8") : Json(nullptr)},
                       {"loss", loss},
                       {"tensors", tensors},
                       {"parameters", values},
                       {"left_behind", lost}};
    std::printf("%s\n", dump_json(line).c_str());
    return;
  }
  std::printf("%s (%s) -> %s (%s, %s): %zu tensors, %lld values\n", flags.in.c_str(),
              to_string(loaded.layout), flags.out.c_str(), flags.to.c_str(),
              is_quantized(loaded.model) ? "int8" : to_string(options.dtype), tensors,
              static_cast<long long>(values));
  if (!loss.is_null()) std::fputs(loss_text(loss).c_str(), stdout);
  for (const auto& part : lost) std::printf("left behind: %s\n", part.c_str());
}

}  // namespace

void add_convert(CLI::App& app) {
  const auto flags = std::make_shared<ConvertFlags>();
  app.add_option("in", flags->in,
                 "a model in any layout: a directory, or a .gguf, .safetensors, "
                 ".pt or .bin file")
      ->required();
  app.add_option("out", flags->out,
                 "the directory to write; a file for X.gguf, and for "
                 "X.safetensors with --to openai")
      ->required();
  app.add_option("--to", flags->to, "layout to write")
      ->required()
      ->check(CLI::IsMember({"opencloc", "open_clip", "hf", "openai", "gguf", "onnx"}));
  add_architecture_flag(app, flags->architecture);
  app.add_option("--dtype", flags->dtype,
                 "how the towers are stored; default f32, for openai f16; q8_0 with gguf alone")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0"}));
  app.add_flag("--vision-only", flags->vision_only,
               "the image tower alone: transformers' CLIPVisionModel (hf), a vision GGUF, or one "
               "ONNX graph");
  app.add_option("--projector", flags->projector,
                 "with --to gguf --vision-only: LLaVA's mm_projector.bin (or safetensors), which "
                 "makes the file an mmproj for llama.cpp");
  app.add_option("--quantize", flags->quantize,
                 "int8: 8-bit weights in the towers' blocks, multiplied in 8 bits; with "
                 "--to opencloc; for use, not for training")
      ->check(CLI::IsMember({"int8"}));
  app.add_option("--data", flags->data,
                 "shards on which to measure what --quantize loses: embeddings against those of "
                 "IN, and retrieval")
      ->type_name("GLOB");
  app.add_option("--max-samples", flags->max_samples, "of --data; 0 = all")
      ->check(not_negative())
      ->capture_default_str();
  add_cache_flags(app);
  app.add_flag("--json", flags->json, "print a JSON object");
  add_config_flag(app);
  app.footer(
      "Tokenizer files and region heads travel along where the result is a directory.\n\n"
      "Examples:\n"
      "  opencloc convert runs/demo/model clip-hf --to hf\n"
      "  opencloc convert runs/demo/model tower --to hf --vision-only\n"
      "  opencloc convert runs/demo/model small --to opencloc --quantize int8 --data 'val/*.tar'\n"
      "  opencloc convert ViT-L-14.pt vit-l-14.gguf --to gguf --dtype q8_0\n"
      "  opencloc convert runs/demo/model graphs --to onnx\n"
      "  opencloc convert clip-vit-large-patch14-336 mmproj.gguf --to gguf --vision-only \\\n"
      "      --dtype f16 --projector llava-v1.5-7b/mm_projector.bin");
  app.callback([flags] { run_convert(*flags); });
}

}  // namespace opencloc::cli
