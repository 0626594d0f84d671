#include "opencloc/train/trainer.h"

#include <chrono>
#include <memory>
#include <optional>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "opencloc/data/load/loader.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/interrupt.h"
#include "opencloc/train/lock.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/preflight.h"
#include "opencloc/train/report.h"
#include "opencloc/train/run_folder.h"
#include "opencloc/train/schedule.h"
#include "opencloc/train/setup.h"
#include "opencloc/train/step.h"

namespace opencloc {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr double kLogLineSeconds = 30;  // where there is no progress bar

int64_t weight_count(const Cloc& model) {
  int64_t count = 0;
  for (const auto& weight : model->parameters()) count += weight.numel();
  return count;
}

class Run {
 public:
  explicit Run(TrainConfig config);
  TrainResult run();

 private:
  void resume_or_start();
  void start_loader();
  double step(const LoadedBatch& loaded, double waited);
  void stop_if_not_finite(const StepResult& result, double norm, const Batch& batch);
  void log_step(const StepResult& result, double norm, double lr);
  void evaluate_model();
  void save();
  void write_report();
  Json about() const;
  SaveOptions save_options() const;

  TrainConfig config_;
  RunFolder folder_;
  SkipCounter skips_;
  std::unique_ptr<SampleStore> store_;
  std::optional<Checkpoint> checkpoint_;  // resumed from
  TrainedParts parts_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<Objective> objective_;
  Schedule schedule_;
  TrainState state_;
  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<Loader> loader_;

  // Of the interval since the last metrics line.
  Clock::time_point interval_began_;
  double interval_waited_ = 0;
  int64_t interval_samples_ = 0;
  Clock::time_point line_shown_;
};

Run::Run(TrainConfig config) : config_(std::move(config)), folder_(config_) {
  checkpoint_ = find_checkpoint(folder_.path(), config_.resume);
  store_ = std::make_unique<SampleStore>(
      config_.data, skips_,
      StoreOptions{.threads = available_cpus(), .skip_bad_shards = config_.skip_bad_shards});
  config_.complete(store_->total());
  schedule_ = {config_.lr, config_.warmup, config_.steps};
  // The sampler's complaints about the weights come before minutes of preparation.
  const Sampler checked(store_->sizes(), source_weights(config_, store_->sizes()), config_.seed);
  parts_ = set_up(config_, *store_, checkpoint_);
  config_.sample.canvas = canvas_options(parts_.model->config());
  config_.sample.context_length = parts_.model->config().text.context_length;
  objective_ = config_.objective->make(parts_.model, config_.objective_options);
  resume_or_start();
  start_loader();
}

void Run::resume_or_start() {
  parts_.model->to(torch::Device(config_.device));
  parts_.model->set_precision(config_.precision);
  parts_.model->train();
  lock_towers(parts_.model, config_.lock);
  NamedTensors parameters = trainable(parts_.model->clip_weights());
  if (config_.objective->regions) {
    for (auto& weight : parts_.model->region_weights()) parameters.push_back(weight);
  }
  int64_t count = 0;
  for (const auto& [name, parameter] : parameters) count += parameter.numel();
  optimizer_ = std::make_unique<AdamW>(std::move(parameters), config_.adamw);
  if (checkpoint_) {
    state_ = checkpoint_->state;
    warn_of_changes(config_, state_, store_->sizes());
    load_moments(*checkpoint_, *optimizer_);
    objective_->load_state(state_.objective, checkpoint_->path.string());
    log::info("resuming after step {} of {} from {}", state_.step, config_.steps,
              checkpoint_->path.string());
  } else {
    state_.seed = config_.seed;
    const auto findings = preflight(config_, parts_.model->config(), weight_count(parts_.model),
                                    count, *store_, *parts_.tokenizer);
    log::info("before step 1:\n{}", findings.table());
  }
  state_.data_sizes = store_->sizes();
  state_.config = config_.effective;
  metrics_ = std::make_unique<MetricsLog>(folder_.metrics(), state_.metrics_bytes);
  write_file(folder_.config(), config_.effective);
}

void Run::start_loader() {
  LoaderOptions options;
  options.batch_size = config_.batch_size;
  options.workers = config_.workers;
  options.seed = config_.seed;
  options.weights = source_weights(config_, store_->sizes());
  options.mean = parts_.model->config().preprocess.mean;
  options.std = parts_.model->config().preprocess.std;
  options.sample = config_.sample;
  loader_ = std::make_unique<Loader>(*store_, *parts_.tokenizer, skips_, options,
                                     checkpoint_ ? &state_.position : nullptr);
}

TrainResult Run::run() {
  const InterruptGuard interrupt;
  ProgressBar bar("train", config_.steps * config_.batch_size, "samples");
  bar.start_at(state_.step * config_.batch_size);
  interval_began_ = line_shown_ = Clock::now();
  TrainResult result{state_.step, 0};
  // Killed after its last checkpoint, before model/ followed? Then no step is left to write it.
  if (checkpoint_) save_model(folder_.model(), parts_.model, save_options());
  while (state_.step < config_.steps) {
    const auto began = Clock::now();
    const LoadedBatch loaded = loader_->next();
    result.loss = step(loaded, seconds_since(began));
    result.steps = state_.step;
    bar.set_note(fmt::format("loss {:.4f}", result.loss));
    bar.advance(config_.batch_size);

    const bool last = state_.step == config_.steps, stop = InterruptGuard::requested();
    // Evaluate before saving: the checkpoint's length of metrics.jsonl then includes the result.
    const bool evaluate_now = config_.eval_every > 0 && state_.step % config_.eval_every == 0;
    if ((evaluate_now || last) && config_.evaluate) evaluate_model();
    if (state_.step % config_.save_every == 0 || last || stop) save();
    if (stop && !last) {
      throw Error::failed("stopped by a signal after step " + std::to_string(state_.step),
                          folder_.path().string(), "run the same command again to go on");
    }
  }
  bar.finish();
  write_report();
  if (const auto summary = skips_.summary(); !summary.empty()) log::warn("{}", summary);
  if (loader_->truncation().texts_cut() > 0) {
    log::info("texts: {}", loader_->truncation().summary());
  }
  return result;
}

// One update; returns the loss.
double Run::step(const LoadedBatch& loaded, double waited) {
  const double lr = schedule_.at(state_.step);
  optimizer_->zero_grad();
  const StepResult result =
      forward_backward(*objective_, loaded.batch, {.accum_freq = config_.accum_freq});
  hold_capped_logit_scales(parts_.model);
  const double norm = result.finite() ? optimizer_->grad_norm() : result.loss;
  stop_if_not_finite(result, norm, loaded.batch);
  optimizer_->step(lr, norm);
  clamp_logit_scales(parts_.model);

  ++state_.step;
  objective_->after_step(result.figures, state_.step, /*warm=*/state_.step > config_.warmup);
  state_.samples += loaded.batch.images();
  state_.position = loaded.after;
  state_.objective = objective_->state();
  interval_waited_ += waited;
  interval_samples_ += loaded.batch.images();
  if (state_.step % config_.log_every == 0 || state_.step == config_.steps) {
    log_step(result, norm, lr);
  }
  return result.loss;
}

void Run::stop_if_not_finite(const StepResult& result, double norm, const Batch& batch) {
  if (std::isfinite(norm)) return;
  std::string keys;
  for (const auto& key : batch.keys) keys += key + "\n";
  const auto path = folder_.path() / "not_finite_batch.txt";
  write_file(path, keys);
  const auto kept = list_checkpoints(folder_.path());
  throw Error::failed(
      fmt::format("{} is {} at step {} (samples {} ... {}; all in {})",
                  result.finite() ? "the gradient" : "the loss", norm, state_.step + 1,
                  batch.keys.front(), batch.keys.back(), path.string()),
      kept.empty() ? "no checkpoint yet" : "last good checkpoint " + kept.front().string(),
      "lower the setting 'lr' or lengthen the setting 'warmup', look at those samples, then run "
      "again");
}

void Run::log_step(const StepResult& result, double norm, double lr) {
  const double seconds = seconds_since(interval_began_);
  Json line = {{"step", state_.step}, {"samples", state_.samples}, {"loss", result.loss}};
  line.update(result.figures.values());
  line.update(objective_->log());
  line["lr"] = lr;
  line["grad_norm"] = norm;
  line["skipped"] = skips_.total();
  line["samples_per_s"] = static_cast<double>(interval_samples_) / std::max(1e-9, seconds);
  line["loader_wait"] = interval_waited_ / std::max(1e-9, seconds);
  metrics_->write(line);
  if (seconds_since(line_shown_) > kLogLineSeconds) {
    line_shown_ = Clock::now();
    log::info("step {}/{} loss {:.4f}, {} samples/s", state_.step, config_.steps, result.loss,
              format_count(line["samples_per_s"].get<double>()));
  }
  interval_began_ = Clock::now();
  interval_waited_ = 0;
  interval_samples_ = 0;
}

void Run::evaluate_model() {
  const Json results = config_.evaluate(parts_.model, *parts_.tokenizer, state_.step);
  metrics_->write({{"step", state_.step}, {"eval", results}});
  parts_.model->train();
  interval_began_ = Clock::now();  // evaluation is not training time
}

Json Run::about() const {
  return {{"data", config_.data},
          {"objective", config_.objective->name},
          {"steps", state_.step},
          {"samples", state_.samples},
          {"seed", config_.seed}};
}

SaveOptions Run::save_options() const {
  SaveOptions options;
  options.tokenizer = parts_.tokenizer.get();
  options.about = about();
  options.region_heads = config_.objective->regions;
  return options;
}

void Run::save() {
  metrics_->flush_to_disk();
  state_.metrics_bytes = metrics_->bytes();
  save_checkpoint(folder_.path(), state_, parts_.model, save_options(), *optimizer_);
  save_model(folder_.model(), parts_.model, save_options());
  prune_checkpoints(folder_.path(), config_.keep_checkpoints);
  write_report();
}

void Run::write_report() {
  ReportInput input;
  input.title = fmt::format("{} ({}), {}", folder_.path().filename().string(),
                            config_.objective->title, parts_.model->config().name);
  input.config = config_.effective;
  input.metrics = read_metrics(folder_.metrics());
  input.skipped = skips_.summary();
  if (state_.step == config_.steps && config_.report_pictures > 0) {
    SkipCounter quiet(0);
    const SampleStore pictures(config_.val.empty() ? config_.data : config_.val, quiet,
                               {.skip_bad_shards = config_.skip_bad_shards});
    input.pictures = report_pictures(pictures, parts_, config_, config_.report_pictures);
  }
  write_file(folder_.report(), report_html(input));
}

}  // namespace

TrainResult train(TrainConfig config) {
  config.check();
  return Run(std::move(config)).run();
}

}  // namespace opencloc
