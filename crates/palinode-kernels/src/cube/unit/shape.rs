//! How a unit is shared out to the threads of a graphics card.

use crate::Activation;
use crate::form::Form;
use crate::recurrence::Drift;

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
}

impl UnitShape {
    /// The distribution of a unit on a device; `None` if the unit does not fit it: if the channels are no
    /// multiple of four, if a map is larger than the shared memory, or if the device takes fewer buffers.
    pub(super) fn fitting(unit: UnitOf, drift: Drift, limits: Limits) -> Option<Self> {
        let UnitOf { channels, size: [height, width], form, activation, input_bias } = unit;
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
        while 2 * shape.shares * shape.parts() <= shape.threads
            && 2 * shape.shares <= height
            && shape.shares * channels * channels * 9 <= shape.map_len()
        {
            shape.shares *= 2;
        }
        (4 * shape.map_len() <= limits.shared_memory).then_some(shape)
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
