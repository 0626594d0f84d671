// The answers of inspect_path() for people.
#include <spdlog/fmt/fmt.h>

#include "opencloc/base/progress.h"
#include "opencloc/cli/flag_names.h"
#include "opencloc/cli/inspect_paths.h"

namespace opencloc::cli {
namespace {

std::string text_of(const Json& found, const char* key) { return found.at(key).get<std::string>(); }

std::string picture(const Json& found) {
  if (!found.at("ok").get<bool>()) return in_flags("broken picture: " + text_of(found, "error"));
  return fmt::format("{} {}x{} {}", text_of(found, "format"), found.at("width").get<int>(),
                     found.at("height").get<int>(), text_of(found, "mode"));
}

// "F32 302, F16 2"
std::string counts(const Json& numbers) {
  std::string text;
  for (const auto& [name, count] : numbers.items())
    text += (text.empty() ? "" : ", ") + fmt::format("{} {}", name, count.get<int64_t>());
  return text;
}

std::string shards(const Json& found) {
  std::string text = found.contains("shards")
                         ? fmt::format("{} shards, ", found["shards"].get<int64_t>())
                         : std::string("shard, ");
  text += fmt::format("{} samples, {} regions, {} with text, {} with a label, {}B",
                      found.at("samples").get<int64_t>(), found.at("regions").get<int64_t>(),
                      found.at("texts").get<int64_t>(), found.at("labels").get<int64_t>(),
                      format_count(found.at("bytes").get<double>()));
  if (!found.at("skipped").empty()) text += "; skipped: " + counts(found["skipped"]);
  return text;
}

std::string model(const Json& found);

// A file of weights: safetensors, GGUF, PyTorch.
std::string weights(const Json& found) {
  std::string text = fmt::format("{}, {} values in {} tensors ({})", text_of(found, "kind"),
                                 format_count(found.at("parameters").get<double>()),
                                 found.at("tensors").size(), counts(found.at("dtypes")));
  if (found.contains("model")) text += "\n" + model(found["model"]);
  const Json metadata = found.value("metadata", Json::object());
  for (const auto& [key, value] : metadata.items()) {
    text += fmt::format("\n  # {}: {}", key,
                        value.is_string() ? value.get<std::string>() : dump_json(value));
  }
  for (const auto& tensor : found.at("tensors"))
    text += fmt::format("\n  {} {} {}", text_of(tensor, "dtype"), tensor.at("shape").dump(),
                        text_of(tensor, "name"));
  return text;
}

std::string model(const Json& found) {
  const auto& config = found.at("config").at("model_cfg");
  const auto& vision = config.at("vision_cfg");
  const auto& text = config.at("text_cfg");
  const auto& preprocess = found.at("config").at("preprocess_cfg");
  const std::string name = text_of(found, "name");
  std::string lines =
      fmt::format("{} model{}, {} parameters ({} tensors)", text_of(found, "layout"),
                  name.empty() ? "" : " " + name,
                  format_count(found.at("parameters").get<double>()), counts(found.at("dtypes")));
  lines += "\n  seen       " + text_of(found, "seen");
  for (const auto& taken : found.at("assumed"))
    lines += "\n  assumed    " + taken.get<std::string>();
  for (const auto& tensor : found.at("not_finite"))
    lines += "\n  not finite " + tensor.get<std::string>() + ": the model cannot be loaded";
  lines += fmt::format("\n  image      {} px, patch {}, width {}, {} layers, {} wide heads -> {}",
                       vision.at("image_size").get<int>(), vision.at("patch_size").get<int>(),
                       vision.at("width").get<int>(), vision.at("layers").get<int>(),
                       vision.at("head_width").get<int>(), config.at("embed_dim").get<int>());
  if (found.at("vision_only").get<bool>()) {
    lines += "\n  text       none: an image tower alone";
  } else {
    lines += fmt::format("\n  text       {} tokens of {}, width {}, {} layers, {} heads",
                         text.at("context_length").get<int>(), text.at("vocab_size").get<int>(),
                         text.at("width").get<int>(), text.at("layers").get<int>(),
                         text.at("heads").get<int>());
  }
  if (const auto decoder = config.find("multimodal_cfg"); decoder != config.end()) {
    lines +=
        fmt::format("\n  captions   decoder of width {}, {} layers, {} heads; {} image queries",
                    decoder->at("width").get<int>(), decoder->at("layers").get<int>(),
                    decoder->at("heads").get<int>(), vision.at("attn_pooler_queries").get<int>());
  }
  lines +=
      fmt::format("\n  activation {}", config.value("quick_gelu", false) ? "quick_gelu" : "gelu");
  lines += fmt::format("\n  preprocess {}, {}", text_of(preprocess, "resize_mode"),
                       text_of(preprocess, "interpolation"));
  if (found.at("quantization").is_string()) {
    lines += fmt::format("\n  weights    {} in the towers' blocks: for use, not for training",
                         text_of(found, "quantization"));
  }
  const auto& tokenizer = found.at("tokenizer");
  lines += "\n  tokenizer  ";
  if (tokenizer.is_null()) {
    lines += "none";
  } else {
    for (const auto& file : tokenizer.at("files")) lines += file.get<std::string>() + " ";
    lines += fmt::format("({} ids)", tokenizer.at("vocab_size").get<int64_t>());
  }
  lines += "\n  regions    " + (found.at("region_heads").get<bool>()
                                    ? found.at("cloc").dump()
                                    : std::string("none: a plain CLIP"));
  if (!found.at("about").empty()) lines += "\n  about      " + dump_json(found["about"]);
  return lines;
}

std::string indented(const Json& found) { return found.is_null() ? "no model yet" : model(found); }

std::string checkpoint(const Json& found) {
  return fmt::format("checkpoint, step {}, {} samples seen, seed {}\n{}",
                     found.at("step").get<int64_t>(), found.at("samples").get<int64_t>(),
                     found.at("seed").get<uint64_t>(), indented(found.at("model")));
}

std::string run(const Json& found) {
  std::string names;
  for (const auto& name : found.at("checkpoints")) names += " " + name.get<std::string>();
  return fmt::format("run, checkpoints:{}\nlast metrics: {}\n{}", names.empty() ? " none" : names,
                     found.at("last_metrics").is_null() ? "none" : dump_json(found["last_metrics"]),
                     indented(found.at("model")));
}

}  // namespace

std::string describe(const Json& found) {
  const std::string head = text_of(found, "path") + ": ";
  if (!found.contains("kind")) return head + picture(found);
  const std::string kind = text_of(found, "kind");
  if (kind == "shard" || kind == "shards") return head + shards(found);
  if (kind == "safetensors" || kind == "gguf" || kind == "torch") return head + weights(found);
  if (kind == "model") return head + model(found);
  return head + (kind == "checkpoint" ? checkpoint(found) : run(found));
}

}  // namespace opencloc::cli
