// Tells what a photo shows: classify BUNDLE PHOTO
//
// From nothing to a label with etalase.hpp; docs/cpp.md shows these lines.

#include <etalase.hpp>

#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <string>

int main(int count, char** arguments) {
  if (count != 3) {
    std::cerr << "usage: " << arguments[0] << " BUNDLE PHOTO\n";
    return 2;
  }
  std::ifstream file(arguments[2], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) {
    std::cerr << arguments[2] << ": cannot be read\n";
    return 1;
  }

  // snippet: start
  try {
    const auto classifier = etalase::Classifier::open_file(arguments[1]);
    etalase::Options options;
    options.top_k = 3;
    const auto photo = etalase::Photo::encoded(bytes.data(), bytes.size());
    for (const auto& [class_index, score] : classifier.classify(photo, options).ranked) {
      std::cout << std::left << std::setw(20) << classifier.label(class_index, "en") << std::right
                << std::fixed << std::setprecision(1) << std::setw(6) << 100 * score << " %\n";
    }
  } catch (const etalase::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  // snippet: end
  return 0;
}
