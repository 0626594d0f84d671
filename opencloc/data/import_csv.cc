// Tables: RFC 4180 quoting, the separator found out, with or without a line of column names.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/data/import_rows.h"

namespace opencloc {
namespace {

using Cells = std::vector<std::string>;

bool ends_cell(std::string_view text, size_t at, char separator) {
  return at >= text.size() || text[at] == separator || text[at] == '\n' || text[at] == '\r';
}

// A quoted cell that begins at text[at]: fills `cell` and returns where it ends. Nothing when the
// quotes do not enclose the whole cell: '"Stop" says the sign' is text, quotes and all.
std::optional<size_t> take_quoted(std::string_view text, size_t at, char separator,
                                  std::string& cell) {
  std::string inside;
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] != '"') {
      inside += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == '"') {
      inside += text[++i];
    } else if (ends_cell(text, i + 1, separator)) {
      cell = std::move(inside);
      return i + 1;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

// Takes one row off `text`; quoted cells may hold separators, quotes ("") and line ends.
Cells take_row(std::string_view& text, char separator) {
  Cells cells(1);
  size_t i = 0;
  bool at_start = true;  // of a cell
  while (i < text.size()) {
    if (at_start && text[i] == '"') {
      at_start = false;
      if (const auto end = take_quoted(text, i, separator, cells.back())) {
        i = *end;
        continue;
      }
    }
    const char c = text[i++];
    at_start = c == separator;
    if (c == separator) {
      cells.emplace_back();
    } else if (c == '\n') {
      break;
    } else if (c != '\r') {
      cells.back() += c;
    }
  }
  text.remove_prefix(i);
  return cells;
}

// The separator that cuts the first lines into the same number of cells, the most of them; captions
// hold commas, so a tab that works is preferred.
char find_separator(std::string_view text) {
  char best = ',';
  size_t best_cells = 1;
  for (const char separator : {'\t', ';', '|', ','}) {
    std::string_view rest = text;
    const size_t cells = take_row(rest, separator).size();
    bool same = cells > best_cells;
    for (int line = 0; same && line < 20 && !rest.empty(); ++line) {
      const Cells row = take_row(rest, separator);
      same = row.size() == cells || (row.size() == 1 && row[0].empty());
    }
    if (!same) continue;
    best = separator;
    best_cells = cells;
    if (separator == '\t') break;
  }
  return best;
}

bool is_header(const Cells& row, const ImportOptions& options) {
  static constexpr std::array kNames = {
      "image", "image_path", "img_path", "filepath", "file_path", "file_name", "filename",  "path",
      "img",   "image_id",   "caption",  "captions", "title",     "text",      "image_name"};
  return std::any_of(row.begin(), row.end(), [&](const std::string& cell) {
    return cell == options.csv_img_key || cell == options.csv_caption_key ||
           std::any_of(kNames.begin(), kNames.end(),
                       [&](const char* name) { return cell == name; });
  });
}

// The names of the columns: those given, the first line's, or the usual two.
Cells columns_of(const std::filesystem::path& path, const Cells& first,
                 const ImportOptions& options) {
  if (!options.csv_columns.empty()) return options.csv_columns;
  if (!options.csv_no_header && is_header(first, options)) return first;
  for (const std::string& key : {options.csv_img_key, options.csv_caption_key}) {
    if (key.empty()) continue;
    throw Error::input("no column '" + key + "' in the first line", path.string(),
                       "check --csv-img-key, --csv-caption-key, --csv-separator, or name the "
                       "columns with --columns");
  }
  log::info("{}: no column names, taking the first column as picture, the second as caption",
            path.string());
  return {"image", "caption"};
}

char separator_of(const ImportOptions& options, std::string_view text) {
  const std::string& given = options.csv_separator;
  if (given.empty()) return find_separator(text);
  if (given == "\\t" || given == "tab") return '\t';
  if (given.size() != 1) {
    throw Error::input("a separator is one character", "--csv-separator '" + given + "'",
                       "use , or ; or tab");
  }
  return given[0];
}

}  // namespace

void for_each_table_row(
    const std::filesystem::path& path, const ImportOptions& options, SkipCounter& skips,
    const std::function<void(const Json& row, const std::string& where)>& visit) {
  const std::string text = read_file(path);
  std::string_view rest = text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);  // byte order mark of spreadsheets
  const char separator = separator_of(options, rest);
  std::string_view after_first = rest;
  const Cells first = take_row(after_first, separator);
  const Cells columns = columns_of(path, first, options);
  int64_t number = 0;
  if (!options.csv_no_header && is_header(first, options)) {
    rest = after_first;
    ++number;
  }
  while (!rest.empty()) {
    const Cells cells = take_row(rest, separator);
    ++number;
    if (cells.size() == 1 && cells[0].empty()) continue;
    const std::string where = path.string() + " row " + std::to_string(number);
    if (cells.size() < columns.size()) {
      skips.add(skip::kBadAnnotation, where, "has too few columns");
      continue;
    }
    Json row = Json::object();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (!cells[i].empty() && !columns[i].empty()) row[columns[i]] = cells[i];
    }
    visit(row, where);
  }
}

}  // namespace opencloc
