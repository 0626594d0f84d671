#include "opencloc/base/json_strict.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr int kMaxLevels = 256;  // the parser does not recurse, but walkers of the result do

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
          replace("NaN", kNanNumber);
          break;
        case 'I':
          replace("Infinity", kInfinityNumber);
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
    const bool taken = number == kNanNumber || number == kInfinityNumber;
    const bool large = number.size() >= 5 && std::isinf(std::strtod(number.c_str(), nullptr));
    if (taken || large) {
      text_.replace(begin, kNanNumber.size(), taken ? "0.0" : kInfinityNumber);
      std::fill(text_.begin() + static_cast<std::ptrdiff_t>(begin + kNanNumber.size()),
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

}  // namespace

void make_strict_json(std::string& text, std::string_view where) { StrictText(text, where).run(); }

}  // namespace opencloc
