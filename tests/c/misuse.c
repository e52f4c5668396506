// What must not be done gives an error and never a crash: misuse DEFAULT_BUNDLE. Compiled as C99 and as C++17.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <etalase.h>

static int failed = 0;

// The last call's error; every call's must begin with nothing of an earlier one.
static EtalaseError error;

static void check(int holds, const char *what, int line) {
  if (holds) return;
  fprintf(stderr, "line %d: %s (message: %s)\n", line, what, error.message);
  failed++;
}

#define CHECK(holds) check((holds) != 0, #holds, __LINE__)
#define REFUSED(call, words)                                         \
  do {                                                               \
    memset(&error, 'x', sizeof error);                               \
    CHECK((call) == ETALASE_STATUS_INVALID_ARGUMENT);                \
    CHECK(memchr(error.message, 0, sizeof error.message) != NULL);   \
    CHECK(strstr(error.message, words) != NULL);                     \
  } while (0)

static void opening(const char *bundle) {
  EtalaseClassifier *classifier = (EtalaseClassifier *)&error;
  REFUSED(etalase_open_file(NULL, NULL, &classifier, &error), "path is NULL");
  CHECK(classifier == NULL);
  REFUSED(etalase_open_file(bundle, NULL, NULL, &error), "classifier is NULL");
  REFUSED(etalase_open_file("sho\xff.etalase", NULL, &classifier, &error), "path is not UTF-8");
  REFUSED(etalase_open_memory(NULL, 5, NULL, &classifier, &error), "data is NULL with a length of 5");
  REFUSED(etalase_open_memory((const uint8_t *)bundle, (size_t)-1, NULL, &classifier, &error), "no memory holds");
  CHECK(etalase_open_memory(NULL, 0, NULL, &classifier, &error) == ETALASE_STATUS_BUNDLE);
  CHECK(etalase_open_file(".", NULL, &classifier, &error) == ETALASE_STATUS_IO);
  CHECK(classifier == NULL);

  EtalaseOpenOptions options = etalase_open_options_init();
  options.threads = 100000;
  REFUSED(etalase_open_file(bundle, &options, &classifier, &error), "threads");
  options.struct_size = 3;
  REFUSED(etalase_open_file(bundle, &options, &classifier, &error), "etalase_open_options_init()");

  etalase_classifier_free(NULL);
  etalase_cancel_free(NULL);
  etalase_cancel(NULL);
  REFUSED(etalase_cancel_new(NULL, &error), "cancel is NULL");
  CHECK(etalase_cancel_new(NULL, NULL) == ETALASE_STATUS_INVALID_ARGUMENT);
  CHECK(strcmp(etalase_status_name(77), "unknown") == 0);
  CHECK(etalase_version() == ETALASE_VERSION);
  CHECK(strlen(etalase_version_text()) >= 5);
}

static void asking(const EtalaseClassifier *classifier) {
  uint32_t number;
  const char *text = "unchanged";
  REFUSED(etalase_class_count(NULL, &number, &error), "classifier is NULL");
  REFUSED(etalase_class_count(classifier, NULL, &error), "count is NULL");
  REFUSED(etalase_label(NULL, 0, "en", &text, &error), "classifier is NULL");
  CHECK(text == NULL);
  REFUSED(etalase_label(classifier, 0, "en", NULL, &error), "label is NULL");
  REFUSED(etalase_label(classifier, ETALASE_NO_CLASS, NULL, &text, &error), "of 10");
  REFUSED(etalase_label(classifier, 0, "tlh", &text, &error), "there are: ");
  REFUSED(etalase_label(classifier, 0, "\xff", &text, &error), "language is not UTF-8");
  REFUSED(etalase_class_named(classifier, "t-shrt", &number, &error), "the nearest are t-shirt");
  REFUSED(etalase_class_named(classifier, NULL, &number, &error), "label is NULL");
  REFUSED(etalase_inspect(classifier, NULL, &error), "json is NULL");
  REFUSED(etalase_inspect(NULL, &text, &error), "classifier is NULL");
  CHECK(etalase_inspect(classifier, &text, &error) == ETALASE_STATUS_OK);
  CHECK(error.message[0] == 0);
  CHECK(text && strstr(text, "\"t-shirt\"") != NULL);
}

static void classifying(const EtalaseClassifier *classifier) {
  uint8_t pixels[16 * 16 * 3];
  memset(pixels, 90, sizeof pixels);
  EtalaseScore ranked[2];
  float scores[10];
  char notes[8] = "x";
  EtalaseAnswer answer = etalase_answer_init();
  answer.ranked = ranked;
  answer.ranked_capacity = 2;
  answer.scores = scores;
  answer.scores_capacity = 10;
  answer.notes = notes;
  answer.notes_capacity = sizeof notes;
  const EtalasePhoto good = etalase_photo_pixels(ETALASE_FORMAT_RGB, 16, 16, 0, pixels, sizeof pixels);
  CHECK(etalase_classify(classifier, &good, NULL, &answer, &error) == ETALASE_STATUS_OK);
  CHECK(answer.ranked_count == 2 && ranked[0].score >= ranked[1].score);
  CHECK(notes[0] == 0 && answer.notes_length == 0);
  CHECK(answer.verdict.kind == ETALASE_VERDICT_KIND_NONE && answer.verdict.suggested == ETALASE_NO_CLASS);

  REFUSED(etalase_classify(NULL, &good, NULL, &answer, &error), "classifier is NULL");
  CHECK(answer.ranked_count == 0 && answer.run_ms == 0);
  REFUSED(etalase_classify(classifier, NULL, NULL, &answer, &error), "EtalasePhoto is NULL");
  REFUSED(etalase_classify(classifier, &good, NULL, NULL, &error), "EtalaseAnswer is NULL");
  CHECK(etalase_classify(NULL, NULL, NULL, NULL, NULL) == ETALASE_STATUS_INVALID_ARGUMENT);

  EtalasePhoto photo = good;
  photo.planes[0].length--;
  REFUSED(etalase_classify(classifier, &photo, NULL, &answer, &error), "data holds 767 bytes");
  photo.planes[0].data = NULL;
  REFUSED(etalase_classify(classifier, &photo, NULL, &answer, &error), "NULL with a length");
  photo = good;
  photo.planes[0].row_stride = (size_t)-1;
  REFUSED(etalase_classify(classifier, &photo, NULL, &answer, &error), "beyond any buffer");
  photo = good;
  photo.format = 99;
  REFUSED(etalase_classify(classifier, &photo, NULL, &answer, &error), "format 99");
  photo = good;
  photo.orientation = 300;
  REFUSED(etalase_classify(classifier, &photo, NULL, &answer, &error), "orientation is 300");
  photo = good;
  photo.format = ETALASE_FORMAT_NV12;
  photo.matrix = 7;
  REFUSED(etalase_classify(classifier, &photo, NULL, &answer, &error), "matrix 7");
  photo = good;
  photo.struct_size = 0;
  REFUSED(etalase_classify(classifier, &photo, NULL, &answer, &error), "etalase_photo_init()");
  photo = etalase_photo_encoded(NULL, 0);
  CHECK(etalase_classify(classifier, &photo, NULL, &answer, &error) == ETALASE_STATUS_PHOTO);

  answer.scores_capacity = 9;
  REFUSED(etalase_classify(classifier, &good, NULL, &answer, &error), "room for 9 of 10");
  answer.scores = NULL;
  REFUSED(etalase_classify(classifier, &good, NULL, &answer, &error), "scores is NULL");
  answer.scores_capacity = 0;
  answer.ranked = NULL;
  REFUSED(etalase_classify(classifier, &good, NULL, &answer, &error), "ranked is NULL");
  answer = etalase_answer_init();
  CHECK(etalase_classify(classifier, &good, NULL, &answer, &error) == ETALASE_STATUS_OK);

  const char *labels[2] = {"t-shirt", NULL};
  EtalaseOptions options = etalase_options_init();
  options.allow = labels;
  options.allow_count = 2;
  REFUSED(etalase_classify(classifier, &good, &options, &answer, &error), "allow: a label is NULL");
  labels[1] = "gloves";
  REFUSED(etalase_classify(classifier, &good, &options, &answer, &error), "allow: \"gloves\" is no class");
  options = etalase_options_init();
  options.deny_count = 1;
  REFUSED(etalase_classify(classifier, &good, &options, &answer, &error), "deny is NULL with a length of 1");
  options = etalase_options_init();
  options.declared = "gloves";
  REFUSED(etalase_classify(classifier, &good, &options, &answer, &error), "declared: \"gloves\" is no class");
  options = etalase_options_init();
  options.minimum_score = -1;
  REFUSED(etalase_classify(classifier, &good, &options, &answer, &error), "minimum score is -1");
}

// A program of a later version: a longer struct, whose new fields this library must not ignore.
static void later_versions(const EtalaseClassifier *classifier) {
  struct {
    EtalaseAnswer known;
    uint64_t unknown;
  } later;
  uint8_t pixels[3] = {1, 2, 3};
  const EtalasePhoto photo = etalase_photo_pixels(ETALASE_FORMAT_RGB, 1, 1, 0, pixels, sizeof pixels);
  later.known = etalase_answer_init();
  later.known.struct_size = sizeof later;
  later.unknown = 0;
  CHECK(etalase_classify(classifier, &photo, NULL, &later.known, &error) == ETALASE_STATUS_OK);
  CHECK(later.known.struct_size == sizeof later && later.unknown == 0);
  later.unknown = 1;
  REFUSED(etalase_classify(classifier, &photo, NULL, &later.known, &error), "doesn't know");
}

static void listings(const EtalaseClassifier *classifier) {
  float scores[10] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EtalaseListing listing = etalase_listing_init();
  EtalaseSaid said = {scores, 10, 0.9f};
  CHECK(etalase_listing(classifier, &said, 1, NULL, &listing, &error) == ETALASE_STATUS_OK);
  REFUSED(etalase_listing(classifier, &said, 0, NULL, &listing, &error), "no photo");
  REFUSED(etalase_listing(classifier, NULL, 1, NULL, &listing, &error), "photos is NULL");
  REFUSED(etalase_listing(classifier, &said, 1, "gloves", &listing, &error), "no class");
  REFUSED(etalase_listing(classifier, &said, 1, NULL, NULL, &error), "EtalaseListing is NULL");
  REFUSED(etalase_listing(NULL, &said, 1, NULL, &listing, &error), "classifier is NULL");
  said.length = 9;
  REFUSED(etalase_listing(classifier, &said, 1, NULL, &listing, &error), "9 scores");
  said.length = 10;
  scores[3] = 2;
  REFUSED(etalase_listing(classifier, &said, 1, NULL, &listing, &error), "score is 2");
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  opening(arguments[1]);
  EtalaseClassifier *classifier;
  if (etalase_open_file(arguments[1], NULL, &classifier, &error) != ETALASE_STATUS_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 2;
  }
  asking(classifier);
  classifying(classifier);
  later_versions(classifier);
  listings(classifier);
  etalase_classifier_free(classifier);
  printf("misuse: %d failed\n", failed);
  return failed != 0;
}
