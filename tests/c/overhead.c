// What a call costs beyond core's own time, 224x224 RGB pixels: overhead DEFAULT_BUNDLE. Prints the median, in microseconds.

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <etalase.h>

enum { SIDE = 224, CALLS = 1001, CLASSES = 10 };

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  EtalaseClassifier *classifier;
  EtalaseError error;
  if (etalase_open_file(arguments[1], NULL, &classifier, &error) != ETALASE_STATUS_OK) return 2;
  static uint8_t pixels[SIDE * SIDE * 3];
  for (size_t at = 0; at < sizeof pixels; at++) pixels[at] = (uint8_t)(at * at >> 8);
  const EtalasePhoto photo = etalase_photo_pixels(ETALASE_FORMAT_RGB, SIDE, SIDE, 0, pixels, sizeof pixels);
  const char *allow[] = {"hat", "shoes", "t-shirt"};
  EtalaseOptions options = etalase_options_init();
  options.top_k = 3;
  options.allow = allow;
  options.allow_count = 3;
  options.declared = "t-shirt";
  EtalaseScore ranked[CLASSES];
  float scores[CLASSES];
  static double beyond[CALLS];
  for (int call = 0; call < CALLS; call++) {
    EtalaseAnswer answer = etalase_answer_init();
    answer.ranked = ranked;
    answer.ranked_capacity = CLASSES;
    answer.scores = scores;
    answer.scores_capacity = CLASSES;
    const double start = milliseconds();
    if (etalase_classify(classifier, &photo, &options, &answer, &error) != ETALASE_STATUS_OK) return 2;
    beyond[call] = 1e3 * (milliseconds() - start - answer.decode_ms - answer.run_ms);
  }
  etalase_classifier_free(classifier);
  qsort(beyond, CALLS, sizeof *beyond, by_value);
  printf("overhead of a call from C: median %.2f us, 9 of 10 within %.2f us\n", beyond[CALLS / 2], beyond[CALLS * 9 / 10]);
  // Most of it is caches that the network has emptied, so it depends on what else the machine does: this finds a mistake
  // (a copy of the pixels, a look-up of a class), ffi/examples/call_overhead.rs measures.
  return beyond[CALLS / 2] > 100;
}
