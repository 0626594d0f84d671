#include "opencloc/base/json_stream.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/json_strict.h"

namespace opencloc {
namespace {

[[noreturn]] void bad_json(std::string_view what, std::string_view where) {
  throw Error::input("invalid JSON (" + std::string(what) + ")", where,
                     "correct or replace the file");
}

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
    if (number == kNanNumber) value = std::numeric_limits<double>::quiet_NaN();
    if (number == kInfinityNumber) value = std::numeric_limits<double>::infinity();
    if (number == kInfinityNumber && negative) value = -value;
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
  make_strict_json(text, where);
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
    if (depth_ == 0 && !empty.is_object()) begin_root_list();
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
  // As if the root were an object with this list alone.
  void begin_root_list() {
    if (lists_.root.empty()) not_an_object();
    const auto it = std::find(lists_.names.begin(), lists_.names.end(), lists_.root);
    wanted_ = static_cast<size_t>(it - lists_.names.begin());
    depth_ = 1;
  }
  void finish_element() { visit_(wanted_, builder_.take()); }
  [[noreturn]] void not_an_object() const {
    throw Error::input("not a " + std::string(lists_.what) + " (its root is no object)", where_,
                       "check the setting 'annotations', or which file is meant");
  }
  [[noreturn]] void not_a_list() const {
    throw Error::input("not a " + std::string(lists_.what) + " ('" +
                           std::string(lists_.names[wanted_]) + "' is not a list)",
                       where_, "check the setting 'annotations', or which file is meant");
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
