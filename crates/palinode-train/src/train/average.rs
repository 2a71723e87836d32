//! The exponential moving average of a network's weights and running statistics.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use palinode::Result;
use palinode::network::Network;
use palinode::network::weights::{Arrays, Names, flat, replace, to_f32};
use palinode::residual::Residual;

/// w̄ ← d·w̄ + (1 − d)·w after every step, with d = min(decay, (1 + t)/(10 + t)) at step t.
///
/// The small d of the first steps keeps the initial weights from dominating the average for long.
#[derive(Clone, Debug)]
pub struct Average {
    decay: f64,
    steps: u64,
    /// w̄ on the device, flat, in the order of a visit; empty before the first step.
    values: Vec<Tensor<1>>,
}

impl Average {
    /// An average before the first step.
    pub fn new(decay: f64) -> Self {
        Self { decay, steps: 0, values: Vec::new() }
    }

    /// Adds the weights after a step.
    pub fn update<R: Residual>(&mut self, network: &Network<R>) {
        let now = flat(network);
        let steps = self.steps as f64;
        self.steps += 1;
        if self.values.is_empty() {
            self.values = now;
            return;
        }
        let kept = self.decay.min((1.0 + steps) / (10.0 + steps)) as f32;
        for (average, now) in self.values.iter_mut().zip(now) {
            *average = average.clone() * kept + now * (1.0 - kept);
        }
    }

    /// A network like `network`, outside any graph, with the averages as its weights. `network` itself
    /// stays as it is, running statistics included.
    ///
    /// # Errors
    /// [`Error::Config`](palinode::Error::Config) where the averages are another network's.
    pub fn applied<R: Residual>(&self, network: &Network<R>) -> Result<Network<R>> {
        // Clones of a Burn module share its running statistics; `valid` makes new ones.
        match self.values.is_empty() {
            true => Ok(network.valid()),
            false => replace(network.valid(), &self.arrays(network)),
        }
    }

    /// w̄ by the names of `network`, empty before the first step.
    pub fn arrays<R: Residual>(&self, network: &Network<R>) -> Arrays {
        match self.values.is_empty() {
            true => Arrays::new(),
            false => {
                let values = self.values.iter().cloned().map(to_f32).collect();
                Names::of(network).stack(values)
            }
        }
    }

    /// Continues after `steps` steps with the averages `arrays`, on `device`.
    ///
    /// # Errors
    /// [`Error::Config`](palinode::Error::Config) naming the first array that `network` does not have or
    /// that is missing.
    pub fn restore<R: Residual>(
        &mut self,
        arrays: &Arrays,
        steps: u64,
        network: &Network<R>,
        device: &Device,
    ) -> Result<()> {
        self.values.clear();
        if steps > 0 || !arrays.is_empty() {
            let values = Names::of(network).unstack("average", arrays)?.into_iter();
            let tensor = |values: Vec<f32>| {
                let length = [values.len()];
                Tensor::from_data(TensorData::new(values, length), device)
            };
            self.values = values.map(tensor).collect();
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palinode::network::NetworkConfig;
    use palinode::network::weights::collect;
    use palinode::reversible::Differentiation;

    fn network(value: f32) -> Network {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 2);
        config = config.with_units([1, 1, 1], [2, 2, 2]);
        config.stem.norm = true;
        let network = config.init(0, Differentiation::Stored, &Device::flex()).unwrap();
        let mut arrays = collect(&network);
        arrays.values_mut().for_each(|array| array.values.fill(value));
        replace(network, &arrays).unwrap()
    }

    #[test]
    fn three_steps_by_hand() {
        let mut average = Average::new(0.15);
        // d: none, 2/11 > 0.15, 0.15.
        let expected = [1.0, 0.15 + 0.85 * 2.0, 0.15 * 1.85 + 0.85 * 4.0];
        for (weight, expected) in [1.0, 2.0, 4.0].into_iter().zip(expected) {
            average.update(&network(weight));
            let applied = collect(&average.applied(&network(9.0)).unwrap());
            let found = applied["head.weight"].values[3];
            assert!((f64::from(found) - expected).abs() < 1e-6, "{found} against {expected}");
        }
        // What is averaged is not touched: clones share their running statistics.
        let live = network(9.0);
        average.applied(&live).unwrap();
        assert!(collect(&live).values().flat_map(|array| &array.values).all(|&value| value == 9.0));
        let mut again = Average::new(0.15);
        let (arrays, like) = (average.arrays(&live), network(0.0));
        again.restore(&arrays, 3, &like, &Device::flex()).unwrap();
        average.update(&network(7.0));
        again.update(&network(7.0));
        assert_eq!(average.arrays(&live), again.arrays(&like));
    }
}
