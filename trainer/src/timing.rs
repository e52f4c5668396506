//! How long core takes for one photo with one thread: what a phone's user would wait for, on this machine.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use etalase::bundle::Bundle;
use etalase::{Classifier, EngineOptions, Tensor, TensorData};

use crate::report::Timing;

/// Runs that are timed, fewer where they take long, but never fewer than [`FEWEST`].
const RUNS: usize = 50;
const FEWEST: usize = 5;
const LONG: Duration = Duration::from_secs(3);

/// Times the network of a bundle on a photo of noise, after one run to warm up. The answer is checked while timing.
pub fn one_thread(bundle: Bundle) -> Result<Timing> {
    let options = EngineOptions {
        threads: 1,
        ..EngineOptions::default()
    };
    let classifier = Classifier::new(bundle, &options)?;
    let engine = classifier.engine();
    let shape = engine.input_shape().to_vec();
    let values: usize = shape.iter().product();
    let input = Tensor::new(shape, TensorData::U8(noise().take(values).collect()))?;
    let expected = engine.run(&input)?;
    let mut logits = vec![0.0; engine.classes()];
    let (begin, mut times) = (Instant::now(), Vec::new());
    while times.len() < RUNS && (times.len() < FEWEST || begin.elapsed() < LONG) {
        let start = Instant::now();
        engine.run_into(&input, &mut logits, None)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let mut pairs = logits.iter().zip(&expected);
        ensure!(
            pairs.all(|(a, b)| a.to_bits() == b.to_bits()),
            "two runs on one photo answered differently"
        );
    }
    times.sort_by(f64::total_cmp);
    Ok(Timing {
        median_ms: times[times.len() / 2],
        runs: times.len(),
        threads: options.threads,
        isa: engine.isa().to_owned(),
    })
}

/// The same bytes everywhere (Marsaglia's xorshift64): no photo that a network could find easy.
fn noise() -> impl Iterator<Item = u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    })
}
