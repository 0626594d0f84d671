// The table people read: a line a task, a line a method within region tasks.
#include <array>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/eval/evaluate.h"

namespace opencloc {
namespace {

struct Column {
  const char* key;
  const char* title;
};

std::string percent(const Json& figures, const char* key) {
  const auto found = figures.find(key);
  if (found == figures.end() || !found->is_number()) return {};
  return fmt::format("{:.2f}%", 100 * found->get<double>());
}

// One line: name, then "title value" for the keys that are there.
template <size_t N>
std::string line(const std::string& name, const Json& figures,
                 const std::array<Column, N>& columns) {
  std::string text = fmt::format("{:<24}", name);
  for (const auto& [key, title] : columns) {
    const std::string value = percent(figures, key);
    if (!value.empty()) text += fmt::format(" {} {:>7} ", title, value);
  }
  if (const auto n = figures.find("n"); n != figures.end()) {
    text += fmt::format(" n {}", n->get<int64_t>());
  }
  if (const auto classes = figures.find("classes"); classes != figures.end()) {
    text += fmt::format(" ({} classes)", classes->get<int64_t>());
  }
  if (const auto left = figures.find("left_out"); left != figures.end() && *left != 0) {
    text += fmt::format(", {} left out: not among the classes", left->get<int64_t>());
  }
  return text + "\n";
}

template <size_t N>
std::string task_lines(const Json& results, Task task, const std::array<Column, N>& columns) {
  const auto found = results.find(to_string(task));
  if (found == results.end()) return {};
  const auto methods = found->find("methods");
  std::string text;
  const auto add = [&](const std::string& name, const Json& figures) {
    text += line(name, figures, columns);
    const auto held_out = figures.find("held_out");
    if (held_out != figures.end()) text += line("    held-out names", *held_out, columns);
    for (const char* parts : {"by_size", "by_frequency", "kinds"}) {
      const auto its_parts = figures.find(parts);
      if (its_parts == figures.end()) continue;
      for (const auto& [part, its] : its_parts->items()) text += line("    " + part, its, columns);
    }
    const auto groups = figures.find("groups");
    if (groups == figures.end()) return;
    for (const auto& [group, its] : groups->items()) text += line("  " + group, its, columns);
  };
  if (methods == found->end()) {
    const auto method = found->find("method");
    add(to_string(task), *found);
    if (method != found->end()) text.insert(text.find('\n'), "  " + method->get<std::string>());
    return text;
  }
  text = std::string(to_string(task)) + "\n";
  for (const auto& [name, figures] : methods->items()) add("  " + name, figures);
  return text;
}

constexpr std::array<Column, 3> kZeroshot{
    {{"acc1", "acc1"}, {"acc5", "acc5"}, {"mean_per_class_recall", "class mean"}}};
constexpr std::array<Column, 5> kRecognition{{{"acc1", "acc1"},
                                              {"acc5", "acc5"},
                                              {"mean_per_class_recall", "class mean"},
                                              {"within_image_acc1", "within image"},
                                              {"within_image_chance", "by chance"}}};
constexpr std::array<Column, 6> kRetrieval{{{"image_retrieval_recall@1", "text->image R@1"},
                                            {"image_retrieval_recall@5", "R@5"},
                                            {"image_retrieval_recall@10", "R@10"},
                                            {"text_retrieval_recall@1", "image->text R@1"},
                                            {"text_retrieval_recall@5", "R@5"},
                                            {"text_retrieval_recall@10", "R@10"}}};
constexpr std::array<Column, 6> kRegionRetrieval{
    {{"region_to_text_recall@1", "region->text R@1"},
     {"region_to_text_recall@10", "R@10"},
     {"text_to_region_recall@1", "text->region R@1"},
     {"text_to_region_recall@10", "R@10"},
     {"text_to_region_with_distractors_recall@1", "with distractors R@1"},
     {"text_to_region_with_distractors_recall@10", "R@10"}}};
constexpr std::array<Column, 6> kChoice{{{"acc1", "acc1"},
                                         {"mean_of_kinds", "mean of kinds"},
                                         {"chance", "by chance"},
                                         {"text_score", "text score"},
                                         {"image_score", "image score"},
                                         {"group_score", "group score"}}};
constexpr std::array<Column, 3> kObjectRetrieval{
    {{"recall@1", "R@1"}, {"recall@5", "R@5"}, {"recall@10", "R@10"}}};
constexpr std::array<Column, 4> kInstances{{{"map_with_self", "mAP with the query itself"},
                                            {"chance_with_self", "by chance"},
                                            {"map_without_self", "mAP without it"},
                                            {"chance_without_self", "by chance"}}};
constexpr std::array<Column, 8> kNeighbours{{{"acc1_k1_t0.07", "k 1"},
                                             {"acc1_k20_t0.01", "k 20 T 0.01"},
                                             {"acc1_k20_t0.03", "T 0.03"},
                                             {"acc1_k20_t0.07", "T 0.07"},
                                             {"acc1_k200_t0.01", "k 200 T 0.01"},
                                             {"acc1_k200_t0.03", "T 0.03"},
                                             {"acc1_k200_t0.07", "T 0.07"},
                                             {"majority", "most frequent class"}}};
constexpr std::array<Column, 4> kProbe{{{"acc1", "acc1"},
                                        {"acc1_error", "+-"},
                                        {"mean_per_class_recall", "class mean"},
                                        {"majority", "most frequent class"}}};
constexpr std::array<Column, 4> kGrounding{{{"acc@0.5", "acc@0.5"},
                                            {"acc_any@0.5", "any box"},
                                            {"mean_iou", "mean IoU"},
                                            {"inverted_share", "inverted"}}};

std::string choice_lines(const Json& results) {
  const auto found = results.find(to_string(Task::kChoice));
  if (found == results.end()) return {};
  std::string text;
  const auto add = [&](const std::string& name, const Json& figures) {
    text += line(name, figures, kChoice);
    const auto kinds = figures.find("kinds");
    if (kinds == figures.end()) return;
    for (const auto& [kind, its] : kinds->items()) text += line("    " + kind, its, kChoice);
  };
  if (found->contains("pictures")) add("choice", (*found)["pictures"]);
  if (found->contains("regions")) {
    const Json& regions = (*found)["regions"];
    const Json methods = regions.contains("methods")
                             ? regions["methods"]
                             : Json{{regions["method"].get<std::string>(), regions}};
    for (const auto& [method, figures] : methods.items()) add("choice  " + method, figures);
  }
  if (found->contains("pairs")) add("choice  pairs", (*found)["pairs"]);
  return text;
}

// What a protocol fixed, what was set otherwise, and the figures that are quoted.
std::string protocol_lines(const Json& results) {
  const auto found = results.find("protocol");
  if (found == results.end()) return {};
  std::string text = fmt::format("protocol {}: {}\n  fixed", (*found)["name"].get<std::string>(),
                                 (*found)["what"].get<std::string>());
  for (const auto& [name, value] : (*found)["fixed"].items())
    text += fmt::format(" {}={}", name, value.get<std::string>());
  for (const auto& name : (*found)["changed"])
    text += fmt::format("; {} set otherwise", name.get<std::string>());
  text += "\n";
  for (const auto& [path, figure] : (*found)["headline"].items())
    text += fmt::format("  {} {:.2f}%\n", path, 100 * figure.get<double>());
  return text;
}

}  // namespace

std::string results_table(const Json& results) {
  std::string text = protocol_lines(results) + task_lines(results, Task::kZeroshot, kZeroshot) +
                     task_lines(results, Task::kRetrieval, kRetrieval) +
                     task_lines(results, Task::kRegionRecognition, kRecognition) +
                     task_lines(results, Task::kRegionRetrieval, kRegionRetrieval) +
                     task_lines(results, Task::kGrounding, kGrounding);
  const auto grounding = results.find(to_string(Task::kGrounding));
  if (grounding != results.end() && grounding->contains("constant_box")) {
    text += line("  mean or median box", (*grounding)["constant_box"], kGrounding);
    text += line("  best constant box", (*grounding)["best_constant_box"], kGrounding);
  }
  text += choice_lines(results) + task_lines(results, Task::kObjectRetrieval, kObjectRetrieval);
  text += task_lines(results, Task::kInstanceRetrieval, kInstances) +
          task_lines(results, Task::kKnn, kNeighbours) +
          task_lines(results, Task::kLinearProbe, kProbe);
  const auto probe = results.find(to_string(Task::kLinearProbe));
  if (probe != results.end()) {
    text += fmt::format("  of '{}', learned from {} samples, lambda {:.3g}{}\n",
                        probe->at("probe_label").get<std::string>(),
                        probe->at("n_train").get<int64_t>(), probe->at("lambda").get<double>(),
                        probe->at("converged").get<bool>() ? "" : " (not at the minimum)");
  }
  for (const auto& [task, why] : results.at("not_run").items()) {
    text += fmt::format("{:<24} not run: {}\n", task, why.get<std::string>());
  }
  text += fmt::format("{} samples", results.at("samples").get<int64_t>());
  for (const auto& [reason, count] : results.at("skipped").items()) {
    text += fmt::format("; skipped {}: {}", reason, count.get<int64_t>());
  }
  return text + "\n";
}

}  // namespace opencloc
