//! What the Kotlin library calls: the native methods of `io.github.etalase.internal.Native`.
//!
//! A handle is a number in a table of this library, so that a closed one is an error and never a crash, and a call that is
//! running keeps its classifier alive. Every method answers with bytes ([`packed`]): a status, then a message or what was
//! asked for; no class of Java's is looked up here, which R8 could have renamed. Pixels are read where direct buffers and
//! bitmaps have them; arrays are copied once, because the collector may move them.

#[cfg(target_os = "android")]
mod bitmap;
mod packed;
mod table;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use etalase::decision::{Ranking, Said};
use etalase::error::catch_panic;
use etalase::photo::Region;
use etalase::{Bundle, Classifier, EngineOptions, Error, ErrorKind, Photo, Result};
use jni::JNIEnv;
use jni::objects::{GlobalRef, JByteArray, JByteBuffer, JClass, JIntArray, JObject};
use jni::sys::{jbyteArray, jint, jlong};

use self::packed::{Reader, Writer};
use self::table::Table;
use crate::c::EtalaseStatus;
use crate::photo::{Described, Plane};
use crate::{classes_named, declared_class, default_bundle, invalid};

static CLASSIFIERS: Table<Classifier> = Table::new();
static FLAGS: Table<AtomicBool> = Table::new();

/// Numbers that describe a photo, see [`describe`].
const GEOMETRY: usize = 16;

/// Opens the bundle at a path: its UTF-8 bytes. The answer: [`opened`].
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_openFile(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    path: JByteArray<'_>,
    threads: jint,
) -> jbyteArray {
    answered(&mut env, |env| {
        let path = array(env, &path)?;
        let path = std::str::from_utf8(&path).map_err(|_| invalid("path is not UTF-8"))?;
        opened(Bundle::open(Path::new(path))?, threads)
    })
}

/// Opens a bundle in an array or a direct buffer, which is copied.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_openMemory(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    bundle: JObject<'_>,
    threads: jint,
) -> jbyteArray {
    answered(&mut env, |env| {
        let bytes = Bytes::of(env, &bundle)?;
        opened(Bundle::from_bytes(bytes.get().to_vec())?, threads)
    })
}

/// Opens the bundle that the library was built with.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_openDefault(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    threads: jint,
) -> jbyteArray {
    answered(&mut env, |_| opened(default_bundle()?, threads))
}

/// Closes a classifier; its memory goes when the last running call is over. One that is closed stays so.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_close(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    handle: jlong,
) -> jbyteArray {
    answered(&mut env, |_| {
        CLASSIFIERS.remove(handle);
        Ok(Writer::new())
    })
}

/// The bundle's content: the JSON's UTF-8 bytes.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_inspect(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    handle: jlong,
) -> jbyteArray {
    answered(&mut env, |_| {
        let mut told = Writer::new();
        told.text(&crate::inspection(classifier(handle)?.bundle())?);
        Ok(told)
    })
}

/// All classes' names in a language: its tag's UTF-8 bytes.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_names(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    handle: jlong,
    language: JByteArray<'_>,
) -> jbyteArray {
    answered(&mut env, |env| {
        let classifier = classifier(handle)?;
        let language = array(env, &language)?;
        let mut told = Writer::new();
        told.texts(
            classifier
                .bundle()
                .names_in(&String::from_utf8_lossy(&language))?,
        );
        Ok(told)
    })
}

/// Classifies a photo. `options`: [`Asked::read`]; `geometry`: [`describe`]; `first`, `second`, `third`: arrays, direct
/// buffers, or null; `cancel`: a flag's handle, or 0.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_classify(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    handle: jlong,
    options: JByteArray<'_>,
    geometry: JIntArray<'_>,
    first: JObject<'_>,
    second: JObject<'_>,
    third: JObject<'_>,
    cancel: jlong,
) -> jbyteArray {
    answered(&mut env, |env| {
        let classifier = classifier(handle)?;
        let options = array(env, &options)?;
        let geometry = numbers(env, &geometry)?;
        let planes = [
            Bytes::of(env, &first)?,
            Bytes::of(env, &second)?,
            Bytes::of(env, &third)?,
        ];
        #[cfg(feature = "panic-on-demand")]
        assert!(planes[0].get() != crate::PANIC_ON_DEMAND, "on demand");
        let photo = describe(&geometry, planes.each_ref().map(Bytes::get)).photo()?;
        answer(&classifier, &photo, &options, cancel)
    })
}

/// Fuses the answers of a listing's photos: `said` is as [`listing`] reads it.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_listing(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    handle: jlong,
    said: JByteArray<'_>,
) -> jbyteArray {
    answered(&mut env, |env| {
        let classifier = classifier(handle)?;
        let said = array(env, &said)?;
        listing(&classifier, &said)
    })
}

/// Makes a cancel flag.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_newCancel(
    _env: JNIEnv<'_>,
    _class: JClass<'_>,
) -> jlong {
    FLAGS.insert(AtomicBool::new(false))
}

/// Sets a cancel flag; one that is freed is ignored.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_cancel(
    _env: JNIEnv<'_>,
    _class: JClass<'_>,
    flag: jlong,
) {
    if let Some(flag) = FLAGS.get(flag) {
        flag.store(true, Ordering::Relaxed);
    }
}

/// Frees a cancel flag; a call that was given it keeps it.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_freeCancel(
    _env: JNIEnv<'_>,
    _class: JClass<'_>,
    flag: jlong,
) {
    FLAGS.remove(flag);
}

/// Runs a method; its result, error or panic becomes bytes. Null, with Java's exception pending, where there is no memory
/// for them.
fn answered<'local>(
    env: &mut JNIEnv<'local>,
    method: impl FnOnce(&mut JNIEnv<'local>) -> Result<Writer>,
) -> jbyteArray {
    let told = catch_panic(ErrorKind::Internal, "the call", || method(env));
    let bytes = match told {
        Ok(told) => told.with_status(EtalaseStatus::Ok as u8),
        Err(error) => {
            let mut told = Writer::new();
            told.raw(error.to_string().as_bytes());
            told.with_status(EtalaseStatus::of(error.kind()) as u8)
        }
    };
    match env.byte_array_from_slice(&bytes) {
        Ok(array) => array.into_raw(),
        Err(_) => std::ptr::null_mut(),
    }
}

/// What opening answers: the handle, canonical names of the classes, the languages of labels.
fn opened(bundle: Bundle, threads: jint) -> Result<Writer> {
    let threads = usize::try_from(threads)
        .map_err(|_| invalid(format!("{threads} threads; 1 to 256 are possible")))?;
    let options = EngineOptions {
        threads,
        ..EngineOptions::default()
    };
    let classifier = Classifier::new(bundle, &options)?;
    let mut told = Writer::new();
    let bundle = classifier.bundle();
    let languages: Vec<String> = bundle.labels().keys().cloned().collect();
    let classes = bundle.manifest().classes.clone();
    told.i64(CLASSIFIERS.insert(classifier));
    told.texts(&classes);
    told.texts(&languages);
    Ok(told)
}

fn classifier(handle: jlong) -> Result<Arc<Classifier>> {
    CLASSIFIERS
        .get(handle)
        .ok_or_else(|| Error::new(ErrorKind::Closed, "the classifier is closed"))
}

/// A photo by its numbers: format, width, height, orientation, matrix, range (as etalase.h has them), region (x, y, width,
/// height; all 0: the whole photo), then row and pixel stride of each plane.
fn describe<'a>(geometry: &[u32; GEOMETRY], data: [&'a [u8]; 3]) -> Described<'a> {
    let [
        format,
        width,
        height,
        orientation,
        matrix,
        range,
        region @ ..,
    ] = *geometry;
    let [x, y, region_width, region_height, strides @ ..] = region;
    let (strides, _) = strides.as_chunks::<2>();
    let mut planes = [Plane::default(); 3];
    for ((plane, data), [row_stride, pixel_stride]) in planes.iter_mut().zip(data).zip(strides) {
        *plane = Plane {
            data,
            row_stride: *row_stride as usize,
            pixel_stride: *pixel_stride as usize,
        };
    }
    let is_whole = [x, y, region_width, region_height] == [0; 4];
    Described {
        format,
        width,
        height,
        orientation,
        matrix,
        range,
        planes,
        region: (!is_whole).then_some(Region {
            x,
            y,
            width: region_width,
            height: region_height,
        }),
    }
}

/// What an answer is to name.
struct Asked {
    ranking: Ranking,
    declared: Option<usize>,
}

impl Asked {
    /// u32 the most classes (0: all), f32 the least score, u32 whether there is an allow list, the allow list, the deny
    /// list, u32 whether something is declared, the declared label.
    fn read(options: &[u8], classes: &[String]) -> Result<Asked> {
        let mut options = Reader::new(options);
        let top_k = options.u32()? as usize;
        let mut ranking = Ranking::default().minimum_score(options.f32()?)?;
        if top_k > 0 {
            ranking = ranking.top(top_k);
        }
        let has_allow = options.u32()? != 0;
        let allow = options.texts()?;
        let deny = options.texts()?;
        let declared = (options.u32()? != 0).then(|| options.text()).transpose()?;
        if has_allow {
            let allow = allow.iter().map(|label| Ok(*label));
            ranking = ranking.allow(classes_named("allow", allow, classes)?);
        }
        let deny = deny.iter().map(|label| Ok(*label));
        ranking = ranking.deny(classes_named("deny", deny, classes)?);
        Ok(Asked {
            ranking,
            declared: declared_class(declared, classes)?,
        })
    }
}

fn answer(
    classifier: &Classifier,
    photo: &Photo<'_>,
    options: &[u8],
    cancel: jlong,
) -> Result<Writer> {
    let asked = Asked::read(options, &classifier.bundle().manifest().classes)?;
    let answer = match FLAGS.get(cancel) {
        Some(flag) => classifier.classify_until(photo, &flag)?,
        None => classifier.classify_photo(photo)?,
    };
    let verdict = asked
        .declared
        .map(|declared| classifier.verdict(&answer, declared));
    let mut told = Writer::new();
    told.f64(answer.decode_ms);
    told.f64(answer.run_ms);
    told.f32(answer.familiarity.unwrap_or(-1.0));
    told.u32(
        answer
            .advice
            .iter()
            .map(|advice| crate::c::bit(*advice))
            .sum(),
    );
    told.verdict(verdict.transpose()?);
    told.measures(&answer.measures);
    told.ranked(&asked.ranking.of(&answer.scores));
    told.scores(&answer.scores);
    let notes: Vec<String> = answer.notes.iter().map(ToString::to_string).collect();
    told.texts(&notes);
    Ok(told)
}

/// Reads u32 whether something is declared, the label, u32 the number of photos, and of each its familiarity (-1: not
/// told), the number of its scores, and them. Answers with familiarity, verdict, all classes ranked, scores, and the odd
/// photos with the class that each shows (-1: unfamiliar).
fn listing(classifier: &Classifier, said: &[u8]) -> Result<Writer> {
    let mut said = Reader::new(said);
    let declared = (said.u32()? != 0).then(|| said.text()).transpose()?;
    let declared = declared_class(declared, &classifier.bundle().manifest().classes)?;
    let mut photos = Vec::new();
    for _ in 0..said.u32()? {
        let familiarity = said.f32()?;
        photos.push((said.f32s()?, familiarity));
    }
    let photos = photos.iter().map(|(scores, familiarity)| Said {
        scores,
        familiarity: (*familiarity >= 0.0).then_some(*familiarity),
    });
    let listing = classifier.listing_of(&photos.collect::<Vec<_>>(), declared)?;
    let mut told = Writer::new();
    told.f32(listing.fused.familiarity.unwrap_or(-1.0));
    told.verdict(listing.verdict);
    told.ranked(&Ranking::default().of(&listing.fused.scores));
    told.scores(&listing.fused.scores);
    told.u32(listing.fused.odd.len() as u32);
    for odd in &listing.fused.odd {
        told.u32(odd.photo as u32);
        told.class(odd.shows);
    }
    Ok(told)
}

/// Bytes of Java's: copied from an array, read in place from a direct buffer.
enum Bytes<'a> {
    Copied(Vec<u8>),
    InPlace(&'a [u8]),
}

impl<'a> Bytes<'a> {
    /// `object` is null, a `byte[]` or a direct `ByteBuffer`, whose memory stays as long as the method runs: the caller's
    /// reference keeps it.
    fn of(env: &mut JNIEnv<'_>, object: &'a JObject<'_>) -> Result<Bytes<'a>> {
        if object.is_null() {
            return Ok(Bytes::InPlace(&[]));
        }
        let arrays = array_class(env)?;
        if env.is_instance_of(object, arrays).map_err(refused)? {
            // SAFETY: it is a byte[], just asked; the borrowed reference is not freed by this copy of it.
            let copy = unsafe { JByteArray::from_raw(object.as_raw()) };
            return Ok(Bytes::Copied(array(env, &copy)?));
        }
        // SAFETY: the calls refuse what is no direct buffer; the borrowed reference is not freed by this copy of it.
        let buffer = unsafe { JByteBuffer::from_raw(object.as_raw()) };
        let not_direct = |_| invalid("a buffer is neither an array nor direct");
        let address = env.get_direct_buffer_address(&buffer).map_err(not_direct)?;
        let length = env
            .get_direct_buffer_capacity(&buffer)
            .map_err(not_direct)?;
        // SAFETY: the buffer's memory, which lives as long as the caller's reference; as with every buffer of C's,
        // nobody writes to it during the call.
        Ok(Bytes::InPlace(unsafe {
            std::slice::from_raw_parts(address, length)
        }))
    }

    fn get(&self) -> &[u8] {
        match self {
            Bytes::Copied(bytes) => bytes,
            Bytes::InPlace(bytes) => bytes,
        }
    }
}

/// The class of `byte[]`, looked up once: a look-up takes longer than all else that a call does here.
fn array_class(env: &mut JNIEnv<'_>) -> Result<&'static GlobalRef> {
    static CLASS: OnceLock<GlobalRef> = OnceLock::new();
    if let Some(class) = CLASS.get() {
        return Ok(class);
    }
    let class = env.find_class("[B").map_err(refused)?;
    let class = env.new_global_ref(class).map_err(refused)?;
    Ok(CLASS.get_or_init(|| class))
}

fn array(env: &mut JNIEnv<'_>, array: &JByteArray<'_>) -> Result<Vec<u8>> {
    env.convert_byte_array(array).map_err(refused)
}

fn numbers(env: &mut JNIEnv<'_>, array: &JIntArray<'_>) -> Result<[u32; GEOMETRY]> {
    let mut numbers = [0; GEOMETRY];
    env.get_int_array_region(array, 0, &mut numbers)
        .map_err(refused)?;
    let negative = numbers.iter().find(|number| **number < 0);
    match negative {
        Some(number) => Err(invalid(format!("{number} describes no photo"))),
        None => Ok(numbers.map(|number| number as u32)),
    }
}

/// An error of the JVM's: the Kotlin library passes what it should not.
fn refused(error: jni::errors::Error) -> Error {
    Error::new(ErrorKind::Internal, "the JVM refuses a call").with_source(error)
}
