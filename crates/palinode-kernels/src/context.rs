//! What a computation runs on: an instruction set, threads, working memory and a profile.

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::isa::Isa;
use crate::microbatch::{Microbatches, tree};
use crate::norm_statistics::NormStatistics;
use crate::precision::Precision;
use crate::profile::Profile;
use crate::scratch::Scratch;
use crate::share::Share;
use crate::token::{Bf16, Token};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;
use std::sync::Arc;

/// What a computation runs on. Every kernel takes one as its first argument.
///
/// It holds an instruction set that the machine has, the threads to use, working memory that is used
/// again from call to call, and a [`Profile`]. Nothing of it is global: two contexts with different
/// instruction sets can be at work at the same time. Clones share everything.
///
/// ```
/// use palinode_kernels::{Context, Isa};
///
/// let context = Context::builder().isa(Isa::Portable).threads(2).build()?;
/// assert_eq!((context.isa(), context.threads()), (Isa::Portable, 2));
/// # Ok::<(), palinode_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    token: Token,
    /// None: the quickest for the size of the images.
    algorithm: Option<Algorithm>,
    gradients: Precision,
    /// Those of the whole batch.
    microbatches: Option<Microbatches>,
    norm_statistics: NormStatistics,
    /// None: the images of a call are the whole batch.
    share: Option<Share>,
    shared: Arc<Shared>,
}

/// What all clones share.
#[derive(Debug)]
struct Shared {
    /// None: the Rayon pool that a kernel is called from.
    pool: Option<ThreadPool>,
    profile: Profile,
    scratch: Scratch,
}

impl Context {
    /// The fastest instruction set of the machine, and the Rayon pool that a kernel is called from.
    pub fn new() -> Self {
        Self::with(Token::best(), None, ContextBuilder::default())
    }

    /// Chooses an instruction set, a number of threads, an algorithm or a precision.
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }

    fn with(token: Token, pool: Option<ThreadPool>, chosen: ContextBuilder) -> Self {
        let ContextBuilder { algorithm, gradients, microbatches, norm_statistics, .. } = chosen;
        let (profile, scratch) = (Profile::default(), Scratch::default());
        let shared = Arc::new(Shared { pool, profile, scratch });
        Self { token, algorithm, gradients, microbatches, norm_statistics, share: None, shared }
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.token.isa()
    }

    /// The algorithm that was chosen for the convolutions of units in training; `None` if it is to be the
    /// [quickest](Algorithm::quickest) for the size of the images.
    ///
    /// A [`UnitKernel`](crate::unit::UnitKernel) names its algorithm; whoever makes the unit asks here.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// What the factors of the units' products for gradients are rounded to.
    pub fn gradients(&self) -> Precision {
        self.gradients
    }

    /// How sums over the images of a call are divided; `None`: they are not. Where several ranks [share](Self::share) a
    /// batch, these are the micro-batches of this one.
    pub fn microbatches(&self) -> Option<Microbatches> {
        let ranks = self.share.as_ref().map_or(1, |share| share.ranks().count());
        self.microbatches.and_then(|batch| Microbatches::new(batch.count() / ranks).ok())
    }

    /// Which images batch norms take their statistics over.
    pub fn norm_statistics(&self) -> NormStatistics {
        self.norm_statistics
    }

    /// The same context for whole batches, sums over whose images are divided otherwise.
    #[must_use]
    pub fn with_microbatches(&self, microbatches: Option<Microbatches>) -> Self {
        Self { microbatches, share: None, ..self.clone() }
    }

    /// The same context, in which batch norms take their statistics over other images.
    #[must_use]
    pub fn with_norm_statistics(&self, norm_statistics: NormStatistics) -> Self {
        Self { norm_statistics, ..self.clone() }
    }

    /// What this rank computes of a batch; `None`: all of it.
    pub fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// The same context for a share in a batch: the images of every call are those of one rank. `None`: they are the whole
    /// batch.
    ///
    /// # Errors
    /// [`Error::Ranks`] unless every rank has a micro-batch.
    pub fn with_share(&self, share: Option<Share>) -> Result<Self, Error> {
        let ranks = share.as_ref().map_or(1, |share| share.ranks().count());
        let count = self.microbatches.map_or(1, Microbatches::count);
        if ranks > count {
            return Err(Error::Ranks { ranks, of: "micro-batches", count });
        }
        Ok(Self { share, ..self.clone() })
    }

    /// The same context inside a node of the graph that sends the gradients of its parameters to other ranks by itself
    /// ([`Share::within_node`]).
    #[must_use]
    pub fn within_node(&self, once: bool) -> Self {
        let share = self.share.as_ref().map(|share| share.within_node(once));
        Self { share, ..self.clone() }
    }

    /// The images of the whole batch, of which a call has `images`.
    pub fn batch_images(&self, images: usize) -> usize {
        self.share.as_ref().map_or(images, Share::batch)
    }

    /// The number, in the whole batch, of the first image of a call.
    pub fn first_image(&self) -> usize {
        self.share.as_ref().map_or(0, |share| share.images().start)
    }

    /// Σ over the images of a call: `of` gives the numbers of one image. The sums go by [micro-batches](Self::microbatches).
    pub fn sum_over_images<const N: usize>(
        &self,
        images: usize,
        of: impl Fn(usize) -> [f64; N],
    ) -> [f64; N] {
        let add = |sum: &mut [f64; N], more: [f64; N]| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        };
        let mut some = |images: Range<usize>| {
            let mut sum = [0.0; N];
            images.for_each(|image| add(&mut sum, of(image)));
            sum
        };
        tree(self.microbatches(), 0..images, &mut some, &add)
    }

    /// Replaces sums over the images of a call by those over the whole batch.
    pub fn add_ranks(&self, sums: &mut [f64]) {
        if let Some(share) = &self.share {
            share.ranks().add(sums);
        }
    }

    /// Replaces gradients over the images of a call by those over the whole batch on the first rank, and by zeros on the
    /// others.
    ///
    /// In the end, the gradients of all ranks are added. What becomes of these until then (another term, a linear map)
    /// happens to the whole sum, as it does on one rank: so the bits are the same.
    pub fn complete(&self, gradients: &mut [&mut [f32]]) {
        let Some(share) = &self.share else { return };
        let mut all = gradients.concat();
        share.ranks().add_f32(&mut all);
        let mut rest = &all[..];
        for own in &mut *gradients {
            let (sums, others) = rest.split_at(own.len());
            own.copy_from_slice(sums);
            rest = others;
        }
        self.count_once(gradients);
    }

    /// Replaces gradients that are those of the whole batch already by zeros on all ranks but the first, since those of all
    /// ranks are added in the end.
    pub fn count_once(&self, gradients: &mut [&mut [f32]]) {
        if self.share.as_ref().is_some_and(|share| share.ranks().rank() > 0) {
            gradients.iter_mut().for_each(|own| own.fill(0.0));
        }
    }

    /// The number of threads that kernels use when they are called from this thread.
    pub fn threads(&self) -> usize {
        match &self.shared.pool {
            Some(pool) => pool.current_num_threads(),
            None => rayon::current_num_threads(),
        }
    }

    /// Runs `work` on the context's threads: in its own pool if it has one. Rayon's parallel iterators
    /// inside `work` use these threads too.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.shared.pool {
            Some(pool) if pool.current_thread_index().is_none() => pool.install(work),
            _ => work(),
        }
    }

    /// Where the time of training steps goes. The kernels do not count their time by themselves.
    pub fn profile(&self) -> &Profile {
        &self.shared.profile
    }

    /// Checks that gradients can be computed in `precision`: [`Precision::Bf16`] needs AVX-512 with its
    /// products in bf16, or AMX, both on the machine and as the context's instruction set.
    ///
    /// # Errors
    /// [`Error::Precision`].
    pub fn check(&self, precision: Precision) -> Result<(), Error> {
        self.bf16(precision).map(|_| ())
    }

    /// Bytes of working memory that the context holds.
    ///
    /// Kernels take working memory from the context and leave it there for the next call. It never holds
    /// more than its kernels have needed at one time.
    pub fn scratch_bytes(&self) -> usize {
        self.shared.scratch.bytes()
    }

    /// Frees the working memory that no call is using.
    pub fn release_scratch(&self) {
        self.shared.scratch.release();
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.shared.scratch
    }

    /// The proof that the machine has the instruction set.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// The proof that the machine can take the products of `precision`; none is needed for f32.
    pub(crate) fn bf16(&self, precision: Precision) -> Result<Option<Bf16>, Error> {
        match precision {
            Precision::F32 => Ok(None),
            Precision::Bf16 => match self.token().bf16() {
                Some(bf16) => Ok(Some(bf16)),
                None => Err(Error::Precision {
                    precision: precision.name(),
                    needed: "AVX-512 with products in bf16 (avx512_bf16)",
                    found: self.isa().name(),
                }),
            },
        }
    }
}

impl Default for Context {
    /// As [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

/// Choices for a [`Context`]; see [`Context::builder`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ContextBuilder {
    isa: Option<Isa>,
    threads: Option<usize>,
    algorithm: Option<Algorithm>,
    gradients: Precision,
    microbatches: Option<Microbatches>,
    norm_statistics: NormStatistics,
}

impl ContextBuilder {
    /// An instruction set, in the place of the fastest that the machine has.
    pub fn isa(self, isa: Isa) -> Self {
        Self { isa: Some(isa), ..self }
    }

    /// A number of threads: the context starts a pool of its own.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// An algorithm for the convolutions of units in training; `None` as by default: the quickest.
    pub fn algorithm(self, algorithm: Option<Algorithm>) -> Self {
        Self { algorithm, ..self }
    }

    /// What the factors of the units' products for gradients are rounded to; f32 by default.
    pub fn gradients(self, gradients: Precision) -> Self {
        Self { gradients, ..self }
    }

    /// How sums over the images of a batch are divided, so that several machines may share a batch; by default they are
    /// not.
    pub fn microbatches(self, microbatches: Option<Microbatches>) -> Self {
        Self { microbatches, ..self }
    }

    /// Which images batch norms take their statistics over; by default all images of a batch.
    pub fn norm_statistics(self, norm_statistics: NormStatistics) -> Self {
        Self { norm_statistics, ..self }
    }

    /// Makes the context.
    ///
    /// # Errors
    /// [`Error::InstructionSet`] if the machine lacks the instruction set, [`Error::Precision`] if the
    /// instruction set lacks the precision, [`Error::NoThreads`] for 0 threads, [`Error::Threads`] if the
    /// system does not start them.
    pub fn build(self) -> Result<Context, Error> {
        let token = match self.isa {
            None => Token::best(),
            Some(isa) => Token::of(isa).ok_or_else(|| missing(isa))?,
        };
        let pool = match self.threads {
            None => None,
            Some(0) => return Err(Error::NoThreads),
            Some(threads) => Some(pool(threads)?),
        };
        let context = Context::with(token, pool, self);
        context.check(self.gradients)?;
        Ok(context)
    }
}

fn missing(isa: Isa) -> Error {
    let available = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
    Error::InstructionSet { wanted: isa.name(), available }
}

fn pool(threads: usize) -> Result<ThreadPool, Error> {
    let name = |index| format!("palinode-{index}");
    let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(name);
    builder.build().map_err(|reason| Error::Threads { threads, reason: reason.to_string() })
}
