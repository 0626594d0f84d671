// Files of rows: lines of JSON, one JSON document, or a table; known by what they begin with.
#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/rows.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// A list of rows, or an object with one.
void visit_json_rows(const Json& root, const fs::path& path,
                     const std::function<void(const Json& row, const std::string& where)>& visit) {
  const Json* rows = &root;
  for (const char* key : {"images", "data", "rows", "annotations"}) {
    if (root.is_object() && rows == &root && json_value(root, key).is_array()) rows = &root[key];
  }
  if (!rows->is_array()) {
    throw Error::input("not a list of rows", path.string(), "give a JSON list, or .jsonl");
  }
  for (size_t i = 0; i < rows->size(); ++i) {
    visit((*rows)[i], path.string() + "[" + std::to_string(i) + "]");
  }
}

// A list, or an object that does not end where its first line ends. The text is let go of again.
bool is_one_document(const fs::path& path, const std::string& extension) {
  const std::string text = read_text(path);
  const std::string_view content = trimmed(text);
  const std::string_view first_line = trimmed(content.substr(0, content.find('\n')));
  return content.starts_with('[') || (extension == "json" && !first_line.ends_with('}')) ||
         (content.starts_with('{') && first_line.size() == content.size() && extension == "json") ||
         (first_line == "{" && content.size() > 1);
}

}  // namespace

void for_each_row(const fs::path& path, const ImportOptions& options, SkipCounter& skips,
                  const std::function<void(const Json& row, const std::string& where)>& visit) {
  const std::string extension = lower_extension(path);
  if (extension == "csv" || extension == "tsv" || extension == "txt") {
    for_each_table_row(path, options, skips, visit);
    return;
  }
  if (is_one_document(path, extension)) {
    visit_json_rows(read_annotations(path, {"segmentation"}), path, visit);
    return;
  }
  for_each_line(path, skips, [&](std::string_view line, const std::string& where) {
    Json row;
    try {
      row = parse_json(line, where);
    } catch (const Error& error) {
      skips.add(skip::kBadJson, where, error.what());
      return;
    }
    visit(row, where);
  });
}

}  // namespace opencloc
