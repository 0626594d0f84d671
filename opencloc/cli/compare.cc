// `opencloc compare`: results of several evaluations in one table.
#include "opencloc/eval/compare.h"

#include <cstdio>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/cli/verb.h"

namespace opencloc::cli {
namespace {

struct CompareFlags {
  std::vector<std::string> results;
  bool json = false;
  bool markdown = false;
};

// "CLIP=runs/clip/val.json" or "CLIP@held-out=...".
NamedResults read_named(const std::string& argument) {
  const size_t equals = argument.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == argument.size()) {
    throw Error::input("no name and file", argument, "write NAME=results.json");
  }
  std::string name = argument.substr(0, equals), set;
  if (const size_t at = name.find('@'); at != std::string::npos) {
    set = name.substr(at + 1);
    name.resize(at);
  }
  const std::string path = argument.substr(equals + 1);
  Json results = read_json(path);
  if (!results.is_object()) {
    throw Error::input("not the results of an evaluation", path, "give what eval --out wrote");
  }
  return {.model = std::move(name), .set = std::move(set), .results = std::move(results)};
}

void run_compare(const CompareFlags& flags) {
  std::vector<NamedResults> results;
  results.reserve(flags.results.size());
  for (const auto& argument : flags.results) results.push_back(read_named(argument));
  const Comparison comparison = compare_results(results);
  if (comparison.rows.empty()) {
    throw Error::input("no figures in any of the files", flags.results.front(),
                       "give what eval --out wrote");
  }
  const std::string text = flags.json
                               ? dump_json(comparison_json(comparison), 2) + "\n"
                               : comparison_table(comparison, flags.markdown ? TableStyle::kMarkdown
                                                                             : TableStyle::kText);
  std::fputs(text.c_str(), stdout);
}

}  // namespace

void add_compare(CLI::App& app) {
  const auto flags = std::make_shared<CompareFlags>();
  app.add_option("results", flags->results,
                 "NAME=FILE: a column's name and what eval --out wrote; NAME@SET=FILE puts another "
                 "set of data into the same column")
      ->required();
  app.add_flag("--json", flags->json, "print JSON, not a table");
  app.add_flag("--markdown", flags->markdown, "print a Markdown table")->excludes("--json");
  app.footer(
      "The baseline is chance; for grounding, the constant box that fits the data best.\n"
      "Example:\n"
      "  opencloc compare CLIP=runs/clip/val.json CLOC=runs/cloc/val.json");
  app.callback([flags] { run_compare(*flags); });
}

}  // namespace opencloc::cli
