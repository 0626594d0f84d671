#include "opencloc/cli/suggest.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <utility>

#include "opencloc/base/error.h"

namespace opencloc::cli {
namespace {

// What other programs (open_clip, transformers, ...) call flags of ours.
constexpr std::array<std::pair<const char*, const char*>, 34> kOtherNames = {{
    {"learning-rate", "lr"},
    {"bs", "batch-size"},
    {"batch", "batch-size"},
    {"num-workers", "workers"},
    {"weight-decay", "wd"},
    {"output", "out"},
    {"output-dir", "out"},
    {"output-file", "out"},
    {"out-dir", "out"},
    {"save-dir", "out"},
    {"logs", "out"},
    {"input", "data"},
    {"input-dir", "data"},
    {"dataset", "data"},
    {"shards", "data"},
    {"num-threads", "threads"},
    {"random-seed", "seed"},
    {"max-steps", "steps"},
    {"iterations", "steps"},
    {"num-epochs", "epochs"},
    {"train-num-samples", "samples"},
    {"pretrained", "init"},
    {"pretrained", "model"},
    {"checkpoint", "init"},
    {"checkpoint", "model"},
    {"model-path", "model"},
    {"model-name", "model"},
    {"gpu", "device"},
    {"fp16", "precision"},
    {"amp", "precision"},
    {"dtype", "precision"},
    {"force-image-size", "image-size"},
    {"grad-accum", "accum-freq"},
    {"save-frequency", "save-every"},
}};

// "--Batch_Size" -> "batch-size".
std::string plain(const std::string& name) {
  std::string text;
  for (const unsigned char c : name) text += c == '_' ? '-' : static_cast<char>(std::tolower(c));
  return text.substr(std::min(text.size(), text.find_first_not_of('-')));
}

std::string letters(std::string name) {
  std::erase(name, '-');
  return name;
}

// Letters to change, add or remove to get from one to the other.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

bool is_flag(const std::string& argument) {
  return argument.size() > 2 && argument.starts_with("--");
}

std::string name_of(const std::string& argument) {
  return argument.substr(2, argument.find('=') - 2);
}

const CLI::Option* option_named(const CLI::App& verb, const std::string& name) {
  for (const CLI::Option* option : verb.get_options()) {
    if (option->check_lname(name) || option->check_fname(name)) return option;
  }
  return nullptr;
}

}  // namespace

std::string nearest_name(const std::string& wrong, const std::vector<std::string>& names) {
  const std::string wanted = plain(wrong);
  if (wanted.empty()) return {};
  const auto known = [&](const std::string& name) {
    return std::ranges::find(names, name) != names.end();
  };
  for (const auto& name : names) {
    if (letters(plain(name)) == letters(wanted)) return name;
  }
  for (const auto& [other, ours] : kOtherNames) {
    if (wanted == other && known(ours)) return ours;
  }
  std::string best;
  size_t least = std::max<size_t>(1, std::min<size_t>(3, wanted.size() / 3)) + 1;
  for (const auto& name : names) {
    const size_t away = distance(wanted, plain(name));
    if (away < least && away < name.size()) {
      least = away;
      best = name;
    }
  }
  if (!best.empty()) return best;
  for (const auto& name : names) {  // a word more, or less
    const std::string ours = plain(name);
    const bool begins = wanted.starts_with(ours + '-') || ours.starts_with(wanted + '-') ||
                        wanted.ends_with('-' + ours) || ours.ends_with('-' + wanted);
    if (begins && ours.size() > best.size()) best = name;
  }
  return best;
}

std::vector<std::string> flag_names(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back(name);
  }
  return names;
}

void require_known_flags(const CLI::App& verb, const std::string& place,
                         const std::vector<std::string>& arguments) {
  for (const auto& argument : arguments) {
    if (argument == "--") return;
    if (!is_flag(argument)) continue;
    const std::string name = name_of(argument);
    if (option_named(verb, name) != nullptr) continue;
    const std::string meant = nearest_name(name, flag_names(verb));
    throw Error::input(
        "unknown flag '--" + name + "'", place,
        (meant.empty() ? "" : "did you mean --" + meant + "? ") + "See '" + place + " --help'");
  }
}

void explain_several_values(const CLI::App& verb, const std::string& place,
                            const std::vector<std::string>& arguments) {
  if (!verb.get_options([](const CLI::Option* option) { return option->get_positional(); }).empty())
    return;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!is_flag(arguments[i])) continue;
    const CLI::Option* option = option_named(verb, name_of(arguments[i]));
    if (option == nullptr) continue;
    const bool given = arguments[i].find('=') != std::string::npos;
    const auto takes = static_cast<size_t>(std::max(0, option->get_items_expected_max()));
    size_t values = given ? 1 : 0;
    while (i + 1 < arguments.size() && !arguments[i + 1].starts_with('-')) {
      ++i;
      ++values;
    }
    if (values <= std::max<size_t>(takes, given ? 1 : 0)) continue;
    const std::string flag = "--" + option->get_lnames().front();
    if (takes == 0) {
      throw Error::input("'" + arguments[i] + "' after " + flag + ", which takes no value", place,
                         "see '" + place + " --help'");
    }
    throw Error::input(
        "several values after " + flag + ", which takes one", place,
        "put a pattern in quotes, so that the shell leaves it whole: " + flag + " 'shards/*.tar'");
  }
}

}  // namespace opencloc::cli
