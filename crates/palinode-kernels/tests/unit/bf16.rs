//! Gradients with factors rounded to bf16: near those in f32, with the same reconstruction.

use crate::RECURRENCES;
use crate::case::Case;
use crate::support::noise;
use palinode_kernels::reference::{Recurrence, Shape};
use palinode_kernels::unit::StateSlices;
use palinode_kernels::{Algorithm, Context, Error, Form, Isa, Precision};

/// The results of a backward pass: the state, the gradient with respect to it, and those with respect to the
/// parameters.
fn backward(case: &Case) -> [Vec<f32>; 3] {
    let [kernels, biases, input_biases] = case.parameters();
    let (updates, parameters) = (case.updates(0.2), case.joined(&kernels, &biases, &input_biases));
    let split = case.split(&parameters);
    let unit = case.unit(&updates, &split);
    let mut state = noise(2 * case.shape.len(), 3, 1.0);
    let mut gradient = noise(2 * case.shape.len(), 4, 1.0);
    let context = Context::new();
    unit.forward(&context, StateSlices::Joined(&mut state)).unwrap();
    let mut found = vec![0.0; parameters.len()];
    let arrays = (StateSlices::Joined(&mut state), StateSlices::Joined(&mut gradient));
    unit.backward(&context, arrays.0, arrays.1, case.split_mut(&mut found)).unwrap();
    [state, gradient, found]
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let norm = |numbers: &mut dyn Iterator<Item = f32>| {
        numbers.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
    };
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn gradients_have_the_errors_of_rounding_and_states_have_none() {
    if let Err(reason) = Context::new().check(Precision::Bf16) {
        println!("not tested: {reason}");
        return;
    }
    let forms = RECURRENCES.map(|recurrence| (recurrence, Form::Symmetric));
    let layers =
        [(Recurrence::Hamiltonian, Form::Layer), (Recurrence::Midpoint, Form::Antisymmetric)];
    for (recurrence, form) in forms.into_iter().chain(layers) {
        for (batch, channels, size) in [(2, 16, 32), (2, 17, 9), (4, 32, 16), (8, 56, 8)] {
            let shape = Shape { batch, channels, height: size, width: size };
            // (The gradient of the state has smaller errors, because most of it is the cotangent itself.)
            let bounds =
                [(Algorithm::Winograd4, [5e-3, 0.02]), (Algorithm::Winograd2, [1.5e-3, 6e-3])];
            for (algorithm, bounds) in bounds {
                let exact = Case { form, algorithm, ..Case::new(recurrence, shape, 2) };
                let rounded = Case { gradients: Precision::Bf16, ..exact };
                let ([state, gradient, found], truth) = (backward(&rounded), backward(&exact));
                assert!(state == truth[0], "{rounded:?}: another reconstruction");
                let errors = [distance(&gradient, &truth[1]), distance(&found, &truth[2])];
                println!("{recurrence:?} {form:?} {algorithm} {channels}: {errors:.4?}");
                let kept = errors[0] < bounds[0] && (1e-3..bounds[1]).contains(&errors[1]);
                assert!(kept, "{rounded:?}: {errors:?}");
            }
        }
    }
}

#[test]
fn bf16_that_cannot_be_computed_is_an_error() {
    let shape = Shape { batch: 1, channels: 3, height: 4, width: 5 };
    let case = Case { gradients: Precision::Bf16, ..Case::new(Recurrence::Verlet, shape, 1) };
    let direct = Case { algorithm: Algorithm::Direct, ..case };
    let portable = Context::builder().isa(Isa::Portable).build().unwrap();
    for (context, case, lacking) in
        [(&portable, case, "portable"), (&Context::new(), direct, "direct")]
    {
        let [kernels, biases, _] = case.parameters();
        let (updates, parameters) = (case.updates(0.2), case.joined(&kernels, &biases, &[]));
        let split = case.split(&parameters);
        let unit = case.unit(&updates, &split);
        let mut arrays = [3, 4].map(|seed| noise(2 * shape.len(), seed, 1.0));
        let before = arrays.clone();
        let [state, gradient] = arrays.each_mut().map(|array| StateSlices::Joined(array));
        let mut found = vec![0.0; parameters.len()];
        let result = unit.backward(context, state, gradient, case.split_mut(&mut found));
        let Err(Error::Precision { precision, found, .. }) = result else { panic!("{result:?}") };
        assert_eq!((precision, found), ("bf16", lacking));
        assert!(arrays == before, "an error has changed something");
    }
    let names = Precision::ALL.map(|precision| precision.name().parse::<Precision>());
    assert_eq!(names, Precision::ALL.map(Ok));
    let message = "f16".parse::<Precision>().unwrap_err().to_string();
    assert!(message.contains("f32, bf16"), "{message}");
}
