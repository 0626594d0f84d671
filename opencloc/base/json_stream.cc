#include "opencloc/base/json_stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>
#include <utility>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr int kMaxLevels = 256;  // the parser does not recurse, but walkers of the result do

// What Python writes and JSON does not know is replaced, in place, by numbers that nobody writes;
// StrictText makes sure that they are not in the text already.
constexpr std::string_view kNan = "0e7";
constexpr std::string_view kInfinity = "0e8";

[[noreturn]] void bad_json(std::string_view what, std::string_view where) {
  throw Error::input("invalid JSON (" + std::string(what) + ")", where,
                     "correct or replace the file");
}

// One pass over the text: refuses deep nesting, and makes what Python reads readable.
class StrictText {
 public:
  StrictText(std::string& text, std::string_view where) : text_(text), where_(where) {}

  void run() {
    int depth = 0;
    for (at_ = 0; at_ < text_.size(); ++at_) {
      switch (text_[at_]) {
        case '"':
          pass_string();
          break;
        case '[':
        case '{':
          if (++depth > kMaxLevels) {
            throw Error::input("JSON nested deeper than 256 levels", where_,
                               "check where the file comes from");
          }
          break;
        case ']':
        case '}':
          --depth;
          break;
        case 'N':
          replace("NaN", kNan);
          break;
        case 'I':
          replace("Infinity", kInfinity);
          break;
        case 'e':
        case 'E':
          check_exponent();
          break;
        default:
          break;
      }
    }
  }

 private:
  void replace(std::string_view word, std::string_view number) {
    if (text_.compare(at_, word.size(), word) != 0) return;
    text_.replace(at_, number.size(), number);
    std::fill_n(text_.begin() + static_cast<std::ptrdiff_t>(at_ + number.size()),
                word.size() - number.size(), ' ');
    at_ += word.size() - 1;
  }

  // A number too large for a double is infinity, as in Python.
  void check_exponent() {
    const auto in_number = [this](size_t i) {
      const char c = text_[i];
      return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+';
    };
    if (at_ == 0 || !in_number(at_ - 1)) return;  // true, false
    size_t begin = at_, end = at_ + 1;
    while (begin > 0 && in_number(begin - 1)) --begin;
    while (end < text_.size() && in_number(end)) ++end;
    if (text_[begin] == '-') ++begin;
    const std::string number = text_.substr(begin, end - begin);
    const bool taken = number == kNan || number == kInfinity;
    const bool large = number.size() >= 5 && std::isinf(std::strtod(number.c_str(), nullptr));
    if (taken || large) {
      text_.replace(begin, kNan.size(), taken ? "0.0" : kInfinity);
      std::fill(text_.begin() + static_cast<std::ptrdiff_t>(begin + kNan.size()),
                text_.begin() + static_cast<std::ptrdiff_t>(end), ' ');
    }
    at_ = end - 1;
  }

  // The code of \uXXXX at text_[i]; -1 when there is none.
  int escaped(size_t i) const {
    if (i + 6 > text_.size() || text_[i] != '\\' || text_[i + 1] != 'u') return -1;
    int code = 0;
    for (size_t k = i + 2; k < i + 6; ++k) {
      const char c = text_[k];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return -1;
      code = code * 16 + digit;
    }
    return code;
  }

  void pass_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] != '\\') continue;
      const int code = escaped(at_);
      if (code >= 0xD800 && code < 0xE000) {
        const int next = code < 0xDC00 ? escaped(at_ + 6) : -1;
        if (next >= 0xDC00 && next < 0xE000) {
          at_ += 11;
        } else {
          text_.replace(at_, 6, "\\ufffd");
          at_ += 5;
        }
      } else {
        ++at_;
      }
    }
  }

  std::string& text_;
  std::string_view where_;
  size_t at_ = 0;
};

// The box around polygons: lists of x, y, x, y, ... at any depth of lists.
class PolygonBounds {
 public:
  void begin() { *this = PolygonBounds(); }
  void open(bool is_list) {
    good_ = good_ && is_list;  // an object is a run-length mask
    counts_.push_back(0);
  }
  void close() {
    good_ = good_ && counts_.back() % 2 == 0;
    counts_.pop_back();
  }
  void number(double value) {
    if (counts_.empty() || !std::isfinite(value)) {
      good_ = false;
      return;
    }
    const size_t side = counts_.back()++ % 2;
    low_[side] = std::min(low_[side], value);
    high_[side] = std::max(high_[side], value);
  }
  void other() { good_ = false; }
  bool done() const { return counts_.empty(); }
  Json json() const {
    if (!good_ || low_[0] > high_[0] || low_[1] > high_[1]) return nullptr;
    return {low_[0], low_[1], high_[0], high_[1]};
  }

 private:
  bool good_ = true;
  std::vector<size_t> counts_;  // numbers of every open list
  double low_[2] = {std::numeric_limits<double>::max(), std::numeric_limits<double>::max()};
  double high_[2] = {std::numeric_limits<double>::lowest(), std::numeric_limits<double>::lowest()};
};

// Makes a value of events.
class Builder {
 public:
  Builder(std::vector<std::string_view> leave_out, std::string_view polygons)
      : leave_out_(std::move(leave_out)), polygons_(polygons) {}

  // True when the value is complete.
  template <typename T>
  bool scalar(T&& value) {
    if (state_ == State::kPass || state_ == State::kMeasure) {
      if (state_ == State::kMeasure) measure(value);
      if (inside_ == 0) finish_special();
      return stack_.empty();
    }
    add(Json(std::forward<T>(value)));
    return stack_.empty();
  }
  bool open(Json empty) {
    if (state_ != State::kBuild) {
      ++inside_;
      if (state_ == State::kMeasure) bounds_.open(empty.is_array());
      return false;
    }
    stack_.push_back(add(std::move(empty)));
    return false;
  }
  bool close() {
    if (state_ != State::kBuild) {
      --inside_;
      if (state_ == State::kMeasure) bounds_.close();
      if (inside_ == 0) finish_special();
      return false;
    }
    stack_.pop_back();
    return stack_.empty();
  }
  void key(std::string& name) {
    if (state_ != State::kBuild) return;
    if (!polygons_.empty() && name == polygons_) {
      state_ = State::kMeasure;
      bounds_.begin();
      slot_ = &(*stack_.back())[name];
    } else if (std::find(leave_out_.begin(), leave_out_.end(), name) != leave_out_.end()) {
      state_ = State::kPass;
    } else {
      slot_ = &(*stack_.back())[name];
    }
  }
  Json take() { return std::exchange(root_, Json()); }

 private:
  enum class State { kBuild, kPass, kMeasure };

  Json* add(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(value));
      return &stack_.back()->back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  template <typename T>
  void measure(const T& value) {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      bounds_.number(static_cast<double>(value));
    } else {
      bounds_.other();
    }
  }
  void finish_special() {
    if (state_ == State::kMeasure) *slot_ = bounds_.json();
    state_ = State::kBuild;
  }

  const std::vector<std::string_view> leave_out_;
  const std::string_view polygons_;
  Json root_;
  std::vector<Json*> stack_;
  Json* slot_ = nullptr;  // of the key that came last
  State state_ = State::kBuild;
  int inside_ = 0;  // open lists and objects of a value that is passed over or measured
  PolygonBounds bounds_;
};

// The events of nlohmann's parser, as a few functions of `Next`: scalar, open, close, key.
template <typename Next>
class Events {
 public:
  using number_float_t = Json::number_float_t;

  explicit Events(Next& next) : next_(next) {}
  bool null() { return next_.scalar(nullptr); }
  bool boolean(bool value) { return next_.scalar(value); }
  bool number_integer(Json::number_integer_t value) { return next_.scalar(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return next_.scalar(value); }
  bool number_float(number_float_t value, const std::string& text) {
    const bool negative = text.starts_with('-');
    const std::string_view number = std::string_view(text).substr(negative ? 1 : 0);
    if (number == kNan) value = std::numeric_limits<double>::quiet_NaN();
    if (number == kInfinity) value = std::numeric_limits<double>::infinity();
    if (number == kInfinity && negative) value = -value;
    return next_.scalar(value);
  }
  bool string(std::string& value) { return next_.scalar(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(size_t) { return next_.open(Json::object()); }
  bool key(std::string& name) { return next_.key(name); }
  bool end_object() { return next_.close(); }
  bool start_array(size_t) { return next_.open(Json::array()); }
  bool end_array() { return next_.close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) {
    problem = error.what();
    return false;
  }
  std::string problem;

 private:
  Next& next_;
};

template <typename Next>
void parse(std::string& text, std::string_view where, Next& next) {
  StrictText(text, where).run();
  Events<Next> events(next);
  if (!Json::sax_parse(text, &events)) bad_json(events.problem, where);
}

// The whole document.
class Document {
 public:
  explicit Document(const std::vector<std::string_view>& leave_out) : builder_(leave_out, {}) {}
  template <typename T>
  bool scalar(T&& value) {
    builder_.scalar(std::forward<T>(value));
    return true;
  }
  bool open(Json empty) {
    builder_.open(std::move(empty));
    return true;
  }
  bool close() {
    builder_.close();
    return true;
  }
  bool key(std::string& name) {
    builder_.key(name);
    return true;
  }
  Json take() { return builder_.take(); }

 private:
  Builder builder_;
};

// The elements of some lists of the root object.
class Elements {
 public:
  using Visit = std::function<void(size_t list, Json&& element)>;

  Elements(const JsonLists& lists, std::string_view where, const Visit& visit)
      : lists_(lists),
        where_(where),
        visit_(visit),
        builder_(lists.leave_out, lists.polygons),
        found(lists.names.size(), false) {}

  template <typename T>
  bool scalar(T&& value) {
    if (depth_ == 0) not_an_object();
    if (in_list_) {
      if (builder_.scalar(std::forward<T>(value)) && depth_ == 2) finish_element();
    } else if (depth_ == 1 && wanted_ < lists_.names.size()) {
      if constexpr (!std::is_same_v<std::decay_t<T>, std::nullptr_t>) not_a_list();
    }
    return true;
  }
  bool open(Json empty) {
    if (depth_ == 0 && !empty.is_object()) not_an_object();
    if (in_list_) {
      builder_.open(std::move(empty));
    } else if (depth_ == 1 && wanted_ < lists_.names.size()) {
      if (!empty.is_array()) not_a_list();
      found[wanted_] = true;
      in_list_ = true;
    }
    ++depth_;
    return true;
  }
  bool close() {
    --depth_;
    if (in_list_ && depth_ == 1) {
      in_list_ = false;
    } else if (in_list_ && builder_.close() && depth_ == 2) {
      finish_element();
    }
    return true;
  }
  bool key(std::string& name) {
    if (in_list_) {
      builder_.key(name);
    } else if (depth_ == 1) {
      const auto it = std::find(lists_.names.begin(), lists_.names.end(), name);
      wanted_ = static_cast<size_t>(it - lists_.names.begin());
    }
    return true;
  }

 private:
  void finish_element() { visit_(wanted_, builder_.take()); }
  [[noreturn]] void not_an_object() const {
    throw Error::input("not a " + std::string(lists_.what) + " (its root is no object)", where_,
                       "check --annotations, or which file is meant");
  }
  [[noreturn]] void not_a_list() const {
    throw Error::input("not a " + std::string(lists_.what) + " ('" +
                           std::string(lists_.names[wanted_]) + "' is not a list)",
                       where_, "check --annotations, or which file is meant");
  }

  const JsonLists& lists_;
  const std::string_view where_;
  const Visit& visit_;
  Builder builder_;
  int depth_ = 0;
  bool in_list_ = false;
  size_t wanted_ = 0;  // index of the root's key that came last

 public:
  std::vector<bool> found;
};

}  // namespace

Json parse_json_without(std::string text, std::string_view where,
                        const std::vector<std::string_view>& leave_out) {
  Document document(leave_out);
  parse(text, where, document);
  return document.take();
}

std::vector<bool> for_each_json_element(
    std::string text, std::string_view where, const JsonLists& lists,
    const std::function<void(size_t list, Json&& element)>& visit) {
  Elements elements(lists, where, visit);
  parse(text, where, elements);
  return elements.found;
}

}  // namespace opencloc
