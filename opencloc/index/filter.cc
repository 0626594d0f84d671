#include "opencloc/index/filter.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using Test = PictureFilter::Test;

constexpr int64_t kReadAtATime = 5000;
constexpr int kDeepest = 100;  // parentheses and nots within each other

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), lower);
  return text;
}

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

int64_t number_of(const PictureEntry& entry, const std::string& field) {
  if (field == "id") return entry.picture.id;
  if (field == "width") return entry.picture.width;
  return field == "height" ? entry.picture.height : entry.picture.rows - 1;
}

// Whether one of the texts of a field fits.
template <typename Fits>
bool any_text(const PictureEntry& entry, const std::string& field, const Fits& fits) {
  if (field == "caption") return fits(entry.picture.caption);
  if (field == "name") {
    return std::any_of(entry.names.begin(), entry.names.end(),
                       [&](const PictureName& name) { return fits(name.name); });
  }
  return std::any_of(entry.texts.begin(), entry.texts.end(),
                     [&](const RegionText& text) { return fits(text.text); });
}

Test number_test(const std::string& field, const std::string& op, double value) {
  return [field, op, value](const PictureEntry& entry) {
    const auto number = static_cast<double>(number_of(entry, field));
    if (op == "=") return number == value;
    if (op == "!=") return number != value;
    if (op == "<") return number < value;
    if (op == "<=") return number <= value;
    return op == ">" ? number > value : number >= value;
  };
}

Test text_test(const std::string& field, const std::string& op, const std::string& value) {
  const bool holds = op.back() == '~', opposite = op.front() == '!';
  const std::string wanted = holds ? in_lower_case(value) : value;
  return [=](const PictureEntry& entry) {
    return opposite != any_text(entry, field, [&](const std::string& text) {
             return holds ? in_lower_case(text).find(wanted) != text.npos : text == wanted;
           });
  };
}

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  Test parse() {
    Test test = any();
    skip_space();
    if (at_ < text_.size()) fail("'and', 'or' or the end is expected");
    return test;
  }
  bool needs_names() const { return needs_names_; }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    const std::string rest = at_ < text_.size() ? "'" + text_.substr(at_, 20) + "'" : "its end";
    throw Error::input("the filter makes no sense at " + rest + ": " + what, text_,
                       "write for example: caption ~ \"car\" and width >= 512");
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  std::string peek_word() {
    skip_space();
    size_t end = at_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    return text_.substr(at_, end - at_);
  }
  bool take_word(const char* word) {
    if (peek_word() != word) return false;
    at_ += std::string_view(word).size();
    return true;
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Test any() {
    Test test = all();
    while (take_word("or")) {
      test = [left = std::move(test), right = all()](const PictureEntry& entry) {
        return left(entry) || right(entry);
      };
    }
    return test;
  }
  Test all() {
    Test test = one();
    while (take_word("and")) {
      test = [left = std::move(test), right = one()](const PictureEntry& entry) {
        return left(entry) && right(entry);
      };
    }
    return test;
  }
  Test one() {
    if (++depth_ > kDeepest) fail("too much within each other");
    Test test;
    if (take_word("not")) {
      test = [inner = one()](const PictureEntry& entry) { return !inner(entry); };
    } else if (take('(')) {
      test = any();
      if (!take(')')) fail("')' is expected");
    } else {
      test = comparison();
    }
    --depth_;
    return test;
  }
  Test comparison() {
    const std::string field = peek_word();
    const bool number =
        field == "id" || field == "width" || field == "height" || field == "regions";
    const bool text = field == "caption" || field == "name" || field == "text";
    if (!number && !text)
      fail("a field is expected: id, width, height, regions, caption, name or text");
    at_ += field.size();
    const std::string op = number ? take_operator({"<=", ">=", "!=", "<", ">", "="})
                                  : take_operator({"!=", "!~", "=", "~"});
    if (op.empty())
      fail(number ? "one of = != < <= > >= is expected" : "one of = != ~ !~ is expected");
    if (number) return number_test(field, op, take_number());
    needs_names_ |= field != "caption";
    return text_test(field, op, take_text());
  }
  std::string take_operator(std::initializer_list<std::string_view> known) {
    skip_space();
    for (const std::string_view op : known) {
      if (text_.compare(at_, op.size(), op) != 0) continue;
      at_ += op.size();
      return std::string(op);
    }
    return {};
  }
  double take_number() {
    skip_space();
    double value = 0;
    const char *begin = text_.data() + at_, *end = text_.data() + text_.size();
    const auto [rest, error] = std::from_chars(begin, end, value);
    if (error != std::errc()) fail("a number is expected");
    at_ += static_cast<size_t>(rest - begin);
    return value;
  }
  std::string take_text() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '"' && quote != '\'') fail("a text in quotes is expected");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) fail("the text has no closing quote");
    const std::string text = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return text;
  }

  const std::string& text_;
  size_t at_ = 0;
  int depth_ = 0;
  bool needs_names_ = false;
};

}  // namespace

PictureFilter::PictureFilter(const std::string& text) {
  Parser parser(text);
  test_ = parser.parse();
  needs_names_ = parser.needs_names();
}

std::vector<int64_t> filtered_pictures(PictureCatalog& catalog, const PictureFilter& filter) {
  std::vector<int64_t> meant;
  int64_t after = 0;
  for (;;) {
    const auto pictures = catalog.pictures_after(after, kReadAtATime);
    if (pictures.empty()) return meant;
    after = pictures.back().id;
    if (filter.needs_names()) {
      std::vector<int64_t> ids;
      for (const CatalogPicture& picture : pictures) ids.push_back(picture.id);
      for (const PictureEntry& entry : catalog.pictures(ids)) {
        if (filter.holds(entry)) meant.push_back(entry.picture.id);
      }
    } else {
      PictureEntry entry;
      for (const CatalogPicture& picture : pictures) {
        entry.picture = picture;
        if (filter.holds(entry)) meant.push_back(picture.id);
      }
    }
  }
}

}  // namespace opencloc
