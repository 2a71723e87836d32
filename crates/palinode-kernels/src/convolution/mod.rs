//! Plain 2-D convolutions: value, input gradient, weight and bias gradient.
//!
//! The sums run over channels-last copies of a few images at a time, in register tiles of pixels by
//! output channels; the copies never leave the cache. Chunks of images depend on the shape alone and
//! their weight gradients are added in their order: the same bits for any number of threads.

pub(crate) mod correlate;
pub(crate) mod gradient;
pub(crate) mod packing;
mod square;

use crate::algorithm::Algorithm;
use crate::aligned::Aligned;
use crate::context::Context;
use crate::error::Error;
use crate::layout::{CHANNEL_BLOCK, Layout, Load, Store};
use crate::output::{Output, overwritten, written};
use crate::schedule::{Ordered, for_each_chunk};
use correlate::Correlate;
use gradient::{WeightChunk, WeightScratch};
use packing::{Pass, bias_vector};
use pulp::{Simd, WithSimd};

/// The shape of a 2-D convolution with zero padding:
/// y\[n\]\[o\]\[p\] = b\[o\] + Σ w\[o\]\[i\]\[k\]·x\[n\]\[i\]\[s·p + k − padding\], in `groups` independent groups of
/// channels.
///
/// Arrays are row-major: x `[images, inputs, height, width]`, w `[outputs, inputs/groups, kh, kw]`,
/// b `[outputs]`, y `[images, outputs, height′, width′]` with [`output_size`](Self::output_size).
/// Arithmetic is f32; relative to the largest value, direct sums are off by about 1e-6, Winograd's as
/// [`Algorithm`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Images n.
    pub images: usize,
    /// Channels of x.
    pub inputs: usize,
    /// Channels of y.
    pub outputs: usize,
    /// Rows and columns of x.
    pub size: [usize; 2],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Step s from result to result, down and across.
    pub stride: [usize; 2],
    /// Zeros before and after x, above and below, left and right.
    pub padding: [usize; 2],
    /// Groups that inputs and outputs are split into.
    pub groups: usize,
    /// How it is computed. Winograd's algorithms are for 3×3 kernels at stride 1 with padding 1, as many
    /// outputs as inputs and one group; everything else is computed directly.
    pub algorithm: Algorithm,
}

impl Convolution {
    /// Rows and columns of y.
    ///
    /// # Errors
    /// [`Error::Groups`], [`Error::EmptyImage`], [`Error::EmptyKernel`] or [`Error::LargeKernel`] if no
    /// convolution has this shape.
    pub fn output_size(&self) -> Result<[usize; 2], Error> {
        let Self { inputs, outputs, size, kernel, stride, padding, groups, .. } = *self;
        for (what, channels) in [("input", inputs), ("output", outputs)] {
            if channels == 0 || groups == 0 || !channels.is_multiple_of(groups) {
                return Err(Error::Groups { what, channels, groups });
            }
        }
        if size.contains(&0) {
            return Err(Error::EmptyImage { size });
        }
        if kernel.contains(&0) || stride.contains(&0) {
            return Err(Error::EmptyKernel { kernel, stride });
        }
        let mut output = [0; 2];
        for axis in 0..2 {
            let padded = size[axis] + 2 * padding[axis];
            let Some(room) = padded.checked_sub(kernel[axis]) else {
                return Err(Error::LargeKernel { kernel, size, padding });
            };
            output[axis] = room / stride[axis] + 1;
        }
        Ok(output)
    }

    /// y, the convolution of `x`.
    ///
    /// # Errors
    /// As [`output_size`](Self::output_size), and [`Error::Length`] if an array does not fit the shape.
    pub fn value(
        &self,
        context: &Context,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Vec<f32>, Error> {
        let plan = self.plan()?;
        let len = self.images * plan.y_image();
        // SAFETY: every chunk of images stores all its images' pixels and channels.
        unsafe { written(len, |y| self.write_value(context, x, weight, bias, y)) }
    }

    /// Sets `y` to the convolution of `x`.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn value_into(
        &self,
        context: &Context,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> Result<(), Error> {
        self.write_value(context, x, weight, bias, overwritten(y))
    }

    fn write_value(
        &self,
        context: &Context,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        y: &mut Output,
    ) -> Result<(), Error> {
        let plan = self.plan()?;
        plan.check(x.len(), weight.len(), bias.map(<[f32]>::len), y.len())?;
        context.install(|| {
            if let Some(square) = self.square() {
                return square.value(context, x, weight, bias, y);
            }
            let passes: Vec<Vec<Pass>> =
                plan.groups().map(|group| vec![plan.forward_pass(group, weight)]).collect();
            let biases = plan.groups().map(|g| bias_vector(plan.y.depth, plan.y.channels, bias, g));
            let biases: Vec<Aligned> = biases.collect();
            let (from, into) = ((x, plan.x, plan.x_image()), (y, plan.y, plan.y_image()));
            plan.sweep(context, from, into, &passes, &biases);
        });
        Ok(())
    }

    /// The gradient with respect to x, from the one with respect to y: Kᵀy.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn adjoint(&self, context: &Context, y: &[f32], weight: &[f32]) -> Result<Vec<f32>, Error> {
        let plan = self.plan()?;
        let len = self.images * plan.x_image();
        // SAFETY: every chunk of images stores all its images' pixels and channels.
        unsafe { written(len, |x| self.write_adjoint(context, y, weight, x)) }
    }

    /// Sets `x` to the [adjoint](Self::adjoint) of `y`.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn adjoint_into(
        &self,
        context: &Context,
        y: &[f32],
        weight: &[f32],
        x: &mut [f32],
    ) -> Result<(), Error> {
        self.write_adjoint(context, y, weight, overwritten(x))
    }

    fn write_adjoint(
        &self,
        context: &Context,
        y: &[f32],
        weight: &[f32],
        x: &mut Output,
    ) -> Result<(), Error> {
        let plan = self.plan()?;
        plan.check(x.len(), weight.len(), None, y.len())?;
        context.install(|| {
            if let Some(square) = self.square() {
                return square.adjoint(context, y, weight, x);
            }
            let passes: Vec<Vec<Pass>> =
                plan.groups().map(|group| plan.backward_passes(group, weight)).collect();
            let zeros = vec![Aligned::zeros(plan.x_plain.depth); self.groups];
            let from = (y, plan.y_padded, plan.y_image());
            plan.sweep(context, from, (x, plan.x_plain, plan.x_image()), &passes, &zeros);
        });
        Ok(())
    }

    /// Adds to `weight` and `bias` the gradients with respect to them, from x and the gradient with
    /// respect to y.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn weight_gradient(
        &self,
        context: &Context,
        x: &[f32],
        y: &[f32],
        weight: &mut [f32],
        bias: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        let plan = self.plan()?;
        plan.check(x.len(), weight.len(), bias.as_ref().map(|b| b.len()), y.len())?;
        context.install(|| {
            if let Some(square) = self.square() {
                return square.gradient(context, x, y, weight, bias);
            }
            let images = plan.images_per_chunk();
            let (x_len, y_len) = (images * plan.x_image(), images * plan.y_image());
            let ordered = Ordered::new([[weight].into_iter().chain(bias).collect()]);
            let chunks = x.chunks(x_len.max(1)).zip(y.chunks(y_len.max(1))).collect();
            let scratch = || WeightScratch::new(&plan);
            for_each_chunk(chunks, scratch, |scratch, index, (x, y)| {
                context.token().dispatch(WeightChunk { plan: &plan, scratch, x, y });
                ordered.commit(0, index, &scratch.term);
            });
        });
        Ok(())
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan::new(*self, self.output_size()?))
    }
}

/// A convolution's layouts; channels are those of one group.
pub(crate) struct Plan {
    shape: Convolution,
    /// The input with its padding.
    x: Layout,
    /// The input without.
    x_plain: Layout,
    /// The output.
    y: Layout,
    /// The output with as much padding as its correlation with the kernel reaches.
    y_padded: Layout,
    /// Padding above and left of `y_padded`.
    reach: [usize; 2],
}

impl Plan {
    /// For a convolution whose output has `output` rows and columns.
    pub fn new(shape: Convolution, output: [usize; 2]) -> Self {
        let padded = |channels: usize, size: [usize; 2], before: [usize; 2], total: [usize; 2]| {
            let depth = channels.next_multiple_of(CHANNEL_BLOCK);
            let row = total[1] * depth;
            Layout {
                channels,
                depth,
                height: size[0],
                width: size[1],
                row,
                origin: before[0] * row + before[1] * depth,
                image: total[0] * row,
            }
        };
        let Convolution { size, padding, kernel, stride, groups, .. } = shape;
        let (inputs, outputs) = (shape.inputs / groups, shape.outputs / groups);
        let around = [0, 1].map(|axis| size[axis] + 2 * padding[axis]);
        // For the way back: the furthest that a pixel's taps reach up and left, and down and right.
        let reach = [0, 1].map(|axis| kernel[axis].div_ceil(stride[axis]) - 1);
        let last = |axis: usize| (padding[axis] + size[axis].max(1) - 1) / stride[axis];
        let extent = [0, 1].map(|axis| reach[axis] + output[axis].max(last(axis) + 1));
        Self {
            shape,
            x: padded(inputs, size, padding, around),
            x_plain: padded(inputs, size, [0, 0], size),
            y: padded(outputs, output, [0, 0], output),
            y_padded: padded(outputs, output, reach, extent),
            reach,
        }
    }

    fn groups(&self) -> std::ops::Range<usize> {
        0..self.shape.groups
    }

    fn kernel_area(&self) -> usize {
        self.shape.kernel[0] * self.shape.kernel[1]
    }

    fn x_image(&self) -> usize {
        self.shape.inputs * self.x.height * self.x.width
    }

    fn y_image(&self) -> usize {
        self.shape.outputs * self.y.height * self.y.width
    }

    /// As many as fit into half of a core's second-level cache; it depends on the shape alone.
    fn images_per_chunk(&self) -> usize {
        let floats = (self.x.image + self.y_padded.image).max(1);
        (128 * 1024 / floats).clamp(1, self.shape.images.max(1))
    }

    fn check(&self, x: usize, weight: usize, bias: Option<usize>, y: usize) -> Result<(), Error> {
        let Convolution { images, outputs, .. } = self.shape;
        Error::check_len("the input x of a convolution", images * self.x_image(), x)?;
        Error::check_len("the output y of a convolution", images * self.y_image(), y)?;
        let weights = outputs * self.x.channels * self.kernel_area();
        Error::check_len("the weight of a convolution", weights, weight)?;
        Error::check_len("the bias of a convolution", outputs, bias.unwrap_or(outputs))
    }

    /// Correlates arrays of images, chunk by chunk and group by group.
    fn sweep(
        &self,
        context: &Context,
        (from, from_layout, from_image): (&[f32], Layout, usize),
        (into, into_layout, into_image): (&mut Output, Layout, usize),
        passes: &[Vec<Pass>],
        biases: &[Aligned],
    ) {
        let images = self.images_per_chunk();
        let chunks = from.chunks((images * from_image).max(1));
        let chunks = chunks.zip(into.chunks_mut((images * into_image).max(1))).collect();
        let padded = |layout: Layout| Aligned::zeros(images * layout.image);
        let scratch = || (padded(from_layout), padded(into_layout));
        for_each_chunk(chunks, scratch, |(padded_from, padded_into), _, (from, into)| {
            context.token().dispatch(Chunk {
                passes,
                biases,
                from,
                from_image,
                from_layout,
                padded_from,
                into,
                into_image,
                into_layout,
                padded_into,
            });
        });
    }
}

/// One chunk of images through all groups' passes.
struct Chunk<'a> {
    passes: &'a [Vec<Pass>],
    biases: &'a [Aligned],
    from: &'a [f32],
    from_image: usize,
    from_layout: Layout,
    padded_from: &'a mut [f32],
    into: &'a mut Output,
    into_image: usize,
    into_layout: Layout,
    padded_into: &'a mut [f32],
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let images = self.from.len() / self.from_image;
        let (from, into) = (self.from_layout, self.into_layout);
        for (group, (passes, bias)) in self.passes.iter().zip(self.biases).enumerate() {
            let plain = &self.from[group * from.channels * from.height * from.width..];
            let (stride, padded) = (self.from_image, &mut *self.padded_from);
            simd.vectorize(Load { layout: from, plain, stride, padded });
            for pass in passes {
                simd.vectorize(Correlate {
                    pass,
                    bias,
                    images,
                    from: (&*self.padded_from, from.image),
                    into: (&mut *self.padded_into, into.image),
                });
            }
            let plain = &mut self.into[group * into.channels * into.height * into.width..];
            let (stride, padded) = (self.into_image, &*self.padded_into);
            simd.vectorize(Store { layout: into, padded, plain, stride });
        }
    }
}
