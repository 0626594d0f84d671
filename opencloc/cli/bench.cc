// `opencloc bench`: the project's own benchmarks. A subject is one function in kSubjects.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/rng.h"
#include "opencloc/base/thread_pool.h"
#include "opencloc/cli/bench_gemm.h"
#include "opencloc/cli/bench_open.h"
#include "opencloc/cli/verb.h"
#include "opencloc/image/canvas.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/normalize.h"

namespace opencloc::cli {
namespace {

struct BenchFlags {
  CommonFlags common;
  std::vector<std::string> subjects;
  std::string images;
  double seconds = 2;
  bool json = false;
};

struct Rate {
  double per_s = 0;      // of the clock on the wall
  double per_cpu_s = 0;  // of processor time: what one core does, whatever else runs
};

void report(const BenchFlags& flags, const std::string& name, const Rate& rate) {
  if (flags.json) {
    Json line;
    line["name"] = name;
    line["items_per_s"] = rate.per_s;
    line["items_per_cpu_s"] = rate.per_cpu_s;
    std::printf("%s\n", dump_json(line).c_str());
  } else {
    std::printf("%-48s %9.1f items/s %9.1f items/s a core\n", name.c_str(), rate.per_s,
                rate.per_cpu_s);
  }
  std::fflush(stdout);
}

// Calls work(i) for every i of [0, count), over and over for flags.seconds.
Rate measure(const BenchFlags& flags, int64_t count, const std::function<void(int64_t)>& work) {
  using Clock = std::chrono::steady_clock;
  const int threads = thread_count(flags.common);
  parallel_for(std::min<int64_t>(count, 8), threads, work);  // warm up
  const auto began = Clock::now();
  const std::clock_t cpu_began = std::clock();
  int64_t done = 0;
  std::chrono::duration<double> took{};
  do {
    parallel_for(count, threads, work);
    done += count;
    took = Clock::now() - began;
  } while (took.count() < flags.seconds);
  const double cpu = static_cast<double>(std::clock() - cpu_began) / CLOCKS_PER_SEC;
  const auto items = static_cast<double>(done);
  return {items / took.count(), items / cpu};
}

// Noise with as much power in every octave, much like a photograph's.
std::string photo_like_jpeg(int width, int height, Rng& rng) {
  std::vector<float> sum(static_cast<size_t>(width) * height * 3, 128.0f);
  for (int cells = 2; cells <= width; cells *= 2) {
    Image octave(cells, std::max(1, cells * height / width));
    for (uint8_t& value : octave.pixels) value = static_cast<uint8_t>(rng.next());
    const Image smooth = resize(octave, {width, height});
    const float strength = 0.9f / static_cast<float>(std::max(1, cells / 8));
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += strength * (static_cast<float>(smooth.pixels[i]) - 128.0f);
    }
  }
  Image image(width, height);
  std::transform(sum.begin(), sum.end(), image.pixels.begin(),
                 [](float v) { return static_cast<uint8_t>(std::clamp(v, 0.0f, 255.0f)); });
  return encode_jpeg(image, 90);
}

struct Photos {
  std::string name;
  std::vector<std::string> files;  // encoded
};

Photos load_photos(const BenchFlags& flags) {
  Photos photos;
  if (flags.images.empty()) {
    photos.name = "jpeg-640x480";
    Rng rng(flags.common.seed);
    for (int i = 0; i < 32; ++i) photos.files.push_back(photo_like_jpeg(640, 480, rng));
    return photos;
  }
  photos.name = std::filesystem::path(flags.images).filename().string();
  if (!std::filesystem::is_directory(flags.images)) {
    throw Error::input("not a folder", flags.images, "name a folder of pictures");
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(flags.images)) {
    if (!entry.is_regular_file()) continue;
    std::string bytes = read_file(entry.path());
    if (probe_image(bytes).ok) photos.files.push_back(std::move(bytes));
  }
  if (photos.files.empty()) throw Error::input("no picture that decodes", flags.images);
  return photos;
}

// From encoded bytes to the floats a model of 224 pixels reads.
void bench_loader(const BenchFlags& flags) {
  const Photos photos = load_photos(flags);
  const auto count = static_cast<int64_t>(photos.files.size());
  const std::string prefix = "loader/" + photos.name + "/";
  const std::string suffix = "/t" + std::to_string(thread_count(flags.common));
  std::atomic<uint64_t> used{0};  // results count, so that no work is optimised away

  const auto run = [&](const std::string& name, const DecodeOptions& decode,
                       const CanvasOptions* canvas) {
    const Rate rate = measure(flags, count, [&](int64_t i) {
      const Image image = Image::decode(photos.files[static_cast<size_t>(i)], photos.name, decode);
      if (canvas == nullptr) {
        used += image.pixels.back();
        return;
      }
      thread_local std::vector<float> pixels;
      pixels.resize(static_cast<size_t>(3) * canvas->width * canvas->height);
      constexpr std::array<float, 3> kMean{0.48145466f, 0.4578275f, 0.40821073f};
      constexpr std::array<float, 3> kStd{0.26862954f, 0.26130258f, 0.27577711f};
      normalize_chw(to_canvas(image, *canvas).image, kMean, kStd, pixels.data());
      used += pixels.back() > 0 ? 1 : 0;
    });
    report(flags, prefix + name + suffix, rate);
  };

  CanvasOptions shortest;
  CanvasOptions longest;
  longest.rule = CanvasRule::kLongest;
  DecodeOptions exact;
  DecodeOptions draft;
  draft.shrink_to = shortest.width;
  run("decode", exact, nullptr);
  run("shortest-224", exact, &shortest);
  run("longest-224", exact, &longest);
  run("shortest-224-draft", draft, &shortest);
}

// `run` is bench_gemm or bench_tower; about as long for each figure as --seconds asks.
void bench_products(const BenchFlags& flags, void (*run)(int, const ReportRate&)) {
  constexpr double kRunsPerSecond = 10;
  run(std::max(1, static_cast<int>(flags.seconds * kRunsPerSecond)), [&](const GemmRate& rate) {
    if (flags.json) {
      Json line;
      line["name"] = rate.name;
      line["items_per_s"] = rate.items_per_s;
      line["gflops"] = rate.gflops;
      if (rate.share_of_peak > 0) line["share_of_peak"] = rate.share_of_peak;
      std::printf("%s\n", dump_json(line).c_str());
    } else {
      std::printf("%-48s %9.1f items/s %9.1f GFLOP/s", rate.name.c_str(), rate.items_per_s,
                  rate.gflops);
      if (rate.share_of_peak > 0)
        std::printf("  %3.0f%% of the bf16 peak", 100 * rate.share_of_peak);
      std::printf("\n");
    }
    std::fflush(stdout);
  });
}

// A safetensors file of 1 GB: how long until every tensor is at hand, and what memory it takes.
void bench_weights(const BenchFlags& flags) {
  const OpenCost cost = bench_open(1'000'000'000, 5);
  if (flags.json) {
    const Json line = {{"name", "open/safetensors/1GB"},
                       {"bytes", cost.bytes},
                       {"tensors", cost.tensors},
                       {"ms", cost.wall_ms},
                       {"cpu_ms", cost.cpu_ms},
                       {"own_kib_open", cost.own_kib_open},
                       {"own_kib_read", cost.own_kib_read},
                       {"peak_rss_kib", cost.peak_rss_kib}};
    std::printf("%s\n", dump_json(line).c_str());
  } else {
    std::printf("%-48s %9.2f ms %9.2f ms of a core; own memory +%lld KiB open, +%lld KiB read\n",
                "open/safetensors/1GB", cost.wall_ms, cost.cpu_ms,
                static_cast<long long>(cost.own_kib_open),
                static_cast<long long>(cost.own_kib_read));
  }
}

struct Subject {
  const char* name;
  void (*run)(const BenchFlags& flags);
};
constexpr Subject kSubjects[] = {
    {"loader", bench_loader},
    {"gemm", [](const BenchFlags& flags) { bench_products(flags, bench_gemm); }},
    {"tower", [](const BenchFlags& flags) { bench_products(flags, bench_tower); }},
    {"open", bench_weights},
};

void run_bench(const BenchFlags& flags) {
  for (const Subject& subject : kSubjects) {
    const auto& wanted = flags.subjects;
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), subject.name) != wanted.end()) {
      subject.run(flags);
    }
  }
}

}  // namespace

void add_bench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  std::vector<std::string> names;
  for (const Subject& subject : kSubjects) names.emplace_back(subject.name);
  app.add_option("SUBJECT", flags->subjects, "What to measure; nothing named = everything")
      ->check(CLI::IsMember(names));
  app.add_option("--images", flags->images,
                 "loader: folder of pictures instead of generated 640x480 JPEGs")
      ->type_name("DIR");
  app.add_option("--seconds", flags->seconds, "Time for each figure")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_flag("--json", flags->json, "One JSON object a line");
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer("Example: opencloc bench loader --threads 1 --json");
  app.callback([flags] { run_bench(*flags); });
}

}  // namespace opencloc::cli
