//! Steps of each optimiser, and its state.

use super::*;

#[test]
fn three_steps_by_hand() {
    let recipe = sgd().with_momentum(0.9).with_weight_decay(0.5);
    let mut network = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&recipe, &network);
    // Kernels: g = 1 + 0.5w, v ← 0.9v + g, w ← w − 0.1v.
    //   w = 1      g = 1.5       v = 1.5         w = 0.85
    //   w = 0.85   g = 1.425     v = 2.775       w = 0.5725
    //   w = 0.5725 g = 1.28625   v = 3.78375     w = 0.194125
    // Biases: g = 1: v = 1, 1.9, 2.71; w = 0.9, 0.71, 0.439.
    let expected = [(0.85, 0.9), (0.5725, 0.71), (0.194_125, 0.439)];
    for (kernel, bias) in expected {
        network = step(network, &mut optimizer, 0.1);
        let arrays = collect(&network);
        for (name, array) in arrays {
            let wanted: f32 = if name.ends_with("weight") { kernel } else { bias };
            for value in array.values {
                assert!((value - wanted).abs() < 1e-6, "{name}: {value}, expected {wanted}");
            }
        }
    }
    let state = optimizer.state().unwrap();
    assert!((state["momentum.stem.weight"].values[0] - 3.78375).abs() < 1e-5);
    assert!((state["momentum.head.bias"].values[0] - 2.71).abs() < 1e-5);
}

/// Burn's SGD gives the bits of w ← w − η·(μv + (g + λw)), each operation rounded once to f32.
#[test]
fn sgd_rounds_as_the_formula_says() {
    let (rate, momentum, decay) = (0.037, 0.9, 2e-4);
    let recipe = sgd().with_momentum(momentum).with_weight_decay(decay).with_decayed(Decayed::All);
    let mut network = random_network(3);
    let mut optimizer = NetworkOptimizer::new(&recipe, &network);
    let mut velocity: Option<Vec<f32>> = None;
    for step in 0..4 {
        let weights = flat(&network);
        let (loss, gradients) = random_loss(&network, step);
        network = step_down(network, &mut optimizer, loss, rate);
        let (eta, mu, lambda) = (rate as f32, momentum as f32, decay as f32);
        let decayed = gradients.iter().zip(&weights).map(|(g, w)| g + w * lambda);
        let moved: Vec<f32> = match &velocity {
            Some(velocity) => velocity.iter().zip(decayed).map(|(v, g)| v * mu + g).collect(),
            None => decayed.collect(),
        };
        let expected: Vec<f32> = weights.iter().zip(&moved).map(|(w, v)| w - v * eta).collect();
        assert_eq!(bits(&flat(&network)), bits(&expected), "step {step}");
        velocity = Some(moved);
    }
}

/// m ← β₁m + (1 − β₁)g, s ← β₂s + (1 − β₂)g², w ← (1 − ηλ)w − η·m̂/(√ŝ + ε).
#[test]
fn adamw_by_hand() {
    let recipe = sgd()
        .with_name(OptimizerName::AdamW)
        .with_betas([0.8, 0.95])
        .with_epsilon(1e-3)
        .with_weight_decay(0.1);
    let mut network = random_network(5);
    let mut optimizer = NetworkOptimizer::new(&recipe, &network);
    let kernel: Vec<bool> = kernel_mask(&network);
    let length = kernel.len();
    let mut weights: Vec<f64> = flat(&network).into_iter().map(f64::from).collect();
    let (mut first, mut second) = (vec![0.0; length], vec![0.0; length]);
    for step in 0..5_u64 {
        let (loss, gradients) = random_loss(&network, step);
        network = step_down(network, &mut optimizer, loss, 0.02);
        let time = step as i32 + 1;
        for index in 0..length {
            let g = f64::from(gradients[index]);
            first[index] = 0.8 * first[index] + 0.2 * g;
            second[index] = 0.95 * second[index] + 0.05 * g * g;
            let m = first[index] / (1.0 - 0.8_f64.powi(time));
            let s: f64 = second[index] / (1.0 - 0.95_f64.powi(time));
            let decay = if kernel[index] { 0.02 * 0.1 } else { 0.0 };
            weights[index] = (1.0 - decay) * weights[index] - 0.02 * m / (s.sqrt() + 1e-3);
        }
        for (found, expected) in flat(&network).iter().zip(&weights) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} against {expected}");
        }
    }
}

/// Muon's step of a kernel `[out, in, 3, 3]` is an almost orthogonal matrix `[out, in·9]`; biases and the
/// fully connected layer go by AdamW.
#[test]
fn muon_takes_the_kernels_of_convolutions_as_matrices() {
    let recipe = sgd().with_name(OptimizerName::Muon).with_weight_decay(0.0);
    let before = random_network(7);
    let mut optimizer = NetworkOptimizer::new(&recipe, &before);
    let old = collect(&before);
    let (loss, _) = random_loss(&before, 0);
    let after = collect(&step_down(before, &mut optimizer, loss, 0.1));
    let step: Vec<f64> = after["stem.weight"]
        .values
        .iter()
        .zip(&old["stem.weight"].values)
        .map(|(new, old)| f64::from(old - new))
        .collect();
    // Two rows of 9; Moonshot's scale is 0.2·√max(rows, columns).
    let scale = 0.1 * 0.2 * 9.0_f64.sqrt();
    let dot = |a: usize, b: usize| -> f64 {
        (0..9).map(|i| step[9 * a + i] * step[9 * b + i]).sum::<f64>() / (scale * scale)
    };
    for row in 0..2 {
        assert!((0.6..1.3).contains(&dot(row, row).sqrt()), "row {row}: {}", dot(row, row));
    }
    assert!(dot(0, 1).abs() < 0.2, "rows are not orthogonal: {}", dot(0, 1));
    let fields: Vec<String> = optimizer.state().unwrap().into_keys().collect();
    for name in ["momentum.stem.weight", "momentum.units.0.kernel", "moment_1.head.weight"] {
        assert!(fields.iter().any(|field| field == name), "{name} is not in {fields:?}");
    }
    assert!(!fields.iter().any(|field| field == "momentum.head.weight"));
    assert!(fields.iter().any(|field| field == "moment_2.units.0.bias"));
}

/// k steps, a restart and k steps are 2k steps, bit for bit.
#[test]
fn a_restored_optimizer_goes_on_with_the_same_bits() {
    for name in [OptimizerName::Sgd, OptimizerName::AdamW, OptimizerName::Muon] {
        for smoothness in [SmoothnessKind::None, SmoothnessKind::Step] {
            let recipe = sgd().with_name(name).with_clip_norm(1.0).with_weight_decay(0.01);
            let penalty = SmoothnessRecipe::default().with_kind(smoothness).with_strength(0.1);
            let make = |network: &Network| {
                NetworkOptimizer::new(&recipe, network).with_smoothness(penalty, network)
            };
            let go = |mut network: Network, optimizer: &mut NetworkOptimizer, steps| {
                for step in steps {
                    let (loss, _) = random_loss(&network, step);
                    network = step_down(network, optimizer, loss, 0.05);
                }
                network
            };
            let start = random_network(11);
            let mut whole = make(&start);
            let expected = go(start, &mut whole, 0..6);

            let half = random_network(11);
            let mut first = make(&half);
            let half = go(half, &mut first, 0..3);
            let again = replace(random_network(12), &collect(&half)).unwrap();
            let mut second = make(&again);
            second.restore(&first.state().unwrap(), 3, &Device::flex()).unwrap();
            let found = go(again, &mut second, 3..6);
            assert_eq!(collect(&found), collect(&expected), "{name:?} {smoothness:?}");
            assert_eq!(second.state().unwrap(), whole.state().unwrap());
        }
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_by_name() {
    let network = random_network(1);
    let mut optimizer = NetworkOptimizer::new(&sgd(), &network);
    let (loss, _) = random_loss(&network, 0);
    let network = step_down(network, &mut optimizer, loss, 0.1);
    let state = optimizer.state().unwrap();
    let message = |recipe: &OptimizerRecipe, state: &Arrays, steps| {
        let mut optimizer = NetworkOptimizer::new(recipe, &network);
        optimizer.restore(state, steps, &Device::flex()).unwrap_err().to_string()
    };
    let mut missing = state.clone();
    missing.remove("momentum.head.bias");
    assert!(message(&sgd(), &missing, 1).contains("`momentum.head.bias` is missing"));
    let mut foreign = state.clone();
    foreign.insert("momentum.head.extra".into(), Array { shape: vec![1], values: vec![0.0] });
    assert!(message(&sgd(), &foreign, 1).contains("`momentum.head.extra`"));
    let mut shape = state.clone();
    shape.get_mut("momentum.head.bias").unwrap().shape = vec![1, 2];
    assert!(message(&sgd(), &shape, 1).contains("`head.bias` has shape [1, 2]"));
    assert!(message(&sgd(), &state, 0).contains("momentum."), "a state before the first step");
    let adamw = sgd().with_name(OptimizerName::AdamW);
    assert!(message(&adamw, &state, 1).contains("`moment_1."));
}
