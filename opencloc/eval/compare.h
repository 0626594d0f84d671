// Several results of evaluate() side by side: a row a figure, a column a model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

struct NamedResults {
  std::string model;  // the column
  std::string set;    // what it was evaluated on, e.g. "held-out names"; may be empty
  Json results;       // as evaluate() returns them
};

struct Comparison {
  struct Row {
    std::string set, task, method, figure;      // method is empty for tasks without
    std::vector<std::optional<double>> values;  // one a model, [0, 1]; nothing = not measured
    // What an answer that knows nothing scores: chance, or for grounding the best constant box.
    std::optional<double> baseline;
  };
  std::vector<std::string> models;
  std::vector<Row> rows;  // by set, task and method, in the order of the results
};

// Models and sets in order of first appearance. The figures are those of each task's table.
// Throws Error (input) when the same model and set appear twice.
Comparison compare_results(const std::vector<NamedResults>& results);

enum class TableStyle { kText, kMarkdown };
std::string comparison_table(const Comparison& comparison, TableStyle style);
// {"models": [...], "rows": [{"set", "task", "method", "figure", "values": [x or null],
// "baseline"}]}
Json comparison_json(const Comparison& comparison);

}  // namespace opencloc
