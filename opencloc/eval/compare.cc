#include "opencloc/eval/compare.h"

#include <algorithm>
#include <array>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

struct Figure {
  const char* task;
  const char* key;
  const char* title;
};

// The figures worth a row, in the order of the table.
constexpr std::array kFigures{
    Figure{"zeroshot", "acc1", "top-1"},
    Figure{"zeroshot", "mean_per_class_recall", "class mean"},
    Figure{"retrieval", "image_retrieval_recall@1", "text to image R@1"},
    Figure{"retrieval", "image_retrieval_recall@10", "text to image R@10"},
    Figure{"retrieval", "text_retrieval_recall@1", "image to text R@1"},
    Figure{"retrieval", "text_retrieval_recall@10", "image to text R@10"},
    Figure{"region_recognition", "acc1", "top-1"},
    Figure{"region_recognition", "mean_per_class_recall", "class mean"},
    Figure{"region_recognition", "within_image_acc1", "right name of the picture's own"},
    Figure{"region_retrieval", "region_to_text_recall@10", "region to text R@10"},
    Figure{"region_retrieval", "text_to_region_recall@10", "text to region R@10"},
    Figure{"grounding", "acc@0.5", "acc@0.5"},
    Figure{"grounding", "mean_iou", "mean IoU"},
    Figure{"instance_retrieval", "map_with_self", "mAP with the query itself"},
    Figure{"instance_retrieval", "map_without_self", "mAP without it"},
    Figure{"knn", "acc1_k1_t0.07", "k 1"},
    Figure{"knn", "acc1_k20_t0.07", "k 20, T 0.07"},
    Figure{"knn", "acc1_k200_t0.07", "k 200, T 0.07"},
    Figure{"linear_probe", "acc1", "top-1"},
    Figure{"linear_probe", "mean_per_class_recall", "class mean"},
};

constexpr std::array kTitles{std::pair{"zeroshot", "zero-shot"},
                             std::pair{"retrieval", "image-text retrieval"},
                             std::pair{"region_recognition", "region recognition"},
                             std::pair{"region_retrieval", "region retrieval"},
                             std::pair{"grounding", "grounding"},
                             std::pair{"instance_retrieval", "instance retrieval"},
                             std::pair{"knn", "nearest neighbours"},
                             std::pair{"linear_probe", "linear probe"}};

std::optional<double> number(const Json& figures, const std::string& key) {
  const auto found = figures.find(key);
  if (found == figures.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

// What knowing nothing scores on `key` of a task's figures.
std::optional<double> baseline_of(const Json& figures, const std::string& key) {
  if (figures.contains("constant_box")) return number(figures["constant_box"], key);
  if (key == "within_image_acc1") return number(figures, "within_image_chance");
  if (key == "map_with_self") return number(figures, "chance_with_self");
  if (key == "map_without_self") return number(figures, "chance_without_self");
  if (const auto majority = number(figures, "majority"); majority && key.starts_with("acc1"))
    return majority;
  if (key == "acc1" || key == "mean_per_class_recall") {
    if (const auto chance = number(figures, "chance")) return chance;
    const auto classes = number(figures, "classes");
    return classes ? std::optional(1 / std::max(1.0, *classes)) : std::nullopt;
  }
  return std::nullopt;
}

class Table {
 public:
  explicit Table(Comparison& comparison) : comparison_(comparison) {}

  // All figures of a task's result: by method where there are methods, then those among held-out
  // names.
  void add_task(const NamedResults& from, const std::string& task, const Json& result) {
    const auto methods = result.find("methods");
    if (methods == result.end()) {
      const auto method = result.find("method");
      const bool named = method != result.end() && method->is_string();
      add_figures(from, task, named ? method->get<std::string>() : "", result);
      return;
    }
    for (const auto& [method, figures] : methods->items()) {
      add_figures(from, task, method, figures);
    }
  }

 private:
  void add_figures(const NamedResults& from, const std::string& task, const std::string& method,
                   const Json& figures) {
    for (const auto& figure : kFigures) {
      if (task != figure.task) continue;
      const auto value = number(figures, figure.key);
      if (value) {
        set({from.set, task, method, figure.title, {}, baseline_of(figures, figure.key)},
            from.model, *value);
      }
    }
    const auto held_out = figures.find("held_out");
    // Where every region is held out the part is the whole.
    if (held_out == figures.end()) return;
    const auto part_n = number(*held_out, "n");
    if (part_n && part_n == number(figures, "n")) return;
    NamedResults part{.model = from.model, .set = from.set, .results = {}};
    part.set += part.set.empty() ? "held-out names" : ", held-out names";
    add_figures(part, task, method, *held_out);
  }

  void set(Comparison::Row row, const std::string& model, double value) {
    auto found = std::find_if(comparison_.rows.begin(), comparison_.rows.end(),
                              [&](const Comparison::Row& other) {
                                return other.set == row.set && other.task == row.task &&
                                       other.method == row.method && other.figure == row.figure;
                              });
    if (found == comparison_.rows.end()) {
      row.values.resize(comparison_.models.size());
      found = comparison_.rows.insert(found, std::move(row));
    }
    const auto column = std::find(comparison_.models.begin(), comparison_.models.end(), model);
    found->values[static_cast<size_t>(column - comparison_.models.begin())] = value;
    if (!found->baseline) found->baseline = row.baseline;
  }

  Comparison& comparison_;
};

// Rows of a set together, tasks in the table's order, methods as they came.
void sort_rows(Comparison& comparison) {
  std::vector<std::string> sets, methods;
  for (const auto& row : comparison.rows) {
    sets.push_back(row.set);
    methods.push_back(row.method);
  }
  const auto first = [](const std::vector<std::string>& list, const std::string& item) {
    return std::find(list.begin(), list.end(), item) - list.begin();
  };
  const auto place = [&](const Comparison::Row& row) {
    const auto figure = std::find_if(kFigures.begin(), kFigures.end(), [&](const Figure& f) {
      return row.task == f.task && row.figure == f.title;
    });
    const auto task = std::find_if(kTitles.begin(), kTitles.end(),
                                   [&](const auto& t) { return row.task == t.first; });
    return std::tuple(first(sets, row.set), task - kTitles.begin(), first(methods, row.method),
                      figure - kFigures.begin());
  };
  std::stable_sort(comparison.rows.begin(), comparison.rows.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
}

std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}%", 100 * *value) : "-";
}

// "region recognition, prompter (held-out names)"
std::string heading(const Comparison::Row& row) {
  std::string title = row.task;
  for (const auto& [task, name] : kTitles) {
    if (row.task == task) title = name;
  }
  if (!row.method.empty()) title += ", " + row.method;
  if (!row.set.empty()) title += " (" + row.set + ")";
  return title;
}

}  // namespace

Comparison compare_results(const std::vector<NamedResults>& results) {
  Comparison comparison;
  for (size_t i = 0; i < results.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (results[i].model == results[k].model && results[i].set == results[k].set) {
        throw Error::input("the same name twice", results[i].model,
                           "tell results apart as NAME=FILE or NAME@SET=FILE");
      }
    }
    auto& models = comparison.models;
    if (std::find(models.begin(), models.end(), results[i].model) == models.end()) {
      models.push_back(results[i].model);
    }
  }
  Table table(comparison);
  for (const auto& from : results) {
    for (const auto& [task, title] : kTitles) {
      const auto found = from.results.find(task);
      if (found != from.results.end()) table.add_task(from, task, *found);
    }
  }
  sort_rows(comparison);
  return comparison;
}

std::string comparison_table(const Comparison& comparison, TableStyle style) {
  const bool markdown = style == TableStyle::kMarkdown;
  size_t wide = 9;
  for (const auto& model : comparison.models) wide = std::max(wide, model.size());
  const auto line = [&](const std::string& label, const std::vector<std::string>& cells) {
    std::string text = markdown ? "| " + label + " |" : fmt::format("{:<36}", label);
    for (const auto& cell : cells) {
      text += markdown ? " " + cell + " |" : fmt::format("  {:>{}}", cell, wide);
    }
    return text + "\n";
  };
  auto titles = comparison.models;
  titles.emplace_back("baseline");
  std::string text = line("", titles);
  if (markdown) text += line("---", std::vector<std::string>(titles.size(), "---:"));
  std::string last;
  for (const auto& row : comparison.rows) {
    const std::string title = heading(row);
    if (title != last) {
      text += markdown ? line("**" + title + "**", std::vector<std::string>(titles.size()))
                       : title + "\n";
    }
    last = title;
    std::vector<std::string> cells;
    for (const auto& value : row.values) cells.push_back(percent(value));
    cells.push_back(percent(row.baseline));
    text += line((markdown ? "" : "  ") + row.figure, cells);
  }
  return text;
}

Json comparison_json(const Comparison& comparison) {
  const auto value_or_null = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  Json rows = Json::array();
  for (const auto& row : comparison.rows) {
    Json values = Json::array();
    for (const auto& value : row.values) values.push_back(value_or_null(value));
    rows.push_back({{"set", row.set},
                    {"task", row.task},
                    {"method", row.method},
                    {"figure", row.figure},
                    {"values", values},
                    {"baseline", value_or_null(row.baseline)}});
  }
  return {{"models", comparison.models}, {"rows", rows}};
}

}  // namespace opencloc
