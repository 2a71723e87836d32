//! Working memory: what a context holds, and that calls use it instead of allocating.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use palinode_kernels::recurrence::{Term, Update};
use palinode_kernels::reference::Shape;
use palinode_kernels::unit::{Gradients, Parameters, StateSlices, UnitKernel};
use palinode_kernels::{Activation, Algorithm, Context, Form, Precision};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::noise;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The allocations of a backward pass through a unit, on the thread that calls it.
fn allocations(context: &Context, algorithm: Algorithm, shape: Shape, blocks: usize) -> usize {
    let parameters = noise(2 * blocks * (shape.kernel_len() + shape.channels), 1, 0.01);
    let update =
        |j| Update::TwoStream { first: Term::new(0.1, 2 * j), second: Term::new(-0.1, 2 * j + 1) };
    let unit = UnitKernel {
        images: shape.batch,
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        form: Form::Symmetric,
        activation: Activation::Relu,
        algorithm,
        gradients: Precision::F32,
        grid: None,
        updates: &(0..blocks).map(update).collect::<Vec<_>>(),
        parameters: &Parameters::split(&parameters, shape.channels, false).unwrap(),
    };
    let [mut state, mut gradient] = [2, 3].map(|seed| noise(2 * shape.len(), seed, 1.0));
    let mut found = vec![0.0; parameters.len()];
    let gradients = Gradients::split(&mut found, shape.channels, false).unwrap();
    let (state, gradient) = (StateSlices::Joined(&mut state), StateSlices::Joined(&mut gradient));
    context.install(|| {
        let before = ALLOCATIONS.get();
        unit.backward(context, state, gradient, gradients).unwrap();
        ALLOCATIONS.get() - before
    })
}

#[test]
fn neither_residuals_nor_chunks_allocate() {
    for algorithm in Algorithm::ALL {
        let context = Context::builder().threads(1).build().unwrap();
        let shape = Shape { batch: 80, channels: 5, height: 32, width: 32 };
        allocations(&context, algorithm, shape, 2);
        let few = allocations(&context, algorithm, shape, 2);
        let more_residuals = allocations(&context, algorithm, shape, 9);
        assert_eq!(more_residuals, few, "{algorithm}: per residual");
        let more_chunks = allocations(&context, algorithm, Shape { batch: 160, ..shape }, 2);
        assert_eq!(more_chunks, few, "{algorithm}: per chunk");
        assert!(few < 30, "{algorithm}: {few} allocations");
    }
}

#[test]
fn working_memory_is_used_again_and_can_be_released() {
    let context = Context::builder().threads(2).build().unwrap();
    assert_eq!(context.scratch_bytes(), 0);
    let large = Shape { batch: 8, channels: 32, height: 16, width: 16 };
    allocations(&context, Algorithm::Winograd4, large, 2);
    let held = context.scratch_bytes();
    assert!(held > 0);
    // Smaller shapes are served from what is held, in any order.
    for _ in 0..3 {
        for (channels, size) in [(3, 8), (16, 20), (32, 16), (20, 4)] {
            let shape = Shape { batch: 8, channels, height: size, width: size };
            allocations(&context, Algorithm::Winograd4, shape, 2);
            assert_eq!(context.scratch_bytes(), held, "{shape:?}");
        }
    }
    context.clone().release_scratch();
    assert_eq!(context.scratch_bytes(), 0);
}
