//! Several ranks, here threads of one process, against one.
#![allow(clippy::unwrap_used)]

mod support;

use palinode::network::{Modes, NetworkConfig, StateKind, Variant};
use palinode::residual::BuiltIn;
use palinode::reversible::{Differentiation, Precision};
use palinode::scheme::SchemeName;
use palinode::tensor::Device;
use palinode::{Activation, Context, NormStatistics};
use palinode_train::data::Augmentation;
use palinode_train::recipe::{OptimizerRecipe, Settings, TrainingRecipe};
use palinode_train::train::{SplitOptions, Trainer, TrainingData, Unobserved, read_rows};
use std::path::Path;
use support::{Noise, StopAfter, on_ranks};

/// A network and how it is trained.
#[derive(Clone)]
struct Case {
    config: NetworkConfig,
    training: TrainingRecipe,
}

fn case(model: &str, change: impl FnOnce(&mut NetworkConfig)) -> Case {
    let config = NetworkConfig::named(model).unwrap().for_data(1, [8, 8], 3);
    let units = config.blocks.len();
    let mut config = config.with_units(vec![2; units], vec![8; units]);
    change(&mut config);
    // 24 images in batches of 9: shares of different sizes, and a short last batch.
    let training = TrainingRecipe::default().with_epochs(2).with_batch_size(9).with_test(false);
    Case { config, training }
}

impl Case {
    fn with(self, change: impl FnOnce(TrainingRecipe) -> TrainingRecipe) -> Self {
        Self { training: change(self.training), ..self }
    }

    fn trainer(&self) -> Trainer<BuiltIn> {
        let modes = self.training.modes_for(&self.config);
        let network = self.config.clone().init_in(3, &modes, &Device::flex().autodiff()).unwrap();
        let options = SplitOptions::default().with_validation(0.25).with_seed(3);
        let data = TrainingData::split(Noise::in_classes(3), options).unwrap();
        let settings = Settings::default()
            .with_augmentation(Augmentation::default())
            .with_optimizer(OptimizerRecipe::default().with_clip_norm(0.5))
            .with_training(self.training.clone());
        Trainer::new(network, data).with_settings(settings)
    }
}

/// The weights of a run, and its losses, accuracies and drifts.
fn result(run: &Path) -> (Vec<u8>, Vec<u8>, Vec<[u64; 3]>) {
    let file = |which| std::fs::read(run.join(format!("weights/{which}.safetensors"))).unwrap();
    let rows = read_rows(&run.join("metrics.csv")).unwrap();
    let bits = |value: f64| value.to_bits();
    let row = |row: &palinode_train::train::Row| {
        let drift = row.drift.largest().unwrap_or_default();
        [bits(row.loss), bits(row.accuracy), bits(drift)]
    };
    (file("last"), file("best"), rows.iter().map(row).collect())
}

/// A run by one process, and by so many ranks.
fn compare(name: &str, case: &Case, ranks: &[usize]) {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone");
    let machine = Context::builder().threads(3);
    case.trainer().with_machine(machine).train(&alone, &mut Unobserved).unwrap();
    let expected = result(&alone);
    for &ranks in ranks {
        let out = folder.path().join(ranks.to_string());
        on_ranks(ranks, |machine| {
            case.trainer().with_machine(machine).train(&out, &mut Unobserved).unwrap();
        });
        assert!(result(&out) == expected, "{name}: {ranks} ranks, {:?}", case.config);
    }
}

#[test]
fn reversible_networks() {
    for (model, activation) in [
        ("hamiltonian", Activation::Relu),
        ("midpoint", Activation::Tanh),
        ("leapfrog", Activation::Softplus),
    ] {
        for state in [StateKind::Exact, StateKind::Float] {
            let case = case(model, |config| config.activation = activation);
            let case = case.with(|training| training.with_state(Some(state)));
            compare(model, &case, &[1, 2, 4, 8]);
        }
    }
}

#[test]
fn dropout_smoothing_and_accumulation() {
    let case = case("midpoint", |config| (config.dropout, config.block_dropout) = (0.3, 0.2));
    let case = case.with(|training| training.with_label_smoothing(0.1).with_accumulate(2));
    compare("dropout", &case, &[2, 4, 8]);
}

#[test]
fn norms_in_a_baseline_and_in_reversible_blocks() {
    compare("resnet", &case("resnet-32", |_| ()), &[2, 4]);
    for mode in
        [Differentiation::Reversible, Differentiation::Checkpointed, Differentiation::Stored]
    {
        let case = case("hamiltonian", |config| {
            config.block_norm = true;
            config.survival = 0.7;
        });
        let case = case.with(|training| training.with_mode(Some(Modes::from(mode))));
        compare("norms", &case, &[2, 4]);
    }
}

#[test]
fn norms_with_the_statistics_of_micro_batches() {
    let of_microbatches =
        |training: TrainingRecipe| training.with_norm_statistics(NormStatistics::Microbatch);
    compare("micro-batches", &case("resnet-32", |_| ()).with(of_microbatches), &[2, 4, 8]);
    let normed = |scheme: SchemeName| {
        case("hamiltonian", |config| (config.block_norm, config.scheme) = (true, scheme))
    };
    for batch in [9, 13] {
        let case = normed(SchemeName::Hamiltonian).with(of_microbatches);
        compare("a batch", &case.with(|own| own.with_batch_size(batch)), &[2, 4, 8]);
    }
    // Schemes that evaluate a residual several times.
    for scheme in [SchemeName::ForestRuth, SchemeName::RungeKutta] {
        for mode in [Differentiation::Reversible, Differentiation::Stored] {
            let case = normed(scheme).with(of_microbatches);
            let case = case.with(|own| own.with_mode(Some(Modes::from(mode))));
            compare(&format!("{scheme:?}"), &case, &[2]);
        }
    }
}

#[test]
fn statistics_of_micro_batches_without_norms_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let case = case("hamiltonian", |_| ())
        .with(|training| training.with_norm_statistics(NormStatistics::Microbatch));
    let out = folder.path().join("run");
    let message = case.trainer().train(&out, &mut Unobserved).unwrap_err().to_string();
    let expected = "training.norm_statistics: has no effect: the network has no batch norm";
    assert_eq!(message, expected);
}

#[test]
fn other_modes_and_residuals() {
    for mode in [Differentiation::Checkpointed, Differentiation::Stored] {
        let case = case("hamiltonian", |_| ());
        compare("mode", &case.with(|own| own.with_mode(Some(Modes::from(mode)))), &[2, 4]);
    }
    for model in ["hamiltonian-single", "coupling", "revnet-38"] {
        compare(model, &case(model, |_| ()), &[2]);
    }
    let aggregated = case("resnext-29", |config| {
        config.widths = vec![16; config.blocks.len()];
        config.groups = 4;
    });
    compare("resnext-29", &aggregated, &[2]);
    for (model, variant) in [
        ("hamiltonian", Variant::Regularized),
        ("hamiltonian", Variant::Inception),
        ("midpoint", Variant::Inception),
    ] {
        let case = case(model, |config| *config = config.clone().with_variant(variant));
        compare(variant.name(), &case, &[2, 4]);
    }
    // Not computed as a whole by the kernels.
    for scheme in [SchemeName::ForestRuth, SchemeName::Momentum, SchemeName::Damped] {
        let case = case("hamiltonian", |config| config.scheme = scheme);
        compare(&format!("{scheme:?}"), &case, &[2]);
    }
}

/// Of a network whose convolutions are nodes of their own, each gradient travels once.
#[test]
fn gradients_of_stored_convolutions_are_handed_over() {
    let case = case("resnet-32", |config| config.widths = vec![32; config.blocks.len()]);
    let parameters = case.config.parameter_count().total;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    on_ranks(2, |machine| {
        case.trainer().with_machine(machine).train(&out, &mut Unobserved).unwrap();
    });
    let rows = read_rows(&out.join("metrics.csv")).unwrap();
    let sent = rows.iter().find_map(|row| row.sent_bytes).unwrap();
    // Three steps an epoch, halves there and back: 4 bytes for each parameter. The statistics of the norms beside.
    let gradients = (3 * 4 * parameters) as f64;
    let found = sent as f64 / gradients;
    assert!((1.0..1.3).contains(&found), "{found} times the gradients");
}

#[test]
fn gradients_in_bf16() {
    let bf16 = Context::builder().gradients(Precision::Bf16).build();
    if let Err(reason) = bf16 {
        eprintln!("skipped: {reason}");
        return;
    }
    let case = case("hamiltonian", |_| ());
    compare("bf16", &case.with(|own| own.with_gradients(Precision::Bf16)), &[2, 4]);
}

#[test]
fn runs_go_on_with_any_number_of_ranks() {
    let case = case("midpoint", |config| config.dropout = 0.3);
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    case.trainer().train(&whole, &mut Unobserved).unwrap();
    for (first, then) in [(1, 4), (4, 2), (2, 1)] {
        for steps in [2, 3, 4] {
            let out = folder.path().join(format!("{first}-{then}-{steps}"));
            on_ranks(first, |machine| {
                let mut observer = StopAfter(steps);
                case.trainer().with_machine(machine).train(&out, &mut observer).unwrap_err();
            });
            on_ranks(then, |machine| {
                case.trainer().with_machine(machine).resume(&out, &mut Unobserved).unwrap();
            });
            assert!(
                result(&out) == result(&whole),
                "{first} ranks, then {then} after {steps} steps"
            );
        }
    }
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let few = case("hamiltonian", |_| ()).with(|training| training.with_microbatches(2));
    let messages = on_ranks(4, |machine| {
        few.trainer().with_machine(machine).train(&out, &mut Unobserved).unwrap_err().to_string()
    });
    let message = &messages[0];
    assert!(message.starts_with("training.microbatches: 2, so 4 ranks"), "{message}");
    let case = case("hamiltonian", |_| ());
    let messages = on_ranks(2, |machine| {
        let own = match machine.is_first() {
            true => case.clone(),
            false => case.clone().with(|training| training.with_batch_size(10)),
        };
        own.trainer().with_machine(machine).train(&out, &mut Unobserved).unwrap_err().to_string()
    });
    let message = &messages[0];
    assert!(message.starts_with("rank 1 on "), "{message}");
    assert!(message.contains("training.batch_size is 10, and 9 on the first rank"), "{message}");
}
