// `opencloc bench`: the project's own benchmarks. A subject is one function in kSubjects.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "opencloc/base/json.h"
#include "opencloc/cli/bench_gemm.h"
#include "opencloc/cli/bench_open.h"
#include "opencloc/cli/bench_subjects.h"
#include "opencloc/cli/verb.h"

namespace opencloc::cli {
namespace {

// `run` is bench_gemm or bench_tower; about as long for each figure as --seconds asks.
void bench_products(const BenchFlags& flags, void (*run)(int, const ReportRate&)) {
  constexpr double kRunsPerSecond = 10;
  run(std::max(1, static_cast<int>(flags.seconds * kRunsPerSecond)), [&](const GemmRate& rate) {
    Figure figure;
    figure.name = rate.name;
    figure.items_per_s = rate.items_per_s;
    figure.gflops = rate.gflops;
    figure.peak = rate.peak;
    report(flags, figure);
  });
}

// A safetensors file of 1 GB: how long until every tensor is at hand, and what memory it takes.
void bench_weights(const BenchFlags& flags) {
  const OpenCost cost = bench_open(1'000'000'000, 5);
  if (flags.json) {
    const Json line = {{"name", "open/safetensors/1GB"},
                       {"bytes", cost.bytes},
                       {"tensors", cost.tensors},
                       {"ms", cost.wall_ms},
                       {"cpu_ms", cost.cpu_ms},
                       {"own_kib_open", cost.own_kib_open},
                       {"own_kib_read", cost.own_kib_read},
                       {"peak_rss_kib", cost.peak_rss_kib}};
    std::printf("%s\n", dump_json(line).c_str());
  } else {
    std::printf("%-48s %9.2f ms %9.2f ms of a core; own memory +%lld KiB open, +%lld KiB read\n",
                "open/safetensors/1GB", cost.wall_ms, cost.cpu_ms,
                static_cast<long long>(cost.own_kib_open),
                static_cast<long long>(cost.own_kib_read));
  }
}

struct Subject {
  const char* name;
  void (*run)(const BenchFlags& flags);
};
constexpr Subject kSubjects[] = {
    {"peak", bench_peak},
    {"gemm", [](const BenchFlags& flags) { bench_products(flags, bench_gemm); }},
    {"tower", [](const BenchFlags& flags) { bench_products(flags, bench_tower); }},
    {"encode", bench_encode},
    {"prompt", bench_prompt},
    {"train", bench_train},
    {"loss", bench_loss},
    {"loader", bench_loader},
    {"tokenizer", bench_tokenizer},
    {"open", bench_weights},
    {"signature", bench_signature},
};

void run_bench(const BenchFlags& flags) {
  for (const Subject& subject : kSubjects) {
    const auto& wanted = flags.subjects;
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), subject.name) != wanted.end()) {
      subject.run(flags);
    }
  }
}

}  // namespace

void add_bench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  std::vector<std::string> names;
  for (const Subject& subject : kSubjects) names.emplace_back(subject.name);
  app.add_option("SUBJECT", flags->subjects, "What to measure; nothing named = everything")
      ->check(CLI::IsMember(names));
  app.add_option("--images", flags->images,
                 "loader: folder of pictures instead of generated 640x480 JPEGs")
      ->type_name("DIR");
  app.add_option("--model", flags->model,
                 "encode, prompt, train: this architecture instead of the usual ones")
      ->type_name("NAME_OR_JSON");
  app.add_option("--batch", flags->batch,
                 "encode, train: images at a time; 0 = 1, 8 and 32 to encode, 8 to train")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--tokenizer", flags->tokenizer,
                 "tokenizer: a file or folder instead of made-up vocabularies")
      ->type_name("PATH");
  app.add_option("--loss-rows", flags->loss_rows, "loss: regions, each with its text")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  app.add_option("--precision", flags->precisions,
                 "encode, prompt, train, signature: bf16, int8, fp32; without it all")
      ->check(CLI::IsMember({"bf16", "int8", "fp32"}))
      ->delimiter(',');
  app.add_option("--seconds", flags->seconds,
                 "Time for each figure, after a run to warm up; what takes longer runs once")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_flag("--json", flags->json, "One JSON object a line");
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(What the columns mean: docs/speed.md.

Examples:
  opencloc bench peak encode --model ViT-B-16 --batch 32
  opencloc bench signature --json   (equal hashes before and after: no functional change))");
  app.callback([flags] { run_bench(*flags); });
}

}  // namespace opencloc::cli
