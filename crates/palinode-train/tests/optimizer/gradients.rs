//! Gradients that are clipped, averaged or missing.

use super::*;

#[test]
fn decay_on_all_reaches_biases_and_clipping_bounds_the_whole_gradient() {
    let decay_all = sgd().with_weight_decay(1.0).with_decayed(Decayed::All).with_momentum(0.0);
    let before = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&decay_all, &before);
    let after = collect(&step(before, &mut optimizer, 0.1));
    // g = 1 + 1·1 everywhere.
    assert!(after.values().flat_map(|a| &a.values).all(|w| (w - 0.8).abs() < 1e-6));

    let clipped = sgd().with_clip_norm(2.0).with_weight_decay(0.0);
    let before = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&clipped, &before);
    let count: usize = collect(&before).values().map(|a| a.values.len()).sum();
    let after = collect(&step(before, &mut optimizer, 1.0));
    let moved: f64 = after
        .values()
        .flat_map(|a| &a.values)
        .map(|w| f64::from(1.0 - w).powi(2))
        .sum::<f64>()
        .sqrt();
    assert!((moved - 2.0).abs() < 1e-4, "{count} gradients of 1, clipped to 2, moved {moved}");
}

#[test]
fn clipping_scales_all_gradients_and_returns_the_norm_before() {
    let network = random_network(2);
    let (loss, _) = random_loss(&network, 1);
    let before = ParameterGradients::take(&network, &mut loss.backward());
    let numbers = |gradients: &ParameterGradients| -> Vec<f64> {
        gradients.as_slice().iter().flatten().flat_map(|g| support::values(g.clone())).collect()
    };
    let norm = numbers(&before).iter().map(|number| number.powi(2)).sum::<f64>().sqrt();
    assert!(norm > 0.1);

    let mut clipped = before.clone();
    let found = clipped.clip(0.1).unwrap().into_scalar::<f64>();
    assert!((found / norm - 1.0).abs() < 1e-6, "{found} against {norm}");
    for (found, before) in numbers(&clipped).iter().zip(numbers(&before)) {
        let expected = before * 0.1 / norm;
        assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} against {expected}");
    }

    let mut within = before.clone();
    within.clip(2.0 * norm).unwrap();
    assert_eq!(numbers(&within), numbers(&before), "a norm below the limit changes no bit");
    assert!(within.clip(0.0).is_none());
}

#[test]
fn a_gradient_that_is_not_finite_is_not_clipped_in_silence() {
    let before = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&sgd().with_clip_norm(1.0), &before);
    let loss = sum_of_weights(&before) * 1e25;
    let gradients = ParameterGradients::take(&before, &mut loss.backward());
    let (_, norm) = optimizer.step(before, gradients, 0.1).unwrap();
    assert!(!norm.unwrap().into_scalar::<f64>().is_finite());
}

/// Batches of 2, 2 and 1 images with the gradients a, b, c: (2a + 2b + c)/5. One batch keeps its bits.
#[test]
fn accumulated_gradients_count_by_their_images() {
    let network = random_network(4);
    let gradient = |step| {
        let (loss, values) = random_loss(&network, step);
        (ParameterGradients::take(&network, &mut loss.backward()), values)
    };
    let all = |gradients: ParameterGradients| -> Vec<f64> {
        gradients.as_slice().iter().flatten().flat_map(|g| support::values(g.clone())).collect()
    };
    let mut mean = GradientMean::default();
    let mut expected = vec![0.0; gradient(0).1.len()];
    for (step, images) in [(0, 2), (1, 2), (2, 1)] {
        let (gradients, values) = gradient(step);
        mean.add(gradients, images).unwrap();
        let weighted = values.iter().map(|&g| f64::from(g) * images as f64 / 5.0);
        expected.iter_mut().zip(weighted).for_each(|(sum, g)| *sum += g);
    }
    for (found, expected) in all(mean.finish().unwrap()).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-6, "{found} against {expected}");
    }
    let mut single = GradientMean::default();
    single.add(gradient(3).0, 7).unwrap();
    assert_eq!(all(single.finish().unwrap()), all(gradient(3).0));
    assert!(GradientMean::default().finish().is_none());
}

/// A parameter that took no part in a step has the gradient zero, and decays; one that wants none stays.
#[test]
fn frozen_parameters_stay_and_unused_ones_decay() {
    for frozen in [false, true] {
        let mut before = network(1.0);
        before.stem.weight = before.stem.weight.set_require_grad(!frozen);
        let recipe = sgd().with_weight_decay(0.5);
        let mut optimizer = NetworkOptimizer::new(&recipe, &before);
        // A loss of the head's bias alone.
        let loss = before.head.bias.val().sum();
        let after = collect(&step_down(before, &mut optimizer, loss, 0.1));
        let expected = if frozen { 1.0 } else { 1.0 - 0.1 * 0.5 };
        assert!(after["stem.weight"].values.iter().all(|w| (w - expected).abs() < 1e-6));
        assert!(after["head.bias"].values.iter().all(|b| (b - 0.9).abs() < 1e-6));
    }
}

/// A block that was left out has the gradient zero in every mode: momentum and decay go on alike.
#[test]
fn stochastic_depth_trains_alike_in_every_mode() {
    let device = Device::flex().autodiff();
    let train = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 4);
        config = config.with_units([2, 2, 2], [4, 4, 4]);
        config.survival = 0.4;
        config.activation = Activation::Tanh;
        let mut network = config.init(1, mode, &device).unwrap().map(&mut InF64);
        let recipe = sgd().with_weight_decay(0.1);
        let mut optimizer = NetworkOptimizer::new(&recipe, &network);
        for step in 0..6 {
            let images: Tensor<4> = Generator::with_stream(2, Purpose::Input, step)
                .normal([4, 1, 8, 8], 1.0, &device)
                .cast(DType::F64);
            let labels = Tensor::from_ints([0, 1, 2, 3], &device);
            let logits = network.forward(images, Phase::Training { seed: 1, step }).unwrap();
            network = step_down(network, &mut optimizer, cross_entropy(logits, labels), 0.1);
        }
        weights_of(&network)
    };
    let stored = train(Differentiation::Stored);
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let error = support::relative(&train(mode), &stored);
        assert!(error < 1e-11, "{mode:?}: {error:e}");
    }
}
