// `opencloc bench`: the project's own benchmarks. A subject is one function in kSubjects.
#include <algorithm>
#include <memory>

#include "opencloc/bench/subjects.h"
#include "opencloc/cli/verb.h"

namespace opencloc::cli {
namespace {

struct Subject {
  const char* name;
  void (*run)(const bench::BenchOptions& options);
};
constexpr Subject kSubjects[] = {
    {"peak", bench::peak},           {"gemm", bench::gemm},           {"tower", bench::tower},
    {"encode", bench::encode},       {"text", bench::text},           {"prompt", bench::prompt},
    {"train", bench::train},         {"mllm", bench::mllm},           {"loss", bench::loss},
    {"loader", bench::loader},       {"tokenizer", bench::tokenizer}, {"open", bench::open},
    {"index", bench::index},         {"search", bench::search},       {"serve", bench::serve},
    {"signature", bench::signature},
};

struct BenchFlags {
  CommonFlags common;
  std::vector<std::string> subjects;
  bench::BenchOptions options;
};

void run_bench(BenchFlags& flags) {
  flags.options.threads = thread_count(flags.common);
  flags.options.seed = flags.common.seed;
  for (const Subject& subject : kSubjects) {
    const auto& wanted = flags.subjects;
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), subject.name) != wanted.end()) {
      subject.run(flags.options);
    }
  }
}

}  // namespace

void add_bench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  auto& options = flags->options;
  std::vector<std::string> names;
  for (const Subject& subject : kSubjects) names.emplace_back(subject.name);
  app.add_option("SUBJECT", flags->subjects, "What to measure; nothing named = everything")
      ->check(CLI::IsMember(names));
  app.add_option("--images", options.images,
                 "loader: folder of pictures instead of generated 640x480 JPEGs")
      ->type_name("DIR");
  app.add_option("--model", options.model,
                 "encode, text, prompt, train, mllm, serve: this architecture instead of the usual "
                 "ones; serve: "
                 "also a model's folder")
      ->type_name("NAME_OR_JSON");
  app.add_option("--batch", options.batch,
                 "encode, text, train, mllm, serve: images or texts at a time; 0 = 1, 8 and 32 to "
                 "encode, 32 for mllm, "
                 "8 otherwise")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--tokenizer", options.tokenizer,
                 "tokenizer: a file or folder instead of made-up vocabularies")
      ->type_name("PATH");
  app.add_option("--loss-rows", options.loss_rows, "loss: regions, each with its text")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  app.add_option("--samples", options.samples, "index: how many, in shards of 10,000")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  app.add_option("--rows", options.rows, "search: vectors, each of 512 numbers")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  app.add_option(
         "--vectors", options.vectors,
         "search: recall on the vectors in this file of 'opencloc embed' instead of made-up "
         "ones")
      ->type_name("FILE");
  app.add_option(
         "--queries", options.queries,
         "search, with --vectors: also by the texts in this file of 'opencloc embed --texts'")
      ->type_name("FILE");
  app.add_option("--server", options.server,
                 "serve: this server, which runs, instead of one that is started")
      ->type_name("http://ADDRESS:PORT");
  app.add_option("--api-key-file", options.api_key_file,
                 "serve, with --server: a file whose first line is its key")
      ->type_name("FILE");
  app.add_option("--index", options.index, "serve: this index instead of a made-up one")
      ->type_name("IDX");
  app.add_option("--index-rows", options.index_rows, "serve: vectors of a made-up index")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
  app.add_option("--clients", options.clients, "serve: how many ask at once")
      ->check(CLI::Range(1, 1000))
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--kind", options.kinds,
                 "serve: health, text, image, region, search; without it all")
      ->check(CLI::IsMember({"health", "text", "image", "region", "search"}))
      ->delimiter(',');
  app.add_option("--precision", options.precisions,
                 "encode, text, prompt, train, mllm, signature: bf16, int8, fp32; without it all. "
                 "serve: bf16 or "
                 "fp32")
      ->check(CLI::IsMember({"bf16", "int8", "fp32"}))
      ->delimiter(',');
  app.add_option(
         "--seconds", options.seconds,
         "Time for each figure, after a run to warm up; what takes ten times as long runs once")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_option("--device", options.device, "encode, text, train, serve: where")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_flag("--json", options.json, "One JSON object a line");
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(What the columns mean: docs/results/speed.md.

Examples:
  opencloc bench peak encode --model ViT-B-16 --batch 32
  opencloc bench serve --server http://127.0.0.1:1234 --kind text,search --clients 1,32
  opencloc bench signature --json   (equal hashes before and after: no functional change))");
  app.callback([flags] { run_bench(*flags); });
}

}  // namespace opencloc::cli
