// What every subject of `bench` shares: its options, how work is timed, and how a figure is
// printed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc::bench {

struct BenchOptions {
  std::string images;     // loader: a folder of pictures
  std::string model;      // encode, prompt, train: this one instead of the default ones
  std::string tokenizer;  // tokenizer: a file or folder
  int64_t batch = 0;      // encode, train; 0 = the default ones
  int64_t loss_rows = 131'072;
  int64_t samples = 200'000;            // index
  int64_t rows = 1'000'000;             // search
  std::string vectors, queries;         // search: files of `embed`
  std::string server, api_key_file;     // serve: one that runs, and its keys
  std::string index;                    // serve: in place of a made-up one
  int64_t index_rows = 100'000;         // serve: of a made-up index
  std::vector<int> clients{1, 8, 32};   // serve
  std::vector<std::string> kinds;       // serve: of requests; empty = all
  std::vector<std::string> precisions;  // where a subject has several; empty = all
  double seconds = 2;                   // for each figure
  std::string device = "cpu";           // encode, train
  int threads = 1;
  uint64_t seed = 0;
  bool json = false;
};

struct Spent {
  double wall = 0;  // seconds of one run: the shortest of all
  double cpu = 0;   // processor time of one run, all threads: the mean
};
// Runs `work` for about `seconds`, at least once. The first run only warms up, unless it alone took
// ten times that long: then it is the figure.
Spent time_of(double seconds, const std::function<void()>& work);

struct Figure {
  std::string name;  // "encode/ViT-B-16/bf16/b32"
  double items_per_s = 0;
  double items_per_cpu_s = 0;  // a second of processor time: what one core does, whatever else runs
  double gflops = 0;           // 0: not a matter of products
  double peak = 0;             // what `gflops` is a share of, measured in this run; 0: no share
  Json more = Json::object();  // further keys of this subject
};
// `items` were made in each run.
Figure figure_of(const std::string& name, double items, const Spent& spent);
// KiB of a line of /proc/self/status, "VmHWM:" and the like; 0 where there is none.
int64_t status_kib(const std::string& key);
// One line: for people, or a JSON object.
void report(const BenchOptions& options, const Figure& figure);

}  // namespace opencloc::bench
