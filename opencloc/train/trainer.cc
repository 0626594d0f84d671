#include "opencloc/train/trainer.h"

#include <chrono>
#include <memory>
#include <optional>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "opencloc/data/loader.h"
#include "opencloc/model/preprocess.h"
#include "opencloc/ops/precision.h"
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

constexpr double kRemovedShareWarning = 0.5;
constexpr double kLogLineSeconds = 30;  // where there is no progress bar

class Run {
 public:
  explicit Run(TrainConfig config);
  TrainResult run();

 private:
  void resume_or_start();
  void start_loader();
  double step(const LoadedBatch& loaded, double waited);
  void stop_if_not_finite(const StepStats& stats, double norm, const Batch& batch);
  void observe_filter(double similar_share);
  void log_step(const StepStats& stats, double norm, double lr);
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
  FilterSchedule filter_;
  Schedule schedule_;
  StepOptions step_options_;
  TrainState state_;
  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<Loader> loader_;

  // Of the interval since the last metrics line.
  Clock::time_point interval_began_;
  double interval_waited_ = 0;
  int64_t interval_samples_ = 0;
  Clock::time_point line_shown_;
  bool warned_of_filter_ = false;
};

Run::Run(TrainConfig config)
    : config_(std::move(config)), folder_(config_), filter_(config_.filter) {
  set_matmul_precision(config_.bf16 ? Precision::kBf16 : Precision::kFp32);
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
  step_options_.forward = config_.forward;
  step_options_.grounding_kind = config_.grounding_kind;
  step_options_.grounding_weight = config_.grounding_weight;
  step_options_.contrastive_weight = config_.contrastive_weight;
  step_options_.caption_weight = config_.caption_weight;
  step_options_.accum_freq = config_.accum_freq;
  resume_or_start();
  start_loader();
}

void Run::resume_or_start() {
  parts_.model->to(torch::Device(config_.device));
  parts_.model->train();
  lock_towers(parts_.model, config_.lock);
  NamedTensors parameters = trainable(parts_.model->clip_weights());
  if (config_.forward.regions()) {
    for (auto& weight : parts_.model->region_weights()) parameters.push_back(weight);
  }
  int64_t count = 0;
  for (const auto& [name, parameter] : parameters) count += parameter.numel();
  optimizer_ = std::make_unique<AdamW>(std::move(parameters), config_.adamw);
  if (checkpoint_) {
    state_ = checkpoint_->state;
    warn_of_changes(config_, state_, store_->sizes());
    load_moments(*checkpoint_, *optimizer_);
    filter_.load(state_.filter, checkpoint_->path.string());
    log::info("resuming after step {} of {} from {}", state_.step, config_.steps,
              checkpoint_->path.string());
  } else {
    state_.seed = config_.seed;
    const auto findings =
        preflight(config_, parts_.model->config(), count, *store_, *parts_.tokenizer);
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
    if ((evaluate_now || last) && !config_.val.empty()) evaluate_model();
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
  step_options_.filter = filter_.filter();
  optimizer_->zero_grad();
  const StepStats stats = forward_backward(parts_.model, loaded.batch, step_options_);
  const double norm = stats.finite() ? optimizer_->grad_norm() : stats.loss;
  stop_if_not_finite(stats, norm, loaded.batch);
  optimizer_->step(lr, norm);
  clamp_logit_scales(parts_.model);

  // Untrained texts may lie far apart before they fall together: what they do in warm-up says
  // nothing.
  const bool warm = state_.step >= config_.warmup;
  if (warm && stats.regions > 1) observe_filter(stats.similar_share);
  if (stats.removed_share > kRemovedShareWarning && !warned_of_filter_) {
    warned_of_filter_ = true;
    log::warn(
        "step {}: {:.0f}% of the region pairs are no negatives (equal or similar texts); "
        "L_CLOC learns little from such batches",
        state_.step + 1, 100 * stats.removed_share);
  }

  ++state_.step;
  state_.samples += loaded.batch.images();
  state_.position = loaded.after;
  state_.filter = filter_.state();
  interval_waited_ += waited;
  interval_samples_ += loaded.batch.images();
  if (state_.step % config_.log_every == 0 || state_.step == config_.steps) {
    log_step(stats, norm, lr);
  }
  return stats.loss;
}

void Run::observe_filter(double similar_share) {
  const double threshold = config_.filter.threshold;
  switch (filter_.observe(similar_share)) {
    case FilterChange::kNone:
      return;
    case FilterChange::kOpens:
      log::info(
          "text filter: the {:g} test opens after step {} (it removes {:.1f}% of the pairs of "
          "distinct texts)",
          threshold, state_.step + 1, 100 * similar_share);
      return;
    case FilterChange::kCloses:
      log::warn(
          "text filter: the {:g} test closes after step {}: it removed {:.1f}% of the pairs of "
          "distinct texts, whose embeddings have drifted together",
          threshold, state_.step + 1, 100 * similar_share);
      return;
  }
}

void Run::stop_if_not_finite(const StepStats& stats, double norm, const Batch& batch) {
  if (std::isfinite(norm)) return;
  std::string keys;
  for (const auto& key : batch.keys) keys += key + "\n";
  const auto path = folder_.path() / "not_finite_batch.txt";
  write_file(path, keys);
  const auto kept = list_checkpoints(folder_.path());
  throw Error::failed(
      fmt::format("{} is {} at step {} (samples {} ... {}; all in {})",
                  stats.finite() ? "the gradient" : "the loss", norm, state_.step + 1,
                  batch.keys.front(), batch.keys.back(), path.string()),
      kept.empty() ? "no checkpoint yet" : "last good checkpoint " + kept.front().string(),
      "lower --lr or lengthen --warmup, look at those samples, then run again");
}

void Run::log_step(const StepStats& stats, double norm, double lr) {
  const double seconds = seconds_since(interval_began_);
  Json line = {{"step", state_.step}, {"samples", state_.samples}, {"loss", stats.loss}};
  if (config_.forward.clip && stats.captioned > 0) line["loss_clip"] = stats.clip;
  if (config_.forward.clip) line["captioned"] = stats.captioned;
  if (config_.forward.captions()) line["loss_caption"] = stats.caption;
  if (config_.forward.regions()) {
    line["loss_region"] = stats.region;
    if (config_.forward.grounding) {
      line["grounded_regions"] = stats.grounded;
      if (stats.grounded > 0) {  // the figures of no region are no figures
        line["loss_grounding"] = stats.grounding;
        line["grounding_iou"] = stats.grounding_iou;
        line["constant_box_iou"] = stats.constant_box_iou;
        line["grounding_spread"] = stats.grounding_spread;
        line["grounding_inverted"] = stats.grounding_inverted;
      }
      if (config_.forward.box_recovery) {
        line["loss_recovery"] = stats.recovery;
        line["recovered_iou"] = stats.recovered_iou;
      }
    }
    line["lambda"] = stats.lambda;
    line["regions"] = stats.regions;
    line["removed_share"] = stats.removed_share;
    line["similar_share"] = stats.similar_share;
    line["text_filter_open"] = filter_.open();
    line["region_logit_scale"] = parts_.model->region_logit_scale.exp().item<double>();
  }
  line["logit_scale"] = parts_.model->logit_scale.exp().item<double>();
  line["lr"] = lr;
  line["grad_norm"] = norm;
  line["skipped"] = skips_.total();
  line["samples_per_s"] = static_cast<double>(interval_samples_) / std::max(1e-9, seconds);
  line["loader_wait"] = interval_waited_ / std::max(1e-9, seconds);
  metrics_->write(line);
  if (seconds_since(line_shown_) > kLogLineSeconds) {
    line_shown_ = Clock::now();
    log::info("step {}/{} loss {:.4f}, {} samples/s", state_.step, config_.steps, stats.loss,
              format_count(line["samples_per_s"].get<double>()));
  }
  interval_began_ = Clock::now();
  interval_waited_ = 0;
  interval_samples_ = 0;
}

void Run::evaluate_model() {
  EvalOptions options = config_.eval;
  options.region_heads = config_.forward.regions();
  options.skip_bad_shards = config_.skip_bad_shards;
  options.progress = false;
  const Json results = evaluate(parts_.model, *parts_.tokenizer, config_.val, options);
  metrics_->write({{"step", state_.step}, {"eval", results}});
  log::info("after step {}:\n{}", state_.step, results_table(results));
  parts_.model->train();
  interval_began_ = Clock::now();  // evaluation is not training time
}

Json Run::about() const {
  return {{"data", config_.data},
          {"objective", to_string(config_.forward.objective)},
          {"steps", state_.step},
          {"samples", state_.samples},
          {"seed", config_.seed}};
}

SaveOptions Run::save_options() const {
  SaveOptions options;
  options.tokenizer = parts_.tokenizer.get();
  options.about = about();
  options.region_heads = config_.forward.regions();
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
  const auto objective = config_.forward.objective;
  input.title = fmt::format("{} ({}), {}", folder_.path().filename().string(),
                            objective == Objective::kCloc   ? "CLOC"
                            : objective == Objective::kCoca ? "CoCa"
                                                            : "CLIP",
                            parts_.model->config().name);
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
