// The tasks that look at image embeddings and no text.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <torch/utils.h>

#include "opencloc/eval/average_precision.h"
#include "opencloc/eval/classify.h"
#include "opencloc/eval/knn.h"
#include "opencloc/eval/linear_probe.h"
#include "opencloc/eval/tasks.h"

namespace opencloc {
namespace {

using Names = std::vector<std::optional<std::string>>;

ClassTargets targets_of(const Names& names, const std::vector<std::string>& classes) {
  std::vector<const std::string*> given;
  for (const auto& name : names) given.push_back(name ? &*name : nullptr);
  return class_targets(given, classes);
}

torch::Tensor embeddings_of(Collected& data, const ClassTargets& samples) {
  return data.image_embeds.rows().index_select(0, samples.rows);  // [n, E]
}

// What the answer "the most frequent class of `known`" scores on `asked`.
double majority_share(const torch::Tensor& known, const torch::Tensor& asked, int64_t classes) {
  const auto most = known.bincount({}, classes).argmax().item<int64_t>();
  return (asked == most).to(torch::kDouble).mean().item<double>();
}

// Beside the figures of a classifier: what knowing nothing scores.
void add_baselines(const ClassTargets& known, const ClassTargets& asked, Json& figures) {
  const auto classes = static_cast<int64_t>(known.classes.size());
  figures["classes"] = classes;
  figures["chance"] = 1.0 / static_cast<double>(classes);
  figures["majority"] = majority_share(known.targets, asked.targets, classes);
  figures["left_out"] = asked.left_out;
}

TaskResult could_not(std::string why) { return {{}, std::move(why)}; }

// Rows of each group, by its name. One group that holds all is none.
std::map<std::string, std::vector<int64_t>> rows_by_group(const Names& groups,
                                                          const torch::Tensor& rows) {
  std::map<std::string, std::vector<int64_t>> by_group;
  const auto* row = rows.data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.numel(); ++i) {
    if (const auto& group = groups[static_cast<size_t>(row[i])]) by_group[*group].push_back(i);
  }
  return by_group;
}

}  // namespace

TaskResult instance_retrieval(TaskInput& input) {
  const ClassTargets samples = targets_of(input.data.labels, {});
  const int64_t n = samples.rows.numel();
  if (n == 0) return could_not("no sample has a label");
  if (n == 1) return could_not("only one sample has a label");
  const InstanceRanking ranking{embeddings_of(input.data, samples), samples.targets};
  const auto precisions = average_precisions(ranking, input.options.chunk, *input.options.group);
  Json figures = instance_figures(ranking, precisions, torch::arange(n));
  figures["classes"] = samples.classes.size();
  for (const auto& [name, rows] : rows_by_group(input.data.groups, samples.rows)) {
    figures["groups"][name] = instance_figures(ranking, precisions, torch::tensor(rows));
  }
  return {figures, {}};
}

TaskResult knn(TaskInput& input) {
  const bool apart = input.train != nullptr;
  Collected& train = apart ? *input.train : input.data;
  const ClassTargets known = targets_of(train.labels, {});
  if (known.rows.numel() == 0)
    return could_not(apart ? "no sample of the training data has a label"
                           : "no sample has a label");
  const ClassTargets asked = targets_of(input.data.labels, known.classes);
  if (asked.rows.numel() == 0)
    return could_not(asked.left_out > 0 ? "no sample's label occurs in the training data"
                                        : "no sample has a label");
  if (!apart && known.rows.numel() == 1) return could_not("only one sample has a label");
  const auto votes = neighbour_votes(
      {embeddings_of(input.data, asked), embeddings_of(train, known), known.targets, !apart},
      input.options.chunk, *input.options.group);
  Json figures = vote_figures(votes, asked.targets);
  figures["n_train"] = known.rows.numel();
  figures["leave_one_out"] = !apart;
  add_baselines(known, asked, figures);
  return {figures, {}};
}

TaskResult linear_probe(TaskInput& input) {
  const std::string key = "'" + input.options.probe_label + "'";
  const ClassTargets known = targets_of(input.train->values, {});
  if (known.rows.numel() == 0)
    return could_not("no sample of the training data has a value for " + key);
  const auto classes = static_cast<int64_t>(known.classes.size());
  if (classes == 1)
    return could_not(key + " is \"" + known.classes.front() + "\" in all of the training data");
  const ClassTargets asked = targets_of(input.data.values, known.classes);
  if (asked.rows.numel() == 0)
    return could_not(asked.left_out > 0 ? "no value of " + key + " occurs in the training data"
                                        : "no sample has a value for " + key);
  const LabelledRows learn{embeddings_of(*input.train, known), known.targets, classes};
  const LabelledRows test{embeddings_of(input.data, asked), asked.targets, classes};
  // One process learns: all others would do the same.
  std::string text;
  input.options.group->first_alone("the linear probe", [&] {
    text = dump_json(linear_probe_figures(learn, test, {.seed = input.options.seed}));
  });
  Json figures = parse_json(dist::broadcast(*input.options.group, text), "linear probe");
  figures["probe_label"] = input.options.probe_label;
  figures["seed"] = input.options.seed;
  add_baselines(known, asked, figures);
  return {figures, {}};
}

}  // namespace opencloc
