#include "opencloc/cli/run_flags.h"

#include <charconv>
#include <cstdio>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/model/device.h"

namespace opencloc::cli {

void add_source_flags(CLI::App& app, RunConfig& config) {
  const char* group = "Data";
  app.add_option("--data,--train-data", config.data, "shards; several sources joined by ::")
      ->required()
      ->group(group);
  app.add_option("--data-weights", config.data_weights,
                 "share of the samples drawn from each source, e.g. 1::2; without it by size")
      ->group(group);
  app.add_option("--train-data-upsampling-factors", config.data_upsampling,
                 "factors on the sources' sizes instead, e.g. 1::2")
      ->excludes("--data-weights")
      ->group(group);
  app.add_option("--val,--val-data", config.val, "shards for evaluation")->group(group);
  app.add_option("--workers", config.workers, "decoding threads; 0 = one a processor, at most 16")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--skip-bad-shards", config.skip_bad_shards,
               "count shards that cannot be read instead of failing")
      ->group(group);
  add_cache_flags(app, group);
}

void add_optimisation_flags(CLI::App& app, RunFlags& flags, RunConfig& config) {
  const char* group = "Optimisation";
  app.add_option("--steps", config.steps, "length of the run in steps")->group(group);
  app.add_option("--samples", config.samples, "or in samples seen")->group(group);
  app.add_option("--epochs", config.epochs, "or in passes over the data")->group(group);
  app.add_option("--batch-size", config.batch_size, "images a step, of all processes together")
      ->capture_default_str()
      ->group(group);
  app.add_option("--local-batch-size", flags.local_batch_size,
                 "images a step of each process instead (open_clip's --batch-size)")
      ->excludes("--batch-size")
      ->check(positive())
      ->group(group);
  app.add_option("--accum-freq", config.accum_freq,
                 "parts the batch goes through the model in: less memory, the same gradient")
      ->capture_default_str()
      ->group(group);
  app.add_option("--lr", config.lr, "peak learning rate")->capture_default_str()->group(group);
  app.add_option("--warmup", config.warmup,
                 "steps of linear warm-up; without it 2000, at most a tenth of the run")
      ->check(not_negative())
      ->group(group);
  app.add_option("--wd", config.adamw.weight_decay, "weight decay")
      ->capture_default_str()
      ->group(group);
  app.add_option("--beta1", config.adamw.beta1, "AdamW")->capture_default_str()->group(group);
  app.add_option("--beta2", config.adamw.beta2, "AdamW")->capture_default_str()->group(group);
  app.add_option("--eps", config.adamw.epsilon, "AdamW")->capture_default_str()->group(group);
  app.add_option("--grad-clip-norm", config.adamw.max_grad_norm,
                 "largest gradient norm; 0 = no clipping")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--precision", flags.precision, "of matrix products: fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str()
      ->group(group);
}

void add_folder_flags(CLI::App& app, RunFlags& flags, RunConfig& config) {
  const char* group = "Run directory";
  app.add_option("--out", flags.out, "run directory")->required()->group(group);
  app.add_option("--resume", config.resume,
                 "auto: go on if there is something to go on from; none; latest; or a checkpoint")
      ->capture_default_str()
      ->group(group);
  app.add_flag("--overwrite", config.overwrite, "with --resume none: replace the earlier run")
      ->group(group);
  app.add_option("--save-every", config.save_every, "steps; 0 = ten times in the run")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--keep-checkpoints", config.keep_checkpoints, "newest ones; 0 = all")
      ->capture_default_str()
      ->group(group);
  app.add_option("--eval-every", config.eval_every, "steps; 0 = at the end alone")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--eval-tasks", flags.eval_tasks, "comma-separated; without it all")->group(group);
  app.add_option("--eval-samples", flags.eval_samples, "at most; 0 = all")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--log-every,--log-every-n-steps", config.log_every,
                 "steps between lines of metrics.jsonl")
      ->capture_default_str()
      ->group(group);
  app.add_option("--report-pictures", config.report_pictures, "in report.html")
      ->check(CLI::Range(0, 100))
      ->capture_default_str()
      ->group(group);
}

void add_exchange_flags(CLI::App& app, RunFlags& flags, RunConfig& config) {
  const char* group = "Several processes (docs/guide/many_machines.md)";
  app.add_option("--zero", config.zero,
                 "1: each process keeps only its share of the optimizer's state (ZeRO-1); the same "
                 "result")
      ->check(CLI::Range(0, 1))
      ->capture_default_str()
      ->group(group);
  app.add_option("--bucket-mb", config.bucket_mb, "MiB of gradients that are sent together")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group(group);
  app.add_flag("--local-loss,--gather-with-grad", flags.as_always,
               "open_clip's: accepted; the loss is always computed by shares, with all gradients")
      ->group(group);
}

void apply_run_flags(const RunFlags& flags, int local_rank, RunConfig& config) {
  config.out = flags.out;
  config.seed = flags.common.seed;
  config.device = parse_device(flags.common.device, local_rank).str();
  config.backend = parse_backend(flags.common.backend);
  config.precision = parse_precision(flags.precision);
}

void run_in_job(const RunFlags& flags, const dist::Place& place, RunConfig& config,
                const std::function<TrainResult(dist::Group&)>& train) {
  if (flags.as_always)
    log::info("--local-loss and --gather-with-grad: this is always so, the flags change nothing");
  in_job(flags.dist, place, torch::Device(config.device), [&](dist::Group& group) {
    if (flags.local_batch_size > 0) config.batch_size = flags.local_batch_size * group.size();
    const TrainResult result = train(group);
    if (!group.is_first()) return;
    std::printf("%s\n", (config.out / "model").c_str());
    std::fprintf(stderr, "%lld steps done; report: %s\n", static_cast<long long>(result.steps),
                 (config.out / "report.html").c_str());
  });
}

std::string effective_flags(const CLI::App& app) {
  std::string lines;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;
    const std::string& name = option->get_lnames().front();
    if (name == "help" || name == "config") continue;
    // A model to start from leaves no choice of an architecture: the default is none.
    if (name == "model" && option->count() == 0 && app.get_option("--init")->count() > 0) continue;
    const std::string value =
        option->count() > 0 ? option->results().back() : option->get_default_str();
    if (value.empty()) continue;
    double number = 0;
    const char* end = value.data() + value.size();
    const bool plain = value == "true" || value == "false" ||
                       std::from_chars(value.data(), end, number).ptr == end;
    std::string quoted;
    for (const char c : value)
      quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    lines += name + " = " + (plain ? value : "\"" + quoted + "\"") + "\n";
  }
  return lines;
}

std::pair<int64_t, int64_t> layers_by_width(const std::string& text, const std::string& flag) {
  std::pair<int64_t, int64_t> sizes;
  const char *at = text.data(), *end = at + text.size();
  const auto layers = std::from_chars(at, end, sizes.first);
  if (layers.ec == std::errc() && layers.ptr != end && *layers.ptr == 'x') {
    const auto width = std::from_chars(layers.ptr + 1, end, sizes.second);
    if (width.ec == std::errc() && width.ptr == end && sizes.first > 0 && sizes.second > 0)
      return sizes;
  }
  throw Error::input("'" + text + "' is no size of a transformer", flag,
                     "give LAYERSxWIDTH, e.g. 4x192");
}

}  // namespace opencloc::cli
