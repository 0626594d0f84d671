// The processes that train one model together, as one of them sees it. All of them make the same
// calls in the same order. Alone, every call leaves its argument as it is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

namespace opencloc::dist {

// The rows of all processes, in order of their ranks.
struct Gathered {
  torch::Tensor rows;  // [n of all, ...]
  int64_t first = 0;   // where this process's own begin
};

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;  // in [0, size())
  virtual int size() const = 0;
  bool is_first() const { return rank() == 0; }
  // In place, `values` of equal shape and type in all processes: their sum, their maximum.
  virtual void sum(torch::Tensor& values) = 0;
  virtual void max(torch::Tensor& values) = 0;
  // rows [n, ...]; n may differ from process to process, and be 0. No gradient passes.
  virtual Gathered gather(const torch::Tensor& rows) = 0;
  // In place: rank 0's values.
  virtual void broadcast(torch::Tensor& values) = 0;
  // values [size() n], cut in as many chunks as there are processes: the sum of all processes'
  // chunk number rank(), added in the order of the ranks -> [n]. Every process that made the sum
  // would get the same bits.
  virtual torch::Tensor reduce_scatter(const torch::Tensor& values) = 0;
  // The chunks [n] of all processes side by side, into all [size() n].
  virtual void all_gather(const torch::Tensor& chunk, torch::Tensor& all) = 0;

  // Rank 0 takes the texts of all one after the other, in order of the ranks, and holds one at a
  // time; the others' `take` is not called.
  virtual void collect(std::string text,
                       const std::function<void(int rank, std::string text)>& take) = 0;
  // Rank 0 does `work`, however long it takes, while the others wait. Where it fails, all do.
  virtual void first_alone(const std::string& what, const std::function<void()>& work) = 0;
  // The same processes on another line, whose calls may run beside this one's. A call of all.
  virtual std::unique_ptr<Group> line(const std::string& name) = 0;
  // What the processes are at ("step 120"), for errors.
  virtual void at(const std::string& /*place*/) {}
  virtual int64_t bytes_received() const { return 0; }
  virtual double seconds() const { return 0; }  // spent in its calls
};

// One process.
Group& alone();

// This process's of `count` pieces of work: contiguous, as even as can be, in order of the ranks.
struct Share {
  int64_t begin = 0, end = 0;
};
inline Share share_of(int64_t count, const Group& group) {
  return {count * group.rank() / group.size(), count * (group.rank() + 1) / group.size()};
}

// One process's text becomes every one's.
std::string broadcast(Group& group, const std::string& text);
// The texts of all processes, by rank.
std::vector<std::string> gather(Group& group, const std::string& text);

}  // namespace opencloc::dist
