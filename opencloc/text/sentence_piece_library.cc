#include "opencloc/text/sentence_piece_library.h"

#include <cstddef>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/own_scope.h"

namespace opencloc {
namespace {

// The plugin's bytes, embedded so that an installed binary has nothing to look for.
constexpr unsigned char kPlugin[] = {
#include "sentence_piece_plugin.inc"  // written by CMakeLists.txt
};

constexpr const char* kMend = "install Debian's libsentencepiece0 and allow memfd_create";

// A file in memory that holds the plugin; the caller closes.
int plugin_file() {
  const int fd = ::memfd_create("opencloc_sentence_piece", MFD_CLOEXEC);
  if (fd < 0) throw Error::failed("cannot make a file in memory (" + errno_text() + ")", {}, kMend);
  for (size_t done = 0; done < sizeof kPlugin;) {
    const ssize_t wrote = ::write(fd, kPlugin + done, sizeof kPlugin - done);
    if (wrote <= 0) {
      ::close(fd);
      throw Error::failed("cannot write a file in memory (" + errno_text() + ")", {}, kMend);
    }
    done += static_cast<size_t>(wrote);
  }
  return fd;
}

const SentencePieceLibrary* load_library() {
  const int fd = plugin_file();
  void* plugin = open_in_own_scope("/proc/self/fd/" + std::to_string(fd));
  ::close(fd);
  void* entry = plugin == nullptr ? nullptr : ::dlsym(plugin, "opencloc_sentence_piece_library");
  if (entry == nullptr) {
    const char* reason = ::dlerror();
    throw Error::failed("cannot load SentencePiece (" +
                            std::string(reason == nullptr ? "no reason given" : reason) + ")",
                        {}, kMend);
  }
  return reinterpret_cast<const SentencePieceLibrary* (*)()>(entry)();
}

}  // namespace

const SentencePieceLibrary& sentence_piece_library() {
  static const SentencePieceLibrary* const library = load_library();
  return *library;
}

}  // namespace opencloc
