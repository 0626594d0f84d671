#include "opencloc/dist/group.h"

namespace opencloc::dist {
namespace {

class Alone : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void sum(torch::Tensor& /*values*/) override {}
  void max(torch::Tensor& /*values*/) override {}
  Gathered gather(const torch::Tensor& rows) override { return {rows.detach(), 0}; }
};

}  // namespace

Group& alone() {
  static Alone group;
  return group;
}

}  // namespace opencloc::dist
