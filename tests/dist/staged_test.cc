// Tensors that lie on a device, exchanged by way of main memory: two processes, each with tensors
// of its own on the tests' device of main memory.
#include "opencloc/dist/staged.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/dist/nccl.h"
#include "tests/dist/processes.h"
#include "tests/fake_device.h"

namespace opencloc::dist {
namespace {

using fixtures::fake_device;
using fixtures::FakeDevice;

torch::Tensor on_device(const torch::Tensor& t) { return t.to(fake_device()); }

void expect_equal(const torch::Tensor& got, const torch::Tensor& wanted) {
  EXPECT_EQ(got.device(), fake_device());
  EXPECT_TRUE(torch::equal(got.to(torch::kCPU), wanted)) << got.to(torch::kCPU) << wanted;
}

torch::Tensor numbers(int64_t rank, int64_t n) { return torch::arange(n) * (rank + 1.0); }

void expect_staged(Group& group) {
  const int64_t ranks = group.size(), rank = group.rank();
  auto sum = on_device(numbers(rank, 5)), most = on_device(numbers(rank, 5));
  group.sum(sum);
  group.max(most);
  expect_equal(sum, torch::arange(5) * (ranks * (ranks + 1) / 2.0));
  expect_equal(most, numbers(ranks - 1, 5));

  std::vector<torch::Tensor> rows;  // as many as the rank
  for (int64_t of = 0; of < ranks; ++of) rows.push_back(numbers(of, of * 3).view({of, 3}));
  const Gathered gathered = group.gather(on_device(rows[static_cast<size_t>(rank)]));
  expect_equal(gathered.rows, torch::cat(rows));
  EXPECT_EQ(gathered.first, rank * (rank - 1) / 2);

  auto told = on_device(numbers(rank, 4));
  group.broadcast(told);
  expect_equal(told, numbers(0, 4));

  const auto chunk = group.reduce_scatter(on_device(numbers(rank, 2 * ranks)));
  const auto whole = torch::arange(2 * ranks) * (ranks * (ranks + 1) / 2.0);
  expect_equal(chunk, whole.narrow(0, 2 * rank, 2));
  auto all = torch::empty({2 * ranks}, fake_device());
  group.all_gather(chunk, all);
  expect_equal(all, whole);

  auto host = numbers(rank, 3);  // what lies in main memory stays there
  group.sum(host);
  EXPECT_TRUE(torch::equal(host, torch::arange(3) * (ranks * (ranks + 1) / 2.0)));
}

TEST(Staged, TwoProcessesExchangeWhatLiesOnADevice) {
  fixtures::run_processes(2, {}, [](Group& group) {
    expect_staged(group);
    expect_staged(*group.line("beside"));
    EXPECT_GT(group.bytes_received(), 0);
  });
}

// Its functions are all there in the library that this machine has; what they do needs GPUs.
TEST(Nccl, LoadsWhereItsLibraryIs) {
  if (!why_no_nccl().empty()) GTEST_SKIP() << "NCCL cannot be used here: " << why_no_nccl();
  EXPECT_THAT(nccl_version(), testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace opencloc::dist
