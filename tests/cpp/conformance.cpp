// The conformance list through etalase.hpp: conformance FOLDER DEFAULT_BUNDLE. FOLDER/README.md explains its lines.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <etalase.hpp>

namespace {

using Bytes = std::vector<char>;
using Lines = std::vector<std::string>;

const std::set<std::string> kResults = {"ranked", "familiarity", "verdict", "size",  "advice",
                                        "odd",    "text",        "opened",  "error"};
const std::map<std::string, EtalaseFormat> kFormats = {
    {"rgb", ETALASE_FORMAT_RGB},
    {"bgr", ETALASE_FORMAT_BGR},
    {"rgba", ETALASE_FORMAT_RGBA},
    {"bgra", ETALASE_FORMAT_BGRA},
    {"rgba_premultiplied", ETALASE_FORMAT_RGBA_PREMULTIPLIED},
    {"bgra_premultiplied", ETALASE_FORMAT_BGRA_PREMULTIPLIED},
    {"grey", ETALASE_FORMAT_GREY},
    {"nv12", ETALASE_FORMAT_NV12},
    {"nv21", ETALASE_FORMAT_NV21},
    {"i420", ETALASE_FORMAT_I420},
};
const std::vector<std::string> kKinds = {"-", "match", "mismatch", "unsure"};
const std::vector<std::string> kReasons = {"-", "declared_is_likely", "another_is_likely", "close_call", "unfamiliar"};
const std::vector<std::pair<std::uint32_t, std::string>> kAdvice = {{ETALASE_ADVICE_TOO_DARK, "too_dark"},
                                                                    {ETALASE_ADVICE_TOO_BRIGHT, "too_bright"},
                                                                    {ETALASE_ADVICE_BLURRED, "blurred"},
                                                                    {ETALASE_ADVICE_TOO_SMALL, "too_small"},
                                                                    {ETALASE_ADVICE_FRAMED, "framed"}};

// The files of the list.
class Folder {
 public:
  Folder(std::string folder, std::string bundle) : folder_(std::move(folder)), bundle_(std::move(bundle)) {}

  std::string path(const std::string& name) const { return name == "default" ? bundle_ : folder_ + "/" + name; }

  Bytes read(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    if (!file) throw std::runtime_error(name + ": cannot be read");
    return Bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }

  Bytes part(const std::string& name, std::size_t offset, std::size_t length) const {
    const Bytes whole = read(name);
    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(offset);
    return Bytes(begin, begin + static_cast<std::ptrdiff_t>(length));
  }

 private:
  std::string folder_, bundle_;
};

struct Plane {
  Bytes bytes;
  std::size_t row_stride, pixel_stride;

  EtalasePlane get() const {
    return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), row_stride, pixel_stride};
  }
};

std::string hexadecimal(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  char text[16];
  std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(bits));
  return text;
}

// One case of the list.
class Case {
 public:
  Case(const Folder& folder, std::string name) : name_(std::move(name)), folder_(folder) {}

  void read_line(const std::string& line) {
    std::istringstream words(line);
    std::string word, text;
    words >> word;
    if (kResults.count(word) != 0) {
      expected_.push_back(line);
    } else if (word == "photo") {
      words >> text;
      photos_.push_back(folder_.read(text));
    } else if (word == "pixels") {
      words >> format_ >> width_ >> height_;
    } else if (word == "plane") {
      std::size_t offset, length;
      Plane plane;
      words >> text >> offset >> length >> plane.row_stride >> plane.pixel_stride;
      plane.bytes = folder_.part(text, offset, length);
      planes_.push_back(std::move(plane));
    } else if (word == "colours") {
      std::string range;
      words >> text >> range;
      matrix_ = text == "bt709" ? ETALASE_YUV_MATRIX_BT709 : ETALASE_YUV_MATRIX_BT601;
      range_ = range == "video" ? ETALASE_YUV_RANGE_VIDEO : ETALASE_YUV_RANGE_FULL;
    } else if (word == "orientation") {
      words >> orientation_;
    } else if (word == "region") {
      words >> region_.x >> region_.y >> region_.width >> region_.height;
    } else if (word == "top_k") {
      words >> options_.top_k;
    } else if (word == "minimum_score") {
      words >> options_.minimum_score;
    } else if (word == "allow") {
      if (!options_.allow) options_.allow.emplace();
      if (words >> text) options_.allow->push_back(text);
    } else if (word == "deny") {
      words >> text;
      options_.deny.push_back(text);
    } else if (word == "declared") {
      words >> text;
      options_.declared = text;
    } else if (word == "cancelled") {
      cancel_.cancel();
    } else if (word == "listing") {
      listing_ = true;
    } else if (word == "open_file") {
      words >> open_file_;
    } else if (word == "open_memory") {
      std::size_t length;
      words >> text >> length;
      open_memory_ = folder_.part(text, 0, length);
    } else if (word == "name") {
      words >> class_index_ >> language_;
    } else {
      throw std::runtime_error("not understood: " + line);
    }
  }

  bool run(const etalase::Classifier& classifier) {
    Lines told;
    options_.cancel = &cancel_;
    try {
      told = answer(classifier);
    } catch (const etalase::Error& error) {
      told = {std::string("error ") + etalase_status_name(error.status())};
    }
    if (told == expected_) return true;
    std::cerr << name_ << ": wanted\n";
    for (const std::string& line : expected_) std::cerr << "  " << line << '\n';
    std::cerr << "got\n";
    for (const std::string& line : told) std::cerr << "  " << line << '\n';
    return false;
  }

 private:
  Lines answer(const etalase::Classifier& classifier) {
    if (!open_file_.empty()) {
      etalase::Classifier::open_file(folder_.path(open_file_));
      return {"opened"};
    }
    if (open_memory_) {
      etalase::Classifier::open_memory(open_memory_->data(), open_memory_->size());
      return {"opened"};
    }
    if (!language_.empty()) return {"text " + classifier.label(class_index_, language_)};
    if (listing_) return list(classifier);

    const etalase::Answer answer = classifier.classify(photo(), options_);
    Lines lines = scores(classifier, answer.ranked);
    judge(lines, classifier, answer.familiarity, answer.verdict);
    const bool unfamiliar = answer.verdict && answer.verdict->reason == ETALASE_REASON_UNFAMILIAR;
    if (answer.verdict && unfamiliar != (answer.is_familiar() == false)) lines.push_back("is_familiar is wrong");
    lines.push_back("size " + std::to_string(answer.measures.width_px) + " " +
                    std::to_string(answer.measures.height_px));
    std::string advice = "advice";
    for (const auto& [bit, name] : kAdvice) {
      if (answer.advice & bit) advice += " " + name;
    }
    if (answer.advice) lines.push_back(advice);
    return lines;
  }

  Lines list(const etalase::Classifier& classifier) {
    std::vector<etalase::Answer> answers;
    for (const Bytes& photo : photos_) {
      answers.push_back(classifier.classify(etalase::Photo::encoded(photo.data(), photo.size())));
    }
    const etalase::Listing listing = classifier.listing(answers, options_.declared);
    std::vector<EtalaseScore> ranked;
    for (const float score : listing.scores) {
      ranked.push_back({static_cast<std::uint32_t>(ranked.size()), score});
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const EtalaseScore& a, const EtalaseScore& b) { return a.score > b.score; });
    Lines lines = scores(classifier, ranked);
    judge(lines, classifier, listing.familiarity, listing.verdict);
    for (const EtalaseOdd& odd : listing.odd) {
      lines.push_back("odd " + std::to_string(odd.photo) + " " + label(classifier, odd.shows));
    }
    return lines;
  }

  etalase::Photo photo() const {
    etalase::Photo photo = content();
    photo.orientation(static_cast<EtalaseOrientation>(orientation_)).region(region_).colours(matrix_, range_);
    return photo;
  }

  etalase::Photo content() const {
    if (format_.empty()) {
      const Bytes none;
      const Bytes& bytes = photos_.empty() ? none : photos_.front();
      return etalase::Photo::encoded(bytes.data(), bytes.size());
    }
    if (format_ == "yuv420") {
      return etalase::Photo::yuv420(width_, height_, planes_.at(0).get(), planes_.at(1).get(), planes_.at(2).get());
    }
    const Plane& plane = planes_.at(0);
    return etalase::Photo::pixels(kFormats.at(format_), width_, height_, plane.row_stride, plane.bytes.data(),
                                  plane.bytes.size());
  }

  static std::string label(const etalase::Classifier& classifier, std::uint32_t class_index) {
    return class_index == ETALASE_NO_CLASS ? "-" : classifier.label(class_index);
  }

  static Lines scores(const etalase::Classifier& classifier, const std::vector<EtalaseScore>& ranked) {
    Lines lines;
    for (const auto& [class_index, score] : ranked) {
      lines.push_back("ranked " + label(classifier, class_index) + " " + hexadecimal(score));
    }
    return lines;
  }

  static void judge(Lines& lines, const etalase::Classifier& classifier, const std::optional<float>& familiarity,
                    const std::optional<EtalaseVerdict>& verdict) {
    if (familiarity) lines.push_back("familiarity " + hexadecimal(*familiarity));
    if (!verdict) return;
    lines.push_back("verdict " + kKinds.at(verdict->kind) + " " + kReasons.at(verdict->reason) + " " +
                    label(classifier, verdict->suggested));
  }

  std::string name_;
  const Folder& folder_;
  Lines expected_;
  std::vector<Bytes> photos_;
  std::string format_;
  std::uint32_t width_ = 0, height_ = 0, orientation_ = 0;
  std::vector<Plane> planes_;
  EtalaseYuvMatrix matrix_ = ETALASE_YUV_MATRIX_BT601;
  EtalaseYuvRange range_ = ETALASE_YUV_RANGE_FULL;
  EtalaseRegion region_{};
  etalase::Options options_;
  etalase::Cancel cancel_;
  bool listing_ = false;
  std::string open_file_;
  std::optional<Bytes> open_memory_;
  std::uint32_t class_index_ = 0;
  std::string language_;
};

// What only C++ has: a closed or moved classifier.
bool closed_is_an_error(const std::string& bundle) {
  auto classifier = etalase::Classifier::open_file(bundle);
  classifier.close();
  try {
    classifier.class_count();
  } catch (const etalase::Error& error) {
    return error.status() == ETALASE_STATUS_CLOSED;
  }
  return false;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const Folder folder(arguments[1], arguments[2]);
  const auto classifier = etalase::Classifier::open_file(arguments[2]);
  std::ifstream file(folder.path("cases.txt"));
  std::size_t cases = 0, failed = 0;
  std::optional<Case> open;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word, name;
    if (!(words >> word) || word.front() == '#') continue;
    if (word == "case") {
      words >> name;
      open.emplace(folder, name);
    } else if (word == "end") {
      cases++;
      if (!open.value().run(classifier)) failed++;
      open.reset();
    } else {
      open.value().read_line(line);
    }
  }
  if (!closed_is_an_error(arguments[2])) failed++;
  std::cout << "C++: " << cases << " cases, " << failed << " failed\n";
  return failed != 0 || cases < 50 ? 1 : 0;
}
