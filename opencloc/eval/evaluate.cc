#include "opencloc/eval/evaluate.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/encode/count_of_all.h"
#include "opencloc/eval/tasks.h"
#include "opencloc/eval/train_data.h"

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
  return wanted(options, Task::kRegionRecognition) || wanted(options, Task::kRegionRetrieval) ||
         wanted(options, Task::kChoice) || wanted(options, Task::kObjectRetrieval);
}

// The texts of captions and regions.
bool wants_texts(const EvalOptions& options) {
  return wants_regions(options) || wanted(options, Task::kRetrieval) ||
         wanted(options, Task::kGrounding);
}
bool wants_train_data(const EvalOptions& options) {
  return wanted(options, Task::kKnn) || wanted(options, Task::kLinearProbe);
}

std::vector<RegionMethod> chosen_methods(const ModelConfig& config, const EvalOptions& options) {
  if (!wants_regions(options)) return {};
  if (options.region_methods.empty()) return {default_method(config, options.region_heads)};
  const auto available = available_methods(config, options.region_heads);
  for (const auto method : options.region_methods) {
    const bool of_every_model = needs_pictures(method) || needs_penultimate(method);
    if (of_every_model || std::find(available.begin(), available.end(), method) != available.end())
      continue;
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
    case Task::kChoice:
      return choice(input, methods);
    case Task::kObjectRetrieval:
      return object_retrieval(input, methods);
    case Task::kInstanceRetrieval:
      return instance_retrieval(input);
    case Task::kKnn:
      return knn(input);
    case Task::kLinearProbe:
      return linear_probe(input);
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

// One pass over shards. Counts in `skips`, for all processes. Throws Error (input) where not one
// sample is good.
class Pass {
 public:
  Pass(Cloc& model, TextBank& texts, const EvalOptions& options)
      : model_(model),
        texts_(texts),
        options_(options),
        workers_(options.workers > 0 ? static_cast<int>(options.workers) : available_cpus()),
        progress_(options.progress && options.group->is_first()) {}

  Collected over(const std::string& glob, CollectOptions wanted, SkipCounter& skips) {
    const auto& methods = wanted.methods;
    const bool crops = std::any_of(methods.begin(), methods.end(), needs_pictures);
    const auto batch_size = std::max<int64_t>(options_.batch_size, 1);
    SampleReader reader(
        glob, model_->config(),
        {.batch_size = batch_size,
         .max_samples = options_.max_samples,
         .workers = workers_,
         .keep_images = crops,
         .value_key = wants(Task::kLinearProbe) ? options_.probe_label : std::string(),
         .region_text = options_.region_text,
         .boxes = options_.boxes,
         .boxes_off_canvas = !wanted.grounding && !methods.empty() &&
                             std::all_of(methods.begin(), methods.end(), needs_pictures),
         .skip_bad_shards = options_.skip_bad_shards,
         .count_samples = progress_ && options_.group->size() == 1,  // nobody waits for it
         .group = options_.group},
        skips);
    wanted.batching = {.regions = options_.region_batch, .images = batch_size, .workers = workers_};
    wanted.progress = progress_;
    wanted.group = options_.group;
    Collected data = collect(model_, reader, texts_, wanted);
    count_of_all(*options_.group, skips);
    if (data.images == 0) {
      throw Error::input("no good sample to evaluate on", glob, skips.summary());
    }
    return data;
  }

 private:
  bool wants(Task task) const { return wanted(options_, task); }

  Cloc& model_;
  TextBank& texts_;
  const EvalOptions& options_;
  const int workers_;
  const bool progress_;
};

}  // namespace

Json evaluate(Cloc& model, const Tokenizer& tokenizer, const std::string& data_glob,
              const EvalOptions& options) {
  const torch::NoGradGuard no_grad;
  const EvalMode eval_mode(model);
  check_train_data(options);
  const auto methods = chosen_methods(model->config(), options);
  const bool two_sets = wants_train_data(options) && !learns_from_the_data(data_glob, options);

  TextEncoder encoder(model, tokenizer, options.batch_size);
  TextBank texts(encoder, *options.group);
  Pass pass(model, texts, options);
  SkipCounter skips;
  const bool quality =
      wanted(options, Task::kObjectRetrieval) && model->quality_head &&
      std::find(methods.begin(), methods.end(), RegionMethod::kPrompter) != methods.end();
  Collected data =
      pass.over(data_glob,
                {.methods = methods,
                 .texts = wants_texts(options),
                 .grounding = wanted(options, Task::kGrounding) && options.region_heads,
                 .ground_by_search = options.ground_by_search,
                 .every_phrase = options.every_phrase,
                 .choices = wanted(options, Task::kChoice),
                 .lower_case = options.lower_case,
                 .quality = quality},
                skips);
  Json results = Json::object();
  Json about_training;
  std::optional<Collected> train;
  if (two_sets) {
    SkipCounter train_skips;
    train = pass.over(options.train_data, {.texts = false, .name = "train data"}, train_skips);
    about_training = {{"samples", train->images}, {"skipped", train_skips.json()}};
  }

  TaskInput input{data, train ? &*train : nullptr, texts, encoder, options};
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
  if (two_sets) results["train"] = std::move(about_training);
  results["not_run"] = not_run;
  results["truncated_texts"] = truncation_figures(encoder.truncation());
  return results;
}

}  // namespace opencloc
