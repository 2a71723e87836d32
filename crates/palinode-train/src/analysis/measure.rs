//! The stability of a network's units at real images, measured.

use super::krylov::{Effort, Eigenvalue, Wanted, eigenvalues};
use super::product::{Jacobian, Product};
use super::singular::{Singular, singular_values};
use super::stability::{BlockStability, Growth, NetworkStability, UnitStability};
use super::vector::{dot, norm};
use crate::error::{Error, Result};
use burn::tensor::{DType, Device, Tensor, TensorData};
use palinode::device::read;
use palinode::network::weights::in_f64;
use palinode::network::{LinearizedNetwork, Network, Unit};
use palinode::random::{Generator, Purpose};
use palinode::residual::Residual;
use palinode::reversible::Linearized;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StabilityOptions {
    /// Of how many blocks of a unit the Jacobian is examined: the first, the last and others evenly between them.
    pub blocks: usize,
    /// The dimension of the Krylov spaces.
    pub dimension: usize,
    /// How often a Krylov space is built anew.
    pub restarts: usize,
    /// Random directions whose growth is followed.
    pub directions: usize,
    /// Of the random vectors.
    pub seed: u64,
}

impl Default for StabilityOptions {
    fn default() -> Self {
        Self { blocks: 6, dimension: 60, restarts: 8, directions: 8, seed: 0 }
    }
}

/// The residual, relative to the spectral radius, below which an eigenvalue counts as found.
const TOLERANCE: f64 = 1e-3;

/// What rounding leaves of an eigenvalue, relative to the spectral radius.
const ROUNDING: f64 = 1e-12;

/// Measures the stability of `network` at standardised `images`. The network's parameters are used in f64, on the CPU;
/// those of its clones change too, see [`in_f64`].
///
/// # Errors
/// As [`Network::forward`]; [`Error::NonFinite`](crate::Error::NonFinite) where a derivative is not finite.
pub fn stability<R: Residual>(
    network: Network<R>,
    images: Tensor<4>,
    options: &StabilityOptions,
) -> Result<NetworkStability> {
    let network = in_f64(network);
    let linearized = network.linearized(images.cast(DType::F64))?;
    let mut generator = Generator::new(options.seed, Purpose::Input);
    let units = network.units.iter().zip(linearized.units());
    let units = units
        .map(|(unit, linearized)| of_unit(unit, linearized, options, &mut generator))
        .collect::<Result<Vec<_>>>()?;
    let growth = of_network(&network, &linearized, options, &mut generator)?;
    Ok(NetworkStability { units, growth })
}

/// A vector as a tensor.
fn tensor(values: &[f64], shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&Device::flex(), DType::F64))
}

fn random(length: usize, generator: &mut Generator) -> Result<Vec<f64>> {
    let tensor: Tensor<1> = generator.normal([length], 1.0, &Device::flex());
    Ok(read(tensor)?)
}

/// Two random vectors.
fn random_pair(length: usize, generator: &mut Generator) -> Result<[Vec<f64>; 2]> {
    Ok([random(length, generator)?, random(length, generator)?])
}

/// Blocks, evenly from the first to the last.
fn chosen(blocks: usize, most: usize) -> Vec<usize> {
    let count = blocks.min(most.max(1));
    let at = |index: usize| match count {
        0 | 1 => 0,
        _ => (index * (blocks - 1) + (count - 1) / 2) / (count - 1),
    };
    (0..count).map(at).collect()
}

fn of_unit<R: Residual>(
    unit: &Unit<R>,
    linearized: &Linearized<R>,
    options: &StabilityOptions,
    generator: &mut Generator,
) -> Result<UnitStability> {
    let mut adjoint_error = 0.0_f64;
    let mut examined = Vec::new();
    for block in chosen(linearized.blocks(), options.blocks) {
        let shape = linearized.field_shape(block).ok_or_else(|| {
            not_found(block, "the scheme does not tell the ODE that it integrates")
        })?;
        let length = shape.iter().product();
        let map = |v: &[f64]| Ok(read(linearized.field(block, tensor(v, shape))?)?);
        let adjoint = |w: &[f64]| Ok(read(linearized.field_adjoint(block, tensor(w, shape))?)?);
        let pair = random_pair(length, generator)?;
        adjoint_error = adjoint_error.max(mismatch(&pair, &map, &adjoint)?);
        let halved = linearized.field_has_halves(block).then(|| length / shape[0].max(1));
        let jacobian = Jacobian { map: &map, adjoint: &adjoint, halved };
        examined.push(of_block(block, &jacobian, &pair, options)?);
    }
    let shape = linearized.output().dims();
    let length = shape.iter().product();
    let map = |v: &[f64]| Ok(read(linearized.apply(tensor(v, shape), &mut |_| ())?)?);
    let adjoint = |w: &[f64]| Ok(read(linearized.adjoint(tensor(w, shape))?)?);
    let pair = random_pair(length, generator)?;
    adjoint_error = adjoint_error.max(mismatch(&pair, &map, &adjoint)?);
    let start = random(length, generator)?;
    let Singular { values, leading } = singular_values(start, options.dimension, &map, &adjoint)?;
    let h = unit.scheme().time_step();
    let times = (0..=linearized.blocks()).map(|block| h * block as f64).collect();
    let growth = growth(times, &leading, options, generator, |direction, see| {
        linearized.apply(tensor(direction, shape), see)
    })?;
    let [.., rows, columns] = shape;
    Ok(UnitStability {
        step: h,
        blocks: linearized.blocks(),
        region: unit.scheme().stability_region(),
        adjoint_error,
        examined,
        singular_values: values,
        bounds: unit.frequency_bounds([rows, columns])?,
        growth,
    })
}

/// The eigenvalues of a block's Jacobian, in a product that it is skew in, if there is one.
fn of_block(
    block: usize,
    jacobian: &Jacobian<'_>,
    pair: &[Vec<f64>; 2],
    options: &StabilityOptions,
) -> Result<BlockStability> {
    let &StabilityOptions { dimension, restarts, .. } = options;
    let effort = Effort { dimension, restarts, tolerance: TOLERANCE };
    let by = |product, start: &[f64], wanted| {
        eigenvalues(start.to_vec(), wanted, effort, &mut |v| jacobian.products(product, v))
    };
    if let Some(product) = jacobian.skew_in(pair)? {
        // In the image of J, where the product is positive.
        let start = (jacobian.map)(&pair[0])?;
        if let Some(found) = by(product, &start, Wanted::Largest)?
            && let Some(&largest) = found.values.first()
        {
            let right = |a: &&Eigenvalue, b: &&Eigenvalue| a.real.total_cmp(&b.real);
            let rightmost = found.values.iter().max_by(right).copied().unwrap_or(largest);
            let error = found.skewness.max(ROUNDING * largest.modulus());
            let skew_in = Some(product);
            let eigenvalues = known(found.values);
            return Ok(BlockStability { block, skew_in, rightmost, error, largest, eigenvalues });
        }
    }
    let by = |wanted| -> Result<(Eigenvalue, Vec<Eigenvalue>)> {
        let found = by(Product::Euclidean, &pair[0], wanted)?.map(|found| found.values);
        let first = found.as_ref().and_then(|values| values.first().copied());
        first.zip(found).ok_or_else(|| not_found(block, "the Krylov space is empty"))
    };
    let ((right, mut all), (large, others)) = (by(Wanted::Rightmost)?, by(Wanted::Largest)?);
    all = known(all);
    all.extend(known(others));
    Ok(BlockStability {
        block,
        skew_in: None,
        rightmost: right,
        error: right.residual.max(ROUNDING * large.modulus()),
        largest: large,
        eigenvalues: all,
    })
}

/// The error of a block whose eigenvalues could not be computed.
fn not_found(block: usize, reason: &str) -> Error {
    let reason = format!("block {block}: {reason}");
    Error::Analysis { what: "the eigenvalues of a Jacobian", reason }
}

/// The eigenvalues that were found to a tenth of the largest modulus.
fn known(values: Vec<Eigenvalue>) -> Vec<Eigenvalue> {
    let largest = values.iter().map(|value| value.modulus()).fold(0.0, f64::max);
    values.into_iter().filter(|value| value.residual <= 0.1 * largest).collect()
}

/// The growth from the first unit's input to the last unit's output. Transitions and first blocks take no time.
fn of_network<R: Residual>(
    network: &Network<R>,
    linearized: &LinearizedNetwork<'_, R>,
    options: &StabilityOptions,
    generator: &mut Generator,
) -> Result<Growth> {
    let ends = linearized.units().first().zip(linearized.units().last());
    let Some((first, last)) = ends else { return Ok(Growth::default()) };
    let shapes = [first, last].map(|unit| unit.output().dims());
    let map = |v: &[f64]| Ok(read(linearized.apply(tensor(v, shapes[0]), &mut |_, _| ())?)?);
    let adjoint = |w: &[f64]| Ok(read(linearized.adjoint(tensor(w, shapes[1]))?)?);
    let start = random(shapes[0].iter().product(), generator)?;
    let steps = options.dimension / 4;
    let leading = singular_values(start, steps, &map, &adjoint)?.leading;
    let mut times = Vec::new();
    let mut begins = 0.0;
    for (unit, linearized) in network.units.iter().zip(linearized.units()) {
        let h = unit.scheme().time_step();
        times.extend((0..=linearized.blocks()).map(|block| begins + h * block as f64));
        begins += h * linearized.blocks() as f64;
    }
    growth(times, &leading, options, generator, |direction, see| {
        linearized.apply(tensor(direction, shapes[0]), &mut |_, state| see(state))
    })
}

/// The growth at `times` of random directions and of the worst one. `apply` follows a direction and shows what has become of
/// it at every time.
fn growth(
    times: Vec<f64>,
    worst: &[f64],
    options: &StabilityOptions,
    generator: &mut Generator,
    apply: impl Fn(&[f64], &mut dyn FnMut(&Tensor<4>)) -> palinode::Result<Tensor<4>>,
) -> Result<Growth> {
    let follow = |direction: &[f64]| -> Result<Vec<f64>> {
        let mut seen = Vec::new();
        apply(direction, &mut |state| seen.push(read(state.clone())))?;
        let seen: Vec<Vec<f64>> = seen.into_iter().collect::<palinode::Result<_>>()?;
        let length = norm(direction);
        Ok(seen.iter().map(|state| norm(state) / length).collect())
    };
    let random = (0..options.directions).map(|_| follow(&random(worst.len(), generator)?));
    Ok(Growth { times, random: random.collect::<Result<_>>()?, worst: follow(worst)? })
}

/// |⟨Av, w⟩ − ⟨v, Aᵀw⟩| / (‖Av‖‖w‖).
fn mismatch(
    [v, w]: &[Vec<f64>; 2],
    map: &dyn Fn(&[f64]) -> Result<Vec<f64>>,
    adjoint: &dyn Fn(&[f64]) -> Result<Vec<f64>>,
) -> Result<f64> {
    let (product, transposed) = (map(v)?, adjoint(w)?);
    let size = (norm(&product) * norm(w)).max(f64::MIN_POSITIVE);
    Ok((dot(&product, w) - dot(v, &transposed)).abs() / size)
}
