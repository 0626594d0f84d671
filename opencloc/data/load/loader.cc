#include "opencloc/data/load/loader.h"

#include <algorithm>
#include <utility>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"
#include "opencloc/base/threads.h"
#include "opencloc/data/load/batch_builder.h"

namespace opencloc {
namespace {

// Decoding gives way to the training step's threads, which wait for each other after every
// operation: one that is kept off its core holds up all. When they wait for data instead, the
// workers have the cores to themselves. Linux's niceness is a thread's own.
void yield_to_computation() {
  constexpr int kNiceness = 10;
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNiceness);
}

LoaderOptions completed(LoaderOptions options) {
  if (options.batch_size < 1)
    throw Error::input("a batch holds no sample", "setting 'batch_size'", "give 1 or more");
  const int64_t own =
      options.share.end(options.batch_size) - options.share.first(options.batch_size);
  if (options.batch_size < options.share.size)
    throw Error::input("a batch of " + std::to_string(options.batch_size) +
                           " samples has none for " + "some of the " +
                           std::to_string(options.share.size) + " processes",
                       "setting 'batch_size'", "give at least one sample a process");
  options.workers = std::max(1, options.workers);
  if (options.ahead <= 0) options.ahead = own + 2 * options.workers;
  return options;
}

SampleOptions early_samples(const LoaderOptions& options) {
  SampleOptions sample = options.sample;
  if (options.early.batches > 0) sample.canvas.width = sample.canvas.height = options.early.size;
  return sample;
}

}  // namespace

Loader::Loader(const SampleStore& store, const Tokenizer& tokenizer, SkipCounter& skips,
               LoaderOptions options, const SamplerPosition* start)
    : options_(completed(std::move(options))),
      sizes_(store.sizes()),
      maker_(store, tokenizer, options_.sample, options_.seed),
      early_maker_(store, tokenizer, early_samples(options_), options_.seed),
      skips_(skips),
      sampler_(store.sizes(), options_.weights, options_.seed) {
  if (start != nullptr) sampler_.seek(*start);
  // The assembler first: with it, one worker is enough.
  const bool works = start_threads(threads_, 1, [this] { assemble(); }) == 1 &&
                     start_threads(threads_, options_.workers, [this] { work(); }) > 0;
  if (works) return;
  stop();
  throw Error::failed("no thread for loading can be started", "setting 'workers'",
                      "raise the limit of processes (ulimit -u)");
}

Loader::~Loader() { stop(); }

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  room_.notify_all();
  ready_.notify_all();
  batch_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Loader::work() {
  yield_to_computation();
  std::unique_lock lock(mutex_);
  while (true) {
    room_.wait(lock, [this] {
      return stopping_ || static_cast<int64_t>(tickets_.size()) < options_.ahead;
    });
    if (stopping_) return;
    const auto ticket = std::make_shared<Ticket>();
    draw(*ticket);
    tickets_.push_back(ticket);
    lock.unlock();
    try {
      fill(*ticket);
    } catch (...) {
      ticket->error = std::current_exception();
    }
    lock.lock();
    ticket->done = true;
    ready_.notify_one();
  }
}

void Loader::draw(Ticket& ticket) {
  const int64_t first = options_.share.first(options_.batch_size);
  const int64_t end = options_.share.end(options_.batch_size);
  for (; slot_ < first; ++slot_) sampler_.next();
  ticket.draw = sampler_.next();
  ticket.early = batch_drawn_ < options_.early.batches;
  ++slot_;
  if (slot_ == end) {  // after the last own sample, the position is the end of the batch
    for (; slot_ < options_.batch_size; ++slot_) sampler_.next();
    slot_ = 0;
    ++batch_drawn_;
  }
  ticket.after = sampler_.position();
}

void Loader::fill(Ticket& ticket) {
  Draw draw = ticket.draw;
  const uint64_t size = sizes_[static_cast<size_t>(draw.source)];
  uint64_t first = 0;
  for (uint64_t attempt = 0; attempt <= size; ++attempt) {
    try {
      ticket.sample = (ticket.early ? early_maker_ : maker_).make(draw);
      return;
    } catch (const BadSample& bad) {
      ticket.broken.push_back(bad);
    }
    // Another sample of the source: from a random one on, so that each of them is tried.
    if (attempt == 0)
      first = Rng(options_.seed, {random_stream::kReplace, static_cast<uint64_t>(draw.source),
                                  draw.epoch, draw.index})
                  .below(size);
    draw.index = (first + attempt) % size;
  }
}

// The next ticket in order, done; null when stopping.
std::shared_ptr<Loader::Ticket> Loader::take_ticket() {
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [this] { return stopping_ || (!tickets_.empty() && tickets_.front()->done); });
  if (stopping_) return nullptr;
  auto ticket = std::move(tickets_.front());
  tickets_.pop_front();
  room_.notify_one();
  return ticket;
}

LoadedBatch Loader::assemble_batch() {
  const auto& share = options_.share;
  const bool early = assembled_++ < options_.early.batches;
  BatchBuilder builder(share.end(options_.batch_size) - share.first(options_.batch_size),
                       early ? early_samples(options_) : options_.sample, options_.pixels);
  LoadedBatch loaded;
  while (!builder.full()) {
    const auto ticket = take_ticket();
    if (ticket == nullptr) return loaded;
    if (ticket->error) std::rethrow_exception(ticket->error);
    loaded.after = ticket->after;
    for (const auto& bad : ticket->broken) skips_.add(bad);
    const uint64_t size = sizes_[static_cast<size_t>(ticket->draw.source)];
    if (ticket->broken.size() > size) {
      const std::string where =
          sizes_.size() > 1 ? " of source " + std::to_string(ticket->draw.source + 1) : "";
      throw Error::input("no sample" + where + " can be used (" + skips_.summary() + ")",
                         "setting 'data'", "check the data (data stats)");
    }
    for (const auto& problem : ticket->sample.problems) {
      skips_.add(problem.reason, ticket->sample.name, problem.detail);
    }
    entities_.add(ticket->sample.entity >= 0, ticket->sample.unknown_entities);
    if (!ticket->sample.text.empty()) truncation_.add(ticket->sample.tokens);
    for (const auto& region : ticket->sample.regions) {
      if (!region.tokens.ids.empty()) truncation_.add(region.tokens);
    }
    builder.add(std::move(ticket->sample));
  }
  loaded.batch = builder.finish();
  return loaded;
}

void Loader::assemble() {
  try {
    while (true) {
      LoadedBatch loaded = assemble_batch();
      std::unique_lock lock(mutex_);
      batch_.wait(lock, [this] { return stopping_ || !next_batch_; });
      if (stopping_) return;
      next_batch_ = std::move(loaded);
      batch_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    batch_.notify_all();
  }
}

LoadedBatch Loader::next() {
  std::unique_lock lock(mutex_);
  batch_.wait(lock, [this] { return next_batch_ || failure_; });
  if (!next_batch_) std::rethrow_exception(failure_);
  LoadedBatch loaded = std::move(*next_batch_);
  next_batch_.reset();
  batch_.notify_all();
  return loaded;
}

}  // namespace opencloc
