//! What a call through the C ABI costs beyond the same call of core's, 224x224 RGB pixels, in turns; medians in microseconds.
//!
//! Both are told apart from the network's time by the answer's own decode_ms and run_ms: what is left of core's call is what
//! it does besides, on caches that the network has just emptied. A cancelled call, which ends before the photo is looked at,
//! shows what the ABI costs on warm ones, the making of an error included.

use std::ffi::CString;
use std::time::Instant;

use etalase::decision::{Ranking, class_named};
use etalase::{Bundle, Classifier, EngineOptions, Photo, Pixels, photo::PixelFormat};
use etalase_ffi::c::{
    EtalaseAnswer, EtalaseCancel, EtalaseClassifier, EtalaseFormat, EtalaseOptions, EtalasePhoto,
    EtalaseScore, EtalaseStatus, etalase_cancel, etalase_cancel_free, etalase_cancel_new,
    etalase_classifier_free, etalase_classify, etalase_open_memory,
};

const SIDE: u32 = 224;
const CALLS: usize = 400;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("call_overhead BUNDLE [CALLS]");
    let calls = arguments
        .next()
        .map_or(CALLS, |calls| calls.parse().expect("a number"));
    let bundle = std::fs::read(path).expect("a bundle");
    let pixels: Vec<u8> = (0..SIDE * SIDE * 3)
        .map(|at| ((at * at) >> 8) as u8)
        .collect();
    let (mut core, mut c) = (Vec::new(), Vec::new());
    let own = Classifier::new(
        Bundle::from_bytes(bundle.clone()).expect("a bundle"),
        &EngineOptions::default(),
    )
    .expect("a classifier");
    let handle = open(&bundle);
    for _ in 0..calls {
        core.push(through_core(&own, &pixels));
        c.push(through_c(handle, &pixels, None));
    }
    let cancel = cancelled();
    let warm = (0..calls).map(|_| through_c(handle, &pixels, Some(cancel)));
    let warm = median(warm.collect());
    // SAFETY: made above, in no call's use.
    unsafe {
        etalase_classifier_free(handle);
        etalase_cancel_free(cancel);
    }
    let (core, c) = (median(core), median(c));
    println!(
        "beyond decode and run: core {core:.2} us, C {c:.2} us; the C ABI's part {:.2} us; a cancelled call {warm:.2} us",
        c - core
    );
}

fn through_core(classifier: &Classifier, pixels: &[u8]) -> f64 {
    let start = Instant::now();
    let stride = SIDE as usize * 3;
    let pixels = Pixels::packed(PixelFormat::Rgb, SIDE, SIDE, stride, pixels).expect("pixels");
    let classes = &classifier.bundle().manifest().classes;
    let declared = class_named("t-shirt", classes).expect("a class");
    let answer = classifier
        .classify_photo(&Photo::from(pixels))
        .expect("an answer");
    let verdict = classifier.verdict(&answer, declared).expect("a verdict");
    let ranked = Ranking::default().top(3).of(&answer.scores);
    let took = start.elapsed().as_secs_f64() * 1e3;
    std::hint::black_box((verdict, ranked));
    1e3 * (took - answer.decode_ms - answer.run_ms)
}

fn through_c(
    handle: *const EtalaseClassifier,
    pixels: &[u8],
    cancel: Option<*mut EtalaseCancel>,
) -> f64 {
    // SAFETY: numbers and pointers, for which zeros are valid.
    let (mut photo, mut options, mut answer): (EtalasePhoto, EtalaseOptions, EtalaseAnswer) =
        unsafe { std::mem::zeroed() };
    photo.struct_size = size_of::<EtalasePhoto>();
    photo.format = EtalaseFormat::Rgb as u32;
    (photo.width, photo.height) = (SIDE, SIDE);
    photo.planes[0].data = pixels.as_ptr();
    photo.planes[0].length = pixels.len();
    let declared = CString::new("t-shirt").expect("a text");
    options.struct_size = size_of::<EtalaseOptions>();
    options.top_k = 3;
    options.declared = declared.as_ptr();
    options.cancel = cancel.unwrap_or(std::ptr::null_mut());
    let mut ranked = [EtalaseScore {
        class_index: 0,
        score: 0.0,
    }; 3];
    answer.struct_size = size_of::<EtalaseAnswer>();
    answer.ranked = ranked.as_mut_ptr();
    answer.ranked_capacity = ranked.len();
    let start = Instant::now();
    // SAFETY: everything lives as long as the call.
    let status = unsafe {
        etalase_classify(
            handle,
            &raw const photo,
            &raw const options,
            &raw mut answer,
            std::ptr::null_mut(),
        )
    };
    let took = start.elapsed().as_secs_f64() * 1e3;
    let wanted = match cancel {
        Some(_) => EtalaseStatus::Cancelled,
        None => EtalaseStatus::Ok,
    };
    assert_eq!(status, wanted);
    1e3 * (took - answer.decode_ms - answer.run_ms)
}

fn open(bundle: &[u8]) -> *mut EtalaseClassifier {
    let mut handle = std::ptr::null_mut();
    // SAFETY: everything lives as long as the call.
    let status = unsafe {
        etalase_open_memory(
            bundle.as_ptr(),
            bundle.len(),
            std::ptr::null(),
            &raw mut handle,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(status, EtalaseStatus::Ok);
    handle
}

fn cancelled() -> *mut EtalaseCancel {
    let mut cancel = std::ptr::null_mut();
    // SAFETY: a place for it, and no error is asked for.
    unsafe {
        etalase_cancel_new(&raw mut cancel, std::ptr::null_mut());
        etalase_cancel(cancel);
    }
    cancel
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
