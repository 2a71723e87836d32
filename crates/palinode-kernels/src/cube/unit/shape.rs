//! How a unit is shared out to the threads of a graphics card.

use crate::Activation;
use crate::form::Form;
use crate::grid::Grid;
use crate::recurrence::Drift;
use cubecl::ir::{ElemType, FloatKind};

/// Output channels that a thread computes together: one vector.
pub(super) const GROUP: usize = 4;

/// Everything about a unit that its kernels are compiled for.
///
/// One cube takes one image. Its threads share a *map*: all channels of one stream, each a plane of the image
/// with a border of zeros. A thread computes a *tile* of a correlation with 3×3 kernels: `rows` pixels below each
/// other of [`GROUP`] channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UnitShape {
    /// Channels of one stream, a multiple of [`GROUP`].
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) form: Form,
    pub(super) activation: Activation,
    /// The type of the numbers of the map and of the weights.
    pub(super) number: ElemType,
    /// The grid of the state.
    pub(super) grid: Option<Grid>,
    /// Whether there are biases before K.
    pub(super) input_bias: bool,
    /// Whether a block goes on at the same speed, rather than from the state before.
    pub(super) extrapolated: bool,
    /// Pixels of a tile.
    pub(super) rows: usize,
    /// Threads of a cube.
    pub(super) threads: usize,
    /// Threads that share the pixels of one part of a kernel's gradient.
    pub(super) shares: usize,
    /// Whether a barrier must name the memory that is not shared: graphics interfaces want it.
    pub(super) storage_barrier: bool,
}

/// What a device offers to a cube.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of shared memory.
    pub shared_memory: usize,
    /// Threads.
    pub threads: usize,
    /// Buffers that a kernel can take.
    pub buffers: usize,
    /// Whether a barrier must name the memory that is not shared.
    pub storage_barrier: bool,
}

/// Buffers that the kernels of a unit take, those of CubeCL for numbers and lengths included.
const BUFFERS: usize = 11;

impl Limits {
    /// The limits of the device of a client.
    pub fn of(client: &cubecl::client::Client) -> Self {
        let hardware = &client.properties().hardware;
        Self {
            shared_memory: hardware.max_shared_memory_size,
            threads: hardware.max_units_per_cube.min(hardware.max_cube_dim.0) as usize,
            buffers: hardware.max_bindings as usize,
            storage_barrier: !client.name().contains("cuda") && !client.name().contains("hip"),
        }
    }
}

/// A unit without its distribution.
#[derive(Clone, Copy, Debug)]
pub struct UnitOf {
    /// Channels of one stream.
    pub channels: usize,
    /// Rows and columns of the images.
    pub size: [usize; 2],
    /// The formula of the residuals.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// Whether some residuals have a bias before K.
    pub input_bias: bool,
    /// The type of the weights and of x, σ(Mx + b) and cotangents as factors of products: f32, or f16 or bf16 on a
    /// device that computes in it. Sums and the state are always in f32.
    pub number: ElemType,
    /// The grid that the state lies on, so that it comes back to the bit.
    pub grid: Option<Grid>,
}

impl UnitShape {
    /// The distribution of a unit on a device; `None` if the unit does not fit it: if the channels are no
    /// multiple of four, if a map is larger than the shared memory, or if the device takes fewer buffers.
    pub(super) fn fitting(unit: UnitOf, drift: Drift, limits: Limits) -> Option<Self> {
        let UnitOf { channels, size, form, activation, input_bias, number, grid } = unit;
        let [height, width] = size;
        if limits.buffers < BUFFERS
            || channels == 0
            || !channels.is_multiple_of(GROUP)
            || height == 0
            || width == 0
        {
            return None;
        }
        let shape = |rows: usize| Self {
            channels,
            height,
            width,
            form,
            activation,
            number,
            grid,
            input_bias,
            extrapolated: drift == Drift::Extrapolated,
            rows,
            threads: 0,
            shares: 1,
            storage_barrier: limits.storage_barrier,
        };
        // As large tiles as there are, while they give work to a good number of threads.
        let busy = limits.threads.min(512);
        let rows = [4, 2].into_iter().find(|&rows| shape(rows).tiles() >= busy.min(256));
        let mut shape = shape(rows.unwrap_or(1));
        shape.threads = shape.tiles().next_multiple_of(32).min(limits.threads);
        loop {
            let more = Self { shares: 2 * shape.shares, ..shape };
            if more.shares * shape.parts() > shape.threads
                || more.shares > height
                || (!more.has_bench() && more.shared_sums() > more.map_len())
                || more.shared_bytes() > limits.shared_memory
            {
                break;
            }
            shape = more;
        }
        (shape.shared_bytes() <= limits.shared_memory).then_some(shape)
    }

    /// Whether the threads add up sums beside the map, since its numbers are no f32.
    pub(super) fn has_bench(&self) -> bool {
        self.number != ElemType::Float(FloatKind::F32)
    }

    /// Numbers that the threads that share a part put down for each other.
    fn shared_sums(&self) -> usize {
        self.shares / 2 * self.channels * self.channels * 9
    }

    /// Numbers of the bench beside the map. (There are no empty arrays.)
    pub(super) fn bench_len(&self) -> usize {
        match self.has_bench() {
            true => self.shared_sums().max(self.summers() * self.channels),
            false => 1,
        }
    }

    /// Bytes of shared memory.
    fn shared_bytes(&self) -> usize {
        self.number.size() * self.map_len() + 4 * self.bench_len()
    }

    /// Rows of tiles.
    pub(super) fn tile_rows(&self) -> usize {
        self.height.div_ceil(self.rows)
    }

    /// Tiles of all channels.
    pub(super) fn tiles(&self) -> usize {
        self.channels / GROUP * self.tile_rows() * self.width
    }

    /// Tiles that one thread takes at most.
    pub(super) fn tiles_per_thread(&self) -> usize {
        self.tiles().div_ceil(self.threads)
    }

    /// Vectors of sums that one thread keeps for all of its tiles.
    pub(super) fn sums(&self) -> usize {
        self.rows * self.tiles_per_thread()
    }

    /// Numbers of a row of the map.
    pub(super) fn pitch(&self) -> usize {
        self.width + 2
    }

    /// Numbers of a plane of the map: odd, so that threads that read the same pixel of different channels read
    /// different banks.
    pub(super) fn plane(&self) -> usize {
        ((self.tile_rows() * self.rows + 2) * self.pitch()) | 1
    }

    /// Numbers of the map.
    pub(super) fn map_len(&self) -> usize {
        self.channels * self.plane()
    }

    /// Numbers of one stream of one image.
    pub(super) fn stream(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Parts of the gradient with respect to a kernel: four outputs, one input and all taps each.
    pub(super) fn parts(&self) -> usize {
        self.channels / GROUP * self.channels
    }

    /// Parts that one thread takes at most.
    pub(super) fn parts_per_thread(&self) -> usize {
        (self.shares * self.parts()).div_ceil(self.threads)
    }

    /// Threads that share the pixels of one channel in a sum over all pixels.
    pub(super) fn summers(&self) -> usize {
        (self.threads / self.channels).clamp(1, 16)
    }

    /// Numbers of the gradients with respect to the parameters of one residual: K, b and, if there is one, the
    /// bias before K.
    pub(super) fn parameters(&self) -> usize {
        let biases = if self.input_bias { 2 } else { 1 };
        self.channels * (self.channels * 9 + biases)
    }
}
