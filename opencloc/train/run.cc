#include "opencloc/train/run.h"

#include <chrono>
#include <memory>
#include <numeric>
#include <optional>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/host_name.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "opencloc/data/load/loader.h"
#include "opencloc/ops/transfer.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/gradient_exchange.h"
#include "opencloc/train/interrupt.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/report.h"
#include "opencloc/train/row_optimizer.h"
#include "opencloc/train/run_folder.h"
#include "opencloc/train/schedule.h"
#include "opencloc/train/start_together.h"
#include "opencloc/train/step.h"
#include "opencloc/train/stragglers.h"

namespace opencloc {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr double kLogLineSeconds = 30;  // where there is no progress bar

// "data.1 = 2000" for every source.
std::string size_lines(const std::vector<uint64_t>& sizes) {
  std::string lines;
  for (size_t i = 0; i < sizes.size(); ++i)
    lines += fmt::format("samples of source {} = {}\n", i + 1, sizes[i]);
  return lines;
}

// One process of a run. Only the first process has the run's folder and writes there.
class Run {
 public:
  Run(Trainee& trainee, dist::Group& group);
  TrainResult run();

 private:
  bool first() const { return group_.is_first(); }
  void resume_or_start();
  void resume();
  void start_loader();
  void step(const LoadedBatch& loaded, double waited);
  bool anyone_asked_to_stop();
  void say_image_size(int64_t from) const;
  std::string image_size_note() const;  // ", 48 px"; empty without a schedule
  int64_t bytes_received() const;
  std::vector<double> busy_of_all(double seconds);
  void begin_interval();
  void evaluate_model();
  void save();
  NamedTensors all_moments();
  void write_report();
  Json about() const;

  Trainee& trainee_;
  const RunConfig& config_;  // the trainee's
  dist::Group& group_;
  std::optional<RunFolder> folder_;  // the first process's
  SkipCounter skips_;
  std::unique_ptr<SampleStore> store_;
  std::optional<Checkpoint> checkpoint_;  // the first process's, resumed from
  NamedTensors trained_;                  // parameters
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<RowAdamW> row_optimizer_;     // where the trainee has an entity head
  std::unique_ptr<GradientExchange> exchange_;  // of several processes
  Schedule schedule_;
  TrainState state_;
  bool resumed_ = false;
  std::optional<Trainee::ImageSizes> image_sizes_;
  std::unique_ptr<MetricsLog> metrics_;  // the first process's
  std::optional<Stragglers> stragglers_;
  std::unique_ptr<Loader> loader_;

  // Where the device's numbers take their time, a step is told of a step late: the device computes
  // the next one meanwhile, and nobody waits for it but to log, save or evaluate.
  struct Told {
    int64_t step = 0;
    double lr = 0, loss = 0, norm = 0;
    Figures figures;
    std::vector<std::string> keys;  // of its samples
  };
  void update_at_once(const StepResult& result, Told told);
  void update_late(const StepResult& result, Told told);
  void read_unread();
  void learn_of(Told told);
  void stop_if_not_finite(const Told& told);
  void log_step();
  bool late_ = false;
  std::optional<Told> unread_;
  ops::LateNumbers numbers_;  // of unread_: its figures, the loss, the norm
  Told last_;                 // read

  // Of the interval since the last metrics line.
  Clock::time_point interval_began_;
  double interval_waited_ = 0;
  double interval_talked_ = 0;     // seconds of group_ until it began
  double interval_sent_ = 0;       // seconds of exchange_ until it began
  double interval_apart_ = 0;      // seconds of it in checkpoints, without those of group_
  int64_t interval_received_ = 0;  // bytes of this process until it began
  int64_t interval_samples_ = 0, interval_steps_ = 0;
  Clock::time_point line_shown_;
};

Run::Run(Trainee& trainee, dist::Group& group)
    : trainee_(trainee), config_(trainee.config()), group_(group) {
  group_.first_alone("opening the run", [&] {
    folder_.emplace(config_);
    checkpoint_ = find_checkpoint(folder_->path(), config_.resume);
  });
  store_ = std::make_unique<SampleStore>(
      config_.data, skips_,
      StoreOptions{.threads = available_cpus(), .skip_bad_shards = config_.skip_bad_shards});
  require_equal(group_, settings_that_matter(config_.effective) + size_lines(store_->sizes()));
  trainee_.complete(store_->total());
  schedule_ = {config_.lr, config_.warmup, config_.steps};
  // The sampler's complaints about the weights come before minutes of preparation.
  const Sampler checked(store_->sizes(), source_weights(config_, store_->sizes()), config_.seed);
  group_.first_alone("preparing the model", [&] { trainee_.set_up(*store_, checkpoint_); });
  trainee_.share(group_);
  resume_or_start();
  start_loader();
}

void Run::resume_or_start() {
  late_ = config_.backend == Backend::kTorch || !torch::Device(config_.device).is_cpu();
  trained_ = trainee_.place();
  if (group_.size() > 1) {
    exchange_ = std::make_unique<GradientExchange>(
        trained_, group_,
        GradientExchangeOptions{.bucket_bytes = config_.bucket_mb << 20,
                                .sharded = config_.zero == 1});
  }
  optimizer_ = config_.zero == 1 && exchange_
                   ? std::make_unique<AdamW>(trained_, config_.adamw, exchange_->own_pieces())
                   : std::make_unique<AdamW>(trained_, config_.adamw);
  if (const auto head = trainee_.entity_head())
    row_optimizer_ = std::make_unique<RowAdamW>(head, config_.adamw);
  const auto saved = dist::broadcast(
      group_, checkpoint_ ? dump_json(train_state_to_json(checkpoint_->state)) : std::string());
  resumed_ = !saved.empty();
  if (resumed_) {
    state_ = train_state_from_json(parse_json(saved, "state.json"), "state.json");
    resume();
  } else {
    state_.seed = config_.seed;
    group_.first_alone("a look at the data", [&] {
      log::info("before step 1:\n{}", trainee_.look_ahead(*store_, trained_));
    });
  }
  if (group_.size() > 1) stragglers_.emplace(dist::gather(group_, host_name()));
  state_.data_sizes = store_->sizes();
  state_.config = config_.effective;
  if (!first()) return;
  metrics_ = std::make_unique<MetricsLog>(folder_->metrics(), state_.metrics_bytes);
  write_file(folder_->config(), config_.effective);
}

void Run::resume() {
  const std::string where =
      checkpoint_ ? checkpoint_->path.string() : std::string("rank 0's checkpoint");
  if (first()) warn_of_changes(config_, state_, store_->sizes());
  NamedTensors moments;
  if (first()) moments = read_moments(*checkpoint_);
  optimizer_->load(share_moments(group_, trained_, std::move(moments), where), state_.step,
                   where + "/optimizer.safetensors");
  trainee_.objective().load_state(state_.objective, where);
  log::info("resuming after step {} of {} from {}", state_.step, config_.steps, where);
}

void Run::start_loader() {
  image_sizes_ = trainee_.image_sizes();
  LoaderOptions options;
  options.batch_size = config_.batch_size;
  options.share = {group_.rank(), group_.size()};
  options.workers = config_.workers;
  options.seed = config_.seed;
  options.weights = source_weights(config_, store_->sizes());
  options.pixels = trainee_.pixels();
  options.pixels.bytes = late_;  // the device makes numbers of them
  options.pixels.pinned = torch::Device(config_.device).is_cuda();
  options.sample = trainee_.samples();
  if (image_sizes_) {
    options.early = {.batches = std::max<int64_t>(0, image_sizes_->early_steps - state_.step),
                     .size = static_cast<int>(image_sizes_->early)};
  }
  loader_ = std::make_unique<Loader>(*store_, trainee_.tokenizer(), skips_, options,
                                     resumed_ ? &state_.position : nullptr);
}

TrainResult Run::run() {
  const InterruptGuard interrupt;
  std::optional<ProgressBar> bar;
  if (first()) {
    bar.emplace("train", config_.steps * config_.batch_size, "samples");
    bar->start_at(state_.step * config_.batch_size);
  }
  begin_interval();
  line_shown_ = interval_began_;
  TrainResult result{state_.step, 0};
  // Killed after its last checkpoint, before model/ followed? Then no step is left to write it.
  if (first() && resumed_) trainee_.save(folder_->model(), about());
  const int64_t from = state_.step;
  while (state_.step < config_.steps) {
    say_image_size(from);
    group_.at(fmt::format("step {}", state_.step + 1));
    const auto began = Clock::now();
    const LoadedBatch loaded = loader_->next();
    step(loaded, seconds_since(began));
    const bool last = state_.step == config_.steps, stop = anyone_asked_to_stop();
    const auto every = [&](int64_t steps) { return steps > 0 && state_.step % steps == 0; };
    const bool log_now = every(config_.log_every) || last;
    const bool evaluate_now = (every(config_.eval_every) || last) && trainee_.evaluates();
    const bool save_now = every(config_.save_every) || last || stop;
    if (log_now || evaluate_now || save_now) read_unread();
    if (log_now) log_step();
    result = {state_.step, last_.loss};
    if (bar) {
      bar->set_note(fmt::format("loss {:.4f}{}", last_.loss, image_size_note()));
      bar->advance(config_.batch_size);
    }
    // Evaluate before saving: the checkpoint's length of metrics.jsonl then includes the result.
    if (evaluate_now) evaluate_model();
    if (save_now) save();
    if (stop && !last) {
      throw Error::failed("stopped by a signal after step " + std::to_string(state_.step),
                          config_.out.string(), "run the same command again to go on");
    }
  }
  if (bar) bar->finish();
  if (first()) write_report();
  if (const auto summary = skips_.summary(); !summary.empty()) log::warn("{}", summary);
  if (loader_->truncation().texts_cut() > 0) {
    log::info("texts: {}", loader_->truncation().summary());
  }
  if (trainee_.samples().entities && trainee_.samples().entities->classes() > 0)
    log::info("entities: {}", loader_->entities().summary());
  return result;
}

// Of the step after `from`, if its pictures are the first of that size here.
void Run::say_image_size(int64_t from) const {
  if (!first() || !image_sizes_) return;
  if (state_.step != from && state_.step != image_sizes_->early_steps) return;
  log::info("from step {} on: pictures of {} px", state_.step + 1, image_sizes_->at(state_.step));
}

std::string Run::image_size_note() const {
  return image_sizes_ ? fmt::format(", {} px", image_sizes_->at(state_.step - 1)) : "";
}

// A signal may have reached only one process; all stop after the same step.
bool Run::anyone_asked_to_stop() {
  auto stop = torch::full({1}, InterruptGuard::requested() ? 1 : 0, torch::kInt64);
  group_.max(stop);
  return stop.item<int64_t>() != 0;
}

// One update.
void Run::step(const LoadedBatch& loaded, double waited) {
  const BackendScope scope(config_.backend);
  if (exchange_) {
    exchange_->begin(/*passes=*/config_.accum_freq);
  } else {
    optimizer_->zero_grad();
  }
  if (row_optimizer_) row_optimizer_->begin();
  const StepResult result = forward_backward(
      trainee_.objective(), loaded.batch,
      {.accum_freq = config_.accum_freq, .group = &group_, .step = state_.step, .late = late_});
  if (exchange_) exchange_->finish();
  if (row_optimizer_) row_optimizer_->finish(group_);
  trainee_.before_update();

  Told told;
  told.step = state_.step + 1;
  told.lr = schedule_.at(state_.step);
  told.figures = result.figures;
  told.keys = loaded.batch.keys;
  if (late_) {
    update_late(result, std::move(told));
  } else {
    update_at_once(result, std::move(told));
  }
  ++state_.step;
  state_.samples += config_.batch_size;
  state_.position = loaded.after;
  interval_waited_ += waited;
  interval_samples_ += config_.batch_size;
  ++interval_steps_;
}

void Run::update_at_once(const StepResult& result, Told told) {
  told.loss = result.loss;
  told.norm = !result.finite() ? result.loss
              : exchange_      ? exchange_->norm()
                               : optimizer_->grad_norm();
  if (row_optimizer_ && result.finite()) told.norm = row_optimizer_->norm_with(told.norm);
  stop_if_not_finite(told);
  optimizer_->step(told.lr, told.norm);
  if (row_optimizer_) row_optimizer_->step(told.lr, told.norm);
  if (exchange_) exchange_->share_values();
  trainee_.after_update();
  learn_of(std::move(told));
}

void Run::update_late(const StepResult& result, Told told) {
  // Not finite where the loss is not, whatever the gradients are.
  auto norm =
      (exchange_ ? exchange_->late_norm() : optimizer_->late_grad_norm()) + 0 * result.late_loss;
  if (row_optimizer_) norm = row_optimizer_->late_norm_with(norm);
  optimizer_->late_step(told.lr, norm);
  if (row_optimizer_) row_optimizer_->late_step(told.lr, norm);
  if (exchange_) exchange_->share_values();
  trainee_.after_update();
  read_unread();  // of the step before
  std::vector<torch::Tensor> numbers{told.figures.stacked(), result.late_loss.view({1}),
                                     norm.view({1})};
  for (auto& some : numbers) some = ops::to_device(some, torch::Device(config_.device));
  numbers_ = ops::LateNumbers(torch::cat(numbers));
  unread_ = std::move(told);
}

// Of the step whose numbers are under way, if there is one.
void Run::read_unread() {
  if (!unread_) return;
  Told told = std::move(*unread_);
  unread_.reset();
  const auto numbers = numbers_.wait();  // [n + 2]
  const int64_t figures = numbers.size(0) - 2;
  const auto* number = numbers.data_ptr<double>();
  told.figures = told.figures.with_values(numbers.slice(0, 0, figures));
  told.loss = number[figures];
  told.norm = number[figures + 1];
  stop_if_not_finite(told);
  learn_of(std::move(told));
}

void Run::learn_of(Told told) {
  trainee_.objective().after_step(told.figures, told.step, /*warm=*/told.step > config_.warmup);
  state_.objective = trainee_.objective().state();
  last_ = std::move(told);
}

void Run::stop_if_not_finite(const Told& told) {
  if (std::isfinite(told.norm)) return;
  std::string keys;
  for (const auto& key : told.keys) keys += key + "\n";
  const auto of_all = dist::gather(group_, keys);
  const auto path = config_.out / "not_finite_batch.txt";
  if (first()) write_file(path, std::accumulate(of_all.begin(), of_all.end(), std::string()));
  const auto kept = list_checkpoints(config_.out);
  throw Error::failed(
      fmt::format("{} is {} at step {} (samples {} ... {}; all in {})",
                  std::isfinite(told.loss) ? "the gradient" : "the loss", told.norm, told.step,
                  told.keys.front(), told.keys.back(), path.string()),
      kept.empty() ? "no checkpoint yet" : "last good checkpoint " + kept.front().string(),
      "lower the setting 'lr' or lengthen the setting 'warmup', look at those samples, then run "
      "again");
}

int64_t Run::bytes_received() const {
  return group_.bytes_received() + (exchange_ ? exchange_->bytes_received() : 0);
}

// Seconds of this interval of `seconds` in which each process did its own work, by rank.
std::vector<double> Run::busy_of_all(double seconds) {
  const double others =
      group_.seconds() - interval_talked_ + (exchange_ ? exchange_->waited() - interval_sent_ : 0);
  const double own = std::max(0.0, seconds - interval_apart_ - others);
  const auto all = group_.gather(torch::full({1}, own, torch::kDouble)).rows;  // [N]
  const auto* first = all.data_ptr<double>();
  return {first, first + all.numel()};
}

void Run::log_step() {
  const double seconds = seconds_since(interval_began_);
  auto of_all = torch::tensor(
      {static_cast<double>(skips_.total()), interval_waited_, group_.seconds() - interval_talked_},
      torch::kDouble);
  const auto busy = group_.size() > 1 ? busy_of_all(seconds) : std::vector<double>();
  group_.sum(of_all);
  const auto* sums = of_all.data_ptr<double>();
  Json line = {{"step", state_.step}, {"samples", state_.samples}, {"loss", last_.loss}};
  line.update(last_.figures.values());
  line.update(trainee_.objective().log());
  if (image_sizes_) line["image_size"] = image_sizes_->at(state_.step - 1);
  line["lr"] = last_.lr;
  line["grad_norm"] = last_.norm;
  line["skipped"] = static_cast<int64_t>(sums[0]);
  line["samples_per_s"] = static_cast<double>(interval_samples_) / std::max(1e-9, seconds);
  // Shares of the time, of all processes.
  const double time = std::max(1e-9, seconds) * group_.size();
  line["loader_wait"] = sums[1] / time;
  if (group_.size() > 1) {
    line["communication"] = sums[2] / time;
    line["received_mb"] = static_cast<double>(bytes_received() - interval_received_) * 1e-6 /
                          static_cast<double>(interval_steps_);  // by this process in a step
    if (const Json slowest = stragglers_->add(busy); !slowest.is_null()) line["slowest"] = slowest;
    if (const auto warning = stragglers_->warning(); warning && first()) log::warn("{}", *warning);
  }
  if (metrics_) metrics_->write(line);
  if (seconds_since(line_shown_) > kLogLineSeconds) {
    line_shown_ = Clock::now();
    log::info("step {}/{} loss {:.4f}{}, {} samples/s", state_.step, config_.steps, last_.loss,
              image_size_note(), format_count(line["samples_per_s"].get<double>()));
  }
  begin_interval();
}

void Run::begin_interval() {
  interval_began_ = Clock::now();
  interval_waited_ = interval_apart_ = 0;
  interval_talked_ = group_.seconds();
  interval_sent_ = exchange_ ? exchange_->waited() : 0;
  interval_received_ = bytes_received();
  interval_samples_ = interval_steps_ = 0;
}

void Run::evaluate_model() {
  const Json results = trainee_.evaluate(state_.step, group_);
  if (metrics_) metrics_->write({{"step", state_.step}, {"eval", results}});
  begin_interval();  // evaluation is not training time
}

Json Run::about() const {
  return {{"data", config_.data},
          {"steps", state_.step},
          {"samples", state_.samples},
          {"seed", config_.seed}};
}

// A sharded optimizer's come together in the first process.
NamedTensors Run::all_moments() {
  if (config_.zero == 0 || !exchange_) return optimizer_->moments();
  const auto m = exchange_->collect(optimizer_->first_moments());
  const auto v = exchange_->collect(optimizer_->second_moments());
  NamedTensors all;
  for (size_t i = 0; i < m.size(); ++i) {
    all.emplace_back("m." + trained_[i].first, m[i]);
    all.emplace_back("v." + trained_[i].first, v[i]);
  }
  return all;
}

void Run::save() {
  const auto began = Clock::now();
  const double talked = group_.seconds();
  const NamedTensors moments = all_moments();
  group_.first_alone("saving", [&] {
    metrics_->flush_to_disk();
    state_.metrics_bytes = metrics_->bytes();
    const auto save_model = [&](const std::filesystem::path& folder) {
      trainee_.save(folder, about());
    };
    save_checkpoint(folder_->path(), state_, save_model, {moments, trainee_.beside()});
    save_model(folder_->model());
    prune_checkpoints(folder_->path(), config_.keep_checkpoints);
    write_report();
  });
  interval_apart_ += seconds_since(began) - (group_.seconds() - talked);
}

void Run::write_report() {
  ReportInput input;
  input.title = fmt::format("{} {}", folder_->path().filename().string(), trainee_.title());
  input.config = config_.effective;
  input.metrics = read_metrics(folder_->metrics());
  input.skipped = skips_.summary();
  if (state_.step == config_.steps && config_.report_pictures > 0) {
    SkipCounter quiet(0);
    const SampleStore pictures(config_.val.empty() ? config_.data : config_.val, quiet,
                               {.skip_bad_shards = config_.skip_bad_shards});
    input.pictures = trainee_.pictures(pictures);
  }
  write_file(folder_->report(), report_html(input));
}

}  // namespace

TrainResult train(Trainee& trainee, dist::Group& group) { return Run(trainee, group).run(); }

}  // namespace opencloc
