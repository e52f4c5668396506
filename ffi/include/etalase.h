/*
 * Etalase: what a seller's photo shows, on the device. The C interface; etalase.hpp is C++'s.
 *
 * A photo to a label:
 *
 *     EtalaseClassifier *classifier;
 *     EtalaseError error;
 *     if (etalase_open_file("mine.etalase", NULL, &classifier, &error) != ETALASE_STATUS_OK) {
 *         fprintf(stderr, "%s\n", error.message);
 *         return 1;
 *     }
 *     EtalasePhoto photo = etalase_photo_encoded(bytes, length);
 *     EtalaseScore best;
 *     EtalaseAnswer answer = etalase_answer_init();
 *     answer.ranked = &best;
 *     answer.ranked_capacity = 1;
 *     const char *label;
 *     if (etalase_classify(classifier, &photo, NULL, &answer, &error) == ETALASE_STATUS_OK
 *         && etalase_label(classifier, best.class_index, "en", &label, &error) == ETALASE_STATUS_OK)
 *         printf("%s %.1f %%\n", label, 100 * best.score);
 *     etalase_classifier_free(classifier);
 *
 * Ownership: the caller owns every buffer and struct that it passes; nothing of them is kept after the call. Handles
 * (EtalaseClassifier, EtalaseCancel) are made and freed by this library; strings that it gives belong to a handle or are
 * static. Freeing NULL does nothing.
 *
 * Errors: every function that can fail returns an EtalaseStatus and writes a message to the caller's EtalaseError (NULL:
 * not wanted). NULL where something is needed is an error, not a crash. No panic of the library leaves a call.
 *
 * Threads: one classifier serves any number of threads at once, without a lock.
 *
 * Growth: structs begin with their size, which the _init functions set; a program that was compiled with an older header
 * works with a newer library. Every field that is not set is 0, and 0 means the default.
 */


#ifndef ETALASE_H
#define ETALASE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Of this header; etalase_version() tells the library's.
#define ETALASE_VERSION_MAJOR 0
#define ETALASE_VERSION_MINOR 1
#define ETALASE_VERSION_PATCH 0
#define ETALASE_VERSION \
  ((ETALASE_VERSION_MAJOR << 16) | (ETALASE_VERSION_MINOR << 8) | ETALASE_VERSION_PATCH)


// No class: where a verdict suggests none, where an odd photo shows none.
#define ETALASE_NO_CLASS UINT32_MAX

// The familiarity from which on a photo is a familiar one: its scores mean something.
#define ETALASE_FAMILIAR_FROM 0.5

// Bytes of an error's message, its final NUL included.
#define ETALASE_MESSAGE_BYTES 1024

// What a call returns: 0, or what went wrong. The numbers never change; a later version may add some.
enum EtalaseStatus
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // It is done.
  ETALASE_STATUS_OK = 0,
  // A file could not be read.
  ETALASE_STATUS_IO = 1,
  // The bytes are not a photo that can be decoded.
  ETALASE_STATUS_PHOTO = 2,
  // The photo has more pixels than the library takes.
  ETALASE_STATUS_PHOTO_TOO_LARGE = 3,
  // The bundle is damaged or contradicts itself.
  ETALASE_STATUS_BUNDLE = 4,
  // The bundle was made for a newer library.
  ETALASE_STATUS_BUNDLE_TOO_NEW = 5,
  // The network cannot be read, is not a classifier, or failed while running.
  ETALASE_STATUS_MODEL = 6,
  // The caller passed something that cannot be meant: NULL, a buffer shorter than announced, an unknown label.
  ETALASE_STATUS_INVALID_ARGUMENT = 7,
  // The cancel flag was set before the answer was there.
  ETALASE_STATUS_CANCELLED = 8,
  // The classifier was closed before the call. C never gets it, a freed handle must not be used; the Kotlin, Swift and
  // C++ classifiers give it.
  ETALASE_STATUS_CLOSED = 9,
  // A defect of the library: it stopped unexpectedly. Nothing of the call is kept, and the next one works.
  ETALASE_STATUS_INTERNAL = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseStatus EtalaseStatus;
#else
typedef int32_t EtalaseStatus;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the bytes of a photo are.
enum EtalaseFormat
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // An encoded file in `planes[0]`: JPEG, PNG, WebP, the first frame of a GIF, BMP.
  ETALASE_FORMAT_ENCODED = 0,
  // Packed pixels in `planes[0]`, 8 bits each: red, green, blue.
  ETALASE_FORMAT_RGB = 1,
  // Blue, green, red.
  ETALASE_FORMAT_BGR = 2,
  // Red, green, blue, alpha that the colours are not multiplied by; transparent pixels lie over white.
  ETALASE_FORMAT_RGBA = 3,
  // Blue, green, red, alpha that the colours are not multiplied by.
  ETALASE_FORMAT_BGRA = 4,
  // Red, green, blue multiplied by the alpha that follows (Android's bitmaps).
  ETALASE_FORMAT_RGBA_PREMULTIPLIED = 5,
  // Blue, green, red multiplied by the alpha that follows (what iOS draws).
  ETALASE_FORMAT_BGRA_PREMULTIPLIED = 6,
  // Grey levels.
  ETALASE_FORMAT_GREY = 7,
  // A frame in 4:2:0 in `planes[0]`: luma, then chroma interleaved as U, V in rows as long as luma's.
  ETALASE_FORMAT_NV12 = 8,
  // As NV12, with V before U (Android's camera).
  ETALASE_FORMAT_NV21 = 9,
  // A frame in 4:2:0 in `planes[0]`: luma, U, V one after the other without gaps.
  ETALASE_FORMAT_I420 = 10,
  // A frame in 4:2:0 in three planes Y, U, V with strides of their own: Android's `YUV_420_888`, and any other.
  ETALASE_FORMAT_YUV420 = 11,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseFormat EtalaseFormat;
#else
typedef uint32_t EtalaseFormat;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How the stored picture has to be turned to stand upright: EXIF's numbers, as iOS' CGImagePropertyOrientation has
// them. Of an encoded photo: what is left to do after its own EXIF orientation.
enum EtalaseOrientation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // It stands upright.
  ETALASE_ORIENTATION_UPRIGHT = 1,
  // Mirrored left to right.
  ETALASE_ORIENTATION_MIRRORED = 2,
  // Turn by half.
  ETALASE_ORIENTATION_ROTATE180 = 3,
  // Mirrored top to bottom.
  ETALASE_ORIENTATION_MIRRORED_ROTATE180 = 4,
  // Mirror along the diagonal from the upper left.
  ETALASE_ORIENTATION_MIRRORED_ROTATE270 = 5,
  // Turn by 90 degrees clockwise.
  ETALASE_ORIENTATION_ROTATE90 = 6,
  // Mirror along the diagonal from the upper right.
  ETALASE_ORIENTATION_MIRRORED_ROTATE90 = 7,
  // Turn by 270 degrees clockwise.
  ETALASE_ORIENTATION_ROTATE270 = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseOrientation EtalaseOrientation;
#else
typedef uint32_t EtalaseOrientation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Which weights made luma and chroma of a colour.
enum EtalaseYuvMatrix
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // ITU-R BT.601: JPEG, and Android's cameras.
  ETALASE_YUV_MATRIX_BT601 = 0,
  // ITU-R BT.709: HD video, and most of iOS' cameras.
  ETALASE_YUV_MATRIX_BT709 = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseYuvMatrix EtalaseYuvMatrix;
#else
typedef uint32_t EtalaseYuvMatrix;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Which levels luma and chroma use.
enum EtalaseYuvRange
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // 0 to 255, as in JPEG.
  ETALASE_YUV_RANGE_FULL = 0,
  // Luma 16 to 235, chroma 16 to 240, as in video.
  ETALASE_YUV_RANGE_VIDEO = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseYuvRange EtalaseYuvRange;
#else
typedef uint32_t EtalaseYuvRange;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a declaration deserves.
enum EtalaseVerdictKind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Nothing was declared.
  ETALASE_VERDICT_KIND_NONE = 0,
  // The photo shows what was declared.
  ETALASE_VERDICT_KIND_MATCH = 1,
  // It shows another category.
  ETALASE_VERDICT_KIND_MISMATCH = 2,
  // A person should look.
  ETALASE_VERDICT_KIND_UNSURE = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseVerdictKind EtalaseVerdictKind;
#else
typedef uint32_t EtalaseVerdictKind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Why.
enum EtalaseReason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Nothing was declared.
  ETALASE_REASON_NONE = 0,
  // The declared category's score is high enough.
  ETALASE_REASON_DECLARED_IS_LIKELY = 1,
  // Another category's score is far ahead.
  ETALASE_REASON_ANOTHER_IS_LIKELY = 2,
  // Neither is.
  ETALASE_REASON_CLOSE_CALL = 3,
  // The photo is unlike those that the network was trained on: its scores mean little.
  ETALASE_REASON_UNFAMILIAR = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseReason EtalaseReason;
#else
typedef uint32_t EtalaseReason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Remarks about a photo, bits of EtalaseAnswer.advice.
enum EtalaseAdvice
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Too little light.
  ETALASE_ADVICE_TOO_DARK = 1,
  // Highlights without detail.
  ETALASE_ADVICE_TOO_BRIGHT = 2,
  // Out of focus, or moved.
  ETALASE_ADVICE_BLURRED = 4,
  // Too few pixels.
  ETALASE_ADVICE_TOO_SMALL = 8,
  // Much of the photo is a border of one colour.
  ETALASE_ADVICE_FRAMED = 16,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum EtalaseAdvice EtalaseAdvice;
#else
typedef uint32_t EtalaseAdvice;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A flag that cancels calls which were given it (EtalaseOptions.cancel). Threads: all functions may be called from any
// thread at any time; free it when no call uses it any more. Once set it stays so.
typedef struct EtalaseCancel EtalaseCancel;

// A classifier: a network with its classes, ready to answer. Threads: every function that takes it may be called from
// any number of threads at once, without a lock; etalase_classifier_free alone must be the last.
typedef struct EtalaseClassifier EtalaseClassifier;

// A part of a photo, in px of the upright one.
typedef struct EtalaseRegion {
  // Left edge, from the photo's left.
  uint32_t x;
  // Upper edge, from the photo's top.
  uint32_t y;
  // Width, at least 1.
  uint32_t width;
  // Height, at least 1.
  uint32_t height;
} EtalaseRegion;

// Bytes of a photo: an encoded file, packed pixels, or one plane of a frame. Rows go from the top; the last one may end
// with its last pixel.
typedef struct EtalasePlane {
  // The first byte. The library reads it during the call only.
  const uint8_t *data;
  // Bytes at `data`.
  size_t length;
  // Bytes from a row to the next; 0: rows without gaps.
  size_t row_stride;
  // Bytes from a sample to the next in a plane of ETALASE_FORMAT_YUV420: 1 (or 0), or 2 where two planes are
  // interleaved. Other formats don't read it.
  size_t pixel_stride;
} EtalasePlane;

// A photo: bytes of a file, or pixels as an app or a camera has them, read in place. etalase_photo_encoded and
// etalase_photo_pixels fill it for the usual cases; otherwise start from etalase_photo_init().
typedef struct EtalasePhoto {
  // sizeof(EtalasePhoto).
  size_t struct_size;
  // An EtalaseFormat.
  uint32_t format;
  // Width as stored, px; 0 for an encoded photo.
  uint32_t width;
  // Height as stored, px; 0 for an encoded photo.
  uint32_t height;
  // An EtalaseOrientation; 0 as 1.
  uint32_t orientation;
  // An EtalaseYuvMatrix, read where the format is one of frames.
  uint32_t matrix;
  // An EtalaseYuvRange, read where the format is one of frames.
  uint32_t range;
  // The part of the upright photo that counts; all zeros: the whole photo.
  struct EtalaseRegion region;
  // The bytes: the first plane alone, but for ETALASE_FORMAT_YUV420.
  struct EtalasePlane planes[3];
} EtalasePhoto;

// What an answer is to name; zeros are the defaults. Start from etalase_options_init().
typedef struct EtalaseOptions {
  // sizeof(EtalaseOptions).
  size_t struct_size;
  // At most so many classes, the best ones; 0: all.
  uint32_t top_k;
  // Only classes whose score is at least this, 0 to 1.
  float minimum_score;
  // Only these classes, `allow_count` canonical names; NULL: all. A list that is not NULL but empty allows none. Lists
  // hide classes from `ranked` and never change a score.
  const char *const *allow;
  // Names in `allow`.
  size_t allow_count;
  // None of these classes, `deny_count` canonical names.
  const char *const *deny;
  // Names in `deny`.
  size_t deny_count;
  // What the seller says the photo shows, a canonical name; NULL: nothing. Then the answer has a verdict.
  const char *declared;
  // Cancels the call from another thread; NULL: nothing does.
  const struct EtalaseCancel *cancel;
} EtalaseOptions;

// A class with its score.
typedef struct EtalaseScore {
  // An index of the bundle's classes; etalase_label names it.
  uint32_t class_index;
  // 0 to 1, calibrated where the bundle's policy says how. All classes' scores sum to 1.
  float score;
} EtalaseScore;

// The verdict on a declaration.
typedef struct EtalaseVerdict {
  // An EtalaseVerdictKind.
  uint32_t kind;
  // An EtalaseReason.
  uint32_t reason;
  // The best category, where that is another than the declared one and the photo is familiar; else ETALASE_NO_CLASS.
  uint32_t suggested;
} EtalaseVerdict;

// Measures of a photo, taken where it is resized to the network's input.
typedef struct EtalaseMeasures {
  // Width of the region that was looked at, px of the upright photo.
  uint32_t width_px;
  // Height of the region that was looked at, px of the upright photo.
  uint32_t height_px;
  // Mean luma (BT.601), 0 black to 1 white.
  float brightness;
  // Share of pixels without detail in the shadows.
  float dark;
  // Share of pixels without detail in the highlights, or of a white background.
  float bright;
  // 0 smooth (blurred), 1 clean edges, beyond it noise.
  float sharpness;
  // Share of the photo in borders of one colour.
  float uniform_border;
} EtalaseMeasures;

// An answer, in the caller's memory. Start from etalase_answer_init() and set the buffers that are wanted; the call sets
// the rest. Where it fails, all that it would have set is 0.
typedef struct EtalaseAnswer {
  // sizeof(EtalaseAnswer).
  size_t struct_size;
  // Set by the caller: room for `ranked_capacity` classes, or NULL.
  struct EtalaseScore *ranked;
  // Set by the caller. Where more classes are to be named than there is room for, the best are.
  size_t ranked_capacity;
  // Set by the caller: room for every class's score in the order of the classes, whatever the options hide; or NULL.
  float *scores;
  // Set by the caller: at least etalase_class_count where `scores` is not NULL.
  size_t scores_capacity;
  // Set by the caller: room for `notes_capacity` bytes, or NULL. What about the photo could not be followed, such as a
  // rare colour profile: UTF-8, a line each, ended by NUL, cut where there is no room.
  char *notes;
  // Set by the caller.
  size_t notes_capacity;
  // Classes written to `ranked`, best first.
  size_t ranked_count;
  // Bytes of all notes without the final NUL; 0 where there are none.
  size_t notes_length;
  // 0 (nothing that the network knows) to 1 (as in training), familiar from 0.5 on; -1 where the bundle doesn't tell.
  float familiarity;
  // EtalaseAdvice bits.
  uint32_t advice;
  // On what was declared.
  struct EtalaseVerdict verdict;
  // What can be said about the photo as a photo.
  struct EtalaseMeasures measures;
  // From encoded bytes (or pixels) to the network's input tensor, milliseconds.
  double decode_ms;
  // From there to the finished answer, milliseconds.
  double run_ms;
} EtalaseAnswer;

// Room for an error's message, the caller's: put it on the stack. It comes back with the call, so that it belongs to
// this call whatever other threads do. This struct never changes.
typedef struct EtalaseError {
  // One line of UTF-8 that names the thing and the cause, ended by NUL, cut behind a whole character where it would be
  // longer; empty where the call did what it should.
  char message[ETALASE_MESSAGE_BYTES];
} EtalaseError;

// How a classifier is opened; zeros are the defaults. Start from etalase_open_options_init().
typedef struct EtalaseOpenOptions {
  // sizeof(EtalaseOpenOptions).
  size_t struct_size;
  // Threads for one answer, 1 to 256; 0 is 1. They sleep between answers. More photos a second come from asking on
  // more threads, a faster answer from more threads here.
  uint32_t threads;
  // 0.
  uint32_t reserved;
} EtalaseOpenOptions;

// What one photo of a listing says: `scores` and `familiarity` of its EtalaseAnswer.
typedef struct EtalaseSaid {
  // Every class's score, etalase_class_count of them.
  const float *scores;
  // Values at `scores`.
  size_t length;
  // As the answer has it; -1 where the bundle doesn't tell.
  float familiarity;
} EtalaseSaid;

// A photo that does not belong to the others of its listing.
typedef struct EtalaseOdd {
  // Its place in the listing, from 0.
  uint32_t photo;
  // The class that it shows; ETALASE_NO_CLASS where it is unfamiliar.
  uint32_t shows;
} EtalaseOdd;

// The answer to a listing, in the caller's memory. Start from etalase_listing_init() and set the buffers that are wanted.
typedef struct EtalaseListing {
  // sizeof(EtalaseListing).
  size_t struct_size;
  // Set by the caller: room for every class's score, or NULL.
  float *scores;
  // Set by the caller: at least etalase_class_count where `scores` is not NULL.
  size_t scores_capacity;
  // Set by the caller: room for odd photos, or NULL.
  struct EtalaseOdd *odd;
  // Set by the caller.
  size_t odd_capacity;
  // Odd photos in all; as many as there is room for are at `odd`, in the order of the photos.
  size_t odd_count;
  // Of the most familiar photo; -1 where the bundle doesn't tell.
  float familiarity;
  // On what was declared.
  struct EtalaseVerdict verdict;
} EtalaseListing;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, `major << 16 | minor << 8 | patch`, to compare with ETALASE_VERSION of the header that the
// program was compiled with: the ABI is the same where the major numbers are, and the library's minor is not smaller
// (while the major number is 0: where both are the same).
uint32_t etalase_version(void);

// The library's version as text, such as "0.1.0". Static; never NULL.
const char *etalase_version_text(void);

// Classifies a photo. `options`: NULL for the defaults. Any thread. Errors: PHOTO and PHOTO_TOO_LARGE where the photo
// cannot be decoded, INVALID_ARGUMENT where pixels, region, labels, buffers or sizes cannot be meant, CANCELLED, MODEL.
EtalaseStatus etalase_classify(const struct EtalaseClassifier *classifier,
                               const struct EtalasePhoto *photo,
                               const struct EtalaseOptions *options,
                               struct EtalaseAnswer *answer,
                               struct EtalaseError *error);

// Makes a cancel flag; to be freed with etalase_cancel_free. On failure *cancel is NULL.
EtalaseStatus etalase_cancel_new(struct EtalaseCancel **cancel, struct EtalaseError *error);

// Cancels the calls that were given this flag: they return ETALASE_STATUS_CANCELLED as soon as they see it, at the
// latest within the time of one operation of the network or of one photo's decoding. NULL is ignored.
void etalase_cancel(const struct EtalaseCancel *cancel);

// Frees a cancel flag. NULL is ignored.
void etalase_cancel_free(struct EtalaseCancel *cancel);

// Opens the bundle at `path` (UTF-8). `options`: NULL for the defaults. On success *classifier is to be freed with
// etalase_classifier_free, on failure it is NULL. Errors: IO where the file cannot be read, BUNDLE, BUNDLE_TOO_NEW,
// MODEL, INVALID_ARGUMENT where an argument is NULL or the path is not UTF-8.
EtalaseStatus etalase_open_file(const char *path,
                                const struct EtalaseOpenOptions *options,
                                struct EtalaseClassifier **classifier,
                                struct EtalaseError *error);

// Opens a bundle of `length` bytes at `data`, which are copied. Otherwise as etalase_open_file.
EtalaseStatus etalase_open_memory(const uint8_t *data,
                                  size_t length,
                                  const struct EtalaseOpenOptions *options,
                                  struct EtalaseClassifier **classifier,
                                  struct EtalaseError *error);

// Opens the default bundle, where the library was built with it (INVALID_ARGUMENT otherwise). Otherwise as
// etalase_open_file.
EtalaseStatus etalase_open_default(const struct EtalaseOpenOptions *options,
                                   struct EtalaseClassifier **classifier,
                                   struct EtalaseError *error);

// Frees a classifier and all strings that it gave. NULL is ignored.
void etalase_classifier_free(struct EtalaseClassifier *classifier);

// The number of classes, to *count: that of all scores.
EtalaseStatus etalase_class_count(const struct EtalaseClassifier *classifier,
                                  uint32_t *count,
                                  struct EtalaseError *error);

// A class's name, to *label: in `language`, a BCP 47 tag, else in one that shares its first part ("id" for "id-ID"); the
// canonical name, which the options understand, where `language` is NULL. *label is the classifier's, UTF-8, and valid
// until it is freed. Errors: INVALID_ARGUMENT where the bundle has no labels in that language, or no such class.
EtalaseStatus etalase_label(const struct EtalaseClassifier *classifier,
                            uint32_t class_index,
                            const char *language,
                            const char **label,
                            struct EtalaseError *error);

// The class of a canonical name, to *class_index. Errors: INVALID_ARGUMENT where there is none, with the nearest names.
EtalaseStatus etalase_class_named(const struct EtalaseClassifier *classifier,
                                  const char *label,
                                  uint32_t *class_index,
                                  struct EtalaseError *error);

// What is in the bundle, to *json: one JSON object {"name", "version", "format", "backbone", "input": [height, width,
// channels], "labels": {language: […]}, "classes", "bytes", "members", "preprocess", "policy", "card"}, as
// `etalase inspect --json` gives it. *json is the classifier's, and valid until it is freed.
EtalaseStatus etalase_inspect(const struct EtalaseClassifier *classifier,
                              const char **json,
                              struct EtalaseError *error);

// Fuses the photos of a listing: one answer, the photos that do not belong, and a verdict where `declared`, a canonical
// name, is not NULL. Any thread. Errors: INVALID_ARGUMENT where there is no photo or one has other than
// etalase_class_count scores.
EtalaseStatus etalase_listing(const struct EtalaseClassifier *classifier,
                              const struct EtalaseSaid *photos,
                              size_t count,
                              const char *declared,
                              struct EtalaseListing *listing,
                              struct EtalaseError *error);

// A status by its stable name in snake case, such as "photo_too_large"; "ok" for 0, "unknown" for a number that this
// library doesn't know. Static; never NULL.
const char *etalase_status_name(int32_t status);

// Structs with their size set, everything else 0. Inline, because the size is the caller's.

static inline EtalaseOpenOptions etalase_open_options_init(void) {
  EtalaseOpenOptions options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

static inline EtalaseOptions etalase_options_init(void) {
  EtalaseOptions options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

static inline EtalasePhoto etalase_photo_init(void) {
  EtalasePhoto photo;
  memset(&photo, 0, sizeof photo);
  photo.struct_size = sizeof photo;
  return photo;
}

static inline EtalaseAnswer etalase_answer_init(void) {
  EtalaseAnswer answer;
  memset(&answer, 0, sizeof answer);
  answer.struct_size = sizeof answer;
  return answer;
}

static inline EtalaseListing etalase_listing_init(void) {
  EtalaseListing listing;
  memset(&listing, 0, sizeof listing);
  listing.struct_size = sizeof listing;
  return listing;
}

// An encoded photo: the `length` bytes of a JPEG, PNG, WebP, GIF or BMP file.
static inline EtalasePhoto etalase_photo_encoded(const uint8_t *bytes, size_t length) {
  EtalasePhoto photo = etalase_photo_init();
  photo.format = ETALASE_FORMAT_ENCODED;
  photo.planes[0].data = bytes;
  photo.planes[0].length = length;
  return photo;
}

// Pixels in one buffer of `length` bytes: every `format` but ETALASE_FORMAT_ENCODED and ETALASE_FORMAT_YUV420. Rows are
// `row_stride` bytes apart; 0: without gaps.
static inline EtalasePhoto etalase_photo_pixels(EtalaseFormat format, uint32_t width,
                                                uint32_t height, size_t row_stride,
                                                const uint8_t *data, size_t length) {
  EtalasePhoto photo = etalase_photo_encoded(data, length);
  photo.format = format;
  photo.width = width;
  photo.height = height;
  photo.planes[0].row_stride = row_stride;
  return photo;
}

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ETALASE_H */
