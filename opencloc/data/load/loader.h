// Batches for training: worker threads read, decode, augment and tokenize ahead; batches come out
// in the order of the sampler whatever the number of workers. Memory is bounded by `ahead` samples
// and two batches. A broken sample is counted by reason, named in the log, and another one of its
// source takes its place.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "opencloc/data/load/batch.h"
#include "opencloc/data/load/batch_builder.h"
#include "opencloc/data/load/loader_sample.h"
#include "opencloc/data/load/sampler.h"
#include "opencloc/data/shard/skips.h"

namespace opencloc {

// The share of a process: of a batch of B samples those in the slots [rank B / size, (rank + 1) B /
// size). The batches, the samples and their random choices do not depend on it.
struct BatchShare {
  int64_t rank = 0;
  int64_t size = 1;
  int64_t first(int64_t batch_size) const { return rank * batch_size / size; }
  int64_t end(int64_t batch_size) const { return (rank + 1) * batch_size / size; }
};

struct LoaderOptions {
  int64_t batch_size = 64;  // of all processes
  BatchShare share;         // at least one sample
  int workers = 2;          // threads that decode
  int64_t ahead = 0;        // samples being prepared; 0 = one batch plus two a worker
  uint64_t seed = 0;
  std::vector<double> weights;  // of the sources, see Sampler
  PixelOptions pixels;
  SampleOptions sample;
  // The first batches from the start on may have canvases of another size.
  struct Early {
    int64_t batches = 0;
    int size = 0;  // pixels along the side
  };
  Early early;
};

struct LoadedBatch {
  Batch batch;
  SamplerPosition after;  // a loader, of any share, that starts here goes on with the next batch
};

class Loader {
 public:
  // `store`, `tokenizer`, `skips` outlive it. `start`: where an interrupted run stood.
  Loader(const SampleStore& store, const Tokenizer& tokenizer, SkipCounter& skips,
         LoaderOptions options, const SamplerPosition* start = nullptr);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Endless. Throws Error (input) when a source has no sample that can be used, and what else went
  // wrong in a worker.
  LoadedBatch next();

  const TruncationCounter& truncation() const { return truncation_; }
  const EntityCounter& entities() const { return entities_; }

 private:
  // A drawn sample on its way through a worker.
  struct Ticket {
    Draw draw;
    SamplerPosition after;
    bool early = false;  // of LoaderOptions::early
    PreparedSample sample;
    std::vector<BadSample> broken;  // tried before; more than the source has: it has no good one
    std::exception_ptr error;
    bool done = false;
  };

  void stop();  // ends the threads
  void work();
  // The next of this process's samples; those of others are drawn and passed over.
  void draw(Ticket& ticket);
  // Makes the sample drawn or, where it is broken, another of its source in its place: which one
  // depends on the seed and the draw alone, so that nobody need know what others passed over.
  void fill(Ticket& ticket);
  void assemble();
  std::shared_ptr<Ticket> take_ticket();
  LoadedBatch assemble_batch();

  const LoaderOptions options_;
  const std::vector<uint64_t> sizes_;  // of the sources
  const SampleMaker maker_, early_maker_;
  SkipCounter& skips_;
  TruncationCounter truncation_;
  EntityCounter entities_;

  std::mutex mutex_;
  std::condition_variable room_;   // for workers: a place in `tickets_` is free
  std::condition_variable ready_;  // for the assembler: the first ticket may be done
  std::condition_variable batch_;  // between the assembler and next()
  bool stopping_ = false;
  Sampler sampler_;
  int64_t slot_ = 0;                             // of the next draw in its batch
  int64_t batch_drawn_ = 0;                      // the number of that batch, from 0
  std::deque<std::shared_ptr<Ticket>> tickets_;  // in order of drawing
  int64_t assembled_ = 0;                        // batches
  std::optional<LoadedBatch> next_batch_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace opencloc
