#include "opencloc/dialogue/scan_boxes.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "opencloc/base/text_file.h"
#include "opencloc/dialogue/frame.h"

namespace opencloc {
namespace {

constexpr std::string_view kDelimiters = ".,;!?";

// Reads along a text; every read of something that is not there fails and moves nothing that
// matters to the caller.
class Cursor {
 public:
  Cursor(std::string_view text, size_t at) : text_(text), at_(at) {}
  size_t at() const { return at_; }
  bool take(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool number(double& value) {
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '+') ++at_;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() || !std::isfinite(value)) return false;
    at_ = static_cast<size_t>(end - text_.data());
    return true;
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }
  std::string_view text_;
  size_t at_;
};

struct Bracket {
  std::array<double, 4> numbers{};
  size_t end = 0;
};

// "[a, b, c, d]" or "(a, b), (c, d)" that begins at text[at].
std::optional<Bracket> bracket_at(std::string_view text, size_t at) {
  Cursor cursor(text, at);
  Bracket bracket;
  auto& v = bracket.numbers;
  const auto pair = [&cursor](double& a, double& b) {
    return cursor.number(a) && cursor.take(',') && cursor.number(b);
  };
  bool good = false;
  if (text[at] == '[') {
    good = cursor.take('[') && pair(v[0], v[1]) && cursor.take(',') && pair(v[2], v[3]) &&
           cursor.take(']');
  } else {
    good = cursor.take('(') && pair(v[0], v[1]) && cursor.take(')') && cursor.take(',') &&
           cursor.take('(') && pair(v[2], v[3]) && cursor.take(')');
  }
  if (!good) return std::nullopt;
  bracket.end = cursor.at();
  return bracket;
}

std::optional<std::string> between(std::string_view text, std::string_view open,
                                   std::string_view close) {
  const size_t first = text.rfind(open);
  if (first == text.npos) return std::nullopt;
  const size_t start = first + open.size();
  const size_t last = text.find(close, start);
  if (last == text.npos) return std::nullopt;
  return std::string(trimmed(text.substr(start, last - start)));
}

// `"label": "fox"` right behind a box, before the next '}'.
std::optional<std::string> label_behind(std::string_view text) {
  const std::string_view object = text.substr(0, text.find('}'));
  const size_t key = object.find("\"label\"");
  if (key == object.npos) return std::nullopt;
  const size_t open = object.find('"', key + 7);
  if (open == object.npos) return std::nullopt;
  const size_t close = object.find('"', open + 1);
  if (close == object.npos) return std::nullopt;
  return std::string(trimmed(object.substr(open + 1, close - open - 1)));
}

// `before`: from the end of the box before to this one.
std::string phrase_of(std::string_view before, std::string_view behind) {
  if (auto ref = between(before, "<ref>", "</ref>")) return *ref;
  if (auto ref = between(before, "<|object_ref_start|>", "<|object_ref_end|>")) return *ref;
  if (auto label = label_behind(behind)) return *label;
  const size_t mark = before.find("<|box_start|>");
  before = before.substr(0, std::min(mark, before.find("<box>")));
  before = before.substr(0, before.find_last_not_of("[( ") + 1);
  const size_t last = before.find_last_of(kDelimiters);
  return std::string(trimmed(last == before.npos ? before : before.substr(last + 1)));
}

// Python's int(): blanks around, a sign, digits.
std::optional<int64_t> python_int(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "12, 30, 400, 500"; none when one of them is no whole number. Fewer than four stop Ferret's
// evaluation with an error; here they are no box either.
std::optional<std::array<int64_t, 4>> whole_numbers(std::string_view text) {
  std::array<int64_t, 4> numbers{};
  size_t count = 0;
  for (bool more = true; more;) {
    const size_t comma = text.find(',');
    const auto value = python_int(text.substr(0, comma));
    if (!value) return std::nullopt;
    if (count < 4) numbers[count] = *value;
    ++count;
    more = comma != text.npos;
    if (more) text.remove_prefix(comma + 1);
  }
  if (count < 4) return std::nullopt;
  return numbers;
}

}  // namespace

std::vector<NumberedBox> scan_boxes(std::string_view text) {
  std::vector<NumberedBox> found;
  size_t last = 0;  // where the words of the next phrase begin
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '[' && text[at] != '(') continue;
    const auto bracket = bracket_at(text, at);
    if (!bracket) continue;
    found.push_back(
        {phrase_of(text.substr(last, at - last), text.substr(bracket->end)), bracket->numbers});
    last = bracket->end;
    at = bracket->end - 1;
  }
  return found;
}

// Follows Ferret's decode_bbox_from_caption step by step, with what is odd about it: after a box
// the phrase begins behind the next delimiter, and a box that comes before that has none.
std::vector<FoundBox> ferret_boxes(std::string_view text, PictureSize picture) {
  std::vector<FoundBox> found;
  const double w = picture.width, h = picture.height;
  const auto cut = [](double v) { return static_cast<float>(std::trunc(v)); };
  const auto slice = [&text](size_t from, size_t to) {
    return std::string(trimmed(from < to ? text.substr(from, to - from) : std::string_view()));
  };
  std::string phrase;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[') {
      phrase = slice(start, i);
      start = i + 1;
    } else if (text[i] == ']') {
      const auto v = whole_numbers(slice(start, i));
      if (!v) return {};
      const auto p = [&v](size_t k) { return static_cast<double>((*v)[k]); };
      const Box pixels{cut(p(0) * (w / 1000)), cut(p(1) * (h / 1000)), cut(p(2) * (w / 1000)),
                       cut(p(3) * (h / 1000))};
      found.push_back({phrase,
                       {static_cast<float>(pixels.x0 / w), static_cast<float>(pixels.y0 / h),
                        static_cast<float>(pixels.x1 / w), static_cast<float>(pixels.y1 / h)}});
      start = i + 1;
      while (start < text.size() && kDelimiters.find(text[start]) == kDelimiters.npos) ++start;
      ++start;
    }
  }
  return found;
}

}  // namespace opencloc
