// Tables: RFC 4180 quoting, the separator found out, with or without a line of column names.
#include <algorithm>
#include <array>

#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/data/import_rows.h"

namespace opencloc {
namespace {

using Cells = std::vector<std::string>;

// Takes one row off `text`; quoted cells may hold separators, quotes ("") and line ends.
Cells take_row(std::string_view& text, char separator) {
  Cells cells(1);
  bool quoted = false;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        cells.back() += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        cells.back() += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && cells.back().empty()) {
      quoted = true;
    } else if (c == separator) {
      cells.emplace_back();
    } else if (c == '\n') {
      ++i;
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
  Cells columns = take_row(after_first, separator);
  int64_t number = 0;
  if (is_header(columns, options)) {
    rest = after_first;
    ++number;
  } else if (!options.csv_img_key.empty() || !options.csv_caption_key.empty()) {
    throw Error::input(
        "no column '" +
            (options.csv_img_key.empty() ? options.csv_caption_key : options.csv_img_key) +
            "' in the first line",
        path.string(), "check --csv-img-key, --csv-caption-key, --csv-separator");
  } else {
    log::info("{}: no column names, taking the first column as picture, the second as caption",
              path.string());
    columns = {"image", "caption"};
  }
  while (!rest.empty()) {
    const Cells cells = take_row(rest, separator);
    ++number;
    if (cells.size() == 1 && cells[0].empty()) continue;
    const std::string where = path.string() + " row " + std::to_string(number);
    if (cells.size() < columns.size()) {
      skips.add(skip::kBadAnnotation, where, "has fewer columns than the first line");
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
