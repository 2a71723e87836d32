//! Processors without such products: there is no [`Bf16`], so nothing here can run.

use crate::scratch::Arena;
use crate::token::Bf16;
use crate::winograd::gemm::Side;
use crate::winograd::tile::Points;
use crate::winograd::weights::{Way, Weights};
use std::marker::PhantomData;

pub(crate) struct Rounded<'m> {
    bf16: Bf16,
    memory: PhantomData<&'m ()>,
}

impl<'m> Rounded<'m> {
    pub fn new(_: &mut Arena<'m>, bf16: Bf16, _: Points) -> Self {
        Self { bf16, memory: PhantomData }
    }

    pub fn set(&mut self, _: &Weights<'_>, _: Points) {
        match self.bf16 {}
    }

    pub fn multiply(&mut self, _: Points, _: usize, _: Side<'_>, _: Way) {
        match self.bf16 {}
    }

    pub fn add_outer<const P: usize>(
        &mut self,
        _: Points,
        _: usize,
        _: [(&[f32], &[f32]); P],
        _: &mut [f32],
    ) {
        match self.bf16 {}
    }
}
