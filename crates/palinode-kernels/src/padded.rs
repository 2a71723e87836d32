//! States in padded images, channels last, while a chunk is on its way.

use crate::aligned::Aligned;
use crate::geometry::Geometry;
use crate::layout::{Load, Store};
use crate::output::overwritten;
use crate::state::State;
use bytemuck::{Pod, cast_slice, cast_slice_mut};
use pulp::Simd;

/// Padded images with zero borders, for both parts of a state or of the gradient with respect to one.
pub(crate) struct Padded<N> {
    geometry: Geometry,
    /// Those that are not in use.
    spare: Vec<Aligned<N>>,
}

impl<N: Pod> Padded<N> {
    /// For up to `images` images.
    pub fn new(geometry: Geometry, images: usize) -> Self {
        let image = || Aligned::zeros(images * geometry.image_len());
        Self { geometry, spare: vec![image(), image()] }
    }

    /// Padded copies of a state's parts; to be [given](Self::give) back.
    #[inline(always)]
    pub fn take<S: Simd>(&mut self, simd: S, state: &State<'_, N>) -> [Aligned<N>; 2] {
        let layout = self.geometry.layout();
        let (parts, stride) = state.parts(layout.plain_image());
        parts.map(|plain| {
            let mut padded = self.spare.pop().unwrap_or_default();
            // (Copies move 32 bits, whatever they mean.)
            let (plain, into) = (cast_slice(plain), cast_slice_mut(&mut padded));
            simd.vectorize(Load { layout, plain, stride, padded: into });
            padded
        })
    }

    /// Writes padded images back into a state.
    #[inline(always)]
    pub fn give<S: Simd>(&mut self, simd: S, parts: [Aligned<N>; 2], state: &mut State<'_, N>) {
        let layout = self.geometry.layout();
        for (part, padded) in parts.into_iter().enumerate() {
            let (plain, stride) = state.part_mut(part, layout.plain_image());
            let plain = overwritten(cast_slice_mut(plain));
            simd.vectorize(Store { layout, padded: cast_slice(&padded), plain, stride });
            self.spare.push(padded);
        }
    }
}
