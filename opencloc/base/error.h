// The one exception for anything a user can cause. Goals: what, where, how to mend, in one line.
// A message names a setting as a program sees it, setting 'accum_freq' or setting 'device=cpu'; the
// command line shows the flag in its place (cli/flag_names.h).
// Non-goals: programmer errors; those are assertions.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace opencloc {

// The process exit code an error leads to (spec: 1 = it failed, 2 = wrong usage or unusable input).
enum class ErrorKind { kFailed = 1, kInput = 2 };

class Error : public std::runtime_error {
 public:
  // `what` went wrong, `where` (path, member, line, setting), `mend`: what the user can do about
  // it. Empty `where` or `mend` are left out of the message: "what, where: how to mend it".
  Error(ErrorKind kind, std::string_view what, std::string_view where = {},
        std::string_view mend = {});

  // Unusable input or wrong usage: exit code 2.
  static Error input(std::string_view what, std::string_view where = {},
                     std::string_view mend = {});
  // The work itself failed (disk full, NaN loss, ...): exit code 1.
  static Error failed(std::string_view what, std::string_view where = {},
                      std::string_view mend = {});

  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

// Text of the current errno, e.g. "No space left on device".
std::string errno_text();

}  // namespace opencloc
