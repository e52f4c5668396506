// The conformance list through etalase.h: conformance FOLDER DEFAULT_BUNDLE. FOLDER/README.md explains its lines.

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <etalase.h>

enum { MOST = 16, LINE = 512, PATH_BYTES = 4096 };

static const char *const FORMATS[] = {"encoded", "rgb",  "bgr",  "rgba", "bgra", "rgba_premultiplied",
                                      "bgra_premultiplied", "grey", "nv12", "nv21", "i420", "yuv420"};
static const char *const KINDS[] = {"-", "match", "mismatch", "unsure"};
static const char *const REASONS[] = {"-", "declared_is_likely", "another_is_likely", "close_call", "unfamiliar"};
static const char *const ADVICE[] = {"too_dark", "too_bright", "blurred", "too_small", "framed"};
static const char *const RESULTS[] = {"ranked", "familiarity", "verdict", "size", "advice",
                                      "odd",    "text",        "opened",  "error"};

typedef struct Bytes {
  uint8_t *data;
  size_t length;
} Bytes;

typedef struct Lines {
  size_t count;
  char text[MOST][LINE];
} Lines;

typedef struct Case {
  char name[LINE];
  Lines expected;
  Bytes files[MOST];  // of photos and planes
  size_t file_count;
  EtalasePhoto photo;
  size_t planes;
  EtalaseOptions options;
  char labels[MOST][64];  // of both lists and of what is declared
  size_t label_count;
  const char *allow[MOST], *deny[MOST];
  bool cancelled, listing;
  char open_file[PATH_BYTES];
  Bytes open_memory;
  bool opens_memory;
  bool names;
  uint32_t class_index;
  char language[32];
} Case;

static const char *folder, *default_bundle;

static void fail(const char *what, const char *line) {
  fprintf(stderr, "%s: %s\n", what, line);
  exit(2);
}

static void path_of(char *path, const char *name) {
  if (strcmp(name, "default") == 0)
    snprintf(path, PATH_BYTES, "%s", default_bundle);
  else
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
}

static Bytes read_file(const char *name) {
  char path[PATH_BYTES];
  path_of(path, name);
  FILE *file = fopen(path, "rb");
  if (!file) fail("cannot be read", path);
  fseek(file, 0, SEEK_END);
  Bytes bytes = {NULL, (size_t)ftell(file)};
  rewind(file);
  bytes.data = malloc(bytes.length + 1);
  if (!bytes.data || fread(bytes.data, 1, bytes.length, file) != bytes.length) fail("cannot be read", path);
  fclose(file);
  return bytes;
}

// As long as it has to be and no longer, so that a sanitizer sees every byte read beyond it.
static Bytes part_of(const char *name, size_t offset, size_t length) {
  Bytes whole = read_file(name);
  if (offset > whole.length || length > whole.length - offset) fail("beyond the file", name);
  Bytes part = {malloc(length ? length : 1), length};
  memcpy(part.data, whole.data + offset, length);
  free(whole.data);
  return part;
}

static size_t index_of(const char *word, const char *const *words, size_t count) {
  for (size_t at = 0; at < count; at++)
    if (strcmp(word, words[at]) == 0) return at;
  fail("unknown", word);
  return 0;
}

static const char *keep_label(Case *c, const char *label) {
  if (c->label_count == MOST) fail("too many labels", label);
  char *kept = c->labels[c->label_count++];
  snprintf(kept, sizeof c->labels[0], "%s", label);
  return kept;
}

static Bytes *keep_file(Case *c, Bytes bytes) {
  if (c->file_count == MOST) fail("too many files", c->name);
  c->files[c->file_count] = bytes;
  return &c->files[c->file_count++];
}

static void read_line(Case *c, const char *line) {
  char word[32] = "", text[LINE] = "", other[64] = "";
  unsigned long a = 0, b = 0, d = 0, e = 0;
  sscanf(line, "%31s", word);
  if (strcmp(word, "photo") == 0) {
    sscanf(line, "photo %511s", text);
    Bytes *file = keep_file(c, read_file(text));
    if (c->file_count == 1) c->photo = etalase_photo_encoded(file->data, file->length);
  } else if (strcmp(word, "pixels") == 0) {
    sscanf(line, "pixels %63s %lu %lu", other, &a, &b);
    c->photo.format = (uint32_t)index_of(other, FORMATS, sizeof FORMATS / sizeof *FORMATS);
    c->photo.width = (uint32_t)a;
    c->photo.height = (uint32_t)b;
  } else if (strcmp(word, "plane") == 0) {
    sscanf(line, "plane %511s %lu %lu %lu %lu", text, &a, &b, &d, &e);
    Bytes *file = keep_file(c, part_of(text, a, b));
    EtalasePlane plane = {file->data, file->length, d, e};
    c->photo.planes[c->planes++] = plane;
  } else if (strcmp(word, "colours") == 0) {
    sscanf(line, "colours %31s %63s", text, other);
    c->photo.matrix = strcmp(text, "bt709") == 0 ? ETALASE_YUV_MATRIX_BT709 : ETALASE_YUV_MATRIX_BT601;
    c->photo.range = strcmp(other, "video") == 0 ? ETALASE_YUV_RANGE_VIDEO : ETALASE_YUV_RANGE_FULL;
  } else if (strcmp(word, "orientation") == 0) {
    sscanf(line, "orientation %lu", &a);
    c->photo.orientation = (uint32_t)a;
  } else if (strcmp(word, "region") == 0) {
    sscanf(line, "region %lu %lu %lu %lu", &a, &b, &d, &e);
    EtalaseRegion region = {(uint32_t)a, (uint32_t)b, (uint32_t)d, (uint32_t)e};
    c->photo.region = region;
  } else if (strcmp(word, "top_k") == 0) {
    sscanf(line, "top_k %lu", &a);
    c->options.top_k = (uint32_t)a;
  } else if (strcmp(word, "minimum_score") == 0) {
    sscanf(line, "minimum_score %63s", other);
    c->options.minimum_score = strtof(other, NULL);
  } else if (strcmp(word, "allow") == 0) {
    c->options.allow = c->allow;
    if (sscanf(line, "allow %63s", other) == 1) c->allow[c->options.allow_count++] = keep_label(c, other);
  } else if (strcmp(word, "deny") == 0) {
    sscanf(line, "deny %63s", other);
    c->options.deny = c->deny;
    c->deny[c->options.deny_count++] = keep_label(c, other);
  } else if (strcmp(word, "declared") == 0) {
    sscanf(line, "declared %63s", other);
    c->options.declared = keep_label(c, other);
  } else if (strcmp(word, "cancelled") == 0) {
    c->cancelled = true;
  } else if (strcmp(word, "listing") == 0) {
    c->listing = true;
  } else if (strcmp(word, "open_file") == 0) {
    sscanf(line, "open_file %511s", text);
    path_of(c->open_file, text);
  } else if (strcmp(word, "open_memory") == 0) {
    sscanf(line, "open_memory %511s %lu", text, &a);
    c->open_memory = part_of(text, 0, a);
    c->opens_memory = true;
  } else if (strcmp(word, "name") == 0) {
    sscanf(line, "name %lu %31s", &a, c->language);
    c->class_index = (uint32_t)a;
    c->names = true;
  } else {
    fail("not understood", line);
  }
}

static void tell(Lines *told, const char *text) {
  if (told->count == MOST) fail("too many lines", text);
  snprintf(told->text[told->count++], LINE, "%s", text);
}

static unsigned bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static const char *label_of(const EtalaseClassifier *classifier, uint32_t class_index) {
  const char *label = "-";
  if (class_index != ETALASE_NO_CLASS
      && etalase_label(classifier, class_index, NULL, &label, NULL) != ETALASE_STATUS_OK)
    fail("no label", "");
  return label;
}

static void tell_scores(Lines *told, const EtalaseClassifier *classifier, const EtalaseScore *ranked, size_t count) {
  char line[LINE];
  for (size_t at = 0; at < count; at++) {
    const char *label = label_of(classifier, ranked[at].class_index);
    snprintf(line, sizeof line, "ranked %s %08x", label, bits(ranked[at].score));
    tell(told, line);
  }
}

static void tell_judgement(Lines *told, const EtalaseClassifier *classifier, float familiarity, EtalaseVerdict verdict) {
  char line[LINE];
  snprintf(line, sizeof line, "familiarity %08x", bits(familiarity));
  if (familiarity >= 0) tell(told, line);
  if (verdict.kind == ETALASE_VERDICT_KIND_NONE) return;
  const char *suggested = label_of(classifier, verdict.suggested);
  snprintf(line, sizeof line, "verdict %s %s %s", KINDS[verdict.kind], REASONS[verdict.reason], suggested);
  tell(told, line);
}

static EtalaseStatus classify(const EtalaseClassifier *classifier, Case *c, Lines *told, EtalaseError *error) {
  char line[LINE];
  EtalaseScore ranked[MOST];
  EtalaseAnswer answer = etalase_answer_init();
  answer.ranked = ranked;
  answer.ranked_capacity = MOST;
  EtalaseStatus status = etalase_classify(classifier, &c->photo, &c->options, &answer, error);
  if (status != ETALASE_STATUS_OK) return status;
  tell_scores(told, classifier, ranked, answer.ranked_count);
  tell_judgement(told, classifier, answer.familiarity, answer.verdict);
  snprintf(line, sizeof line, "size %u %u", answer.measures.width_px, answer.measures.height_px);
  tell(told, line);
  snprintf(line, sizeof line, "advice");
  for (unsigned bit = 0; bit < 5; bit++) {
    if (!(answer.advice & 1u << bit)) continue;
    strcat(line, " ");
    strcat(line, ADVICE[bit]);
  }
  if (answer.advice) tell(told, line);
  return status;
}

static int by_score(const void *a, const void *b) {
  const EtalaseScore *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? 1 : -1;
  return x->class_index < y->class_index ? -1 : 1;
}

static EtalaseStatus list(const EtalaseClassifier *classifier, Case *c, Lines *told, EtalaseError *error) {
  char line[LINE];
  static float scores[MOST][MOST];
  EtalaseSaid said[MOST];
  for (size_t at = 0; at < c->file_count; at++) {
    EtalasePhoto photo = etalase_photo_encoded(c->files[at].data, c->files[at].length);
    EtalaseAnswer answer = etalase_answer_init();
    answer.scores = scores[at];
    answer.scores_capacity = MOST;
    EtalaseStatus status = etalase_classify(classifier, &photo, NULL, &answer, error);
    if (status != ETALASE_STATUS_OK) return status;
    uint32_t classes;
    etalase_class_count(classifier, &classes, error);
    said[at].scores = scores[at];
    said[at].length = classes;
    said[at].familiarity = answer.familiarity;
  }
  float fused[MOST];
  EtalaseOdd odd[MOST];
  EtalaseListing listing = etalase_listing_init();
  listing.scores = fused;
  listing.scores_capacity = MOST;
  listing.odd = odd;
  listing.odd_capacity = MOST;
  EtalaseStatus status = etalase_listing(classifier, said, c->file_count, c->options.declared, &listing, error);
  if (status != ETALASE_STATUS_OK) return status;
  EtalaseScore ranked[MOST];
  for (uint32_t at = 0; at < said[0].length; at++) {
    ranked[at].class_index = at;
    ranked[at].score = fused[at];
  }
  qsort(ranked, said[0].length, sizeof *ranked, by_score);
  tell_scores(told, classifier, ranked, said[0].length);
  tell_judgement(told, classifier, listing.familiarity, listing.verdict);
  for (size_t at = 0; at < listing.odd_count; at++) {
    snprintf(line, sizeof line, "odd %u %s", odd[at].photo, label_of(classifier, odd[at].shows));
    tell(told, line);
  }
  return status;
}

static EtalaseStatus answer(const EtalaseClassifier *classifier, Case *c, Lines *told, EtalaseError *error) {
  char line[LINE];
  if (*c->open_file || c->opens_memory) {
    EtalaseClassifier *opened;
    EtalaseStatus status = *c->open_file
                               ? etalase_open_file(c->open_file, NULL, &opened, error)
                               : etalase_open_memory(c->open_memory.data, c->open_memory.length, NULL, &opened, error);
    if (status == ETALASE_STATUS_OK) tell(told, "opened");
    etalase_classifier_free(opened);
    return status;
  }
  if (c->names) {
    const char *label;
    EtalaseStatus status = etalase_label(classifier, c->class_index, c->language, &label, error);
    snprintf(line, sizeof line, "text %s", label ? label : "");
    if (status == ETALASE_STATUS_OK) tell(told, line);
    return status;
  }
  return c->listing ? list(classifier, c, told, error) : classify(classifier, c, told, error);
}

static bool run(const EtalaseClassifier *classifier, Case *c) {
  Lines told = {0};
  EtalaseError error;
  EtalaseCancel *cancel;
  if (etalase_cancel_new(&cancel, &error) != ETALASE_STATUS_OK) fail("no cancel flag", error.message);
  c->options.cancel = cancel;
  if (c->cancelled) etalase_cancel(cancel);
  EtalaseStatus status = answer(classifier, c, &told, &error);
  etalase_cancel_free(cancel);
  if (status != ETALASE_STATUS_OK) {
    char line[LINE];
    snprintf(line, sizeof line, "error %s", etalase_status_name(status));
    tell(&told, line);
    if (!*error.message) fail("an error without a message", c->name);
  }
  bool same = told.count == c->expected.count;
  for (size_t at = 0; same && at < told.count; at++) same = strcmp(told.text[at], c->expected.text[at]) == 0;
  if (!same) {
    fprintf(stderr, "%s: wanted\n", c->name);
    for (size_t at = 0; at < c->expected.count; at++) fprintf(stderr, "  %s\n", c->expected.text[at]);
    fprintf(stderr, "got\n");
    for (size_t at = 0; at < told.count; at++) fprintf(stderr, "  %s\n", told.text[at]);
  }
  return same;
}

int main(int count, char **arguments) {
  if (count != 3) fail("usage", "conformance FOLDER DEFAULT_BUNDLE");
  folder = arguments[1];
  default_bundle = arguments[2];
  EtalaseClassifier *classifier;
  EtalaseError error;
  if (etalase_open_file(default_bundle, NULL, &classifier, &error) != ETALASE_STATUS_OK) fail("open", error.message);

  char path[PATH_BYTES], line[LINE];
  path_of(path, "cases.txt");
  FILE *file = fopen(path, "r");
  if (!file) fail("cannot be read", path);
  size_t cases = 0, failed = 0;
  Case *c = NULL;
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char word[32] = "";
    sscanf(line, "%31s", word);
    if (!*word || *word == '#') continue;
    if (strcmp(word, "case") == 0) {
      c = calloc(1, sizeof *c);
      c->photo = etalase_photo_init();
      c->options = etalase_options_init();
      sscanf(line, "case %511s", c->name);
      continue;
    }
    if (!c) fail("outside of a case", line);
    if (strcmp(word, "end") != 0) {
      bool result = false;
      for (size_t at = 0; at < sizeof RESULTS / sizeof *RESULTS; at++) result |= strcmp(word, RESULTS[at]) == 0;
      if (result)
        tell(&c->expected, line);
      else
        read_line(c, line);
      continue;
    }
    cases++;
    if (!run(classifier, c)) failed++;
    for (size_t at = 0; at < c->file_count; at++) free(c->files[at].data);
    free(c->open_memory.data);
    free(c);
    c = NULL;
  }
  fclose(file);
  etalase_classifier_free(classifier);
  printf("C: %zu cases, %zu failed\n", cases, failed);
  return failed || cases < 50 ? 1 : 0;
}
