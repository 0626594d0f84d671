// Captions from a vision-language model behind an OpenAI-compatible endpoint (llama.cpp's server,
// vLLM, ...): POST URL/chat/completions with the picture as a data URL.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "opencloc/label/http_client.h"

namespace opencloc {

// A model of our own instead: embedded_captioner.h.

// What a picture's caption is asked with.
struct CaptionRequest {
  std::string image;      // encoded bytes
  std::string extension;  // "jpg", "png", "webp"
  std::string alt_text;   // fills {alt_text} in the prompt
};

struct CaptionAnswer {
  std::string text;     // cleaned; empty when there is none
  std::string failure;  // why: a few fixed names, for counting
  bool retry = false;   // the same request may fare better later
  double wait = 0;      // seconds the server asked for
};

// Thread-safe. Never throws for what the other side does.
class Captioner {
 public:
  virtual ~Captioner() = default;
  virtual CaptionAnswer ask(const CaptionRequest& request) const = 0;
  virtual std::string model() const = 0;
  virtual std::string prompt() const = 0;
};

struct HttpCaptionerOptions {
  std::string url;  // http://host:port/v1
  std::string model;
  std::string prompt;
  int max_tokens = 400;
  HttpOptions http;
};
std::unique_ptr<Captioner> http_captioner(const HttpCaptionerOptions& options);

// A model's text as a caption: valid UTF-8, blanks folded, no control characters, no markup of
// chat templates, at most 4,000 bytes. Empty when nothing is left, when it is a refusal, or when it
// repeats itself over and over; `failure` then says which.
std::string clean_caption(const std::string& text, std::string& failure);

// Answers on disk, by model, prompt and picture: nothing is asked twice, and a run that goes on
// after a crash gets the same captions. Thread-safe, also between processes.
class CaptionCache {
 public:
  // An empty folder: nothing is kept.
  explicit CaptionCache(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::string key(const Captioner& captioner, const CaptionRequest& request) const;
  // Empty when it is not there; a damaged entry counts as not there.
  std::string find(const std::string& key) const;
  void keep(const std::string& key, const std::string& text) const;

 private:
  std::filesystem::path path_of(const std::string& key) const;
  std::filesystem::path folder_;
};

}  // namespace opencloc
