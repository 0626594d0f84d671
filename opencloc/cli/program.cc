#include "opencloc/cli/program.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <sstream>
#include <system_error>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/flag_names.h"
#include "opencloc/cli/verb.h"
#include "opencloc/dist/place.h"

namespace opencloc::cli {

// Long messages of libraries carry stack traces after their first line.
int report_error(const std::string& message, int exit_code) {
  ProgressBar::clear_live();
  std::fprintf(stderr, "opencloc: error: %s\n", message.substr(0, message.find('\n')).c_str());
  return exit_code;
}

namespace {

// The verb the user was at, for "see ... --help".
std::string verb_path(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return app.get_name() + (chosen.empty() ? "" : " " + verb_path(*chosen.front()));
}

// CLI11 lists the flags that exclude one another by where they lie in memory, another order in
// every program.
class SteadyFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string text = CLI::Formatter::make_option_opts(option);
    const size_t needs = text.find(" Needs: "), excludes = text.find(" Excludes: ");
    const size_t begin = std::min(needs, excludes);
    if (begin == text.npos) return text;
    return text.substr(0, begin) +
           (needs == text.npos ? "" : sorted(text.substr(needs, excludes - needs))) +
           (excludes == text.npos ? "" : sorted(text.substr(excludes)));
  }

 private:
  // " Needs: b a" -> " Needs: a b"
  static std::string sorted(const std::string& list) {
    std::istringstream in(list);
    std::string label, name;
    in >> label;
    std::vector<std::string> names;
    while (in >> name) names.push_back(name);
    std::sort(names.begin(), names.end());
    return " " + label + " " + CLI::detail::join(names, " ");
  }
};

}  // namespace

int finish_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  return report_error("cannot write (" + errno_text() + "), standard output: check free space", 1);
}

std::unique_ptr<CLI::App> make_program() {
  auto app = std::make_unique<CLI::App>(
      "OpenCLOC: images and texts with promptable regions, in C++", "opencloc");
  app->set_version_flag("--version", "opencloc " OPENCLOC_VERSION, "Print the version and exit");
  app->require_subcommand(1);
  app->formatter(std::make_shared<SteadyFormatter>());  // verbs take over what is set before them
  return app;
}

int guarded(const std::function<void()>& work) {
  try {
    work();
    return finish_output();
  } catch (const EndedBefore& ended) {
    return ended.exit_code;
  } catch (const Error& error) {
    return report_error(in_flags(error.what()), error.exit_code());
  } catch (const std::bad_alloc&) {
    return report_error("out of memory: use smaller batches, pictures or fewer threads", 1);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again)
      return report_error(error.what(), 1);
    return report_error(
        "no further thread can be started: raise the limit of processes (ulimit -u), or "
        "use fewer threads",
        1);
  } catch (const std::exception& error) {
    return report_error(error.what(), 1);
  }
}

int run_program(CLI::App& app, const std::vector<std::string>& arguments) {
  return guarded([&] {
    log::set_rewrite(in_flags);
    try {
      share_cpus_among(dist::place_from_environment().local_size);
      parse_and_run(app, arguments);
    } catch (const CLI::Success& asked) {  // --help, --version
      app.exit(asked);
    } catch (const CLI::ParseError& wrong) {
      const std::string verb = verb_path(app);
      report_error(std::string(wrong.what()) + ", " + verb + ": see '" + verb + " --help'", 2);
      throw EndedBefore{2};
    }
  });
}

}  // namespace opencloc::cli
