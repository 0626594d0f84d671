// Groups of real processes.
#include <csignal>
#include <mutex>

#include <gtest/gtest.h>
#include <torch/utils.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "tests/base/temp_folder.h"
#include "tests/dist/processes.h"

namespace opencloc::dist {
namespace {

using fixtures::run_processes;

torch::Tensor values_of(int64_t rank, int64_t n, torch::Dtype type) {
  return (torch::arange(n, torch::kInt64) * 7 + rank * 13).remainder(50).to(type);
}

void expect_sums(Group& group) {
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kInt64, torch::kUInt8}) {
    auto sum = values_of(group.rank(), 11, type), most = sum.clone();
    auto expected = torch::zeros_like(sum), expected_most = most.clone();
    for (int64_t rank = 0; rank < group.size(); ++rank) {
      expected += values_of(rank, 11, type);
      expected_most = torch::max(expected_most, values_of(rank, 11, type));
    }
    group.sum(sum);
    group.max(most);
    EXPECT_TRUE(torch::equal(sum, expected)) << type;
    EXPECT_TRUE(torch::equal(most, expected_most)) << type;
  }
}

// Rows: as many everywhere; none; another number in each, none in one of them.
void expect_gathers(Group& group) {
  const std::vector<std::function<int64_t(int64_t)>> sizes = {
      [](int64_t) { return 3; }, [](int64_t) { return 0; },
      [](int64_t rank) { return (rank * 2 + 3) % 4; }};
  for (const auto& size : sizes) {
    const auto rows_of = [&](int64_t rank) {
      return values_of(rank, size(rank) * 5, torch::kFloat).view({size(rank), 5});
    };
    std::vector<torch::Tensor> all;
    int64_t first = 0;
    for (int64_t rank = 0; rank < group.size(); ++rank) {
      if (rank < group.rank()) first += size(rank);
      all.push_back(rows_of(rank));
    }
    const Gathered gathered = group.gather(rows_of(group.rank()));
    EXPECT_TRUE(torch::equal(gathered.rows, torch::cat(all)));
    EXPECT_EQ(gathered.first, first);
  }
}

void expect_exchanges(Group& group) {
  const int64_t n = 6;
  auto sum = torch::zeros({n});
  for (int64_t rank = 0; rank < group.size(); ++rank)
    sum += values_of(rank, n * group.size(), torch::kFloat).narrow(0, group.rank() * n, n);
  const auto own = group.reduce_scatter(values_of(group.rank(), n * group.size(), torch::kFloat));
  EXPECT_TRUE(torch::equal(own, sum));
  auto whole = torch::empty({n * group.size()}), expected = torch::zeros({n * group.size()});
  group.all_gather(own, whole);
  for (int64_t rank = 0; rank < group.size(); ++rank)
    expected += values_of(rank, n * group.size(), torch::kFloat);
  EXPECT_TRUE(torch::equal(whole, expected));
  auto told = values_of(group.rank(), n, torch::kInt64);
  group.broadcast(told);
  EXPECT_TRUE(torch::equal(told, values_of(0, n, torch::kInt64)));
}

void expect_texts(Group& group) {
  const std::string own(static_cast<size_t>(group.rank()), 'x');  // the first has none
  const auto texts = gather(group, own);
  ASSERT_EQ(texts.size(), static_cast<size_t>(group.size()));
  for (size_t rank = 0; rank < texts.size(); ++rank) EXPECT_EQ(texts[rank].size(), rank);
  std::vector<std::string> taken;
  group.collect(own, [&](int rank, const std::string& text) {
    EXPECT_EQ(static_cast<size_t>(rank), taken.size());
    taken.push_back(text);
  });
  if (group.is_first()) {
    EXPECT_EQ(taken, texts);
  } else {
    EXPECT_TRUE(taken.empty());
  }
  EXPECT_EQ(broadcast(group, group.is_first() ? "said" : "unheard"), "said");
  EXPECT_EQ(broadcast(group, group.is_first() ? "" : "unheard"), "");
}

TEST(Gloo, TwoProcesses) {
  run_processes(2, {}, [](Group& group) {
    ASSERT_EQ(group.size(), 2);
    expect_sums(group);
    expect_gathers(group);
    expect_exchanges(group);
    expect_texts(group);
  });
}

TEST(Gloo, FourProcessesAndASecondLine) {
  run_processes(4, {}, [](Group& group) {
    expect_sums(group);
    expect_gathers(group);
    const auto line = group.line("second");
    expect_exchanges(*line);
    expect_sums(group);
    expect_texts(*line);
    EXPECT_GT(group.bytes_received(), 0);
  });
}

TEST(Gloo, TheFirstWorksAloneAndTheOthersWait) {
  // Longer than any call may take, which is long enough for all to join on a busy machine.
  run_processes(3, {.timeout = std::chrono::seconds(6)}, [](Group& group) {
    int worked = 0;
    group.first_alone("sleeping", [&] {
      usleep(7'000'000);
      worked = 1;
    });
    EXPECT_EQ(worked, group.is_first() ? 1 : 0);
    expect_sums(group);
  });
}

// What rank `failing` does ends all three; the Error of the `told` others must say the cause.
void expect_cause(int failing, const std::function<void()>& fails, const std::string& cause,
                  int told, std::chrono::seconds timeout = std::chrono::seconds(60)) {
  constexpr const char* kVerdicts = "OPENCLOC_TEST_VERDICTS";
  const Place place = place_from_environment();
  if (place.size == 1) {
    const fixtures::TestFolder folder;
    setenv(kVerdicts, (folder / "verdicts").c_str(), 1);
    EXPECT_NE(fixtures::start_ranks(3), 0);
    EXPECT_EQ(read_file(folder / "verdicts"), std::string(static_cast<size_t>(told), '.'));
    unsetenv(kVerdicts);
    return;
  }
  // Whoever knows first: the call that fails, or on a busy machine the thread that watches it.
  std::mutex once;
  const auto end = [&](const std::string& said) {
    once.lock();
    std::FILE* verdicts = std::fopen(std::getenv(kVerdicts), "a");
    if (said.find(cause) != std::string::npos) {
      std::fputc('.', verdicts);
    } else {
      std::fprintf(verdicts, "rank %d: '%s'", place.rank, said.c_str());
    }
    std::fclose(verdicts);
    std::_Exit(1);  // without waiting for threads that wait for processes that are gone
  };
  JoinOptions options{.timeout = timeout};
  options.give_up = [&](const Error& error) { end(error.what()); };
  try {
    in_group(place, options, [&](Group& group) {
      expect_sums(group);
      group.at("step 7");
      if (group.rank() == failing) fails();
      for (int i = 0; i < 3; ++i) expect_sums(group);
    });
  } catch (const std::exception& error) {
    end(error.what());
  }
  end("no error");
}

TEST(Gloo, AProcessThatThrowsTellsTheOthersWhy) {
  expect_cause(
      1, [] { throw Error::input("the disk is green", "disk"); }, "the disk is green", 3);
}
TEST(Gloo, TheFirstProcessTellsTheOthersWhy) {
  expect_cause(
      0, [] { throw Error::failed("the disk is full", "disk"); }, "the disk is full", 3);
}
TEST(Gloo, AKilledProcessIsNamed) {
  expect_cause(
      2, [] { std::raise(SIGKILL); }, "rank 2 was killed by signal 9", 2);
}
// The launcher tells nobody: the others find out by its silence, as under any other launcher.
TEST(Gloo, AProcessThatVanishesIsNamed) {
  expect_cause(
      2, [] { std::_Exit(1); }, "rank 2 (", 2);
}
TEST(Gloo, TheFirstProcessKilledIsNamed) {
  expect_cause(
      0, [] { std::raise(SIGKILL); }, "rank 0 (", 2);
}
TEST(Gloo, AProcessThatHangsIsNamed) {
  expect_cause(
      1, [] { std::raise(SIGSTOP); }, "rank 1 (", 2, std::chrono::seconds(3));
}

}  // namespace
}  // namespace opencloc::dist
