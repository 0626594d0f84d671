#include "opencloc/dist/staged.h"

#include <utility>

#include <torch/utils.h>

namespace opencloc::dist {
namespace {

bool on_host(const torch::Tensor& t) { return t.device().is_cpu(); }

// Room in main memory for what lies on a device.
torch::Tensor host_room(torch::IntArrayRef sizes, const torch::Tensor& like) {
  return torch::empty(sizes,
                      like.options().device(torch::kCPU).pinned_memory(like.device().is_cuda()));
}

torch::Tensor to_host(const torch::Tensor& t) {
  if (on_host(t)) return t;
  auto copy = host_room(t.sizes(), t);
  copy.copy_(t.detach());
  return copy;
}

class StagedGroup : public Group {
 public:
  explicit StagedGroup(std::unique_ptr<Group> host) : host_(std::move(host)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }

  void sum(torch::Tensor& values) override {
    in_place(values, [&](torch::Tensor& staged) { host_->sum(staged); });
  }
  void max(torch::Tensor& values) override {
    in_place(values, [&](torch::Tensor& staged) { host_->max(staged); });
  }
  void broadcast(torch::Tensor& values) override {
    in_place(values, [&](torch::Tensor& staged) { host_->broadcast(staged); });
  }

  Gathered gather(const torch::Tensor& rows) override {
    Gathered gathered = host_->gather(to_host(rows));
    gathered.rows = gathered.rows.to(rows.device());
    return gathered;
  }

  torch::Tensor reduce_scatter(const torch::Tensor& values) override {
    return host_->reduce_scatter(to_host(values)).to(values.device());
  }

  void all_gather(const torch::Tensor& chunk, torch::Tensor& all) override {
    if (on_host(all)) return host_->all_gather(to_host(chunk), all);
    auto staged = host_room(all.sizes(), all);
    host_->all_gather(to_host(chunk), staged);
    all.copy_(staged);
  }

  void collect(std::string text,
               const std::function<void(int rank, std::string text)>& take) override {
    host_->collect(std::move(text), take);
  }
  void first_alone(const std::string& what, const std::function<void()>& work) override {
    host_->first_alone(what, work);
  }
  std::unique_ptr<Group> line(const std::string& name) override {
    return make_staged_group(host_->line(name));
  }
  void at(const std::string& place) override { host_->at(place); }
  int64_t bytes_received() const override { return host_->bytes_received(); }
  double seconds() const override { return host_->seconds(); }

 private:
  template <typename Call>
  void in_place(torch::Tensor& values, const Call& call) {
    if (on_host(values)) return call(values);
    const torch::NoGradGuard no_grad;
    auto staged = to_host(values);
    call(staged);
    values.copy_(staged);
  }

  const std::unique_ptr<Group> host_;
};

}  // namespace

std::unique_ptr<Group> make_staged_group(std::unique_ptr<Group> host) {
  return std::make_unique<StagedGroup>(std::move(host));
}

}  // namespace opencloc::dist
