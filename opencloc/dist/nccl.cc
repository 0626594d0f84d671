// Work is put on a stream of the group's own, which waits for what the step has queued, and the
// step's later work waits for it: an event each way, and the host waits for nothing. libtorch's
// stream is CUDA's default one (nobody here sets another).
#include "opencloc/dist/nccl.h"

#include <utility>

#include "opencloc/base/error.h"

#ifdef OPENCLOC_NCCL
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>
#include <torch/utils.h>

namespace opencloc::dist {
namespace {

using namespace std::chrono_literals;
using NcclClock = std::chrono::steady_clock;

// The functions that are used, by the types of the headers.
struct NcclLibrary {
  std::string missing;  // why it cannot be used
#define OPENCLOC_NCCL_CALLS(call)                                                                 \
  call(ncclGetVersion) call(ncclGetUniqueId) call(ncclCommInitRankConfig) call(ncclCommFinalize)  \
      call(ncclCommDestroy) call(ncclCommAbort) call(ncclCommGetAsyncError)                       \
          call(ncclGetErrorString) call(ncclGetLastError) call(ncclAllReduce) call(ncclBroadcast) \
              call(ncclReduceScatter) call(ncclAllGather) call(ncclGroupStart) call(ncclGroupEnd)
#define OPENCLOC_CUDA_CALLS(call)                                                   \
  call(cudaSetDevice) call(cudaGetErrorString) call(cudaStreamCreateWithFlags)      \
      call(cudaStreamDestroy) call(cudaEventCreateWithFlags) call(cudaEventDestroy) \
          call(cudaEventRecord) call(cudaEventQuery) call(cudaStreamWaitEvent)
#define OPENCLOC_DECLARE(function) decltype(&::function) function = nullptr;
  OPENCLOC_NCCL_CALLS(OPENCLOC_DECLARE)
  OPENCLOC_CUDA_CALLS(OPENCLOC_DECLARE)
#undef OPENCLOC_DECLARE

  NcclLibrary() {
    // libtorch's CUDA part brings both along; else the system's.
    const std::string runtime = "libcudart.so." + std::to_string(CUDART_VERSION / 1000);
    void* cuda = open(runtime.c_str());
    void* nccl = open("libnccl.so.2");
#define OPENCLOC_FIND(library, function)                                                  \
  if (missing.empty()) {                                                                  \
    function = reinterpret_cast<decltype(function)>(::dlsym(library, #function));         \
    if (function == nullptr) missing = std::string("it lacks the function ") + #function; \
  }
#define OPENCLOC_FIND_CUDA(function) OPENCLOC_FIND(cuda, function)
#define OPENCLOC_FIND_NCCL(function) OPENCLOC_FIND(nccl, function)
    OPENCLOC_CUDA_CALLS(OPENCLOC_FIND_CUDA)
    OPENCLOC_NCCL_CALLS(OPENCLOC_FIND_NCCL)
#undef OPENCLOC_FIND_CUDA
#undef OPENCLOC_FIND_NCCL
#undef OPENCLOC_FIND
#undef OPENCLOC_NCCL_CALLS
#undef OPENCLOC_CUDA_CALLS
  }

  static const NcclLibrary& get() {
    static const NcclLibrary library;
    return library;
  }

 private:
  void* open(const char* name) {
    if (!missing.empty()) return nullptr;
    void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) missing = ::dlerror();
    return library;
  }
};

const NcclLibrary& nccl() { return NcclLibrary::get(); }

void check(cudaError_t result) {
  if (result != cudaSuccess) throw std::runtime_error(nccl().cudaGetErrorString(result));
}

ncclDataType_t type_of(const torch::Tensor& t) {
  switch (t.scalar_type()) {
    case torch::kFloat:
      return ncclFloat32;
    case torch::kDouble:
      return ncclFloat64;
    case torch::kBFloat16:
      return ncclBfloat16;
    case torch::kHalf:
      return ncclFloat16;
    case torch::kInt64:
      return ncclInt64;
    case torch::kInt32:
      return ncclInt32;
    case torch::kUInt8:
    case torch::kBool:
      return ncclUint8;
    default:
      TORCH_CHECK(false, "NCCL does not exchange tensors of ", t.scalar_type());
  }
}

class NcclEvent {
 public:
  NcclEvent() { check(nccl().cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~NcclEvent() { nccl().cudaEventDestroy(event_); }
  NcclEvent(const NcclEvent&) = delete;
  NcclEvent& operator=(const NcclEvent&) = delete;
  cudaEvent_t operator*() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class NcclGroup : public Group {
 public:
  NcclGroup(std::shared_ptr<Job> job, std::unique_ptr<Group> host, int device,
            const std::string& name)
      : job_(std::move(job)), host_(std::move(host)), device_(device), name_(name) {
    call("connecting the GPUs", 0, [&] { connect(); });
    watcher_ = std::thread([this] { watch(); });
  }

  ~NcclGroup() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    watcher_.join();
    const bool broken = group_failed() || broken_;
    if (comm_ != nullptr && !aborted_) {
      if (broken) {
        nccl().ncclCommAbort(comm_);
      } else if (finalized()) {
        nccl().ncclCommDestroy(comm_);
      }
    }
    if (stream_ != nullptr) nccl().cudaStreamDestroy(stream_);
  }

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }

  void sum(torch::Tensor& values) override { reduce(values, ncclSum); }
  void max(torch::Tensor& values) override { reduce(values, ncclMax); }

  Gathered gather(const torch::Tensor& rows) override {
    if (!mine(rows)) return host_->gather(rows);
    const auto own = rows.detach().contiguous();
    // How many each has is known in main memory: nobody waits for the GPU to hear of it.
    const auto counts = host_->gather(torch::full({1}, own.size(0), torch::kInt64)).rows;
    const auto* count = counts.data_ptr<int64_t>();
    const auto first = std::accumulate(count, count + rank(), int64_t{0});
    const auto all = std::accumulate(count, count + size(), int64_t{0});
    auto shape = own.sizes().vec();
    shape[0] = all;
    Gathered gathered{torch::empty(shape, own.options()), first};
    if (all == 0) return gathered;
    const auto of_row = static_cast<size_t>(gathered.rows.numel() / all);
    const int64_t received = static_cast<int64_t>(gathered.rows.nbytes() - own.nbytes());
    run("gathering rows", received, {own, gathered.rows}, [&] {
      const auto type = type_of(own);
      const bool even = std::all_of(count, count + size(), [&](int64_t n) { return n == *count; });
      if (even) {
        return nccl().ncclAllGather(own.data_ptr(), gathered.rows.data_ptr(),
                                    static_cast<size_t>(*count) * of_row, type, comm_, stream_);
      }
      // Other numbers of rows in each: one broadcast a process, all at once.
      nccl().ncclGroupStart();
      int64_t begin = 0;
      for (int of = 0; of < size(); ++of) {
        auto part = gathered.rows.narrow(0, begin, count[of]);
        const void* from = of == rank() ? own.data_ptr() : part.data_ptr();
        if (count[of] > 0)
          nccl().ncclBroadcast(from, part.data_ptr(), static_cast<size_t>(count[of]) * of_row, type,
                               of, comm_, stream_);
        begin += count[of];
      }
      return nccl().ncclGroupEnd();
    });
    return gathered;
  }

  void broadcast(torch::Tensor& values) override {
    if (!mine(values)) return host_->broadcast(values);
    if (values.numel() == 0) return;
    auto dense = values.detach().contiguous();
    run("a broadcast", is_first() ? 0 : static_cast<int64_t>(dense.nbytes()), {dense}, [&] {
      return nccl().ncclBroadcast(dense.data_ptr(), dense.data_ptr(),
                                  static_cast<size_t>(dense.numel()), type_of(dense), 0, comm_,
                                  stream_);
    });
    if (!dense.is_alias_of(values)) values.copy_(dense);
  }

  // NCCL's order of summing depends on how the GPUs are connected, and is the same every time; the
  // sum of a chunk is made in one process, so that all get its bits.
  torch::Tensor reduce_scatter(const torch::Tensor& values) override {
    if (!mine(values)) return host_->reduce_scatter(values);
    const auto own = values.detach().contiguous();
    auto sum = torch::empty({own.numel() / size()}, own.options());
    run("the sum of gradients", static_cast<int64_t>(sum.nbytes()) * (size() - 1), {own, sum}, [&] {
      return nccl().ncclReduceScatter(own.data_ptr(), sum.data_ptr(),
                                      static_cast<size_t>(sum.numel()), type_of(own), ncclSum,
                                      comm_, stream_);
    });
    return sum;
  }

  void all_gather(const torch::Tensor& chunk, torch::Tensor& all) override {
    if (!mine(all)) return host_->all_gather(chunk, all);
    const auto own = chunk.detach().contiguous();
    run("gathering", static_cast<int64_t>(own.nbytes()) * (size() - 1), {own, all}, [&] {
      return nccl().ncclAllGather(own.data_ptr(), all.data_ptr(), static_cast<size_t>(own.numel()),
                                  type_of(own), comm_, stream_);
    });
  }

  void collect(std::string text,
               const std::function<void(int rank, std::string text)>& take) override {
    host_->collect(std::move(text), take);
  }
  void first_alone(const std::string& what, const std::function<void()>& work) override {
    host_->first_alone(what, work);
  }
  std::unique_ptr<Group> line(const std::string& name) override {
    return make_nccl_group(job_, host_->line(name), device_, name_ + "/" + name);
  }
  void at(const std::string& place) override { host_->at(place); }
  int64_t bytes_received() const override { return received_ + host_->bytes_received(); }
  double seconds() const override { return seconds_ + host_->seconds(); }

 private:
  // What was put on the stream, until its event says that it is done.
  struct Pending {
    std::string what;
    std::unique_ptr<NcclEvent> done;
    NcclClock::time_point began;
    std::vector<torch::Tensor> kept;  // alive until then
  };

  bool finalized() {
    try {
      settled(nccl().ncclCommFinalize(comm_));
      return true;
    } catch (const std::exception&) {
      return false;  // at the end of the process there is nothing to tell
    }
  }

  static bool mine(const torch::Tensor& t) { return t.device().is_cuda(); }

  void connect() {
    check(nccl().cudaSetDevice(device_));
    check(nccl().cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    ncclUniqueId id{};
    const std::string key = "nccl/" + name_;
    if (is_first()) {
      settled(nccl().ncclGetUniqueId(&id));
      job_->store->set(key, std::string(id.internal, sizeof(id.internal)));
    }
    const auto began = NcclClock::now();
    std::optional<std::string> told;
    while (!(told = job_->store->get(key))) {
      if (NcclClock::now() - began > job_->options.timeout)
        throw std::runtime_error("rank 0 did not say how to reach NCCL");
      std::this_thread::sleep_for(20ms);
    }
    std::copy_n(told->data(), std::min(told->size(), sizeof(id.internal)), id.internal);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    settled(nccl().ncclCommInitRankConfig(&comm_, size(), id, rank(), &config));
  }

  // Waits, for as long as the job's timeout, until NCCL has taken a call in.
  void settled(ncclResult_t result) {
    const auto began = NcclClock::now();
    while (result == ncclInProgress) {
      if (NcclClock::now() - began > job_->options.timeout)
        throw std::runtime_error("NCCL took no call for " +
                                 std::to_string(job_->options.timeout.count()) + " s");
      std::this_thread::sleep_for(1ms);
      if (nccl().ncclCommGetAsyncError(comm_, &result) != ncclSuccess) result = ncclInternalError;
    }
    if (result == ncclSuccess) return;
    const char* last = nccl().ncclGetLastError(comm_);
    throw std::runtime_error(std::string("NCCL: ") + nccl().ncclGetErrorString(result) +
                             (last != nullptr && *last != '\0' ? std::string(", ") + last : ""));
  }

  template <typename Work>
  void call(const std::string& what, int64_t bytes, const Work& work) {
    const auto began = NcclClock::now();
    try {
      const int64_t number = job_->health->begin(what);
      try {
        if (broken_) throw std::runtime_error(why_broken());
        work();
      } catch (const std::exception& error) {
        throw job_->health->explain(number, error.what());
      }
      job_->health->end(number);
    } catch (const Error&) {
      set_group_failed();
      throw;
    }
    received_ += bytes;
    seconds_ += std::chrono::duration<double>(NcclClock::now() - began).count();
  }

  // `enqueue` puts a call of NCCL on the stream, between the step's work before and after it.
  template <typename Enqueue>
  void run(const std::string& what, int64_t bytes, std::vector<torch::Tensor> tensors,
           const Enqueue& enqueue) {
    call(what, bytes, [&] {
      check(nccl().cudaSetDevice(device_));
      const NcclEvent before;
      check(nccl().cudaEventRecord(*before, nullptr));
      check(nccl().cudaStreamWaitEvent(stream_, *before, 0));
      settled(enqueue());
      auto done = std::make_unique<NcclEvent>();
      check(nccl().cudaEventRecord(**done, stream_));
      check(nccl().cudaStreamWaitEvent(nullptr, **done, 0));
      {
        const std::lock_guard lock(mutex_);
        pending_.push_back({what, std::move(done), NcclClock::now(), std::move(tensors)});
      }
      changed_.notify_all();
    });
  }

  void reduce(torch::Tensor& values, ncclRedOp_t how) {
    if (!mine(values)) return how == ncclSum ? host_->sum(values) : host_->max(values);
    auto dense = values.detach().contiguous();
    run("a sum", 2 * static_cast<int64_t>(dense.nbytes()) * (size() - 1) / size(), {dense}, [&] {
      return nccl().ncclAllReduce(dense.data_ptr(), dense.data_ptr(),
                                  static_cast<size_t>(dense.numel()), type_of(dense), how, comm_,
                                  stream_);
    });
    if (!dense.is_alias_of(values)) values.copy_(dense);
  }

  // Nobody waits for the GPU here, so nobody would notice that a call never ends: this thread does,
  // and breaks it off, which lets the step's work on the GPU end.
  void watch() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      changed_.wait_for(lock, 100ms);
      while (!pending_.empty() && nccl().cudaEventQuery(**pending_.front().done) == cudaSuccess)
        pending_.pop_front();
      if (pending_.empty() || broken_) continue;
      ncclResult_t result = ncclSuccess;
      nccl().ncclCommGetAsyncError(comm_, &result);
      const auto waited = NcclClock::now() - pending_.front().began;
      if (waited < 1s) continue;
      const bool late = waited > job_->options.timeout;
      const bool failed = result != ncclSuccess && result != ncclInProgress;
      if (!late && !failed && !group_failed() && !somebody_failed()) continue;
      why_broken_ = late ? pending_.front().what + " did not end within " +
                               std::to_string(job_->options.timeout.count()) + " s"
                    : failed ? std::string("NCCL: ") + nccl().ncclGetErrorString(result)
                             : "another process failed";
      broken_ = aborted_ = true;
      nccl().ncclCommAbort(comm_);
    }
  }
  bool somebody_failed() {
    try {
      return job_->store->get(kFailureKey).has_value();
    } catch (const std::exception&) {
      return true;  // the store went with rank 0
    }
  }
  std::string why_broken() {
    const std::lock_guard lock(mutex_);
    return why_broken_;
  }

  const std::shared_ptr<Job> job_;
  const std::unique_ptr<Group> host_;
  const int device_;
  const std::string name_;
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  int64_t received_ = 0;
  double seconds_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Pending> pending_;
  bool stopping_ = false;
  std::string why_broken_;
  std::atomic<bool> broken_{false}, aborted_{false};
  std::thread watcher_;
};

}  // namespace

std::string why_no_nccl() { return nccl().missing; }

std::string nccl_version() {
  int version = 0;
  if (!nccl().missing.empty() || nccl().ncclGetVersion(&version) != ncclSuccess) return {};
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

std::unique_ptr<Group> make_nccl_group(std::shared_ptr<Job> job, std::unique_ptr<Group> host,
                                       int device, const std::string& name) {
  if (const auto why = why_no_nccl(); !why.empty())
    throw Error::input("NCCL cannot be used: " + why, "setting 'dist_backend=nccl'",
                       "use the setting 'dist_backend=gloo'");
  return std::make_unique<NcclGroup>(std::move(job), std::move(host), device, name);
}

}  // namespace opencloc::dist
#else
namespace opencloc::dist {

std::string why_no_nccl() { return "this build was made without NCCL's header"; }
std::string nccl_version() { return {}; }

std::unique_ptr<Group> make_nccl_group(std::shared_ptr<Job> /*job*/,
                                       std::unique_ptr<Group> /*host*/, int /*device*/,
                                       const std::string& /*name*/) {
  throw Error::input("NCCL cannot be used: " + why_no_nccl(), "setting 'dist_backend=nccl'",
                     "use the setting 'dist_backend=gloo', or build with -DOPENCLOC_NCCL=ON");
}

}  // namespace opencloc::dist
#endif
