// c10d's ProcessGroupGloo knows more calls in newer versions; those used here are in all of them
// and mean the same.
#include "opencloc/dist/gloo.h"

#include <numeric>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/dist/texts.h"

namespace opencloc::dist {
namespace {

using namespace std::chrono_literals;

c10::intrusive_ptr<c10d::ProcessGroupGloo> connect(const Job& job, const std::string& name) {
  auto options = c10d::ProcessGroupGloo::Options::create(job.options.timeout);
  options->threads = 2;
  options->devices.push_back(
      job.options.interface.empty()
          ? c10d::ProcessGroupGloo::createDeviceForHostname(job.address)
          : c10d::ProcessGroupGloo::createDeviceForInterface(job.options.interface));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(job.store->part(name), job.place.rank,
                                                     job.place.size, options);
}

// The first line of a library's message, without what it says of its own sources.
std::string first_line(const std::string& message) {
  std::string line = message.substr(0, message.find('\n'));
  if (line.starts_with('[') && line.find("] ") != std::string::npos)
    line.erase(0, line.find("] ") + 2);
  return line;
}

constexpr int kTextTag = 1;

class GlooGroup : public Group {
 public:
  GlooGroup(std::shared_ptr<Job> job, const std::string& name) : job_(std::move(job)), name_(name) {
    call("connecting", 0, [&] { group_ = connect(*job_, name); });
  }
  ~GlooGroup() override {
    // Its threads may wait for processes that are gone.
    if (group_failed()) (void)group_.release();
  }

  int rank() const override { return job_->place.rank; }
  int size() const override { return job_->place.size; }

  void sum(torch::Tensor& values) override { reduce(values, c10d::ReduceOp::SUM); }
  void max(torch::Tensor& values) override { reduce(values, c10d::ReduceOp::MAX); }

  Gathered gather(const torch::Tensor& rows) override {
    const auto own = rows.detach().contiguous();
    const auto counts = counts_of(own.size(0));
    const int64_t most = *std::max_element(counts.begin(), counts.end());
    const auto all = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    auto shape = own.sizes().vec();
    Gathered gathered{{}, std::accumulate(counts.begin(), counts.begin() + rank(), int64_t{0})};
    shape[0] = all;
    if (all == most * size()) {
      gathered.rows = torch::empty(shape, own.options());
      if (all > 0) all_gather(own, gathered.rows);
      return gathered;
    }
    // Gloo gathers only equal shares: shorter ones are padded.
    shape[0] = most;
    auto padded = torch::zeros(shape, own.options());
    padded.narrow(0, 0, own.size(0)).copy_(own);
    shape[0] = most * size();
    auto whole = torch::empty(shape, own.options());
    all_gather(padded, whole);
    std::vector<torch::Tensor> parts;
    for (int64_t of = 0; of < size(); ++of)
      parts.push_back(whole.narrow(0, of * most, counts[static_cast<size_t>(of)]));
    gathered.rows = torch::cat(parts);
    return gathered;
  }

  void broadcast(torch::Tensor& values) override {
    if (values.numel() == 0) return;
    call("a broadcast", is_first() ? 0 : values.nbytes(), [&] {
      std::vector<torch::Tensor> tensors{values.detach()};
      group_->broadcast(tensors)->wait();
    });
  }

  torch::Tensor reduce_scatter(const torch::Tensor& values) override {
    // Gloo's own sums all chunks everywhere. Chunks are sent to their owners instead, who add them.
    const int64_t n = values.numel() / size();
    auto received = torch::empty({size(), n}, values.options());
    call("the sum of gradients", n * (size() - 1) * values.element_size(), [&] {
      std::vector<int64_t> even;
      auto flat = received.view(-1), own = values.detach().contiguous();
      group_->alltoall_base(flat, own, even, even)->wait();
    });
    auto sum = received[0];
    for (int64_t of = 1; of < size(); ++of) sum.add_(received[of]);
    return sum;
  }

  void all_gather(const torch::Tensor& chunk, torch::Tensor& all) override {
    const int64_t n = all.size(0) / size();
    std::vector<std::vector<torch::Tensor>> outputs(1);
    for (int64_t of = 0; of < size(); ++of) outputs[0].push_back(all.narrow(0, of * n, n));
    std::vector<torch::Tensor> inputs{chunk.detach().contiguous()};
    call("gathering", all.nbytes() / size() * (size() - 1),
         [&] { group_->allgather(outputs, inputs)->wait(); });
  }

  void collect(std::string text,
               const std::function<void(int rank, std::string text)>& take) override {
    if (is_first()) take(0, std::move(text));
    for (int from = 1; from < size(); ++from) {
      if (is_first()) {
        take(from, received_text(from));
      } else if (from == rank()) {
        send_text(text);
      }
    }
  }

  // Not a call of Gloo, whose time is limited.
  void first_alone(const std::string& what, const std::function<void()>& work) override {
    const std::string key = "done/" + name_ + "/" + std::to_string(turns_++);
    if (is_first()) {
      work();
      call(what, 0, [&] { job_->store->set(key, "done"); });
      return;
    }
    while (true) {
      bool done = false;
      call(what, 0, [&] { done = job_->store->get(key).has_value(); });
      if (done) return;
      std::this_thread::sleep_for(20ms);
    }
  }

  std::unique_ptr<Group> line(const std::string& name) override {
    return std::make_unique<GlooGroup>(job_, name_ + "/" + name);
  }
  void at(const std::string& place) override { job_->health->at(place); }
  int64_t bytes_received() const override { return received_; }
  double seconds() const override { return seconds_; }

 private:
  template <typename Work>
  void call(const std::string& what, int64_t bytes, const Work& work) {
    const auto began = std::chrono::steady_clock::now();
    try {
      const int64_t number = job_->health->begin(what);
      try {
        work();
      } catch (const std::exception& error) {
        throw job_->health->explain(number, first_line(error.what()));
      }
      job_->health->end(number);
    } catch (const Error&) {
      set_group_failed();
      throw;
    }
    received_ += bytes;
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }

  void reduce(torch::Tensor& values, c10d::ReduceOp::RedOpType how) {
    auto flat = values.detach().contiguous();
    // As a ring receives: every value but an own share twice.
    call("a sum", 2 * static_cast<int64_t>(flat.nbytes()) * (size() - 1) / size(), [&] {
      std::vector<torch::Tensor> tensors{flat};
      c10d::AllreduceOptions options;
      options.reduceOp = how;
      group_->allreduce(tensors, options)->wait();
    });
    if (!flat.is_alias_of(values)) values.copy_(flat);
  }

  // A message's length goes before it; empty ones are not sent.
  void send_text(const std::string& text) {
    call("sending to rank 0", 0, [&] {
      std::vector<torch::Tensor> length{
          torch::full({1}, static_cast<int64_t>(text.size()), torch::kInt64)};
      group_->send(length, 0, kTextTag)->wait();
      if (text.empty()) return;
      std::vector<torch::Tensor> bytes{bytes_of(text)};
      group_->send(bytes, 0, kTextTag)->wait();
    });
  }
  std::string received_text(int from) {
    std::vector<torch::Tensor> bytes(1);
    auto length = torch::zeros({1}, torch::kInt64);
    call("receiving from rank " + std::to_string(from), 0, [&] {
      std::vector<torch::Tensor> lengths{length};
      group_->recv(lengths, from, kTextTag)->wait();
      bytes[0] = torch::empty({length.item<int64_t>()}, torch::kUInt8);
      if (bytes[0].numel() > 0) group_->recv(bytes, from, kTextTag)->wait();
    });
    received_ += bytes[0].numel();
    return text_of(bytes[0]);
  }

  std::vector<int64_t> counts_of(int64_t own) {
    auto counts = torch::empty({size()}, torch::kInt64);
    all_gather(torch::full({1}, own, torch::kInt64), counts);
    const auto* first = counts.data_ptr<int64_t>();
    return {first, first + size()};
  }

  const std::shared_ptr<Job> job_;
  const std::string name_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  int64_t received_ = 0, turns_ = 0;
  double seconds_ = 0;
};

}  // namespace

std::unique_ptr<Group> make_gloo_group(std::shared_ptr<Job> job, const std::string& name) {
  return std::make_unique<GlooGroup>(std::move(job), name);
}

}  // namespace opencloc::dist
