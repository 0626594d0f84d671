// Tables: RFC 4180 quoting, the separator found out, with or without a line of column names. A row
// with another number of cells than there are columns is counted, never cut.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/rows.h"

namespace opencloc {
namespace {

using Cells = std::vector<std::string>;

constexpr std::string_view kJoinedCells = "caption with separators, not quoted";

bool ends_cell(std::string_view text, size_t at, char separator) {
  return at >= text.size() || text[at] == separator || text[at] == '\n' || text[at] == '\r';
}

// A quote that is only a mark of inches or speech opens no cell. It shows where the "cell" runs
// over the next lines and these are rows themselves: a tab between, or a picture in front.
bool swallows_rows(std::string_view inside, char separator) {
  for (size_t line = inside.find('\n'); line != std::string_view::npos;
       line = inside.find('\n', line + 1)) {
    const std::string_view rest = inside.substr(line + 1);
    const size_t end = rest.find(separator);
    if (end == std::string_view::npos || end > rest.find('\n')) continue;
    if (separator == '\t') return true;
    std::string_view first = trimmed(rest.substr(0, end));
    first = first.substr(0, first.find('#'));  // Flickr8k's "1000.jpg#0"
    if (is_picture_extension(lower_extension(first))) return true;
  }
  return false;
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
    } else {
      size_t end = i + 1;
      while (end < text.size() && text[end] == ' ' && separator != ' ') ++end;
      if (!ends_cell(text, end, separator) || swallows_rows(inside, separator)) return {};
      cell = std::move(inside);
      return end;
    }
  }
  return std::nullopt;
}

struct TableRow {
  Cells cells;
  std::vector<bool> quoted;  // of each cell
  std::string_view raw;      // the bytes of the row
};

// Takes one row off `text`; quoted cells may hold separators, quotes ("") and line ends.
TableRow take_row(std::string_view& text, char separator) {
  TableRow row{Cells(1), {false}, {}};
  size_t i = 0;
  bool at_start = true;  // of a cell
  while (i < text.size()) {
    if (at_start && text[i] == '"') {
      at_start = false;
      std::string inside;
      if (const auto end = take_quoted(text, i, separator, inside)) {
        row.cells.back() = std::move(inside);
        row.quoted.back() = true;
        i = *end;
        continue;
      }
    }
    const char c = text[i++];
    at_start = c == separator || (at_start && c == ' ');
    if (c == separator) {
      row.cells.emplace_back();
      row.quoted.push_back(false);
    } else if (c == '\n') {
      break;
    } else if (c != '\r') {
      row.cells.back() += c;
    } else if (i < text.size() && text[i] != '\n') {
      row.cells.back() += ' ';  // a line end of another system, inside a cell
    }
  }
  row.raw = text.substr(0, i);
  text.remove_prefix(i);
  return row;
}

bool is_empty(const TableRow& row) {
  return row.cells.size() == 1 && trimmed(row.cells[0]).empty();
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return result;
}

bool is_known_name(const std::string& name) {
  static constexpr std::array kMore = {"image_id", "label",  "class", "split",
                                       "bbox",     "phrase", "width", "height"};
  return is_picture_key(name) || is_text_key(name) ||
         std::any_of(kMore.begin(), kMore.end(), [&](const char* more) { return name == more; });
}

// A first line with a name of a picture's or a text's column is a header.
bool is_header(const Cells& row, const ImportOptions& options) {
  return std::any_of(row.begin(), row.end(), [&](const std::string& cell) {
    const std::string name(trimmed(cell));
    return (!name.empty() && (name == options.csv_img_key || name == options.csv_caption_key)) ||
           is_picture_key(lower(name)) || is_text_key(lower(name)) || lower(name) == "image_id";
  });
}

// The separator under which the first line is a header; else the one that cuts the first lines into
// the same number of cells, the most of them. Captions hold commas, so a tab that works is
// preferred.
char find_separator(std::string_view text, const ImportOptions& options) {
  char best = ',';
  size_t best_cells = 1;
  size_t best_known = 0;
  for (const char separator : {'\t', ';', '|', ','}) {
    std::string_view rest = text;
    const Cells first = take_row(rest, separator).cells;
    if (first.size() == 1 || !is_header(first, options) || options.csv_no_header) continue;
    const auto known =
        static_cast<size_t>(std::count_if(first.begin(), first.end(), [&](const auto& cell) {
          const std::string name(trimmed(cell));
          return is_known_name(lower(name)) || name == options.csv_img_key ||
                 name == options.csv_caption_key;
        }));
    if (known <= best_known) continue;
    best = separator;
    best_known = known;
  }
  if (best_known > 0) return best;
  for (const char separator : {'\t', ';', '|', ','}) {
    std::string_view rest = text;
    const size_t cells = take_row(rest, separator).cells.size();
    bool same = cells > best_cells;
    for (int line = 0; same && line < 20 && !rest.empty(); ++line) {
      const TableRow row = take_row(rest, separator);
      same = row.cells.size() == cells || is_empty(row);
    }
    if (!same) continue;
    best = separator;
    best_cells = cells;
    if (separator == '\t') break;
  }
  return best;
}

std::string joined(const Cells& cells) {
  std::string text;
  for (const auto& cell : cells) text += (text.empty() ? "" : ", ") + std::string(trimmed(cell));
  return text;
}

// The names of the columns: those given, the first line's, or the usual two.
Cells columns_of(const std::filesystem::path& path, const Cells& first,
                 const ImportOptions& options) {
  if (!options.csv_columns.empty()) return options.csv_columns;
  if (!options.csv_no_header && is_header(first, options)) {
    Cells columns;
    for (const auto& cell : first) {
      const std::string name(trimmed(cell));
      const bool asked = name == options.csv_img_key || name == options.csv_caption_key;
      columns.push_back(!asked && is_known_name(lower(name)) ? lower(name) : name);
    }
    for (const std::string& key : {options.csv_img_key, options.csv_caption_key}) {
      if (key.empty() || std::find(columns.begin(), columns.end(), key) != columns.end()) continue;
      throw Error::input("no column '" + key + "' among: " + joined(first), path.string(),
                         "check the settings 'csv_img_key', 'csv_caption_key' and 'csv_separator'");
    }
    if (options.csv_img_key.empty() &&
        std::none_of(columns.begin(), columns.end(), [](const std::string& name) {
          return is_picture_key(name) || name == "image_id";
        })) {
      throw Error::input("no column names a picture, among: " + joined(first).substr(0, 200),
                         path.string(), "say which one with the setting 'csv_img_key'");
    }
    return columns;
  }
  for (const std::string& key : {options.csv_img_key, options.csv_caption_key}) {
    if (key.empty()) continue;
    throw Error::input("no column '" + key + "' in the first line: " + joined(first).substr(0, 200),
                       path.string(),
                       "check the settings 'csv_img_key', 'csv_caption_key' and 'csv_separator', "
                       "or name the columns with the setting 'columns'");
  }
  if (first.size() > 2) {
    throw Error::input("the table has " + std::to_string(first.size()) +
                           " columns, and its first line names none that is known: " +
                           joined(first).substr(0, 200),
                       path.string(), "name them with the setting 'columns=image,caption,...'");
  }
  log::info("{}: no column names, taking the first column as picture, the second as caption",
            path.string());
  return {"image", "caption"};
}

char separator_of(const ImportOptions& options, std::string_view text) {
  const std::string& given = options.csv_separator;
  if (given.empty()) return find_separator(text, options);
  if (given == "\\t" || given == "tab") return '\t';
  if (given.size() != 1) {
    throw Error::input("a separator is one character, not '" + given + "'",
                       "setting 'csv_separator'", "use , or ; or tab");
  }
  return given[0];
}

// Cells that no column has: empty ones do not count; where the last column is the caption, what was
// meant is a caption with separators in it; else the row cannot be used.
bool fit_cells(TableRow& row, const Cells& columns, char separator, const ImportOptions& options) {
  while (row.cells.size() > columns.size() && trimmed(row.cells.back()).empty() &&
         !row.quoted.back()) {
    row.cells.pop_back();
    row.quoted.pop_back();
  }
  if (row.cells.size() <= columns.size()) return row.cells.size() == columns.size();
  const std::string& last = columns.back();
  const bool is_text = is_text_key(last) || (!last.empty() && last == options.csv_caption_key);
  const auto from = static_cast<std::ptrdiff_t>(columns.size()) - 1;
  if (!is_text || separator == '\t' ||
      std::find(row.quoted.begin() + from, row.quoted.end(), true) != row.quoted.end()) {
    return false;
  }
  std::string& text = row.cells[columns.size() - 1];
  for (size_t i = columns.size(); i < row.cells.size(); ++i) text += separator + row.cells[i];
  row.cells.resize(columns.size());
  return true;
}

}  // namespace

void for_each_table_row(
    const std::filesystem::path& path, const ImportOptions& options, SkipCounter& skips,
    const std::function<void(const Json& row, const std::string& where)>& visit) {
  std::string text = read_text(path);
  if (text.find('\n') == std::string::npos) std::replace(text.begin(), text.end(), '\r', '\n');
  std::string_view rest = text;
  ImportOptions chosen = options;
  if (chosen.csv_separator.empty() && rest.starts_with("sep=") && rest.size() > 5) {
    chosen.csv_separator = rest.substr(4, 1);  // Excel's own first line
    rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
  }
  const char separator = separator_of(chosen, rest);
  std::string_view after_first = rest;
  const TableRow first = take_row(after_first, separator);
  require_utf8(first.raw, path.string());
  const Cells columns = columns_of(path, first.cells, options);
  int64_t number = 0;
  if (!options.csv_no_header && is_header(first.cells, options)) {
    rest = after_first;
    ++number;
  }
  while (!rest.empty()) {
    TableRow row = take_row(rest, separator);
    ++number;
    if (is_empty(row)) continue;
    const std::string where = path.string() + " row " + std::to_string(number);
    if (const size_t bad = find_bad_utf8(row.raw); bad != std::string_view::npos) {
      skips.add(skip::kNotUtf8, where, place_in_text(row.raw, bad).substr(0, 9));
      continue;
    }
    const size_t cells = row.cells.size();
    if (!fit_cells(row, columns, separator, options)) {
      skips.add(skip::kBadAnnotation, where,
                "has " + std::to_string(cells) + " cells for " + std::to_string(columns.size()) +
                    " columns");
      continue;
    }
    if (cells > columns.size() && cells != row.cells.size() &&
        trimmed(row.cells.back()).size() > 0 && separator != '\t') {
      skips.note(kJoinedCells, where, row.cells.back());
    }
    Json object = Json::object();
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string_view cell = trimmed(row.cells[i]);
      if (cell.empty() || columns[i].empty()) continue;
      object[columns[i]] = row.quoted[i] ? row.cells[i] : std::string(cell);
    }
    visit(object, where);
  }
}

}  // namespace opencloc
