// The one thread that computes. When it is free it takes all that waits of one kind, up to what
// makes a good batch, and never waits for more: a lone request is alone at once, and many at a time
// make full batches by themselves.
//
// Short kinds come before long ones, so that a click on a picture does not stand behind a hundred
// pictures; what has waited for half a second comes first whatever it is. Work of calls that are
// over is dropped before it costs anything.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "opencloc/api/opencloc.h"
#include "opencloc/index/search.h"
#include "opencloc/serve/call.h"
#include "opencloc/serve/index_set.h"
#include "opencloc/serve/metrics.h"

namespace opencloc::serve {

// In the order in which they come.
enum class WorkKind { kPrompt, kScan, kText, kImage, kOther };
inline constexpr size_t kWorkKinds = 5;
const char* name_of(WorkKind kind);

// What computes: the model behind it may come and go.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::vector<Embedding> encode_texts(std::span<const std::string> texts) = 0;
  // Throws Error (input) when a picture cannot be encoded.
  virtual std::vector<Scene> encode_images(std::span<const Image> images) = 0;
  // Called on the batcher's thread whenever nothing was to do for idle_time().
  virtual std::chrono::milliseconds idle_time() const { return std::chrono::hours(1); }
  virtual void idle() {}
};

struct BatcherOptions {
  size_t max_texts = 64;
  size_t max_images = 8;
  // Of the pictures of a batch, but for its first: so that a search does not wait until eight of
  // the largest are made small.
  int64_t max_pixels = 24'000'000;
  size_t max_searches = 16;
};

class Batcher {
 public:
  Batcher(Engine& engine, const BatcherOptions& options, Metrics& metrics);
  ~Batcher() { stop(); }
  // Ends the thread; what waits, and what comes later, is dropped.
  void stop();

  // What is called back runs on the batcher's thread, guarded by the call.
  using OnTexts = std::function<void(std::vector<Embedding> embeddings)>;
  void texts(CallPtr call, std::vector<std::string> texts, OnTexts then);
  // `failed` hears why a picture cannot be encoded; others of its batch are not touched by that.
  // The picture is freed before `then`.
  using OnScene = std::function<void(Scene scene)>;
  using OnFault = std::function<void(const Error& error)>;
  void image(CallPtr call, std::shared_ptr<Image> image, OnScene then, OnFault failed);
  // Searches of one index that want the same share its passes. `query` [E], of unit length.
  using OnResult = std::function<void(SearchResult result)>;
  void search(CallPtr call, ServedIndex& index, std::vector<float> query, SearchOptions options,
              OnResult then);
  // Work of its own: prompts on a scene, a look into an index, a change of one.
  void work(CallPtr call, WorkKind kind, std::function<void()> work);

  size_t waiting() const;
  // Seconds that the oldest work has waited, or the work at hand has taken.
  double oldest_seconds() const;
  // When work was last ended well.
  Call::Clock::time_point last_success() const;

 private:
  struct Item {
    CallPtr call;
    Call::Clock::time_point since;
    std::vector<std::string> texts = {};
    std::shared_ptr<Image> image = {};
    OnTexts on_texts = {};
    OnScene on_scene = {};
    OnFault on_fault = {};
    ServedIndex* index = nullptr;
    std::vector<float> query = {};
    SearchOptions options = {};
    OnResult on_result = {};
    std::function<void()> work = {};
  };
  static bool same_search(const Item& a, const Item& b);
  void put(WorkKind kind, Item item);
  void run();
  WorkKind next_kind() const;
  std::vector<Item> take(WorkKind kind);
  bool compute(WorkKind kind, std::vector<Item>& items);
  bool compute_texts(std::vector<Item>& items);
  bool compute_images(std::vector<Item>& items);
  bool compute_image(Item& item);
  bool compute_searches(std::vector<Item>& items);

  Engine& engine_;
  const BatcherOptions options_;
  Metrics& metrics_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::array<std::deque<Item>, kWorkKinds> items_;
  Call::Clock::time_point busy_since_{}, last_success_{};
  bool busy_ = false, ending_ = false;
  std::thread thread_;
};

}  // namespace opencloc::serve
