// Eight threads share one classifier, calls are cancelled, and many openings take no memory: threads DEFAULT_BUNDLE PHOTO [OPENINGS]

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <etalase.h>

enum { THREADS = 8, CLASSES = 10 };

typedef struct Work {
  const EtalaseClassifier *classifier;
  const EtalasePhoto *photo;
  const float *wanted;
  EtalaseCancel *cancel;
  int calls;
  int wrong;
  int cancelled;
} Work;

static EtalaseStatus ask(const Work *work, float *scores) {
  EtalaseOptions options = etalase_options_init();
  options.cancel = work->cancel;
  EtalaseAnswer answer = etalase_answer_init();
  answer.scores = scores;
  answer.scores_capacity = CLASSES;
  return etalase_classify(work->classifier, work->photo, &options, &answer, NULL);
}

static void *share(void *pointer) {
  Work *work = pointer;
  for (int call = 0; call < work->calls; call++) {
    float scores[CLASSES];
    EtalaseStatus status = ask(work, scores);
    if (status != ETALASE_STATUS_OK || memcmp(scores, work->wanted, sizeof scores) != 0) work->wrong++;
  }
  return NULL;
}

static void *until_cancelled(void *pointer) {
  Work *work = pointer;
  float scores[CLASSES];
  EtalaseStatus status = ETALASE_STATUS_OK;
  while (status == ETALASE_STATUS_OK) status = ask(work, scores);
  work->cancelled = status == ETALASE_STATUS_CANCELLED;
  return NULL;
}

static long resident_kib(void) {
  long pages = 0, all = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file) return 0;
  if (fscanf(file, "%ld %ld", &all, &pages) != 2) pages = 0;
  fclose(file);
  return pages * 4;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  const int openings = count > 3 ? atoi(arguments[3]) : 100;
  FILE *file = fopen(arguments[2], "rb");
  if (!file) return 2;
  static uint8_t bytes[1 << 20];
  const size_t length = fread(bytes, 1, sizeof bytes, file);
  fclose(file);

  EtalaseClassifier *classifier;
  EtalaseError error;
  if (etalase_open_file(arguments[1], NULL, &classifier, &error) != ETALASE_STATUS_OK) return 2;
  const EtalasePhoto photo = etalase_photo_encoded(bytes, length);
  float wanted[CLASSES];
  // Without openings it runs under a tool that makes every call take a second.
  Work alone = {classifier, &photo, wanted, NULL, openings ? 20 : 1, 0, 0};
  if (ask(&alone, wanted) != ETALASE_STATUS_OK) return 2;

  pthread_t threads[THREADS];
  Work works[THREADS];
  int wrong = 0;
  for (int at = 0; at < THREADS; at++) {
    works[at] = alone;
    pthread_create(&threads[at], NULL, share, &works[at]);
  }
  for (int at = 0; at < THREADS; at++) {
    pthread_join(threads[at], NULL);
    wrong += works[at].wrong;
  }

  EtalaseCancel *cancel;
  if (etalase_cancel_new(&cancel, &error) != ETALASE_STATUS_OK) return 2;
  alone.cancel = cancel;
  pthread_t thread;
  pthread_create(&thread, NULL, until_cancelled, &alone);
  const struct timespec while_running = {0, 30000000};
  nanosleep(&while_running, NULL);
  const double start = seconds();
  etalase_cancel(cancel);
  pthread_join(thread, NULL);
  const double took_ms = 1e3 * (seconds() - start);
  etalase_cancel_free(cancel);
  etalase_classifier_free(classifier);

  long before = 0;
  for (int at = 0; at < openings; at++) {
    // The first ones fill the allocator's lists.
    if (at == openings / 10) before = resident_kib();
    if (etalase_open_file(arguments[1], NULL, &classifier, &error) != ETALASE_STATUS_OK) return 2;
    etalase_classifier_free(classifier);
  }
  const long grown = openings ? resident_kib() - before : 0;
  printf("threads: %d wrong answers; cancelled: %d after %.1f ms; %d openings grew by %ld KiB\n", wrong, alone.cancelled,
         took_ms, openings, grown);
  return wrong || !alone.cancelled || grown > 4096;
}
