// Etalase for C++17: etalase.h with destructors, exceptions and containers. Header only; link the same library.
//
//     auto classifier = etalase::Classifier::open_file("mine.etalase");
//     auto answer = classifier.classify(etalase::Photo::encoded(bytes.data(), bytes.size()));
//     std::cout << classifier.label(answer.ranked.at(0).class_index, "en");
//
// Every failure is an etalase::Error with the status and the message of the C call. Threads: const functions of one
// Classifier may be called from any number of threads at once; close, move and destruction need it alone.

#ifndef ETALASE_HPP
#define ETALASE_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "etalase.h"

namespace etalase {

// What went wrong: what() names the thing and the cause.
class Error : public std::runtime_error {
 public:
  Error(EtalaseStatus status, const std::string& message)
      : std::runtime_error(message), status_(status) {}

  EtalaseStatus status() const noexcept { return status_; }

 private:
  EtalaseStatus status_;
};

namespace detail {

// Runs a call of the C interface and throws what it reports.
template <typename Call>
void checked(Call&& call) {
  EtalaseError error;
  const EtalaseStatus status = call(&error);
  if (status != ETALASE_STATUS_OK) throw Error(status, error.message);
}

inline std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  // One more than needed: an empty list is a list, not NULL.
  std::vector<const char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  pointers.push_back(nullptr);
  return pointers;
}

inline std::optional<float> told(float familiarity) {
  return familiarity < 0 ? std::nullopt : std::optional<float>(familiarity);
}

inline std::optional<bool> is_familiar(std::optional<float> familiarity) {
  return familiarity ? std::optional<bool>(*familiarity >= ETALASE_FAMILIAR_FROM) : std::nullopt;
}

}  // namespace detail

// Cancels calls from another thread; once set it stays so.
class Cancel {
 public:
  Cancel() {
    EtalaseCancel* cancel = nullptr;
    detail::checked([&](EtalaseError* error) { return etalase_cancel_new(&cancel, error); });
    handle_.reset(cancel);
  }

  // Any thread.
  void cancel() const noexcept { etalase_cancel(handle_.get()); }

  const EtalaseCancel* get() const noexcept { return handle_.get(); }

 private:
  struct Free {
    void operator()(EtalaseCancel* cancel) const noexcept { etalase_cancel_free(cancel); }
  };
  std::unique_ptr<EtalaseCancel, Free> handle_;
};

// A photo in the caller's memory, which has to live during the call.
class Photo {
 public:
  // A JPEG, PNG, WebP, GIF or BMP file's bytes.
  static Photo encoded(const void* bytes, std::size_t length) {
    return Photo(etalase_photo_encoded(static_cast<const std::uint8_t*>(bytes), length));
  }

  // Pixels in one buffer, rows `row_stride` bytes apart (0: without gaps).
  static Photo pixels(EtalaseFormat format, std::uint32_t width, std::uint32_t height,
                      std::size_t row_stride, const void* data, std::size_t length) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    return Photo(etalase_photo_pixels(format, width, height, row_stride, bytes, length));
  }

  // A frame in 4:2:0 with strides of its own in each plane.
  static Photo yuv420(std::uint32_t width, std::uint32_t height, const EtalasePlane& y,
                      const EtalasePlane& u, const EtalasePlane& v) {
    EtalasePhoto photo = etalase_photo_init();
    photo.format = ETALASE_FORMAT_YUV420;
    photo.width = width;
    photo.height = height;
    photo.planes[0] = y;
    photo.planes[1] = u;
    photo.planes[2] = v;
    return Photo(photo);
  }

  // How it has to be turned to stand upright.
  Photo& orientation(EtalaseOrientation orientation) {
    photo_.orientation = orientation;
    return *this;
  }

  // How a frame's colours are coded; by default BT.601 in full range.
  Photo& colours(EtalaseYuvMatrix matrix, EtalaseYuvRange range) {
    photo_.matrix = matrix;
    photo_.range = range;
    return *this;
  }

  // The part of the upright photo that counts.
  Photo& region(const EtalaseRegion& region) {
    photo_.region = region;
    return *this;
  }

  const EtalasePhoto& get() const noexcept { return photo_; }

 private:
  explicit Photo(const EtalasePhoto& photo) : photo_(photo) {}

  EtalasePhoto photo_;
};

// What an answer is to name. Lists hide classes and never change a score.
struct Options {
  std::uint32_t top_k = 0;  // 0: all
  float minimum_score = 0;
  std::optional<std::vector<std::string>> allow;  // an empty list allows none
  std::vector<std::string> deny;
  std::optional<std::string> declared;  // then the answer has a verdict
  const Cancel* cancel = nullptr;
};

// One photo's answer.
struct Answer {
  std::vector<EtalaseScore> ranked;  // best first
  std::vector<float> scores;         // every class's, in the order of the classes
  std::optional<float> familiarity;  // 0 unfamiliar to 1 as in training, familiar from 0.5 on
  std::optional<EtalaseVerdict> verdict;
  EtalaseMeasures measures{};
  std::uint32_t advice = 0;  // EtalaseAdvice bits
  std::string notes;         // a line each
  double decode_ms = 0;
  double run_ms = 0;

  // Whether the network knows the like of it, so that its scores mean something; nothing where the bundle doesn't tell.
  std::optional<bool> is_familiar() const { return detail::is_familiar(familiarity); }
};

// One listing's answer.
struct Listing {
  std::vector<float> scores;
  std::optional<float> familiarity;
  std::optional<EtalaseVerdict> verdict;
  std::vector<EtalaseOdd> odd;  // photos that do not belong

  // As that of an answer, of the most familiar photo.
  std::optional<bool> is_familiar() const { return detail::is_familiar(familiarity); }
};

// A network with its classes, ready to answer.
class Classifier {
 public:
  // The bundle at `path` (UTF-8); `threads` for one answer.
  static Classifier open_file(const std::string& path, std::uint32_t threads = 1) {
    return open(threads, [&](const EtalaseOpenOptions* options, EtalaseClassifier** classifier,
                             EtalaseError* error) {
      return etalase_open_file(path.c_str(), options, classifier, error);
    });
  }

  // A bundle in memory, which is copied.
  static Classifier open_memory(const void* data, std::size_t length, std::uint32_t threads = 1) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    return open(threads, [&](const EtalaseOpenOptions* options, EtalaseClassifier** classifier,
                             EtalaseError* error) {
      return etalase_open_memory(bytes, length, options, classifier, error);
    });
  }

  // The bundle that the library was built with.
  static Classifier open_default(std::uint32_t threads = 1) {
    return open(threads, etalase_open_default);
  }

  // Frees it at once; every later call throws ETALASE_STATUS_CLOSED.
  void close() noexcept { handle_.reset(); }

  Answer classify(const Photo& photo, const Options& options = {}) const {
    const std::vector<const char*> deny = detail::pointers(options.deny);
    std::vector<const char*> allow;
    EtalaseOptions asked = etalase_options_init();
    asked.top_k = options.top_k;
    asked.minimum_score = options.minimum_score;
    if (options.allow) {
      allow = detail::pointers(*options.allow);
      asked.allow = allow.data();
      asked.allow_count = options.allow->size();
    }
    asked.deny = deny.data();
    asked.deny_count = options.deny.size();
    asked.declared = options.declared ? options.declared->c_str() : nullptr;
    asked.cancel = options.cancel ? options.cancel->get() : nullptr;

    Answer answer;
    const std::uint32_t classes = class_count();
    answer.ranked.resize(classes);
    answer.scores.resize(classes);
    char notes[1024] = "";
    EtalaseAnswer told = etalase_answer_init();
    told.ranked = answer.ranked.data();
    told.ranked_capacity = answer.ranked.size();
    told.scores = answer.scores.data();
    told.scores_capacity = answer.scores.size();
    told.notes = notes;
    told.notes_capacity = sizeof notes;
    detail::checked([&](EtalaseError* error) {
      return etalase_classify(handle(), &photo.get(), &asked, &told, error);
    });
    answer.ranked.resize(told.ranked_count);
    answer.familiarity = detail::told(told.familiarity);
    if (told.verdict.kind != ETALASE_VERDICT_KIND_NONE) answer.verdict = told.verdict;
    answer.measures = told.measures;
    answer.advice = told.advice;
    answer.notes = notes;
    answer.decode_ms = told.decode_ms;
    answer.run_ms = told.run_ms;
    return answer;
  }

  // Several photos of one listing, by their answers.
  Listing listing(const std::vector<Answer>& photos,
                  const std::optional<std::string>& declared = std::nullopt) const {
    std::vector<EtalaseSaid> said;
    said.reserve(photos.size());
    for (const Answer& photo : photos) {
      said.push_back({photo.scores.data(), photo.scores.size(), photo.familiarity.value_or(-1)});
    }
    Listing listing;
    listing.scores.resize(class_count());
    listing.odd.resize(photos.size());
    EtalaseListing told = etalase_listing_init();
    told.scores = listing.scores.data();
    told.scores_capacity = listing.scores.size();
    told.odd = listing.odd.data();
    told.odd_capacity = listing.odd.size();
    const char* name = declared ? declared->c_str() : nullptr;
    detail::checked([&](EtalaseError* error) {
      return etalase_listing(handle(), said.data(), said.size(), name, &told, error);
    });
    listing.odd.resize(told.odd_count);
    listing.familiarity = detail::told(told.familiarity);
    if (told.verdict.kind != ETALASE_VERDICT_KIND_NONE) listing.verdict = told.verdict;
    return listing;
  }

  std::uint32_t class_count() const {
    std::uint32_t count = 0;
    detail::checked(
        [&](EtalaseError* error) { return etalase_class_count(handle(), &count, error); });
    return count;
  }

  // The class of a canonical name.
  std::uint32_t class_named(const std::string& label) const {
    std::uint32_t index = 0;
    detail::checked([&](EtalaseError* error) {
      return etalase_class_named(handle(), label.c_str(), &index, error);
    });
    return index;
  }

  // A class's canonical name, which options understand.
  std::string label(std::uint32_t class_index) const { return name(class_index, nullptr); }

  // A class's name in a language, a BCP 47 tag.
  std::string label(std::uint32_t class_index, const std::string& language) const {
    return name(class_index, language.c_str());
  }

  // What is in the bundle, as JSON.
  std::string inspect() const {
    const char* json = nullptr;
    detail::checked([&](EtalaseError* error) { return etalase_inspect(handle(), &json, error); });
    return json;
  }

 private:
  struct Free {
    void operator()(EtalaseClassifier* classifier) const noexcept {
      etalase_classifier_free(classifier);
    }
  };

  explicit Classifier(EtalaseClassifier* classifier) : handle_(classifier) {}

  template <typename Open>
  static Classifier open(std::uint32_t threads, Open&& open) {
    EtalaseOpenOptions options = etalase_open_options_init();
    options.threads = threads;
    EtalaseClassifier* classifier = nullptr;
    detail::checked([&](EtalaseError* error) { return open(&options, &classifier, error); });
    return Classifier(classifier);
  }

  const EtalaseClassifier* handle() const {
    if (!handle_) throw Error(ETALASE_STATUS_CLOSED, "the classifier is closed");
    return handle_.get();
  }

  std::string name(std::uint32_t class_index, const char* language) const {
    const char* label = nullptr;
    detail::checked([&](EtalaseError* error) {
      return etalase_label(handle(), class_index, language, &label, error);
    });
    return label;
  }

  std::unique_ptr<EtalaseClassifier, Free> handle_;
};

}  // namespace etalase

#endif  // ETALASE_HPP
