// The one binary: a table of verbs, and errors turned into one line and an exit code.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/flag_names.h"
#include "opencloc/cli/verb.h"
#include "opencloc/dist/join.h"
#include "opencloc/dist/place.h"
#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/ops/caching_allocator.h"

namespace opencloc::cli {

// Long messages of libraries carry stack traces after their first line.
int report_error(const std::string& message, int exit_code) {
  ProgressBar::clear_live();
  std::fprintf(stderr, "opencloc: error: %s\n", message.substr(0, message.find('\n')).c_str());
  return exit_code;
}

namespace {

struct Verb {
  const char* name;
  const char* does;
  void (*add)(CLI::App& app);
};

constexpr Verb kVerbs[] = {
    {"data", "Import, make, count and look at data", add_data},
    {"train", "Train a model: CLIP, CLOC with promptable regions, or a captioner", add_train},
    {"eval", "Evaluate a model on classification, retrieval and region tasks", add_eval},
    {"embed", "Embed pictures, texts and regions", add_embed},
    {"label", "Find and name regions: images with texts -> region-text training data", add_label},
    {"convert", "Write a model in another layout: open_clip, Hugging Face, OpenAI, GGUF",
     add_convert},
    {"inspect", "Say what pictures, shards, checkpoints and model directories hold", add_inspect},
    {"compare", "Put the results of several evaluations into one table", add_compare},
    {"index", "Make, change and look at an index of pictures and their regions", add_index},
    {"search", "Find pictures and regions of an index by words, pictures or parts of them",
     add_search},
    {"serve", "Answer over HTTP: embeddings, regions and search, in several dialects", add_serve},
    {"mllm", "Train and ask a language model that sees through a tower", add_mllm},
    {"launch", "Start a verb as several processes that work as one", add_launch},
    {"bench", "Measure the speed of OpenCLOC on this machine", add_bench},
};

constexpr const char* kAbout = R"(Results go to stdout, logs and progress bars to stderr.
Exit code 0: done, 1: it failed, 2: wrong usage or unusable input.

Example, from nothing to numbers:
  opencloc data scenes --count 2000 --size 128 --seed 1 --out scenes
  opencloc data stats --data scenes
  opencloc data show --data scenes --out scenes.html
)";

// The verb the user was at, for "see ... --help".
std::string verb_path(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return app.get_name() + (chosen.empty() ? "" : " " + verb_path(*chosen.front()));
}

// Results that could not be written are not a success.
int finish() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  return report_error("cannot write (" + errno_text() + "), standard output: check free space", 1);
}

int run(int argc, char** argv) {
  log::set_rewrite(in_flags);
  CLI::App app{"OpenCLOC: images and texts with promptable regions, in C++", "opencloc"};
  app.set_version_flag("--version", "opencloc " OPENCLOC_VERSION, "Print the version and exit");
  app.require_subcommand(1);
  app.footer(kAbout);
  for (const Verb& verb : kVerbs) verb.add(*app.add_subcommand(verb.name, verb.does));
  try {
    share_cpus_among(dist::place_from_environment().local_size);
    parse_and_run(app, std::vector<std::string>(argv + 1, argv + argc));
    return finish();
  } catch (const CLI::Success& asked) {  // --help, --version
    app.exit(asked);
    return finish();
  } catch (const CLI::ParseError& wrong) {
    const std::string verb = verb_path(app);
    return report_error(std::string(wrong.what()) + ", " + verb + ": see '" + verb + " --help'", 2);
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

}  // namespace
}  // namespace opencloc::cli

int main(int argc, char** argv) {
  opencloc::kernels::prepare_onednn();  // before libtorch uses it
#if !defined(__SANITIZE_ADDRESS__)      // kept blocks would hide the use of freed tensors from it
  opencloc::ops::use_caching_allocator();
#endif
  const int code = opencloc::cli::run(argc, argv);
  // Threads may still wait for processes that are gone.
  if (opencloc::dist::group_failed()) std::_Exit(code);
  return code;
}
