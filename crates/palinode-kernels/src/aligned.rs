//! Buffers of numbers on cache-line boundaries.

use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// A buffer of numbers of 32 bits that begins on a 64-byte boundary.
#[derive(Clone)]
pub(crate) struct Aligned<N = f32> {
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<N>,
}

impl<N> Aligned<N> {
    pub(crate) fn zeros(len: usize) -> Self {
        Self { lines: vec![Line::zeroed(); len.div_ceil(16)], len, numbers: PhantomData }
    }
}

impl<N> Default for Aligned<N> {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl<N: Pod> Deref for Aligned<N> {
    type Target = [N];

    fn deref(&self) -> &[N] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl<N: Pod> DerefMut for Aligned<N> {
    fn deref_mut(&mut self) -> &mut [N] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}
