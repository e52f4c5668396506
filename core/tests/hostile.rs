//! Thousands of damaged photos: each is an answer or an error, soon, and none takes more memory than
//! is documented. So is a plan that would. Alone in its process, so that its allocator counts nothing else.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etalase::photo::{MAX_DECODER_BYTES, Photo};
use etalase::{Engine, EngineOptions, ErrorKind, Fit};
use sha2::{Digest, Sha256};

#[path = "support/photos.rs"]
#[allow(dead_code)]
mod photos;

use photos::{Format, encode, quarters};

struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise. The system gives zeros without touching them.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// Files a format; flips, cuts and swaps of one in turn.
const MUTATIONS: u32 = 400;

/// xorshift32: the same files everywhere.
struct Random(u32);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % end.max(1)
    }
}

fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match random.below(4) {
        0 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        1 => bytes.truncate(random.below(bytes.len())),
        2 => {
            // Two pieces of a length change places.
            let length = 1 + random.below(bytes.len() / 4);
            let (a, b) = (
                random.below(bytes.len() - length),
                random.below(bytes.len() - length),
            );
            for at in 0..length {
                bytes.swap(a + at, b + at);
            }
        }
        _ => {
            // The headers lie at the beginning, sizes and counts among them.
            let at = random.below(bytes.len().min(200));
            let values = [0, 1, 0x7F, 0x80, 0xFF];
            for byte in bytes.iter_mut().skip(at).take(1 + random.below(4)) {
                *byte = values[random.below(values.len())];
            }
        }
    }
    bytes
}

#[test]
fn two_thousand_damaged_photos() {
    let file = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/jpeg");
        std::fs::read(folder.join(name)).expect(name)
    };
    let originals = [
        ("baseline JPEG", file("restarts.jpg")),
        ("progressive JPEG", file("progressive.jpg")),
        ("odd JPEG", file("sampling-410.jpg")),
        ("PNG", encode(&quarters(75, 93), Format::Png, Some(6))),
        ("WebP", encode(&quarters(75, 93), Format::WebP, Some(6))),
    ];
    let (mut answers, mut refusals) = (0, 0);
    for (name, original) in &originals {
        let mut random = Random(name.len() as u32 * 7919);
        for number in 0..MUTATIONS {
            let bytes = mutated(original, &mut random);
            // Decoded in full, and as small as it goes.
            for size in [300, 8] {
                let start = Instant::now();
                let result = Photo::encoded(&bytes).fit(size, size, Fit::Letterbox, [0; 3]);
                let took = start.elapsed();
                let largest = LARGEST.load(Ordering::Relaxed) as u64;
                assert!(
                    largest <= MAX_DECODER_BYTES,
                    "{name} {number}: {largest} bytes at once"
                );
                assert!(
                    took < Duration::from_secs(2),
                    "{name} {number} took {took:?}"
                );
                match result {
                    Ok(_) => answers += 1,
                    Err(error) => {
                        let kinds = [ErrorKind::Photo, ErrorKind::PhotoTooLarge];
                        assert!(kinds.contains(&error.kind()), "{name} {number}: {error}");
                        // A decoder's panic would be an error too; ours must not need that.
                        let panicked = error.to_string().contains("stopped unexpectedly");
                        assert!(!panicked, "{name} {number}: {error}");
                        refusals += 1;
                    }
                }
            }
        }
    }
    println!("{answers} answers, {refusals} refusals");
    assert!(
        answers > 100 && refusals > 1000,
        "{answers} answers, {refusals} refusals"
    );
}

#[test]
fn a_header_alone_takes_no_time() {
    let bomb = |announced: &[u8]| {
        let start = Instant::now();
        let error = Photo::encoded(announced)
            .fit(224, 224, Fit::Letterbox, [0; 3])
            .expect_err("refused");
        assert!(start.elapsed() < Duration::from_secs(2), "{error}");
    };
    bomb(&photos::jpeg_announcing(65_500, 65_500));
    bomb(&photos::jpeg_announcing(10_000, 10_000));
    bomb(&photos::png_bomb(100_000, 100_000));
    bomb(&photos::png_bomb(10_000, 10_000));
}

#[test]
fn thousands_of_scans_end_soon() {
    // A progressive file whose refinement of DC coefficients, a bit a block, is repeated.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/jpeg");
    let bytes = std::fs::read(folder.join("progressive.jpg")).expect("there");
    let header = [0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0x10];
    let at = bytes
        .windows(header.len())
        .position(|bytes| bytes == header)
        .expect("a scan");
    let next = bytes[at + 2..]
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC4])
        .expect("a table");
    let (head, rest) = bytes.split_at(at);
    let (scan, rest) = rest.split_at(2 + next);
    let repeated = |times| [head, &scan.repeat(times), rest].concat();
    assert!(
        Photo::encoded(&repeated(50))
            .fit(75, 93, Fit::Stretch, [0; 3])
            .is_ok()
    );
    let many = repeated(20_000);
    let start = Instant::now();
    let error = Photo::encoded(&many)
        .fit(75, 93, Fit::Stretch, [0; 3])
        .expect_err("refused");
    assert!(error.to_string().contains("scans"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// In postcard a structure is its fields one after the other, and a variant its number before them.
fn coded(value: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("coded")
}

/// Channels of the tensors of a [`plan`].
const CHANNELS: usize = 1 << 20;

/// `plan.bin` over a model: three tensors of bytes, of which the first is the input, and a row of as many scores; each of
/// them one pixel.
fn plan(model: &[u8], scores: usize, steps: &[Vec<u8>]) -> Vec<u8> {
    let (u8_type, bytes, floats) = (0_u32, 0_u32, 1_u32);
    let tensor = |kind: u32, channels: usize| {
        let whole = None::<(usize, usize)>;
        (kind, 1_usize, 1_usize, channels, whole)
    };
    let port = ("input", vec![1, CHANNELS], u8_type, 0_usize);
    let mut tensors = vec![tensor(bytes, CHANNELS); 3];
    tensors.push(tensor(floats, scores));
    let (output, inline) = (3_usize, Vec::<u8>::new());
    let head = [
        coded(&port),
        coded(&output),
        coded(&tensors),
        coded(&steps.len()),
    ]
    .concat();
    let body = [head, steps.concat(), coded(&inline)].concat();
    let version = 2_u32.to_le_bytes();
    let head = [
        &b"ETALPLAN"[..],
        &version,
        &Sha256::digest(model),
        &Sha256::digest(&body),
    ];
    [head.concat(), body].concat()
}

/// Multiply-adds of a factor each, one behind the other.
fn multiply_adds(steps: usize) -> Vec<u8> {
    let (affine, dequantize) = (4_u32, 12_u32);
    let mut all = Vec::new();
    let mut from = 0_usize;
    for _ in 0..steps {
        let to = if from == 1 { 2 } else { 1 };
        let factors = (vec![1.0_f32], vec![0.0_f32]);
        let step = coded(&("", vec![from], to, affine, 0_u8, factors));
        all.push([step, coded(&(0_u8, 0_u8, 255_u8))].concat());
        from = to;
    }
    all.push(coded(&("", vec![from], 3_usize, dequantize, 1.0_f32, 0_u8)));
    plan(b"", CHANNELS, &all)
}

#[test]
fn a_few_kilobytes_of_plan_take_no_gigabytes() {
    let open = |steps: usize| {
        let plan = multiply_adds(steps);
        assert!(plan.len() < 10_000);
        let sha256 = Sha256::digest(b"").into();
        Engine::from_plan(&plan, b"", &sha256, &EngineOptions::default())
    };
    assert!(open(2).expect("opens").is_some());
    // Eight megabytes of factors each.
    let error = open(200).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("memory"), "{error}");
}

/// Levels pack the weights of a few channels as those of many: of these one may take two gigabytes, and is not asked.
#[test]
fn weights_that_may_take_gigabytes_are_not_packed() {
    const WIDTH: usize = 12;
    let model = vec![127; WIDTH * CHANNELS * 2];
    let (conv, of_model, out_in) = (0_u32, 0_u32, 0_u32);
    let window = ((1_usize, WIDTH), (1_usize, 1_usize), (0_usize, WIDTH - 1));
    let weights = (of_model, 0_usize, out_in, vec![0_i32; 2], vec![1.0_f32; 2]);
    let (zero_point, levels) = (0_u8, None::<(u8, u8, u8)>);
    let step = (
        "",
        vec![0_usize],
        3_usize,
        conv,
        window,
        weights,
        zero_point,
        levels,
    );
    let plan = plan(&model, 2, &[coded(&step)]);
    let sha256 = Sha256::digest(&model).into();
    let start = Instant::now();
    let error = Engine::from_plan(&plan, &model, &sha256, &EngineOptions::default());
    let error = error.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("the weights"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
}
