//! A run allocates nothing once the network is warm: on a phone the allocator's lock
//! and its fragments belong to the app. Counted by an allocator around the system's;
//! alone in its process, so that no other test is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use etalase::{Bundle, Classifier, EngineOptions, Tensor, TensorData};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_tenth_run_of_the_default_bundle_allocates_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default.etalase");
    for threads in [1, 2] {
        let options = EngineOptions {
            threads,
            ..EngineOptions::default()
        };
        let bundle = Bundle::open(&path).expect("opens");
        let classifier = Classifier::new(bundle, &options).expect("prepares");
        let engine = classifier.engine();
        let pixels = (0..224 * 224 * 3).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
        let input = Tensor::new(vec![1, 224, 224, 3], TensorData::U8(pixels.collect()));
        let input = input.expect("a tensor");
        let mut logits = vec![0.0; engine.classes()];
        for _ in 0..9 {
            engine.run_into(&input, &mut logits, None).expect("runs");
        }
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        engine.run_into(&input, &mut logits, None).expect("runs");
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert_eq!(allocations, 0, "{threads} threads");
    }
}
