//! Heat that spreads through a plate: a stencil on shared memory in place, with a barrier between the steps.
//!
//! Each process has a band of rows, lent to it as a `&mut` slice of one `SharedBuffer`; nothing is copied. What it needs of
//! its neighbours, the row beside its own, they put where it can read it; the barrier keeps all of them in step.
//!
//! Run with `cargo run --release --example barrier_stencil [PICTURE.png]`.

use std::fs::File;
use std::io::BufWriter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

const WIDTH: usize = 256;
const HEIGHT: usize = 256;
const BANDS: usize = 4;
const STEPS: usize = 2000;
/// How much of the difference to its neighbours a point takes over per step.
const SPREAD: f64 = 0.2;

/// What the bands show each other: their first and last rows, as the bits of `f64`.
#[derive(Clone, Serialize, Deserialize)]
struct Borders {
    rows: RawArray<AtomicU64>,
    step: Barrier,
}

impl Borders {
    fn show(&self, row: usize, values: &[f64]) {
        for (shared, value) in self.rows[row * WIDTH..].iter().zip(values) {
            shared.store(value.to_bits(), Relaxed);
        }
    }

    fn see(&self, row: usize) -> Vec<f64> {
        self.rows[row * WIDTH..][..WIDTH]
            .iter()
            .map(|value| f64::from_bits(value.load(Relaxed)))
            .collect()
    }
}

/// Runs all steps on one band. The edge of the plate keeps its heat.
#[pool_task]
fn heat(band: &mut [f64], number: usize, borders: Borders) -> Result<(), Error> {
    let last = band.len() - WIDTH;
    for _ in 0..STEPS {
        borders.show(2 * number, &band[..WIDTH]);
        borders.show(2 * number + 1, &band[last..]);
        borders.step.wait()?;
        let above = (number > 0).then(|| borders.see(2 * number - 1));
        let below = (number + 1 < BANDS).then(|| borders.see(2 * number + 2));
        borders.step.wait()?;
        advance(band, above, below);
    }
    Ok(())
}

/// One step, in place: of what it overwrites it keeps a row.
fn advance(band: &mut [f64], above: Option<Vec<f64>>, below: Option<Vec<f64>>) {
    let rows = band.len() / WIDTH;
    let mut before = above.clone().unwrap_or_default();
    for row in 0..rows {
        let here = band[row * WIDTH..][..WIDTH].to_vec();
        let after = if row + 1 < rows {
            Some(&band[(row + 1) * WIDTH..][..WIDTH])
        } else {
            below.as_deref()
        };
        if let (Some(after), true) = (after.map(<[f64]>::to_vec), row > 0 || above.is_some()) {
            for x in 1..WIDTH - 1 {
                let around = before[x] + after[x] + here[x - 1] + here[x + 1];
                band[row * WIDTH + x] = here[x] + SPREAD * (around - 4.0 * here[x]);
            }
        }
        before = here;
    }
}

/// A plate that is cold, with a hot edge on the left and a hot spot within.
fn plate() -> Result<SharedBuffer<f64>, Error> {
    let mut plate = SharedBuffer::zeroed(WIDTH * HEIGHT)?;
    for y in 0..HEIGHT {
        plate[y * WIDTH] = 1.0;
        for x in 0..WIDTH {
            if (x as f64 - 170.0).hypot(y as f64 - 90.0) < 30.0 {
                plate[y * WIDTH + x] = 1.0;
            }
        }
    }
    Ok(plate)
}

fn picture(path: &str, plate: &[f64]) -> Result<(), Box<dyn std::error::Error>> {
    let mut encoder =
        png::Encoder::new(BufWriter::new(File::create(path)?), WIDTH as u32, HEIGHT as u32);
    encoder.set_color(png::ColorType::Rgb);
    let shade = |from: f64, heat: f64| (((heat - from) * 3.0).clamp(0.0, 1.0) * 255.0) as u8;
    let pixels = plate
        .iter()
        .flat_map(|&heat| [shade(0.0, heat), shade(1.0 / 3.0, heat), shade(2.0 / 3.0, heat)]);
    encoder.write_header()?.write_image_data(&pixels.collect::<Vec<_>>())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "heat.png".into());
    let mut plate = plate()?;
    let borders =
        Borders { rows: RawArray::zeroed(2 * BANDS * WIDTH)?, step: Barrier::new(BANDS)? };
    let before: f64 = plate.iter().sum();

    let bands = plate.split_mut(BANDS).into_iter().enumerate();
    let calls = bands.map(|(number, band)| (band, number, borders.clone()));
    // All bands at once: each waits for the others at the barrier.
    let done = par_starmap!(heat, calls; pool = Pool::new(BANDS)?, chunk_size = 1)?;
    done.into_iter().collect::<Result<(), _>>()?;

    picture(&path, &plate)?;
    println!(
        "{STEPS} steps: heat {before:.1} before, {:.1} after; drawn in {path}",
        plate.iter().sum::<f64>()
    );
    Ok(())
}
