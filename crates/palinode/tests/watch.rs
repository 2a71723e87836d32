//! The drift of reversible units, units in parts, and repeated steps.
#![allow(clippy::unwrap_used)]

#[path = "blocks/case.rs"]
mod case;
mod support;

use burn::tensor::{DType, Device, FloatDType, Tensor};
use case::{KINDS, parameters, unit};
use palinode::Activation;
use palinode::network::{Network, NetworkConfig, Phase, StateKind, Unit};
use palinode::random::{Generator, Purpose};
use palinode::residual::BuiltIn;
use palinode::reversible::{Differentiation, Watch};
use palinode::scheme::{Grid, SchemeName, Start, Streams};
use support::{Case, IN_KERNELS, UnitGradients, cross_entropy, module_gradients, relative, values};

/// Step sizes at which the state of 20 blocks drifts by much, and by little.
fn drifting() -> [(Case, bool); 6] {
    [
        (SchemeName::Midpoint, 0.5, true),
        (SchemeName::Hamiltonian, 1.0, true),
        (SchemeName::HamiltonianSingle, 1.0, false),
        (SchemeName::Leapfrog, 0.5, false),
        (SchemeName::Hamiltonian, 0.1, false),
        (SchemeName::Midpoint, 0.1, false),
    ]
    .map(|(scheme, step, much)| {
        let activation = if much { Activation::Relu } else { Activation::Tanh };
        let dtype = FloatDType::F32;
        let case = Case { blocks: 20, step, dtype, activation, ..Case::new(scheme) };
        (Case { channels: 8, batch: 16, ..case }, much)
    })
}

/// The drift of a unit in a backward pass.
fn drift(unit: &Unit<BuiltIn>, case: Case) -> f64 {
    let watch = Watch::new();
    UnitGradients::of(&unit.clone().with_watch(Some(&watch)), case.input(), case.cotangent());
    let found = watch.read(2).unwrap();
    assert_eq!(found[1], 0.0, "nothing is said of other units");
    assert_eq!(watch.read(1).unwrap(), [0.0], "nothing is read twice");
    found[0]
}

#[test]
fn the_drift_is_the_change_of_the_state_that_comes_back() {
    let mut gridded = 0;
    for (case, much) in drifting() {
        let unit = case.unit(Differentiation::Reversible);
        // By blocks, as the inverse computes it; and as a whole, by the kernels.
        let by_blocks = unit.clone().with_survival(vec![1.0; 100]);
        let (last, evaluations) = by_blocks.forward_state(case.input(), support::PHASE).unwrap();
        let truth = relative(
            &values(by_blocks.inverse(last, &evaluations).unwrap()),
            &values(case.input()),
        );
        let found = drift(&by_blocks, case);
        assert!(found > 0.2 * truth && found < 3.0 * truth, "{case:?}: {found:e}, not {truth:e}");
        let whole = drift(&unit, case);
        assert!((whole > 1e-5) == much && whole > 0.0, "{case:?}: {whole:e}");
        let grid = Grid::for_states(unit.largest_state(case.input(), support::PHASE).unwrap());
        gridded += usize::from(grid.is_some());
        if grid.is_none() {
            continue;
        }
        for exact in [unit.with_grid(grid), by_blocks.with_grid(grid)] {
            assert_eq!(drift(&exact, case), 0.0, "{case:?}");
        }
    }
    assert!(gridded >= 5, "{gridded} of 6 units have states that fit a grid");
}

/// Where σ(0) is not zero, nothing of the padding of channels counts.
#[test]
fn softplus_does_not_drift_either() {
    for scheme in IN_KERNELS {
        for channels in [3, 8, 16, 20] {
            let (dtype, activation) = (FloatDType::F32, Activation::Softplus);
            let case = Case { dtype, activation, channels, batch: 2, ..Case::new(scheme) };
            let unit = case.unit(Differentiation::Reversible);
            assert!(unit.is_fused(&case.input(), support::PHASE).unwrap());
            let grid = Grid::for_states(unit.largest_state(case.input(), support::PHASE).unwrap());
            assert!(grid.is_some());
            let float = drift(&unit, case);
            assert!(float < 1e-5, "{case:?}: {float:e}");
            assert_eq!(drift(&unit.with_grid(grid), case), 0.0, "{case:?}");
        }
    }
}

#[test]
fn more_parts_mean_less_drift_and_the_gradients_of_the_stored_mode() {
    for (case, much) in drifting() {
        for survival in [vec![], vec![1.0; 100]] {
            let of = |mode| case.unit(mode).with_survival(survival.clone());
            let truth =
                UnitGradients::of(&of(Differentiation::Stored), case.input(), case.cotangent());
            let reversible = of(Differentiation::Reversible);
            let in_parts = |parts| {
                let unit = reversible.clone().with_parts(parts);
                assert_eq!(unit.parts(), parts);
                let found = UnitGradients::of(&unit, case.input(), case.cotangent());
                (drift(&unit, case), found)
            };
            let (whole, first) = in_parts(1);
            for parts in [2, 3, 20] {
                let (drift, found) = in_parts(parts);
                assert_eq!(found.output, first.output, "{case:?}, {parts} parts");
                assert!(drift <= whole, "{case:?}, {parts} parts: {drift:e}, {whole:e}");
                if parts == 20 {
                    let error = found.error(&truth);
                    assert!(error < 2e-4, "{case:?}: {error:e}");
                    assert!(!much || drift < 0.01 * whole, "{case:?}: {drift:e}, {whole:e}");
                }
            }
        }
    }
    let unit = drifting()[0].0.unit(Differentiation::Reversible);
    assert_eq!(unit.clone().with_parts(0).parts(), 1);
    assert_eq!(unit.with_parts(1000).parts(), 20);
}

/// Masks and statistics belong to a residual of the unit, whatever part it is in.
#[test]
fn parts_have_the_masks_and_statistics_of_the_whole_unit() {
    let phase = Phase::Training { seed: 5, step: 11 };
    for scheme in SchemeName::REVERSIBLE {
        let streams = scheme.with_step(1.0, Start::AtRest).streams();
        let channels = if streams == Streams::Two { 16 } else { 8 };
        for kind in KINDS {
            let input: Tensor<4> = case::normal(4, [3, channels, 4, 6]).cast(DType::F32);
            let of = |parts: usize| {
                let unit = unit(scheme, kind, Differentiation::Reversible, DType::F32);
                let unit = unit.with_survival(vec![0.6; 8]).with_parts(parts);
                let y = unit.forward(input.clone().autodiff().require_grad(), phase).unwrap();
                let gradients = y.clone().powi_scalar(2).sum().backward();
                (values(y), module_gradients(&unit, &gradients), parameters(&unit))
            };
            let (whole, parts) = (of(1), of(3));
            assert_eq!(parts.0, whole.0, "{scheme:?} {kind:?}");
            assert_eq!(parts.2, whole.2, "{scheme:?} {kind:?}: running statistics");
            let error = relative(&parts.1, &whole.1);
            assert!(error < 1e-4, "{scheme:?} {kind:?}: {error:e}");
        }
    }
}

#[test]
fn a_repeated_step_draws_the_same_masks_and_updates_nothing() {
    for mode in Differentiation::ALL {
        let unit = unit(SchemeName::Hamiltonian, KINDS[0], mode, DType::F32);
        let input: Tensor<4> = case::normal(4, [3, 16, 4, 6]).cast(DType::F32);
        let output = |phase| values(unit.forward(input.clone().autodiff(), phase).unwrap());
        let before = parameters(&unit);
        let repeated = output(Phase::Repeated { seed: 5, step: 11 });
        assert_eq!(parameters(&unit), before, "{mode:?}");
        assert_eq!(output(Phase::Training { seed: 5, step: 11 }), repeated, "{mode:?}");
        assert_ne!(parameters(&unit), before, "{mode:?}: training moves the running statistics");
        assert_ne!(output(Phase::Repeated { seed: 5, step: 12 }), repeated, "{mode:?}");
    }
}

/// The gradients of a cross-entropy, and the drift of each unit.
fn of_network(network: &Network) -> (Vec<f64>, Vec<f64>) {
    let watch = Watch::new();
    let network = network.clone().with_watch(Some(&watch));
    let labels = Tensor::from_ints([0, 1, 2, 0, 1, 2, 0, 1], &Device::flex().autodiff());
    let logits = network.forward(images(), Phase::BatchStatistics).unwrap();
    let gradients = cross_entropy(logits, labels).backward();
    (module_gradients(&network, &gradients), watch.read(3).unwrap())
}

/// Networks of 20-20-20 blocks with 8 channels, ReLU, seed 0, at their first step. For each: the largest drift of a unit;
/// the relative difference of all gradients from those at kept states; in how many parts the units must be kept for a
/// drift below 1e-3, and the difference then; and whether states can be exact, in which case there is none.
#[test]
fn networks_that_drift_are_noticed_and_repaired() {
    for (model, step, drifts) in [
        ("midpoint", 0.1, false),
        ("midpoint", 0.25, false),
        ("midpoint", 0.5, true),
        ("midpoint", 0.7, true),
        ("midpoint", 1.0, true),
        ("hamiltonian", 0.1, false),
        ("hamiltonian", 1.0, true),
        ("coupling", 1.0, true),
        ("leapfrog", 0.1, false),
    ] {
        let mut config = NetworkConfig::named(model).unwrap().for_data(3, [16, 16], 3);
        config = config.with_units([20; 3], [8; 3]);
        config.step = step;
        let device = Device::flex().autodiff();
        let network = config.init(0, Differentiation::Reversible, &device).unwrap();
        let in_parts = |network: &Network, parts: usize| {
            of_network(&network.clone().with_parts(&[parts; 3]).unwrap())
        };
        let largest = |drifts: &[f64]| drifts.iter().copied().fold(0.0, f64::max);
        let (truth, _) = in_parts(&network, 20);
        let (found, drift) = of_network(&network);
        let wrong = relative(&found, &truth);
        let drift = largest(&drift);
        assert_eq!(drift > 1e-3, drifts, "{model} {step}: {drift:e}");
        let enough = (1..=20).find(|&parts| largest(&in_parts(&network, parts).1) <= 1e-3).unwrap();
        let repaired = relative(&in_parts(&network, enough).0, &truth);
        assert!(!drifts || (enough > 1 && repaired < 1e-2 * wrong), "{model} {step}: {repaired:e}");
        let exact = network.clone().with_state(StateKind::Exact, images()).unwrap();
        let is_exact = exact.grids().iter().all(Option::is_some);
        if is_exact {
            let (found, drift) = of_network(&exact);
            assert_eq!(drift, [0.0; 3], "{model} {step}");
            assert_eq!(found, in_parts(&exact, 20).0, "{model} {step}");
        }
        println!(
            "{model} h {step}: drift {drift:.0e}, gradients {wrong:.0e}; {enough} parts: {repaired:.0e}; exact: {is_exact}"
        );
    }
}

fn images() -> Tensor<4> {
    let device = Device::flex().autodiff();
    Generator::new(2, Purpose::Input).normal([8, 3, 16, 16], 1.0, &device)
}
