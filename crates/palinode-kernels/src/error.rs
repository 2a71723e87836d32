//! What can be wrong with a call.

/// A mistake in what a kernel was given, or something that this machine cannot do.
///
/// Nothing has been computed and nothing written when a kernel returns one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array does not have the length that the shape asks for.
    #[error("{what}: {found} elements instead of {expected}")]
    Length {
        /// The array.
        what: &'static str,
        /// Elements that it should have.
        expected: usize,
        /// Elements that it has.
        found: usize,
    },

    /// An array does not consist of whole items of one length.
    #[error("{what}: {found} elements are not a multiple of {item}")]
    Multiple {
        /// The array.
        what: &'static str,
        /// Elements of one item.
        item: usize,
        /// Elements that the array has.
        found: usize,
    },

    /// Channels that do not split into equal groups, or no channels at all.
    #[error("{channels} {what} channels do not split into {groups} groups")]
    Groups {
        /// `input` or `output`.
        what: &'static str,
        /// Channels.
        channels: usize,
        /// Groups.
        groups: usize,
    },

    /// A unit without channels.
    #[error("a unit needs at least one channel")]
    NoChannels,

    /// Images without pixels.
    #[error("images of {size:?} pixels are empty")]
    EmptyImage {
        /// Rows and columns.
        size: [usize; 2],
    },

    /// A kernel without taps or a stride of zero.
    #[error("a kernel of {kernel:?} taps at stride {stride:?} computes nothing")]
    EmptyKernel {
        /// Rows and columns of the kernel.
        kernel: [usize; 2],
        /// Stride, down and across.
        stride: [usize; 2],
    },

    /// A kernel that does not fit into the padded image.
    #[error("a kernel of {kernel:?} taps is larger than {size:?} pixels padded by {padding:?}")]
    LargeKernel {
        /// Rows and columns of the kernel.
        kernel: [usize; 2],
        /// Rows and columns of the image.
        size: [usize; 2],
        /// Zeros on each side.
        padding: [usize; 2],
    },

    /// An output channel of a pool names an input channel that does not exist.
    #[error("a pool reads channel {source_channel} of {channels}")]
    MissingChannel {
        /// The channel that is named, from 0.
        source_channel: usize,
        /// Channels that exist.
        channels: usize,
    },

    /// Two output channels of a pool name the same input channel.
    #[error("a pool reads channel {source_channel} twice")]
    RepeatedChannel {
        /// The channel that is named twice, from 0.
        source_channel: usize,
    },

    /// An update names a residual that the unit does not have.
    #[error("update {update} names residual {residual}; the unit has {residuals}")]
    MissingResidual {
        /// The update, from 0.
        update: usize,
        /// The residual that it names, from 0.
        residual: usize,
        /// Residuals of the unit.
        residuals: usize,
    },

    /// Two updates of a unit name the same residual.
    #[error("update {update} names residual {residual}, which belongs to an earlier update")]
    SharedResidual {
        /// The later of the two updates, from 0.
        update: usize,
        /// The residual, from 0.
        residual: usize,
    },

    /// An update that cannot be undone, where the kernels need its inverse.
    #[error("update {update} is a one-step update, which has no inverse")]
    NoInverse {
        /// The update, from 0.
        update: usize,
    },

    /// The machine does not have an instruction set.
    #[error("this machine does not have {wanted}; it has {}", available.join(", "))]
    InstructionSet {
        /// The instruction set that was asked for.
        wanted: &'static str,
        /// Those that the machine has, the fastest first.
        available: Vec<&'static str>,
    },

    /// A grid is finer or coarser than f32 allows.
    #[error("a grid of numbers with {fraction} binary places; from -64 to 64 are possible")]
    Grid {
        /// The number that was asked for.
        fraction: i32,
    },

    /// Gradients cannot be computed with a precision.
    #[error("gradients in {precision} need {needed}; {found} does not have that: use f32")]
    Precision {
        /// The precision that was asked for.
        precision: &'static str,
        /// What it needs.
        needed: &'static str,
        /// The instruction set or the algorithm that lacks it.
        found: &'static str,
    },

    /// A name that nothing has.
    #[error("unknown {kind} `{found}`; expected one of {}", expected.join(", "))]
    Name {
        /// What is named.
        kind: &'static str,
        /// The name.
        found: String,
        /// The names that exist.
        expected: Vec<&'static str>,
    },

    /// A share outside of its range.
    #[error("a dropout rate of {rate} is not in 0…1 (1 excluded)")]
    Rate {
        /// The rate.
        rate: f64,
    },

    /// A place in a random stream beyond the stream's end.
    #[error("place {place} of a mask is beyond the end of its random stream ({end} places)")]
    Place {
        /// The place.
        place: u64,
        /// The number of places.
        end: u64,
    },

    /// A batch cannot be divided into so many micro-batches.
    #[error(
        "a batch cannot be divided into {count} micro-batches: the number must be a power of two, 65536 at the most"
    )]
    Microbatches {
        /// How many were asked for.
        count: usize,
    },

    /// Ranks cannot share a batch.
    #[error(
        "{ranks} ranks cannot share a batch of {count} {of}: the number must be a power of two, and {count} at the most"
    )]
    Ranks {
        /// How many ranks there are.
        ranks: usize,
        /// What they share: images or micro-batches.
        of: &'static str,
        /// How many of these there are.
        count: usize,
    },

    /// A context was asked for without threads.
    #[error("a context needs at least one thread")]
    NoThreads,

    /// The system refused to start the threads of a context.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// Threads that were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}

impl Error {
    /// Checks the length of an array.
    pub(crate) fn check_len(what: &'static str, expected: usize, found: usize) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self::Length { what, expected, found }) }
    }
}
