// A group whose processes are threads of a test: run_ranks(3, [&](dist::Group& group) {...}).
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <torch/types.h>

#include "opencloc/dist/group.h"

namespace opencloc::fixtures {

// Where the threads of a group meet. One that fails lets the others go on with an error.
class Meeting {
 public:
  explicit Meeting(int size) : slots_(static_cast<size_t>(size)) {}

  // What every rank brings; each gets it all.
  std::vector<torch::Tensor> exchange(int rank, const torch::Tensor& mine) {
    std::unique_lock lock(mutex_);
    slots_[static_cast<size_t>(rank)] = mine.detach().clone();
    meet(lock);
    auto all = slots_;
    meet(lock);  // nobody brings the next before all have this one
    return all;
  }
  // What the ranks meet on beside this: the same one for all that ask by that name.
  Meeting& beside(const std::string& name) {
    const std::lock_guard lock(mutex_);
    auto& other = lines_[name];
    if (!other) other = std::make_unique<Meeting>(static_cast<int>(slots_.size()));
    return *other;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
    for (auto& [name, other] : lines_) other->leave();
  }

 private:
  void meet(std::unique_lock<std::mutex>& lock) {
    const int round = round_;
    if (++here_ == static_cast<int>(slots_.size())) {
      here_ = 0;
      ++round_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return broken_ || round_ != round; });
    if (broken_) throw std::runtime_error("another rank failed");
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<torch::Tensor> slots_;
  std::map<std::string, std::unique_ptr<Meeting>> lines_;
  int here_ = 0, round_ = 0;
  bool broken_ = false;
};

class ThreadGroup : public dist::Group {
 public:
  ThreadGroup(Meeting& meeting, int rank, int size) : meeting_(meeting), rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void sum(torch::Tensor& values) override {
    const auto all = meeting_.exchange(rank_, values);
    values.copy_(torch::stack(all).sum(0));
  }
  void max(torch::Tensor& values) override {
    const auto all = meeting_.exchange(rank_, values);
    values.copy_(std::get<0>(torch::stack(all).max(0)));
  }
  dist::Gathered gather(const torch::Tensor& rows) override {
    const auto all = meeting_.exchange(rank_, rows);
    int64_t first = 0;
    for (int rank = 0; rank < rank_; ++rank) first += all[static_cast<size_t>(rank)].size(0);
    return {torch::cat(all), first};
  }
  void broadcast(torch::Tensor& values) override {
    values.copy_(meeting_.exchange(rank_, values).front());
  }
  torch::Tensor reduce_scatter(const torch::Tensor& values) override {
    const auto all = meeting_.exchange(rank_, values);
    const int64_t n = values.numel() / size_;
    auto sum = all.front().narrow(0, rank_ * n, n).clone();
    for (size_t of = 1; of < all.size(); ++of) sum.add_(all[of].narrow(0, rank_ * n, n));
    return sum;
  }
  void all_gather(const torch::Tensor& chunk, torch::Tensor& all) override {
    all.copy_(torch::cat(meeting_.exchange(rank_, chunk)));
  }
  void collect(std::string text,
               const std::function<void(int rank, std::string text)>& take) override {
    const auto texts = dist::gather(*this, text);
    if (rank_ != 0) return;
    for (int from = 0; from < size_; ++from) take(from, texts[static_cast<size_t>(from)]);
  }
  void first_alone(const std::string& /*what*/, const std::function<void()>& work) override {
    if (rank_ == 0) work();
    meeting_.exchange(rank_, torch::zeros({1}));
  }
  std::unique_ptr<dist::Group> line(const std::string& name) override {
    return std::make_unique<ThreadGroup>(meeting_.beside(name), rank_, size_);
  }

 private:
  Meeting& meeting_;
  const int rank_, size_;
};

// body(group) on `size` threads; the first exception comes back.
inline void run_ranks(int size, const std::function<void(dist::Group&)>& body) {
  Meeting meeting(size);
  std::vector<std::thread> threads;
  std::exception_ptr failure;
  std::mutex mutex;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        ThreadGroup group(meeting, rank, size);
        body(group);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        meeting.leave();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace opencloc::fixtures
