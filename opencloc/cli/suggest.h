// Wrong usage, and what was probably meant.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace opencloc::cli {

// The name nearest to `wrong` among `names`, empty when none is near: other signs between words
// (batch_size), a few other letters, a word more (lr-rate), or what other programs call it
// (learning-rate for lr).
std::string nearest_name(const std::string& wrong, const std::vector<std::string>& names);

// The long names of a verb's flags.
std::vector<std::string> flag_names(const CLI::App& verb);

// `arguments` of `verb`, its name left out. Throws Error (input) for the first flag the verb does
// not have, with the one that was probably meant.
void require_known_flags(const CLI::App& verb, const std::string& place,
                         const std::vector<std::string>& arguments);
// Throws Error (input) when a flag of one value is given several, as a shell makes of a pattern
// without quotes. To be called once parsing has failed.
void explain_several_values(const CLI::App& verb, const std::string& place,
                            const std::vector<std::string>& arguments);

}  // namespace opencloc::cli
