//! Android's bitmaps, read where they are.
//!
//! `AndroidBitmap_lockPixels` (libjnigraphics) keeps the pixels in place while they are read. Only ARGB_8888 comes here:
//! the Kotlin library lets the system convert hardware bitmaps and other configurations first.

use std::ffi::{c_int, c_void};

use etalase::Result;
use jni::JNIEnv;
use jni::objects::{JByteArray, JClass, JIntArray, JObject};
use jni::sys::{jbyteArray, jlong, jobject};

use super::{GEOMETRY, answer, answered, array, classifier, describe, numbers};
use crate::invalid;
use crate::photo::EtalaseFormat;

/// `AndroidBitmapInfo` of <android/bitmap.h>.
#[repr(C)]
#[derive(Default)]
struct Info {
    width: u32,
    height: u32,
    stride: u32,
    format: i32,
    flags: u32,
}

const FORMAT_RGBA_8888: i32 = 1;
/// The two lowest flags: how alpha is stored.
const ALPHA: u32 = 3;
const ALPHA_UNPREMULTIPLIED: u32 = 2;

#[link(name = "jnigraphics")]
unsafe extern "C" {
    fn AndroidBitmap_getInfo(env: *mut c_void, bitmap: jobject, info: *mut Info) -> c_int;
    fn AndroidBitmap_lockPixels(
        env: *mut c_void,
        bitmap: jobject,
        pixels: *mut *mut c_void,
    ) -> c_int;
    fn AndroidBitmap_unlockPixels(env: *mut c_void, bitmap: jobject) -> c_int;
}

/// Pixels of a bitmap, locked as long as this lives.
struct Locked<'a> {
    env: *mut c_void,
    bitmap: &'a JObject<'a>,
    info: Info,
    pixels: &'a [u8],
}

impl<'a> Locked<'a> {
    fn new(env: &JNIEnv<'_>, bitmap: &'a JObject<'a>) -> Result<Locked<'a>> {
        let env = env.get_raw().cast::<c_void>();
        let mut info = Info::default();
        // SAFETY: env and bitmap are the JVM's, of this thread and call.
        let status = unsafe { AndroidBitmap_getInfo(env, bitmap.as_raw(), &raw mut info) };
        if status != 0 {
            return Err(invalid(format!(
                "the bitmap tells nothing about itself ({status})"
            )));
        }
        if info.format != FORMAT_RGBA_8888 {
            return Err(invalid(format!("the bitmap's format is {}", info.format)));
        }
        let mut pixels = std::ptr::null_mut();
        // SAFETY: as above.
        let status = unsafe { AndroidBitmap_lockPixels(env, bitmap.as_raw(), &raw mut pixels) };
        if status != 0 || pixels.is_null() {
            return Err(invalid(format!(
                "the bitmap's pixels cannot be read ({status}): is it recycled?"
            )));
        }
        let length = info.stride as usize * info.height as usize;
        Ok(Locked {
            env,
            bitmap,
            info,
            // SAFETY: the system's promise while they are locked.
            pixels: unsafe { std::slice::from_raw_parts(pixels.cast(), length) },
        })
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: locked by `new`.
        unsafe { AndroidBitmap_unlockPixels(self.env, self.bitmap.as_raw()) };
    }
}

/// Classifies a bitmap of ARGB_8888. Of `geometry` orientation and region are read; otherwise as `classify`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_github_etalase_internal_Native_classifyBitmap(
    mut env: JNIEnv<'_>,
    _class: JClass<'_>,
    handle: jlong,
    options: JByteArray<'_>,
    geometry: JIntArray<'_>,
    bitmap: JObject<'_>,
    cancel: jlong,
) -> jbyteArray {
    answered(&mut env, |env| {
        let classifier = classifier(handle)?;
        let options = array(env, &options)?;
        let mut geometry: [u32; GEOMETRY] = numbers(env, &geometry)?;
        let locked = Locked::new(env, &bitmap)?;
        let format = match locked.info.flags & ALPHA == ALPHA_UNPREMULTIPLIED {
            true => EtalaseFormat::Rgba,
            false => EtalaseFormat::RgbaPremultiplied,
        };
        [geometry[0], geometry[1], geometry[2]] =
            [format as u32, locked.info.width, locked.info.height];
        let mut described = describe(&geometry, [locked.pixels, &[], &[]]);
        described.planes[0].row_stride = locked.info.stride as usize;
        answer(&classifier, &described.photo()?, &options, cancel)
    })
}
