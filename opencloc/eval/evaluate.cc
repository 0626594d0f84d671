#include "opencloc/eval/evaluate.h"

#include <algorithm>
#include <functional>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/encode/count_of_all.h"
#include "opencloc/eval/tasks.h"

namespace opencloc {
namespace {

// Puts a module in eval mode for a scope.
class EvalMode {
 public:
  explicit EvalMode(Cloc& model) : model_(model), was_training_(model->is_training()) {
    model_->eval();
  }
  ~EvalMode() { model_->train(was_training_); }
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  Cloc& model_;
  const bool was_training_;
};

bool wanted(const EvalOptions& options, Task task) {
  return std::find(options.tasks.begin(), options.tasks.end(), task) != options.tasks.end();
}

bool wants_regions(const EvalOptions& options) {
  return wanted(options, Task::kRegionRecognition) || wanted(options, Task::kRegionRetrieval);
}

std::vector<RegionMethod> chosen_methods(const ModelConfig& config, const EvalOptions& options) {
  if (!wants_regions(options)) return {};
  if (options.region_methods.empty()) return {default_method(config, options.region_heads)};
  const auto available = available_methods(config, options.region_heads);
  for (const auto method : options.region_methods) {
    if (std::find(available.begin(), available.end(), method) != available.end()) continue;
    throw Error::input(
        "the model was not trained with the region method " + std::string(to_string(method)),
        "setting 'region_method'", std::string("use ") + to_string(available.front()) + " or all");
  }
  return options.region_methods;
}

// A region task by every method: the first one's figures on top, all of them under "methods".
TaskResult by_method(const std::vector<RegionMethod>& methods,
                     const std::function<TaskResult(RegionMethod)>& run) {
  TaskResult first = run(methods.front());
  if (!first.not_run.empty() || methods.size() == 1) return first;
  Json all{{to_string(methods.front()), first.figures}};
  for (size_t i = 1; i < methods.size(); ++i) {
    all[to_string(methods[i])] = run(methods[i]).figures;
  }
  first.figures["methods"] = std::move(all);
  return first;
}

TaskResult run_task(Task task, TaskInput& input, const std::vector<RegionMethod>& methods) {
  switch (task) {
    case Task::kZeroshot:
      return zeroshot(input);
    case Task::kRetrieval:
      return retrieval(input);
    case Task::kRegionRecognition:
      return by_method(methods, [&](RegionMethod m) { return region_recognition(input, m); });
    case Task::kRegionRetrieval:
      return by_method(methods, [&](RegionMethod m) { return region_retrieval(input, m); });
    case Task::kGrounding:
      break;
  }
  if (!input.options.region_heads) return {{}, "the model has no trained region heads"};
  return grounding(input);
}

Json truncation_figures(const TruncationCounter& counter) {
  const auto texts = static_cast<double>(counter.texts());
  return {{"texts", counter.texts_cut()},
          {"share", texts > 0 ? static_cast<double>(counter.texts_cut()) / texts : 0.0}};
}

}  // namespace

Json evaluate(Cloc& model, const Tokenizer& tokenizer, const std::string& data_glob,
              const EvalOptions& options) {
  const torch::NoGradGuard no_grad;
  const EvalMode eval_mode(model);
  const auto methods = chosen_methods(model->config(), options);
  const auto uses = [&](RegionMethod method) {
    return std::find(methods.begin(), methods.end(), method) != methods.end();
  };
  const int workers = options.workers > 0 ? static_cast<int>(options.workers) : available_cpus();

  dist::Group& group = *options.group;
  const bool progress = options.progress && group.is_first();

  SkipCounter skips;
  SampleReader reader(data_glob, model->config(),
                      {.batch_size = std::max<int64_t>(options.batch_size, 1),
                       .max_samples = options.max_samples,
                       .workers = workers,
                       .keep_images = uses(RegionMethod::kCrop),
                       .skip_bad_shards = options.skip_bad_shards,
                       .count_samples = progress && group.size() == 1,  // nobody waits for it
                       .group = &group},
                      skips);
  TextEncoder encoder(model, tokenizer, options.batch_size);
  TextBank texts(encoder, group);
  Collected data = collect(model, reader, texts,
                           {.methods = methods,
                            .grounding = wanted(options, Task::kGrounding) && options.region_heads,
                            .penultimate = uses(RegionMethod::kRoiAlignPenultimate),
                            .batching = {.regions = options.region_batch,
                                         .images = std::max<int64_t>(options.batch_size, 1),
                                         .workers = workers},
                            .progress = progress,
                            .group = &group});
  count_of_all(group, skips);
  if (data.images == 0) {
    throw Error::input("no good sample to evaluate on", data_glob, skips.summary());
  }

  TaskInput input{data, texts, encoder, options};
  Json results = Json::object();
  Json not_run = Json::object();
  for (const Task task : options.tasks) {
    const TaskResult result = run_task(task, input, methods);
    if (result.not_run.empty()) {
      results[to_string(task)] = result.figures;
    } else {
      not_run[to_string(task)] = result.not_run;
    }
  }
  results["samples"] = data.images;
  results["skipped"] = skips.json();
  results["not_run"] = not_run;
  results["truncated_texts"] = truncation_figures(encoder.truncation());
  return results;
}

}  // namespace opencloc
