#include "opencloc/eval/quantization_loss.h"

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/encode/embedder.h"
#include "opencloc/eval/evaluate.h"
#include "opencloc/model/quantized.h"

namespace opencloc {
namespace {

constexpr const char* kComparedRows[] = {"image_embeds", "text_embeds", "region_embeds"};

// The tasks' figures that are said, where a task ran.
struct LossFigure {
  const char* task;
  const char* key;
};
constexpr LossFigure kLossFigures[] = {{"zeroshot", "acc1"},
                                       {"retrieval", "image_retrieval_recall@1"},
                                       {"retrieval", "text_retrieval_recall@1"},
                                       {"region_recognition", "acc1"},
                                       {"region_retrieval", "region_to_text_recall@1"},
                                       {"grounding", "acc@0.5"}};

struct Measured {
  NamedTensors embeddings;
  int64_t pictures = 0;
  Json figures;
};

Measured measure(LoadedModel& loaded, const LossData& data) {
  Measured measured;
  Embedder embedder(loaded, {});
  SkipCounter skips;
  PictureSource source({}, data.glob, loaded.model->config(), {}, skips);
  for (auto batch = source.next_batch(); !batch.empty(); batch = source.next_batch()) {
    if (data.max_samples > 0) {
      const auto left = static_cast<size_t>(data.max_samples - embedder.pictures());
      if (batch.size() > left) batch.resize(left);
    }
    embedder.add_pictures(batch);
    std::vector<std::string> captions;
    for (auto& picture : batch) {
      if (!picture.pixels.defined()) continue;
      if (const auto text = image_text(*picture.record); !text.empty()) captions.emplace_back(text);
    }
    if (loaded.tokenizer) embedder.add_texts(captions);
    if (data.max_samples > 0 && embedder.pictures() >= data.max_samples) break;
  }
  if (embedder.pictures() == 0) {
    throw Error::input("not one picture could be read", data.glob, "see the warnings above");
  }
  measured.embeddings = embedder.tensors();
  measured.pictures = embedder.pictures();
  if (loaded.tokenizer) {
    EvalOptions options;
    options.region_heads = loaded.has_region_heads;
    options.max_samples = data.max_samples;
    options.progress = false;
    if (!options.region_heads) options.tasks = {Task::kZeroshot, Task::kRetrieval};
    measured.figures = evaluate(loaded.model, *loaded.tokenizer, data.glob, options);
  }
  return measured;
}

torch::Tensor named(const NamedTensors& tensors, const std::string& name) {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return tensor;
  }
  return {};
}

}  // namespace

Json quantize_and_measure(LoadedModel& loaded, const LossData& data) {
  const Measured before = measure(loaded, data);
  quantize_towers(loaded.model);
  const Measured after = measure(loaded, data);
  Json loss;
  loss["samples"] = before.pictures;
  loss["cosine"] = Json::object();
  for (const char* name : kComparedRows) {
    const auto a = named(before.embeddings, name), b = named(after.embeddings, name);  // [n, E]
    if (!a.defined() || a.size(0) == 0) continue;
    const auto cosine = (a * b).sum(1);  // both of unit length
    loss["cosine"][name] = {{"mean", cosine.mean().item<double>()},
                            {"worst", cosine.min().item<double>()},
                            {"n", cosine.size(0)}};
  }
  loss["before"] = before.figures;
  loss["after"] = after.figures;
  return loss;
}

std::string loss_text(const Json& loss) {
  std::string text =
      fmt::format("on {} samples, int8 against F32:\n", loss.at("samples").get<int64_t>());
  for (const auto& [name, cosine] : loss.at("cosine").items()) {
    text += fmt::format("  {:<40} cosine {:.5f} on average, {:.5f} at worst, of {}\n", name,
                        cosine.at("mean").get<double>(), cosine.at("worst").get<double>(),
                        cosine.at("n").get<int64_t>());
  }
  const auto figure = [](const Json& results, const LossFigure& f) -> const Json* {
    if (!results.is_object() || !results.contains(f.task)) return nullptr;
    const Json& task = results.at(f.task);
    return task.contains(f.key) && task.at(f.key).is_number() ? &task.at(f.key) : nullptr;
  };
  for (const LossFigure& f : kLossFigures) {
    const Json *before = figure(loss.at("before"), f), *after = figure(loss.at("after"), f);
    if (before == nullptr || after == nullptr) continue;
    text += fmt::format("  {:<40} {:.4f} -> {:.4f}\n", std::string(f.task) + ' ' + f.key,
                        before->get<double>(), after->get<double>());
  }
  return text;
}

}  // namespace opencloc
