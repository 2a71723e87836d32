//! 2×2 average pools, with output channels that are chosen from those of the input or zero.

use crate::context::Context;
use crate::error::Error;
use rayon::prelude::*;

/// A transition between units: y\[n\]\[o\] is the 2×2 average pool of x\[n\]\[sources\[o\]\], or zero if there is no
/// source. An odd last row or column is dropped.
///
/// | | |
/// |---|---|
/// | x | `[images, channels, height, width]`, row-major |
/// | y | `[images, sources.len(), height/2, width/2]`, row-major |
/// | [`forward`](Self::forward) | y from x |
/// | [`backward`](Self::backward) | the gradient with respect to x, from the gradient with respect to y |
///
/// The same input gives the same bits for any number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// Images n.
    pub images: usize,
    /// Channels of x.
    pub channels: usize,
    /// Rows and columns of x.
    pub size: [usize; 2],
    /// For every channel of y, the channel of x that it comes from. None may occur twice.
    pub sources: &'a [Option<usize>],
}

impl Pool<'_> {
    /// Sets `y` to the pools of `x`.
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape, [`Error::MissingChannel`] or
    /// [`Error::RepeatedChannel`] if the sources are wrong.
    pub fn forward(&self, context: &Context, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        self.check(x.len(), y.len())?;
        context.install(|| self.forward_checked(x, y));
        Ok(())
    }

    fn forward_checked(&self, x: &[f32], y: &mut [f32]) {
        let [rows, columns] = self.output_size();
        let width = self.size[1];
        let images = y.par_chunks_mut((self.sources.len() * rows * columns).max(1));
        images.zip(x.par_chunks(self.image_len().max(1))).for_each(|(y, x)| {
            let maps = y.chunks_mut((rows * columns).max(1)).zip(self.sources);
            for (y, source) in maps {
                let Some(source) = *source else {
                    y.fill(0.0);
                    continue;
                };
                let x = &x[source * self.area()..(source + 1) * self.area()];
                let pairs = x.chunks_exact(2 * width.max(1));
                for (y, pair) in y.chunks_mut(columns.max(1)).zip(pairs) {
                    let (above, below) = pair.split_at(width);
                    let squares = above.chunks_exact(2).zip(below.chunks_exact(2));
                    for (y, (a, b)) in y.iter_mut().zip(squares) {
                        *y = 0.25 * ((a[0] + a[1]) + (b[0] + b[1]));
                    }
                }
            }
        });
    }

    /// Sets `x` to the gradient with respect to the input, from the one with respect to the output.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(&self, context: &Context, y: &[f32], x: &mut [f32]) -> Result<(), Error> {
        self.check(x.len(), y.len())?;
        context.install(|| self.backward_checked(y, x));
        Ok(())
    }

    fn backward_checked(&self, y: &[f32], x: &mut [f32]) {
        let [rows, columns] = self.output_size();
        let width = self.size[1];
        let area = rows * columns;
        if area == 0 {
            x.fill(0.0);
            return;
        }
        let images = x.par_chunks_mut(self.image_len().max(1));
        images.zip(y.par_chunks((self.sources.len() * area).max(1))).for_each(|(x, y)| {
            x.fill(0.0);
            for (index, source) in self.sources.iter().enumerate() {
                let Some(source) = *source else { continue };
                let y = &y[index * area..(index + 1) * area];
                let x = &mut x[source * self.area()..(source + 1) * self.area()];
                let pairs = x.chunks_exact_mut(2 * width.max(1));
                for (y, pair) in y.chunks(columns.max(1)).zip(pairs) {
                    let (above, below) = pair.split_at_mut(width);
                    let squares = above.chunks_exact_mut(2).zip(below.chunks_exact_mut(2));
                    for (y, (a, b)) in y.iter().zip(squares) {
                        a.fill(0.25 * y);
                        b.fill(0.25 * y);
                    }
                }
            }
        });
    }

    fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn image_len(&self) -> usize {
        self.channels * self.area()
    }

    /// Rows and columns of y.
    pub fn output_size(&self) -> [usize; 2] {
        self.size.map(|extent| extent / 2)
    }

    fn check(&self, x: usize, y: usize) -> Result<(), Error> {
        let [rows, columns] = self.output_size();
        Error::check_len("the input x of a pool", self.images * self.image_len(), x)?;
        let expected = self.images * self.sources.len() * rows * columns;
        Error::check_len("the output y of a pool", expected, y)?;
        let mut taken = vec![false; self.channels];
        for &source_channel in self.sources.iter().flatten() {
            match taken.get_mut(source_channel) {
                None => {
                    let channels = self.channels;
                    return Err(Error::MissingChannel { source_channel, channels });
                }
                Some(true) => return Err(Error::RepeatedChannel { source_channel }),
                Some(taken) => *taken = true,
            }
        }
        Ok(())
    }
}
