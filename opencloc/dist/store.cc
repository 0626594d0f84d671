#include "opencloc/dist/store.h"

#include <cstdlib>
#include <exception>
#include <system_error>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include <c10/util/Logging.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/ops/torch_compat.h"

namespace opencloc::dist {
namespace {

std::vector<uint8_t> to_bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string to_text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

std::terminate_handler terminate_before = nullptr;

// That thread waits for a call that we never make: it ends, and not the process.
[[noreturn]] void end_store_thread() {
  try {
    if (getpid() != gettid() && std::current_exception())
      std::rethrow_exception(std::current_exception());
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::connection_reset) syscall(SYS_exit, 0);
  } catch (...) {
    // For the handler before.
  }
  if (terminate_before != nullptr) terminate_before();
  std::abort();
}

[[noreturn]] void explain_store(const Place& place, bool serve, const std::string& error) {
  const std::string where = place.host + ":" + std::to_string(place.port);
  if (serve && error.find("in use") != std::string::npos)
    throw Error::input("another program listens on the port where the processes meet", where,
                       "name another one: MASTER_PORT or the setting 'dist_url'");
  if (serve)
    throw Error::failed(
        "cannot listen where the processes meet (" + error.substr(0, error.find('\n')) + ")", where,
        "this machine must be the host of $MASTER_ADDR, or rank 0 run there");
  if (place.launcher_keeps_store && error.find("Connection reset") != std::string::npos)
    throw Error::failed("the store of " + place.launcher + " speaks another version", where,
                        "start the processes with opencloc launch, or by the torchrun of the "
                        "libtorch that opencloc was built with");
  throw Error::failed("rank 0 cannot be reached", where,
                      "see whether it was started, and whether a firewall lets its port through");
}

}  // namespace

Store::Store(const Place& place, bool serve, std::chrono::milliseconds timeout) {
  if constexpr (ops::kStoreThreadThrows) {
    [[maybe_unused]] static const bool once =
        (terminate_before = std::set_terminate(end_store_thread), true);
  }
  // Newer stores tell of a connection that was lost at length, with addresses of code.
  ::setenv("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/0);
  c10::initLogging();
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(place.port);
  options.isServer = serve;
  options.waitWorkers = false;
  options.timeout = timeout;
  try {
    store_ = c10::make_intrusive<c10d::PrefixStore>(
        "opencloc/" + std::to_string(place.attempt),
        c10::make_intrusive<c10d::TCPStore>(place.host, options));
  } catch (const std::exception& error) {
    explain_store(place, serve, error.what());
  }
}

Store::~Store() = default;

void Store::set(const std::string& key, const std::string& text) {
  store_->set(key, to_bytes(text));
}

std::optional<std::string> Store::get(const std::string& key) {
  if (!store_->check({key})) return std::nullopt;
  return to_text(store_->get(key));
}

int64_t Store::add(const std::string& key, int64_t count) { return store_->add(key, count); }

std::string Store::set_first(const std::string& key, const std::string& text) {
  return to_text(store_->compareSet(key, {}, to_bytes(text)));
}

c10::intrusive_ptr<c10d::Store> Store::part(const std::string& name) const {
  return c10::make_intrusive<c10d::PrefixStore>(name, store_);
}

}  // namespace opencloc::dist
