//! F(x) = Kᵀσ(Kx + b) and its vector–Jacobian product on a micro-batch of padded images.

// The transposes between two one-dimensional transforms index by row and column.
#![allow(clippy::needless_range_loop)]

use super::gemm::{Product, load, store};
use super::weights::kernel_gradient;
use super::{Geometry, POINTS, Weights, transform};
use crate::aligned::Aligned;
use pulp::Simd;
use std::ops::Range;

/// Tiles that are worked on at a time; a multiple of 8.
fn strip_tiles(geometry: &Geometry) -> usize {
    match geometry.depth {
        0..=32 => 32,
        _ => 16,
    }
}

/// Memory of one thread for one residual, used again for every strip.
pub(crate) struct Workspace {
    /// Tiles of a strip.
    tiles: usize,
    /// Floats from one point to the next: one vector more than a strip needs, since a power of two
    /// would put all points into the same sets of the cache.
    stride: usize,
    /// BᵀxB.
    x: Aligned,
    /// UᵀV of x, then A·σ·Aᵀ in its place.
    hidden: Aligned,
    /// BᵀgB of the cotangent.
    cotangent: Aligned,
    /// UᵀV of the cotangent, then AδAᵀ in its place.
    delta: Aligned,
    /// A product on its way back to pixels.
    back: Aligned,
    /// Σ over strips of the kernel's gradient in the transform domain.
    kernel_points: Aligned,
    /// Σ of δ per channel.
    bias: Aligned,
}

impl Workspace {
    /// For values alone, or for gradients too.
    pub fn new(geometry: &Geometry, gradients: bool) -> Self {
        let tiles = strip_tiles(geometry);
        let stride = tiles * geometry.depth + 16;
        let strip = || Aligned::zeros(POINTS * stride);
        let for_gradients = |len: usize| Aligned::zeros(if gradients { len } else { 0 });
        Self {
            tiles,
            stride,
            x: strip(),
            hidden: strip(),
            cotangent: for_gradients(POINTS * stride),
            delta: for_gradients(POINTS * stride),
            back: for_gradients(POINTS * stride),
            kernel_points: for_gradients(POINTS * geometry.depth * geometry.depth),
            bias: for_gradients(geometry.depth),
        }
    }
}

/// Adds F(x) into `into`; both are `images` padded images, `x` with zero padding.
#[inline(always)]
pub(crate) fn value<S: Simd>(
    simd: S,
    geometry: &Geometry,
    weights: &Weights,
    workspace: &mut Workspace,
    images: usize,
    x: &[f32],
    into: &mut [f32],
) {
    let w = workspace;
    for strip in strips(images * geometry.tiles(), w.tiles) {
        gather(simd, geometry, strip.clone(), x, &mut w.x, w.stride);
        let rows = strip.len().next_multiple_of(8);
        products(simd, geometry, rows, w.stride, &w.x, &weights.forward, &mut w.hidden);
        activate(simd, geometry, strip.clone(), weights, &mut w.hidden, w.stride);
        products(simd, geometry, rows, w.stride, &w.hidden, &weights.adjoint, &mut w.x);
        scatter(simd, geometry, strip, &w.x, w.stride, into);
    }
}

/// What [`pull_back`] adds to.
pub(crate) struct Pulled<'a> {
    /// F(x), padded images.
    pub value: &'a mut [f32],
    /// Jᵀv, padded images.
    pub pulled: &'a mut [f32],
    /// Set to the kernel's gradient `[c, c, 3, 3]`.
    pub kernel: &'a mut [f32],
    /// Set to the bias' gradient `[c]`.
    pub bias: &'a mut [f32],
}

/// F(x), Jᵀv and the parameters' gradients of ⟨v, F(x)⟩, with one evaluation of F.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // one call, from one place
pub(crate) fn pull_back<S: Simd>(
    simd: S,
    geometry: &Geometry,
    weights: &Weights,
    workspace: &mut Workspace,
    images: usize,
    x: &[f32],
    cotangent: &[f32],
    out: Pulled<'_>,
) {
    let w = workspace;
    w.kernel_points.fill(0.0);
    w.bias.fill(0.0);
    let (depth, plane) = (geometry.depth, geometry.depth * geometry.depth);
    for strip in strips(images * geometry.tiles(), w.tiles) {
        let rows = strip.len().next_multiple_of(8);
        gather(simd, geometry, strip.clone(), x, &mut w.x, w.stride);
        gather(simd, geometry, strip.clone(), cotangent, &mut w.cotangent, w.stride);
        products(simd, geometry, rows, w.stride, &w.x, &weights.forward, &mut w.hidden);
        products(simd, geometry, rows, w.stride, &w.cotangent, &weights.forward, &mut w.delta);
        activate_both(
            simd,
            geometry,
            strip.clone(),
            weights,
            (&mut w.hidden, &mut w.delta, &mut w.bias),
            w.stride,
        );
        products(simd, geometry, rows, w.stride, &w.hidden, &weights.adjoint, &mut w.back);
        scatter(simd, geometry, strip.clone(), &w.back, w.stride, out.value);
        products(simd, geometry, rows, w.stride, &w.delta, &weights.adjoint, &mut w.back);
        scatter(simd, geometry, strip.clone(), &w.back, w.stride, out.pulled);
        // dU += V_x ⊗ D̂ + V_v ⊗ Â; rows beyond the strip are left out.
        for point in 0..POINTS {
            let at = point * w.stride;
            let sums = &mut w.kernel_points[point * plane..(point + 1) * plane];
            let product = Product {
                rows: depth,
                columns: depth,
                terms: strip.len(),
                a_row: 1,
                a_term: depth,
                accumulate: true,
            };
            product.run(simd, &w.x[at..], &w.delta[at..], sums);
            product.run(simd, &w.cotangent[at..], &w.hidden[at..], sums);
        }
    }
    kernel_gradient(geometry, &w.kernel_points, out.kernel);
    out.bias.copy_from_slice(&w.bias[..geometry.channels]);
}

fn strips(tiles: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..tiles).step_by(length).map(move |start| start..(start + length).min(tiles))
}

/// At every point: `rows` tiles of `a` times the point's matrix.
#[inline(always)]
fn products<S: Simd>(
    simd: S,
    geometry: &Geometry,
    rows: usize,
    stride: usize,
    a: &[f32],
    matrices: &[f32],
    out: &mut [f32],
) {
    let depth = geometry.depth;
    let plane = depth * depth;
    for point in 0..POINTS {
        let product = Product {
            rows,
            columns: depth,
            terms: depth,
            a_row: depth,
            a_term: 1,
            accumulate: false,
        };
        let at = point * stride;
        product.run(simd, &a[at..], &matrices[point * plane..], &mut out[at..]);
    }
}

/// BᵀdB of every tile of a strip.
#[inline(always)]
fn gather<S: Simd>(
    simd: S,
    geometry: &Geometry,
    strip: Range<usize>,
    x: &[f32],
    points: &mut [f32],
    stride: usize,
) {
    let depth = geometry.depth;
    let row_stride = geometry.row_stride();
    for (tile, patch) in strip.map(|tile| geometry.patch(tile)).enumerate() {
        let x = &x[patch..patch + 5 * row_stride + 6 * depth];
        let points = &mut points[tile * depth..35 * stride + (tile + 1) * depth];
        for channel in (0..depth).step_by(S::F32_LANES) {
            let mut half = [[simd.splat_f32s(0.0); 6]; 6];
            for column in 0..6 {
                let mut d = [simd.splat_f32s(0.0); 6];
                for (row, d) in d.iter_mut().enumerate() {
                    // SAFETY: row·row_stride + column·depth + channel + lanes ≤ x.len().
                    *d = unsafe {
                        load::<S>(x.as_ptr().add(row * row_stride + column * depth + channel))
                    };
                }
                let transformed = transform::input(simd, d);
                for row in 0..6 {
                    half[row][column] = transformed[row];
                }
            }
            for (row, half) in half.into_iter().enumerate() {
                for (column, value) in transform::input(simd, half).into_iter().enumerate() {
                    let at = (row * 6 + column) * stride + channel;
                    // SAFETY: at most 35·stride + channel + lanes ≤ points.len().
                    unsafe { store::<S>(points.as_mut_ptr().add(at), value) };
                }
            }
        }
    }
}

/// Adds BnBᵀ of every tile of a strip into the patches they came from.
#[inline(always)]
fn scatter<S: Simd>(
    simd: S,
    geometry: &Geometry,
    strip: Range<usize>,
    points: &[f32],
    stride: usize,
    into: &mut [f32],
) {
    let depth = geometry.depth;
    let row_stride = geometry.row_stride();
    for (tile, patch) in strip.map(|tile| geometry.patch(tile)).enumerate() {
        let into = &mut into[patch..patch + 5 * row_stride + 6 * depth];
        let points = &points[tile * depth..35 * stride + (tile + 1) * depth];
        for channel in (0..depth).step_by(S::F32_LANES) {
            let mut half = [[simd.splat_f32s(0.0); 6]; 6];
            for (row, half) in half.iter_mut().enumerate() {
                let mut n = [simd.splat_f32s(0.0); 6];
                for (column, n) in n.iter_mut().enumerate() {
                    let at = (row * 6 + column) * stride + channel;
                    // SAFETY: at most 35·stride + channel + lanes ≤ points.len().
                    *n = unsafe { load::<S>(points.as_ptr().add(at)) };
                }
                *half = transform::input_adjoint(simd, n);
            }
            for column in 0..6 {
                let n = std::array::from_fn(|row| half[row][column]);
                for (row, value) in transform::input_adjoint(simd, n).into_iter().enumerate() {
                    // SAFETY: row·row_stride + column·depth + channel + lanes ≤ into.len().
                    unsafe {
                        let at = into.as_mut_ptr().add(row * row_stride + column * depth + channel);
                        store::<S>(at, simd.add_f32s(load::<S>(at), value));
                    }
                }
            }
        }
    }
}

/// Aᵀ·m·A of one tile and vector of channels.
#[inline(always)]
fn to_pixels<S: Simd>(simd: S, points: &[f32], at: usize, stride: usize) -> [[S::f32s; 4]; 4] {
    assert!(points.len() >= 35 * stride + at + S::F32_LANES);
    let mut half = [[simd.splat_f32s(0.0); 4]; 6];
    for (row, half) in half.iter_mut().enumerate() {
        let mut m = [simd.splat_f32s(0.0); 6];
        for (column, m) in m.iter_mut().enumerate() {
            // SAFETY: the assertion above.
            *m = unsafe { load::<S>(points.as_ptr().add((row * 6 + column) * stride + at)) };
        }
        *half = transform::output(simd, m);
    }
    let mut pixels = [[simd.splat_f32s(0.0); 4]; 4];
    for column in 0..4 {
        let m = std::array::from_fn(|row| half[row][column]);
        for (row, value) in transform::output(simd, m).into_iter().enumerate() {
            pixels[row][column] = value;
        }
    }
    pixels
}

/// A·pixels·Aᵀ in the place of one tile and vector of channels.
#[inline(always)]
fn to_points<S: Simd>(
    simd: S,
    pixels: [[S::f32s; 4]; 4],
    points: &mut [f32],
    at: usize,
    stride: usize,
) {
    assert!(points.len() >= 35 * stride + at + S::F32_LANES);
    let half = pixels.map(|row| transform::output_adjoint(simd, row));
    for column in 0..6 {
        let y = std::array::from_fn(|row| half[row][column]);
        for (row, value) in transform::output_adjoint(simd, y).into_iter().enumerate() {
            // SAFETY: the assertion above.
            unsafe { store::<S>(points.as_mut_ptr().add((row * 6 + column) * stride + at), value) };
        }
    }
}

/// σ(Aᵀ·m·A + b) in the transform domain again; pixels outside the image become zero.
#[inline(always)]
fn activate<S: Simd>(
    simd: S,
    geometry: &Geometry,
    strip: Range<usize>,
    weights: &Weights,
    points: &mut [f32],
    stride: usize,
) {
    let zero = simd.splat_f32s(0.0);
    for (index, tile) in strip.enumerate() {
        let (rows, columns) = geometry.inside(tile);
        for channel in (0..geometry.depth).step_by(S::F32_LANES) {
            // SAFETY: channel + lanes ≤ depth = bias.len().
            let bias = unsafe { load::<S>(weights.bias.as_ptr().add(channel)) };
            let at = index * geometry.depth + channel;
            let mut pixels = to_pixels(simd, points, at, stride);
            for (row, pixels) in pixels.iter_mut().enumerate() {
                for (column, pixel) in pixels.iter_mut().enumerate() {
                    let inside = row < rows && column < columns;
                    let hidden = simd.max_f32s(simd.add_f32s(*pixel, bias), zero);
                    *pixel = if inside { hidden } else { zero };
                }
            }
            to_points(simd, pixels, points, at, stride);
        }
    }
}

/// [`activate`] of `hidden`, and δ = σ′(pre) ⊙ (Aᵀ·delta·A) in the place of `delta`, its sums added
/// to `bias`.
#[inline(always)]
fn activate_both<S: Simd>(
    simd: S,
    geometry: &Geometry,
    strip: Range<usize>,
    weights: &Weights,
    (hidden, delta, bias_sums): (&mut [f32], &mut [f32], &mut [f32]),
    stride: usize,
) {
    let zero = simd.splat_f32s(0.0);
    for (index, tile) in strip.enumerate() {
        let (rows, columns) = geometry.inside(tile);
        for channel in (0..geometry.depth).step_by(S::F32_LANES) {
            assert!(bias_sums.len() >= channel + S::F32_LANES);
            // SAFETY: channel + lanes ≤ depth = bias.len().
            let bias = unsafe { load::<S>(weights.bias.as_ptr().add(channel)) };
            let at = index * geometry.depth + channel;
            let mut pixels = to_pixels(simd, hidden, at, stride);
            let mut slopes = to_pixels(simd, delta, at, stride);
            let mut sum = zero;
            for row in 0..4 {
                for column in 0..4 {
                    let inside = row < rows && column < columns;
                    let pre = simd.add_f32s(pixels[row][column], bias);
                    let positive = simd.greater_than_f32s(pre, zero);
                    let slope = simd.select_f32s(positive, slopes[row][column], zero);
                    pixels[row][column] = if inside { simd.max_f32s(pre, zero) } else { zero };
                    slopes[row][column] = if inside { slope } else { zero };
                    sum = simd.add_f32s(sum, slopes[row][column]);
                }
            }
            to_points(simd, pixels, hidden, at, stride);
            to_points(simd, slopes, delta, at, stride);
            // SAFETY: the assertion above.
            unsafe {
                let sums = bias_sums.as_mut_ptr().add(channel);
                store::<S>(sums, simd.add_f32s(load::<S>(sums), sum));
            }
        }
    }
}
