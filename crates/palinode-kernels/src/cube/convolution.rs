//! The gradient of a convolution with respect to its weights.

use super::buffer::exactly;
use super::sum::{PARTIAL_BYTES, sum_slots};
use crate::convolution::ConvolutionKernel;
use crate::error::Error;
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;
use cubecl::{self};

/// Images are shared out to so many slots. Fixed, as the bits of the gradient depend on it.
const SLOTS: usize = 128;

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Compiled {
    /// Outputs that a thread computes together: 4, 2 or 1.
    lanes: usize,
    /// Inputs and outputs of one group.
    group_inputs: usize,
    group_outputs: usize,
    inputs: usize,
    outputs: usize,
    size: [usize; 2],
    output_size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    /// Slots that share the rows of the same images.
    shares: usize,
}

impl Compiled {
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Parts of the gradient: `lanes` outputs, one input and all taps each.
    fn parts(&self) -> usize {
        self.outputs / self.lanes * self.group_inputs
    }

    fn weights(&self) -> usize {
        self.outputs * self.group_inputs * self.taps()
    }
}

/// The gradient of ⟨Kx, d⟩ with respect to the weights `[outputs, inputs/groups, kh, kw]` of K, in f32, for x
/// `[images, inputs, h, w]` and d `[images, outputs, h′, w′]`.
///
/// Every slot sums over its images; the sums of all slots are added in their order.
///
/// # Errors
/// [`Error::Length`] if a buffer has another length, and as [`ConvolutionKernel::output_size`].
pub fn weight_gradient(
    client: &Client,
    convolution: &ConvolutionKernel,
    [x, d, into]: [&Handle; 3],
) -> Result<(), Error> {
    let ConvolutionKernel {
        images, inputs, outputs, size, kernel, stride, padding, groups, ..
    } = *convolution;
    let output_size = convolution.output_size()?;
    let (group_inputs, group_outputs) = (inputs / groups, outputs / groups);
    let lanes = [4, 2].into_iter().find(|lanes| group_outputs.is_multiple_of(*lanes));
    let mut compiled = Compiled {
        lanes: lanes.unwrap_or(1),
        group_inputs,
        group_outputs,
        inputs,
        outputs,
        size,
        output_size,
        kernel,
        stride,
        padding,
        shares: 1,
    };
    while compiled.parts() * compiled.shares < 256 && 2 * compiled.shares <= output_size[0].min(16)
    {
        compiled.shares *= 2;
    }
    let weights = compiled.weights();
    let most = (PARTIAL_BYTES / (4 * weights * compiled.shares)).max(1);
    let slots = images.clamp(1, SLOTS.min(most)) * compiled.shares;
    let partial = client.empty(4 * slots * weights);
    let threads = compiled.parts().next_multiple_of(32).min(256);
    gradient_kernel::launch(
        client,
        CubeCount::Static(compiled.parts().div_ceil(threads) as u32, slots as u32, 1),
        CubeDim::new_1d(threads as u32),
        exactly("x", x, images * inputs * size[0] * size[1])?,
        exactly("d", d, images * outputs * output_size[0] * output_size[1])?,
        exactly("partial", &partial, slots * weights)?,
        images as u32,
        compiled,
    );
    sum_slots(client, &partial, into, [slots, weights], 0)
}

/// The sums of one part over the images and rows of one slot.
#[cube(launch)]
fn gradient_kernel(
    x: &[f32],
    d: &[f32],
    partial: &mut [f32],
    images: u32,
    #[comptime] shape: Compiled,
) {
    let part = ABSOLUTE_POS_X as usize;
    if part >= comptime!(shape.parts()) {
        terminate!();
    }
    let slot = CUBE_POS_Y as usize;
    let (first_image, share) = (slot / shape.shares, slot % shape.shares);
    let step = CUBE_COUNT_Y as usize / shape.shares;
    let input = part % shape.group_inputs;
    let output = part / shape.group_inputs * shape.lanes;
    let channel = output / shape.group_outputs * shape.group_inputs + input;
    let rows = comptime!(shape.output_size[0].div_ceil(shape.shares));
    let from = share * rows;
    let to = min(from + rows, comptime!(shape.output_size[0]));
    let area = comptime!(shape.size[0] * shape.size[1]);
    let output_area = comptime!(shape.output_size[0] * shape.output_size[1]);

    let mut sums = Array::<f32>::new(comptime!(shape.lanes * shape.taps()));
    #[unroll]
    for number in 0..comptime!(shape.lanes * shape.taps()) {
        sums[number] = 0.0;
    }
    let mut image = first_image;
    while image < images as usize {
        let plane = (image * shape.inputs + channel) * area;
        let own = (image * shape.outputs + output) * output_area;
        for row in from..to {
            for column in 0..comptime!(shape.output_size[1]) {
                let mut values = Array::<f32>::new(shape.lanes);
                #[unroll]
                for lane in 0..shape.lanes {
                    values[lane] = d[own
                        + comptime!(lane * output_area)
                        + row * comptime!(shape.output_size[1])
                        + column];
                }
                #[unroll]
                for down in 0..comptime!(shape.kernel[0]) {
                    // The padding is taken off at the end, as indices are not negative.
                    let y = row * comptime!(shape.stride[0]) + down;
                    if y >= comptime!(shape.padding[0])
                        && y < comptime!(shape.size[0] + shape.padding[0])
                    {
                        #[unroll]
                        for right in 0..comptime!(shape.kernel[1]) {
                            let z = column * comptime!(shape.stride[1]) + right;
                            if z >= comptime!(shape.padding[1])
                                && z < comptime!(shape.size[1] + shape.padding[1])
                            {
                                let place = (y - comptime!(shape.padding[0]))
                                    * comptime!(shape.size[1])
                                    + (z - comptime!(shape.padding[1]));
                                let pixel = x[plane + place];
                                let tap = comptime!(down * shape.kernel[1] + right);
                                #[unroll]
                                for lane in 0..shape.lanes {
                                    let number = comptime!(lane * shape.taps() + tap);
                                    sums[number] = fma(values[lane], pixel, sums[number]);
                                }
                            }
                        }
                    }
                }
            }
        }
        image += step;
    }
    let first = slot * comptime!(shape.weights());
    #[unroll]
    for lane in 0..shape.lanes {
        let kernel = ((output + lane) * shape.group_inputs + input) * comptime!(shape.taps());
        #[unroll]
        for tap in 0..comptime!(shape.taps()) {
            partial[first + kernel + tap] = sums[comptime!(lane * shape.taps() + tap)];
        }
    }
}
