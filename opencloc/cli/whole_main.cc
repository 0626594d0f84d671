// The whole program, opencloc-tensors: every verb. `opencloc` (main.cc) becomes it when tensors are
// needed; it can also be started by itself.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <sys/prctl.h>

#include "opencloc/cli/entity_vectors.h"
#include "opencloc/cli/inspect_models.h"
#include "opencloc/cli/program.h"
#include "opencloc/cli/tensor_parts.h"
#include "opencloc/cli/verb.h"
#include "opencloc/cli/verb_list.h"
#include "opencloc/dist/join.h"
#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/ops/caching_allocator.h"
#include "opencloc/ops/compute_threads.h"

namespace opencloc::cli {
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

std::unique_ptr<CLI::App> make_whole() {
  auto app = make_program();
  app->footer(kAbout);
  for (const Verb& verb : kVerbs) verb.add(*app->add_subcommand(verb.name, verb.does));
  return app;
}

int run_whole(const std::vector<std::string>& arguments) {
  if (arguments == std::vector<std::string>{"--write-verb-list"}) {  // the build's
    const std::string list = write_verb_list(make_whole);
    std::fwrite(list.data(), 1, list.size(), stdout);
    return finish_output();
  }
  return run_program(*make_whole(), arguments);
}

}  // namespace

const TensorParts& tensor_parts() {
  static constexpr TensorParts kParts{inspect_weights, write_entity_vectors};
  return kParts;
}

void use_threads(int threads) { set_compute_threads(threads); }

}  // namespace opencloc::cli

int main(int argc, char** argv) {
  ::prctl(PR_SET_NAME, "opencloc");     // what ps and killall call it
  opencloc::kernels::prepare_onednn();  // before libtorch uses it
#if !defined(__SANITIZE_ADDRESS__)      // kept blocks would hide the use of freed tensors from it
  opencloc::ops::use_caching_allocator();
#endif
  const int code = opencloc::cli::run_whole(std::vector<std::string>(argv + 1, argv + argc));
  // Threads may still wait for processes that are gone.
  if (opencloc::dist::group_failed()) std::_Exit(code);
  return code;
}
