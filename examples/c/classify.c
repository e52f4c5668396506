// Tells what a photo shows: classify BUNDLE PHOTO
//
// From nothing to a label with etalase.h; docs/c.md shows these lines.

#include <stdio.h>
#include <stdlib.h>

#include <etalase.h>

static uint8_t *read_file(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  uint8_t *bytes = NULL;
  *length = 0;
  for (size_t room = 1 << 16;; room *= 2) {
    uint8_t *larger = realloc(bytes, room);
    if (!larger) break;
    bytes = larger;
    *length += fread(bytes + *length, 1, room - *length, file);
    if (*length < room) {
      fclose(file);
      return bytes;
    }
  }
  free(bytes);
  fclose(file);
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: %s BUNDLE PHOTO\n", arguments[0]);
    return 2;
  }
  size_t length;
  uint8_t *bytes = read_file(arguments[2], &length);
  if (!bytes) {
    fprintf(stderr, "%s: cannot be read\n", arguments[2]);
    return 1;
  }

  // snippet: start
  EtalaseClassifier *classifier;
  EtalaseError error;
  EtalaseStatus status = etalase_open_file(arguments[1], NULL, &classifier, &error);

  EtalasePhoto photo = etalase_photo_encoded(bytes, length);
  EtalaseScore best[3];
  EtalaseAnswer answer = etalase_answer_init();
  answer.ranked = best;
  answer.ranked_capacity = 3;
  if (status == ETALASE_STATUS_OK)
    status = etalase_classify(classifier, &photo, NULL, &answer, &error);

  for (size_t at = 0; status == ETALASE_STATUS_OK && at < answer.ranked_count; at++) {
    const char *label;
    status = etalase_label(classifier, best[at].class_index, "en", &label, &error);
    if (status == ETALASE_STATUS_OK) printf("%-20s %5.1f %%\n", label, 100 * best[at].score);
  }
  if (status != ETALASE_STATUS_OK) fprintf(stderr, "%s\n", error.message);
  etalase_classifier_free(classifier);
  // snippet: end

  free(bytes);
  return status == ETALASE_STATUS_OK ? 0 : 1;
}
