//! A picture of the Mandelbrot set, row by row: rows cost very different times, and the pool evens them out.
//!
//! `cargo run --release --example mandelbrot -- OUT.png`

use std::fs::File;
use std::io::BufWriter;

use pool_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct View {
    width: u32,
    height: u32,
    centre: (f64, f64),
    pixel: f64,
}

#[pool_task]
impl View {
    #[pool_task]
    fn row(&self, y: u32) -> Vec<u8> {
        let im = self.centre.1 + (f64::from(y) - f64::from(self.height) / 2.0) * self.pixel;
        let re = |x: u32| self.centre.0 + (f64::from(x) - f64::from(self.width) / 2.0) * self.pixel;
        (0..self.width).flat_map(|x| colour(escape(re(x), im))).collect()
    }
}

/// After how many steps `z * z + c` leaves the circle, with what is left over; `None` if it stays.
fn escape(re: f64, im: f64) -> Option<f64> {
    let (mut x, mut y) = (0.0, 0.0);
    (0..2000).find_map(|step: u32| {
        (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
        let norm = x * x + y * y;
        (norm > 1e6).then(|| f64::from(step) + 1.0 - (norm.ln() / 2.0).log2())
    })
}

fn colour(steps: Option<f64>) -> [u8; 3] {
    let Some(steps) = steps else { return [0, 0, 0] };
    let t = (steps.max(0.0) + 1.0).ln();
    [0.0, 0.6, 1.2].map(|phase| ((1.0 - (3.0 * t + phase).cos()) * 127.5) as u8)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args_os().nth(1).ok_or("which file to write?")?;
    let view = View { width: 1920, height: 1280, centre: (-0.65, 0.0), pixel: 0.0016 };
    let rows = par_map!(view.row, 0..view.height; progress = "rows")?;
    let mut png = png::Encoder::new(BufWriter::new(File::create(out)?), view.width, view.height);
    png.set_color(png::ColorType::Rgb);
    png.write_header()?.write_image_data(&rows.concat())?;
    Ok(())
}
